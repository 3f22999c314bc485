"""A key endpoint in a process of its own: it publishes what it is told, and counts who asks.

Plain HTTP on this machine, which a policy must allow by name: what is measured is the guard.
"""

import json
import multiprocessing
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["HOST", "KeyEndpoint"]

HOST = "127.0.0.1"


class KeyEndpoint:
    """The endpoint, and the issuer that it is of.

    Attributes:
        issuer: the issuer's name, which is also where its keys are.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        context.Process(target=_serve, args=(end,), daemon=True).start()
        self.issuer = f"http://{HOST}:{self._pipe.recv()}"

    def publish(self, *keys: dict[str, Any]) -> None:
        """Publish these keys from now on."""
        self._pipe.send(json.dumps({"keys": keys}).encode())
        self._pipe.recv()

    def fetches(self) -> int:
        """Return how often the keys were asked for."""
        self._pipe.send(None)
        count: int = self._pipe.recv()
        return count

    def policy(self, audience: str) -> dict[str, Any]:
        """Return a policy that trusts the issuer."""
        table = {
            "issuer": self.issuer,
            "algorithms": ["ES256"],
            "jwks_uri": f"{self.issuer}/keys",
            "unsafe_loopback": True,
        }
        return {"api": {"audience": audience}, "issuer": [table]}


def _serve(pipe: Connection) -> None:
    document, fetches = b"{}", 0

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
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pipe.send(server.server_address[1])
    with suppress(EOFError):  # Whoever measured has ended.
        while True:
            told = pipe.recv()
            document = document if told is None else told
            pipe.send(fetches)
