"""What only PostgreSQL has: transactions that end late, and a server that is another one."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

import pytest

from mirroring import asked_again
from portvakt.guard.revocation import Mirror
from portvakt.stores.base import Entry, Page, StoreError
from portvakt.stores.opened import open_store
from portvakt.stores.sql.places import sql_place
from portvakt.stores.sql.upgrade import upgrade
from portvakt.testing import FrozenClock
from servers import PASSWORD, Postgresql
from store_servers import KINDS, OnPostgresql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portvakt.stores.base import Store


@pytest.fixture
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OnPostgresql]:
    for made in KINDS["postgresql"](request, tmp_path):
        assert isinstance(made, OnPostgresql)
        yield made


def handle(number: int) -> bytes:
    return number.to_bytes(16, "big")


def entry(kind: OnPostgresql, number: int) -> Entry:
    return Entry(handle(number), inf, kind.clock() + 600)


LATE = """
INSERT INTO portvakt_revocations (handle, issued_before, expires_at, position)
VALUES (%s, 'infinity', %s, pg_current_xact_id()::text::bigint)
"""


@pytest.mark.attack("CACHE-07")
def test_a_writer_that_began_earlier_and_ends_later_is_not_passed_over(kind: OnPostgresql) -> None:
    async def test() -> None:
        store = kind.open()
        with kind.postgresql.admin(kind.database) as late:
            late.execute("BEGIN")
            late.execute(LATE, (handle(1), kind.clock() + 600))
            # Others begin after it, end before it, and are read.
            await store.revoke((entry(kind, 2),))
            page = await store.since(None)
            assert {one.handle for one in page.entries} == {handle(2)}
            await store.revoke((entry(kind, 3),))
            page = await store.since(page.cursor)
            assert handle(3) in {one.handle for one in page.entries}
            late.execute("COMMIT")
            rows = late.execute("SELECT handle, position FROM portvakt_revocations").fetchall()
            positions = {bytes(row[0]): row[1] for row in rows}
            # A cursor at the largest position that was seen would have passed over it.
            assert positions[handle(1)] < positions[handle(2)] < positions[handle(3)]
        page = await store.since(page.cursor)
        assert handle(1) in {one.handle for one in page.entries}
        # And once nobody is writing, nothing comes again.
        assert (await store.since(page.cursor)).entries == ()
        await store.close()

    asyncio.run(test())


MANY = """
INSERT INTO portvakt_revocations (handle, issued_before, expires_at, position)
SELECT int8send(one) || int8send(one), 'infinity', %s, pg_current_xact_id()::text::bigint
FROM generate_series(1000, 5000) AS one
"""


@pytest.mark.attack("CACHE-07")
def test_a_reading_that_goes_on_from_a_failed_one_counts_from_neither_of_them(
    kind: OnPostgresql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends between two attempts, and stands where the first has been, is still in time."""
    monkeypatch.setattr("portvakt.guard.revocation._GAP", 0.0)

    async def test() -> None:
        clock, store = FrozenClock(0), kind.open()
        mirror = Mirror(store, max_staleness=6, wall_clock=kind.clock, clock=clock)
        answers, since = 0, store.since

        async def one_page(cursor: str | None, /) -> Page:
            nonlocal answers
            answers += 1
            if answers == 2:
                raise StoreError("down")
            return await since(cursor)

        monkeypatch.setattr(store, "since", one_page)
        with (
            kind.postgresql.admin(kind.database) as late,
            kind.postgresql.admin(kind.database) as early,
        ):
            late.execute("BEGIN")
            late.execute(LATE, (handle(1), kind.clock() + 600))
            early.execute(MANY, (kind.clock() + 600,))
            await mirror.catch_up()
            assert mirror.health().entries == 2000
            assert not mirror.current()
            # From here on it is durable.
            late.execute("COMMIT")
        clock.set(5)
        await asked_again(mirror)
        assert mirror.health().age == 0
        assert mirror.health().entries == 4002
        mirror.close()
        await store.close()

    asyncio.run(test())


def test_a_transaction_that_is_given_up_leaves_nothing(kind: OnPostgresql) -> None:
    async def test() -> None:
        store = kind.open()
        with kind.postgresql.admin(kind.database) as late:
            late.execute("BEGIN")
            late.execute(LATE, (handle(1), kind.clock() + 600))
            cursor = (await store.since(None)).cursor
            late.execute("ROLLBACK")
        assert (await store.since(cursor)).entries == ()
        await store.close()

    asyncio.run(test())


@pytest.mark.attack("RPL-06")
def test_a_server_that_is_another_one_knows_nothing_from_before(kind: OnPostgresql) -> None:
    async def test() -> None:
        store = kind.open()
        assert await store.use(kind.use("a"))
        cursor = (await store.since(None)).cursor
        await store.close()
        with kind.postgresql.admin(kind.database) as admin:
            # As a standby that took over, or a dump that was restored, would have found it.
            admin.execute("UPDATE portvakt_epochs SET identity = 'of the server that was there'")
        await kind.passes(5)
        now = kind.clock()
        with pytest.raises(StoreError, match="reach back"):
            await store.use(kind.use("b"))
        # The clocks of two guards may differ by so much.
        with pytest.raises(StoreError, match="reach back"):
            await store.use(kind.use("b", usable_from=now + 4.9))
        assert await store.use(kind.use("b", usable_from=now + 5))
        page = await store.since(cursor)
        assert page.afresh
        assert not (await store.since(page.cursor)).afresh
        # Whoever connects from now on finds it as it is.
        await kind.passes(60)
        other = kind.open()
        assert await other.use(kind.use("c"))
        assert other.health().memory_begins == now + 5
        assert not (await other.since(page.cursor)).afresh
        await other.close()
        await store.close()

    asyncio.run(test())


def test_a_copy_of_a_database_is_another_one(kind: OnPostgresql) -> None:
    name = kind.postgresql.database(kind.database)
    try:
        copy = OnPostgresql(kind.postgresql, name)

        async def test() -> None:
            store = copy.open()
            with pytest.raises(StoreError, match="reach back"):
                await store.use(copy.use("a"))
            await store.close()

        asyncio.run(test())
    finally:
        kind.postgresql.drop(name)


def test_positions_of_another_server_are_put_back(kind: OnPostgresql) -> None:
    async def test() -> None:
        store = kind.open()
        await store.revoke((entry(kind, 1),))
        await store.close()
        with kind.postgresql.admin(kind.database) as admin:
            admin.execute("UPDATE portvakt_epochs SET identity = 'another'")
            admin.execute("UPDATE portvakt_revocations SET position = 9000000000000000000")
        page = await store.since(None)
        assert [one.handle for one in page.entries] == [handle(1)]
        await asyncio.sleep(0)
        assert (await store.since(page.cursor)).entries == ()
        await store.close()

    asyncio.run(test())


def test_tables_that_were_not_made_are_an_error_that_says_what_to_do(
    postgresql: Postgresql,
) -> None:
    name = postgresql.database()
    try:
        place = sql_place(postgresql.url(name), PASSWORD, 10.0, None)

        async def test(store: Store) -> None:
            with pytest.raises(StoreError, match="portvakt store upgrade"):
                await store.since(None)
            upgrade(place, lambda: 0.0)
            assert (await store.since(None)).entries == ()
            await store.close()

        store = open_store(
            postgresql.url(name),
            password=PASSWORD,
            timeout=10.0,
            replay_capacity=10,
            replay_per_owner=10,
            clock=lambda: 1e9,
        )
        asyncio.run(test(store))
    finally:
        postgresql.drop(name)


def test_a_guard_whose_clock_is_ahead_does_not_forget_for_the_others(kind: OnPostgresql) -> None:
    import time

    async def test() -> None:
        store = kind.open()
        use = kind.use("a", expires_at=time.time() + 60)
        assert await store.use(use)
        await store.revoke((Entry(handle(1), inf, time.time() + 60),))
        assert await store.prune(time.time() + 86_400) == 0
        assert not await store.use(use)
        assert len((await store.since(None)).entries) == 1
        await store.close()

    asyncio.run(test())


def test_a_commit_waits_for_the_disk_whatever_the_server_is_set_to(kind: OnPostgresql) -> None:
    with kind.postgresql.admin() as admin:
        admin.execute(f"ALTER DATABASE {kind.database} SET synchronous_commit = 'off'")

    async def test() -> None:
        store = kind.open()
        await store.use(kind.use("a"))
        database = store._database  # type: ignore[attr-defined]
        assert (
            await database.run(
                lambda connection, _: connection.exec_driver_sql("SHOW synchronous_commit").scalar()
            )
            == "on"
        )
        await store.close()

    asyncio.run(test())
