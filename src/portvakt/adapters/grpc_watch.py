"""Calls that go on: ended when their token is not good any more (HTTP-16)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from portvakt.adapters.grpc_calls import Call, Refusing, refusing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from portvakt.guard import Refusal

__all__ = ["Watch", "abort", "watching"]

#: Seconds between two looks at least, for a clock that stands just before the end.
_SHORTEST: Final = 0.01


def abort(context: Any, refusal: Refusing) -> NoReturn:
    """End a call with a refusal, from the thread of its handler."""
    context.set_trailing_metadata(refusal.metadata)
    context.abort(refusal.code, refusal.details)
    raise AssertionError  # abort() never returns.


class _Looks:
    """When to look at a call again, and what is found."""

    def __init__(self, call: Call) -> None:
        self._guard, self._request, self._decision, requirement = call
        self._demands = () if requirement is None else (requirement,)
        self._ask_in = self._guard.ask_again_in(self._decision)
        self._ask_at = self._guard.clock() + self._ask_in

    @property
    def asks(self) -> bool:
        """Whether it is time to ask the issuer of a reference token."""
        return self._guard.clock() >= self._ask_at

    def pause(self) -> float:
        """Return the seconds until the next look."""
        now = self._guard.clock()
        left = min(self._guard.lasts_until(self._decision), self._ask_at) - now
        return max(_SHORTEST, min(self._guard.look_again_in(), left))

    def ended(self, found: Refusal | None) -> Refusing | None:
        """Return how to end the call for what was found, if anything was."""
        if found is None:
            return None
        return refusing(self._guard.end(self._request, self._decision, found))

    def look(self) -> Refusing | None:
        """Return how to end the call, if its token is not good any more."""
        return self.ended(self._guard.still_good(self._decision, self._demands))

    def ask(self) -> Refusing | None:
        """Do the same after asking the issuer, and wait for it."""
        self._ask_at = self._guard.clock() + self._ask_in
        return self.ended(self._guard.ask_again_blocking(self._request, self._decision))

    async def ask_async(self) -> Refusing | None:
        """Do the same in asynchronous code."""
        self._ask_at = self._guard.clock() + self._ask_in
        return self.ended(await self._guard.ask_again(self._request, self._decision))


class Watch:
    """Ends a call whose handler blocks.

    At each response, and from a thread of its own in between: a handler that waits for the next
    message waits in code that is not ours.

    Parameters:
        call: what was admitted.
        context: its context.
        watched: whether it may go on for long: something is streamed.
    """

    def __init__(self, call: Call, context: Any, *, watched: bool) -> None:
        self._context = context
        self._looks = _Looks(call) if watched and call.decision.token is not None else None
        self._over = Event()

    def look(self) -> None:
        """End the call from its own thread, if its token is not good any more."""
        refusal = None if self._looks is None else self._looks.look()
        if refusal is not None:
            self._over.set()
            abort(self._context, refusal)

    def __enter__(self) -> Self:
        """Start looking."""
        if self._looks is not None:
            thread = Thread(target=self._run, args=(self._looks,), name=_THREAD, daemon=True)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._over.set()

    def _run(self, looks: _Looks) -> None:
        while not self._over.wait(looks.pause()):
            refusal = looks.look() or (looks.ask() if looks.asks else None)
            if refusal is not None:
                self._end(refusal)
                return

    def _end(self, refusal: Refusing) -> None:
        """End the call from another thread than its own.

        The blocking server has one way to do that: the caller hears that the call was cancelled,
        and not why. The asyncio server lets anyone abort.
        """
        cancel = getattr(self._context, "cancel", None)
        if cancel is not None:
            cancel()
            return
        with suppress(Exception):  # abort() raises, for the handler to stop; it stops by itself.
            abort(self._context, refusal)


_THREAD: Final = "portvakt-grpc-watch"


@asynccontextmanager
async def watching(call: Call, context: Any, *, watched: bool) -> AsyncIterator[None]:
    """End a call whose handler is asynchronous, while it is under way; see :class:`Watch`."""
    if not watched or call.decision.token is None:
        yield
        return
    serving = asyncio.current_task()
    looking = asyncio.create_task(_look(_Looks(call), context, serving))
    try:
        yield
    finally:
        looking.cancel()


async def _look(looks: _Looks, context: Any, serving: asyncio.Task[Any] | None) -> None:
    while True:
        await asyncio.sleep(looks.pause())
        refusal = looks.look() or (await looks.ask_async() if looks.asks else None)
        if refusal is not None:
            with suppress(Exception):  # abort() raises, for the handler to stop; that is next.
                await context.abort(refusal.code, refusal.details, refusal.metadata)
            if serving is not None:
                serving.cancel()
            return
