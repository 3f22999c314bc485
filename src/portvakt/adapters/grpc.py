"""Guard a gRPC server: refuse by default, demand per method, forget no method.

::

    guard = GrpcGuard.from_file("portvakt.toml")


    class Journal(JournalServicer):
        @guard.requires(scopes=["nhn:journal/read"])
        def Read(self, request, context):
            return Entry(author=current_token().subject)


    server = guard.server(ThreadPoolExecutor(max_workers=10))
    add_JournalServicer_to_server(Journal(), server)
    server.start()

A call is judged as the HTTP request that it is: POST, with the full name of the method as its path.
So a rule of the policy has ``path = "/package.Journal/Read"``, and a DPoP proof is for the policy's
origin with that path. The credential is in the ``authorization`` metadata, the proof in ``dpop``.

A refusal has the fixed sentence as its details and, as trailing metadata, what HTTP has as headers:
``www-authenticate``, ``retry-after``, ``dpop-nonce``; and the problem+json body (RFC 9457) as
``problem-bin``. What an admission adds (``dpop-nonce``) is in the initial metadata.

Calls that stream are ended when their token has expired or is revoked. On the blocking server a
call that waits just then is cancelled, and the caller is not told why: it has no other way.

The guard's interceptor comes first: handlers of other interceptors see admitted calls only. They do
see each call's name and metadata before it is judged, as gRPC asks all of them for a handler first.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from portvakt.guard import ConfigurationError, Demands, Guard, Requirement

if TYPE_CHECKING:
    from concurrent.futures import Executor, ThreadPoolExecutor

try:
    import grpc
    import grpc.aio

    from portvakt.adapters.grpc_aio import guarded as guarded_aio
    from portvakt.adapters.grpc_blocking import Handler, guarded
    from portvakt.adapters.grpc_calls import call_of, current_decision, current_token
    from portvakt.adapters.grpc_server import (
        AioServer,
        Methods,
        Server,
        ServerOptions,
        is_marked,
        mark,
    )
    from portvakt.adapters.lasting import Lasting
except ImportError as error:
    raise ConfigurationError("gRPC is missing: pip install 'portvakt[grpc]'") from error

__all__ = ["GrpcGuard", "current_decision", "current_token"]

Method = TypeVar("Method", bound=Callable[..., Any])


class GrpcGuard(Guard):
    """A guard that knows gRPC; made like any other, as ``GrpcGuard.from_file(...)``."""

    def server(
        self,
        thread_pool: ThreadPoolExecutor,
        requirements: Mapping[str, Requirement] | None = None,
        *,
        interceptors: Sequence[grpc.ServerInterceptor] = (),
        **options: Unpack[ServerOptions],
    ) -> grpc.Server:
        """Return a blocking server on which nothing is served that is not admitted.

        When it starts, every method must be guarded by :meth:`requires`, be among *requirements* or
        be in the policy; or else it does not start, and says which methods were forgotten. Handlers
        that are added as generic ones hide their methods, unless generated code adds them: those
        are judged by the policy alone, and refused if it has rules and none for them.

        Parameters:
            thread_pool: where handlers run, and the guard for each of them.
            requirements: what methods demand that cannot be decorated, by their full names.
            interceptors: others, in the order in which they come after the guard's.
            options: what :func:`grpc.server` takes.

        Raises:
            ConfigurationError: if a requirement could never be met.
        """
        methods = Methods(self, requirements)
        inner = [_Interceptor(self, methods), *interceptors]
        return Server(grpc.server(thread_pool, interceptors=inner, **options), methods)

    def aio_server(
        self,
        requirements: Mapping[str, Requirement] | None = None,
        *,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        migration_thread_pool: Executor | None = None,
        **options: Unpack[ServerOptions],
    ) -> grpc.aio.Server:
        """Return an asyncio server likewise; see :meth:`server`. The guard lives on its loop.

        Parameters:
            requirements: as above.
            interceptors: as above.
            migration_thread_pool: where handlers run that are not asynchronous.
            options: what :func:`grpc.aio.server` takes.

        Raises:
            ConfigurationError: as above.
        """
        methods = Methods(self, requirements)
        inner = [_AioInterceptor(self, methods), *interceptors]
        server = grpc.aio.server(migration_thread_pool, interceptors=inner, **options)
        return AioServer(server, methods, self)

    def interceptor(
        self, requirements: Mapping[str, Requirement] | None = None
    ) -> grpc.ServerInterceptor:
        """Return the interceptor alone, for a server that is made elsewhere: it must come first.

        Nobody sees then which methods there are, so a forgotten one is found when it is called:
        it is refused if the policy has rules, and needs a valid token if it has none.

        Parameters:
            requirements: as for :meth:`server`.

        Raises:
            ConfigurationError: if a requirement could never be met.
        """
        return _Interceptor(self, Methods(self, requirements))

    def aio_interceptor(
        self, requirements: Mapping[str, Requirement] | None = None
    ) -> grpc.aio.ServerInterceptor:
        """Return the interceptor of the asyncio server alone; see :meth:`interceptor`."""
        return _AioInterceptor(self, Methods(self, requirements))

    def requires(
        self, scopes: Iterable[str] = (), **demands: Unpack[Demands]
    ) -> Callable[[Method], Method]:
        """Return a decorator for a method of a servicer: it demands scopes and more.

        What the policy demands is demanded as well; neither loosens the other. The method finds the
        token with :func:`current_token`. It does not run where this guard's interceptor has not
        judged the call by just this demand.

        Parameters:
            scopes: all of them are needed; none means that any valid token will do.
            demands: whatever else :meth:`~portvakt.Requirement.of` takes, as ``security_level=4``.

        Raises:
            ConfigurationError: if a scope is not one word, or a demand could never be met; if the
                method is decorated already.
        """
        requirement = Requirement.of(scopes, **demands)
        self.check_parts(requirement)

        def decorate(method: Method) -> Method:
            if is_marked(method):
                raise ConfigurationError(
                    "requires() is there twice: state all that a method demands in one"
                )
            # The method itself stays as it is: another class may have it, too.
            made = _insisting(method, lambda: self._insist(requirement))
            mark(made, self, requirement)
            return made

        return decorate

    def _insist(self, requirement: Requirement) -> None:
        """See that the call under way was judged by a requirement.

        Raises:
            ConfigurationError: if it was not: what is written on a method was hidden from us.
        """
        call = call_of()
        if call.guard is not self or call.requirement is not requirement:
            raise ConfigurationError(
                "requires() was not seen: another interceptor hides the method, or another guard "
                "judges. Make the server with guard.server() or guard.aio_server()"
            )


def _insisting(method: Method, insist: Callable[[], None]) -> Method:
    """Return a method of the same kind that runs *insist* first; gRPC tells them by their kind."""
    made: Callable[..., Any]
    if inspect.iscoroutinefunction(method):

        @wraps(method)
        async def coroutine(*args: Any) -> Any:
            insist()
            return await method(*args)

        made = coroutine
    elif inspect.isasyncgenfunction(method):

        @wraps(method)
        async def generator(*args: Any) -> Any:
            insist()
            async with aclosing(method(*args)) as responses:
                async for response in responses:
                    yield response

        made = generator
    else:

        @wraps(method)
        def function(*args: Any) -> Any:
            insist()
            return method(*args)

        made = function
    return made  # type: ignore[return-value]  # with the same parameters and results


class _Interceptor(grpc.ServerInterceptor):
    """Puts the guard in front of each handler."""

    def __init__(self, guard: Guard, methods: Methods) -> None:
        self._guard = guard
        self._methods = methods

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Return a handler that judges each call before it serves it."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        return guarded(self._guard, method, self._methods.demand(method, handler), handler)


class _AioInterceptor(grpc.aio.ServerInterceptor):
    """Does the same on the asyncio server."""

    def __init__(self, guard: Guard, methods: Methods) -> None:
        self._guard = guard
        self._methods = methods
        self._lasting = Lasting(guard)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Return a handler that judges each call before it serves it."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        demand = self._methods.demand(method, handler)
        return guarded_aio(self._guard, method, demand, handler, self._lasting.watch)
