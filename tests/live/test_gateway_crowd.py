"""A gateway amid connections that mean no good: they are thrown out, and honest ones served."""

from __future__ import annotations

import signal
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from gateways import READ, Gateway, asked, issuer_of_today, serving
from servers import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portvakt.testing import FakeIssuer

#: Files that each process of the gateway may open here, and seconds that a head may take.
FILES, TIMEOUT = 256, 2.0

LINES = f'proxy = "haproxy"\ntrusted = ["127.0.0.1"]\nheader_timeout = "{TIMEOUT:g}s"'


@pytest.fixture(scope="module")
def issuer() -> FakeIssuer:
    return issuer_of_today()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, issuer: FakeIssuer) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("crowd")
    with serving(folder, issuer, lines=LINES, files=FILES) as made:
        yield made


def connected(gateway: Gateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=10)


def until_ended(one: socket.socket) -> tuple[bytes, float]:
    """What came until the other side ended it, and how many seconds that took."""
    began, found = time.monotonic(), b""
    try:
        while part := one.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found, time.monotonic() - began


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nx-slow: a", b"\x16\x03\x01"])
def test_who_sends_no_whole_head_is_thrown_out(gateway: Gateway, said: bytes) -> None:
    with connected(gateway) as one:
        one.sendall(said)
        found, took = until_ended(one)
    assert found.split(b" ", 2)[1:2] in ([], [b"400"])
    assert took < TIMEOUT + 2.0


def test_an_octet_now_and_then_buys_no_time(gateway: Gateway) -> None:
    with connected(gateway) as one:
        one.sendall(b"GET / HTTP/1.1\r\nx-slow: ")
        one.settimeout(0.25)
        end = time.monotonic() + TIMEOUT + 2.0
        ended = False
        while not ended:
            assert time.monotonic() < end
            try:
                one.sendall(b"a")
                ended = one.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True


def test_a_kept_connection_may_be_idle_as_long_as_a_head_may_take(
    gateway: Gateway, issuer: FakeIssuer
) -> None:
    lines = [f"{name}: {it}\r\n" for name, it in asked("/journal/1", issuer.token(scopes=[READ]))]
    request = f"GET / HTTP/1.1\r\nhost: a\r\n{''.join(lines)}\r\n".encode()
    with connected(gateway) as one:
        for _ in range(3):
            one.sendall(request)
            assert one.recv(65536).startswith(b"HTTP/1.1 200 ")
            time.sleep(TIMEOUT / 4)
        found, took = until_ended(one)
    assert found == b""
    assert TIMEOUT / 4 < took < TIMEOUT + 2.0


def test_a_head_of_a_megabyte_is_cut_off(gateway: Gateway) -> None:
    with connected(gateway) as one:
        try:
            one.sendall(b"GET / HTTP/1.1\r\nx-long: " + b"a" * 2**20)
        except OSError:
            return  # It was cut off before all of it was sent.
        found, took = until_ended(one)
    assert found.startswith(b"HTTP/1.1 431 ") or found == b""
    assert took < TIMEOUT


def test_more_connections_than_files_leave_the_gateway_its_own(
    gateway: Gateway, issuer: FakeIssuer
) -> None:
    headers = asked("/journal/1", issuer.token(scopes=[READ]))
    generation = gateway.readiness()[0]["generation"]
    with ExitStack() as stack:
        for _ in range(2 * FILES):
            stack.enter_context(connected(gateway))
        # A policy is read, by which files are opened, and the operator is told.
        gateway.signal(signal.SIGHUP)
        until(lambda: gateway.readiness()[0]["generation"] > generation)
        # Those in front of it are thrown out in turn.
        began = time.monotonic()
        assert gateway.ask(headers)[0] == 200
        assert time.monotonic() - began < 5 * TIMEOUT
    assert "the admin address cannot be told" not in gateway.log
    assert gateway.ask(headers)[0] == 200
