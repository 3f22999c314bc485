"""One exchange: where it goes, what it leaves behind, and how it is set up."""

import asyncio
import base64
import gc
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from fetching import DEADLINE, KEYS, MAX_BODY, URL, deaf, get, in_time, only, refused
from key_server import (
    Behaviour,
    Gate,
    KeyServer,
    Names,
    by_path,
    certificate,
    drip,
    endless,
    hang_up,
    in_turn,
    octets,
    silent,
    tunnel,
    whole,
)
from portvakt import ConfigurationError
from portvakt.net.address import CheckedAddresses, FetchError, Reach
from portvakt.net.fetch import Fetch

FORM: Final = [
    ("Content-Type", "application/x-www-form-urlencoded"),
    ("Authorization", "Basic eA=="),
]


# What is sent


def test_a_request_may_have_a_body_and_headers(unhurried: Fetch, server: KeyServer) -> None:
    server.answer = whole(b'{"active": false}')

    async def post() -> bytes:
        answer = await unhurried.send(
            "POST", URL, accept="application/json", headers=FORM, content=b"token=x"
        )
        return answer.body

    assert asyncio.run(post()) == b'{"active": false}'
    assert server.requests[0].method == "POST"
    assert server.requests[0].body == b"token=x"
    assert dict(server.requests[0].headers) == {
        "host": "issuer.test",
        "user-agent": "portvakt",
        "accept": "application/json",
        "accept-encoding": "identity",
        "connection": "close",
        "content-type": "application/x-www-form-urlencoded",
        "authorization": "Basic eA==",
        "content-length": "7",
    }


def test_other_statuses_are_answers_where_they_are_wanted(
    unhurried: Fetch, server: KeyServer
) -> None:
    server.answer = whole(b'{"error": "invalid_grant"}', status=400)

    async def post() -> tuple[int, bytes]:
        answer = await unhurried.send("POST", URL, accept="*/*", content=b"a", accepted={200, 400})
        return answer.status, answer.body

    assert asyncio.run(post()) == (400, b'{"error": "invalid_grant"}')


@pytest.mark.parametrize(
    "headers", [[("X", "a\r\nY: b")], [("X\r\nY", "b")], [("X", "\x00")], [("X", "ø")], [("", "")]]
)
def test_headers_that_are_none_are_an_error(
    headers: Sequence[tuple[str, str]], unhurried: Fetch, server: KeyServer
) -> None:
    with pytest.raises(FetchError):
        asyncio.run(unhurried.send("GET", URL, accept="*/*", headers=headers))
    assert server.requests == []


def test_a_large_request_to_a_server_that_does_not_read_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fetch = Fetch(CheckedAddresses(Reach(loopback=True)), loopback_http=True, timeout=DEADLINE)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(FetchError, match="no complete answer"):
            asyncio.run(fetch.send("POST", url, accept="*/*", content=bytes(50_000_000)))


# Where it goes


def closed() -> tuple[str, int]:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: tuple[str, int] = listener.getsockname()
    return address


def test_the_addresses_of_a_name_are_tried_in_turn(ca_file: Path, server: KeyServer) -> None:
    addresses = only(closed(), closed(), ("127.0.0.1", server.port), closed())
    assert get(Fetch(addresses, ca_file=ca_file)).body == KEYS


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    ca_file: Path, server: KeyServer
) -> None:
    with deaf() as address:
        addresses = only(address, ("127.0.0.1", server.port))
        assert get(Fetch(addresses, ca_file=ca_file, timeout=1.0)).body == KEYS


def test_when_nobody_listens_there_is_no_connection(ca_file: Path) -> None:
    fetch = Fetch(only(closed(), closed()), ca_file=ca_file)
    assert refused(fetch).reason == "no connection could be made"


def test_a_server_that_asks_for_a_certificate_and_gets_none_is_an_error(
    names: Names, unhurried: Fetch
) -> None:
    tls = certificate("issuer.test")
    tls.verify_mode = ssl.CERT_REQUIRED
    with KeyServer(whole(KEYS), tls=tls) as server:
        names.servers = {"issuer.test": server}
        # In TLS 1.3 the server says so when the handshake is over for us.
        assert refused(unhurried).reason in {
            "TLS failed (TLSV13_ALERT_CERTIFICATE_REQUIRED)",
            "the connection broke off",
            "the answer is not HTTP as it should be",
        }
        assert server.requests == []


@pytest.mark.parametrize(
    "failure", [KeyError("issuer.test"), OSError(), ValueError(), RuntimeError]
)
def test_a_resolver_with_a_fault_of_its_own_is_a_fetch_error(
    failure: Exception, ca_file: Path
) -> None:
    async def addresses(host: str, port: int) -> Sequence[tuple[str, int]]:
        assert (host, port) == ("issuer.test", 443)
        raise failure

    assert refused(Fetch(addresses, ca_file=ca_file)).reason.startswith("the exchange failed (")


def test_an_error_keeps_nothing_of_what_went_wrong_below(
    unhurried: Fetch, server: KeyServer
) -> None:
    server.answer = octets(b"HTTP/1.1 200 OK\r\nsecret\x00: secret\r\n\r\n")
    error = refused(unhurried)
    assert (error.__cause__, error.__context__) == (None, None)


# Through a proxy


@pytest.fixture
def proxy(server: KeyServer) -> Iterator[KeyServer]:
    with KeyServer(tunnel(server), plain=True) as proxy:
        yield proxy


async def nowhere(host: str, port: int) -> Sequence[tuple[str, int]]:
    raise AssertionError(f"{host}:{port} was to be resolved here")


def test_behind_a_proxy_the_proxy_resolves_and_the_server_shows_who_it_is(
    ca_file: Path, server: KeyServer, proxy: KeyServer
) -> None:
    fetch = Fetch(nowhere, ca_file=ca_file, proxy=f"http://127.0.0.1:{proxy.port}")
    assert get(fetch).body == KEYS
    assert proxy.requests[0].head.startswith(b"CONNECT issuer.test:443 HTTP/1.1\r\n")
    assert "authorization" not in proxy.requests[0].head.decode().lower()
    assert dict(server.requests[0].headers)["host"] == "issuer.test"
    assert "another name" in refused(fetch, "https://other.test/").reason


def test_a_proxy_may_want_credentials_and_only_the_proxy_gets_them(
    ca_file: Path, server: KeyServer, proxy: KeyServer
) -> None:
    url = f"http://me:p%40ss@127.0.0.1:{proxy.port}/"
    assert get(Fetch(nowhere, ca_file=ca_file, proxy=url)).body == KEYS
    expected = "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert dict(proxy.requests[0].headers)["proxy-authorization"] == expected
    assert b"me:" not in server.requests[0].head
    assert "uthorization" not in server.requests[0].head.decode()


def test_a_proxy_may_be_spoken_to_over_tls(
    ca_file: Path, server: KeyServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # What the environment trusts is not asked for the proxy either.
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    with KeyServer(tunnel(server), tls=certificate("localhost")) as proxy:
        url = f"https://localhost:{proxy.port}"
        assert get(Fetch(nowhere, ca_file=ca_file, proxy=url)).body == KEYS
        assert "not trusted" in refused(Fetch(nowhere, proxy=url)).reason


@pytest.mark.parametrize("status", [403, 407, 502])
def test_what_a_proxy_answers_is_said(status: int, ca_file: Path, proxy: KeyServer) -> None:
    proxy.answer = whole(b"secret", status=status)
    fetch = Fetch(nowhere, ca_file=ca_file, proxy=f"http://127.0.0.1:{proxy.port}")
    assert refused(fetch).reason == f"the proxy answered {status}"


def test_a_proxy_that_does_not_answer_is_given_up(ca_file: Path, proxy: KeyServer) -> None:
    proxy.answer = silent
    url = f"http://127.0.0.1:{proxy.port}"
    fetch = Fetch(nowhere, ca_file=ca_file, proxy=url, timeout=DEADLINE)
    assert in_time(fetch).reason == f"no complete answer within {DEADLINE} s"
    proxy.wait_until_idle()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "169.254.169.254", "[::1]", "[fd00:ec2::254]", "127.1"]
)
def test_an_address_that_is_not_dialled_is_not_asked_of_a_proxy_either(
    host: str, ca_file: Path, proxy: KeyServer
) -> None:
    url = f"http://127.0.0.1:{proxy.port}"
    refused(Fetch(CheckedAddresses(Reach()), ca_file=ca_file, proxy=url), f"https://{host}/")
    assert proxy.connections == 0


def test_a_public_address_may_be_asked_of_a_proxy(ca_file: Path) -> None:
    tls = certificate("2606:4700::1111", "1.1.1.1")
    with (
        KeyServer(whole(KEYS), tls=tls) as server,
        KeyServer(tunnel(server), plain=True) as proxy,
    ):
        url = f"http://127.0.0.1:{proxy.port}"
        fetch = Fetch(CheckedAddresses(Reach()), ca_file=ca_file, proxy=url)
        assert get(fetch, "https://[2606:4700::1111]/").body == KEYS
        assert get(fetch, "https://1.1.1.1/").body == KEYS
        lines = [request.head.split(b"\r\n")[0] for request in proxy.requests]
        assert lines == [
            b"CONNECT [2606:4700::1111]:443 HTTP/1.1",
            b"CONNECT 1.1.1.1:443 HTTP/1.1",
        ]


def test_this_machine_is_not_looked_for_behind_a_proxy(proxy: KeyServer) -> None:
    url = f"http://127.0.0.1:{proxy.port}"
    fetch = Fetch(CheckedAddresses(Reach(loopback=True)), proxy=url, loopback_http=True)
    with KeyServer(whole(KEYS), plain=True) as server:
        assert get(fetch, f"http://localhost:{server.port}/").body == KEYS
    assert proxy.connections == 0


# What it leaves behind


def left_behind(server: KeyServer) -> list[socket.socket]:
    """The client's ends of connections to a server that are still open."""
    # By its type: what is made when it is first needed would be made to be asked what it is.
    every = [one for one in gc.get_objects() if issubclass(type(one), socket.socket)]
    sockets: list[socket.socket] = every
    inet = [one for one in sockets if one.fileno() != -1 and one.family == socket.AF_INET]
    return [one for one in inet if _peer(one) == ("127.0.0.1", server.port)]


def _peer(one: socket.socket) -> object:
    try:
        return one.getpeername()
    except OSError:
        return None


ENDS: Final[dict[str, Behaviour]] = {
    "an answer": whole(KEYS),
    "an answer until the end": octets(b"HTTP/1.1 200 OK\r\n\r\n{}"),
    "another status": whole(KEYS, status=500),
    "too long": whole(bytes(MAX_BODY + 1)),
    "endless": endless(b"HTTP/1.1 200 OK\r\n\r\n", bytes(65536)),
    "compressed": whole(KEYS, headers=[("Content-Encoding", "gzip")]),
    "no answer": hang_up,
    "no end": silent,
    "no end of the body": drip(
        b"", every=0, then=b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}"
    ),
    "keep-alive": whole(KEYS, headers=[("Connection", "keep-alive")]),
}


@pytest.mark.parametrize("answer", ENDS.values(), ids=ENDS)
def test_nothing_is_left_open_however_it_ends(
    answer: Behaviour, hurried: Fetch, server: KeyServer
) -> None:
    server.answer = answer

    async def main() -> None:
        with suppress(FetchError):
            await hurried.get(URL, accept="*/*")
        assert left_behind(server) == []
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("answer", [silent, ENDS["no end of the body"]])
def test_nothing_is_left_open_when_it_is_cancelled(
    plain: bool, answer: Behaviour, names: Names, unhurried: Fetch
) -> None:
    # A server without TLS leaves the handshake hanging.
    with KeyServer(answer, plain=plain) as server:
        names.servers = {"issuer.test": server}

        async def main() -> None:
            fetching = asyncio.create_task(unhurried.get(URL, accept="*/*"))
            await asyncio.to_thread(server.wait_for, 0 if plain else 1, connections=1)
            assert len(left_behind(server)) == 1
            fetching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await fetching
            assert left_behind(server) == []
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(main())
        server.wait_until_idle()


def test_a_cancelled_wait_for_a_name_leaves_nothing(ca_file: Path) -> None:
    cancelled = []

    async def lookup(*_: object) -> Sequence[str]:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return []

    fetch = Fetch(CheckedAddresses(Reach(), lookup), ca_file=ca_file, timeout=DEADLINE)
    in_time(fetch)
    assert cancelled == [True]


def test_many_exchanges_at_once_do_not_disturb_each_other(
    unhurried: Fetch, server: KeyServer
) -> None:
    gate = Gate(by_path({f"/{n}": whole(b"%d" % n) for n in range(50)}))
    server.answer = gate

    async def main() -> list[bytes]:
        fetching = [
            asyncio.create_task(unhurried.get(f"https://issuer.test/{n}", accept="*/*"))
            for n in range(50)
        ]
        await asyncio.to_thread(server.wait_for, 50)
        gate.open()
        return [answer.body for answer in await asyncio.gather(*fetching)]

    assert asyncio.run(main()) == [b"%d" % n for n in range(50)]


def test_after_an_outage_the_same_fetch_works_again(unhurried: Fetch, server: KeyServer) -> None:
    server.answer = in_turn(whole(b"1"), whole(b"2"))
    assert get(unhurried).body == b"1"
    server.stop()
    assert refused(unhurried).reason == "no connection could be made"
    server.start()
    assert get(unhurried).body == b"2"
    assert get(unhurried).body == b"2"


# How it is set up


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff\x00"])
def test_a_file_without_certificates_is_a_configuration_error(
    content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"ca\.pem: no file of PEM certificates"):
        Fetch(nowhere, ca_file=path)


@pytest.mark.parametrize(
    "proxy",
    ["", "proxy.test:3128", "socks5://proxy.test", "ftp://proxy.test", "http://", "http://a:x",
     "http://a\n", "//proxy.test", "http://ø\udcff"],
)  # fmt: skip
def test_what_is_no_proxy_is_a_configuration_error(proxy: str) -> None:
    with pytest.raises(ConfigurationError, match="proxy: "):
        Fetch(nowhere, proxy=proxy)


def test_importing_it_costs_nothing_of_what_it_may_need() -> None:
    script = (
        "import sys, portvakt.net.fetch\n"
        "print({'httpx2', 'httpcore2', 'asyncio', 'ssl', 'socket', 'anyio'} & set(sys.modules))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.stdout == "set()\n"


def test_without_any_certificates_of_the_system_those_of_the_file_are_enough(
    ca_file: Path, names: Names, server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.servers = {"issuer.test": server}

    nothing = ssl.DefaultVerifyPaths("", "", "", "/nowhere", "", "/nowhere")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nothing)
    monkeypatch.setattr("httpcore2._ssl.CA_FILE_CANDIDATES", [])
    assert get(Fetch(names, ca_file=ca_file)).body == KEYS
    assert "authority that is not trusted" in refused(Fetch(names)).reason
