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
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import pytest

from behind import ISSUER, NAMES, House, Proxy, bearer, folders, honest, quiet_port, request
from raw_http import Answer, exchange
from servers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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
def test_killed_gateways_are_missed_no_longer_than_they_are_away(house: House) -> None:
    for gateway in house.gateways.values():
        gateway.kill()
    try:
        for proxy in house.proxies.values():
            begun = time.monotonic()
            for headers in ((GOOD,), (), (GOOD, ("X-Portvakt-Subject", "evil"))):
                unavailable(proxy.ask(*headers))
                unavailable(proxy.ask(*headers, target="/healthz"))
            assert proxy.ask(GOOD, method="HEAD").status == 503
            assert time.monotonic() - begun < SLACK
    finally:
        for gateway in house.gateways.values():
            gateway.start()
        for gateway in house.gateways.values():
            gateway.wait()
    for proxy in house.proxies.values():
        until(lambda: proxy.ask(GOOD).admitted)  # noqa: B023  called at once


@pytest.mark.attack("API-12")
def test_a_gateway_that_hangs_is_waited_for_as_long_as_is_written(house: House) -> None:
    def wait(proxy: Proxy) -> tuple[Answer, float]:
        begun = time.monotonic()
        return proxy.ask(GOOD, ("Connection", "close")), time.monotonic() - begun

    proxies = list(house.proxies.values())
    for gateway in house.gateways.values():
        gateway.signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(len(proxies)) as pool:
            answers = list(pool.map(wait, proxies))
    finally:
        for gateway in house.gateways.values():
            gateway.signal(signal.SIGCONT)
    for answer, seconds in answers:
        unavailable(answer)
        assert BOUND - 1 < seconds < BOUND + SLACK
    for proxy in proxies:
        until(lambda: proxy.ask(GOOD).admitted)  # noqa: B023  called at once


class Pretender:
    """What a proxy asks in place of a gateway: it answers everything with the same octets."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "gateway.sock"
        self.says = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.socket))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(self.says)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextmanager
def asking_a_pretender(
    name: str, api: int, edit: Callable[[Path], object] = str
) -> Iterator[tuple[Proxy, Pretender]]:
    """Run a proxy of its own, after an edit of its files."""
    with folders() as folder, ExitStack() as stack:
        pretender = Pretender(folder("away"))
        stack.callback(pretender.stop)
        proxy = Proxy(name, pretender.socket, api, folder(name))
        edit(proxy.folder)
        stack.callback(proxy.stop)
        proxy.start()
        yield proxy, pretender


def says(status: str, *lines: str, body: str = "") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *lines]
    return "\r\n".join([*head, "", body]).encode()


ADMITS: Final = says("200 OK", "X-Portvakt-Subject: somebody", "DPoP-Nonce: next")

NONSENSE: Final = (
    *(b"", b"\r\n\r\n", b"HTTP/1.1 200", b"HTTP/1.1 2000 OK\r\n\r\n", b"nonsense\r\n\r\n"),
    *(ADMITS[:-2], ADMITS[:40]),
    *(
        says("500 Internal Server Error"),
        says("502 Bad Gateway", body="<p>"),
        says("404 Not Found"),
    ),
    *(says("302 Found", "Location: /"), says("429 Too Many Requests")),
    says("403 Forbidden", "X-Portvakt-Subject: somebody", "X-Portvakt-Status: 200"),
    says("401 Unauthorized", "X-Portvakt-Subject: somebody"),
)


@pytest.mark.attack("API-12")
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_admission_admits_nobody(house: House, name: str) -> None:
    with asking_a_pretender(name, house.api) as (proxy, pretender):
        for pretender.says in NONSENSE:
            answer = proxy.ask(GOOD)
            assert not answer.admitted, pretender.says
            assert 300 < answer.status < 505


@pytest.mark.twin("API-12")
@pytest.mark.parametrize("name", NAMES)
def test_an_admission_admits_with_what_it_says_and_no_more(house: House, name: str) -> None:
    forged = [(f"X-Portvakt-{field}", "evil") for field in ("Subject", "Pid", "Scopes", "Token")]
    with asking_a_pretender(name, house.api) as (proxy, pretender):
        pretender.says = ADMITS
        # What the gateway does not say stays unsaid, though the client says it.
        answer = proxy.ask(GOOD, *forged)
        assert answer.seen.identity == {"x-portvakt-subject": ["somebody"]}
        assert answer.all("dpop-nonce") == ["next"]
        pretender.says = says("200 OK", "X-Portvakt-Token: a.b.c")
        assert proxy.ask(GOOD, *forged).seen.identity == {"x-portvakt-token": ["a.b.c"]}


@pytest.mark.parametrize("name", NAMES)
def test_an_api_that_is_away_is_not_said_to_be_the_gateway(name: str) -> None:
    with asking_a_pretender(name, quiet_port()) as (proxy, pretender):
        pretender.says = ADMITS
        answer = proxy.ask(GOOD)
        assert answer.status in {502, 503}
        assert b"judged" not in answer.body


@pytest.mark.attack("API-12")
def test_a_fault_in_the_script_of_haproxy_admits_nobody(house: House) -> None:
    def spoil(folder: Path) -> None:
        script = folder / "portvakt.lua"
        text = script.read_text()
        found = text.replace("local function portvakt(txn)", "local function portvakt(txn) error()")
        assert found != text
        script.write_text(found)

    with asking_a_pretender("haproxy", house.api, spoil) as (proxy, pretender):
        pretender.says = ADMITS
        unavailable(proxy.ask(GOOD))
        unavailable(proxy.ask(GOOD, ("X-Portvakt-Subject", "evil")))


@pytest.mark.parametrize(("name", "requests"), [("nginx", 2_000), ("caddy", 400), ("haproxy", 400)])
def test_nobody_gets_anothers_answer_when_many_ask_at_once(
    house: House, name: str, requests: int
) -> None:
    proxy, clients = house.proxies[name], 16

    def ask(client: int) -> int:
        admitted = 0
        own = honest(sub=f"subject-{client}")
        hostile = (
            ((), 401),
            ((bearer(ISSUER.forged("expired", ["read"])),), 401),
            ((own, own), 400),
            ((honest(["other"]),), 403),
            ((own, ("X-Http-Method-Override", "PUT")), 400),
        )
        connection = proxy.connect()
        for number in range(requests // clients):
            if number % 2:
                target = f"/journal/{client}-{number}"
                answer = exchange(connection, request("GET", target, [own]))
                assert answer.seen.url == target
                assert answer.seen.identity["x-portvakt-subject"] == [f"subject-{client}"]
                admitted += 1
            else:
                headers, status = hostile[number // 2 % len(hostile)]
                answer = exchange(connection, request("GET", "/journal", headers))
                assert not answer.admitted
                assert answer.status == status
            if answer.all("connection") == ["close"]:
                # nginx itself refuses a second Authorization, and hangs up.
                connection.close()
                connection = proxy.connect()
        connection.close()
        return admitted

    with ThreadPoolExecutor(clients) as pool:
        admitted = sum(pool.map(ask, range(clients)))
    assert admitted == clients * (requests // clients // 2)
