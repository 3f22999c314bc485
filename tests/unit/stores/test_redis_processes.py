"""Two processes that use the same thing at the same time: one of them is the first.

``PORTVAKT_ROUNDS`` says how often, 300 times otherwise.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from keeping import at_home
from portvakt.stores.redis import MARGIN
from redis_servers import redis_cluster, redis_server
from redis_stores import store

if TYPE_CHECKING:
    from collections.abc import Iterator

# Read when this is imported: tests run without the variables of Portvakt.
ROUNDS: Final = int(os.environ.get("PORTVAKT_ROUNDS", "300"))
PROGRAM: Final = Path(__file__).resolve().parents[2] / "redis_rounds.py"


@pytest.fixture(params=["single", "cluster"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "single":
        with redis_server() as server:
            yield server.url
    else:
        with redis_cluster() as cluster:
            yield cluster.url


def _process(url: str) -> subprocess.Popen[str]:
    path = ":".join(each for each in sys.path if each)
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        env={"PYTHONPATH": path},
    )


@pytest.mark.attack("RPL-04")
@at_home
async def test_two_processes_use_each_thing_once(url: str) -> None:
    # Memory begins long ago, so that nothing is refused for that reason.
    one = store(url, lambda: time.time() - 10 * MARGIN)
    await one.prune(0.0)
    await one.close()
    processes = [_process(url), _process(url)]
    try:
        told: dict[tuple[str, ...], int] = {}
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for number in range(ROUNDS):
            # By turns, each of them hears of it first.
            order = processes if number % 2 else processes[::-1]
            for process in order:
                assert process.stdin is not None
                process.stdin.write(f"{number}\n")
                process.stdin.flush()
            answers = tuple(
                str(process.stdout.readline()).strip() for process in processes if process.stdout
            )
            told[answers] = told.get(answers, 0) + 1
        assert set(told) <= {("0", "1"), ("1", "0")}, told
        assert sum(told.values()) == ROUNDS
        print(f"{ROUNDS} rounds, first was: {told}")  # noqa: T201  the figures of a long run
    finally:
        for process in processes:
            process.kill()
            process.communicate()
