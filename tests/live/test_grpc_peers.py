"""Who is at the other end of a gRPC connection: sockets, certificates of TLS, proxies."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from certificates import AUTHORITY, STATED, der_of, digest_of, issue
from grpc_serving import (
    FLAVOURS,
    PATH,
    SERVICE,
    bearer,
    call,
    guard_of,
    handlers,
    make_server,
    servicer,
    serving,
)
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from pathlib import Path

    import trustme

    from portvakt import Decision, HttpRequest

ISSUER: Final = FakeIssuer()
READ: Final = {"path": f"{PATH}/Read", "sender_constraint": "mtls"}
OK: Final = grpc.StatusCode.OK
REFUSED: Final = grpc.StatusCode.UNAUTHENTICATED

told: Final[list[HttpRequest]] = []


def note(request: HttpRequest, decision: Decision) -> None:
    told.append(request)


def bound_to(certificate: bytes) -> str:
    return ISSUER.token(claims={"cnf": {"x5t#S256": digest_of(certificate)}})


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    ("address", "peer"), [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("unix", "unix")]
)
def test_the_peer_is_the_sockets(flavour: str, address: str, peer: str, tmp_path: Path) -> None:
    if peer == "::1" and not has_ipv6():
        pytest.skip("no IPv6 here")
    guard = guard_of(ISSUER, observers=(note,), route=[{"path": f"{PATH}/Read", "public": True}])
    address = f"unix:{tmp_path}/grpc.sock" if address == "unix" else address
    services = {SERVICE: handlers(servicer(flavour), ["Read"])}
    with (
        serving(flavour, make_server(flavour, guard), services, address=address) as target,
        grpc.insecure_channel(
            target.replace("127.0.0.1", "[::1]") if peer == "::1" else target
        ) as channel,
    ):
        answer = call(channel, metadata=[("x-forwarded-for", "192.0.2.1"), ("host", "other")])

    assert answer.code is OK
    assert told[-1].peer == peer


SERVER: Final = AUTHORITY.issue_cert("localhost", "127.0.0.1")


def pem(one: Any) -> bytes:
    octets: bytes = one.bytes()
    return octets


def server_credentials(*, ask: bool) -> grpc.ServerCredentials:
    pair = (pem(SERVER.private_key_pem), pem(SERVER.cert_chain_pems[0]))
    return grpc.ssl_server_credentials([pair], pem(AUTHORITY.cert_pem) if ask else None, ask)


def client_credentials(client: trustme.LeafCert | None) -> grpc.ChannelCredentials:
    if client is None:
        return grpc.ssl_channel_credentials(pem(AUTHORITY.cert_pem))
    return grpc.ssl_channel_credentials(
        pem(AUTHORITY.cert_pem),
        pem(client.private_key_pem),
        b"".join(map(pem, client.cert_chain_pems)),
    )


def called_over_tls(
    flavour: str, token: str, client: trustme.LeafCert | None, *, ask: bool = True
) -> grpc.StatusCode:
    guard = guard_of(ISSUER, observers=(note,), route=[READ])
    services = {SERVICE: handlers(servicer(flavour), ["Read"])}
    credentials = server_credentials(ask=ask)
    with (
        serving(flavour, make_server(flavour, guard), services, credentials=credentials) as target,
        grpc.secure_channel(target, client_credentials(client)) as channel,
    ):
        return call(channel, "Read", bearer(token)).code


@pytest.mark.twin("MTLS-01", "MTLS-02")
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_token_is_good_with_the_certificate_of_the_connection(flavour: str) -> None:
    client = issue("client.test")

    assert called_over_tls(flavour, bound_to(der_of(client)), client) is OK
    assert told[-1].client_certificate == der_of(client)


@pytest.mark.attack("MTLS-01", "MTLS-02")
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_token_is_no_good_with_another_certificate_or_none(flavour: str) -> None:
    client, thief = issue("client.test"), issue("thief.test")
    token = bound_to(der_of(client))

    assert called_over_tls(flavour, token, thief) is REFUSED
    assert called_over_tls(flavour, token, client, ask=False) is REFUSED
    assert called_over_tls(flavour, token, None, ask=False) is REFUSED
    assert called_over_tls(flavour, ISSUER.token(), client) is REFUSED


@pytest.mark.twin("MTLS-03")
@pytest.mark.attack("MTLS-03")
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_certificate_in_metadata_is_believed_from_the_proxy_alone(
    flavour: str, tmp_path: Path
) -> None:
    certificate = der_of(issue("client.test"))
    proxy = {"trusted": ["unix"], "client_certificate": "rfc9440"}
    guard = guard_of(ISSUER, route=[READ], proxy=proxy)
    services = {SERVICE: handlers(servicer(flavour), ["Read"])}
    stated = [(name.lower(), value) for name, value in STATED["rfc9440"](certificate)]
    sent = [*bearer(bound_to(certificate)), *stated]

    codes = []
    for address in (f"unix:{tmp_path}/proxy.sock", "127.0.0.1:0"):
        with (
            serving(flavour, make_server(flavour, guard), services, address=address) as target,
            grpc.insecure_channel(target) as channel,
        ):
            codes.append(call(channel, "Read", sent).code)

    assert codes == [OK, REFUSED]
