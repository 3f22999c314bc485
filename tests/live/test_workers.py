"""Several worker processes of one server: each has a guard, and keys, of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx2

from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Imported by each worker: the folder of the test is its place.
APP = """
import os
from fastapi import FastAPI
from portvakt.adapters.fastapi import FastAPIGuard

guard = FastAPIGuard.from_file("portvakt.toml")
app = FastAPI()
guard.protect(app)

@app.get("/pid")
async def pid() -> int:
    return os.getpid()
"""

POLICY = """
[api]
audience = "test-api"

[[issuer]]
issuer = "https://issuer.test"
algorithms = ["ES256"]
jwks_uri = "http://127.0.0.1:{port}/keys"
unsafe_loopback = true

[[route]]
path = "/pid"
scopes = ["read"]
"""


class Publisher:
    """An issuer's key endpoint that counts."""

    def __init__(self, issuer: FakeIssuer) -> None:
        document = json.dumps(issuer.jwks()).encode()
        publisher = self
        self.fetches = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.fetches += 1
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(document)))
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]


@contextmanager
def published(issuer: FakeIssuer) -> Iterator[Publisher]:
    publisher = Publisher(issuer)
    thread = threading.Thread(target=publisher.server.serve_forever)
    thread.start()
    try:
        yield publisher
    finally:
        publisher.server.shutdown()
        thread.join()
        publisher.server.server_close()


@contextmanager
def running(folder: Path, port: int) -> Iterator[None]:
    server = [sys.executable, "-m", "uvicorn", "app:app", "--workers", "2"]
    with subprocess.Popen(
        [*server, "--port", str(port), "--log-level", "warning"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def free_port() -> int:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return int(server.server_address[1])


def test_each_worker_fetches_keys_for_itself_and_judges_alike(tmp_path: Path) -> None:
    issuer = FakeIssuer("https://issuer.test", alg="ES256", clock=time.time)
    honest, forged = issuer.token(scopes=["read"]), issuer.token(scopes=["other"])
    with published(issuer) as publisher:
        (tmp_path / "app.py").write_text(APP)
        (tmp_path / "portvakt.toml").write_text(POLICY.format(port=publisher.port))
        port = free_port()
        with running(tmp_path, port):
            answered: set[int] = set()
            end = time.monotonic() + 60
            while len(answered) < 2:
                assert time.monotonic() < end, f"only {len(answered)} workers answered"
                # A connection each: whichever worker takes it.
                try:
                    assert status(port, None) == 401
                    assert status(port, forged) == 403
                    answered.add(int(body(port, honest)))
                except httpx2.TransportError:
                    time.sleep(0.1)  # It is starting.
    assert publisher.fetches == 2


def get(port: int, token: str | None) -> httpx2.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx2.get(f"http://127.0.0.1:{port}/pid", headers=headers, timeout=10)


def status(port: int, token: str | None) -> int:
    return get(port, token).status_code


def body(port: int, token: str) -> str:
    answer = get(port, token)
    assert answer.status_code == 200
    return answer.text
