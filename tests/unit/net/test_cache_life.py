"""One value kept fresh: across restarts, closings, forks and loops that are gone."""

import asyncio

import pytest

from keeping import DOWN, HARD, LATE, Place, at_home, due, kept_by, lacks, others, settle, wake
from portvakt.errors import Unavailable
from portvakt.net.cache import Budget, Kept, Schedule
from portvakt.refusal import Code
from portvakt.testing.clock import FrozenClock


@at_home
async def test_a_value_of_an_earlier_run_serves_when_asking_failed() -> None:
    place, clock = Place(DOWN), FrozenClock(0)
    kept = kept_by(place, clock)
    kept.offer("old", HARD - 10)
    assert kept.current() is None
    assert kept.usable() == "old"
    assert kept.loaded_at == 10 - HARD
    assert await kept.get() == "old"
    assert kept.current() == "old"
    assert place.asked == ["old"]
    clock.set(9.9)
    assert kept.current() == "old"
    clock.set(10)
    assert kept.current() is None
    with pytest.raises(Unavailable):
        await kept.get()
    kept.close()


@at_home
async def test_a_value_of_an_earlier_run_yields_to_one_that_is_asked_for() -> None:
    place = Place(("new", None))
    kept = kept_by(place, FrozenClock(0))
    kept.offer("old", 5)
    kept.keep_fresh()  # as a server does when it starts
    assert await kept.get() == "new"
    kept.offer("old", 5)
    assert kept.value == "new"
    kept.close()


@pytest.mark.parametrize("age", [HARD, HARD + 1, -1])
def test_a_value_of_a_wrong_age_is_not_taken(age: float) -> None:
    kept = kept_by(Place(DOWN), FrozenClock(0))
    kept.offer("old", age)
    assert kept.value is None


# Beginning and end of what goes on in the background.


@at_home
async def test_it_is_fetched_ahead_of_the_first_request_if_that_is_wanted() -> None:
    place = Place(("a", None))
    kept = kept_by(place, FrozenClock(0))
    kept.keep_fresh()
    kept.keep_fresh()
    assert len(others()) == 1
    await settle()
    assert place.asked == [None]
    assert kept.current() == "a"
    kept.close()


@at_home
async def test_closing_leaves_no_task_and_the_next_request_starts_again() -> None:
    place, clock = Place(("a", None)), FrozenClock(0)
    kept = kept_by(place, clock)
    kept.close()
    assert await kept.get() == "a"
    assert len(others()) == 1
    kept.close()
    await settle()
    assert not others()
    assert kept.current() is None
    assert await kept.get() == "a"  # from memory: it is not due
    assert place.asked == [None]
    assert kept.current() == "a"
    kept.close()
    clock.set(450)
    assert await kept.get() == "a"
    assert place.asked == [None, "a"]
    kept.close()


@at_home
async def test_who_waits_when_all_is_closed_is_told_to_come_back() -> None:
    place = Place(("a", None))
    kept = kept_by(place, FrozenClock(0))
    place.open.clear()
    first = asyncio.ensure_future(kept.get())
    await settle()
    kept.close()
    with pytest.raises(Unavailable, match="stopped") as caught:
        await first
    assert caught.value.retry_after == 1
    place.open.set()
    assert await kept.get() == "a"
    # A question is not answered by an exchange that never ended.
    place.open.clear()
    question = asyncio.ensure_future(kept.renew(lacks))
    await settle()
    kept.close()
    with pytest.raises(Unavailable, match="stopped"):
        await question
    await settle()
    assert not others()


def test_when_its_loop_is_gone_the_next_request_brings_up_another() -> None:
    """As after a fork, where loop and tasks are the parent's and never do anything again."""
    place, clock = Place(("a", None), ("b", None), ("c", None)), FrozenClock(0)
    kept = kept_by(place, clock)
    parent = asyncio.new_event_loop()
    assert parent.run_until_complete(kept.get()) == "a"
    parent.run_until_complete(settle())

    async def child() -> None:
        clock.set(450 + LATE - 0.1)
        assert kept.current() == "a"  # it might only be slow
        clock.set(450 + LATE)
        assert kept.current() is None
        # Nobody knows how long nobody has looked, so this waits.
        assert await kept.get() == kept.current() == "b"
        assert place.asked == [None, "a"]
        clock.set(due(kept))
        await wake(kept)
        assert kept.current() == "c"
        kept.close()

    asyncio.run(child())
    end(parent)


def test_when_its_loop_is_gone_in_an_outage_the_last_good_value_still_serves_at_once() -> None:
    place, clock = Place(("a", None), DOWN), FrozenClock(0)
    kept = kept_by(place, clock)
    parent = asyncio.new_event_loop()
    parent.run_until_complete(kept.get())
    clock.set(450)
    parent.run_until_complete(wake(kept))
    clock.set(600)

    async def child() -> None:
        place.open = asyncio.Event()  # who is down may also hang
        assert await kept.get() == "a"
        kept.close()

    asyncio.run(child())
    end(parent)


def test_an_exchange_of_a_loop_that_is_gone_is_nobodys() -> None:
    place, clock = Place(("a", None)), FrozenClock(0)
    kept = kept_by(place, clock)
    place.open.clear()
    parent = asyncio.new_event_loop()
    waiting = parent.create_task(kept.get())
    parent.run_until_complete(settle())
    place.open = asyncio.Event()
    place.open.set()

    async def child() -> None:
        assert await kept.get() == "a"
        kept.close()

    asyncio.run(child())
    assert not waiting.done()
    end(parent)


def test_closing_does_not_touch_the_tasks_of_a_loop_that_is_gone() -> None:
    place = Place(("a", None))
    kept = kept_by(place, FrozenClock(0))
    place.open.clear()
    parent = asyncio.new_event_loop()
    waiting = parent.create_task(kept.get())
    parent.run_until_complete(settle())
    flight = kept._flight

    async def child() -> None:
        kept.close()

    asyncio.run(child())
    assert flight is not None
    assert not flight.cancelling()
    assert not waiting.done()
    end(parent)


def test_it_is_renewed_without_anybody_asking() -> None:
    """With the real clock, in milliseconds: what `wake` does elsewhere happens by itself."""

    async def run() -> None:
        place, enough = Place(("a", 0.0)), asyncio.Event()

        async def load(last: str | None, /) -> tuple[str, float | None]:
            if len(place.asked) == 3:
                enough.set()
            return await place(last)

        kept = Kept(
            load,
            Schedule(floor=0.001),
            unavailable=Code.KEYS_UNAVAILABLE,
            budget=Budget(),
        )
        kept.keep_fresh()
        await asyncio.wait_for(enough.wait(), 10)
        kept.close()

    asyncio.run(run())


def test_after_a_question_that_failed_it_is_renewed_soon_without_anybody_asking() -> None:
    async def run() -> None:
        place, again = Place(("a", 3600.0), DOWN), asyncio.Event()

        async def load(last: str | None, /) -> tuple[str, float | None]:
            if len(place.asked) == 2:
                again.set()
            return await place(last)

        kept = Kept(
            load,
            Schedule(first_retry=0.001),
            unavailable=Code.KEYS_UNAVAILABLE,
            budget=Budget(),
        )
        await kept.get()
        await settle()  # the task that renews now waits for an hour
        with pytest.raises(Unavailable):
            await kept.renew(lacks)
        await asyncio.wait_for(again.wait(), 10)
        kept.close()

    asyncio.run(run())


def end(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop that stood for one that is gone."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.wait(tasks))
    loop.close()
