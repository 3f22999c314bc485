"""The secret behind decision records: what pseudonyms and chains are made with, and its name."""

from __future__ import annotations

import hmac
from typing import Final

from portvakt.errors import ConfigurationError, Problem
from portvakt.jose.encoding import encode_base64url
from portvakt.policy.pseudonym import MIN_KEY, Pseudonyms

__all__ = ["RecordKey"]

#: Octets of a name: enough to tell a house's keys apart, and no help in finding one.
_NAME: Final = 6


class RecordKey:
    """One secret, and the keys that are derived from it.

    The key of the chain and that of the pseudonyms are different ones, and neither leads to the
    other: whoever is to verify a chain need not be able to find out who is meant.

    Parameters:
        secret: at least 32 octets from a random generator.

    Attributes:
        id: names the secret in each record, so that another can take its place; derived from it.
        chain: the key of the chain.
        pseudonyms: makes pseudonyms.

    Raises:
        ConfigurationError: if the secret is shorter. Whether it is random, no one can see.
    """

    __slots__ = ("chain", "id", "pseudonyms")

    def __init__(self, secret: bytes) -> None:
        if len(secret) < MIN_KEY:
            raise ConfigurationError(
                [Problem("", f"must be at least {MIN_KEY} octets from a random generator")]
            )
        self.id: Final = encode_base64url(_derived(secret, b"name")[:_NAME])
        self.chain: Final = _derived(secret, b"chain")
        self.pseudonyms: Final = Pseudonyms(_derived(secret, b"pseudonyms"))

    def __repr__(self) -> str:
        """Show which it is."""
        return f"RecordKey({self.id})"


def _derived(secret: bytes, what: bytes) -> bytes:
    # One step of HKDF-Expand (RFC 5869 section 2.3): the secret is random and long enough.
    return hmac.digest(secret, b"portvakt decision records: " + what + b"\x01", "sha256")
