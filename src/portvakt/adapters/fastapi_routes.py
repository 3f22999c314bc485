"""Look through a FastAPI application for what nobody guards, before it serves anything."""

from collections.abc import Callable, Iterable, Iterator

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Host, Mount, Router, WebSocketRoute
from starlette.types import ASGIApp

from portvakt.adapters.forgotten import EVERY, Inspection, template_of
from portvakt.guard import ConfigurationError, Problem, Requirement, Routes

__all__ = ["FastAPIInspection", "guarding"]


class FastAPIInspection(Inspection):
    """Which routes of a FastAPI application are forgotten, or guarded and public at once.

    A route counts as guarded if one of the guard's own dependencies is anywhere among its own. What
    is mounted is walked too, unless it is no application of Starlette's: then a rule must be for
    all of it. FastAPI's documentation and static frontends (``app.frontend``) are left out: they
    need a valid token unless the policy declares them public.

    Parameters:
        rules: the policy's.
        demand_of: what a dependency demands, if it is one of the guard's; else None.

    Attributes:
        applications: every FastAPI application met on the way.
    """

    def __init__(self, rules: Routes, demand_of: Callable[[object], Requirement | None]) -> None:
        super().__init__(
            rules,
            "give each route Depends(guard.requires(scopes=[...])), or a [[route]] in the "
            "policy with its scopes, or with public = true if everyone may use it",
        )
        self.applications: list[FastAPI] = []
        self._demand_of = demand_of

    def walk(
        self,
        routes: Iterable[BaseRoute],
        prefix: str = "",
        *,
        ruled: bool = False,
        public: bool = False,
    ) -> None:
        """Look at each route.

        Parameters:
            routes: the routes of one application or router.
            prefix: where it is mounted.
            ruled: whether a rule is for all of it.
            public: whether that rule is public.
        """
        for context in iter_route_contexts(list(routes)):
            path = prefix + (context.path or "")
            if isinstance(context.original_route, Mount | Host):
                self._walk_mounted(context.app, path, ruled=ruled, public=public)
            elif not _is_documentation(context):
                self._walk_route(context, path, ruled=ruled, public=public)

    def _walk_mounted(self, app: ASGIApp, path: str, *, ruled: bool, public: bool) -> None:
        ruled, public = self.within(template_of(path), ruled=ruled, public=public)
        if isinstance(app, FastAPI):
            self.applications.append(app)
            if app.root_path:
                self.problems.append(
                    Problem(
                        f"{path}/*",
                        "the mounted application has a root_path of its own, so it would serve "
                        "other paths than are judged: leave it out, it is told where it is mounted",
                    )
                )
        if isinstance(app, Starlette | Router):
            self.walk(app.routes, path, ruled=ruled, public=public)
        else:
            self.opaque(path, ruled=ruled)

    def _walk_route(self, context: RouteContext, path: str, *, ruled: bool, public: bool) -> None:
        methods, shown = _methods(context)
        demands = []
        for dependant in guarding(context, self._demand_of):
            self._check_scopes(dependant, f"{shown or ', '.join(methods)} {path}")
            demand = self._demand_of(dependant.call)
            if demand is not None:
                demands.append(demand)
        self.look_at(
            path,
            methods,
            demands,
            template=template_of(path),
            shown=shown,
            ruled=ruled,
            public=public,
        )

    def _check_scopes(self, demand: Dependant, place: str) -> None:
        """Check the scopes of ``Security(…)`` now: they are compiled when they are first needed."""
        try:
            Requirement.of([*(demand.parent_oauth_scopes or ()), *(demand.own_oauth_scopes or ())])
        except ConfigurationError as error:
            self.problems.extend(Problem(place, problem.message) for problem in error.problems)


def guarding(
    context: RouteContext, demand_of: Callable[[object], Requirement | None]
) -> Iterator[Dependant]:
    """Return those of the dependencies of a route, at any depth, that are the guard's own.

    Parameters:
        context: the route.
        demand_of: what a dependency demands, if it is one of the guard's; else None.
    """
    # What is mounted, and what is Starlette's own, has none.
    pending: list[Dependant | None] = [getattr(context, "dependant", None)]
    while pending:
        dependant = pending.pop()
        if dependant is not None:
            if demand_of(dependant.call) is not None:
                yield dependant
            pending += reversed(dependant.dependencies)


def _is_documentation(context: RouteContext) -> bool:
    """Whether FastAPI itself made the route: openapi_url, docs_url, redoc_url, OAuth 2 redirect."""
    return getattr(context.endpoint, "__module__", None) == "fastapi.applications"


def _methods(context: RouteContext) -> tuple[tuple[str, ...], str | None]:
    """Return the methods that a rule has to be for, and how to show them if not by name."""
    if isinstance(context.original_route, WebSocketRoute):
        return ("GET",), "WEBSOCKET"
    return tuple(sorted(context.methods or (EVERY,))), None
