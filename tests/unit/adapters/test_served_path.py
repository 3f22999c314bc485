"""HTTP-18: the path that is judged is the path that is served, however it is written."""

import asyncio
from typing import Any, Final
from urllib.parse import unquote

import pytest
from fastapi import FastAPI
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from portvakt import ConfigurationError, Requirement, Routes
from portvakt import Route as Rule
from portvakt.adapters.asgi import Application, GuardMiddleware, Message, read_request
from portvakt.adapters.fastapi import FastAPIGuard
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
TOKEN: Final = ISSUER.token()
POLICY: Final = ISSUER.config(
    route=[
        {"path": "/public/{page:path}", "public": True},
        {"path": "/fhir/{type}", "public": True},
        {"path": "/fhir/$export", "scopes": ["export"]},
        {"path": "/fhir/bl%C3%A5", "scopes": ["export"]},
        {"path": "/admin", "scopes": ["admin"]},
        {"path": "/live", "scopes": ["admin"]},
        {"path": "/inner/status", "public": True},
        {"path": "/inner/{patient}/status", "scopes": ["status"]},
    ]
)
GUARD: Final = FastAPIGuard.from_config(POLICY, clock=ISSUER.clock)


def endpoint(name: str, path: str) -> Route:
    async def serve(_: Request) -> PlainTextResponse:
        return PlainTextResponse(name)

    return Route(path, serve)


async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("live")
    await websocket.close()


def routes() -> list[BaseRoute]:
    inner = [endpoint("open", "/status"), endpoint("status", "/{patient}/status")]
    return [
        endpoint("export", "/fhir/$export"),
        endpoint("blå", "/fhir/blå"),
        endpoint("type", "/fhir/{type}"),
        endpoint("admin", "/admin"),
        endpoint("public", "/public/{page:path}"),
        WebSocketRoute("/live", live),
        Mount("/inner", routes=inner),
    ]


SITE: Final = Starlette(routes=routes())


def protected() -> FastAPI:
    app = FastAPI(openapi_url=None)
    GUARD.protect(app)
    app.router.routes.extend(routes())
    return app


# Elsewhere what no rule is for is refused; FastAPI's endpoints may state what they demand, so there
# any valid token is let through to them.
SITES: Final[dict[str, Application]] = {
    "asgi": GuardMiddleware(SITE, GUARD),
    "fastapi": protected(),
}


def get(
    target: str, *, site: str = "asgi", token: str | None = None, **changes: Any
) -> tuple[int, str]:
    """Send one request target, as a server would that decodes it; return status and body."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": f"{scope['type']}.{'request' if scope['type'] == 'http' else 'connect'}"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": unquote(target),
        "raw_path": target.encode(),
        "query_string": b"",
        "headers": [] if token is None else [(b"authorization", f"Bearer {token}".encode())],
        **changes,
    }

    async def serve() -> None:
        await SITES[site](scope, receive, send)

    asyncio.run(serve())
    if scope["type"] == "websocket":
        return (200, sent[1]["text"]) if sent[0]["type"] == "websocket.accept" else (403, "")
    return sent[0]["status"], sent[1]["body"].decode()


@pytest.mark.twin("HTTP-18")
@pytest.mark.parametrize(
    ("raw_path", "name"),
    [
        ("/fhir/Patient", "type"),
        ("/fhir/%C3%A6", "type"),
        ("/fhir/a%20b", "type"),
        ("/public/a/b.html", "public"),
    ],
)
def test_a_public_path_is_served(raw_path: str, name: str) -> None:
    assert get(raw_path) == (200, name)


@pytest.mark.twin("HTTP-18")
def test_a_query_that_a_test_client_leaves_in_the_path_is_no_part_of_it() -> None:
    path, raw_path = "/fhir/Patient", b"/fhir/Patient?x=/../y"
    found = get("/", path=path, raw_path=raw_path, query_string=b"x=/../y")
    assert found == (200, "type")


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/fhir/Patient", b""),
        ("/fhir/Patient", b"x=1"),
        ("/fhir/Patient?x=/../y", b"x=/../z"),
        ("/admin", b"x=/../y"),
    ],
)
def test_what_else_is_left_in_the_path_is_refused(path: str, query: bytes) -> None:
    raw_path = b"/fhir/Patient?x=/../y"
    status, _ = get("/", path=path, raw_path=raw_path, query_string=query)
    assert status == 400


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    "raw_path",
    [
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/..%2fadmin",
        "/public%2f..%2fadmin",
        "/public/a%2F..%2F..%2Fadmin",
        "/public//admin",
        "//public/a",
        "/public/./a",
        "/public/a;x",
        "/public/a%3Bx",
        "/public/a\\..\\admin",
        "/public/a%5C..%5Cadmin",
        "/public/%252e%252e/admin",
        "/PUBLIC/a",
        "/fhir/.hidden",
        "/fhir/a%2Fb",
    ],
)
def test_a_path_that_could_be_read_as_another_is_not_public(raw_path: str) -> None:
    status, _ = get(raw_path)
    assert status == 403


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    "raw_path",
    [
        "/fhir/$export",
        "/fhir/%24export",
        "/fhir/%24%65xport",
        "/fhir/bl%C3%A5",
        "/fhir/bl%c3%a5",
        "/fhir/%62l%C3%A5",
        "/%61dmin",
    ],
)
def test_a_rule_is_not_dodged_by_writing_its_path_in_another_way(raw_path: str) -> None:
    status, _ = get(raw_path, token=TOKEN)
    assert status == 403


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    "raw_path", ["/%61dmin", "/fhir/%24export", "/public/", "/public/a/", "/public/.a", "/fhir/a;b"]
)
def test_no_other_requirement_stands_in_for_the_rule_that_is_dodged(raw_path: str) -> None:
    request, flaw = read_request(
        {
            "path": unquote(raw_path),
            "raw_path": raw_path.encode(),
            "headers": [(b"authorization", f"Bearer {TOKEN}".encode())],
        }
    )
    assert flaw is None
    assert not GUARD.check_blocking(request, Requirement.of()).admitted


@pytest.mark.twin("HTTP-18")
def test_a_requirement_stands_in_where_no_rule_is_meant() -> None:
    request = ISSUER.request(TOKEN, url="/else/%41")
    assert GUARD.check_blocking(request, Requirement.of()).admitted
    assert not GUARD.check_blocking(request).admitted


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    ("literal", "advice"),
    [("/%61dmin", "write /admin"), ("/bl%c3%a5", "write /bl%C3%A5"), ("/%24x/{y}", "write /$x")],
)
def test_a_rule_must_be_written_in_the_plain_form(literal: str, advice: str) -> None:
    rule = Rule(path=literal, methods=None, public=False, requirement=Requirement.of())
    with pytest.raises(ConfigurationError) as caught:
        Routes([rule])
    assert advice in str(caught.value)


# A line break at the end, which patterns that end in $ overlook


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("end", ["%0A", "%0a", "%0D%0A", "%00", "%1f", "%7F", "%C2%85"])
@pytest.mark.parametrize("path", ["/admin", "/fhir/$export", "/inner/1/status", "/public/a"])
def test_a_path_with_a_control_character_is_malformed(path: str, end: str, site: str) -> None:
    assert get(path + end, site=site, token=TOKEN)[0] == 400
    assert get("/", path=unquote(path + end), raw_path=None, site=site, token=TOKEN)[0] == 400


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("target", ["/live", "/live%0A", "/live%0a", "/%6Cive"])
def test_a_handshake_does_not_dodge_a_rule_either(target: str, site: str) -> None:
    assert get(target, site=site, token=TOKEN, type="websocket") == (403, "")


@pytest.mark.twin("HTTP-18")
@pytest.mark.parametrize("site", SITES)
def test_whoever_has_the_scopes_is_served(site: str) -> None:
    token = ISSUER.token(scopes=["admin", "export", "status"])
    for target, name in (
        ("/admin", "admin"),
        ("/fhir/$export", "export"),
        ("/fhir/bl%C3%A5", "blå"),
        ("/inner/%C3%B8/status", "status"),
    ):
        assert get(target, site=site, token=token) == (200, name)
    assert get("/live", site=site, token=token, type="websocket") == (200, "live")


# What server and application could read apart


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"path": "/admin"}, id="another-path"),
        pytest.param({"path": "/public/%61"}, id="not-decoded"),
        pytest.param({"path": "/public/\xe6", "raw_path": b"/public/\xc3\xa6"}, id="bare-utf-8"),
        pytest.param({"raw_path": b"/public/a?x", "path": "/public/a?x"}, id="query-in-the-path"),
        pytest.param({"raw_path": b"*", "path": "*"}, id="asterisk"),
        pytest.param({"raw_path": b"", "path": ""}, id="empty"),
        pytest.param(
            {"raw_path": b"http://x/public/a", "path": "http://x/public/a"}, id="absolute"
        ),
        pytest.param({"raw_path": b"example.no:443", "path": "example.no:443"}, id="authority"),
        pytest.param({"raw_path": None, "path": "/public/\ud800"}, id="no-text"),
    ],
)
def test_a_target_that_could_be_two_paths_is_malformed(changes: dict[str, Any]) -> None:
    assert get("/public/a", token=TOKEN)[0] == 200
    assert get("/public/a", token=TOKEN, **changes)[0] == 400


@pytest.mark.parametrize(
    "path", ["/public/a", "/public/æ b", "/public/a?b", "/public/a:@!$&'()*+,=-._~"]
)
def test_without_raw_path_the_decoded_path_is_judged(path: str) -> None:
    assert get("/", path=path, raw_path=None) == (200, "public")


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    "path",
    [
        "/public/../admin",
        "/admin?/public/a",
        "/fhir/a/../$export?",
        "/public/a;b",
        "/public/a%2Fb",
        "/public/a\\b",
    ],
)
def test_without_raw_path_evil_forms_are_not_public_either(path: str) -> None:
    assert get("/", path=path, raw_path=None)[0] == 403


# An application under a prefix: its rules are written as its routes are


@pytest.mark.twin("HTTP-18")
@pytest.mark.parametrize("raw_path", ["/api/public/a", "/public/a", "/%61pi/public/a"])
def test_the_path_is_judged_without_the_prefix_as_it_is_served_without_it(raw_path: str) -> None:
    assert get(raw_path, root_path="/api") == (200, "public")


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize("raw_path", ["/api/admin", "/admin", "/api/%61dmin", "/%61pi/admin"])
def test_the_prefix_is_no_way_around_a_rule(raw_path: str) -> None:
    assert get(raw_path, root_path="/api", token=TOKEN)[0] == 403


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    ("raw_path", "status"),
    [
        ("/api", 400),  # The application would see no path at all.
        ("/api%2Fpublic/a", 400),  # Cut after decoding, it would be /public/a.
        ("/apipublic/a", 403),
        ("/api/api/public/a", 403),
    ],
)
def test_the_prefix_is_cut_where_the_application_cuts_it(raw_path: str, status: int) -> None:
    assert get(raw_path, root_path="/api")[0] == status


def test_a_guard_inside_a_mount_judges_the_path_inside() -> None:
    site = Starlette(routes=[Mount("/a b/{tenant}", app=GuardMiddleware(SITE, GUARD))])
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def get_all() -> None:
        for raw_path in ("/a%20b/%C3%B8/public/x", "/a%20b/%C3%B8/admin"):
            scope = {
                "type": "http",
                "method": "GET",
                "path": unquote(raw_path),
                "raw_path": raw_path.encode(),
                "headers": [],
            }
            await site(scope, receive, send)

    asyncio.run(get_all())
    assert [message["status"] for message in sent if "status" in message] == [200, 401]


STARTS: Final = st.sampled_from(
    [
        *("/", "/api", "/api/", "/admin", "/api/admin", "/live", "/fhir/", "/fhir/$export"),
        *("/fhir/bl%C3%A5", "/public/", "/inner/status", "/inner/1/status", "/inner/inner/status"),
    ]
)
PIECES: Final = st.sampled_from(
    [
        *("/", "//", "%2f", "%2F", ".", "..", "%2e", ";", "%3b", "\\", "%5c", "?", "#"),
        *("%", "%25", "%00", "%0A", "%0a", "%0D", "%0B", "%1f", "%7F", "%C2%85", "%E2%80%A8"),
        *("é", "Å", "%C3%A5", "a", "admin", "%61dmin", "public", "fhir", "inner", "status"),
        *("$export", "%24export"),
    ]
)


@pytest.mark.attack("HTTP-18")
@given(STARTS, st.lists(PIECES, max_size=6).map("".join), st.sampled_from(["", "/api", "/inner"]))
@settings(max_examples=max(settings().max_examples, 300))
@example("/admin", "%0A", "")
@example("/live", "%0A", "/api")
def test_nothing_that_a_rule_protects_is_ever_served_for_less(
    start: str, rest: str, prefix: str
) -> None:
    for site in SITES:
        for kind in ("http", "websocket"):
            status, body = get(start + rest, site=site, root_path=prefix, token=TOKEN, type=kind)
            assert status in {200, 307, 400, 403, 404}
            if status == 200:
                assert body in {"type", "public", "open"}
