"""What every store promises of uses: once, never given up while live, and never on a guess."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from portvakt.stores.base import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from portvakt.stores.base import Store, Use
    from store_servers import Kind


async def used(store: Store, use: Use) -> bool:
    """As a guard does: at once where that is possible."""
    at_once = store.use_at_once(use)
    return await store.use(use) if at_once is None else at_once


def run(kind: Kind, test: Callable[[Store], Coroutine[None, None, None]], **settings: int) -> None:
    async def whole() -> None:
        store = kind.open(**settings)
        try:
            await test(store)
        finally:
            await store.close()

    asyncio.run(whole())


@pytest.mark.attack("DPOP-16", "RPL-01")
def test_nothing_is_used_twice(kind: Kind) -> None:
    async def test(store: Store) -> None:
        assert await used(store, kind.use("a"))
        assert not await used(store, kind.use("a"))
        await kind.passes(1)
        assert not await used(store, kind.use("a"))

    run(kind, test)


@pytest.mark.twin("DPOP-16", "RPL-01", "RPL-05")
def test_what_differs_in_item_or_owner_is_another_use(kind: Kind) -> None:
    async def test(store: Store) -> None:
        assert await used(store, kind.use("a"))
        assert await used(store, kind.use("b"))
        assert await used(store, kind.use("a", owner="other"))
        # Written one after the other these would be the same.
        assert await used(store, kind.use("bc", owner="a"))
        assert await used(store, kind.use("c", owner="ab"))

    run(kind, test)


@pytest.mark.attack("RPL-04")
def test_of_fifty_at_once_one_is_told_so(kind: Kind) -> None:
    async def test(store: Store) -> None:
        for item in "abcde":
            answers = await asyncio.gather(*(used(store, kind.use(item)) for _ in range(50)))
            assert sum(answers) == 1

    run(kind, test)


@pytest.mark.attack("RPL-04")
def test_of_two_stores_on_the_same_data_one_is_told_so(shared: Kind) -> None:
    async def test(store: Store) -> None:
        other = shared.open()
        for item in range(20):
            use = shared.use(str(item))
            assert sorted(await asyncio.gather(store.use(use), other.use(use))) == [False, True]
        await other.close()

    run(shared, test)


@pytest.mark.attack("RPL-02", "DOS-10")
def test_a_full_store_refuses_and_gives_nothing_up(kind: Kind) -> None:
    async def test(store: Store) -> None:
        uses = [kind.use(str(n), owner=f"owner-{n}") for n in range(20)]
        for use in uses:
            assert await used(store, use)
        if not kind.exact:
            # Each of its parts has room of its own. What follows holds all the same.
            uses += [kind.use(str(n), owner=f"owner-{n}") for n in range(20, 400)]
            await asyncio.gather(*(used(store, use) for use in uses[20:]), return_exceptions=True)
        for n in range(30):
            with pytest.raises(StoreError) as refused:
                await used(store, kind.use("more", owner=f"more-{n}"))
            assert "room" in refused.value.reason
        # What it holds is used, whether it says so or that it is full: never used again.
        for use in uses:
            with suppress(StoreError):
                assert not await used(store, use)

    run(kind, test, capacity=20, per_owner=5)


@pytest.mark.attack("RPL-02", "DOS-10")
def test_a_full_owner_is_refused_and_others_are_served(kind: Kind) -> None:
    async def test(store: Store) -> None:
        for n in range(10):
            assert await used(store, kind.use(str(n), owner="greedy"))
        for n in range(20):
            with pytest.raises(StoreError, match="room"):
                await used(store, kind.use(f"more-{n}", owner="greedy"))
            assert await used(store, kind.use(str(n), owner=f"modest-{n % 4}"))

    run(kind, test, capacity=1000, per_owner=10)


@pytest.mark.attack("RPL-02")
def test_many_at_once_do_not_pass_the_bounds(kind: Kind) -> None:
    async def attempt(store: Store, use: Use) -> bool:
        try:
            return await used(store, use)
        except StoreError:
            return False

    async def test(store: Store) -> None:
        uses = [kind.use(str(n), owner="greedy") for n in range(60)]
        assert sum(await asyncio.gather(*(attempt(store, use) for use in uses))) == 10
        uses = [kind.use(str(n), owner=str(n)) for n in range(60)]
        admitted = sum(await asyncio.gather(*(attempt(store, use) for use in uses)))
        assert admitted == 20 or not kind.exact

    run(kind, test, capacity=30, per_owner=10)


@pytest.mark.twin("RPL-02", "DOS-10")
def test_what_has_expired_makes_room(kind: Kind) -> None:
    async def test(store: Store) -> None:
        for n in range(10):
            await used(store, kind.use(str(n), expires_at=kind.clock() + 2))
            await used(store, kind.use(str(n), owner=f"owner-{n}", expires_at=kind.clock() + 2))
        with pytest.raises(StoreError, match="room"):
            await used(store, kind.use("more"))
        await kind.passes(3 + kind.kept)
        for n in range(10):
            assert await used(store, kind.use(f"new-{n}"))
            assert await used(store, kind.use("new", owner=f"owner-{n}"))

    run(kind, test, capacity=20, per_owner=10)


@pytest.mark.attack("RPL-03")
def test_it_is_remembered_to_the_last_moment_and_no_longer(kind: Kind) -> None:
    async def test(store: Store) -> None:
        until = kind.clock() + 4
        assert await used(store, kind.use("a", expires_at=until))
        await kind.passes(3)
        await store.prune(kind.clock())
        assert not await used(store, kind.use("a", expires_at=until))
        await kind.passes(2)
        assert await used(store, kind.use("a"))
        assert not await used(store, kind.use("a"))

    run(kind, test)


@pytest.mark.attack("RPL-06")
def test_nothing_is_admitted_from_before_its_memory_begins(kind: Kind) -> None:
    async def test(store: Store) -> None:
        await used(store, kind.use("first"))
        begins = store.health().memory_begins
        assert begins is not None
        with pytest.raises(StoreError, match="reach back"):
            await used(store, kind.use("a", usable_from=begins - 0.01))
        assert await used(store, kind.use("a", usable_from=begins))

    run(kind, test)


def test_it_prunes_what_has_expired_and_says_how_much(kind: Kind) -> None:
    async def test(store: Store) -> None:
        for n in range(30):
            await used(store, kind.use(str(n), expires_at=kind.clock() + 2))
        await used(store, kind.use("live", expires_at=kind.clock() + 600))
        await kind.passes(3 + kind.kept)
        assert await store.prune(kind.clock()) in {0, 30}  # 0: its server has done so already.
        assert await store.prune(kind.clock()) == 0
        assert store.health().uses == 1
        assert not await used(store, kind.use("live"))

    run(kind, test)


def test_pruning_does_not_lock_out_writers(kind: Kind) -> None:
    async def test(store: Store) -> None:
        other = kind.open(capacity=10_000, per_owner=10_000) if kind.shared else store
        live = [
            kind.use(f"live-{n}", owner="live", expires_at=kind.clock() + 600) for n in range(9)
        ]
        for n in range(1500):
            await used(store, kind.use(str(n), expires_at=kind.clock() + 1))
        await kind.passes(2 + kind.kept)
        pruning = asyncio.ensure_future(store.prune(kind.clock()))
        answers = [await asyncio.wait_for(used(other, use), 5) for use in live]
        await pruning
        assert all(answers)
        assert not any([await used(store, use) for use in live])
        if other is not store:
            await other.close()

    run(kind, test, capacity=10_000, per_owner=10_000)


def test_two_who_prune_do_not_get_in_each_others_way(shared: Kind) -> None:
    async def test(store: Store) -> None:
        other = shared.open(capacity=10_000, per_owner=10_000)
        for n in range(700):
            await store.use(shared.use(str(n), expires_at=shared.clock() + 1))
        await shared.passes(2 + shared.kept)
        await asyncio.gather(store.prune(shared.clock()), other.prune(shared.clock()))
        await store.prune(shared.clock())
        assert await other.prune(shared.clock()) == 0
        await other.close()

    run(shared, test, capacity=10_000, per_owner=10_000)


def test_it_says_how_it_is(kind: Kind) -> None:
    async def test(store: Store) -> None:
        await used(store, kind.use("a"))
        health = store.health()
        assert health.kind == kind.name.partition("-")[0]
        assert health.shared is kind.shared
        assert health.last_error is None
        assert health.uses in {None, 1}
        with pytest.raises(StoreError):
            await used(store, kind.use("b", usable_from=-1.0))
        assert store.health().memory_begins is not None

    run(kind, test)


def test_it_can_be_closed_and_used_again(kind: Kind) -> None:
    async def test(store: Store) -> None:
        assert await used(store, kind.use("a"))
        await store.close()
        await store.close()
        assert not await used(store, kind.use("a"))

    run(kind, test)
