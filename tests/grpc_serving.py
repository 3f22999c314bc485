"""gRPC servers for tests, on loopback: both kinds, with handlers of both kinds, and a client."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc
import grpc.aio

from portvakt import ConfigurationError
from portvakt.adapters.grpc import GrpcGuard, current_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from portvakt.testing import FakeIssuer

Handlers = dict[str, Any]

SERVICE: Final = "test.Journal"
PATH: Final = f"/{SERVICE}"

#: By method: the kind of it.
KINDS: Final = {
    "Read": "unary_unary",
    "List": "unary_stream",
    "Write": "stream_unary",
    "Chat": "stream_stream",
}

#: The blocking server; the asyncio server; and that one with handlers that are not asynchronous.
FLAVOURS: Final = ("blocking", "aio", "migrating")


def guard_of(issuer: FakeIssuer, *, observers: Iterable[Any] = (), **overrides: Any) -> GrpcGuard:
    """A guard of the adapter's class, by the clock of an issuer; see FakeIssuer.guard."""
    issuer.clock.advance(-60)
    try:
        config = issuer.config(**overrides)
        return GrpcGuard.from_config(config, clock=issuer.clock, observers=observers)
    finally:
        issuer.clock.advance(60)


def subject() -> str:
    """Whose token it is that came with the call under way."""
    token = current_token()
    return "nobody" if token is None else str(token.subject)


class Journal:
    """The four kinds of methods, for threads."""

    def read(self, request: str, context: Any) -> str:
        return f"{subject()} reads {request}"

    def list(self, request: str, context: Any) -> Iterator[str]:
        for number in range(3):
            yield f"{subject()} lists {request} {number}"

    def write(self, requests: Iterable[str], context: Any) -> str:
        return f"{subject()} writes {' '.join(requests)}"

    def chat(self, requests: Iterable[str], context: Any) -> Iterator[str]:
        for request in requests:
            yield f"{subject()} says {request}"


class AioJournal:
    """The same, asynchronous."""

    async def read(self, request: str, context: Any) -> str:
        return f"{subject()} reads {request}"

    async def list(self, request: str, context: Any) -> Any:
        for number in range(3):
            yield f"{subject()} lists {request} {number}"

    async def write(self, requests: Any, context: Any) -> str:
        return f"{subject()} writes {' '.join([one async for one in requests])}"

    async def chat(self, requests: Any, context: Any) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(f"{subject()} says {request}")


def servicer(flavour: str) -> Any:
    """The servicer for a flavour of server."""
    return AioJournal() if flavour == "aio" else Journal()


def encoded(message: str | bytes) -> bytes:
    """A message on the wire. The asyncio server encodes text before it asks for that."""
    return message if isinstance(message, bytes) else message.encode()


def handlers(servicer: Any, only: Iterable[str] = KINDS) -> Handlers:
    """What generated code makes of a servicer; messages are text."""
    return {
        name: getattr(grpc, f"{KINDS[name]}_rpc_method_handler")(
            getattr(servicer, name.lower()), bytes.decode, encoded
        )
        for name in only
    }


def make_server(
    flavour: str,
    guard: GrpcGuard,
    requirements: Mapping[str, Any] | None = None,
    *,
    interceptors: Iterable[Any] = (),
) -> Callable[..., Any]:
    """What makes a guarded server of a flavour, given a thread pool."""
    others: list[Any] = list(interceptors)

    def make(pool: ThreadPoolExecutor) -> Any:
        if flavour == "blocking":
            return guard.server(pool, requirements, interceptors=others)
        return guard.aio_server(requirements, interceptors=others, migration_thread_pool=pool)

    return make


@contextmanager
def serving(
    flavour: str,
    make: Callable[..., Any],
    services: Mapping[str, Handlers],
    *,
    address: str = "127.0.0.1:0",
    credentials: grpc.ServerCredentials | None = None,
) -> Iterator[str]:
    """Serve, and give the address.

    Parameters:
        flavour: one of FLAVOURS.
        make: given a thread pool, makes the server.
        services: handlers by service.
        address: where to listen.
        credentials: for TLS.
    """
    pool = ThreadPoolExecutor(max_workers=8)

    def made() -> tuple[Any, str]:
        server = make(pool)
        for service, methods in services.items():
            server.add_registered_method_handlers(service, methods)
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
        return server, address if address.startswith("unix") else f"127.0.0.1:{port}"

    with pool:
        if flavour == "blocking":
            server, target = made()
            server.start()
            try:
                yield target
            finally:
                server.stop(None).wait()
        else:
            with aio_serving(made, pool) as target:
                yield target


@contextmanager
def aio_serving(
    made: Callable[[], tuple[Any, str]], pool: ThreadPoolExecutor | None = None
) -> Iterator[str]:
    """Run an asyncio server on a thread with a loop of its own, until its pool is done with it."""
    started = threading.Event()
    state: dict[str, Any] = {}

    async def main() -> None:
        state["loop"], over = asyncio.get_running_loop(), asyncio.Event()
        state["over"] = over
        server, state["target"] = made()
        await server.start()
        started.set()
        await over.wait()
        await server.stop(None)
        if pool is not None:
            await asyncio.to_thread(pool.shutdown)

    def run() -> None:
        try:
            asyncio.run(main())
        except ConfigurationError as error:
            state["error"] = error
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    if "error" in state:
        thread.join()
        raise state["error"]
    try:
        yield state["target"]
    finally:
        state["loop"].call_soon_threadsafe(state["over"].set)
        thread.join()


class Answer(NamedTuple):
    """What a call came to."""

    code: grpc.StatusCode
    details: str
    messages: list[str]
    initial: dict[str, Any]
    trailing: dict[str, Any]


def bearer(token: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata with a token."""
    return () if token is None else (("authorization", f"Bearer {token}"),)


def call(
    channel: grpc.Channel,
    method: str = "Read",
    metadata: Iterable[tuple[str, Any]] = (),
    *,
    path: str | None = None,
    sent: Iterable[str] = ("one", "two"),
) -> Answer:
    """Make one call and wait for its end; streams send all of *sent*, others the first of it."""
    kind = KINDS[method]
    multi = getattr(channel, kind)(path or f"{PATH}/{method}", str.encode, bytes.decode)
    argument = iter(sent) if kind.startswith("stream") else next(iter(sent))
    return outcome(multi, kind, argument, tuple(metadata))


def outcome(multi: Any, kind: str, argument: Any, metadata: Any) -> Answer:
    """Make a call by a multi-callable, and wait for its end."""
    messages: list[str] = []
    under_way: Any = None
    try:
        if kind.endswith("_stream"):
            under_way = multi(argument, metadata=metadata, timeout=10)
            messages.extend(under_way)
        else:
            response, under_way = multi.with_call(argument, metadata=metadata, timeout=10)
            messages.append(response)
    except grpc.RpcError as error:
        under_way = error
    return Answer(
        under_way.code(),
        under_way.details() or "",
        messages,
        {one.key: one.value for one in under_way.initial_metadata()},
        {one.key: one.value for one in under_way.trailing_metadata()},
    )
