"""gRPC's own health service behind the guard: generated code, and handlers of two kinds."""

from __future__ import annotations

from typing import Any, Final

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from grpc_serving import bearer, guard_of, make_server, serving
from portvakt import ConfigurationError
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
PUBLIC: Final = [{"path": "/grpc.health.v1.Health/{method}", "public": True}]
SERVING: Final = health_pb2.HealthCheckResponse.SERVING


def making(flavour: str, **policy: Any) -> Any:
    make = make_server(flavour, guard_of(ISSUER, **policy))

    def with_health(pool: Any) -> Any:
        server = make(pool)
        servicer: Any = (
            health.HealthServicer() if flavour == "blocking" else health.aio.HealthServicer()
        )
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        return server

    return with_health


@pytest.fixture(params=["blocking", "aio"])
def flavour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_health_is_open_where_the_policy_says_so(flavour: str) -> None:
    with (
        serving(flavour, making(flavour, route=PUBLIC), {}) as target,
        grpc.insecure_channel(target) as channel,
    ):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        assert stub.Check(request, timeout=10).status == SERVING
        watching = stub.Watch(request, timeout=10)
        assert next(watching).status == SERVING
        watching.cancel()


def test_health_is_forgotten_otherwise(flavour: str) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"/grpc\.health\.v1\.Health/Check"),
        serving(flavour, making(flavour), {}),
    ):
        pass


def test_health_can_be_for_who_has_a_token(flavour: str) -> None:
    routes = [{"path": "/grpc.health.v1.Health/{method}", "scopes": ["watch"]}]
    token = ISSUER.token(scopes=["watch"])
    with (
        serving(flavour, making(flavour, route=routes), {}) as target,
        grpc.insecure_channel(target) as channel,
    ):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        with pytest.raises(grpc.RpcError) as error:
            stub.Check(request, timeout=10)
        assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert stub.Check(request, metadata=bearer(token), timeout=10).status == SERVING
