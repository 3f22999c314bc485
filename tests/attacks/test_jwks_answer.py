"""Family JWKS: what is answered. Real TLS servers on loopback that do what no issuer should."""

import asyncio
import gzip
import socket
import threading
import zlib
from pathlib import Path
from time import perf_counter
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fetching import (
    DEADLINE,
    KEYS,
    MAX_BODY,
    NOISE,
    URL,
    deaf,
    get,
    in_time,
    only,
    refused,
    speaking,
)
from key_server import (
    Behaviour,
    KeyServer,
    Names,
    by_path,
    drip,
    endless,
    hang_up,
    octets,
    silent,
    whole,
)
from portvakt.net.address import CheckedAddresses, FetchError, Reach
from portvakt.net.answer import Fetched
from portvakt.net.fetch import Fetch

#: Octets that lie in the buffers of the two sockets when the client stops to read.
BUFFERS: Final = 10_000_000

OK: Final = b"HTTP/1.1 200 OK\r\n"


# JWKS-06, JWKS-07: too much


ENDLESS: Final[dict[str, bytes]] = {
    "stated": OK + b"Content-Length: 10737418240\r\n\r\n",
    "stated twice": OK + b"Content-Length: 10737418240, 10737418240\r\n\r\n",
    "stated by one octet too many": OK + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1),
    "until the end": OK + b"\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n",
}


@pytest.mark.attack("JWKS-06")
@pytest.mark.parametrize("beginning", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_body_is_given_up(beginning: bytes, unhurried: Fetch, server: KeyServer) -> None:
    server.answer = endless(beginning, bytes(65536))
    assert refused(unhurried).reason == f"the answer is longer than {MAX_BODY} octets"
    server.wait_until_idle()
    assert server.sent < MAX_BODY + BUFFERS


@pytest.mark.attack("JWKS-06")
@pytest.mark.parametrize("size", [1, 10, 65536])
def test_an_endless_body_of_pieces_is_given_up(
    size: int, hurried: Fetch, server: KeyServer
) -> None:
    chunk = b"%x\r\n%b\r\n" % (size, bytes(size))
    beginning = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    server.answer = endless(beginning, chunk * (65536 // size))
    assert in_time(hurried).reason in {
        f"the answer is longer than {MAX_BODY} octets",
        f"no complete answer within {DEADLINE} s",
    }


@pytest.mark.twin("JWKS-06")
@pytest.mark.parametrize("length", [0, 1, MAX_BODY - 1, MAX_BODY])
def test_a_body_of_the_greatest_length_is_read(
    length: int, unhurried: Fetch, server: KeyServer
) -> None:
    body = b"k" * length
    chunked = b"%x\r\n%b\r\n" % (length, body) if body else b""
    for answer in (
        whole(body),
        octets(OK + b"\r\n" + body),
        octets(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunked + b"0\r\n\r\n"),
    ):
        server.answer = answer
        assert get(unhurried).body == body


def bomb(layers: int) -> bytes:
    body = bytes(10_000_000)
    for _ in range(layers):
        body = gzip.compress(body, mtime=0)  # Else two of them differ when the second turns.
    return body


@pytest.mark.attack("JWKS-07")
@pytest.mark.parametrize(
    ("codings", "body"),
    [
        (["gzip"], bomb(1)),
        (["GZIP"], bomb(1)),
        (["x-gzip"], bomb(1)),
        (["gzip, gzip"], bomb(2)),
        (["gzip", "gzip"], bomb(2)),
        (["identity, gzip"], bomb(1)),
        (["identity", "gzip"], bomb(1)),
        (["gzip"] * 90, bomb(1)),
        (["deflate"], zlib.compress(bytes(10_000_000))),
        (["br"], b"\x1b"),
        (["zstd"], b"\x28\xb5\x2f\xfd"),
        (["compress"], b""),
        (["aws-chunked"], b""),
        (["identity;q=1"], b""),
    ],
)
def test_a_compressed_answer_is_refused_unread(
    codings: list[str], body: bytes, unhurried: Fetch, server: KeyServer
) -> None:
    server.answer = whole(body, headers=[("Content-Encoding", coding) for coding in codings])
    assert refused(unhurried).reason == "the answer is compressed, which was not asked for"
    assert ("accept-encoding", "identity") in server.requests[0].headers


@pytest.mark.attack("JWKS-07")
@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"deflate", b"identity", b"x"])
def test_a_transfer_that_is_compressed_is_refused(
    coding: bytes, unhurried: Fetch, server: KeyServer
) -> None:
    server.answer = octets(OK + b"Transfer-Encoding: " + coding + b"\r\n\r\n" + bomb(1))
    assert refused(unhurried).reason == "the answer is not HTTP as it should be"


@pytest.mark.twin("JWKS-07")
def test_an_answer_that_is_not_compressed_is_read_as_it_is(
    unhurried: Fetch, server: KeyServer
) -> None:
    for headers in ([], [("Content-Encoding", "identity")], [("Content-Encoding", "")]):
        server.answer = whole(KEYS, headers=headers)
        assert get(unhurried).body == KEYS
    # Nothing looks into the body either.
    server.answer = whole(bomb(1))
    assert get(unhurried).body == bomb(1)


# JWKS-08: too slow


SLOW: Final[dict[str, Behaviour]] = {
    "silent": silent,
    "slow status": drip(OK, every=0.1),
    "slow headers": drip(OK + b"Content-Length: 2\r\n\r\n{}", every=0.1),
    "slow headers after a fast status": drip(b"X-A: b\r\n" * 100, every=0.01),
    "headers without an end": drip(b"", every=0, then=OK + b"Content-Length: 2\r\n"),
    "slow body": drip(b"", every=0, then=OK + b"Content-Length: 100\r\n\r\n{"),
    "very slow body": drip(OK + b"Content-Length: 100\r\n\r\n" + bytes(100), every=0.005),
    "slow chunk": drip(b"", every=0, then=OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"),
    "no last chunk": drip(b"", every=0, then=OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"),
    "slow trailers": drip(
        b"", every=0, then=OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n"
    ),
    "only preliminary answers": endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10),
    "continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.attack("JWKS-08")
@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW)
def test_an_answer_that_does_not_end_in_time_is_given_up(
    answer: Behaviour, hurried: Fetch, server: KeyServer
) -> None:
    server.answer = answer
    assert in_time(hurried).reason == f"no complete answer within {DEADLINE} s"
    server.wait_until_idle()


@pytest.mark.attack("JWKS-08")
def test_a_handshake_that_does_not_end_in_time_is_given_up(names: Names, hurried: Fetch) -> None:
    with KeyServer(silent, plain=True) as server:  # It waits for a request, and TLS is none.
        names.servers = {"issuer.test": server}
        assert in_time(hurried).reason == f"no complete answer within {DEADLINE} s"
        server.wait_until_idle()


@pytest.mark.attack("JWKS-08")
def test_a_connection_that_is_not_accepted_in_time_is_given_up(ca_file: Path) -> None:
    with deaf() as address:
        fetch = Fetch(only(address), ca_file=ca_file, timeout=DEADLINE)
        assert in_time(fetch).reason == f"no complete answer within {DEADLINE} s"


@pytest.mark.attack("JWKS-08")
def test_a_name_that_is_not_resolved_in_time_is_given_up(
    ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        released.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    fetch = Fetch(CheckedAddresses(Reach()), ca_file=ca_file, timeout=DEADLINE)

    async def main() -> None:
        begun = perf_counter()
        with pytest.raises(FetchError, match="no complete answer"):
            await fetch.get(URL, accept="*/*")
        assert perf_counter() - begun < DEADLINE + NOISE
        released.set()

    asyncio.run(main())


@pytest.mark.twin("JWKS-08")
def test_an_answer_that_is_slow_but_in_time_is_read(unhurried: Fetch, server: KeyServer) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"
    server.answer = drip(early + OK + b"Content-Length: 12\r\n\r\n" + KEYS, every=0.001)
    assert get(unhurried).body == KEYS


HEADERS: Final[dict[str, bytes]] = {
    "very many": b"X-A: b\r\n",
    "one without an end": b"a",
    "continued without an end": b"X-A: b\r\n a\r\n",
    "empty lines": b"\r\n",
}


@pytest.mark.attack("JWKS-06", "JWKS-08")
@pytest.mark.parametrize("piece", HEADERS.values(), ids=HEADERS)
def test_headers_without_an_end_are_given_up(
    piece: bytes, unhurried: Fetch, server: KeyServer
) -> None:
    beginning = b"" if piece == b"\r\n" else OK + b"X-B: c"
    server.answer = endless(beginning, piece * 1000)
    assert refused(unhurried).reason == "the answer is not HTTP as it should be"
    server.wait_until_idle()
    assert server.sent < BUFFERS


@pytest.mark.attack("JWKS-06")
@pytest.mark.parametrize(
    "headers", [[("X", "y")] * 101, [("X", "y" * 33_000)], [("X" * 9_000, "y")] * 4]
)
def test_too_many_headers_are_refused(
    headers: list[tuple[str, str]], unhurried: Fetch, server: KeyServer
) -> None:
    server.answer = whole(KEYS, headers=headers)
    assert refused(unhurried).reason == "the answer has too many headers"


@pytest.mark.twin("JWKS-06")
def test_many_headers_are_kept_in_order(unhurried: Fetch, server: KeyServer) -> None:
    server.answer = whole(KEYS, headers=[("X-Number", f"{n} æ") for n in range(99)])
    expected = tuple(("x-number", f"{n} æ") for n in range(99))
    assert get(unhurried).headers == (("content-length", "12"), *expected)


# JWKS-12: no document


@pytest.mark.attack("JWKS-12")
@pytest.mark.parametrize(
    "status", [201, 202, 203, 204, 205, 206, 226, 299, 400, 401, 404, 500, 502, 999]
)
def test_only_200_is_an_answer(status: int, unhurried: Fetch, server: KeyServer) -> None:
    server.answer = whole(b"" if status == 204 else KEYS, status=status)
    error = refused(unhurried)
    assert (error.reason, error.retry_after) == (f"the server answered {status}", None)


@pytest.mark.attack("JWKS-12", "JWKS-06")
@pytest.mark.parametrize("status", [404, 500])
def test_the_body_of_another_status_is_not_read(
    status: int, unhurried: Fetch, server: KeyServer
) -> None:
    server.answer = endless(b"HTTP/1.1 %d No\r\n\r\n" % status, bytes(65536))
    assert refused(unhurried).reason == f"the server answered {status}"
    server.wait_until_idle()
    assert server.sent < BUFFERS


@pytest.mark.attack("JWKS-12")
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_busy_may_say_when_to_ask_again(
    status: int, unhurried: Fetch, server: KeyServer
) -> None:
    server.answer = whole(status=status, headers=[("Retry-After", "120")])
    assert refused(unhurried).retry_after == 120.0
    server.answer = whole(status=status, headers=[("Retry-After", "never")])
    assert refused(unhurried).retry_after is None
    server.answer = whole(status=500, headers=[("Retry-After", "120")])
    assert refused(unhurried).retry_after is None


@pytest.mark.attack("JWKS-12")
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (hang_up, "the answer is not HTTP as it should be"),
        (octets(OK), "the answer is not HTTP as it should be"),
        (octets(OK + b"Content-Length: 100\r\n\r\n{}"), "the answer is not HTTP as it should be"),
        (octets(OK + b"Content-Length: -1\r\n\r\n{}"), "the answer is not HTTP as it should be"),
        (
            octets(OK + b"Content-Length: " + b"1" * 21 + b"\r\n\r\n"),
            "the answer is not HTTP as it should be",
        ),
        (
            octets(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
            "the answer is not HTTP as it should be",
        ),
        (
            octets(OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n"),
            "the answer is not HTTP as it should be",
        ),
        (
            octets(OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\n"),
            "the answer is not HTTP as it should be",
        ),
        (
            octets(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            "the answer is not HTTP as it should be",
        ),
        (octets(b"HTTP/2 200 OK\r\n\r\n"), "the answer is not HTTP as it should be"),
        (octets(b"SSH-2.0-OpenSSH_9.0\r\n"), "the answer is not HTTP as it should be"),
        (octets(OK + b"X\x00: y\r\n\r\n"), "the answer is not HTTP as it should be"),
    ],
)
def test_what_is_not_http_is_an_error(
    answer: Behaviour, why: str, unhurried: Fetch, server: KeyServer
) -> None:
    server.answer = answer
    assert refused(unhurried).reason == why


@pytest.mark.twin("JWKS-12")
def test_a_document_is_fetched_whatever_the_server_said_before(
    unhurried: Fetch, server: KeyServer
) -> None:
    for status in (204, 500, 503):
        server.answer = whole(status=status)
        refused(unhurried)
    server.answer = by_path({"/jwks": whole(KEYS)})
    assert get(unhurried) == Fetched(
        200, (("content-length", "12"), ("content-type", "application/json")), KEYS
    )


# DOS-09: what nobody thought of


PIECES: Final = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: \xff\r\n",
        b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        b"Upgrade: h2c\r\nConnection: upgrade\r\n",
        b"\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"hello",
        b": \x00\r\n",
    ]
)


@pytest.mark.attack("DOS-09")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES | st.binary(max_size=20), max_size=6).map(b"".join))
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
def test_whatever_a_server_answers_there_is_an_answer_or_a_fetch_error(
    hurried: Fetch, server: KeyServer, answer: bytes
) -> None:
    server.answer = octets(answer)
    try:
        found = get(hurried)
    except FetchError:
        return
    assert found.status == 200
    assert found.body in answer


@pytest.mark.attack("DOS-09")
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40) | st.binary(max_size=40).map(b"\x16\x03\x03\x00\x2a\x02".__add__))
def test_whatever_speaks_instead_of_tls_there_is_a_fetch_error(
    ca_file: Path, answer: bytes
) -> None:
    with speaking(answer) as addresses:
        refused(Fetch(addresses, ca_file=ca_file, timeout=DEADLINE))
