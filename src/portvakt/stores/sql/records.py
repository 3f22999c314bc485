"""Lines of decision records in SQL, for a thread that may wait."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from portvakt.stores.base import RecordRows, StoreError
from portvakt.stores.sql.epochs import NEWER, NOT_UPGRADED, schema_of, transaction
from portvakt.stores.sql.tables import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection, Row

    from portvakt.stores.sql.place import Place

__all__ = ["SqlRecords"]

T = TypeVar("T")

#: Lines that are read at once.
_PAGE: Final = 2000

_APPEND: Final = text("""
INSERT INTO portvakt_records (writer, n, at, line) VALUES (:writer, :n, :at, :line)
ON CONFLICT (writer, n) DO NOTHING
""")
_LAST: Final = text("""
SELECT line FROM portvakt_records AS mine JOIN (
    SELECT writer, max(n) AS n FROM portvakt_records WHERE writer IN (
        SELECT writer FROM portvakt_records WHERE n = 0 ORDER BY at DESC, writer LIMIT :most)
    GROUP BY writer) AS newest ON mine.writer = newest.writer AND mine.n = newest.n
""")
_FIRST: Final = text("SELECT writer, n, line FROM portvakt_records WHERE n = 0 ORDER BY at, writer")
_AFTER: Final = text("""
SELECT writer, n, line FROM portvakt_records
WHERE (writer, n) > (:writer, :n) ORDER BY writer, n LIMIT :most
""")


class SqlRecords(RecordRows):
    """The table of records. Its connection belongs to the thread that made this.

    Parameters:
        place: where it is; the tables have to be there.

    Raises:
        StoreError: if it cannot be reached, or has not the tables of this version.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._engine = place.blocking_engine()
        self._connection: Connection | None = None
        try:
            self._tried(_see_schema)
        except StoreError:
            self.close()
            raise

    def append(self, rows: Sequence[tuple[str, int, float, bytes]], /) -> None:
        """Write rows in one transaction; those that are there already stay as they are."""
        values = [{"writer": one[0], "n": one[1], "at": one[2], "line": one[3]} for one in rows]

        def work(connection: Connection) -> None:
            with transaction(connection, self._place):
                connection.execute(_APPEND, values)

        self._tried(work)

    def last(self, most: int, /) -> tuple[bytes, ...]:
        """Return the last line of each of the writers that began last."""
        return self._tried(
            lambda connection: tuple(
                bytes(row.line) for row in connection.execute(_LAST, {"most": most})
            )
        )

    def lines(self, *, first_only: bool = False) -> Iterator[tuple[str, int, bytes]]:
        """Yield every line, writer by writer."""
        if first_only:
            rows = self._tried(lambda connection: connection.execute(_FIRST).all())
            yield from ((row.writer, row.n, bytes(row.line)) for row in rows)
            return
        after: dict[str, object] = {"writer": "", "n": -1, "most": _PAGE}
        while True:
            rows = self._tried(partial(_page, after))
            for row in rows:
                yield row.writer, row.n, bytes(row.line)
            if len(rows) < _PAGE:
                return
            after = {"writer": rows[-1].writer, "n": rows[-1].n, "most": _PAGE}

    def close(self) -> None:
        """Disconnect."""
        self._disconnect()
        self._engine.dispose()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError, OSError):
                connection.close()

    def _tried(self, work: Callable[[Connection], T]) -> T:
        """Do work, or say in fixed words why not, and connect anew the next time."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            return work(self._connection)
        except (SQLAlchemyError, OSError) as error:
            reason = self._place.explain(error)
        self._disconnect()
        raise StoreError(reason)


def _page(after: dict[str, object], connection: Connection) -> Sequence[Row[Any]]:
    return connection.execute(_AFTER, after).all()


def _see_schema(connection: Connection) -> None:
    found = schema_of(connection)
    if found != SCHEMA:
        raise StoreError(NEWER if found is not None and found > SCHEMA else NOT_UPGRADED)
