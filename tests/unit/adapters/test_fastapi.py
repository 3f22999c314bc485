"""The FastAPI adapter: refuse by default, demand per endpoint, answer as the guard answers."""

import importlib
import sys
from typing import Annotated, Any, Final

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from portvakt import AccessToken, ConfigurationError, Decision, HttpRequest
from portvakt.adapters.asgi import decision_of
from portvakt.adapters.fastapi import FastAPIGuard
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
RULES: Final = [
    {"path": "/healthz", "public": True},
    {"path": "/open/{page}", "public": True},
    {"path": "/ruled/{x}", "scopes": ["ruled"]},
]


def make_guard(rules: list[dict[str, Any]] | None = None) -> FastAPIGuard:
    return FastAPIGuard.from_config(
        ISSUER.config(route=RULES if rules is None else rules), clock=ISSUER.clock
    )


GUARD: Final = make_guard()
Reader = Annotated[AccessToken, Depends(GUARD.requires(scopes=["read"]))]


def make_app() -> FastAPI:
    app = FastAPI()
    GUARD.protect(app)

    @app.get("/healthz")
    def healthz() -> str:
        return "well"

    @app.get("/journal/{patient}")
    def journal(patient: str, token: Reader) -> str:
        return f"{patient} {token.subject}"

    @app.post("/journal")
    def write(
        entry: Annotated[dict[str, str], Body()],
        token: Annotated[AccessToken, Depends(GUARD.requires(["read", "write"]))],
    ) -> str:
        return f"{len(entry)} {token.subject}"

    @app.get("/any")
    def anyone(token: Annotated[AccessToken, Depends(GUARD.requires())]) -> bool:
        return isinstance(token, AccessToken)

    @app.get("/ruled/{x}")
    def ruled(x: str) -> str:
        return x

    @app.get("/open/special")
    def special(token: Reader) -> str:
        return str(token.subject)

    @app.get("/open/twice")
    def twice(
        token: Reader, again: Annotated[AccessToken, Depends(GUARD.requires(["write"]))]
    ) -> bool:
        return token is again

    @app.websocket("/live")
    async def live(websocket: WebSocket, token: Reader) -> None:
        await websocket.accept()
        await websocket.send_text(str(token.subject))
        await websocket.close()

    return app


APP: Final = make_app()


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(APP)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


READER: Final = bearer(ISSUER.token(scopes=["read"], claims={"sub": "user"}))
WRITER: Final = bearer(ISSUER.token(scopes=["read", "write"]))
NOBODY: Final = bearer(ISSUER.token())
FORGER: Final = bearer(ISSUER.forged("foreign-key", scopes=["read"]))


@pytest.mark.twin("API-09", "API-12", "HTTP-12")
def test_an_honest_token_is_handed_to_the_endpoint(client: TestClient) -> None:
    answer = client.get("/journal/1", headers=READER)
    assert (answer.status_code, answer.json()) == (200, "1 user")


@pytest.mark.attack("HTTP-13")
@pytest.mark.parametrize("path", ["/journal/1", "/any", "/ruled/1", "/nowhere"])
def test_without_a_token_the_challenge_is_bare(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="test-api"'


@pytest.mark.attack("API-09", "API-12")
@pytest.mark.parametrize("fault", ["foreign-key", "none", "expired", "aud-missing", "hs256-pem"])
def test_a_forged_token_is_refused_on_every_guarded_path(client: TestClient, fault: str) -> None:
    headers = bearer(ISSUER.forged(fault, scopes=["read", "ruled"]))
    for path in ("/journal/1", "/any", "/ruled/1", "/open/special", "/docs"):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.attack("HTTP-11", "HTTP-12")
def test_a_missing_scope_is_answered_exactly_as_the_guard_answers(client: TestClient) -> None:
    answer = client.get("/journal/1", headers=NOBODY)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="test-api", error="insufficient_scope", error_description='
        '"The access token does not carry the scope that this request needs.", scope="read"'
    )
    assert answer.json() == {
        "type": "about:blank",
        "title": "insufficient_scope",
        "status": 403,
        "detail": "The access token does not carry the scope that this request needs.",
    }


def test_all_scopes_are_needed(client: TestClient) -> None:
    assert client.post("/journal", json={"a": "b"}, headers=READER).status_code == 403
    assert client.post("/journal", json={"a": "b"}, headers=WRITER).status_code == 200
    assert client.get("/any", headers=NOBODY).json() is True


def test_a_route_of_the_policy_needs_no_dependency(client: TestClient) -> None:
    assert client.get("/ruled/1", headers=NOBODY).status_code == 403
    assert client.get("/ruled/1", headers=bearer(ISSUER.token(scopes=["ruled"]))).json() == "1"


def test_the_scopes_of_the_api_are_demanded_everywhere_else() -> None:
    config = ISSUER.config(route=RULES)
    config["api"]["scopes"] = ["access"]
    guard = FastAPIGuard.from_config(config, clock=ISSUER.clock)
    app = FastAPI()
    guard.protect(app)
    app.get("/any", dependencies=[Depends(guard.requires())])(lambda: "served")
    app.get("/healthz")(lambda: "well")
    app.get("/ruled/{x}")(lambda: "ruled")
    with TestClient(app) as client:
        assert client.get("/healthz").json() == "well"
        for path in ("/any", "/openapi.json", "/ruled/1"):
            without = bearer(ISSUER.token(scopes=["ruled"]))
            assert client.get(path, headers=without).status_code == 403
            having = bearer(ISSUER.token(scopes=["access", "ruled"]))
            assert client.get(path, headers=having).is_success


def test_a_public_route_needs_no_token_and_does_not_look_at_one(client: TestClient) -> None:
    assert client.get("/healthz").json() == "well"
    assert client.get("/healthz", headers=FORGER).json() == "well"


def test_what_an_endpoint_demands_holds_on_a_public_path(client: TestClient) -> None:
    assert client.get("/open/special").status_code == 401
    assert client.get("/open/special", headers=FORGER).status_code == 401
    assert client.get("/open/special", headers=NOBODY).status_code == 403
    assert client.get("/open/special", headers=READER).json() == "user"


def test_a_request_is_checked_once_however_many_demands_there_are() -> None:
    seen: list[Decision] = []
    guard = FastAPIGuard.from_config(
        ISSUER.config(route=RULES),
        clock=ISSUER.clock,
        observers=[lambda _, decision: seen.append(decision)],
    )
    app = FastAPI()
    guard.protect(app)

    @app.get("/private")
    def read(
        one: Annotated[AccessToken, Depends(guard.requires(["read"]))],
        two: Annotated[AccessToken, Depends(guard.requires(["write"]))],
    ) -> bool:
        return one is two

    app.get("/open/special")(read)
    client = TestClient(app)
    assert client.get("/private", headers=WRITER).json() is True
    assert len(seen) == 1
    assert client.get("/open/special", headers=WRITER).json() is True
    assert len(seen) == 3  # First the path, which is public; then the token, once.
    assert [decision.again for decision in seen] == [False, False, True]


def test_two_demands_on_a_public_path_are_both_made(client: TestClient) -> None:
    assert client.get("/open/twice", headers=READER).status_code == 403
    assert client.get("/open/twice", headers=WRITER).json() is True


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize("path", ["/%72uled/1", "/ruled/.1", "/ruled/1;x", "/ruled/%2e"])
def test_a_rule_is_not_dodged_with_any_valid_token(client: TestClient, path: str) -> None:
    assert client.get(path, headers=NOBODY).status_code == 403


def test_a_malformed_body_is_no_way_past_the_token(client: TestClient) -> None:
    assert client.post("/journal", content=b"{", headers=FORGER).status_code == 401
    assert client.post("/journal", content=b"{", headers=WRITER).status_code == 422


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"])
def test_the_documentation_needs_a_valid_token(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 401
    assert client.get(path, headers=NOBODY).status_code == 200


def test_the_documentation_can_be_declared_public() -> None:
    guard = make_guard([{"path": "/openapi.json", "public": True}])
    app = FastAPI()
    guard.protect(app)
    with TestClient(app) as client:
        assert client.get("/openapi.json").status_code == 200
        assert client.get("/docs").status_code == 401


def test_other_methods_are_judged_as_any_request(client: TestClient) -> None:
    for method in ("HEAD", "OPTIONS", "DELETE", "BREW"):
        assert client.request(method, "/journal/1").status_code == 401
        assert client.request(method, "/journal/1", headers=READER).status_code == 405


# WebSocket


def test_an_honest_handshake_is_accepted(client: TestClient) -> None:
    with client.websocket_connect("/live", headers=READER) as websocket:
        assert websocket.receive_text() == "user"


@pytest.mark.attack("API-12")
@pytest.mark.parametrize(("headers", "status"), [({}, 401), (FORGER, 401), (NOBODY, 403)])
def test_another_handshake_is_refused(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    with (
        pytest.raises(WebSocketDenialResponse) as caught,
        client.websocket_connect("/live", headers=headers),
    ):
        pass
    assert caught.value.status_code == status
    assert caught.value.headers["www-authenticate"].startswith("Bearer realm=")


class WithoutDenial:
    """A server that cannot answer a handshake with a response."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"] = {}
        await APP(scope, receive, send)


def test_a_handshake_without_the_scope_is_closed_where_the_server_cannot_answer() -> None:
    client = TestClient(WithoutDenial())
    for headers in ({}, NOBODY):
        with (
            pytest.raises(WebSocketDisconnect) as caught,
            client.websocket_connect("/live", headers=headers),
        ):
            pass
        assert caught.value.code == 1008


# Nothing works half


def test_a_dependency_without_protect_is_an_error_and_not_a_pass() -> None:
    app = FastAPI()
    app.get("/guarded", dependencies=[Depends(GUARD.requires())])(lambda: "served")
    with pytest.raises(ConfigurationError, match="nothing was checked"):
        TestClient(app).get("/guarded", headers=READER)
    loud = TestClient(app, raise_server_exceptions=False)
    assert loud.get("/guarded", headers=READER).status_code == 500


def test_one_guard_does_not_take_anothers_word() -> None:
    app = FastAPI()
    make_guard([]).protect(app)
    app.router.add_api_route("/guarded", lambda: "served", dependencies=[Depends(GUARD.requires())])
    app.user_middleware[0].kwargs["check_routes"] = lambda: None
    with pytest.raises(ConfigurationError, match="two different guards"):
        TestClient(app).get("/guarded", headers=READER)


def test_protecting_twice_is_an_error() -> None:
    app = FastAPI()
    GUARD.protect(app)
    with pytest.raises(ConfigurationError, match="twice"):
        GUARD.protect(app)


@pytest.mark.parametrize("scopes", ["read", ["read write"], [""]])
def test_a_malformed_scope_is_an_error_where_it_is_written(scopes: Any) -> None:
    with pytest.raises(ConfigurationError):
        GUARD.requires(scopes=scopes)


def test_handlers_of_the_application_do_not_change_a_refusal() -> None:
    app = make_app()

    async def swallow(_request: Request, _error: Exception) -> JSONResponse:
        return JSONResponse("welcome")

    app.add_exception_handler(403, swallow)
    app.add_exception_handler(HTTPException, swallow)
    app.add_exception_handler(Exception, swallow)
    assert TestClient(app).get("/journal/1", headers=NOBODY).status_code == 403


def test_a_route_added_after_the_start_needs_a_valid_token() -> None:
    app = make_app()
    with TestClient(app) as client:
        app.get("/late")(lambda: "served")
        assert client.get("/late").status_code == 401
        assert client.get("/late", headers=FORGER).status_code == 401
        assert client.get("/late", headers=NOBODY).status_code == 200


def test_middleware_inside_sees_admitted_requests_only() -> None:
    app = FastAPI()
    seen: list[HttpRequest | str] = []

    @app.middleware("http")
    async def note(request: Request, call_next: Any) -> Any:
        seen.append(request.url.path)
        assert decision_of(request.scope).admitted
        return await call_next(request)

    GUARD.protect(app)
    app.get("/healthz")(lambda: "well")
    client = TestClient(app)
    client.get("/other")
    client.get("/healthz")
    assert seen == ["/healthz"]


def test_preflights_pass_when_cors_stands_outside() -> None:
    app = make_app()
    app.add_middleware(CORSMiddleware, allow_origins=["https://a.example"])
    headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    client = TestClient(app)
    assert client.options("/journal/1", headers=headers).status_code == 200
    refusal = client.get("/journal/1", headers=headers)
    assert refusal.status_code == 401
    assert refusal.headers["access-control-allow-origin"] == "https://a.example"


# Mounted applications and routers


def test_a_mounted_fastapi_application_is_judged_and_answers_alike() -> None:
    inner = FastAPI()

    @inner.get("/read")
    def read(token: Reader) -> str:
        return str(token.subject)

    app = FastAPI()
    GUARD.protect(app)
    app.mount("/inner", inner)
    client = TestClient(app)
    assert client.get("/inner/read").status_code == 401
    refusal = client.get("/inner/read", headers=NOBODY)
    assert refusal.status_code == 403
    assert refusal.headers["content-type"] == "application/problem+json"
    assert client.get("/inner/read", headers=READER).json() == "user"


def test_an_opaque_mounted_application_is_judged_by_its_rule() -> None:
    async def opaque(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(scope["path"])(scope, receive, send)

    guard = make_guard([{"path": "/opaque/{rest:path}", "scopes": ["opaque"]}])
    app = FastAPI()
    guard.protect(app)
    app.mount("/opaque", opaque)
    client = TestClient(app)
    assert client.get("/opaque/a/b", headers=bearer(ISSUER.token(scopes=["opaque"]))).is_success
    for path in ("/opaque/a/b", "/opaque/", "/opaque/a/", "/opaque/.a", "/%6fpaque/a", "/opaque//"):
        assert client.get(path, headers=NOBODY).status_code == 403


def test_a_guarded_application_mounted_in_an_unguarded_one_guards_itself() -> None:
    site = Starlette()
    site.mount("/api", make_app())
    client = TestClient(site)
    assert client.get("/api/healthz").json() == "well"
    assert client.get("/api/journal/1").status_code == 401
    assert client.get("/api/journal/1", headers=READER).json() == "1 user"


def test_dependencies_of_routers_and_applications_guard_what_is_in_them() -> None:
    demand = Depends(GUARD.requires(["read"]))
    inner = APIRouter()
    inner.get("/one")(lambda: 1)
    inner.websocket("/two")(lambda: None)
    outer = APIRouter(prefix="/outer", dependencies=[demand])
    outer.include_router(inner, prefix="/inner")
    app = FastAPI()
    GUARD.protect(app)
    app.include_router(outer)
    with TestClient(app) as client:
        assert client.get("/outer/inner/one", headers=NOBODY).status_code == 403
        assert client.get("/outer/inner/one", headers=READER).json() == 1


# OpenAPI


def test_openapi_names_the_scheme_the_scopes_and_the_refusals() -> None:
    document = make_app().openapi()
    scheme = document["components"]["securitySchemes"]["AccessToken"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    operation = document["paths"]["/journal"]["post"]
    assert operation["security"] == [{"AccessToken": ["read", "write"]}]
    assert {"200", "401", "403", "422"} <= operation["responses"].keys()
    assert document["paths"]["/any"]["get"]["security"] == [{"AccessToken": []}]
    health = document["paths"]["/healthz"]["get"]
    assert "security" not in health
    assert "401" not in health["responses"]


def test_openapi_keeps_what_the_application_says_of_a_refusal() -> None:
    app = FastAPI()
    GUARD.protect(app)
    app.get("/a", dependencies=[Depends(GUARD.requires())], responses={403: {"description": "no"}})(
        lambda: 1
    )
    assert app.openapi()["paths"]["/a"]["get"]["responses"]["403"]["description"] == "no"


def test_without_fastapi_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.delitem(sys.modules, "portvakt.adapters.fastapi")
    with pytest.raises(ConfigurationError, match=r"pip install 'portvakt\[fastapi\]'"):
        importlib.import_module("portvakt.adapters.fastapi")


@pytest.mark.twin("HTTP-13")
@pytest.mark.parametrize("rules", [[], RULES])
def test_metadata_is_answered_without_a_route_of_the_application(
    rules: list[dict[str, Any]],
) -> None:
    api = {"audience": "test-api", "origin": "https://api.test"}
    guard = FastAPIGuard.from_config(ISSUER.config(api=api, route=rules), clock=ISSUER.clock)
    app = FastAPI()
    guard.protect(app)

    @app.get("/any")
    def anyone(token: Annotated[AccessToken, Depends(guard.requires())]) -> str:
        return str(token.subject)

    well_known = "/.well-known/oauth-protected-resource"
    with TestClient(app) as started:
        told = started.get(well_known)
        assert (told.status_code, told.json()["resource"]) == (200, "https://api.test")
        assert told.headers["Content-Type"] == "application/json"
        assert started.head(well_known).status_code == 200
        assert started.get("/any", headers=READER).status_code == 200
        for refused in (started.post(well_known), started.get("/any")):
            assert refused.status_code == 401
            challenge = refused.headers["WWW-Authenticate"]
            assert f'resource_metadata="https://api.test{well_known}"' in challenge
