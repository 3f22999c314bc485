"""What the WSGI middleware makes of an environ: paths, headers, peers and certificates."""

from __future__ import annotations

import socket
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from werkzeug.middleware.proxy_fix import ProxyFix

from certificates import der_of, issue, pem_of
from portvakt import ConfigurationError, Decision, Guard
from portvakt.adapters.wsgi import (
    GuardMiddleware,
    judgement_of,
    read_request,
    token_of,
)
from portvakt.policy.routes import path_of
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
CLIENT: Final = issue("client.test")


def environ_of(path: str = "/", **more: Any) -> dict[str, Any]:
    return {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, **more}


def read(path: str = "/", **more: Any) -> tuple[str, str | None]:
    request, flaw = read_request(environ_of(path, **more))
    return request.url, flaw


@pytest.mark.twin("HTTP-18")
@pytest.mark.parametrize(
    ("path", "more", "judged"),
    [
        ("/", {}, "/"),
        ("/a b", {}, "/a%20b"),
        ("/\xc3\xa6", {}, "/%C3%A6"),
        ("/a", {"QUERY_STRING": "x=%2f"}, "/a?x=%2f"),
        ("/a/b", {"REQUEST_URI": "/a%2fb"}, "/a%2fb"),
        ("/a/b", {"RAW_URI": "/a%2Fb?x", "QUERY_STRING": "x"}, "/a%2Fb?x"),
        ("/a", {"SCRIPT_NAME": "/v1"}, "/a"),
        ("/a", {"SCRIPT_NAME": "/v1", "REQUEST_URI": "/v1/a"}, "/a"),
        ("/a", {"SCRIPT_NAME": "/v1", "REQUEST_URI": "/%761/%61"}, "/%61"),
        ("/a", {"SCRIPT_NAME": "/v1", "REQUEST_URI": "/a"}, "/a"),
        ("/v1/a", {"SCRIPT_NAME": "/v1", "REQUEST_URI": "/v1/v1/a"}, "/v1/a"),
    ],
)
def test_the_path_is_the_applications(path: str, more: dict[str, str], judged: str) -> None:
    assert read(path, **more) == (judged, None)


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    ("path", "more", "flaw"),
    [
        ("", {}, "the target is not a path"),
        ("*", {}, "the target is not a path"),
        ("//a", {}, "two slashes"),
        ("//a", {"REQUEST_URI": "//a"}, "two slashes"),
        ("/a", {"REQUEST_URI": "//a"}, "REQUEST_URI is not what PATH_INFO"),
        ("/a", {"REQUEST_URI": "/b"}, "REQUEST_URI is not what PATH_INFO"),
        ("/a", {"REQUEST_URI": "/x/../a"}, "REQUEST_URI is not what PATH_INFO"),
        ("/a", {"RAW_URI": "/a", "REQUEST_URI": "/b"}, "REQUEST_URI is not what PATH_INFO"),
        ("/a", {"RAW_URI": "/b", "REQUEST_URI": "/a"}, "RAW_URI is not what PATH_INFO"),
        ("/a", {"REQUEST_URI": "http://h/a"}, "the target is not a path"),
        ("/a", {"REQUEST_URI": ""}, "the target is not a path"),
        ("/a", {"REQUEST_URI": "/a?x", "QUERY_STRING": "y"}, "another query"),
        ("/a", {"SCRIPT_NAME": "/v1", "REQUEST_URI": "/v2/a"}, "REQUEST_URI is not what"),
        ("/a", {"SCRIPT_NAME": "/v1", "REQUEST_URI": "/v1"}, "REQUEST_URI is not what"),
        ("/a\n", {}, "control character"),
        ("/\x00", {}, "control character"),
        ("/\xc2\x85", {}, "control character"),
        ("/\u0141", {}, "not as PEP 3333 has it"),
        ("/a", {"SCRIPT_NAME": "/\u0141"}, "not as PEP 3333 has it"),
        ("/a", {"REQUEST_URI": "/\u0141"}, "REQUEST_URI is not what PATH_INFO"),
        ("/a", {"REQUEST_METHOD": "get"}, "not in capitals"),
    ],
)
def test_what_can_be_read_in_two_ways_is_flawed(path: str, more: dict[str, str], flaw: str) -> None:
    found = read(path, **more)[1]
    assert found is not None
    assert flaw in found


@pytest.mark.attack("HTTP-18", "DOS-09")
@given(st.text(max_size=30), st.text(max_size=10), st.none() | st.text(max_size=40))
def test_whatever_is_judged_decodes_to_what_is_served(
    path: str, prefix: str, target: str | None
) -> None:
    more = {} if target is None else {"REQUEST_URI": target}
    query = "" if target is None else target.partition("?")[2]
    url, flaw = read(path, SCRIPT_NAME=prefix, QUERY_STRING=query, **more)
    if flaw is None:
        assert unquote_to_bytes(path_of(url).encode("latin-1")) == path.encode("latin-1")


def test_headers_are_what_the_server_made_of_them() -> None:
    environ = environ_of(
        HTTP_X_ONE="1", HTTP_AUTHORIZATION="Bearer a", CONTENT_TYPE="text/plain", CONTENT_LENGTH=""
    )
    assert read_request(environ)[0].headers == (
        ("x-one", "1"),
        ("authorization", "Bearer a"),
        ("content-type", "text/plain"),
    )


class Connection:
    """The connection that Gunicorn shows."""

    def __init__(self, family: int, certificate: bytes | None = None) -> None:
        self.family = family
        self._certificate = certificate

    def getpeercert(self, *, binary_form: bool) -> bytes | None:
        assert binary_form
        return self._certificate


@pytest.mark.attack("MTLS-03")
@pytest.mark.twin("MTLS-03")
@pytest.mark.parametrize(
    ("more", "peer"),
    [
        ({"REMOTE_ADDR": "192.0.2.1"}, "192.0.2.1"),
        ({"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": "10.0.0.1"}, "192.0.2.1"),
        ({"REMOTE_ADDR": "unix"}, None),
        ({"REMOTE_ADDR": ""}, None),
        ({}, None),
        ({"REMOTE_ADDR": "", "gunicorn.socket": Connection(socket.AF_UNIX)}, "unix"),
        ({"REMOTE_ADDR": "::1", "gunicorn.socket": Connection(socket.AF_INET6)}, "::1"),
        ({"REMOTE_ADDR": "::1", "HTTP_GUNICORN_SOCKET": "unix"}, "::1"),
    ],
)
def test_the_peer_is_who_is_connected(more: dict[str, Any], peer: str | None) -> None:
    assert read_request(environ_of(**more))[0].peer == peer


@pytest.mark.twin("MTLS-02")
def test_a_certificate_is_the_one_that_was_verified() -> None:
    verified = {"SSL_CLIENT_CERT": pem_of(CLIENT), "SSL_CLIENT_VERIFY": "SUCCESS"}
    assert read_request(environ_of(**verified))[0].client_certificate == der_of(CLIENT)
    shown: dict[str, Any] = {"gunicorn.socket": Connection(socket.AF_INET, der_of(CLIENT))}
    request, _ = read_request(environ_of(**shown))
    assert request.client_certificate == der_of(CLIENT)


@pytest.mark.attack("MTLS-02", "MTLS-03")
@pytest.mark.parametrize(
    "more",
    [
        {"SSL_CLIENT_CERT": pem_of(CLIENT)},
        {"SSL_CLIENT_CERT": pem_of(CLIENT), "SSL_CLIENT_VERIFY": "NONE"},
        {"SSL_CLIENT_CERT": pem_of(CLIENT), "SSL_CLIENT_VERIFY": "GENEROUS"},
        {"SSL_CLIENT_CERT": pem_of(CLIENT), "SSL_CLIENT_VERIFY": "FAILED:expired"},
        {"SSL_CLIENT_CERT": pem_of(CLIENT), "HTTP_SSL_CLIENT_VERIFY": "SUCCESS"},
        {"HTTP_SSL_CLIENT_CERT": pem_of(CLIENT), "SSL_CLIENT_VERIFY": "SUCCESS"},
        {"SSL_CLIENT_CERT": "", "SSL_CLIENT_VERIFY": "SUCCESS"},
    ],
)
def test_what_was_not_verified_is_no_certificate(more: dict[str, str]) -> None:
    request, flaw = read_request(environ_of(**more))
    assert (request.client_certificate, flaw) == (None, None)


@pytest.mark.parametrize("path", ["/", "*"])
def test_what_is_no_certificate_is_malformed(path: str) -> None:
    more = {"SSL_CLIENT_CERT": "x", "SSL_CLIENT_VERIFY": "SUCCESS"}
    _, flaw = read_request(environ_of(path, **more))
    assert flaw is not None
    # A flaw of the path is told first.
    assert flaw.startswith("the client certificate" if path == "/" else "the target")


class Recorded:
    """A server that notes what it is told."""

    def __init__(self) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.exc_info: tuple[Any, ...] = ()

    def __call__(self, status: str, headers: list[tuple[str, str]], *exc_info: Any) -> None:
        self.status, self.headers, self.exc_info = status, headers, exc_info


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    token = token_of(environ)
    start_response("200 OK", [("dpop-nonce", "own")] if environ["PATH_INFO"] == "/own" else [])
    return [b"" if token is None else str(token.subject).encode()]


def serve(guard: Guard, **more: Any) -> tuple[Recorded, list[bytes]]:
    told = Recorded()
    body = GuardMiddleware(application, guard)(environ_of(**more), told)
    return told, list(body)


@pytest.mark.twin("API-12")
def test_an_honest_request_is_served() -> None:
    token = ISSUER.token(claims={"sub": "somebody"})
    told, body = serve(ISSUER.guard(), HTTP_AUTHORIZATION=f"Bearer {token}")
    assert (told.status, body) == ("200 OK", [b"somebody"])


@pytest.mark.attack("API-12", "HTTP-18")
def test_another_is_answered_by_the_guard() -> None:
    told, body = serve(ISSUER.guard())
    assert told.status == "401 Unauthorized"
    assert ("WWW-Authenticate", 'Bearer realm="test-api"') in told.headers
    assert b"".join(body) != b""
    assert serve(ISSUER.guard(), REQUEST_METHOD="HEAD")[1] == []
    assert serve(ISSUER.guard(), path="*")[0].status == "400 Bad Request"


class Adding(Guard):
    """A guard whose every decision has a header for the application's answer."""

    def check_blocking(self, *asked: Any) -> Decision:
        return replace(super().check_blocking(*asked), headers=(("DPoP-Nonce", "n1"),))


def test_headers_of_the_decision_are_added_once() -> None:
    guard = Adding.from_config(ISSUER.config(), clock=ISSUER.clock)
    credential = {"HTTP_AUTHORIZATION": f"Bearer {ISSUER.token()}"}
    assert serve(guard, **credential)[0].headers == [("DPoP-Nonce", "n1")]
    assert serve(guard, path="/own", **credential)[0].headers == [("dpop-nonce", "own")]


def test_a_second_start_of_a_response_is_passed_on() -> None:
    def failing(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("500 Oops", [], ("kind", "error", "traceback"))
        return []

    told = Recorded()
    environ = environ_of(HTTP_AUTHORIZATION=f"Bearer {ISSUER.token()}")
    GuardMiddleware(failing, ISSUER.guard())(environ, told)
    assert told.exc_info == (("kind", "error", "traceback"),)


def test_without_a_guard_nothing_is_known() -> None:
    with pytest.raises(ConfigurationError, match="no guard stands in front"):
        judgement_of(environ_of())


@pytest.mark.attack("MTLS-03")
@pytest.mark.twin("MTLS-03")
def test_a_proxys_header_must_have_one_spelling() -> None:
    guard = ISSUER.guard(proxy={"trusted": ["192.0.2.1"], "client_certificate": "rfc9440"})
    with pytest.raises(ConfigurationError, match="drops_underscores=True"):
        GuardMiddleware(application, guard)
    GuardMiddleware(application, guard, drops_underscores=True)


@pytest.mark.attack("MTLS-03")
def test_nothing_around_the_guard_may_replace_the_address() -> None:
    app: Any = ProxyFix(GuardMiddleware(application, ISSUER.guard()))
    with pytest.raises(ConfigurationError, match="ProxyFix stands around"):
        app(environ_of(REMOTE_ADDR="192.0.2.1", **{"wsgi.url_scheme": "http"}), Recorded())
