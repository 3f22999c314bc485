"""What fails behind nginx, Caddy and HAProxy as shipped: then nobody is admitted, and not for long.

The gateway is killed, hangs, or answers nonsense; the proxy's own part of it fails; many ask at
once. The client gets 503 with a body that it can read, in a bounded time, and things recover.
"""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import pytest

from behind import ISSUER, NAMES, House, Proxy, bearer, folders, honest, request
from raw_http import Answer, exchange
from servers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GOOD: Final = honest()

#: How long the shipped configurations wait for the gateway, and what a busy machine may add.
BOUND: Final = 6.0
SLACK: Final = 6.0


def unavailable(answer: Answer) -> None:
    """Check that nobody judged, that nobody was admitted, and that the client can read so."""
    assert not answer.admitted
    assert answer.status == 503
    assert answer.all("content-type") == ["application/problem+json"]
    assert answer.all("cache-control") == ["no-store"]
    assert answer.all("www-authenticate") == []
    assert int(answer.one("retry-after")) > 0
    assert json.loads(answer.body)["status"] == 503


@pytest.mark.attack("API-12")
def test_a_killed_gateway_admits_nobody_and_is_missed_no_longer_than_it_is_away(
    proxy: Proxy,
) -> None:
    assert proxy.ask(GOOD).admitted
    proxy.gateway.kill()
    try:
        for headers in ((GOOD,), (), (GOOD, ("X-Portvakt-Subject", "evil"))):
            begun = time.monotonic()
            unavailable(proxy.ask(*headers))
            unavailable(proxy.ask(*headers, target="/healthz"))
            assert time.monotonic() - begun < SLACK
        assert proxy.ask(GOOD, method="HEAD").status == 503
    finally:
        proxy.gateway.start()
        proxy.gateway.wait()
    until(lambda: proxy.ask(GOOD).admitted)


@pytest.mark.attack("API-12")
def test_a_gateway_that_hangs_is_waited_for_as_long_as_is_written(house: House) -> None:
    def wait(proxy: Proxy) -> tuple[Answer, float]:
        begun = time.monotonic()
        return proxy.ask(GOOD, ("Connection", "close")), time.monotonic() - begun

    proxies = list(house.proxies.values())
    for proxy in proxies:
        proxy.gateway.signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(len(proxies)) as pool:
            answers = list(pool.map(wait, proxies))
    finally:
        for proxy in proxies:
            proxy.gateway.signal(signal.SIGCONT)
    for answer, seconds in answers:
        unavailable(answer)
        assert BOUND - 1 < seconds < BOUND + SLACK
    for proxy in proxies:
        until(lambda: proxy.ask(GOOD).admitted)  # noqa: B023  called at once


@contextmanager
def pretending(proxy: Proxy, answer: bytes) -> Iterator[Proxy]:
    """Give a proxy something else to ask: it answers everything with the same octets."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(answer)

    proxy.gateway.kill()
    proxy.gateway.socket.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(proxy.gateway.socket))
    listener.listen()
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield proxy
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        proxy.gateway.socket.unlink(missing_ok=True)
        proxy.gateway.start()
        proxy.gateway.wait()


def answering(status: str, *lines: str, body: str = "") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *lines]
    return "\r\n".join([*head, "", body]).encode()


NONSENSE: Final = (
    b"",
    b"\r\n\r\n",
    b"HTTP/1.1 200",
    b"nonsense\r\n\r\n",
    answering("500 Internal Server Error"),
    answering("502 Bad Gateway", "Content-Type: text/html", body="<p>"),
    answering("404 Not Found"),
    answering("302 Found", "Location: /"),
    answering("429 Too Many Requests"),
)


@pytest.mark.attack("API-12")
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_admission_admits_nobody(house: House, name: str) -> None:
    proxy = house.proxies[name]
    said = {"now": b""}

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(said["now"])

    with replaced(proxy, serve):
        for nonsense in NONSENSE:
            said["now"] = nonsense
            answer = proxy.ask(GOOD)
            assert not answer.admitted, nonsense
            assert "evil" not in str(answer.headers)
        # The twin of it: this would be one.
        said["now"] = answering("200 OK", "X-Portvakt-Subject: somebody")
        assert proxy.ask(GOOD).seen.identity == {"x-portvakt-subject": ["somebody"]}
        # And so are these, by which the client learns nothing of what is between the two.
        said["now"] = answering("403 Forbidden", "X-Portvakt-Subject: somebody", "X-Internal: 1")
        answer = proxy.ask(GOOD)
        assert not answer.admitted
        assert not answer.all("x-portvakt-subject")
