"""A client that writes requests octet by octet, and what it got; what the API in tests/data saw."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    import socket


class Answer(Struct, frozen=True):
    """What a client got.

    Attributes:
        status: the status.
        headers: every header line, names in lower case.
        body: the body.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """The values of a header."""
        return [value for one, value in self.headers if one == name.lower()]

    def one(self, name: str) -> str:
        """The value of a header that is there once."""
        (value,) = self.all(name)
        return value

    @property
    def admitted(self) -> bool:
        """Whether this is the API's answer."""
        return self.all("x-api") == ["node"]

    @property
    def seen(self) -> Seen:
        """What the API was sent."""
        assert self.admitted, self
        told = json.loads(self.body)
        names, values = told["headers"][::2], told["headers"][1::2]
        lowered = [name.lower() for name in names]
        return Seen(
            told["method"], told["url"], list(zip(lowered, values, strict=True)), told["body"]
        )


class Seen(Struct, frozen=True):
    """What the API was sent."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: str

    def all(self, name: str) -> list[str]:
        """The values of a header that are not empty."""
        return [value for one, value in self.headers if one == name.lower() and value]

    @property
    def identity(self) -> dict[str, list[str]]:
        """Every header that CGI, WSGI or a proxy would take for one of Portvakt's."""
        found: dict[str, list[str]] = {}
        for name, value in self.headers:
            folded = re.sub(r"[^a-z0-9]", "-", name)
            if folded.startswith("x-portvakt") and value:
                found.setdefault(folded, []).append(value)
        return found


def exchange(connection: socket.socket, sent: bytes, method: str = "GET") -> Answer:
    """Send what is given, and read one answer."""
    connection.sendall(sent)
    received = bytearray()
    while b"\r\n\r\n" not in received:
        data = connection.recv(65536)
        if not data:
            raise AssertionError(f"the proxy closed the connection after {bytes(received)!r}")
        received += data
    head, _, rest = bytes(received).partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines]
    headers = [(name.lower(), value.strip()) for name, _, value in pairs]
    answer = Answer(int(first.split()[1]), headers, b"")
    if method == "HEAD":
        return Answer(answer.status, headers, rest)
    if answer.all("content-length"):
        rest = _at_least(connection, rest, int(answer.one("content-length")))
    elif answer.all("transfer-encoding") == ["chunked"]:
        rest = _from_chunks(connection, rest)
    elif answer.status == 101 or answer.all("connection") == ["close"]:
        while data := connection.recv(65536):
            rest += data
    return Answer(answer.status, headers, rest)


def _at_least(connection: socket.socket, got: bytes, length: int) -> bytes:
    while len(got) < length:
        data = connection.recv(65536)
        assert data, "the answer was cut off"
        got += data
    return got


def _from_chunks(connection: socket.socket, got: bytes) -> bytes:
    body = b""
    while True:
        while b"\r\n" not in got:
            got = _at_least(connection, got, len(got) + 1)
        size, _, got = got.partition(b"\r\n")
        length = int(size, 16)
        got = _at_least(connection, got, length + 2)
        body, got = body + got[:length], got[length + 2 :]
        if length == 0:
            return body
