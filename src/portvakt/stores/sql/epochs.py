"""Since when the data has been where it is, and whether its tables are those of this version.

A server that was replaced, or restored to an earlier state, may not have what was written last. So
whoever connects looks whether it is the one that was there before, and else writes down when that
began: what was used before is not known from then on.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect, text
from sqlalchemy.exc import SQLAlchemyError

from portvakt.stores.base import StoreError
from portvakt.stores.sql.place import Epoch
from portvakt.stores.sql.tables import SCHEMA, VERSION_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from portvakt.stores.sql.place import Place

__all__ = ["NEWER", "NOT_UPGRADED", "enter", "schema_of", "transaction"]

NOT_UPGRADED: Final = "the store has not the tables of this version: run portvakt store upgrade"
NEWER: Final = "the store has the tables of a later version of Portvakt"

_VERSION: Final = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608  a constant
_LATEST: Final = text("SELECT identity, mark FROM portvakt_epochs ORDER BY id DESC LIMIT 1")
_BEGINS: Final = text("SELECT max(begins) FROM portvakt_epochs")
_ADD: Final = text(
    "INSERT INTO portvakt_epochs (id, identity, mark, begins) "
    "SELECT coalesce(max(id), 0) + 1, :identity, :mark, :begins FROM portvakt_epochs"
)


@contextmanager
def transaction(connection: Connection, place: Place) -> Iterator[None]:
    """Write all or nothing. Connections are made so that nothing else is a transaction."""
    connection.exec_driver_sql(place.words.begin)
    try:
        yield
    except BaseException:
        # One that broke has forgotten everything already.
        if not connection.invalidated:
            with suppress(SQLAlchemyError):
                connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def schema_of(connection: Connection) -> str | None:
    """Return which migration the tables come from; None if there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(_VERSION).scalar()
    return None if found is None else str(found)


def enter(connection: Connection, place: Place, now: float) -> Epoch:
    """Look at what a new connection leads to, and since when.

    Raises:
        StoreError: if the tables are not those of this version.
    """
    schema = schema_of(connection)
    if schema != SCHEMA:
        raise StoreError(NEWER if schema is not None and schema > SCHEMA else NOT_UPGRADED)
    identity = place.identity(connection, now)
    mark = _mark(connection, identity)
    if mark is None:
        with transaction(connection, place):
            place.lock(connection, b"epochs")
            # Another may have been as quick.
            mark = _mark(connection, identity)
            if mark is None:
                mark = secrets.token_hex(8)
                connection.execute(_ADD, {"identity": identity, "mark": mark, "begins": now})
                place.reposition(connection)
    begins = connection.execute(_BEGINS).scalar_one()
    return Epoch(mark, begins + place.skew)


def _mark(connection: Connection, identity: str) -> str | None:
    latest = connection.execute(_LATEST).one_or_none()
    return latest.mark if latest is not None and latest.identity == identity else None
