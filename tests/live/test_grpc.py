"""The gRPC interceptors over real calls on loopback: blocking and asyncio, all four kinds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from grpc_serving import (
    FLAVOURS,
    KINDS,
    PATH,
    SERVICE,
    bearer,
    call,
    guard_of,
    handlers,
    servicer,
    serving,
)
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator

ISSUER: Final = FakeIssuer()
ROUTES: Final = [
    *({"path": f"{PATH}/{method}", "scopes": ["read"]} for method in KINDS),
    {"path": "/test.Open/Read", "public": True},
]
GUARD: Final = guard_of(ISSUER, route=ROUTES)
HONEST: Final = ISSUER.token(scopes=["read"])

SAID: Final = {
    "Read": ["{} reads one"],
    "List": ["{} lists one 0", "{} lists one 1", "{} lists one 2"],
    "Write": ["{} writes one two"],
    "Chat": ["{} says one", "{} says two"],
}


@pytest.fixture(scope="module", params=FLAVOURS)
def channel(request: pytest.FixtureRequest) -> Iterator[grpc.Channel]:
    flavour = request.param
    services = {
        SERVICE: handlers(servicer(flavour)),
        "test.Open": handlers(servicer(flavour), ["Read"]),
    }

    def make(pool: Any) -> Any:
        if flavour == "blocking":
            return GUARD.server(pool)
        return GUARD.aio_server(migration_thread_pool=pool)

    with serving(flavour, make, services) as target, grpc.insecure_channel(target) as opened:
        yield opened


@pytest.mark.parametrize("method", KINDS)
def test_an_honest_call_is_served_and_its_handler_knows_whose_it_is(
    channel: grpc.Channel, method: str
) -> None:
    subject = "somebody"
    token = ISSUER.token(scopes=["read"], claims={"sub": subject})

    answer = call(channel, method, bearer(token))

    assert answer.code is grpc.StatusCode.OK, answer
    assert answer.messages == [said.format(subject) for said in SAID[method]]


@pytest.mark.parametrize("method", KINDS)
def test_a_call_without_a_token_is_refused_with_the_challenge_and_the_problem(
    channel: grpc.Channel, method: str
) -> None:
    answer = call(channel, method)

    assert answer.code is grpc.StatusCode.UNAUTHENTICATED
    assert answer.details == "An access token is required."
    assert answer.messages == []
    assert answer.trailing["www-authenticate"].startswith('Bearer realm="test-api"')
    assert json.loads(answer.trailing["problem-bin"])["status"] == 401
