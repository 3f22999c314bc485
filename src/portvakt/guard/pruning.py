"""What has expired goes from the store, a little at a time, for as long as anybody uses it.

A store counts what it has, expired or not, and one that nobody prunes is full one day. Every
process that has the store does it now and then: it does no harm when several do.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

__all__ = ["MARGIN", "Prune", "keep_pruned"]

#: Forgets what had expired at a time, some of it at least, and returns how much that was.
Prune = Callable[[float], Coroutine[Any, Any, int]]

#: Seconds between two times, on average; so many processes do not come all at once.
_EVERY: Final = 60.0
#: If so many went, there may be more, and it goes on after this many seconds.
_MANY: Final = 1000
_SOON: Final = 1.0

#: Seconds for which what has expired is kept nevertheless. Others may read the same store whose
#: clocks are behind, and for whom it has not.
MARGIN: Final = 60.0

_RANDOM: Final = random.SystemRandom()


async def keep_pruned(
    prune: Prune,
    clock: Callable[[], float],
    sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
) -> None:
    """Prune again and again; runs at home, until it is cancelled.

    What goes wrong is tried again the next time: the store's own health tells of it.

    Parameters:
        prune: how.
        clock: what time it is.
        sleep: waits.
    """
    pause = _EVERY * (0.5 + _RANDOM.random())
    while True:
        await sleep(pause)
        forgotten = 0
        with suppress(Exception):
            forgotten = await prune(clock() - MARGIN)
        pause = _SOON if forgotten >= _MANY else _EVERY * (0.5 + _RANDOM.random())
