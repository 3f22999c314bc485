"""The sample API as a Litestar application."""

# Annotations are read when the application is made: they name what is made beside it.

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from litestar import Litestar, Request, WebSocket, get, post, route, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath
from litestar.response import Response, Stream

from behaviour.sample import DEMANDS, OWN_DEMANDS, Sample
from behaviour.serving import Adapter, Address, serve_asgi
from portvakt import ConfigurationError
from portvakt.adapters.litestar import LitestarGuard, Token, token_of

__all__ = ["LITESTAR"]

AnyRequest = Request[Any, Any, Any]


def make_app(sample: Sample, *more: Any) -> Litestar:  # noqa: C901  an endpoint each
    guard = sample.guard(LitestarGuard)

    def answer(text: str | bytes) -> Response[Any]:
        return Response(text, headers={"X-Api": "1"}, status_code=200)

    @get("/healthz")
    async def healthz() -> Response[Any]:
        return answer(sample.healthz())

    @get("/open/{page:path}")
    async def opened(page: FromPath[str]) -> Response[Any]:
        # A parameter for the rest of a path begins with the slash before it.
        return answer(sample.opened(page.removeprefix("/")))

    @route("/journal/{patient:str}", http_method=["GET", "HEAD"])
    async def journal(patient: FromPath[str], request: AnyRequest) -> Response[Any]:
        found = sample.journal(patient, token_of(request))
        return answer("" if request.method == "HEAD" else found)

    @get("/stated/{patient:str}", guards=[guard.requires(**OWN_DEMANDS)])
    async def stated_journal(patient: FromPath[str], token: Token) -> Response[Any]:
        return answer(sample.journal(patient, token))

    @get("/stated", guards=[guard.requires(**DEMANDS)])
    async def stated_me(token: Token) -> Response[Any]:
        return answer(sample.me(token))

    @get(["/ruled", "/me", "/bound"])
    async def me(request: AnyRequest) -> Response[Any]:
        return answer(sample.me(token_of(request)))

    @post("/echo")
    async def echo(request: AnyRequest) -> Response[Any]:
        return answer(sample.echo(await request.body()))

    @get("/stream")
    async def stream() -> Stream:
        return Stream(sample.stream())

    @get("/broken")
    async def broken() -> Response[Any]:
        return answer(sample.broken())

    @websocket("/live")
    async def live(socket: WebSocket[Any, Any, Any]) -> None:
        sample.note("/live")
        await socket.accept()
        try:
            async for text in socket.iter_data("text"):
                await socket.send_text(text)
        except WebSocketDisconnect:
            return

    @get("/events")
    async def events() -> Stream:
        return Stream(sample.events(), media_type="text/event-stream")

    handlers: list[Any] = [
        *(healthz, opened, journal, stated_journal, stated_me, me, echo, stream, broken),
        *(live, events),
    ]
    return Litestar([*handlers, *more], on_app_init=[guard.protect], logging_config=None)


@contextmanager
def serve(sample: Sample) -> Iterator[Address]:
    with serve_asgi(make_app(sample)) as address:
        yield address


def forget(sample: Sample) -> str:
    @get("/forgotten")
    async def forgotten() -> str:
        return sample.unguarded()

    app = make_app(sample, forgotten)

    async def start() -> None:
        async with app.lifespan():
            pass

    # It starts in a group of tasks of Litestar's.
    with pytest.RaisesGroup(ConfigurationError, flatten_subgroups=True) as caught:
        asyncio.run(start())
    return str(caught.value.exceptions[0])


LITESTAR: Final = Adapter(
    name="litestar", title="Litestar", serve=serve, forget=forget, lasting=True
)
