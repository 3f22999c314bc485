"""The Django adapter: what is looked at before anything is served, and who is asked for what."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
from django.apps import AppConfig
from django.conf import settings
from django.conf.urls.i18n import i18n_patterns
from django.core.checks.registry import registry
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import include, path, re_path
from django.utils.decorators import method_decorator
from django.views import View

import django_project
from django_project import project
from portvakt import AccessToken, ConfigurationError, Requirement
from portvakt.adapters.django import (
    DjangoGuard,
    GuardMiddleware,
    Portvakt,
    check_views,
    guard_of_settings,
    judgement_of,
    token_of,
)
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
READER: Final = {"Authorization": f"Bearer {ISSUER.token(scopes=['read'])}"}
NOBODY: Final = {"Authorization": f"Bearer {ISSUER.token()}"}


def guard_of(*routes: dict[str, Any], **more: Any) -> DjangoGuard:
    return DjangoGuard.from_config(ISSUER.config(route=list(routes), **more), clock=ISSUER.clock)


def view(request: HttpRequest, **_: Any) -> HttpResponse:
    return HttpResponse("served")


class Views(View):  # type: ignore[misc]
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("got")

    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("posted")


def problems_of(guard: DjangoGuard, patterns: list[Any]) -> list[str]:
    with project(guard, patterns), pytest.raises(ConfigurationError) as caught:
        GuardMiddleware(view)
    return [f"{one.place}: {one.message}" for one in caught.value.problems if one.place]


@pytest.mark.attack("API-04")
def test_every_forgotten_view_is_named_with_its_method() -> None:
    guard = guard_of({"path": "/class", "methods": ["GET"]})
    patterns = [
        path("a/<int:one>/<path:rest>", view),
        path("class", Views.as_view()),
        path("inner/", include([path("x", view), re_path(r"^y/(?P<pk>[^/.]+)/$", view)])),
        re_path(r"^old/(\d+)$", view),
    ]
    assert problems_of(guard, patterns) == [
        "* /a/{one}/{rest:path}: nobody guards it",
        "POST /class: nobody guards it",
        "* /inner/x: nobody guards it",
        "* /inner/y/{pk}/: nobody guards it",
        "* /old/{var}: nobody guards it",
    ]


@pytest.mark.twin("API-04")
def test_rules_are_for_views_by_their_form() -> None:
    guard = guard_of(
        {"path": "/a/{x}/{y:path}", "public": True},
        {"path": "/fn", "methods": ["GET", "PUT"]},
        {"path": "/class", "methods": ["GET", "POST"]},
        {"path": "/all/{rest:path}"},
        {"path": "/y/{pk}/"},
    )
    patterns = [
        path("a/<slug:one>/<path:rest>", view),
        path("fn", view),
        path("class", Views.as_view()),
        path("all/", include([path("x/<uuid:y>", view), path("", include([path("z", view)]))])),
        re_path(r"^y/(?P<pk>[^/.]+)/$", view),
    ]
    with project(guard, patterns):
        GuardMiddleware(view)


def test_a_prefix_that_depends_on_the_language_is_covered_by_no_rule() -> None:
    guard = guard_of({"path": "/en/x"}, {"path": "/{lang}/x"})
    with project(guard, i18n_patterns(path("x", view)), USE_I18N=True):
        assert check_views()[0].msg == "* /{?}x: nobody guards it"


def test_what_contradicts_itself_is_named() -> None:
    guard = guard_of({"path": "/open", "public": True})
    found = problems_of(guard, [path("open", guard.requires()(view))])
    assert len(found) == 1
    assert "is public in the policy and has guard.requires()" in found[0]


@pytest.mark.twin("API-04")
def test_a_class_is_guarded_as_a_whole_or_by_method() -> None:
    guard = guard_of({"path": "/part", "methods": ["GET"], "scopes": ["read"]})

    @method_decorator(guard.requires(scopes=["read"]), name="dispatch")
    class Whole(Views):
        pass

    class Part(Views):
        @method_decorator(guard.requires(scopes=["write"]))  # type: ignore[untyped-decorator]
        def post(self, request: HttpRequest, token: AccessToken | None = None) -> HttpResponse:
            return HttpResponse("posted")

    with project(guard, [path("whole", Whole.as_view()), path("part", Part.as_view())]):
        client = Client(headers=READER)
        assert client.get("/whole").content == b"got"
        assert client.post("/whole").content == b"posted"
        assert client.get("/part").content == b"got"
        assert client.post("/part").status_code == 403
        # Nobody says who may ask what a class can do, or HEAD.
        assert client.options("/part").status_code == 403
        assert client.head("/part").status_code == 403
        assert client.put("/part").status_code == 403
        assert Client(headers=NOBODY).get("/whole").status_code == 403


@pytest.mark.attack("API-04", "HTTP-09")
def test_a_view_is_not_called_for_a_method_that_no_rule_is_for() -> None:
    guard = guard_of({"path": "/fn", "methods": ["GET"], "scopes": ["read"]})
    with project(guard, [path("fn", view)]):
        assert Client(headers=READER).get("/fn").content == b"served"
        for method in ("POST", "HEAD", "DELETE", "get"):
            answer = Client(headers=READER).generic(method, "/fn")
            assert answer.status_code == (400 if method == "get" else 403)
        assert Client(headers=READER).get("/nowhere").status_code == 404
        assert Client().get("/nowhere").status_code == 401


@pytest.mark.twin("API-09")
def test_the_token_is_given_to_who_asks() -> None:
    guard = guard_of({"path": "/open", "public": True})

    @guard.requires(scopes=["read"])
    def given(request: HttpRequest, patient: str, token: AccessToken) -> HttpResponse:
        assert guard.token(request) is token is token_of(request)
        return JsonResponse([patient, token.subject], safe=False)

    @guard.requires(scopes=["read"])
    async def given_async(request: HttpRequest, patient: str, token: AccessToken) -> HttpResponse:
        return JsonResponse([patient, token.subject], safe=False)

    def opened(request: HttpRequest) -> HttpResponse:
        with pytest.raises(ConfigurationError, match="as the route is public"):
            guard.token(request)
        return HttpResponse(str(token_of(request)))

    patterns = [
        path("sync/<patient>", given),
        path("async/<patient>", given_async),
        path("open", opened),
    ]
    with project(guard, patterns):
        for name in ("sync", "async"):
            assert Client(headers=READER).get(f"/{name}/1").json() == ["1", "test-subject"]
            assert Client(headers=NOBODY).get(f"/{name}/1").status_code == 403
        assert Client().get("/open").content == b"None"


@pytest.mark.attack("API-12")
def test_asynchronous_requests_are_judged_alike() -> None:
    guard = guard_of({"path": "/fn", "methods": ["GET"], "scopes": ["read"]})

    async def ask(method: str, target: str, headers: dict[str, str]) -> int:
        answer = await AsyncClient().generic(method, target, headers=headers)
        status: int = answer.status_code
        return status

    async def every() -> list[int]:
        return [
            await ask("GET", "/fn", READER),
            await ask("GET", "/fn", NOBODY),
            await ask("GET", "/fn", {}),
            await ask("POST", "/fn", READER),
            await ask("get", "/fn", READER),
            await ask("GET", "/stated", READER),
            await ask("GET", "/stated", NOBODY),
        ]

    stated = guard.requires(scopes=["read"])(view)
    with project(guard, [path("fn", view), path("stated", stated)]):
        assert asyncio.run(every()) == [200, 403, 401, 403, 400, 200, 403]


@pytest.mark.attack("HTTP-18")
def test_django_routes_by_what_is_judged_or_not_at_all() -> None:
    guard = guard_of({"path": "/fn", "scopes": ["read"]})

    async def mounted(target: str, root: str) -> int:
        answer = await AsyncClient(root_path=root).get(target, headers=READER)
        status: int = answer.status_code
        return status

    with project(guard, [path("fn", view)]):
        assert asyncio.run(mounted("/v1/fn", "/v1")) == 200
        # Django cuts any beginning off, not only whole segments: this would be "n".
        assert asyncio.run(mounted("/fn", "/f")) in {400, 404}
        assert Client(headers=READER).get("/fn", SCRIPT_NAME="/v1").status_code == 200
        assert Client(headers=READER).get("/fn", RAW_URI="/x/../fn").status_code == 400
    with project(guard, [path("fn", view)], FORCE_SCRIPT_NAME="/v1"):
        assert asyncio.run(mounted("/v1/fn", "")) == 200
        assert Client(headers=READER).get("/fn", RAW_URI="/v1/fn").status_code == 200


@pytest.mark.attack("API-12")
def test_a_view_without_a_guard_in_front_is_called_for_nobody() -> None:
    guard, other = guard_of(), guard_of()
    request = RequestFactory().get("/x")
    with pytest.raises(ConfigurationError, match="no guard stands in front"):
        guard.requires()(view)(request)
    with pytest.raises(ConfigurationError, match="no guard stands in front"):
        judgement_of(request)
    both = path("x", other.requires()(guard.requires()(view)))
    with project(other, [both]), pytest.raises(ConfigurationError, match="two different guards"):
        Client(headers=READER).get("/x")


def test_demands_inside_a_view_are_answered_too() -> None:
    guard = guard_of({"path": "/inside"})

    def inside(request: HttpRequest) -> HttpResponse:
        guard.demand_of(request, Requirement.of(["read"]), {})
        return HttpResponse("served")

    def broken(request: HttpRequest) -> HttpResponse:
        raise LookupError

    with project(guard, [path("inside", inside), path("broken", guard.requires()(broken))]):
        assert Client(headers=READER).get("/inside").status_code == 200
        answer = Client(headers=NOBODY).get("/inside")
        assert answer.status_code == 403
        assert answer["WWW-Authenticate"].endswith('scope="read"')
        with pytest.raises(LookupError):
            Client(headers=READER).get("/broken")


@pytest.mark.parametrize("named", [None, 1, "django_project.project", "nowhere.at_all"])
def test_a_guard_has_to_be_named(named: object) -> None:
    wrong: Any = named
    with project(wrong, []), pytest.raises((ConfigurationError, ImportError)):
        guard_of_settings()


GUARD: Final = guard_of({"path": "/fn", "scopes": ["read"]})


def test_a_guard_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(django_project, "guard", GUARD, raising=False)
    named: Any = "django_project.guard"
    with project(named, [path("fn", view)]):
        assert guard_of_settings() is GUARD


@pytest.mark.attack("MTLS-03")
def test_a_proxys_header_must_have_one_spelling_under_wsgi() -> None:
    guard = guard_of(
        {"path": "/fn", "scopes": ["read"]},
        proxy={"trusted": ["127.0.0.1"], "client_certificate": "rfc9440"},
    )
    with project(guard, [path("fn", view)]):
        with pytest.raises(ConfigurationError, match="drops_underscores=True"):
            Client(headers=READER).get("/fn")

        async def ask() -> int:
            answer = await AsyncClient().get("/fn", headers=READER)
            status: int = answer.status_code
            return status

        # Under ASGI Django drops them itself, and the guard sees every line as it came.
        assert asyncio.run(ask()) == 200
    with project(guard, [path("fn", view)], PORTVAKT_DROPS_UNDERSCORES=True):
        assert Client(headers=READER).get("/fn").status_code == 200


@pytest.mark.attack("API-04")
@pytest.mark.twin("API-04")
def test_the_system_check_names_what_was_forgotten() -> None:
    guard = guard_of({"path": "/ruled"})
    with project(guard, [path("ruled", view)]):
        assert check_views(app_configs=None) == []
    with project(guard, [path("forgotten", view)]):
        found = check_views(app_configs=None)
    assert [one.id for one in found] == ["portvakt.E001"] * 2
    assert found[0].msg == "* /forgotten: nobody guards it"
    assert "@guard.requires" in found[1].msg


def test_the_application_registers_the_check() -> None:
    before = set(registry.registered_checks)
    AppConfig.create("portvakt.adapters.django.Portvakt").ready()
    assert {check.__name__ for check in registry.registered_checks - before} == {"check_views"}
    registry.registered_checks = before
    assert Portvakt.label == "portvakt"


@pytest.mark.attack("API-07")
def test_djangos_log_has_no_path_of_a_refused_request(caplog: pytest.LogCaptureFixture) -> None:
    guard = guard_of({"path": "/fn"})
    with project(guard, [path("fn", view)]):
        Client().get("/journal/17056600574")
    assert "17056600574" not in caplog.text


def test_settings_are_this_tests_own() -> None:
    assert settings.MIDDLEWARE == ["portvakt.adapters.django.GuardMiddleware"]
    with pytest.raises((AttributeError, ImproperlyConfigured)):
        _ = settings.PORTVAKT_GUARD
