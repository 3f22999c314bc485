"""The Litestar adapter: what is not admitted never reaches a handler, and none is forgotten."""

# Litestar reads the types of handlers when they are made, so this file defers none.
from functools import partial
from pathlib import Path as FilePath
from typing import Any, Final

import pytest
from litestar import Controller, Request, Router, WebSocket, asgi, get, post, websocket
from litestar import Litestar as _Litestar
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.exceptions import HTTPException, WebSocketDisconnect
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components
from litestar.params import FromPath
from litestar.response import Response
from litestar.static_files import create_static_files_router
from litestar.testing import TestClient

from portvakt import ConfigurationError
from portvakt.adapters.litestar import LitestarGuard, Token, token_of
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()

#: Litestar's own configuration of logging takes the place of pytest's.
Litestar: Final = partial(_Litestar, logging_config=None)


def make_guard(*rules: dict[str, Any], **more: Any) -> LitestarGuard:
    return LitestarGuard.from_config(
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


@get("/journal/{patient:str}", guards=[GUARD.requires(scopes=["read"])])
async def read(patient: FromPath[str], token: Token, request: Request[Any, Any, Any]) -> list[str]:
    """Read a journal."""
    assert token_of(request) is token
    return [patient, str(token.subject)]


@get("/thread", guards=[GUARD.requires(scopes=["read"])], sync_to_thread=True)
def in_a_thread(token: Token) -> str:
    return str(token.subject)


class Journals(Controller):
    path = "/journals"
    guards = [GUARD.requires(scopes=["read"])]  # noqa: RUF012  as Litestar wants it

    @get()
    async def all(self) -> str:
        return "all"

    @post(guards=[GUARD.requires(scopes=["write"])])
    async def add(self, token: Token) -> str:
        return f"added by {token.subject}"


@get("/me/{subject:str}", guards=[GUARD.requires(matches_request={"subject": "path.subject"})])
async def own() -> str:
    return "mine"


@get("/healthz")
async def healthz(request: Request[Any, Any, Any]) -> str:
    return f"well {token_of(request)}"


@websocket("/live", guards=[GUARD.requires(scopes=["read"])])
async def live(socket: WebSocket[Any, Any, Any], token: Token) -> None:
    await socket.accept()
    await socket.send_text(str(token.subject))
    await socket.close()


@asgi("/mounted", is_mount=True, copy_scope=True, guards=[GUARD.requires(scopes=["read"])])
async def mounted(scope: Any, receive: Any, send: Any) -> None:
    await Response(f"at {scope['path']}").to_asgi_response(None, Request(scope))(
        scope, receive, send
    )


HANDLERS: Final[list[Any]] = [read, in_a_thread, Journals, own, healthz, live, mounted]


def make_app(*more: Any, guard: LitestarGuard = GUARD, **settings: Any) -> _Litestar:
    return Litestar([*HANDLERS, *more], on_app_init=[guard.protect], **settings)


def does_not_start(why: str) -> Any:
    """Litestar's test client starts applications in a group of tasks."""
    problem = pytest.RaisesExc(ConfigurationError, match=why)
    return pytest.RaisesGroup(problem, flatten_subgroups=True)


@pytest.fixture
def client() -> Any:
    with TestClient(make_app()) as client:
        yield client


@pytest.mark.twin("API-09", "API-12")
def test_an_honest_token_is_admitted(client: Any) -> None:
    assert client.get("/journal/1", headers=READER).json() == ["1", "reader"]
    assert client.get("/thread", headers=READER).text == "reader"
    assert client.get("/journals", headers=READER).text == "all"
    assert client.post("/journals", headers=WRITER).text == "added by writer"
    assert client.get("/mounted/deep", headers=READER).text == "at /deep/"
    assert client.get("/healthz").text == "well None"


@pytest.mark.attack("API-09", "API-12", "HTTP-13")
@pytest.mark.parametrize(
    "path",
    [
        "/journal/1",
        "/thread",
        "/journals",
        "/mounted/x",
        "/none",
        "/schema",
        "/schema/openapi.json",
    ],
)
def test_without_a_good_token_nothing_is_served(client: Any, path: str) -> None:
    anonymous = client.get(path)
    assert anonymous.status_code == 401
    assert anonymous.headers["www-authenticate"] == 'Bearer realm="test-api"'
    assert anonymous.headers["content-type"] == "application/problem+json"
    assert client.get(path, headers=FORGER).status_code == 401
    assert client.options(path).status_code == 401


@pytest.mark.attack("API-12")
@pytest.mark.parametrize(
    ("method", "path", "credential", "scope"),
    [
        ("GET", "/journal/1", NOBODY, "read"),
        ("GET", "/thread", NOBODY, "read"),
        ("GET", "/journals", NOBODY, "read"),
        ("POST", "/journals", READER, "write"),
        ("GET", "/mounted/x", NOBODY, "read"),
    ],
)
def test_a_missing_scope_is_named(
    client: Any, method: str, path: str, credential: dict[str, str], scope: str
) -> None:
    answer = client.request(method, path, headers=credential)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].endswith(f'scope="{scope}"')
    assert answer.json()["title"] == "insufficient_scope"


@pytest.mark.attack("API-01")
def test_a_parameter_of_the_path_is_judged_as_the_handler_gets_it(client: Any) -> None:
    assert client.get("/me/reader", headers=READER).text == "mine"
    assert client.get("/me/writer", headers=READER).status_code == 403


@pytest.mark.attack("API-12")
@pytest.mark.parametrize(("credential", "code"), [({}, 1008), (FORGER, 1008), (NOBODY, 1008)])
def test_a_handshake_without_the_demanded_token_is_refused(
    client: Any, credential: dict[str, str], code: int
) -> None:
    with (
        pytest.raises(WebSocketDisconnect) as refusal,
        client.websocket_connect("/live", headers=credential),
    ):
        pass
    assert refusal.value.code == code


@pytest.mark.twin("API-12")
def test_a_handshake_with_a_good_token_is_accepted(client: Any) -> None:
    with client.websocket_connect("/live", headers=READER) as socket:
        assert socket.receive_text() == "reader"


@pytest.mark.attack("API-12")
def test_no_handler_for_exceptions_makes_another_answer_of_a_refusal() -> None:
    seen: list[HTTPException] = []

    def well(_request: Request[Any, Any, Any], error: Exception) -> Response[str]:
        assert isinstance(error, HTTPException)
        seen.append(error)
        return Response("all is well", status_code=200)

    app = make_app(exception_handlers={403: well, Exception: well})
    with TestClient(app) as client:
        answer = client.get("/journal/1", headers=NOBODY)
    assert (answer.status_code, answer.json()["title"]) == (403, "insufficient_scope")
    assert [error.status_code for error in seen] == [403]


# Paths that Litestar reads otherwise


RULED: Final = make_guard(
    {"path": "/journal/{patient}", "scopes": ["read"]},
    {"path": "/static/{rest:path}", "scopes": ["read"]},
    {"path": "/open"},
)


@get("/journal/{patient:str}")
async def ruled(patient: FromPath[str]) -> str:
    return patient


@get("/open")
async def open_to_all() -> str:
    return "open"


@get("/static-page")
async def page() -> str:
    return "page"


@asgi("/static", is_mount=True, copy_scope=True)
async def static(scope: Any, receive: Any, send: Any) -> None:
    await Response("static").to_asgi_response(None, Request(scope))(scope, receive, send)


@pytest.fixture
def ruled_client() -> Any:
    own_page = get("/static-page", guards=[RULED.requires()])(page.fn)
    app = Litestar([ruled, open_to_all, own_page, static], on_app_init=[RULED.protect])
    with TestClient(app) as client:
        yield client


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/journal/1", 403),
        ("/journal/1/", 400),
        ("/journal//1", 400),
        ("//journal/1", 400),
        ("/journal%2f1", 403),
        ("/journal/1%2f", 400),
        ("/static/x", 403),
        ("/static", 403),
        ("/static/", 400),
        ("/staticx", 400),
    ],
)
def test_no_other_way_to_write_a_path_gets_around_its_rule(
    ruled_client: Any, path: str, status: int
) -> None:
    answer = ruled_client.get(f"http://testserver.local{path}", headers=NOBODY)
    assert answer.status_code == status, answer.text


@pytest.mark.twin("HTTP-18")
def test_paths_that_are_written_as_routes_are_served(ruled_client: Any) -> None:
    assert ruled_client.get("/journal/1", headers=READER).text == "1"
    assert ruled_client.get("/open?x=//", headers=NOBODY).text == "open"
    assert ruled_client.get("/static/x", headers=READER).text == "static"
    assert ruled_client.get("/static-page", headers=NOBODY).text == "page"


# Mistakes of whoever writes the application


class Reading(Controller):
    path = "/journals"
    guards = [GUARD.requires()]  # noqa: RUF012  as Litestar wants it

    @get()
    async def all(self) -> str:
        return "all"


def test_requires_without_protect_serves_nothing() -> None:
    with TestClient(Litestar([Reading]), raise_server_exceptions=False) as client:
        assert client.get("/journals", headers=READER).status_code == 500


def test_without_a_lifespan_nothing_is_served() -> None:
    import asyncio

    app = make_app()
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        "type": "http",
        "method": "GET",
        "path": "/healthz",
        "raw_path": b"/healthz",
        "query_string": b"",
        "headers": [],
        "client": None,
    }
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 500


def test_another_guards_word_is_not_taken() -> None:
    app = Litestar([in_a_thread], on_app_init=[make_guard().protect])
    with does_not_start("GET /thread"), TestClient(app):
        pass


def test_protecting_twice_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="twice"):
        Litestar([], on_app_init=[GUARD.protect, GUARD.protect])


def test_an_application_can_be_started_again() -> None:
    app = make_app()
    for _ in range(2):
        with TestClient(app) as client:
            assert client.get("/journal/1", headers=READER).status_code == 200
            assert client.get("/journal/1").status_code == 401


def test_a_token_that_is_not_there_is_no_handlers_parameter() -> None:
    @get("/healthz")
    async def wants_one(token: Token) -> str:
        return str(token.subject)

    app = Litestar([wants_one], on_app_init=[GUARD.protect])
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/healthz").status_code == 500


def test_preflights_need_no_token_and_refusals_can_be_read() -> None:
    app = make_app(cors_config=CORSConfig(allow_origins=["https://app.test"]))
    origin = {"Origin": "https://app.test"}
    with TestClient(app) as client:
        asked = {**origin, "Access-Control-Request-Method": "GET"}
        assert client.options("/journal/1", headers=asked).status_code == 204
        refused = client.get("/journal/1", headers=origin)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://app.test"


# OpenAPI


def test_the_document_says_what_is_demanded() -> None:
    config = OpenAPIConfig(title="t", version="1", components=[Components()])
    document = make_app(openapi_config=config).openapi_schema.to_schema()
    schemes = document["components"]["securitySchemes"]
    assert schemes["AccessToken"]["scheme"] == "bearer"
    operation = document["paths"]["/journal/{patient}"]["get"]
    assert operation["security"] == [{"AccessToken": ["read"]}]
    assert {"401", "403"} <= operation["responses"].keys()
    assert [one["name"] for one in operation["parameters"]] == ["patient"]
    assert document["paths"]["/journals"]["post"]["security"] == [
        {"AccessToken": ["read", "write"]}
    ]
    assert "security" not in document["paths"]["/healthz"]["get"]


def test_other_applications_documents_are_not_changed() -> None:
    make_app()
    document = Litestar([healthz]).openapi_schema.to_schema()
    assert "securitySchemes" not in document.get("components", {})
    assert make_app(openapi_config=None).openapi_config is None


# Forgotten handlers


def no_token() -> None: ...


def places(guard: LitestarGuard, *handlers: Any) -> list[str]:
    # The dependency has to be known.
    app = Litestar(list(handlers), dependencies={"token": Provide(no_token, sync_to_thread=False)})
    try:
        guard.check_routes(app)
    except ConfigurationError as error:
        *found, advice = error.problems
        assert "guards=[guard.requires(" in advice.message
        assert "public = true" in advice.message
        return sorted(problem.place for problem in found)
    return []


@get("/plain")
async def plain() -> None: ...


@post(["/posted", "/posted/{number:int}"], status_code=204)
async def posted() -> None: ...


@websocket("/silent")
async def silent(socket: WebSocket[Any, Any, Any]) -> None: ...


@asgi("/raw", copy_scope=True)
async def raw(scope: Any, receive: Any, send: Any) -> None: ...


@asgi("/below", is_mount=True, copy_scope=True)
async def below(scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.attack("API-12")
def test_all_forgotten_handlers_are_listed_at_once(tmp_path: FilePath) -> None:
    files = create_static_files_router("/files", directories=[tmp_path])
    inner = Router("/inner", route_handlers=[plain], guards=[GUARD.requires()])
    assert places(GUARD, *HANDLERS, plain, posted, silent, raw, below, files, inner) == [
        "* /raw",
        "/below/*",
        "GET /files/{file_path:path}",
        "GET /plain",
        "HEAD /files/{file_path:path}",
        "POST /posted",
        "POST /posted/{number:int}",
        "WEBSOCKET /silent",
    ]


@pytest.mark.twin("API-12")
def test_what_the_policy_has_a_rule_for_is_not_forgotten(tmp_path: FilePath) -> None:
    guard = make_guard(
        {"path": "/plain", "public": True},
        {"path": "/posted"},
        {"path": "/posted/{n}", "methods": ["POST"], "scopes": ["write"]},
        {"path": "/silent", "methods": ["GET"]},
        {"path": "/raw"},
        {"path": "/below/{rest:path}"},
        {"path": "/files/{file:path}", "public": True},
    )
    files = create_static_files_router("/files", directories=[tmp_path])
    assert not places(guard, plain, posted, silent, raw, below, files)


def test_guarded_and_public_at_once_is_an_error() -> None:
    guard = make_guard(
        {"path": "/plain", "public": True}, {"path": "/below/{rest:path}", "public": True}
    )
    both = get("/plain", guards=[guard.requires()])(plain.fn)
    mount = asgi("/below", is_mount=True, copy_scope=True, guards=[guard.requires()])(below.fn)
    assert places(guard, both, mount) == ["* /below/{rest:path}", "GET /plain"]


def test_an_application_with_a_forgotten_handler_does_not_start() -> None:
    with does_not_start("GET /plain"), TestClient(make_app(plain)):
        pass
