"""The sample API that every adapter serves, its one policy, and who calls it.

What each endpoint answers is written here, so that an adapter's module only says which of these
functions its framework calls where.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from portvakt import Guard
from portvakt.testing import FakeClient, FakeIssuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from portvakt import AccessToken

__all__ = [
    "DEMANDS",
    "NONCE_KEY",
    "ORIGIN",
    "OTHER",
    "OWN_DEMANDS",
    "PATIENT",
    "PID_CLAIM",
    "BrokenError",
    "Sample",
    "plain_endpoint",
]

ORIGIN: Final = "https://api.test"

#: Who reads this finds the nonce key of the tests, which opens nothing.
NONCE_KEY: Final = "BEHAVIOUR_NONCE_KEY"

PID_CLAIM: Final = "helseid://claims/identity/pid"

#: Two synthetic persons, published as examples.
PATIENT: Final = "17056600574"
OTHER: Final = "55507608360"

#: What ``/ruled`` demands in the policy, and ``/stated`` in Python.
DEMANDS: Final[dict[str, Any]] = {"scopes": ["read"], "security_level": 4}

#: What ``/journal/{patient}`` demands in the policy, and ``/stated/{patient}`` in Python.
OWN_DEMANDS: Final[dict[str, Any]] = {
    "scopes": ["read"],
    "require": ["pid"],
    "matches_request": {"pid": "path.patient"},
}

G = TypeVar("G", bound=Guard)


class BrokenError(Exception):
    """What ``/broken`` raises: a fault of the API, with which no guard may meddle."""


class Sample:
    """One API as one adapter serves it: its issuer, its policy, and which endpoints were reached.

    Attributes:
        issuer: who issues its tokens.
        unreachable: an issuer that the policy trusts too, and whose keys cannot be had.
        client: a client whose tokens are bound to its key.
        reached: the path of every request that an endpoint has seen, in order.
        guards: every guard that was made of it.
    """

    def __init__(self) -> None:
        self.issuer: Final = FakeIssuer(profile="helseid-test", alg="ES256", clock=time.time)
        self.unreachable: Final = FakeIssuer("https://unreachable.test", clock=time.time)
        self.client: Final = FakeClient(self.issuer, origin=ORIGIN)
        self.reached: list[str] = []
        self.guards: list[Guard] = []
        self._lock = threading.Lock()

    @cached_property
    def config(self) -> dict[str, Any]:
        """The policy. ``/stated``, ``/stated/{patient}`` and ``/unguarded`` have no rule in it."""
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            port = nobody.getsockname()[1]
        own = self.issuer.config()["issuer"]
        other = {
            "issuer": self.unreachable.trusted.issuer,
            "algorithms": ["ES256"],
            "jwks_uri": f"http://127.0.0.1:{port}/keys",
            "unsafe_loopback": True,
        }
        ignore = ["pid", "hpr_number", "organisation"]
        return {
            "api": {
                "audience": "test-api",
                "origin": ORIGIN,
                "security_level": 3,
                "ignore": ignore,
            },
            "store": {"url": "memory://"},
            "dpop": {"nonce_keys": [{"env": NONCE_KEY}]},
            "issuer": [*own, other],
            "route": [
                {"path": "/healthz", "public": True},
                {"path": "/open/{page:path}", "public": True},
                {"path": "/journal/{patient}", "methods": ["GET", "HEAD"], **OWN_DEMANDS},
                {"path": "/ruled", **DEMANDS},
                {"path": "/me"},
                {"path": "/echo", "methods": ["POST"], "scopes": ["write"]},
                {"path": "/stream", "scopes": ["read"]},
                {"path": "/broken", "scopes": ["read"]},
                {"path": "/bound", "sender_constraint": "dpop"},
                {"path": "/live", "methods": ["GET"]},
                {"path": "/events"},
            ],
        }

    def guard(self, kind: type[G]) -> G:
        """Make a guard of this policy, of the kind that an adapter takes."""
        # A guard that has just been made refuses proofs: it cannot know which were used before.
        past = [time.time() - 60]
        guard = kind.from_config(self.config, clock=lambda: past.pop() if past else time.time())
        self.guards.append(guard)
        return guard

    @cached_property
    def reference(self) -> Guard:
        """A guard beside the one that is served: what it says, every adapter must answer."""
        return self.guard(Guard)

    # What the endpoints do.

    def note(self, path: str) -> None:
        """Note that an endpoint was reached. Every endpoint begins with it."""
        with self._lock:
            self.reached.append(path)

    def healthz(self) -> str:
        """Answer ``/healthz``, which is public."""
        self.note("/healthz")
        return "well"

    def opened(self, page: str) -> str:
        """Answer ``/open/{page:path}``, which is public whatever it is."""
        self.note(f"/open/{page}")
        return page

    def journal(self, patient: str, token: AccessToken | None) -> str:
        """Answer ``/journal/{patient}`` and ``/stated/{patient}``."""
        self.note(f"/journal/{patient}")
        return json.dumps({"patient": patient, **_said(token)})

    def me(self, token: AccessToken | None) -> str:
        """Answer ``/me``, ``/ruled``, ``/stated`` and ``/bound`` with what the token says."""
        self.note("/me")
        return json.dumps(_said(token))

    def echo(self, body: bytes) -> bytes:
        """Answer ``POST /echo``."""
        self.note("/echo")
        return body

    def stream(self) -> Iterator[bytes]:
        """Answer ``/stream``, piece by piece."""
        self.note("/stream")
        return (b"piece %d\n" % number for number in range(3))

    async def events(self) -> AsyncIterator[bytes]:
        """Answer ``/events`` with one event, and nothing more for as long as anybody listens."""
        self.note("/events")
        yield b"data: 1\n\n"
        await asyncio.Event().wait()

    def broken(self) -> str:
        """Fail to answer ``/broken``."""
        self.note("/broken")
        raise BrokenError

    def unguarded(self) -> str:
        """Answer ``/unguarded``, which must never happen."""
        self.note("/unguarded")
        return "served"


def _said(token: AccessToken | None) -> dict[str, Any]:
    """What an endpoint sees of a token, by its typed attributes."""
    if token is None:
        return {"token": None}
    return {
        "token": type(token).__name__,
        "issuer": token.issuer,
        "subject": token.subject,
        "scopes": sorted(token.scopes),
        "expires_at": token.expires_at,
        "pid": token.pid and token.pid.number,
        "client_id": token.client_id,
    }


def plain_endpoint(sample: Sample, method: str, path: str) -> Callable[..., Any] | None:
    """Return what answers a path, for adapters of what has no router; None if nobody does.

    It takes the token and the request's body, and returns text, octets, or an iterator of them.
    """
    if method in {"GET", "HEAD"}:
        if path.startswith("/open/"):
            return lambda _token, _body: sample.opened(path.removeprefix("/open/"))
        if path.startswith("/journal/"):
            return lambda token, _body: sample.journal(path.removeprefix("/journal/"), token)
    known: dict[tuple[str, str], Callable[..., Any]] = {
        ("GET", "/healthz"): lambda _token, _body: sample.healthz(),
        ("GET", "/ruled"): lambda token, _body: sample.me(token),
        ("GET", "/me"): lambda token, _body: sample.me(token),
        ("GET", "/bound"): lambda token, _body: sample.me(token),
        ("GET", "/stream"): lambda _token, _body: sample.stream(),
        ("GET", "/broken"): lambda _token, _body: sample.broken(),
        ("GET", "/unguarded"): lambda _token, _body: sample.unguarded(),
        ("POST", "/echo"): lambda _token, body: sample.echo(body),
    }
    return known.get((method, path))
