"""What the tests of two guards share: their bounds, what goes on, and what is waited for."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest

from figures import LONG
from two_guards import CLIENTS, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from real_places import RealPlace
    from store_servers import Server
    from two_guards import Account, GuardProcess

__all__ = [
    "DEADLINE",
    "PATIENCE",
    "STALENESS",
    "TIMEOUT",
    "all_admitted",
    "attached",
    "going_on",
    "in_turn",
    "only_in_long",
    "served",
    "serves",
    "verdict_is",
]

STALENESS: Final = 1.5
TIMEOUT: Final = 0.5
#: A request waits for its mirror once, two attempts long, and once for its proof to be used up.
DEADLINE: Final = 2 * min(TIMEOUT, STALENESS / 3) + TIMEOUT
#: Seconds beyond a deadline that a machine with much to do may take.
PATIENCE: Final = 3.0


def served(place: RealPlace) -> Server:
    if place.server is None:
        pytest.skip("no server of our own")
    return place.server


def attached(place: RealPlace) -> int:
    if place.port is None:
        pytest.skip("no server that all go to by one port")
    return place.port


def only_in_long(condition: object) -> None:
    """Leave out what takes long and tells little that others do not tell."""
    if condition and not LONG:
        pytest.skip("only in the long form: make stores")


@asynccontextmanager
async def going_on(
    *loops: Callable[[], Awaitable[object]], pause: float = 0.005
) -> AsyncIterator[None]:
    """Do some things again and again, one after the other each, as long as this lasts."""
    ended = asyncio.Event()

    async def again(do: Callable[[], Awaitable[object]]) -> None:
        while not ended.is_set():
            await do()
            await asyncio.sleep(pause)

    async with asyncio.TaskGroup() as tasks:
        for do in loops:
            tasks.create_task(again(do))
        try:
            yield
        finally:
            ended.set()


async def in_turn(do: Callable[[], object]) -> None:
    """Do what blocks beside what goes on."""
    await asyncio.to_thread(do)


async def serves(account: Account, guard: GuardProcess) -> None:
    """Wait until a guard admits, with a proof and without."""
    await guard.caught_up()
    await until(lambda: all_admitted(account, guard))
    assert await verdict_is("admitted", account, guard)


async def all_admitted(account: Account, guard: GuardProcess) -> bool:
    """Whether every client's proof is admitted: where there are nodes, of each node."""
    answers = [await account.spend(guard, client) for client in range(CLIENTS)]
    return all(answer.verdict == "admitted" for answer in answers)


async def verdict_is(verdict: str, account: Account, guard: GuardProcess) -> bool:
    return (await account.present(guard)).verdict == verdict
