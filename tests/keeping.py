"""What the tests of :class:`portvakt.net.cache.Kept` share: a place, a clock, a loop."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec

from portvakt.net.cache import Budget, Kept, NotLoaded, Schedule
from portvakt.refusal import Code
from portvakt.testing.clock import FrozenClock

P = ParamSpec("P")

#: What an exchange brings: a value, with how long it says that it is fresh; or why there is none.
Answer = tuple[str, float | None] | Exception

LATE = 30.0
HARD = 7200.0
SCHEDULE = Schedule(hard_limit=HARD)
DOWN = NotLoaded("the server answered 500")


class Place:
    """Where a value comes from: it counts who asks, and answers when it is told."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = deque(answers)
        self.asked: list[str | None] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, last: str | None, /) -> tuple[str, float | None]:
        self.asked.append(last)
        await self.open.wait()
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def kept_by(
    place: Place,
    clock: FrozenClock,
    schedule: Schedule = SCHEDULE,
    *,
    jitter: float = 0.0,
    budget: Budget | None = None,
) -> Kept[str]:
    return Kept(
        place,
        schedule,
        unavailable=Code.KEYS_UNAVAILABLE,
        budget=budget or Budget(clock=clock),
        clock=clock,
        jitter=lambda: jitter,
    )


def at_home(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on a loop; whatever it leaves behind is a fault of the test or of the code."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


async def settle() -> None:
    """Let everything happen that waits for nothing but its turn."""
    for _ in range(10):
        await asyncio.sleep(0)


async def wake(kept: Kept[str]) -> None:
    """Let the task that renews look at the clock, as it does by itself when its pause is over."""
    assert kept._changed is not None
    kept._changed.set()
    await settle()


def due(kept: Kept[str]) -> float:
    assert kept.next_at is not None
    return kept.next_at


def others() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


def lacks(_: str) -> bool:
    """Whether a value has what a caller misses: it never does."""
    return False
