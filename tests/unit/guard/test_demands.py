"""What is demanded of a token: by the rule, by the API, and of a request already admitted."""

from typing import Any

import pytest

from portvakt import (
    Code,
    Decision,
    FixedKeys,
    Guard,
    HttpRequest,
    JwkSet,
    Requirement,
    Route,
    Routes,
)
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer()
KEYS = FixedKeys({ISSUER.trusted.issuer: JwkSet.from_object(ISSUER.jwks(), ["ES256"])})


def guard_with(*rules: Route, demand: Requirement | None = None) -> Guard:
    routes = Routes(rules, demand) if demand is not None else Routes(rules)
    return Guard(issuers=[ISSUER.trusted], keys=KEYS, clock=ISSUER.clock, routes=routes)


def honest() -> HttpRequest:
    return ISSUER.request(ISSUER.token(scopes=["read"]))


def code_of(decision: Decision) -> Code | None:
    return decision.refusal.code if decision.refusal else None


DOCTORS = FakeIssuer(profile="helseid-test", alg="ES256", clock=ISSUER.clock)
LEVEL = "helseid://claims/identity/security_level"
EVERYTHING = ["security_level", "pid", "hpr_number", "organisation"]
OPEN: dict[str, Any] = {"api": {"audience": "test-api", "ignore": EVERYTHING}}


def challenge_of(decision: Decision) -> str:
    assert decision.response is not None
    return dict(decision.response.headers)["WWW-Authenticate"]


@pytest.mark.parametrize("disclose", [True, False])
@pytest.mark.parametrize("how", ["check", "require"])
@pytest.mark.parametrize(
    ("demands", "code", "hint"),
    [
        ({"scopes": ["write"]}, Code.SCOPE_INSUFFICIENT, 'scope="write"'),
        ({"security_level": 4}, Code.LEVEL_TOO_LOW, 'acr_values="Level4"'),
        ({"security_level": 4}, Code.LEVEL_TOO_LOW, 'error="insufficient_user_authentication"'),
        ({"max_authentication_age": 60}, Code.AUTHENTICATION_TOO_OLD, 'max_age="60"'),
    ],
)
def test_a_client_is_told_what_to_ask_for_where_the_api_tells(
    disclose: bool, how: str, demands: dict[str, Any], code: Code, hint: str
) -> None:
    api = {**OPEN["api"], "disclose": disclose}
    guard, requirement = DOCTORS.guard(api=api), Requirement.of(**demands)
    claims = {LEVEL: "3", "auth_time": ISSUER.clock() - 61}
    request = DOCTORS.request(DOCTORS.token(claims=claims))
    if how == "check":
        refused = guard.check_blocking(request, requirement)
    else:
        refused = guard.require(request, guard.check_blocking(request), requirement)
    assert code_of(refused) is code
    assert (hint in challenge_of(refused)) is (disclose or hint.startswith("error"))
    enough = {LEVEL: "4", "auth_time": ISSUER.clock() - 60}
    honest = DOCTORS.request(DOCTORS.token(scopes=["write"], claims=enough))
    assert guard.check_blocking(honest, requirement).admitted


def test_the_challenge_of_another_issuer_names_its_own_levels() -> None:
    guard = ISSUER.guard()
    refused = guard.check_blocking(honest(), Requirement.of(security_level=3))
    assert code_of(refused) is Code.LEVEL_TOO_LOW
    assert "acr_values" not in challenge_of(refused)


@pytest.mark.parametrize("how", ["rule", "check", "require"])
def test_data_of_high_sensitivity_is_not_for_bearer_tokens(how: str) -> None:
    high = Requirement.of(sensitivity="high")
    if how == "rule":
        refused = guard_with(demand=high).check_blocking(honest())
    elif how == "check":
        refused = guard_with().check_blocking(honest(), high)
    else:
        guard = guard_with()
        refused = guard.require(honest(), guard.check_blocking(honest()), high)
    assert code_of(refused) is Code.BINDING_REQUIRED
    assert 'error="invalid_token"' in challenge_of(refused)
    for sensitivity in ("normal", "low"):
        demand = Requirement.of(sensitivity=sensitivity)
        assert guard_with().check_blocking(honest(), demand).admitted


def test_no_step_is_reached_before_an_earlier_one_has_passed_for_every_demand() -> None:
    # The rule's scope is missing, and so is the binding that the API demands: a step earlier.
    write, high = Requirement.of(["write"]), Requirement.of(sensitivity="high")
    guard = guard_with(demand=write)
    assert code_of(guard.check_blocking(honest())) is Code.SCOPE_INSUFFICIENT
    assert code_of(guard.check_blocking(honest(), high)) is Code.BINDING_REQUIRED
    bound = ISSUER.token(claims={"cnf": {"jkt": "x"}})
    assert code_of(guard.check_blocking(ISSUER.request(bound), high)) is Code.CONFIRMATION_UNMET


def test_a_further_demand_knows_the_path_of_the_request() -> None:
    subject = Requirement.of(matches_request={"subject": "path.user"})
    rule = Route(path="/me/{user}", methods=None, public=False, requirement=Requirement.of())
    guard = guard_with(rule)
    token = ISSUER.token(claims={"sub": "kari"})
    for user, code in (("kari", None), ("ola", Code.RULE_UNMET), ("k%61ri", None)):
        request = ISSUER.request(token, url=f"/me/{user}")
        decision = guard.check_blocking(request)
        assert decision.admitted
        assert code_of(guard.require(request, decision, subject)) is code
        assert code_of(guard.check_blocking(request, subject)) is code
