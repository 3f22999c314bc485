"""The local mirror of what is revoked, and how old it may be.

No request waits for a revocation to be looked up: each guard has all of them in memory, catches up
with the store all the time, and knows since when it has not. A revocation that is durable at some
moment is in every mirror that began to catch up later. So a mirror that began less than
*max_staleness* ago, and came to the end, lacks nothing that is older than that; and one that did
not refuses. That is the whole proof of the bound, and it holds through any failure, as nothing but
a catch-up that came to its end renews a mirror.

What pushes (Redis, PostgreSQL) only makes it quicker: lost or not, the bound is the poll's.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from msgspec import Struct

from portvakt.clock import monotonic
from portvakt.config.revocation_schema import LEAST_STALENESS, MOST_STALENESS
from portvakt.errors import ConfigurationError, Problem, Refused, Unavailable
from portvakt.guard.pruning import keep_pruned
from portvakt.guard.revoked import Revoked
from portvakt.home import after_fork
from portvakt.refusal import Code
from portvakt.stores.base import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portvakt.guard.pruning import Prune
    from portvakt.policy.token import AccessToken
    from portvakt.stores.base import Entry, Revocations

__all__ = ["Mirror", "RevocationHealth"]

#: Seconds after a failure until the next attempt, and after a lost push; they double each time.
_FIRST_RETRY: Final = 1.0
_LAST_RETRY: Final = 30.0

#: Seconds between two questions at least: a thousand revocations in a row are a few questions.
_GAP: Final = 0.02

#: Seconds after which all entries are looked through again for what has expired.
_FORGET_EVERY: Final = 60.0


class RevocationHealth(Struct, frozen=True, kw_only=True):
    """How a mirror is. Times are in seconds.

    Attributes:
        age: since it began to catch up the last time that it came to the end; None if it never did.
        max_staleness: the age from which on it refuses.
        entries: how many things are revoked.
        stale: whether it refuses.
        last_error: why it could not catch up the last time; None if it could.
        last_error_age: since it could not the last time; None if it always could.
        push: whether it is told of revocations as they are written, and does not only ask.
    """

    age: float | None
    max_staleness: float
    entries: int
    stale: bool
    last_error: str | None
    last_error_age: float | None
    push: bool


class Mirror:
    """Every revocation of a store, in this process.

    :meth:`check`, :meth:`current` and :meth:`health` may be called from any thread, and wait for
    nothing; all else runs at home. See :class:`~portvakt.guard.revoked.Revoked` for why that is
    safe. It does not judge what a token claims: its ``iat`` and what names it were verified before.

    Parameters:
        store: where revocations are kept.
        max_staleness: from which age on it refuses, in seconds: the time within which a revocation
            holds everywhere.
        wall_clock: what time it is.
        clock: an age, in seconds; the monotonic clock by default.
        timeout: seconds that the store has for one answer to :meth:`revoke`, and at most to a
            catch-up; that one has no more than a third of *max_staleness*, so that two of them that
            fail still leave time for none to be refused.
        prune: has the store forget what has expired. It is done now and then from here, as this is
            what goes on in every process that has the store.

    Attributes:
        revoked: what is in it.

    Raises:
        ConfigurationError: if *max_staleness* is out of its bounds.
    """

    def __init__(
        self,
        store: Revocations,
        *,
        max_staleness: float,
        wall_clock: Callable[[], float],
        clock: Callable[[], float] = monotonic,
        timeout: float = 5.0,
        prune: Prune | None = None,
    ) -> None:
        if not LEAST_STALENESS <= max_staleness <= MOST_STALENESS:
            least, most = f"{LEAST_STALENESS:g}", f"{MOST_STALENESS:.0f}"
            what = f"must be between {least} and {most} seconds"
            raise ConfigurationError([Problem("max_staleness", what)])
        self.max_staleness: Final = max_staleness
        self._store, self._timeout, self._prune = store, timeout, prune
        self._clock, self._wall_clock = clock, wall_clock
        # A third of the bound from one start to the next, and a third for coming to the end: one
        # may fail, and the next one is still in time.
        self._interval = max_staleness / 3
        self._deadline = min(timeout, self._interval)
        self.revoked: Final = Revoked()
        self._clears = self.revoked.clears
        self._cursor: str | None = None
        self._midway = False
        self._caught_up_at: float | None = None
        self._last_error: str | None = None
        self._last_error_at: float | None = None
        self._forget_at = -math.inf
        self._stop()
        _mirrors.add(self)

    def start_afresh(self) -> None:
        """Serve nothing until it has caught up; runs after a fork, in the child.

        What is in it stays: it is revoked. What went on in the background is the parent's.
        """
        self.revoked.start_afresh()
        self._stop()

    def _stop(self) -> None:
        # Before that, on the monotonic clock, what is in it may be relied on.
        self._until = -math.inf
        self._next_at = -math.inf
        self._failures = 0
        self._push = False
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._changed: asyncio.Event | None = None
        self._attempt: asyncio.Event | None = None

    def check(self, token: AccessToken, now: float, *, admit_stale: bool = False) -> None:
        """Check that a token is not revoked, by what is known here. Never waits.

        Parameters:
            token: a verified token.
            now: seconds since 1970.
            admit_stale: whether a token that is not known to be revoked is admitted although what
                is known is too old. One that is known to be revoked never is.

        Raises:
            Refused: ``token_revoked``.
            Unavailable: ``revocation_unavailable``, if this is too old or was never filled, or if
                the token was verified without anything that a revocation could name it by.
        """
        handles = token.handles
        if not (handles and self._clears(handles)):
            if not handles:
                raise Unavailable(Code.REVOCATION_UNAVAILABLE, "the token has no handles")
            if self.revoked.names(token, now):
                raise Refused(Code.TOKEN_REVOKED)
        if not (self._clock() < self._until or admit_stale):
            raise self.unavailable()

    def clears(self, token: AccessToken) -> bool:
        """Whether :meth:`check` would admit a token, now and by young news; False: ask that.

        It is all that the check of nearly every request costs.
        """
        handles = token.handles
        return len(handles) > 0 and self._clears(handles) and self._clock() < self._until

    def current(self) -> bool:
        """Whether it is young enough to be relied on. If not, somebody should catch up."""
        return self._clock() < self._until

    def look_again_in(self) -> float:
        """Return after how many seconds at most what it said of a token is asked for again."""
        left = self._until - self._clock()
        # Beyond its bound nothing is late any more: whoever may stay is looked at as before.
        return min(self._interval, left) if left > 0 else self._interval

    def unavailable(self) -> Unavailable:
        """Return what a request is told if this is too old: why, and when it may come again."""
        filled = self._caught_up_at is not None
        late = "the mirror is too old" if filled else "the mirror is not filled yet"
        reason = self._last_error or late
        wait = self._next_at - self._clock()
        after = math.ceil(wait) if wait > 1 else 1
        return Unavailable(Code.REVOCATION_UNAVAILABLE, reason, retry_after=after)

    def health(self) -> RevocationHealth:
        """Say how it is. Never waits."""
        now, at, failed_at = self._clock(), self._caught_up_at, self._last_error_at
        return RevocationHealth(
            age=None if at is None else now - at,
            max_staleness=self.max_staleness,
            entries=len(self.revoked),
            stale=not self.current(),
            last_error=self._last_error,
            last_error_age=None if failed_at is None else now - failed_at,
            push=self._push,
        )

    def open(self) -> None:
        """Catch up from now on, again and again; runs at home, and waits for nothing."""
        if not self._is_kept():
            self._cancel()
            loop, changed = asyncio.get_running_loop(), asyncio.Event()
            self._changed, self._attempt = changed, asyncio.Event()
            self._tasks = (
                loop.create_task(self._keep(changed)),
                loop.create_task(self._listen(changed)),
            )
            if self._prune is not None:
                pruning = keep_pruned(self._prune, self._wall_clock)
                self._tasks += (loop.create_task(pruning),)

    def close(self) -> None:
        """End what goes on in the background; runs at home. :meth:`open` starts it again."""
        self._cancel()
        self._tried()
        self._stop()

    async def catch_up(self) -> None:
        """If it is too old, wait until it has caught up or failed to; and see that it goes on so.

        Nobody waits for what has just failed: the next attempt is made without them. What came of
        it, :meth:`current` tells.
        """
        self.open()
        changed, attempt = self._changed, self._attempt
        if changed is not None and attempt is not None and not (self.current() or self._failures):
            changed.set()
            # One attempt may be about to end that began before, and this is for the next one.
            with suppress(TimeoutError):
                async with asyncio.timeout(2 * self._deadline):
                    await attempt.wait()

    async def revoke(self, entries: tuple[Entry, ...]) -> None:
        """Write revocations to the store; when that is certain, they hold here at once.

        Raises:
            Unavailable: ``revocation_unavailable``, if it is not certain that all of them are
                written, or that none is. Doing it again does no harm.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._store.revoke(entries)
        except StoreError as failure:
            error = Unavailable(
                Code.REVOCATION_UNAVAILABLE, failure.reason, retry_after=failure.retry_after
            )
        except TimeoutError:
            reason = f"the store gave no answer within {self._timeout:g} s"
            error = Unavailable(Code.REVOCATION_UNAVAILABLE, reason, retry_after=1)
        else:
            self.revoked.put(entries)
            return
        # Raised anew: the frames below hold what was to be revoked.
        raise error

    def _is_kept(self) -> bool:
        """Whether it catches up, and on this very loop: what is on another is nobody's any more."""
        return len(self._tasks) > 0 and all(map(_is_under_way, self._tasks))

    def _cancel(self) -> None:
        for task in self._tasks:
            if _is_under_way(task):
                task.cancel()

    async def _keep(self, changed: asyncio.Event) -> None:
        """Catch up again and again: when it is time, or when something may have been written.

        Nothing else asks the store, so there is one question at a time.
        """
        forgetting: Iterator[None] | None = None
        while True:
            # What is written from here on sets it again, and is asked for again.
            changed.clear()
            await self._ask()
            self._tried()
            await asyncio.sleep(_GAP)
            forgetting = await self._forget(forgetting, changed)
            pause = self._next_at - self._clock()
            if not changed.is_set() and pause > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await changed.wait()

    def _tried(self) -> None:
        """Let those go on who wait for the end of this attempt."""
        if self._attempt is not None:
            self._attempt.set()
        self._attempt = asyncio.Event()

    async def _ask(self) -> None:
        started = self._clock()
        try:
            async with asyncio.timeout(self._deadline):
                await self._read()
        except StoreError as failure:
            self._failed(failure.reason)
        except TimeoutError:
            self._failed(f"did not come to the end within {self._deadline:g} s")
        except Exception as error:  # noqa: BLE001  a fault of ours must not end all catching up
            self._failed(f"internal error: {type(error).__name__}")
        else:
            self._failures = 0
            self._last_error = None
            # From the start: what was written since, nobody knows yet.
            self._caught_up_at = started
            self._next_at = started + self._interval
            self._until = started + self.max_staleness

    async def _read(self) -> None:
        """Read page by page, to the end of what there was when this began.

        The cursor is moved when a page is in, never before: whatever happens in between, nothing is
        passed over, and what an attempt that failed brought need not be read again. A store that
        does not know the cursor any more begins anew, and what is here stays.

        What an earlier attempt began, this one ends. Behind it something may have been written in
        the meantime, by who had begun to write before: only a reading of this attempt's own finds
        all that was there when this attempt began.
        """
        further = self._midway
        while True:
            page = await self._store.since(self._cursor)
            self.revoked.put(page.entries)
            self._cursor, self._midway = page.cursor, page.more
            # Requests are served between two pages, and the deadline holds however quick they come.
            await asyncio.sleep(0)
            if not page.more:
                if not further:
                    return
                further = False

    def _failed(self, reason: str) -> None:
        now = self._clock()
        pause = min(_FIRST_RETRY * 2**self._failures, _LAST_RETRY, self._interval)
        self._failures = min(self._failures + 1, 32)
        self._last_error, self._last_error_at = reason, now
        self._next_at = now + pause

    async def _forget(
        self, forgetting: Iterator[None] | None, changed: asyncio.Event
    ) -> Iterator[None] | None:
        """Forget what has ended. Return what is left to do, if there is something more urgent."""
        if forgetting is None:
            if self._clock() < self._forget_at:
                return None
            self._forget_at = self._clock() + _FORGET_EVERY
            forgetting = self.revoked.forget(self._wall_clock())
        for _ in forgetting:
            await asyncio.sleep(0)
            if changed.is_set() or self._clock() >= self._next_at:
                return forgetting
        return None

    async def _listen(self, changed: asyncio.Event) -> None:
        """Ask as soon as the store says that something may have been written.

        When it cannot listen, or no longer, it tries again after a pause; what was missed until
        then, polling finds, and so does the question that follows the first word of the new one.
        """
        failures = 0
        while True:
            with suppress(Exception):  # A hint is lost, and nothing else.
                async for _ in self._store.changes():
                    self._push, failures = True, 0
                    changed.set()
            self._push = False
            await asyncio.sleep(min(_FIRST_RETRY * 2**failures, _LAST_RETRY))
            failures = min(failures + 1, 32)


def _is_under_way(task: asyncio.Task[None]) -> bool:
    return not task.done() and task.get_loop() is asyncio.get_running_loop()


_mirrors: Final[WeakSet[Mirror]] = WeakSet()


def _forget_the_parent() -> None:
    for mirror in _mirrors:
        mirror.start_afresh()


after_fork(_forget_the_parent)
