"""Connections that outlive one answer end with their token (HTTP-16)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.lowlevel
import pytest

from lasting import LOOPS, Client, connected, scope_of
from portvakt.adapters.lasting import ConnectionEnded
from portvakt.guard import lasting
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from portvakt import Guard
    from portvakt.adapters.asgi import Receive, Scope, Send

ACCEPTED: Final = {"type": "websocket.accept"}
ENDED: Final = {"type": "websocket.close", "code": 1008, "reason": "invalid_token"}
#: What a guard needs so that anything can be revoked.
STORED: Final[dict[str, Any]] = {
    "store": {"url": "memory://"},
    "revocation": {"max_staleness": "1m"},
}

pytestmark = pytest.mark.parametrize("loop", LOOPS)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still until a test moves it: look as soon as it has."""
    monkeypatch.setattr(lasting, "_LOOK_EVERY", 0.01)
    monkeypatch.setattr("portvakt.adapters.lasting._PATIENCE", 0.1)


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer()


class Echo:
    """Says what it hears, and notes how it ended."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.end: object = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        try:
            while (message := await receive())["type"] == "websocket.receive":
                self.heard.append(message["text"])
                await send({"type": "websocket.send", "text": message["text"]})
            self.end = message
        except BaseException as error:
            self.end = error
            raise


CONNECT: Final = [{"type": "websocket.connect"}]


def end_of(issuer: FakeIssuer, token_lives: float = 300) -> float:
    return issuer.clock() + token_lives + issuer.trusted.leeway


@pytest.mark.twin("HTTP-16")
def test_a_websocket_lives_as_long_as_its_token(loop: str, issuer: FakeIssuer) -> None:
    app, token = Echo(), issuer.builder().claims(exp=issuer.clock() + 300).build()
    end = end_of(issuer)

    async def test(client: Client) -> None:
        for moment, text in enumerate("abc"):
            client.say(type="websocket.receive", text=text)
            with anyio.fail_after(5):
                while len(app.heard) <= moment:
                    await anyio.lowlevel.checkpoint()
        issuer.clock.set(end - 0.001)
        await anyio.sleep(0.05)
        client.say(type="websocket.receive", text="d")
        client.say(type="websocket.disconnect", code=1000)

    client = connected(loop, issuer.guard(), app, scope_of(token, "websocket"), test, says=CONNECT)
    assert app.heard == ["a", "b", "c", "d"]
    assert app.end == {"type": "websocket.disconnect", "code": 1000}
    assert client.kinds() == ["websocket.accept", *["websocket.send"] * 4, "returned"]


@pytest.mark.attack("HTTP-16")
def test_an_idle_websocket_is_closed_when_its_token_expires(loop: str, issuer: FakeIssuer) -> None:
    app, token = Echo(), issuer.builder().claims(exp=issuer.clock() + 300).build()
    end = end_of(issuer)

    async def test(client: Client) -> None:
        await client.until("websocket.accept")
        issuer.clock.set(end)
        await client.until("websocket.close")

    client = connected(loop, issuer.guard(), app, scope_of(token, "websocket"), test, says=CONNECT)
    assert client.received == [ACCEPTED, ENDED, {"type": "returned"}]
    # As if the client had gone: what applications know how to deal with.
    assert app.end == {**ENDED, "type": "websocket.disconnect"}


@pytest.mark.attack("HTTP-16")
def test_what_a_client_says_afterwards_is_not_heard(
    loop: str, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Even if the watch slept.
    monkeypatch.setattr(lasting, "_LOOK_EVERY", 100.0)
    app = Echo()

    async def test(client: Client) -> None:
        await client.until("websocket.accept")
        await anyio.sleep(0.01)
        issuer.clock.advance(7200)
        client.say(type="websocket.receive", text="late")
        await client.until("websocket.close")

    scope = scope_of(issuer.token(), "websocket")
    client = connected(loop, issuer.guard(), app, scope, test, says=CONNECT)
    assert app.heard == []
    assert client.received == [ACCEPTED, ENDED, {"type": "returned"}]


@pytest.mark.attack("HTTP-16")
def test_what_the_application_says_afterwards_is_not_sent(
    loop: str, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting, "_LOOK_EVERY", 100.0)
    errors: list[OSError] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "in time"})
        issuer.clock.advance(7200)
        try:
            await send({"type": "websocket.send", "text": "late"})
        except OSError as error:
            errors.append(error)
        # Whoever sends again hears the same; to close what is closed is no error.
        with pytest.raises(ConnectionEnded):
            await send({"type": "websocket.send", "text": "later"})
        await send({"type": "websocket.close"})

    async def test(client: Client) -> None:
        await client.until("returned")

    scope = scope_of(issuer.token(), "websocket")
    client = connected(loop, issuer.guard(), app, scope, test)
    assert len(errors) == 1
    assert client.received == [
        ACCEPTED,
        {"type": "websocket.send", "text": "in time"},
        ENDED,
        {"type": "returned"},
    ]


@pytest.mark.attack("HTTP-16")
def test_an_application_that_waits_for_something_else_is_cancelled(
    loop: str, issuer: FakeIssuer
) -> None:
    ended: list[str] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            ended.append("cancelled")
            raise

    async def test(client: Client) -> None:
        await client.until("websocket.accept")
        issuer.clock.advance(7200)

    scope = scope_of(issuer.token(), "websocket")
    client = connected(loop, issuer.guard(), app, scope, test)
    assert ended == ["cancelled"]
    assert client.received == [ACCEPTED, ENDED, {"type": "returned"}]


@pytest.mark.attack("HTTP-16")
def test_an_application_that_does_not_let_go_is_cancelled_again(
    loop: str, issuer: FakeIssuer
) -> None:
    refused = 0

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal refused
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.disconnect"
        for _ in range(2):
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                refused += 1
                if refused == 2:
                    raise

    async def test(client: Client) -> None:
        await client.until("websocket.accept")
        issuer.clock.advance(7200)

    scope = scope_of(issuer.token(), "websocket")
    client = connected(loop, issuer.guard(), app, scope, test)
    assert refused == 2
    assert client.received == [ACCEPTED, ENDED, {"type": "returned"}]


@pytest.mark.attack("HTTP-16")
def test_a_token_that_expires_before_the_handshake_is_answered_is_refused(
    loop: str, issuer: FakeIssuer
) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        issuer.clock.advance(7200)
        await send({"type": "websocket.accept"})

    async def test(client: Client) -> None:
        await client.until("returned")

    scope = scope_of(issuer.token(), "websocket", extensions={"websocket.http.response": {}})
    client = connected(loop, issuer.guard(), app, scope, test)
    assert client.kinds() == [
        "websocket.http.response.start",
        "websocket.http.response.body",
        "returned",
    ]
    assert client.received[0]["status"] == 401


# Revocation


def revoke(guard: Guard, issuer: FakeIssuer) -> None:
    guard.revoke_blocking(issuer.trusted.issuer, "subject", "somebody")


@pytest.mark.attack("HTTP-16", "CACHE-07")
def test_a_websocket_is_closed_when_its_token_is_revoked(loop: str, issuer: FakeIssuer) -> None:
    guard, app = issuer.guard(**STORED), Echo()
    token = issuer.token(claims={"sub": "somebody"})

    async def test(client: Client) -> None:
        await client.until("websocket.accept")
        await guard.revoke(issuer.trusted.issuer, "subject", "somebody")
        await client.until("websocket.close")

    client = connected(loop, guard, app, scope_of(token, "websocket"), test, says=CONNECT)
    assert client.received == [ACCEPTED, ENDED, {"type": "returned"}]


@pytest.mark.twin("HTTP-16", "CACHE-07")
def test_the_websocket_of_another_goes_on(loop: str, issuer: FakeIssuer) -> None:
    guard, app = issuer.guard(**STORED), Echo()
    token = issuer.token(claims={"sub": "another"})

    async def test(client: Client) -> None:
        await client.until("websocket.accept")
        await guard.revoke(issuer.trusted.issuer, "subject", "somebody")
        await anyio.sleep(0.05)
        client.say(type="websocket.receive", text="still here")
        await client.until("websocket.send")
        client.say(type="websocket.disconnect", code=1000)

    client = connected(loop, guard, app, scope_of(token, "websocket"), test, says=CONNECT)
    assert client.kinds() == ["websocket.accept", "websocket.send", "returned"]


# Streams


class Events:
    """Sends an event, and then waits for one that never comes."""

    def __init__(self, content_type: bytes = b"text/event-stream; charset=utf-8") -> None:
        self.content_type = content_type
        self.was_cancelled = False

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"Content-Type", self.content_type)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        try:
            await anyio.sleep_forever()
        finally:
            self.was_cancelled = True


LAST: Final = {"type": "http.response.body", "body": b"", "more_body": False}


@pytest.mark.attack("HTTP-16")
@pytest.mark.parametrize("how", ["expires", "is revoked"])
def test_a_stream_of_events_ends_when_its_token_does(
    loop: str, issuer: FakeIssuer, how: str
) -> None:
    guard, app = issuer.guard(**STORED), Events()
    token = issuer.token(claims={"sub": "somebody"})

    async def test(client: Client) -> None:
        await client.until("http.response.body")
        if how == "expires":
            issuer.clock.advance(7200)
        else:
            await guard.revoke(issuer.trusted.issuer, "subject", "somebody")

    client = connected(loop, guard, app, scope_of(token), test)
    assert app.was_cancelled
    assert client.received[2:] == [LAST, {"type": "returned"}]


@pytest.mark.attack("HTTP-16")
def test_a_file_is_cut_off_and_not_ended_as_if_it_were_whole(loop: str, issuer: FakeIssuer) -> None:
    app = Events(b"application/pdf")

    async def test(client: Client) -> None:
        await client.until("http.response.body")
        issuer.clock.advance(7200)

    client = connected(loop, issuer.guard(), app, scope_of(issuer.token()), test)
    assert client.kinds() == ["http.response.start", "http.response.body", "returned"]


@pytest.mark.attack("HTTP-16")
def test_a_part_that_comes_too_late_is_not_sent(
    loop: str, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting, "_LOOK_EVERY", 100.0)

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for text in (b"in time", b"late"):
            await send({"type": "http.response.body", "body": text, "more_body": True})
            issuer.clock.advance(7200)

    async def test(client: Client) -> None:
        await client.until("returned")

    client = connected(loop, issuer.guard(), app, scope_of(issuer.token()), test)
    assert [message.get("body") for message in client.received[1:-1]] == [b"in time", b""]


@pytest.mark.twin("HTTP-16")
def test_what_an_application_does_after_its_answer_is_not_cancelled(
    loop: str, issuer: FakeIssuer
) -> None:
    finished: list[bool] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        await send({"type": "http.response.body", "body": b"2"})
        issuer.clock.advance(7200)
        await anyio.sleep(0.05)
        finished.append(True)

    async def test(client: Client) -> None:
        await client.until("returned")

    client = connected(loop, issuer.guard(), app, scope_of(issuer.token()), test)
    assert finished
    assert [message.get("body") for message in client.received[1:-1]] == [b"1", b"2"]


@pytest.mark.twin("HTTP-16")
def test_a_request_that_takes_long_to_answer_is_answered(loop: str, issuer: FakeIssuer) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        issuer.clock.advance(7200)
        await anyio.sleep(0.05)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    async def test(client: Client) -> None:
        await client.until("returned")

    client = connected(loop, issuer.guard(), app, scope_of(issuer.token()), test)
    assert client.received[1]["body"] == b"done"
