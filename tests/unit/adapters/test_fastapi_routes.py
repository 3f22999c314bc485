"""The start-up check: an application with a forgotten route does not start."""

from pathlib import Path
from typing import Annotated, Any, Final

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient

from portvakt import AccessToken, ConfigurationError
from portvakt.adapters.fastapi import FastAPIGuard
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
ADVICE: Final = 1  # The last problem of each list says how to put it right.


def make_guard(*rules: dict[str, Any]) -> FastAPIGuard:
    return FastAPIGuard.from_config(ISSUER.config(route=list(rules)), clock=ISSUER.clock)


def places(guard: FastAPIGuard, app: FastAPI) -> list[str]:
    """Return the place of each problem that the check finds."""
    try:
        guard.check_routes(app)
    except ConfigurationError as error:
        return [problem.place for problem in error.problems[:-ADVICE]]
    return []


def test_the_error_says_how_to_put_it_right() -> None:
    app = FastAPI()
    app.get("/forgotten")(nothing)
    with pytest.raises(ConfigurationError) as caught:
        make_guard().check_routes(app)
    (*_, advice) = caught.value.problems
    assert "Depends(guard.requires(" in advice.message
    assert "[[route]]" in advice.message
    assert "public = true" in advice.message


def nothing() -> None: ...


async def accept(websocket: WebSocket) -> None:
    await websocket.accept()


async def opaque(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("served")(scope, receive, send)


def test_all_forgotten_routes_are_listed_at_once() -> None:
    guard = make_guard()
    app = FastAPI()
    app.get("/forgotten")(nothing)
    app.post("/forgotten")(nothing)
    app.get("/guarded", dependencies=[Depends(guard.requires())])(nothing)
    app.websocket("/live")(accept)
    app.add_route("/plain", lambda _: PlainTextResponse(""))
    app.router.routes.append(WebSocketRoute("/plain-live", accept))
    app.mount("/static", opaque)
    assert places(guard, app) == [
        "GET /forgotten",
        "POST /forgotten",
        "WEBSOCKET /live",
        "GET, HEAD /plain",
        "WEBSOCKET /plain-live",
        "/static/*",
    ]


def test_an_application_with_nothing_forgotten_starts() -> None:
    guard = make_guard({"path": "/public", "public": True})
    app = FastAPI()
    guard.protect(app)
    app.get("/public")(nothing)
    app.get("/guarded", dependencies=[Depends(guard.requires())])(nothing)
    with TestClient(app) as client:
        assert client.get("/public").status_code == 200


def test_an_application_with_a_forgotten_route_does_not_start() -> None:
    app = FastAPI()
    make_guard().protect(app)
    app.get("/forgotten")(nothing)
    with pytest.raises(ConfigurationError, match="GET /forgotten"), TestClient(app):
        pass


def test_without_a_lifespan_it_does_not_serve() -> None:
    app = FastAPI()
    make_guard({"path": "/public", "public": True}).protect(app)
    app.get("/public")(nothing)
    app.get("/forgotten")(nothing)
    client = TestClient(app)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="GET /forgotten"):
            client.get("/public")


# Guarded: a dependency of this guard, wherever it is


def test_a_dependency_counts_wherever_it_is_in_the_tree() -> None:
    guard = make_guard()

    def current_user(token: Annotated[AccessToken, Depends(guard.requires())]) -> str:
        return str(token.subject)

    def name(user: Annotated[str, Depends(current_user)]) -> str:
        return user

    app = FastAPI()
    app.get("/parameter")(current_user)
    app.get("/deep")(name)
    app.get("/decorator", dependencies=[Depends(name)])(nothing)
    router = APIRouter(dependencies=[Depends(guard.requires(["a"]))])
    router.get("/router")(nothing)
    router.websocket("/router-live")(accept)
    app.include_router(router)
    bare = APIRouter()
    bare.get("/included")(nothing)
    bare.websocket("/included-live")(accept)
    app.include_router(bare, prefix="/x", dependencies=[Depends(guard.requires())])
    assert places(guard, app) == []
    app.include_router(bare, prefix="/y")
    assert places(guard, app) == ["GET /y/included", "WEBSOCKET /y/included-live"]


def test_a_dependency_of_the_application_guards_all_its_endpoints() -> None:
    guard = make_guard()
    app = FastAPI(dependencies=[Depends(guard.requires())])
    app.get("/a")(nothing)
    app.websocket("/b")(accept)
    assert places(guard, app) == []
    app.add_route("/plain", lambda _: PlainTextResponse(""))  # Starlette's: it has no dependencies.
    assert places(guard, app) == ["GET, HEAD /plain"]


def test_the_dependency_of_another_guard_does_not_count() -> None:
    app = FastAPI()
    app.get("/a", dependencies=[Depends(make_guard().requires())])(nothing)
    assert places(make_guard(), app) == ["GET /a"]


# In the policy: a rule of the same shape, for every method


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("/a/{x}", "/a/{other}"),
        ("/a/{x:int}/b", "/a/{x}/b"),
        ("/a/{x}.json", "/a/{file}"),
        ("/a/{x}-{y:uuid}", "/a/{both}"),
        ("/a/{x:path}", "/a/{rest:path}"),
        ("/blå/{x}", "/bl%C3%A5/{x}"),
        ("/fhir/$export", "/fhir/$export"),
    ],
)
def test_a_rule_of_the_same_shape_is_for_a_route(path: str, rule: str) -> None:
    app = FastAPI()
    app.get(path)(nothing)
    assert places(make_guard({"path": rule}), app) == []
    assert places(make_guard({"path": rule, "public": True}), app) == []


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/a", "/a/"),
        ("/a/{x}", "/a/b"),
        ("/a/{x:path}", "/a/{x}"),
        ("/a/{x:path}.json", "/a/{x:path}"),
        ("/a/{x}-{y:path}", "/a/{both}"),  # One of the two takes slashes.
        ("/a/{y:path}-{x}", "/a/{both}"),
        ("/a/b", "/a/{x}"),
        ("/a", "/A"),
    ],
)
def test_a_rule_of_another_shape_is_not(path: str, rule: str) -> None:
    app = FastAPI()
    app.get(path)(nothing)
    assert places(make_guard({"path": rule}), app) == [f"GET {path}"]


def test_a_rule_must_be_for_every_method_of_a_route() -> None:
    guard = make_guard({"path": "/a", "methods": ["GET"]})
    app = FastAPI()
    app.api_route("/a", methods=["GET", "PUT", "DELETE"])(nothing)
    app.add_route("/a", lambda _: PlainTextResponse(""))
    app.router.routes.append(Route("/a", type("Page", (HTTPEndpoint,), {})))
    assert places(guard, app) == ["DELETE, PUT /a", "HEAD /a", "* /a"]
    assert places(make_guard({"path": "/a"}), app) == []


def test_a_converter_of_ones_own_may_take_slashes_so_no_rule_is_for_it() -> None:
    from starlette.convertors import CONVERTOR_TYPES, StringConvertor, register_url_convertor

    class Anything(StringConvertor):
        regex = ".*"

    register_url_convertor("anything", Anything())
    try:
        app = FastAPI()
        app.get("/a/{x:anything}")(nothing)
        assert places(make_guard({"path": "/a/{x}"}), app) == ["GET /a/{x:anything}"]
    finally:
        del CONVERTOR_TYPES["anything"]


def test_a_route_cannot_be_public_and_guarded() -> None:
    guard = make_guard({"path": "/both/{x}", "methods": ["GET"], "public": True})
    app = FastAPI()
    demand = [Depends(guard.requires())]
    app.get("/both/{y}", dependencies=demand)(nothing)
    app.post("/both/{y}", dependencies=demand)(nothing)
    assert places(guard, app) == ["GET /both/{y}"]


def test_a_route_can_be_in_the_policy_and_guarded() -> None:
    guard = make_guard({"path": "/both", "scopes": ["a"]})
    app = FastAPI()
    app.get("/both", dependencies=[Depends(guard.requires(["b"]))])(nothing)
    assert places(guard, app) == []


# FastAPI's own pages


def test_the_documentation_is_exempt_and_a_page_of_ones_own_is_not() -> None:
    app = FastAPI(docs_url="/d", redoc_url="/r", openapi_url="/o")
    assert places(make_guard(), app) == []
    app.get("/docs")(nothing)
    assert places(make_guard(), app) == ["GET /docs"]


# Mounts


def test_what_is_mounted_is_walked() -> None:
    guard = make_guard({"path": "/inner/public", "public": True})
    inner = FastAPI()
    inner.get("/public")(nothing)
    inner.get("/guarded", dependencies=[Depends(guard.requires())])(nothing)
    inner.get("/forgotten")(nothing)
    deeper = Starlette(routes=[Route("/deep", lambda _: PlainTextResponse(""))])
    inner.mount("/deeper", deeper)
    app = FastAPI()
    app.mount("/inner", inner)
    app.router.routes.append(Mount("/list", routes=[Route("/x", opaque)]))
    app.router.routes.append(Host("a.example", Router([Route("/hosted", opaque)])))
    app.router.routes.append(Host("b.example", opaque))
    assert places(guard, app) == [
        "GET /inner/forgotten",
        "GET, HEAD /inner/deeper/deep",
        "GET, HEAD /list/x",
        "GET, HEAD /hosted",
        "/*",
    ]


def test_a_mount_in_an_included_router_is_walked_where_it_is() -> None:
    router = APIRouter()
    router.mount("/static", opaque)
    app = FastAPI()
    app.include_router(router, prefix="/v1")
    assert places(make_guard(), app) == ["/v1/static/*"]
    assert places(make_guard({"path": "/v1/static/{file:path}"}), app) == []


def test_one_rule_can_be_for_all_that_is_mounted(tmp_path: Path) -> None:
    inner = FastAPI()
    inner.get("/a")(nothing)
    app = FastAPI()
    app.mount("/inner", inner)
    app.mount("/static", StaticFiles(directory=tmp_path))
    inner.mount("/deeper", opaque)
    both: list[dict[str, Any]] = [
        {"path": "/inner/{x:path}"},
        {"path": "/static/{x:path}", "public": True},
    ]
    assert places(make_guard(*both), app) == []
    only_get = [{**rule, "methods": ["GET"]} for rule in both]
    assert places(make_guard(*only_get), app) == [
        "GET /inner/a",
        "/inner/deeper/*",
        "/static/*",
    ]


def test_a_public_mount_cannot_hold_a_guarded_route() -> None:
    guard = make_guard({"path": "/inner/{x:path}", "public": True})
    inner = FastAPI()
    inner.get("/a", dependencies=[Depends(guard.requires())])(nothing)
    app = FastAPI()
    app.mount("/inner", inner)
    assert places(guard, app) == ["GET /inner/a"]


def test_a_route_of_an_unknown_kind_is_not_taken_for_guarded() -> None:
    class Odd(BaseRoute):
        path = "/odd"

        def matches(self, scope: Any) -> tuple[Match, Any]:
            raise NotImplementedError

    app = FastAPI()
    app.router.routes.append(Odd())
    assert places(make_guard({"path": "/odd", "methods": ["GET"]}), app) == ["* /odd"]
