"""What Litestar serves where: looked through before the start, and seen to at each request.

Litestar goes by other paths than are written in requests. It takes slashes at the end away and
doubled ones for one; and what is mounted under ``/static`` is served under ``/statics`` too, where
no route has that exact path. A rule of the policy is for the path as it is written, so the request
would be judged as one that no rule is for. Such a path is refused.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from litestar import Litestar
from litestar.handlers import BaseRouteHandler
from litestar.routes import ASGIRoute, BaseRoute, HTTPRoute, WebSocketRoute

from portvakt.adapters.endpoints import EndpointsMiddleware
from portvakt.adapters.forgotten import EVERY, Inspection
from portvakt.adapters.judgement import Application
from portvakt.guard import Decision, Guard, HttpRequest, Requirement, Routes

__all__ = ["LitestarInspection", "LitestarMiddleware"]

#: Where Litestar's own handlers are written: the documentation, and what answers OPTIONS.
_OWN: Final = (
    "litestar._openapi.plugin",
    "litestar.openapi.controller",
    "litestar.openapi.plugins",
    "litestar.routes.http",
)


class LitestarInspection(Inspection):
    """Which handlers of a Litestar application are forgotten, or guarded and public at once.

    A handler counts as guarded if one of the guard's own is among its guards or those of the layers
    around it. For what is mounted, a guard or a rule must be for all of it. Litestar's
    documentation and its answers to OPTIONS are left out: they need a valid token unless the policy
    declares them public.

    Parameters:
        rules: the policy's.
        demands_of: what the guard demands of a handler.
    """

    def __init__(
        self, rules: Routes, demands_of: Callable[[BaseRouteHandler], list[Requirement]]
    ) -> None:
        super().__init__(
            rules,
            "give each handler guards=[guard.requires(scopes=[...])], or a [[route]] in the policy "
            "with its scopes, or with public = true if everyone may use it",
        )
        self._demands_of = demands_of

    def walk(self, routes: Iterable[BaseRoute]) -> None:
        """Look at each route."""
        for route in routes:
            template = _template(route)
            if isinstance(route, HTTPRoute):
                for handler in route.route_handlers:
                    if not _is_own(handler):
                        methods = tuple(sorted(str(one) for one in handler.http_methods))
                        self._look(route, methods, handler, template)
            elif isinstance(route, WebSocketRoute):
                self._look(route, ("GET",), route.route_handler, template, "WEBSOCKET")
            elif isinstance(route, ASGIRoute) and route.route_handler.is_mount:
                demands = self._demands_of(route.route_handler)
                below = "" if template == "/" else template
                ruled, public = self.within(below)
                if not demands:
                    self.opaque(below, ruled=ruled)
                else:
                    everything = f"{below}/{{rest:path}}"
                    self.look_at(everything, (EVERY,), demands, template=everything, public=public)
            elif isinstance(route, ASGIRoute):
                self._look(route, (EVERY,), route.route_handler, template)
            else:
                self.forgotten(route.path, "is of a kind that cannot be looked into")

    def _look(
        self,
        route: BaseRoute,
        methods: tuple[str, ...],
        handler: BaseRouteHandler,
        template: str,
        shown: str | None = None,
    ) -> None:
        demands = self._demands_of(handler)
        self.look_at(route.path, methods, demands, template=template, shown=shown)


class LitestarMiddleware(EndpointsMiddleware):
    """In front of a Litestar application.

    Parameters:
        app: Litestar's routing.
        guard: who judges.
        served: the application that it is of.
    """

    def __init__(self, app: Application, guard: Guard, served: Litestar) -> None:
        super().__init__(app, guard, lambda: None)
        self._served = served
        self._routes = 0
        self._plain: frozenset[str] = frozenset()
        self._mounts: tuple[str, ...] = ()

    async def judge(self, request: HttpRequest) -> Decision:
        """Judge a request by the path that Litestar will go by, or refuse it."""
        if len(self._served.routes) != self._routes:
            self._learn()
        written, question, query = request.url.partition("?")
        path = unquote(written) if "%" in written else written
        if path != "/" and (path.endswith("/") or "//" in path):
            return self.guard.malformed(request, "Litestar would serve another path than this")
        if self._mounts and path not in self._plain:
            for mount in self._mounts:
                if not path.startswith(mount):
                    continue
                rest = path[len(mount) :]
                if rest[:1] not in {"", "/"}:
                    what = "Litestar would serve this path as one that is mounted"
                    return self.guard.malformed(request, what)
                if not rest:
                    # The very place is part of what is mounted there, for Litestar and for rules.
                    url = f"{written}/{question}{query}"
                    return await super().judge(_at(request, url))
        return await super().judge(request)

    def _learn(self) -> None:
        routes = self._served.routes
        self._routes = len(routes)
        mounts = [
            one.path for one in routes if isinstance(one, ASGIRoute) and one.route_handler.is_mount
        ]
        self._mounts = tuple(one for one in mounts if one != "/")
        self._plain = frozenset(
            one.path for one in routes if not one.path_parameters and one.path not in mounts
        )


def _at(request: HttpRequest, url: str) -> HttpRequest:
    return HttpRequest(
        method=request.method,
        url=url,
        headers=request.headers,
        peer=request.peer,
        client_certificate=request.client_certificate,
    )


def _template(route: BaseRoute) -> str:
    """Write a route's path as a policy writes it."""
    segments = []
    for component in route.path_components:
        if isinstance(component, str):
            segments.append(quote(component, safe="-._~!$&'()*+,;=:@"))
        else:
            segments.append("{rest:path}" if component.type is Path else "{segment}")
    return "/" + "/".join(segments)


def _is_own(handler: Any) -> bool:
    return getattr(handler.fn, "__module__", None) in _OWN
