"""The sample API as a FastAPI application."""

# Annotations are read when the application is made: they name what is made beside it.

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import pytest
from fastapi import Depends, FastAPI, Request, Response, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

from behaviour.sample import DEMANDS, OWN_DEMANDS, Sample
from behaviour.serving import Adapter, Address, serve_asgi
from portvakt import AccessToken, ConfigurationError
from portvakt.adapters.asgi import token_of
from portvakt.adapters.fastapi import FastAPIGuard

__all__ = ["FASTAPI"]


def make_app(sample: Sample) -> FastAPI:  # noqa: C901  an endpoint each
    guard = sample.guard(FastAPIGuard)
    app = FastAPI()
    guard.protect(app)
    stated = guard.requires(**DEMANDS)
    own = guard.requires(**OWN_DEMANDS)

    def answer(text: str | bytes) -> Response:
        return Response(text, headers={"X-Api": "1"})

    @app.get("/healthz")
    async def healthz() -> Response:
        return answer(sample.healthz())

    @app.get("/open/{page:path}")
    async def opened(page: str) -> Response:
        return answer(sample.opened(page))

    @app.api_route("/journal/{patient}", methods=["GET", "HEAD"])
    async def journal(patient: str, request: Request) -> Response:
        return answer(sample.journal(patient, token_of(request.scope)))

    @app.get("/stated/{patient}")
    async def stated_journal(patient: str, token: Annotated[AccessToken, Depends(own)]) -> Response:
        return answer(sample.journal(patient, token))

    @app.get("/stated")
    async def stated_me(token: Annotated[AccessToken, Depends(stated)]) -> Response:
        return answer(sample.me(token))

    @app.get("/ruled")
    @app.get("/me")
    @app.get("/bound")
    async def me(request: Request) -> Response:
        return answer(sample.me(token_of(request.scope)))

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        return answer(sample.echo(await request.body()))

    @app.get("/stream")
    async def stream() -> Response:
        return StreamingResponse(sample.stream())

    @app.get("/broken")
    async def broken() -> Response:
        return answer(sample.broken())

    @app.websocket("/live")
    async def live(socket: WebSocket) -> None:
        sample.note("/live")
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text)

    @app.get("/events")
    async def events() -> Response:
        return StreamingResponse(sample.events(), media_type="text/event-stream")

    return app


@contextmanager
def serve(sample: Sample) -> Iterator[Address]:
    with serve_asgi(make_app(sample)) as address:
        yield address


def forget(sample: Sample) -> str:
    app = make_app(sample)
    app.get("/forgotten")(sample.unguarded)
    with pytest.raises(ConfigurationError) as caught, TestClient(app):
        pass
    return str(caught.value)


FASTAPI: Final = Adapter(name="fastapi", title="FastAPI", serve=serve, forget=forget, lasting=True)
