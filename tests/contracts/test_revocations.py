"""What every store promises of revocations: none is lost, and every reader finds them all."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

import pytest

from portvakt.stores.base import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from portvakt.stores.base import Store
    from store_servers import Kind


def handle(number: int) -> bytes:
    return number.to_bytes(16, "big")


def run(kind: Kind, test: Callable[[Store], Coroutine[None, None, None]]) -> None:
    async def whole() -> None:
        store = kind.open()
        try:
            await test(store)
        finally:
            await store.close()

    asyncio.run(whole())


async def read(store: Store, cursor: str | None = None) -> tuple[dict[bytes, Entry], str]:
    """All that there is after a cursor, and where to go on; the larger of two times, as told."""
    found: dict[bytes, Entry] = {}
    while True:
        page = await store.since(cursor)
        for one in page.entries:
            old = found.get(one.handle, one)
            found[one.handle] = Entry(
                one.handle,
                max(old.issued_before, one.issued_before),
                max(old.expires_at, one.expires_at),
            )
        cursor = page.cursor
        if not page.more:
            return found, cursor


def entries(kind: Kind, numbers: range, *, lasts: float = 600.0) -> tuple[Entry, ...]:
    return tuple(Entry(handle(n), inf, kind.clock() + lasts) for n in numbers)


def test_what_is_written_is_read(kind: Kind) -> None:
    async def test(store: Store) -> None:
        assert await read(store) == ({}, (await store.since(None)).cursor)
        written = (
            Entry(handle(1), inf, kind.clock() + 600.5),
            Entry(handle(2), kind.clock() - 0.125, kind.clock() + 60),
            Entry(b"\x00" * 16, 0.0, kind.clock() + 60),
            Entry(b"\xff" * 16, inf, kind.clock() + 60),
        )
        await store.revoke(written)
        found, _ = await read(store)
        assert sorted(found.values(), key=str) == sorted(written, key=str)
        await store.revoke(())
        assert not (await store.since(None)).afresh

    run(kind, test)


def test_another_store_on_the_same_data_reads_it_at_once(shared: Kind) -> None:
    async def test(store: Store) -> None:
        other = shared.open()
        _, cursor = await read(other)
        for n in range(20):
            await store.revoke(entries(shared, range(n, n + 1)))
            found, cursor = await read(other, cursor)
            assert handle(n) in found
        await other.close()

    run(shared, test)


def test_it_is_still_there_when_the_store_is_opened_again(shared: Kind) -> None:
    async def write() -> None:
        store = shared.open()
        await store.revoke(entries(shared, range(5)))
        await store.close()

    async def test(store: Store) -> None:
        assert len((await read(store))[0]) == 5

    asyncio.run(write())
    run(shared, test)


def test_revoking_again_keeps_the_larger_of_both_times(kind: Kind) -> None:
    async def test(store: Store) -> None:
        now = kind.clock()
        await store.revoke((Entry(handle(1), now - 10, now + 900),))
        _, cursor = await read(store)
        await store.revoke((Entry(handle(1), now - 20, now + 300),))
        await store.revoke((Entry(handle(1), now - 5, now + 100),))
        assert (await read(store))[0] == {handle(1): Entry(handle(1), now - 5, now + 900)}
        # Who has read it reads it again, as it is now.
        assert (await read(store, cursor))[0] == {handle(1): Entry(handle(1), now - 5, now + 900)}
        # The same within one writing.
        twice = (Entry(handle(2), now, now + 9), Entry(handle(2), now - 1, now + 99))
        await store.revoke(twice)
        assert (await read(store))[0][handle(2)] == Entry(handle(2), now, now + 99)

    run(kind, test)


def test_many_are_read_page_by_page_from_any_cursor(kind: Kind) -> None:
    async def test(store: Store) -> None:
        for start in range(0, 5000, 1000):
            await store.revoke(entries(kind, range(start, start + 1000)))
        everything = {handle(n) for n in range(5000)}
        found, end = await read(store)
        assert found.keys() == everything
        # Each cursor on the way leads to all that the pages before it had not.
        cursor: str | None = None
        seen: set[bytes] = set()
        pages = 0
        while True:
            page = await store.since(cursor)
            pages += 1
            seen |= {one.handle for one in page.entries}
            rest, _ = await read(store, page.cursor)
            assert seen | rest.keys() == everything
            cursor = page.cursor
            if not page.more:
                break
        assert pages > 1
        await store.revoke(entries(kind, range(5000, 5003)))
        assert (await read(store, end))[0].keys() >= {handle(n) for n in range(5000, 5003)}

    run(kind, test)


def test_what_is_written_while_pages_are_read_is_not_missed(kind: Kind) -> None:
    async def test(store: Store) -> None:
        await store.revoke(entries(kind, range(4500)))
        cursor: str | None = None
        seen: set[bytes] = set()
        for extra in range(10_000, 10_100):
            page = await store.since(cursor)
            cursor = page.cursor
            seen |= {one.handle for one in page.entries}
            # One that is new, and one that was there: it changes its place.
            await store.revoke(entries(kind, range(extra, extra + 1)))
            await store.revoke(entries(kind, range(extra - 10_000, extra - 9_999), lasts=900))
            if not page.more:
                break
        rest, _ = await read(store, cursor)
        seen |= rest.keys()
        assert seen >= {handle(n) for n in range(4500)}
        assert seen >= {handle(n) for n in range(10_000, extra + 1)}

    run(kind, test)


@pytest.mark.parametrize(
    "cursor", ["", "x", "0000000000000000:1:1:", "😀", "ffffffffffffffff:99999:2:00", "1-1", "\0"]
)
def test_a_cursor_that_it_does_not_know_begins_afresh(kind: Kind, cursor: str) -> None:
    async def test(store: Store) -> None:
        await store.revoke(entries(kind, range(3)))
        page = await store.since(cursor)
        assert page.afresh
        assert len(page.entries) == 3
        again = await store.since(page.cursor)
        assert not again.afresh

    run(kind, test)


def test_a_cursor_of_another_store_begins_afresh(kind: Kind) -> None:
    async def test(store: Store) -> None:
        _, cursor = await read(store)
        changed = cursor.translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))
        await store.revoke(entries(kind, range(3)))
        page = await store.since(changed)
        assert page.afresh or len(page.entries) == 3

    run(kind, test)


def test_whoever_listens_is_told(kind: Kind) -> None:
    async def test(store: Store) -> None:
        reader = kind.open() if kind.shared else store
        changes = reader.changes()
        await asyncio.wait_for(anext(changes), 10)
        _, cursor = await read(reader)
        for n in range(3):
            told = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0.05)
            await store.revoke(entries(kind, range(n, n + 1)))
            await asyncio.wait_for(told, 10)
            found, cursor = await read(reader, cursor)
            assert handle(n) in found
        del changes
        if reader is not store:
            await reader.close()

    run(kind, test)


def test_what_has_expired_is_forgotten_and_nothing_else(kind: Kind) -> None:
    async def test(store: Store) -> None:
        await store.revoke(entries(kind, range(10), lasts=2))
        await store.revoke(entries(kind, range(10, 13)))
        _, cursor = await read(store)
        await kind.passes(3 + kind.kept)
        await store.prune(kind.clock())
        assert (await read(store))[0].keys() == {handle(n) for n in range(10, 13)}
        # The cursor from before still leads to what is new.
        await store.revoke(entries(kind, range(20, 22)))
        assert (await read(store, cursor))[0].keys() >= {handle(20), handle(21)}

    run(kind, test)


def test_nothing_is_missed_of_what_many_write_while_it_is_read(shared: Kind) -> None:
    async def test(store: Store) -> None:
        others = [shared.open() for _ in range(3)]
        await asyncio.gather(*(one.since(None) for one in others))

        async def write(number: int, one: Store) -> None:
            for n in range(30):
                await one.revoke(entries(shared, range(100 * number + n, 100 * number + n + 2)))

        writing = asyncio.gather(*(write(number, one) for number, one in enumerate(others)))
        seen: set[bytes] = set()
        cursor: str | None = None
        while True:
            done = writing.done()
            found, cursor = await read(store, cursor)
            seen |= found.keys()
            if done:
                break
        await writing
        assert seen == {handle(100 * number + n) for number in range(3) for n in range(31)}
        for one in others:
            await one.close()

    run(shared, test)
