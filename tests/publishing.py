"""A pytest plugin: issuers that publish their keys over TLS, and guards that fetch them.

Names lead where a test says and certificates are the tests' own; the rest is as in production.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Self

import pytest

from key_server import KeyServer, Names, by_path, certificate, whole
from portvakt import Code, Decision, Guard
from portvakt.clock import monotonic
from portvakt.guard.assembly import assemble_config
from portvakt.jose.encoding import decode_base64url
from portvakt.jose.signer import Signer, sign_compact
from portvakt.net.cache import Budget, Schedule
from portvakt.net.discovery import Discovery
from portvakt.net.fetch import Fetch
from portvakt.net.keys import KeySources
from portvakt.net.remote_keys import KeyEndpoint, RemoteKeys
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from key_server import Behaviour

__all__ = ["AUDIENCE", "Published", "code_of", "guard_of", "hosts", "published", "timed_guard"]

AUDIENCE = "test-api"

#: The guards of the running test.
_open: list[Guard] = []


@pytest.fixture
def hosts() -> Iterator[Names]:
    """Which names lead to which servers in one test."""
    yield Names()
    while _open:
        _open.pop().home.leave()  # What went on in the background ends with the test.


@pytest.fixture
def published(hosts: Names) -> Iterator[Published]:
    """An honest issuer at ``https://issuer.test``."""
    with Published("issuer.test", hosts) as issuer:
        yield issuer


class Published:
    """A fake issuer with a server of its own: metadata, and the keys where it says.

    Parameters:
        host: the name of its server; the issuer is ``https://`` and that.
        names: where hosts are looked up.

    Attributes:
        issuer: writes its tokens. Its time is the system's.
        server: answers; what it publishes can be changed at any time.
    """

    def __init__(self, host: str, names: Names) -> None:
        self.host = host
        self.issuer = FakeIssuer(f"https://{host}", audience=AUDIENCE, clock=time.time)
        self.metadata: dict[str, Any] = {
            "issuer": f"https://{host}",
            "jwks_uri": f"https://{host}/keys",
        }
        self._names = names
        self.server = KeyServer(whole(), tls=certificate(host))

    def __enter__(self) -> Self:
        self.server.__enter__()
        self._names.servers[self.host] = self.server
        self.publish()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__()

    def publish(
        self,
        keys: object = None,
        *,
        metadata: Behaviour | None = None,
        answer: Behaviour | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Publish a key set from now on.

        Parameters:
            keys: the document; the issuer's own keys by default.
            metadata: how the metadata is answered; honestly by default.
            answer: how the keys are answered, whatever *keys* is.
            headers: headers of the answer with the keys.
        """
        document = self.issuer.jwks() if keys is None else keys
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        answers = {
            "/.well-known/openid-configuration": metadata
            or whole(json.dumps(self.metadata).encode()),
            "/keys": answer or whole(body, headers=headers),
        }
        self.server.answer = by_path(answers)

    def fetches(self) -> int:
        """How often the keys were asked for."""
        return sum(request.target == "/keys" for request in self.server.requests)

    def table(self, **settings: Any) -> dict[str, Any]:
        """The issuer's table in a policy."""
        trusted = self.issuer.trusted
        return {"issuer": trusted.issuer, "algorithms": sorted(trusted.algorithms), **settings}

    def token(self, kid: str | None = None, signer: Signer | None = None, **claims: Any) -> str:
        """An honest token; with a *kid*, one that names another key; or signed by another."""
        honest = self.issuer.token(claims=claims)
        if signer is None and kid is None:
            return honest
        signer = signer or self.issuer.signer
        header = {"alg": signer.alg, "kid": kid or signer.kid, "typ": "at+jwt"}
        return sign_compact(header, json.loads(decode_base64url(honest.split(".")[1])), signer)

    def judged(self, guard: Guard, token: str | None = None) -> Code | None:
        """Why a guard refuses a token, or an honest one of now; None if it is admitted."""
        honest = self.token() if token is None else token
        return code_of(guard.check_blocking(self.issuer.request(honest)))


def guard_of(
    hosts: Names, ca_file: Path, *tables: dict[str, Any], network: dict[str, Any] | None = None
) -> Guard:
    """Make a guard of a policy that fetches the keys of these issuers."""
    config = {
        "api": {"audience": AUDIENCE},
        "issuer": list(tables),
        "network": {"ca_file": str(ca_file), **(network or {})},
    }
    guard = assemble_config(Guard, config, clock=None, observers=(), addresses=hosts)
    _open.append(guard)
    return guard


def timed_guard(
    hosts: Names,
    ca_file: Path,
    *issuers: Published,
    schedule: Schedule | None = None,
    clock: Callable[[], float] = monotonic,
    budget: Budget | None = None,
) -> Guard:
    """Make such a guard with times that no policy states, or with a clock that a test moves.

    What goes on in the background sleeps by the system's time all the same.
    """
    fetch = Fetch(hosts, ca_file=ca_file, timeout=1.0)
    budget = budget or Budget(clock=clock)
    trusted = [one.issuer.trusted for one in issuers]
    sources = {}
    for one in trusted:
        endpoint = KeyEndpoint(
            where=Discovery(one.issuer, fetch, clock=clock),
            fetch=fetch,
            pinned=frozenset(),
            schedule=schedule or Schedule(),
            file=None,
        )
        sources[one.issuer] = RemoteKeys(one, endpoint, budget=budget, clock=clock)
    guard = Guard(issuers=trusted, keys=KeySources(sources))
    _open.append(guard)
    return guard


def code_of(decision: Decision) -> Code | None:
    """Why a request was refused; None if it was admitted."""
    return None if decision.refusal is None else decision.refusal.code
