"""What observers are told: each decision once, and nothing twice about the same request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from asking import ISSUER as ASKED
from asking import Asking, claims_of
from keeping import at_home
from portvakt import Code, ConfigurationError, Decision, Guard, Requirement
from portvakt.guard.parts import Parts
from portvakt.jose.jwk_set import JwkSet
from portvakt.net.keys import FixedKeys
from portvakt.registers.base import Subject
from portvakt.registers.callables import CallableRegister
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from portvakt import HttpRequest

ISSUER: Final = FakeIssuer()
NAME: Final = ISSUER.trusted.issuer
READ, WRITE = Requirement.of(["read"]), Requirement.of(["write"])
RULES: Final = [{"path": "/open", "public": True}, {"path": "/read", "scopes": ["read"]}]


class Told:
    """An observer that notes."""

    def __init__(self) -> None:
        self.all: list[Decision] = []

    def __call__(self, request: HttpRequest, decision: Decision) -> None:
        self.all.append(decision)

    def last(self) -> Decision:
        """The one decision that was told since this was last asked."""
        (decision,) = self.all
        self.all.clear()
        return decision


def watched() -> tuple[Guard, Told]:
    told = Told()
    config = ISSUER.config(route=RULES)
    return Guard.from_config(config, clock=ISSUER.clock, observers=[told]), told


def test_an_admission_says_whose_token_it_was_and_whether_it_was_remembered() -> None:
    guard, told = watched()
    request = ISSUER.request(ISSUER.token(scopes=["read"]), url="/read")
    for remembered in (False, True):
        assert guard.check_blocking(request) is told.all[-1]
        decision = told.last()
        assert (decision.issuer, decision.remembered, decision.again) == (NAME, remembered, False)
        assert decision.seconds is not None
        assert 0 < decision.seconds < 5


def test_a_refusal_says_whose_token_it_was_only_if_that_was_verified() -> None:
    guard, told = watched()
    request = ISSUER.request(ISSUER.token(), url="/read")
    for remembered in (False, True):
        guard.check_blocking(request)
        decision = told.last()
        assert decision.refusal is not None
        assert decision.refusal.code is Code.SCOPE_INSUFFICIENT
        assert (decision.token, decision.issuer, decision.remembered) == (None, NAME, remembered)
    for token in (None, ISSUER.forged("expired")):
        guard.check_blocking(ISSUER.request(token, url="/read"))
        decision = told.last()
        assert (decision.admitted, decision.issuer, decision.remembered) == (False, None, None)
        assert decision.seconds is not None


def test_public_routes_and_what_cannot_be_read_are_told() -> None:
    guard, told = watched()
    assert guard.check_blocking(ISSUER.request(url="/open")) is told.all[-1]
    public = told.last()
    assert (public.admitted, public.issuer, public.remembered) == (True, None, None)
    assert guard.malformed(ISSUER.request(), "two paths") is told.all[-1]
    malformed = told.last()
    assert malformed.refusal is not None
    assert malformed.refusal.code is Code.REQUEST_MALFORMED
    for decision in (public, malformed):
        assert decision.seconds is not None
        assert not decision.again


def test_without_observers_nothing_is_timed() -> None:
    guard = ISSUER.guard(route=RULES)
    for request in (
        ISSUER.request(url="/open"),
        ISSUER.request(url="/read"),
        ISSUER.request(ISSUER.token(scopes=["read"]), url="/read"),
    ):
        assert guard.check_blocking(request).seconds is None
        assert guard.check_blocking(request, again=True).again
    assert guard.malformed(ISSUER.request(), "two paths").seconds is None


def test_a_later_demand_that_is_met_is_not_told_and_one_that_is_not_is_told_once() -> None:
    guard, told = watched()
    request = ISSUER.request(ISSUER.token(scopes=["read"]), url="/read")
    decision = guard.check_blocking(request)
    told.last()
    assert guard.require(request, decision, READ) is decision
    assert told.all == []
    refused = guard.require(request, decision, WRITE)
    assert told.last() is refused
    assert (refused.again, refused.issuer, refused.remembered) == (True, NAME, False)
    assert refused.seconds is not None


def test_a_request_that_is_checked_again_is_told_as_such() -> None:
    guard, told = watched()
    request = ISSUER.request(ISSUER.token(scopes=["read"]), url="/open")
    assert not guard.check_blocking(request).again
    told.last()
    assert guard.check_blocking(request, READ, again=True) is told.all[-1]
    assert told.last().again
    assert guard.check_blocking(request, again=True) is told.all[-1]
    assert told.last().again
    assert guard.check_blocking(request, WRITE, again=True) is told.all[-1]
    assert told.last().again


def test_a_register_that_a_later_demand_passes_over_is_told() -> None:
    def down(_: object) -> bool:
        raise OSError

    told = Told()
    guard = Guard.from_config(
        ISSUER.config(),
        clock=ISSUER.clock,
        observers=[told],
        registers=[CallableRegister("down", down, [Subject.CLIENT])],
    )
    request = ISSUER.request(ISSUER.token())
    decision = guard.check_blocking(request)
    told.last()
    demand = Requirement.of(registers=["down"], unsafe_on_unavailable=True)
    later = at_home_of(guard, request, decision, demand)
    assert told.last() is later
    assert (later.unconfirmed, later.again, later.token) == (("down",), True, decision.token)
    assert later.seconds is not None


def at_home_of(
    guard: Guard, request: HttpRequest, decision: Decision, demand: Requirement
) -> Decision:
    found: list[Decision] = []

    @at_home
    async def ask() -> None:
        found.append(await guard.demand(request, decision, demand))

    ask()
    return found[0]


@at_home
async def test_what_an_issuer_said_before_is_remembered_and_asked_anew_where_it_has_to_be() -> None:
    token, asking, told = f"ref_{'x' * 48}", Asking(max_staleness=10.0), Told()
    asking.out.answers[token] = claims_of()
    name = ASKED.trusted.issuer
    jwks = JwkSet.from_object(ASKED.jwks(), ASKED.trusted.algorithms)
    guard = Guard(
        issuers=[ASKED.trusted],
        keys=FixedKeys({name: jwks}),
        parts=Parts(introspection=asking.introspection),
        clock=asking.wall,
        observers=[told],
    )
    request = ASKED.request(token)
    for remembered in (False, True):
        decision = await guard.check(request)
        assert decision.admitted
        assert told.last().remembered is remembered
    later = await guard.demand(request, decision, Requirement.of(sensitivity="high"))
    assert told.last() is later
    assert (later.admitted, later.again, later.remembered) == (True, True, False)


def test_a_mistake_of_the_api_is_told_to_nobody_else() -> None:
    guard, told = watched()
    request = ISSUER.request(url="/open")
    decision = guard.check_blocking(request)
    told.last()
    with pytest.raises(ConfigurationError):
        guard.require(request, decision, READ)
    assert told.all == []
