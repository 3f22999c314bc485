"""What only databases have: connections that are shared, lost, given up, and given back."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from portvakt.stores.base import StoreError
from portvakt.stores.sql import guarding, notify
from portvakt.stores.sql.epochs import transaction
from portvakt.stores.sql.guarding import SqlStore
from portvakt.stores.sql.postgresql import PostgresqlPlace
from store_servers import KINDS, OnPostgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from portvakt.stores.sql.engine import Database
    from store_servers import Kind


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    yield from KINDS[request.param](request, tmp_path)


@pytest.fixture
def postgresql_kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OnPostgresql]:
    for made in KINDS["postgresql"](request, tmp_path):
        assert isinstance(made, OnPostgresql)
        yield made


@pytest.fixture
def sqlite_kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    yield from KINDS["sqlite"](request, tmp_path)


def run(
    kind: Kind, test: Callable[[SqlStore, Database], Coroutine[Any, Any, None]], **settings: Any
) -> None:
    async def whole() -> None:
        store = kind.open(**settings)
        assert isinstance(store, SqlStore)
        try:
            await test(store, store._database)
        finally:
            await store.close()

    asyncio.run(whole())


def ask(database: Database, statement: str) -> Coroutine[Any, Any, Any]:
    return database.run(lambda connection, _: connection.exec_driver_sql(statement).scalar())


def test_what_went_wrong_is_said_by_its_code(kind: Kind) -> None:
    async def test(_: SqlStore, database: Database) -> None:
        expected = {"sqlite": "SQLITE_ERROR", "postgresql": "SQLSTATE 42703"}[kind.name]
        with pytest.raises(StoreError) as refused:
            await ask(database, "SELECT no_such_column FROM portvakt_uses")
        assert expected in refused.value.reason
        assert refused.value.__context__ is None
        assert database.last_error is not None
        assert await ask(database, "SELECT 1") == 1
        assert database.last_error is None

    run(kind, test)


def test_nobody_there_is_said_to_be_that() -> None:
    place = PostgresqlPlace("postgresql://nobody@127.0.0.1:1/nothing", None, 1.0)
    assert place.explain(psycopg.OperationalError("a host and a port")) == (
        "the store cannot be reached"
    )


def test_an_error_without_a_code_is_one_too(kind: Kind) -> None:
    async def test(_: SqlStore, database: Database) -> None:
        assert database.place.explain(OSError("a path")) in {
            "the store's file cannot be used",
            "the store cannot be reached",
        }

    run(kind, test)


def test_a_transaction_that_fails_leaves_a_connection_that_works(kind: Kind) -> None:
    async def test(store: SqlStore, database: Database) -> None:
        def fail(connection: Any, _: object) -> None:
            with transaction(connection, database.place):
                connection.exec_driver_sql("DELETE FROM portvakt_epochs")
                raise StoreError("on purpose")

        for _ in range(20):
            with pytest.raises(StoreError, match="on purpose"):
                await database.run(fail)
        assert await ask(database, "SELECT count(*) FROM portvakt_epochs") > 0
        assert await store.use(kind.use("a"))

    run(kind, test)


def test_a_connection_that_is_cut_in_a_transaction_is_replaced(
    postgresql_kind: OnPostgresql,
) -> None:
    async def test(store: SqlStore, database: Database) -> None:
        def cut(connection: Any, _: object) -> None:
            with transaction(connection, database.place):
                connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

        with pytest.raises(StoreError):
            await database.run(cut)
        assert await store.use(postgresql_kind.use("a"))

    run(postgresql_kind, test)


def test_prune_ends_even_if_there_is_more(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding, "_BATCHES", 2)

    async def test(store: SqlStore, database: Database) -> None:
        uses = [kind.use(str(n), expires_at=kind.clock() + 1) for n in range(1200)]
        await asyncio.gather(*(store.use(use) for use in uses))
        await kind.passes(10)
        assert await store.prune(kind.clock()) == 1000
        assert await store.prune(kind.clock()) == 200

    run(kind, test, capacity=5000, per_owner=5000, timeout=60.0)


def test_whoever_listens_to_a_file_is_not_told_of_what_is_no_revocation(sqlite_kind: Kind) -> None:
    async def test(store: SqlStore, _: Database) -> None:
        changes = store.changes()
        await anext(changes)
        told = asyncio.ensure_future(anext(changes))
        await store.use(sqlite_kind.use("a"))
        await asyncio.sleep(3 * notify._INTERVAL)
        assert not told.done()
        told.cancel()

    run(sqlite_kind, test)


def test_a_server_that_says_nothing_is_asked_whether_it_is_there(
    postgresql_kind: OnPostgresql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_SILENCE", 0.1)
    server = postgresql_kind.server
    if server is None:
        pytest.skip("no server of our own")

    async def test(store: SqlStore, _: Database) -> None:
        changes = store.changes()
        await anext(changes)
        told = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0.5)
        assert not told.done()
        server.pause()
        try:
            with pytest.raises(StoreError, match="in time"):
                await asyncio.wait_for(told, 10)
        finally:
            server.resume()

    run(postgresql_kind, test, timeout=0.5)


def test_what_was_given_up_gives_its_connection_back(postgresql_kind: OnPostgresql) -> None:
    server = postgresql_kind.server
    if server is None:
        pytest.skip("no server of our own")

    async def test(store: SqlStore, database: Database) -> None:
        gc.collect()
        gc.disable()
        before = sockets()
        for turn in range(3):
            server.pause()
            try:
                uses = [postgresql_kind.use(f"{turn}-{n}") for n in range(20)]
                asked = (store.use(use) for use in uses)
                answers = await asyncio.gather(*asked, return_exceptions=True)
                assert all(isinstance(one, StoreError) for one in answers)
            finally:
                server.resume()
        await asyncio.wait_for(asyncio.gather(*database._under_way, return_exceptions=True), 30)
        # Nothing waits for the garbage to be collected: what is open, is in the pool.
        assert sockets() <= before + 8
        # All of its connections can be had at the same time.
        await asyncio.gather(*(ask(database, "SELECT pg_sleep(0.2)") for _ in range(8)))
        assert await store.use(postgresql_kind.use("after"))

    try:
        run(postgresql_kind, test, timeout=1.0)
    finally:
        gc.enable()


def sockets() -> int:
    """How many sockets this process has open."""
    found = 0
    for one in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += str(one.readlink()).startswith("socket:")
    return found


def test_more_than_the_connections_wait_for_one_and_say_so(postgresql_kind: OnPostgresql) -> None:
    async def test(_: SqlStore, database: Database) -> None:
        asked = [ask(database, "SELECT pg_sleep(0.97)") for _ in range(8)]
        holding = asyncio.gather(*asked, return_exceptions=True)
        await asyncio.sleep(0.02)
        with pytest.raises(StoreError) as refused:
            await ask(database, "SELECT 1")
        assert refused.value.reason in {
            "every connection to the store is waiting for it",
            "the store did not answer in time",
        }
        await holding
        assert await ask(database, "SELECT 1") == 1

    run(postgresql_kind, test, timeout=1.0)


@contextmanager
def written_without_end(kind: Kind) -> Iterator[None]:
    """Have somebody hold what uses are written to."""
    if isinstance(kind, OnPostgresql):
        with kind.postgresql.admin(kind.database) as admin, admin.transaction():
            admin.execute("LOCK TABLE portvakt_uses IN ACCESS EXCLUSIVE MODE")
            yield
        return
    other = sqlite3.connect(kind.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


@pytest.mark.attack("DOS-10")
def test_whoever_asks_what_is_revoked_does_not_wait_for_who_waits_to_write(kind: Kind) -> None:
    async def test(store: SqlStore, _: Database) -> None:
        assert await store.use(kind.use("first"))
        with written_without_end(kind):
            # More of them than there are connections.
            many = [asyncio.ensure_future(store.use(kind.use(str(n)))) for n in range(12)]
            await asyncio.sleep(0)
            await store.since(None)
            assert not any(one.done() for one in many)
        assert all(await asyncio.gather(*many))

    run(kind, test, timeout=30.0)


def test_whoever_is_cancelled_leaves_a_store_that_works(kind: Kind) -> None:
    async def test(store: SqlStore, database: Database) -> None:
        await store.use(kind.use("warm"))
        for n in range(30):
            task = asyncio.ensure_future(store.use(kind.use(str(n))))
            for _ in range(n % 7):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        for n in range(30):
            await store.use(kind.use(f"again-{n}"))
        await asyncio.gather(*database._under_way, return_exceptions=True)

    run(kind, test)


def test_what_is_a_parents_is_left_alone(kind: Kind) -> None:
    async def test(store: SqlStore, database: Database) -> None:
        assert await store.use(kind.use("a"))
        (opened,) = database._opened.values()
        # As in a child, where this is what the parent opened.
        database._pid = -1
        assert not await store.use(kind.use("a"))
        assert database._pid == os.getpid()
        assert opened not in database._opened.values()
        assert opened.engine.sync_engine.pool.status() == opened.engine.sync_engine.pool.status()
        await opened.engine.dispose()

    run(kind, test)


def test_a_server_that_does_not_let_us_in_is_said_to_be_that(
    postgresql_kind: OnPostgresql,
) -> None:
    place = postgresql_kind.open()._place  # type: ignore[attr-defined]
    assert "let this user in" in place.explain(psycopg.errors.InvalidPassword())
    assert "takes no writes" in place.explain(psycopg.errors.ReadOnlySqlTransaction())
