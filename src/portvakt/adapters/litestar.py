"""Guard a Litestar application: refuse by default, demand per handler, forget no route.

::

    guard = LitestarGuard.from_file("portvakt.toml")


    @get("/journal/{patient:str}", guards=[guard.requires(scopes=["nhn:journal/read"])])
    async def read(patient: FromPath[str], token: Token) -> str: ...


    app = Litestar([read], on_app_init=[guard.protect])
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from copy import copy
from functools import cached_property
from typing import Any, Final, TypeAlias, Unpack, cast

from portvakt.adapters.answering import answer
from portvakt.adapters.endpoints import REFUSALS, NotAdmitted, demand
from portvakt.adapters.judgement import (
    KEY,
    Application,
    Judgement,
    Message,
    Receive,
    Scope,
    Send,
    judgement_of,
)
from portvakt.guard import AccessToken, ConfigurationError, Demands, Guard, Requirement, Response

try:
    from litestar import Litestar
    from litestar.config.app import AppConfig
    from litestar.connection import ASGIConnection
    from litestar.di import NamedDependency, Provide
    from litestar.exceptions import HTTPException
    from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
    from litestar.openapi.datastructures import ResponseSpec
    from litestar.openapi.spec import Components, SecurityScheme
    from litestar.params import SkipValidation
    from litestar.plugins.base import ReceiveRoutePlugin
    from litestar.routes import BaseRoute, HTTPRoute
    from litestar.types import Scope as LitestarScope

    from portvakt.adapters.litestar_routes import LitestarInspection, LitestarMiddleware
except ImportError as error:
    raise ConfigurationError("Litestar is missing: pip install 'portvakt[litestar]'") from error

__all__ = ["LitestarGuard", "LitestarNotAdmitted", "Token", "token_of"]

#: The access token, as the type of a handler's parameter ``token``. It is no input to be validated.
Token: TypeAlias = NamedDependency[SkipValidation[AccessToken]]

Demand = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]

#: The dependency that handlers get the access token from.
_TOKEN: Final = "token"  # noqa: S105  a name

_SCHEME: Final = "AccessToken"


class LitestarNotAdmitted(NotAdmitted, HTTPException):
    """A handler demands more than the token has. The guard's own answer is what the client gets.

    For hooks and exception handlers it is an exception like Litestar's others; whatever answer they
    make of it, the guard's takes its place.
    """

    def __init__(self, response: Response) -> None:
        NotAdmitted.__init__(self, response)
        HTTPException.__init__(
            self,
            detail="the request is not admitted",
            status_code=response.status,
            headers=dict(response.headers),
        )


def token_of(connection: ASGIConnection[Any, Any, Any, Any]) -> AccessToken | None:
    """Return the access token of a request or WebSocket; None on a route that is public.

    Raises:
        ConfigurationError: if no guard stands in front of the application.
    """
    return judgement_of(cast("Any", connection.scope)).decision.token


class LitestarGuard(Guard):
    """A guard that knows Litestar; made like any other, as ``LitestarGuard.from_file(...)``."""

    @cached_property
    def _demands(self) -> dict[object, Requirement]:
        """What the guards handed out so far demand; guarded handlers are recognised by them."""
        return {}

    def protect(self, config: AppConfig) -> AppConfig:
        """Stand in front of an application: nothing that is not admitted reaches it.

        For ``Litestar(…, on_app_init=[guard.protect])``. A request that a ``[[route]]`` of the
        policy is for is judged by it. Any other needs a valid token, whatever its path: also
        Litestar's documentation, and paths that do not exist. Litestar serves ``/journal/`` as
        ``/journal``; the guard answers paths that are written so with 400.

        When the application starts, every handler must be guarded by :meth:`requires` or be in the
        policy; or else it does not start, and says which were forgotten. A handler that is added
        later needs a valid token. Where the server does not run the application's lifespan, nothing
        is served.

        Handlers get the access token by a parameter ``token: Token``. ``cors_config`` stands
        outside, since browsers send preflights without a token.

        Parameters:
            config: the application's, before it is made.

        Raises:
            ConfigurationError: if this guard protects it already.
        """
        if any(isinstance(one, _Documentation) and one.guard is self for one in config.plugins):
            raise ConfigurationError("protect() was called twice with the same application")
        config.plugins.append(_Documentation(self))
        config.lifespan.insert(0, self._lifespan)
        config.middleware.insert(0, self._closed)
        config.dependencies = {
            _TOKEN: Provide(_provided, sync_to_thread=False),
            **(config.dependencies or {}),
        }
        if config.openapi_config is not None:
            stated = config.openapi_config.components
            every = stated if isinstance(stated, list) else [stated]
            # A copy: Litestar's default is the same object for all applications.
            config.openapi_config = copy(config.openapi_config)
            config.openapi_config.components = [*every, _scheme()]
        return config

    def requires(self, scopes: Iterable[str] = (), **demands: Unpack[Demands]) -> Demand:
        """Return a guard of Litestar's that demands scopes and more.

        For ``guards=[…]`` of handlers of all kinds, controllers, routers and the application. What
        the policy demands is demanded as well, and so is what the layers around it demand; none
        loosens another. It does not verify the token a second time: the application must be under
        :meth:`protect`.

        Parameters:
            scopes: all of them are needed; none means that any valid token will do.
            demands: whatever else :meth:`~portvakt.Requirement.of` takes, as ``security_level=4``
                or ``matches_request={"pid": "path.pid"}``.

        Raises:
            ConfigurationError: if a scope is not one word, or a demand could never be met.
        """
        requirement = Requirement.of(scopes, **demands)
        self.check_parts(requirement)

        async def authorize(
            connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
        ) -> None:
            scope: Any = connection.scope
            try:
                await demand(self, scope, requirement)
            except NotAdmitted as refused:
                scope[_REFUSED] = refused.response
                refusal = LitestarNotAdmitted(refused.response)
            else:
                return
            raise refusal

        self._demands[authorize] = requirement
        return authorize

    def check_routes(self, app: Litestar) -> None:
        """Check that no handler of *app* is forgotten; done when the application starts.

        Raises:
            ConfigurationError: listing every handler that is neither guarded nor in the policy,
                that is guarded and public at once, or that demands tokens bound in two ways at
                once.
        """
        inspection = LitestarInspection(self.routes, self.demands_of)
        inspection.walk(app.routes)
        inspection.conclude()

    def demands_of(self, handler: BaseRouteHandler) -> list[Requirement]:
        """Return what this guard demands of a handler, by its own guards and those around it."""
        guards = handler.resolve_guards()
        return [self._demands[guard] for guard in guards if guard in self._demands]

    @asynccontextmanager
    async def _lifespan(self, app: Litestar) -> AsyncIterator[None]:
        """Check the routes, and stand in front of the application from then on."""
        self.check_routes(app)
        _insert(app, self)
        async with self:
            yield

    def _closed(self, app: Any) -> Any:
        """Return a middleware around each handler that serves nothing that was not judged."""

        async def closed(scope: Any, receive: Any, send: Any) -> None:
            judgement = scope.get(KEY)
            if not isinstance(judgement, Judgement) or judgement.guard is not self:
                raise ConfigurationError(
                    "nothing was checked: the server must run the application's lifespan"
                )
            await app(scope, receive, send)

        return closed


#: Where a handler's refusal is left for :func:`_answering`.
_REFUSED: Final = "portvakt-refused"


def _insert(app: Litestar, guard: LitestarGuard) -> None:
    """Put the middleware around Litestar's routing, and inside of what adds headers (CORS)."""
    outer: Any = None
    inner: Any = app.asgi_handler
    while getattr(inner, "app", app.asgi_router) is not app.asgi_router:
        if isinstance(inner, LitestarMiddleware) and inner.guard is guard:
            return
        outer, inner = inner, inner.app
    middleware = LitestarMiddleware(_answering(inner), guard, app)
    if outer is None:
        app.asgi_handler = cast("Any", middleware)
    else:
        outer.app = middleware


def _answering(app: Any) -> Application:
    """Return an application that answers a handler's refusal as the guard wants it."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_unless_refused(message: Message) -> None:
            if _REFUSED not in scope:
                await send(message)

        await app(scope, receive, send_unless_refused)
        if _REFUSED in scope:
            await answer(scope[_REFUSED], scope, send)

    return answering


def _provided(scope: LitestarScope) -> AccessToken:
    """Return the access token to a handler that has a parameter for it."""
    token = judgement_of(cast("Any", scope)).decision.token
    if token is None:
        raise ConfigurationError("a handler on a public route has a parameter for the access token")
    return token


def _scheme() -> Components:
    return Components(
        security_schemes={
            _SCHEME: SecurityScheme(
                type="http",
                scheme="bearer",
                bearer_format="JWT",
                description="An OAuth 2.0 access token (RFC 6750, RFC 9068).",
            )
        }
    )


class _Documentation(ReceiveRoutePlugin):
    """Adds to the OpenAPI document what each handler demands, and the refusals."""

    def __init__(self, guard: LitestarGuard) -> None:
        self.guard = guard

    def receive_route(self, route: BaseRoute) -> None:
        """Document the handlers of a route."""
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            self._document(handler)

    def _document(self, handler: HTTPRouteHandler) -> None:
        demands = self.guard.demands_of(handler)
        if not demands:
            return
        scopes = dict.fromkeys(word for one in demands for word in one.challenge.split())
        handler.security = [*(handler.security or ()), {_SCHEME: list(scopes)}]
        refusals: Mapping[int, ResponseSpec] = {
            int(status): ResponseSpec(None, description=description)
            for status, description in REFUSALS.items()
        }
        handler.responses = {**refusals, **(handler.responses or {})}
