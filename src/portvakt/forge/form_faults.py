"""Faults of the form: the right claims in a spelling that only some readers accept."""

from collections.abc import Mapping
from typing import Any, Final

from portvakt.forge.fault import OTHER_API, Fault, Forgery, claims
from portvakt.forge.tokens import TokenBuilder
from portvakt.jose.encoding import encode_base64url, encode_object
from portvakt.jose.jws import MAX_TOKEN
from portvakt.refusal import Code

__all__ = ["FORM_FAULTS"]


def _with_remainder(token: TokenBuilder, remainder: int) -> tuple[str, str]:
    """Return both encoded parts, the payload's length modulo three being *remainder*."""
    payload = next(
        octets
        for octets in (token.claims(test="x" * length).payload_octets() for length in range(3))
        if len(octets) % 3 == remainder
    )
    return encode_base64url(token.header_octets()), encode_base64url(payload)


def _spare_bits(token: TokenBuilder, _: Forgery) -> str:
    """Set one of the bits that the last character has to spare: it decodes to the same octets."""
    header, payload = _with_remainder(token, 1)
    # The last character is A, Q, g or w; the one after it differs in its lowest bit.
    return token.build_encoded(header, payload[:-1] + chr(ord(payload[-1]) + 1))


def _padded(token: TokenBuilder, _: Forgery) -> str:
    """Pad the payload as other base64 does."""
    header, payload = _with_remainder(token, 1)
    return token.build_encoded(header, payload + "==")


def _dangling(token: TokenBuilder, _: Forgery) -> str:
    """Add a character that encodes nothing."""
    header, payload = _with_remainder(token, 0)
    return token.build_encoded(header, payload + "A")


def _ignored_character(token: TokenBuilder, _: Forgery) -> str:
    """Put a character into the payload that careless decoders pass over."""
    header, payload = _with_remainder(token, 2)
    return token.build_encoded(header, f"{payload[:8]}?{payload[8:]}")


def _standard_alphabet(token: TokenBuilder, _: Forgery) -> str:
    """Write the payload with plus and slash."""
    # Three tildes in a row, wherever they fall, encode to a character that differs.
    octets = token.claims(test="~" * 5).payload_octets()
    payload = encode_base64url(octets).replace("-", "+").replace("_", "/")
    return token.build_encoded(encode_base64url(token.header_octets()), payload)


def _json_serialization(token: TokenBuilder, _: Forgery) -> str:
    """Write the token as JSON (RFC 7515 section 7.2.2)."""
    header, payload, signature = token.build().split(".")
    members = {"payload": payload, "protected": header, "signature": signature}
    return encode_object(members).decode("ascii")


def _prefixed(octets: bytes, members: Mapping[str, Any]) -> bytes:
    """Write *members* in front of those of an object, whether or not they are there already."""
    return encode_object(members)[:-1] + b"," + octets[1:]


def _claim_repeated(token: TokenBuilder, _: Forgery) -> str:
    """Give aud twice, first as another API."""
    return token.payload(_prefixed(token.payload_octets(), {"aud": OTHER_API})).build()


def _claim_repeated_escaped(token: TokenBuilder, _: Forgery) -> str:
    """Give aud twice, once spelled so that only a JSON decoder sees it."""
    octets = _prefixed(token.payload_octets(), {"AUD": OTHER_API})
    return token.payload(octets.replace(b'"AUD"', rb'"\u0061ud"', 1)).build()


def _deep(token: TokenBuilder, _: Forgery) -> str:
    """Nest arrays in a claim, far deeper than any issuer does."""
    nested: list[Any] = []
    for _level in range(50):
        nested = [nested]
    return token.claims(test=nested).build()


def _huge_number(token: TokenBuilder, _: Forgery) -> str:
    """Write a number that is infinite to a careless parser, as exp."""
    octets = token.claims(exp="EXP").payload_octets()
    return token.payload(octets.replace(b'"EXP"', b"1e400")).build()


def _long_integer(token: TokenBuilder, _: Forgery) -> str:
    """Write an integer that takes work to read, as exp."""
    octets = token.claims(exp="EXP").payload_octets()
    return token.payload(octets.replace(b'"EXP"', b"9" * 4000)).build()


FORM_FAULTS: Final[tuple[Fault, ...]] = (
    Fault(
        "two-parts",
        "ENC-01",
        Code.TOKEN_PARTS,
        "Two parts: the signature is gone, dot and all",
        lambda token, _: token.build().rpartition(".")[0],
        keyless=True,
    ),
    Fault(
        "four-parts",
        "ENC-01",
        Code.TOKEN_PARTS,
        "Four parts, where a signed token has three",
        lambda token, _: f"{token.build()}.AAAA",
    ),
    Fault(
        "five-parts",
        "JWE-01",
        Code.TOKEN_ENCRYPTED,
        "Five parts, as an encrypted token has them",
        lambda token, _: f"{token.build()}.AAAA.AAAA",
    ),
    Fault(
        "json-serialization",
        "ENC-09",
        Code.CREDENTIAL_MALFORMED,
        "Written as JSON, not as three parts",
        _json_serialization,
    ),
    Fault(
        "padding",
        "ENC-03",
        Code.TOKEN_ENCODING,
        "The claims are padded with equals signs",
        _padded,
    ),
    Fault(
        "standard-alphabet",
        "ENC-04",
        Code.TOKEN_ENCODING,
        "The claims are written with plus and slash, not minus and underscore",
        _standard_alphabet,
    ),
    Fault(
        "spare-bits",
        "ENC-05",
        Code.TOKEN_ENCODING,
        "Another spelling of the same claims: the last character has a bit too much",
        _spare_bits,
    ),
    Fault(
        "dangling",
        "ENC-06",
        Code.TOKEN_ENCODING,
        "The claims end with a character that encodes nothing",
        _dangling,
    ),
    Fault(
        "ignored-character",
        "ENC-07",
        Code.TOKEN_ENCODING,
        "A character among the claims that careless decoders pass over",
        _ignored_character,
    ),
    Fault(
        "big",
        "DOS-01",
        Code.TOKEN_TOO_LONG,
        "The token is far longer than any issuer writes it",
        claims(test="x" * MAX_TOKEN),
    ),
    Fault(
        "claim-repeated",
        "JSON-01",
        Code.PAYLOAD_JSON,
        "The claims say aud twice, and not the same",
        _claim_repeated,
    ),
    Fault(
        "claim-repeated-escaped",
        "JSON-02",
        Code.PAYLOAD_JSON,
        "The claims say aud twice, once spelled with an escape",
        _claim_repeated_escaped,
    ),
    Fault(
        "trailing-data",
        "JSON-05",
        Code.PAYLOAD_JSON,
        "Something follows the claims",
        lambda token, _: token.payload(token.payload_octets() + b"{}").build(),
    ),
    Fault(
        "array",
        "JSON-06",
        Code.ISSUER_MISSING,
        "The claims are a list with the right claims in it",
        lambda token, _: token.payload(b"[" + token.payload_octets() + b"]").build(),
    ),
    Fault(
        "nested",
        "HDR-14",
        Code.ISSUER_MISSING,
        "A good token, signed once more: the content is a token and no claims",
        lambda token, _: token.header(cty="JWT").payload(token.build().encode("ascii")).build(),
    ),
    Fault(
        "deep",
        "JSON-10",
        Code.PAYLOAD_JSON,
        "A claim nests fifty lists, to exhaust whoever reads them",
        _deep,
    ),
    Fault(
        "exp-infinite",
        "CLM-04",
        Code.PAYLOAD_JSON,
        "exp is a number so large that some take it for infinite",
        _huge_number,
    ),
    Fault(
        "exp-long",
        "JSON-11",
        Code.PAYLOAD_JSON,
        "exp is a number of four thousand digits",
        _long_integer,
    ),
)
"""Every near miss in parts, base64url and JSON."""
