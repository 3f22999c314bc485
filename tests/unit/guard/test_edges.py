"""What a guard does where proofs, decisions and keys are not what it expects."""

import asyncio
from typing import Any

import pytest
from msgspec import structs

from portvakt import (
    Code,
    ConfigurationError,
    Decision,
    Guard,
    JwkSet,
    Requirement,
    Route,
    Routes,
    TrustedIssuer,
)
from portvakt.guard import demanding
from portvakt.guard.possession import NEVER_USED
from portvakt.guard.proof_test import proof_test
from portvakt.jose.header import Header
from portvakt.net.keys import KeySource
from portvakt.policy.sender_constraint import SenderConstraint
from portvakt.policy.sensitivity import Sensitivity
from portvakt.stores.base import Use
from portvakt.testing import FakeClient, FakeIssuer

ISSUER = FakeIssuer()
CLIENT = FakeClient(ISSUER, origin="https://api.test")
BOUND: dict[str, Any] = {
    "api": {"audience": "test-api", "origin": "https://api.test", "sender_constraint": "dpop"},
    "store": {"url": "memory://"},
}


def code_of(decision: Decision) -> Code | None:
    return decision.refusal.code if decision.refusal else None


class Ageing(KeySource):
    """Keys that were asked for as long ago as a test says."""

    def __init__(self, age: float | None) -> None:
        self.keys_age = age

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        return JwkSet.from_object(ISSUER.jwks(), ["ES256"])

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        return self.current(issuer)

    def age(self, issuer: TrustedIssuer) -> float | None:
        return self.keys_age


@pytest.mark.attack("DPOP-15")
def test_a_proof_that_nobody_can_check_opens_nothing() -> None:
    either = Requirement.of(sender_constraint=SenderConstraint.EITHER)
    request = CLIENT.request(CLIENT.token(), url="/")
    assert code_of(ISSUER.guard().check_blocking(request, either)) is Code.SCHEME_REFUSED
    guard = ISSUER.guard(**BOUND)
    assert code_of(guard.check_blocking(request)) is None


@pytest.mark.attack("DPOP-15")
def test_a_token_of_a_certificate_is_not_bound_to_the_key_of_a_proof() -> None:
    certified = ISSUER.token(claims={"cnf": {"x5t#S256": "A" * 43}})
    decision = ISSUER.guard(**BOUND).check_blocking(CLIENT.request(certified, url="/"))
    assert code_of(decision) is Code.BINDING_REQUIRED


@pytest.mark.parametrize(
    ("age", "code"),
    [(None, None), (0.0, None), (3600.0, None), (3601.0, Code.KEYS_UNAVAILABLE)],
)
def test_what_is_highly_sensitive_is_not_judged_by_old_keys(age: float | None, code: Any) -> None:
    parts = ISSUER.guard(**BOUND).parts
    guard = Guard(issuers=[ISSUER.trusted], keys=Ageing(age), clock=ISSUER.clock, parts=parts)
    demand = Requirement.of(sender_constraint=SenderConstraint.DPOP)
    token = CLIENT.token()
    high = Requirement.of(sender_constraint="dpop", sensitivity=Sensitivity.HIGH)
    assert code_of(guard.check_blocking(CLIENT.request(token, url="/"), high)) is code
    request = CLIENT.request(token, url="/")
    admitted = guard.check_blocking(request, demand)
    assert code_of(admitted) is None
    assert code_of(guard.require(request, admitted, high)) is code
    # The same where only the rule is high, or only what the endpoint demands beside it.
    for rule, beside in ((high, demand), (demand, high)):
        strict = Guard(
            issuers=[ISSUER.trusted],
            keys=Ageing(age),
            clock=ISSUER.clock,
            parts=parts,
            routes=Routes([Route(path="/", methods=None, public=False, requirement=rule)]),
        )
        assert code_of(strict.check_blocking(CLIENT.request(token, url="/"), beside)) is code


def test_a_decision_without_a_rule_meets_what_is_demanded_of_it() -> None:
    guard = ISSUER.guard()
    request = ISSUER.request(ISSUER.token(scopes=["read"]))
    decision = structs.replace(guard.check_blocking(request), route=None)
    assert code_of(guard.require(request, decision, Requirement.of(scopes=["read"]))) is None
    demanded = guard.require(request, decision, Requirement.of(scopes=["write"]))
    assert code_of(demanded) is Code.SCOPE_INSUFFICIENT


def test_a_mistake_of_the_api_is_told_to_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: object) -> None:
        raise ConfigurationError("a mistake")

    guard = ISSUER.guard()
    request = ISSUER.request(ISSUER.token(scopes=["read"]))
    decision = guard.check_blocking(request)
    monkeypatch.setattr(demanding, "satisfy", mistaken)
    with pytest.raises(ConfigurationError, match="a mistake"):
        guard.require(request, decision, Requirement.of(scopes=["read"]))


def test_a_rehearsal_remembers_nothing() -> None:
    use = Use("owner", "item", 0.0, 60.0, 0.0)
    for _ in range(2):
        assert asyncio.run(NEVER_USED.use(use))
        assert NEVER_USED.use_at_once(use)


def test_a_guard_without_proofs_has_none_that_could_be_tried() -> None:
    assert list(proof_test(ISSUER.guard(), "ES256", ISSUER.clock())) == []
