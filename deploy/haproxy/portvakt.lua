-- Asks Portvakt whether a request may pass. Needs HAProxy 2.4 or later with Lua; tested with 2.6.
--
--   global
--       lua-load /etc/haproxy/portvakt.lua unix@/run/portvakt/gateway.sock
--   frontend api
--       http-request set-var(txn.portvakt) str(unknown)
--       http-request lua.portvakt
--       http-request return status 503 unless { var(txn.portvakt) -m str admitted }
--
-- Admitted: the variable says so, and the request has the identity headers. Refused: the client is
-- answered here, as the gateway says. An error in here lets HAProxy go on with the next rule, which
-- is why that one must be there.
--
-- It asks over a socket of its own: core.httpclient of 2.6 asks up to four times when an answer is
-- late, and a proof of possession that is shown twice is refused.

local arguments = table.pack(...)
local GATEWAY = arguments[1] or 'unix@/run/portvakt/gateway.sock'
local SECRET = arguments[2]

-- The guard itself waits for an issuer for 5 seconds at most; then nobody is admitted.
local SECONDS = 6

-- What belongs to the client's connection with HAProxy, or to a body that is not sent on here, or
-- is written below.
local NOT_ASKED = {
  ['connection'] = true, ['content-length'] = true, ['expect'] = true, ['host'] = true,
  ['keep-alive'] = true, ['proxy-connection'] = true, ['te'] = true, ['trailer'] = true,
  ['transfer-encoding'] = true, ['upgrade'] = true,
  ['x-original-method'] = true, ['x-original-uri'] = true, ['x-portvakt-secret'] = true,
}

-- What of a refusal is the client's to see.
local TOLD = {
  'content-type', 'cache-control', 'www-authenticate', 'dpop-nonce', 'retry-after',
}
local RELAYED = { [400] = true, [401] = true, [403] = true, [503] = true }

local UNAVAILABLE = '{"type":"about:blank","title":"unavailable","status":503,'
  .. '"detail":"The request could not be judged. Try again later."}'

-- The request to the gateway; nil if it could not be written as what it is.
local function question(txn)
  local lines = { 'GET / HTTP/1.1', 'host: portvakt', 'connection: close' }
  local sound = true
  local function add(name, value)
    -- HAProxy has refused such characters already; nobody may end a line here.
    sound = sound and not name:find('[^%w!#$%%&\'*+.^_`|~-]') and not value:find('[%z\r\n]')
    lines[#lines + 1] = name .. ': ' .. value
  end
  for name, values in pairs(txn.http:req_get_headers()) do
    if not NOT_ASKED[name] then
      -- Every line, in order: two of Authorization must not become one.
      for index = 0, #values do
        add(name, values[index])
      end
    end
  end
  add('x-original-method', txn.sf:method())
  add('x-original-uri', txn.sf:url())
  if SECRET then
    add('x-portvakt-secret', SECRET)
  end
  lines[#lines + 1] = '\r\n'
  return sound and table.concat(lines, '\r\n') or nil
end

-- The gateway's answer: status, headers and body; nil if it is none.
local function read(socket)
  local deadline = core.now().sec + SECONDS
  local line = socket:receive('*l')
  local status = line and tonumber(line:match('^HTTP/1%.1 (%d%d%d)%f[%D]'))
  local headers = {}
  while status do
    line = socket:receive('*l')
    if not line or core.now().sec > deadline then
      return nil
    end
    line = line:gsub('\r$', '')
    if line == '' then
      break
    end
    local name, value = line:match('^([^:]+):%s*(.-)%s*$')
    if not name then
      return nil
    end
    name = name:lower()
    headers[name] = headers[name] or {}
    table.insert(headers[name], value)
  end
  if not status then
    return nil
  end
  local length = headers['content-length'] and tonumber(headers['content-length'][1]) or 0
  local body = ''
  if length > 0 then
    body = socket:receive(length)
  end
  return body and { status = status, headers = headers, body = body }
end

local function ask(txn)
  local asked = question(txn)
  if not asked then
    return nil
  end
  local socket = core.tcp()
  socket:settimeout(SECONDS)
  local answer = nil
  if socket:connect(GATEWAY) and socket:send(asked) then
    answer = read(socket)
  end
  socket:close()
  return answer
end

local function answered(txn, status, headers, body)
  txn:done(txn:reply({ status = status, headers = headers, body = body }))
end

local function unavailable(txn)
  answered(txn, 503, {
    ['content-type'] = { 'application/problem+json' },
    ['cache-control'] = { 'no-store' },
    ['retry-after'] = { '5' },
  }, UNAVAILABLE)
end

local function portvakt(txn)
  local asked, answer = pcall(ask, txn)
  if not asked or not answer then
    return unavailable(txn)
  end
  local told = {}
  for _, name in ipairs(TOLD) do
    told[name] = answer.headers[name]
  end
  -- With a body: what the gateway answers in the API's place (RFC 9728).
  if RELAYED[answer.status] or (answer.status == 200 and answer.body ~= '') then
    return answered(txn, answer.status, told, answer.body)
  end
  if answer.status ~= 200 then
    return unavailable(txn)
  end
  for name, values in pairs(answer.headers) do
    if name:find('x-portvakt-', 1, true) == 1 then
      txn.http:req_set_header(name, values[1])
    end
  end
  if told['dpop-nonce'] then
    txn:set_var('txn.portvakt_dpop_nonce', told['dpop-nonce'][1])
  end
  txn:set_var('txn.portvakt', 'admitted')
end

core.register_action('portvakt', { 'http-req' }, portvakt)
