"""A flood of tokens with invented key names, beside honest ones: what the honest notice of it.

An API behind the guard runs in a process of its own, the key endpoint in another, and the load
comes from a third, open-loop: each request has its time, whether or not the ones before it are
answered. The same load runs without the flood and with it, in turns. What the generator itself adds
is the delay between a request's time and its sending, and is reported beside.

    python bench/flood.py [--seconds N] [--rate N]
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import statistics
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from portvakt import Guard
from portvakt.adapters.asgi import GuardMiddleware
from portvakt.testing import FakeIssuer

HOST = "127.0.0.1"
CONNECTIONS = 32


Queue = asyncio.Queue[tuple[float, bytes] | None]
Done = list[tuple[float, float, int]]


class Figures(NamedTuple):
    """What one phase gave: statuses, and milliseconds."""

    statuses: dict[int, int]
    p50: float
    p99: float
    late_p99: float


def serve_keys(pipe: Connection) -> None:
    """Publish keys; say how often they were asked for, when asked."""
    fetches = 0
    document = b"{}"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal fetches
            fetches += 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    pipe.send(server.server_address[1])
    document = pipe.recv()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pipe.recv()
    pipe.send(fetches)


def serve_api(config: dict[str, Any], pipe: Connection) -> None:
    """Serve an API behind the guard, that answers 200 and nothing else."""
    import socket

    import uvicorn

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    # Named as TCP, or asyncio leaves Nagle's algorithm on: each answer would wait 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind((HOST, 0))
    pipe.send(listener.getsockname()[1])
    guarded = GuardMiddleware(app, Guard.from_config(config))
    settings = uvicorn.Config(guarded, log_level="critical", access_log=False)
    uvicorn.Server(settings).run(sockets=[listener])


async def caller(port: int, queue: Queue, done: Done) -> None:
    """Send what comes at its time, on one connection; note how late, how long, and the status."""
    reader, writer = await asyncio.open_connection(HOST, port)
    while (item := await queue.get()) is not None:
        due, request = item
        sent = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        await reader.readexactly(length)
        done.append((sent - due, time.perf_counter() - due, int(head[9:12])))
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def phase(port: int, honest: list[bytes], forged: list[bytes], seconds: float) -> list[Any]:
    """Send the honest requests evenly over so many seconds, and the forged ones between them."""
    results: list[Any] = []
    tasks = []
    for requests in (honest, forged):
        queue: Queue = asyncio.Queue()
        done: Done = []
        results.append(done)
        callers = [asyncio.create_task(caller(port, queue, done)) for _ in range(CONNECTIONS)]
        tasks.append(asyncio.create_task(feed(queue, requests, seconds)))
        tasks += callers
    await asyncio.gather(*tasks)
    return results


async def feed(queue: Queue, requests: list[bytes], seconds: float) -> None:
    """Put each request into the queue when its time has come."""
    started = time.perf_counter() + 0.1
    for number, request in enumerate(requests):
        due = started + number * seconds / len(requests)
        pause = due - time.perf_counter()
        if pause > 0.001:
            await asyncio.sleep(pause)
        queue.put_nowait((max(due, time.perf_counter()) if pause < 0 else due, request))
    for _ in range(CONNECTIONS):
        queue.put_nowait(None)


def figures(done: Done) -> Figures:
    """Sum up one phase's honest or forged requests."""
    statuses: dict[int, int] = {}
    for _, _, status in done:
        statuses[status] = statuses.get(status, 0) + 1
    took = sorted(one[1] * 1e3 for one in done)
    late = sorted(one[0] * 1e3 for one in done)
    last = int(len(took) * 0.99)
    return Figures(statuses, statistics.median(took), took[last], late[last])


def generate(port: int, tokens: list[str], count: int, seconds: float, pipe: Connection) -> None:
    """Run both phases from this process, twice in turns, and send the figures."""

    def request(token: str) -> bytes:
        return (
            f"GET /journal/1 HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {token}\r\n\r\n"
        ).encode()

    honest_tokens, forged_tokens = tokens[:count], tokens[count:]
    honest = [request(token) for token in honest_tokens]
    forged = [request(token) for token in forged_tokens]
    found = []
    for _ in range(2):
        quiet, _ = asyncio.run(phase(port, honest, [], seconds))
        calm, flood = asyncio.run(phase(port, honest, forged, seconds))
        found.append((figures(quiet), figures(calm), figures(flood)))
    pipe.send(found)


def main() -> int:
    """Run it, and print the figures; 1 if an honest request was refused, or fetches were many."""
    parser = argparse.ArgumentParser(description="A flood of unknown kids beside honest requests.")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--count", type=int, default=10_000)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    keys_pipe, keys_end = context.Pipe()
    context.Process(target=serve_keys, args=(keys_end,), daemon=True).start()
    name = f"http://{HOST}:{keys_pipe.recv()}"
    issuer = FakeIssuer(name, audience="api", clock=time.time)
    keys_pipe.send(json.dumps(issuer.jwks()).encode())
    config = {
        "api": {"audience": "api"},
        "issuer": [
            {
                "issuer": name,
                "algorithms": ["ES256"],
                "jwks_uri": f"{name}/keys",
                "unsafe_loopback": True,
            }
        ],
    }
    api_pipe, api_end = context.Pipe()
    api = context.Process(target=serve_api, args=(config, api_end), daemon=True)
    api.start()
    port = api_pipe.recv()
    count = arguments.count
    honest = [issuer.token() for _ in range(500)]
    forged = [issuer.token(header={"kid": random.randbytes(12).hex()}) for _ in range(count)]  # noqa: S311  names, not secrets
    tokens = [honest[number % len(honest)] for number in range(count)] + forged
    load_pipe, load_end = context.Pipe()
    time.sleep(1.5)  # uvicorn starts
    load = context.Process(
        target=generate, args=(port, tokens, count, arguments.seconds, load_end), daemon=True
    )
    load.start()
    found = load_pipe.recv()
    keys_pipe.send("count")
    fetches = keys_pipe.recv()
    api.terminate()
    bad = False
    for quiet, calm, flood in found:
        print(
            f"honest alone      {quiet.statuses}  p50 {quiet.p50:.2f} ms  p99 {quiet.p99:.2f} ms"
            f"  (generator late p99 {quiet.late_p99:.2f} ms)"
        )
        print(
            f"honest in a flood {calm.statuses}  p50 {calm.p50:.2f} ms  p99 {calm.p99:.2f} ms"
            f"  (generator late p99 {calm.late_p99:.2f} ms)  {calm.p99 / quiet.p99:.2f} × alone"
        )
        print(f"forged            {flood.statuses}")
        bad = bad or set(quiet.statuses) | set(calm.statuses) != {200} or 200 in flood.statuses
    allowed = 1 + 2 * (int(2 * arguments.seconds // 10) + 1)
    print(f"the key endpoint was asked {fetches} times in {4 * arguments.seconds:.0f} s and more")
    return 1 if bad or fetches > allowed else 0


if __name__ == "__main__":
    sys.exit(main())
