"""Servers that know which methods they serve, and do not start with one that nobody guards."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypedDict

import grpc
import grpc.aio

from portvakt.adapters.grpc_blocking import KINDS, Handler
from portvakt.guard import ConfigurationError, Guard, HttpRequest, Problem, Requirement, agreed

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Mapping

__all__ = ["AioServer", "Methods", "Server", "ServerOptions", "demand_of", "is_marked", "mark"]

#: Where a method of a servicer has what it demands, and of whose guard.
_MARK = "__portvakt_demand__"


class ServerOptions(TypedDict, total=False):
    """What :func:`grpc.server` and :func:`grpc.aio.server` both take, beside what is ours.

    Attributes:
        options: channel arguments.
        maximum_concurrent_rpcs: how many calls are served at a time.
        compression: of responses.
    """

    options: Any
    maximum_concurrent_rpcs: int | None
    compression: grpc.Compression | None


def mark(method: object, guard: Guard, requirement: Requirement) -> None:
    """Write on a method what it demands."""
    setattr(method, _MARK, (guard, requirement))


def is_marked(method: object) -> bool:
    """Whether it says what it demands."""
    return getattr(method, _MARK, None) is not None


def demand_of(guard: Guard, handler: Handler | None) -> Requirement | None:
    """Return what is written on the method that a handler was made of.

    Raises:
        ConfigurationError: if another guard wrote it.
    """
    if handler is None:
        return None
    name, _ = KINDS[handler.request_streaming, handler.response_streaming]
    marked = getattr(getattr(handler, name), _MARK, None)
    if marked is None:
        return None
    owner, requirement = marked
    if owner is not guard:
        raise ConfigurationError("requires() and the interceptor are of two different guards")
    found: Requirement = requirement
    return found


class Methods:
    """What each method demands, as far as it is known before the first call.

    Parameters:
        guard: whose methods they are.
        stated: what is stated apart from the methods, by full name as ``/package.Service/Method``.

    Raises:
        ConfigurationError: if a name is none, or there is nothing to check a demand.
    """

    def __init__(self, guard: Guard, stated: Mapping[str, Requirement] | None = None) -> None:
        self._guard = guard
        self._stated = dict(stated or {})
        self._registered: dict[str, Requirement | None] = {}
        self._generic: set[str | None] = set()
        for name, requirement in self._stated.items():
            if name[:1] != "/" or name.count("/") != 2:
                problem = f"{name!a} is no method: write it as /package.Service/Method"
                raise ConfigurationError([Problem("requirements", problem)])
            guard.check_parts(requirement)

    def register(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Take note of the methods of a service, before anything can hide what is written on them.

        Raises:
            ConfigurationError: if one was marked by another guard.
        """
        for name, handler in handlers.items():
            self._registered[f"/{service}/{name}"] = demand_of(self._guard, handler)

    def hide(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Take note that there may be methods which nobody can list."""
        self._generic |= {
            one.service_name() if isinstance(one, grpc.ServiceRpcHandler) else None
            for one in handlers
        }

    def demand(self, method: str, handler: Handler | None) -> Requirement | None:
        """Return what a call of a method must meet beside the policy's rule for it.

        Raises:
            ConfigurationError: if two places state it; no call is served then.
        """
        stated = self._stated.get(method)
        marked = self._registered.get(method)
        if marked is None:
            marked = demand_of(self._guard, handler)
        if stated is not None and marked is not None:
            raise ConfigurationError(f"{method} has requires() and is among the requirements")
        return marked if stated is None else stated

    def check(self) -> None:
        """Check that no method is forgotten.

        Raises:
            ConfigurationError: listing every method that is neither guarded nor in the policy, or
                guarded and public at once, or that states what no token can be.
        """
        problems = [
            problem
            for method, marked in self._registered.items()
            for problem in self._flaws(method, marked)
        ]
        problems += self._misspelt()
        if problems:
            advice = Problem(
                "",
                "give each method @guard.requires(scopes=[...]), or a [[route]] in the policy with "
                "its scopes, or with public = true if everyone may call it",
            )
            raise ConfigurationError([*problems, advice])

    def _flaws(self, method: str, marked: Requirement | None) -> Iterable[Problem]:
        stated = self._stated.get(method)
        if stated is not None and marked is not None:
            yield Problem(method, "has requires() and is among the requirements: keep one of them")
            return
        demand = marked if stated is None else stated
        rules = self._guard.routes
        rule = rules.find(HttpRequest(method="POST", url=method)) or rules.everywhere
        if demand is None:
            if rule.path is None:
                yield Problem(method, "nobody guards it")
            return
        if rule.public:
            yield Problem(
                method, "is public in the policy and has requires(): decide for one of them"
            )
            return
        try:
            agreed(rule.requirement.sender_constraint, demand.sender_constraint)
        except ConfigurationError as error:
            for problem in error.problems:
                yield Problem(method, problem.message)

    def _misspelt(self) -> Iterable[Problem]:
        # Generated code adds each service twice: as a generic one too, for old servers.
        if not self._generic <= {name.split("/")[1] for name in self._registered}:
            return
        for name in self._stated:
            if name not in self._registered:
                near = get_close_matches(name, self._registered, 1)
                meant = f"; did you mean {near[0]}?" if near else ""
                yield Problem(name, f"has a requirement, and is no method of the server{meant}")


class _Checked:
    """What both servers do alike: note the methods that they are given, and pass them on."""

    _server: grpc.Server | grpc.aio.Server
    _methods: Methods

    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]
    ) -> None:
        """Add handlers whose methods nobody can list: without a rule they are refused."""
        handlers = tuple(generic_rpc_handlers)
        self._methods.hide(handlers)
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Handler]
    ) -> None:
        """Add the methods of a service, as generated code does."""
        self._methods.register(service_name, method_handlers)
        self._server.add_registered_method_handlers(service_name, method_handlers)

    def add_insecure_port(self, address: str) -> int:
        """Listen without TLS; returns the port."""
        return self._server.add_insecure_port(address)

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        """Listen with TLS; returns the port."""
        return self._server.add_secure_port(address, server_credentials)


class Server(_Checked, grpc.Server):
    """A blocking server whose methods are checked when it starts.

    Parameters:
        server: the server, which has the guard's interceptor.
        methods: what is known of its methods.
    """

    _server: grpc.Server

    def __init__(self, server: grpc.Server, methods: Methods) -> None:
        self._server = server
        self._methods = methods

    def start(self) -> None:
        """Check that no method is forgotten, and start.

        Raises:
            ConfigurationError: see :meth:`Methods.check`; nothing is served.
        """
        self._methods.check()
        self._server.start()

    def stop(self, grace: float | None) -> threading.Event:
        """Stop, and give calls under way some seconds of grace."""
        return self._server.stop(grace)

    def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Wait until the server stops, for some seconds at most."""
        return self._server.wait_for_termination(timeout)


class AioServer(_Checked, grpc.aio.Server):
    """An asyncio server whose methods are checked when it starts; the guard lives on its loop.

    Parameters:
        server: the server, which has the guard's interceptor.
        methods: what is known of its methods.
        guard: the guard.
    """

    _server: grpc.aio.Server

    def __init__(self, server: grpc.aio.Server, methods: Methods, guard: Guard) -> None:
        self._server = server
        self._methods = methods
        self._guard = guard
        self._entered = False

    async def start(self) -> None:
        """Check that no method is forgotten, let the guard do its work on this loop, and start.

        Raises:
            ConfigurationError: see :meth:`Methods.check`; nothing is served.
        """
        self._methods.check()
        await self._guard.__aenter__()
        self._entered = True
        await self._server.start()

    async def stop(self, grace: float | None) -> None:
        """Stop, and give calls under way some seconds of grace."""
        await self._server.stop(grace)
        if self._entered:
            self._entered = False
            await self._guard.__aexit__(None, None, None)

    async def wait_for_termination(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  as gRPC has it
    ) -> bool:
        """Wait until the server stops, for some seconds at most."""
        return await self._server.wait_for_termination(timeout)
