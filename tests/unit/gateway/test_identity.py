"""What the API is told of who was admitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways import READ
from portvakt.config.gateway_schema import DEFAULT_FIELDS, FIELDS
from portvakt.gateway import identity
from portvakt.gateway.identity import IdentityHeaders, IdentityJwt
from portvakt.jose.jws import parse, verify
from portvakt.jose.signer import Signer
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portvakt import AccessToken

NOW = 1_800_000_000.0


MANY = [f"{number}/{'a' * 200}" for number in range(40)]


def verified(issuer: FakeIssuer, scopes: Iterable[str] = (READ,), **claims: Any) -> AccessToken:
    guard = issuer.guard()
    decision = guard.check_blocking(issuer.request(issuer.token(scopes=scopes, claims=claims)))
    assert decision.token is not None, decision.refusal
    return decision.token


@pytest.fixture(scope="module")
def issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture(scope="module")
def helseid() -> AccessToken:
    issuer = FakeIssuer(profile="helseid-test")
    guard = issuer.guard(
        route=[
            {
                "path": "/",
                "security_level": 4,
                "require": ["pid", "hpr_number", "organisation"],
            }
        ]
    )
    decision = guard.check_blocking(issuer.request(issuer.token()))
    assert decision.token is not None, decision.refusal
    return decision.token


def test_every_field_has_its_header(helseid: AccessToken) -> None:
    told = dict(IdentityHeaders(FIELDS).tell(helseid, NOW) or ())
    assert list(told) == [f"x-portvakt-{name.replace('_', '-')}" for name in FIELDS]
    organisation = helseid.organisation
    assert organisation is not None
    assert told["x-portvakt-issuer"] == helseid.issuer
    assert told["x-portvakt-client-id"] == helseid.client_id
    assert told["x-portvakt-security-level"] == "4"
    assert told["x-portvakt-pid"] == helseid.claims["helseid://claims/identity/pid"]
    assert told["x-portvakt-hpr-number"] == helseid.claims["helseid://claims/hpr/hpr_number"]
    parent = organisation.parent
    assert parent is not None
    assert told["x-portvakt-organisation"] == parent.number
    assert told["x-portvakt-expires-at"] == str(int(helseid.expires_at))


def test_a_persons_number_is_told_only_where_somebody_wrote_it_down(helseid: AccessToken) -> None:
    told = IdentityHeaders(DEFAULT_FIELDS).tell(helseid, NOW)
    assert helseid.claims["helseid://claims/identity/pid"] not in str(told)


def test_what_is_not_said_is_an_empty_header(issuer: FakeIssuer) -> None:
    told = dict(IdentityHeaders(FIELDS).tell(verified(issuer), NOW) or ())
    for name in ("pid", "hpr-number", "organisation", "security-level", "supplier"):
        assert told[f"x-portvakt-{name}"] == ""


@pytest.mark.attack("HTTP-17")
@pytest.mark.parametrize(
    ("subject", "written"),
    [
        ("æøå", "%C3%A6%C3%B8%C3%A5"),
        ("a,b;c", "a%2Cb%3Bc"),
        ("100%", "100%25"),
        (" a ", "%20a%20"),
        ('"a"', "%22a%22"),
        ("a b", "a b"),
    ],
)
def test_a_value_cannot_leave_its_header(issuer: FakeIssuer, subject: str, written: str) -> None:
    told = dict(IdentityHeaders(["subject"]).tell(verified(issuer, sub=subject), NOW) or ())
    assert told == {"x-portvakt-subject": written}


@given(st.text(min_size=1, max_size=60))
def test_every_value_is_visible_ascii_and_comes_back(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        return
    written = identity._encoded(value)
    assert written.isascii()
    assert written.isprintable()
    assert written == written.strip()
    assert unquote(written) == value


@pytest.mark.attack("HTTP-17")
def test_a_line_break_stays_inside() -> None:
    assert identity._encoded("a\r\nX-Portvakt-Pid: 1") == "a%0D%0AX-Portvakt-Pid: 1"


def test_it_is_made_once_for_a_token(issuer: FakeIssuer) -> None:
    teller = IdentityHeaders(FIELDS)
    one, other = verified(issuer), verified(issuer, sub="other")
    assert teller.tell(one, NOW) is teller.tell(one, NOW)
    assert teller.tell(one, NOW) != teller.tell(other, NOW)


def test_no_more_tokens_are_remembered_than_the_bound(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "_MAX_REMEMBERED", 2)
    headers = IdentityHeaders(FIELDS)
    jwts = IdentityJwt(FIELDS, Signer.generate("ES256"), "https://a.test", "api", 30)
    for teller in (headers, jwts):
        tokens = [verified(issuer, sub=str(number)) for number in range(4)]
        told = [str(teller.tell(one, NOW)) for one in tokens]
        assert len(set(told)) == 4
        assert len(teller._remembered) == 2


def test_what_is_too_long_is_not_told(issuer: FakeIssuer) -> None:
    token = verified(issuer, MANY)
    assert IdentityHeaders(["scopes"]).tell(token, NOW) is None
    jwts = IdentityJwt(["scopes"], Signer.generate("ES256"), "https://a.test", "api", 30)
    assert jwts.tell(token, NOW) is None


class TestJwt:
    """One short-lived JWT that only this gateway can have written."""

    def claims(self, told: Any, signer: Signer) -> Any:
        import msgspec

        from portvakt.jose.jwk_set import JwkSet

        ((name, jwt),) = told
        assert name == "x-portvakt-token"
        unverified = parse(jwt, {})
        keys = JwkSet.from_object({"keys": [signer.public_jwk()]}, frozenset({signer.alg}))
        found = verify(unverified, keys.keys[0])
        assert found.header.typ == "portvakt-identity+jwt"
        return msgspec.json.decode(found.payload)

    def test_it_says_who_wrote_it_for_whom_and_until_when(self, helseid: AccessToken) -> None:
        signer = Signer.generate("ES256", "gateway-1")
        teller = IdentityJwt(FIELDS, signer, "https://api.test", "nhn:journal", 30)
        now = helseid.issued_at
        claims = self.claims(teller.tell(helseid, now), signer)
        assert claims["iss"] == "https://api.test"
        assert claims["aud"] == "nhn:journal"
        assert claims["exp"] == int(now) + 30
        assert claims["sub"] == helseid.subject
        assert claims["token_issuer"] == helseid.issuer
        assert claims["scope"] == " ".join(sorted(helseid.scopes))
        assert claims["security_level"] == 4
        assert claims["pid"] == helseid.claims["helseid://claims/identity/pid"]

    def test_it_never_outlives_the_token(self, issuer: FakeIssuer) -> None:
        signer = Signer.generate("Ed25519")
        token = verified(issuer)
        teller = IdentityJwt(FIELDS, signer, "https://api.test", "api", 30)
        claims = self.claims(teller.tell(token, token.expires_at - 5), signer)
        assert claims["exp"] == int(token.expires_at)

    def test_half_of_its_time_it_serves_every_request(self, issuer: FakeIssuer) -> None:
        teller = IdentityJwt(FIELDS, Signer.generate("ES256"), "https://api.test", "api", 30)
        token = verified(issuer)
        first = teller.tell(token, NOW)
        assert teller.tell(token, NOW + 14.9) is first
        assert teller.tell(token, NOW + 15) != first

    def test_of_nobody_it_says_nothing(self) -> None:
        teller = IdentityJwt(FIELDS, Signer.generate("ES256"), "https://api.test", "api", 30)
        assert teller.tell(None, NOW) == [("x-portvakt-token", "")]
