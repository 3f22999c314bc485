"""The sample API as a Flask application."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from flask import Flask, Response, request

from behaviour.sample import DEMANDS, OWN_DEMANDS, Sample
from behaviour.serving import Adapter, Address, serve_wsgi
from portvakt import ConfigurationError
from portvakt.adapters.flask import FlaskGuard
from portvakt.adapters.wsgi import token_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FLASK"]


def make_app(sample: Sample, guard: FlaskGuard) -> Flask:
    app = Flask("sample")

    def answer(text: str | bytes) -> Response:
        return Response(text, headers={"X-Api": "1"})

    @app.get("/healthz")
    def healthz() -> Response:
        return answer(sample.healthz())

    @app.get("/open/<path:page>")
    def opened(page: str) -> Response:
        return answer(sample.opened(page))

    @app.get("/journal/<patient>")
    def journal(patient: str) -> Response:
        return answer(sample.journal(patient, guard.token()))

    @app.get("/stated/<patient>")
    @guard.requires(**OWN_DEMANDS)
    def stated_journal(patient: str) -> Response:
        return answer(sample.journal(patient, guard.token()))

    @app.get("/stated")
    @guard.requires(**DEMANDS)
    def stated() -> Response:
        return answer(sample.me(guard.token()))

    @app.get("/ruled")
    @app.get("/me")
    @app.get("/bound")
    def me() -> Response:
        return answer(sample.me(token_of(request.environ)))

    @app.post("/echo")
    def echo() -> Response:
        return answer(sample.echo(request.get_data()))

    @app.get("/stream")
    def stream() -> Response:
        return Response(sample.stream())

    @app.get("/broken")
    def broken() -> Response:
        return answer(sample.broken())

    return app


@contextmanager
def serve(sample: Sample) -> Iterator[Address]:
    guard = sample.guard(FlaskGuard)
    app = make_app(sample, guard)
    guard.protect(app)
    with serve_wsgi(app) as address:
        yield address


def forget(sample: Sample) -> str:
    guard = sample.guard(FlaskGuard)
    app = make_app(sample, guard)
    app.get("/forgotten")(sample.unguarded)
    with pytest.raises(ConfigurationError) as caught:
        guard.protect(app)
    return str(caught.value)


FLASK: Final = Adapter(name="flask", title="Flask", serve=serve, forget=forget)
