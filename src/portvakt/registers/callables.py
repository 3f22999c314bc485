"""A register that is a function of the user's own."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import queue
import threading
from typing import TYPE_CHECKING, Any, Final

from portvakt.errors import ConfigurationError, Problem
from portvakt.registers.base import (
    Answer,
    Question,
    Reason,
    Register,
    RegisterHealth,
    unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from portvakt.registers.base import Subject

__all__ = ["CallableRegister"]

_YES: Final = Answer(known=True)
_NO: Final = Answer(known=False, reason=Reason.DENIED)


class CallableRegister(Register):
    """Asks a function, which returns True or False.

    A plain function runs on one of a few threads of this register's own, an ``async`` one on the
    guard's home loop. What it raises, and what it returns that is neither True nor False, is no
    answer. It has no memory and no deadline of its own:
    :class:`~portvakt.registers.remembered.Remembered` gives it both.

    Does not check: that an ``async`` function leaves the loop to others; one that computes or waits
    without ``await`` holds up every request. A plain function that never returns keeps its thread.

    Parameters:
        name: its name in the policy.
        function: is given the question. What it may block on, it should give up itself.
        subjects: what it can be asked about.
        threads: how many questions a plain function answers at the same time.

    Raises:
        ConfigurationError: if *threads* is not positive, or *subjects* is empty.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[Question], bool] | Callable[[Question], Awaitable[bool]],
        subjects: Collection[Subject],
        *,
        threads: int = 8,
    ) -> None:
        if threads < 1:
            raise ConfigurationError([Problem("threads", "must be at least 1")])
        if not subjects:
            raise ConfigurationError([Problem("subjects", "must not be empty")])
        self.name = name
        self.subjects = frozenset(subjects)
        self._function: Callable[[Question], Any] = function
        # An object with an async __call__ is not a coroutine function, but its method is.
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004  not whether, but which
        )
        self._threads = _Threads(threads)

    def current(self, question: Question) -> Answer | None:  # noqa: ARG002  the port
        """Return None: nothing is remembered here."""
        return None

    async def fetch(self, question: Question) -> Answer:
        """Call the function."""
        try:
            if self._is_async:
                verdict = await self._function(question)
            else:
                verdict = await self._threads.run(self._function, question)
        except Exception as error:  # noqa: BLE001  whatever it raises is no answer
            reason = f"the function raised {type(error).__name__}"
        else:
            if verdict is True:
                return _YES
            if verdict is False:
                return _NO
            if inspect.iscoroutine(verdict):
                verdict.close()
            reason = f"the function returned {type(verdict).__name__}, neither True nor False"
        # Outside the handler: its words may quote what was asked, and are not kept.
        raise unavailable(reason)

    def health(self) -> RegisterHealth:
        """Say which function it is."""
        name = getattr(self._function, "__qualname__", type(self._function).__qualname__)
        return RegisterHealth(name=self.name, source=f"function {name}")


class _Threads:
    """A few daemon threads, started as they are needed.

    Not the loop's own pool: names are resolved there too, and a function that hangs must hold up
    neither that nor the end of the program.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._started = self._busy = 0

    async def run(self, function: Callable[[Question], Any], question: Question) -> Any:
        """Call the function on a thread, and wait. Called on one loop at a time."""
        if self._pid != os.getpid():
            self._start_afresh()  # After a fork the threads are the parent's.
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def land(result: Any, error: BaseException | None) -> None:
            self._busy -= 1
            if future.done():
                return  # Nobody waits any longer.
            if error is None:
                future.set_result(result)
            elif isinstance(error, Exception) and not isinstance(error, StopIteration):
                future.set_exception(error)
            else:  # What no future may hold, or would end the program.
                future.set_exception(RuntimeError(type(error).__name__))

        def work() -> None:
            result, error = None, None
            try:
                if not future.cancelled():
                    result = function(question)
            except BaseException as raised:  # noqa: BLE001  a thread must not end by it
                error = raised
            with contextlib.suppress(RuntimeError):  # The loop was closed meanwhile.
                loop.call_soon_threadsafe(land, result, error)

        self._busy += 1
        if self._busy > self._started and self._started < self._most:
            self._started += 1
            threading.Thread(target=self._serve, args=(self._work,), daemon=True).start()
        self._work.put(work)
        return await future

    @staticmethod
    def _serve(work: queue.SimpleQueue[Callable[[], None]]) -> None:
        while True:
            work.get()()
