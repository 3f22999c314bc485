"""A file that is read whole, and anew when it has changed; and what to do when it is broken.

Requests use what was read and touch no file. Every so often one of them has the file looked at, on
a thread: it is read again when it has changed and lies still, so that half a file is not taken for
a whole one. A file that is broken or gone changes nothing but the health, until a limit. Where
requests are frequent nobody waits for a look; where they are rare, the first one does.
"""

from __future__ import annotations

import asyncio
import math
import os
import stat
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from msgspec import Struct

from portvakt.clock import monotonic
from portvakt.registers.base import unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Stamp", "Unusable", "Watched", "stamp"]

T = TypeVar("T")

#: Seconds by which a look may be late without anybody waiting for it.
_GRACE: Final = 10.0


class Unusable(ValueError):  # noqa: N818  it says what it is
    """The file is not used. The message says why, and holds nothing of what it says."""


class Stamp(Struct, frozen=True):
    """What tells that a file is another than it was."""

    device: int
    inode: int
    size: int
    changed: int


def stamp(path: Path) -> Stamp:
    """Return the stamp of a file.

    Raises:
        OSError: if it is not there.
        Unusable: if everybody may write to it: it would say what anybody wants.
    """
    found = path.stat()
    # On Windows, what others may do is not in the mode.
    if hasattr(os, "geteuid") and found.st_mode & stat.S_IWOTH:
        raise Unusable("everybody may write to the file: chmod o-w")
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class Watched(Generic[T]):
    """What a file says, read anew when it has changed.

    Does not check: that what was read is right; *read* does. A file that is changed where it is,
    rather than replaced, is read when it has been the same for one interval, and not if it changed
    while it was read: whoever writes slower than that should write beside it and rename.

    Parameters:
        path: the file.
        read: reads it; runs on a thread.
        stamp: tells whether the file is another than it was; runs on a thread.
        interval: seconds between two looks at it.
        max_staleness: seconds for which the last good one serves while the file is broken or gone.
        clock: an age, in seconds; the monotonic clock by default.

    Attributes:
        value: what was read last; None before the first time.
        error: why it could not be read the last time; None if it could.
        error_at: since when it cannot be, on *clock*.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[Path], T],
        *,
        stamp: Callable[[Path], object] = stamp,
        interval: float = 2.0,
        max_staleness: float = math.inf,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._path = path
        self._read = read
        self._stamp = stamp
        self._interval = interval
        self._max_staleness = max_staleness
        self._clock = clock
        self.value: T | None = None
        self.error: str | None = None
        self.error_at = 0.0
        self._read_stamp: object = None
        self._broken_stamp: object = None
        self._seen_stamp: object = None
        self._looked_at = -math.inf
        self._look: asyncio.Task[None] | None = None

    def current(self) -> T | None:
        """Return what was read, or None if somebody must call :meth:`get`. Never waits."""
        late = self._clock() - self._looked_at - self._interval
        look = self._look
        if late < 0 or (late < _GRACE and look is not None and not look.done()):
            return self._usable()
        return None

    async def get(self) -> T:
        """Have the file looked at if that is due, and return what it says; runs at home.

        Raises:
            Unavailable: if it never could be read, or cannot be for too long.
        """
        late = self._clock() - self._looked_at - self._interval
        look = self._look
        if look is None or look.done() or look.get_loop() is not asyncio.get_running_loop():
            look = None
            if late >= 0:
                look = self._look = asyncio.ensure_future(self._have_a_look())
        if look is not None and (late >= _GRACE or self._usable() is None):
            # It is nobody's to cancel: others wait for it too.
            await asyncio.shield(look)
        value = self._usable()
        if value is None:
            raise unavailable(self.error or "the file was not read", math.ceil(self._interval))
        return value

    def error_age(self) -> float | None:
        """Return for how long it cannot be read; None if it can."""
        return None if self.error is None else self._clock() - self.error_at

    def _usable(self) -> T | None:
        age = self.error_age()
        return self.value if age is None or age < self._max_staleness else None

    async def _have_a_look(self) -> None:
        try:
            await asyncio.to_thread(self._refresh)
        except OSError as error:
            self._note(f"the file cannot be read: {error.strerror or type(error).__name__}")
        except Unusable as flaw:
            self._note(str(flaw))
        except Exception as error:  # noqa: BLE001  a fault of ours must not end all looking
            self._note(f"internal error: {type(error).__name__}")
        self._looked_at = self._clock()

    def _refresh(self) -> None:
        """Read the file if it has changed. One at a time, on a thread."""
        now = self._stamp(self._path)
        if now == self._read_stamp:
            self.error = None  # It was gone, or another, and is back.
            return
        if now == self._broken_stamp:
            return
        # While it still changes it is not read, unless there is nothing yet.
        still = now == self._seen_stamp or self.value is None
        self._seen_stamp = now
        if not still:
            return
        try:
            value = self._read(self._path)
        except Unusable:
            self._broken_stamp = now
            raise
        if self._stamp(self._path) != now:
            raise Unusable("the file changed while it was read")
        self.value, self._read_stamp, self._broken_stamp, self.error = value, now, None, None

    def _note(self, error: str) -> None:
        if self.error is None:
            self.error_at = self._clock()
        self.error = error
