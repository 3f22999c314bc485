"""The protected header of a token (RFC 7515 section 4): what it may say, and what nobody follows.

A ``kid`` is the key of a map and nothing else. What points elsewhere (``jku``, ``x5u``) or brings
its own key (``jwk``) is refused rather than ignored: an honest issuer does not send it, and a
forger hopes that someone looks (RFC 8725 section 3.10). Certificates (``x5c``, ``x5t``) and names
nobody knows are ignored, as the RFC demands.
"""

from typing import Final

from msgspec import Struct

from portvakt.errors import Refused
from portvakt.jose.encoding import NotCanonical, Object, decode_base64url, decode_object
from portvakt.refusal import Code

__all__ = [
    "ABSENT",
    "MAX_HEADER",
    "MAX_KID",
    "MAX_MEMBERS",
    "Header",
    "media_type",
    "parse_header",
    "parse_keyed_header",
]

#: Octets of an encoded header. Real ones have 50 to 200; 4 KiB leave room for an ``x5c`` chain.
MAX_HEADER: Final = 4096

#: Commas and opening brackets in a header's JSON: far more than names exist, and a bound on what a
#: forger makes us read.
MAX_MEMBERS: Final = 64

MAX_KID: Final = 256

#: What :attr:`Header.typ` and a policy say of a token without ``typ``.
ABSENT: Final = "absent"

_FORBIDDEN: Final = ("jku", "x5u", "b64", "zip", "enc")


class Header(Struct, frozen=True):
    """The header parameters that a decision may rest on. They are not verified by being here.

    Attributes:
        alg: the algorithm the token claims, exactly as written.
        kid: the name of the key it claims, or None.
        typ: its media type in lower case without ``application/``, or ``absent``.
    """

    alg: str
    kid: str | None
    typ: str

    # Whoever wrote the token chose the values, and msgspec gives rich a repr of its own.
    def __repr__(self) -> str:
        """Show nothing that was sent."""
        return "Header()"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        """Show to rich what repr shows."""
        return []


def parse_header(encoded: str) -> Header:
    """Read one encoded protected header.

    Does not check that ``alg`` is allowed, that ``typ`` is right, or that there is such a key:
    those depend on the issuer.

    Parameters:
        encoded: the first part of a compact serialization.

    Raises:
        Refused: at step HEADER, or FORM for its encoding.
    """
    members = _members(encoded)
    if "jwk" in members:
        raise Refused(Code.HEADER_FORBIDDEN, "the header has jwk")
    return _header(members)


def parse_keyed_header(encoded: str) -> tuple[Header, object]:
    """Read the header of an object that brings its own key along, as a proof of possession does.

    Whoever signs such an object proves that he has the key, and nothing else: who he is must follow
    from something that others signed. Does not look at the key.

    Parameters:
        encoded: as for :func:`parse_header`.

    Returns:
        The header, and the value of ``jwk``; None if it has none.

    Raises:
        Refused: as :func:`parse_header`, but not for ``jwk``.
    """
    members = _members(encoded)
    return _header(members), members.get("jwk")


def _members(encoded: str) -> Object:
    if len(encoded) > MAX_HEADER:
        raise Refused(Code.HEADER_TOO_LONG)
    try:
        octets = decode_base64url(encoded)
    except NotCanonical as flaw:
        raise Refused(Code.TOKEN_ENCODING, f"header: {flaw}") from None
    if octets.count(b",") + octets.count(b"[") + octets.count(b"{") > MAX_MEMBERS:
        raise Refused(Code.HEADER_TOO_LONG)
    try:
        members = decode_object(octets)
    except NotCanonical as flaw:
        raise Refused(Code.HEADER_JSON, f"header: {flaw}") from None
    if "crit" in members:
        # We understand no extension, so whatever is critical is unknown (RFC 7515 section 4.1.11).
        raise Refused(Code.HEADER_CRITICAL)
    for name in _FORBIDDEN:
        if name in members:
            raise Refused(Code.HEADER_FORBIDDEN, f"the header has {name}")
    return members


def _header(members: Object) -> Header:
    alg = members.get("alg")
    if type(alg) is not str:
        raise Refused(Code.HEADER_PARAMETER, "alg is missing or not a string")
    kid = members.get("kid")
    if "kid" in members and (type(kid) is not str or not 0 < len(kid) <= MAX_KID):
        raise Refused(Code.HEADER_PARAMETER, f"kid is not a string of 1 to {MAX_KID} characters")
    if "typ" not in members:
        return Header(alg, kid, ABSENT)
    typ = members["typ"]
    if type(typ) is not str or (typ := media_type(typ)) == ABSENT:
        raise Refused(Code.HEADER_PARAMETER, "typ is not a media type")
    return Header(alg, kid, typ)


def media_type(typ: str) -> str:
    """Bring a ``typ`` into the one form in which types are compared (RFC 7515 section 4.1.9).

    Media types do not depend on case, and ``application/`` may be left out where no other slash
    follows. Parameters are not understood and make it another type.
    """
    # Only ASCII is folded: the Kelvin sign must not become a k.
    lowered = typ.lower() if typ.isascii() else typ
    short = lowered.removeprefix("application/")
    return lowered if "/" in short else short
