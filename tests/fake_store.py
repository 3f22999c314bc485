"""A store of revocations in this process: it fails, hangs, forgets and tells as a test says."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from portvakt.stores.base import Entry, Page, Revocations, Store, StoreError, StoreHealth, Use

DOWN = StoreError("the store does not answer")


class FakeRevocations(Revocations):
    """Entries under ascending numbers, and the number of the last one read as the cursor.

    Attributes:
        page: how many entries a page has at most.
        overlap: how many entries before the cursor are sent again, as stores do whose entries can
            be written later than they were numbered.
        failing: what every question and writing raises, if it is not None.
        answering: not set, nothing is answered: the store hangs.
        asked: with which cursors it was asked.
        pushing: whether it can tell of changes.
        listeners: who listens now.
    """

    def __init__(
        self, entries: Iterable[Entry] = (), *, page: int = 1000, pushing: bool = False
    ) -> None:
        self.page = page
        self.overlap = 0
        self.failing: Exception | None = None
        self.answering = asyncio.Event()
        self.answering.set()
        self.asked: list[str | None] = []
        self.pushing = pushing
        self.listeners: list[asyncio.Queue[StoreError | None]] = []
        self._epoch = 0
        self._last = 0
        self._entries: dict[int, Entry] = {}
        self.write(*entries)

    def write(self, *entries: Entry) -> None:
        """Make entries durable, without telling anyone."""
        for entry in entries:
            self._last += 1
            self._entries[self._last] = entry

    def tell(self) -> None:
        """Say that something may have been written."""
        for listener in self.listeners:
            listener.put_nowait(None)

    def cut(self) -> None:
        """End what is listened to."""
        for listener in self.listeners:
            listener.put_nowait(DOWN)

    def replace(self) -> None:
        """Number everything anew, as after a restore: nobody's cursor is known."""
        entries = list(self._entries.values())
        self._epoch, self._last, self._entries = self._epoch + 1, 0, {}
        self.write(*entries)

    def expire(self, now: float) -> None:
        """Forget what has ended."""
        self._entries = {
            number: entry for number, entry in self._entries.items() if entry.expires_at > now
        }

    async def revoke(self, entries: tuple[Entry, ...], /) -> None:
        await self._answer()
        self.write(*entries)
        self.tell()

    async def since(self, cursor: str | None, /) -> Page:
        self.asked.append(cursor)
        await self._answer()
        epoch, _, number = (cursor or "").partition(":")
        known = epoch == str(self._epoch)
        after = int(number) if known else 0
        first = after - self.overlap
        fresh = sorted(one for one in self._entries if one > after)
        again = [one for one in self._entries if first < one <= after]
        sent = fresh[: self.page]
        return Page(
            entries=tuple(self._entries[one] for one in (*again, *sent)),
            cursor=f"{self._epoch}:{sent[-1] if sent else max(after, self._last)}",
            more=len(fresh) > len(sent),
            afresh=cursor is not None and not known,
        )

    async def changes(self) -> AsyncIterator[None]:
        if not self.pushing:
            raise DOWN
        listener: asyncio.Queue[StoreError | None] = asyncio.Queue()
        self.listeners.append(listener)
        try:
            yield
            while True:
                failure = await listener.get()
                if failure is not None:
                    raise failure
                yield
        finally:
            self.listeners.remove(listener)

    async def _answer(self) -> None:
        await self.answering.wait()
        if self.failing is not None:
            raise self.failing


class FakeStore(FakeRevocations, Store):
    """The same as a whole store, which remembers no uses.

    Attributes:
        shared: whether it says that other processes see the same.
        closed: how often it was closed.
    """

    def __init__(self, *, shared: bool = True) -> None:
        super().__init__()
        self.shared = shared
        self.closed = 0

    def entries(self) -> list[Entry]:
        return [*self._entries.values()]

    async def use(self, use: Use, /) -> bool:
        raise DOWN

    async def prune(self, now: float, /) -> int:
        raise DOWN

    def health(self) -> StoreHealth:
        return StoreHealth(kind="fake", shared=self.shared)

    async def close(self) -> None:
        self.closed += 1
