"""Input and output has one loop, wherever the question comes from."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
import trio

from portvakt import ConfigurationError
from portvakt.home import Home, finish


async def where(answer: int) -> tuple[int, str]:
    await asyncio.sleep(0)
    return answer, threading.current_thread().name


def test_a_thread_of_its_own_is_home_when_nobody_offered_a_loop() -> None:
    home = Home()
    assert finish(home.blocked(where, 1)) == (1, "portvakt-home")
    assert asyncio.run(home.awaited(where, 2)) == (2, "portvakt-home")
    assert trio.run(home.awaited, where, 3) == (3, "portvakt-home")
    home.leave()


def test_the_loop_that_was_adopted_is_home() -> None:
    home = Home()
    main = threading.current_thread().name

    async def here() -> None:
        home.adopt()
        home.adopt()  # the second time changes nothing
        assert await home.awaited(where, 1) == (1, main)
        # From another thread, the same loop does the work.
        assert await asyncio.to_thread(lambda: finish(home.blocked(where, 2))) == (2, main)
        with pytest.raises(ConfigurationError, match="await check"):
            await home.blocked(where, 3)
        home.leave()

    asyncio.run(here())
    assert finish(home.blocked(where, 4)) == (4, "portvakt-home")
    home.leave()


def test_a_loop_that_was_closed_is_home_no_longer() -> None:
    home = Home()

    async def adopt() -> None:
        home.adopt()

    asyncio.run(adopt())
    assert finish(home.blocked(where, 1)) == (1, "portvakt-home")
    home.leave()
    home.leave()  # leaving twice is not a mistake


def test_a_failure_at_home_reaches_the_caller() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError

    home = Home()
    with pytest.raises(LookupError):
        finish(home.blocked(fail))
    with pytest.raises(LookupError):
        asyncio.run(home.awaited(fail))
    home.leave()


def test_many_threads_make_one_home() -> None:
    home = Home()
    loops: set[int] = set()

    async def loop_id() -> int:
        return id(asyncio.get_running_loop())

    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        loops.add(finish(home.blocked(loop_id)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loops) == 1
    home.leave()


def test_what_goes_on_in_the_background_is_cancelled_when_the_thread_ends() -> None:
    home, ended = Home(), threading.Event()
    tasks = []

    async def renew() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # closes what it has open, which may take a moment
            ended.set()

    async def begin() -> threading.Thread:
        tasks.append(asyncio.create_task(renew()))
        await asyncio.sleep(0)
        return threading.current_thread()

    thread = finish(home.blocked(begin))
    home.leave()
    thread.join(10)
    assert not thread.is_alive()
    assert ended.is_set()
    assert tasks[0].cancelled()
    assert tasks[0].get_loop().is_closed()


async def never(begun: threading.Event) -> None:
    begun.set()
    await asyncio.Event().wait()


def test_who_waits_when_the_home_is_left_gets_an_error() -> None:
    home, begun = Home(), threading.Event()

    def leave() -> None:
        begun.wait()
        begun.clear()
        home.leave()

    ways: list[Callable[[], object]] = [
        lambda: finish(home.blocked(never, begun)),
        lambda: asyncio.run(home.awaited(never, begun)),
        lambda: trio.run(home.awaited, never, begun),
    ]
    for wait in ways:
        leaving = threading.Thread(target=leave)
        leaving.start()
        with pytest.raises((RuntimeError, CancelledError)):
            wait()
        leaving.join()


def test_who_is_cancelled_cancels_what_it_waits_for() -> None:
    home, begun, ended = Home(), threading.Event(), threading.Event()

    async def work() -> None:
        try:
            await never(begun)
        finally:
            ended.set()

    async def wait() -> None:
        waiting = asyncio.create_task(home.awaited(work))
        await asyncio.to_thread(begun.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(wait())
    assert ended.wait(10)
    home.leave()


def test_what_is_just_done_when_the_home_is_left_is_told() -> None:
    home = Home()
    answers: list[int] = []

    async def work() -> int:
        home.leave()
        await asyncio.sleep(0)  # done in the very turn in which the loop stops
        return 7

    asking = threading.Thread(target=lambda: answers.append(finish(home.blocked(work))))
    asking.daemon = True  # so that a test that fails does not hang
    asking.start()
    asking.join(10)
    assert answers == [7]


def test_work_is_never_handed_to_a_home_that_is_just_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handing over and leaving take turns: behind its end, a loop would never run the work."""
    home = Home()
    hand_over = asyncio.run_coroutine_threadsafe
    stop = asyncio.BaseEventLoop.stop
    held: list[bool] = []

    def handed(*work: Any) -> Any:
        held.append(home._lock.locked())
        return hand_over(*work)

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", handed)
    finish(home.blocked(where, 1))
    loop = home._loop
    assert loop is not None
    told = loop.call_soon_threadsafe

    def call(callback: Any, *rest: Any) -> Any:
        assert callback == stop.__get__(loop)
        held.append(home._lock.locked())
        return told(callback, *rest)

    monkeypatch.setattr(loop, "call_soon_threadsafe", call)
    home.leave()
    assert held == [True, True]


FORKING = """
import asyncio, os, threading
from fake_fetch import FakeFetch, answer
from portvakt import Guard
from portvakt.net.cache import Budget, Schedule
from portvakt.net.remote_keys import KeyEndpoint, RemoteKeys
from portvakt.testing import FakeIssuer

issuer = FakeIssuer()
asked, answered = threading.Event(), threading.Event()

class Fetch(FakeFetch):
    async def send(self, *args, **kwargs):
        asked.set()
        while not answered.is_set():
            await asyncio.sleep(0)
        return await super().send(*args, **kwargs)

fetch = Fetch({"keys": answer(issuer.jwks())})
endpoint = KeyEndpoint(
    where="keys", fetch=fetch, pinned=frozenset(), schedule=Schedule(), file=None
)
keys = RemoteKeys(issuer.trusted, endpoint, budget=Budget())
guard = Guard(issuers=[issuer.trusted], keys=keys, clock=issuer.clock)
request = issuer.request(issuer.token())
decisions = []

def ask():
    decisions.append(guard.check_blocking(request))

thread = threading.Thread(target=ask)
thread.start()
asked.wait()
child = os.fork()
if child == 0:
    answered.set()
    assert guard.check_blocking(request).admitted
    assert len(fetch.asked) == 1
    assert guard.health().ready
    assert not guard.check_blocking(issuer.request(issuer.forged("expired"))).admitted
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert not decisions
answered.set()
thread.join()
assert decisions[0].admitted
guard.home.leave()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_that_is_forked_while_keys_are_fetched_serves_by_itself(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(repository / "tests")},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_after_a_fork_there_is_a_new_home() -> None:
    home = Home()
    finish(home.blocked(where, 1))
    home._lock.acquire()  # as if another thread were just making one
    child = os.fork()
    if child == 0:  # pragma: no cover  the child reports by its exit status
        os._exit(0 if finish(home.blocked(where, 7)) == (7, "portvakt-home") else 1)
    home._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    home.leave()


def test_what_must_not_suspend_says_so() -> None:
    class Pause:
        def __await__(self) -> Generator[None]:
            yield

    async def yields() -> None:
        await Pause()

    with pytest.raises(RuntimeError, match="must not suspend"):
        finish(yields())
