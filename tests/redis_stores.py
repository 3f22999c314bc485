"""Stores in Redis for tests: opened with a clock of the test's, and what they answer in words."""

from __future__ import annotations

import time
import traceback
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest

from portvakt.stores.base import Entry, StoreError, Use
from portvakt.stores.redis import RedisStore
from portvakt.testing.clock import FrozenClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

__all__ = [
    "ASKING",
    "SECRET",
    "START",
    "everything",
    "handle",
    "opened",
    "refused",
    "revocation",
    "store",
    "use",
    "used",
]

#: When these tests begin: long ago, as nothing is forgotten that lies ahead of the server's clock.
START: Final = 1_700_000_000.0

#: What no message holds.
SECRET: Final = "open-sesame-4711"


def store(
    url: str,
    clock: Callable[[], float],
    *,
    password: str | None = None,
    timeout: float = 2.0,
    capacity: int = 1000,
    per_owner: int = 100,
) -> RedisStore:
    """Make a store."""
    return RedisStore(
        url,
        password=password,
        timeout=timeout,
        replay_capacity=capacity,
        replay_per_owner=per_owner,
        clock=clock,
    )


@asynccontextmanager
async def opened(
    url: str, clock: FrozenClock, *, capacity: int = 1000, per_owner: int = 100
) -> AsyncIterator[RedisStore]:
    """Open a store whose memory began long ago: the clock goes on by an hour."""
    one = store(url, clock, capacity=capacity, per_owner=per_owner)
    try:
        await one.prune(clock())
        clock.advance(3600)
        yield one
    finally:
        await one.close()


def use(
    item: str,
    clock: Callable[[], float],
    *,
    owner: str = "owner",
    ago: float = 10,
    ahead: float = 40,
) -> Use:
    """Return a use that could have been made for a little while, and expires soon."""
    now = clock()
    return Use(owner, item, now - ago, now + ahead, now)


async def used(
    one: RedisStore,
    item: str,
    clock: Callable[[], float],
    *,
    owner: str = "owner",
    ago: float = 10,
    ahead: float = 40,
) -> bool | str:
    """Use something: True, False, or why there was no answer."""
    try:
        return await one.use(use(item, clock, owner=owner, ago=ago, ahead=ahead))
    except StoreError as error:
        return error.reason


def handle(number: int) -> bytes:
    """Return one of many handles."""
    return number.to_bytes(16, "big")


def revocation(number: int, *, before: float = START, until: float = START + 9e5) -> Entry:
    """Return one of many revocations."""
    return Entry(handle(number), before, until)


async def everything(one: RedisStore, cursor: str | None = None) -> tuple[dict[bytes, Entry], str]:
    """Read page after page to the end."""
    found: dict[bytes, Entry] = {}
    while True:
        page = await one.since(cursor)
        found.update((entry.handle, entry) for entry in page.entries)
        cursor = page.cursor
        if not page.more:
            return found, cursor


#: Everything that a store is asked for.
ASKING: Final[dict[str, Callable[[RedisStore], Coroutine[object, object, object]]]] = {
    "use": lambda one: one.use(use("a", FrozenClock(START))),
    "revoke": lambda one: one.revoke((revocation(1),)),
    "since": lambda one: one.since(None),
    "prune": lambda one: one.prune(START),
    "changes": lambda one: anext(one.changes()),
}


async def refused(one: RedisStore, name: str) -> str:
    """Ask for something that gets no answer, and return why; in bounded time, with nothing else."""
    begun = time.monotonic()
    with pytest.raises(StoreError) as caught:
        await ASKING[name](one)
    assert time.monotonic() - begun < 2 * one._timeout + 1
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert one.health().last_error == caught.value.reason == str(caught.value)
    age = one.health().last_error_age
    assert age is not None
    assert 0 <= age < 60
    shown = "".join(traceback.format_exception(caught.value)) + repr(one) + repr(one._place)
    assert SECRET not in shown
    assert "127.0.0.1" not in shown
    await one.close()
    return caught.value.reason
