"""The claim checks by themselves, at their exact bounds."""

from typing import Any

import pytest
from msgspec.structs import replace

from portvakt import AccessToken, Code, Refused, TrustedIssuer
from portvakt.jose.encoding import encode_object
from portvakt.jose.jwk import import_jwk
from portvakt.jose.jws import parse, verify
from portvakt.jose.signer import Signer, sign_compact
from portvakt.policy.access_token import check_claims, check_introspected
from portvakt.policy.handles import NO_HANDLES
from portvakt.policy.identity import IdentityClaims
from portvakt.policy.issuer import ID_TOKEN_CLAIMS

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


def check(
    now: float = NOW, /, issuer: Any = ISSUER, typ: Any = None, **changes: Any
) -> AccessToken:
    members = {**CLAIMS, **changes}
    payload = {name: value for name, value in members.items() if value is not ...}
    header = {"alg": "ES256"} if typ is None else {"alg": "ES256", "typ": typ}
    jws = verify(parse(sign_compact(header, payload, SIGNER), {}), KEY)
    return check_claims(jws, issuer, now)


def code_for(now: float = NOW, /, **changes: Any) -> Code:
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


def test_how_a_token_came_is_on_it() -> None:
    jws = verify(parse(sign_compact({"alg": "ES256"}, CLAIMS, SIGNER), {}), KEY)
    open_one, sealed = check(), check_claims(jws, ISSUER, NOW, encrypted=True, revocable=True)
    assert (open_one.encrypted, open_one.by_reference) == (False, False)
    assert (sealed.encrypted, sealed.by_reference) == (True, False)
    answered = check_introspected(dict(CLAIMS), encode_object(CLAIMS), ISSUER, NOW)
    assert (answered.encrypted, answered.by_reference) == (False, True)
    # What nobody will ask for costs nothing.
    assert open_one.handles == answered.handles == NO_HANDLES != sealed.handles


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
    assert code_for(issuer=issuer, **claims) is Code.SCOPE_MALFORMED


LIKE = replace(ISSUER, types=frozenset({"at+jwt", "jwt", "absent"}))


@pytest.mark.parametrize("typ", [None, "JWT", "jwt", "application/jwt", "dpop+jwt", "logout+jwt"])
@pytest.mark.parametrize("name", sorted(ID_TOKEN_CLAIMS))
def test_what_only_other_tokens_have_is_in_no_access_token(typ: str | None, name: str) -> None:
    values: list[Any] = ["x", None, "", [], False]
    for value in values:
        assert code_for(issuer=LIKE, typ=typ, **{name: value}) is Code.NOT_ACCESS_TOKEN
    assert check(issuer=LIKE, typ=typ, **{f"{name}_": "x"}).subject == "s"


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_a_token_whose_typ_says_what_it_is_may_have_them(typ: str) -> None:
    claims = dict.fromkeys(ID_TOKEN_CLAIMS, "x")
    assert check(issuer=LIKE, typ=typ, **claims).subject == "s"


@pytest.mark.parametrize("typ", ["at+jwt", "JWT", None])
@pytest.mark.parametrize(
    ("value", "met"),
    [
        ("Bearer", True),
        ("DPoP", True),
        ("ID", False),
        ("bearer", False),
        ("B", False),
        ("", False),
        (..., False),
        (None, False),
        (True, False),
        (0, False),
        # No set can be asked for these: they have no hash.
        (["Bearer"], False),
        ({"Bearer": "Bearer"}, False),
        ([[]], False),
    ],
)
def test_a_value_that_tells_access_tokens_is_demanded_of_each(
    typ: str | None, value: Any, met: bool
) -> None:
    expected = (("kind", frozenset({"Bearer", "DPoP"})),)
    issuer = replace(LIKE, expected_values=expected)
    if met:
        assert check(issuer=issuer, typ=typ, kind=value).subject == "s"
    else:
        assert code_for(issuer=issuer, typ=typ, kind=value) is Code.NOT_ACCESS_TOKEN


RENAMED = replace(
    ISSUER,
    subject_claim="oid",
    client_claim="azp",
    token_id_claim="uti",
    required_claims=frozenset({"oid", "azp"}),
)


def test_claims_may_have_other_names() -> None:
    token = check(issuer=RENAMED, oid="o", azp="a", uti="u")
    assert (token.subject, token.client_id, token.token_id) == ("o", "a", "u")
    # The usual names are other claims then, which nobody looks at.
    others = check(issuer=RENAMED, oid="o", azp="a", sub=[], client_id=None, jti=1)
    assert (others.subject, others.client_id, others.token_id) == ("o", "a", None)


@pytest.mark.parametrize("name", ["oid", "azp", "uti"])
@pytest.mark.parametrize("value", [None, "", 1, True, [], ["a"], {}, "x" * 1025, "a\n", "\u202e"])
def test_a_renamed_claim_is_looked_at_as_the_usual_one(name: str, value: Any) -> None:
    claims = {"oid": "o", "azp": "a", "uti": "u", name: value}
    assert code_for(issuer=RENAMED, **claims) is Code.CLAIM_MALFORMED


@pytest.mark.parametrize("name", ["oid", "azp"])
def test_a_renamed_claim_that_is_required_is_missed(name: str) -> None:
    claims = {"oid": "o", "azp": "a", name: ...}
    assert code_for(issuer=RENAMED, **claims) is Code.CLAIM_MISSING


def test_what_is_known_of_an_issuers_lifetimes_is_on_its_tokens() -> None:
    known = replace(ISSUER, max_lifetime=5700.0, known_lifetime=5700.0)
    assert check().known_lifetime == 0
    assert check(issuer=known, exp=NOW + 5700).known_lifetime == 5700
    assert code_for(issuer=known, exp=NOW + 5701) is Code.LIFETIME_TOO_LONG


@pytest.mark.parametrize(
    ("auth_time", "met"),
    [
        (0, True),
        (NOW, True),
        (NOW + 30, True),
        (NOW + 30.5, False),
        (NOW + 86400, False),
        (253402300799, False),
    ],
)
def test_nobody_signs_in_in_the_future(auth_time: float, met: bool) -> None:
    issuer = replace(ISSUER, identity=IdentityClaims(authenticated_at=("auth_time",)))
    if met:
        assert check(issuer=issuer, auth_time=auth_time).identity.authenticated_at == auth_time
    else:
        # It would be recent enough for every route, for ever.
        assert code_for(issuer=issuer, auth_time=auth_time) is Code.IDENTITY_MALFORMED


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


def test_a_clock_at_the_beginning_of_time_refuses_what_comes_later() -> None:
    assert code_for(0) is Code.ISSUED_IN_FUTURE
    assert code_for(0, nbf=NOW) is Code.NOT_YET_VALID
    assert check(0, iat=0, nbf=0, exp=300).issued_at == 0
