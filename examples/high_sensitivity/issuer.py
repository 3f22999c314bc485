"""An issuer on this machine: it signs tokens, grants references, and ends sessions."""

import json
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from portvakt.testing import FakeIssuer, FrozenClock

__all__ = ["SECRET", "Issuer"]

SECRET = "what-the-issuer-and-this-API-share"


class Issuer:
    """Issues tokens by a clock of its own, which the API goes by too.

    Attributes:
        clock: what time it is, in this whole example.
        fake: signs.
    """

    def __init__(self) -> None:
        self.clock = FrozenClock()
        self.fake = FakeIssuer(
            "https://issuer.example", audience="example:journal", clock=self.clock
        )
        self._references: dict[str, dict[str, Any]] = {}
        self._ended: set[str] = set()

    def grant(self, claims: dict[str, Any]) -> str:
        """Issue a reference token."""
        reference = f"reference-{len(self._references)}"
        now = int(self.clock())
        named = {"iss": "https://issuer.example", "aud": "example:journal", "iat": now}
        who = {"sub": "a clinician", "client_id": "journal-client", "jti": reference}
        self._references[reference] = named | who | claims
        return reference

    def end(self, session: str) -> None:
        """End a session: its references are not active any more."""
        self._ended.add(session)

    def answer(self, reference: str) -> dict[str, Any]:
        """Say what a reference stands for, if it does (RFC 7662 section 2.2)."""
        found = self._references.get(reference)
        if found is None or found["sid"] in self._ended or found["exp"] <= self.clock():
            return {"active": False}
        return {"active": True, "token_type": "Bearer", **found}

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve keys and answers on loopback, and give the URL."""
        issuer = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(200, issuer.fake.jwks())

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                encoded = self.headers["Authorization"].removeprefix("Basic ")
                _, _, secret = b64decode(encoded).decode().partition(":")
                if secret != SECRET:
                    self._send(401, {"error": "invalid_client"})
                else:
                    self._send(200, issuer.answer(form["token"][0]))

            def _send(self, status: int, answer: dict[str, Any]) -> None:
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
