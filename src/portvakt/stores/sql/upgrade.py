"""Making the tables, and bringing them to the form of this version. Forward only.

One transaction: either all steps are done or none, and a second process waits for the first.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from portvakt.stores.base import StoreError
from portvakt.stores.sql.epochs import NEWER, enter, schema_of, transaction
from portvakt.stores.sql.tables import SCHEMA, VERSION_TABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from portvakt.stores.sql.place import Place

__all__ = ["MIGRATIONS", "NEWER", "SCHEMA", "migrate", "schema", "upgrade"]

MIGRATIONS: Final = Path(__file__).with_name("migrations")


def schema(place: Place) -> str | None:
    """Return which migration the tables come from; None if there are none.

    Raises:
        StoreError: if the store gives no answer.
    """
    engine = place.blocking_engine()
    try:
        with engine.connect() as connection:
            return schema_of(connection)
    except (SQLAlchemyError, OSError) as error:
        raise StoreError(place.explain(error)) from None
    finally:
        engine.dispose()


def upgrade(place: Place, clock: Callable[[], float]) -> str | None:
    """Bring the tables to the form of this version; return which they had.

    Raises:
        StoreError: if that cannot be done, or they are of a later version.
    """
    engine = place.blocking_engine()
    try:
        place.prepare()
        with engine.connect() as connection:
            found = schema_of(connection)
            if found != SCHEMA:
                with transaction(connection, place):
                    place.lock(connection, b"upgrade")
                    # Another may have been as quick.
                    found = schema_of(connection)
                    if found is not None and found > SCHEMA:
                        raise StoreError(NEWER)
                    if found != SCHEMA:
                        migrate(connection, SCHEMA)
            # From here on it remembers.
            enter(connection, place, clock())
            return found
    except (SQLAlchemyError, OSError) as error:
        raise StoreError(place.explain(error)) from None
    finally:
        engine.dispose()


def migrate(connection: Connection, target: str) -> None:
    """Do the steps up to one of them, within the transaction that is open."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(MIGRATIONS)
    context = MigrationContext.configure(
        connection,
        opts={
            "version_table": VERSION_TABLE,
            "fn": lambda revision, _context: scripts._upgrade_revs(target, revision),  # noqa: SLF001  what alembic's own command does
        },
    )
    with Operations.context(context):
        context.run_migrations()
