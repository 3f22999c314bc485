"""An issuer's keys: the port, and the keys that a configuration states."""

from collections.abc import Mapping
from typing import Protocol

from portvakt.jose.jwk import JwkSet
from portvakt.policy.issuer import TrustedIssuer

__all__ = ["FixedKeys", "KeySource"]


class KeySource(Protocol):
    """Where the keys of trusted issuers come from, in two halves: memory, and going to get them.

    What a token says never reaches a source: it is asked about issuers of the policy only.
    """

    def current(self, issuer: TrustedIssuer) -> JwkSet | None:
        """Return the keys now in memory, or None if they must be fetched first. Never waits.

        As long as the keys stay the same, this is the same object: verified tokens are remembered
        together with the very set that verified them.
        """
        ...

    async def fetch(self, issuer: TrustedIssuer) -> JwkSet:
        """Go and get the keys; runs on the guard's home loop.

        Raises:
            Unavailable: if they cannot be had.
        """
        ...


class FixedKeys:
    """Keys that a configuration states, from a file or in line. They never change.

    Parameters:
        sets: the keys by the ``issuer`` they belong to: a key is never found by its name alone.
    """

    __slots__ = ("_sets",)

    def __init__(self, sets: Mapping[str, JwkSet]) -> None:
        self._sets = dict(sets)

    def current(self, issuer: TrustedIssuer) -> JwkSet:
        """Return the keys of *issuer*."""
        return self._sets[issuer.issuer]

    async def fetch(self, issuer: TrustedIssuer) -> JwkSet:
        """Return the same: there is nowhere to go."""
        return self._sets[issuer.issuer]
