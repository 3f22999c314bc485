"""A stand-in for the way out, with answers that a test lays down; and keys that come that way."""

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from keeping import settle
from portvakt.jose.header import Header
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.signer import Signer
from portvakt.net.address import FetchError
from portvakt.net.answer import Fetched, Headers
from portvakt.net.cache import Budget, Schedule
from portvakt.net.fetch import Fetch
from portvakt.net.key_files import KeyFile
from portvakt.net.remote_keys import KeyEndpoint, RemoteKeys
from portvakt.policy.issuer import TrustedIssuer
from portvakt.testing.clock import FrozenClock

ISSUER: Final = "https://issuer.test"
KEYS: Final = f"{ISSUER}/keys"
OPENID: Final = f"{ISSUER}/.well-known/openid-configuration"
RFC8414: Final = f"{ISSUER}/.well-known/oauth-authorization-server"
DOWN: Final = FetchError("the server answered 500")


def answer(body: object, *headers: tuple[str, str], status: int = 200) -> Fetched:
    octets = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Fetched(status, headers, octets)


def key_set(*keys: Signer | Mapping[str, Any]) -> dict[str, Any]:
    return {"keys": [one.public_jwk() if isinstance(one, Signer) else dict(one) for one in keys]}


class FakeFetch:
    """Has the methods of :class:`portvakt.net.fetch.Fetch`; keeps whom it asked for what.

    Attributes:
        answers: what each URL answers; there is no other URL.
        asked: the URLs, in order.
        accepts: the media types that were wanted, in order.
        open: set while answers come.
    """

    def __init__(self, answers: Mapping[str, Fetched | FetchError]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []
        self.accepts: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    @property
    def port(self) -> Fetch:
        """Itself, as what it stands for."""
        return cast("Fetch", self)

    async def get(self, url: str, *, accept: str) -> Fetched:
        return await self.send("GET", url, accept=accept)

    async def send(
        self,
        method: str,
        url: str,
        *,
        accept: str,
        headers: Headers = (),
        content: bytes = b"",
        accepted: Collection[int] = (200,),
    ) -> Fetched:
        assert (method, headers, content) == ("GET", (), b"")
        self.asked.append(url)
        self.accepts.append(accept)
        await self.open.wait()
        found = self.answers[url]
        if isinstance(found, FetchError):
            raise found
        if found.status not in accepted:
            raise FetchError(f"the server answered {found.status}")
        return found


OLD, NEW = Signer.generate("ES256", "old"), Signer.generate("ES256", "new")
IMPOSTOR = Signer.generate("ES256", "old")
TRUSTED = TrustedIssuer(issuer=ISSUER, audience="api", algorithms=frozenset({"ES256"}))
NOW = 1_800_000_000.0
HARD = 7200.0


class Keys:
    """The source under test, and all that surrounds it."""

    def __init__(
        self, *published: Signer, file: Path | None = None, now: float = NOW, **how: Any
    ) -> None:
        self.clock, self.wall_clock = FrozenClock(0), FrozenClock(now)
        self.fetch = FakeFetch({KEYS: answer(key_set(*published))})
        endpoint: dict[str, Any] = {
            "where": KEYS,
            "fetch": self.fetch.port,
            "pinned": frozenset(),
            "schedule": Schedule(hard_limit=HARD),
            "file": None if file is None else KeyFile(file, ISSUER),
        }
        self.budget = Budget(30, 60.0, self.clock)
        self.source = RemoteKeys(
            TRUSTED,
            KeyEndpoint(**{**endpoint, **how}),
            budget=self.budget,
            clock=self.clock,
            wall_clock=self.wall_clock,
        )

    def publish(self, *keys: Signer | Fetched | FetchError) -> None:
        first = keys[0] if keys else None
        if isinstance(first, Fetched | FetchError):
            self.fetch.answers[KEYS] = first
        else:
            self.fetch.answers[KEYS] = answer(key_set(*keys))  # type: ignore[arg-type]

    def current(self, kid: str | None = None) -> JwkSet | None:
        return self.source.current(TRUSTED, header(kid))

    async def get(self, kid: str | None = None) -> JwkSet:
        return await self.source.fetch(TRUSTED, header(kid))

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and the task that renews see it."""
        self.clock.advance(seconds)
        self.wall_clock.advance(seconds)
        changed = self.source._kept._changed
        assert changed is not None
        changed.set()
        await settle()


def header(kid: str | None) -> Header | None:
    return None if kid is None else Header("ES256", kid, "at+jwt")


def kids(keys: JwkSet | None) -> list[str | None]:
    assert keys is not None
    return [key.kid for key in keys.keys]
