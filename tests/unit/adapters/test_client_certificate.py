"""The client's certificate out of an ASGI scope, and what decisions add to answers."""

import asyncio
import ssl
from typing import Annotated, Any, Final

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from msgspec.structs import replace

from certificates import der_of, issue, pem_of
from portvakt import AccessToken, Decision, Guard, HttpRequest, Requirement
from portvakt.adapters.asgi import GuardMiddleware, Message, Scope, adding_headers, read_request
from portvakt.adapters.fastapi import FastAPIGuard
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
CLIENT: Final = der_of(issue("client.test"))
PEM: Final = pem_of(issue("client.test"))
CHAINED: Final = ssl.DER_cert_to_PEM_cert(CLIENT)


def scope_of(tls: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [],
        "client": ("192.0.2.1", 50000),
        "server": ("192.0.2.2", 443),
        **({} if tls is None else {"extensions": {"tls": tls}}),
        **more,
    }


@pytest.mark.twin("MTLS-02")
@pytest.mark.parametrize(
    "tls",
    [
        {"client_cert_chain": [CHAINED]},
        {"client_cert_chain": (CHAINED, PEM), "client_cert_error": None, "tls_version": 0x304},
    ],
)
def test_the_first_of_the_chain_is_the_clients(tls: dict[str, Any]) -> None:
    request, flaw = read_request(scope_of(tls))
    assert flaw is None
    assert request.client_certificate == CLIENT


@pytest.mark.attack("MTLS-02")
@pytest.mark.parametrize(
    "tls",
    [
        {},
        {"client_cert_chain": None},
        {"client_cert_chain": []},
        {"client_cert_chain": [CHAINED], "client_cert_error": "self-signed certificate"},
        {"client_cert_chain": [CHAINED], "client_cert_error": ""},
        {"client_cert_chain": [], "client_cert_error": "none"},
        {"server_cert": CHAINED, "client_cert_name": "CN=client.test"},
    ],
)
def test_what_was_not_shown_or_not_verified_is_none(tls: dict[str, Any]) -> None:
    request, flaw = read_request(scope_of(tls))
    assert flaw is None
    assert request.client_certificate is None


def test_without_the_extension_there_is_none() -> None:
    assert read_request(scope_of())[0].client_certificate is None
    absent: list[Any] = [None, {}, {"x": {}}]
    for extensions in absent:
        assert read_request(scope_of(extensions=extensions))[0].client_certificate is None


@pytest.mark.parametrize(
    "chain", ["x", [b"x"], [None], {"a": "b"}, [""], [CHAINED + CHAINED], [CHAINED[1:]], [CLIENT]]
)
def test_what_is_no_certificate_is_malformed(chain: Any) -> None:
    request, flaw = read_request(scope_of({"client_cert_chain": chain}))
    assert request.client_certificate is None
    assert flaw is not None
    assert flaw.startswith("the client certificate from the server: ")
    sent = serve(scope_of({"client_cert_chain": chain}), ISSUER.guard())
    assert sent[0]["status"] == 400


def test_a_flaw_of_the_path_is_told_first() -> None:
    _, flaw = read_request(scope_of({"client_cert_chain": [""]}, path="*"))
    assert flaw == "the target is not a path"


@pytest.mark.attack("MTLS-03")
@pytest.mark.parametrize(
    ("client", "server", "peer"),
    [
        (("192.0.2.1", 1), ("192.0.2.2", 443), "192.0.2.1"),
        (None, ("/run/api.sock", None), "unix"),
        (None, ("192.0.2.2", 443), None),
        (None, None, None),
        # A server that believes X-Forwarded-For puts there what a client writes.
        (("unix", 0), ("/run/api.sock", None), None),
        (("unix", 0), ("192.0.2.2", 443), None),
        (("192.0.2.1", 0), ("/run/api.sock", None), "192.0.2.1"),
    ],
)
def test_only_a_unix_socket_is_one(client: Any, server: Any, peer: str | None) -> None:
    request, _ = read_request(scope_of(client=client, server=server))
    assert request.peer == peer


class Nonce(Guard):
    """A guard whose admissions add a header."""

    async def check(
        self,
        request: HttpRequest,
        requirement: Requirement | None = None,
        again: bool = False,  # noqa: FBT002  as in every guard
    ) -> Decision:
        decision = await super().check(request, requirement, again)
        return replace(decision, headers=(("DPoP-Nonce", "n1"), ("X-Next", "2")))


class FastAPINonce(Nonce, FastAPIGuard):
    pass


PUBLIC: Final = [{"path": path, "public": True} for path in ("/", "/{page}", "/live")]


async def api(scope: Scope, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})
        return
    headers = [(b"content-type", b"text/plain"), (b"X-Next", b"own")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"served"})


def serve(scope: Scope, guard: Guard) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(GuardMiddleware(api, guard)(scope, receive, send))
    return sent


GUARD: Final = Nonce.from_config(ISSUER.config(route=PUBLIC), clock=ISSUER.clock)


def test_what_a_decision_adds_is_added_to_the_applications_answer() -> None:
    start, body = serve(scope_of(), GUARD)
    # What the application states itself stays as it says.
    assert start["headers"] == [
        (b"content-type", b"text/plain"),
        (b"X-Next", b"own"),
        (b"dpop-nonce", b"n1"),
    ]
    assert start["status"] == 200
    assert body == {"type": "http.response.body", "body": b"served"}


def test_a_handshake_has_it_where_it_is_accepted() -> None:
    accept, message = serve(scope_of(type="websocket"), GUARD)
    assert accept["type"] == "websocket.accept"
    assert accept["headers"] == [(b"dpop-nonce", b"n1"), (b"x-next", b"2")]
    assert message == {"type": "websocket.send", "text": "hello"}


def test_where_there_is_nothing_to_add_the_server_gets_the_very_messages() -> None:
    guard = ISSUER.guard(route=PUBLIC)
    start: Message = {"type": "http.response.start", "status": 200, "headers": []}
    received: list[Message] = []

    async def answer(_scope: Scope, _receive: Any, send: Any) -> None:
        await send(start)

    async def send(message: Message) -> None:
        received.append(message)

    async def receive() -> Message:
        return {}

    asyncio.run(GuardMiddleware(answer, guard)(scope_of(), receive, send))
    assert received[0] is start


def test_no_message_of_the_application_is_changed() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    message = {
        "type": "websocket.http.response.start",
        "status": 403,
        "headers": iter([(b"a", b"b")]),
    }
    asyncio.run(_send(adding_headers(lambda: (("X", "1"),), send), message))
    assert sent[0]["headers"] == [(b"a", b"b"), (b"x", b"1")]
    assert sent[0] is not message


async def _send(send: Any, message: Message) -> None:
    await send(message)


def test_a_fastapi_application_answers_with_it_too() -> None:
    guard = FastAPINonce.from_config(ISSUER.config(route=PUBLIC), clock=ISSUER.clock)
    app = FastAPI()
    guard.protect(app)

    @app.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    with TestClient(app) as client:
        answer = client.get("/nothing")
        assert answer.headers["dpop-nonce"] == "n1"
        with client.websocket_connect("/live") as session:
            assert (b"dpop-nonce", b"n1") in vars(session)["extra_headers"]


class LaterNonce(FastAPIGuard):
    """A guard that adds a header where a token is demanded, and nothing on a public route."""

    async def check(
        self,
        request: HttpRequest,
        requirement: Requirement | None = None,
        again: bool = False,  # noqa: FBT002  as in every guard
    ) -> Decision:
        decision = await super().check(request, requirement, again)
        if requirement is None or not decision.admitted:
            return decision
        assert request.client_certificate == CLIENT
        return replace(decision, headers=(("DPoP-Nonce", "n2"),))


def test_what_an_endpoint_demands_is_judged_with_the_certificate_and_may_add_headers() -> None:
    guard = LaterNonce.from_config(ISSUER.config(route=PUBLIC), clock=ISSUER.clock)
    app = FastAPI()
    guard.protect(app)

    @app.get("/special")
    async def read(token: Annotated[AccessToken, Depends(guard.requires())]) -> str:
        return token.client_id or ""

    async def shown(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["extensions"] = {"tls": {"client_cert_chain": [CHAINED]}}
        await app(scope, receive, send)

    client = TestClient(shown)
    answer = client.get("/special", headers={"Authorization": f"Bearer {ISSUER.token()}"})
    assert answer.status_code == 200
    assert answer.headers["dpop-nonce"] == "n2"
    refused = client.get("/special")
    assert refused.status_code == 401
    assert "dpop-nonce" not in refused.headers
