"""A changed policy file takes effect at once or not at all, and no request notices.

The new reading is made beside the old one, on another thread; it has to pass its own test, and its
issuers' keys are asked for, before the first request is judged by it. A file that is wrong changes
nothing, and is said loudly each time. What was being judged by the old reading ends by it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from portvakt.errors import ConfigurationError, Unavailable
from portvakt.gateway.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

__all__ = ["Reloader"]

_log: Final = logging.getLogger("portvakt.gateway")

#: Seconds between looks at the file.
INTERVAL: Final = 1.0

#: Seconds that a new reading may take to get the keys of its issuers, before it is used anyway.
PATIENCE: Final = 10.0

#: Settings of ``[gateway]`` that a process has to be started for.
_AT_START: Final = (
    *("listen", "socket_mode", "workers", "tls", "admin", "admin_token"),
    *("ext_authz", "header_timeout", "grace"),
)


class Reloader:
    """Holds what a worker answers by, and exchanges it.

    Parameters:
        path: the policy file.

    Attributes:
        serving: the reading that is in use.
        generation: how many readings there were.
        broken: whether the last one could not be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp_of(path)
        self.serving: Serving = Serving(path)
        self.generation = 1
        self.broken = False
        self._busy = asyncio.Lock()
        self._tasks: set[asyncio.Task[object]] = set()

    async def open(self) -> None:
        """Start: on the running loop, which is the home of its guards from now on."""
        await self.serving.guard.__aenter__()
        with suppress(Unavailable, TimeoutError):
            # What cannot be had now is asked for again by the requests that need it.
            await asyncio.wait_for(self.serving.guard.warm(), PATIENCE)
        self._keep(self._watch())

    async def close(self) -> None:
        """End it, the guard too."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.serving.guard.__aexit__(None, None, None)

    def hurry(self) -> None:
        """Read the file now, whether it changed or not: keys and lists beside it may have."""
        self._keep(self.reload())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            if _stamp_of(self._path) != self._stamp:
                await self.reload()

    async def reload(self) -> bool:
        """Read the file, and use it if it can be used; return whether it is."""
        async with self._busy:
            self._stamp = _stamp_of(self._path)
            before = self.serving
            try:
                # On another thread: forging tokens to test itself takes a while.
                after = await asyncio.to_thread(Serving, self._path, before)
            except ConfigurationError as error:
                return self._keeps(before, str(error))
            except Exception as error:  # noqa: BLE001  whatever it is, the old reading goes on
                return self._keeps(before, type(error).__name__)
            after.metrics.follow(before.metrics)
            try:
                await after.guard.__aenter__()
                await asyncio.wait_for(after.guard.warm(), PATIENCE)
            except (Unavailable, TimeoutError):
                _log.warning("not all that the changed policy needs could be had yet; it is used")
            except Exception as error:  # noqa: BLE001  likewise; and the file is looked at further
                with suppress(Exception):
                    await after.guard.__aexit__(None, None, None)
                return self._keeps(before, type(error).__name__)
            # From here on, in one step: whoever asks next is judged by the new one.
            self.serving = after
            self.generation += 1
            self.broken = False
            _log.warning("the policy was read again: generation %d", self.generation)
            for name in _AT_START:
                if getattr(after.reading.table, name) != getattr(before.reading.table, name):
                    _log.warning("gateway.%s changed: it takes effect at the next start", name)
            self._keep(self._retire(before))
            return True

    def _keeps(self, serving: Serving, why: str) -> bool:
        self.broken = True
        serving.metrics.reload_failed()
        _log.error("the changed policy is not used, the one before it goes on: %s", why)
        return False

    async def _retire(self, serving: Serving) -> None:
        while serving.under_way:  # noqa: ASYNC110  a counter costs each request less than an event
            await asyncio.sleep(0.05)
        await serving.guard.__aexit__(None, None, None)

    def _keep(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    """Return by what it is seen that a file is another one; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
