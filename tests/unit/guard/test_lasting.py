"""Whether what was admitted is good still: the time, what is revoked, and what an issuer says."""

from __future__ import annotations

import math
from typing import Any, Final, cast

import pytest
from msgspec import structs

from asking import DOWN, INACTIVE, ISSUER, Asking, claims_of
from fake_store import DOWN as STORE_DOWN
from fake_store import FakeRevocations
from keeping import at_home
from mirroring import asked_again, mirror_of
from portvakt import Code, Decision, Guard, HttpRequest, Refusal, Requirement, Route, Routes
from portvakt.guard import lasting
from portvakt.guard.parts import Parts
from portvakt.guard.revoking import Revocation, entry_for
from portvakt.guard.standing import Standing
from portvakt.jose.jwk_set import JwkSet
from portvakt.net.keys import FixedKeys
from portvakt.policy.handles import Kind
from portvakt.testing.clock import FrozenClock

NAME: Final = ISSUER.trusted.issuer
REFERENCE: Final = "ref_0123456789_abcdefghijklmnopqrstuvwxyz_0123456789"
ANY: Final = Requirement.of()
EASY: Final = Requirement.of(unsafe_on_stale=True)


class Admitted:
    """A guard, and what it admitted."""

    def __init__(self, parts: Parts | None = None, routes: Routes | None = None) -> None:
        self.clock = FrozenClock(ISSUER.clock())
        self.told: list[Decision] = []
        jwks = JwkSet.from_object(ISSUER.jwks(), ISSUER.trusted.algorithms)
        self.guard = Guard(
            issuers=[ISSUER.trusted],
            keys=FixedKeys({NAME: jwks}),
            parts=parts or Parts(),
            routes=routes,
            clock=self.clock,
            observers=[lambda _request, decision: self.told.append(decision)],
        )

    async def open(self, token: str | None = None) -> Decision:
        self.guard.home.adopt()  # The mirror is on the loop of the test.
        token = token or ISSUER.token(claims={"sub": "somebody"})
        self.request = ISSUER.request(token)
        self.decision = await self.guard.check(self.request)
        assert self.decision.admitted
        return self.decision

    def code(self, *demands: Requirement) -> Code | None:
        refusal = self.guard.still_good(self.decision, demands)
        return None if refusal is None else refusal.code


def broken() -> float:
    raise OSError("no clock")


# The time


@pytest.mark.twin("HTTP-16")
@at_home
async def test_it_lasts_as_long_as_its_token_and_the_leeway() -> None:
    one = Admitted()
    decision = await one.open()
    assert decision.token is not None
    end = one.guard.lasts_until(decision)
    assert end == decision.token.expires_at + ISSUER.trusted.leeway
    one.clock.set(math.nextafter(end, 0))
    assert one.code() is None


@pytest.mark.attack("HTTP-16")
@at_home
async def test_it_ends_in_the_moment_in_which_a_request_would_be_refused() -> None:
    one = Admitted()
    decision = await one.open()
    one.clock.set(one.guard.lasts_until(decision))
    assert one.code() is Code.TOKEN_EXPIRED
    again = (await one.guard.check(one.request)).refusal
    assert again is not None
    assert again.code is Code.TOKEN_EXPIRED


@at_home
async def test_what_is_public_has_no_end_and_a_refusal_stays_one() -> None:
    rule = Route(path="/", methods=None, public=True, requirement=ANY)
    one = Admitted(routes=Routes([rule]))
    public = await one.open()
    assert one.guard.lasts_until(public) == math.inf
    assert one.guard.ask_again_in(public) == math.inf
    one.clock.advance(1e9)
    assert one.guard.still_good(public) is None
    assert await one.guard.ask_again(one.request, public) is None
    refused = await one.guard.check(HttpRequest(method="GET", url="/else", headers=()))
    assert one.guard.still_good(refused) is refused.refusal
    assert await one.guard.ask_again(one.request, refused) is refused.refusal


@at_home
async def test_a_fault_of_ours_keeps_nobody_in() -> None:
    one = Admitted()
    decision = await one.open()
    one.guard.clock = broken
    assert one.code() is Code.INTERNAL_ERROR
    ended = one.guard.end(one.request, decision, Refusal(Code.INTERNAL_ERROR))
    assert (ended.at, ended.response and ended.response.status) == (decision.at, 503)


@at_home
async def test_observers_are_told_of_the_end_as_of_any_refusal() -> None:
    one = Admitted()
    decision = await one.open()
    one.clock.advance(7200)
    refusal = one.guard.still_good(decision)
    assert refusal is not None
    ended = one.guard.end(one.request, decision, refusal)
    assert one.told == [decision, ended]
    assert (ended.refusal, ended.at, ended.token) == (refusal, one.clock(), None)
    assert ended.response is not None
    assert ended.response.status == 401


# What is revoked


class Mirrored(Admitted):
    """The same with a mirror, which goes by a clock of its own."""

    def __init__(self, routes: Routes | None = None) -> None:
        self.store, self.age = FakeRevocations(), FrozenClock(0)
        self.mirror = mirror_of(self.store, self.age)  # Its bound is six seconds.
        super().__init__(Parts(standing=Standing(self.mirror)), routes)

    async def revoke(self) -> None:
        wanted = Revocation(issuer=NAME, kind=Kind.SUBJECT, value="somebody")
        self.store.write(entry_for(wanted, self.guard.issuers, self.clock()))
        await asked_again(self.mirror)


@pytest.mark.attack("HTTP-16", "CACHE-07")
@at_home
async def test_it_ends_when_its_token_is_revoked() -> None:
    one = Mirrored()
    await one.open()
    assert one.code() is None
    await one.revoke()
    assert one.code() is Code.TOKEN_REVOKED
    assert one.code(EASY) is Code.TOKEN_REVOKED
    one.mirror.close()


@pytest.mark.attack("HTTP-16", "CACHE-07")
@at_home
async def test_it_ends_when_nobody_knows_what_is_revoked() -> None:
    one = Mirrored()
    await one.open()
    one.age.set(5.999)
    assert one.code() is None
    one.age.set(6)
    assert one.code() is Code.REVOCATION_UNAVAILABLE
    one.mirror.close()


@pytest.mark.twin("HTTP-16", "CACHE-07")
@at_home
async def test_old_news_has_to_do_for_the_rule_and_for_every_demand() -> None:
    easy = Route(path="/", methods=None, public=False, requirement=EASY)
    one = Mirrored(Routes([easy]))
    await one.open()
    one.age.set(6)
    assert one.code() is None
    assert one.code(EASY, EASY) is None
    assert one.code(EASY, ANY) is Code.REVOCATION_UNAVAILABLE
    await one.revoke()
    assert one.code() is Code.TOKEN_REVOKED
    one.mirror.close()


@at_home
async def test_the_next_look_comes_before_the_news_is_too_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = Mirrored()
    await one.open()
    assert one.guard.look_again_in() == 1
    monkeypatch.setattr(lasting, "_LOOK_EVERY", 100)
    one.store.failing = STORE_DOWN
    for age, wait in ((0, 2), (3, 2), (5, 1), (5.75, 0.25), (6, 2), (60, 2)):
        one.age.set(age)
        assert one.guard.look_again_in() == wait
    one.mirror.close()
    assert Admitted().guard.look_again_in() == 100
    assert Admitted(Parts(standing=Standing(None))).guard.look_again_in() == 100


@pytest.mark.attack("CACHE-07")
@pytest.mark.parametrize("cut_at", [0.5, 1.9, 2.5, 3.7])
@pytest.mark.parametrize("revoked_at", [0.1, 1.0, 2.1, 3.9])
@at_home
async def test_who_looks_as_often_as_it_says_keeps_the_bound_of_requests(
    monkeypatch: pytest.MonkeyPatch, cut_at: float, revoked_at: float
) -> None:
    """Whenever the store is cut off and whenever something is revoked: six seconds at most."""
    monkeypatch.setattr(lasting, "_LOOK_EVERY", 100)
    one = Mirrored()
    await one.open()
    ended: float | None = None
    look_at = one.guard.look_again_in()
    for tenth in range(1, 200):
        now = tenth / 10
        one.age.set(now)
        if now >= cut_at:
            one.store.failing = STORE_DOWN
        if now == revoked_at:
            wanted = Revocation(issuer=NAME, kind=Kind.SUBJECT, value="somebody")
            one.store.write(entry_for(wanted, one.guard.issuers, one.clock()))
        if now % 2 == 0:
            await asked_again(one.mirror)
        if now + 1e-9 >= look_at:
            look_at = now + one.guard.look_again_in()
            if one.code() is not None:
                ended = now
                break
    assert ended is not None
    assert ended <= max(revoked_at, cut_at) + 6 + 1e-9
    if revoked_at < cut_at:
        assert ended <= revoked_at + 6 + 1e-9
    one.mirror.close()


# Reference tokens


class Asked(Admitted):
    """The same with a reference token, of which the issuer's answer serves for ten seconds."""

    def __init__(self, routes: Routes | None = None, max_staleness: float = 10.0) -> None:
        self.asking = Asking(max_staleness=max_staleness)
        super().__init__(Parts(introspection=self.asking.introspection), routes)
        self.asking.wall = self.clock
        self.asking.out.answers[REFERENCE] = claims_of()

    async def asked(self) -> Code | None:
        refusal = await self.guard.ask_again(self.request, self.decision)
        return None if refusal is None else refusal.code


@pytest.mark.twin("HTTP-16", "CACHE-07")
@at_home
async def test_an_issuer_is_asked_again_as_often_as_for_requests() -> None:
    one = Asked()
    assert one.guard.ask_again_in(await one.open(REFERENCE)) == 10
    assert await one.asked() is None
    assert one.asking.out.asked == [REFERENCE] * 2
    # A token that speaks for itself has nobody to be asked.
    assert one.guard.ask_again_in(await one.open()) == math.inf
    assert Admitted().guard.ask_again_in(one.decision) == math.inf


@at_home
async def test_an_issuer_is_never_asked_all_the_time() -> None:
    never = Asked(max_staleness=0)
    assert never.guard.ask_again_in(await never.open(REFERENCE)) == 5
    high = Requirement.of(sensitivity="high")
    rule = Route(path="/", methods=None, public=False, requirement=high)
    anew = Asked(Routes([rule]), max_staleness=60)
    assert anew.guard.ask_again_in(await anew.open(REFERENCE)) == 5


@pytest.mark.attack("HTTP-16", "CACHE-07")
@at_home
async def test_it_ends_by_what_its_issuer_says_now() -> None:
    one = Asked()
    await one.open(REFERENCE)
    for answer, code in (
        (INACTIVE, Code.TOKEN_INACTIVE),
        (claims_of(cnf={"jkt": "x" * 43}), Code.CONFIRMATION_UNMET),
        (DOWN, Code.INTROSPECTION_UNAVAILABLE),
    ):
        one.asking.out.answers[REFERENCE] = answer
        assert await one.asked() is code
        one.asking.clock.advance(600)


@at_home
async def test_a_fault_of_ours_while_asking_keeps_nobody_in() -> None:
    one = Asked()
    await one.open(REFERENCE)
    one.guard.clock = broken
    assert await one.asked() is Code.INTERNAL_ERROR


@at_home
async def test_a_token_that_expires_while_its_issuer_is_asked_is_refused() -> None:
    one = Asked()
    await one.open(REFERENCE)
    assert one.decision.token is not None
    token = structs.replace(one.decision.token, expires_at=0.0)

    async def said(*_: object) -> Any:
        return token, False

    cast("Any", one.guard)._ask_again = said
    assert await one.asked() is Code.TOKEN_EXPIRED
