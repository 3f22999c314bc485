"""PostgreSQL, 13 or later."""

from __future__ import annotations

from hashlib import blake2b
from math import ceil
from traceback import clear_frames
from typing import TYPE_CHECKING, Any, ClassVar, Final

import psycopg
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine

from portvakt.stores.sql.place import PATIENCE, SKEW, Place, Words

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["CHANNEL", "PostgresqlPlace"]

#: What a revocation is announced on.
CHANNEL: Final = "portvakt_revocations"

_NOW: Final = "extract(epoch FROM clock_timestamp())"

#: Which cluster, on which line of history, with which database and table: a copy or a restored dump
#: has others. Where a restart may lose what was committed, each start is another server.
_IDENTITY: Final = text("""
SELECT concat_ws(':',
    (SELECT system_identifier FROM pg_control_system()),
    left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
    (SELECT oid FROM pg_database WHERE datname = current_database()),
    'portvakt_epochs'::regclass::oid,
    CASE WHEN current_setting('fsync') = 'off' OR current_setting('full_page_writes') = 'off'
        THEN extract(epoch FROM pg_postmaster_start_time()) END)
""")

#: A commit that the server may lose by itself is none: it is made to wait for its disk.
_SETTINGS: Final = """
SELECT set_config('statement_timeout', %(milliseconds)s, false),
    set_config('idle_in_transaction_session_timeout', %(milliseconds)s, false),
    set_config('synchronous_commit', CASE current_setting('synchronous_commit')
        WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)
"""

_LOCK: Final = text("SELECT pg_advisory_xact_lock(:name)")

_ANNOUNCE: Final = text(f"NOTIFY {CHANNEL}")

_REPOSITION: Final = text(
    "UPDATE portvakt_revocations SET position = pg_current_xact_id()::text::bigint "
    "WHERE position > pg_current_xact_id()::text::bigint"
)

_UNREACHED: Final = "the store cannot be reached"
_REASONS: Final = {
    "25006": "the store's server takes no writes",
    "28000": "the store's server does not let this user in",
    "28P01": "the store's server does not let this user in",
    "42501": "the store's user may not do what it has to",
    "53300": "the store's server has no connection left",
    "57014": "the store did not answer in time",
    "57P01": "the store's server was stopped",
    "57P03": "the store's server is starting or stopping",
}


class PostgresqlPlace(Place):
    """A database of a server.

    Does not notice that the server's disk was put back to an earlier state without the server's own
    recovery, which begins a new line of history.

    Parameters:
        url: where it is, as libpq reads it.
        password: what to show it; None if the URL's user needs none, or libpq knows it.
        timeout: seconds within which it must answer.
    """

    kind: ClassVar = "postgresql"
    skew: ClassVar = SKEW
    ends_by_itself: ClassVar = False
    words: ClassVar = Words(
        begin="BEGIN",
        larger="greatest",
        # Neither a guard whose clock is ahead nor a server's may forget for the others.
        expired=f"least(:now, {_NOW}) - {SKEW}",
        rows="ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE expires_at <= {expired} "
        "LIMIT {most} FOR UPDATE SKIP LOCKED))",
        position="pg_current_xact_id()::text::bigint",
        next_position="pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
    )

    def __init__(self, url: str, password: str | None, timeout: float) -> None:
        self._url = url
        self._password = password
        self.timeout = timeout

    async def connect(self) -> psycopg.AsyncConnection[Any]:
        """Open a connection."""
        try:
            return await psycopg.AsyncConnection.connect(**self._arguments())
        except BaseException as error:
            # psycopg's frames hold the error, which holds them, and with them a socket: it would
            # stay open until the garbage is collected, and the server's end of it as well.
            one: BaseException | None = error
            while one is not None:
                clear_frames(one.__traceback__)
                one = one.__context__
            raise

    def _arguments(self) -> dict[str, Any]:
        """Return how to connect. A server that is cut off is noticed within seconds."""
        seconds = max(1, ceil(self.timeout))
        return {
            "conninfo": self._url,
            "password": self._password,
            "autocommit": True,
            "connect_timeout": max(2, seconds),
            "keepalives_idle": 5,
            "keepalives_interval": 1,
            "keepalives_count": 3,
            "tcp_user_timeout": 1000 * (seconds + 2),
            "application_name": "portvakt",
        }

    def engine(self) -> AsyncEngine:
        """Make one with a few connections."""
        engine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=self.connect,
            isolation_level="AUTOCOMMIT",
            pool_size=8,
            max_overflow=0,
            pool_timeout=PATIENCE * self.timeout,
            hide_parameters=True,
        )
        event.listen(engine.sync_engine, "connect", self._set)
        return engine

    def blocking_engine(self) -> Engine:
        """Make one for a thread that may wait."""
        return create_engine(
            "postgresql+psycopg://",
            creator=lambda: psycopg.connect(**self._arguments()),
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
        )

    def drop(self, driver: Any) -> None:
        """Close its socket."""
        driver.pgconn.finish()

    def identity(self, connection: Connection, now: float) -> str:  # noqa: ARG002  the server says it
        """Return which cluster it is, and which line of its history."""
        return str(connection.execute(_IDENTITY).scalar_one())

    def lock(self, connection: Connection, name: bytes) -> None:
        """Take an advisory lock, which the end of the transaction gives back."""
        digest = blake2b(name, digest_size=8, person=b"portvakt").digest()
        connection.execute(_LOCK, {"name": int.from_bytes(digest, "big", signed=True)})

    def before_revoking(self, connection: Connection) -> None:
        """Have it announced when the transaction ends. Its position is its own number."""
        connection.execute(_ANNOUNCE)

    def reposition(self, connection: Connection) -> None:
        """Give a new number to what has that of a transaction that is yet to come here."""
        connection.execute(_REPOSITION)

    def explain(self, error: BaseException) -> str:
        """Say it by the server's code."""
        code = getattr(getattr(error, "orig", error), "sqlstate", None)
        if not isinstance(code, str):
            return _UNREACHED
        return _REASONS.get(code, f"the store's server failed (SQLSTATE {code})")

    def _set(self, connection: Any, _record: object) -> None:
        milliseconds = str(ceil(1000 * self.timeout))
        connection.cursor().execute(_SETTINGS, {"milliseconds": milliseconds})
