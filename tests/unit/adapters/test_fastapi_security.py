"""FastAPI's own way to name scopes, ``Security(…, scopes=[…])``, demands them."""

from typing import Annotated, Final

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security, WebSocket
from starlette.testclient import TestClient, WebSocketDenialResponse

from portvakt import AccessToken, ConfigurationError
from portvakt.adapters.fastapi import FastAPIGuard
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
GUARD: Final = FastAPIGuard.from_config(
    ISSUER.config(route=[{"path": "/open/{page}", "public": True}]), clock=ISSUER.clock
)
VALID: Final = GUARD.requires()
READER: Final = GUARD.requires(["read"])


def current_user(token: Annotated[AccessToken, Depends(READER)]) -> str:
    return str(token.subject)


def bearer(*scopes: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {ISSUER.token(scopes=list(scopes))}"}


def served() -> str:
    return "served"


def make_app() -> FastAPI:
    app = FastAPI()
    GUARD.protect(app)
    app.get("/decorator", dependencies=[Security(READER, scopes=["admin"])])(served)

    @app.get("/parameter")
    def parameter(_: Annotated[AccessToken, Security(READER, scopes=["admin"])]) -> str:
        return served()

    @app.get("/around")
    def around(_: Annotated[str, Security(current_user, scopes=["admin"])]) -> str:
        return served()

    @app.get("/twice")
    def twice(
        _: Annotated[AccessToken, Security(VALID, scopes=["read"])],
        __: Annotated[AccessToken, Security(VALID, scopes=["admin"])],
    ) -> str:
        return served()

    router = APIRouter(dependencies=[Security(VALID, scopes=["admin"])])
    router.get("/router", dependencies=[Depends(READER)])(served)
    app.include_router(router)
    included = APIRouter()
    included.get("/included", dependencies=[Depends(READER)])(served)
    app.include_router(included, dependencies=[Security(VALID, scopes=["admin"])])
    inner = FastAPI(dependencies=[Security(READER, scopes=["admin"])])
    inner.get("/mounted")(served)
    app.mount("/inner", inner)
    app.get("/open/special", dependencies=[Security(READER, scopes=["admin"])])(served)

    @app.websocket("/live")
    async def live(
        websocket: WebSocket, _: Annotated[AccessToken, Security(READER, scopes=["admin"])]
    ) -> None:
        await websocket.accept()
        await websocket.send_text(served())
        await websocket.close()

    return app


PATHS: Final = (
    *("/decorator", "/parameter", "/around", "/twice", "/router", "/included", "/inner/mounted"),
    "/open/special",
)


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(make_app())


@pytest.mark.attack("API-04")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scopes", [["read"], ["admin"], []])
def test_the_scopes_of_both_are_needed(client: TestClient, path: str, scopes: list[str]) -> None:
    answer = client.get(path, headers=bearer(*scopes))
    assert answer.status_code == 403
    assert client.get(path).status_code == 401


@pytest.mark.twin("API-04")
@pytest.mark.parametrize("path", PATHS)
def test_a_token_with_the_scopes_of_both_gets_in(client: TestClient, path: str) -> None:
    answer = client.get(path, headers=bearer("read", "admin"))
    assert (answer.status_code, answer.json()) == (200, "served")


@pytest.mark.parametrize("scopes", [["read"], ["admin"], []])
def test_the_challenge_names_all_that_a_new_token_needs(
    client: TestClient, scopes: list[str]
) -> None:
    answer = client.get("/parameter", headers=bearer(*scopes))
    assert answer.headers["www-authenticate"].endswith('scope="read admin"')


@pytest.mark.attack("API-04")
def test_a_handshake_needs_them_too(client: TestClient) -> None:
    with client.websocket_connect("/live", headers=bearer("read", "admin")) as websocket:
        assert websocket.receive_text() == "served"
    with (
        pytest.raises(WebSocketDenialResponse) as caught,
        client.websocket_connect("/live", headers=bearer("read")),
    ):
        pass
    assert caught.value.status_code == 403


def test_what_is_demanded_is_what_openapi_says() -> None:
    paths = make_app().openapi()["paths"]
    for path in ("/decorator", "/parameter", "/around"):
        (scheme,) = paths[path]["get"]["security"]
        assert sorted(scheme["AccessToken"]) == ["admin", "read"]


def test_scopes_that_are_none_keep_the_application_from_starting() -> None:
    app = FastAPI()
    app.get("/a", dependencies=[Security(VALID, scopes=["read write"])])(served)

    @app.get("/b")
    def around(_: Annotated[str, Security(current_user, scopes=["a", ""])]) -> str:
        return served()

    with pytest.raises(ConfigurationError) as caught:
        GUARD.check_routes(app)
    (*problems, _) = caught.value.problems
    assert [problem.place for problem in problems] == ["GET /a", "GET /b"]
    assert all("not one scope" in problem.message for problem in problems)
