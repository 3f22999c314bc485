"""The sample API as a plain ASGI application."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from behaviour.sample import Sample, plain_endpoint
from behaviour.serving import Adapter, Address, serve_asgi
from portvakt import Guard
from portvakt.adapters.asgi import GuardMiddleware, token_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ASGI"]


@contextmanager
def serve(sample: Sample) -> Iterator[Address]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["type"] == "websocket":
            sample.note(scope["path"])
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})
            return
        if scope["path"] == "/events":
            kind = (b"content-type", b"text/event-stream")
            await send({"type": "http.response.start", "status": 200, "headers": [kind]})
            async for event in sample.events():
                await send({"type": "http.response.body", "body": event, "more_body": True})
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        endpoint = plain_endpoint(sample, scope["method"], scope["path"])
        if endpoint is None:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        found = endpoint(token_of(scope), body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-api", b"1")]})
        pieces = [found] if isinstance(found, str | bytes) else found
        if scope["method"] != "HEAD":
            for piece in pieces:
                data = piece.encode() if isinstance(piece, str) else piece
                await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    with serve_asgi(GuardMiddleware(app, sample.guard(Guard))) as address:
        yield address


ASGI: Final = Adapter(
    name="asgi",
    title="ASGI",
    serve=serve,
    lasting=True,
    lacks={"demands": "plain ASGI has no endpoints: what they demand is in the policy"},
)
