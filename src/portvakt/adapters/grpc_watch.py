"""Calls that go on: ended when their token is not good any more (HTTP-16)."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager, suppress
from math import inf
from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, cast

import grpc

from portvakt.adapters.grpc_calls import Call, Refusing, refusing
from portvakt.adapters.judgement import Judgement
from portvakt.adapters.watch import Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portvakt.adapters.watch import Watch as LookOut
    from portvakt.guard import Refusal

__all__ = ["CallEnded", "CallLease", "Watch", "abort", "conclude", "leased"]

_log: Final = logging.getLogger("portvakt")

_THREAD: Final = "portvakt-grpc-watch"

#: Seconds between two looks at least, for a clock that stands just before the end.
_SHORTEST: Final = 0.01

#: Seconds without a response after which none is being sent any more, unless its caller does not
#: read.
_QUIET: Final = 0.25

#: How a call is ended where even the reason cannot be found.
_FAULT: Final = Refusing(
    grpc.StatusCode.UNAVAILABLE, "The request cannot be checked at the moment.", ()
)


def conclude(context: Any, refusal: Refusing) -> None:
    """Have gRPC send a refusal as the status, when the handler of the call is done."""
    context.set_trailing_metadata(refusal.metadata)
    context.set_code(refusal.code)
    context.set_details(refusal.details)


def abort(context: grpc.ServicerContext, refusal: Refusing) -> NoReturn:
    """End a call with a refusal, from the thread of its handler."""
    context.set_trailing_metadata(refusal.metadata)
    context.abort(refusal.code, refusal.details)


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
        self._ending = Lock()
        self._responded_at = -inf

    def ended(self) -> bool:
        """Whether the call is over, because its token is not good any more.

        Asked before each response, on the call's own thread: if it is, the handler has nothing more
        to say, and its caller hears why.
        """
        if not self._watched:
            return False
        with self._ending:
            if self._over.is_set():
                return True
            found = self._guard.still_good(self._decision, self._demands)
            if found is None:
                self._responded_at = monotonic()
                return False
            self._over.set()
            conclude(self._context, self._refusing(found))
            return True

    def __enter__(self) -> Self:
        """Start looking."""
        if self._watched:
            Thread(target=self._run, name=_THREAD, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._over.set()

    def _run(self) -> None:
        try:
            found = self._found()
        except Exception as error:  # noqa: BLE001  nobody stays whom nobody looks at
            _log.error("internal error, call ended: %s", type(error).__name__)
            self._end(None)
            return
        if found is not None:
            self._end(found)

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

    def _end(self, found: Refusal | None) -> None:
        """End the call from another thread than its own, for what was found; None: for a fault.

        The blocking server has one way to do that: the caller hears that the call was cancelled,
        and not why. The asyncio server lets anyone abort, but not while it sends a response.
        """
        cancel = getattr(self._context, "cancel", None)
        while cancel is None and (left := self._responded_at + _QUIET - monotonic()) > 0:
            if self._over.wait(left):
                return
        with self._ending:
            if self._over.is_set():
                return
            self._over.set()
            refusal = _FAULT if found is None else self._refusing(found)
            if cancel is not None:
                cancel()
                return
            # abort() raises, for the handler to stop; this one hears it at its next message.
            with suppress(Exception):
                abort(self._context, refusal)


class CallLease(Lease):
    """A call whose handler is asynchronous, with all others under the watch of its event loop.

    gRPC sends a status only when it sends nothing else. So the handler is cancelled when nothing is
    being sent, and what cancelled it is answered by :meth:`answer` on the call's own task. While
    something is being sent, which a caller who does not read can draw out, nothing else is passed
    on: each response is looked at.
    """

    __slots__ = ("_before", "_cancelled", "_context", "_sending", "_serving")

    def __init__(self, call: Call, context: Any) -> None:
        demands = () if call.requirement is None else (call.requirement,)
        super().__init__(Judgement(call.guard, call.request, call.decision, demands), {})
        self._context = context
        # gRPC serves each call in a task. Somebody else may be cancelling it already.
        self._serving = cast("asyncio.Task[Any]", asyncio.current_task())
        self._before = self._serving.cancelling()
        self._cancelled = 0
        self._sending = 0

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Keep the handler from being cancelled while something is sent."""
        self._sending += 1
        try:
            yield
        finally:
            self._sending -= 1

    def end(self) -> None:
        """Cancel the handler, and again if it does not let go."""
        if not self._sending:
            self._cancelled += 1
            self._serving.cancel()

    def came_of_it(self, error: BaseException) -> bool:
        """Whether the handler raised an error because the call ends, which needs no other answer.

        Called once, when the handler has let go.
        """
        ours = isinstance(error, Exception)
        for _ in range(self._cancelled):
            self._serving.uncancel()
        if isinstance(error, asyncio.CancelledError):
            ours = self._cancelled > 0 and self._serving.cancelling() <= self._before
        return ours and self.ending is not None

    def answer(self) -> None:
        """Have gRPC send why the call ends, if it does, as the status of a handler that is done."""
        if self.ending is not None:
            conclude(self._context, refusing(self.ending) or _FAULT)


class CallEnded(Exception):  # noqa: N818  it says what happened
    """A handler writes to a call that has ended with its access token."""


@contextmanager
def leased(
    call: Call, context: Any, look_out: Callable[[], LookOut] | None
) -> Iterator[CallLease | None]:
    """End a call whose handler is asynchronous, while it is under way; see :class:`Watch`.

    Parameters:
        call: what was admitted.
        context: its context.
        look_out: finds what watches the calls of the event loop; None: this one streams nothing.
    """
    if look_out is None or call.decision.token is None:
        yield None
        return
    lease = CallLease(call, context)
    watch = look_out()
    watch.add(lease)
    try:
        yield lease
    except BaseException as error:
        if not lease.came_of_it(error):
            raise
    finally:
        watch.drop(lease)
    lease.answer()
