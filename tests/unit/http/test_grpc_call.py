"""A gRPC call as HTTP sees it."""

from __future__ import annotations

import ssl
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certificates import der_of, issue
from portvakt.http.grpc_call import read_grpc_call

CLIENT: Final = der_of(issue("client.test"))
PEM: Final = ssl.DER_cert_to_PEM_cert(CLIENT).encode()


def test_a_call_is_a_post_to_its_method() -> None:
    request, flaw = read_grpc_call(
        "/a.B/C", [("authorization", "Bearer x"), ("x-bin", b"\xff"), ("n", "é€")], "ipv4:1.2.3.4:5"
    )

    assert flaw is None
    assert (request.method, request.url, request.peer) == ("POST", "/a.B/C", "1.2.3.4")
    assert request.headers == (
        ("authorization", "Bearer x"),
        ("x-bin", "/w=="),
        ("n", "é€".encode().decode("latin-1")),
    )
    assert request.client_certificate is None


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:50000", "192.0.2.1"),
        ("ipv6:%5B::1%5D:50000", "::1"),
        ("ipv6:[2001:db8::1]:50000", "2001:db8::1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "fe80::1%eth0"),
        ("unix:", "unix"),
        ("unix:/run/api.sock", "unix"),
        ("unix-abstract:api", "unix"),
        ("vsock:3:1", None),
        ("unknown", None),
        ("", None),
        ("unixes:", None),
    ],
)
def test_the_peer_is_the_address_of_the_socket(peer: str, address: str | None) -> None:
    assert read_grpc_call("/a/b", (), peer)[0].peer == address


@pytest.mark.twin("HTTP-18")
@pytest.mark.parametrize("method", ["/a.B/C", "/", "/a", "/a/b/c", "/a;b/%20"])
def test_what_is_a_path_can_be_judged(method: str) -> None:
    request, flaw = read_grpc_call(method, (), "")

    assert (request.url, flaw) == (method, None)


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    "method", ["", "a/b", "/a?b", "/a#b", "/a b", "/a\n", "/a\x85", "http://a/b"]
)
def test_what_is_no_path_cannot(method: str) -> None:
    assert read_grpc_call(method, (), "")[1] == "the method is not a path"


@pytest.mark.twin("MTLS-02")
def test_the_certificate_of_the_connection_is_the_clients() -> None:
    request, flaw = read_grpc_call("/a/b", (), "", [PEM])

    assert (request.client_certificate, flaw) == (CLIENT, None)


@pytest.mark.attack("MTLS-02")
@pytest.mark.parametrize("shown", [[PEM, PEM], [b""], [b"\xff"], [PEM + PEM], [CLIENT]])
def test_what_is_not_one_certificate_cannot_be_judged(shown: list[bytes]) -> None:
    request, flaw = read_grpc_call("/a/b", (), "", shown)

    assert request.client_certificate is None
    assert flaw is not None
    assert "certificate" in flaw


@given(
    st.text(),
    st.lists(st.tuples(st.text(), st.text() | st.binary())),
    st.text(),
    st.lists(st.binary()),
)
def test_a_request_comes_out_whatever_goes_in(
    method: str, metadata: list[tuple[str, str | bytes]], peer: str, shown: list[bytes]
) -> None:
    request, _ = read_grpc_call(method, metadata, peer, shown)

    assert all(max(map(ord, value), default=0) < 256 for _, value in request.headers)
