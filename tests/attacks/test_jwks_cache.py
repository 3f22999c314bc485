"""Family JWKS: keys change, floods come and issuers fail, and a whole guard keeps its head."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Final

import pytest

from key_server import Gate, by_path, silent, whole
from portvakt import Code
from portvakt.jose.signer import Signer
from portvakt.net.cache import Budget
from portvakt.testing import FrozenClock
from publishing import Published, code_of, guard_of, timed_guard

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from key_server import Behaviour, Names
    from portvakt import Guard

COOLDOWN: Final = 10.0
HARD_LIMIT: Final = 86400.0


@pytest.fixture
def guard(hosts: Names, ca_file: Path, published: Published) -> Guard:
    return guard_of(hosts, ca_file, published.table())


@pytest.fixture
def clock() -> FrozenClock:
    """What age keys have: only a test makes them older."""
    return FrozenClock(1000.0)


@pytest.fixture
def timed(hosts: Names, ca_file: Path, published: Published, clock: FrozenClock) -> Guard:
    return timed_guard(hosts, ca_file, published, clock=clock)


def keys_of(published: Published, *more: Signer) -> dict[str, object]:
    """The issuer's own keys, and others."""
    return {"keys": [*published.issuer.jwks()["keys"], *(one.public_jwk() for one in more)]}


def answer_of(published: Published) -> Behaviour:
    return whole(json.dumps(published.issuer.jwks()).encode())


def all_at_once(
    guard: Guard, published: Published, tokens: Iterable[str], gate: Gate, requests: int
) -> list[Code | None]:
    """Judge all tokens while the key endpoint waits; open it when so many requests have come."""

    async def judge() -> list[Code | None]:
        async with guard:
            waiting = [
                asyncio.ensure_future(guard.check(published.issuer.request(token)))
                for token in tokens
            ]
            await asyncio.to_thread(published.server.wait_for, requests)
            gate.open()
            return [code_of(decision) for decision in await asyncio.gather(*waiting)]

    return asyncio.run(judge())


# JWKS-09, -25: one question at a time, and nobody else waits for it.


@pytest.mark.attack("JWKS-09")
def test_an_issuer_that_hangs_stops_no_other(
    hosts: Names, ca_file: Path, published: Published
) -> None:
    with Published("slow.test", hosts) as slow:
        slow.publish(answer=silent)
        tables = (published.table(), slow.table())
        guard = guard_of(hosts, ca_file, *tables, network={"timeout": "1s"})
        codes: list[Code | None] = []
        waiting = threading.Thread(target=lambda: codes.append(slow.judged(guard)))
        waiting.start()
        slow.server.wait_for(2)
        assert published.judged(guard) is None
        assert codes == []  # it waits still, and nobody with it
        waiting.join()
        assert codes == [Code.KEYS_UNAVAILABLE]


@pytest.mark.attack("JWKS-09", "JWKS-18")
def test_a_renewal_that_hangs_stops_nobody_whose_key_is_known(
    guard: Guard, published: Published
) -> None:
    assert published.judged(guard) is None
    gate = Gate(answer_of(published))
    published.publish(answer=gate)
    codes: list[Code | None] = []
    unheard_of = published.token("unheard-of")
    waiting = threading.Thread(target=lambda: codes.append(published.judged(guard, unheard_of)))
    waiting.start()
    published.server.wait_for(3)
    assert [published.judged(guard) for _ in range(100)] == [None] * 100
    assert codes == []
    gate.open()
    waiting.join()
    assert codes == [Code.KEY_UNKNOWN]


@pytest.mark.twin("JWKS-09")
def test_who_waits_for_a_slow_issuer_is_admitted_in_the_end(
    guard: Guard, published: Published
) -> None:
    gate = Gate(answer_of(published))
    published.publish(answer=gate)
    assert all_at_once(guard, published, [published.token()], gate, 2) == [None]


@pytest.mark.attack("JWKS-25")
@pytest.mark.twin("JWKS-25")
def test_a_thousand_first_requests_are_one_fetch(guard: Guard, published: Published) -> None:
    gate = Gate(answer_of(published))
    published.publish(answer=gate)
    tokens = [published.token() for _ in range(1000)]
    assert all_at_once(guard, published, tokens, gate, 2) == [None] * 1000
    assert [request.target for request in published.server.requests] == [
        "/.well-known/openid-configuration",
        "/keys",
    ]


@pytest.mark.attack("JWKS-25", "JWKS-15")
def test_a_thousand_invented_kids_at_once_are_one_fetch(guard: Guard, published: Published) -> None:
    assert published.judged(guard) is None
    gate = Gate(answer_of(published))
    published.publish(answer=gate)
    tokens = [published.token(f"invented-{number}") for number in range(1000)]
    codes = all_at_once(guard, published, tokens, gate, 3)
    # For those who asked while it was under way, another answer would be needed: 503.
    assert set(codes) <= {Code.KEY_UNKNOWN, Code.KEYS_UNAVAILABLE}
    assert codes.count(Code.KEY_UNKNOWN) >= 1
    assert published.fetches() == 2


@pytest.mark.twin("JWKS-25")
def test_a_thousand_requests_with_a_new_key_at_once_are_one_fetch(
    guard: Guard, published: Published
) -> None:
    assert published.judged(guard) is None
    new = Signer.generate("ES256", "new")
    gate = Gate(whole(json.dumps(keys_of(published, new)).encode()))
    published.publish(answer=gate)
    tokens = [published.token(signer=new)] * 1000
    assert all_at_once(guard, published, tokens, gate, 3) == [None] * 1000
    assert published.fetches() == 2


# JWKS-15: names of keys that nobody has.


@pytest.mark.attack("JWKS-15", "HDR-08")
def test_a_flood_of_unknown_kids_is_one_question_in_each_cooldown(
    timed: Guard, clock: FrozenClock, published: Published
) -> None:
    assert published.judged(timed) is None
    for turn in range(1, 5):
        tokens = [published.token(f"invented-{turn}-{number}") for number in range(200)]
        codes = [published.judged(timed, token) for token in tokens]
        assert codes == [Code.KEY_UNKNOWN, *[Code.KEYS_UNAVAILABLE] * 199]
        assert published.fetches() == 1 + turn
        assert published.judged(timed) is None  # the honest are served all the while
        clock.advance(COOLDOWN)


@pytest.mark.attack("JWKS-15")
def test_an_unknown_kid_is_never_a_remembered_401(
    timed: Guard, clock: FrozenClock, published: Published
) -> None:
    assert published.judged(timed) is None
    token = published.token("invented")
    assert published.judged(timed, token) is Code.KEY_UNKNOWN
    for seconds in (0, 9, 15, 5):  # the last two beyond the cooldown: this kid was asked for
        clock.advance(seconds)
        decision = timed.check_blocking(published.issuer.request(token))
        assert code_of(decision) is Code.KEYS_UNAVAILABLE
        assert decision.response is not None
        assert 0 < int(dict(decision.response.headers)["Retry-After"]) <= 30
    assert published.fetches() == 2
    clock.advance(1)
    assert published.judged(timed, token) is Code.KEY_UNKNOWN
    assert published.fetches() == 3


@pytest.mark.attack("JWKS-15")
def test_all_issuers_together_are_asked_no_more_than_the_budget_allows(
    hosts: Names, ca_file: Path, published: Published, clock: FrozenClock
) -> None:
    with Published("other.test", hosts) as other:
        both = (published, other)
        guard = timed_guard(hosts, ca_file, *both, clock=clock, budget=Budget(3, 60.0, clock))
        assert [one.judged(guard) for one in both] == [None, None]
        for turn in range(5):
            for one in both:
                one.judged(guard, one.token(f"invented-{turn}"))
            clock.advance(COOLDOWN)
        assert published.fetches() + other.fetches() == 2 + 3
        assert [one.judged(guard) for one in both] == [None, None]


@pytest.mark.twin("JWKS-15", "JWKS-23")
def test_a_new_key_is_found_as_soon_as_the_cooldown_is_over(
    timed: Guard, clock: FrozenClock, published: Published
) -> None:
    new = Signer.generate("ES256", "new")
    token = published.token(signer=new)
    assert published.judged(timed) is None
    assert published.judged(timed, published.token("invented")) is Code.KEY_UNKNOWN
    published.publish(keys_of(published, new))
    assert published.judged(timed, token) is Code.KEYS_UNAVAILABLE  # nobody knows: no 401
    clock.advance(COOLDOWN)
    assert published.judged(timed, token) is None


# JWKS-16, -17: several issuers.


@pytest.mark.attack("JWKS-16", "KEY-21")
@pytest.mark.twin("JWKS-16")
def test_one_issuers_key_never_verifies_anothers_token(
    hosts: Names, ca_file: Path, published: Published
) -> None:
    with Published("other.test", hosts) as other:
        # The other one publishes a key under the first one's kid, and signs in its name.
        assert other.issuer.signer.kid == published.issuer.signer.kid
        guard = guard_of(hosts, ca_file, published.table(), other.table())
        assert published.judged(guard) is None
        assert other.judged(guard) is None
        forged = other.token(iss=published.issuer.trusted.issuer)
        assert published.judged(guard, forged) is Code.SIGNATURE_INVALID
        # Nor under a name that only the other one has.
        only = Signer.generate("ES256", "only-there")
        other.publish(keys_of(other, only))
        assert other.judged(guard, other.token(signer=only)) is None
        forged = other.token(signer=only, iss=published.issuer.trusted.issuer)
        assert published.judged(guard, forged) is Code.KEY_UNKNOWN


@pytest.mark.attack("JWKS-17")
@pytest.mark.twin("JWKS-17")
def test_issuer_and_kid_that_are_alike_when_joined_are_not_the_same(
    hosts: Names, ca_file: Path, published: Published
) -> None:
    names = ("https://issuer.test/a", "https://issuer.test/a/b")
    signers = (Signer.generate("ES256", "/b/key"), Signer.generate("ES256", "/key"))
    published.server.answer = by_path(
        {
            f"/keys/{number}": whole(json.dumps({"keys": [signer.public_jwk()]}).encode())
            for number, signer in enumerate(signers)
        }
    )
    guard = guard_of(
        hosts,
        ca_file,
        *(
            published.table(issuer=name, jwks_uri=f"https://issuer.test/keys/{number}")
            for number, name in enumerate(names)
        ),
    )
    for name, signer in zip(names, signers, strict=True):
        assert published.judged(guard, published.token(signer=signer, iss=name)) is None
    for name, signer in zip(names, reversed(signers), strict=True):
        for kid in (signer.kid, "/key", "/b/key"):
            forged = published.token(kid, signer, iss=name)
            assert published.judged(guard, forged) is not None


# JWKS-18: the endpoint is down.


@pytest.mark.attack("JWKS-18", "JWKS-14")
@pytest.mark.twin("JWKS-18")
def test_an_outage_and_invented_kids_cost_no_honest_request_until_the_hard_limit(
    timed: Guard, clock: FrozenClock, published: Published
) -> None:
    remembered = published.token()
    assert published.judged(timed, remembered) is None
    published.server.stop()
    for turn in range(20):
        invented = published.token(f"invented-{turn}")
        assert published.judged(timed, invented) is Code.KEYS_UNAVAILABLE
        assert published.judged(timed) is None
        assert published.judged(timed, remembered) is None
        clock.advance((HARD_LIMIT - 20) / 20)
    assert published.judged(timed) is None
    clock.advance(20)
    # From here on nobody knows whether the keys are still the issuer's: closed, not open.
    assert published.judged(timed) is Code.KEYS_UNAVAILABLE
    assert published.judged(timed, remembered) is Code.KEYS_UNAVAILABLE
    published.server.start()
    clock.advance(30)  # The longest pause between two attempts.
    assert published.judged(timed) is None
    assert published.judged(timed, remembered) is None


# JWKS-14, -23, -26: keys change.


@pytest.mark.attack("JWKS-14", "CACHE-07")
def test_a_removed_key_stops_verifying_and_takes_its_tokens_with_it(
    timed: Guard, clock: FrozenClock, published: Published
) -> None:
    remembered, fresh = published.token(), published.token()
    assert published.judged(timed, remembered) is None
    published.publish({"keys": published.issuer.jwks()["keys"][1:]})
    # A question for another key renews the whole set.
    assert published.judged(timed, published.token("unheard-of")) is Code.KEY_UNKNOWN
    for token in (remembered, fresh):
        assert published.judged(timed, token) is Code.KEYS_UNAVAILABLE  # it is too early to ask
    clock.advance(COOLDOWN)
    assert published.judged(timed, remembered) is Code.KEY_UNKNOWN


@pytest.mark.twin("JWKS-14", "CACHE-07")
def test_a_key_that_stays_goes_on_to_verify(timed: Guard, published: Published) -> None:
    remembered = published.token()
    assert published.judged(timed, remembered) is None
    published.publish({"keys": published.issuer.jwks()["keys"][:1]})
    assert published.judged(timed, published.token("unheard-of")) is Code.KEY_UNKNOWN
    assert published.judged(timed, remembered) is None
    assert published.judged(timed) is None


@pytest.mark.attack("JWKS-23")
def test_a_key_that_is_not_published_yet_or_any_more_signs_nothing(
    timed: Guard, clock: FrozenClock, published: Published
) -> None:
    new = Signer.generate("ES256", "new")
    token = published.token(signer=new)
    assert published.judged(timed, token) is Code.KEY_UNKNOWN
    clock.advance(30)
    published.publish(keys_of(published, new))
    assert published.judged(timed, token) is None
    published.publish({"keys": [new.public_jwk()]})
    clock.advance(COOLDOWN)
    assert published.judged(timed, published.token("unheard-of")) is Code.KEY_UNKNOWN
    clock.advance(COOLDOWN)
    assert published.judged(timed) is Code.KEY_UNKNOWN  # the old one


@pytest.mark.twin("JWKS-23")
def test_a_key_that_signs_before_any_renewal_is_admitted_at_once(
    guard: Guard, published: Published
) -> None:
    assert published.judged(guard) is None
    new = Signer.generate("ES256", "new")
    published.publish(keys_of(published, new))
    assert published.judged(guard, published.token(signer=new)) is None
    assert published.judged(guard) is None  # and the old one as long as it is published
    assert published.fetches() == 2


@pytest.mark.attack("JWKS-26", "CACHE-07")
@pytest.mark.twin("JWKS-26")
def test_a_kid_whose_key_changes_forgets_what_the_old_key_verified(
    guard: Guard, published: Published
) -> None:
    remembered = published.token()
    assert published.judged(guard, remembered) is None
    replaced = Signer.generate("ES256", published.issuer.signer.kid)
    published.publish({"keys": [replaced.public_jwk()]})
    assert published.judged(guard, published.token("unheard-of")) is Code.KEY_UNKNOWN
    assert published.judged(guard, remembered) is Code.SIGNATURE_INVALID
    assert published.judged(guard) is Code.SIGNATURE_INVALID
    assert published.judged(guard, published.token(signer=replaced)) is None
