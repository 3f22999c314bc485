"""What Envoy sends and reads, octet by octet, written without the messages under test.

Numbers of fields are Envoy's (service/auth/v3, config/core/v3, type/v3; google/rpc/status). Fields
that the gateway does not know (time, id, size, protocol, destination, …) are sent as Envoy sends
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

Headers = tuple[tuple[str, str], ...]


def varint(number: int) -> bytes:
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def part(number: int, content: bytes | str) -> bytes:
    """A field that has a length: text, octets or a message."""
    octets = content.encode("latin-1") if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(octets)) + octets


def whole(number: int, value: int) -> bytes:
    """A field that is a number."""
    return varint(number << 3) + varint(value)


def address(host: str, port: int) -> bytes:
    """A core.v3.Address with a SocketAddress."""
    return part(1, part(2, host) + whole(3, port))


def check_request(
    method: str = "GET",
    path: str = "/",
    headers: Iterable[tuple[str, str]] = (),
    *,
    raw: bool = True,
    certificate: str = "",
) -> bytes:
    """A CheckRequest as Envoy makes it of a request.

    Parameters:
        method: the method.
        path: the target.
        headers: each line, in lower case.
        raw: as with ``encode_raw_headers: true``; otherwise in a map, joined with commas.
        certificate: the client's, in PEM and percent-encoded.
    """
    lines = [(":method", method), (":path", path), (":authority", "api.test"), *headers]
    if raw:
        entries = b"".join(part(1, part(1, name) + part(3, value)) for name, value in lines)
        stated = part(13, entries)
    else:
        joined: dict[str, str] = {}
        for name, value in lines:
            joined[name] = f"{joined[name]},{value}" if name in joined else value
        stated = b"".join(part(3, part(1, one) + part(2, joined[one])) for one in joined)
    http = (
        part(1, "9632016391587654321")  # id
        + part(2, method)
        + stated
        + part(4, path)
        + part(5, "api.test")
        + part(6, "https")
        + whole(9, 0)  # size
        + part(10, "HTTP/2")
    )
    time = part(1, whole(1, 1_790_000_000) + whole(2, 5))
    source = part(1, address("203.0.113.9", 50_000)) + part(4, "CN=client")
    if certificate:
        source += part(5, certificate)
    attributes = (
        part(1, source)
        + part(2, part(1, address("192.0.2.1", 443)))
        + part(4, time + part(2, http))
        + part(10, part(1, "virtual_host") + part(2, "api"))
        + part(11, b"")
    )
    return part(1, attributes)


class Verdict(NamedTuple):
    """What Envoy does with a CheckResponse.

    Attributes:
        admitted: whether the request goes on to the API.
        status: of the answer to the client, if it does not.
        headers: of that answer; or what the API's answer gets in addition.
        body: of that answer.
        set: headers that the request gets on its way to the API.
        removed: headers that it loses, last of all.
    """

    admitted: bool
    status: int
    headers: Headers
    body: str
    set: Headers
    removed: tuple[str, ...]

    def passed_on(self, headers: Iterable[tuple[str, str]]) -> Headers:
        """The headers that reach the API."""
        names = {name for name, _ in self.set}
        kept = [one for one in headers if one[0] not in names]
        return tuple(one for one in (*kept, *self.set) if one[0] not in self.removed)


def fields(octets: bytes) -> list[tuple[int, int | bytes]]:
    """A message taken apart: number and content of each field."""
    found: list[tuple[int, int | bytes]] = []
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            octet = octets[at]
            at += 1
            value |= (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                return value

    while at < len(octets):
        key = number()
        if key & 7 == 0:
            found.append((key >> 3, number()))
        else:
            assert key & 7 == 2
            length = number()
            found.append((key >> 3, octets[at : at + length]))
            at += length
    return found


def messages(octets: bytes, number: int) -> list[bytes]:
    return [content for one, content in fields(octets) if one == number and type(content) is bytes]


def value(octets: bytes, number: int) -> int:
    return next((one for at, one in fields(octets) if at == number and type(one) is int), 0)


def options(octets: bytes, number: int) -> Headers:
    """Each HeaderValueOption of a field; all of them replace what was there."""
    found = []
    for option in messages(octets, number):
        (header,) = messages(option, 1)
        assert value(option, 3) == 2  # OVERWRITE_IF_EXISTS_OR_ADD
        (name,), texts = messages(header, 1), messages(header, 2)
        found.append((name.decode(), texts[0].decode() if texts else ""))
    return tuple(found)


def verdict(octets: bytes) -> Verdict:
    """A CheckResponse as Envoy reads it."""
    (status,) = messages(octets, 1)
    if value(status, 1) == 0:
        (ok,) = messages(octets, 3)
        removed = tuple(one.decode() for one in messages(ok, 5))
        return Verdict(True, 200, options(ok, 6), "", options(ok, 2), removed)
    (denied,) = messages(octets, 2)
    (http,) = messages(denied, 1)
    body = b"".join(messages(denied, 3)).decode()
    return Verdict(False, value(http, 1), options(denied, 2), body, (), ())
