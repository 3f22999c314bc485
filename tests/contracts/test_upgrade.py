"""Tables come from every earlier form to the newest, once, and keep what is in them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import text

from portvakt.errors import ConfigurationError
from portvakt.stores.base import StoreError
from portvakt.stores.opened import open_database
from portvakt.stores.sql.epochs import _ADD, NEWER, transaction
from portvakt.stores.sql.sqlite import SqlitePlace
from portvakt.stores.sql.tables import SCHEMA, VERSION_TABLE, metadata
from portvakt.stores.sql.upgrade import MIGRATIONS, migrate, schema, upgrade
from servers import PASSWORD, Postgresql
from store_servers import Sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portvakt.stores.sql.place import Place

#: By their names in the package: Alembic itself reads them as files.
STEPS = [
    import_module(f"portvakt.stores.sql.migrations.versions.{path.stem}")
    for path in sorted((MIGRATIONS / "versions").glob("v*.py"))
]
VERSIONS = [one.revision for one in reversed(list(ScriptDirectory(MIGRATIONS).walk_revisions()))]

REVOKED = """
INSERT INTO portvakt_revocations (handle, issued_before, expires_at, position)
SELECT owner, 1.5, 2e9, 7 FROM portvakt_uses
"""

RECORDED = """
INSERT INTO portvakt_records (writer, n, at, line) SELECT 'w', 1, 1.5, owner FROM portvakt_uses
"""

#: What a table holds before an upgrade must be there after it: by version, a statement that writes
#: it as that version does, and a question with its answer.
FILLED: dict[str, tuple[str, str, list[tuple[object, ...]]]] = {
    "0001": (
        REVOKED,
        "SELECT issued_before, expires_at FROM portvakt_revocations",
        [(1.5, 2e9)],
    ),
    "0002": (
        RECORDED,
        "SELECT writer, n, at FROM portvakt_records",
        [("w", 1, 1.5)],
    ),
}


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A database without any table."""
    if request.param == "sqlite":
        found = open_database(f"sqlite:///{tmp_path}/store.db", password=None, timeout=10.0)
        assert found is not None
        yield found
        return
    server: Postgresql = request.getfixturevalue("postgresql")
    name = server.database()
    found = open_database(server.url(name), password=PASSWORD, timeout=10.0)
    assert found is not None
    yield found
    server.drop(name)


def at_version(place: Place, version: str) -> None:
    engine = place.blocking_engine()
    with engine.connect() as connection, transaction(connection, place):
        migrate(connection, version)
    engine.dispose()


def asked(place: Place, *statements: str) -> list[Any]:
    engine = place.blocking_engine()
    with engine.connect() as connection:
        for statement in statements[:-1]:
            connection.execute(text(statement), {"octets": b"\x01" * 16})
        rows = [tuple(row) for row in connection.execute(text(statements[-1]))]
    engine.dispose()
    return rows


def test_the_newest_migration_is_the_form_that_is_demanded() -> None:
    scripts = ScriptDirectory(MIGRATIONS)

    assert scripts.get_current_head() == SCHEMA
    assert sorted(VERSIONS) == VERSIONS
    assert set(VERSIONS) == FILLED.keys()


def test_no_migration_goes_back() -> None:
    for script in ScriptDirectory(MIGRATIONS).walk_revisions():
        assert not hasattr(script.module, "downgrade")


def test_the_migrations_make_the_tables_that_the_code_has(place: Place) -> None:
    assert schema(place) is None
    assert upgrade(place, lambda: 0.0) is None
    assert schema(place) == SCHEMA

    engine = place.blocking_engine()
    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        difference = compare_metadata(context, metadata)
    engine.dispose()
    assert difference == []


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_upgraded_from_every_earlier_form_and_keeps_what_is_there(
    place: Place, version: str
) -> None:
    at_version(place, version)
    assert schema(place) == version
    statement, question, answer = FILLED[version]
    used = "INSERT INTO portvakt_uses (owner, item, expires_at) VALUES (:octets, :octets, 2e9)"
    asked(place, used, statement, question)

    assert upgrade(place, lambda: 5.0) == version

    assert schema(place) == SCHEMA
    assert asked(place, question) == answer
    # From then on it remembers.
    assert asked(place, "SELECT begins FROM portvakt_epochs") == [(5.0,)]
    assert upgrade(place, lambda: 9.0) == SCHEMA
    assert asked(place, "SELECT begins FROM portvakt_epochs") == [(5.0,)]


def test_each_step_is_what_its_file_says(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path / "store.db", 10.0)
    engine = place.blocking_engine()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        with Operations.context(context):
            for step in STEPS:
                step.upgrade()
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


class Overtaken(SqlitePlace):
    """A file that another process does the same to, in the moment before we have it."""

    def lock(self, connection: Any, name: bytes) -> None:
        if name == b"upgrade":
            migrate(connection, SCHEMA)
        if name == b"epochs":
            row = {"identity": self.identity(connection, 3.0), "mark": "0" * 16, "begins": 3.0}
            connection.execute(_ADD, row)


def test_who_was_overtaken_finds_it_done(tmp_path: Path) -> None:
    place = Overtaken(tmp_path / "store.db", 10.0)
    assert upgrade(place, lambda: 9.0) == SCHEMA
    assert asked(place, "SELECT mark, begins FROM portvakt_epochs") == [("0" * 16, 3.0)]


def test_tables_of_a_later_version_are_left_alone(place: Place) -> None:
    upgrade(place, lambda: 0.0)
    asked(place, "UPDATE portvakt_schema SET version_num = '9999'", "SELECT 1")

    with pytest.raises(StoreError) as refused:
        upgrade(place, lambda: 0.0)

    assert refused.value.reason == NEWER
    assert schema(place) == "9999"


def test_a_step_that_fails_leaves_everything_as_it_was(place: Place) -> None:
    # Another's table has a name that the first step needs late.
    asked(place, "CREATE TABLE portvakt_positions (id INTEGER)", "SELECT 1")

    with pytest.raises(StoreError):
        upgrade(place, lambda: 0.0)

    assert schema(place) is None
    asked(place, "DROP TABLE portvakt_positions", "SELECT 1")
    assert upgrade(place, lambda: 0.0) is None


def test_of_several_processes_that_begin_at_once_each_finds_it_upgraded(
    tmp_path: Path,
) -> None:
    script = (
        "import sys, asyncio; from portvakt.stores.opened import open_store\n"
        "store = open_store(sys.argv[1], password=None, timeout=10.0, replay_capacity=9,\n"
        "                   replay_per_owner=9, clock=lambda: 0.0)\n"
        "print(asyncio.run(store.since(None)).entries)\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, f"sqlite:///{tmp_path}/store.db"]
    processes = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
        )
        for _ in range(4)
    ]
    assert [process.communicate(timeout=60) for process in processes] == [("()\n", "")] * 4


def test_a_file_that_cannot_be_made_is_said_when_the_store_is_opened(tmp_path: Path) -> None:
    kind = Sqlite(tmp_path / "no-such-folder")

    with pytest.raises(ConfigurationError, match="SQLITE_CANTOPEN"):
        kind.open()


def test_a_file_that_is_no_database_is_said_when_the_store_is_opened(tmp_path: Path) -> None:
    kind = Sqlite(tmp_path)
    kind.path.write_text("this is a text, and not one of the shortest, so that it is no header" * 9)

    with pytest.raises(ConfigurationError, match="SQLITE_NOTADB"):
        kind.open()


@pytest.mark.attack("RPL-06")
def test_a_file_that_was_replaced_is_another_one(tmp_path: Path) -> None:
    kind = Sqlite(tmp_path)

    async def test() -> None:
        store = kind.open()
        assert await store.use(kind.use("a"))
        cursor = (await store.since(None)).cursor
        # An operator puts back a copy from before.
        copy = tmp_path / "copy.db"
        copy.write_bytes(kind.path.read_bytes())
        for name in ("store.db-wal", "store.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        copy.replace(kind.path)
        await kind.passes(10)
        with pytest.raises(StoreError, match="reach back"):
            await store.use(kind.use("a", usable_from=kind.clock() - 1))
        assert await store.use(kind.use("b"))
        assert (await store.since(cursor)).afresh
        await store.close()

    asyncio.run(test())


def test_a_file_that_was_deleted_is_no_store_any_more(tmp_path: Path) -> None:
    kind = Sqlite(tmp_path)

    async def test() -> None:
        store = kind.open()
        assert await store.use(kind.use("a"))
        kind.path.unlink()
        with pytest.raises(StoreError, match="portvakt store upgrade"):
            await store.use(kind.use("a"))
        await store.close()

    asyncio.run(test())


def test_each_commit_of_sqlite_is_on_disk(tmp_path: Path) -> None:
    kind = Sqlite(tmp_path)

    async def test() -> None:
        store = kind.open()
        database = store._database  # type: ignore[attr-defined]

        def pragma(name: str) -> Any:
            return database.run(
                lambda connection, _: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            )

        assert await pragma("synchronous") == 2
        assert await pragma("journal_mode") == "wal"
        await store.close()

    asyncio.run(test())
