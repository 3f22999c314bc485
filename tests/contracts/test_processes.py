"""Two processes, one store: of two who use the same at once, one is told so."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from servers import ROUNDS

if TYPE_CHECKING:
    from store_servers import Kind

PROCESS = """
import asyncio, sys
from portvakt.stores.base import Use
from portvakt.stores.opened import open_store

url, password, now = sys.argv[1], sys.argv[2] or None, float(sys.argv[3])

async def main():
    store = open_store(url, password=password, timeout=30.0, replay_capacity=1_000_000,
                       replay_per_owner=1_000_000, clock=lambda: now)
    await store.use(Use("warm", sys.argv[4], now, now + 60, now))
    print("ready", flush=True)
    for item in sys.stdin:
        print(int(await store.use(Use("owner", item, now, now + 60, now))), flush=True)
    await store.close()

asyncio.run(main())
"""


@pytest.mark.attack("DPOP-16", "RPL-04")
def test_of_two_processes_one_is_told_so_each_time(shared: Kind) -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    common = [sys.executable, "-c", PROCESS, shared.url, shared.password or ""]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [*common, str(shared.clock()), name],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=environ,
                )
            )
            for name in "ab"
        ]

        def answers() -> list[str]:
            return [process.stdout.readline().strip() for process in processes if process.stdout]

        assert answers() == ["ready", "ready"]
        for number in range(ROUNDS):
            # In turn, so that neither is always the quicker one.
            for process in processes if number % 2 else reversed(processes):
                assert process.stdin is not None
                process.stdin.write(f"{number}\n")
                process.stdin.flush()
            told = answers()
            assert sorted(told) == ["0", "1"], f"round {number}: {told}"
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        assert [process.wait(30) for process in processes] == [0, 0]
