"""A guarded FastAPI application over real HTTP, and one that must not start."""

import base64
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import httpx2
import pytest
import uvicorn
from fastapi import Depends, FastAPI, WebSocket

from portvakt import AccessToken
from portvakt.adapters.fastapi import FastAPIGuard
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
GUARD: Final = FastAPIGuard.from_config(
    ISSUER.config(route=[{"path": "/healthz", "public": True}]), clock=ISSUER.clock
)
Reader = Annotated[AccessToken, Depends(GUARD.requires(scopes=["read"]))]


def make_app() -> FastAPI:
    app = FastAPI()
    GUARD.protect(app)

    @app.get("/healthz")
    def healthz() -> str:
        return "well"

    @app.get("/journal/{patient}")
    def journal(patient: str, token: Reader) -> list[str]:
        return [patient, str(token.subject)]

    @app.websocket("/live")
    async def live(websocket: WebSocket, token: Reader) -> None:
        await websocket.accept()
        await websocket.send_text(str(token.subject))
        await websocket.close()

    inner = FastAPI()

    @inner.get("/read")
    def read(token: Reader) -> str:
        return str(token.subject)

    app.mount("/inner", inner)
    return app


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(), log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield listener.getsockname()  # What connects before the server is up waits in the queue.
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def client(address: tuple[str, int]) -> Iterator[httpx2.Client]:
    host, port = address
    with httpx2.Client(base_url=f"http://{host}:{port}", trust_env=False) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


READER: Final = bearer(ISSUER.token(scopes=["read"], claims={"sub": "reader"}))
NOBODY: Final = bearer(ISSUER.token())
FORGER: Final = bearer(ISSUER.forged("foreign-key", scopes=["read"]))


@pytest.mark.twin("API-09", "API-12")
def test_an_honest_token_is_admitted(client: httpx2.Client) -> None:
    assert client.get("/journal/1", headers=READER).json() == ["1", "reader"]
    assert client.get("/inner/read", headers=READER).json() == "reader"
    assert client.get("/healthz").json() == "well"


@pytest.mark.attack("API-09", "API-12", "HTTP-13")
@pytest.mark.parametrize("path", ["/journal/1", "/inner/read", "/docs", "/openapi.json", "/none"])
def test_without_a_good_token_nothing_is_served(client: httpx2.Client, path: str) -> None:
    anonymous = client.get(path)
    assert anonymous.status_code == 401
    assert anonymous.headers["www-authenticate"] == 'Bearer realm="test-api"'
    forged = client.get(path, headers=FORGER)
    assert forged.status_code == 401
    assert 'error="invalid_token"' in forged.headers["www-authenticate"]


@pytest.mark.parametrize("path", ["/journal/1", "/inner/read"])
def test_a_missing_scope_is_named(client: httpx2.Client, path: str) -> None:
    answer = client.get(path, headers=NOBODY)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].endswith('scope="read"')
    assert answer.json()["title"] == "insufficient_scope"


def test_head_and_options_need_a_token(client: httpx2.Client) -> None:
    for method in ("HEAD", "OPTIONS"):
        assert client.request(method, "/journal/1").status_code == 401
        assert client.request(method, "/journal/1", headers=READER).status_code == 405


def test_a_connection_is_kept_after_a_refusal_with_a_body(client: httpx2.Client) -> None:
    assert client.post("/journal/1", content=b"x" * 100_000).status_code == 401
    assert client.get("/healthz").status_code == 200


def shake_hands(address: tuple[str, int], credential: dict[str, str]) -> bytes:
    """Open a WebSocket (RFC 6455 section 4.1) and return all that comes back."""
    headers = {
        "Host": "localhost",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
        **credential,
    }
    lines = ["GET /live HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection.recv(65536)


@pytest.mark.attack("API-12")
@pytest.mark.parametrize(("credential", "status"), [({}, b"401"), (FORGER, b"401")])
def test_a_handshake_without_a_good_token_is_refused(
    address: tuple[str, int], credential: dict[str, str], status: bytes
) -> None:
    assert shake_hands(address, credential).split(b" ", 2)[1] == status


@pytest.mark.skipif(
    not (find_spec("websockets") or find_spec("wsproto")),
    reason="uvicorn speaks WebSocket only with websockets or wsproto beside it",
)
def test_a_handshake_with_a_good_token_is_accepted(address: tuple[str, int]) -> None:
    assert shake_hands(address, READER).split(b" ", 2)[1] == b"101"
    assert shake_hands(address, NOBODY).split(b" ", 2)[1] == b"403"


# A process of its own: what counts is that uvicorn ends, and with which exit code.

POLICY: Final = """
[api]
audience = "test-api"

[[issuer]]
issuer = "https://issuer.test"
jwks_file = "keys.json"
algorithms = ["ES256"]
"""

APP: Final = """
from fastapi import Depends, FastAPI
from portvakt.adapters.fastapi import FastAPIGuard

guard = FastAPIGuard.from_file("portvakt.toml")
app = FastAPI()
guard.protect(app)

@app.get("/guarded", dependencies=[Depends(guard.requires())])
def guarded() -> str:
    return "served"

@app.get("/second"%s)
def second() -> str:
    return "served"
"""


def start(folder: Path, guarded: str) -> subprocess.Popen[str]:
    (folder / "portvakt.toml").write_text(POLICY, encoding="utf-8")
    (folder / "keys.json").write_text(json.dumps(ISSUER.jwks()), encoding="utf-8")
    (folder / "journal_app.py").write_text(APP % guarded, encoding="utf-8")
    command = [sys.executable, "-m", "uvicorn", "journal_app:app", "--port", "0"]
    return subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"}
    )


def test_an_application_that_forgot_a_guard_does_not_start(tmp_path: Path) -> None:
    _, errors = (process := start(tmp_path, "")).communicate(timeout=30)
    assert process.returncode != 0
    assert "GET /second" in errors
    assert "guard.requires(" in errors
    assert "[[route]]" in errors
    assert "GET /guarded" not in errors


def test_the_same_application_with_the_guard_starts(tmp_path: Path) -> None:
    with start(tmp_path, ", dependencies=[Depends(guard.requires())]") as process:
        assert process.stderr is not None
        lines = []
        while line := process.stderr.readline():
            lines.append(line)
            if "running on" in line:
                break
        process.terminate()
    assert any("startup complete" in line for line in lines), lines
