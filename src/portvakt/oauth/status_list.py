"""Token Status List (draft-ietf-oauth-status-list): what an issuer publishes of its tokens, read.

One list holds the status of many tokens, some bits for each, compressed and signed as a whole. What
is inflated is bounded while it inflates: a few octets of a hostile list could stand for gigabytes.
"""

import math
import zlib
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from portvakt.errors import ConfigurationError
from portvakt.jose.encoding import (
    NotCanonical,
    decode_base64url,
    decode_object,
    encode_base64url,
)

__all__ = [
    "MAX_INFLATED",
    "MAX_LIST_TOKEN",
    "STATUS_LIST_TYPE",
    "MalformedStatusList",
    "StatusList",
    "make_status_list",
    "read_status_list",
]

#: The ``typ`` of a signed list (section 5.1), in the form in which types are compared.
STATUS_LIST_TYPE: Final = "statuslist+jwt"

#: Octets of a list when it is inflated: 33 million tokens of one bit each.
MAX_INFLATED: Final = 4 * 1024 * 1024

#: Characters of a signed list: one that does not compress, in base64url twice, with room to spare.
MAX_LIST_TOKEN: Final = 8 * 1024 * 1024

#: How many bits there may be for a token (section 4.1).
_BITS: Final = (1, 2, 4, 8)


class MalformedStatusList(ValueError):  # noqa: N818  it says what the list is
    """It is not the list that was asked for, or not good now. The message holds nothing of it."""


class StatusList(Struct, frozen=True, gc=False):
    """A list, found to be the one that was asked for and good at the time.

    Attributes:
        bits: how many there are for each token.
        octets: the statuses, packed from the least significant bit on.
        issued_at: when its issuer signed it, in seconds since 1970.
        expires_at: from when on it says nothing, in seconds since 1970; infinity if it never ends.
        ttl: seconds after which its issuer wants it asked for again; None if it does not say.
    """

    bits: int
    octets: bytes
    issued_at: float
    expires_at: float
    ttl: float | None

    @property
    def places(self) -> int:
        """How many tokens it has a status of."""
        return len(self.octets) * 8 // self.bits

    def status(self, index: int) -> int | None:
        """Return the status in one place: 0 if the token is valid; None if there is no such place.

        Every other number refuses: invalid, suspended, and what only an application would know.

        Parameters:
            index: which place, not negative.
        """
        first = index * self.bits
        if first >= len(self.octets) * 8:
            return None
        return (self.octets[first >> 3] >> (first & 7)) & ((1 << self.bits) - 1)

    # Whose tokens are revoked is nobody's business, and a list is long.
    def __repr__(self) -> str:
        """Show how many places it has."""
        return f"StatusList(places={self.places})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("places", self.places)]


def read_status_list(
    payload: bytes, *, uri: str, issuer: str, audience: str, now: float, ahead: float
) -> StatusList:
    """Read the payload of a signed list and check that it is the right one (section 8.3).

    Does not check the signature and the header: whoever calls has verified both. Does not check how
    long ago it was signed: that is bounded by how it is kept.

    Parameters:
        payload: the payload of a JWS of type :data:`STATUS_LIST_TYPE`, verified with a key of
            *issuer*.
        uri: where it was asked for, which is what tokens call it.
        issuer: whose it must be.
        audience: the name of this API, if it is for some only.
        now: seconds since 1970.
        ahead: how many seconds ``iat`` may lie in the future.

    Raises:
        MalformedStatusList: if it is another list, is not good now, or is none.
    """
    # (1) One JSON object.
    try:
        members = decode_object(payload)
    except NotCanonical as flaw:
        raise MalformedStatusList(f"the list is not strict JSON: {flaw}") from None

    # (2) This list: of two that one issuer signs, neither may stand in for the other.
    if members.get("sub") != uri:
        raise MalformedStatusList("sub is not the place where the list was asked for")
    if "iss" in members and members["iss"] != issuer:
        raise MalformedStatusList("iss is not the issuer whose list was asked for")
    # A list is for everybody. One that says for whom is only for those (RFC 7519 section 4.1.3).
    aud = members.get("aud", audience)
    if aud != audience and not (type(aud) is list and audience in aud):
        raise MalformedStatusList("aud is not this API")

    # (3) Now: signed already, and not over. Without leeway: an issuer renews a list well before.
    issued_at = _time(members, "iat")
    if not issued_at <= now + ahead:
        raise MalformedStatusList("the list is issued in the future")
    expires_at = _time(members, "exp") if "exp" in members else math.inf
    if not now < expires_at:
        raise MalformedStatusList("the list has expired")
    if "nbf" in members and not _time(members, "nbf") <= now + ahead:
        raise MalformedStatusList("the list is not valid yet")
    ttl = _time(members, "ttl") if "ttl" in members else None
    if ttl is not None and not ttl > 0:
        raise MalformedStatusList("ttl is not a positive number")

    # (4) The statuses.
    match members.get("status_list"):
        case {"bits": int(bits), "lst": str(text)} if type(bits) is int and bits in _BITS:
            pass
        case _:
            raise MalformedStatusList("status_list has no bits, one of 1, 2, 4, 8, and lst")
    return StatusList(bits, _inflate(text), issued_at, expires_at, ttl)


def _time(members: dict[str, Any], name: str) -> float:
    value = members.get(name)
    if type(value) is not int and type(value) is not float:
        raise MalformedStatusList(f"{name} is missing or not a number")
    return float(value)


def _inflate(text: str) -> bytes:
    """Decode ``lst`` (section 4.2): one complete ZLIB stream, and nothing behind it."""
    try:
        compressed = decode_base64url(text)
    except NotCanonical as flaw:
        raise MalformedStatusList(f"lst: {flaw}") from None
    inflater = zlib.decompressobj()
    try:
        # It stops at one octet too many, however many more there would be.
        octets = inflater.decompress(compressed, MAX_INFLATED + 1)
    except zlib.error:
        raise MalformedStatusList("lst is not compressed with ZLIB") from None
    if len(octets) > MAX_INFLATED:
        raise MalformedStatusList(f"lst inflates to more than {MAX_INFLATED} octets")
    if not inflater.eof or inflater.unused_data:
        raise MalformedStatusList("lst is cut off, or something follows it")
    return octets


def make_status_list(statuses: Sequence[int], bits: int) -> dict[str, Any]:
    """Write the ``status_list`` claim (section 4.2).

    Parameters:
        statuses: the status of each token, in the order of their places.
        bits: how many there are for each: 1, 2, 4 or 8.

    Raises:
        ConfigurationError: if *bits* is another number, or a status does not fit into so many.
    """
    if bits not in _BITS:
        raise ConfigurationError("a status has 1, 2, 4 or 8 bits")
    if any(not 0 <= status < 1 << bits for status in statuses):
        raise ConfigurationError(f"a status does not fit into {bits} bits")
    octets = bytearray((len(statuses) * bits + 7) // 8)
    for index, status in enumerate(statuses):
        first = index * bits
        octets[first >> 3] |= status << (first & 7)
    return {"bits": bits, "lst": encode_base64url(zlib.compress(octets, 9))}
