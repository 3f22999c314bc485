"""Calls that go on: ended when their token is not good any more (HTTP-16)."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager, suppress
from contextvars import Context
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

import grpc

from portvakt.adapters.grpc_calls import Call, Refusing, refusing
from portvakt.adapters.judgement import Judgement
from portvakt.adapters.watch import Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portvakt.adapters import watch
    from portvakt.guard import Refusal

__all__ = ["Watch", "abort", "leased"]

_log: Final = logging.getLogger("portvakt")

_THREAD: Final = "portvakt-grpc-watch"

#: Seconds between two looks at least, for a clock that stands just before the end.
_SHORTEST: Final = 0.01

#: How a call is ended where even the reason cannot be found.
_FAULT: Final = Refusing(
    grpc.StatusCode.UNAVAILABLE, "The request cannot be checked at the moment.", ()
)


def abort(context: Any, refusal: Refusing) -> NoReturn:
    """End a call with a refusal, from the thread of its handler."""
    context.set_trailing_metadata(refusal.metadata)
    context.abort(refusal.code, refusal.details)
    raise AssertionError  # abort() never returns.


class Watch:
    """Ends a call whose handler blocks.

    At each response, and from a thread of its own in between: a handler that waits for the next
    message waits in code that is not ours, and occupies a thread of the pool just as well.

    Parameters:
        call: what was admitted.
        context: its context.
        watched: whether it may go on for long: something is streamed.
    """

    def __init__(self, call: Call, context: Any, *, watched: bool) -> None:
        self._guard, self._request, self._decision, requirement = call
        self._demands = () if requirement is None else (requirement,)
        self._context = context
        self._watched = watched and call.decision.token is not None
        self._over = Event()

    def look(self) -> None:
        """End the call from its own thread, if its token is not good any more."""
        if not self._watched:
            return
        found = self._guard.still_good(self._decision, self._demands)
        if found is not None:
            self._over.set()
            abort(self._context, self._refusing(found))

    def __enter__(self) -> Self:
        """Start looking."""
        if self._watched:
            Thread(target=self._run, name=_THREAD, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._over.set()

    def _run(self) -> None:
        refusal = _FAULT
        try:
            found = self._found()
            if found is None:
                return
            refusal = self._refusing(found)
        except Exception as error:  # noqa: BLE001  nobody stays whom nobody looks at
            _log.error("internal error, call ended: %s", type(error).__name__)
        self._end(refusal)

    def _found(self) -> Refusal | None:
        """Look until something is found, or the call is over."""
        guard, decision = self._guard, self._decision
        until, ask_in = guard.lasts_until(decision), guard.ask_again_in(decision)
        ask_at = monotonic() + ask_in
        while True:
            left = min(until - guard.clock(), ask_at - monotonic(), guard.look_again_in())
            if self._over.wait(max(left, _SHORTEST)):
                return None
            found = guard.still_good(decision, self._demands)
            if found is None and monotonic() >= ask_at:
                found = guard.ask_again_blocking(self._request, decision)
                ask_at = monotonic() + ask_in
            if found is not None:
                return found

    def _refusing(self, found: Refusal) -> Refusing:
        return refusing(self._guard.end(self._request, self._decision, found)) or _FAULT

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


class _Lease(Lease):
    """A call whose handler is asynchronous, with all others under the watch of its event loop."""

    __slots__ = ("_context", "_serving", "_telling")

    def __init__(self, call: Call, context: Any) -> None:
        demands = () if call.requirement is None else (call.requirement,)
        super().__init__(Judgement(call.guard, call.request, call.decision, demands), {})
        self._context = context
        self._serving = asyncio.current_task()
        self._telling: asyncio.Task[None] | None = None

    def end(self) -> None:
        """Tell the caller why, and cancel the handler; again, if it does not let go."""
        if self._telling is None:
            # In a context of its own: it is nobody's call.
            self._telling = asyncio.get_running_loop().create_task(self._tell(), context=Context())
        elif self._serving is not None:
            self._serving.cancel()

    async def _tell(self) -> None:
        with suppress(Exception):  # abort() raises, for the handler to stop; that is next.
            await self.abort()
        if self._serving is not None:
            self._serving.cancel()

    async def abort(self) -> None:
        """End the call with a refusal."""
        refusal = (None if self.ending is None else refusing(self.ending)) or _FAULT
        await self._context.abort(refusal.code, refusal.details, refusal.metadata)


@contextmanager
def leased(
    call: Call, context: Any, look_out: Callable[[], watch.Watch] | None
) -> Iterator[_Lease | None]:
    """End a call whose handler is asynchronous, while it is under way; see :class:`Watch`.

    Parameters:
        call: what was admitted.
        context: its context.
        look_out: finds the watch of the event loop; None: the call streams nothing.
    """
    if look_out is None or call.decision.token is None:
        yield None
        return
    lease = _Lease(call, context)
    watch = look_out()
    watch.add(lease)
    try:
        yield lease
    finally:
        watch.drop(lease)
