"""Connections that outlive their token, over real sockets: uvicorn and Granian, and a real client.

Uvicorn runs in this process, where time stands still until a test moves it. Granian does not, so
its tokens live for two seconds.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx2
import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from lasting_apps import APPS
from portvakt import Guard
from portvakt.guard import lasting
from portvakt.testing import FakeIssuer
from servers import free_port, until

if TYPE_CHECKING:
    from collections.abc import Iterator

G = TypeVar("G", bound=Guard)

#: A machine that is busy with other tests is late, and nothing here depends on the bound.
STORED: Final[dict[str, Any]] = {
    "store": {"url": "memory://"},
    "revocation": {"max_staleness": "1m"},
}


class Served:
    """One application, served by uvicorn on a thread.

    Attributes:
        guard: what stands in front of it.
        at: where it is, without the scheme.
    """

    def __init__(self, kind: str, issuer: FakeIssuer) -> None:
        self.issuer = issuer
        self.guards: list[Guard] = []
        listener = socket.create_server(("127.0.0.1", 0))
        self.at = "{}:{}".format(*listener.getsockname())
        app = APPS[kind](self._make)
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        self._thread = threading.Thread(target=self._server.run, args=([listener],))
        self._thread.start()

    def _make(self, kind: type[G], /) -> G:
        # As FakeIssuer makes them: a minute old by its clock.
        self.issuer.clock.advance(-60)
        guard = kind.from_config(self.issuer.config(**STORED), clock=self.issuer.clock)
        self.issuer.clock.advance(60)
        self.guards.append(guard)
        return guard

    def end(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    def token(self, subject: str = "somebody") -> dict[str, str]:
        claims = {"sub": subject, "exp": self.issuer.clock() + 600}
        return {"Authorization": f"Bearer {self.issuer.token(claims=claims)}"}

    def expire(self) -> None:
        self.issuer.clock.advance(600 + self.issuer.trusted.leeway)

    def revoke(self, subject: str = "somebody") -> None:
        self.guards[0].revoke_blocking(self.issuer.trusted.issuer, "subject", subject)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the server complained of, but for what it says whenever it has refused a handshake."""
    every = [record.getMessage() for record in caplog.records]
    return [one for one in every if "without completing handshake" not in one]


@pytest.fixture(scope="module", autouse=True)
def _often() -> Iterator[None]:
    """Nobody need wait for a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lasting, "_LOOK_EVERY", 0.05)
        yield


@pytest.fixture(scope="module", params=APPS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    one = Served(request.param, FakeIssuer())
    yield one
    one.end()


@pytest.mark.attack("HTTP-16")
@pytest.mark.parametrize("how", ["expires", "is revoked"])
def test_an_idle_websocket_is_closed_when_its_token(
    served: Served, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with connect(f"ws://{served.at}/live", additional_headers=served.token(how)) as client:
        client.send("hello")
        assert client.recv(timeout=5) == "hello"
        if how == "expires":
            served.expire()
        else:
            served.revoke(how)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "invalid_token")
    assert said(caplog) == []


@pytest.mark.twin("HTTP-16")
def test_a_websocket_with_a_good_token_stays_open(served: Served) -> None:
    with connect(f"ws://{served.at}/live", additional_headers=served.token("other")) as client:
        served.issuer.clock.advance(599)
        served.revoke("nobody")
        for text in ("a", "b"):
            client.send(text)
            assert client.recv(timeout=5) == text


@pytest.mark.attack("HTTP-16")
def test_who_comes_again_with_the_old_token_is_refused(served: Served) -> None:
    headers = served.token()
    served.expire()
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(f"ws://{served.at}/live", additional_headers=headers),
    ):
        pass
    assert refused.value.response.status_code == 401


@pytest.mark.attack("HTTP-16")
@pytest.mark.parametrize("how", ["expires", "is revoked"])
def test_a_stream_of_events_ends_when_its_token(
    served: Served, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    # A name that was not revoked before.
    subject = f"stream {how}"
    with httpx2.stream(
        "GET", f"http://{served.at}/events", headers=served.token(subject), timeout=5
    ) as answer:
        parts = answer.iter_raw()
        assert b"1" in next(parts)
        if how == "expires":
            served.expire()
        else:
            served.revoke(subject)
        assert b"".join(parts).strip() == b""
    assert said(caplog) == []


@pytest.mark.attack("HTTP-16")
def test_a_file_is_cut_off_so_that_it_shows(served: Served) -> None:
    with httpx2.stream(
        "GET", f"http://{served.at}/file", headers=served.token("file"), timeout=5
    ) as answer:
        parts = answer.iter_raw()
        assert next(parts)
        served.expire()
        with pytest.raises(httpx2.RemoteProtocolError):
            b"".join(parts)


# Granian, in a process of its own

MODULE: Final = """
import sys
sys.path.insert(0, {tests!r})
from lasting_apps import APPS
app = APPS[{kind!r}](lambda guard: guard.from_file("portvakt.toml"))
"""

POLICY: Final = """
[api]
audience = "test-api"

[[issuer]]
issuer = "https://issuer.test"
jwks_file = "keys.json"
algorithms = ["ES256"]
leeway = "0s"
"""


@pytest.fixture(scope="module", params=["asgi", "litestar"])
def granian(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, FakeIssuer]]:
    folder, port, issuer = (
        tmp_path_factory.mktemp("granian"),
        free_port(),
        FakeIssuer(clock=time.time),
    )
    (folder / "portvakt.toml").write_text(POLICY, encoding="utf-8")
    (folder / "keys.json").write_text(json.dumps(issuer.jwks()), encoding="utf-8")
    tests = str(Path(__file__).parent.parent)
    text = MODULE.format(tests=tests, kind=request.param)
    (folder / "granian_app.py").write_text(text, encoding="utf-8")
    program = str(Path(sys.executable).parent / "granian")
    command = [program, "--interface", "asgi", "--port", str(port), "granian_app:app"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ}, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        until(lambda: _listens(port))
        yield f"127.0.0.1:{port}", issuer
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def short_lived(issuer: FakeIssuer) -> tuple[dict[str, str], float]:
    end = time.time() + 2
    token = issuer.token(claims={"exp": end, "iat": end - 60})
    return {"Authorization": f"Bearer {token}"}, end


@pytest.mark.attack("HTTP-16")
def test_on_granian_connections_end_in_time(granian: tuple[str, FakeIssuer]) -> None:
    at, issuer = granian
    headers, end = short_lived(issuer)
    with (
        connect(f"ws://{at}/live", additional_headers=headers) as client,
        httpx2.stream("GET", f"http://{at}/events", headers=headers, timeout=10) as events,
        httpx2.stream("GET", f"http://{at}/file", headers=headers, timeout=10) as file,
    ):
        client.send("hello")
        assert client.recv(timeout=5) == "hello"
        parts, half = events.iter_raw(), file.iter_raw()
        assert b"1" in next(parts)
        assert next(half)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=10)
        after = time.time() - end
        assert b"".join(parts).strip() == b""
        with pytest.raises(httpx2.RemoteProtocolError):
            b"".join(half)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "invalid_token")
    # As soon as it is looked at, once a second; and a busy machine takes its time.
    assert -0.1 < after < 5
