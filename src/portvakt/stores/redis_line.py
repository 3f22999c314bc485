"""One connection to Redis or Valkey: what is said on it, and what its failures are called."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterError,
    InvalidResponse,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from portvakt.stores.base import StoreError

if TYPE_CHECKING:
    from redis.asyncio import Connection

    from portvakt.stores.redis_scripts import Script

__all__ = ["SENSELESS", "Line", "Listener", "acknowledged", "durable", "why", "written"]

#: What has to be set where a restart loses nothing.
_ON_DISK: Final = (
    (b"appendonly", b"yes"),
    (b"appendfsync", b"always"),
    (b"no-appendfsync-on-rewrite", b"no"),
)

#: Seconds of silence after which a sign of life is asked for.
_PULSE: Final = 5.0

_UNWRITTEN: Final = re.compile(rb"^aof_buffer_length:([0-9]+)\r?$", re.MULTILINE)
_PAUSE: Final = 0.01

#: What is said of an answer that is none.
SENSELESS: Final = "what the store answered makes no sense"

#: Fixed words for what redis-py raises; the first that fits.
_WHY: Final[tuple[tuple[tuple[type[Exception], ...], str], ...]] = (
    ((TimeoutError, RedisTimeoutError), "the store did not answer in time"),
    ((AuthenticationError, NoPermissionError), "the store does not accept these credentials"),
    ((BusyLoadingError,), "the store is still loading"),
    ((OutOfMemoryError,), "the store has no memory left"),
    ((ReadOnlyError,), "the store is a replica"),
    ((AskError,), "the store is one node of a cluster: the URL has to say redis+cluster"),
    ((ClusterError, TryAgainError), "this part of the cluster is not served"),
    ((ResponseError,), "the store refused a command"),
    ((RedisConnectionError, OSError), "the store cannot be reached"),
)


def why(error: Exception) -> str:
    """Say why there was no answer, in words that hold nothing of it."""
    for kinds, words in _WHY:
        if isinstance(error, kinds):
            return words
    return SENSELESS


class Line:
    """One connection while it is one caller's.

    Parameters:
        connection: redis-py's.
        asking: whether the node has to be told that another one sent us here.
    """

    __slots__ = ("_asking", "_connection")

    def __init__(self, connection: Connection, *, asking: bool = False) -> None:
        self._connection = connection
        self._asking = asking

    async def call(self, *words: bytes | str | float) -> Any:
        """Send one command, each word with its length before it, and return the answer."""
        if self._asking:
            await self._connection.send_command("ASKING")
            await self._connection.read_response()
        await self._connection.send_command(*words)
        return await self._connection.read_response()

    async def script(
        self, script: Script, keys: tuple[bytes, ...], *arguments: bytes | str | float
    ) -> list[Any]:
        """Run a script, which is sent only where the server does not have it.

        Raises:
            InvalidResponse: for an answer that none of our scripts gives.
        """
        try:
            answer = await self.call("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            answer = await self.call("EVAL", script.text, len(keys), *keys, *arguments)
        if not isinstance(answer, list):
            raise InvalidResponse
        return answer


async def durable(line: Line) -> bool:
    """Return whether every write is on the disk before it is answered; False if it will not say."""
    for name, wanted in _ON_DISK:
        try:
            if await line.call("CONFIG", "GET", name) != [name, wanted]:
                return False
        except ResponseError:
            return False
    return True


async def acknowledged(line: Line, wanted: int, seconds: float) -> None:
    """Wait until so many replicas have what this connection wrote.

    Raises:
        StoreError: if they do not in time.
    """
    if await line.call("WAIT", wanted, max(1, int(seconds * 1000))) < wanted:
        raise StoreError("it is written, but too few replicas of the store have it")


async def written(line: Line) -> None:
    """Wait until the server has handed all that it was told to its operating system.

    A server that is waiting for its disk answers up to two seconds earlier, if it is set to
    ``appendfsync everysec``.
    """
    while True:
        found = _UNWRITTEN.search(await line.call("INFO", "persistence"))
        if found is None:
            raise InvalidResponse
        if int(found[1]) == 0:
            return
        await asyncio.sleep(_PAUSE)


class Listener:
    """A connection on which nothing is said but what changes.

    Parameters:
        connection: redis-py's, not yet open and nobody else's.
        channel: what is listened to.
        timeout: how long a sign of life that was asked for may take.
    """

    __slots__ = ("_channel", "_connection", "_timeout")

    def __init__(self, connection: Connection, channel: bytes, timeout: float) -> None:
        self._connection = connection
        self._channel = channel
        self._timeout = timeout

    async def open(self) -> None:
        """Listen from now on.

        Raises:
            RedisError, OSError: what redis-py raises.
        """
        try:
            await self._connection.connect()  # type: ignore[no-untyped-call]
            await self._connection.send_command("SUBSCRIBE", self._channel)
            if not isinstance(await self._connection.read_response(), list):
                raise InvalidResponse  # noqa: TRY301  as what redis-py raises
        except BaseException:
            await self.close()
            raise

    async def heard(self) -> bool:
        """Wait for something to happen; False for a sign of life that was asked for.

        Raises:
            StoreError: if the connection has ended, or stays silent.
        """
        try:
            said = await self._connection.read_response(timeout=_PULSE) or await self._alive()
        except (RedisError, OSError, ValueError):
            said = None
        if not isinstance(said, list):
            raise StoreError("the store no longer says what changes")
        return said[:1] == [b"message"]

    async def _alive(self) -> Any:
        """Ask for a sign of life, and return what comes; None if nothing does."""
        await self._connection.send_command("PING")
        return await self._connection.read_response(timeout=self._timeout)

    async def close(self) -> None:
        """End it without a word."""
        await self._connection.disconnect(nowait=True)
