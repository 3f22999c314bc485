"""One database, on whichever loop and in whichever process it is asked; bounded in time.

SQLAlchemy's connections belong to the loop that opened them, and sockets to a process. So a new
loop and the child of a fork begin anew, and what the others have open is left alone.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakSet

from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from portvakt.clock import monotonic
from portvakt.stores.base import StoreError
from portvakt.stores.sql.epochs import NOT_UPGRADED, enter

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from portvakt.stores.sql.place import Epoch, Place

__all__ = ["LATE", "Database"]

T = TypeVar("T")

LATE: Final = "the store did not answer in time"
_BUSY: Final = "every connection to the store is waiting for it"

#: What belongs to a parent process: kept, so that nothing closes it here.
_of_parents: Final[list[object]] = []


class _Attempt:
    """How far one piece of work has come, for whoever gives it up."""

    __slots__ = ("given_up", "working")

    def __init__(self) -> None:
        self.working = False
        self.given_up = False


class _Opened:
    """What is open on one loop.

    Who asks what is revoked has a connection apart, and does not wait for those who wait to write:
    else nobody would be admitted any more while another process holds a file, or many write.

    Attributes:
        engine: where connections come from.
        reading: where those come from that are only read from.
        stamp: what they lead to.
        drivers: the connections themselves.
    """

    def __init__(self, place: Place, stamp: object) -> None:
        self.engine, self.reading = place.engine(), place.engine()
        self.stamp = stamp
        self.drivers: WeakSet[Any] = WeakSet()
        for one in (self.engine, self.reading):
            event.listen(one.sync_engine, "connect", self._connected)

    async def dispose(self) -> None:
        """Close what nobody uses; what is in use is closed when it is given back."""
        await self.engine.dispose()
        await self.reading.dispose()

    def _connected(self, connection: Any, _record: object) -> None:
        self.drivers.add(connection.driver_connection)


class Database:
    """Runs work on a connection, or says why not in fixed words.

    Parameters:
        place: where it is.
        clock: seconds since 1970.
    """

    def __init__(self, place: Place, clock: Callable[[], float]) -> None:
        self.place = place
        self.epoch: Epoch | None = None
        self.last_error: tuple[str, float] | None = None
        self._clock = clock
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._opened: dict[asyncio.AbstractEventLoop, _Opened] = {}
        # Work that has not ended, given up or not: it must not vanish before it does.
        self._under_way: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"Database({self.place.kind})"

    async def run(self, work: Callable[[Connection, Epoch], T], *, reading: bool = False) -> T:
        """Run work on a connection, within the time that the store has.

        The work is plain: SQLAlchemy lets it wait where it asks the database.

        Parameters:
            work: what is to be done.
            reading: whether it writes nothing, and is not to wait for those who do.

        Raises:
            StoreError: if it cannot be done, or not in time. It may have been done even so.
        """
        opened = self._here()
        if opened.stamp is None:
            raise self.failed(NOT_UPGRADED)
        attempt = _Attempt()
        engine = opened.reading if reading else opened.engine
        task = asyncio.ensure_future(self._on_connection(engine, work, attempt))
        self.keep(task)
        try:
            await asyncio.wait((task,), timeout=self.place.timeout)
        finally:
            if not task.done():
                self._give_up(task, attempt)
        if not task.done():
            raise self.failed(LATE)
        try:
            result = task.result()
        except StoreError as error:
            failed = self.failed(error.reason, error.retry_after)
        except PoolTimeout:
            failed = self.failed(_BUSY)
        except (SQLAlchemyError, OSError) as error:
            failed = self.failed(self.place.explain(error))
        else:
            self.last_error = None
            return result
        # Out here: the driver's own error, which says more than we do, is not its context.
        raise failed

    def failed(self, reason: str, retry_after: int = 1) -> StoreError:
        """Note why there is no answer, and return the error that says it."""
        self.last_error = reason, monotonic()
        return StoreError(reason, retry_after=retry_after)

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Keep work until it has ended, whether or not anybody waits for it."""
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Close what this process opened on this loop, and on loops that have ended."""
        self._sweep()
        loop = asyncio.get_running_loop()
        opened = self._opened.pop(loop, None)
        # A connection that is lent out is closed only when it comes back, so that is waited for.
        lent = {task for task in self._under_way if task.get_loop() is loop}
        if lent:
            await asyncio.wait(lent, timeout=self.place.timeout)
        if opened is not None:
            await opened.dispose()

    def _give_up(self, task: asyncio.Task[Any], attempt: _Attempt) -> None:
        attempt.given_up = True
        if attempt.working and not self.place.ends_by_itself:
            # The driver takes its time to leave a server that does not answer: nobody waits.
            task.cancel()
        # Whoever still waits for a connection does so to the end of that: a pool can lose one that
        # it hands over at the moment in which its taker is cancelled.

    async def _on_connection(
        self, engine: AsyncEngine, work: Callable[[Connection, Epoch], T], attempt: _Attempt
    ) -> T:
        async with engine.connect() as connection:
            if attempt.given_up:
                raise StoreError(LATE)
            attempt.working = True
            return await connection.run_sync(self._work, work)

    def _work(self, connection: Connection, work: Callable[[Connection, Epoch], T]) -> T:
        # It lives as long as the connection to the server, not only while it is lent to us.
        info = connection.info
        epoch: Epoch | None = info.get("epoch")
        if epoch is None:
            self.epoch = info["epoch"] = epoch = enter(connection, self.place, self._clock())
        return work(connection, epoch)

    def _here(self) -> _Opened:
        """Return what is open on this loop in this process, for what is there now."""
        self._sweep()
        loop, stamp = asyncio.get_running_loop(), self.place.stamp()
        opened = self._opened.get(loop)
        if opened is not None and opened.stamp == stamp:
            return opened
        if opened is not None:
            self.keep(loop.create_task(opened.dispose()))
        self._opened[loop] = opened = _Opened(self.place, stamp)
        return opened

    def _sweep(self) -> None:
        """Leave to a parent what is the parent's, and close what a loop left when it ended."""
        if self._pid != os.getpid():
            _of_parents.extend((self._opened, self._under_way))
            self._start_afresh()
        for loop in [one for one in self._opened if one.is_closed()]:
            for driver in self._opened.pop(loop).drivers:
                self.place.drop(driver)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()
