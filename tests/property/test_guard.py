"""Whatever arrives, a decision comes out; and nothing but the issuer's own octets gets in."""

import string
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from portvakt import Code, Guard, HttpRequest
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.encoding import encode_base64url, encode_object
from portvakt.jose.jwk_set import JwkSet, MalformedKeySet
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer()
TOKEN = ISSUER.token(scopes=["read"])
GUARD = ISSUER.guard(
    route=[
        {"path": "/public", "public": True},
        {"path": "/journal/{patient}", "methods": ["GET"]},
        {"path": "/files/{name:path}"},
    ]
)
PLAIN = ISSUER.guard()

header_text = st.text(max_size=60) | st.text("Bearer aZ9-_.,= \t\0\x7f", max_size=60)
segments = st.binary(max_size=80).map(encode_base64url) | st.text(
    string.ascii_letters + string.digits + "-_=+/", max_size=40
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def judge(guard: Guard, request: HttpRequest) -> None:
    decision = guard.check_blocking(request)
    refusal, response = decision.refusal, decision.response
    if decision.admitted:
        assert decision.route is not None
        assert decision.route.public
        return
    assert refusal is not None
    assert response is not None
    assert refusal.code is not Code.INTERNAL_ERROR, refusal
    assert response.status == refusal.code.status
    assert decision.token is None


@given(
    st.text(max_size=10) | st.sampled_from(["GET", "POST", "get"]),
    st.text(max_size=60) | st.text("/publicjornaf%.;\\{}?#=&:", max_size=40),
    st.lists(
        st.tuples(
            st.sampled_from(["Authorization", "authorization", "X-HTTP-Method-Override", "Cookie"])
            | st.text(max_size=15),
            header_text,
        ),
        max_size=4,
    ),
)
def test_any_request_yields_a_decision(
    method: str, url: str, headers: list[tuple[str, str]]
) -> None:
    request = HttpRequest(method=method, url=url, headers=tuple(headers))
    judge(GUARD, request)
    judge(PLAIN, request)


@given(st.text(max_size=120) | st.lists(segments, max_size=6).map(".".join))
def test_any_text_as_a_token_is_refused(token: str) -> None:
    judge(PLAIN, ISSUER.request(token))


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=4), st.binary(max_size=80))
def test_any_header_over_a_real_payload_is_refused(
    members: dict[str, Any], signature: bytes
) -> None:
    try:
        header = encode_base64url(encode_object({"alg": "ES256", "typ": "at+jwt"} | members))
    except (ValueError, OverflowError, UnicodeEncodeError):
        return
    payload = TOKEN.split(".")[1]
    judge(PLAIN, ISSUER.request(f"{header}.{payload}.{encode_base64url(signature)}"))


@given(
    st.dictionaries(
        st.sampled_from(["iss", "aud", "exp", "iat", "nbf", "sub", "jti", "scope", "cnf", "act"]),
        json_values,
        max_size=5,
    )
)
def test_any_signed_claims_yield_a_decision(claims: dict[str, Any]) -> None:
    try:
        token = ISSUER.token(claims=claims)
    except (ValueError, OverflowError, UnicodeEncodeError):
        return
    decision = PLAIN.check_blocking(ISSUER.request(token))
    assert decision.refusal is None or decision.refusal.code is not Code.INTERNAL_ERROR


@given(st.binary(max_size=200))
def test_any_signed_octets_are_refused(payload: bytes) -> None:
    judge(PLAIN, ISSUER.request(ISSUER.builder().payload(payload).build()))


@settings(max_examples=400)
@given(st.integers(0, len(TOKEN) - 1), st.characters(max_codepoint=0x2FF))
def test_a_changed_character_is_never_admitted(position: int, character: str) -> None:
    changed = TOKEN[:position] + character + TOKEN[position + 1 :]
    admitted = PLAIN.check_blocking(ISSUER.request(changed)).admitted
    assert admitted == (changed == TOKEN)


@given(st.integers(0, len(TOKEN)), st.text(min_size=1, max_size=4))
def test_an_inserted_character_is_never_admitted(position: int, characters: str) -> None:
    changed = TOKEN[:position] + characters + TOKEN[position:]
    assert not PLAIN.check_blocking(ISSUER.request(changed)).admitted


@given(st.integers(0, len(TOKEN) - 1), st.integers(1, 400))
def test_a_shortened_token_is_never_admitted(position: int, length: int) -> None:
    changed = TOKEN[:position] + TOKEN[position + length :]
    assert not PLAIN.check_blocking(ISSUER.request(changed)).admitted


def test_the_honest_token_is_admitted() -> None:
    assert PLAIN.check_blocking(ISSUER.request(TOKEN)).admitted


jwk_members = st.dictionaries(
    st.sampled_from(
        ["kty", "crv", "x", "y", "n", "e", "alg", "kid", "use", "key_ops", "pub", "d", "k", "x5c"]
    ),
    st.sampled_from(
        ["RSA", "EC", "OKP", "AKP", "oct", "P-256", "Ed25519", "Ed448", "sig", "AQAB", "ML-DSA-44"]
    )
    | segments
    | json_values,
)


@given(st.lists(jwk_members | json_values, max_size=4))
def test_any_key_set_is_imported_or_named(keys: list[Any]) -> None:
    imported = JwkSet.from_object({"keys": keys}, ALGORITHMS)
    assert len(imported.keys) + len(imported.ignored) <= len(keys)


@given(st.binary(max_size=200) | st.text('{}[]":,keys', max_size=40).map(str.encode))
def test_any_octets_as_a_key_set_are_imported_or_malformed(text: bytes) -> None:
    try:
        imported = JwkSet.from_json(text, ALGORITHMS)
    except MalformedKeySet:
        return
    assert imported.keys == ()
