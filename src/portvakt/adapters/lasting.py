"""Connections that outlive one answer end when their token does (HTTP-16).

**Which.** WebSockets, from when they are accepted; and responses that are streamed, from their
first part that is not the last: Server-Sent Events, downloads. Any other request was judged when it
came and is answered, however long that takes.

**When.** At ``exp`` with the issuer's leeway, or when the token is revoked: then a new request
would be refused. Nothing is passed on after that in either direction, as each message is looked at;
and a connection on which nothing is passed on is closed by the
:mod:`watch <portvakt.adapters.watch>`. If it is not known any more what is revoked, all end, unless
the route says ``unsafe_on_stale``.

**How.** A WebSocket is closed with 1008 and the OAuth error code as its reason
(``invalid_token``): who connects again with a new token is welcome. With 1013 if the guard cannot
tell at the moment: try again later. A stream of events ends, as streams of events do. Any other
response is cut off where it is, for nobody should take half of a file for the whole of it.

The application is told as if the client had gone: ``websocket.disconnect`` if it waits for a
message, and :class:`ConnectionEnded`, an ``OSError``, if it sends one. If it waits for anything
else it is cancelled, and again from look to look until it is gone.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable
from contextlib import nullcontext, suppress
from typing import Final

import anyio
from anyio.lowlevel import RunVar

from portvakt.adapters.answering import POLICY_VIOLATION, answer
from portvakt.adapters.judgement import Application, Judgement, Message, Receive, Scope, Send
from portvakt.adapters.watch import Lease, Watch
from portvakt.guard import Guard

__all__ = ["ConnectionEnded", "Lasting"]

#: RFC 6455's registry: the server cannot tell at the moment, and the client may come again.
_TRY_AGAIN_LATER: Final = 1013

#: Seconds that a client who does not read has for the end of its connection, and that an
#: application has to let go of it when it was told.
_PATIENCE: Final = 1.0

_EVENTS: Final = b"text/event-stream"

#: What can end the work of an application from outside: asyncio's task, or another loop's scope.
Cancellable = asyncio.Task[object] | anyio.CancelScope


class ConnectionEnded(OSError):  # noqa: N818  it says what happened
    """The connection is closed because its token has ended. ASGI wants an OSError there."""

    def __init__(self) -> None:
        super().__init__("the connection has ended with its access token")


class Lasting:
    """Serves admitted requests, and ends those that outlive their token.

    Parameters:
        guard: who admitted them.
    """

    __slots__ = ("_guard", "_watch")

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._watch: RunVar[Watch] = RunVar("portvakt-watch")

    def watch(self) -> Watch:
        """Return what looks after the connections of the running event loop."""
        found = self._watch.get(None)
        if found is None:
            found = Watch(self._guard)
            self._watch.set(found)
        return found

    async def serve_request(
        self, app: Application, scope: Scope, receive: Receive, send: Send, judgement: Judgement
    ) -> None:
        """Let an application answer an admitted request for as long as it may."""
        work = _current_work()
        stream: _Stream | None = None
        start: Message = {}

        # Most answers are two messages, and this is all that they pay for the others.
        def observed(message: Message) -> Awaitable[None]:
            nonlocal stream, start
            if stream is None:
                if not message.get("more_body"):
                    start = message
                    return send(message)
                stream = _Stream(judgement, scope, send, work, self.watch(), start)
            return stream.send(message)

        try:
            if isinstance(work, anyio.CancelScope):
                with work:
                    await app(scope, receive, observed)
            else:
                await app(scope, receive, observed)
        except BaseException as error:
            if stream is None or not await stream.left(error):
                raise
        else:
            if stream is not None:
                await stream.left()

    async def serve_socket(
        self, app: Application, scope: Scope, receive: Receive, send: Send, judgement: Judgement
    ) -> None:
        """Let an application serve a WebSocket that was admitted for as long as it may."""
        work = _current_work()
        socket = _Socket(judgement, scope, send, work, self.watch(), receive)
        try:
            with work if isinstance(work, anyio.CancelScope) else nullcontext():
                await app(scope, socket.receive, socket.send)
        except BaseException as error:
            if not await socket.left(error):
                raise
        else:
            await socket.left()


class _Connection(Lease):
    """What streams and WebSockets have in common.

    Parameters:
        judgement: what became of the request.
        scope: its scope.
        send: where messages go.
        work: what serves it.
        watch: looks after it from :meth:`open` on.
    """

    __slots__ = (
        "_before",
        "_cancelled",
        "_is_finished",
        "_is_finishing",
        "_is_told",
        "_patient_until",
        "_send",
        "_watch",
        "_work",
    )

    def __init__(
        self, judgement: Judgement, scope: Scope, send: Send, work: Cancellable, watch: Watch
    ) -> None:
        super().__init__(judgement, scope)
        self._send = send
        self._work = work
        self._watch = watch
        # Somebody else may be cancelling it already.
        self._before = work.cancelling() if isinstance(work, asyncio.Task) else 0
        self._cancelled = 0
        self._is_told = False
        self._patient_until: float | None = None
        self._is_finished = self._is_finishing = False

    def end(self) -> None:
        """See :class:`Lease`."""
        now = anyio.current_time()
        if self._is_told or self._tell():
            self._is_told = True
            if self._patient_until is None:
                self._patient_until = now + _PATIENCE
            if now < self._patient_until or self._is_finishing:
                return
        self._cancelled += 1
        self._work.cancel()

    def _tell(self) -> bool:
        """Tell the application, if it waits for word; whether it did."""
        return False

    async def left(self, error: BaseException | None = None) -> bool:
        """Close what an application has left, if it had to.

        Parameters:
            error: what came out of it.

        Returns:
            whether that came of the end of the connection, and need not be raised.
        """
        self._watch.drop(self)
        ours = error is None
        if isinstance(self._work, asyncio.Task):
            for _ in range(self._cancelled):
                self._work.uncancel()
            if isinstance(error, asyncio.CancelledError):
                ours = self._cancelled > 0 and self._work.cancelling() <= self._before
        if self.ending is not None:
            await self.finish()
            ours = ours or _came_of_it(error)
        return ours

    async def finish(self) -> None:
        """Tell the client that it is over, once. One who does not read is not waited for."""
        if self._is_finished or self.ending is None:
            return
        self._is_finished = self._is_told = self._is_finishing = True
        with anyio.move_on_after(_PATIENCE, shield=True):
            # The server may be closing it already, or the client may have gone.
            with suppress(Exception):
                await self._close()
        self._is_finishing = False

    @abstractmethod
    async def _close(self) -> None:
        """Send the last message."""


class _Stream(_Connection):
    """A response of several parts.

    Parameters:
        start: the message in which it began.
    """

    __slots__ = ("_is_complete", "_start")

    def __init__(
        self,
        judgement: Judgement,
        scope: Scope,
        send: Send,
        work: Cancellable,
        watch: Watch,
        start: Message,
    ) -> None:
        super().__init__(judgement, scope, send, work, watch)
        self._start = start
        self._is_complete = False
        watch.add(self)

    async def send(self, message: Message) -> None:
        """Pass on a part, if it may be."""
        if not self._is_complete and self.has_ended():
            await self.finish()
            raise ConnectionEnded
        if message["type"] == "http.response.body" and not message.get("more_body"):
            # What the application does from now on is no answer any more.
            self._is_complete = True
            self._watch.drop(self)
        await self._send(message)

    async def _close(self) -> None:
        for name, value in self._start.get("headers") or ():
            if bytes(name).lower() == b"content-type" and bytes(value).lower().startswith(_EVENTS):
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        # Of anything else there is more to come, and the server cuts it off when this returns.


class _Socket(_Connection):
    """A WebSocket.

    Parameters:
        receive: where messages come from.
    """

    __slots__ = ("_is_open", "_receive", "_waiting")

    def __init__(
        self,
        judgement: Judgement,
        scope: Scope,
        send: Send,
        work: Cancellable,
        watch: Watch,
        receive: Receive,
    ) -> None:
        super().__init__(judgement, scope, send, work, watch)
        self._receive = receive
        self._is_open = False
        self._waiting: anyio.CancelScope | None = None

    async def send(self, message: Message) -> None:
        """Pass on a message, if it may be."""
        kind = message["type"]
        if kind == "websocket.close":
            self._is_open = False
            self._watch.drop(self)
            if self.ending is None:
                await self._send(message)
            return
        if kind == "websocket.accept" or self._is_open:
            # From here on it lasts; what came before was a request like any other.
            if self.has_ended():
                await self.finish()
                raise ConnectionEnded
            if not self._is_open:
                self._is_open = True
                self._watch.add(self)
        await self._send(message)

    async def receive(self) -> Message:
        """Return the next message; that the client has gone, if the connection has ended."""
        if not self._is_open and self.ending is None:
            return await self._receive()
        message: Message | None = None
        if not self.has_ended():
            try:
                with anyio.CancelScope() as self._waiting:
                    message = await self._receive()
            finally:
                self._waiting = None
        if message is not None and not self.has_ended():
            if message["type"] == "websocket.disconnect":
                self._is_open = False
                self._watch.drop(self)
            return message
        await self.finish()
        return {"type": "websocket.disconnect", **self._farewell()}

    def _tell(self) -> bool:
        if self._waiting is None:
            return False
        self._waiting.cancel()
        return True

    def _farewell(self) -> dict[str, object]:
        refusal = None if self.ending is None else self.ending.refusal
        error = None if refusal is None else refusal.code.error
        if error is None:
            return {"code": _TRY_AGAIN_LATER, "reason": ""}
        return {"code": POLICY_VIOLATION, "reason": error}

    async def _close(self) -> None:
        if self._is_open:
            await self._send({"type": "websocket.close", **self._farewell()})
        elif self.ending is not None and self.ending.response is not None:
            await answer(self.ending.response, self._scope, self._send)


def _current_work() -> Cancellable:
    """Return what can be cancelled of the running event loop, asyncio's or another's."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return anyio.CancelScope()
    if task is None:
        raise RuntimeError("an ASGI application is served by a task")
    return task


def _came_of_it(error: BaseException | None) -> bool:
    """Whether an error was raised because the connection has ended, by whatever name by now."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_came_of_it, error.exceptions))
    while error is not None and not isinstance(error, ConnectionEnded):
        error = error.__cause__ or error.__context__
    return error is not None
