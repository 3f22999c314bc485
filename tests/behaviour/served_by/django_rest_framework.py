"""The sample API as views of Django REST framework."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

# First: Django has to be configured before the framework is imported.
from django_project import project  # isort: skip

from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from rest_framework.decorators import api_view
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from behaviour.sample import DEMANDS, OWN_DEMANDS, Sample
from behaviour.served_by.django import answer
from behaviour.serving import Adapter, Address, serve_wsgi
from portvakt import ConfigurationError
from portvakt.adapters.django import DjangoGuard
from portvakt.adapters.django_rest_framework import permits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rest_framework.request import Request

__all__ = ["DJANGO_REST_FRAMEWORK"]


def patterns_of(sample: Sample, guard: DjangoGuard) -> list[Any]:
    class Journal(APIView):  # type: ignore[misc]
        def get(self, request: Request, patient: str) -> HttpResponse:
            return answer(sample.journal(patient, request.auth))

    class OwnJournals(ViewSet):  # type: ignore[misc]
        permission_classes = (permits(guard, **OWN_DEMANDS),)
        lookup_field = "patient"

        def retrieve(self, request: Request, patient: str) -> HttpResponse:
            return answer(sample.journal(patient, request.auth))

    class Stated(APIView):  # type: ignore[misc]
        permission_classes = (permits(guard, **DEMANDS),)

        def get(self, request: Request) -> HttpResponse:
            return answer(sample.me(guard.token(request)))

    class Me(APIView):  # type: ignore[misc]
        def get(self, request: Request) -> HttpResponse:
            assert request.user.is_authenticated
            return answer(sample.me(request.auth))

    @api_view(["GET"])  # type: ignore[untyped-decorator]
    def healthz(request: Request) -> HttpResponse:
        assert request.user is None
        return answer(sample.healthz())

    @api_view(["GET"])  # type: ignore[untyped-decorator]
    def opened(request: Request, page: str) -> HttpResponse:
        return answer(sample.opened(page))

    @api_view(["POST"])  # type: ignore[untyped-decorator]
    def echo(request: Request) -> HttpResponse:
        return answer(sample.echo(request._request.body))

    @api_view(["GET"])  # type: ignore[untyped-decorator]
    def stream(request: Request) -> StreamingHttpResponse:
        return StreamingHttpResponse(sample.stream())

    @api_view(["GET"])  # type: ignore[untyped-decorator]
    def broken(request: Request) -> HttpResponse:
        return answer(sample.broken())

    router = SimpleRouter(trailing_slash=False)
    router.register("stated", OwnJournals, basename="stated")
    return [
        path("healthz", healthz),
        path("open/<path:page>", opened),
        path("journal/<patient>", Journal.as_view()),
        *router.urls,
        path("stated", Stated.as_view()),
        path("ruled", Me.as_view()),
        path("me", Me.as_view()),
        path("bound", Me.as_view()),
        path("echo", echo),
        path("stream", stream),
        path("broken", broken),
    ]


@contextmanager
def serve(sample: Sample) -> Iterator[Address]:
    guard = sample.guard(DjangoGuard)
    with project(guard, patterns_of(sample, guard)), serve_wsgi(WSGIHandler()) as address:
        yield address


def forget(sample: Sample) -> str:
    guard = sample.guard(DjangoGuard)

    class Forgotten(APIView):  # type: ignore[misc]
        def get(self, request: Request) -> HttpResponse:
            return answer(sample.unguarded())

    patterns = [*patterns_of(sample, guard), path("forgotten", Forgotten.as_view())]
    with project(guard, patterns), pytest.raises(ConfigurationError) as caught:
        WSGIHandler()
    return str(caught.value)


DJANGO_REST_FRAMEWORK: Final = Adapter(
    name="django_rest_framework", title="Django REST framework", serve=serve, forget=forget
)
