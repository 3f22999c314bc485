"""A bounded buffer of lines, and the thread that empties it: whoever writes a line never waits."""

import atexit
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final
from weakref import WeakSet, finalize

from portvakt.home import after_fork
from portvakt.telemetry.sink import MOST, Output
from portvakt.telemetry.snapshot import Reading

__all__ = ["Buffer"]

_log: Final = logging.getLogger("portvakt.telemetry")

#: Seconds for which lines are gathered before they are written. The thread wakes no more often, as
#: each time it takes the interpreter from those who serve.
_GATHERED: Final = 0.05

#: Seconds that whoever ends it waits for what is in it.
_AT_END: Final = 2.0


class Buffer:
    """Takes lines at once, and writes them from a thread of its own that starts at the first.

    A line that finds no room is lost, and so is one that cannot be written. How many were lost is
    counted, and said in a line of its own when there is room again.

    Parameters:
        output: where they go.
        capacity: how many lines wait at most; what may be left out is lost when half as many wait.
        lost: makes the line that says how many were lost.
    """

    def __init__(self, output: Output, capacity: int, lost: Callable[[int], bytes]) -> None:
        self._output = output
        self._capacity = capacity
        self._said = lost
        self.start_afresh()
        _every.add(self)

    def start_afresh(self) -> None:
        """Forget what waits, and the thread: after a fork, both are the parent's."""
        self._lines = lines = _Lines(self._output, self._said)
        # Who forgets a buffer without closing it loses no line, and leaves no thread behind.
        finalize(self, lines.end).atexit = False

    def put(self, line: bytes, *, optional: bool = False) -> None:
        """Have a line written soon. Never waits, and may be called from any thread.

        Parameters:
            line: with the line break at its end, and no other.
            optional: whether others come first when there is little room.
        """
        lines = self._lines
        if len(lines.waiting) >= (self._capacity // 2 if optional else self._capacity):
            lines.lose(1)
            return
        lines.waiting.append(line)
        if not lines.awake:
            lines.wake()

    @property
    def lost(self) -> int:
        """How many lines were lost in this process."""
        return self._lines.lost

    def readings(self) -> Iterator[Reading]:
        """Say for metrics how many were lost."""
        yield Reading("portvakt_log_lines_lost", self.lost)

    def flush(self, timeout: float = _AT_END) -> bool:
        """Wait until everything is written; return whether it is.

        Parameters:
            timeout: seconds to wait at most.
        """
        return self._lines.flush(timeout)

    def close(self) -> None:
        """Write everything, as far as it goes in some seconds, and end the thread.

        What is put later starts it anew.
        """
        self.flush()
        self._lines.end()


class _Lines:
    """What waits, and the thread that writes it: it does not keep the buffer itself alive."""

    def __init__(self, output: Output, said: Callable[[int], bytes]) -> None:
        self.waiting: deque[bytes] = deque()
        self.awake = False
        self.lost = 0
        self._output = output
        self._said = said
        self._told = 0
        self._failing = self._torn = False
        self._lock = threading.Lock()
        self._drained = threading.Condition(self._lock)
        self._woken = threading.Event()
        self._hurry = threading.Event()
        self._ending = False
        self._thread: threading.Thread | None = None

    def lose(self, count: int) -> None:
        with self._lock:
            self.lost += count

    def wake(self) -> None:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="portvakt-log", daemon=True)
                thread.start()
                self._thread, self._ending = thread, False
            self.awake = True
            self._woken.set()

    def flush(self, timeout: float) -> bool:
        with self._lock:
            if self._thread is None:
                return not self.waiting
            self._hurry.set()
            self.awake = True
            self._woken.set()
            done = self._drained.wait_for(lambda: not (self.waiting or self.awake), timeout)
            self._hurry.clear()
            return done

    def end(self) -> None:
        with self._lock:
            self._ending = True
            self._woken.set()

    def _run(self) -> None:
        while True:
            self._woken.wait()
            self._woken.clear()
            self._hurry.wait(_GATHERED)
            self._drain()
            with self._lock:
                # In this order: whoever adds a line looks afterwards whether this is awake.
                self.awake = False
                if self.waiting:
                    self.awake = True
                    self._woken.set()
                    continue
                self._drained.notify_all()
                if self._ending:
                    self._thread = None
                    return

    def _drain(self) -> None:
        while self.waiting:
            lines = [self.waiting.popleft()]
            size = len(lines[0])
            while self.waiting and size + len(self.waiting[0]) <= MOST:
                lines.append(self.waiting.popleft())
                size += len(lines[-1])
            if not self._write(b"".join(lines)):
                self.lose(len(lines))
        lost = self.lost
        if lost > self._told and self._write(self._said(lost - self._told)):
            self._told = lost

    def _write(self, octets: bytes) -> bool:
        try:
            # What was written in part has no line break at its end.
            self._output.write(b"\n" + octets if self._torn else octets)
        except Exception as error:  # noqa: BLE001  whatever it is, the thread goes on
            self._torn = True
            if not self._failing:
                self._failing = True
                _log.error("the log of decisions cannot be written: %s", type(error).__name__)
            return False
        self._failing = self._torn = False
        return True


_every: Final[WeakSet[Buffer]] = WeakSet()


def _forget_the_parents() -> None:
    for buffer in _every:
        buffer.start_afresh()


def _write_the_last() -> None:
    for buffer in list(_every):
        buffer.flush()


after_fork(_forget_the_parents)
atexit.register(_write_the_last)
