"""One look-out for all open connections: which of them must end, because their token has.

However many connections there are, one task of an event loop looks after all of them. It sleeps,
looks at each, and sleeps again, for as long as the guard says; where a token expires in between, it
wakes up for that. Times are the guard's own: only the pauses are the event loop's.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextvars import Context
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Final

import anyio
import anyio.lowlevel

from portvakt.adapters.judgement import KEY, Judgement, Scope
from portvakt.guard import Decision, Guard, Refusal

__all__ = ["Lease", "Watch"]

_log: Final = logging.getLogger("portvakt")

#: Connections that are looked at in one go: a fraction of a millisecond, and then others' turn.
_SLICE: Final = 256

#: Seconds until the watch goes on after a fault of ours.
_PAUSE: Final = 1.0


class Lease(ABC):
    """One open connection, for as long as its token lets it be.

    Parameters:
        judgement: what became of its request.
        scope: its scope, where endpoints replace the judgement by a later one.

    Attributes:
        ending: the decision that it ends; None as long as it does not.
        until: when it ends at the latest, in seconds since 1970.
        ask_at: when its token's issuer is to be asked again, as the event loop counts.
    """

    __slots__ = ("_admitted", "_scope", "ask_at", "ending", "until")

    def __init__(self, judgement: Judgement, scope: Scope) -> None:
        self._admitted = judgement
        self._scope = scope
        self.ending: Decision | None = None
        self.until = inf
        self.ask_at = inf

    @property
    def judgement(self) -> Judgement:
        """The last judgement of the guard that opened it; another guard's says nothing here."""
        found = self._scope.get(KEY)
        if isinstance(found, Judgement) and found.guard is self._admitted.guard:
            return found
        return self._admitted

    def has_ended(self) -> bool:
        """Whether it ends, which is found out now if it was not before. Never waits."""
        if self.ending is None:
            guard, _, decision, demands = self.judgement
            refusal = guard.still_good(decision, demands)
            if refusal is not None:
                self.conclude(refusal)
        return self.ending is not None

    def conclude(self, refusal: Refusal) -> None:
        """Decide that it ends; the guard's observers are told."""
        guard, request, decision, _ = self.judgement
        self.ending = guard.end(request, decision, refusal)

    @abstractmethod
    def end(self) -> None:
        """Make the application let go of it; called again until it has. Never waits."""


class Watch:
    """All open connections of one guard on one event loop, asyncio's or trio's.

    Parameters:
        guard: who admitted them.
    """

    __slots__ = (
        "_guard",
        "_horizon",
        "_leases",
        "_numbers",
        "_soon",
        "_tasks",
        "_under_way",
        "_wake",
    )

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._leases: set[Lease] = set()
        # Those that end before the next look at all, the first one first.
        self._soon: list[tuple[float, int, Lease]] = []
        self._horizon = -inf
        self._numbers = count()
        self._wake = anyio.Event()
        self._under_way = False
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Return how many connections are open."""
        return len(self._leases)

    def add(self, lease: Lease) -> None:
        """Look after a connection from now on."""
        guard, _, decision, _ = lease.judgement
        lease.until = guard.lasts_until(decision)
        ask_in = guard.ask_again_in(decision)
        if ask_in < inf:
            lease.ask_at = anyio.current_time() + ask_in
        self._leases.add(lease)
        if lease.until < self._horizon:
            self._expect(lease)
            self._wake.set()
        if not self._under_way:
            self._under_way = True
            self._spawn(self._keep)

    def drop(self, lease: Lease) -> None:
        """Look no more: it is closed."""
        self._leases.discard(lease)

    def _expect(self, lease: Lease) -> None:
        heappush(self._soon, (lease.until, next(self._numbers), lease))

    def _spawn(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        """Do work beside the connections, in a context of its own: it is nobody's request."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            import trio.lowlevel  # noqa: PLC0415  only who runs trio has it

            trio.lowlevel.spawn_system_task(work, *args)
            return
        task = loop.create_task(_run(work, *args), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self) -> None:
        """Look at all, sleep, and look again, until there is nothing to look at."""
        try:
            while self._leases:
                try:
                    await self._round()
                except Exception as error:  # noqa: BLE001  a fault of ours must not end the watch
                    _log.error("internal error in the watch: %s", type(error).__name__)
                    await anyio.sleep(_PAUSE)
        finally:
            self._under_way = False

    async def _round(self) -> None:
        clock, started = self._guard.clock, anyio.current_time()
        # Asked for before the look: what it says is true of what the look is going to see.
        pause = self._guard.look_again_in()
        self._soon.clear()
        self._horizon = clock() + pause
        await self._look_at_all()
        while self._leases and (left := started + pause - anyio.current_time()) > 0:
            if self._soon:
                left = min(left, self._soon[0][0] - clock())
            with anyio.move_on_after(left):
                await self._wake.wait()
            self._wake = anyio.Event()
            while self._soon and not clock() < self._soon[0][0]:
                self._look_at(heappop(self._soon)[2])

    async def _look_at_all(self) -> None:
        for number, lease in enumerate(tuple(self._leases), 1):
            self._look_at(lease)
            if lease.ending is None and lease.until < self._horizon:
                self._expect(lease)
            if number % _SLICE == 0:
                await anyio.lowlevel.checkpoint()

    def _look_at(self, lease: Lease) -> None:
        if lease not in self._leases:
            return
        if lease.has_ended():
            lease.end()
        elif lease.ask_at < inf and not anyio.current_time() < lease.ask_at:
            lease.ask_at = inf
            self._spawn(self._ask, lease)

    async def _ask(self, lease: Lease) -> None:
        """Ask about a reference token. Until the answer is there, the connection goes on."""
        guard, request, decision, _ = lease.judgement
        refusal = await guard.ask_again(request, decision)
        if lease not in self._leases or lease.ending is not None:
            return
        if refusal is None:
            lease.ask_at = anyio.current_time() + guard.ask_again_in(decision)
        else:
            lease.conclude(refusal)
            lease.end()


async def _run(work: Callable[..., Awaitable[None]], *args: object) -> None:
    await work(*args)
