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
from functools import cached_property, lru_cache
from typing import Any, Final, Unpack
from urllib.parse import quote

from portvakt.adapters.asgi import (
    KEY,
    Application,
    GuardMiddleware,
    Receive,
    Scope,
    Send,
    adding_headers,
    answer,
    decision_of,
    judgement_of,
)
from portvakt.guard import (
    AccessToken,
    ConfigurationError,
    Decision,
    Demands,
    Guard,
    HttpRequest,
    Problem,
    Requirement,
    Response,
    SenderConstraint,
)

try:
    from fastapi import FastAPI, Security
    from fastapi.openapi.models import HTTPBearer
    from fastapi.security import SecurityScopes
    from fastapi.security.base import SecurityBase
    from starlette.requests import HTTPConnection
    from starlette.responses import Response as StarletteResponse

    from portvakt.adapters.fastapi_routes import Inspection
except ImportError as error:
    raise ConfigurationError("FastAPI is missing: pip install 'portvakt[fastapi]'") from error

__all__ = ["FastAPIGuard", "NotAdmitted"]

Demand = Callable[..., Coroutine[Any, Any, AccessToken]]

_ANY_TOKEN: Final = Requirement.of(sender_constraint=SenderConstraint.EITHER)

#: Compiled once, for there are as many as the application writes down.
_require: Final = lru_cache(Requirement.of)

#: What OpenAPI says of every operation that demands a token.
_REFUSALS: Final = {
    "401": "The access token is missing, or is not accepted.",
    "403": "The access token does not carry a scope that this operation needs.",
}


class NotAdmitted(Exception):  # noqa: N818  it says what the request is
    """An endpoint demands more than the token has. Rendered as the guard's own answer.

    Attributes:
        response: that answer.
    """

    def __init__(self, response: Response) -> None:
        self.response: Final = response
        super().__init__("the request is not admitted")


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
        app.add_middleware(_FastAPIMiddleware, guard=self, protected=app)
        app.add_exception_handler(NotAdmitted, _render)
        _document_refusals(app)

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

        async def access_token(
            connection: HTTPConnection,
            around: SecurityScopes,
            # For OpenAPI alone: it names the scheme and its scopes.
            _scheme: None = Security(_SCHEME, scopes=requirement.challenge.split()),
        ) -> AccessToken:
            if around.scopes:
                # The own ones again, so that a challenge names all that a new token needs.
                every = _require(
                    (*sorted(requirement.scopes), *around.scopes),
                    sender_constraint=requirement.sender_constraint,
                )
                await self._demand(connection, every)
            return await self._demand(connection, requirement)

        self._demands[access_token] = requirement
        return access_token

    async def _demand(self, connection: HTTPConnection, requirement: Requirement) -> AccessToken:
        judgement = judgement_of(connection.scope)
        if judgement.guard is not self:
            raise ConfigurationError("requires() and protect() are of two different guards")
        request = _routed(judgement.request, connection)
        if judgement.decision.token is None:
            # Public by its path, and yet the endpoint demands a token: the stricter of them holds.
            decision = await self.check(request, requirement, again=True)
        else:
            decision = await self.demand(request, judgement.decision, requirement)
        if decision.admitted and decision is not judgement.decision:
            connection.scope[KEY] = judgement._replace(decision=decision)
        if decision.response is not None:
            raise NotAdmitted(decision.response)
        if decision.token is None:
            raise ConfigurationError("the guard admitted a request without the token it demanded")
        return decision.token

    def check_routes(self, app: FastAPI) -> None:
        """Check that no route of *app* is forgotten; done when the application starts.

        Raises:
            ConfigurationError: listing every route that is neither guarded nor in the policy, that
                is guarded and public at once, that demands scopes which are none, or tokens that
                are bound in two ways at once.
        """
        inspection = Inspection(self.routes, self._demands.get)
        inspection.walk(app.routes)
        for mounted in inspection.applications:
            mounted.add_exception_handler(NotAdmitted, _render)
        if inspection.problems:
            advice = Problem(
                "",
                "give each route Depends(guard.requires(scopes=[...])), or a [[route]] in the "
                "policy with its scopes, or with public = true if everyone may use it",
            )
            raise ConfigurationError([*inspection.problems, advice])


def _routed(request: HttpRequest, connection: HTTPConnection) -> HttpRequest:
    """Return the request with what FastAPI found in its path, encoded anew."""
    if not connection.path_params:
        return request
    return HttpRequest(
        method=request.method,
        url=request.url,
        headers=request.headers,
        peer=request.peer,
        client_certificate=request.client_certificate,
        path_parameters=tuple(
            (name, quote(str(value), safe="")) for name, value in connection.path_params.items()
        ),
    )


class _FastAPIMiddleware(GuardMiddleware):
    """In front of a FastAPI application, whose endpoints state requirements of their own."""

    def __init__(self, app: Application, guard: FastAPIGuard, protected: FastAPI) -> None:
        super().__init__(app, guard)
        self._check_routes = guard.check_routes
        self._protected = protected

    def make_ready(self) -> None:
        """Check that no route is forgotten."""
        self._check_routes(self._protected)

    async def judge(self, request: HttpRequest) -> Decision:
        """Judge by the rule for this request; without one, by whether the token is valid."""
        rule = self.guard.routes.find(request)
        # Only where no rule is, or no rules are (what stands in for them has no path): a
        # requirement of ours would make a public rule demand a token.
        ruled = rule is not None and rule.path is not None
        return await self.guard.check(request, None if ruled else _ANY_TOKEN)

    def headed(self, _decision: Decision, scope: Scope, send: Send) -> Send:
        """Add the headers of the last decision: an endpoint's demand may have made another."""
        return adding_headers(lambda: decision_of(scope).headers, send)


class _BearerScheme(SecurityBase):
    """What OpenAPI says of the tokens. It checks nothing: who depends on it has checked."""

    def __init__(self) -> None:
        self.model = HTTPBearer(
            bearerFormat="JWT", description="An OAuth 2.0 access token (RFC 6750, RFC 9068)."
        )
        self.scheme_name = "AccessToken"

    async def __call__(self) -> None:
        """Do nothing."""


_SCHEME: Final = _BearerScheme()


class _Answer(StarletteResponse):
    """The guard's response as one of Starlette's."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.body, response.status, dict(response.headers))
        self._response = response

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await answer(self._response, scope, send)


async def _render(_connection: HTTPConnection, error: Exception) -> StarletteResponse:
    if not isinstance(error, NotAdmitted):
        raise error
    return _Answer(error.response)


def _document_refusals(app: FastAPI) -> None:
    """Add the refusals to each guarded operation of the OpenAPI document."""
    make_document = app.openapi

    def openapi() -> dict[str, Any]:
        document = make_document()
        for operations in document.get("paths", {}).values():
            for operation in operations.values():
                if any(_SCHEME.scheme_name in scheme for scheme in operation.get("security", ())):
                    for status, description in _REFUSALS.items():
                        operation["responses"].setdefault(status, {"description": description})
        return document

    app.openapi = openapi  # type: ignore[method-assign]
