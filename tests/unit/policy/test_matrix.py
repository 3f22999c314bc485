"""Rules of routes × tokens: admitted exactly if nothing that is demanded is lacking.

What is expected is written here a second time, as one line a demand over what the token was made
of, and not over what Portvakt read of it.
"""

from __future__ import annotations

from itertools import product
from typing import Any, Final, NamedTuple

from portvakt import AccessToken, Code, HttpRequest, Refused, Requirement
from portvakt.policy.authorization import authorize
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer(profile="helseid-test", alg="ES256")
GUARD = ISSUER.guard(
    api={
        "audience": "test-api",
        "ignore": ["security_level", "pid", "hpr_number", "organisation"],
        "sensitivity": "low",
    }
)
PID: Final = "helseid://claims/identity/pid"
LEVEL: Final = "helseid://claims/identity/security_level"
HPR: Final = "helseid://claims/hpr/hpr_number"
CLIENT: Final = "helseid://claims/client/claims"
PARENT, CHILD, SUPPLIER = (f"{CLIENT}/orgnr_{one}" for one in ("parent", "child", "supplier"))
OURS, THEIRS = "917897468", "994598759"
MINE, SOMEBODY_ELSES = "17056600574", "03851598730"  # synthetic, both


class Said(NamedTuple):
    """What a token says."""

    level: int | None
    scopes: frozenset[str]
    pid: str | None
    hpr: str | None
    parent: str | None
    supplier: str | None


class Demanded(NamedTuple):
    """What a route demands."""

    level: int
    scopes: frozenset[str]
    require: frozenset[str]
    parents: bool
    suppliers: bool
    matches: bool


def some(*words: str) -> frozenset[str]:
    return frozenset(words)


TOKENS: Final = [
    Said(*one)
    for one in product(
        (None, 2, 3, 4),
        (some(), some("read"), some("read", "write")),
        (None, MINE, SOMEBODY_ELSES),
        (None, "431001110"),
        (None, OURS, THEIRS),
        (None, THEIRS),
    )
    if one[4] is not None or one[5] is None  # a supplier acts for somebody
]
DEMANDS: Final = [
    Demanded(*one)
    for one in product(
        (0, 3, 4),
        (some(), some("read"), some("write")),
        (some(), some("pid"), some("hpr_number", "organisation"), some("supplier")),
        (False, True),
        (False, True),
        (False, True),
    )
]


def token_of(said: Said) -> AccessToken:
    values: dict[str, Any] = {
        LEVEL: None if said.level is None else str(said.level),
        PID: said.pid,
        HPR: said.hpr,
        PARENT: said.parent,
        SUPPLIER: said.supplier,
    }
    claims = {name: value for name, value in values.items() if value is not None}
    absent = [CHILD, *(name for name, value in values.items() if value is None)]
    text = ISSUER.token(scopes=sorted(said.scopes), claims=claims, without=absent)
    token = GUARD.check_blocking(ISSUER.request(text)).token
    assert token is not None
    return token


def compiled(demanded: Demanded) -> Requirement:
    return Requirement.of(
        demanded.scopes,
        security_level=demanded.level,
        require=sorted(demanded.require),
        parents=[OURS] if demanded.parents else None,
        suppliers=[OURS] if demanded.suppliers else None,
        matches_request={"pid": "path.pid"} if demanded.matches else None,
    )


def lacking(said: Said, demanded: Demanded) -> Code | None:
    """Return why the route must not admit the token, of a request about me: the first reason."""
    there = {
        "pid": said.pid,
        "hpr_number": said.hpr,
        "organisation": said.parent,
        "supplier": said.supplier,
    }
    lacks = {
        Code.SCOPE_INSUFFICIENT: bool(demanded.scopes - said.scopes),
        Code.LEVEL_TOO_LOW: (said.level or 0) < demanded.level,
        Code.IDENTITY_MISSING: any(there[name] is None for name in demanded.require),
        Code.ORGANISATION_REFUSED: (demanded.parents and said.parent != OURS)
        or (demanded.suppliers and said.supplier not in {None, OURS}),
        Code.RULE_UNMET: demanded.matches and said.pid != MINE,
    }
    return next((code for code, holds in lacks.items() if holds), None)


def code_of(token: AccessToken, requirement: Requirement, request: HttpRequest) -> Code | None:
    try:
        authorize(token, requirement, request, {"pid": MINE}, ISSUER.clock())
    except Refused as refused:
        return refused.refusal.code
    return None


def test_that_a_route_admits_exactly_what_lacks_nothing() -> None:
    request = HttpRequest(method="GET", url=f"/me/{MINE}")
    tokens = [(said, token_of(said)) for said in TOKENS]
    requirements = [(demanded, compiled(demanded)) for demanded in DEMANDS]
    admitted = refused = 0

    for (said, token), (demanded, requirement) in product(tokens, requirements):
        expected = lacking(said, demanded)
        assert code_of(token, requirement, request) is expected, (said, demanded)
        admitted += expected is None
        refused += expected is not None

    # 360 tokens at 288 routes: neither answer may become rare unnoticed.
    assert admitted + refused == len(TOKENS) * len(DEMANDS)
    assert min(admitted, refused) > 5_000
