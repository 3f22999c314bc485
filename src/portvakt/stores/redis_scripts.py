"""What Redis does in one step each: scripts in Lua, and the names of the keys that they touch.

A script runs whole or not at all, and nothing runs beside it. All keys of one script have the same
hash tag, so that a cluster keeps them on one node. What comes from outside is an argument or a part
of a key's name, octets with a length before them, and never a part of a script (CACHE-11).

A server's *reign* is its ``master_replid``: Redis and Valkey choose it anew at each start and at
each promotion of a replica. So whatever could have lost writes has another one, and a script that
reads it knows, in the same step in which it decides, whether the data are those it knew.

A user of the server's ACL needs, on ``~portvakt:*`` and ``&portvakt:*``: eval, evalsha, info, time,
ping, publish, subscribe, and of the commands on keys hset, hmget, hget, hdel, hincrby, hsetnx,
zadd, zrem, zscore, zcount, zrange, zrangebyscore, zremrangebyscore; in a cluster cluster|slots and
asking; with replicas wait; and config|get, without which no server counts as durable.
"""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["ARRIVE", "PAGE", "PRUNE_REVOCATIONS", "PRUNE_USES", "REVOKE", "USE", "Answer", "Script"]


class Answer:
    """What a script answers instead of a result."""

    ADMITTED: Final = 1
    USED: Final = 0
    UNKNOWN: Final = -1  # a reign that was not registered
    EVICTS: Final = -2
    OWNER_FULL: Final = -3
    FULL: Final = -4
    FORGOTTEN: Final = -5  # it could have been used before memory begins
    REPLICA: Final = -6
    ALONE: Final = -7
    UNWRITTEN: Final = -8  # a server that counts on its disk writes to it no more


class Script:
    """One script, and the digest by which a server that has it finds it."""

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self.digest = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()


_STATE: Final = """
local function reign()
  local info = redis.call('INFO', 'replication')
  local replid = string.match(info, 'master_replid:(%x+)')
  if not replid then error('no master_replid') end
  local master = string.find(info, 'role:master', 1, true) ~= nil
  local promoted = string.match(info, 'master_replid2:(%x+)') ~= string.rep('0', 40)
  local replicas, near = tonumber(string.match(info, 'connected_slaves:(%d+)')) or 0, 0
  for lag in string.gmatch(info, 'slave%d+:[^\\r\\n]*state=online[^\\r\\n]*lag=(%d+)') do
    if tonumber(lag) <= 5 then near = near + 1 end
  end
  return replid, master, replicas, promoted, near
end
local function evicts()
  local policy = string.match(redis.call('INFO', 'memory'), 'maxmemory_policy:([%a-]+)')
  return policy ~= 'noeviction'
end
local function earlier(guards)
  local time = redis.call('TIME')
  return math.min(tonumber(guards), tonumber(time[1]) + tonumber(time[2]) / 1e6)
end
local function written()
  return string.find(redis.call('INFO', 'persistence'), 'aof_enabled:1', 1, true) ~= nil
end
local function evicted()
  return string.match(redis.call('INFO', 'stats'), 'evicted_keys:(%d+)') or '?'
end
"""

# The owners' keys are not among KEYS: they have the hash tag of those that are, and so their node.
_TRIM: Final = """
local function follow(due, owner, uses)
  local first = redis.call('ZRANGE', uses, 0, 0, 'WITHSCORES')
  if first[2] then
    redis.call('ZADD', due, first[2], owner)
  else
    redis.call('ZREM', due, owner)
  end
end
local function trim(bucket, due, prefix, at, most)
  local removed, owners = 0, redis.call('ZRANGEBYSCORE', due, '-inf', at, 'LIMIT', 0, most)
  for _, owner in ipairs(owners) do
    removed = removed + redis.call('ZREMRANGEBYSCORE', prefix .. owner, '-inf', at)
    follow(due, owner, prefix .. owner)
  end
  if removed > 0 then redis.call('HINCRBY', bucket, 'total', -removed) end
  return removed, #owners
end
"""

# KEYS: bucket. ARGV: the guard's time; 1 if all that was ever answered is on the disk.
# The memory of a reign begins when it is first seen, unless everything says that nothing was lost:
# the last reign had every write on its disk and no replica that could have followed it, and this
# one is not such a replica.
ARRIVE: Final = Script(
    _STATE
    + """
local replid, master, replicas, promoted = reign()
if not master then return {-6, '', 0} end
if evicts() then return {-2, '', 0} end
local lost, second = evicted(), redis.call('TIME')[1]
local known = redis.call('HMGET', KEYS[1], 'reign', 'evicted', 'begins', 'durable')
local durable = ARGV[2] == '1' and replicas == 0 and lost == '0'
if known[1] == replid and known[4] == '1' and not written() then return {-8, '', 0} end
if known[1] == replid and known[2] == lost then
  if known[4] == '1' and not durable then redis.call('HSET', KEYS[1], 'durable', '0') end
  return {1, known[3], 0}
end
local begins = ARGV[1]
if durable and not promoted and known[4] == '1' and known[2] == lost then begins = known[3] end
redis.call('HSET', KEYS[1], 'reign', replid, 'evicted', lost, 'begins', begins,
  'durable', durable and '1' or '0', 'checked', second)
return {1, begins, 1}
"""
)

# KEYS: bucket, owners by the first expiry of each, this owner's uses.
# ARGV: item, usable_from, expires_at, at, bound for all, bound for one owner, margin, owner, what
# the names of all owners' keys begin with.
#
# No key of these has a time to live: the guard's clock may stand still (CLK-01) while the server's
# goes on. And a guard whose clock is ahead does not forget for the others: both have to say that
# something has expired before it goes.
USE: Final = Script(
    _STATE
    + _TRIM
    + """
local bucket, due, uses = KEYS[1], KEYS[2], KEYS[3]
local item, at, capacity, gone = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[5]), earlier(ARGV[4])
local replid, master, replicas = reign()
if not master then return {-6, ''} end
local known = redis.call('HMGET', bucket, 'reign', 'evicted', 'begins', 'durable', 'checked',
  'total')
-- 1. Is this the memory that it was?
if known[1] ~= replid then return {-1, ''} end
local second = redis.call('TIME')[1]
if known[5] ~= second then
  if evicts() then return {-2, ''} end
  if evicted() ~= known[2] then return {-1, ''} end
  redis.call('HSET', bucket, 'checked', second)
end
-- What its file says of it would be read after a restart: that it is durable, and nothing since.
if known[4] == '1' and not written() then return {-8, ''} end
if replicas > 0 and known[4] == '1' then redis.call('HSET', bucket, 'durable', '0') end
-- 2. Was it used?
local used = redis.call('ZSCORE', uses, item)
if used and tonumber(used) > at then return {0, known[3]} end
-- 3. Could it have been used where memory does not reach?
local reaches = tonumber(known[3]) + tonumber(ARGV[7])
if not (tonumber(ARGV[2]) >= reaches) then return {-5, known[3]} end
-- 4. Is there room? What has expired takes none, of this owner or of others.
if redis.call('ZCOUNT', uses, '(' .. ARGV[4], '+inf') >= tonumber(ARGV[6]) then
  return {-3, known[3]}
end
local total = tonumber(known[6]) or 0
if total >= capacity and total - trim(bucket, due, ARGV[9], gone, 100) >= capacity then
  return {-4, known[3]}
end
-- 5. It is used now. A server without memory refuses here, where nothing was written before.
local added = redis.call('ZADD', uses, ARGV[3], item)
redis.call('HINCRBY', bucket, 'total', added)
follow(due, ARGV[8], uses)
-- 6. Two owners' expired uses go: more than one use can bring.
trim(bucket, due, ARGV[9], gone, 2)
return {1, known[3]}
"""
)

# KEYS: bucket, owners by the first expiry of each. ARGV: now, how many owners at most, what the
# names of all owners' keys begin with.
PRUNE_USES: Final = Script(
    _STATE
    + _TRIM
    + """
local removed, owners = trim(KEYS[1], KEYS[2], ARGV[3], earlier(ARGV[1]), tonumber(ARGV[2]))
return {removed, owners}
"""
)

# KEYS: head (id of the data, counter), handles by counter, entries, handles by expiry.
# ARGV: an id in case there is none yet, the channel, and a handle and its entry by turns.
REVOKE: Final = Script(
    _STATE
    + """
local _, master, replicas = reign()
if not master then return {-6, 0, 0} end
if evicts() then return {-2, 0, 0} end
redis.call('HSETNX', KEYS[1], 'id', ARGV[1])
local changed = false
for i = 3, #ARGV, 2 do
  local handle = ARGV[i]
  local before, expires = struct.unpack('>dd', ARGV[i + 1])
  local old = redis.call('HGET', KEYS[3], handle)
  local fresh = true
  if old then
    local old_before, old_expires = struct.unpack('>dd', old)
    fresh = before > old_before or expires > old_expires
    before, expires = math.max(before, old_before), math.max(expires, old_expires)
  end
  if fresh then
    redis.call('HSET', KEYS[3], handle, struct.pack('>dd', before, expires))
    redis.call('ZADD', KEYS[2], redis.call('HINCRBY', KEYS[1], 'counter', 1), handle)
    redis.call('ZADD', KEYS[4], string.format('%.17g', expires), handle)
    changed = true
  end
end
if changed then redis.call('PUBLISH', ARGV[2], '') end
return {1, replicas, written() and 1 or 0}
"""
)

# KEYS: as REVOKE's first three. ARGV: id, reign and counter of the cursor, how many at most, how
# many replicas there have to be: a master that was cut off from all of them may have been replaced.
# It writes nothing, so that a full server still says what is revoked.
PAGE: Final = Script(
    _STATE
    + """
local replid, master, _, _, near = reign()
if not master then return {-6} end
if near < tonumber(ARGV[5]) then return {-7} end
if evicts() then return {-2} end
local head = redis.call('HMGET', KEYS[1], 'id', 'counter')
local id, counter = head[1] or '', tonumber(head[2]) or 0
local after, afresh = tonumber(ARGV[3]), 0
if ARGV[1] ~= id or ARGV[2] ~= replid or after > counter then after, afresh = 0, 1 end
local found = redis.call('ZRANGEBYSCORE', KEYS[2], string.format('(%.0f', after), '+inf',
  'WITHSCORES', 'LIMIT', 0, ARGV[4])
local handles, more = {}, 0
for i = 1, #found, 2 do handles[#handles + 1] = found[i] end
local entries = {}
if #handles > 0 then entries = redis.call('HMGET', KEYS[3], unpack(handles)) end
if #handles == tonumber(ARGV[4]) and tonumber(found[#found]) < counter then
  more, counter = 1, tonumber(found[#found])
end
return {1, id, replid, string.format('%.0f', counter), more, afresh, handles, entries}
"""
)

# KEYS: as REVOKE's last three. ARGV: now, how many at most.
PRUNE_REVOCATIONS: Final = Script(
    _STATE
    + """
local gone = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', earlier(ARGV[1]), 'LIMIT', 0, ARGV[2])
if #gone > 0 then
  redis.call('HDEL', KEYS[2], unpack(gone))
  redis.call('ZREM', KEYS[1], unpack(gone))
  redis.call('ZREM', KEYS[3], unpack(gone))
end
return {#gone, #gone}
"""
)
