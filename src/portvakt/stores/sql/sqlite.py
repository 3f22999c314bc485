"""SQLite: one file on this machine, for several processes.

Write-ahead log, so that readers and the writer do not wait for each other; each commit is on disk
when it returns (``synchronous=FULL``). Not for a file system of a network: its locks are not kept.
"""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
import time
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sqlalchemy import URL, create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine

from portvakt.clock import monotonic
from portvakt.stores.sql.epochs import transaction
from portvakt.stores.sql.place import PATIENCE, SKEW, Place, Words

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["SqlitePlace"]

_COUNT_UP: Final = text("UPDATE portvakt_positions SET last = last + 1")

_LAST_EXPIRY: Final = text("SELECT max(expires_at) FROM portvakt_uses")

#: Characters of a witness: its name, and seconds since 1970.
_NAME: Final = 32
_DIGITS: Final = 16
_WITNESS: Final = re.compile(rf"([0-9a-f]{{{_NAME}}})([0-9]{{{_DIGITS}}})")

#: Seconds within which every process that starts together has opened the file.
_SWITCHING: Final = 10.0
_LOCKED: Final = "another process holds the store's file for too long"


class SqlitePlace(Place):
    """A file.

    Beside it lies another one, the witness, which says until when a use was written that has to be
    remembered. Whoever opens the file and does not find so much in it, or no witness, knows that an
    earlier state was put back, or a part of it taken away, and that its memory begins anew.

    Does not notice an earlier state of both, put back together.

    Parameters:
        path: the file.
        timeout: seconds within which it must answer.
    """

    kind: ClassVar = "sqlite"
    # Every process that has it has the clock of this machine.
    skew: ClassVar = 0.0
    # SQLite waits no longer for another process than it is told.
    ends_by_itself: ClassVar = True
    words: ClassVar = Words(
        begin="BEGIN IMMEDIATE",
        larger="max",
        expired=f":now - {SKEW}",
        rows="({key}) IN (SELECT {key} FROM {table} WHERE expires_at <= {expired} LIMIT {most})",
        position="(SELECT last FROM portvakt_positions)",
        next_position="(SELECT last + 1 FROM portvakt_positions)",
    )

    def __init__(self, path: Path, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        self._witness = path.with_name(f"{path.name}-witness")
        self._noted = -inf

    def engine(self) -> AsyncEngine:
        """Make one with a single connection: two of one process would wait for each other."""
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(self.path)),
            isolation_level="AUTOCOMMIT",
            pool_size=1,
            max_overflow=0,
            pool_timeout=PATIENCE * self.timeout,
            connect_args={"timeout": PATIENCE * self.timeout},
            hide_parameters=True,
        )
        event.listen(engine.sync_engine, "connect", _set)
        return engine

    def blocking_engine(self) -> Engine:
        """Make one that waits as long as another process may take to upgrade."""
        engine = create_engine(
            URL.create("sqlite+pysqlite", database=str(self.path)),
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": max(self.timeout, 30.0)},
            hide_parameters=True,
        )
        event.listen(engine, "connect", _set_patiently)
        return engine

    def drop(self, driver: Any) -> None:
        """Have its thread close it."""
        driver.stop()

    def prepare(self) -> None:
        """Make the file, for nobody else to read: what is in it can be tried for who is meant."""
        # Why it cannot be made, SQLite says better.
        with suppress(OSError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))

    def identity(self, connection: Connection, now: float) -> str:
        """Return which file it is, and by which witness."""
        name = self._witnessed(connection, now)
        if name is None:
            with transaction(connection, self):
                # Another may have been as quick.
                name = self._witnessed(connection, now) or self._witness_anew(connection)
        return f"{self.stamp()}:{name}"

    def used(self, expires_at: float) -> None:
        """Note it beside the file, once in a second: it need not outlive a loss of power."""
        if expires_at >= self._noted + 1:
            # One that was taken away is made again, with no name: the next to open it notices.
            witness = os.open(self._witness, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.pwrite(witness, _number(expires_at), _NAME)
            finally:
                os.close(witness)
            self._noted = expires_at

    def _witnessed(self, connection: Connection, now: float) -> str | None:
        """Return the name of the witness; None if there is none, or the file lacks what it says."""
        # In this order: what is noted was written before that.
        try:
            match = _WITNESS.fullmatch(self._witness.read_text("ascii"))
        except (OSError, ValueError):
            match = None
        found = connection.execute(_LAST_EXPIRY).scalar()
        # What expired longer ago may have been forgotten since.
        known = max(0.0, now - SKEW, found or 0.0)
        return match[1] if match is not None and float(match[2]) <= known else None

    def _witness_anew(self, connection: Connection) -> str:
        name, found = secrets.token_hex(_NAME // 2), connection.execute(_LAST_EXPIRY).scalar()
        made = self._witness.with_name(f"{self._witness.name}-{name}")
        witness = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(witness, name.encode() + _number(found or 0.0))
        finally:
            os.close(witness)
        made.replace(self._witness)
        return name

    def lock(self, connection: Connection, name: bytes) -> None:
        """Nothing to do: there is one writer at a time."""

    def before_revoking(self, connection: Connection) -> None:
        """Count up. Whoever looks sees that."""
        connection.execute(_COUNT_UP)

    def reposition(self, connection: Connection) -> None:
        """Nothing to do: positions are counted in the file itself."""

    def explain(self, error: BaseException) -> str:
        """Say it in SQLite's own names of errors."""
        name = getattr(getattr(error, "orig", error), "sqlite_errorname", None)
        if not isinstance(name, str):
            return "the store's file cannot be used"
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return _LOCKED
        return f"the store's file cannot be used ({name})"

    def stamp(self) -> object:
        """Return which file is there now, or that there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return f"{found.st_dev}:{found.st_ino}"


def _number(seconds: float) -> bytes:
    return b"%0*d" % (_DIGITS, int(max(0.0, seconds)))


def _set(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _set_patiently(connection: Any, record: object) -> None:
    # Whoever switches a new file to its log does not wait for another that does the same, whatever
    # the timeout: SQLite says at once that it is busy. Workers start together: once more.
    end = monotonic() + _SWITCHING
    while True:
        try:
            _set(connection, record)
        except sqlite3.OperationalError as error:
            name = getattr(error, "sqlite_errorname", "")
            if not name.startswith("SQLITE_BUSY") or monotonic() >= end:
                raise
            time.sleep(0.01)
        else:
            return
