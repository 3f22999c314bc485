"""Canonical base64url and strict, bounded JSON: one text for one meaning, or refused.

Both decoders accept exactly one encoding of what they return. Without that, a token could be
changed in form and still verify, and two parsers could read two things out of one text (RFC 8725
sections 2.6 and 3.14).
"""

import json
import re
from binascii import b2a_base64
from collections.abc import Mapping
from typing import Annotated, Any, Final, NoReturn

import msgspec
from msgspec import Meta, convert

__all__ = [
    "NotCanonical",
    "Object",
    "decode_base64url",
    "decode_object",
    "encode_base64url",
    "encode_object",
]

#: How deep arrays and objects may nest. Access tokens of real issuers nest four or five deep.
MAX_DEPTH: Final = 16

#: How many digits a number's integer part may have; 2**64 has twenty.
MAX_DIGITS: Final = 20

Object = dict[str, Any]


class NotCanonical(ValueError):  # noqa: N818  it says what the text is
    """The text is not the one encoding of anything. The message never holds the text."""


# By length modulo four and last character: the padding that RFC 4648 section 4 would add. The bits
# that a last character has to spare must be zero (section 3.5), so after two characters only four
# may be last, after three sixteen; and one character left over is no encoding of anything.
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_PADDING: Final = (
    dict.fromkeys(_ALPHABET, ""),
    dict[str, str](),
    dict.fromkeys(_ALPHABET[::16], "=="),
    dict.fromkeys(_ALPHABET[::4], "="),
)


def decode_base64url(text: str) -> bytes:
    """Decode base64url without padding (RFC 7515 section 2), in its canonical form only.

    Parameters:
        text: the encoded characters, possibly hostile.

    Raises:
        NotCanonical: for padding, any character outside the alphabet, an impossible length, or bits
            to spare that are not zero.
    """
    if not text:
        return b""
    padding = _PADDING[len(text) & 3].get(text[-1])
    if padding is None:
        raise NotCanonical("base64url: impossible length, padding, or spare bits that are not zero")
    if "+" in text or "/" in text:
        raise NotCanonical("base64url: a character of the other base64 alphabet")
    try:
        # msgspec refuses every character outside the standard alphabet, and is twice as fast as
        # binascii, which may pass over some (measured: bench/).
        return convert(text.replace("-", "+").replace("_", "/") + padding, bytes)
    except (msgspec.ValidationError, UnicodeEncodeError):
        raise NotCanonical("base64url: a character outside the alphabet") from None


_FROM_STANDARD: Final = bytes.maketrans(b"+/", b"-_")


def encode_base64url(octets: bytes) -> str:
    """Encode as base64url without padding (RFC 7515 section 2)."""
    encoded = b2a_base64(octets, newline=False).translate(_FROM_STANDARD)
    return encoded.rstrip(b"=").decode("ascii")


# What the fast decoder may find: values that nest at most five deep, integers of 64 bits. It
# refuses anything else while it reads, in C and at no cost; the slow decoder then has the last
# word.
_Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Scalar = _Integer | float | str | bool | None
_Level1 = _Scalar | list[_Scalar] | dict[str, _Scalar]
_Level2 = _Scalar | list[_Level1] | dict[str, _Level1]
_Level3 = _Scalar | list[_Level2] | dict[str, _Level2]
_Level4 = _Scalar | list[_Level3] | dict[str, _Level3]
_read_object: Final = msgspec.json.Decoder(dict[str, _Level4]).decode
_write: Final = msgspec.json.Encoder().encode

#: Octets. A shorter text has no room for an integer that is slow; issuers seldom write a longer.
_LONG: Final = 2048
_MANY_DIGITS: Final = b"0" * (MAX_DIGITS + 1)
_ZEROS: Final = bytes.maketrans(b"0123456789", b"0" * 10)


def encode_object(value: Mapping[str, Any]) -> bytes:
    """Encode a JSON object compactly, as every issuer we know of does."""
    return _write(value)


def decode_object(text: bytes) -> Object:
    """Decode one JSON object (RFC 8259), strictly.

    A text that our own encoder would write repeats no name, because the encoder writes none twice:
    if decoding and encoding give the same octets, there is nothing left to look for. That is twice
    as fast as collecting every member to compare it (measured: bench/), and it is what issuers
    send. Every other text, pretty-printed or escaped otherwise, is read by the slow decoder, which
    looks at every member.

    Parameters:
        text: UTF-8, possibly hostile; the caller bounds its length.

    Raises:
        NotCanonical: if it is not UTF-8, not JSON, not an object, repeats a name at any depth,
            nests deeper than 16, or holds an integer of more than 20 digits or a number that
            overflows.
    """
    # The fast decoder converts an integer of any length, at the square of it, and only then
    # refuses.
    if len(text) > _LONG and _MANY_DIGITS in text.translate(_ZEROS):
        return _decode_slowly(text)
    try:
        value: Object = _read_object(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _decode_slowly(text)
    return value if _write(value) == text else _decode_slowly(text)


# Also a string without an end: looked for again at each of its quotes, it would cost its square.
_STRING: Final = re.compile(r'"[^"]*+"?')
_NEITHER_BRACKET: Final = re.compile(r"[^\[\]{}]+")
_SQUARE: Final = str.maketrans("{}", "[]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def _decode_slowly(text: bytes) -> Object:
    try:
        characters = text.decode("utf-8")
    except UnicodeDecodeError:
        raise NotCanonical("JSON: not UTF-8") from None
    _check_depth(characters)
    try:
        value = _slow_decoder.decode(characters)
    except NotCanonical:
        raise
    except ValueError:
        raise NotCanonical("JSON: malformed") from None
    if type(value) is not dict:
        raise NotCanonical("JSON: not an object")
    # Escapes can spell half of a surrogate pair, which is no character and has no UTF-8.
    if "\\u" in characters and _has_surrogate(value):
        raise NotCanonical("JSON: a string with half a surrogate pair")
    return value


def _check_depth(characters: str) -> None:
    """Refuse deep nesting before any recursive decoder sees it."""
    if characters.count("{") + characters.count("[") <= MAX_DEPTH:
        return
    unescaped = characters.replace("\\\\", "").replace('\\"', "")
    brackets = _NEITHER_BRACKET.sub("", _STRING.sub("", unescaped)).translate(_SQUARE)
    if 2 * brackets.count("[") == len(brackets):
        for _ in range(MAX_DEPTH):
            brackets = brackets.replace("[]", "")  # The innermost level, all at once.
    if brackets:
        raise NotCanonical(f"JSON: nested deeper than {MAX_DEPTH}, or brackets without their other")


def _has_surrogate(value: object) -> bool:
    if isinstance(value, str):
        return _SURROGATE.search(value) is not None
    if isinstance(value, dict):
        return any(_has_surrogate(name) or _has_surrogate(member) for name, member in value.items())
    if isinstance(value, list):
        return any(map(_has_surrogate, value))
    return False


def _members(pairs: list[tuple[str, Any]]) -> Object:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotCanonical("JSON: a name is repeated in one object")
    return members


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise NotCanonical(f"JSON: an integer of more than {MAX_DIGITS} digits")
    return int(digits)


def _fraction(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise NotCanonical("JSON: a number too large")
    return number


def _constant(name: str) -> NoReturn:
    raise NotCanonical(f"JSON: {name} is not JSON")


_slow_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_int=_integer,
    parse_float=_fraction,
    parse_constant=_constant,
)
