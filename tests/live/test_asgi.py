"""The ASGI middleware over real HTTP: bytes on a loopback socket, uvicorn, the guard."""

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest
import uvicorn

from portvakt.adapters.asgi import GuardMiddleware, token_of
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
GUARD: Final = ISSUER.guard(
    route=[
        {"path": "/healthz", "public": True},
        {"path": "/open/{page:path}", "public": True},
        {"path": "/journal/{patient}", "scopes": ["read"]},
    ]
)
HONEST: Final = ISSUER.token(scopes=["read"])
FORGED: Final = ISSUER.forged("foreign-key", scopes=["read"])


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Say which path was served, and for whom."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    token = token_of(scope)
    body = json.dumps([scope["path"], token and token.subject]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(GuardMiddleware(echo, GUARD), log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield listener.getsockname()  # What connects before the server is up waits in the queue.
    server.should_exit = True
    thread.join()


def send(address: tuple[str, int], target: str, *headers: str, method: str = "GET") -> bytes:
    """Send one request as it is written here, and return all that comes back."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        received = b""
        while data := connection.recv(65536):
            received += data
    return received


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


@pytest.mark.twin("HTTP-04", "HTTP-06", "HTTP-13", "API-12")
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_an_honest_token_is_admitted(address: tuple[str, int], scheme: str) -> None:
    answer = send(address, "/journal/1", f"Authorization: {scheme} {HONEST}")
    assert status(answer) == 200
    assert b'["/journal/1", "' in answer


@pytest.mark.attack("HTTP-13")
def test_without_a_token_there_is_a_challenge(address: tuple[str, int]) -> None:
    answer = send(address, "/journal/1")
    assert status(answer) == 401
    assert b'www-authenticate: Bearer realm="test-api"\r\n' in answer


@pytest.mark.attack("API-12")
def test_a_forged_token_is_refused(address: tuple[str, int]) -> None:
    answer = send(address, "/journal/1", bearer(FORGED))
    assert status(answer) == 401
    assert b'error="invalid_token"' in answer
    assert FORGED.encode() not in answer


@pytest.mark.attack("HTTP-04", "HTTP-05", "HTTP-07")
@pytest.mark.parametrize(
    "headers",
    [
        (bearer(HONEST), bearer(FORGED)),
        (bearer(FORGED), bearer(HONEST)),
        (bearer(HONEST), bearer(HONEST)),
        (bearer(HONEST), f"Authorization: DPoP {HONEST}"),
        (f"{bearer(HONEST)}, Bearer {FORGED}",),
        (f"{bearer(HONEST)};Bearer",),
    ],
)
def test_more_than_one_credential_is_refused(
    address: tuple[str, int], headers: tuple[str, ...]
) -> None:
    assert status(send(address, "/journal/1", *headers)) in {400, 401}
    if len(headers) > 1:
        assert status(send(address, "/journal/1", *headers)) == 400


@pytest.mark.attack("HTTP-06")
@pytest.mark.parametrize(
    "credential", ["Bearer", f"Bearer\t{HONEST}", f"BearerX {HONEST}", f"Token {HONEST}", HONEST]
)
def test_another_scheme_or_form_is_refused(address: tuple[str, int], credential: str) -> None:
    assert status(send(address, "/journal/1", f"Authorization: {credential}")) in {400, 401}


@pytest.mark.attack("HTTP-14")
@pytest.mark.parametrize("octets", ["\x00", "\xff", "\x7f", "\r\n folded"])
def test_odd_octets_are_refused_and_the_server_lives(address: tuple[str, int], octets: str) -> None:
    assert status(send(address, "/journal/1", bearer(HONEST) + octets)) in {400, 401}
    assert status(send(address, "/journal/1", bearer(HONEST))) == 200


@pytest.mark.attack("HTTP-09", "HTTP-10")
def test_headers_that_would_change_the_request_change_nothing(address: tuple[str, int]) -> None:
    override = "X-HTTP-Method-Override: DELETE"
    assert status(send(address, "/journal/1", bearer(HONEST), override)) == 400
    assert status(send(address, "/healthz", override)) == 400
    strip = "Connection: Authorization"
    assert status(send(address, "/journal/1", strip)) == 401
    assert status(send(address, "/journal/1", strip, bearer(FORGED))) == 401
    assert status(send(address, "/journal/1", "Host: elsewhere", bearer(FORGED))) in {400, 401}


@pytest.mark.twin("HTTP-18")
def test_public_paths_are_served_as_they_are(address: tuple[str, int]) -> None:
    assert b'["/healthz", null]' in send(address, "/healthz")
    assert b'["/open/a b", null]' in send(address, "/open/a%20b?x=/../y")


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/healthz/../journal/1", 403),
        ("/open/..%2fjournal/1", 403),
        ("/open%2f..%2fjournal/1", 403),
        ("/open/%2e%2e/journal/1", 403),
        ("//journal/1", 403),
        ("/journal/1;x", 403),
        ("/open/..\\journal", 403),
        ("/open/%00", 400),
        ("/HEALTHZ", 403),
        ("http://localhost/healthz", 400),
        ("*", 400),
    ],
)
def test_an_ambiguous_target_is_refused(
    address: tuple[str, int], target: str, expected: int
) -> None:
    assert status(send(address, target)) == expected
    assert status(send(address, target, bearer(HONEST))) == expected


def test_head_and_options_are_judged_like_get(address: tuple[str, int]) -> None:
    for method in ("HEAD", "OPTIONS"):
        answer = send(address, "/journal/1", method=method)
        assert status(answer) == 401
        assert status(send(address, "/journal/1", bearer(HONEST), method=method)) == 200
    assert send(address, "/journal/1", method="HEAD").endswith(b"\r\n\r\n")
