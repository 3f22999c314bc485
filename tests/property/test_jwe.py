"""Whatever is sent in the place of an encrypted token: refused, or exactly what was encrypted."""

import json
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from encrypting import b64, sealed, token
from portvakt.errors import Refused
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.encryption import CONTENT, KEY_MANAGEMENT
from portvakt.jose.jwe import Decryption, encrypt

KEYS: Final = [DecryptionKey.generate(alg, alg, bits=2048) for alg in KEY_MANAGEMENT]
DECRYPTION: Final = Decryption(KEYS)
INNER: Final = "e30.e30.c2ln"
SEALED: Final = [sealed(key, INNER, enc=enc) for key in KEYS for enc in CONTENT]

ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
#: What a header of this kind has, and values of every kind for it.
NAMES: Final = ("alg", "enc", "kid", "epk", "apu", "apv", "cty", "typ", "zip", "crit", "p2c", "x")
WORDS: Final = (*KEY_MANAGEMENT, *CONTENT, "JWT", "P-256", "EC", "dir", "DEF", "", "A")
VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("kty", "crv", "x", "y", "d")), inner)
    ),
    max_leaves=6,
)
PART: Final = st.binary(max_size=300).map(b64) | st.text(ALPHABET + ".=+/ é", max_size=60)


def opened(text: str) -> str | None:
    """Return what was encrypted, or None: anything but Refused is an error of ours."""
    try:
        return DECRYPTION.decrypt(text)
    except Refused:
        return None


@given(st.text() | st.lists(st.text(), min_size=5, max_size=5).map(".".join))
def test_any_text_is_refused(text: str) -> None:
    assert opened(text) is None


@given(st.dictionaries(st.sampled_from(NAMES), VALUES), st.lists(PART, min_size=4, max_size=4))
def test_any_header_before_any_parts_is_refused(header: dict[str, Any], rest: list[str]) -> None:
    encoded = b64(json.dumps(header).encode("utf-8", "surrogatepass"))
    assert opened(".".join((encoded, *rest))) is None


@given(st.sampled_from(KEYS), st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_any_header_is_refused_or_changes_nothing(
    key: DecryptionKey, header: dict[str, Any]
) -> None:
    assert opened(token(key, INNER, header=header)) in {None, INNER}


@given(st.sampled_from(SEALED), st.data())
def test_no_changed_token_is_opened(parts: list[str], data: st.DataObject) -> None:
    text = ".".join(parts)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(ALPHABET + ".=") | st.characters())
    changed = text[:at] + other + text[at + 1 :]
    assert opened(text) == INNER
    if changed != text:
        assert opened(changed) is None
    assert opened(text[:at]) is None
    assert opened(text[:at] + other + text[at:]) is None


@given(st.sampled_from(SEALED), st.sampled_from(SEALED), st.integers(0, 31))
def test_parts_of_two_tokens_are_none(one: list[str], other: list[str], which: int) -> None:
    mixed = [other[i] if which >> i & 1 else one[i] for i in range(5)]
    assert opened(".".join(mixed)) == (INNER if mixed in (one, other) else None)


@given(
    st.sampled_from(KEYS),
    st.sampled_from(list(CONTENT)),
    st.text(st.characters(max_codepoint=127), min_size=1, max_size=2000),
)
def test_what_is_encrypted_is_decrypted(key: DecryptionKey, enc: str, text: str) -> None:
    assert opened(token(key, text, enc=enc)) == text
    assert opened(encrypt(text, key.public_jwk(), enc=enc)) == text
