"""How a client proves who it is: what is made, and what is taken for a proof."""

from base64 import b64decode
from typing import Any
from urllib.parse import unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.signer import Signer, sign_compact
from portvakt.oauth.client_auth import (
    ASSERTION_FORM,
    Assertion,
    ClientKey,
    ClientSecret,
    InvalidClient,
    check_assertion,
    make_assertion,
)

NOW = 1_800_000_000.75
KEY = Signer.generate("ES256", "api-key")
KEYS = JwkSet.from_object({"keys": [KEY.public_jwk()]}, ["ES256"])
ISSUER = "https://issuer.test"
HONEST: dict[str, Any] = {
    "iss": "api",
    "sub": "api",
    "aud": ISSUER,
    "jti": "1",
    "iat": int(NOW),
    "exp": int(NOW) + 10,
}


def made(**how: Any) -> str:
    settings: dict[str, Any] = {
        "client_id": "api",
        "audience": ISSUER,
        "token_id": "1",
        "issued_at": NOW,
    }
    return make_assertion(how.pop("signer", KEY), **{**settings, **how})


def check(assertion: str, now: float = NOW) -> Assertion:
    return check_assertion(assertion, KEYS, client_id="api", audience=ISSUER, now=now)


def written(header: dict[str, Any] | None = None, without: str = "", **claims: Any) -> str:
    body = {name: value for name, value in {**HONEST, **claims}.items() if name != without}
    head = {"alg": "ES256", "kid": "api-key", "typ": "client-authentication+jwt"}
    return sign_compact({**head, **(header or {})}, body, KEY)


def test_what_is_made_is_a_proof_for_ten_seconds() -> None:
    proof = check(made())
    assert (proof.token_id, proof.expires_at) == ("1", int(NOW) + 20)
    assert check(made(), now=int(NOW) + 19.9) == proof
    with pytest.raises(InvalidClient):
        check(made(), now=int(NOW) + 20)


def test_a_key_without_a_name_makes_a_header_without_one() -> None:
    nameless = Signer.generate("ES256", None)
    keys = JwkSet.from_object({"keys": [nameless.public_jwk()]}, ["ES256"])
    assertion = made(signer=nameless)
    proof = check_assertion(assertion, keys, client_id="api", audience=ISSUER, now=NOW)
    assert proof.token_id == "1"


@pytest.mark.parametrize(
    "honest",
    [
        written(),
        written({"typ": "JWT"}),
        written(aud=[ISSUER]),
        written(nbf=NOW),
        written(nbf=NOW + 10),
        written(iat=NOW + 10, exp=NOW + 70),
        written(exp=NOW + 60, iat=NOW),
        written(jti="x" * 256),
    ],
)
def test_what_is_honest_is_a_proof(honest: str) -> None:
    assert check(honest).token_id in {"1", "x" * 256}


@pytest.mark.parametrize(
    ("hostile", "why"),
    [
        ("", "token_parts"),
        ("a.b.c", "token_encoding"),
        (written({"typ": "at+jwt"}), "typ"),
        (written({"typ": "dpop+jwt"}), "typ"),
        (written({"alg": "none"}), "key_unknown"),
        (written({"kid": "other"}), "key_unknown"),
        (written()[:-4] + "AAAA", "signature_invalid"),
        (made(signer=Signer.generate("ES256", "api-key")), "signature_invalid"),
        (sign_compact({"alg": "ES256", "typ": "JWT"}, b"[]", KEY), "not an object"),
        (written(iss="other"), "iss and sub"),
        (written(sub="other"), "iss and sub"),
        (written(without="iss"), "iss and sub"),
        (written(aud="https://other.test"), "aud"),
        (written(aud=f"{ISSUER}/token"), "aud"),
        (written(aud=[ISSUER, "https://other.test"]), "aud"),
        (written(without="aud"), "aud"),
        (written(without="exp"), "exp"),
        (written(exp=str(NOW + 10)), "exp"),
        (written(exp=True), "exp"),
        (written(without="iat"), "iat"),
        (written(iat=NOW + 11, exp=NOW + 20), "not good now"),
        (written(iat=NOW - 50, exp=NOW - 10), "not good now"),
        (written(nbf=NOW + 11), "not good yet"),
        (written(nbf=None), "nbf"),
        (written(iat=NOW, exp=NOW + 60.5), "longer"),
        (written(iat=NOW + 5, exp=NOW + 5), "longer"),
        (written(without="jti"), "jti"),
        (written(jti=""), "jti"),
        (written(jti="x" * 257), "jti"),
        (written(jti=1), "jti"),
    ],
)
def test_what_is_wrong_in_one_thing_is_none(hostile: str, why: str) -> None:
    with pytest.raises(InvalidClient, match=why):
        check(hostile)


@given(st.text() | st.binary().map(lambda octets: octets.decode("latin-1")))
def test_anything_else_is_refused_and_nothing_worse(text: str) -> None:
    with pytest.raises(InvalidClient):
        check(text)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_a_secret_comes_out_as_it_went_in(client_id: str, secret: str) -> None:
    shown = ClientSecret(client_id, secret).present(audience=ISSUER, token_id="1", issued_at=NOW)
    ((name, value),) = shown.headers
    assert (name, shown.members) == ("Authorization", ())
    scheme, _, encoded = value.partition(" ")
    first, colon, second = b64decode(encoded, validate=True).decode("ascii").partition(":")
    assert (scheme, colon) == ("Basic", ":")
    assert (unquote_plus(first), unquote_plus(second)) == (client_id, secret)


def test_a_key_is_presented_as_an_assertion() -> None:
    client = ClientKey("api", KEY, typ="JWT")
    shown = client.present(audience=ISSUER, token_id="1", issued_at=NOW)
    members = dict(shown.members)
    assert (members["client_id"], shown.headers) == ("api", ())
    assert members["client_assertion_type"] == ASSERTION_FORM
    assert check(members["client_assertion"]).token_id == "1"


def test_nothing_shows_what_is_secret() -> None:
    client = ClientSecret("api", "hush")
    shown = client.present(audience=ISSUER, token_id="1", issued_at=NOW)
    assert repr(client) == "ClientSecret('api')"
    assert repr(ClientKey("api", KEY)) == "ClientKey('api', Signer(ES256, kid='api-key'))"
    assert (repr(shown), shown.__rich_repr__()) == ("Presented()", [])
