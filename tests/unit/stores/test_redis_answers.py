"""Servers that answer as no Redis does: nothing of it is believed, and nothing else is raised."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from keeping import at_home
from portvakt.stores.base import StoreError
from portvakt.testing.clock import FrozenClock
from redis_stores import ASKING, START, refused, revocation, store, used

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

SENSELESS = "what the store answered makes no sense"
ON_DISK = b"*3\r\n:1\r\n:0\r\n:1\r\n"


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(START)


@asynccontextmanager
async def serving(answer: Callable[[bytes], bytes | None]) -> AsyncIterator[int]:
    """Answer whatever is asked, on a port of loopback; with None, hang up."""
    ended: list[Awaitable[object]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        done = asyncio.get_running_loop().create_future()
        ended.append(done)
        try:
            while asked := await reader.read(100_000):
                if (said := answer(asked)) is None:
                    break
                writer.write(said)
        except ConnectionError:
            pass
        finally:
            writer.close()
            done.set_result(None)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await asyncio.gather(*ended)


def in_turn(*answers: bytes) -> Callable[[bytes], bytes | None]:
    """Give one answer after the other, whatever is asked."""
    left = iter(answers)
    return lambda _asked: next(left, None)


def bulk(text: str) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text.encode())


@pytest.mark.parametrize("name", list(ASKING))
@at_home
async def test_what_is_no_redis_is_not_believed(clock: FrozenClock, name: str) -> None:
    async with serving(lambda _asked: b"HTTP/1.1 200 OK\r\n\r\n") as port:
        one = store(f"redis://127.0.0.1:{port}", clock)
        assert await refused(one, name) == SENSELESS


@pytest.mark.parametrize("answer", [b":1\r\n", b"+OK\r\n", b"*1\r\n:5\r\n", b"$-1\r\n", b"*-1\r\n"])
@pytest.mark.parametrize("name", ["use", "since", "revoke", "prune"])
@at_home
async def test_an_answer_that_makes_no_sense_is_none(
    clock: FrozenClock, name: str, answer: bytes
) -> None:
    async with serving(lambda _asked: answer) as port:
        one = store(f"redis://127.0.0.1:{port}", clock)
        assert await refused(one, name) == SENSELESS


@at_home
async def test_a_revocation_waits_until_the_server_has_written_it(clock: FrozenClock) -> None:
    waiting, done = (bulk(f"# Persistence\r\naof_buffer_length:{n}\r\n") for n in (17, 0))
    left = in_turn(b"+PONG\r\n", ON_DISK, waiting, waiting, done, b"-ERR too many\r\n")
    async with serving(left) as port:
        one = store(f"redis://127.0.0.1:{port}", clock)
        await one.revoke((revocation(1),))
        assert await refused(one, "since") == "the store refused a command"


@at_home
async def test_a_server_that_does_not_say_whether_it_has_is_not_believed(
    clock: FrozenClock,
) -> None:
    async with serving(in_turn(b"+PONG\r\n", ON_DISK, bulk("# Persistence\r\n"))) as port:
        one = store(f"redis://127.0.0.1:{port}", clock)
        assert await refused(one, "revoke") == SENSELESS


@pytest.mark.parametrize("answer", [b":1\r\n", b"+OK\r\n", b"-ERR no\r\n", b"$-1\r\n"])
@at_home
async def test_a_listener_that_is_told_something_else_ends(
    clock: FrozenClock, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portvakt.stores.redis_line._PULSE", 0.02)
    listening = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n"
    async with serving(in_turn(listening, answer, answer)) as port:
        one = store(f"redis://127.0.0.1:{port}", clock)
        changes = one.changes()
        await anext(changes)
        with pytest.raises(StoreError, match="no longer says what changes"):
            await anext(changes)
        with pytest.raises(StoreError):
            await anext(one.changes())
        await one.close()


@at_home
async def test_a_listener_takes_a_sign_of_life_for_no_change(
    clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portvakt.stores.redis_line._PULSE", 0.02)
    listening = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n"
    alive = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
    changed = b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n"
    asked: list[bytes] = []
    answers = in_turn(listening, alive, changed)

    def answer(said: bytes) -> bytes | None:
        asked.append(said)
        return answers(said)

    async with serving(answer) as port:
        one = store(f"redis://127.0.0.1:{port}", clock)
        changes = one.changes()
        await anext(changes)
        await anext(changes)
        assert len(asked) == 3
        await changes.aclose()
        await one.close()


@at_home
async def test_a_cluster_that_sends_us_in_a_circle_is_no_answer(clock: FrozenClock) -> None:
    ports: list[int] = []

    def answer(asked: bytes) -> bytes:
        if b"SLOTS" in asked:  # Its own name is not known to it.
            return b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:%d\r\n" % ports[0]
        return b"+PONG\r\n" if b"PING" in asked else b"-MOVED 1 :%d\r\n" % ports[0]

    async with serving(answer) as port:
        ports.append(port)
        one = store(f"redis+cluster://127.0.0.1:{port}", clock)
        assert await used(one, "a", clock) == "this part of the cluster is not served"
        await one.close()
