"""The claim checks by themselves, at their exact bounds."""

from typing import Any

import pytest
from msgspec.structs import replace

from portvakt import AccessToken, Code, Refused, TrustedIssuer
from portvakt.jose.jwk import import_jwk
from portvakt.jose.jws import parse, verify
from portvakt.jose.signer import Signer, sign_compact
from portvakt.policy.access_token import check_claims

SIGNER = Signer.generate("ES256")
KEY = import_jwk(SIGNER.public_jwk(), frozenset({"ES256"}))
ISSUER = TrustedIssuer(
    issuer="https://issuer.test",
    audience="api",
    algorithms=frozenset({"ES256"}),
    other_audiences=frozenset({"account"}),
)
NOW = 1_800_000_000
CLAIMS: dict[str, Any] = {
    "iss": "https://issuer.test",
    "aud": "api",
    "sub": "s",
    "client_id": "c",
    "jti": "j",
    "iat": NOW,
    "exp": NOW + 300,
}


def check(now: float = NOW, issuer: TrustedIssuer = ISSUER, **changes: Any) -> AccessToken:
    members = {**CLAIMS, **changes}
    payload = {name: value for name, value in members.items() if value is not ...}
    jws = verify(parse(sign_compact({"alg": "ES256"}, payload, SIGNER), {}), KEY)
    return check_claims(jws, issuer, now)


def code_for(now: float = NOW, **changes: Any) -> Code:
    with pytest.raises(Refused) as refused:
        check(now, **changes)
    return refused.value.refusal.code


def test_the_honest_claims_pass() -> None:
    token = check(scope="a b", nbf=NOW, cnf={"jkt": "x"})
    assert (token.subject, token.client_id, token.token_id) == ("s", "c", "j")
    assert (token.issued_at, token.not_before, token.expires_at) == (NOW, NOW, NOW + 300)
    assert token.scopes == {"a", "b"}
    assert token.confirmation is not None
    assert token.confirmation["jkt"] == "x"
    assert token.key_thumbprint == KEY.thumbprint
    assert check().confirmation is None
    assert check().not_before is None
    assert check(scope="").scopes == check(scope=[]).scopes == check().scopes == frozenset()


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scp": "a b"}, {"a", "b"}),
        ({"roles": ["r"]}, {"r"}),
        # A person may be an administrator; the client was granted a, and not that.
        ({"scp": "a", "roles": ["admin"]}, {"a"}),
        ({"scp": "", "roles": ["admin"]}, set()),
        ({"scp": [], "roles": ["admin"]}, set()),
        ({}, set()),
    ],
)
def test_the_first_claim_that_is_there_says_what_is_granted(
    claims: dict[str, Any], scopes: set[str]
) -> None:
    issuer = replace(ISSUER, scope_claims=("scp", "roles"))
    assert check(issuer=issuer, **claims).scopes == scopes


@pytest.mark.parametrize("claims", [{"scp": 1}, {"scp": "a", "roles": [1]}, {"roles": None}])
def test_no_claim_that_may_say_it_is_malformed(claims: dict[str, Any]) -> None:
    issuer = replace(ISSUER, scope_claims=("scp", "roles"))
    with pytest.raises(Refused) as refused:
        check(issuer=issuer, **claims)
    assert refused.value.refusal.code is Code.SCOPE_MALFORMED


@pytest.mark.parametrize(
    "iss", ["https://a.test", "https://z.test", ["https://issuer.test"], 1, ...]
)
def test_the_verified_issuer_is_compared_again(iss: object) -> None:
    assert code_for(iss=iss) is Code.ISSUER_CHANGED


@pytest.mark.parametrize(
    ("now", "changes", "code"),
    [
        (NOW + 304.9, {}, None),
        (NOW + 305, {}, Code.TOKEN_EXPIRED),
        (NOW + 304.9, {"exp": NOW + 300.0}, None),
        (NOW, {"exp": 253402300799, "iat": NOW}, Code.LIFETIME_TOO_LONG),
        (NOW, {"exp": 253402300800}, Code.EXPIRY_MALFORMED),
        (NOW, {"exp": -1}, Code.TOKEN_EXPIRED),
        (NOW, {"nbf": NOW + 5}, None),
        (NOW, {"nbf": NOW + 5.5}, Code.NOT_YET_VALID),
        (NOW, {"nbf": NOW + 6}, Code.NOT_YET_VALID),
        (NOW, {"nbf": -1}, None),
        (NOW, {"iat": NOW + 30}, None),
        (NOW, {"iat": NOW + 30.5}, Code.ISSUED_IN_FUTURE),
        (NOW, {"iat": NOW + 31}, Code.ISSUED_IN_FUTURE),
        (NOW, {"iat": NOW, "exp": NOW}, None),
        (NOW, {"iat": NOW + 1, "exp": NOW}, Code.ISSUED_AT_MALFORMED),
        (NOW, {"exp": NOW + 3600}, None),
        (NOW, {"exp": NOW + 3600.5}, Code.LIFETIME_TOO_LONG),
        (NOW, {"exp": NOW + 3601}, Code.LIFETIME_TOO_LONG),
        (NOW, {"jti": "j" * 1024}, None),
        (NOW, {"jti": "j" * 1025}, Code.CLAIM_MALFORMED),
        (NOW, {"sub": "s" * 1024}, None),
        (NOW, {"sub": "s" * 1025}, Code.CLAIM_MALFORMED),
        (NOW, {"client_id": "c" * 1024}, None),
        (NOW, {"client_id": "c" * 1025}, Code.CLAIM_MALFORMED),
        (NOW, {"sub": "s"}, None),
        (NOW, {"sub": ""}, Code.CLAIM_MALFORMED),
        (NOW, {"client_id": ""}, Code.CLAIM_MALFORMED),
        (NOW, {"jti": ""}, Code.CLAIM_MALFORMED),
        (NOW, {"aud": ["api"]}, None),
        (NOW, {"aud": ["account", "api"]}, None),
        (NOW, {"aud": ["api", "other"]}, Code.AUDIENCE_EXTRA),
        (NOW, {"aud": ["account"]}, Code.AUDIENCE_WRONG),
        (NOW, {"aud": "account"}, Code.AUDIENCE_WRONG),
        (NOW, {"aud": "ap"}, Code.AUDIENCE_WRONG),
        (NOW, {"aud": "apj"}, Code.AUDIENCE_WRONG),
        (NOW, {"aud": "aph"}, Code.AUDIENCE_WRONG),
        (NOW, {"aud": ...}, Code.AUDIENCE_MISSING),
        (NOW, {"aud": ["api", 1]}, Code.AUDIENCE_MALFORMED),
        (NOW, {"aud": {"api": 1}}, Code.AUDIENCE_MALFORMED),
        (NOW, {"scope": "a  b"}, Code.SCOPE_MALFORMED),
        (NOW, {"scope": ["a", ""]}, Code.SCOPE_MALFORMED),
        (NOW, {"scope": ["a", 1]}, Code.SCOPE_MALFORMED),
        (NOW, {"scope": {"a": 1}}, Code.SCOPE_MALFORMED),
        (NOW, {"scope": None}, Code.SCOPE_MALFORMED),
        (NOW, {"cnf": None}, Code.CLAIM_MALFORMED),
        (NOW, {"cnf": []}, Code.CLAIM_MALFORMED),
        (NOW, {"jti": ...}, Code.CLAIM_MISSING),
    ],
)
def test_every_bound_is_exact(now: float, changes: dict[str, Any], code: Code | None) -> None:
    if code is None:
        assert check(now, **changes).issuer == "https://issuer.test"
    else:
        assert code_for(now, **changes) is code


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ["1800000300", True, None, [], {}])
def test_times_are_numbers(name: str, value: object) -> None:
    assert code_for(NOW, **{name: value}).value.endswith("_malformed")


@pytest.mark.parametrize("name", ["exp", "iat"])
def test_times_that_must_be_there_are_missed(name: str) -> None:
    assert code_for(NOW, **{name: ...}).value.endswith("_missing")
