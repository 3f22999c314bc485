"""What only the store of one process promises; the rest is in tests/contracts."""

from __future__ import annotations

import asyncio
import os
import threading
from itertools import pairwise
from weakref import WeakSet

import pytest

from portvakt.stores.base import Entry, StoreError, Use
from portvakt.stores.memory import MemoryStore, _forget_the_parents
from portvakt.testing import FrozenClock


def store(clock: FrozenClock, capacity: int = 100_000, per_owner: int = 50_000) -> MemoryStore:
    return MemoryStore(capacity=capacity, per_owner=per_owner, clock=clock)


def use(clock: FrozenClock, item: str, owner: str = "owner", lasts: float = 60.0) -> Use:
    now = clock()
    return Use(owner, item, now, now + lasts, now)


@pytest.mark.attack("RPL-04")
def test_of_many_threads_one_is_told_so() -> None:
    clock = FrozenClock()
    memory = store(clock)
    together = threading.Barrier(8)
    admitted: list[str] = []

    def run() -> None:
        together.wait()
        items = map(str, range(2000))
        admitted.extend(item for item in items if memory.use_at_once(use(clock, item)))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(admitted, key=int) == [str(n) for n in range(2000)]
    assert memory.health().uses == 2000


@pytest.mark.attack("RPL-02", "DOS-10")
def test_a_flood_is_refused_when_it_is_full_and_others_are_served() -> None:
    clock = FrozenClock()
    memory = store(clock, capacity=60_000, per_owner=50_000)
    first = [use(clock, str(n)) for n in range(50_000)]
    assert all(memory.use_at_once(one) for one in first)
    for n in range(50_000, 100_000):
        with pytest.raises(StoreError, match="of this owner"):
            memory.use_at_once(use(clock, str(n)))
    assert memory.use_at_once(use(clock, "honest", "other"))
    assert memory.health().uses == 50_001
    assert not any(memory.use_at_once(one) for one in first)


def test_no_use_frees_more_than_a_few_and_none_stay() -> None:
    clock = FrozenClock()
    memory = store(clock)
    for n in range(10_000):
        memory.use_at_once(use(clock, str(n), f"owner-{n % 100}", 1.0))
    clock.advance(10)
    uses = [10_000]
    for n in range(4_000):
        assert memory.use_at_once(use(clock, f"new-{n}"))
        uses.append(memory.health().uses or 0)
    assert min(after - before for before, after in pairwise(uses)) >= -3
    assert uses[-1] == 4_000
    assert len(memory._owners) == 1


def test_pruning_lets_others_have_their_turn() -> None:
    clock = FrozenClock()
    memory = store(clock)
    for n in range(5_000):
        memory.use_at_once(use(clock, str(n), lasts=1.0))
    clock.advance(10)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def test() -> None:
        task = asyncio.ensure_future(others())
        assert await memory.prune(clock()) == 5_000
        task.cancel()

    asyncio.run(test())
    assert turns >= 10


def test_used_again_after_it_expired_it_is_remembered_anew() -> None:
    clock = FrozenClock()
    memory = store(clock)
    for n in range(10):
        assert memory.use_at_once(use(clock, str(n), lasts=1.0))
    clock.advance(2)
    # More have expired than one use frees, so these are still there.
    for n in range(10):
        assert memory.use_at_once(use(clock, str(n), lasts=60.0))
    clock.advance(30)
    asyncio.run(memory.prune(clock()))
    assert not any(memory.use_at_once(use(clock, str(n))) for n in range(10))
    assert memory.health().uses == 10


@pytest.mark.attack("RPL-06")
def test_its_memory_begins_when_it_is_made() -> None:
    clock = FrozenClock()
    memory = store(clock)
    early = Use("owner", "a", clock() - 0.001, clock() + 60, clock())
    with pytest.raises(StoreError, match="reach back"):
        memory.use_at_once(early)
    assert memory.use_at_once(use(clock, "a"))


@pytest.mark.twin("RPL-02")
def test_an_owner_whose_uses_have_expired_has_room_again() -> None:
    clock = FrozenClock()
    memory = store(clock, per_owner=5)
    for n in range(500):
        # They expire as late as those of the owner, and are freed before them.
        memory.use_at_once(use(clock, str(n), f"other-{n}", 2.0))
    for n in range(3):
        memory.use_at_once(use(clock, f"lives-{n}", lasts=600.0))
    for n in range(2):
        memory.use_at_once(use(clock, str(n), lasts=3.0))
    clock.advance(10)
    assert memory.use_at_once(use(clock, "new"))
    assert memory.use_at_once(use(clock, "newer"))
    with pytest.raises(StoreError, match="of this owner"):
        memory.use_at_once(use(clock, "newest"))
    asyncio.run(memory.prune(clock()))
    assert memory.health().uses == 5
    assert not memory.use_at_once(use(clock, "lives-0"))


def test_a_store_that_is_full_is_so_for_owners_that_it_knows_too() -> None:
    clock = FrozenClock()
    memory = store(clock, capacity=2)
    assert memory.use_at_once(use(clock, "a"))
    assert memory.use_at_once(use(clock, "b"))
    for owner in ("owner", "other"):
        with pytest.raises(StoreError, match=r"another use$"):
            memory.use_at_once(use(clock, "c", owner))


def test_what_the_parent_had_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FrozenClock()
    memory = store(clock)
    # The stores of other tests keep what they have.
    monkeypatch.setattr("portvakt.stores.memory._stores", WeakSet([memory]))
    assert memory.use_at_once(use(clock, "a"))
    clock.advance(1)
    # As every child of a fork does.
    _forget_the_parents()
    assert memory.health().uses == 0
    assert memory.health().memory_begins == clock()


@pytest.mark.attack("RPL-06")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_child_of_a_fork_knows_nothing_from_before() -> None:
    clock = FrozenClock()
    memory = store(clock)
    before = use(clock, "a")
    assert memory.use_at_once(before)
    clock.advance(10)
    # Another thread of the parent has the lock in the moment of the fork.
    with memory._lock:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                memory.use_at_once(before)
            except StoreError:
                code = 0 if memory.use_at_once(use(clock, "b")) else 2
            finally:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not memory.use_at_once(before)


def test_it_asks_once_a_second_whether_it_is_alone() -> None:
    asked: list[float] = []
    refusing, others = True, False
    clock = FrozenClock(1000)

    def alone() -> bool:
        asked.append(clock())
        if refusing:
            raise StoreError("another process")
        return others

    memory = MemoryStore(capacity=10, per_owner=10, clock=clock, alone=alone)
    assert asked == []
    for _ in range(2):
        with pytest.raises(StoreError, match="another process"):
            memory.use_at_once(use(clock, "a"))
    refusing = False
    assert memory.use_at_once(use(clock, "a"))
    assert memory.use_at_once(use(clock, "b"))
    clock.advance(1)
    assert memory.use_at_once(use(clock, "c"))
    assert asked == [1000, 1000, 1000, 1001]
    assert memory.health().last_error == "another process"
    assert memory.health().memory_begins == 1000
    clock.advance(1)
    others = True
    assert memory.use_at_once(use(clock, "d"))
    assert memory.health().memory_begins == 1002


def test_what_was_revoked_again_and_again_takes_no_more_room() -> None:
    clock = FrozenClock()
    memory = store(clock)

    async def test() -> None:
        for n in range(1000):
            await memory.revoke((Entry(b"\x01" * 16, float(n), clock() + 60),))
        await memory.prune(clock())
        assert len(memory._order) == 1
        (entry,) = (await memory.since(None)).entries
        assert entry.issued_before == 999.0

    asyncio.run(test())


def test_neither_items_nor_owners_are_in_its_repr() -> None:
    clock = FrozenClock()
    memory = store(clock, capacity=10, per_owner=10)
    memory.use_at_once(use(clock, "secret-item", "secret-owner"))
    assert repr(memory) == "MemoryStore(1 of 10 uses)"
