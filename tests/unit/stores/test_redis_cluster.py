"""A cluster of three on loopback: who has what, who is asked, and what one lost node costs."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from redis.crc import key_slot

from keeping import at_home
from portvakt.stores.base import StoreError
from portvakt.stores.redis import MARGIN
from portvakt.testing.clock import FrozenClock
from redis_servers import Cluster, redis_cluster, redis_server
from redis_stores import START, everything, handle, opened, revocation, store, used

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portvakt.stores.redis import RedisStore
    from redis_servers import Server

FORGOTTEN = "the store's memory does not reach back that far"
NOT_SERVED = "this part of the cluster is not served"
HEAD = "portvakt:{revocations}:head"
OWNERS = [f"owner-{number}" for number in range(60)]


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(START)


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with redis_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(running: Cluster) -> Cluster:
    for server in running.servers:
        server.command("FLUSHALL")
    return running


def owner_at(one: RedisStore, server: Server, cluster: Cluster) -> str:
    """Return an owner whose uses a server has."""
    return next(owner for owner in OWNERS if cluster.owner(slot_of(one, owner)) is server)


def slot_of(one: RedisStore, owner: str) -> int:
    """Return the slot in which an owner's uses are."""
    return one._bucket(owner.encode()).slot


@at_home
async def test_every_node_has_its_share(cluster: Cluster, clock: FrozenClock) -> None:
    async with opened(cluster.url, clock) as one:
        for owner in OWNERS:
            assert await used(one, "a", clock, owner=owner) is True
        for owner in OWNERS:
            assert await used(one, "a", clock, owner=owner) is False
        for server in cluster.servers:
            assert "portvakt" in server.command("RANDOMKEY")
            assert int(server.command("DBSIZE")) > len(OWNERS) / 6
        clock.advance(100)
        assert await one.prune(clock()) == len(OWNERS)


@at_home
async def test_a_reign_is_registered_everywhere_at_once(
    cluster: Cluster, clock: FrozenClock
) -> None:
    one = store(cluster.url, clock)
    assert await used(one, "a", clock, owner=OWNERS[0]) == FORGOTTEN
    clock.advance(MARGIN + 10)
    for owner in OWNERS:
        assert await used(one, "a", clock, owner=owner) is True
    assert one.health().memory_begins == START + MARGIN
    await one.close()


@at_home
async def test_each_part_has_room_of_its_own(cluster: Cluster, clock: FrozenClock) -> None:
    async with opened(cluster.url, clock, capacity=32, per_owner=3) as one:
        answers = [await used(one, str(n), clock, owner=f"{n}") for n in range(400)]
        assert answers.count(True) == 32 * 4
        assert set(answers) == {True, "the store has no room for another use"}


@at_home
async def test_whoever_listens_at_any_node_hears(cluster: Cluster, clock: FrozenClock) -> None:
    async with opened(cluster.url, clock) as one:
        changes = one.changes()
        await asyncio.wait_for(anext(changes), 5)
        told = asyncio.ensure_future(anext(changes))
        await one.revoke((revocation(1),))
        await asyncio.wait_for(told, 5)
        await changes.aclose()
        assert set((await everything(one))[0]) == {handle(1)}


@contextmanager
def moving(cluster: Cluster, slot: int) -> Iterator[tuple[Server, Server]]:
    """Begin to move a slot to another node; at the end it is where it is by then."""
    source = cluster.owner(slot)
    target = next(server for server in cluster.servers if server is not source)
    names = {server: server.command("CLUSTER", "MYID") for server in (source, target)}
    target.command("CLUSTER", "SETSLOT", str(slot), "IMPORTING", names[source])
    source.command("CLUSTER", "SETSLOT", str(slot), "MIGRATING", names[target])
    try:
        yield source, target
    finally:
        target.command("FLUSHALL")
        for server in (source, target):
            server.command("CLUSTER", "SETSLOT", str(slot), "STABLE")


@at_home
async def test_it_follows_a_slot_that_moves(clock: FrozenClock) -> None:
    slot = key_slot(HEAD.encode())
    # A cluster of its own: the nodes talk for a while about who has what.
    with redis_cluster() as cluster:
        async with opened(cluster.url, clock) as one:
            await one.revoke((revocation(1),))
            _, cursor = await everything(one)
            with moving(cluster, slot) as (source, target):
                # Still where it was.
                assert not (await one.since(cursor)).afresh
                for name in ("head", "order", "entries", "expiry"):
                    key = "portvakt:{revocations}:" + name
                    moved = source.command(
                        "MIGRATE", "127.0.0.1", str(target.port), key, "0", "5000"
                    )
                    assert moved == "OK"
                # Not there any more, and not yet announced: ASK.
                page = await one.since(cursor)
                assert page.afresh, "another node has another reign"
                assert {entry.handle for entry in page.entries} == {handle(1)}
                await one.revoke((revocation(2),))
                name = target.command("CLUSTER", "MYID")
                for server in (target, source):
                    server.command("CLUSTER", "SETSLOT", str(slot), "NODE", name)
                # Announced: MOVED.
                await one.revoke((revocation(3),))
                await one.revoke((revocation(4),))
                assert len((await everything(one))[0]) == 4
                assert target.command("HGET", HEAD, "counter") == "4"


@at_home
async def test_a_part_that_has_half_moved_is_not_served(
    cluster: Cluster, clock: FrozenClock
) -> None:
    async with opened(cluster.url, clock) as one:
        await one.revoke((revocation(1),))
        with moving(cluster, key_slot(HEAD.encode())) as (source, target):
            source.command("MIGRATE", "127.0.0.1", str(target.port), HEAD, "0", "5000")
            with pytest.raises(StoreError, match=NOT_SERVED):
                await one.since(None)
            with pytest.raises(StoreError, match=NOT_SERVED):
                await one.revoke((revocation(2),))


@at_home
async def test_where_the_url_is_of_the_other_kind(cluster: Cluster, clock: FrozenClock) -> None:
    answers = set()
    for server in cluster.servers:
        one = store(server.url, clock)
        answers.add(await used(one, "a", clock, ago=-MARGIN))
        await one.close()
    assert answers <= {
        True,
        "the store is one node of a cluster: the URL has to say redis+cluster",
    }
    assert len(answers) == 2
    with redis_server() as server:
        one = store(f"redis+cluster://127.0.0.1:{server.port}", clock)
        assert await used(one, "a", clock) == "the store refused a command"
        await one.close()


@pytest.mark.parametrize("trouble", ["kill", "pause"])
@at_home
async def test_a_node_that_is_lost_costs_its_part_and_no_other(
    clock: FrozenClock, trouble: str
) -> None:
    with redis_cluster("--cluster-require-full-coverage", "no") as cluster:
        async with opened(cluster.url, clock) as one:
            lost = cluster.owner(key_slot(HEAD.encode()))
            left = [server for server in cluster.servers if server is not lost]
            theirs = [owner_at(one, server, cluster) for server in left]
            its = owner_at(one, lost, cluster)
            for owner in (*theirs, its):
                assert await used(one, "a", clock, owner=owner) is True
            await one.revoke((revocation(1),))
            one._timeout = 0.8
            await asyncio.to_thread(getattr(lost, trouble))
            for round_ in range(2):
                assert isinstance(await used(one, "b", clock, owner=its), str)
                with pytest.raises(StoreError):
                    await one.since(None)
                for owner in theirs:
                    assert await used(one, "a", clock, owner=owner) is False
                    assert await used(one, f"{round_}", clock, owner=owner) is True
            one._timeout = 5.0
            await asyncio.to_thread(lost.start if trouble == "kill" else lost.resume)
            for server in cluster.servers:
                await asyncio.to_thread(
                    server.wait_for,
                    lambda server=server: (
                        "cluster_state:ok" in server.command("CLUSTER", "INFO")
                        and "fail" not in server.command("CLUSTER", "NODES")
                    ),
                )
            assert await used(one, "a", clock, owner=its) in {False, FORGOTTEN}
            assert set((await everything(one))[0]) == {handle(1)}
            again = await used(one, "c", clock, owner=its)
            assert again == (FORGOTTEN if trouble == "kill" else True)
            for owner in theirs:
                assert await used(one, "d", clock, owner=owner) is True, "they lost nothing"
            clock.advance(MARGIN + 10)
            assert await used(one, "c", clock, owner=its) in {True, False}


@at_home
async def test_a_seed_that_is_gone_or_hangs_is_asked_last(clock: FrozenClock) -> None:
    with redis_cluster("--cluster-require-full-coverage", "no") as cluster:
        async with opened(cluster.url, clock) as one:
            last = cluster.servers[0]
            owner = owner_at(one, cluster.servers[1], cluster)
            for trouble in (last.pause, last.kill):
                await asyncio.to_thread(trouble)
                two = store(cluster.url, clock, timeout=4.0)
                assert await used(two, trouble.__name__, clock, owner=owner) is True
                await two.close()


@at_home
async def test_a_node_that_has_nothing_is_no_answer(clock: FrozenClock) -> None:
    with redis_server("--cluster-enabled", "yes") as server:
        one = store(f"redis+cluster://127.0.0.1:{server.port}", clock, timeout=10.0)
        assert await used(one, "a", clock) == NOT_SERVED
        await one.close()
