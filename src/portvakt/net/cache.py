"""One value from elsewhere, kept fresh: time to live, single flight, cooldown, bounded staleness.

Requests read what is in memory and wait for nothing. A task on the home loop renews the value ahead
of its expiry; when that fails, the last good value serves on until a hard limit and no longer. All
that is awaited here runs on one loop, so there are no locks; :meth:`Kept.current` and
:meth:`Kept.cooling` may be called from any thread.
"""

from __future__ import annotations

import asyncio
import math
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from msgspec import Struct

from portvakt.clock import monotonic
from portvakt.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from portvakt.refusal import Code

__all__ = ["Budget", "Kept", "Loader", "NotLoaded", "Schedule"]

T = TypeVar("T")


class Schedule(Struct, frozen=True, kw_only=True):
    """When a value is renewed, and how long it may serve. All in seconds.

    Attributes:
        floor: a value is used for at least so long, whatever ``Cache-Control`` says.
        ceiling: and for at most so long, before it is asked for again.
        default: how long, if ``Cache-Control`` says nothing.
        hard_limit: how long the last good value serves while it cannot be renewed; counted from the
            start of the exchange that brought it.
        cooldown: how long nobody asks again on a caller's account, after one caller's question.
        first_retry: how long after a failure the next attempt is made; it doubles each time.
        last_retry: and the longest it gets.
    """

    floor: float = 60.0
    ceiling: float = 3600.0
    default: float = 600.0
    hard_limit: float = 86400.0
    cooldown: float = 10.0
    first_retry: float = 1.0
    last_retry: float = 30.0


class NotLoaded(Exception):  # noqa: N818  it says what happened
    """The value could not be had, or is not usable.

    Attributes:
        reason: why, for the operator; nothing of what was received.
        retry_after: seconds after which the other side wants to be asked again, or None.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(reason)


class Loader(Protocol[T]):
    """Goes and gets a value."""

    async def __call__(self, last: T | None, /) -> tuple[T, float | None]:
        """Return the value, and for how many seconds it says that it is fresh.

        Where nothing has changed, the value is *last* itself, not its equal.

        Raises:
            NotLoaded: if it cannot be had.
        """
        ...


class Budget:
    """At most so many questions on callers' accounts in a time, over all that share it.

    Parameters:
        limit: how many.
        seconds: in how long.
        clock: an age, in seconds; the monotonic clock by default.
    """

    __slots__ = ("_clock", "_left", "_limit", "_seconds", "_since")

    def __init__(
        self, limit: int = 30, seconds: float = 60.0, clock: Callable[[], float] = monotonic
    ) -> None:
        self._limit, self._seconds, self._clock = limit, seconds, clock
        self._left, self._since = limit, -math.inf

    def take(self) -> float:
        """Take one; return 0.0, or after how many seconds there will be one."""
        now = self._clock()
        if now - self._since >= self._seconds:
            self._left, self._since = self._limit, now
        if self._left == 0:
            return self._since + self._seconds - now
        self._left -= 1
        return 0.0


# The system's: the application's own generator is not disturbed, and forks do not all draw alike.
_RANDOM: Final = random.SystemRandom()

#: Seconds that a renewal may be late before the task that does it is taken for dead: its loop was
#: closed, its thread stayed with the parent of a fork. The next request then brings up another.
_LATE: Final = 30.0

#: Requests that wait for one exchange at most; more are told to come back.
_MAX_WAITERS: Final = 10_000


class Kept(Generic[T]):
    """One value, kept fresh.

    Parameters:
        load: goes and gets it.
        schedule: when.
        unavailable: the code of the refusal if it cannot be had.
        budget: what all questions on callers' accounts share.
        clock: an age, in seconds; the monotonic clock by default.
        jitter: a number from 0 to 1, so that many processes do not ask in the same moment.

    Attributes:
        value: the last good one, however old; ask :meth:`current` for one to use.
        loaded_at: when the exchange that brought it started, on *clock*; None if there is none.
        next_at: when the next exchange is due, on *clock*; None before the first.
        last_error: why the last exchange failed; None if it did not.
        last_error_at: when that was, on *clock*.
    """

    def __init__(
        self,
        load: Loader[T],
        schedule: Schedule,
        *,
        unavailable: Code,
        budget: Budget,
        clock: Callable[[], float] = monotonic,
        jitter: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self._load = load
        self._schedule = schedule
        self._unavailable = unavailable
        self._budget = budget
        self._clock = clock
        self._jitter = jitter
        self.value: T | None = None
        self.loaded_at: float | None = None
        self.next_at: float | None = None
        self.last_error: str | None = None
        self.last_error_at: float | None = None
        # Until then, what current() returns may be used; see _serve_until.
        self._until = -math.inf
        self._asked_at = -math.inf
        self._begun = 0
        self._failures = 0
        self._waiting = 0
        self._flight: asyncio.Task[None] | None = None
        self._refresher: asyncio.Task[None] | None = None
        self._changed: asyncio.Event | None = None

    def current(self) -> T | None:
        """Return the value in memory, or None if somebody must call :meth:`get`. Never waits."""
        return self.value if self._clock() < self._until else None

    def usable(self) -> T | None:
        """Return the value unless it is beyond the hard limit, even if nothing keeps it fresh."""
        fresh = self.loaded_at is not None and (
            self._clock() < self.loaded_at + self._schedule.hard_limit
        )
        return self.value if fresh else None

    def cooling(self) -> float:
        """Return for how many seconds nobody may ask on a caller's account; 0.0 if one may.

        While an exchange is under way everyone may: who asks then waits for that one.
        """
        flight = self._flight
        if flight is not None and not flight.done():
            return 0.0
        return max(0.0, self._asked_at + self._schedule.cooldown - self._clock())

    def offer(self, value: T, age: float) -> None:
        """Take a value from an earlier run of this program, unless it is too old.

        It does not serve at once: the first request asks first, and falls back on this.

        Parameters:
            value: what was loaded then.
            age: how many seconds ago.
        """
        if self.value is None and 0 <= age < self._schedule.hard_limit:
            self.value, self.loaded_at = value, self._clock() - age

    def keep_fresh(self) -> None:
        """Renew the value from now on, at once if it is due; waits for nothing. Runs at home."""
        if not _under_way(self._refresher):
            self._changed = asyncio.Event()
            self._refresher = asyncio.get_running_loop().create_task(self._refresh(self._changed))

    async def get(self) -> T:
        """Return the value, and see to it that it is kept fresh from now on; runs at home.

        Raises:
            Unavailable: if there is none, or only one beyond the hard limit. Between two attempts
                to get it, this is raised without another.
        """
        kept = _under_way(self._refresher)
        self.keep_fresh()
        if self.usable() is None:
            ask = self.next_at is None or self._clock() >= self.next_at
        else:
            # A value that is being renewed, however slowly, and one that could not be renewed are
            # not kept from anyone; one that nobody kept fresh until now is renewed first.
            ask = self.next_at is None or not (
                kept or self._failures or self._clock() < self.next_at
            )
        if ask:
            await self._join()
        return self._usable_or_raise()

    async def renew(self, has: Callable[[T], bool]) -> T:
        """Ask again on a caller's account, who misses something in the value; runs at home.

        Parameters:
            has: whether what is missing is in a value.

        Returns:
            a value that has it, or one that was asked for after this question: it does not exist.

        Raises:
            Unavailable: in the cooldown, beyond the budget, or if the exchange fails: nobody knows
                then whether what is missing exists.
        """
        before = self._begun
        if _under_way(self._flight):
            # It began before the question: it may bring what is missing, but it cannot tell that
            # there is no such thing.
            await self._join()
            value = self._renewed_or_raise()
            if has(value):
                return value
        if self._begun == before:
            wait = self.cooling() or self._budget.take()
            if wait > 0:
                raise self._not_now("cooling down after an earlier question", wait)
            self._asked_at = self._clock()
        await self._join()
        return self._renewed_or_raise()

    def close(self) -> None:
        """Stop keeping it fresh; the next :meth:`get` starts again. Runs at home."""
        for task in (self._refresher, self._flight):
            # Another loop's are no longer anybody's: it was closed, or is the parent's of a fork.
            if task is not None and _under_way(task):
                task.cancel()
        self._refresher = self._flight = None
        self._until = -math.inf

    async def _refresh(self, changed: asyncio.Event) -> None:
        """Renew the value again and again: ahead of its expiry, or after a pause if that failed."""
        while True:
            pause = 0.0 if self.next_at is None else self.next_at - self._clock()
            if pause <= 0:
                await asyncio.wait({self._exchanging()})
                continue
            changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await changed.wait()

    async def _join(self) -> None:
        """Join the exchange under way, or start one, and wait for its end.

        Who waits and is cancelled does not cancel it; and if it is cancelled itself, as everything
        is being closed, those who wait for it are told to come back.
        """
        if self._waiting >= _MAX_WAITERS:
            raise self._not_now("too many requests wait for it already", self._schedule.first_retry)
        flight = self._exchanging()
        self._waiting += 1
        try:
            await asyncio.wait({flight})
        finally:
            self._waiting -= 1
        if flight.cancelled():
            raise self._not_now("stopped", self._schedule.first_retry)

    def _exchanging(self) -> asyncio.Task[None]:
        """Return the one exchange under way; start it if there is none."""
        flight = self._flight
        if flight is None or not _under_way(flight):
            flight = self._flight = asyncio.get_running_loop().create_task(self._exchange())
            self._begun += 1
        return flight

    async def _exchange(self) -> None:
        started = self._clock()
        try:
            value, fresh_for = await self._load(self.value)
        except NotLoaded as failure:
            self._failed(failure)
        except Exception as error:  # noqa: BLE001  a fault of ours must not end all renewals
            self._failed(NotLoaded(f"internal error: {type(error).__name__}"))
        else:
            self._succeeded(value, fresh_for, started)
        if self._changed is not None:
            self._changed.set()

    def _succeeded(self, value: T, fresh_for: float | None, started: float) -> None:
        schedule = self._schedule
        lifetime = schedule.default if fresh_for is None else fresh_for
        lifetime = min(max(lifetime, schedule.floor), schedule.ceiling, schedule.hard_limit)
        self._failures = 0
        self.last_error = None
        self.loaded_at = started
        # Ahead of the expiry, by a tenth to a quarter of the lifetime.
        self.next_at = started + lifetime * (0.75 + 0.15 * self._jitter())
        self.value = value
        self._until = self._serve_until()

    def _failed(self, failure: NotLoaded) -> None:
        schedule, now = self._schedule, self._clock()
        pause = min(schedule.first_retry * 2**self._failures, schedule.last_retry)
        pause *= 0.75 + 0.25 * self._jitter()
        if failure.retry_after is not None:
            pause = max(pause, min(failure.retry_after, schedule.last_retry))
        self._failures = min(self._failures + 1, 32)
        self.last_error, self.last_error_at = failure.reason, now
        self.next_at = now + pause
        self._until = self._serve_until()

    def _serve_until(self) -> float:
        """Return until when the value serves: the hard limit, or a renewal that does not come."""
        if self.loaded_at is None or self.next_at is None:
            return -math.inf
        return min(self.loaded_at + self._schedule.hard_limit, self.next_at + _LATE)

    def _renewed_or_raise(self) -> T:
        """Return the value if the exchange that has just ended brought it."""
        if self.last_error is not None:
            raise self._not_now(self.last_error, self.cooling())
        return self._usable_or_raise()

    def _usable_or_raise(self) -> T:
        value = self.usable()
        if value is None:
            wait = (self.next_at or 0.0) - self._clock()
            raise self._not_now(self.last_error or "beyond the hard limit", wait)
        self._until = max(self._until, self._serve_until())
        return value

    def _not_now(self, reason: str, wait: float) -> Unavailable:
        return Unavailable(self._unavailable, reason, retry_after=max(1, math.ceil(wait)))


def _under_way(task: asyncio.Task[None] | None) -> bool:
    """Whether a task runs, and on this very loop: after a fork, the parent's are no use."""
    return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()
