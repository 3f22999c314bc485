"""What one route demands: each by itself, with a token that meets it and one that does not."""

from __future__ import annotations

from typing import Any

import pytest

from portvakt import AccessToken, Code, ConfigurationError, HttpRequest, Refused, Requirement
from portvakt.policy.authorization import authorize
from portvakt.policy.requirement import Demands
from portvakt.policy.rules import Equals
from portvakt.policy.sender_constraint import SenderConstraint
from portvakt.policy.sensitivity import Sensitivity
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer(profile="helseid-test", alg="ES256")
EVERYTHING = ["security_level", "pid", "hpr_number", "organisation"]
GUARD = ISSUER.guard(api={"audience": "test-api", "ignore": EVERYTHING, "sensitivity": "low"})
REQUEST = HttpRequest(method="GET", url="/journal/1")
NOW = ISSUER.clock()

CLIENT = "helseid://claims/client/claims"
PID = "helseid://claims/identity/pid"
HPR = "helseid://claims/hpr/hpr_number"
LEVEL = "helseid://claims/identity/security_level"
PARENT, CHILD, SUPPLIER = (f"{CLIENT}/orgnr_{one}" for one in ("parent", "child", "supplier"))


def token_of(scopes: Any = (), without: Any = (), **claims: Any) -> AccessToken:
    text = ISSUER.token(scopes=scopes, claims=claims, without=without)
    token = GUARD.check_blocking(ISSUER.request(text)).token
    assert token is not None
    return token


def code_of(token: AccessToken, requirement: Requirement) -> Code | None:
    try:
        authorize(token, requirement, REQUEST, {}, NOW)
    except Refused as refused:
        return refused.refusal.code
    return None


def test_all_scopes_together_are_enough() -> None:
    assert code_of(token_of(("b", "a", "c")), Requirement.of(["a", "b"])) is None
    assert code_of(token_of(), Requirement.of()) is None


@pytest.mark.parametrize("scopes", [(), ("a",), ("A", "b"), ("ab",), ("a/b", "b")])
def test_anything_less_is_refused_and_the_missing_ones_are_named(scopes: tuple[str, ...]) -> None:
    with pytest.raises(Refused) as refused:
        authorize(token_of(scopes), Requirement.of(["a", "b"]), REQUEST, {}, NOW)
    assert refused.value.refusal.code is Code.SCOPE_INSUFFICIENT
    missing = {"a", "b"} - {*scopes}
    assert refused.value.refusal.detail == f"missing scope: {' '.join(sorted(missing))}"


def test_one_of_some_scopes_is_enough() -> None:
    requirement = Requirement.of(["a"], any_scopes=["b", "c"])
    assert code_of(token_of(("a", "c")), requirement) is None
    assert code_of(token_of(("a",)), requirement) is Code.SCOPE_INSUFFICIENT
    assert code_of(token_of(("b", "c")), requirement) is Code.SCOPE_INSUFFICIENT
    assert requirement.challenge == "a b c"
    assert Requirement.of(any_scopes=["b", "c"]).challenge == "b c"


def test_the_challenge_keeps_the_order_and_drops_repetitions() -> None:
    assert Requirement.of(["b", "a", "b"]).challenge == "b a"


@pytest.mark.parametrize(
    ("level", "least", "met"), [("4", 4, True), ("3", 4, False), ("3", 3, True)]
)
def test_the_security_level_is_ordered(level: str, least: int, met: bool) -> None:
    expected = None if met else Code.LEVEL_TOO_LOW
    assert code_of(token_of(**{LEVEL: level}), Requirement.of(security_level=least)) is expected


def test_a_token_without_a_level_has_the_lowest() -> None:
    machine = token_of(without=(LEVEL,))
    assert machine.security_level == 0
    assert code_of(machine, Requirement.of(security_level=1)) is Code.LEVEL_TOO_LOW
    assert code_of(machine, Requirement.of()) is None


@pytest.mark.parametrize(
    ("auth_time", "met"), [(NOW - 60, True), (NOW - 61, False), (NOW + 5, True), (None, False)]
)
def test_the_authentication_may_be_so_old(auth_time: float | None, met: bool) -> None:
    token = token_of(without=("auth_time",)) if auth_time is None else token_of(auth_time=auth_time)
    expected = None if met else Code.AUTHENTICATION_TOO_OLD
    assert code_of(token, Requirement.of(max_authentication_age=60)) is expected


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        ("pid", PID),
        ("hpr_number", HPR),
        ("organisation", PARENT),
        ("organisation_child", CHILD),
        ("supplier", SUPPLIER),
    ],
)
def test_what_is_required_must_be_said(name: str, claim: str) -> None:
    requirement = Requirement.of(require=[name])
    assert code_of(token_of(), requirement) is None
    assert code_of(token_of(without=(claim,)), requirement) is Code.IDENTITY_MISSING
    assert code_of(token_of(without=(PARENT, CHILD, SUPPLIER, PID, HPR)), requirement) is (
        Code.IDENTITY_MISSING
    )


def test_only_listed_clients_will_do() -> None:
    token = token_of(client_id="one")
    assert code_of(token, Requirement.of(clients=["one", "two"])) is None
    assert code_of(token, Requirement.of(clients=["on", "One", "two"])) is Code.CLIENT_REFUSED


ORGANISATIONS = {PARENT: "917897468", CHILD: "922734046", SUPPLIER: "994598759"}


@pytest.mark.parametrize(
    ("demand", "without", "met"),
    [
        ({"parents": ["917897468"]}, (), True),
        ({"parents": ["994598759"]}, (), False),
        ({"parents": ["917897468"]}, (PARENT,), False),
        ({"parents": ["917897468"]}, (PARENT, CHILD, SUPPLIER), False),
        ({"suppliers": ["994598759"]}, (), True),
        ({"suppliers": ["917897468"]}, (), False),
        ({"suppliers": ["917897468"]}, (SUPPLIER,), True),  # nobody acts for them
        ({"suppliers": ["917897468"]}, (PARENT, CHILD, SUPPLIER), True),
        ({"children": {"917897468": ["922734046"]}}, (), True),
        ({"children": {"917897468": ["994598759"]}}, (), False),
        ({"children": {"994598759": ["922734046"]}}, (), False),  # of another organisation
        ({"children": {"917897468": ["994598759"]}}, (CHILD,), True),  # no sub-unit is stated
        ({"children": {"917897468": ["922734046"]}}, (PARENT,), False),
    ],
)
def test_only_listed_organisations_will_do(
    demand: dict[str, Any], without: tuple[str, ...], met: bool
) -> None:
    said = {name: number for name, number in ORGANISATIONS.items() if name not in without}
    expected = None if met else Code.ORGANISATION_REFUSED
    assert code_of(token_of(without=without, **said), Requirement.of(**demand)) is expected


@pytest.mark.parametrize(
    ("lifetime", "sensitivity", "met"),
    [
        (3600, "normal", True),
        (3601, "normal", False),
        (3600, "high", True),
        (3601, "high", False),
        (86400, "low", True),
        (86400, None, True),
    ],
)
def test_a_token_lives_as_long_as_the_data_allows(
    lifetime: int, sensitivity: str | None, met: bool
) -> None:
    token = token_of(exp=NOW + lifetime)
    expected = None if met else Code.LIFETIME_TOO_SENSITIVE
    assert code_of(token, Requirement.of(sensitivity=sensitivity)) is expected


def test_an_issuer_that_is_known_to_issue_longer_lived_tokens_may() -> None:
    known = FakeIssuer("https://entra.test/v2.0", profile="entra", alg="RS256")
    guard = known.guard()
    for lifetime, met in ((5700, True), (5701, False)):
        token = known.token(claims={"exp": known.clock() + lifetime})
        assert guard.check_blocking(known.request(token)).admitted is met


def test_a_rule_that_does_not_hold_refuses() -> None:
    rule = Equals("client_amr", "private_key_jwt")
    assert code_of(token_of(client_amr="private_key_jwt"), Requirement.of(rules=[rule])) is None
    assert code_of(token_of(), Requirement.of(rules=[rule])) is Code.RULE_UNMET


@pytest.mark.parametrize("answer", [False, None, 1, "yes", [True], object()])
def test_a_check_of_ones_own_admits_with_true_and_with_nothing_else(answer: object) -> None:
    def check(token: AccessToken, request: HttpRequest) -> Any:
        return answer

    def yes(token: AccessToken, request: HttpRequest) -> bool:
        return request is REQUEST and token.client_id == "test-client"

    assert code_of(token_of(), Requirement.of(checks=[yes])) is None
    assert code_of(token_of(), Requirement.of(checks=[yes, check])) is Code.RULE_UNMET


def test_a_check_of_ones_own_that_fails_is_a_fault_and_admits_nobody() -> None:
    def check(token: AccessToken, request: HttpRequest) -> bool:
        raise RuntimeError("its own")

    decision = GUARD.check_blocking(ISSUER.request(ISSUER.token()), Requirement.of(checks=[check]))
    assert decision.refusal is not None
    assert decision.refusal.code is Code.INTERNAL_ERROR


async def never(token: AccessToken, request: HttpRequest) -> bool:
    raise AssertionError("what it would return is a coroutine, and never True")


@pytest.mark.parametrize(
    ("demands", "place"),
    [
        ({"scopes": "read"}, "scopes"),
        ({"scopes": ["read write"]}, "scopes"),
        ({"scopes": [""]}, "scopes"),
        ({"scopes": ['a"b']}, "scopes"),
        ({"scopes": ["a\\b"]}, "scopes"),
        ({"scopes": ["\u00e5"]}, "scopes"),
        ({"scopes": [1]}, "scopes"),
        ({"scopes": [["read"]]}, "scopes"),
        ({"scopes": 1}, "scopes"),
        ({"any_scopes": "read"}, "any_scopes"),
        ({"security_level": 5}, "security_level"),
        ({"security_level": -1}, "security_level"),
        ({"security_level": "4"}, "security_level"),
        ({"security_level": True}, "security_level"),
        ({"max_authentication_age": 0}, "max_authentication_age"),
        ({"max_authentication_age": float("nan")}, "max_authentication_age"),
        ({"max_authentication_age": 10**9}, "max_authentication_age"),
        ({"max_authentication_age": "60"}, "max_authentication_age"),
        ({"max_authentication_age": True}, "max_authentication_age"),
        ({"require": "pid"}, "require"),
        ({"require": ["pidd"]}, "require"),
        ({"require": [""]}, "require"),
        ({"require": [["pid"]]}, "require"),
        ({"require": [None]}, "require"),
        ({"clients": []}, "clients"),
        ({"clients": "one"}, "clients"),
        ({"parents": []}, "parents"),
        ({"suppliers": []}, "suppliers"),
        ({"parents": ["917 897 468"]}, "parents"),
        ({"parents": ["0192:917897468"]}, "parents"),
        ({"parents": ["917897468\n"]}, "parents"),
        ({"suppliers": ["٩١٧٨٩٧٤٦٨"]}, "suppliers"),
        ({"children": {}}, "children"),
        ({"children": {"917897468": []}}, "children"),
        ({"children": {"917897468": "922734046"}}, "children"),
        ({"children": {"917897468": ["1"]}}, "children"),
        ({"children": {"1": ["917897468"]}}, "children"),
        ({"children": {917897468: ["922734046"]}}, "children"),
        ({"rules": Equals("a", 1)}, "rules"),
        ({"rules": [None]}, "rules"),
        ({"rules": [Equals]}, "rules"),
        ({"rules": "rule"}, "rules"),
        ({"checks": len}, "checks"),
        ({"checks": [True]}, "checks"),
        ({"checks": [never]}, "checks"),
        ({"unsafe_on_unavailable": "refuse"}, "unsafe_on_unavailable"),
        ({"unsafe_on_unavailable": 1}, "unsafe_on_unavailable"),
        ({"sensitivity": ["high"]}, "sensitivity"),
        ({"sensitivity": "secret"}, "sensitivity"),
        ({"registers": [""]}, "registers"),
        ({"matches_request": {"name": "path.x"}}, "matches_request"),
        ({"matches_request": {"pid": "path"}}, "matches_request.pid"),
        ({"matches_request": {"pid": "body.x"}}, "matches_request.pid"),
        ({"matches_request": {"pid": "path."}}, "matches_request.pid"),
    ],
)
def test_a_demand_that_could_never_be_met_is_a_mistake_of_the_developer(
    demands: dict[str, Any], place: str
) -> None:
    with pytest.raises(ConfigurationError) as mistake:
        Requirement.of(**demands)
    assert [problem.place for problem in mistake.value.problems] == [place]


def test_an_adapter_can_hand_on_all_that_can_be_demanded() -> None:
    import inspect

    parameters = list(inspect.signature(Requirement.of).parameters)
    assert parameters == ["scopes", *Demands.__annotations__]


@pytest.mark.parametrize(
    "demands",
    [
        {"rules": (Equals("a", 1),)},
        {"checks": (bool,)},
        {"parents": frozenset({"917897468"})},
        {"suppliers": frozenset({"917897468"})},
        {"children": {"917897468": frozenset({"922734046"})}},
        {"sensitivity": Sensitivity.HIGH},
        {"sensitivity": Sensitivity.NORMAL, "bound": True},
        {"max_lifetime": 60.0},
        {"ruled": True},
    ],
)
def test_a_requirement_that_is_not_compiled_cannot_pass_over_a_demand(
    demands: dict[str, Any],
) -> None:
    with pytest.raises(ConfigurationError, match=r"Requirement\.of"):
        Requirement(scopes=frozenset(), challenge="", **demands)


def test_a_requirement_whose_parts_agree_exists() -> None:
    plain = Requirement(scopes=frozenset({"a"}), challenge="a", security_level=3)
    assert plain == Requirement.of(["a"], security_level=3)
    limits: dict[str, Any] = {
        "max_lifetime": 3600.0,
        "bound": True,
        "asked_anew": True,
        "keys_max_age": 3600.0,
    }
    high = Requirement(scopes=frozenset(), challenge="", sensitivity=Sensitivity.HIGH, **limits)
    assert high == Requirement.of(sensitivity="high")
    assert high == Requirement.of(sensitivity=Sensitivity.HIGH)


def test_lists_that_are_changed_later_change_nothing() -> None:
    rules: list[Any] = [Equals("client_amr", "x")]
    parents, units = ["917897468"], {"917897468": ["922734046"]}
    requirement = Requirement.of(rules=rules, parents=parents, children=units)
    rules.clear()
    parents.append("994598759")
    units["994598759"] = ["994598759"]
    assert requirement.rules == (Equals("client_amr", "x"),)
    assert requirement.parents == frozenset({"917897468"})
    assert requirement.children == {"917897468": frozenset({"922734046"})}
    with pytest.raises(TypeError):
        requirement.children["994598759"] = frozenset()  # type: ignore[index]


def test_a_check_may_be_anything_that_is_called() -> None:
    class Object:
        def __call__(self, token: AccessToken, request: HttpRequest) -> bool:
            return False

    with pytest.raises(Refused) as refused:
        authorize(token_of(), Requirement.of(checks=[Object()]), REQUEST, {}, NOW)
    assert refused.value.refusal.detail == "Object did not return True"


@pytest.mark.parametrize("now", [float("nan"), float("inf")])
def test_a_clock_that_is_no_time_makes_no_one_fresh(now: float) -> None:
    requirement = Requirement.of(max_authentication_age=60)
    with pytest.raises(Refused):
        authorize(token_of(auth_time=NOW), requirement, REQUEST, {}, now)


@pytest.mark.parametrize("value", ["either", "DPoP", "", "bearer", 1, True, ["dpop"], {}])
def test_a_sender_constraint_is_one_of_three_words(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be one of none, dpop, mtls"):
        Requirement.of(sender_constraint=value)
    for word in ("none", "dpop", "mtls"):
        constraint = Requirement.of(sender_constraint=word).sender_constraint
        assert constraint is SenderConstraint(word)
        assert Requirement.of(sender_constraint=constraint).sender_constraint is constraint


def test_a_word_is_no_sender_constraint_of_a_compiled_requirement() -> None:
    # It would equal none of the constraints, and so be taken for none.
    for wrong in ("dpop", "mtls", 1):
        with pytest.raises(ConfigurationError, match=r"Requirement\.of"):
            Requirement(scopes=frozenset(), challenge="", sender_constraint=wrong)  # type: ignore[arg-type]
    dpop = Requirement(scopes=frozenset(), challenge="", sender_constraint=SenderConstraint.DPOP)
    assert dpop == Requirement.of(sender_constraint="dpop")
