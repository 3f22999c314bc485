"""DPoP over real gRPC: proofs in metadata, and nonces that leave in initial metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio
import pytest

from grpc_serving import (
    FLAVOURS,
    KINDS,
    PATH,
    SERVICE,
    AioJournal,
    Journal,
    call,
    encoded,
    guard_of,
    make_server,
    serving,
)
from portvakt.testing import FakeClient, FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator

ORIGIN: Final = "https://api.test"
OK: Final = grpc.StatusCode.OK


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture
def guard(issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("NONCE_KEY", "a nonce key of thirty-two octets")
    return guard_of(
        issuer,
        api={"audience": "test-api", "origin": ORIGIN},
        route=[{"path": f"{PATH}/{{method}}", "sender_constraint": "dpop"}],
        dpop={"nonce_keys": [{"env": "NONCE_KEY"}]},
        store={"url": "memory://"},
    )


def metadata(
    client: FakeClient, token: str, method: str, nonce: str | None = None, **more: Any
) -> list[tuple[str, str]]:
    """What an honest client sends."""
    request = client.request(token, "POST", f"{PATH}/{method}", nonce=nonce, **more)
    return [(name.lower(), value) for name, value in request.headers]


class Talkative(Journal):
    """Handlers that have initial metadata of their own, or fail, or abort."""

    def list(self, request: str, context: Any) -> Iterator[str]:
        context.send_initial_metadata((("x-own", "1"),))
        yield "one"
        yield "two"

    def write(self, requests: Any, context: Any) -> str:
        raise ValueError("a fault of the application")

    def chat(self, requests: Any, context: Any) -> Iterator[str]:
        assert isinstance(context, grpc.ServicerContext) or not hasattr(context, "cancel")
        context.abort(grpc.StatusCode.NOT_FOUND, "no such journal")
        yield "never"


class AioTalkative(AioJournal):
    """The same, asynchronous."""

    async def list(self, request: str, context: Any) -> Any:
        await context.send_initial_metadata((("x-own", "1"),))
        yield "one"
        yield "two"

    async def write(self, requests: Any, context: Any) -> str:
        raise ValueError("a fault of the application")

    async def chat(self, requests: Any, context: Any) -> None:
        assert isinstance(context, grpc.aio.ServicerContext)
        assert context.peer().startswith("ipv4:")
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such journal")


def services(servicer: Any) -> dict[str, Any]:
    return {
        SERVICE: {
            name: getattr(grpc, f"{kind}_rpc_method_handler")(
                getattr(servicer, name.lower()), bytes.decode, encoded
            )
            for name, kind in KINDS.items()
        }
    }


@pytest.mark.twin("DPOP-09", "DPOP-10", "DPOP-21")
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("method", KINDS)
def test_a_client_that_follows_the_nonce_is_served(
    flavour: str, method: str, guard: Any, issuer: FakeIssuer
) -> None:
    servicer = AioJournal() if flavour == "aio" else Journal()
    client = FakeClient(issuer, origin=ORIGIN)
    token = client.token()
    with (
        serving(flavour, make_server(flavour, guard), services(servicer)) as target,
        grpc.insecure_channel(target) as channel,
    ):
        first = call(channel, method, metadata(client, token, method))
        nonce = first.trailing["dpop-nonce"]
        second = call(channel, method, metadata(client, token, method, nonce))
        issuer.clock.advance(150)
        third = call(channel, method, metadata(client, token, method, nonce))

    assert first.code is grpc.StatusCode.UNAUTHENTICATED
    assert 'error="use_dpop_nonce"' in first.trailing["www-authenticate"]
    assert (second.code, "dpop-nonce" in second.initial) == (OK, False)
    assert third.code is OK
    assert third.messages[0].startswith("test-subject ")
    assert third.initial["dpop-nonce"] != nonce
    assert "cache-control" not in third.initial


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("List", OK),
        ("Write", grpc.StatusCode.UNKNOWN),
        ("Chat", grpc.StatusCode.NOT_FOUND),
    ],
)
def test_the_nonce_goes_out_with_whatever_the_handler_sends(
    flavour: str, method: str, code: grpc.StatusCode, guard: Any, issuer: FakeIssuer
) -> None:
    servicer = AioTalkative() if flavour == "aio" else Talkative()
    client = FakeClient(issuer, origin=ORIGIN)
    token = client.token()
    with (
        serving(flavour, make_server(flavour, guard), services(servicer)) as target,
        grpc.insecure_channel(target) as channel,
    ):
        nonce = call(channel, method, metadata(client, token, method)).trailing["dpop-nonce"]
        issuer.clock.advance(150)
        answer = call(channel, method, metadata(client, token, method, nonce))

    assert answer.code is code, answer
    assert answer.initial["dpop-nonce"] != nonce
    if method == "List":
        assert answer.initial["x-own"] == "1"
        assert answer.messages == ["one", "two"]


@pytest.mark.attack("DPOP-09", "DPOP-21", "DPOP-01", "DPOP-08", "DPOP-16")
def test_proofs_for_other_calls_or_used_before_are_refused(guard: Any, issuer: FakeIssuer) -> None:
    client = FakeClient(issuer, origin=ORIGIN)
    token = client.token()
    with (
        serving("blocking", make_server("blocking", guard), services(Journal())) as target,
        grpc.insecure_channel(target) as channel,
    ):
        nonce = call(channel, "Read", metadata(client, token, "Read")).trailing["dpop-nonce"]
        honest = metadata(client, token, "Read", nonce)
        other_path = metadata(client, token, "List", nonce)
        get = client.proof(token, "GET", f"{PATH}/Read", nonce=nonce).build()
        other_origin = FakeClient(issuer, origin="https://other.test")
        codes = [
            call(channel, "Read", sent).code
            for sent in (
                other_path,
                [honest[0], ("dpop", get)],
                [*honest, metadata(client, token, "Read", nonce)[1]],
                honest[:1],
                [("authorization", f"Bearer {token}")],
                metadata(other_origin, other_origin.token(), "Read", nonce),
                honest,
                honest,
            )
        ]

    assert codes == [*[grpc.StatusCode.UNAUTHENTICATED] * 6, OK, grpc.StatusCode.UNAUTHENTICATED]
