"""What the tests of connections that last share: a server in memory, on asyncio and on trio."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.lowlevel

from portvakt.adapters.asgi import GuardMiddleware

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from portvakt import Guard
    from portvakt.adapters.asgi import Application, Message, Scope

#: Event loops that ASGI servers run on.
LOOPS: Final = ("asyncio", "trio")


class Client:
    """Who holds a connection open: reads what comes, and says something when a test wants it.

    Attributes:
        received: what came.
        reads: not set, nothing more is taken: a client that does not read.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.received: list[Message] = []
        self.reads = anyio.Event()
        self.reads.set()
        self._in, self._out = anyio.create_memory_object_stream[Any](math.inf)
        self._news = anyio.Event()

    def say(self, **message: Any) -> None:
        self._in.send_nowait(message)

    async def receive(self) -> Message:
        message: Message = await self._out.receive()
        return message

    async def send(self, message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        await self.reads.wait()
        self.received.append(message)
        self._news.set()
        self._news = anyio.Event()

    async def until(self, kind: str) -> Message:
        """Wait for a message of this type, and return the last one that came."""
        with anyio.fail_after(5):
            while True:
                for message in self.received:
                    if message["type"] == kind:
                        return message
                await self._news.wait()

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.received]

    def close(self) -> None:
        self._in.close()
        self._out.close()


def scope_of(token: str | None, kind: str = "http", path: str = "/", **more: Any) -> dict[str, Any]:
    credential = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    return {
        "type": kind,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": credential,
        "client": ("192.0.2.1", 50000),
        **more,
    }


def connected(
    loop: str,
    guard: Guard,
    app: Application,
    scope: Scope,
    test: Callable[[Client], Awaitable[None]],
    *,
    says: Iterable[Message] = (),
) -> Client:
    """Serve one connection while a test goes on, and return what the client got in the end."""

    async def serve() -> Client:
        client = Client(scope)
        middleware = GuardMiddleware(app, guard)
        for message in says:
            client.say(**message)
        try:
            async with anyio.create_task_group() as tasks:

                async def server() -> None:
                    await middleware(scope, client.receive, client.send)
                    client.received.append({"type": "returned"})
                    client._news.set()

                tasks.start_soon(server)
                await test(client)
                with anyio.fail_after(5):
                    while client.kinds()[-1:] != ["returned"]:
                        await client._news.wait()
        finally:
            client.close()
        return client

    return anyio.run(serve, backend=loop)
