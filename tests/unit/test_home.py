"""Input and output has one loop, wherever the question comes from."""

import asyncio
import os
import threading
from collections.abc import Generator

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
