"""What a server forgets, and that nothing is admitted or lost because of it."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from keeping import at_home
from portvakt.stores.base import StoreError
from portvakt.stores.redis import MARGIN
from portvakt.testing.clock import FrozenClock
from redis_servers import redis_server
from redis_stores import START, everything, handle, opened, revocation, store, used

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis_servers import Server

FORGOTTEN = "the store's memory does not reach back that far"
ON_DISK = ("--appendfsync", "always", "--no-appendfsync-on-rewrite", "no")
NOWHERE = ("--appendonly", "no")
VOLATILE = (
    "it is written, but a restart of the store would lose it: appendonly is off, and there is no "
    "replica"
)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(START)


async def restarted(server: Server, end: str = "kill") -> None:
    """End a server and start it again, while the loop goes on and sees connections end."""
    await asyncio.to_thread(getattr(server, end))
    await asyncio.to_thread(server.start)


async def grown(done: set[str], count: int) -> None:
    """Wait until so much more was done."""
    wanted = len(done) + count
    while len(done) < wanted:  # noqa: ASYNC110  what is waited for is the load itself
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("settings", [(), NOWHERE], ids=["kept", "not kept"])
@at_home
async def test_what_was_used_before_a_kill_is_not_admitted_after_it(
    clock: FrozenClock, settings: tuple[str, ...]
) -> None:
    with redis_server(*settings) as server:
        async with opened(server.url, clock) as one:
            assert await used(one, "a", clock) is True
            server.kill()
            assert await used(one, "a", clock) == "the store cannot be reached"
            assert one.health().last_error == "the store cannot be reached"
            server.start()
            assert await used(one, "a", clock) in {False, FORGOTTEN}
            # Nobody knows whether it was used: the server may have lost it.
            assert await used(one, "b", clock) == FORGOTTEN
            assert one.health().memory_begins == clock() + MARGIN
            clock.advance(MARGIN + 10)
            assert await used(one, "c", clock) is True
            assert one.health().last_error is None


@at_home
async def test_who_has_every_write_on_the_disk_goes_on(clock: FrozenClock) -> None:
    with redis_server(*ON_DISK) as server:
        async with opened(server.url, clock) as one:
            assert await used(one, "a", clock) is True
            for end in ("kill", "stop"):
                await restarted(server, end)
                assert await used(one, "a", clock) is False
                assert await used(one, f"b {end}", clock) is True
                assert one.health().memory_begins == START + MARGIN


@pytest.mark.attack("RPL-02")
@at_home
async def test_a_file_that_is_written_no_more_is_not_relied_on_after_a_restart(
    clock: FrozenClock,
) -> None:
    """It goes on saying that the server is durable, and has nothing of what came later."""
    off = "the store's appendonly was turned off: turn it on, or restart the store"
    with redis_server(*ON_DISK) as server:
        async with opened(server.url, clock) as one:
            assert await used(one, "before", clock) is True
            server.command("CONFIG", "SET", "appendonly", "no")
            assert await used(one, "a", clock) == off
            with pytest.raises(StoreError, match="appendonly was turned off"):
                await one.prune(clock())
            assert await used(one, "a", clock) == off
            server.command("CONFIG", "SET", "appendonly", "yes")
            server.wait_for(
                lambda: (
                    {server.info(f"aof_rewrite_{it}") for it in ("in_progress", "scheduled")}
                    == {"0"}
                )
            )
            assert await used(one, "a", clock) is True
            server.command("CONFIG", "SET", "appendonly", "no")
            await restarted(server)
            # Nothing was admitted in between, so it knows everything.
            assert await used(one, "a", clock) is False
            assert await used(one, "b", clock) is True


@contextmanager
def _forgetful(server: Server, how: str) -> Iterator[None]:
    """Make a server one that may have lost something after all."""
    if how == "fsync later":
        server.command("CONFIG", "SET", "appendfsync", "everysec")
    elif how == "no fsync while rewriting":
        server.command("CONFIG", "SET", "no-appendfsync-on-rewrite", "yes")
    elif how == "settings not shown":
        server.command("ACL", "SETUSER", "default", "-config")
    elif how == "a replica":
        with redis_server("--replicaof", f"127.0.0.1 {server.port}") as replica:
            replica.wait_for(lambda: replica.info("master_link_status") == "up")
            yield
            return
    yield


@pytest.mark.parametrize(
    "how", ["fsync later", "no fsync while rewriting", "settings not shown", "a replica"]
)
@at_home
async def test_who_may_have_lost_a_write_begins_anew(clock: FrozenClock, how: str) -> None:
    with redis_server(*ON_DISK) as server:
        async with opened(server.url, clock) as one:
            with _forgetful(server, how):
                # A server takes another replid when its first replica comes.
                await used(one, "before", clock)
                clock.advance(MARGIN + 10)
                assert await used(one, "a", clock) is True
                await one.prune(clock())
            await restarted(server)
            assert await used(one, "b", clock) == FORGOTTEN
            assert one.health().memory_begins == clock() + MARGIN


@pytest.mark.parametrize("settings", [ON_DISK, NOWHERE], ids=["kept", "not kept"])
@at_home
async def test_nothing_is_admitted_twice_when_it_is_killed_under_load(
    clock: FrozenClock, settings: tuple[str, ...]
) -> None:
    with redis_server(*settings) as server:
        async with opened(server.url, clock, capacity=10**6, per_owner=10**6) as one:
            admitted: set[str] = set()

            async def load(name: int) -> None:
                for item in (f"{name}-{number}" for number in range(300)):
                    if await used(one, item, clock) is True:
                        admitted.add(item)

            loads = [asyncio.ensure_future(load(name)) for name in range(4)]
            await grown(admitted, 300)
            await restarted(server)
            await asyncio.gather(*loads)
            for item in admitted:
                assert await used(one, item, clock) is not True


@at_home
async def test_after_a_flush_memory_begins_anew(clock: FrozenClock) -> None:
    with redis_server(*ON_DISK) as server:
        async with opened(server.url, clock) as one:
            assert await used(one, "a", clock) is True
            server.command("FLUSHALL")
            assert await used(one, "a", clock) == FORGOTTEN
            clock.advance(MARGIN + 10)
            assert await used(one, "b", clock) is True


@at_home
async def test_a_server_that_evicts_is_not_believed(clock: FrozenClock) -> None:
    with redis_server() as server:
        async with opened(server.url, clock) as one:
            assert await used(one, "a", clock) is True
            await one.revoke((revocation(1),))
            server.command("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
            words = "the store's maxmemory-policy is not noeviction: it may give up what it keeps"
            # Uses look once a second of the server's.
            server.wait_for(lambda: server.command("HGET", BUCKET, "checked") < now(server))
            assert await used(one, "b", clock) == words
            assert one.health().last_error == words
            for ask in (
                lambda: one.since(None),
                lambda: one.revoke((revocation(2),)),
                lambda: one.prune(clock()),
            ):
                with pytest.raises(StoreError, match="maxmemory-policy"):
                    await ask()
            server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
            assert await used(one, "b", clock) is True, "nothing was given up"


BUCKET = "portvakt:{replay-0}:bucket"


def now(server: Server) -> str:
    """Return the second that it is for a server."""
    return server.command("EVAL", "return redis.call('TIME')[1]", "0")


@at_home
async def test_a_server_that_has_evicted_begins_anew(clock: FrozenClock) -> None:
    with redis_server(*ON_DISK) as server:
        async with opened(server.url, clock) as one:
            assert await used(one, "a", clock) is True
            server.command("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
            server.command("SET", "bulk", "x" * 3_000_000, "EX", "1000")
            server.command("CONFIG", "SET", "maxmemory", "2mb")
            server.wait_for(lambda: server.info("evicted_keys") != "0")
            server.command("CONFIG", "SET", "maxmemory", "0")
            server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
            server.wait_for(lambda: server.command("HGET", BUCKET, "checked") < now(server))
            assert await used(one, "b", clock) == FORGOTTEN
            await restarted(server)
            assert await used(one, "b", clock) == FORGOTTEN, "nor does its disk know better"


@at_home
async def test_a_server_without_memory_refuses_and_gives_nothing_up(clock: FrozenClock) -> None:
    with redis_server() as server:
        async with opened(server.url, clock, per_owner=10**6, capacity=10**6) as one:
            assert await used(one, "a", clock) is True
            await one.revoke((revocation(1),))
            server.command("CONFIG", "SET", "maxmemory", "1")
            assert await used(one, "b", clock) == "the store has no memory left"
            assert await used(one, "b", clock, owner="another") == "the store has no memory left"
            assert await used(one, "a", clock) in {False, "the store has no memory left"}
            with pytest.raises(StoreError, match="no memory left"):
                await one.revoke((revocation(2),))
            assert set((await everything(one))[0]) == {handle(1)}, "reading goes on"
            server.command("CONFIG", "SET", "maxmemory", "0")
            assert await used(one, "b", clock) is True
            assert await used(one, "a", clock) is False


@at_home
async def test_a_revocation_outlives_a_kill(clock: FrozenClock) -> None:
    with redis_server() as server:
        async with opened(server.url, clock) as one:
            await one.revoke((revocation(1),))
            _, cursor = await everything(one)
            server.kill()
            with pytest.raises(StoreError, match="cannot be reached"):
                await one.since(cursor)
            server.start()
            page = await one.since(cursor)
            assert page.afresh, "what was lost, if anything, is not known"
            assert set((await everything(one))[0]) == {handle(1)}


@at_home
async def test_no_revocation_is_lost_when_it_is_killed_under_load(clock: FrozenClock) -> None:
    with redis_server() as server:
        async with opened(server.url, clock) as one:
            written: set[str] = set()

            async def load() -> None:
                for number in range(3000):
                    try:
                        await one.revoke((revocation(number),))
                    except StoreError:
                        continue
                    written.add(handle(number).hex())

            loads = asyncio.ensure_future(load())
            for _ in range(2):
                await grown(written, 200)
                await restarted(server)
            await loads
            assert written <= {each.hex() for each in (await everything(one))[0]}


@at_home
async def test_a_revocation_that_a_restart_would_lose_is_not_certain(clock: FrozenClock) -> None:
    with redis_server(*NOWHERE) as server:
        async with opened(server.url, clock) as one:
            with pytest.raises(StoreError) as caught:
                await one.revoke((revocation(1),))
            assert caught.value.reason == VOLATILE
            assert set((await everything(one))[0]) == {handle(1)}, "and yet it is in force"


@at_home
async def test_a_reader_notices_data_that_were_brought_back(clock: FrozenClock) -> None:
    with redis_server() as server:
        async with opened(server.url, clock) as one:
            await one.revoke(tuple(revocation(number) for number in range(5)))
            files, copy = server.folder / "appendonlydir", server.folder / "copy"
            shutil.copytree(files, copy)
            await one.revoke((revocation(5), revocation(6)))
            _, cursor = await everything(one)
            server.kill()
            shutil.rmtree(files)
            copy.rename(files)
            await asyncio.to_thread(server.start)
            # Others are written, until the counter is past where the reader was.
            await one.revoke(tuple(revocation(number) for number in range(10, 15)))
            page = await one.since(cursor)
            assert page.afresh
            assert {entry.handle for entry in page.entries} == {
                handle(number) for number in (*range(5), *range(10, 15))
            }


@at_home
async def test_who_listens_is_told_that_the_server_is_gone(
    clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_server() as server:
        async with opened(server.url, clock) as one:
            changes = one.changes()
            await anext(changes)
            server.kill()
            with pytest.raises(StoreError, match="no longer says what changes"):
                await anext(changes)
            with pytest.raises(StoreError, match="cannot be reached"):
                await anext(one.changes())
            server.start()
            changes = one.changes()
            await anext(changes)
            monkeypatch.setattr("portvakt.stores.redis_line._PULSE", 0.02)
            server.pause()
            with pytest.raises(StoreError, match="no longer says what changes"):
                await anext(changes)
            server.resume()


@at_home
async def test_a_store_of_another_process_begins_where_the_first_one_did(
    clock: FrozenClock,
) -> None:
    with redis_server(*ON_DISK) as server:
        async with opened(server.url, clock) as one:
            assert await used(one, "a", clock) is True
        server.kill()
        server.start()
        two = store(server.url, clock)
        assert await used(two, "a", clock) is False
        assert await used(two, "b", clock) is True
        await two.close()
