"""How a guard hears that something was revoked before it asks by itself.

Only ever a hint: what is missed is found by the next question.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, LiteralString, TypeVar

import psycopg
from sqlalchemy import text

from portvakt.stores.sql.engine import LATE
from portvakt.stores.sql.postgresql import CHANNEL, PostgresqlPlace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from sqlalchemy import Connection

    from portvakt.stores.sql.engine import Database
    from portvakt.stores.sql.place import Epoch, Place

__all__ = ["changes"]

T = TypeVar("T")

#: Seconds between two looks at a file, which cannot call.
_INTERVAL: Final = 0.2
#: Seconds after which a connection that says nothing is asked whether it is still there.
_SILENCE: Final = 5.0

_LAST: Final = text("SELECT last FROM portvakt_positions")


def changes(place: Place, database: Database) -> AsyncIterator[None]:
    """Yield once when it listens, and then whenever something may have been written.

    Raises:
        StoreError: when it cannot listen, or no longer.
    """
    if isinstance(place, PostgresqlPlace):
        return _listen(place, database)
    return _look(database)


async def _look(database: Database) -> AsyncIterator[None]:
    seen = await database.run(_last, reading=True)
    yield
    while True:
        await asyncio.sleep(_INTERVAL)
        last = await database.run(_last, reading=True)
        if last != seen:
            seen = last
            yield


def _last(connection: Connection, _epoch: Epoch) -> int:
    last: int = connection.execute(_LAST).scalar_one()
    return last


async def _listen(place: PostgresqlPlace, database: Database) -> AsyncIterator[None]:
    connection = None
    try:
        connection = await _in_time(database, _connect(place))
        yield
        while True:
            heard = [one async for one in connection.notifies(timeout=_SILENCE, stop_after=1)]
            if heard:
                yield
            else:
                await _in_time(database, _ask(connection, "SELECT 1"))
    except TimeoutError:
        # Whoever asked closes the connection, in the end.
        connection, failed = None, database.failed(LATE)
    except (psycopg.Error, OSError) as error:
        failed = database.failed(place.explain(error))
    finally:
        if connection is not None:
            connection.pgconn.finish()
    raise failed


async def _connect(place: PostgresqlPlace) -> psycopg.AsyncConnection[Any]:
    connection = await place.connect()
    await _ask(connection, f"LISTEN {CHANNEL}")
    return connection


async def _ask(connection: psycopg.AsyncConnection[Any], statement: LiteralString) -> None:
    try:
        await connection.execute(statement)
    except BaseException:
        connection.pgconn.finish()
        raise


async def _in_time(database: Database, work: Coroutine[Any, Any, T]) -> T:
    """Wait for work as long as the store has; beyond that it ends by itself.

    A driver that is cancelled takes its time to leave a server that does not answer.

    Raises:
        TimeoutError: if it took longer.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,), timeout=database.place.timeout)
    finally:
        if not task.done():
            task.cancel()
            database.keep(task)
    if not task.done():
        raise TimeoutError
    return task.result()
