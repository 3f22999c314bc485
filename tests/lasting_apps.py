"""One API that holds connections open, written for each ASGI framework.

``/live`` echoes, ``/events`` sends one event and then nothing, ``/file`` one part and then nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Protocol, TypeVar

from fastapi import Depends, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from litestar import Litestar, get, websocket
from litestar import WebSocket as LitestarWebSocket
from litestar.exceptions import WebSocketDisconnect
from litestar.response import ServerSentEvent, Stream
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route, WebSocketRoute

from portvakt import Guard
from portvakt.adapters.asgi import GuardMiddleware
from portvakt.adapters.fastapi import FastAPIGuard
from portvakt.adapters.litestar import LitestarGuard
from portvakt.adapters.starlette import StarletteGuard

App = Any
G = TypeVar("G", bound=Guard)


class Make(Protocol):
    """Makes a guard of some kind."""

    def __call__(self, kind: type[G], /) -> G: ...


async def forever(first: Any) -> AsyncIterator[Any]:
    """Give one thing, and then let everybody wait."""
    yield first
    await asyncio.Event().wait()


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """An application without a framework."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    kind = b"text/event-stream" if scope["path"] == "/events" else b"application/octet-stream"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    async for part in forever(b"data: 1\n\n"):
        await send({"type": "http.response.body", "body": part, "more_body": True})


def asgi(make: Make) -> App:
    """The plain application."""
    return GuardMiddleware(plain, make(Guard))


def starlette(make: Make) -> App:
    """The same for Starlette."""
    guard = make(StarletteGuard)

    @guard.requires()
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text)

    @guard.requires()
    async def events(_request: Request) -> StreamingResponse:
        return StreamingResponse(forever("data: 1\n\n"), media_type="text/event-stream")

    @guard.requires()
    async def file(_request: Request) -> StreamingResponse:
        return StreamingResponse(forever(b"half"), media_type="application/octet-stream")

    app = Starlette(
        routes=[
            WebSocketRoute("/live", live),
            Route("/events", events),
            Route("/file", file),
        ]
    )
    guard.protect(app)
    return app


def fastapi(make: Make) -> App:
    """The same for FastAPI."""
    guard = make(FastAPIGuard)
    app = FastAPI(dependencies=[Depends(guard.requires())])
    guard.protect(app)

    @app.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text)

    @app.get("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(forever("data: 1\n\n"), media_type="text/event-stream")

    @app.get("/file")
    async def file() -> StreamingResponse:
        return StreamingResponse(forever(b"half"), media_type="application/octet-stream")

    return app


def litestar(make: Make) -> App:
    """The same for Litestar."""
    guard = make(LitestarGuard)

    @websocket("/live")
    async def live(socket: LitestarWebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        try:
            async for text in socket.iter_data("text"):
                await socket.send_text(text)
        except WebSocketDisconnect:
            return

    @get("/events")
    async def events() -> ServerSentEvent:
        return ServerSentEvent(forever("1"))

    @get("/file")
    async def file() -> Stream:
        return Stream(forever(b"half"), media_type="application/octet-stream")

    return Litestar(
        [live, events, file],
        guards=[guard.requires()],
        on_app_init=[guard.protect],
        logging_config=None,  # Litestar's own takes the place of pytest's.
    )


APPS: Final[dict[str, Callable[[Make], App]]] = {
    "asgi": asgi,
    "starlette": starlette,
    "fastapi": fastapi,
    "litestar": litestar,
}
