"""Connections that outlive one answer end with their token."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from behaviour.behaviours import behaviour
from portvakt.guard import lasting

if TYPE_CHECKING:
    from collections.abc import Callable

    from behaviour.serving import Served


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look as soon as something has changed."""
    monkeypatch.setattr(lasting, "_LOOK_EVERY", 0.1)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def opened(served: Served, token: str | None) -> ClientConnection:
    host, port = served.address
    headers = None if token is None else bearer(token)
    return connect(f"ws://{host}:{port}/live", additional_headers=headers, proxy=None)


@pytest.fixture
def expire(served: Served, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets every token expire until the test is over, for the guard that is served."""

    def expired() -> None:
        monkeypatch.setattr(served.sample.guards[0], "clock", lambda: time.time() + 7200)

    return expired


def revoked(served: Served, subject: str) -> None:
    guard = served.sample.guards[0]
    guard.revoke_blocking(served.sample.issuer.trusted.issuer, "subject", subject)


@behaviour(
    "A WebSocket's handshake without a good token gets the refusal as its answer.", "lasting"
)
@pytest.mark.attack("API-12", "HTTP-13")
def test_a_handshake_is_judged(served: Served) -> None:
    with served.unreached():
        for token in (None, served.sample.issuer.forged("foreign-key")):
            with pytest.raises(InvalidStatus) as refused, opened(served, token):
                pass
            assert refused.value.response.status_code == 401
            assert "www-authenticate" in refused.value.response.headers


@behaviour("A WebSocket with a good token stays open, whoever else is signed out.", "lasting")
@pytest.mark.twin("HTTP-16", "API-12")
def test_a_websocket_stays_open(served: Served) -> None:
    with served.reached("/live"), opened(served, served.token(sub="stays")) as client:
        revoked(served, "somebody-else")
        time.sleep(0.3)
        client.send("hello")
        assert client.recv(timeout=5) == "hello"


@behaviour("A WebSocket is closed when its token is revoked.", "lasting")
@pytest.mark.attack("HTTP-16", "CACHE-07")
def test_a_websocket_ends_with_a_revocation(served: Served) -> None:
    ends(served, served.token(sub="revoked"), lambda: revoked(served, "revoked"))


@behaviour("A WebSocket is closed when its token expires.", "lasting")
@pytest.mark.attack("HTTP-16")
def test_a_websocket_ends_with_its_token(served: Served, expire: Callable[[], None]) -> None:
    ends(served, served.token(), expire)


def ends(served: Served, token: str, end: Callable[[], None]) -> None:
    with served.reached("/live"), opened(served, token) as client:
        client.send("hello")
        assert client.recv(timeout=5) == "hello"
        end()
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "invalid_token")


@behaviour("A stream of events ends when its token expires.", "lasting")
@pytest.mark.attack("HTTP-16")
def test_events_end_with_their_token(served: Served, expire: Callable[[], None]) -> None:
    host, port = served.address
    headers = bearer(served.token())
    with (
        served.reached("/events"),
        httpx2.stream(
            "GET", f"http://{host}:{port}/events", headers=headers, timeout=5, trust_env=False
        ) as answer,
    ):
        assert answer.status_code == 200
        events = answer.iter_raw()
        assert next(events) == b"data: 1\n\n"
        expire()
        assert b"".join(events) == b""
