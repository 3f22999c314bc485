"""What is remembered beyond one request and one process: the ports, and what every store keeps to.

A store knows strings and times and nothing of tokens. Whatever fails in it is a
:class:`StoreError`: bounded in time, with a reason that holds no connection string and no entry.

Every store's operations run at home (see :mod:`portvakt.home`). A store that finds itself on
another loop, or in another process than the last time, starts afresh and leaves the connections of
the other alone: they are not its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

__all__ = [
    "HANDLE_OCTETS",
    "Entry",
    "Page",
    "RecordRows",
    "Replay",
    "Revocations",
    "Store",
    "StoreError",
    "StoreHealth",
    "Use",
]

#: Octets of a handle: a digest, so that a store neither grows with names nor gives them away.
HANDLE_OCTETS: Final = 16


class StoreError(Exception):
    """The store gave no answer that can be relied on: nothing was decided.

    Attributes:
        reason: why, for the operator's log: fixed words, no address, password or entry.
        retry_after: in how many whole seconds it may be tried again.
    """

    def __init__(self, reason: str, *, retry_after: int = 1) -> None:
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(reason)


class Use(Struct, frozen=True, gc=False):
    """One use of something that may be used once. Times are seconds since 1970.

    Attributes:
        owner: who may use it: the thumbprint of a key. Bounds hold for each owner, so that nobody
            fills the store for others.
        item: what is used, unique for its owner: a digest, never what the caller sent.
        usable_from: the earliest moment at which it could have been used before, by any clock here.
        expires_at: until when it has to be remembered.
        at: now, by the guard's clock.
    """

    owner: str
    item: str
    usable_from: float
    expires_at: float
    at: float


class Replay(ABC):
    """Remembers what was used, so that nothing is used twice.

    - One insertion that either happens or does not: of any number of callers, in any processes, at
      most one is told True.
    - Nothing that has not expired is ever given up. A store that is full says so, for everybody or
      for one owner; it does not make room.
    - What was used while the store's memory did not reach back that far is not known: if
      *usable_from* lies before that, it raises, and admits nothing on a guess. A store that may
      have lost its last writes (a restart, a failover) has a memory that begins there.
    """

    def use_at_once(self, use: Use, /) -> bool | None:  # noqa: ARG002  the port
        """Do what :meth:`use` does without waiting, from any thread; None: it has to be awaited.

        Raises:
            StoreError: as :meth:`use`.
        """
        return None

    @abstractmethod
    async def use(self, use: Use, /) -> bool:
        """Remember a use; False: it was used before.

        Raises:
            StoreError: if it is not known, or there is no room.
        """


class Entry(Struct, frozen=True, gc=False):
    """One revocation.

    Attributes:
        handle: what is revoked: a digest of :data:`HANDLE_OCTETS` octets.
        issued_before: tokens issued before this are revoked, in seconds since 1970; infinity for
            all of them.
        expires_at: until when it has to be remembered, in seconds since 1970.
    """

    handle: bytes
    issued_before: float
    expires_at: float


class Page(Struct, frozen=True):
    """What a store has on revocations, from some point on.

    Attributes:
        entries: in no order. One may come again in a later page: whoever reads takes the larger of
            two times.
        cursor: what to ask for next.
        more: whether there is more that was there when this was asked.
        afresh: whether this is the first page of everything, because the store does not know the
            cursor that it was asked with (it was replaced, or lost writes). What the reader already
            has stays.
    """

    entries: tuple[Entry, ...]
    cursor: str
    more: bool = False
    afresh: bool = False


class Revocations(ABC):
    """Keeps revocations until they expire, and lets every reader catch up with all of them.

    - When :meth:`revoke` has returned, the entry is durable, and every :meth:`since` that starts
      later, in any process, leads to it.
    - A cursor never passes over an entry whose writer began earlier and ended later.
    - Revoking again keeps the larger of both times: nothing takes a revocation back.
    """

    @abstractmethod
    async def revoke(self, entries: tuple[Entry, ...], /) -> None:
        """Write entries, all of them or none.

        Raises:
            StoreError: if that is not certain. Writing them again does no harm.
        """

    @abstractmethod
    async def since(self, cursor: str | None, /) -> Page:
        """Return what was written after a cursor; None: from the beginning.

        Raises:
            StoreError: if the store gives no answer.
        """

    @abstractmethod
    def changes(self) -> AsyncIterator[None]:
        """Yield once when it listens, and then whenever something may have been written.

        That is a hint: some may be missed, and whoever reads polls as well.

        Raises:
            StoreError: when it cannot listen, or no longer.
        """


class RecordRows(ABC):
    """Keeps lines of several writers, each with its number. For one thread, which waits."""

    @abstractmethod
    def append(self, rows: Sequence[tuple[str, int, float, bytes]], /) -> None:
        """Write rows (writer, number, seconds since 1970, line), durably, all of them or none.

        Raises:
            StoreError: if that is not certain. Writing them again does no harm.
        """

    @abstractmethod
    def last(self, most: int, /) -> tuple[bytes, ...]:
        """Return the last line of each of the writers that began last.

        Raises:
            StoreError: if there is no answer.
        """

    @abstractmethod
    def lines(self, *, first_only: bool = False) -> Iterator[tuple[str, int, bytes]]:
        """Yield writer, number and line of all there are, writer by writer, in their order.

        Parameters:
            first_only: of each writer only the first one.

        Raises:
            StoreError: if there is no answer.
        """

    @abstractmethod
    def close(self) -> None:
        """Disconnect. Raises nothing."""


class StoreHealth(Struct, frozen=True, kw_only=True):
    """How a store is. Nothing in it holds a connection string or an entry.

    Attributes:
        kind: which: ``memory``, ``sqlite``, ``postgresql``, ``redis``.
        shared: whether other processes see the same.
        last_error: why it gave no answer the last time; None if it did.
        last_error_age: seconds since then.
        memory_begins: seconds since 1970 before which it does not know what was used; None if it
            has lost nothing.
        uses: how many uses it remembers, expired ones included; in a database or on a server, when
            this process last pruned it. None if it never did.
    """

    kind: str
    shared: bool
    last_error: str | None = None
    last_error_age: float | None = None
    memory_begins: float | None = None
    uses: int | None = None


class Store(Replay, Revocations):
    """Everything that one URL leads to."""

    @abstractmethod
    async def prune(self, now: float, /) -> int:
        """Forget what has expired, a little at a time so that nobody waits; return how many.

        Raises:
            StoreError: if the store gives no answer.
        """

    @abstractmethod
    def health(self) -> StoreHealth:
        """Say how it is. Never waits."""

    @abstractmethod
    async def close(self) -> None:
        """Give back what is open. What is asked for later starts anew."""
