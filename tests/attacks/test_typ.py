"""Family TYP: other JWTs of the same issuer, genuine in every respect, sent as access tokens."""

from typing import Any, Final

import pytest

from portvakt import Code, Decision, Guard
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
STRICT: Final = ISSUER.guard()
NOW: Final = int(ISSUER.clock())


def guard_with(**issuer: Any) -> Guard:
    config = ISSUER.config()
    config["issuer"][0].update(issuer)
    return Guard.from_config(config, clock=ISSUER.clock)


#: A policy for an issuer that types its access tokens as anything, or not at all.
LEGACY: Final = guard_with(typ=["at+jwt", "JWT", "absent"])


def judge(token: str, guard: Guard = STRICT) -> Decision:
    return guard.check_blocking(ISSUER.request(token))


def code_of(decision: Decision) -> Code | None:
    assert decision.token is None or decision.admitted
    return None if decision.refusal is None else decision.refusal.code


ID_TOKEN: Final = {"aud": "client", "nonce": "n", "at_hash": "h", "auth_time": NOW, "azp": "client"}


@pytest.mark.attack("TYP-01")
def test_an_id_token_is_no_access_token() -> None:
    honest = ISSUER.builder()
    for typ in ("JWT", "jwt", "id_token+jwt"):
        assert (
            code_of(judge(honest.claims(**ID_TOKEN).header(typ=typ).build())) is Code.TYPE_REFUSED
        )
    untyped = honest.claims(**ID_TOKEN).without_header("typ").build()
    assert code_of(judge(untyped)) is Code.TYPE_REFUSED
    # Where the type does not tell, the rest does: what only an ID token has, for whom it is, and
    # what it lacks.
    assert code_of(judge(untyped, LEGACY)) is Code.NOT_ACCESS_TOKEN
    for only in ("nonce", "at_hash"):
        for_us = honest.claims(**{only: "x"}).without_header("typ").build()
        assert code_of(judge(for_us, LEGACY)) is Code.NOT_ACCESS_TOKEN
    for_another = honest.claims(aud="client").without_header("typ").build()
    assert code_of(judge(for_another, LEGACY)) is Code.AUDIENCE_WRONG
    assert code_of(judge(honest.claims(**ID_TOKEN).build())) is Code.AUDIENCE_WRONG
    for missing in ("client_id", "jti"):
        stripped = honest.without(missing).without_header("typ").build()
        assert code_of(judge(stripped, LEGACY)) is Code.CLAIM_MISSING


@pytest.mark.attack("TYP-02")
@pytest.mark.parametrize("typ", ["rt+jwt", "refresh+jwt", "Refresh", "JWT"])
def test_a_refresh_token_is_no_access_token(typ: str) -> None:
    refresh = ISSUER.builder().header(typ=typ).claims(token_use="refresh").build()
    assert code_of(judge(refresh)) is Code.TYPE_REFUSED


#: Kinds of JWTs, by the type that their specification gives them.
OTHERS: Final = {
    "logout token": "logout+jwt",
    "security event": "secevent+jwt",
    "introspection answer": "token-introspection+jwt",
    "client assertion": "client-authentication+jwt",
    "request object": "oauth-authz-req+jwt",
    "DPoP proof": "dpop+jwt",
    "entity statement": "entity-statement+jwt",
    "status list": "statuslist+jwt",
    "key binding": "kb+jwt",
    "verifiable credential": "dc+sd-jwt",
    "authorization grant": "authorization-grant+jwt",
    "JWE": "JOSE",
    "JSON serialization": "JOSE+JSON",
}


@pytest.mark.attack("TYP-03")
@pytest.mark.parametrize("typ", OTHERS.values(), ids=OTHERS)
def test_a_jwt_of_another_kind_is_no_access_token(typ: str) -> None:
    for spelling in (typ, f"application/{typ}", typ.upper()):
        other = ISSUER.builder().header(typ=spelling).build()
        assert code_of(judge(other)) is Code.TYPE_REFUSED
        assert code_of(judge(other, LEGACY)) is Code.TYPE_REFUSED


#: Kinds that are typed "JWT" or not at all, and what gives them away under a lenient policy.
UNTYPED: Final[dict[str, tuple[dict[str, Any], Code]]] = {
    "authorization response (JARM)": ({"aud": "client", "code": "c"}, Code.AUDIENCE_WRONG),
    "software statement": ({"aud": None, "software_id": "s"}, Code.AUDIENCE_MISSING),
    "client assertion": ({"aud": "https://issuer.test/token"}, Code.AUDIENCE_WRONG),
    "userinfo": ({"aud": "client", "email": "a@example.test"}, Code.AUDIENCE_WRONG),
    "logout token": ({"aud": "client", "events": {}, "sid": "s"}, Code.NOT_ACCESS_TOKEN),
    "security event": ({"exp": "never", "events": {}}, Code.NOT_ACCESS_TOKEN),
}


@pytest.mark.attack("TYP-03")
@pytest.mark.parametrize(("claims", "code"), UNTYPED.values(), ids=UNTYPED)
def test_a_jwt_without_a_type_of_its_own_is_refused_for_what_it_says(
    claims: dict[str, Any], code: Code
) -> None:
    other = ISSUER.builder().claims(**claims)
    for typed in (other.header(typ="JWT"), other.without_header("typ")):
        assert code_of(judge(typed.build())) is Code.TYPE_REFUSED
        assert code_of(judge(typed.build(), LEGACY)) is code


@pytest.mark.attack("TYP-04")
def test_an_untyped_jwt_is_refused_unless_the_policy_allows_it() -> None:
    assert code_of(judge(ISSUER.builder().header(typ="JWT").build())) is Code.TYPE_REFUSED
    assert code_of(judge(ISSUER.builder().without_header("typ").build())) is Code.TYPE_REFUSED
    only_jwt, only_absent = guard_with(typ=["JWT"]), guard_with(typ=["absent"])
    assert (
        code_of(judge(ISSUER.builder().without_header("typ").build(), only_jwt))
        is Code.TYPE_REFUSED
    )
    for typ in ("at+jwt", "JWT"):
        typed = ISSUER.builder().header(typ=typ).build()
        assert code_of(judge(typed, only_absent)) is Code.TYPE_REFUSED
    assert code_of(judge(ISSUER.token(), only_jwt)) is Code.TYPE_REFUSED
    # The word that a policy uses for "no type" is no type.
    named = ISSUER.builder().header(typ="absent").build()
    assert code_of(judge(named, only_absent)) is Code.HEADER_PARAMETER


@pytest.mark.twin("TYP-01", "TYP-02", "TYP-03", "TYP-04")
@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/at+JWT"])
def test_an_access_token_is_admitted_in_every_spelling_of_its_type(typ: str) -> None:
    assert judge(ISSUER.builder().header(typ=typ).build()).admitted
    assert judge(ISSUER.builder().header(typ=typ).build(), LEGACY).admitted


@pytest.mark.twin("TYP-04")
def test_an_untyped_access_token_is_admitted_where_the_policy_says_so() -> None:
    assert judge(ISSUER.builder().header(typ="JWT").build(), LEGACY).admitted
    assert judge(ISSUER.builder().without_header("typ").build(), LEGACY).admitted


@pytest.mark.attack("TYP-06", "HDR-14")
def test_a_type_on_the_outside_says_nothing_about_what_is_inside() -> None:
    inner = ISSUER.builder().header(typ="JWT").build()
    for header in ({}, {"cty": "JWT"}, {"cty": "at+jwt"}):
        outer = ISSUER.builder().header(**header)
        for payload in (inner, f'"{inner}"', f'["{inner}"]'):
            assert code_of(judge(outer.payload(payload.encode()).build())) is Code.ISSUER_MISSING


@pytest.mark.attack("TYP-06")
def test_claims_of_a_token_inside_a_claim_are_not_read() -> None:
    inner = ISSUER.token(claims={"aud": "test-api"})
    outer = ISSUER.builder().without("aud").claims(access_token=inner, vp=[inner])
    assert code_of(judge(outer.build())) is Code.AUDIENCE_MISSING


@pytest.mark.twin("TYP-06", "HDR-14")
def test_a_token_that_carries_another_as_a_claim_is_judged_by_its_own_claims() -> None:
    inner = ISSUER.forged("expired")
    assert judge(ISSUER.token(claims={"evidence": inner})).admitted
    assert judge(ISSUER.token(header={"cty": "JWT"})).admitted


@pytest.mark.attack("TYP-07")
@pytest.mark.parametrize(
    "iss", ["https://issuer-staging.test", "https://issuer.test/staging", "http://issuer.test"]
)
def test_another_environment_with_the_same_keys_is_another_issuer(iss: str) -> None:
    staging = ISSUER.builder().claims(iss=iss).build()
    assert code_of(judge(staging)) is Code.ISSUER_UNKNOWN
    # And where it is trusted too, it is trusted under its own policy.
    config = ISSUER.config()
    config["issuer"].append({**config["issuer"][0], "issuer": iss, "audience": "staging-api"})
    both = Guard.from_config(config, clock=ISSUER.clock)
    assert code_of(judge(staging, both)) is Code.AUDIENCE_WRONG


@pytest.mark.twin("TYP-07")
def test_two_environments_with_the_same_keys_are_each_admitted_under_its_policy() -> None:
    config = ISSUER.config()
    config["issuer"].append(
        {**config["issuer"][0], "issuer": "https://staging.test", "audience": "staging-api"}
    )
    both = Guard.from_config(config, clock=ISSUER.clock)
    staging = ISSUER.builder().claims(iss="https://staging.test", aud="staging-api").build()
    assert judge(staging, both).admitted
    assert judge(ISSUER.token(), both).admitted


@pytest.mark.attack("TYP-08", "API-09")
@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("opaque-reference-token", Code.TOKEN_PARTS),
        ("0123456789abcdef", Code.TOKEN_PARTS),
        ("a.b", Code.TOKEN_PARTS),
        ("a.b.c", Code.TOKEN_ENCODING),
        ("e30.e30.e30", Code.HEADER_PARAMETER),
        ("a.b.c.d.e", Code.TOKEN_ENCRYPTED),
        ("v4.public.abc.def", Code.TOKEN_PARTS),
        ("anonymous", Code.TOKEN_PARTS),
        ("null", Code.TOKEN_PARTS),
        ("undefined", Code.TOKEN_PARTS),
    ],
)
def test_what_is_no_jwt_is_refused_and_never_taken_for_something_else(
    token: str, code: Code
) -> None:
    decision = judge(token)
    assert code_of(decision) is code
    assert decision.response is not None
    assert decision.response.status == 401


@pytest.mark.twin("TYP-08", "API-09")
def test_a_jwt_is_judged_as_a_jwt_after_any_of_these() -> None:
    guard = ISSUER.guard()
    for token in ("opaque-reference-token", "a.b.c", "null"):
        assert not judge(token, guard).admitted
    assert judge(ISSUER.token(), guard).admitted
