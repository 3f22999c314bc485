"""Uses and revocations in one Redis server, and what is said when it does not answer.

The server is a real one. Valkey is not among Debian 12's packages, so no run here has it; it takes
the same settings and answers the same commands, and ``PORTVAKT_TEST_REDIS_SERVER=valkey-server``
runs these tests against it.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

import pytest

from keeping import at_home
from portvakt.stores.base import Entry, StoreError, Use
from portvakt.stores.redis import MARGIN
from portvakt.testing.clock import FrozenClock
from redis_servers import redis_server
from redis_stores import START, everything, handle, opened, revocation, store, use, used

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis_servers import Server

FORGOTTEN = "the store's memory does not reach back that far"


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with redis_server() as one:
        yield one


@pytest.fixture
def server(running: Server) -> Server:
    running.command("FLUSHALL")
    return running


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(START)


@at_home
async def test_what_is_used_twice_is_used_once(server: Server, clock: FrozenClock) -> None:
    async with opened(server.url, clock) as one:
        assert await used(one, "a", clock) is True
        assert await used(one, "a", clock) is False
        assert await used(one, "b", clock) is True
        assert await used(one, "a", clock, owner="another") is True
        assert one.health().last_error is None


@at_home
async def test_of_many_at_once_one_is_told_true(server: Server, clock: FrozenClock) -> None:
    async with opened(server.url, clock) as one, opened(server.url, clock) as two:
        answers = await asyncio.gather(
            *(used(each, "a", clock) for each in (one, two) for _ in range(20))
        )
        assert sorted(answers, key=bool) == [False] * 39 + [True]


@at_home
async def test_it_is_remembered_until_it_expires(server: Server, clock: FrozenClock) -> None:
    async with opened(server.url, clock) as one:
        assert await used(one, "a", clock) is True
        clock.advance(39.9)
        assert await used(one, "a", clock) is False
        clock.advance(0.1)
        assert await used(one, "a", clock) is True
        assert await used(one, "a", clock) is False


@at_home
async def test_one_owner_fills_its_own_room(server: Server, clock: FrozenClock) -> None:
    async with opened(server.url, clock, per_owner=3) as one:
        for item in "abc":
            assert await used(one, item, clock) is True
        assert await used(one, "d", clock) == "the store has no room for another use of this owner"
        assert one.health().last_error is None, "that is no fault of the store"
        assert await used(one, "a", clock) is False, "nothing was given up for it"
        assert await used(one, "d", clock, owner="another") is True
        clock.advance(40)
        assert await used(one, "d", clock) is True, "what has expired takes no room"


@at_home
async def test_all_owners_fill_the_store(server: Server, clock: FrozenClock) -> None:
    async with opened(server.url, clock, capacity=4) as one:
        for owner in "abcd":
            assert await used(one, "x", clock, owner=owner, ahead=40 + ord(owner)) is True
        assert await used(one, "x", clock, owner="e") == "the store has no room for another use"
        assert one.health().last_error == "the store has no room for another use"
        assert await used(one, "x", clock, owner="a") is False, "nothing was given up for it"
        clock.advance(40 + ord("a"))
        assert await used(one, "x", clock, owner="e") is True, "one has expired"
        assert await used(one, "x", clock, owner="f") == "the store has no room for another use"


@at_home
async def test_those_who_come_later_remove_what_has_expired(
    server: Server, clock: FrozenClock
) -> None:
    async with opened(server.url, clock) as one:
        for number in range(10):
            assert await used(one, "x", clock, owner=f"owner-{number}") is True
        before = server.command("DBSIZE")
        clock.advance(41)
        for number in range(6):
            assert await used(one, f"y{number}", clock) is True
        # Ten owners went and one came.
        assert int(server.command("DBSIZE")) == int(before) - 9


@at_home
async def test_pruning_removes_what_has_expired_and_counts_it(
    server: Server, clock: FrozenClock
) -> None:
    async with opened(server.url, clock, per_owner=1000) as one:
        for number in range(450):
            assert await used(one, "x", clock, owner=f"{number}", ahead=5) is True
        for number in range(3):
            assert await used(one, f"long-{number}", clock, owner="0", ahead=90) is True
        await one.revoke((revocation(1, until=clock() + 5), revocation(2, until=clock() + 90)))
        assert await one.prune(clock()) == 0
        clock.advance(6)
        assert await one.prune(clock()) == 451
        assert await one.prune(clock()) == 0
        assert set((await everything(one))[0]) == {handle(2)}
        assert await used(one, "long-0", clock, owner="0") is False
        clock.advance(90)
        assert await one.prune(clock()) == 4
        assert server.command("ZCARD", "portvakt:{replay-0}:due") == "0"
        assert server.command("HGET", "portvakt:{replay-0}:bucket", "total") == "0"


@pytest.mark.attack("RPL-02", "CLK-02")
@at_home
async def test_a_guard_whose_clock_is_ahead_forgets_nothing_for_the_others(
    server: Server,
) -> None:
    now = time.time()
    clock, ahead = FrozenClock(now - 3600), FrozenClock(now + 86_400)
    async with opened(server.url, clock) as one:
        other = store(server.url, ahead)
        assert await used(one, "a", clock) is True
        await one.revoke((revocation(1, until=clock() + 600),))
        # What its own clock lets it take is enough to have the others' uses removed.
        for number in range(20):
            assert await used(other, "b", ahead, owner=f"another-{number}") is True
        assert await other.prune(ahead()) == 0
        assert await used(one, "a", clock) is False
        assert set((await everything(one))[0]) == {handle(1)}
        await other.close()


@at_home
async def test_nothing_is_known_before_the_server_was_first_seen(
    server: Server, clock: FrozenClock
) -> None:
    one = store(server.url, clock)
    assert one.health().memory_begins is None
    with pytest.raises(StoreError) as caught:
        await one.use(use("a", clock, ago=10))
    assert caught.value.reason == FORGOTTEN
    assert caught.value.retry_after == 15
    assert one.health().memory_begins == START + MARGIN
    assert one.health().last_error is None
    clock.advance(MARGIN)
    assert await used(one, "a", clock, ago=0.001) == FORGOTTEN
    assert await used(one, "a", clock, ago=0) is True
    assert await used(one, "a", clock, ago=10) is False, "what is known is known"
    await one.close()
    # Another process sees the same, however late it comes.
    clock.advance(100)
    two = store(server.url, clock)
    assert await used(two, "b", clock, ago=100) is True
    assert await used(two, "c", clock, ago=100.001) == FORGOTTEN
    assert two.health().memory_begins == START + MARGIN
    await two.close()


@pytest.mark.parametrize(
    ("usable_from", "expires_at"), [(math.nan, START + 5000), (START + 3600, math.nan)]
)
@at_home
async def test_a_time_that_is_none_admits_nothing(
    server: Server, clock: FrozenClock, usable_from: float, expires_at: float
) -> None:
    async with opened(server.url, clock) as one:
        with pytest.raises(StoreError):
            await one.use(Use("owner", "a", usable_from, expires_at, clock()))


@pytest.mark.attack("CACHE-11")
@at_home
async def test_octets_are_words_and_never_commands(server: Server, clock: FrozenClock) -> None:
    hostile = [
        "\r\nFLUSHALL\r\n",
        "*1\r\n$8\r\nFLUSHALL\r\n",
        "%s%n%b",
        "a b",
        "x\0y",
        "{other}",
        "}{",
        "'); redis.call('FLUSHALL') --",
        "\udcff",
        "æøå☃",
        "",
    ]
    async with opened(server.url, clock) as one:
        for owner in hostile:
            for item in hostile:
                assert await used(one, item, clock, owner=owner) is True
        for owner in hostile:
            for item in hostile:
                assert await used(one, item, clock, owner=owner) is False
        octets = [
            b"\r\n" * 8,
            b"\0" * 16,
            bytes(range(240, 256)),
            b"%s%n" * 4,
            b"portvakt:{r}:ab\n",
        ]
        await one.revoke(tuple(Entry(each, START, START + 9e5) for each in octets))
        assert set((await everything(one))[0]) == set(octets)


@pytest.mark.twin("CACHE-11")
@at_home
async def test_what_is_plain_is_kept_as_it_is(server: Server, clock: FrozenClock) -> None:
    async with opened(server.url, clock) as one:
        assert await used(one, "b" * 43, clock, owner="a" * 43) is True
        assert await used(one, "b" * 43, clock, owner="a" * 43) is False
        assert server.command("ZCARD", "portvakt:{replay-0}:of:" + "a" * 43) == "1"


@at_home
async def test_every_page_leads_to_the_next_until_the_end(
    server: Server, clock: FrozenClock
) -> None:
    async with opened(server.url, clock) as one:
        assert (await one.since(None)).entries == ()
        await one.revoke(tuple(revocation(number) for number in range(2500)))
        first = await one.since(None)
        assert (len(first.entries), first.more, first.afresh) == (1000, True, False)
        # Written between two pages, before and behind the cursor.
        await one.revoke((revocation(0, before=START + 1), revocation(9999)))
        rest, cursor = await everything(one, first.cursor)
        assert len(rest) == 1502
        assert rest[handle(0)].issued_before == START + 1
        assert (await one.since(cursor)).entries == ()
        assert not (await one.since(cursor)).afresh
        exactly = await one.since(cursor)
        assert (exactly.more, exactly.cursor) == (False, cursor)


@at_home
async def test_a_full_page_that_is_the_last_one_says_so(server: Server, clock: FrozenClock) -> None:
    async with opened(server.url, clock) as one:
        await one.revoke(tuple(revocation(number) for number in range(1000)))
        page = await one.since(None)
        assert (len(page.entries), page.more) == (1000, False)


@at_home
async def test_revoking_again_keeps_the_larger_of_both_times(
    server: Server, clock: FrozenClock
) -> None:
    async with opened(server.url, clock) as one:
        await one.revoke((Entry(handle(1), math.inf, START + 9e5),))
        _, cursor = await everything(one)
        await one.revoke((Entry(handle(1), 1.5, START + 5),))
        assert (await one.since(cursor)).entries == (), "nothing has changed"
        await one.revoke((Entry(handle(1), 1.5, START + 9.25e5),))
        assert (await one.since(cursor)).entries == (Entry(handle(1), math.inf, START + 9.25e5),)
        await one.revoke(())


@pytest.mark.parametrize("cursor", ["", "x", "..", "a.b.1", "..-1", "..١", "a.b.c.d", "\udcff..1"])
@at_home
async def test_a_cursor_that_is_none_of_it_reads_everything_afresh(
    server: Server, clock: FrozenClock, cursor: str
) -> None:
    async with opened(server.url, clock) as one:
        await one.revoke((revocation(1),))
        page = await one.since(cursor)
        assert page.afresh
        assert len(page.entries) == 1


@at_home
async def test_a_reader_notices_that_the_data_were_replaced(
    server: Server, clock: FrozenClock
) -> None:
    async with opened(server.url, clock) as one:
        await one.revoke((revocation(1), revocation(2)))
        _, cursor = await everything(one)
        server.command("FLUSHALL")
        page = await one.since(cursor)
        assert (page.entries, page.afresh) == ((), True)
        await one.revoke(tuple(revocation(number) for number in range(3, 9)))
        page = await one.since(cursor)
        assert page.afresh, "the counter has gone past the cursor's, in other data"
        assert len(page.entries) == 6
        assert not (await one.since(page.cursor)).afresh


@at_home
async def test_a_reader_notices_a_counter_that_went_back(
    server: Server, clock: FrozenClock
) -> None:
    async with opened(server.url, clock) as one:
        await one.revoke((revocation(1), revocation(2)))
        _, cursor = await everything(one)
        server.command("HSET", "portvakt:{revocations}:head", "counter", "1")
        assert (await one.since(cursor)).afresh


@at_home
async def test_it_hears_of_what_was_revoked_elsewhere(server: Server, clock: FrozenClock) -> None:
    async with opened(server.url, clock) as one, opened(server.url, clock) as two:
        await two.revoke((revocation(1),))  # too early to be heard
        changes = one.changes()
        await asyncio.wait_for(anext(changes), 5)
        await two.revoke((revocation(2),))
        await asyncio.wait_for(anext(changes), 5)
        await two.revoke((revocation(2),))  # changes nothing
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await two.revoke((revocation(3),))
        await asyncio.wait_for(waiting, 5)
        # A late listener has missed them all, and finds them by asking.
        late = two.changes()
        await asyncio.wait_for(anext(late), 5)
        assert len((await everything(two))[0]) == 3
        await changes.aclose()
        await late.aclose()


@at_home
async def test_silence_is_asked_for_a_sign_of_life(
    server: Server, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portvakt.stores.redis_line._PULSE", 0.02)
    async with opened(server.url, clock) as one:
        changes = one.changes()
        await anext(changes)
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await one.revoke((revocation(1),))
        await asyncio.wait_for(waiting, 5)
        await changes.aclose()
