"""A guard under load for minutes while its issuer changes keys: nothing of the process may grow.

The key endpoint is a process of its own. Every few seconds the issuer publishes a new key beside
the last one, and signs with it as soon as the guard admits it: at once, or when the cooldown is
over. Memory, threads, tasks and open files are sampled; the memory of verified tokens is full after
the first changes, and from then on the second half of the samples must not lie above the first.

    python bench/soak.py [--minutes N] [--rotate SECONDS] [--slack MEBIBYTES]
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from portvakt import Guard
from portvakt.home import finish
from portvakt.jose.encoding import decode_base64url
from portvakt.jose.signer import Signer, sign_compact
from portvakt.testing import FakeIssuer

HOST = "127.0.0.1"
#: Tokens of each key; the memory of verified ones holds ten thousand.
TOKENS = 2000


class Sample(NamedTuple):
    """What one look at the process found."""

    rss: float
    threads: int
    files: int
    tasks: int


def serve_keys(pipe: Connection) -> None:
    """Publish what comes through the pipe."""
    document = b"{}"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    pipe.send(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with suppress(EOFError):  # The soak has ended.
        while True:
            document = pipe.recv()
            pipe.send("published")


async def _tasks() -> int:
    return len(asyncio.all_tasks())


def look(guard: Guard) -> Sample:
    """Sample this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return Sample(
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        threading.active_count(),
        len(list(Path("/proc/self/fd").iterdir())),
        finish(guard.home.blocked(_tasks)) - 1,
    )


class Load:
    """Threads that send the tokens of the day, again and again."""

    def __init__(self, guard: Guard, issuer: FakeIssuer, threads: int = 2) -> None:
        self.refused = self.sent = 0
        self.requests: list[Any] = []
        self.on = True
        self._guard = guard
        self._issuer = issuer
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End."""
        self.on = False
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while self.on:
            for request in self.requests:
                self.sent += 1
                self.refused += not self._guard.check_blocking(request).admitted
                time.sleep(0.0002)


def tokens_of(issuer: FakeIssuer, signer: Signer) -> list[Any]:
    """Sign new tokens with one key."""
    header = {"alg": signer.alg, "kid": signer.kid, "typ": "at+jwt"}
    claims = json.loads(decode_base64url(issuer.token().split(".")[1]))
    return [
        issuer.request(sign_compact(header, {**claims, "jti": f"{signer.kid}-{number}"}, signer))
        for number in range(TOKENS)
    ]


def main() -> int:
    """Run, print the figures, and return 1 if something grew or an honest request was refused."""
    parser = argparse.ArgumentParser(description="A soak with rotation.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rotate", type=float, default=10.0)
    # What the second half may be above the first: the allocator's own unevenness.
    parser.add_argument("--slack", type=float, default=6.0)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    pipe, end = context.Pipe()
    context.Process(target=serve_keys, args=(end,), daemon=True).start()
    name = f"http://{HOST}:{pipe.recv()}"
    issuer = FakeIssuer(name, audience="api", clock=time.time)
    table = {
        "issuer": name,
        "algorithms": ["ES256"],
        "jwks_uri": f"{name}/keys",
        "unsafe_loopback": True,
    }
    guard = Guard.from_config({"api": {"audience": "api"}, "issuer": [table]})
    last = Signer.generate("ES256", "key-0")
    load = Load(guard, issuer)
    samples: list[Sample] = []
    started = time.monotonic()
    rotation = 0
    while time.monotonic() < started + arguments.minutes * 60:
        rotation += 1
        new = Signer.generate("ES256", f"key-{rotation}")
        pipe.send(json.dumps({"keys": [last.public_jwk(), new.public_jwk()]}).encode())
        pipe.recv()
        requests = tokens_of(issuer, new)
        while not guard.check_blocking(requests[0]).admitted:
            time.sleep(0.2)  # 503 until the cooldown is over, and never an honest 401
        load.requests = requests
        if rotation == 1:
            load.start()
        last = new
        next_at = started + rotation * arguments.rotate
        while time.monotonic() < min(next_at, started + arguments.minutes * 60):
            time.sleep(0.5)
            samples.append(look(guard))
    load.stop()
    kept = samples[len(samples) // 4 :]  # The caches are full by then.
    first, second = kept[: len(kept) // 2], kept[len(kept) // 2 :]
    print(f"{load.sent} requests, {load.refused} refused, {rotation} keys")
    grew = load.refused > 0
    for field in Sample._fields:
        before = statistics.median(getattr(one, field) for one in first)
        after = statistics.median(getattr(one, field) for one in second)
        most = max(getattr(one, field) for one in samples)
        allowed = arguments.slack if field == "rss" else 0
        verdict = "grew" if after > before + allowed else "steady"
        grew = grew or verdict == "grew"
        print(f"  {field:8}{before:10.1f} →{after:10.1f}   most {most:10.1f}   {verdict}")
    return 1 if grew else 0


if __name__ == "__main__":
    sys.exit(main())
