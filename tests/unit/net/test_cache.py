"""One value kept fresh: asked for, renewed and served, with a clock that a test moves."""

import asyncio
from collections import deque

import pytest

from keeping import DOWN, HARD, LATE, Place, at_home, due, kept_by, settle, wake
from portvakt.errors import Unavailable
from portvakt.net import cache
from portvakt.net.cache import NotLoaded, Schedule
from portvakt.refusal import Code
from portvakt.testing.clock import FrozenClock


@at_home
async def test_the_first_request_gets_it_and_the_others_read_it() -> None:
    place, clock = Place(("a", None)), FrozenClock(0)
    kept = kept_by(place, clock)
    assert kept.current() is kept.usable() is kept.value is None
    assert await kept.get() == "a"
    assert kept.current() == kept.usable() == await kept.get() == "a"
    assert place.asked == [None]
    assert (kept.loaded_at, kept.last_error, kept.last_error_at) == (0, None, None)
    kept.close()


@at_home
async def test_a_thousand_who_want_it_at_once_cause_one_exchange() -> None:
    place = Place(("a", None))
    kept = kept_by(place, FrozenClock(0))
    place.open.clear()
    wanted = [asyncio.ensure_future(kept.get()) for _ in range(1000)]
    await settle()
    assert not any(one.done() for one in wanted)
    place.open.set()
    assert await asyncio.gather(*wanted) == ["a"] * 1000
    assert place.asked == [None]
    kept.close()


@at_home
async def test_who_waits_and_is_cancelled_does_not_cancel_the_others() -> None:
    place = Place(("a", None))
    kept = kept_by(place, FrozenClock(0))
    place.open.clear()
    wanted = [asyncio.ensure_future(kept.get()) for _ in range(3)]
    await settle()
    wanted[0].cancel()
    await settle()
    assert wanted[0].cancelled()
    place.open.set()
    assert await asyncio.gather(*wanted[1:]) == ["a", "a"]
    assert place.asked == [None]
    assert kept._waiting == 0
    kept.close()


@at_home
async def test_if_all_who_waited_were_cancelled_the_exchange_still_counts() -> None:
    place = Place(("a", None))
    kept = kept_by(place, FrozenClock(0))
    place.open.clear()
    wanted = asyncio.ensure_future(kept.get())
    await settle()
    wanted.cancel()
    place.open.set()
    await settle()
    assert kept.current() == "a"
    kept.close()


@at_home
async def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MAX_WAITERS", 2)
    place = Place(("a", None))
    kept = kept_by(place, FrozenClock(0))
    place.open.clear()
    wanted = [asyncio.ensure_future(kept.get()) for _ in range(3)]
    await settle()
    with pytest.raises(Unavailable, match="too many requests wait") as caught:
        await wanted[2]
    assert caught.value.retry_after == 1
    place.open.set()
    assert await asyncio.gather(*wanted[:2]) == ["a", "a"]
    assert await kept.get() == "a"
    kept.close()


@pytest.mark.parametrize(
    ("said", "lifetime"),
    [
        (None, 600.0),
        (0.0, 60.0),
        (-1.0, 60.0),
        (59.9, 60.0),
        (1000.0, 1000.0),
        (3600.0, 3600.0),
        (1e12, 3600.0),
    ],
)
@pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.75), (1.0, 0.9)])
def test_it_is_renewed_ahead_of_an_expiry_between_floor_and_ceiling(
    said: float | None, lifetime: float, jitter: float, share: float
) -> None:
    async def run() -> None:
        place, clock = Place(("a", said)), FrozenClock(100)
        kept = kept_by(place, clock, jitter=jitter)
        await kept.get()
        assert kept.next_at == pytest.approx(100 + lifetime * share)
        clock.set(due(kept) - 0.1)
        await wake(kept)
        assert place.asked == [None]
        clock.set(due(kept))
        await wake(kept)
        assert place.asked == [None, "a"]
        kept.close()

    asyncio.run(run())


@at_home
async def test_a_short_hard_limit_bounds_the_lifetime_too() -> None:
    kept = kept_by(Place(("a", 1e12)), FrozenClock(0), Schedule(hard_limit=400.0))
    await kept.get()
    assert kept.next_at == 300
    kept.close()


@at_home
async def test_requests_go_on_while_it_is_renewed() -> None:
    place, clock = Place(("a", None), ("b", None)), FrozenClock(0)
    kept = kept_by(place, clock)
    await kept.get()
    place.open.clear()
    clock.set(450)
    await wake(kept)
    assert place.asked == [None, "a"]
    assert kept.current() == await kept.get() == "a"
    # However long that takes: who keeps it fresh is alive, so nobody has to wait with it.
    clock.set(450 + LATE)
    assert kept.current() is None
    assert await kept.get() == "a"
    place.open.set()
    await settle()
    assert kept.current() == "b"
    assert kept.loaded_at == 450
    kept.close()


@at_home
async def test_it_is_as_old_as_the_start_of_its_exchange() -> None:
    place, clock = Place(("a", None)), FrozenClock(0)
    kept = kept_by(place, clock)
    place.open.clear()
    wanted = asyncio.ensure_future(kept.get())
    await settle()
    clock.set(20)
    place.open.set()
    await wanted
    assert (kept.loaded_at, kept.next_at) == (0, 450)
    kept.close()


@at_home
async def test_the_last_good_value_serves_until_the_hard_limit_and_no_longer() -> None:
    place, clock = Place(("a", None), DOWN), FrozenClock(0)
    kept = kept_by(place, clock)
    await kept.get()
    while due(kept) < HARD:
        clock.set(due(kept))
        await wake(kept)
        assert kept.current() == await kept.get() == "a"
        assert kept.last_error == "the server answered 500"
        assert kept.last_error_at == clock()
    clock.set(HARD - 0.001)
    assert kept.current() == kept.usable() == await kept.get() == "a"
    clock.set(HARD)
    assert kept.current() is kept.usable() is None
    with pytest.raises(Unavailable, match="the server answered 500") as caught:
        await kept.get()
    assert caught.value.refusal.code is Code.KEYS_UNAVAILABLE
    assert caught.value.retry_after is not None
    # And it recovers by itself.
    place.answers = deque([("b", None)])
    clock.set(due(kept))
    await wake(kept)
    assert kept.current() == "b"
    assert kept.last_error is None
    kept.close()


@at_home
async def test_a_renewal_that_failed_was_one() -> None:
    place, clock = Place(("a", None), DOWN), FrozenClock(0)
    kept = kept_by(place, clock)
    await kept.get()
    clock.set(450)
    await wake(kept)
    clock.set(450 + 0.7 + LATE)
    assert kept.current() == "a"
    kept.close()


@at_home
async def test_the_pause_after_a_failure_doubles_up_to_a_limit() -> None:
    place, clock = Place(DOWN), FrozenClock(0)
    kept = kept_by(place, clock, jitter=1.0)
    pauses = []
    kept.keep_fresh()
    for _ in range(8):
        await wake(kept)
        pauses.append(due(kept) - clock())
        clock.set(due(kept))
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    # It is short again after a success.
    place.answers = deque([("a", None), DOWN])
    await wake(kept)
    clock.set(due(kept))
    await wake(kept)
    assert due(kept) - clock() == 1
    kept.close()


@at_home
async def test_a_failure_of_years_does_not_overflow() -> None:
    place, clock = Place(DOWN), FrozenClock(0)
    kept = kept_by(place, clock)
    kept.keep_fresh()
    for _ in range(1100):
        await wake(kept)
        clock.set(due(kept))
    assert len(place.asked) == 1100
    kept.close()


@pytest.mark.parametrize(
    ("wanted", "pause"),
    [(None, 0.75), (0.0, 0.75), (-5.0, 0.75), (0.9, 0.9), (12.0, 12.0), (30.0, 30.0), (1e9, 30.0)],
)
def test_who_wants_to_be_asked_later_is_asked_later_within_bounds(
    wanted: float | None, pause: float
) -> None:
    async def run() -> None:
        place, clock = Place(NotLoaded("busy", wanted)), FrozenClock(0)
        kept = kept_by(place, clock, jitter=0.0)
        with pytest.raises(Unavailable, match="busy"):
            await kept.get()
        assert kept.next_at == pause
        kept.close()

    asyncio.run(run())


@at_home
async def test_a_failure_is_answered_at_once_until_the_next_attempt() -> None:
    place, clock = Place(NotLoaded("busy", 20.0)), FrozenClock(0)
    kept = kept_by(place, clock)
    for _ in range(100):
        with pytest.raises(Unavailable, match="busy") as caught:
            await kept.get()
        assert caught.value.retry_after == 20
    clock.set(19.9)
    with pytest.raises(Unavailable) as caught:
        await kept.get()
    assert caught.value.retry_after == 1
    assert place.asked == [None]
    clock.set(20)
    place.answers = deque([("a", None)])
    assert await kept.get() == "a"
    assert place.asked == [None, None]
    kept.close()


@at_home
async def test_a_fault_of_ours_does_not_end_the_renewals_and_is_not_quoted() -> None:
    place, clock = Place(LookupError("what was received"), ("a", None)), FrozenClock(0)
    kept = kept_by(place, clock)
    with pytest.raises(Unavailable) as caught:
        await kept.get()
    assert caught.value.refusal.detail == "internal error: LookupError"
    clock.set(due(kept))
    await wake(kept)
    assert kept.current() == "a"
    kept.close()
