"""The one event loop on which all input and output happens, and how a caller waits for it.

A guard is asked from asyncio, from trio, from threads and after a fork; sockets belong to one loop.
So whatever must wait runs at *home*: on the loop that entered ``async with guard``, or else on a
thread of its own that starts at first need. A request that needs nothing from outside never comes
here, and nothing is started at import.
"""

from __future__ import annotations

import os
import threading
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, TypeVar
from weakref import WeakSet

from portvakt.errors import ConfigurationError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

__all__ = ["Elsewhere", "Home", "after_fork", "finish"]

P = ParamSpec("P")
T = TypeVar("T")


class Elsewhere(Protocol):
    """Runs work at home and waits as its caller can wait."""

    def __call__(
        self, work: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]:
        """Run ``work(*args, **kwargs)`` at home; awaiting it gives its result."""
        ...


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine that must not suspend did")


def after_fork(call: Callable[[], None]) -> None:
    """Have something called in every child of a fork, where there is such a thing."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)


class Home:
    """The loop for input and output of one guard, in this process.

    After a fork the child has no home yet: the loop and the thread stayed with the parent, and a
    new one is made at first need.
    """

    __slots__ = ("__weakref__", "_adopted", "_lock", "_loop")

    def __init__(self) -> None:
        self.start_afresh()
        _homes.add(self)

    def start_afresh(self) -> None:
        """Forget loop and thread without a word to them: after a fork, they are the parent's."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._adopted = False
        self._lock = threading.Lock()

    def adopt(self) -> None:
        """Make the running asyncio loop the home, if there is none yet."""
        import asyncio

        with self._lock:
            if self._current() is None:
                self._loop, self._adopted = asyncio.get_running_loop(), True

    def leave(self) -> None:
        """Give up the home; the next need makes another. Work under way is not waited for.

        On a thread of its own it is cancelled, and who waits for it gets an error.
        """
        with self._lock:
            loop, adopted = self._current(), self._adopted
            self._loop = None
            # Under the lock: no work is handed to a loop behind its end, where it would never run.
            if loop is not None and not adopted:
                loop.call_soon_threadsafe(loop.stop)

    async def awaited(
        self, work: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run work at home and wait without blocking the caller's loop, asyncio's or trio's."""
        import asyncio

        here = _running()
        future = self._hand_over(here, work, *args, **kwargs)
        if future is None:
            return await work(*args, **kwargs)
        if here is not None:
            try:
                return await asyncio.wrap_future(future)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
            # It was not the caller who was cancelled.
            raise RuntimeError("the guard was closed while work was under way")
        # Another kind of event loop (trio): a thread of its own pool waits in its place.
        import anyio.to_thread

        return await anyio.to_thread.run_sync(future.result, abandon_on_cancel=True)

    async def blocked(
        self, work: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run work at home and block the calling thread until it is done; never suspends.

        Raises:
            ConfigurationError: when called on the home loop itself, which would wait for itself.
        """
        future = self._hand_over(_running(), work, *args, **kwargs)
        if future is None:
            raise ConfigurationError(
                "check_blocking() was called on the guard's own event loop: use await check()"
            )
        return future.result()

    def _current(self) -> asyncio.AbstractEventLoop | None:
        loop = self._loop
        return None if loop is None or loop.is_closed() else loop

    def _hand_over(
        self,
        here: asyncio.AbstractEventLoop | None,
        work: Callable[P, Coroutine[Any, Any, T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Future[T] | None:
        """Hand work to the home loop, which is started if there is none; None if it is *here*."""
        import asyncio

        with self._lock:
            loop = self._current()
            if loop is None:
                loop = asyncio.new_event_loop()
                threading.Thread(target=_run, args=(loop,), name=_THREAD, daemon=True).start()
                self._loop, self._adopted = loop, False
            if loop is here:
                return None
            # In a context of its own: that of the caller may say that trio runs here, which
            # libraries on this loop would believe.
            hand_over = asyncio.run_coroutine_threadsafe
            return Context().run(hand_over, work(*args, **kwargs), loop)


def _running() -> asyncio.AbstractEventLoop | None:
    """Return the asyncio loop that runs here, if one does."""
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


_THREAD: Final = "portvakt-home"
_homes: Final[WeakSet[Home]] = WeakSet()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        loop.run_until_complete(_end_all())
    finally:
        loop.close()


async def _end_all() -> None:
    """End what goes on, which then closes what it has open; what has just ended is told so."""
    import asyncio

    tasks = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _forget_the_parent() -> None:
    # The parent's thread is not here, and another of its threads may have held the lock.
    for home in _homes:
        home.start_afresh()


after_fork(_forget_the_parent)
