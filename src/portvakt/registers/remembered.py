"""What a slow register said, remembered: fresh for a while, stale for a while longer, then gone.

Requests read what is in memory and wait for nothing. A question that is not there is asked once
however many wait for it, and a register that is down is not asked on every request: between two
attempts the last answer serves, within a limit, and nobody else waits. All that is awaited here
runs on one loop, so there are no locks; :meth:`Remembered.current` may be called from any thread.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final, TypeVar, cast

from msgspec import Struct

from portvakt.clock import monotonic
from portvakt.errors import ConfigurationError, Problem, Unavailable
from portvakt.registers.base import Answer, Question, Register, RegisterHealth, ask, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Memory", "Remembered"]

T = TypeVar("T")


class Memory(Struct, frozen=True, kw_only=True):
    """How long answers are remembered, how many, and how a register is spared. In seconds.

    Attributes:
        fresh: a "yes" serves for so long without asking again; less if the register says less.
        fresh_denial: a "no" likewise. Shorter, so that what was put right soon works.
        max_staleness: how old an answer may serve while the register cannot be asked; counted from
            when it was asked.
        deadline: for a whole answer, however many exchanges it takes. Less than that of
            :class:`~portvakt.registers.verify.Registers`, so that an answer from before is in time.
        cooldown: how long a register that failed is not asked again.
        failures: questions in a row that fail before the whole register is taken for down. Until
            then only the question itself is not asked again: one strange entry is no outage.
        entries: answers remembered at most, of each kind: a flood of numbers that nobody has does
            not drive out those that somebody has.
        waiting: requests that wait for answers at most; more are told to come back.
        flights: questions that are under way at the same time at most.
    """

    fresh: float = 600.0
    fresh_denial: float = 60.0
    max_staleness: float = 3600.0
    deadline: float = 1.5
    cooldown: float = 10.0
    failures: int = 3
    entries: int = 10_000
    waiting: int = 1_000
    flights: int = 64

    def __post_init__(self) -> None:
        """See that the numbers make sense.

        Raises:
            ConfigurationError: for each that does not.
        """
        problems = [
            Problem(name, "must be a positive number")
            for name in self.__struct_fields__
            if not 0 < getattr(self, name) < math.inf
        ]
        if not problems and self.max_staleness < max(self.fresh, self.fresh_denial):
            problems.append(Problem("max_staleness", "must not be less than fresh"))
        if problems:
            raise ConfigurationError(problems)


class _Entry(Struct, frozen=True):
    """An answer, and until when it serves, on the clock."""

    answer: Answer
    fresh_until: float
    stale_until: float


#: The longest that a register's wish to be left alone is respected.
_MAX_COOLDOWN: Final = 60.0


class Remembered(Register):
    """A register with a memory in front of it.

    Does not check: what the answers say. A "no" that is stale serves like a "yes" that is.

    Parameters:
        register: who is asked, where nothing is remembered.
        memory: for how long, and how much.
        clock: an age, in seconds; the monotonic clock by default.
    """

    def __init__(
        self,
        register: Register,
        memory: Memory | None = None,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.name = register.name
        self.subjects = register.subjects
        self._register = register
        self._memory = Memory() if memory is None else memory
        self._clock = clock
        self._known: dict[Question, _Entry] = {}
        self._denied: dict[Question, _Entry] = {}
        # Until when a question is not asked again, and until when nothing is.
        self._spared: dict[Question, float] = {}
        self._down_until = -math.inf
        self._failures = 0
        self._last_error: str | None = None
        self._last_error_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flights: dict[Question, asyncio.Task[Answer | Unavailable]] = {}
        # Those that have failed by being late, whatever comes of them.
        self._late: set[asyncio.Task[Answer | Unavailable]] = set()
        self._waiting = 0

    def current(self, question: Question) -> Answer | None:
        """Return a fresh answer, or a stale one while the register is left alone."""
        entry = self._entry(question)
        if entry is not None:
            now = self._clock()
            if now < entry.fresh_until:
                return entry.answer
            if now < entry.stale_until and self._pause(question, now) > 0:
                return entry.answer
        return self._register.current(question)

    async def fetch(self, question: Question) -> Answer:
        """Ask, or join those who wait for the same answer."""
        self._settle()
        # (1) It may have come meanwhile.
        answer = self.current(question)
        if answer is not None:
            return answer
        # (2) One exchange, which is nobody's to cancel; none while the register is left alone.
        try:
            flight = self._flights.get(question)
            self._check_patience(question, new=flight is None)
            if flight is None:
                flight = asyncio.ensure_future(self._fly(question))
                self._flights[question] = flight
            # (3) What comes of it, and never later than the deadline.
            return await self._landed(question, flight)
        except Unavailable:
            # (4) Or what there was before, within the limit.
            entry = self._entry(question)
            if entry is None or self._clock() >= entry.stale_until:
                raise
            return entry.answer

    def health(self) -> RegisterHealth:
        """Say how the register is, and how much is remembered."""
        inner = self._register.health()
        failing = self._last_error is not None
        return RegisterHealth(
            name=self.name,
            source=inner.source,
            entries=len(self._known) + len(self._denied),
            age=inner.age,
            max_staleness=self._memory.max_staleness,
            last_error=self._last_error if failing else inner.last_error,
            last_error_age=(
                self._clock() - self._last_error_at if failing else inner.last_error_age
            ),
        )

    def open(self) -> None:
        """Open the register."""
        self._register.open()

    def close(self) -> None:
        """End what is under way, and close the register. What is remembered stays."""
        for flight in self._flights.values():
            flight.cancel()
        self._flights.clear()
        self._register.close()

    def _settle(self) -> None:
        """Begin on this loop: what is under way on another, as before a fork, is no use here."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._flights, self._late, self._waiting = loop, {}, set(), 0

    def _pause(self, question: Question, now: float) -> float:
        """Return for how many seconds a question is not asked."""
        return max(0.0, self._spared.get(question, -math.inf) - now, self._down_until - now)

    def _check_patience(self, question: Question, *, new: bool) -> None:
        """Raise if the register is left alone for now, or has as much to do as it may have."""
        pause = self._pause(question, self._clock())
        if pause > 0:
            reason = self._last_error or "it failed"
            raise unavailable(f"not asked again yet: {reason}", math.ceil(pause))
        if self._waiting >= self._memory.waiting:
            raise unavailable("too many requests wait for it already")
        # A register that was down is tried by one question, and the others do not wait for it.
        down = self._failures >= self._memory.failures
        if new and len(self._flights) >= (1 if down else self._memory.flights):
            raise unavailable("too many questions are under way already")

    async def _landed(
        self, question: Question, flight: asyncio.Task[Answer | Unavailable]
    ) -> Answer:
        """Wait for an answer, as long as one may wait."""
        self._waiting += 1
        try:
            await asyncio.wait([flight], timeout=self._memory.deadline)
        finally:
            self._waiting -= 1
        if not flight.done():
            # It is late, and may resist being cancelled: it has failed all the same.
            failure = unavailable(f"no answer within {self._memory.deadline:g} s")
            if flight not in self._late:
                self._late.add(flight)
                self._failed(question, failure)
            raise failure
        result = unavailable("the register was closed") if flight.cancelled() else flight.result()
        if isinstance(result, Unavailable):
            raise result
        return result

    async def _fly(self, question: Question) -> Answer | Unavailable:
        """Ask once, and remember what came of it. Never raises but when cancelled."""
        started = self._clock()
        try:
            async with asyncio.timeout(self._memory.deadline):
                result = await ask(self._register, question)
        except TimeoutError:
            result = unavailable(f"no answer within {self._memory.deadline:g} s")
        finally:
            flight = cast("asyncio.Task[Answer | Unavailable]", asyncio.current_task())
            late = flight in self._late
            self._late.discard(flight)
            if self._flights.get(question) is flight:
                del self._flights[question]
        if isinstance(result, Unavailable):
            if not late:
                self._failed(question, result)
        else:
            self._remember(question, result, started)
        return result

    def _remember(self, question: Question, answer: Answer, asked_at: float) -> None:
        memory = self._memory
        known = answer.known is True
        fresh = memory.fresh if known else memory.fresh_denial
        if answer.fresh_for is not None:
            fresh = min(fresh, max(0.0, answer.fresh_for))
        entry = _Entry(answer, asked_at + fresh, asked_at + memory.max_staleness)
        there, other = (self._known, self._denied) if known else (self._denied, self._known)
        _put(there, question, entry, memory.entries)
        other.pop(question, None)
        self._spared.pop(question, None)
        self._down_until, self._failures, self._last_error = -math.inf, 0, None

    def _failed(self, question: Question, failure: Unavailable) -> None:
        now, memory = self._clock(), self._memory
        pause = memory.cooldown
        if failure.retry_after is not None:
            pause = min(max(pause, failure.retry_after), max(pause, _MAX_COOLDOWN))
        _put(self._spared, question, now + pause, memory.entries)
        self._failures += 1
        if self._failures >= memory.failures:
            self._down_until = now + pause
        self._last_error, self._last_error_at = failure.refusal.detail or "it failed", now

    def _entry(self, question: Question) -> _Entry | None:
        return self._known.get(question) or self._denied.get(question)


def _put(there: dict[Question, T], question: Question, what: T, most: int) -> None:
    """Put last in the order of time; the oldest go when there are too many."""
    there.pop(question, None)
    while len(there) >= most:
        del there[next(iter(there))]
    there[question] = what
