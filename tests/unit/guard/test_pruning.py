"""What has expired goes from the store, again and again, whatever goes wrong."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from fake_store import DOWN, FakeRevocations
from keeping import at_home, others, settle
from mirroring import NOW, STALE
from portvakt.guard.pruning import keep_pruned
from portvakt.guard.revocation import Mirror
from portvakt.testing.clock import FrozenClock


class Enough(Exception):  # noqa: N818  it is no error
    """The test has seen what it wanted to."""


def sleeping(pauses: list[float], most: int) -> Callable[[float], Coroutine[Any, Any, None]]:
    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > most:
            raise Enough

    return sleep


@at_home
async def test_it_prunes_now_and_then_and_sooner_while_there_is_much() -> None:
    clock, pauses, times = FrozenClock(NOW), list[float](), list[float]()
    answers = [0, 999, 1000, 100_000, 3]

    async def prune(now: float) -> int:
        times.append(now)
        clock.advance(100)
        return answers[len(times) - 1]

    with pytest.raises(Enough):
        await keep_pruned(prune, clock, sleeping(pauses, 5))
    # What expired a minute ago: others' clocks may be behind.
    assert times == [NOW - 60 + 100 * one for one in range(5)]
    assert [pause == 1 for pause in pauses] == [False, False, False, True, True, False]
    assert all(30 <= pause <= 90 for pause in pauses if pause != 1)
    assert len(set(pauses)) == 5  # no two processes come at the same time for ever


@at_home
async def test_a_store_that_fails_is_pruned_the_next_time() -> None:
    pauses, asked = list[float](), list[float]()

    async def prune(now: float) -> int:
        asked.append(now)
        raise DOWN if len(asked) == 1 else ZeroDivisionError

    with pytest.raises(Enough):
        await keep_pruned(prune, FrozenClock(NOW), sleeping(pauses, 3))
    assert len(asked) == 3
    assert all(30 <= pause <= 90 for pause in pauses)


@at_home
async def test_a_mirror_has_its_store_pruned_as_long_as_it_is_open() -> None:
    async def prune(now: float) -> int:
        return 0

    mirror = Mirror(
        FakeRevocations(), max_staleness=STALE, wall_clock=FrozenClock(NOW), prune=prune
    )
    await mirror.catch_up()
    assert len(others()) == 3
    mirror.close()
    await settle()
    assert not others()
