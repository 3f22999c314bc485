"""Endpoints that state requirements of their own: what the adapters of ASGI frameworks share.

In front of the application stands a middleware: nothing that is not admitted passes it. Behind it
an endpoint demands more of a token that was verified already; nothing is verified twice.
"""

from collections.abc import Callable, Mapping
from typing import Final

from portvakt.adapters.answering import adding_headers
from portvakt.adapters.asgi import GuardMiddleware
from portvakt.adapters.demands import (
    NotAdmitted,
    admitted_token,
    beyond_rules,
    demand_awaited,
)
from portvakt.adapters.judgement import KEY, Application, Scope, Send, decision_of, judgement_of
from portvakt.guard import AccessToken, Decision, Guard, HttpRequest, Requirement

__all__ = ["REFUSALS", "EndpointsMiddleware", "NotAdmitted", "demand"]

#: What OpenAPI says of every operation that demands a token.
REFUSALS: Final[Mapping[str, str]] = {
    "401": "The access token is missing, or is not accepted.",
    "403": "The access token does not carry a scope that this operation needs.",
}


class EndpointsMiddleware(GuardMiddleware):
    """In front of an application whose endpoints state requirements of their own.

    A request that a rule of the policy is for is judged by it; any other needs a valid token.

    Parameters:
        app: the application to stand in front of.
        guard: who judges.
        check_routes: raises ConfigurationError if a route is forgotten; called before the first
            request.
    """

    def __init__(self, app: Application, guard: Guard, check_routes: Callable[[], None]) -> None:
        super().__init__(app, guard)
        self._check_routes = check_routes

    def make_ready(self) -> None:
        """Check that no route is forgotten."""
        self._check_routes()

    async def judge(self, request: HttpRequest) -> Decision:
        """Judge by the rule for this request; without one, by whether the token is valid."""
        return await self.guard.check(request, beyond_rules(self.guard, request))

    def headed(self, decision: Decision, scope: Scope, send: Send) -> Send:
        """Add the headers of the last decision: an endpoint's demand may have made another.

        It makes one with other headers only where it has the request judged anew, which came
        without a token by a public rule. So of most answers nothing is even looked at.
        """
        if decision.token is not None and not decision.headers:
            return send
        return adding_headers(lambda: decision_of(scope).headers, send)


async def demand(guard: Guard, scope: Scope, *requirements: Requirement) -> AccessToken:
    """Demand more of the request of a scope, whose token was verified at the door.

    Parameters:
        guard: whose endpoint it is.
        scope: of the request; what the framework found in its path is under ``path_params``.
        requirements: what is demanded; none loosens another.

    Raises:
        NotAdmitted: with the answer to give instead of the endpoint's.
        ConfigurationError: if the guard does not stand in front of this application.
    """
    parameters = scope.get("path_params") or {}
    judgement = await demand_awaited(judgement_of(scope), guard, parameters, *requirements)
    scope[KEY] = judgement
    return admitted_token(judgement)
