"""Strict decoders: one text for one meaning, whatever bytes come in."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portvakt.jose.encoding import (
    MAX_DEPTH,
    NotCanonical,
    _decode_slowly,
    decode_base64url,
    decode_object,
    encode_base64url,
    encode_object,
)

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**19), 10**19)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), values, max_size=6)


@given(st.binary(max_size=200))
def test_base64url_round_trip(octets: bytes) -> None:
    text = encode_base64url(octets)
    assert set(text) <= set(ALPHABET)
    assert decode_base64url(text) == octets


@given(st.text(max_size=40) | st.text(ALPHABET + '+/= \n\\"', max_size=40))
@example("QQ==")
@example("QQ=")
@example("QR")
@example("Q\\u0051")
@example("\ud800")
def test_base64url_is_canonical(text: str) -> None:
    try:
        octets = decode_base64url(text)
    except NotCanonical:
        return
    assert encode_base64url(octets) == text


@given(objects)
def test_json_round_trip(value: dict[str, Any]) -> None:
    assert decode_object(encode_object(value)) == value


@given(objects, st.sampled_from([None, 1, 2]), st.booleans())
def test_fast_and_slow_decoders_agree(
    value: dict[str, Any],
    indent: int | None,
    ascii_only: bool,
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    assert decode_object(text) == _decode_slowly(text) == value


@given(st.binary(max_size=60) | st.text('{}[]":,\\ue019-.aE\n', max_size=30).map(str.encode))
@example(b'{"a":1,"a":1}')
@example(b'{"a":NaN}')
@example(b"\xef\xbb\xbf{}")
@example(b'{"a":"\\ud800"}')
@example(b'{"\\ud800":1}')
@example(b'{"a":["\\udfff"]}')
@example(b'{"a":1e400}')
@example(b'{"a":-1e400}')
@example(b'{"a":-0}')
@example(b'{"a":1e2}')
@example(b'{"a":100000000000000000000}')
@example(b'{"a":"' + b"[" * 99 + b'"}')
def test_json_decoder_agrees_with_the_reference_or_refuses(text: bytes) -> None:
    pairs_seen: list[bool] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        pairs_seen.append(len(pairs) != len(dict(pairs)))
        return dict(pairs)

    try:
        reference = json.loads(text.decode("utf-8"), object_pairs_hook=note)
    except ValueError:
        with pytest.raises(NotCanonical):
            decode_object(text)
        return
    try:
        value = decode_object(text)
    except NotCanonical:
        return
    assert value == reference
    assert not any(pairs_seen)


@given(st.integers(1, 40), st.sampled_from([("[", "]"), ('{"a":', "}")]), st.booleans())
def test_depth_is_bounded_at_the_same_level_in_both_decoders(
    depth: int,
    brackets: tuple[str, str],
    spaced: bool,
) -> None:
    opening, closing = brackets
    inner = "1" if opening != "[" else ""
    text = '{"x":' + " " * spaced + opening * depth + inner + closing * depth + "}"
    if depth + 1 <= MAX_DEPTH:
        assert "x" in decode_object(text.encode())
    else:
        with pytest.raises(NotCanonical, match="deeper"):
            decode_object(text.encode())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a":1,"a":2}', "repeated"),
        (b'{"a":1,"\\u0061":2}', "repeated"),
        (b'{"x":{"a":1,"b":2,"a":1}}', "repeated"),
        (b"[]", "not an object"),
        (b'"text"', "not an object"),
        (b"\xff{}", "not UTF-8"),
        (b"{} {}", "malformed"),
        (b"", "malformed"),
        (b'{"a":Infinity}', "Infinity"),
        (b'{"a":-Infinity}', "Infinity"),
        (b'{"a":123456789012345678901}', "20 digits"),
        (b'{"a":-123456789012345678901}', "20 digits"),
        (b'{"a":9e999}', "too large"),
        (b'{"a":"\\udc00"}', "surrogate"),
    ],
)
def test_refusals_say_what_is_wrong(text: bytes, reason: str) -> None:
    with pytest.raises(NotCanonical, match=reason):
        decode_object(text)


def test_integers_of_twenty_digits_are_read_exactly() -> None:
    text = b'{"a":12345678901234567890,"b":-12345678901234567890}'
    assert decode_object(text) == {"a": 12345678901234567890, "b": -12345678901234567890}


def test_surrogate_pairs_spell_a_character() -> None:
    assert decode_object(b'{"a":"\\ud83d\\ude00","b":[{"c":"\\u00e6"}]}') == {
        "a": "\U0001f600",
        "b": [{"c": "\u00e6"}],
    }
