"""The ASGI middleware: what is not admitted never reaches the application."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pytest

from portvakt import ConfigurationError, Decision, Guard, HttpRequest
from portvakt.adapters.asgi import (
    GuardMiddleware,
    Message,
    Receive,
    Scope,
    Send,
    decision_of,
    judgement_of,
    read_request,
    token_of,
)
from portvakt.jose.header import Header
from portvakt.net.keys import KeySource
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer(audience="test-api")
RULES: Final = [
    {"path": "/healthz", "methods": ["GET"], "public": True},
    {"path": "/journal/{patient}", "methods": ["GET"], "scopes": ["journal/read"]},
]
GUARD: Final = ISSUER.guard(route=RULES)


class Application:
    """Notes what reaches it, and answers 200."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"served"})


def scope_of(
    path: str = "/journal/1",
    *,
    token: str | None = None,
    headers: Iterable[tuple[bytes, bytes]] = (),
    **more: Any,
) -> dict[str, Any]:
    credential = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [*credential, *headers],
        "client": ("192.0.2.1", 50000),
        **more,
    }


def serve(
    scope: Scope, guard: Guard = GUARD, incoming: Iterable[Message] = ()
) -> tuple[Application, list[Message]]:
    """Send one scope through the middleware; return the application behind it and what came out."""
    application = Application()
    return application, exchange(GuardMiddleware(application, guard), scope, incoming)


def exchange(app: GuardMiddleware, scope: Scope, incoming: Iterable[Message] = ()) -> list[Message]:
    sent: list[Message] = []
    waiting = iter(incoming)

    async def receive() -> Message:
        return next(waiting)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def header(message: Mapping[str, Any], name: bytes) -> str:
    (value,) = [value for key, value in message["headers"] if key == name]
    return bytes(value).decode()


HONEST: Final = ISSUER.token(scopes=["journal/read"])


@pytest.mark.twin("API-12", "HTTP-13")
def test_an_honest_token_reaches_the_application() -> None:
    application, sent = serve(scope_of(token=HONEST))
    assert [message.get("status") for message in sent] == [200, None]
    (scope,) = application.scopes
    token = token_of(scope)
    assert token is not None
    assert token.scopes == {"journal/read"}
    assert decision_of(scope).admitted
    assert judgement_of(scope).guard is GUARD


@pytest.mark.attack("HTTP-13")
def test_without_credentials_the_challenge_is_bare() -> None:
    application, (start, body) = serve(scope_of())
    assert application.scopes == []
    assert start["type"] == "http.response.start"
    assert start["status"] == 401
    assert header(start, b"www-authenticate") == 'Bearer realm="test-api"'
    assert header(start, b"content-type") == "application/problem+json"
    assert header(start, b"content-length") == str(len(body["body"]))
    assert json.loads(body["body"])["status"] == 401


@pytest.mark.attack("API-12", "API-09")
@pytest.mark.parametrize(
    ("token", "status"),
    [
        pytest.param(ISSUER.forged("foreign-key"), 401, id="forged"),
        pytest.param(ISSUER.forged("none"), 401, id="none"),
        pytest.param(ISSUER.forged("expired"), 401, id="expired"),
        pytest.param(ISSUER.forged("aud-other"), 401, id="another-api"),
        pytest.param("nonsense", 401, id="nonsense"),
        pytest.param("", 400, id="empty"),
        pytest.param(ISSUER.token(), 403, id="without-scope"),
    ],
)
def test_every_refusal_comes_out_and_nothing_goes_in(token: str, status: int) -> None:
    application, sent = serve(scope_of(token=token))
    assert application.scopes == []
    assert [message.get("status") for message in sent] == [status, None]
    assert "error=" in header(sent[0], b"www-authenticate")


@pytest.mark.attack("API-12")
def test_keys_that_cannot_be_had_are_answered_with_503_and_admit_nobody() -> None:
    from portvakt import Code, JwkSet, TrustedIssuer, Unavailable

    class Broken(KeySource):
        def current(self, _issuer: TrustedIssuer, header: Header | None = None) -> JwkSet | None:
            return None

        async def fetch(self, _issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
            raise Unavailable(Code.KEYS_UNAVAILABLE, retry_after=7)

    guard = Guard(issuers=[ISSUER.trusted], keys=Broken(), clock=ISSUER.clock)

    async def at_home() -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            raise AssertionError

        async with guard:
            await GuardMiddleware(application, guard)(scope_of(token=HONEST), receive, send)
        return sent

    application = Application()
    start, _ = asyncio.run(at_home())
    assert application.scopes == []
    assert start["status"] == 503
    assert header(start, b"retry-after") == "7"


def test_a_public_route_is_served_without_a_token() -> None:
    application, _ = serve(scope_of("/healthz"))
    (scope,) = application.scopes
    assert token_of(scope) is None


def test_what_no_rule_is_for_is_refused_even_with_a_token() -> None:
    application, (start, _) = serve(scope_of("/other", token=HONEST))
    assert application.scopes == []
    assert start["status"] == 403


def test_without_rules_every_path_needs_a_token() -> None:
    guard = ISSUER.guard()
    assert serve(scope_of("/any"), guard)[0].scopes == []
    assert len(serve(scope_of("/any", token=ISSUER.token()), guard)[0].scopes) == 1


@pytest.mark.attack("API-09")
def test_a_decision_left_in_the_scope_does_not_count() -> None:
    earlier = serve(scope_of(token=HONEST))[0].scopes[0]
    refused, _ = serve({**earlier, "headers": []})
    assert refused.scopes == []
    public, _ = serve({**earlier, "headers": [], "path": "/healthz", "raw_path": b"/healthz"})
    assert token_of(public.scopes[0]) is None


def test_without_a_guard_in_front_there_is_no_decision_to_be_had() -> None:
    for look in (judgement_of, decision_of, token_of):
        with pytest.raises(ConfigurationError, match="nothing was checked"):
            look(scope_of())


def test_duplicate_headers_arrive_as_they_came() -> None:
    request, flaw = read_request(
        scope_of(headers=[(b"x", b"1"), (b"x", b"\xe6"), (b"X", b"3")], query_string=b"a=%2F&a")
    )
    assert flaw is None
    assert request == HttpRequest(
        method="GET",
        url="/journal/1?a=%2F&a",
        headers=(("x", "1"), ("x", "\xe6"), ("X", "3")),
        peer="192.0.2.1",
    )


def test_a_client_without_an_address_is_nobody() -> None:
    assert read_request(scope_of(client=None))[0].peer is None


@pytest.mark.attack("HTTP-04")
@pytest.mark.parametrize("order", [1, -1])
def test_two_authorization_headers_are_refused_in_either_order(order: int) -> None:
    tokens = [HONEST, ISSUER.forged("foreign-key")][::order]
    headers = [(b"authorization", f"Bearer {token}".encode()) for token in tokens]
    application, (start, _) = serve(scope_of(headers=headers))
    assert application.scopes == []
    assert start["status"] == 400


@pytest.mark.attack("HTTP-01", "HTTP-02", "HTTP-03", "HTTP-05", "HTTP-07", "HTTP-09", "HTTP-15")
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({"query_string": b"access_token=%s"}, 400, id="query"),
        pytest.param(
            {"query_string": b"access_token=%s", "headers": [(b"authorization", b"Bearer %s")]},
            400,
            id="query-and-header",
        ),
        pytest.param({"headers": [(b"cookie", b"access_token=%s")]}, 401, id="cookie"),
        pytest.param({"headers": [(b"authorization", b"Bearer %s, Bearer x")]}, 400, id="comma"),
        pytest.param(
            {"headers": [(b"authorization", b"Bearer %s"), (b"authorization", b"DPoP %s")]},
            400,
            id="two-schemes",
        ),
        pytest.param({"headers": [(b"authorization", b"DPoP %s")]}, 401, id="another-scheme"),
        pytest.param(
            {
                "headers": [
                    (b"authorization", b"Bearer %s"),
                    (b"x-http-method-override", b"DELETE"),
                ]
            },
            400,
            id="method-override",
        ),
    ],
)
def test_a_token_counts_only_in_one_authorization_header(
    changes: dict[str, Any], status: int
) -> None:
    def fill(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.replace(b"%s", HONEST.encode())
        return [(name, fill(text)) for name, text in value]

    filled = {name: fill(value) for name, value in changes.items()}
    application, (start, _) = serve({**scope_of(), **filled})
    assert application.scopes == []
    assert start["status"] == status


@pytest.mark.attack("HTTP-14")
@pytest.mark.parametrize("octets", [b"\x00", b"\xff\xfe", b"\r\n x", b"\x7f", b"\xc3\xa6"])
def test_odd_octets_in_the_credential_are_refused_without_a_crash(octets: bytes) -> None:
    headers = [(b"authorization", b"Bearer " + HONEST.encode() + octets)]
    application, (start, _) = serve(scope_of(headers=headers))
    assert application.scopes == []
    assert start["status"] in {400, 401}


def test_the_observer_hears_of_a_malformed_target_too() -> None:
    heard: list[Decision] = []
    guard = Guard.from_config(
        ISSUER.config(), clock=ISSUER.clock, observers=[lambda _, decision: heard.append(decision)]
    )
    serve(scope_of("*", token=HONEST), guard)
    (decision,) = heard
    assert decision.refusal is not None
    assert decision.refusal.code.value == "request_malformed"


# WebSocket


def handshake(path: str = "/journal/1", **changes: Any) -> dict[str, Any]:
    scope = scope_of(path, **changes)
    del scope["method"]
    return {**scope, "type": "websocket"}


def test_an_honest_handshake_reaches_the_application() -> None:
    application, sent = serve(handshake(token=HONEST))
    assert sent == [{"type": "websocket.accept"}]
    token = token_of(application.scopes[0])
    assert token is not None
    assert token.expires_at > ISSUER.clock()


@pytest.mark.parametrize("extensions", [{}, {"extensions": None}, {"extensions": {"tls": {}}}])
def test_a_refused_handshake_is_closed_before_it_is_accepted(extensions: dict[str, Any]) -> None:
    application, sent = serve(handshake(**extensions))
    assert application.scopes == []
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": ""}]


def test_a_refused_handshake_is_answered_in_full_where_the_server_can() -> None:
    application, (start, body) = serve(handshake(extensions={"websocket.http.response": {}}))
    assert application.scopes == []
    assert start["type"] == "websocket.http.response.start"
    assert start["status"] == 401
    assert header(start, b"www-authenticate") == 'Bearer realm="test-api"'
    assert body["type"] == "websocket.http.response.body"


# Other protocols


def test_a_protocol_that_nobody_can_judge_is_not_served() -> None:
    with pytest.raises(ConfigurationError, match="'carrier-pigeon'"):
        serve({"type": "carrier-pigeon"})


def test_the_lifespan_is_forwarded_and_its_loop_is_the_guards_home() -> None:
    guard = ISSUER.guard()
    homes: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        homes.append(guard.home._loop)
        await Application()(scope, receive, send)

    sent = exchange(
        GuardMiddleware(app, guard),
        {"type": "lifespan"},
        [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}],
    )
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert isinstance(homes[0], asyncio.AbstractEventLoop)
    assert guard.home._loop is None


class Unready(GuardMiddleware):
    def make_ready(self) -> None:
        raise ConfigurationError("a route is forgotten")


def test_a_failed_start_up_check_is_told_to_the_server_and_raised() -> None:
    application, sent = Application(), list[Message]()

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(ConfigurationError):
        asyncio.run(Unready(application, GUARD)({"type": "lifespan"}, receive, send))
    assert sent == [{"type": "lifespan.startup.failed", "message": "a route is forgotten"}]
    assert application.scopes == []


def test_a_check_that_passed_is_not_made_again() -> None:
    made: list[str] = []

    class Counting(GuardMiddleware):
        def make_ready(self) -> None:
            made.append("once")

    app = Counting(Application(), GUARD)
    for _ in range(2):
        exchange(app, scope_of("/healthz"))
    assert made == ["once"]


def test_without_a_lifespan_the_check_is_made_at_every_request_until_it_passes() -> None:
    application = Application()
    app = Unready(application, GUARD)
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            exchange(app, scope_of("/healthz"))
    assert application.scopes == []


WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
DESCRIBED: Final = ISSUER.guard(
    api={"audience": "test-api", "origin": "https://api.test/base"}, route=RULES
)


@pytest.mark.attack("API-12")
@pytest.mark.parametrize("path", [WELL_KNOWN, f"{WELL_KNOWN}/base", f"/base{WELL_KNOWN}/base"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_the_guard_answers_itself_never_reaches_the_application(
    path: str, method: str
) -> None:
    """A proxy has taken the base path away or not, and a server may have put it back."""
    how: dict[str, Any] = {"root_path": "/base"} if path.startswith("/base") else {}
    application, (start, body) = serve(scope_of(path, method=method, **how), DESCRIBED)
    assert application.scopes == []
    assert start["status"] == 200
    assert header(start, b"content-type") == "application/json"
    assert (body["body"] == b"") == (method == "HEAD")
    assert method == "HEAD" or json.loads(body["body"])["resource"] == "https://api.test/base"


@pytest.mark.twin("API-12")
def test_all_else_is_the_applications_business() -> None:
    application, (start, _) = serve(scope_of(token=HONEST), DESCRIBED)
    assert start["status"] == 200
    assert len(application.scopes) == 1


@pytest.mark.attack("API-12")
def test_a_handshake_is_never_accepted_with_it() -> None:
    scope = scope_of(WELL_KNOWN, type="websocket")
    application, sent = serve(scope, DESCRIBED)
    assert application.scopes == []
    assert [message["type"] for message in sent] == ["websocket.close"]
