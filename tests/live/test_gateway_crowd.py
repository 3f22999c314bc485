"""A gateway amid connections that mean no good: honest clients are served all the same."""

from __future__ import annotations

import resource
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from gateways import READ, Gateway, asked, issuer_of_today, serving
from servers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portvakt.testing import FakeIssuer

#: Files that a process of the gateway may open here.
FILES = 256

LINES = 'proxy = "haproxy"\ntrusted = ["127.0.0.1"]\nheader_timeout = "2s"'


@pytest.fixture(scope="module")
def issuer() -> FakeIssuer:
    return issuer_of_today()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, issuer: FakeIssuer) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("crowd")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(folder, issuer, lines=LINES, files=FILES) as made:
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
        yield made


def connected(gateway: Gateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=10)


def ended(one: socket.socket) -> bytes:
    """What came until the other side ended it."""
    found = b""
    try:
        while part := one.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found
