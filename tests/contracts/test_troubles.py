"""What every store promises when things go wrong: an answer in time, no guess, and no secret."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from math import inf
from typing import TYPE_CHECKING

import pytest

from portvakt.stores.base import Entry, StoreError
from portvakt.stores.opened import open_store
from servers import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

    from portvakt.stores.base import Store
    from store_servers import Kind, Server

#: Seconds beyond a timeout that a machine with much to do may take.
PATIENCE = 3.0

HANDLE = b"\x01" * 16


def served(kind: Kind) -> Server:
    if kind.server is None:
        pytest.skip("no server of our own")
    return kind.server


@contextmanager
def hanging(kind: Kind) -> Iterator[None]:
    """Make a store hang: its server, or somebody who has its file."""
    if kind.name == "sqlite":
        import sqlite3

        other = sqlite3.connect(kind.url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()
        return
    server = served(kind)
    server.pause()
    try:
        yield
    finally:
        server.resume()


def run(
    kind: Kind, test: Callable[[Store], Coroutine[None, None, None]], timeout: float = 10.0
) -> None:
    async def whole() -> None:
        store = kind.open(timeout=timeout)
        try:
            await test(store)
        finally:
            await store.close()

    asyncio.run(whole())


async def works(kind: Kind, store: Store, item: str) -> None:
    """It does, at most a little later: a server that starts is not there at once."""
    end = time.monotonic() + 30
    while True:
        try:
            assert await store.use(kind.use(item))
            await store.revoke((Entry(HANDLE, inf, kind.clock() + 60),))
        except StoreError:
            assert time.monotonic() < end
            # Where it has lost its memory, that begins anew, and goes on.
            await kind.passes(10)
            item += "x"
            await asyncio.sleep(0.1)
        else:
            return


@pytest.mark.attack("RPL-06", "DOS-10")
def test_a_store_that_hangs_is_given_up_in_time_and_works_again(shared: Kind) -> None:
    async def test(store: Store) -> None:
        assert await store.use(shared.use("a"))
        asked: dict[str, Callable[[], Coroutine[None, None, object]]] = {
            "use": lambda: store.use(shared.use("b")),
            "revoke": lambda: store.revoke((Entry(HANDLE, inf, shared.clock() + 60),)),
            "prune": lambda: store.prune(shared.clock()),
        }
        if shared.name != "sqlite":
            # A reader of SQLite does not wait for its writer.
            asked["since"] = lambda: store.since(None)
        with hanging(shared):
            for ask in asked.values():
                began = time.monotonic()
                with pytest.raises(StoreError):
                    await ask()
                assert time.monotonic() - began < 0.5 + PATIENCE
            began = time.monotonic()
            many = [store.use(shared.use(f"many-{n}")) for n in range(30)]
            answers = await asyncio.gather(*many, return_exceptions=True)
            assert all(isinstance(one, StoreError) for one in answers)
            assert time.monotonic() - began < 0.5 + PATIENCE
            assert store.health().last_error is not None
        await works(shared, store, "c")
        assert store.health().last_error is None

    run(shared, test, timeout=0.5)


@pytest.mark.attack("RPL-06")
def test_a_server_that_is_gone_is_an_error_and_it_works_again_when_it_is_back(
    shared: Kind,
) -> None:
    server = served(shared)

    async def test(store: Store) -> None:
        assert await store.use(shared.use("a"))
        server.stop()
        try:
            for ask in (
                store.use(shared.use("b")),
                store.revoke((Entry(HANDLE, inf, shared.clock() + 60),)),
                store.since(None),
                store.prune(shared.clock()),
            ):
                with pytest.raises(StoreError):
                    await ask
        finally:
            server.start()
        await works(shared, store, "c")

    run(shared, test)


@pytest.mark.attack("RPL-06")
def test_a_server_that_is_killed_has_forgotten_nothing_that_it_admits(shared: Kind) -> None:
    server = served(shared)

    async def test(store: Store) -> None:
        uses = [shared.use(str(n)) for n in range(20)]
        for use in uses:
            assert await store.use(use)
        await store.revoke((Entry(HANDLE, inf, shared.clock() + 60),))
        server.kill()
        server.start()
        again = shared.open()
        for one in (store, again):
            for use in uses:
                with suppress(StoreError):
                    assert not await one.use(use)
        await works(shared, store, "new")
        await again.close()

    run(shared, test)


def test_whoever_listens_is_told_when_the_server_is_gone(shared: Kind) -> None:
    server = served(shared)

    async def test(store: Store) -> None:
        changes = store.changes()
        await asyncio.wait_for(anext(changes), 20)
        told = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0.1)
        server.stop()
        try:
            with pytest.raises(StoreError):
                await asyncio.wait_for(told, 20)
            with pytest.raises(StoreError):
                await asyncio.wait_for(anext(store.changes()), 20)
        finally:
            server.start()
        await works(shared, store, "a")

    run(shared, test)


def test_it_works_on_one_loop_after_the_other(kind: Kind) -> None:
    store = kind.open()

    async def first() -> None:
        assert await store.use(kind.use("a"))

    async def second() -> None:
        assert not await store.use(kind.use("a"))
        assert await store.use(kind.use("b"))

    asyncio.run(first())
    asyncio.run(second())
    asyncio.run(second_and_close(store, kind))


async def second_and_close(store: Store, kind: Kind) -> None:
    assert not await store.use(kind.use("b"))
    await store.close()


def test_it_works_on_another_loop_while_the_first_goes_on(kind: Kind) -> None:
    store = kind.open()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        there = asyncio.run_coroutine_threadsafe(store.use(kind.use("a")), loop)
        assert there.result(20)

        async def here() -> None:
            assert not await store.use(kind.use("a"))
            await store.close()

        asyncio.run(here())
        there = asyncio.run_coroutine_threadsafe(store.use(kind.use("a")), loop)
        assert not there.result(20)
        asyncio.run_coroutine_threadsafe(store.close(), loop).result(20)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


FORKING = """
import asyncio, os, sys, time, warnings
from portvakt.stores.base import Use
from portvakt.stores.opened import open_store

url, password, now = sys.argv[1], sys.argv[2] or None, float(sys.argv[3])
store = open_store(url, password=password, timeout=10.0, replay_capacity=100, replay_per_owner=100,
                   clock=lambda: now)

def used(item):
    return asyncio.run(store.use(Use("owner", item, now, now + 60, now)))

def quietly(loop, item):
    return loop.run_until_complete(store.use(Use("owner", item, now, now + 60, now)))

loop = asyncio.new_event_loop()
assert quietly(loop, "before")
children = []
for name in "ab":
    child = os.fork()
    if child == 0:
        # Both of its loops are its own.
        code = 0 if not used("before") and used(name) and not used(name) else 1
        os._exit(code)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert codes == [0, 0], codes
# The parent's connection is as it was.
assert not quietly(loop, "a")
assert not quietly(loop, "b")
assert quietly(loop, "after")
loop.run_until_complete(store.close())
loop.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_it_works_in_the_children_of_a_fork_and_in_their_parent(shared: Kind) -> None:
    arguments = [shared.url, shared.password or "", str(shared.clock())]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    # From Python 3.12 on a fork beside threads is warned of, and this is just what is tested.
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", FORKING]
    result = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=environ,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_nothing_that_it_says_holds_a_secret(
    shared: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "a-wrong-password-of-the-tests"
    said: list[str] = []

    async def test(store: Store) -> None:
        asked: list[Awaitable[object]] = [
            store.use(shared.use("an-item-nobody-sees")),
            store.revoke((Entry(HANDLE, inf, shared.clock() + 60),)),
            store.since(None),
            store.prune(shared.clock()),
            anext(store.changes()),
        ]
        for ask in asked:
            (answer,) = await asyncio.gather(ask, return_exceptions=True)
            if isinstance(answer, BaseException):
                assert isinstance(answer, StoreError)
                said.extend((repr(answer), *traceback.format_exception(answer)))
                said.append(repr(answer.__context__))
            said.extend((repr(store), repr(vars(store)), repr(store.health())))

    def opened(url: str, password: str | None) -> Store:
        return open_store(
            url,
            password=password,
            timeout=1.0,
            replay_capacity=10,
            replay_per_owner=10,
            clock=shared.clock,
        )

    stores = [shared.open()]
    if shared.name != "sqlite":
        # Nobody is there; and a password that is not its own.
        scheme = shared.url.partition("://")[0]
        stores.append(opened(f"{scheme}://portvakt@127.0.0.1:1/0", PASSWORD))
        stores.append(opened(shared.url, wrong))
    for store in stores:

        async def whole(store: Store = store) -> None:
            await test(store)
            await store.close()

        asyncio.run(whole())
    text = "\n".join([*said, caplog.text])
    assert said
    assert PASSWORD not in text
    assert wrong not in text
    assert "an-item-nobody-sees" not in "\n".join(said)
    assert HANDLE.hex() not in text
