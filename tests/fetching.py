"""A pytest plugin: what tests of fetching share. The servers are in :mod:`key_server`."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import TYPE_CHECKING, Final

import pytest

from key_server import KeyServer, Names, whole, write_ca
from portvakt.net.address import Addresses, FetchError
from portvakt.net.fetch import Fetch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from portvakt.net.answer import Fetched

#: Seconds for one exchange, and what a busy machine may add.
DEADLINE: Final = 0.3
NOISE: Final = 1.5

#: Octets.
MAX_BODY: Final = 100_000

URL: Final = "https://issuer.test/jwks"
KEYS: Final = b'{"keys": []}'


@pytest.fixture(scope="session")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of the authority that the servers of tests have theirs from."""
    return write_ca(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def names() -> Names:
    """Which names lead to which servers; a test sets them."""
    return Names()


@pytest.fixture(scope="session")
def unhurried(names: Names, ca_file: Path) -> Fetch:
    """A fetch with time enough, for what must not fail for want of it."""
    return Fetch(names, ca_file=ca_file, timeout=10.0, max_body=MAX_BODY)


@pytest.fixture(scope="session")
def hurried(names: Names, ca_file: Path) -> Fetch:
    """A fetch with little time, for what will not end."""
    return Fetch(names, ca_file=ca_file, timeout=DEADLINE, max_body=MAX_BODY)


@pytest.fixture
def server(names: Names) -> Iterator[KeyServer]:
    """An honest server, the only one there is: ``issuer.test``."""
    with KeyServer(whole(KEYS)) as server:
        names.servers = {"issuer.test": server}
        names.asked = []
        yield server


def get(fetch: Fetch, url: str = URL) -> Fetched:
    """Fetch on a loop of its own."""
    return asyncio.run(fetch.get(url, accept="application/json"))


def refused(fetch: Fetch, url: str = URL) -> FetchError:
    """Fetch what cannot be had, and return why."""
    with pytest.raises(FetchError) as caught:
        get(fetch, url)
    return caught.value


def in_time(fetch: Fetch, url: str = URL) -> FetchError:
    """Fetch what cannot be had within the deadline, and return why."""

    async def timed() -> tuple[FetchError, float]:
        begun = perf_counter()
        with pytest.raises(FetchError) as caught:
            await fetch.get(url, accept="application/json")
        return caught.value, perf_counter() - begun

    error, seconds = asyncio.run(timed())
    assert seconds < DEADLINE + NOISE
    return error


def only(*places: tuple[str, int]) -> Addresses:
    """Dial these places in turn, whatever host is asked for."""

    async def addresses(host: str, port: int) -> Sequence[tuple[str, int]]:
        assert (host, port) == ("issuer.test", 443)
        return places

    return addresses


@contextmanager
def speaking(data: bytes) -> Iterator[Addresses]:
    """Where somebody says these octets as soon as one connects, and it is not TLS."""

    def speak() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=speak)
        thread.start()
        yield only(listener.getsockname())
        thread.join()


@contextmanager
def deaf() -> Iterator[tuple[str, int]]:
    """Where connecting takes for ever: the queue is full."""
    sockets = [socket.socket() for _ in range(5)]
    listener, *clients = sockets
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for client in clients:
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
    yield listener.getsockname()
    for one in sockets:
        one.close()
