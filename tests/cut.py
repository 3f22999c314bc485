"""The network between a guard and its store: it can be cut, swallow everything, and be healed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Cut", "wires"]

#: The words with which a guard asks a server to be told of changes.
_LISTENING = (b"LISTEN", b"SUBSCRIBE")


class State(Enum):
    """How a network is."""

    WHOLE = "whole"
    CUT = "cut"
    SWALLOWING = "swallowing"


class Cut:
    """One way to one port of a server, on a port of its own.

    Parameters:
        target: the port of the server on this machine.
        port: its own; any, if not stated.

    Attributes:
        hushed: whether nothing more comes back on connections that listen for changes: what a
            server pushes is lost, and everything else arrives.
    """

    def __init__(self, target: int, port: int = 0) -> None:
        self._target = target
        self.port = port
        self.hushed = False
        self._state = State.WHOLE
        self._whole = asyncio.Event()
        self._whole.set()
        self._lines: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> Self:
        """Take connections from now on."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        """Take none any more, and end those that there are."""
        assert self._server is not None
        self._server.close()
        await self._end()

    async def cut(self) -> None:
        """End every connection, and every new one at once."""
        self._become(State.CUT)
        await self._end()

    def swallow(self) -> None:
        """Let connections stay and be made, and nothing through them, either way."""
        self._become(State.SWALLOWING)

    async def heal(self) -> None:
        """Let everything through again. What was swallowed is lost, and so its connections end."""
        await self._end()
        self._become(State.WHOLE)

    def _become(self, state: State) -> None:
        self._state = state
        if state is State.WHOLE:
            self._whole.set()
        else:
            self._whole.clear()

    async def _end(self) -> None:
        lines = tuple(self._lines)
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.current_task()
        assert line is not None
        self._lines.add(line)
        out: asyncio.StreamWriter | None = None
        try:
            if self._state is State.CUT:
                return
            await self._whole.wait()
            back, out = await asyncio.open_connection("127.0.0.1", self._target)
            listens: list[bool] = []
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, out, listens))
                both.create_task(self._carry_back(back, writer, listens))
        except (asyncio.CancelledError, OSError, ExceptionGroup):
            pass  # Whoever is at an end of it notices.
        finally:
            self._lines.discard(line)
            for one in (writer, out):
                if one is not None:
                    one.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listens: list[bool]
    ) -> None:
        while octets := await reader.read(65536):
            if any(word in octets for word in _LISTENING):
                listens.append(True)
            await self._pass(octets, writer)
        raise ConnectionError("one end is closed")

    async def _carry_back(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listens: list[bool]
    ) -> None:
        while octets := await reader.read(65536):
            if not (self.hushed and listens):
                await self._pass(octets, writer)
        raise ConnectionError("one end is closed")

    async def _pass(self, octets: bytes, writer: asyncio.StreamWriter) -> None:
        if self._state is State.WHOLE:
            with suppress(ConnectionError):
                writer.write(octets)
                await writer.drain()


@asynccontextmanager
async def wires(ways: dict[int, int]) -> AsyncIterator[tuple[Cut, ...]]:
    """Open a way to each port of a server.

    Parameters:
        ways: the port of each way, 0 for any, by the port that it leads to.
    """
    opened = [await Cut(target, port).open() for target, port in ways.items()]
    try:
        yield tuple(opened)
    finally:
        for one in opened:
            await one.close()
