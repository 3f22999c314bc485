"""The clock port, and the system's time that never runs backwards."""

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

__all__ = ["Clock", "SystemClock", "monotonic", "stopwatch"]


class Clock(Protocol):
    """Says what time it is: seconds since 1970-01-01T00:00:00Z, as RFC 7519's NumericDate counts.

    It is read once for each request, so that no two checks of one request disagree. Only a proof
    of possession has to be in time still when it is used up, at the end.
    """

    def __call__(self) -> float:
        """Return the time now, in seconds."""
        ...


class SystemClock:
    """The system's wall clock with a floor: it stands still rather than run backwards.

    A clock that is set back would make expired tokens valid again; standing still refuses at worst
    an honest token (CLK-01). The floor is one process's memory: it does not survive a restart.
    """

    __slots__ = ("_latest", "_read")

    def __init__(self) -> None:
        self._read = time.time
        self._latest = 0.0

    def __call__(self) -> float:
        """Return the time now, in seconds; never less than it returned before."""
        now = self._read()
        if now < self._latest:
            return self._latest
        self._latest = now
        return now


#: Ages (of keys, of caches) are differences of this, which no administrator can set. On Linux the
#: usual one stands still while the machine is suspended, and what is in memory ages even so.
monotonic: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)

#: What took how long is a difference of this: seconds, as fine as the machine has them.
stopwatch: Callable[[], float] = time.perf_counter
