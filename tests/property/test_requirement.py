"""Whatever a genuine token says and whatever its request is like, a rule holds or refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from msgspec.structs import replace

from portvakt import AccessToken, HttpRequest, Refused, Requirement, TrustedIssuer
from portvakt.jose.encoding import encode_object
from portvakt.jose.jwk import import_jwk
from portvakt.jose.jws import VerifiedJws, parse, verify
from portvakt.jose.signer import Signer, sign_compact
from portvakt.policy.access_token import check_claims
from portvakt.policy.authorization import authorize
from portvakt.policy.identity import IdentityClaims
from portvakt.policy.requirement import IDENTITIES
from portvakt.policy.routes import Route, parameters_of
from portvakt.policy.rules import (
    MATCHABLE,
    AllOf,
    AnyOf,
    AtLeast,
    Equals,
    MatchesRequest,
    OneOf,
    Present,
)

if TYPE_CHECKING:
    from portvakt.policy.rules import Rule

SIGNER = Signer.generate("ES256")
KEY = import_jwk(SIGNER.public_jwk(), frozenset({"ES256"}))
NOW = 1_800_000_000
PID, ORGANISATION = "17056600574", "917897468"
NAMES = ["level", "old_level", "pid", "hpr", "parent", "child", "supplier", "name", "auth_time"]
CLAIMS = IdentityClaims(
    security_level=("level", "old_level"),
    levels={"3": 3, "4": 4, "high": 4},
    pid=("pid",),
    hpr_number=("hpr",),
    organisation_parent=("parent",),
    organisation_child=("child",),
    organisation_supplier=("supplier",),
    client_name=("name",),
    tenancy=("name",),
    authenticated_at=("auth_time",),
)
PLAIN = TrustedIssuer(
    issuer="https://issuer.test",
    audience="api",
    algorithms=frozenset({"ES256"}),
    types=frozenset({"at+jwt", "jwt", "absent"}),
    scope_claims=("scope", "roles"),
    identity=CLAIMS,
)
ISSUERS = [
    PLAIN,
    replace(PLAIN, identity=replace(CLAIMS, iso6523=True, strict_check_digits=False)),
    replace(PLAIN, expected_values=(("kind", frozenset({"Bearer"})),)),
    replace(PLAIN, subject_claim="oid", client_claim="azp", required_claims=frozenset({"oid"})),
]
HONEST: dict[str, Any] = {
    "iss": "https://issuer.test",
    "aud": "api",
    "sub": "s",
    "oid": "o",
    "client_id": "c",
    "jti": "j",
    "iat": NOW,
    "exp": NOW + 300,
    "kind": "Bearer",
    "scope": ["a", "b"],
    "level": "high",
    "pid": PID,
    "hpr": "009144900",
    "parent": ORGANISATION,
    "auth_time": NOW,
}

scalars: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-(10**19), 10**19) | st.text(max_size=12)
)
scalars |= st.floats(allow_nan=False, allow_infinity=False)
scalars |= st.sampled_from([PID, ORGANISATION, "9144900", "4", "high", "a b", "1" * 11, 0, 1, -0.0])
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars | st.fixed_dictionaries({"authority": scalars, "ID": scalars}),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
others = st.sampled_from([*HONEST, *NAMES, "roles", "cnf", "nonce", "nbf", "azp", "deep", "x"])
changes = st.dictionaries(others, json_values | st.just(...), max_size=4)

names = st.sampled_from(["x", "kind", "level", "scope", "deep", ("deep", "x"), ("kind", "x")])
values: st.SearchStrategy[Any] = st.booleans() | st.integers() | st.text(max_size=8)
values |= st.floats(allow_nan=False, allow_infinity=False)
sources = st.builds(
    "{}.{}".format,
    st.sampled_from(["path", "query", "header"]),
    st.sampled_from(["pid", "X-Pid", "\u00e5", "[", "a.b"]),
)
rules: st.SearchStrategy[Rule] = st.recursive(
    st.one_of(
        st.builds(Present, names),
        st.builds(Equals, names, values),
        st.builds(OneOf, names, st.lists(values, min_size=1, max_size=3).map(tuple)),
        st.builds(AtLeast, names, st.integers() | st.floats(-1e9, 1e9)),
        st.builds(MatchesRequest, st.sampled_from([*MATCHABLE]), sources),
    ),
    lambda inner: st.one_of(
        *(
            st.builds(kind, st.lists(inner, min_size=1, max_size=3).map(tuple))
            for kind in (AllOf, AnyOf)
        )
    ),
    max_leaves=5,
)
scopes = st.lists(st.sampled_from(["a", "b", "c"]), max_size=2)
organisations = st.none() | st.just([ORGANISATION]) | st.just(["994598759"])
requirements = st.builds(
    Requirement.of,
    scopes,
    any_scopes=scopes,
    security_level=st.integers(0, 4),
    max_authentication_age=st.none() | st.integers(1, 99) | st.floats(0.5, 99),
    require=st.lists(st.sampled_from(IDENTITIES), max_size=2),
    clients=st.none() | st.just(["c"]),
    parents=organisations,
    suppliers=organisations,
    children=st.none() | st.just({ORGANISATION: ["922734046"]}),
    rules=st.lists(rules, max_size=3),
    checks=st.lists(st.sampled_from([lambda *_: True, lambda *_: None]), max_size=1),
    sensitivity=st.none() | st.sampled_from(["low", "normal", "high"]),
)

texts = st.text(max_size=12) | st.text("pidPID=&;#?%+[]/. \0\xff1\u00e5", max_size=24)
texts |= st.sampled_from([PID, f"pid={PID}", f"?pid={PID}", "%ff", "%", "%2"])
requests = st.builds(
    HttpRequest,
    method=st.just("GET"),
    url=st.builds("/me/{}?{}".format, texts, texts) | texts,
    headers=st.lists(st.tuples(st.sampled_from(["X-Pid", "x_pid"]) | texts, texts)).map(tuple),
    path_parameters=st.lists(st.tuples(st.just("pid") | texts, texts), max_size=3).map(tuple),
)
ROUTE = Route(path="/me/{pid}", methods=None, public=False, requirement=Requirement.of())


def verified(members: dict[str, Any], typ: str | None = None) -> VerifiedJws:
    header = {"alg": "ES256"} if typ is None else {"alg": "ES256", "typ": typ}
    return verify(parse(sign_compact(header, encode_object(members), SIGNER), {}), KEY)


def checked(
    issuer: TrustedIssuer, changes: dict[str, Any], typ: str | None = None
) -> AccessToken | None:
    merged = {**HONEST, **changes}
    members = {name: value for name, value in merged.items() if value is not ...}
    try:
        return check_claims(verified(members, typ), issuer, NOW)
    except Refused:
        return None


def test_the_honest_claims_pass_every_policy_of_their_form() -> None:
    for issuer in (ISSUERS[0], *ISSUERS[2:]):
        token = checked(issuer, {})
        assert token is not None
        assert token.security_level == 4
        assert token.scopes == {"a", "b"}


@given(st.sampled_from(ISSUERS), changes, st.sampled_from([None, "JWT", "at+jwt"]))
def test_any_claims_become_a_token_or_a_refusal(
    issuer: TrustedIssuer, changes: dict[str, Any], typ: str | None
) -> None:
    token = checked(issuer, changes, typ)
    if token is None:
        return
    # What is said of it is what it says, of the type that is promised.
    assert token.audience
    assert token.security_level in {0, 3, 4}
    assert all(type(scope) is str and scope for scope in token.scopes)
    for name in (token.subject, token.client_id, token.token_id):
        assert name is None or (name.isprintable() and name)
    units = [] if token.organisation is None else structs.astuple(token.organisation)
    for identifier, length in ((token.pid, 11), (token.hpr_number, None), *((u, 9) for u in units)):
        if identifier is not None:
            assert identifier.number.isascii()
            assert identifier.number.isdigit()
            assert length in {None, len(identifier.number)}


@given(changes, requirements, requests)
def test_any_demand_of_any_token_holds_or_refuses(
    changes: dict[str, Any], requirement: Requirement, request: HttpRequest
) -> None:
    token = checked(PLAIN, changes)
    if token is None:
        return
    parameters = parameters_of(ROUTE, request)
    try:
        authorize(token, requirement, request, parameters, NOW)
    except Refused as refused:
        detail = refused.refusal.detail or ""
        assert PID not in detail
        return
    # Admitted: each demand holds, as far as it is said again in one line.
    assert requirement.scopes <= token.scopes
    assert token.security_level >= requirement.security_level
    assert not requirement.any_scopes or requirement.any_scopes & token.scopes
    assert all(rule.objection(token, request, parameters) is None for rule in requirement.rules)


@given(rules, requests)
def test_a_rule_answers_the_same_to_the_same(rule: Rule, request: HttpRequest) -> None:
    token = checked(PLAIN, {"x": [1, "a"], "deep": {"x": 1}})
    assert token is not None
    first = rule.objection(token, request, {"pid": PID})
    assert first == rule.objection(token, request, {"pid": PID})
    assert AllOf((rule,)).objection(token, request, {"pid": PID}) == first
    assert (AnyOf((rule,)).objection(token, request, {"pid": PID}) is None) is (first is None)


@given(texts, texts, st.sampled_from(["query", "path", "header"]))
def test_whom_a_request_is_about_cannot_be_said_in_a_second_way(
    before: str, after: str, kind: str
) -> None:
    """Around the one name, anything may stand, and the value is still this person's or refused."""
    token = checked(PLAIN, {})
    assert token is not None
    other = "03851598730"
    request = HttpRequest(
        method="GET",
        url=f"/me/{other}?{before}&pid={other}&{after}",
        headers=((before, PID), ("pid", other), (after, PID)),
        path_parameters=((before, PID), ("pid", other), (after, PID)),
    )
    rule = MatchesRequest("pid", f"{kind}.pid")
    assert rule.objection(token, request, parameters_of(ROUTE, request)) is not None
