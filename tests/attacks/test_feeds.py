"""What an issuer says of its tokens later on: hostile lists and events, over TLS and honest twins.

The servers are real, and so are the keys; an issuer's own feeds are read beside them.
"""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any, Final

import pytest

from key_server import KeyServer, Names, by_path, certificate, endless, silent, whole
from portvakt import AccessToken, Code, FixedKeys, JwkSet, Refused, Unavailable
from portvakt.http.request import HttpRequest
from portvakt.jose.encoding import encode_base64url
from portvakt.jose.jws import parse, verify
from portvakt.jose.signer import sign_compact
from portvakt.net.event_stream import EventStream, Polling
from portvakt.net.fetch import Fetch
from portvakt.net.security_events import SecurityEvents
from portvakt.net.status_lists import PublishedLists, StatusLists
from portvakt.oauth.event_delivery import PUSH_TYPE
from portvakt.oauth.security_event import make_event
from portvakt.oauth.status_list import MAX_INFLATED, MAX_LIST_TOKEN, make_status_list
from portvakt.policy.access_token import check_claims
from portvakt.policy.issuer import TrustedIssuer
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from key_server import Behaviour
    from portvakt.http.response import Response
    from portvakt.net.cache import Kept
    from portvakt.oauth.security_event import SecurityEvent

HOST: Final = "issuer.test"
LIST: Final = f"https://{HOST}/statuses/1"
OTHER_LIST: Final = f"https://{HOST}/statuses/2"
POLL: Final = f"https://{HOST}/events"
REVOKED: Final = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
PERSON: Final = {"format": "iss_sub", "iss": f"https://{HOST}", "sub": "alice"}


class Feeding:
    """An issuer that publishes a list and sends events, and who reads them.

    Attributes:
        issuer: writes tokens; its time is the system's.
        other: another issuer that is trusted too.
        server: answers.
        recorded: the events that were recorded.
    """

    def __init__(self, hosts: Names, ca_file: Path, server: KeyServer) -> None:
        self.issuer = FakeIssuer(f"https://{HOST}", clock=time.time)
        self.other = FakeIssuer("https://other.test", clock=time.time)
        self.server = server
        self.recorded: list[SecurityEvent] = []
        self._waiting: dict[str, str] = {}
        self._keys = FixedKeys(
            {
                one.trusted.issuer: JwkSet.from_object(one.jwks(), one.trusted.algorithms)
                for one in (self.issuer, self.other)
            }
        )
        trusted = self.issuer.trusted
        self.trusted = TrustedIssuer(
            issuer=trusted.issuer,
            audience=trusted.audience,
            algorithms=trusted.algorithms,
            status_lists=frozenset({LIST, OTHER_LIST}),
        )
        self._fetch = Fetch(hosts, ca_file=ca_file, timeout=2.0, max_body=MAX_LIST_TOKEN)

    def signed(
        self, typ: str, claims: dict[str, Any] | bytes, issuer: FakeIssuer | None = None
    ) -> str:
        signer = (issuer or self.issuer).signer
        return sign_compact({"alg": signer.alg, "kid": signer.kid, "typ": typ}, claims, signer)

    def list_claims(self, *statuses: int, **claims: Any) -> dict[str, Any]:
        now = int(time.time())
        return {
            "sub": LIST,
            "iat": now,
            "exp": now + 3600,
            "ttl": 600,
            "status_list": make_status_list(statuses, 1),
            **claims,
        }

    def listed(self, *statuses: int, **claims: Any) -> str:
        return self.signed("statuslist+jwt", self.list_claims(*statuses, **claims))

    def publish(self, token: str | Behaviour) -> None:
        answer = whole(token.encode()) if isinstance(token, str) else token
        self.server.answer = by_path({"/statuses/1": answer})

    def token(self, index: int, uri: str = LIST) -> AccessToken:
        """An honest token with a status, through all checks of a token."""
        status = {"status_list": {"uri": uri, "idx": index}}
        jws = parse(self.issuer.token(claims={"sub": "alice", "status": status}), {})
        keys = self._keys.current(self.trusted)
        verified = verify(jws, keys.select(jws.header.alg, jws.header.kid))
        return check_claims(verified, self.trusted, time.time())

    def lists(self) -> StatusLists:
        return StatusLists([PublishedLists(issuer=self.trusted, fetch=self._fetch)], self._keys)

    def judged(self, *tokens: AccessToken) -> list[Code | None]:
        """Why each token is refused by the list that is published now; None if it is not."""

        async def judge() -> list[Code | None]:
            lists = self.lists()
            try:
                return [await _judged(lists, token) for token in tokens]
            finally:
                lists.close()

        return asyncio.run(judge())

    def event_claims(self, **claims: Any) -> dict[str, Any]:
        made = make_event(
            issuer=self.trusted.issuer,
            audience=self.trusted.audience,
            token_id="event-1",
            now=time.time(),
            events={REVOKED: {}},
            subject=PERSON,
        )
        return {**made, **claims}

    def event(self, **claims: Any) -> str:
        return self.signed("secevent+jwt", self.event_claims(**claims))

    def events(self, record: Callable[..., Awaitable[None]] | None = None) -> SecurityEvents:
        async def remember(events: tuple[SecurityEvent, ...]) -> None:
            self.recorded += events

        polling = Polling(uri=POLL, fetch=self._fetch, token="s3cret")
        stream = EventStream(
            issuer=self.trusted, audience=self.trusted.audience, polling=polling, push=True
        )
        return SecurityEvents([stream], self._keys, record or remember)

    def pushed(self, event: str) -> Response:
        return asyncio.run(self.events().receive(event.encode(), PUSH_TYPE))


async def _judged(lists: StatusLists, token: AccessToken) -> Code | None:
    if not lists.current(token):
        await lists.fetch(token)
    try:
        lists.check(token, time.time())
    except (Refused, Unavailable) as error:
        return error.refusal.code
    return None


@pytest.fixture
def feeding(hosts: Names, ca_file: Path) -> Iterator[Feeding]:
    with KeyServer(whole(status=404), tls=certificate(HOST)) as server:
        hosts.servers[HOST] = server
        yield Feeding(hosts, ca_file, server)


STALE: Final = Code.REVOCATION_UNAVAILABLE


# Status lists.


@pytest.mark.attack("CACHE-07")
@pytest.mark.twin("CACHE-07", "TYP-03", "TYP-07", "JWE-05")
def test_a_token_that_its_list_marks_is_refused_and_its_neighbour_is_not(feeding: Feeding) -> None:
    feeding.publish(feeding.listed(0, 1, 0))
    assert feeding.judged(feeding.token(0), feeding.token(1)) == [None, Code.TOKEN_REVOKED]
    assert [request.target for request in feeding.server.requests] == ["/statuses/1"]
    assert dict(feeding.server.requests[0].headers)["accept"] == "application/statuslist+jwt"


@pytest.mark.attack("JWE-05", "DOS-05")
def test_a_list_that_inflates_without_end_costs_no_memory(feeding: Feeding) -> None:
    packer = zlib.compressobj(9)
    piece = bytes(1 << 20)
    bomb = b"".join(packer.compress(piece) for _ in range(256)) + packer.flush()
    lst = {"bits": 1, "lst": encode_base64url(bomb)}
    feeding.publish(feeding.listed(status_list=lst))
    token = feeding.token(0)
    tracemalloc.start()
    try:
        assert feeding.judged(token) == [STALE]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MAX_INFLATED  # of 256 MiB
    # As long as a list may be, it is read.
    lst = {"bits": 1, "lst": encode_base64url(zlib.compress(bytes(MAX_INFLATED)))}
    feeding.publish(feeding.listed(status_list=lst))
    assert feeding.judged(feeding.token(8 * MAX_INFLATED - 1)) == [None]


@pytest.mark.attack("DOS-01")
def test_an_answer_without_end_is_cut_off(feeding: Feeding) -> None:
    feeding.publish(endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536))
    assert feeding.judged(feeding.token(0)) == [STALE]
    feeding.server.wait_until_idle()
    assert feeding.server.sent < 4 * MAX_LIST_TOKEN
    feeding.publish(silent)
    assert feeding.judged(feeding.token(0)) == [STALE]


@pytest.mark.attack("TYP-03")
def test_nothing_but_a_list_is_a_list(feeding: Feeding) -> None:
    claims = feeding.list_claims(0)
    token = feeding.token(0)
    for typ in ("at+jwt", "JWT", "secevent+jwt", "token-introspection+jwt", "statuslist+cwt"):
        feeding.publish(feeding.signed(typ, claims))
        assert feeding.judged(token) == [STALE]
    # And no token that carries what a list does.
    feeding.publish(feeding.issuer.token(claims=claims))
    assert feeding.judged(token) == [STALE]


@pytest.mark.attack("TYP-07")
def test_the_list_of_another_issuer_or_of_another_name_is_no_list(feeding: Feeding) -> None:
    token = feeding.token(0)
    claims = feeding.list_claims(0)
    for hostile in (
        feeding.signed("statuslist+jwt", claims, feeding.other),
        feeding.signed("statuslist+jwt", {**claims, "iss": feeding.other.trusted.issuer}),
        feeding.listed(0, sub=OTHER_LIST),
        feeding.listed(0, sub=LIST.upper()),
        feeding.listed(0, sub=f"{LIST}#1"),
        feeding.listed(0, aud="another-api"),
    ):
        feeding.publish(hostile)
        assert feeding.judged(token) == [STALE]


@pytest.mark.attack("SIG-01", "ALG-01", "ALG-04")
def test_a_list_without_its_issuers_signature_is_no_list(feeding: Feeding) -> None:
    honest = feeding.listed(0)
    header, payload, signature = honest.split(".")
    none = encode_base64url(b'{"alg":"none","typ":"statuslist+jwt"}')
    changed = encode_base64url(json.dumps(feeding.list_claims(0, exp=2**33)).encode())
    for hostile in (
        f"{none}.{payload}.",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}.{changed}.{signature}",
        f"{none}.{payload}.{signature}",
    ):
        feeding.publish(hostile)
        assert feeding.judged(feeding.token(0)) == [STALE]
    feeding.publish(honest)
    assert feeding.judged(feeding.token(0)) == [None]


@pytest.mark.attack("CACHE-07", "CACHE-06")
def test_yesterdays_list_takes_nothing_back(feeding: Feeding) -> None:
    async def run() -> None:
        lists, token = feeding.lists(), feeding.token(0)
        now = int(time.time())
        feeding.publish(feeding.listed(1, iat=now))
        assert await _judged(lists, token) is Code.TOKEN_REVOKED
        for hostile in (
            feeding.listed(0, iat=now - 3600),  # it was good then, and is still before its exp
            feeding.listed(0, iat=now - 7200, exp=now - 3600),
            feeding.listed(0, iat=now + 3600),
            feeding.listed(0, exp=now),
        ):
            feeding.publish(hostile)
            await _renewed(lists)
            assert await _judged(lists, token) is Code.TOKEN_REVOKED
            assert lists.health()[0].last_error
        feeding.publish(feeding.listed(0, iat=now + 1))
        await _renewed(lists)
        assert await _judged(lists, token) is None
        lists.close()

    asyncio.run(run())


async def _renewed(lists: StatusLists) -> None:
    """Let the time of the first list come now."""
    kept: Kept[Any] = next(iter(lists._each())).kept
    await asyncio.wait({kept._exchanging()})


@pytest.mark.attack("CLM-17", "JWKS-04")
@pytest.mark.twin("CLM-17", "JWKS-04")
def test_no_token_decides_which_list_is_fetched_or_when(feeding: Feeding) -> None:
    for uri in ("https://attacker.test/1", f"{LIST}?x", f"{LIST}/../2", "file:///etc/passwd"):
        with pytest.raises(Unavailable) as caught:
            feeding.token(0, uri)
        assert caught.value.refusal.code is STALE
    feeding.publish(feeding.listed(0))
    places = [feeding.token(place) for place in (0, 8, 2**40)]
    assert feeding.judged(*places * 50) == [None, STALE, STALE] * 50
    assert [request.target for request in feeding.server.requests] == ["/statuses/1"]


# Security events.


def refusal(answer: Response) -> str:
    assert answer.status == 400
    return str(json.loads(answer.body)["err"])


@pytest.mark.attack("RPL-01")
@pytest.mark.twin("TYP-05", "SIG-01", "RPL-01")
def test_an_event_is_taken_as_often_as_it_comes_and_says_the_same(feeding: Feeding) -> None:
    event = feeding.event()
    for _ in range(3):
        assert feeding.pushed(event).status == 202
    assert len({one.revoked for one in feeding.recorded}) == 1
    (person,) = feeding.recorded[0].revoked
    assert (person.kind, person.issuer, person.value) == ("subject", PERSON["iss"], "alice")
    # It reaches no further with time: what is issued later stays good.
    assert person.at <= time.time() + 1


@pytest.mark.attack("TYP-03")
def test_an_access_token_is_no_event_and_an_event_no_access_token(feeding: Feeding) -> None:
    guard = feeding.issuer.guard()
    honest = feeding.event_claims()
    for typ in ("at+jwt", "JWT", "logout+jwt", "statuslist+jwt"):
        assert refusal(feeding.pushed(feeding.signed(typ, honest))) == "invalid_request"
    token = feeding.issuer.token(claims={"events": {REVOKED: {}}, "sub_id": PERSON})
    assert refusal(feeding.pushed(token)) == "invalid_request"
    assert feeding.recorded == []
    # Even one that says all that a token does.
    claims = json.loads(parse(feeding.issuer.token(), {}).payload)
    event = feeding.signed("secevent+jwt", {**claims, **honest})
    request = HttpRequest(method="GET", url="/", headers=(("Authorization", f"Bearer {event}"),))
    refused = guard.check_blocking(request).refusal
    assert refused is not None
    assert refused.code is Code.TYPE_REFUSED
    assert feeding.pushed(event).status == 202


@pytest.mark.attack("TYP-05", "TYP-07", "SIG-01", "ALG-01")
def test_what_is_not_said_by_this_issuer_to_us_revokes_nothing(feeding: Feeding) -> None:
    claims = feeding.event_claims()
    header, payload, signature = feeding.event().split(".")
    none = encode_base64url(b'{"alg":"none","typ":"secevent+jwt"}')
    hostile = {
        feeding.event(aud="another-receiver"): "invalid_audience",
        feeding.event(aud=[]): "invalid_audience",
        feeding.signed("secevent+jwt", claims, feeding.other): "authentication_failed",
        feeding.event(iss=feeding.other.trusted.issuer): "invalid_issuer",
        feeding.event(iss="https://attacker.test"): "invalid_issuer",
        f"{none}.{payload}.": "invalid_request",
        f"{none}.{payload}.{signature}": "invalid_key",
        f"{header}.{payload}.{encode_base64url(bytes(64))}": "authentication_failed",
        feeding.event(iat=int(time.time()) + 90_000): "invalid_request",
        feeding.event(events={}): "invalid_request",
    }
    for event, err in hostile.items():
        assert refusal(feeding.pushed(event)) == err
    assert feeding.recorded == []


@pytest.mark.attack("CLM-29", "RPL-05")
def test_an_issuer_revokes_nobody_elses_subjects(feeding: Feeding) -> None:
    theirs = {"format": "iss_sub", "iss": feeding.other.trusted.issuer, "sub": "alice"}
    for subject in (
        theirs,
        {"format": "jwt_id", "iss": feeding.other.trusted.issuer, "jti": "1"},
        {"format": "complex", "user": theirs},
        {"format": "aliases", "identifiers": [theirs]},
    ):
        assert feeding.pushed(feeding.event(sub_id=subject)).status == 202
    assert [one.revoked for one in feeding.recorded] == [()] * 4
    assert all(one.unusable for one in feeding.recorded)


@pytest.mark.attack("CACHE-06")
@pytest.mark.twin("CACHE-06")
def test_events_are_polled_recorded_and_acknowledged_over_tls(feeding: Feeding) -> None:
    waiting = {"event-1": feeding.event(), "bad": feeding.event(jti="bad", aud="another")}

    async def answer(exchange: Any) -> None:
        request = json.loads(exchange.request.body)
        for name in (*request.get("ack", ()), *request.get("setErrs", {})):
            waiting.pop(name, None)
        await whole(json.dumps({"sets": waiting}).encode())(exchange)

    async def run() -> None:
        events, token = feeding.events(), feeding.token(0)
        feeding.server.answer = whole(status=500)
        await events.fetch(token)
        with pytest.raises(Unavailable):
            events.check(token)  # An error is no news, and no news is not that all is well.
        feeding.server.answer = answer
        await asyncio.wait({events._polls[feeding.trusted.issuer].kept._exchanging()})
        events.check(token)
        events.close()

    asyncio.run(run())
    assert [one.token_id for one in feeding.recorded] == ["event-1"]
    assert waiting == {}
    polls = [request for request in feeding.server.requests if request.method == "POST"]
    assert all(dict(one.headers)["authorization"] == "Bearer s3cret" for one in polls)
    assert json.loads(polls[-1].body)["setErrs"]["bad"]["err"] == "invalid_audience"
