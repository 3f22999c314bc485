"""What is read of an issuer's metadata: that it is this issuer's, and where its keys are."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portvakt.oauth.metadata import (
    MAX_METADATA,
    MalformedMetadata,
    Metadata,
    metadata_urls,
    read_metadata,
)

ISSUER = "https://issuer.test/tenant"
KEYS = "https://issuer.test/keys"
GOOD: dict[str, Any] = {"issuer": ISSUER, "jwks_uri": KEYS}


def read(document: object, issuer: str = ISSUER) -> Metadata:
    text = document if isinstance(document, bytes) else msgspec.json.encode(document)
    return read_metadata(text, issuer)


@pytest.mark.parametrize(
    ("issuer", "openid", "rfc8414"),
    [
        (
            "https://a.test",
            "https://a.test/.well-known/openid-configuration",
            "https://a.test/.well-known/oauth-authorization-server",
        ),
        (
            "https://a.test/",
            "https://a.test/.well-known/openid-configuration",
            "https://a.test/.well-known/oauth-authorization-server",
        ),
        (
            "https://a.test:8443/b/c",
            "https://a.test:8443/b/c/.well-known/openid-configuration",
            "https://a.test:8443/.well-known/oauth-authorization-server/b/c",
        ),
        (
            "https://a.test/b/",
            "https://a.test/b/.well-known/openid-configuration",
            "https://a.test/.well-known/oauth-authorization-server/b",
        ),
        (
            "http://127.0.0.1:8000/%7Eb",
            "http://127.0.0.1:8000/%7Eb/.well-known/openid-configuration",
            "http://127.0.0.1:8000/.well-known/oauth-authorization-server/%7Eb",
        ),
    ],
)
def test_where_it_may_be(issuer: str, openid: str, rfc8414: str) -> None:
    assert metadata_urls(issuer) == (openid, rfc8414)


def test_nothing_is_read_but_where_the_keys_are() -> None:
    document = {
        **GOOD,
        "token_endpoint": "https://issuer.test/token",
        "id_token_signing_alg_values_supported": ["none", "HS256"],
        "jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]},
    }
    assert read(document) == Metadata(ISSUER, KEYS)
    assert [field.name for field in msgspec.structs.fields(Metadata)] == [
        "issuer",
        "jwks_uri",
        "introspection_endpoint",
        "introspection_signing_algs",
    ]


@pytest.mark.parametrize(
    "name",
    [
        f"{ISSUER}/",
        ISSUER.upper(),
        ISSUER[:-1],
        f" {ISSUER}",
        "https://issuer.test",
        "https://issuer.test/Tenant",
        "https://issuer.test/%74enant",
        "https://issuer.test:443/tenant",
        "",
        None,
        [ISSUER],
        {"issuer": ISSUER},
        1,
        True,
    ],
)
def test_it_names_its_issuer_character_by_character(name: object) -> None:
    with pytest.raises(MalformedMetadata, match=r"of another issuer|no issuer"):
        read({**GOOD, "issuer": name})


@pytest.mark.parametrize("uri", ["", None, [KEYS], {}, 1, False])
def test_where_the_keys_are_is_a_text(uri: object) -> None:
    with pytest.raises(MalformedMetadata, match="no jwks_uri that is a string"):
        read({**GOOD, "jwks_uri": uri})


@pytest.mark.parametrize("missing", ["issuer", "jwks_uri"])
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(MalformedMetadata, match=f"no {missing} that"):
        read({name: value for name, value in GOOD.items() if name != missing})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b"\xff",
        b"\xef\xbb\xbf" + msgspec.json.encode(GOOD),
        msgspec.json.encode(GOOD) + b"x",
        b'{"issuer": "a", ' + msgspec.json.encode(GOOD)[1:],
        b'{"jwks_uri": "https://evil.test", ' + msgspec.json.encode(GOOD)[1:],
        b'{"a":' * 100_000,
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 100_000 + b"}",
    ],
)
def test_what_is_not_strict_json_is_no_metadata(text: bytes) -> None:
    with pytest.raises(MalformedMetadata, match=r"not strict JSON|longer than"):
        read(text)


def test_it_is_bounded_to_the_octet() -> None:
    text = msgspec.json.encode(GOOD)
    longest = text + b" " * (MAX_METADATA - len(text))
    assert read(longest).jwks_uri == KEYS
    with pytest.raises(MalformedMetadata, match="longer than 131072 octets"):
        read(longest + b" ")


def test_what_was_received_is_not_quoted() -> None:
    for document in (
        b"evil",
        {"issuer": "https://evil.test", "jwks_uri": KEYS},
        {**GOOD, "jwks_uri": ["evil"]},
    ):
        with pytest.raises(MalformedMetadata) as caught:
            read(document)
        assert "evil" not in str(caught.value)
        assert caught.value.__cause__ is None


# JSON in the shape of metadata, and anything else.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([ISSUER]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(
    st.sampled_from(["issuer", "jwks_uri", "keys"]) | st.text(), VALUES, max_size=5
)


def judged(text: bytes) -> None:
    try:
        found = read(text)
    except MalformedMetadata:
        return
    assert found.issuer == ISSUER
    assert found.jwks_uri


@given(st.binary())
def test_any_octets_raise_nothing_else(text: bytes) -> None:
    judged(text)


@given(DOCUMENTS)
def test_any_document_raises_nothing_else(document: dict[str, Any]) -> None:
    judged(msgspec.json.encode(document))


@given(DOCUMENTS, st.integers(0, 400), st.binary(max_size=3))
def test_metadata_with_any_damage_raises_nothing_else(
    others: dict[str, Any], position: int, damage: bytes
) -> None:
    text = msgspec.json.encode({**others, **GOOD})
    judged(text)
    judged(text[:position] + damage + text[position + len(damage) :])
    judged(text[:position])
