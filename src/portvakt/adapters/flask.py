"""Guard a Flask application: refuse by default, demand per view, forget no route.

::

    guard = FlaskGuard.from_file("portvakt.toml")
    app = Flask(__name__)


    @app.get("/journal/<patient>")
    @guard.requires(scopes=["nhn:journal/read"])
    def read(patient: str, token: AccessToken): ...


    guard.protect(app)

What :mod:`portvakt.adapters.wsgi` says of paths, headers and certificates holds here too.
"""

import re
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Final, TypeVar, Unpack

from portvakt.adapters.demands import (
    NotAdmitted,
    admitted_token,
    beyond_rules,
    demand_blocked,
    is_ruled,
    state,
    stated,
    takes_token,
)
from portvakt.adapters.forgotten import EVERY, Inspection, template_of
from portvakt.adapters.judgement import KEY, judgement_of, token_of
from portvakt.adapters.wsgi import Application, Environ, GuardMiddleware, StartResponse
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
    from flask import Flask, current_app, request
    from werkzeug.exceptions import HTTPException
    from werkzeug.routing import Map, Rule
    from werkzeug.wrappers import Response as WerkzeugResponse
except ModuleNotFoundError as error:
    raise ConfigurationError("Flask is missing: pip install 'portvakt[flask]'") from error

__all__ = ["FlaskGuard", "token_of"]

View = TypeVar("View", bound=Callable[..., Any])

#: A parameter in a rule: ``<name>``, ``<converter:name>``, ``<converter(arguments):name>``.
_PARAMETER: Final = re.compile(r"<(?:([a-zA-Z_]\w*)(?:\(.*?\))?:)?([a-zA-Z_]\w*)>")

_EXTENSION: Final = "portvakt"

_ADVICE: Final = (
    "give each view @guard.requires(scopes=[...]), or a [[route]] in the policy with its scopes, "
    "or with public = true if everyone may use it"
)


class FlaskGuard(Guard):
    """A guard that knows Flask; made like any other, as ``FlaskGuard.from_file(...)``."""

    def protect(self, app: Flask, *, drops_underscores: bool = False) -> None:
        """Stand in front of *app*: from now on nothing that is not admitted reaches it.

        A request that a ``[[route]]`` of the policy is for is judged by it. Any other needs a valid
        token, whatever its path: also static files, and paths that do not exist.

        Call it last. Every view must have :meth:`requires` or be in the policy, or else this raises
        and says which were forgotten. All is looked at once more before the first request, so that
        views that came later count too; a view that was forgotten all the same is never called.

        WSGI middleware that wrapped the application before stays inside and sees admitted requests
        only; what wraps it after stands outside.

        Parameters:
            app: the application.
            drops_underscores: whether the server drops headers with an underscore in their names;
                to be stated if the policy names a proxy.

        Raises:
            ConfigurationError: if a view was forgotten, or a guard protects the application
                already, or a header of the proxy's could be anyone's.
        """
        if _EXTENSION in app.extensions:
            raise ConfigurationError("protect() was called twice with the same application")
        self.check_routes(app)
        inside: Application = app.wsgi_app
        guarded = _FlaskMiddleware(inside, self, app, drops_underscores=drops_underscores)
        app.wsgi_app = guarded  # type: ignore[method-assign]
        app.extensions[_EXTENSION] = self
        # Before whatever else the application does before a request.
        app.before_request_funcs.setdefault(None, []).insert(0, self._refuse_forgotten)

    def requires(
        self, scopes: Iterable[str] = (), **demands: Unpack[Demands]
    ) -> Callable[[View], View]:
        """Return a decorator that demands scopes and more of whoever calls a view.

        It stands below ``@app.get(...)``, or among the ``decorators`` of a class of views. What the
        policy demands is demanded as well; neither loosens the other. It does not verify the token
        a second time: the application must be under :meth:`protect`. A view that has a parameter
        ``token`` gets the access token there; all find it with :meth:`token`.

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
            def guarded(*args: Any, **kwargs: Any) -> Any:
                token = self._demand(requirement)
                if given:
                    kwargs["token"] = token
                return current_app.ensure_sync(view)(*args, **kwargs)

            return state(guarded, self, requirement)  # type: ignore[return-value]

        return decorate

    def token(self) -> AccessToken:
        """Return the access token of the request that is being served.

        Raises:
            ConfigurationError: on a public route, or if no guard stands in front.
        """
        return admitted_token(judgement_of(request.environ))

    def check_routes(self, app: Flask) -> None:
        """Check that no view of *app* is forgotten, as far as it has views yet.

        Raises:
            ConfigurationError: listing every view that is neither guarded nor in the policy, that
                is guarded and public at once, or that demands tokens bound in two ways at once.
        """
        inspection = Inspection(self.routes, _ADVICE)
        for rule in app.url_map.iter_rules():
            view = app.view_functions.get(rule.endpoint)
            if rule.build_only or _is_flasks_own(view):
                continue
            # Without a rule of its own, HEAD is refused before the view.
            left_out = {"HEAD", "OPTIONS"} if _answers_options(rule) else {"HEAD"}
            methods = sorted((rule.methods or {EVERY}) - left_out)
            template, demands = _template(rule, app.url_map), stated(view, self)
            inspection.look_at(rule.rule, methods, demands, template=template)
        inspection.conclude()

    def _demand(self, requirement: Requirement) -> AccessToken:
        environ = request.environ
        parameters = request.view_args or {}
        try:
            judgement = demand_blocked(judgement_of(environ), self, parameters, requirement)
        except NotAdmitted as refused:
            # With a whole response in it, it goes past every error handler of the application.
            raise HTTPException(response=_answer(refused.response)) from None
        environ[KEY] = judgement
        return admitted_token(judgement)

    def _refuse_forgotten(self) -> WerkzeugResponse | None:
        """Keep a request from a view that nobody guards: the policy alone says what it needs."""
        judgement, rule = judgement_of(request.environ), request.url_rule
        if judgement.guard is not self:
            raise ConfigurationError("two guards protect the same application")
        if rule is None or is_ruled(self, judgement.request):
            return None
        view = current_app.view_functions.get(rule.endpoint)
        automatic = request.method == "OPTIONS" and _answers_options(rule)
        if automatic or _is_flasks_own(view) or stated(view, self):
            return None
        response = self.check_blocking(judgement.request, again=True).response
        return None if response is None else _answer(response)


class _FlaskMiddleware(GuardMiddleware):
    """In front of a Flask application, whose views state requirements of their own."""

    def __init__(
        self, app: Application, guard: FlaskGuard, protected: Flask, *, drops_underscores: bool
    ) -> None:
        super().__init__(app, guard, drops_underscores=drops_underscores)
        self._check_routes = guard.check_routes
        self._protected = protected
        self._ready = False

    def judge(self, request: HttpRequest) -> Decision:
        """Judge by the rule for this request; without one, by whether the token is valid."""
        return self.guard.check_blocking(request, beyond_rules(self.guard, request))

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request; the first only after every view was looked at."""
        if not self._ready:
            self._check_routes(self._protected)
            self._ready = True
        return super().__call__(environ, start_response)


def _answer(response: Response) -> WerkzeugResponse:
    """Return the guard's response as one of Flask's."""
    return WerkzeugResponse(response.body, response.status, list(response.headers))


def _is_flasks_own(view: object) -> bool:
    """Whether Flask itself made the view: static files. They need a valid token, or a rule."""
    return getattr(view, "__module__", "").startswith("flask.")


def _answers_options(rule: Rule) -> bool:
    """Whether Flask answers OPTIONS by itself, without the view."""
    return bool(getattr(rule, "provide_automatic_options", False))


def _template(rule: Rule, url_map: Map) -> str:
    """Return the path of a rule as a policy writes it."""

    def parameter(found: re.Match[str]) -> str:
        converter = url_map.converters.get(found[1] or "default")
        one = getattr(converter, "part_isolating", False)
        return f"{{{found[2]}}}" if one else f"{{{found[2]}:path}}"

    return template_of(_PARAMETER.sub(parameter, rule.rule))
