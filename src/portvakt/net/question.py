"""Questions to one issuer: one for each token at a time, so many side by side, and a queue.

Whoever sends invented tokens makes questions, each of them another. So their number is bounded,
side by side and in wait, and tokens that were good before have a lane of their own: they wait
behind no invented one. What an issuer cannot answer ends each lane for a while (CACHE-06).
All of this runs on one loop.
"""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from portvakt.clock import monotonic
from portvakt.errors import Unavailable
from portvakt.refusal import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from portvakt.net.introspected import Said

__all__ = ["Failed", "Flight", "Lane", "Limits"]

#: Failures in a row before an issuer is left alone: one bad answer is no outage.
_PATIENCE: Final = 3

#: Requests that wait for the questions of one lane at most; more are told to come back.
_MAX_WAITERS: Final = 10_000

# The system's: the application's own generator is not disturbed, and forks do not all draw alike.
_RANDOM: Final = random.SystemRandom()


class Limits(Struct, frozen=True, kw_only=True):
    """How much one issuer is asked, in each lane.

    Attributes:
        side_by_side: questions at once.
        queue: questions that wait for their turn.
        first_pause: seconds for which an issuer that fails is left alone; they double each time.
        last_pause: and the most they get.
    """

    side_by_side: int = 16
    queue: int = 256
    first_pause: float = 1.0
    last_pause: float = 30.0


class Failed(Struct, frozen=True):
    """Why there is no answer: nothing was decided, and nothing is remembered.

    Attributes:
        code: the code of the refusal.
        reason: for the operator's log; nothing of what was received.
        retry_after: in how many whole seconds to ask again.
        outage: whether it says something of the issuer, and not of one token only.
        pause: seconds for which the issuer itself wants to be left alone.
    """

    code: Code
    reason: str | None
    retry_after: int | None = 1
    outage: bool = False
    pause: float = 0.0

    def error(self) -> Unavailable:
        """Return it as an error, another one for each caller."""
        return Unavailable(self.code, self.reason, retry_after=self.retry_after)


class Flight:
    """One question about one token.

    Parameters:
        lane: where it stands.
        ask: asks it, and sets what is set here. It begins in the loop's next turn.

    Attributes:
        lane: the same.
        number: it began after all questions of a lower one; 0 as long as it waits for its turn.
        task: what asks.
        said: what the issuer said, or why it said nothing; None until then.
    """

    __slots__ = ("lane", "number", "said", "task")

    def __init__(self, lane: Lane, ask: Callable[[Flight], Coroutine[Any, Any, None]]) -> None:
        self.lane: Final = lane
        self.number = 0
        self.said: Said | Failed | None = None
        self.task: Final = asyncio.get_running_loop().create_task(ask(self))

    async def wait(self) -> Said:
        """Wait for its end. Who is cancelled does not cancel it.

        Raises:
            Unavailable: if it brought no answer.
        """
        if self.lane.waiting >= _MAX_WAITERS:
            raise _not_now("too many requests wait for it already", 1)
        self.lane.waiting += 1
        try:
            await asyncio.wait({self.task})
        finally:
            self.lane.waiting -= 1
        if self.said is None:
            raise _not_now("stopped", 1)
        if isinstance(self.said, Failed):
            raise self.said.error()
        return self.said


class Lane:
    """Questions of one kind to one issuer.

    Parameters:
        limits: how many.
        clock: an age, in seconds; the monotonic clock by default.
        jitter: a number from 0 to 1, so that many processes do not come back in the same moment.

    Attributes:
        turns: has to be held while asking.
        waiting: how many requests wait for its questions.
        questions: how many there are, asked or in wait.
    """

    __slots__ = (
        "_clock",
        "_failures",
        "_given_up_at",
        "_jitter",
        "_limits",
        "_not_before",
        "questions",
        "turns",
        "waiting",
    )

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float] = monotonic,
        jitter: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self._limits, self._clock, self._jitter = limits, clock, jitter
        self._failures = 0
        self._not_before = self._given_up_at = -math.inf
        self.turns = asyncio.Semaphore(limits.side_by_side)
        self.questions = 0
        self.waiting = 0

    def check(self) -> None:
        """Refuse another question if there is no room for one, or none may be asked now.

        Raises:
            Unavailable: ``introspection_unavailable``, with the time after which to come back.
        """
        wait = self._not_before - self._clock()
        if wait > 0:
            raise _not_now("the issuer failed, and is left alone for a while", wait)
        if self._failures >= _PATIENCE and self.questions:
            # One goes ahead, and tells whether the others may follow.
            raise _not_now("the issuer failed, and one question goes ahead", 1)
        if self.questions >= self._limits.side_by_side + self._limits.queue:
            raise _not_now("too many questions wait for it already", 1)

    def note(self, said: Said | Failed, asked_at: float) -> None:
        """Take note of how a question ended that began then."""
        if not isinstance(said, Failed):
            self._failures = 0
            return
        # Of those that were under way when the issuer was given up, each fails for the same reason.
        if not said.outage or asked_at <= self._given_up_at:
            return
        limits, pause = self._limits, 0.0
        self._failures = min(self._failures + 1, 32)
        if self._failures >= _PATIENCE:
            pause = min(limits.first_pause * 2 ** (self._failures - _PATIENCE), limits.last_pause)
            pause *= 0.75 + 0.25 * self._jitter()
            self._given_up_at = self._clock()
        self._not_before = max(self._not_before, self._clock() + max(pause, said.pause))


def _not_now(reason: str, wait: float) -> Unavailable:
    return Unavailable(Code.INTROSPECTION_UNAVAILABLE, reason, retry_after=max(1, math.ceil(wait)))
