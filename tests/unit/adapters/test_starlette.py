"""The Starlette adapter: what is not admitted never reaches an endpoint, and none is forgotten."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient, WebSocketDenialResponse

from portvakt import AccessToken, ConfigurationError
from portvakt.adapters.asgi import judgement_of
from portvakt.adapters.starlette import StarletteGuard, token_of
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.websockets import WebSocket

ISSUER: Final = FakeIssuer()


def make_guard(*rules: dict[str, Any], **more: Any) -> StarletteGuard:
    return StarletteGuard.from_config(
        ISSUER.config(route=list(rules), **more) if rules else ISSUER.config(**more),
        clock=ISSUER.clock,
    )


GUARD: Final = make_guard({"path": "/healthz", "public": True})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


READER: Final = bearer(ISSUER.token(scopes=["read"], claims={"sub": "reader"}))
WRITER: Final = bearer(ISSUER.token(scopes=["read", "write"], claims={"sub": "writer"}))
NOBODY: Final = bearer(ISSUER.token())
FORGER: Final = bearer(ISSUER.forged("foreign-key", scopes=["read", "write"]))


@GUARD.requires(scopes=["read"])
async def read(request: Request, token: AccessToken) -> Response:
    """Read a journal."""
    seen = token_of(request)
    assert seen is token
    return JSONResponse([request.path_params["patient"], token.subject])


@GUARD.requires(scopes=["read"])
def read_in_a_thread(request: Request) -> Response:
    token = token_of(request)
    return PlainTextResponse(str(token and token.subject))


@GUARD.requires(scopes=["write"])
@GUARD.requires(scopes=["read"])
async def read_and_write(_request: Request, token: AccessToken) -> Response:
    return PlainTextResponse(str(token.subject))


@GUARD.requires(scopes=["read"])
class Journal(HTTPEndpoint):
    """All in one."""

    async def get(self, _request: Request) -> Response:
        return PlainTextResponse("read")

    @GUARD.requires(scopes=["write"])
    async def post(self, _request: Request, token: AccessToken) -> Response:
        return PlainTextResponse(f"written by {token.subject}")


class Methods(HTTPEndpoint):
    @GUARD.requires()
    async def get(self, request: Request) -> Response:
        return PlainTextResponse(str(token_of(request) is not None))


@GUARD.requires(scopes=["read"])
async def live(websocket: WebSocket, token: AccessToken) -> None:
    await websocket.accept()
    await websocket.send_text(str(token.subject))
    await websocket.close()


@GUARD.requires(scopes=["read"])
class Live(WebSocketEndpoint):
    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()


@GUARD.requires(matches_request={"subject": "path.subject"})
async def own(_request: Request) -> Response:
    return PlainTextResponse("mine")


async def healthz(request: Request) -> Response:
    return PlainTextResponse(f"well {token_of(request)}")


def make_app(*more: BaseRoute) -> Starlette:
    app = Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/journal/{patient}", read),
            Route("/thread", read_in_a_thread),
            Route("/both", read_and_write),
            Route("/class", Journal),
            Route("/methods", Methods),
            Route("/me/{subject}", own),
            Route("/partial", partial(read_in_a_thread)),
            WebSocketRoute("/live", live),
            WebSocketRoute("/live-class", Live),
            Mount("/inner", app=Starlette(routes=[Route("/read", read_in_a_thread)])),
            *more,
        ]
    )
    GUARD.protect(app)
    return app


@pytest.fixture
def client() -> Any:
    with TestClient(make_app()) as client:
        yield client


@pytest.mark.twin("API-09", "API-12")
def test_an_honest_token_is_admitted(client: TestClient) -> None:
    assert client.get("/journal/1", headers=READER).json() == ["1", "reader"]
    assert client.get("/thread", headers=READER).text == "reader"
    assert client.get("/partial", headers=READER).text == "reader"
    assert client.get("/both", headers=WRITER).text == "writer"
    assert client.get("/class", headers=READER).text == "read"
    assert client.post("/class", headers=WRITER).text == "written by writer"
    assert client.get("/methods", headers=NOBODY).text == "True"
    assert client.get("/inner/read", headers=READER).text == "reader"
    assert client.get("/healthz").text == "well None"


@pytest.mark.attack("API-09", "API-12", "HTTP-13")
@pytest.mark.parametrize(
    "path", ["/journal/1", "/thread", "/both", "/class", "/methods", "/inner/read", "/none"]
)
def test_without_a_good_token_nothing_is_served(client: TestClient, path: str) -> None:
    anonymous = client.get(path)
    assert anonymous.status_code == 401
    assert anonymous.headers["www-authenticate"] == 'Bearer realm="test-api"'
    assert anonymous.headers["content-type"] == "application/problem+json"
    assert client.get(path, headers=FORGER).status_code == 401


@pytest.mark.attack("API-12")
@pytest.mark.parametrize(
    ("method", "path", "credential", "scope"),
    [
        ("GET", "/journal/1", NOBODY, "read"),
        ("HEAD", "/journal/1", NOBODY, "read"),
        ("GET", "/thread", NOBODY, "read"),
        ("GET", "/both", READER, "write"),
        ("GET", "/class", NOBODY, "read"),
        ("POST", "/class", READER, "write"),
        ("GET", "/inner/read", NOBODY, "read"),
    ],
)
def test_a_missing_scope_is_named(
    client: TestClient, method: str, path: str, credential: dict[str, str], scope: str
) -> None:
    answer = client.request(method, path, headers=credential)
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"].endswith(f'scope="{scope}"')


@pytest.mark.attack("API-01")
def test_a_parameter_of_the_path_is_judged_as_the_endpoint_gets_it(client: TestClient) -> None:
    assert client.get("/me/reader", headers=READER).text == "mine"
    assert client.get("/me/%72eader", headers=READER).text == "mine"
    assert client.get("/me/writer", headers=READER).status_code == 403


@pytest.mark.attack("API-12")
@pytest.mark.parametrize("path", ["/live", "/live-class"])
@pytest.mark.parametrize(("credential", "status"), [({}, 401), (FORGER, 401), (NOBODY, 403)])
def test_a_handshake_without_the_demanded_token_is_refused(
    client: TestClient, path: str, credential: dict[str, str], status: int
) -> None:
    with (
        pytest.raises(WebSocketDenialResponse) as refusal,
        client.websocket_connect(path, headers=credential),
    ):
        pass
    assert refusal.value.status_code == status
    assert "www-authenticate" in refusal.value.headers


@pytest.mark.twin("API-12")
def test_a_handshake_with_a_good_token_is_accepted(client: TestClient) -> None:
    with client.websocket_connect("/live", headers=READER) as socket:
        assert socket.receive_text() == "reader"
    with client.websocket_connect("/live-class", headers=READER) as socket:
        assert socket.receive_text() == "hello"


def test_what_is_guarded_keeps_its_name() -> None:
    assert (read.__name__, read.__doc__) == ("read", "Read a journal.")
    assert (Journal.__name__, Journal.__doc__) == ("Journal", "All in one.")


def test_behind_middleware_of_starlettes_own_nothing_changes() -> None:
    async def through(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        return response

    app = Starlette(
        routes=[Route("/journal/{patient}", read)],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=through)],
    )
    GUARD.protect(app)
    with TestClient(app) as client:
        assert client.get("/journal/1", headers=READER).status_code == 200
        assert client.get("/journal/1", headers=NOBODY).status_code == 403


def test_each_demand_says_whether_old_news_will_do() -> None:
    """Where the rule says so: a connection that lasts is looked at by all of them."""
    guard = make_guard(
        {"path": "/easy", "unsafe_on_stale": "admit"},
        {"path": "/other"},
        store={"url": "memory://"},
    )

    @guard.requires()
    async def demands(request: Request) -> Response:
        stated = judgement_of(request).demands
        return JSONResponse([demand.unsafe_on_stale for demand in stated])

    easy = guard.requires(unsafe_on_stale=True)(demands)
    app = Starlette(routes=[Route("/easy", easy), Route("/other", demands)])
    guard.protect(app)
    with TestClient(app) as client:
        assert client.get("/easy", headers=NOBODY).json() == [True, False]
        assert client.get("/other", headers=NOBODY).json() == []


# Mistakes of whoever writes the application


def test_requires_without_protect_serves_nothing() -> None:
    app = Starlette(routes=[Route("/thread", read_in_a_thread)])
    with pytest.raises(ConfigurationError, match="nothing was checked"):
        TestClient(app).get("/thread", headers=READER)


def test_another_guards_word_is_not_taken() -> None:
    app = Starlette(routes=[Route("/thread", read_in_a_thread)])
    other = make_guard()
    other.protect(app)
    with pytest.raises(ConfigurationError, match="GET, HEAD /thread"), TestClient(app):
        pass
    app.user_middleware[0].kwargs["check_routes"] = lambda: None
    app.middleware_stack = None
    with pytest.raises(ConfigurationError, match="two different guards"):
        TestClient(app).get("/thread", headers=READER)


def test_protecting_twice_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="twice"):
        GUARD.protect(make_app())


@pytest.mark.parametrize("what", [StaticFiles, object(), Router(), "endpoint"])
def test_what_is_no_endpoint_cannot_be_guarded(what: Any) -> None:
    with pytest.raises(ConfigurationError, match="HTTPEndpoint"):
        GUARD.requires()(what)


def test_a_function_that_is_no_endpoint_says_so() -> None:
    import asyncio

    @GUARD.requires()
    async def helper() -> None: ...

    with pytest.raises(ConfigurationError, match="take a Request"):
        asyncio.run(helper())


def test_a_scope_that_is_none_is_an_error_at_once() -> None:
    with pytest.raises(ConfigurationError, match="not one scope"):
        GUARD.requires(scopes=["read write"])


# Forgotten routes


def places(guard: StarletteGuard, *routes: BaseRoute) -> list[str]:
    try:
        guard.check_routes(Starlette(routes=routes))
    except ConfigurationError as error:
        *found, advice = error.problems
        assert "@guard.requires(" in advice.message
        assert "public = true" in advice.message
        return [problem.place for problem in found]
    return []


async def nothing(_request: Request) -> Response:
    return Response()


async def silent(_websocket: WebSocket) -> None: ...


async def opaque(_scope: Any, _receive: Any, _send: Any) -> None: ...


class Half(HTTPEndpoint):
    async def get(self, _request: Request) -> Response:
        return Response()

    @GUARD.requires()
    async def post(self, _request: Request) -> Response:
        return Response()


class Strange(BaseRoute):
    def matches(self, scope: Any) -> tuple[Match, Any]:
        return Match.NONE, scope


@pytest.mark.attack("API-12")
def test_all_forgotten_routes_are_listed_at_once() -> None:
    assert places(
        GUARD,
        Route("/healthz", nothing),
        Route("/plain", nothing),
        Route("/posted", nothing, methods=["POST"]),
        Route("/half", Half),
        Route("/guarded", Journal),
        Route("/app", StaticFiles(directory=".")),
        WebSocketRoute("/live", silent),
        WebSocketRoute("/live-class", WebSocketEndpoint),
        Mount("/inner", routes=[Route("/deep/{one}", nothing), Route("/good", read_in_a_thread)]),
        Mount("/static", app=opaque),
        Host("example.test", app=Router(routes=[Route("/hosted", nothing)])),
        Strange(),
    ) == [
        "GET, HEAD /plain",
        "POST /posted",
        "GET /half",
        "HEAD /half",
        "* /app",
        "WEBSOCKET /live",
        "WEBSOCKET /live-class",
        "GET, HEAD /inner/deep/{one}",
        "/static/*",
        "GET, HEAD /hosted",
        "/* (Strange)",
    ]


@pytest.mark.twin("API-12")
def test_what_the_policy_has_a_rule_for_is_not_forgotten(tmp_path: Path) -> None:
    guard = make_guard(
        {"path": "/plain/{one}", "scopes": ["read"]},
        {"path": "/static/{rest:path}", "public": True},
        {"path": "/inner/{rest:path}", "scopes": ["read"]},
        {"path": "/live"},
    )
    assert not places(
        guard,
        Route("/plain/{number:int}", nothing),
        Mount("/static", app=StaticFiles(directory=tmp_path)),
        Mount("/inner", routes=[Route("/deep/{one}", nothing), Strange()]),
        WebSocketRoute("/live", silent),
    )


def test_guarded_and_public_at_once_is_an_error() -> None:
    guard = make_guard({"path": "/open", "public": True})
    both = guard.requires()(nothing)
    assert places(guard, Route("/open", both)) == ["GET, HEAD /open"]


def test_demands_that_no_token_meets_are_an_error() -> None:
    guard = make_guard(
        api={"audience": "test-api", "origin": "https://api.test"},
        store={"url": "memory://"},
        dpop={},
    )
    proven = guard.requires(sender_constraint="dpop")(nothing)
    both = guard.requires(sender_constraint="mtls")(proven)
    assert places(guard, Route("/both", both)) == ["GET, HEAD /both"]


def test_a_mounted_application_with_a_root_path_of_its_own_is_an_error() -> None:
    inner = Starlette(routes=[Route("/read", read_in_a_thread)])
    inner.root_path = "/elsewhere"  # type: ignore[attr-defined]  # as FastAPI's has
    assert places(GUARD, Mount("/inner", app=inner)) == ["/inner/*"]


def test_an_application_with_a_forgotten_route_does_not_start() -> None:
    app = make_app(Route("/forgotten", nothing))
    with pytest.raises(ConfigurationError, match="GET, HEAD /forgotten"), TestClient(app):
        pass
    # Nor does it serve without a lifespan.
    with pytest.raises(ConfigurationError, match="GET, HEAD /forgotten"):
        TestClient(app).get("/healthz")
