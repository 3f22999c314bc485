"""The demands that are rarer, × tokens, through the whole guard: each with its one code.

As in the matrix beside this one, what is expected is written a second time, over what a token was
made of. The order of the lines is the order of the steps.
"""

from __future__ import annotations

from itertools import product
from typing import Any, Final, NamedTuple

from portvakt import AccessToken, Code, HttpRequest, Requirement
from portvakt.policy.rules import AllOf, AnyOf, AtLeast, Equals, OneOf, Present
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer(profile="helseid-test", alg="ES256")
GUARD = ISSUER.guard(
    api={
        "audience": "test-api",
        "ignore": ["security_level", "pid", "hpr_number", "organisation"],
        "sensitivity": "low",
    }
)
NOW: Final = ISSUER.clock()
CLIENT: Final = "helseid://claims/client/claims"
PARENT, CHILD, SUPPLIER = (f"{CLIENT}/orgnr_{one}" for one in ("parent", "child", "supplier"))
OURS, UNIT, THEIRS = "917897468", "922734046", "994598759"


class Said(NamedTuple):
    """What a token says."""

    lives: int
    signed_in: int | None
    client: str
    child: str | None
    roles: Any
    scope: str


class Demanded(NamedTuple):
    """What is demanded."""

    sensitivity: str | None
    age: int | None
    clients: bool
    units: bool
    rule: str
    scopes: bool


TOKENS: Final = [
    Said(*one)
    for one in product(
        (3600, 3601),
        (None, 60, 61),
        ("one", "One"),
        (None, UNIT, THEIRS),
        (None, 3, True, "doctor", ["nurse", "doctor"], [["doctor"]], {"doctor": 3}),
        ("", "b", "a b c"),
    )
]
DEMANDS: Final = [
    Demanded(*one)
    for one in product(
        (None, "low", "normal", "high"),
        (None, 60),
        (False, True),
        (False, True),
        ("none", "present", "doctor", "three", "truth", "level", "both", "either", "check"),
        (False, True),
    )
]


def check(token: AccessToken, request: HttpRequest) -> Any:
    """Return what is never True, though it be as good as True elsewhere."""
    return token.claims.get("roles") if request.method == "GET" else None


RULES: Final[dict[str, dict[str, Any]]] = {
    "none": {},
    "present": {"rules": [Present("roles")]},
    "doctor": {"rules": [Equals("roles", "doctor")]},
    "three": {"rules": [OneOf("roles", (3, "x"))]},
    "truth": {"rules": [OneOf("roles", (True,))]},
    "level": {"rules": [AtLeast("roles", 1)]},
    "both": {"rules": [AllOf((Present("roles"), Present(("roles", "doctor"))))]},
    "either": {"rules": [AnyOf((Equals("roles", 3), Equals("roles", "doctor")))]},
    "check": {"checks": [check]},
}


def meets(rule: str, roles: Any) -> bool:
    """Tell whether such roles meet a rule: every pair that does is listed."""
    doctor, three = roles in ("doctor", ["nurse", "doctor"]), type(roles) is int
    met: dict[str, bool] = {
        "none": True,
        "present": roles is not None,
        "doctor": doctor,
        "three": three,
        "truth": roles is True,
        "level": three,
        "both": roles == {"doctor": 3},
        "either": doctor or three,
        "check": roles is True,
    }
    return met[rule]


def lacking(said: Said, demanded: Demanded) -> Code | None:
    """Return the first reason why the guard must not admit the token."""
    longest = {"normal": 3600, "high": 3600}.get(demanded.sensitivity or "", 86400)
    lacks = {
        Code.BINDING_REQUIRED: demanded.sensitivity == "high",
        Code.SCOPE_INSUFFICIENT: demanded.scopes and not {"b", "z"} & {*said.scope.split()},
        Code.LIFETIME_TOO_SENSITIVE: said.lives > longest,
        Code.AUTHENTICATION_TOO_OLD: demanded.age is not None
        and (said.signed_in is None or said.signed_in > demanded.age),
        Code.CLIENT_REFUSED: demanded.clients and said.client != "one",
        Code.ORGANISATION_REFUSED: demanded.units and said.child == THEIRS,
        Code.RULE_UNMET: not meets(demanded.rule, said.roles),
    }
    return next((code for code, holds in lacks.items() if holds), None)


def request_of(said: Said) -> HttpRequest:
    values: dict[str, Any] = {
        "auth_time": None if said.signed_in is None else NOW - said.signed_in,
        CHILD: said.child,
        "roles": said.roles,
    }
    claims = {name: value for name, value in values.items() if value is not None}
    claims |= {"client_id": said.client, PARENT: OURS, "exp": NOW + said.lives}
    absent = [SUPPLIER, *(name for name, value in values.items() if value is None)]
    token = ISSUER.token(scopes=said.scope.split(), claims=claims, without=absent)
    return ISSUER.request(token)


def compiled(demanded: Demanded) -> Requirement:
    return Requirement.of(
        any_scopes=["b", "z"] if demanded.scopes else (),
        sensitivity=demanded.sensitivity,
        max_authentication_age=demanded.age,
        clients=["one", "two"] if demanded.clients else None,
        children={OURS: [UNIT], THEIRS: [THEIRS]} if demanded.units else None,
        **RULES[demanded.rule],
    )


def test_that_each_pair_of_token_and_demand_has_the_one_code_that_it_must() -> None:
    requests = [(said, request_of(said)) for said in TOKENS]
    requirements = [(demanded, compiled(demanded)) for demanded in DEMANDS]
    counted: dict[Code | None, int] = {}

    # Not all of them: each token meets every seventh demand, which are others for each.
    for index, ((said, request), (demanded, requirement)) in enumerate(
        product(requests, requirements)
    ):
        if index % 7:
            continue
        decision = GUARD.check_blocking(request, requirement)
        found = None if decision.refusal is None else decision.refusal.code
        expected = lacking(said, demanded)
        assert found is expected, (said, demanded)
        counted[expected] = counted.get(expected, 0) + 1

    # No answer may become rare unnoticed.
    assert len(counted) == 8
    assert min(counted.values()) > 1_000
