"""The server's nonces (RFC 9449 sections 8 and 9): proofs cannot be made long before they are used.

Stateless: a nonce is a keyed hash of the slot of time in which it was made, so every process that
has the key knows every nonce, and nothing is stored. All clients get the same one; it says when a
proof was made and not by whom, which is what the proof's signature is for.
"""

import hmac
import math
from typing import Final

from portvakt.errors import ConfigurationError, Problem
from portvakt.jose.encoding import encode_base64url

__all__ = ["MIN_NONCE_KEY", "Nonces"]

#: Octets of a key: as many as the hash gives (RFC 2104 section 3).
MIN_NONCE_KEY: Final = 32

#: Octets of a nonce, of which nobody guesses one.
_OCTETS: Final = 16

#: So that the hash of another purpose under the same key is no nonce.
_PURPOSE: Final = b"portvakt DPoP-Nonce"


class Nonces:
    """Makes nonces and knows them again, for half their lifetime at least.

    Parameters:
        keys: secrets of at least 32 octets each, the same in every process. The first one makes
            nonces, all of them check: a new one is put first and the old one is taken away a
            lifetime later.
        lifetime: for how many seconds a nonce may be used at most.

    Raises:
        ConfigurationError: if there is no key, one is too short, or the lifetime makes no sense.
    """

    __slots__ = ("_keys", "_known", "_seconds")

    def __init__(self, keys: tuple[bytes, ...], lifetime: float = 300.0) -> None:
        problems = [
            Problem(f"nonce_keys[{index}]", f"must have at least {MIN_NONCE_KEY} octets")
            for index, key in enumerate(keys)
            if len(key) < MIN_NONCE_KEY
        ]
        if not keys:
            problems.append(Problem("nonce_keys", "must name at least one key"))
        if not 0 < lifetime < math.inf:
            problems.append(Problem("nonce_lifetime", "must be a positive number of seconds"))
        if problems:
            raise ConfigurationError(problems)
        self._keys: Final = keys
        # Two slots are good at any time, the present and the one before it.
        self._seconds: Final = lifetime / 2
        self._known: tuple[int, tuple[str, ...]] | None = None

    def make(self, now: float) -> str:
        """Return the nonce to be used from now on."""
        return self._good(now)[0]

    def check(self, nonce: str, now: float) -> bool:
        """Whether a nonce may be used now. In a time that does not depend on what is right."""
        given = nonce.encode("utf-8", "surrogatepass")
        found = False
        for good in self._good(now):
            found |= hmac.compare_digest(good.encode("ascii"), given)
        return found

    def _good(self, now: float) -> tuple[str, ...]:
        """Return every nonce that is good, the newest first."""
        slot = math.floor(now / self._seconds)
        known = self._known
        if known is not None and known[0] == slot:
            return known[1]
        nonces = tuple(_nonce(key, number) for number in (slot, slot - 1) for key in self._keys)
        # One assignment: another thread sees the one pair or the other.
        self._known = slot, nonces
        return nonces

    def __repr__(self) -> str:
        """Show how many keys there are, and nothing of them."""
        return f"Nonces({len(self._keys)} keys)"


def _nonce(key: bytes, slot: int) -> str:
    octets = hmac.digest(key, _PURPOSE + slot.to_bytes(8, "big", signed=True), "sha256")
    return encode_base64url(octets[:_OCTETS])
