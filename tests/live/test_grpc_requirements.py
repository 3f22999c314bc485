"""What methods demand in Python, and that none is forgotten, on real gRPC servers."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
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
    bearer,
    call,
    encoded,
    guard_of,
    handlers,
    make_server,
    serving,
)
from portvakt import ConfigurationError, Requirement
from portvakt.adapters.grpc import current_decision, current_token
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portvakt.adapters.grpc import GrpcGuard

ISSUER: Final = FakeIssuer()
READER: Final = ISSUER.token(scopes=["read"])
OK: Final = grpc.StatusCode.OK
DENIED: Final = grpc.StatusCode.PERMISSION_DENIED


def decorated(flavour: str, guard: GrpcGuard) -> Any:
    """A servicer whose methods state what they demand."""
    journal: type = AioJournal if flavour == "aio" else Journal
    methods = {
        name.lower(): guard.requires(scopes=["read"])(getattr(journal, name.lower()))
        for name in KINDS
    }
    return type("Decorated", (journal,), methods)()


@pytest.fixture(scope="module", params=FLAVOURS)
def guarded(request: pytest.FixtureRequest) -> Iterator[grpc.Channel]:
    flavour = request.param
    guard = guard_of(ISSUER)
    services = {SERVICE: handlers(decorated(flavour, guard))}
    make = make_server(flavour, guard)
    with serving(flavour, make, services) as target, grpc.insecure_channel(target) as channel:
        yield channel


@pytest.mark.parametrize("method", KINDS)
def test_a_decorated_method_demands_its_scope(guarded: grpc.Channel, method: str) -> None:
    honest = call(guarded, method, bearer(READER))
    other = call(guarded, method, bearer(ISSUER.token(scopes=["write"])))

    assert honest.code is OK
    assert honest.messages[0].startswith("test-subject ")
    assert (other.code, other.messages) == (DENIED, [])
    assert 'scope="read"' in other.trailing["www-authenticate"]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_rule_and_the_method_are_both_met(flavour: str) -> None:
    guard = guard_of(ISSUER, route=[{"path": f"{PATH}/Read", "scopes": ["open"]}])
    services = {SERVICE: handlers(decorated(flavour, guard), ["Read"])}

    with (
        serving(flavour, make_server(flavour, guard), services) as target,
        grpc.insecure_channel(target) as channel,
    ):
        codes = [
            call(channel, "Read", bearer(ISSUER.token(scopes=scopes))).code
            for scopes in (["open", "read"], ["open"], ["read"])
        ]

    assert codes == [OK, DENIED, DENIED]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_requirements_can_be_a_mapping(flavour: str) -> None:
    guard = guard_of(ISSUER)
    demands = {f"{PATH}/Read": Requirement.of(["read"])}
    services = {SERVICE: handlers(AioJournal() if flavour == "aio" else Journal(), ["Read"])}

    with (
        serving(flavour, make_server(flavour, guard, demands), services) as target,
        grpc.insecure_channel(target) as channel,
    ):
        codes = [
            call(channel, "Read", bearer(ISSUER.token(scopes=scopes))).code
            for scopes in (["read"], ["write"])
        ]

    assert codes == [OK, DENIED]


def unstarted(
    guard: GrpcGuard,
    services: dict[str, Any],
    requirements: dict[str, Requirement] | None = None,
) -> Callable[[], None]:
    """What starts a blocking server; it is stopped at once, should it start."""

    def start() -> None:
        with ThreadPoolExecutor(max_workers=1) as pool:
            server = guard.server(pool, requirements)
            for service, methods in services.items():
                server.add_registered_method_handlers(service, methods)
            server.start()
            server.stop(None).wait()

    return start


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("routes", [[], [{"path": f"{PATH}/Read"}]])
def test_a_server_with_a_forgotten_method_does_not_start(
    flavour: str, routes: list[dict[str, Any]]
) -> None:
    guard = guard_of(ISSUER, route=routes)
    services = {SERVICE: handlers(AioJournal() if flavour == "aio" else Journal())}

    with (
        pytest.raises(ConfigurationError) as error,
        serving(flavour, make_server(flavour, guard), services),
    ):
        pass

    places = [problem.place for problem in error.value.problems]
    forgotten = set(KINDS) - ({"Read"} if routes else set())
    assert places == [*(f"{PATH}/{name}" for name in KINDS if name in forgotten), ""]


@pytest.mark.parametrize(
    ("routes", "stated", "expected"),
    [
        (
            [{"path": f"{PATH}/Read", "public": True}],
            {},
            "is public in the policy and has requires",
        ),
        ([], {f"{PATH}/Read": Requirement.of()}, "has requires() and is among the requirements"),
        ([], {f"{PATH}/Raed": Requirement.of()}, f"did you mean {PATH}/Read?"),
        ([], {"/other.Service/M": Requirement.of()}, "no method of the server"),
        (
            [{"path": f"{PATH}/Read", "sender_constraint": "mtls"}],
            {},
            "sender_constraint",
        ),
    ],
)
def test_what_contradicts_itself_does_not_start(
    routes: list[dict[str, Any]], stated: dict[str, Requirement], expected: str
) -> None:
    guard = guard_of(ISSUER, route=routes)

    class Demanding(Journal):
        @guard.requires(["read"], sender_constraint="none")
        def read(self, request: str, context: Any) -> str:
            return request

    start = unstarted(guard, {SERVICE: handlers(Demanding(), ["Read"])}, stated)

    with pytest.raises(ConfigurationError) as error:
        start()

    assert expected in str(error.value)


def test_what_does_not_contradict_itself_starts() -> None:
    guard = guard_of(ISSUER, route=[{"path": f"{PATH}/Read", "sender_constraint": "mtls"}])

    unstarted(guard, {SERVICE: handlers(Journal(), ["Read"])})()
    unstarted(
        guard,
        {SERVICE: handlers(Journal(), ["Read"])},
        {f"{PATH}/Read": Requirement.of(["read"])},
    )()


@pytest.mark.parametrize("name", ["test.Journal/Read", "/Read", "/a/b/c", ""])
def test_a_requirement_for_what_is_no_method_is_an_error_at_once(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no method"):
        guard_of(ISSUER).interceptor({name: Requirement.of()})


def test_a_requirement_without_what_it_asks_for_is_an_error_at_once() -> None:
    with pytest.raises(ConfigurationError, match="proofs are demanded"):
        guard_of(ISSUER).requires(sender_constraint="dpop")
    with pytest.raises(ConfigurationError, match="registers are to be asked"):
        guard_of(ISSUER).aio_interceptor({"/a/b": Requirement.of(registers=["hpr"])})
    with pytest.raises(ConfigurationError, match="one scope"):
        guard_of(ISSUER).requires(["two scopes"])


def test_a_method_states_once_what_it_demands_and_to_one_guard() -> None:
    guard, other = guard_of(ISSUER), guard_of(ISSUER)

    @guard.requires(["read"])
    def read(request: str, context: Any) -> str:
        return request

    with pytest.raises(ConfigurationError, match="twice"):
        guard.requires(["write"])(read)
    method: Any = grpc.unary_unary_rpc_method_handler(read, bytes.decode, encoded)
    with pytest.raises(ConfigurationError, match="two different guards"):
        unstarted(other, {SERVICE: {"Read": method}})()
    with pytest.raises(ConfigurationError, match="no guard stands in front"):
        read("one", None)
    with pytest.raises(ConfigurationError, match="no guard stands in front"):
        current_token()


class _Generic(grpc.GenericRpcHandler):
    """Has methods that nobody can list."""

    def __init__(self, methods: dict[str, Any]) -> None:
        self._methods = methods

    def service(self, handler_call_details: Any) -> Any:
        return self._methods.get(handler_call_details.method)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("ruled", [False, True])
def test_hidden_methods_are_judged_by_the_policy_alone(flavour: str, ruled: bool) -> None:
    routes = [{"path": "/hidden.Ruled/Read", "scopes": ["read"]}] if ruled else []
    guard = guard_of(ISSUER, route=routes)
    made = handlers(AioJournal() if flavour == "aio" else Journal(), ["Read"])["Read"]
    generic = _Generic({f"/hidden.{name}/Read": made for name in ("Ruled", "Forgotten")})

    def make(pool: Any) -> Any:
        server = make_server(flavour, guard)(pool)
        server.add_generic_rpc_handlers((generic,))
        return server

    with serving(flavour, make, {}) as target, grpc.insecure_channel(target) as channel:
        codes = {
            (name, token is not None): call(
                channel, metadata=bearer(token), path=f"/hidden.{name}/Read"
            ).code
            for name in ("Ruled", "Forgotten")
            for token in (None, READER)
        }

    nobody = grpc.StatusCode.UNAUTHENTICATED
    assert codes[("Ruled", True)] is OK
    assert codes[("Ruled", False)] is nobody
    assert codes[("Forgotten", True)] is (DENIED if ruled else OK)
    assert codes[("Forgotten", False)] is (DENIED if ruled else nobody)


def test_generated_code_adds_a_service_twice_and_hides_nothing() -> None:
    guard = guard_of(ISSUER)
    methods = handlers(Journal(), ["Read"])
    stated = {f"{PATH}/Raed": Requirement.of()}
    with ThreadPoolExecutor(max_workers=1) as pool:
        server = guard.server(pool, stated)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        server.add_registered_method_handlers(SERVICE, methods)

        with pytest.raises(ConfigurationError, match=f"did you mean {PATH}/Read"):
            server.start()

        hiding = guard.server(pool, {"/hidden.Service/M": Requirement.of()})
        hiding.add_generic_rpc_handlers((_Generic({}),))
        hiding.start()
        hiding.stop(None).wait()
        assert hiding.wait_for_termination(1) is False


class _Wrapping(grpc.ServerInterceptor):
    """Another interceptor: it puts a function of its own around each handler."""

    def __init__(self) -> None:
        self.served = 0

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)

        def behaviour(request: Any, context: Any) -> Any:
            self.served += 1
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            behaviour, handler.request_deserializer, handler.response_serializer
        )


class _AioWrapping(grpc.aio.ServerInterceptor):
    """The same on the asyncio server."""

    def __init__(self) -> None:
        self.served = 0

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)

        async def behaviour(request: Any, context: Any) -> Any:
            self.served += 1
            return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            behaviour, handler.request_deserializer, handler.response_serializer
        )


@pytest.mark.parametrize("flavour", ["blocking", "aio"])
def test_other_interceptors_serve_admitted_calls_only(flavour: str) -> None:
    guard = guard_of(ISSUER)
    other: Any = _Wrapping() if flavour == "blocking" else _AioWrapping()
    services = {SERVICE: handlers(decorated(flavour, guard), ["Read"])}
    make = make_server(flavour, guard, interceptors=[other])

    with serving(flavour, make, services) as target, grpc.insecure_channel(target) as channel:
        refused = call(channel, "Read", bearer(ISSUER.token(scopes=["write"])))
        before = other.served
        honest = call(channel, "Read", bearer(READER))

    assert (refused.code, before) == (DENIED, 0)
    assert (honest.code, other.served) == (OK, 1)


def bare(flavour: str, guard: GrpcGuard | None, *others: Any) -> Callable[[Any], Any]:
    """Makes a server of gRPC's own, with the guard's interceptor alone or with none at all."""

    def make(pool: Any) -> Any:
        if flavour == "blocking":
            first = [] if guard is None else [guard.interceptor()]
            return grpc.server(pool, interceptors=[*first, *others])
        own = [] if guard is None else [guard.aio_interceptor()]
        return grpc.aio.server(pool, interceptors=[*own, *others])

    return make


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("method", KINDS)
def test_the_interceptor_alone_finds_what_methods_demand(flavour: str, method: str) -> None:
    guard = guard_of(ISSUER)
    services = {SERVICE: handlers(decorated(flavour, guard), [method])}

    with (
        serving(flavour, bare(flavour, guard), services) as target,
        grpc.insecure_channel(target) as channel,
    ):
        codes = [
            call(channel, method, bearer(ISSUER.token(scopes=scopes))).code
            for scopes in (["read"], ["write"])
        ]

    assert codes == [OK, DENIED]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("method", KINDS)
def test_a_decorated_method_does_not_run_where_nobody_judges(flavour: str, method: str) -> None:
    services = {SERVICE: handlers(decorated(flavour, guard_of(ISSUER)), [method])}

    with (
        serving(flavour, bare(flavour, None), services) as target,
        grpc.insecure_channel(target) as channel,
    ):
        answer = call(channel, method, bearer(READER))

    assert answer.code is grpc.StatusCode.UNKNOWN
    assert "no guard stands in front" in answer.details
    assert answer.messages == []


@pytest.mark.parametrize("flavour", ["blocking", "aio"])
def test_a_decorated_method_that_is_hidden_from_the_interceptor_does_not_run(flavour: str) -> None:
    guard = guard_of(ISSUER)
    services = {SERVICE: handlers(decorated(flavour, guard), ["Read"])}
    other = _Wrapping() if flavour == "blocking" else _AioWrapping()

    with (
        serving(flavour, bare(flavour, guard, other), services) as target,
        grpc.insecure_channel(target) as channel,
    ):
        answer = call(channel, "Read", bearer(ISSUER.token()))

    assert answer.code is grpc.StatusCode.UNKNOWN
    assert "requires() was not seen" in answer.details


@pytest.mark.parametrize("flavour", ["blocking", "aio"])
def test_a_demand_that_is_stated_twice_serves_nothing(flavour: str) -> None:
    guard = guard_of(ISSUER)
    stated = {f"{PATH}/Read": Requirement.of()}

    def make(pool: Any) -> Any:
        if flavour == "blocking":
            return grpc.server(pool, interceptors=[guard.interceptor(stated)])
        return grpc.aio.server(pool, interceptors=[guard.aio_interceptor(stated)])

    services = {SERVICE: handlers(decorated(flavour, guard), ["Read"])}
    with serving(flavour, make, services) as target, grpc.insecure_channel(target) as channel:
        answer = call(channel, "Read", bearer(READER))

    assert (answer.code, answer.messages) == (grpc.StatusCode.UNKNOWN, [])


def test_a_handlers_own_threads_are_used() -> None:
    guard = guard_of(ISSUER)
    names: list[str] = []

    def read(request: str, context: Any) -> str:
        import threading

        names.append(threading.current_thread().name)
        return request

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="own") as own:
        read.experimental_thread_pool = own  # type: ignore[attr-defined]  # as gRPC has it
        method: Any = grpc.unary_unary_rpc_method_handler(read, bytes.decode, encoded)
        make = make_server("blocking", guard, {f"{PATH}/Read": Requirement.of(["read"])})
        with (
            serving("blocking", make, {SERVICE: {"Read": method}}) as target,
            grpc.insecure_channel(target) as channel,
        ):
            assert call(channel, "Read", bearer(READER)).code is OK

    assert names[0].startswith("own")


def test_a_handler_asks_for_the_decision_too() -> None:
    guard = guard_of(ISSUER)
    found: list[Any] = []

    def read(request: str, context: Any) -> str:
        found.append(current_decision())
        return request

    method: Any = grpc.unary_unary_rpc_method_handler(read, bytes.decode, encoded)
    make = make_server("blocking", guard, {f"{PATH}/Read": Requirement.of(["read"])})
    with (
        serving("blocking", make, {SERVICE: {"Read": method}}) as target,
        grpc.insecure_channel(target) as channel,
    ):
        assert call(channel, "Read", bearer(READER)).code is OK

    assert found[0].admitted
    assert found[0].token.scopes == {"read"}
    with pytest.raises(ConfigurationError, match="no guard stands in front"):
        current_decision()


def test_an_asyncio_server_can_be_waited_for_and_stopped_whenever() -> None:
    async def test() -> None:
        guard = guard_of(ISSUER)
        server = guard.aio_server()
        server.add_insecure_port("127.0.0.1:0")
        await server.start()
        assert await server.wait_for_termination(0.01) is True  # It did not stop meanwhile.
        await server.stop(None)
        await server.stop(None)
        assert await server.wait_for_termination(1) is False

    asyncio.run(test())
