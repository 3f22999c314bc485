"""Endpoints that state requirements of their own: what the adapters of ASGI frameworks share.

In front of the application stands a middleware: nothing that is not admitted passes it. Behind it
an endpoint demands more of a token that was verified already; nothing is verified twice.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from portvakt.adapters.answering import adding_headers
from portvakt.adapters.asgi import GuardMiddleware
from portvakt.adapters.judgement import (
    KEY,
    Application,
    Judgement,
    Scope,
    Send,
    decision_of,
    judgement_of,
)
from portvakt.guard import (
    AccessToken,
    ConfigurationError,
    Decision,
    Guard,
    HttpRequest,
    Requirement,
    Response,
    SenderConstraint,
)

__all__ = ["REFUSALS", "EndpointsMiddleware", "NotAdmitted", "demand"]

_ANY_TOKEN: Final = Requirement.of(sender_constraint=SenderConstraint.EITHER)

#: What OpenAPI says of every operation that demands a token.
REFUSALS: Final[Mapping[str, str]] = {
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
        rule = self.guard.routes.find(request)
        # Only where no rule is, or no rules are (what stands in for them has no path): a
        # requirement of ours would make a public rule demand a token.
        ruled = rule is not None and rule.path is not None
        return await self.guard.check(request, None if ruled else _ANY_TOKEN)

    def headed(self, _decision: Decision, scope: Scope, send: Send) -> Send:
        """Add the headers of the last decision: an endpoint's demand may have made another."""
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
    judgement = judgement_of(scope)
    if judgement.guard is not guard:
        raise ConfigurationError("requires() and protect() are of two different guards")
    request, decision = _routed(judgement.request, scope.get("path_params")), judgement.decision
    for requirement in requirements:
        if decision.token is None:
            # Public by its path, and yet the endpoint demands a token: the stricter holds.
            decision = await guard.check(request, requirement)
        else:
            decision = await guard.demand(request, decision, requirement)
        if decision.response is not None:
            raise NotAdmitted(decision.response)
    route = decision.route
    if decision is not judgement.decision or (route and route.requirement.unsafe_on_stale):
        # What lasts is looked at by the last decision; and each demand says whether old news do.
        demands = (*judgement.demands, *requirements)
        scope[KEY] = Judgement(guard, judgement.request, decision, demands)
    if decision.token is None:
        raise ConfigurationError("the guard admitted a request without the token it demanded")
    return decision.token


def _routed(request: HttpRequest, parameters: Mapping[str, Any] | None) -> HttpRequest:
    """Return the request with what a framework found in its path, encoded anew."""
    if not parameters:
        return request
    return HttpRequest(
        method=request.method,
        url=request.url,
        headers=request.headers,
        peer=request.peer,
        client_certificate=request.client_certificate,
        path_parameters=tuple([(name, _encoded(str(value))) for name, value in parameters.items()]),
    )


def _encoded(text: str) -> str:
    # Numbers and words are what they are; to find that out takes a fraction of encoding them.
    return text if text.isascii() and text.isalnum() else quote(text, safe="")
