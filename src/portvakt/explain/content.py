"""What a token says, as far as it can be read, whether or not anyone vouches for it."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from portvakt.jose.encoding import NotCanonical, decode_base64url, decode_object
from portvakt.jose.jws import MAX_TOKEN

__all__ = ["PARTS_OF_JWE", "UnverifiedContent", "take_apart"]


class UnverifiedContent(Struct, frozen=True):
    """What a token says, as far as it can be read. Nobody vouches for it.

    Attributes:
        length: its characters.
        parts: how many parts the dots make.
        signature: octets of the signature, or None.
        header: the members of the header, or None if it is not one clear object.
        claims: the claims, or None likewise.
        outer: the members of the header around an encrypted token, or None.
        inside: characters and parts of what an encrypted token holds; None if it is not open.
    """

    length: int
    parts: int
    signature: int | None
    header: Mapping[str, Any] | None
    claims: Mapping[str, Any] | None
    outer: Mapping[str, Any] | None = None
    inside: tuple[int, int] | None = None

    # It holds claims: neither repr may show them.
    def __repr__(self) -> str:
        """Show the size only."""
        return f"UnverifiedContent(length={self.length}, parts={self.parts})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("length", self.length), ("parts", self.parts)]


def take_apart(token: str, opened: str | None = None) -> UnverifiedContent:
    """Read whatever can be read of a token. Verifies nothing and never fails.

    Of one that is longer than the guard looks at, nothing is read.

    Parameters:
        token: its characters.
        opened: the signed token that it holds, if it is encrypted and could be opened.
    """
    length, parts = len(token), token.count(".") + 1
    if length > MAX_TOKEN:
        return UnverifiedContent(length, parts, None, None, None)
    outer = _object(token.partition(".")[0]) if parts == PARTS_OF_JWE else None
    signed = token if opened is None else opened
    header, payload, signature = (*signed.split("."), "", "")[:3]
    readable = signed.count(".") + 1 == _PARTS
    octets = _octets(signature) if readable else None
    return UnverifiedContent(
        length,
        parts,
        None if octets is None else len(octets),
        _object(header),
        _object(payload) if readable else None,
        outer,
        None if opened is None else (len(opened), opened.count(".") + 1),
    )


_PARTS: Final = 3
#: Of an encrypted token.
PARTS_OF_JWE: Final = 5


def _octets(part: str) -> bytes | None:
    try:
        return decode_base64url(part)
    except NotCanonical:
        return None


def _object(part: str) -> Mapping[str, Any] | None:
    octets = _octets(part)
    if octets is None:
        return None
    try:
        return decode_object(octets)
    except NotCanonical:
        return None
