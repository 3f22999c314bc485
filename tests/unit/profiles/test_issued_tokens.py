"""Tokens as the issuers write them: the honest are admitted and understood, the others never."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from portvakt.jose.encoding import encode_object
from portvakt.jose.header import ABSENT
from portvakt.profiles.profile import load_profile, profile_names
from portvakt.testing import FakeIssuer, FrozenClock
from profile_tokens import Expected, IssuedToken, issued_tokens

if TYPE_CHECKING:
    from portvakt import AccessToken, Guard
    from portvakt.policy.decision import Decision

EXPLICIT_TYPE = "at+jwt"

IGNORED = ["security_level", "pid", "hpr_number", "organisation"]
TOKENS = issued_tokens()
HONEST = [token for token in TOKENS if token.honest]
OTHERS = [token for token in TOKENS if "ID token" in token.what or "logout" in token.what]


@cache
def issuer_of(profile: str, iss: str, audience: str, now: float) -> FakeIssuer:
    clock = FrozenClock(now)
    return FakeIssuer(iss, profile=profile, audience=audience, alg="RS256", clock=clock)


@cache
def guard_of(issuer: FakeIssuer) -> Guard:
    # Low sensitivity: what a profile says of lifetimes is all there is.
    audience = issuer.trusted.audience
    return issuer.guard(api={"audience": audience, "ignore": IGNORED, "sensitivity": "low"})


def judge(
    token: IssuedToken, payload: dict[str, Any] | None = None, header: dict[str, Any] | None = None
) -> Decision:
    """Let an API judge a token right after it was issued, signed as its issuer would."""
    claims = token.payload
    issuer = issuer_of(token.profile, claims["iss"], token.audience, claims["iat"] + 1)
    builder = issuer.builder().payload(encode_object(claims if payload is None else payload))
    builder = builder.without_header("typ").header(**(token.header if header is None else header))
    return guard_of(issuer).check_blocking(issuer.request(builder.build()))


def outcome(decision: Decision) -> str:
    return "admitted" if decision.refusal is None else decision.refusal.code.value


@pytest.mark.parametrize("token", TOKENS, ids=str)
def test_each_gets_what_is_due_to_it(token: IssuedToken) -> None:
    assert outcome(judge(token)) == token.outcome


def known(token: AccessToken) -> dict[str, Any]:
    """What an access token says, by the names of Expected."""
    organisation = token.organisation
    return {
        "subject": token.subject,
        "client_id": token.client_id,
        "token_id": token.token_id,
        "scopes": tuple(sorted(token.scopes)),
        "security_level": token.security_level,
        "pid": token.pid and token.pid.number,
        "hpr_number": token.hpr_number and token.hpr_number.number,
        "parent": organisation and organisation.parent and organisation.parent.number,
        "child": organisation and organisation.child and organisation.child.number,
        "supplier": organisation and organisation.supplier and organisation.supplier.number,
        "tenancy": token.identity.tenancy,
        "client_name": token.identity.client_name,
    }


@pytest.mark.parametrize("token", [token for token in TOKENS if token.expect], ids=str)
def test_what_it_says_is_understood(token: IssuedToken) -> None:
    admitted = judge(token).token
    assert admitted is not None
    found = known(admitted)
    for name in Expected.__struct_fields__:
        value = getattr(token.expect, name)
        if value is not None:
            value = tuple(sorted(value)) if isinstance(value, tuple) else value
            assert (name, found[name]) == (name, value)


@pytest.mark.parametrize("token", OTHERS, ids=str)
def test_no_other_token_passes_whatever_type_its_issuer_may_leave_out(token: IssuedToken) -> None:
    # An issuer that writes at+jwt into an ID token says that it is an access token.
    for typ in {*load_profile(token.profile).typ} - {EXPLICIT_TYPE}:
        assert outcome(judge(token, header={} if typ == ABSENT else {"typ": typ})) != "admitted"


@pytest.mark.parametrize("token", HONEST, ids=str)
def test_what_only_other_tokens_have_refuses(token: IssuedToken) -> None:
    profile = load_profile(token.profile)
    typ = token.header.get("typ", ABSENT).removeprefix("application/")
    for name in profile.refused_claims if typ != EXPLICIT_TYPE else ():
        assert outcome(judge(token, {**token.payload, name: "x"})) == "not_access_token"
    for name in profile.expected_values:
        assert outcome(judge(token, {**token.payload, name: "x"})) == "not_access_token"


@pytest.mark.parametrize("token", HONEST, ids=str)
def test_what_its_profile_requires_is_required(token: IssuedToken) -> None:
    profile = load_profile(token.profile)
    for name in {*profile.required_claims} - profile.expected_values.keys():
        payload = {key: value for key, value in token.payload.items() if key != name}
        assert outcome(judge(token, payload)) == "claim_missing"


def neighbour(profile: str) -> str:
    """The same issuer's other environment."""
    return profile.removesuffix("-test") if profile.endswith("-test") else f"{profile}-test"


@pytest.mark.parametrize(
    "token", [one for one in HONEST if neighbour(one.profile) in profile_names()], ids=str
)
def test_the_token_of_one_environment_is_nothing_in_the_other(token: IssuedToken) -> None:
    claims = token.payload
    issuer = issuer_of(token.profile, claims["iss"], token.audience, claims["iat"] + 1)
    theirs = FakeIssuer(
        profile=neighbour(token.profile), audience=token.audience, alg="RS256", clock=issuer.clock
    )
    signed = issuer.builder().payload(encode_object(claims)).build()
    decision = guard_of(theirs).check_blocking(theirs.request(signed))
    assert outcome(decision) == "issuer_unknown"


@pytest.mark.parametrize(
    "number", ["03851598730", "41819077302", "55507608360", "15507600333"], ids=str
)
@pytest.mark.parametrize("profile", ["helseid", "idporten"])
def test_production_knows_no_synthetic_person_and_test_does(profile: str, number: str) -> None:
    # The same token, of either environment.
    for name, refused in ((profile, True), (f"{profile}-test", False)):
        claim = load_profile(name).claims.pid[0]
        token = next(one for one in HONEST if one.profile == name and claim in one.payload)
        decision = judge(token, {**token.payload, claim: number})
        assert outcome(decision) == ("identity_refused" if refused else "admitted")


def test_every_profile_has_honest_tokens_and_others() -> None:
    honest = Counter(token.profile for token in HONEST)
    others = Counter(token.profile for token in TOKENS if not token.honest)
    assert {*honest} == {*others} == {*profile_names()}
    # Maskinporten alone issues nothing but access tokens.
    issuers = {token.profile.removesuffix("-test") for token in TOKENS}
    assert {token.profile.removesuffix("-test") for token in OTHERS} == issuers - {"maskinporten"}
