"""The adapter for Django REST framework: who calls, what a permission demands, what is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

# First: Django has to be configured before the framework is imported.
from django_project import project  # isort: skip

from django.http import HttpResponse
from django.test import Client
from django.urls import path
from rest_framework.decorators import action, api_view
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.renderers import BaseRenderer
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from portvakt import ConfigurationError
from portvakt.adapters.django import DjangoGuard, GuardMiddleware
from portvakt.adapters.django_rest_framework import Caller, permits
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from rest_framework.request import Request

ISSUER: Final = FakeIssuer()
READER: Final = {"Authorization": f"Bearer {ISSUER.token(scopes=['read'])}"}
NOBODY: Final = {"Authorization": f"Bearer {ISSUER.token()}"}
OPEN: Final = {"path": "/open", "public": True}


def guard_of(*routes: dict[str, Any]) -> DjangoGuard:
    return DjangoGuard.from_config(ISSUER.config(route=list(routes)), clock=ISSUER.clock)


def view_of(*permissions: Any, **attributes: Any) -> Any:
    """A view with these permissions."""

    def get(self: Any, request: Request, **_: Any) -> HttpResponse:
        user = None if request.user is None else request.user.pk
        return Response({"user": user, "subject": request.auth and request.auth.subject})

    members = {"get": get, "permission_classes": permissions, **attributes}
    shown: Any = type("Shown", (APIView,), members)
    return shown.as_view()


def problems_of(guard: DjangoGuard, patterns: list[Any]) -> list[str]:
    with project(guard, patterns), pytest.raises(ConfigurationError) as caught:
        GuardMiddleware(HttpResponse)
    return [f"{one.place}: {one.message}" for one in caught.value.problems if one.place]


@pytest.mark.twin("API-09", "API-12")
def test_who_calls_is_who_the_token_speaks_of() -> None:
    guard = guard_of(OPEN)
    with project(guard, [path("x", view_of(permits(guard, ["read"]))), path("open", view_of())]):
        said = Client(headers=READER).get("/x").json()
        assert said == {"user": "https://issuer.test|test-subject", "subject": "test-subject"}
        assert Client(headers=READER).get("/open").json() == {"user": None, "subject": None}
    token = guard_of().check_blocking(ISSUER.request(ISSUER.token())).token
    assert token is not None
    assert repr(Caller(token)) == "Caller()"


@pytest.mark.attack("API-12", "API-09")
def test_a_permission_that_is_not_met_is_answered_by_the_guard() -> None:
    guard = guard_of()

    class Texts(BaseRenderer):  # type: ignore[misc]
        media_type = "text/plain"

        def render(self, data: Any, *_: Any) -> bytes:
            return b"served"

    shown = view_of(permits(guard, ["read"]), renderer_classes=[Texts])
    with project(guard, [path("x", shown)]):
        for headers, status in ((NOBODY, 403), ({}, 401)):
            answer = Client(headers=headers).get("/x")
            assert answer.status_code == status
            assert answer["Content-Type"] == "application/problem+json"
            assert answer["WWW-Authenticate"].startswith('Bearer realm="test-api"')
        # OPTIONS asks for the permission as well.
        assert Client(headers=NOBODY).options("/x").status_code == 403


@pytest.mark.attack("API-04")
def test_views_without_a_demand_are_named() -> None:
    guard, other = guard_of(), guard_of()
    ours = permits(guard, ["read"])

    class Chosen(APIView):  # type: ignore[misc]
        permission_classes = (ours,)

        def get_permissions(self) -> list[BasePermission]:
            return [AllowAny()]

        def get(self, request: Request) -> Response:
            return Response("got")

    patterns = [
        path("none", view_of()),
        path("either", view_of(ours | AllowAny)),
        path("not", view_of(~ours)),
        path("others", view_of(permits(other, ["read"]), IsAuthenticated)),
        path("chosen", Chosen.as_view()),
        path("function", api_view(["GET", "POST"])(lambda request: Response("x"))),
    ]
    assert problems_of(guard, patterns) == [
        "GET /none: nobody guards it",
        "GET /either: nobody guards it",
        "GET /not: nobody guards it",
        "GET /others: nobody guards it",
        "GET /chosen: nobody guards it",
        "GET /function: nobody guards it",
        "POST /function: nobody guards it",
    ]


@pytest.mark.twin("API-04")
def test_permissions_that_all_have_to_agree_count() -> None:
    guard = guard_of()
    ours = permits(guard, ["read"])
    decorated = guard.requires(scopes=["read"])(api_view(["GET"])(lambda _: Response("x")))
    patterns = [
        path("both", view_of(IsAuthenticated & ours)),
        path("listed", view_of(IsAuthenticated, ours)),
        path("given", view_of().cls.as_view(permission_classes=[ours])),
        path("function", decorated),
    ]
    with project(guard, patterns):
        for name in ("both", "listed", "given", "function"):
            assert Client(headers=READER).get(f"/{name}").status_code == 200
            assert Client(headers=NOBODY).get(f"/{name}").status_code == 403


@pytest.mark.attack("API-04")
@pytest.mark.twin("API-04")
def test_a_set_of_views_is_looked_at_action_by_action() -> None:
    guard = guard_of()

    class Sets(ViewSet):  # type: ignore[misc]
        def list(self, request: Request) -> Response:
            return Response("list")

        @action(detail=False, permission_classes=[permits(guard, ["read"])])  # type: ignore[untyped-decorator]
        def extra(self, request: Request) -> Response:
            return Response("extra")

    router = SimpleRouter(trailing_slash=False, use_regex_path=False)
    router.register("sets", Sets, basename="sets")
    assert problems_of(guard, router.urls) == ["GET /sets: nobody guards it"]
    ruled = guard_of({"path": "/sets", "methods": ["GET"], "scopes": ["read"]})

    class Ruled(Sets):
        @action(detail=False, permission_classes=[permits(ruled, ["read"])])  # type: ignore[untyped-decorator]
        def extra(self, request: Request) -> Response:
            return Response("extra")

    router = SimpleRouter(trailing_slash=False)
    router.register("sets", Ruled, basename="sets")
    with project(ruled, router.urls):
        for target, text in (("/sets", "list"), ("/sets/extra", "extra")):
            assert Client(headers=READER).get(target).json() == text
            assert Client(headers=NOBODY).get(target).status_code == 403
            assert Client(headers=NOBODY).options(target).status_code == 403


@pytest.mark.attack("API-09")
def test_who_is_nobody_on_a_public_route_gets_the_guards_challenge() -> None:
    guard = guard_of(OPEN, {"path": "/ruled"})

    def refuse(self: Any, request: Request) -> HttpResponse:
        raise AuthenticationFailed

    patterns = [
        path("open", view_of(IsAuthenticated)),
        path("ruled", view_of(IsAuthenticated, get=refuse)),
    ]
    with project(guard, patterns):
        for headers in ({}, READER):
            answer = Client(headers=headers).get("/open")
            assert (answer.status_code, answer["Content-Type"]) == (401, "application/problem+json")
            assert answer["WWW-Authenticate"] == 'Bearer realm="test-api"'
        # What the application itself refuses is its own to say.
        answer = Client(headers=READER).get("/ruled")
        assert (answer.status_code, answer["Content-Type"]) == (401, "application/json")
        assert answer["WWW-Authenticate"] == 'Bearer realm="test-api"'


def test_demands_are_compiled_when_they_are_written_down() -> None:
    guard = guard_of()
    with pytest.raises(ConfigurationError, match="scope"):
        permits(guard, ["two words"])
    with pytest.raises(ConfigurationError, match="registers are to be asked"):
        permits(guard, registers=["hpr"])
