"""One value kept fresh: what is asked on a caller's account, and how seldom."""

import asyncio

import pytest

from keeping import DOWN, Place, at_home, kept_by, lacks, settle, wake
from portvakt.errors import Unavailable
from portvakt.net.cache import Budget
from portvakt.testing.clock import FrozenClock


@at_home
async def test_a_question_may_be_the_first_of_all() -> None:
    place = Place(("a", None))
    kept = kept_by(place, FrozenClock(0))
    assert await kept.renew(lacks) == "a"
    assert place.asked == [None]


@at_home
async def test_a_question_is_answered_by_an_exchange_of_its_own_and_then_cools_down() -> None:
    place, clock = Place(("a", None)), FrozenClock(0)
    kept = kept_by(place, clock)
    await kept.get()
    assert kept.cooling() == 0
    assert await kept.renew(lacks) == "a"
    assert place.asked == [None, "a"]
    assert kept.cooling() == 10
    for now, wait in ((0, 10), (0.5, 10), (1, 9), (9.5, 1)):
        clock.set(now)
        with pytest.raises(Unavailable, match="cooling down") as caught:
            await kept.renew(lacks)
        assert caught.value.retry_after == wait
    assert place.asked == [None, "a"]
    clock.set(10)
    assert kept.cooling() == 0
    assert await kept.renew(lacks) == "a"
    assert place.asked == [None, "a", "a"]
    kept.close()


@at_home
async def test_those_who_miss_something_together_cause_one_exchange() -> None:
    place = Place(("a", None), ("b", None))
    kept = kept_by(place, FrozenClock(0))
    await kept.get()
    place.open.clear()
    wanted = [asyncio.ensure_future(kept.renew("b".__eq__)) for _ in range(1000)]
    await settle()
    assert kept.cooling() == 0  # who comes now waits with them
    place.open.set()
    assert await asyncio.gather(*wanted) == ["b"] * 1000
    assert place.asked == [None, "a"]
    assert kept.cooling() == 10
    kept.close()


@at_home
async def test_an_exchange_that_had_begun_may_bring_it_but_cannot_tell_that_it_is_not_there() -> (
    None
):
    place, clock = Place(("a", None), ("b", None), ("c", None)), FrozenClock(0)
    kept = kept_by(place, clock, budget=Budget(1, 60.0, clock))
    await kept.get()
    place.open.clear()
    clock.set(450)
    await wake(kept)  # a renewal on nobody's account
    brought = [asyncio.ensure_future(kept.renew("b".__eq__)) for _ in range(3)]
    missing = [asyncio.ensure_future(kept.renew("c".__eq__)) for _ in range(3)]
    await settle()
    place.open.set()
    assert await asyncio.gather(*brought) == ["b"] * 3
    assert await asyncio.gather(*missing) == ["c"] * 3
    assert place.asked == [None, "a", "b"]
    assert kept.cooling() == 10
    kept.close()


@at_home
async def test_after_another_callers_exchange_one_of_its_own_has_to_wait() -> None:
    place, clock = Place(("a", None)), FrozenClock(0)
    kept = kept_by(place, clock)
    await kept.get()
    place.open.clear()
    first = asyncio.ensure_future(kept.renew(lacks))
    await settle()
    second = asyncio.ensure_future(kept.renew(lacks))
    await settle()
    clock.set(2)
    place.open.set()
    assert await first == "a"
    with pytest.raises(Unavailable, match="cooling down") as caught:
        await second
    assert caught.value.retry_after == 8
    assert place.asked == [None, "a"]
    kept.close()


@at_home
async def test_a_question_that_fails_leaves_it_open_and_the_value_in_use() -> None:
    place, clock = Place(("a", None), DOWN), FrozenClock(0)
    kept = kept_by(place, clock)
    await kept.get()
    place.open.clear()
    wanted = [asyncio.ensure_future(kept.renew(lacks)) for _ in range(2)]
    await settle()
    place.open.set()
    for one in wanted:
        with pytest.raises(Unavailable, match="the server answered 500") as caught:
            await one
        assert caught.value.retry_after == 10
    assert place.asked == [None, "a"]
    assert kept.current() == "a"
    kept.close()


@at_home
async def test_nobody_is_told_to_come_back_at_once() -> None:
    place, clock = Place(("a", None), DOWN), FrozenClock(0)
    kept = kept_by(place, clock)
    await kept.get()
    place.open.clear()
    question = asyncio.ensure_future(kept.renew(lacks))
    await settle()
    clock.set(15)  # the exchange took longer than the cooldown
    place.open.set()
    with pytest.raises(Unavailable) as caught:
        await question
    assert caught.value.retry_after == 1
    kept.close()


@at_home
async def test_the_budget_is_shared_by_all_and_comes_again() -> None:
    clock = FrozenClock(0)
    budget = Budget(2, 60.0, clock)
    places = [Place(("a", None)) for _ in range(3)]
    kepts = [kept_by(place, clock, budget=budget) for place in places]
    for kept in kepts:
        await kept.get()
    clock.set(15)
    for kept in kepts[:2]:
        assert await kept.renew(lacks) == "a"
    clock.set(15.5)
    with pytest.raises(Unavailable) as caught:
        await kepts[2].renew(lacks)
    assert caught.value.retry_after == 60
    assert len(places[2].asked) == 1
    clock.set(75)
    assert await kepts[2].renew(lacks) == "a"
    for kept in kepts:
        kept.close()


def test_a_budget_says_when_there_is_more() -> None:
    clock = FrozenClock(0)
    budget = Budget(2, 60.0, clock)
    assert [budget.take(), budget.take(), budget.take()] == [0, 0, 60]
    clock.set(59.5)
    assert budget.take() == 0.5
    clock.set(60)
    assert [budget.take(), budget.take(), budget.take()] == [0, 0, 60]
