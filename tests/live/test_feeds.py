"""What an issuer takes back, by its list and by its events, is refused by a whole guard in time."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, Final

from key_server import by_path, whole
from portvakt import Code, Guard
from portvakt.guard.assembly import assemble_config
from portvakt.jose.signer import sign_compact
from portvakt.oauth.security_event import make_event
from portvakt.oauth.status_list import make_status_list
from publishing import AUDIENCE, Published

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from key_server import Behaviour, Exchange, Names

LIST: Final = "https://issuer.test/statuses/1"
POLL: Final = "https://issuer.test/events"
REVOKED: Final = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"

#: Seconds that a busy machine may add to any bound.
NOISE: Final = 2.0


def signed(issuer: Published, typ: str, claims: dict[str, Any]) -> str:
    signer = issuer.issuer.signer
    return sign_compact({"alg": signer.alg, "kid": signer.kid, "typ": typ}, claims, signer)


def statuses(issuer: Published, *marked: int) -> Behaviour:
    claims = {"sub": LIST, "iat": int(time.time()), "status_list": make_status_list(marked, 1)}
    return whole(signed(issuer, "statuslist+jwt", claims).encode())


def event(issuer: Published, person: str) -> str:
    claims = make_event(
        issuer="https://issuer.test",
        audience=AUDIENCE,
        token_id=f"about-{person}",
        now=time.time(),
        events={REVOKED: {}},
        subject={"format": "iss_sub", "iss": "https://issuer.test", "sub": person},
    )
    return signed(issuer, "secevent+jwt", claims)


def publish(issuer: Published, **feeds: Behaviour) -> None:
    answers = {
        "/.well-known/openid-configuration": whole(json.dumps(issuer.metadata).encode()),
        "/keys": whole(json.dumps(issuer.issuer.jwks()).encode()),
        **{f"/{path}": answer for path, answer in feeds.items()},
    }
    issuer.server.answer = by_path(answers)


def guard_of(hosts: Names, ca_file: Path, issuer: Published, **settings: Any) -> Guard:
    config = {
        "api": {"audience": AUDIENCE},
        "issuer": [issuer.table(**settings)],
        "network": {"ca_file": str(ca_file)},
        "store": {"url": "memory://"},
        "revocation": {"max_staleness": "2s"},
    }
    return assemble_config(Guard, config, clock=None, observers=(), addresses=hosts)


def seconds_until(refused: Callable[[], Code | None], most: float) -> float:
    """How long it takes until a token is refused as revoked."""
    begun = time.monotonic()
    while refused() is None:
        assert time.monotonic() - begun < most
        time.sleep(0.01)
    assert refused() is Code.TOKEN_REVOKED
    return time.monotonic() - begun


def test_a_token_that_is_marked_in_its_list_is_refused_within_the_lists_age(
    hosts: Names, ca_file: Path, published: Published
) -> None:
    def token(place: int, uri: str = LIST) -> str:
        return published.token(status={"status_list": {"uri": uri, "idx": place}})

    publish(published, **{"statuses/1": statuses(published, 0, 1)})
    guard = guard_of(hosts, ca_file, published, status_lists=[LIST], status_max_age="10s")
    first, second = token(0), token(1)
    try:
        assert published.judged(guard, first) is None
        assert published.judged(guard, second) is Code.TOKEN_REVOKED
        assert published.judged(guard, token(8)) is Code.REVOCATION_UNAVAILABLE
        elsewhere = token(0, "https://elsewhere.test/1")
        assert published.judged(guard, elsewhere) is Code.REVOCATION_UNAVAILABLE
        assert published.judged(guard) is None
        publish(published, **{"statuses/1": statuses(published, 1, 1)})
        seconds_until(lambda: published.judged(guard, first), 5.0 + NOISE)
        assert "elsewhere.test" not in hosts.asked
    finally:
        guard.home.leave()


def test_a_person_whose_session_ends_is_refused_as_soon_as_the_event_comes(
    hosts: Names, ca_file: Path, published: Published
) -> None:
    waiting: dict[str, str] = {}

    async def answer(exchange: Exchange) -> None:
        for name in json.loads(exchange.request.body).get("ack", ()):
            waiting.pop(name, None)
        await whole(json.dumps({"sets": waiting}).encode())(exchange)

    publish(published, events=answer)
    feeds = {"poll": POLL, "push": True, "interval": "1s"}
    guard = guard_of(hosts, ca_file, published, events=feeds)
    alice, bob = published.token(sub="alice"), published.token(sub="bob")
    try:
        assert published.judged(guard, alice) is None
        # Asked for.
        waiting["about-alice"] = event(published, "alice")
        seconds_until(lambda: published.judged(guard, alice), 1.0 + NOISE)
        # Pushed, and again: what is accepted holds from then on.
        assert published.judged(guard, bob) is None
        for _ in range(2):
            pushed = guard.receive_event(
                event(published, "bob").encode(), "application/secevent+jwt"
            )
            assert asyncio.run(pushed).status == 202
            assert published.judged(guard, bob) is Code.TOKEN_REVOKED
        assert published.judged(guard, published.token(sub="carol")) is None
        # What was recorded was acknowledged.
        seconds_until(lambda: None if waiting else Code.TOKEN_REVOKED, 1.0 + NOISE)
    finally:
        guard.home.leave()
