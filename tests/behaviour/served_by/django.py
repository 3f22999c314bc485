"""The sample API as a Django project, on WSGI and on ASGI, with async views there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.http import require_safe

from behaviour.sample import DEMANDS, OWN_DEMANDS, Sample
from behaviour.serving import Adapter, Address, serve_asgi, serve_wsgi
from django_project import project
from portvakt import ConfigurationError
from portvakt.adapters.django import DjangoGuard, token_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

__all__ = ["DJANGO", "DJANGO_ASGI", "answer"]


def answer(text: str | bytes) -> HttpResponse:
    return HttpResponse(text, headers={"X-Api": "1"})


def patterns_of(sample: Sample, guard: DjangoGuard) -> list[Any]:
    @require_safe  # type: ignore[untyped-decorator]
    def journal(request: HttpRequest, patient: str) -> HttpResponse:
        return answer(sample.journal(patient, token_of(request)))

    @guard.requires(**OWN_DEMANDS)
    def stated_journal(request: HttpRequest, patient: str) -> HttpResponse:
        return answer(sample.journal(patient, guard.token(request)))

    @guard.requires(**DEMANDS)
    def stated(request: HttpRequest) -> HttpResponse:
        return answer(sample.me(guard.token(request)))

    def me(request: HttpRequest) -> HttpResponse:
        return answer(sample.me(token_of(request)))

    return [
        path("healthz", lambda request: answer(sample.healthz())),
        path("open/<path:page>", lambda request, page: answer(sample.opened(page))),
        path("journal/<patient>", journal),
        path("stated/<patient>", stated_journal),
        path("stated", stated),
        path("ruled", me),
        path("me", me),
        path("bound", me),
        path("echo", lambda request: answer(sample.echo(request.body))),
        path("stream", lambda request: StreamingHttpResponse(sample.stream())),
        path("broken", lambda request: answer(sample.broken())),
    ]


def async_patterns_of(sample: Sample, guard: DjangoGuard) -> list[Any]:
    @guard.requires(**OWN_DEMANDS)
    async def stated_journal(request: HttpRequest, patient: str) -> HttpResponse:
        return answer(sample.journal(patient, guard.token(request)))

    @guard.requires(**DEMANDS)
    async def stated(request: HttpRequest) -> HttpResponse:
        return answer(sample.me(guard.token(request)))

    async def me(request: HttpRequest) -> HttpResponse:
        return answer(sample.me(token_of(request)))

    async def stream(request: HttpRequest) -> StreamingHttpResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in sample.stream():
                yield piece

        return StreamingHttpResponse(pieces())

    return [
        path("stated/<patient>", stated_journal),
        path("stated", stated),
        path("ruled", me),
        path("me", me),
        path("bound", me),
        path("stream", stream),
        *patterns_of(sample, guard),
    ]


@contextmanager
def serve(sample: Sample) -> Iterator[Address]:
    guard = sample.guard(DjangoGuard)
    with project(guard, patterns_of(sample, guard)), serve_wsgi(WSGIHandler()) as address:
        yield address


@contextmanager
def serve_on_asgi(sample: Sample) -> Iterator[Address]:
    guard = sample.guard(DjangoGuard)
    with project(guard, async_patterns_of(sample, guard)), serve_asgi(ASGIHandler()) as address:
        yield address


def forget(sample: Sample) -> str:
    guard = sample.guard(DjangoGuard)
    forgotten = path("forgotten", lambda request: answer(sample.unguarded()))
    patterns = [*patterns_of(sample, guard), forgotten]
    with project(guard, patterns), pytest.raises(ConfigurationError) as caught:
        WSGIHandler()
    return str(caught.value)


DJANGO: Final = Adapter(name="django", title="Django", serve=serve, forget=forget)
DJANGO_ASGI: Final = Adapter(
    name="django-asgi", title="Django (ASGI)", serve=serve_on_asgi, forget=forget
)
