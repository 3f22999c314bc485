"""The builder: an honest token for every policy, and changes that change one thing."""

from typing import Any, Final

import pytest

from portvakt import AccessToken, FixedKeys, Guard, HttpRequest, JwkSet, TrustedIssuer
from portvakt.forge.tokens import TokenBuilder
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.encoding import decode_base64url, decode_object
from portvakt.jose.signer import Signer

NOW: Final = 1_800_000_000.0
SIGNER: Final = Signer.generate("ES256")
OTHER: Final = Signer.generate("ES256", "other")


def policy(**more: Any) -> TrustedIssuer:
    given = {"issuer": "https://issuer.test", "audience": "api", "algorithms": frozenset({"ES256"})}
    return TrustedIssuer(**{**given, **more})


def admitted(issuer: TrustedIssuer, token: str, signer: Signer = SIGNER) -> AccessToken | None:
    keys = JwkSet.from_object({"keys": [signer.public_jwk()]}, issuer.algorithms)
    guard = Guard(issuers=[issuer], keys=FixedKeys({issuer.issuer: keys}), clock=lambda: NOW)
    headers = (("Authorization", f"Bearer {token}"),)
    return guard.check_blocking(HttpRequest(method="GET", url="/", headers=headers)).token


def read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload, _ = token.split(".")
    return decode_object(decode_base64url(header)), decode_object(decode_base64url(payload))


HONEST: Final = TokenBuilder(policy(), SIGNER, now=NOW, scopes=["read", "write"])


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_an_honest_token_is_admitted_whatever_the_algorithm(alg: str) -> None:
    signer, issuer = Signer.generate(alg), policy(algorithms=frozenset({alg}))
    assert admitted(issuer, TokenBuilder(issuer, signer, now=NOW).build(), signer) is not None


@pytest.mark.parametrize(
    "more",
    [
        {"types": frozenset({"absent"})},
        {"types": frozenset({"jwt", "absent"})},
        {"types": frozenset({"jwt"})},
        {"required_claims": frozenset()},
        {"required_claims": frozenset({"azp", "helseid://claims/x", "nbf", "scope"})},
        {"max_lifetime": 60.0},
        {"max_lifetime": 60.1},
        {"max_lifetime": 0.5, "leeway": 0.0},
        {"max_lifetime": 86400.0},
        {"leeway": 0.0, "max_age_ahead": 0.0},
        {"other_audiences": frozenset({"account"})},
    ],
    ids=str,
)
def test_an_honest_token_is_admitted_whatever_the_policy_demands(more: dict[str, Any]) -> None:
    issuer = policy(**more)
    assert admitted(issuer, TokenBuilder(issuer, SIGNER, now=NOW).build()) is not None


def test_a_clock_between_two_seconds_makes_no_token_of_the_future() -> None:
    token = TokenBuilder(policy(leeway=0.0, max_age_ahead=0.0), SIGNER, now=NOW - 0.5).build()
    assert admitted(policy(leeway=0.0, max_age_ahead=0.0), token) is not None


def test_an_honest_token_says_what_the_policy_and_the_signer_say() -> None:
    header, claims = read(HONEST.build())
    assert header == {"alg": "ES256", "kid": "key-1", "typ": "at+jwt"}
    assert (claims["iss"], claims["aud"]) == ("https://issuer.test", "api")
    assert (claims["iat"], claims["nbf"], claims["exp"]) == (NOW, NOW, NOW + 300)
    assert claims["scope"] == "read write"


def test_a_token_without_scopes_has_no_scope() -> None:
    assert "scope" not in read(TokenBuilder(policy(), SIGNER, now=NOW).build())[1]


def test_a_key_without_a_name_makes_a_token_without_kid() -> None:
    nameless = Signer.generate("ES256", None)
    token = TokenBuilder(policy(), nameless, now=NOW).build()
    assert "kid" not in read(token)[0]
    assert admitted(policy(), token, nameless) is not None


def test_no_two_builders_share_a_jti_and_one_builder_keeps_its_own() -> None:
    other = TokenBuilder(policy(), SIGNER, now=NOW)
    assert read(HONEST.build())[1]["jti"] == read(HONEST.header(x=1).build())[1]["jti"]
    assert read(HONEST.build())[1]["jti"] != read(other.build())[1]["jti"]


def test_every_change_makes_a_new_builder_and_leaves_the_old_one() -> None:
    before = HONEST.header_octets(), HONEST.payload_octets()
    changed = HONEST.claims(sub="x").without("jti").header(x=1).without_header("kid")
    changed.payload(b"{}").header_bytes(b"{}").signed_by(OTHER).signature(b"").build()
    assert (HONEST.header_octets(), HONEST.payload_octets()) == before
    assert admitted(policy(), HONEST.build()) is not None


def test_claims_and_header_parameters_are_set_and_dropped() -> None:
    token = HONEST.claims(**{"a:b": 1, "self": 2}).without("scope", "nbf").header(x=3)
    header, claims = read(token.without_header("typ", "none-there").build())
    assert (claims["a:b"], claims["self"], header["x"]) == (1, 2, 3)
    assert {"scope", "nbf"}.isdisjoint(claims)
    assert "typ" not in header


def test_raw_octets_are_signed_as_they_are() -> None:
    issuer = policy(required_claims=frozenset())
    octets = HONEST.payload_octets().replace(b",", b", ")
    header = b'{"typ": "at+jwt", "kid": "key-1", "alg": "ES256"}'
    token = HONEST.payload(octets).header_bytes(header).build()
    assert decode_base64url(token.split(".")[1]) == octets
    assert decode_base64url(token.split(".")[0]) == header
    assert admitted(issuer, token) is not None


def test_another_key_signs_and_the_header_still_names_the_first() -> None:
    token = HONEST.signed_by(OTHER).build()
    assert read(token)[0]["kid"] == "key-1"
    assert admitted(policy(), token) is None
    assert (
        admitted(policy(), HONEST.signed_by(OTHER).header(kid="other").build(), OTHER) is not None
    )


def test_a_signature_is_replaced_by_any_octets() -> None:
    assert HONEST.signature(b"").build().endswith(".")
    assert decode_base64url(HONEST.signature(b"abc").build().rpartition(".")[2]) == b"abc"


def test_its_repr_shows_neither_claims_nor_key() -> None:
    shown = repr(HONEST.claims(sub="12057900499"))
    assert shown == "TokenBuilder(issuer='https://issuer.test', alg=ES256)"
