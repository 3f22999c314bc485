// An API that is not Python. It tells what it was sent: everything that arrives here was admitted.
const { createHash } = require('node:crypto');
const http = require('node:http');

const told = (request, body) => JSON.stringify({
  method: request.method, url: request.url, headers: request.rawHeaders, body,
});

const server = http.createServer({ maxHeaderSize: 131072 }, (request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const url = new URL(request.url, 'http://api');
    response.writeHead(Number(url.searchParams.get('status') ?? 200), {
      'Content-Type': 'application/json', 'X-Api': 'node', 'WWW-Authenticate': 'of-the-api',
    });
    response.end(told(request, Buffer.concat(chunks).toString('base64')));
  });
});

server.on('upgrade', (request, socket) => {
  const accepted = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');
  socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    `X-Api: node\r\nSec-WebSocket-Accept: ${accepted}\r\n\r\n${told(request, '')}`);
});

server.listen(Number(process.argv[2]), '127.0.0.1');
