"""The store of one process: nothing to run beside it, and nothing left when the process ends.

Its memory begins when it is made, and again in the child of a fork: what was used before that it
does not know, and says so.
"""

from __future__ import annotations

import secrets
import threading
from bisect import bisect_left
from heapq import heappop, heappush
from itertools import islice
from math import ceil, inf
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from msgspec import Struct

from portvakt.clock import monotonic
from portvakt.home import after_fork
from portvakt.stores.base import Entry, Page, Store, StoreError, StoreHealth, Use

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable

__all__ = ["MemoryStore"]

#: Expired uses that one use frees: more than the one it adds, so that none stay.
_FREED_BY_ONE: Final = 4
#: Of an owner who has no room left, this many of the oldest uses are looked at.
_FREED_OF_OWNER: Final = 16
#: What prune() frees before others have their turn.
_BATCH: Final = 500
#: Revocations on a page.
_PAGE: Final = 2000

_BEFORE: Final = "the store's memory does not reach back that far"
_FULL: Final = "the store has no room for another use"
_OWNER_FULL: Final = "the store has no room for another use of this owner"


class _Items(dict[str, int]):
    """What one owner used: each item, and the whole second from which on it is expired."""

    __slots__ = ("owner",)

    def __init__(self, owner: str) -> None:
        super().__init__()
        self.owner = owner


class _Second:
    """What expires within one second: each name, and whose it is."""

    __slots__ = ("items", "names")

    def __init__(self) -> None:
        self.items: list[_Items] = []
        self.names: list[str] = []


class _Revoked(Struct, frozen=True, gc=False):
    issued_before: float
    expires_at: float
    position: int


class MemoryStore(Store):
    """Uses and revocations in the memory of this process.

    A use answers at once, from any thread. It costs its item and some forty octets: the times of
    all that expire within one second are one object.

    Does not check that there is only one process, unless it is told how: see *alone*.

    Parameters:
        capacity: uses that are remembered at the same time.
        per_owner: and of them, those of one owner.
        clock: seconds since 1970.
        alone: called before the first use in each process, and then once a second; returns whether
            another has served the same meanwhile, and raises :class:`StoreError` where one does
            (:meth:`portvakt.stores.workers.Alone.take`).
    """

    def __init__(
        self,
        *,
        capacity: int,
        per_owner: int,
        clock: Callable[[], float],
        alone: Callable[[], bool] | None = None,
    ) -> None:
        self._capacity = capacity
        self._per_owner = per_owner
        self._clock = clock
        self._alone = alone or _nobody_else
        self.start_afresh()
        _stores.add(self)

    def start_afresh(self) -> None:
        """Forget everything; the memory begins now. After a fork, the rest is the parent's."""
        self._lock = threading.Lock()
        self._begins = self._clock()
        # When to ask next whether this is the only process.
        self._ask_at = -inf
        self._last_error: tuple[str, float] | None = None
        # Who used what, and what expires at each second, the first of them first.
        self._owners: dict[str, _Items] = {}
        self._expiring: dict[int, _Second] = {}
        self._seconds: list[int] = []
        self._count = 0
        # What was revoked, and in which order: a position for each time it was written.
        self._mark = secrets.token_hex(8)
        self._revoked: dict[bytes, _Revoked] = {}
        self._order: list[tuple[int, bytes]] = []
        self._position = 0
        self._listening: set[asyncio.Event] = set()

    def __repr__(self) -> str:
        return f"MemoryStore({self._count} of {self._capacity} uses)"

    def use_at_once(self, use: Use, /) -> bool:
        """Remember a use; False: it was used before. Never None.

        Raises:
            StoreError: if the memory does not reach back that far, or there is no room.
        """
        if use.at >= self._ask_at:
            self._check(use.at)
        if use.usable_from < self._begins:
            raise self._failed(_BEFORE)
        # One lock for the look, the count and the entry: a tenth of the time of all this.
        with self._lock:
            self._free(use.at, _FREED_BY_ONE)
            items = self._owners.get(use.owner)
            if items is None:
                if self._count >= self._capacity:
                    raise self._failed(_FULL)
                items = self._owners[use.owner] = _Items(use.owner)
                self._count += 1
            else:
                expired = items.get(use.item)
                if expired is None:
                    self._make_room(items, use.at)
                    self._count += 1
                elif expired > use.at:
                    return False
            second = ceil(use.expires_at)
            items[use.item] = second
            expiring = self._expiring.get(second)
            if expiring is None:
                self._expiring[second] = expiring = _Second()
                heappush(self._seconds, second)
            expiring.items.append(items)
            expiring.names.append(use.item)
            return True

    async def use(self, use: Use, /) -> bool:
        """Do what :meth:`use_at_once` does."""
        return self.use_at_once(use)

    def _check(self, at: float) -> None:
        """See that no other process serves the same. What one used until now is not known here."""
        with self._lock:
            try:
                others = self._alone()
            except StoreError as error:
                raise self._failed(error.reason) from None
            if others:
                self._begins = max(self._begins, at)
            self._ask_at = at + 1

    def _make_room(self, items: _Items, at: float) -> None:
        if len(items) >= self._per_owner:
            for item in list(islice(items, _FREED_OF_OWNER)):
                if items[item] <= at:
                    # Where it is among what expires, it is passed over later.
                    del items[item]
                    self._count -= 1
            if len(items) >= self._per_owner:
                raise self._failed(_OWNER_FULL)
        if self._count >= self._capacity:
            raise self._failed(_FULL)

    def _free(self, at: float, most: int) -> int:
        """Free some of what has expired, the oldest first; return how many."""
        freed = 0
        while self._seconds and most:
            second = self._seconds[0]
            if second > at:
                break
            expiring = self._expiring[second]
            while expiring.names and most:
                most -= 1
                items, item = expiring.items.pop(), expiring.names.pop()
                # Used again after it expired, it is among what expires later.
                if items.get(item) == second:
                    del items[item]
                    freed += 1
                    if not items:
                        del self._owners[items.owner]
            if not expiring.names:
                del self._expiring[heappop(self._seconds)]
        self._count -= freed
        return freed

    async def revoke(self, entries: tuple[Entry, ...], /) -> None:
        """Write entries. They live as long as this process."""
        for entry in entries:
            old = self._revoked.get(entry.handle)
            self._position += 1
            self._revoked[entry.handle] = _Revoked(
                entry.issued_before if old is None else max(entry.issued_before, old.issued_before),
                entry.expires_at if old is None else max(entry.expires_at, old.expires_at),
                self._position,
            )
            self._order.append((self._position, entry.handle))
        for event in self._listening:
            event.set()

    async def since(self, cursor: str | None, /) -> Page:
        """Return what was written after a cursor."""
        mark, _, position = (cursor or "").partition(":")
        known = mark == self._mark and position.isdecimal() and int(position) <= self._position
        start = bisect_left(self._order, (int(position) + 1, b"")) if known else 0
        rows = self._order[start : start + _PAGE]
        more = start + len(rows) < len(self._order)
        reached = rows[-1][0] if more else self._position
        entries = tuple(
            Entry(handle, one.issued_before, one.expires_at)
            for at, handle in rows
            if (one := self._revoked.get(handle)) is not None and one.position == at
        )
        return Page(
            entries,
            f"{self._mark}:{reached}",
            more=more,
            afresh=cursor is not None and not known,
        )

    async def changes(self) -> AsyncIterator[None]:
        """Yield once, and after each :meth:`revoke`."""
        import asyncio

        event = asyncio.Event()
        self._listening.add(event)
        try:
            while True:
                yield
                await event.wait()
                event.clear()
        finally:
            self._listening.discard(event)

    async def prune(self, now: float, /) -> int:
        """Forget what has expired, and let others have their turn in between."""
        import asyncio

        freed = 0
        while True:
            with self._lock:
                pending = bool(self._seconds) and self._seconds[0] <= now
                freed += self._free(now, _BATCH)
            if not pending:
                break
            await asyncio.sleep(0)
        expired = [handle for handle, one in self._revoked.items() if one.expires_at <= now]
        for handle in expired:
            del self._revoked[handle]
        if len(self._order) > 2 * len(self._revoked):
            self._order = sorted((one.position, handle) for handle, one in self._revoked.items())
        return freed + len(expired)

    def health(self) -> StoreHealth:
        """Say how full it is."""
        error = self._last_error
        return StoreHealth(
            kind="memory",
            shared=False,
            last_error=None if error is None else error[0],
            last_error_age=None if error is None else monotonic() - error[1],
            memory_begins=self._begins,
            uses=self._count,
        )

    async def close(self) -> None:
        """Nothing is open."""

    def _failed(self, reason: str) -> StoreError:
        self._last_error = (reason, monotonic())
        return StoreError(reason)


def _nobody_else() -> bool:
    return False


_stores: Final[WeakSet[MemoryStore]] = WeakSet()


def _forget_the_parents() -> None:
    # Two processes that remember apart are no store: the child knows nothing from before.
    for store in _stores:
        store.start_afresh()


after_fork(_forget_the_parents)
