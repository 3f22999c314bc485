"""Envoy's external authorization over real gRPC: who is believed, by socket, address or secret.

Envoy cannot be had here. Its place takes a client that writes Envoy's octets by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio
import pytest

from envoy_wire import check_request, verdict
from grpc_serving import aio_serving
from portvakt.gateway.ext_authz import SERVICE, ExtAuthz
from portvakt.http.forwarded import Proxies, network_of
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from portvakt import HttpRequest

ISSUER: Final = FakeIssuer()
GUARD: Final = ISSUER.guard(route=[{"path": "/journal", "scopes": ["read"]}])
TOKEN: Final = ISSUER.token(scopes=["read"])
HONEST: Final = check_request("GET", "/journal", [("authorization", f"Bearer {TOKEN}")])
SECRET: Final = "a secret that only the proxy has"

UNIX: Final = Proxies(["unix"], "envoy")
LOOPBACK: Final = Proxies([network_of("127.0.0.1")], "envoy")
ELSEWHERE: Final = Proxies([network_of("192.0.2.1")], "envoy")


def asked(
    address: str,
    trusts: Callable[[HttpRequest], bool],
    message: bytes = HONEST,
    metadata: tuple[tuple[str, str], ...] = (),
) -> Any:
    """What comes back from a gateway that believes some, over a connection of its own."""
    gate = ExtAuthz(GUARD, trusts=trusts, identity=lambda _: (("X-Portvakt-Subject", "me"),))

    def made() -> tuple[grpc.aio.Server, str]:
        server = grpc.aio.server()
        gate.add_to(server)
        port = server.add_insecure_port(address)
        return server, address if address.startswith("unix:") else f"127.0.0.1:{port}"

    with aio_serving(made) as target, grpc.insecure_channel(target) as channel:
        # No serializers: octets are sent, and octets received.
        check: Any = channel.unary_unary(f"/{SERVICE}/Check")
        return verdict(check(message, metadata=metadata, timeout=10))


def knows_the_secret(asking: HttpRequest) -> bool:
    return [value for name, value in asking.headers if name == "x-secret"] == [SECRET]


@pytest.mark.twin("MTLS-03")
def test_a_proxy_on_a_trusted_unix_socket_is_answered(tmp_path: Path) -> None:
    said = asked(f"unix:{tmp_path}/portvakt.sock", lambda asking: UNIX.trusts(asking.peer))

    assert said.admitted
    assert said.set == (("x-portvakt-subject", "me"),)


def test_a_proxy_at_a_trusted_address_or_with_the_secret_is_answered() -> None:
    by_address = asked("127.0.0.1:0", lambda asking: LOOPBACK.trusts(asking.peer))
    by_secret = asked("127.0.0.1:0", knows_the_secret, metadata=(("x-secret", SECRET),))
    refused = asked(
        "127.0.0.1:0", lambda asking: LOOPBACK.trusts(asking.peer), check_request("GET", "/journal")
    )

    assert by_address.admitted
    assert by_secret.admitted
    assert refused.status == 401


@pytest.mark.attack("MTLS-03")
@pytest.mark.parametrize(
    ("trusts", "metadata"),
    [
        (lambda asking: UNIX.trusts(asking.peer), ()),
        (lambda asking: ELSEWHERE.trusts(asking.peer), (("x-forwarded-for", "192.0.2.1"),)),
        (knows_the_secret, ()),
        (knows_the_secret, (("x-secret", "a guess"),)),
        (knows_the_secret, (("x-secret", "a guess"), ("x-secret", SECRET))),
    ],
)
def test_nobody_else_is_answered(
    trusts: Callable[[HttpRequest], bool], metadata: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(grpc.RpcError) as error:
        asked("127.0.0.1:0", trusts, metadata=metadata)

    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_octets_that_are_no_message_are_answered_over_the_wire() -> None:
    said = asked("127.0.0.1:0", lambda _: True, b"\xff\xff")

    assert (said.admitted, said.status) == (False, 400)
