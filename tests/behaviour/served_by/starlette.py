"""The sample API as a Starlette application."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.testclient import TestClient

from behaviour.sample import DEMANDS, OWN_DEMANDS, Sample
from behaviour.serving import Adapter, Address, serve_asgi
from portvakt import AccessToken, ConfigurationError
from portvakt.adapters.starlette import StarletteGuard, token_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.websockets import WebSocket

__all__ = ["STARLETTE"]


def make_app(sample: Sample, *more: BaseRoute) -> Starlette:  # noqa: C901  an endpoint each
    guard = sample.guard(StarletteGuard)

    def answer(text: str | bytes) -> Response:
        return Response(text, headers={"X-Api": "1"})

    async def healthz(_request: Request) -> Response:
        return answer(sample.healthz())

    async def opened(request: Request) -> Response:
        return answer(sample.opened(request.path_params["page"]))

    async def journal(request: Request) -> Response:
        return answer(sample.journal(request.path_params["patient"], token_of(request)))

    @guard.requires(**OWN_DEMANDS)
    async def stated_journal(request: Request, token: AccessToken) -> Response:
        return answer(sample.journal(request.path_params["patient"], token))

    @guard.requires(**DEMANDS)
    async def stated_me(_request: Request, token: AccessToken) -> Response:
        return answer(sample.me(token))

    async def me(request: Request) -> Response:
        return answer(sample.me(token_of(request)))

    async def echo(request: Request) -> Response:
        return answer(sample.echo(await request.body()))

    async def stream(_request: Request) -> Response:
        return StreamingResponse(sample.stream())

    async def broken(_request: Request) -> Response:
        return answer(sample.broken())

    async def live(socket: WebSocket) -> None:
        sample.note("/live")
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text)

    async def events(_request: Request) -> Response:
        return StreamingResponse(sample.events(), media_type="text/event-stream")

    app = Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/open/{page:path}", opened),
            Route("/journal/{patient}", journal),
            Route("/stated/{patient}", stated_journal),
            Route("/stated", stated_me),
            *(Route(path, me) for path in ("/ruled", "/me", "/bound")),
            Route("/echo", echo, methods=["POST"]),
            Route("/stream", stream),
            Route("/broken", broken),
            WebSocketRoute("/live", live),
            Route("/events", events),
            *more,
        ]
    )
    guard.protect(app)
    return app


@contextmanager
def serve(sample: Sample) -> Iterator[Address]:
    with serve_asgi(make_app(sample)) as address:
        yield address


def forget(sample: Sample) -> str:
    async def forgotten(_request: Request) -> Response:
        return Response(sample.unguarded())

    app = make_app(sample, Route("/forgotten", forgotten))
    with pytest.raises(ConfigurationError) as caught, TestClient(app):
        pass
    return str(caught.value)


STARLETTE: Final = Adapter(
    name="starlette", title="Starlette", serve=serve, forget=forget, lasting=True
)
