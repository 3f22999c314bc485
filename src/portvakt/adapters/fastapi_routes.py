"""Look through a FastAPI application for what nobody guards, before it serves anything."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Host, Mount, Router, WebSocketRoute
from starlette.types import ASGIApp

from portvakt.guard import (
    ConfigurationError,
    Problem,
    Requirement,
    Routes,
    SenderConstraint,
    agreed,
)

__all__ = ["Inspection"]

#: Stands for every method: no rule can list it, so only a rule without a list is for it.
_EVERY: Final = "*"

#: Parameters that take one segment at most. Others (path, converters of one's own) take slashes.
_ONE_SEGMENT: Final = re.compile(r"\{[^{}:]+(?::(?:str|int|float|uuid))?\}")


class Inspection:
    """Which routes are neither guarded nor in the policy, or both guarded and public.

    A route counts as guarded if one of the guard's own dependencies is anywhere among its own. What
    is mounted is walked too, unless it is no application of Starlette's: then a rule must be for
    all of it. FastAPI's documentation and static frontends (``app.frontend``) are left out: they
    need a valid token unless the policy declares them public.

    Parameters:
        rules: the policy's.
        demand_of: what a dependency demands, if it is one of the guard's; else None.

    Attributes:
        problems: what is wrong.
        applications: every FastAPI application met on the way.
    """

    def __init__(self, rules: Routes, demand_of: Callable[[object], Requirement | None]) -> None:
        self.problems: list[Problem] = []
        self.applications: list[FastAPI] = []
        self._rules = rules
        self._public = Routes(rule for rule in rules.rules if rule.public)
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
                self._look_at(context, path, ruled=ruled, public=public)

    def _walk_mounted(self, app: ASGIApp, path: str, *, ruled: bool, public: bool) -> None:
        everything = _template(path) + "/{rest:path}"
        ruled = ruled or self._rules.covers(everything, _EVERY)
        public = public or self._public.covers(everything, _EVERY)
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
        elif not ruled:
            self._forgotten(f"{path}/*", "is mounted: only a [[route]] can be for all of it")

    def _look_at(self, context: RouteContext, path: str, *, ruled: bool, public: bool) -> None:
        methods, shown = _methods(context)
        template = _template(path)
        demands = tuple(self._demands(getattr(context, "dependant", None)))
        for demand in demands:
            self._check_scopes(demand, f"{shown} {path}")
        if demands:
            if not ruled:
                self._check_constraints(demands, template, methods, f"{shown} {path}")
            if public or any(self._public.covers(template, method) for method in methods):
                self.problems.append(
                    Problem(
                        f"{shown} {path}",
                        "is public in the policy and has guard.requires(): decide for one of them",
                    )
                )
            return
        if ruled:
            return
        forgotten = [method for method in methods if not self._rules.covers(template, method)]
        if forgotten:
            names = shown if shown == "WEBSOCKET" else ", ".join(forgotten)
            self._forgotten(f"{names} {path}", "nobody guards it")

    def _forgotten(self, place: str, message: str) -> None:
        self.problems.append(Problem(place, message))

    def _check_scopes(self, demand: Dependant, place: str) -> None:
        """Check the scopes of ``Security(…)`` now: they are compiled when they are first needed."""
        try:
            Requirement.of([*(demand.parent_oauth_scopes or ()), *(demand.own_oauth_scopes or ())])
        except ConfigurationError as error:
            self.problems.extend(Problem(place, problem.message) for problem in error.problems)

    def _check_constraints(
        self, demands: Iterable[Dependant], template: str, methods: Iterable[str], place: str
    ) -> None:
        """See that one token can be what the rule and every demand of an endpoint take."""
        stated = [self._demand_of(demand.call) for demand in demands]
        for method in methods:
            rule = self._rules.covering(template, method) or self._rules.everywhere
            first = rule.requirement.sender_constraint
            try:
                taken = {
                    agreed(first, one.sender_constraint) or SenderConstraint.NONE
                    for one in stated
                    if one is not None
                }
            except ConfigurationError as error:
                self.problems.extend(Problem(place, one.message) for one in error.problems)
                return
            if len(taken) > 1:
                words = " and ".join(sorted(one.value for one in taken))
                message = (
                    f"takes tokens of two kinds at once, and so none, by sender_constraint {words}"
                )
                self.problems.append(
                    Problem(place, f"{message}: state the same in each requires()")
                )
                return

    def _demands(self, dependant: Dependant | None) -> Iterator[Dependant]:
        if dependant is None:
            return
        if self._demand_of(dependant.call) is not None:
            yield dependant
        for inner in dependant.dependencies:
            yield from self._demands(inner)


def _is_documentation(context: RouteContext) -> bool:
    """Whether FastAPI itself made the route: openapi_url, docs_url, redoc_url, OAuth 2 redirect."""
    return getattr(context.endpoint, "__module__", None) == "fastapi.applications"


def _methods(context: RouteContext) -> tuple[tuple[str, ...], str]:
    """Return the methods that a rule has to be for, and how to show them."""
    if isinstance(context.original_route, WebSocketRoute):
        return ("GET",), "WEBSOCKET"
    if context.methods:
        methods = tuple(sorted(context.methods))
        return methods, ", ".join(methods)
    return (_EVERY,), _EVERY


def _template(path: str) -> str:
    """Write a framework's path as a policy writes it: a segment with a parameter is a parameter."""
    return "/".join(
        "{segment}"
        if _ONE_SEGMENT.search(segment) and "{" not in _ONE_SEGMENT.sub("", segment)
        else quote(segment, safe="{}-._~!$&'()*+,;=:@")
        for segment in path.split("/")
    )
