"""Guard a Django project: refuse by default, demand per view, forget no view.

::

    # project/guards.py
    guard = DjangoGuard.from_file("portvakt.toml")

    # project/settings.py
    PORTVAKT_GUARD = "project.guards.guard"
    MIDDLEWARE = ["portvakt.adapters.django.GuardMiddleware", ...]
    INSTALLED_APPS = ["portvakt.adapters.django.Portvakt", ...]  # for manage.py check


    # project/views.py
    @guard.requires(scopes=["nhn:journal/read"])
    def read(request, patient, token: AccessToken): ...

It serves WSGI and ASGI, and views of both kinds. What :mod:`portvakt.adapters.wsgi` and
:mod:`portvakt.adapters.asgi` say of paths, headers and certificates holds here too. The path that
is judged is Django's own, ``request.path_info``: middleware inside must leave it alone.

The guard stands first in ``MIDDLEWARE``. What stands before it sees, and may answer, requests that
nobody has judged, as ``CorsMiddleware`` has to: browsers send preflights without a token.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import wraps
from typing import Any, TypeVar, Unpack, cast
from urllib.parse import unquote

from portvakt.adapters import asgi, wsgi
from portvakt.adapters.demands import (
    NotAdmitted,
    admitted_token,
    beyond_rules,
    demand_awaited,
    demand_blocked,
    is_ruled,
    state,
    takes_token,
)
from portvakt.adapters.judgement import Judgement
from portvakt.guard import (
    AccessToken,
    ConfigurationError,
    Decision,
    Demands,
    Guard,
    HttpRequest,
    Requirement,
    Response,
)

try:
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction
    from django.apps import AppConfig
    from django.conf import settings
    from django.core.checks import Error, Tags, register
    from django.http import HttpRequest as DjangoRequest
    from django.http import HttpResponse, HttpResponseBase
    from django.utils.module_loading import import_string

    from portvakt.adapters.django_views import demands_of, inspect_urls
except ModuleNotFoundError as error:
    raise ConfigurationError("Django is missing: pip install 'portvakt[django]'") from error

__all__ = [
    "DjangoGuard",
    "GuardMiddleware",
    "Portvakt",
    "answer",
    "check_views",
    "guard_of_settings",
    "judgement_of",
    "token_of",
]

View = TypeVar("View", bound=Callable[..., Any])


def judgement_of(request: DjangoRequest) -> Judgement:
    """Return what the guard found about a request: its ``request.portvakt``.

    Raises:
        ConfigurationError: if no guard stands in front of the view.
    """
    judgement = getattr(request, "portvakt", None)
    if not isinstance(judgement, Judgement):
        raise ConfigurationError(
            "nothing was checked, as no guard stands in front: put "
            "portvakt.adapters.django.GuardMiddleware first in MIDDLEWARE"
        )
    return judgement


def token_of(request: DjangoRequest) -> AccessToken | None:
    """Return the access token of a request; None on a route that the policy declares public.

    Raises:
        ConfigurationError: if no guard stands in front of the view.
    """
    return judgement_of(request).decision.token


class DjangoGuard(Guard):
    """A guard that knows Django; made like any other, as ``DjangoGuard.from_file(...)``."""

    def requires(
        self, scopes: Iterable[str] = (), **demands: Unpack[Demands]
    ) -> Callable[[View], View]:
        """Return a decorator that demands scopes and more of whoever calls a view.

        For functions, plain and async; and for methods of a class of views by Django's
        ``method_decorator``. It stands outermost. What the policy demands is demanded as well;
        neither loosens the other. It does not verify the token a second time. A function that has a
        parameter ``token`` gets the access token there; all find it with :meth:`token`.

        Parameters:
            scopes: all of them are needed; none means that any valid token will do.
            demands: whatever else :meth:`~portvakt.Requirement.of` takes, as ``security_level=4``
                or ``matches_request={"pid": "path.pid"}``.

        Raises:
            ConfigurationError: if a scope is not one word, or a demand could never be met.
        """
        requirement = Requirement.of(scopes, **demands)
        self.check_parts(requirement)

        def decorate(view: View) -> View:
            given = takes_token(view)

            @wraps(view)
            def guarded(request: DjangoRequest, *args: Any, **kwargs: Any) -> Any:
                try:
                    token = self.demand_of(request, requirement, kwargs)
                except NotAdmitted as refused:
                    return answer(refused.response, request)
                return view(request, *args, **kwargs, **({"token": token} if given else {}))

            @wraps(view)
            async def guarded_async(request: DjangoRequest, *args: Any, **kwargs: Any) -> Any:
                judgement = judgement_of(request)
                try:
                    found = await demand_awaited(judgement, self, kwargs, requirement)
                except NotAdmitted as refused:
                    return answer(refused.response, request)
                token = _keep(request, found)
                return await view(request, *args, **kwargs, **({"token": token} if given else {}))

            chosen = guarded_async if iscoroutinefunction(view) else guarded
            return cast("View", state(chosen, self, requirement))

        return decorate

    def demand_of(
        self, request: DjangoRequest, requirement: Requirement, parameters: Mapping[str, Any]
    ) -> AccessToken:
        """Demand more of a request that was admitted; what comes of it is kept with the request.

        Parameters:
            request: the request.
            requirement: what is demanded.
            parameters: what Django found in the path.

        Raises:
            NotAdmitted: if the request does not have it.
        """
        judgement = demand_blocked(judgement_of(request), self, parameters, requirement)
        return _keep(request, judgement)

    def token(self, request: DjangoRequest) -> AccessToken:
        """Return the access token of a request.

        Raises:
            ConfigurationError: on a public route, or if no guard stands in front.
        """
        return admitted_token(judgement_of(request))

    def check_routes(self, urlconf: str | None = None) -> None:
        """Check that no view is forgotten; done when the middleware is made, as a server starts.

        Parameters:
            urlconf: whose views; those of ``ROOT_URLCONF`` by default.

        Raises:
            ConfigurationError: listing every view that is neither guarded nor in the policy, that
                is guarded and public at once, or that demands tokens bound in two ways at once.
        """
        inspect_urls(self, urlconf).conclude()


def guard_of_settings() -> DjangoGuard:
    """Return the guard that ``PORTVAKT_GUARD`` is, or names by its dotted path.

    Raises:
        ConfigurationError: if there is none.
    """
    named = getattr(settings, "PORTVAKT_GUARD", None)
    found = import_string(named) if isinstance(named, str) else named
    if not isinstance(found, DjangoGuard):
        raise ConfigurationError(
            "the setting PORTVAKT_GUARD has to name a DjangoGuard, as 'project.guards.guard'"
        )
    return found


def check_views(**_: object) -> list[Any]:
    """Return every view that was forgotten as an error of Django's system checks."""
    try:
        guard_of_settings().check_routes()
    except ConfigurationError as error:
        return [
            Error(f"{one.place}: {one.message}" if one.place else one.message, id="portvakt.E001")
            for one in error.problems
        ]
    return []


class Portvakt(AppConfig):  # type: ignore[misc]
    """For ``INSTALLED_APPS``: lets ``manage.py check`` look for forgotten views."""

    name = "portvakt.adapters.django"
    label = "portvakt"

    def ready(self) -> None:
        """Register the check."""
        register(check_views, Tags.security)


class GuardMiddleware:
    """Django middleware that lets views see admitted requests only; first in ``MIDDLEWARE``.

    A request that a ``[[route]]`` of the policy is for is judged by it. Any other needs a valid
    token, whatever its path, and reaches no view but those that demand something themselves. So a
    view that was forgotten is never called, though all are looked at when a server starts.

    Parameters:
        get_response: what comes after.

    Raises:
        ConfigurationError: if there is no guard, a view was forgotten, or a header of the proxy's
            could be anyone's (see ``PORTVAKT_DROPS_UNDERSCORES``).
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[DjangoRequest], Any]) -> None:
        self.get_response = get_response
        self.guard = guard_of_settings()
        self.guard.check_routes()
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)
            # Django would run it in a thread otherwise.
            self.process_view = self._process_view_async  # type: ignore[method-assign]
        else:
            self._check_headers()

    def _check_headers(self) -> None:
        drops = bool(getattr(settings, "PORTVAKT_DROPS_UNDERSCORES", False))
        wsgi.check_underscores(self.guard, drops=drops)

    def __call__(self, request: DjangoRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Serve one request."""
        if self._async:
            return self._serve_async(request)
        judged, flaw = self._read(request)
        guard = self.guard
        if flaw:
            decision = guard.malformed(judged, flaw)
        else:
            decision = guard.check_blocking(judged, beyond_rules(guard, judged))
        if decision.response is not None:
            return answer(decision.response, request)
        request.portvakt = Judgement(guard, judged, decision)
        return _headed(self.get_response(request), request)

    async def _serve_async(self, request: DjangoRequest) -> HttpResponseBase:
        judged, flaw = self._read(request)
        guard = self.guard
        if flaw:
            decision = guard.malformed(judged, flaw)
        else:
            decision = await guard.check(judged, beyond_rules(guard, judged))
        if decision.response is not None:
            return answer(decision.response, request)
        request.portvakt = Judgement(guard, judged, decision)
        return _headed(await self.get_response(request), request)

    def _read(self, request: DjangoRequest) -> tuple[HttpRequest, str | None]:
        """Return a request as the guard wants it, and why it cannot be judged, if so."""
        scope: Any = getattr(request, "scope", None)
        if scope is None:
            self._check_headers()
            # Django has replaced both in the environ by text that is decoded already.
            prefix: str = request.META.get("SCRIPT_NAME") or ""
            return wsgi.read_request(request.META, request.path_info, prefix)
        # Django's own idea of where it is mounted: FORCE_SCRIPT_NAME, or the server's.
        mounted = {**scope, "root_path": getattr(request, "script_name", "")}
        judged, flaw = asgi.read_request(mounted)
        if judged.method != request.method:
            flaw = flaw or "the method is not in capitals, and Django takes it as if it were"
        if unquote(judged.url.partition("?")[0]) != request.path_info:
            flaw = flaw or "Django routes by another path than was written"
        return judged, flaw

    def process_view(
        self, request: DjangoRequest, view: Callable[..., Any], _args: Any, _kwargs: Any
    ) -> HttpResponse | None:
        """Keep a request from a view that nobody guards: the policy alone says what it needs."""
        judged = self._unguarded(request, view)
        if judged is None:
            return None
        return _answer_of(self.guard.check_blocking(judged, again=True), request)

    async def _process_view_async(
        self, request: DjangoRequest, view: Callable[..., Any], _args: Any, _kwargs: Any
    ) -> HttpResponse | None:
        judged = self._unguarded(request, view)
        return (
            None
            if judged is None
            else _answer_of(await self.guard.check(judged, again=True), request)
        )

    def _unguarded(self, request: DjangoRequest, view: Callable[..., Any]) -> HttpRequest | None:
        """Return what was judged, if neither a rule nor the view says what it needs."""
        judged = judgement_of(request).request
        if is_ruled(self.guard, judged) or demands_of(view, request.method or "", self.guard):
            return None
        return judged

    def process_exception(
        self, request: DjangoRequest, exception: Exception
    ) -> HttpResponse | None:
        """Answer for a demand that was made inside a view."""
        if not isinstance(exception, NotAdmitted):
            return None
        return answer(exception.response, request)


def answer(response: Response, request: DjangoRequest) -> HttpResponse:
    """Return the guard's response to a request as one of Django's; to HEAD without its body."""
    # As it was sent, not as Django reads it. Servers of ASGI leave the body out themselves.
    method = getattr(request, "environ", {}).get("REQUEST_METHOD")
    body = b"" if method == "HEAD" else response.body
    answered = HttpResponse(body, status=response.status, headers=dict(response.headers))
    # Django would log the path, which may hold a person's number. The guard's observers know all.
    answered._has_been_logged = True  # noqa: SLF001  there is no other way to say so
    return answered


def _answer_of(decision: Decision, request: DjangoRequest) -> HttpResponse | None:
    return None if decision.response is None else answer(decision.response, request)


def _keep(request: DjangoRequest, judgement: Judgement) -> AccessToken:
    """Keep a judgement with a request, also inside one of Django REST framework's."""
    getattr(request, "_request", request).portvakt = judgement
    return admitted_token(judgement)


def _headed(response: HttpResponseBase, request: DjangoRequest) -> HttpResponseBase:
    """Add what the last decision says: a view's demand may have made another."""
    for name, value in judgement_of(request).decision.headers:
        # One that is there already may be that of a refusal, which states its own.
        if name not in response.headers:
            response.headers[name] = value
    return response
