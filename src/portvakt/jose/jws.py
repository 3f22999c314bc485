"""From received characters to verified octets (RFC 7515 sections 5.2 and 7.1).

Two types, one per stage of trust. :func:`parse` makes an :class:`UnverifiedJws`; only
:func:`verify` makes a :class:`VerifiedJws`, over the octets as they were received, never over JSON
written anew.
"""

from typing import Final

from cryptography.exceptions import InvalidSignature
from msgspec import Struct

from portvakt.errors import Refused
from portvakt.jose.encoding import NotCanonical, decode_base64url
from portvakt.jose.header import Header, parse_header
from portvakt.jose.jwk import Jwk
from portvakt.refusal import Code

__all__ = [
    "DOTS_OF_JWE",
    "MAX_TOKEN",
    "KnownHeaders",
    "UnverifiedJws",
    "VerifiedJws",
    "parse",
    "take_apart",
    "verify",
]

#: Characters of a token. Nothing in proportion to a longer one is ever allocated.
MAX_TOKEN: Final = 16 * 1024

KnownHeaders = dict[str, Header]
"""Headers of tokens that were verified, by their encoded form: an issuer sends few."""


class UnverifiedJws(Struct, frozen=True, gc=False):
    """A well-formed token. Nobody knows yet who wrote it: believe nothing in it.

    Attributes:
        header: the protected header.
        encoded_header: its characters as received.
        payload: the decoded payload.
        signing_input: the octets that the signature must cover, as received.
        signature: the decoded signature.
    """

    header: Header
    encoded_header: str
    payload: bytes
    signing_input: bytes
    signature: bytes

    # These are the token: neither repr shows them (msgspec gives rich one of its own).
    def __repr__(self) -> str:
        """Show nothing that was sent."""
        return "UnverifiedJws()"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        """Show to rich what repr shows."""
        return []


class VerifiedJws(Struct, frozen=True, gc=False):
    """A token whose signature was verified with a key of the issuer it names.

    It says nothing yet about whom the token is for or when it is valid.

    Attributes:
        header: the protected header.
        payload: the decoded payload.
        key_thumbprint: the RFC 7638 thumbprint of the key that verified it.
    """

    header: Header
    payload: bytes
    key_thumbprint: str

    def __post_init__(self) -> None:
        raise TypeError("jose.jws.verify makes a VerifiedJws, and nothing else does")

    def __repr__(self) -> str:
        """Show which key verified it: the payload is personal data."""
        return f"VerifiedJws(key_thumbprint={self.key_thumbprint!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        """Show to rich what repr shows."""
        return [("key_thumbprint", self.key_thumbprint)]


class _Verified(VerifiedJws, frozen=True, gc=False):
    def __post_init__(self) -> None:
        """Let it be made; an architecture test counts where."""


def parse(token: str, known: KnownHeaders, longest: int = MAX_TOKEN) -> UnverifiedJws:
    """Take a compact serialization apart. Verifies nothing.

    Parameters:
        token: the characters as received, possibly hostile.
        known: headers that need not be read again.
        longest: the most characters; more than a token has only what an issuer publishes.

    Raises:
        Refused: at step FORM or HEADER.
    """
    encoded_header, payload, signing_input, signature = take_apart(token, longest)
    # The header: canonical too, JSON, and nothing in it that nobody may follow.
    header = known.get(encoded_header) or parse_header(encoded_header)
    return UnverifiedJws(header, encoded_header, payload, signing_input, signature)


def take_apart(token: str, longest: int = MAX_TOKEN) -> tuple[str, bytes, bytes, bytes]:
    """Decode the parts of a compact serialization but for the header, whose readers differ.

    Parameters:
        token: the characters as received, possibly hostile.
        longest: the most characters.

    Returns:
        The encoded header, the payload, the octets that are signed, and the signature.

    Raises:
        Refused: at step FORM.
    """
    # (1) Length, before anything in proportion to it happens.
    if len(token) > longest:
        raise Refused(Code.TOKEN_TOO_LONG, f"more than {longest} characters")
    # (2) Three parts. A dot too many is left in the payload, which then does not decode.
    signed, _, encoded_signature = token.rpartition(".")
    encoded_header, _, encoded_payload = signed.partition(".")
    if not (encoded_header and encoded_payload and encoded_signature):
        raise _misshapen(token)
    # (3) Canonical base64url, so that one signed text has one form.
    try:
        payload = decode_base64url(encoded_payload)
        signature = decode_base64url(encoded_signature)
    except NotCanonical as flaw:
        if token.count(".") != _DOTS:
            raise _misshapen(token) from None
        raise Refused(Code.TOKEN_ENCODING, str(flaw)) from None
    try:
        signing_input = signed.encode("ascii")
    except UnicodeEncodeError:
        raise Refused(Code.TOKEN_ENCODING, "header: characters beyond ASCII") from None
    return encoded_header, payload, signing_input, signature


_DOTS: Final = 2
#: In the compact serialization of an encrypted token (RFC 7516 section 7.1).
DOTS_OF_JWE: Final = 4


def _misshapen(token: str) -> Refused:
    dots = token.count(".")
    if dots == DOTS_OF_JWE:
        return Refused(Code.TOKEN_ENCRYPTED, "five parts: an encrypted token (JWE)")
    if dots != _DOTS:
        return Refused(Code.TOKEN_PARTS, f"{dots} dots where a signed token has 2")
    return Refused(Code.TOKEN_PARTS, "one of the three parts is empty")


def verify(jws: UnverifiedJws, key: Jwk) -> VerifiedJws:
    """Verify the signature with the one key that was selected for it.

    Parameters:
        jws: the token; its algorithm is one that *key* was selected for.
        key: a key of the issuer that the token names.

    Raises:
        Refused: ``signature_invalid``.
    """
    if jws.header.alg not in key.algorithms:
        raise Refused(Code.KEY_UNKNOWN, "the key is not for the algorithm that the token claims")
    if len(jws.signature) != key.signature_length:
        raise Refused(Code.SIGNATURE_INVALID, "the signature has the wrong length")
    try:
        key.verify(key.public_key, jws.signature, jws.signing_input)
    except (InvalidSignature, ValueError):
        raise Refused(Code.SIGNATURE_INVALID, "the signature does not fit token and key") from None
    return _Verified(jws.header, jws.payload, key.thumbprint)
