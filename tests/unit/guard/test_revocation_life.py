"""The mirror in threads, in the children of a fork, and when its loop is gone."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import pytest

from fake_store import FakeRevocations
from mirroring import NOW, asked_again, code_of, entry, mirror_of, token_of
from portvakt.guard import revocation
from portvakt.home import Home, finish
from portvakt.refusal import Code
from portvakt.stores.base import Entry
from portvakt.testing.clock import FrozenClock

REVOKED: Final = Code.TOKEN_REVOKED

FORKING: Final = """
import math, os, time
from fake_store import FakeRevocations
from mirroring import code_of, entry, mirror_of, token_of
from portvakt.home import Home, finish
from portvakt.refusal import Code

home, store = Home(), FakeRevocations([entry("gone")], pushing=True)
mirror = mirror_of(store, time.monotonic, max_staleness=600)
finish(home.blocked(mirror.catch_up))
assert code_of(mirror, token_of()) is None
# As if the parent's home were in the middle of taking something in.
mirror.revoked._lock.acquire()
child = os.fork()
if child == 0:
    assert not mirror.current()
    assert not mirror.health().push
    assert code_of(mirror, token_of()) is Code.REVOCATION_UNAVAILABLE
    assert code_of(mirror, token_of("gone")) is Code.TOKEN_REVOKED
    store.write(entry("later"))
    asked = len(store.asked)
    finish(home.blocked(mirror.catch_up))
    assert len(store.asked) > asked
    assert mirror.current()
    assert code_of(mirror, token_of("later")) is Code.TOKEN_REVOKED
    assert code_of(mirror, token_of()) is None
    finish(home.blocked(mirror.revoke, (entry(),)))
    assert code_of(mirror, token_of()) is Code.TOKEN_REVOKED
    assert all(not task.done() for task in mirror._tasks)
    os._exit(7)
mirror.revoked._lock.release()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert mirror.current()
assert code_of(mirror, token_of()) is None

# And a child whose store is out of reach admits nobody.
child = os.fork()
if child == 0:
    store.failing = OSError()
    finish(home.blocked(mirror.catch_up))
    assert code_of(mirror, token_of()) is Code.REVOCATION_UNAVAILABLE
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
home.leave()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_of_a_fork_catches_up_by_itself_before_it_admits_anyone(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([f"{repository}/src", f"{repository}/tests"]),
        },
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_after_a_fork_nothing_of_the_parent_counts_but_what_is_revoked() -> None:
    home, store = Home(), FakeRevocations([entry("gone")])
    mirror = mirror_of(store, FrozenClock(0))
    finish(home.blocked(mirror.catch_up))
    tasks = mirror._tasks
    revocation._forget_the_parent()  # as the system calls it in the child
    assert not mirror.current()
    assert code_of(mirror, token_of("gone")) is REVOKED
    assert not any(task.done() for task in tasks)
    finish(home.blocked(mirror.catch_up))
    assert mirror.current()
    home.leave()


def test_when_its_loop_is_gone_it_grows_stale_and_the_next_request_brings_up_another() -> None:
    clock, store = FrozenClock(0), FakeRevocations([entry("gone")])
    mirror = mirror_of(store, clock)
    gone = asyncio.new_event_loop()
    gone.run_until_complete(mirror.catch_up())
    clock.set(5.9)
    assert code_of(mirror, token_of()) is None
    clock.set(6)
    assert code_of(mirror, token_of()) is Code.REVOCATION_UNAVAILABLE

    async def another() -> None:
        store.answering = asyncio.Event()
        store.answering.set()
        await mirror.catch_up()
        assert code_of(mirror, token_of()) is None
        await asked_again(mirror)
        mirror.close()

    asyncio.run(another())
    for task in asyncio.all_tasks(gone):
        task.cancel()
    gone.run_until_complete(asyncio.sleep(0))
    gone.close()


def test_threads_ask_while_it_changes() -> None:
    """What is revoked is refused from the moment at which it is in; nobody else ever is."""
    home, store = Home(), FakeRevocations(page=50)
    mirror = mirror_of(store, FrozenClock(0), max_staleness=3600)
    finish(home.blocked(mirror.catch_up))
    honest = token_of("honest")
    tokens = [token_of(str(one)) for one in range(2000)]
    revoked = 0
    flaws: list[str] = []
    asked, done = threading.Barrier(5), threading.Event()

    def ask() -> None:
        asked.wait()
        while not done.is_set():
            known = revoked
            if code_of(mirror, honest) is not None:
                flaws.append("an honest token was refused")
            flaws.extend(
                f"{one} of {known} was admitted"
                for one in (known - 1, known // 2, 0)
                if 0 <= one < known and code_of(mirror, tokens[one]) is not REVOKED
            )

    threads = [threading.Thread(target=ask) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        asked.wait()
        for first in range(0, 2000, 100):
            finish(home.blocked(mirror.revoke, tuple(entries(first, 100))))
            revoked = first + 100
            # Among them what has ended long ago, which goes while they ask.
            ended = [entry(f"ended {one}", expires_at=NOW - 1000) for one in range(first)]
            mirror.revoked.put(ended)
            for _ in mirror.revoked.forget(NOW):
                pass
    finally:
        done.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert not flaws
    assert mirror.health().entries == 2000
    home.leave()


def entries(first: int, number: int) -> list[Entry]:
    return [entry(str(one)) for one in range(first, first + number)]


def test_threads_that_write_at_once_lose_nothing() -> None:
    """There is one home at a time, but nothing depends on that."""
    mirror = mirror_of(FakeRevocations(), FrozenClock(0))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def write(times: range) -> None:
        for before in times:
            mirror.revoked.put([entry(issued_before=NOW + before)])

    orders = [range(1, 2001), range(2000, 0, -1), range(1, 1900), range(1900, 0, -1)]
    threads = [threading.Thread(target=write, args=(order,)) for order in orders]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert mirror.revoked.names(token_of(issued_at=NOW + 1999), NOW)
    assert not mirror.revoked.names(token_of(issued_at=NOW + 2000), NOW)
