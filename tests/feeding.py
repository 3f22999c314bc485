"""What tests of an issuer's feeds share: what it signs, a way out that brings it, and a clock."""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, cast

from portvakt.errors import Refused, Unavailable
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.signer import Signer, sign_compact
from portvakt.net.address import FetchError
from portvakt.net.answer import Fetched, Headers
from portvakt.net.event_stream import EventStream, Polling
from portvakt.net.fetch import Fetch
from portvakt.net.keys import FixedKeys, KeySource
from portvakt.net.security_events import SecurityEvents
from portvakt.net.status_lists import PublishedLists, StatusLists
from portvakt.oauth.security_event import SecurityEvent, make_event
from portvakt.oauth.status_list import make_status_list
from portvakt.policy.handles import NO_HANDLES
from portvakt.policy.identity import NO_IDENTITY
from portvakt.policy.issuer import TrustedIssuer
from portvakt.policy.token import AccessToken, StatusReference
from portvakt.refusal import Code
from portvakt.testing.clock import FrozenClock

ISSUER: Final = "https://issuer.test"
OTHER: Final = "https://other.test"
LIST: Final = f"{ISSUER}/statuses/1"
SECOND: Final = f"{ISSUER}/statuses/2"
POLL: Final = f"{ISSUER}/events"
AUDIENCE: Final = "test-api"
NOW: Final = 1_800_000_000.0

CAEP: Final = "https://schemas.openid.net/secevent/caep/event-type/"
RISC: Final = "https://schemas.openid.net/secevent/risc/event-type/"
REVOKED: Final = f"{CAEP}session-revoked"
PERSON: Final = {"format": "iss_sub", "iss": ISSUER, "sub": "alice"}

SIGNER, STRANGER = Signer.generate("ES256"), Signer.generate("ES256")
ANOTHER = Signer.generate("ES256")


def trusted(name: str = ISSUER, **settings: Any) -> TrustedIssuer:
    return TrustedIssuer(
        issuer=name, audience=AUDIENCE, algorithms=frozenset({"ES256"}), **settings
    )


def fixed_keys() -> FixedKeys:
    signers = {ISSUER: SIGNER, OTHER: ANOTHER}
    return FixedKeys(
        {
            name: JwkSet.from_object({"keys": [signer.public_jwk()]}, ["ES256"])
            for name, signer in signers.items()
        }
    )


def signed(
    claims: Mapping[str, Any] | bytes, typ: str | None, signer: Signer = SIGNER, **more: Any
) -> str:
    header = {"alg": signer.alg, "kid": signer.kid, "typ": typ, **more}
    return sign_compact({k: v for k, v in header.items() if v is not None}, claims, signer)


def list_claims(*statuses: int, bits: int = 1, **claims: Any) -> dict[str, Any]:
    """The claims of a list; one that is None is left out."""
    made = {
        "iss": ISSUER,
        "sub": LIST,
        "iat": int(NOW),
        "exp": int(NOW) + 86400,
        "status_list": make_status_list(statuses, bits),
        **claims,
    }
    return {name: value for name, value in made.items() if value is not None}


def status_list(*statuses: int, signer: Signer = SIGNER, **claims: Any) -> str:
    return signed(list_claims(*statuses, **claims), "statuslist+jwt", signer)


def token(index: int | None = 0, *, uri: str = LIST, issuer: str = ISSUER) -> AccessToken:
    """A verified token with a place in a list; with None, without."""
    return AccessToken(
        issuer=issuer,
        subject="alice",
        client_id="client",
        audience=(AUDIENCE,),
        scopes=frozenset(),
        issued_at=NOW,
        expires_at=NOW + 300,
        not_before=None,
        token_id="jti",
        confirmation=None,
        key_thumbprint=None,
        identity=NO_IDENTITY,
        known_lifetime=0.0,
        _members={},
        handles=NO_HANDLES,
        status=None if index is None else StatusReference(uri, index),
    )


def event(
    name: str = REVOKED,
    payload: Mapping[str, Any] | None = None,
    subject: Mapping[str, Any] | None = PERSON,
    **claims: Any,
) -> dict[str, Any]:
    """The claims of an event; one that is None is left out."""
    made = {
        **make_event(
            issuer=ISSUER,
            audience=AUDIENCE,
            token_id="event-1",
            now=NOW,
            events={name: payload or {}},
            subject=subject,
        ),
        **claims,
    }
    return {name: value for name, value in made.items() if value is not None}


def event_token(signer: Signer = SIGNER, typ: str = "secevent+jwt", **how: Any) -> str:
    return signed(event(**how), typ, signer)


class FeedFetch:
    """Has the methods of :class:`portvakt.net.fetch.Fetch`; answers as a test says.

    Attributes:
        answer: what is answered to a URL and a body.
        asked: the URLs, in order.
        accepts: the media types that were wanted, in order.
        sent: the bodies of requests, as JSON, in order.
        headers: the further headers of the last request.
        open: set while answers come.
    """

    def __init__(self, answer: Callable[[str, Any], object]) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.accepts: list[str] = []
        self.sent: list[Any] = []
        self.headers: dict[str, str] = {}
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
        assert method == ("POST" if content else "GET")
        self.asked.append(url)
        self.accepts.append(accept)
        self.headers = dict(headers)
        request = json.loads(content) if content else None
        self.sent.append(request)
        await self.open.wait()
        found = self.answer(url, request)
        match found:
            case FetchError():
                raise found
            case Fetched():
                return found
            case bytes():
                return Fetched(200, (), found)
            case str():
                return Fetched(200, (), found.encode("utf-8"))
        return Fetched(200, (), json.dumps(found).encode())


class Feeds:
    """Lists under test, and all that surrounds them.

    Attributes:
        published: what each URL answers; there is no other URL.
    """

    def __init__(
        self,
        *issuers: TrustedIssuer,
        keys: KeySource | None = None,
        max_age: float = 300.0,
    ) -> None:
        self.clock, self.wall_clock = FrozenClock(0), FrozenClock(NOW)
        self.published: dict[str, object] = {LIST: status_list(0, 1, 0)}
        self.fetch = FeedFetch(lambda url, _: self.published[url])
        self.lists = StatusLists(
            [
                PublishedLists(issuer=one, fetch=self.fetch.port, max_age=max_age)
                for one in issuers or (trusted(status_lists=frozenset({LIST})),)
            ],
            keys or fixed_keys(),
            clock=self.clock,
            wall_clock=self.wall_clock,
        )

    async def judged(
        self, token: AccessToken, *, fetch: bool = True, admit_stale: bool = False
    ) -> Code | None:
        """Why a token is refused; None if it is not."""
        if fetch and not self.lists.current(token):
            await self.lists.fetch(token)
        try:
            self.lists.check(token, self.wall_clock(), admit_stale=admit_stale)
        except (Refused, Unavailable) as error:
            return error.refusal.code
        return None

    @property
    def last_error(self) -> str | None:
        return self.lists.health()[0].last_error

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and the tasks that renew see it."""
        self.clock.advance(seconds)
        self.wall_clock.advance(seconds)
        for one in self.lists._each():
            if one.kept._changed is not None:
                one.kept._changed.set()
        await landed(lambda: [one.kept for one in self.lists._each()])


class Events:
    """Events under test, and all that surrounds them.

    Attributes:
        waiting: the events that the issuer has not seen acknowledged, by their names.
        recorded: what was recorded, in order.
        failure: raised instead of recording; None to record.
    """

    def __init__(
        self,
        *,
        keys: KeySource | None = None,
        push: bool = True,
        poll: bool = True,
        issuer: TrustedIssuer | None = None,
        secret: str | None = "s3cret",
    ) -> None:
        self.clock, self.wall_clock = FrozenClock(0), FrozenClock(NOW)
        self.waiting: dict[str, Any] = {}
        self.errors: dict[str, Any] = {}
        self.recorded: list[SecurityEvent] = []
        self.failure: Exception | None = None
        self.answer: object = None
        self.fetch = FeedFetch(lambda _, request: self._answer(request))
        polling = Polling(uri=POLL, fetch=self.fetch.port, token=secret)
        stream = EventStream(
            issuer=issuer or trusted(),
            audience=AUDIENCE,
            polling=polling if poll else None,
            push=push,
        )
        self.events = SecurityEvents(
            [stream],
            keys or fixed_keys(),
            self._record,
            clock=self.clock,
            wall_clock=self.wall_clock,
        )

    async def _record(self, events: tuple[SecurityEvent, ...]) -> None:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.recorded += events

    def _answer(self, request: Any) -> object:
        if self.answer is not None:
            return self.answer
        for name in request.get("ack", ()):
            del self.waiting[name]
        for name, error in request.get("setErrs", {}).items():
            del self.waiting[name]
            self.errors[name] = error
        most = dict(list(self.waiting.items())[: request["maxEvents"]])
        return {"sets": most, "moreAvailable": len(most) < len(self.waiting)}

    async def judged(self, token: AccessToken) -> Code | None:
        if not self.events.current(token):
            await self.events.fetch(token)
        try:
            self.events.check(token)
        except Unavailable as error:
            return error.refusal.code
        return None

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.wall_clock.advance(seconds)
        for poll in self.events._polls.values():
            if poll.kept._changed is not None:
                poll.kept._changed.set()
        await landed(lambda: [poll.kept for poll in self.events._polls.values()])

    @property
    def values(self) -> list[tuple[str, str]]:
        """Kinds and names of all that was revoked, in order."""
        return [(one.kind, one.value) for event in self.recorded for one in event.revoked]


async def landed(each: Callable[[], list[Any]]) -> None:
    """Let everything happen that is due, threads included."""
    for _ in range(5):
        await asyncio.sleep(0)
    flights = [one._flight for one in each() if one._flight is not None]
    if flights:
        await asyncio.wait(flights)
    for _ in range(5):
        await asyncio.sleep(0)


LOST: Final = Unavailable(Code.REVOCATION_UNAVAILABLE, "the store gave no answer", retry_after=7)
