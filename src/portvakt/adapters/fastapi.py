"""Guard a FastAPI application: refuse by default, demand per endpoint, forget no route.

::

    guard = FastAPIGuard.from_file("portvakt.toml")
    app = FastAPI()
    guard.protect(app)


    @app.get("/journal/{patient}")
    def read(
        token: Annotated[AccessToken, Depends(guard.requires(scopes=["nhn:journal/read"]))],
    ): ...
"""

from collections.abc import Callable, Coroutine, Iterable
from functools import cached_property, lru_cache, partial
from typing import Any, Final, Unpack

from portvakt.adapters.endpoints import EndpointsMiddleware, NotAdmitted, demand
from portvakt.adapters.judgement import token_of
from portvakt.guard import (
    AccessToken,
    ConfigurationError,
    Demands,
    Guard,
    Requirement,
)

try:
    from fastapi import FastAPI
    from fastapi.openapi.models import HTTPBearer
    from fastapi.security import SecurityScopes
    from fastapi.security.base import SecurityBase
    from starlette.requests import HTTPConnection
    from starlette.responses import Response as StarletteResponse

    from portvakt.adapters.fastapi_document import SCHEME, document_demands
    from portvakt.adapters.fastapi_routes import FastAPIInspection
    from portvakt.adapters.starlette import GuardAnswer
except ImportError as error:
    raise ConfigurationError("FastAPI is missing: pip install 'portvakt[fastapi]'") from error

__all__ = ["FastAPIGuard", "NotAdmitted", "token_of"]

Demand = Callable[..., Coroutine[Any, Any, AccessToken]]

#: Compiled once, for there are as many as the application writes down.
_require: Final = lru_cache(Requirement.of)


class FastAPIGuard(Guard):
    """A guard that knows FastAPI; made like any other, as ``FastAPIGuard.from_file(...)``."""

    @cached_property
    def _demands(self) -> dict[object, Requirement]:
        """What the dependencies handed out so far demand; guarded routes are recognised by them."""
        return {}

    def protect(self, app: FastAPI) -> None:
        """Stand in front of *app*: from now on nothing that is not admitted reaches it.

        A request that a ``[[route]]`` of the policy is for is judged by it. Any other needs a valid
        token, whatever its path: also FastAPI's documentation, and paths that do not exist.

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
        app.add_exception_handler(NotAdmitted, _render)
        document_demands(app, self._demands.get)

    def requires(self, scopes: Iterable[str] = (), **demands: Unpack[Demands]) -> Demand:
        """Return a dependency that demands scopes and more, and gives the access token.

        For HTTP and WebSocket endpoints, routers and applications: ``Depends(guard.requires())``.
        What the policy demands is demanded as well, and so are the scopes of FastAPI's
        ``Security(…, scopes=[…])`` around it; none loosens another. It does not verify
        the token a second time: the application must be under :meth:`protect`.

        Parameters:
            scopes: all of them are needed; none means that any valid token will do.
            demands: whatever else :meth:`~portvakt.Requirement.of` takes, as ``security_level=4``
                or ``matches_request={"pid": "path.pid"}``.

        Raises:
            ConfigurationError: if a scope is not one word, or a demand could never be met.
        """
        requirement = Requirement.of(scopes, **demands)
        self.check_parts(requirement)

        access_token = _Demanded(self, requirement)
        self._demands[access_token] = requirement
        return access_token

    def check_routes(self, app: FastAPI) -> None:
        """Check that no route of *app* is forgotten; done when the application starts.

        Raises:
            ConfigurationError: listing every route that is neither guarded nor in the policy, that
                is guarded and public at once, that demands scopes which are none, or tokens that
                are bound in two ways at once.
        """
        inspection = FastAPIInspection(self.routes, self._demands.get)
        inspection.walk(app.routes)
        for mounted in inspection.applications:
            mounted.add_exception_handler(NotAdmitted, _render)
            document_demands(mounted, self._demands.get)
        inspection.conclude()


class _Demanded(SecurityBase):
    """A dependency that demands a requirement of a guard, and gives the access token.

    It is the scheme of OpenAPI too, since FastAPI takes for each dependency of a request about as
    long as a guard takes to judge it: one more, for the document alone, would double the price.
    """

    def __init__(self, guard: Guard, requirement: Requirement) -> None:
        self.model = _MODEL
        self.scheme_name = SCHEME
        self._guard = guard
        self._requirement = requirement

    async def __call__(self, connection: HTTPConnection, around: SecurityScopes) -> AccessToken:
        """Return the token of a request that meets the requirement, and the scopes around it."""
        requirement = self._requirement
        if not around.scopes:
            return await demand(self._guard, connection.scope, requirement)
        # The own ones again, so that a challenge names all that a new token needs.
        every = _require(
            (*sorted(requirement.scopes), *around.scopes),
            sender_constraint=requirement.sender_constraint,
        )
        return await demand(self._guard, connection.scope, every, requirement)


_MODEL: Final = HTTPBearer(
    bearerFormat="JWT", description="An OAuth 2.0 access token (RFC 6750, RFC 9068)."
)


async def _render(_connection: HTTPConnection, error: Exception) -> StarletteResponse:
    if not isinstance(error, NotAdmitted):
        raise error
    return GuardAnswer(error.response)
