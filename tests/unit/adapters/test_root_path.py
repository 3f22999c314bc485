"""HTTP-18: under a prefix (``root_path``) what is judged is what is served, mounted or not."""

import asyncio
import warnings
from typing import Annotated, Any, Final
from urllib.parse import quote, unquote

import pytest
from fastapi import Depends, FastAPI
from fastapi.exceptions import FastAPIDeprecationWarning
from hypothesis import example, given
from hypothesis import strategies as st
from starlette._utils import get_route_path
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.routing import Mount
from starlette.testclient import TestClient

from portvakt import ConfigurationError
from portvakt.adapters.asgi import (
    Application,
    GuardMiddleware,
    Message,
    Receive,
    Scope,
    Send,
    judgement_of,
)
from portvakt.adapters.fastapi import FastAPIGuard
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
NOBODY: Final = {"Authorization": f"Bearer {ISSUER.token()}"}
ADMIN: Final = {"Authorization": f"Bearer {ISSUER.token(scopes=['admin'])}"}
GUARD: Final = FastAPIGuard.from_config(
    ISSUER.config(
        route=[
            {"path": "/plain/{x}", "scopes": ["admin"]},
            {"path": "/journal/status", "public": True},
            {"path": "/journal/{patient}/status", "scopes": ["admin"]},
        ]
    ),
    clock=ISSUER.clock,
)
VALID: Final = GUARD.requires()


def own_prefix(prefix: str) -> FastAPI:
    """Make an application with a prefix of its own, which FastAPI would rather have at the server.

    It is common all the same: its own documentation said so for years.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastAPIDeprecationWarning)
        return FastAPI(root_path=prefix)


def site(prefix: str = "") -> FastAPI:
    """Make a protected application with another one mounted, which has its own prefix or none."""
    app = own_prefix(prefix)
    GUARD.protect(app)
    inner = FastAPI()

    @app.get("/plain/{x}")
    def plain(x: str) -> str:
        return x

    @inner.get("/status")
    def public() -> str:
        return "public"

    @inner.get("/{patient}/status")
    def status(patient: str) -> str:
        return f"status of {patient}"

    @inner.get("/url")
    def url(request: Request, _: Annotated[Any, Depends(VALID)]) -> list[str]:
        return [request.url.path, str(request.url_for("url"))]

    app.mount("/journal", inner)
    return app


#: The same prefix, by the application and by the server: uvicorn puts it in front of the path, and
#: others (and this client) do not.
CLIENTS: Final = {
    "none": TestClient(site()),
    "application": TestClient(site("/api")),
    "server": TestClient(site(), root_path="/api"),
    "both": TestClient(site("/api"), root_path="/other"),
}
PREFIXED: Final = [("none", ""), *((name, p) for name in list(CLIENTS)[1:] for p in ("", "/api"))]


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(("name", "prefix"), PREFIXED)
def test_what_is_public_leads_nowhere_else(name: str, prefix: str) -> None:
    answer = CLIENTS[name].get(f"{prefix}/journal/status")
    assert (answer.status_code, answer.json()) == (200, "public")


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(("name", "prefix"), PREFIXED)
@pytest.mark.parametrize(
    "path",
    [
        *("/plain/1", "/%70lain/1", "/journal/1/status", "/journal/%31/status"),
        *("/journal/journal/status", "/journal/api/status"),
    ],
)
def test_the_prefix_is_no_way_around_a_rule(name: str, prefix: str, path: str) -> None:
    client = CLIENTS[name]
    assert client.get(prefix + path).status_code in {401, 403}
    assert client.get(prefix + path, headers=NOBODY).status_code == 403


@pytest.mark.twin("HTTP-18")
@pytest.mark.parametrize(("name", "prefix"), PREFIXED)
def test_whoever_may_is_served_with_and_without_the_prefix(name: str, prefix: str) -> None:
    client = CLIENTS[name]
    assert client.get(f"{prefix}/plain/a%20b", headers=ADMIN).json() == "a b"
    assert client.get(f"{prefix}/journal/1/status", headers=ADMIN).json() == "status of 1"
    assert client.get(f"{prefix}/nowhere", headers=ADMIN).status_code == 404


@pytest.mark.parametrize(("name", "prefix"), PREFIXED[1:])
def test_the_application_sees_the_url_that_its_callers_use(name: str, prefix: str) -> None:
    path, url = CLIENTS[name].get(f"{prefix}/journal/url", headers=NOBODY).json()
    assert path == "/api/journal/url"
    assert url == "http://testserver/api/journal/url"


# Whatever prefix, whatever path: an application and one that is mounted in it see what was judged

ANYTHING: Final = ISSUER.guard()
SEEN: Final[list[str]] = []


def compare(mounted: str) -> Application:
    """Make an application that is routed to by what was judged, without where it is mounted."""

    async def application(scope: Scope, _receive: Receive, _send: Send) -> None:
        judged = unquote(judgement_of(scope).request.url)
        assert judged == mounted + get_route_path(scope)
        SEEN.append(judged)

    return application


def make_guarded() -> GuardMiddleware:
    return GuardMiddleware(
        Starlette(
            routes=[
                Mount("/a b", app=compare("/a b")),
                Mount("/c", routes=[Mount("/d", app=compare("/c/d"))]),
                # A guard in a mount judges the path inside.
                Mount("/inner", app=GuardMiddleware(compare(""), ANYTHING)),
                Mount("", app=compare("")),
            ]
        ),
        ANYTHING,
    )


GUARDED: Final = make_guarded()


def send_to(app: Application, path: str, prefix: str, *, raw: bool) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    async def serve() -> None:
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": quote(path).encode() if raw else None,
            "root_path": prefix,
            "headers": [(b"authorization", NOBODY["Authorization"].encode())],
        }
        await app(scope, receive, send)

    asyncio.run(serve())
    return sent


PIECES: Final = st.sampled_from(
    [*("/", "a", "a b", "/a b", "/c", "/d", "/c/d", "/inner", "/api", "api", "å", "%", "%2f", "?")]
)
PATHS: Final = st.lists(PIECES, max_size=5).map("".join)


@pytest.mark.attack("HTTP-18")
@given(PATHS, PATHS, st.booleans(), st.booleans())
@example(path="a b/x", prefix="/api", prefixed=False, raw=True)
def test_under_any_prefix_what_is_judged_is_what_is_served(
    path: str,
    prefix: str,
    prefixed: bool,
    raw: bool,
) -> None:
    path = (prefix if prefixed else "") + "/" + path
    before = len(SEEN)
    sent = send_to(GUARDED, path, prefix, raw=raw)
    if sent:
        assert sent[0]["status"] == 400
    assert len(SEEN) - before + bool(sent) == 1


@pytest.mark.twin("HTTP-18")
@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("path", ["/x", "/api/x", "/a b/x", "/api/a b/x", "/c/d/x", "/inner/x"])
def test_an_honest_path_is_served_under_an_honest_prefix(path: str, raw: bool) -> None:
    before = len(SEEN)
    assert send_to(GUARDED, path, "/api", raw=raw) == []
    assert len(SEEN) == before + 1


# A prefix of its own, inside: nobody can judge what it serves


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize("prefix", ["/sub", "/sub/v1", "x"])
def test_a_mounted_application_has_no_prefix_of_its_own(prefix: str) -> None:
    guard = FastAPIGuard.from_config(
        ISSUER.config(route=[{"path": "/sub/{rest:path}", "scopes": ["admin"]}]),
        clock=ISSUER.clock,
    )
    app = FastAPI()
    guard.protect(app)
    app.mount("/sub", FastAPI())
    guard.check_routes(app)
    app.mount("/sub/deep", own_prefix(prefix))
    with pytest.raises(ConfigurationError) as caught:
        guard.check_routes(app)
    (problem, _) = caught.value.problems
    assert problem.place == "/sub/deep/*"
    assert "root_path of its own" in problem.message


@pytest.mark.attack("HTTP-18")
def test_the_middleware_has_no_application_with_a_prefix_behind_it() -> None:
    app = own_prefix("/api")
    for inside in (
        app,
        GZipMiddleware(app),
        Starlette(routes=[Mount("/a", routes=[Mount("/b", app=GZipMiddleware(app))])]),
    ):
        with (
            pytest.raises(ConfigurationError, match=r"root_path of its own, '/api'"),
            TestClient(GuardMiddleware(inside, ANYTHING)),
        ):
            pass


@pytest.mark.twin("HTTP-18")
def test_around_the_guard_an_application_may_have_one() -> None:
    app = own_prefix("/api")
    app.add_middleware(GuardMiddleware, guard=ANYTHING)
    app.get("/a")(lambda: "served")
    inside = FastAPI()
    inside.mount("/itself", inside)  # It ends, for all that.
    with TestClient(app) as client, TestClient(GuardMiddleware(inside, ANYTHING)):
        for path in ("/a", "/api/a"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers=NOBODY).json() == "served"
