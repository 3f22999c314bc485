"""Guard a Starlette application: refuse by default, demand per endpoint, forget no route.

::

    guard = StarletteGuard.from_file("portvakt.toml")


    @guard.requires(scopes=["nhn:journal/read"])
    async def read(request: Request, token: AccessToken) -> Response: ...


    app = Starlette(routes=[Route("/journal/{patient}", read)])
    guard.protect(app)
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from functools import partial, wraps
from typing import Any, Final, TypeVar, Unpack, cast

from portvakt.adapters.answering import answer
from portvakt.adapters.demands import NotAdmitted, state, takes_token
from portvakt.adapters.endpoints import EndpointsMiddleware, demand
from portvakt.adapters.judgement import Receive, Scope, Send, token_of
from portvakt.guard import ConfigurationError, Demands, Guard, Requirement, Response

try:
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
    from starlette.requests import HTTPConnection
    from starlette.responses import Response as StarletteResponse
    from starlette.websockets import WebSocket

    from portvakt.adapters.starlette_routes import StarletteInspection
except ImportError as error:
    raise ConfigurationError("Starlette is missing: pip install 'portvakt[starlette]'") from error

__all__ = ["GuardAnswer", "StarletteGuard", "token_of"]

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

#: The parameter of an endpoint that gets the access token, if there is one of this name.
_TOKEN: Final = "token"  # noqa: S105  a name


class GuardAnswer(StarletteResponse):
    """The guard's response as one of Starlette's; also to a WebSocket's handshake.

    Parameters:
        response: what the guard answers.
    """

    def __init__(self, response: Response) -> None:
        super().__init__(response.body, response.status, dict(response.headers))
        self._response = response

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it."""
        await answer(self._response, scope, send)


class StarletteGuard(Guard):
    """A guard that knows Starlette; made like any other, as ``StarletteGuard.from_file(...)``."""

    def protect(self, app: Starlette) -> None:
        """Stand in front of *app*: from now on nothing that is not admitted reaches it.

        A request that a ``[[route]]`` of the policy is for is judged by it. Any other needs a valid
        token, whatever its path.

        When the application starts, every route must be guarded by :meth:`requires` or be in the
        policy; or else it does not start, and says which routes were forgotten. A route that is
        added later needs a valid token.

        Middleware that is added before stays inside and sees admitted requests only. Middleware
        that is added after stands outside: add ``CORSMiddleware`` after, since browsers send
        preflights without a token.

        Parameters:
            app: the application, before it is started.

        Raises:
            ConfigurationError: if this guard protects it already.
        """
        if any(middleware.kwargs.get("guard") is self for middleware in app.user_middleware):
            raise ConfigurationError("protect() was called twice with the same application")
        check_routes = partial(self.check_routes, app)
        app.add_middleware(EndpointsMiddleware, guard=self, check_routes=check_routes)

    def requires(
        self, scopes: Iterable[str] = (), **demands: Unpack[Demands]
    ) -> Callable[[Endpoint], Endpoint]:
        """Return a decorator for an endpoint that demands scopes and more.

        For functions and for classes, whole or method by method, of HTTP and of WebSockets; it has
        to be the outermost decorator that Starlette is to call. What the policy demands is demanded
        as well; neither loosens the other. It does not verify the token a second time: the
        application must be under :meth:`protect`. A function that has a parameter ``token`` gets
        the access token there; all find it with :func:`token_of`.

        Parameters:
            scopes: all of them are needed; none means that any valid token will do.
            demands: whatever else :meth:`~portvakt.Requirement.of` takes, as ``security_level=4``
                or ``matches_request={"pid": "path.pid"}``.

        Raises:
            ConfigurationError: if a scope is not one word, or a demand could never be met; or, by
                the decorator, for what is no endpoint.
        """
        requirement = Requirement.of(scopes, **demands)
        self.check_parts(requirement)

        def guarded(endpoint: Endpoint) -> Endpoint:
            made: Any
            if inspect.isclass(endpoint) and issubclass(endpoint, HTTPEndpoint | WebSocketEndpoint):
                made = self._guard_class(endpoint, requirement)
            elif inspect.isfunction(endpoint):
                made = self._guard_function(endpoint, requirement)
            else:
                raise ConfigurationError(
                    "requires() is for functions, HTTPEndpoint and WebSocketEndpoint: what else is "
                    "mounted needs a [[route]] in the policy"
                )
            return cast("Endpoint", made)

        return guarded

    def check_routes(self, app: Starlette) -> None:
        """Check that no route of *app* is forgotten; done when the application starts.

        Raises:
            ConfigurationError: listing every route that is neither guarded nor in the policy, that
                is guarded and public at once, or that demands tokens bound in two ways at once.
        """
        inspection = StarletteInspection(self.routes, self)
        inspection.walk(app.routes)
        inspection.conclude()

    def _guard_function(
        self, endpoint: Callable[..., Any], requirement: Requirement
    ) -> Callable[..., Awaitable[Any]]:
        wants_token = takes_token(endpoint)
        waits = inspect.iscoroutinefunction(endpoint)

        @wraps(endpoint)
        async def guarded(*args: Any, **named: Any) -> Any:
            connection = next(
                (one for one in (*args, *named.values()) if isinstance(one, HTTPConnection)), None
            )
            if connection is None:
                raise ConfigurationError("requires() is for endpoints that take a Request")
            try:
                token = await demand(self, connection.scope, requirement)
            except NotAdmitted as refused:
                return await _refuse(connection, refused.response)
            if wants_token:
                named[_TOKEN] = token
            if waits:
                return await endpoint(*args, **named)
            return await run_in_threadpool(endpoint, *args, **named)

        state(guarded, self, requirement)
        if wants_token:
            # Another requires() around this one must not look for the parameter.
            signature = inspect.signature(endpoint)
            rest = [one for name, one in signature.parameters.items() if name != _TOKEN]
            vars(guarded)["__signature__"] = signature.replace(parameters=rest)
        return guarded

    def _guard_class(
        self, endpoint: type[HTTPEndpoint | WebSocketEndpoint], requirement: Requirement
    ) -> type[HTTPEndpoint | WebSocketEndpoint]:
        inner: Callable[[Any], Awaitable[None]] = endpoint.dispatch

        @wraps(inner)
        async def dispatch(one: HTTPEndpoint | WebSocketEndpoint) -> None:
            try:
                await demand(self, one.scope, requirement)
            except NotAdmitted as refused:
                await answer(refused.response, one.scope, one.send)
                return
            await inner(one)

        state(dispatch, self, requirement)
        names = ("__module__", "__qualname__", "__doc__")
        members = {name: getattr(endpoint, name) for name in names}
        return type(endpoint.__name__, (endpoint,), {**members, "dispatch": dispatch})


async def _refuse(connection: HTTPConnection, response: Response) -> GuardAnswer | None:
    """Answer in the place of an endpoint: a request by what is returned, a handshake here."""
    refusal = GuardAnswer(response)
    if not isinstance(connection, WebSocket):
        return refusal
    await refusal(connection.scope, connection.receive, connection.send)
    return None
