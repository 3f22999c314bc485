"""A pytest plugin for a run of its own: nothing that a token says may cause traffic.

Every request that the tests of such a run send to whatever guard is sent to another one as well,
whose issuer publishes its keys: the same issuer, the same keys, the same time. An audit hook sees
every connection, look-up, open file and program of the process, cannot be taken off again, and lets
nothing through but connections to that issuer's key endpoint. ``WATCHED_REPORT`` names the file
that the figures go to.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from judging import AUDIENCE, ISSUER, KID, NOW, honest, signer_for
from key_server import KeyServer, whole
from portvakt import Guard
from portvakt.forge.faults import FAULTS, Forgery
from portvakt.http.request import HttpRequest
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.testing.clock import FrozenClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portvakt import Decision, Requirement

#: At no time, whoever does it.
NEVER = {
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.gethostbyaddr",
    "socket.getnameinfo",
    "socket.sendto",
    "socket.sendmsg",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "pty.spawn",
    "urllib.Request",
    "http.client.connect",
    "ftplib.connect",
    "smtplib.connect",
    "sqlite3.connect",
    "ctypes.dlopen",
}

#: While a request is judged: pytest has to open files, and a guard that knows its keys has not.
MEANWHILE = {"open", "os.listdir", "os.scandir", "import"}

#: Where a forger would like to be asked.
PLACES = (
    "https://evil.example/keys",
    "https://issuer.test@evil.example/keys",
    "https://issuer.test.evil.example/",
    "https://evil.example/.well-known/openid-configuration",
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1:1/",
    "file:///etc/passwd",
    "//evil.example",
    "ldap://evil.example/x",
    "gopher://127.0.0.1:6379/_x",
    "\\\\evil.example\\share",
    "../../../../etc/passwd",
    "' OR 1=1 --",
    "| id",
)
IN_HEADER = ("kid", "jku", "x5u", "jwk", "x5c", "x5t", "typ", "alg", "crit", "cty", "iss", "url")
IN_CLAIMS = (
    *("iss", "aud", "sub", "jti", "cnf", "act", "jku", "jwks_uri", "client_id", "scope", "status"),
    *("_claim_sources", "_claim_names", "picture", "website", "authorization_details"),
)


class Watch:
    """The other guard, its issuer's key endpoint, and what was seen."""

    def __init__(self) -> None:
        self.server = KeyServer(whole(), plain=True)
        self.tried = self.admitted = 0
        self.seen: list[str] = []
        self._judging = False
        self._check = Guard.check_blocking

    def start(self) -> None:
        """Fetch the keys; from then on, watch."""
        self.server.__enter__()
        keys = [signer_for(alg).public_jwk() for alg in ALGORITHMS]
        self.server.answer = whole(json.dumps({"keys": keys}).encode())
        table = {
            "issuer": ISSUER,
            "algorithms": list(ALGORITHMS),
            "jwks_uri": f"http://127.0.0.1:{self.server.port}/keys",
            "unsafe_loopback": True,
        }
        config = {"api": {"audience": AUDIENCE}, "issuer": [table]}
        self._guard = Guard.from_config(config, clock=FrozenClock(NOW))
        # What the first fetch, and the first question for another key, load and open.
        for kid in (KID, "unheard-of"):
            self.judge(honest().header(kid=kid).build())
        assert (self.tried, self.admitted, len(self.server.requests)) == (2, 1, 2)
        self.began = time.monotonic()
        sys.addaudithook(self._audit)

        watch = self

        def check_blocking(
            guard: Guard, request: HttpRequest, requirement: Requirement | None = None
        ) -> Decision:
            if isinstance(request, HttpRequest):
                watch.send(request)
            return watch._check(guard, request, requirement)

        Guard.check_blocking = check_blocking  # type: ignore[method-assign, assignment]

    def judge(self, token: str, headers: tuple[tuple[str, str], ...] = (), url: str = "/") -> None:
        """Send a token."""
        headers = (("Authorization", f"Bearer {token}"), *headers)
        self.send(HttpRequest(method="GET", url=url, headers=headers))

    def send(self, request: HttpRequest) -> None:
        """Send a request to the other guard."""
        self.tried += 1
        self._judging = True
        try:
            self.admitted += self._check(self._guard, request).admitted
        finally:
            self._judging = False

    def report(self) -> dict[str, Any]:
        """Say what was seen."""
        return {
            "tried": self.tried,
            "admitted": self.admitted,
            "seen": self.seen,
            "targets": sorted({request.target for request in self.server.requests}),
            "fetches": len(self.server.requests),
            "seconds": time.monotonic() - self.began,
        }

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            allowed = arguments[1] == ("127.0.0.1", self.server.port)
        else:
            allowed = event not in NEVER and not (self._judging and event in MEANWHILE)
        if not allowed:
            self.seen.append(f"{event} {arguments[:2]}")
            raise PermissionError(event)


_watch = Watch()


@pytest.fixture(scope="session", autouse=True)
def _watched() -> Iterator[None]:
    _watch.start()
    token = honest()
    forgery = Forgery.against(token, several_keys=True)
    for fault in FAULTS:
        if fault.applies(token, forgery):
            _watch.judge(fault.apply(token, forgery))
    for place in PLACES:
        for name in IN_HEADER:
            _watch.judge(token.header(**{name: place}).build())
        for name in IN_CLAIMS:
            _watch.judge(token.claims(**{name: place}).build())
            _watch.judge(token.claims(**{name: {"uri": place, "jku": place}}).build())
        named = (("Host", place), ("Forwarded", f"host={place}"), ("X-Original-URL", place))
        for header in named:
            _watch.judge(token.build(), (header,))
        _watch.judge(token.build(), url=f"/?access_token={place}")
    yield
    Path(os.environ["WATCHED_REPORT"]).write_text(json.dumps(_watch.report()), encoding="utf-8")
