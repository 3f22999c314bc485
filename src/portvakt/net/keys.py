"""An issuer's keys: the port, and the keys that a configuration states."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from msgspec import Struct

from portvakt.jose.jwk_set import JwkSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portvakt.jose.header import Header
    from portvakt.policy.issuer import TrustedIssuer

__all__ = ["FixedKeys", "KeySource", "KeySources", "KeysHealth"]


class KeysHealth(Struct, frozen=True, kw_only=True):
    """How an issuer's keys are. Times are seconds before or after now.

    Attributes:
        issuer: whose they are.
        source: where they come from: ``policy`` where it states them, or a URL.
        keys: how many are usable; None if there are none to use.
        age: since they were asked for; None if they are fixed or never came.
        hard_limit: the age at which they are used no more; None if they are fixed.
        last_error: why they could not be renewed the last time; None if they could.
        last_error_age: since then.
        next_refresh: until they are asked for again; negative if that is late; None if nobody will,
            as nothing has asked for them yet or they are fixed.
        clock_offset: by how much the issuer's clock is ahead of ours, by the Date of its answer, to
            the second; None if unknown.
        published: the set that the issuer sent the last time, with what is ignored and why; also
            one that is not used, as nothing in it is usable. None if none came, or they are fixed.
    """

    issuer: str
    source: str
    keys: int | None
    age: float | None = None
    hard_limit: float | None = None
    last_error: str | None = None
    last_error_age: float | None = None
    next_refresh: float | None = None
    clock_offset: float | None = None
    published: JwkSet | None = None


class KeySource(ABC):
    """Where the keys of trusted issuers come from, in two halves: memory, and going to get them.

    Nothing in a token chooses where a source goes: it is asked about issuers of the policy only,
    and a token's header is only ever looked up. A source of your own has this class as its base,
    and at least the first two methods.
    """

    @abstractmethod
    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet | None:
        """Return the keys now in memory, or None if :meth:`fetch` must be called. Never waits.

        As long as the keys stay the same, this is the same object: verified tokens are remembered
        together with the very set that verified them.

        Parameters:
            issuer: whose keys.
            header: the header of a token that is to be verified, unverified. If no key in memory
                fits it and newer ones may be asked for, that is a reason for None.

        Raises:
            Unavailable: if no key fits *header* and it is too early to ask for newer ones.
        """

    @abstractmethod
    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        """Go and get the keys; runs on the guard's home loop.

        Parameters:
            issuer: whose keys.
            header: as for :meth:`current`.

        Raises:
            Unavailable: if they cannot be had, or newer ones cannot where they are needed.
        """

    def age(self, issuer: TrustedIssuer) -> float | None:
        """Return how many seconds ago the keys of *issuer* were asked for. Never waits.

        None if they never grow old, as those that a policy states.
        """
        return self.health(issuer).age

    def health(self, issuer: TrustedIssuer) -> KeysHealth:
        """Say how the keys of *issuer* are. Never waits."""
        keys = self.current(issuer)
        number = None if keys is None else len(keys.keys)
        return KeysHealth(issuer=issuer.issuer, source=type(self).__name__, keys=number)

    def open(self) -> None:  # noqa: B027  most have nothing to do
        """Start to get the keys and to keep them fresh; runs at home, and waits for nothing."""

    def close(self) -> None:  # noqa: B027  likewise
        """End what goes on in the background; runs at home. What is asked for later starts anew."""


class FixedKeys(KeySource):
    """Keys that a configuration states, from a file or in line. They never change.

    Parameters:
        sets: the keys by the ``issuer`` they belong to: a key is never found by its name alone.
    """

    __slots__ = ("_sets",)

    def __init__(self, sets: Mapping[str, JwkSet]) -> None:
        self._sets = dict(sets)

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:  # noqa: ARG002  the port
        """Return the keys of *issuer*."""
        return self._sets[issuer.issuer]

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:  # noqa: ARG002  the port
        """Return the same: there is nowhere to go."""
        return self._sets[issuer.issuer]

    def age(self, issuer: TrustedIssuer) -> None:
        """Return None: they are the policy's."""

    def health(self, issuer: TrustedIssuer) -> KeysHealth:
        """Say how many there are."""
        keys = len(self._sets[issuer.issuer].keys)
        return KeysHealth(issuer=issuer.issuer, source="policy", keys=keys)


class KeySources(KeySource):
    """Several sources as one: each issuer has its own.

    Parameters:
        sources: by ``issuer``.
    """

    __slots__ = ("_sources",)

    def __init__(self, sources: Mapping[str, KeySource]) -> None:
        self._sources = dict(sources)

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet | None:
        """Ask the source of *issuer*."""
        return self._sources[issuer.issuer].current(issuer, header)

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        """Ask the source of *issuer*."""
        return await self._sources[issuer.issuer].fetch(issuer, header)

    def age(self, issuer: TrustedIssuer) -> float | None:
        """Ask the source of *issuer*."""
        return self._sources[issuer.issuer].age(issuer)

    def health(self, issuer: TrustedIssuer) -> KeysHealth:
        """Ask the source of *issuer*."""
        return self._sources[issuer.issuer].health(issuer)

    def open(self) -> None:
        """Open each."""
        for source in self._sources.values():
            source.open()

    def close(self) -> None:
        """Close each."""
        for source in self._sources.values():
            source.close()
