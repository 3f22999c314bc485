"""Family JWKS: who is asked, and what for. Real TLS servers on loopback, not what they seem."""

import datetime as dt
import re
import socket
import ssl
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fetching import DEADLINE, KEYS, get, refused, speaking
from key_server import (
    KeyServer,
    Names,
    certificate,
    hang_up,
    whole,
    write_ca,
)
from portvakt.net.address import Addresses, CheckedAddresses, FetchError, Reach
from portvakt.net.fetch import Fetch

#: Nothing of it is dialled: a server of ours stands in for it.
PUBLIC: Final = "93.184.216.34"


# JWKS-01: TLS


@pytest.mark.attack("JWKS-01")
def test_http_is_refused_before_anything_is_resolved(
    names: Names, unhurried: Fetch, server: KeyServer
) -> None:
    assert refused(unhurried, "http://issuer.test/jwks").reason == "the URL is not https"
    assert (names.asked, server.connections) == ([], 0)


@pytest.mark.attack("JWKS-01", "JWKS-05")
@pytest.mark.parametrize("host", ["issuer.test", "localhost.evil", "127.0.0.1.evil", "localhost"])
def test_http_that_is_allowed_to_this_machine_goes_nowhere_else(host: str, ca_file: Path) -> None:
    asked = []

    async def lookup(name: str, port: int) -> Sequence[str]:
        asked.append((name, port))
        return ["127.0.0.1", PUBLIC]

    addresses = CheckedAddresses(Reach(loopback=True), lookup)
    fetch = Fetch(addresses, ca_file=ca_file, loopback_http=True, timeout=DEADLINE)
    assert refused(fetch, f"http://{host}/").reason == "http is allowed to loopback addresses only"
    assert asked == [(host, 80)]


@pytest.mark.twin("JWKS-01")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_http_to_this_machine_is_fetched_where_it_is_allowed(host: str) -> None:
    fetch = Fetch(CheckedAddresses(Reach(loopback=True)), loopback_http=True)
    with KeyServer(whole(KEYS), plain=True) as server:
        assert get(fetch, f"http://{host}:{server.port}/jwks").body == KEYS
        assert server.requests[0].headers[0] == ("host", f"{host}:{server.port}")


def self_signed() -> ssl.SSLContext:
    """A certificate for the right name, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer.test")])
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("issuer.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ) + signed.public_bytes(serialization.Encoding.PEM)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with trustme.Blob(pem).tempfile() as path:
        context.load_cert_chain(path)
    return context


def in_days(begin: int, end: int) -> ssl.SSLContext:
    now = dt.datetime.now(dt.UTC)
    return certificate(
        "issuer.test",
        not_before=now + dt.timedelta(days=begin),
        not_after=now + dt.timedelta(days=end),
    )


def old_tls() -> ssl.SSLContext:
    """A server that speaks TLS 1.0 and 1.1, and would with any client that does."""
    context = certificate("issuer.test")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


CERTIFICATES: Final[dict[str, tuple[Callable[[], ssl.SSLContext], str]]] = {
    "other name": (lambda: certificate("other.test"), "certificate is refused: for another name"),
    "sub name": (lambda: certificate("a.issuer.test"), "certificate is refused: for another name"),
    "address": (lambda: certificate("127.0.0.1"), "certificate is refused: for another name"),
    "other authority": (
        lambda: certificate("issuer.test", signer=trustme.CA()),
        "certificate is refused: signed by an authority that is not trusted",
    ),
    "self-signed": (self_signed, "certificate is refused: self-signed"),
    "expired": (lambda: in_days(-2, -1), "certificate is refused: expired"),
    "not yet": (lambda: in_days(1, 2), "certificate is refused: not valid yet"),
    "TLS 1.1": (old_tls, "TLS failed|the connection broke off"),
}


@pytest.mark.attack("JWKS-01")
@pytest.mark.parametrize(("tls", "why"), CERTIFICATES.values(), ids=CERTIFICATES)
def test_a_server_that_cannot_show_who_it_is_gets_no_request(
    tls: Callable[[], ssl.SSLContext], why: str, names: Names, unhurried: Fetch
) -> None:
    with KeyServer(whole(KEYS), tls=tls()) as server:
        names.servers = {"issuer.test": server}
        assert re.search(why, refused(unhurried).reason)
        assert server.requests == []


@pytest.mark.attack("JWKS-01")
def test_an_address_in_the_url_needs_a_certificate_for_that_address(ca_file: Path) -> None:
    fetch = Fetch(CheckedAddresses(Reach(loopback=True)), ca_file=ca_file)
    with KeyServer(whole(KEYS)) as server:
        error = refused(fetch, f"https://127.0.0.1:{server.port}/")
    assert error.reason == "the certificate is refused: for another address"


@pytest.mark.attack("JWKS-01")
def test_a_server_without_tls_is_refused(ca_file: Path) -> None:
    with speaking(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as addresses:
        assert "TLS failed" in refused(Fetch(addresses, ca_file=ca_file)).reason


@pytest.mark.twin("JWKS-01")
def test_a_server_that_shows_who_it_is_is_asked(ca_file: Path, names: Names) -> None:
    newest, only_12 = certificate("issuer.test"), certificate("issuer.test")
    newest.minimum_version = ssl.TLSVersion.TLSv1_3
    only_12.maximum_version = ssl.TLSVersion.TLSv1_2
    for tls in (newest, only_12):
        with KeyServer(whole(KEYS), tls=tls) as server:
            names.servers = {"issuer.test": server}
            assert get(Fetch(names, ca_file=ca_file)).body == KEYS
    fetch = Fetch(CheckedAddresses(Reach(loopback=True)), ca_file=ca_file)
    with KeyServer(whole(KEYS), tls=certificate("127.0.0.1")) as server:
        assert get(fetch, f"https://127.0.0.1:{server.port}/").body == KEYS


# JWKS-02: redirects


@pytest.mark.attack("JWKS-02")
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308, 399])
@pytest.mark.parametrize(
    "location",
    [
        "http://issuer.test/jwks",
        "https://other.test/jwks",
        "https://issuer.test/elsewhere",
        "/elsewhere",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
    ],
)
def test_no_redirect_is_followed(
    status: int, location: str, names: Names, unhurried: Fetch, server: KeyServer
) -> None:
    server.answer = whole(KEYS, status=status, headers=[("Location", location)])
    names.servers["other.test"] = server
    reason = refused(unhurried).reason
    assert reason == f"the server answered {status}, a redirect, and none is followed"
    assert [request.target for request in server.requests] == ["/jwks"]
    assert names.asked == ["issuer.test"]


@pytest.mark.twin("JWKS-02")
def test_an_answer_that_only_names_another_place_is_an_answer(
    unhurried: Fetch, server: KeyServer
) -> None:
    elsewhere = [("Location", "https://other.test/"), ("Refresh", "0; url=https://other.test/")]
    server.answer = whole(KEYS, headers=[*elsewhere, ("Link", "<https://other.test/>; rel=next")])
    assert get(unhurried).body == KEYS
    assert len(server.requests) == 1


# JWKS-03, JWKS-05: URLs


@pytest.mark.attack("JWKS-03")
@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "file:/etc/passwd",
        "ftp://issuer.test/jwks",
        "data:application/json,{}",
        "gopher://issuer.test/_GET",
        "jar:https://issuer.test/a!/b",
        "ws://issuer.test/",
        "wss://issuer.test/",
        "unix:/var/run/docker.sock",
        "httpss://issuer.test/",
        "https+unix://issuer.test/",
        "javascript:1",
        "//issuer.test/jwks",
        "/etc/passwd",
        "",
    ],
)
def test_any_other_scheme_is_refused(
    url: str, names: Names, unhurried: Fetch, server: KeyServer
) -> None:
    assert refused(unhurried, url).reason == "the URL is not https"
    assert (names.asked, server.connections) == ([], 0)


@pytest.mark.attack("JWKS-05")
@pytest.mark.parametrize(
    "url",
    [
        "https://good.test@issuer.test/",
        "https://good.test:443@issuer.test/",
        "https://issuer.test:pw@good.test/",
        "https://good.test\\@issuer.test/",
        "https://good.test\\.issuer.test/",
        "https:\\\\issuer.test\\",
        "https://issuer.test#.good.test/",
        "https://issuer.test/#",
        "https://issuer.test /",
        "https://issuer.test/\r\nX-Injected: 1",
        "https://issuer.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n",
        "https://issuer.test\x00.good.test/",
        "https://issuer.test%00.good.test/",
        "https://issuer.test%2f.good.test/",
        "https://issuer.test./",
        "https://issuer..test/",
        "https://issuer\uff0etest/",
        "https://i\u017fsuer.test/",
        "https://issuer.test:443:444/",
        "https://issuer.test:99999/",
        "https://[issuer.test]/",
        "https:issuer.test",
        "https:///issuer.test/",
    ],
)
def test_a_url_that_parses_in_two_ways_is_refused(
    url: str, names: Names, unhurried: Fetch, server: KeyServer
) -> None:
    error = refused(unhurried, url)
    assert (names.asked, server.connections) == ([], 0)
    assert not {"good", "pw", "X-Injected"} & set(error.reason.replace(".", " ").split())


@pytest.mark.twin("JWKS-03", "JWKS-05")
@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://issuer.test/jwks", "/jwks"),
        ("HTTPS://Issuer.TEST:443/jwks", "/jwks"),
        ("https://issuer.test", "/"),
        ("https://issuer.test?a=b/@c", "/?a=b/@c"),
        (
            "https://issuer.test/@good.test/a:b;c=d/%2F..//?e=f&g",
            "/@good.test/a:b;c=d/%2F..//?e=f&g",
        ),
    ],
)
def test_an_honest_url_is_asked_for_as_it_is_written(
    url: str, target: str, unhurried: Fetch, server: KeyServer
) -> None:
    assert get(unhurried, url).body == KEYS
    assert server.requests[0].target == target
    assert server.requests[0].headers[0] == ("host", "issuer.test")


# JWKS-04: addresses


class AsIf:
    """The real check of addresses, and then a server of ours at the public ones it approved."""

    def __init__(self, checked: Addresses, server: KeyServer) -> None:
        self._checked = checked
        self._server = server

    async def __call__(self, host: str, port: int) -> Sequence[tuple[str, int]]:
        approved = await self._checked(host, port)
        assert [address for address, _ in approved] == [PUBLIC]
        return [("127.0.0.1", self._server.port)]


@pytest.mark.attack("JWKS-04")
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.2",
        "0.0.0.0",  # noqa: S104  asked for, not bound
        "169.254.169.254",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
        "[fe80::1]",
        "[fe80::1%25lo]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1.",
        "0",
        "①②⑦.⓪.⓪.①",
    ],
)
def test_an_address_inside_is_refused_in_every_form(host: str, ca_file: Path) -> None:
    fetch = Fetch(CheckedAddresses(Reach(), _unreachable), ca_file=ca_file)
    with KeyServer(whole(KEYS), tls=certificate("127.0.0.1")) as server:
        refused(fetch, f"https://{host}:{server.port}/")
        assert server.connections == 0


async def _unreachable(name: str, port: int) -> Sequence[str]:
    raise AssertionError(f"{name}:{port} was to be resolved")


@pytest.mark.attack("JWKS-04")
@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["0.0.0.0"],  # noqa: S104  likewise
        ["169.254.169.254", "127.0.0.1"],
        ["fe80::1%1", "::ffff:127.0.0.1"],
        ["10.0.0.1", "fd00::1"],
    ],
)
def test_a_name_that_leads_inside_is_refused(answers: list[str], ca_file: Path) -> None:
    async def lookup(*_: object) -> Sequence[str]:
        return answers

    fetch = Fetch(CheckedAddresses(Reach(), lookup), ca_file=ca_file)
    with KeyServer(whole(KEYS)) as server:
        refused(fetch, f"https://issuer.test:{server.port}/")
        assert server.connections == 0


@pytest.mark.attack("JWKS-04")
@pytest.mark.twin("JWKS-04")
def test_a_name_that_leads_elsewhere_the_second_time_gains_nothing(
    ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([[PUBLIC, "127.0.0.1"], ["127.0.0.1"], [PUBLIC]])

    async def lookup(*_: object) -> Sequence[str]:
        return next(answers)

    # What is dialled is never a name, so there is no second answer within one exchange.
    def no_resolver(*asked: object, **_: object) -> None:
        raise AssertionError(asked)

    monkeypatch.setattr(socket, "getaddrinfo", no_resolver)
    with KeyServer(whole(KEYS)) as server:
        fetch = Fetch(AsIf(CheckedAddresses(Reach(), lookup), server), ca_file=ca_file)
        assert get(fetch).body == KEYS
        assert "127.0.0.1, a loopback address" in refused(fetch).reason
        assert get(fetch).body == KEYS
        assert server.connections == 2


# JWKS-24: what is sent


@pytest.mark.attack("JWKS-24")
def test_nothing_from_the_environment_is_sent_or_believed(
    names: Names, server: KeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = trustme.CA()
    evil.cert_pem.write_to_path(str(tmp_path / "evil.pem"))
    (tmp_path / ".netrc").write_text("default login me password secret\n", encoding="utf-8")
    (tmp_path / ".netrc").chmod(0o600)
    with KeyServer(hang_up, plain=True) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://me:secret@127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.lower(), f"http://me:secret@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "evil.pem"))
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "secrets"))
        ca_file = write_ca(tmp_path)

        assert get(Fetch(names, ca_file=ca_file)).body == KEYS
        with KeyServer(whole(KEYS), tls=certificate("issuer.test", signer=evil)) as liar:
            names.servers = {"issuer.test": liar}
            assert "authority that is not trusted" in refused(Fetch(names, ca_file=ca_file)).reason
            assert liar.requests == []
        # Nor is what the environment trusts trusted in place of the system's.
        monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
        names.servers = {"issuer.test": server}
        assert "authority that is not trusted" in refused(Fetch(names)).reason
        assert proxy.connections == 0
    assert len(server.requests) == 1
    assert "secret" not in server.requests[0].head.decode()
    assert not (tmp_path / "secrets").exists()


@pytest.mark.attack("JWKS-24")
def test_a_cookie_is_not_sent_back(unhurried: Fetch, server: KeyServer) -> None:
    cookie = ("Set-Cookie", "session=secret; Domain=issuer.test; Path=/")
    for status in (200, 401, 302):
        server.answer = whole(KEYS, status=status, headers=[cookie, ("WWW-Authenticate", "Basic")])
        try:
            get(unhurried)
        except FetchError:
            assert status != 200
    assert {request.head for request in server.requests} == {HEAD}


HEAD: Final = (
    b"GET /jwks HTTP/1.1\r\nHost: issuer.test\r\nUser-Agent: portvakt\r\n"
    b"Accept: application/json\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
)


@pytest.mark.twin("JWKS-24")
def test_what_is_sent_is_this_and_nothing_else(unhurried: Fetch, server: KeyServer) -> None:
    get(unhurried)
    get(unhurried)
    assert [request.head for request in server.requests] == [HEAD, HEAD]
    assert server.connections == 2
