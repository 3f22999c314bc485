"""One of several processes that use the same things at the same time; told when by its parent.

For each line on standard input, it uses what the line names, and answers with a line: ``1`` if it
was told that it is the first, ``0`` if not, ``?`` if there was no answer.
"""

from __future__ import annotations

import asyncio
import sys
import time

from redis_stores import store, use, used


async def main(url: str) -> None:
    """Answer line by line until the parent has no more."""
    one = store(url, time.time, capacity=10**7, per_owner=10**6)
    await used(one, "first", time.time)
    print("ready", flush=True)  # noqa: T201  the parent reads it
    for line in sys.stdin:
        try:
            first = await one.use(use(line, time.time, owner=line[-2:], ago=0))
        except Exception:  # noqa: BLE001  whatever it is, it is no answer
            print("?", flush=True)  # noqa: T201  the parent reads it
        else:
            print(int(first), flush=True)  # noqa: T201  the parent reads it
    await one.close()


asyncio.run(main(sys.argv[1]))
