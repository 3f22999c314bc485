"""Look through a Starlette application for what nobody guards, before it serves anything."""

import inspect
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.routing import BaseRoute, Host, Mount, Route, WebSocketRoute

from portvakt.adapters.demands import stated
from portvakt.adapters.forgotten import EVERY, Inspection, template_of
from portvakt.guard import Guard, Problem, Requirement, Routes

__all__ = ["StarletteInspection"]


class StarletteInspection(Inspection):
    """Which routes of a Starlette application are forgotten, or guarded and public at once.

    A route counts as guarded if its endpoint is; a class, if it is as a whole or in each method.
    What is mounted is walked too, unless it has no routes of Starlette's: then a rule must be for
    all of it.

    Parameters:
        rules: the policy's.
        guard: whose demands count.
    """

    def __init__(self, rules: Routes, guard: Guard) -> None:
        super().__init__(
            rules,
            "give each endpoint @guard.requires(scopes=[...]), or a [[route]] in the policy with "
            "its scopes, or with public = true if everyone may use it",
        )
        self._guard = guard

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
        for route in routes:
            if isinstance(route, Mount | Host):
                # A host's routes are at the paths that they have anywhere.
                path = prefix + route.path if isinstance(route, Mount) else prefix
                self._walk_mounted(route, path, ruled=ruled, public=public)
            elif isinstance(route, Route | WebSocketRoute):
                for methods, shown, demands in _parts(route, self._demands):
                    self.look_at(
                        prefix + route.path,
                        methods,
                        demands,
                        template=template_of(prefix + route.path),
                        shown=shown,
                        ruled=ruled,
                        public=public,
                    )
            elif not ruled:
                what = "is of a kind that cannot be looked into: only a [[route]] can be for it"
                self.forgotten(f"{prefix}/* ({type(route).__name__})", what)

    def _walk_mounted(self, route: Mount | Host, path: str, *, ruled: bool, public: bool) -> None:
        ruled, public = self.within(template_of(path), ruled=ruled, public=public)
        if getattr(route.app, "root_path", ""):
            what = (
                "the mounted application has a root_path of its own, so it would serve other "
                "paths than are judged: leave it out, it is told where it is mounted"
            )
            self.problems.append(Problem(f"{path}/*", what))
        routes: Any = route.routes
        if routes and all(isinstance(one, BaseRoute) for one in routes):
            self.walk(routes, path, ruled=ruled, public=public)
        else:
            self.opaque(path, ruled=ruled)

    def _demands(self, endpoint: object) -> list[Requirement]:
        while isinstance(endpoint, partial):
            endpoint = endpoint.func
        return list(stated(endpoint, self._guard))


def _parts(
    route: Route | WebSocketRoute, demands_on: Any
) -> Iterable[tuple[Sequence[str], str | None, list[Requirement]]]:
    """Return the parts of a route that are guarded each by itself: methods, name, demands."""
    endpoint: Any = route.endpoint
    if isinstance(route, WebSocketRoute):
        whole = _is_one(endpoint, WebSocketEndpoint)
        yield ("GET",), "WEBSOCKET", demands_on(endpoint.dispatch if whole else endpoint)
        return
    if not _is_one(endpoint, HTTPEndpoint):
        yield tuple(sorted(route.methods or (EVERY,))), None, demands_on(endpoint)
        return
    every = demands_on(endpoint.dispatch)
    for method in ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY"):
        handler = getattr(endpoint, method.lower(), None)
        if handler is None and method == "HEAD":
            handler = getattr(endpoint, "get", None)
        if handler is not None and (not route.methods or method in route.methods):
            yield (method,), None, [*every, *demands_on(handler)]


def _is_one(endpoint: object, kind: type) -> bool:
    return inspect.isclass(endpoint) and issubclass(endpoint, kind)
