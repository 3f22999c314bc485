"""What views and endpoints demand beside the policy: what all adapters of frameworks share.

In front of the application nothing passes that is not admitted. Behind it a view demands more of a
token that was verified already; nothing is verified twice. Nothing here knows a framework.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

from portvakt.adapters.judgement import Judgement
from portvakt.guard import (
    AccessToken,
    ConfigurationError,
    Decision,
    Guard,
    HttpRequest,
    Requirement,
    Response,
    SenderConstraint,
    demand_blocking,
)

__all__ = [
    "NotAdmitted",
    "admitted_token",
    "beyond_rules",
    "demand_awaited",
    "demand_blocked",
    "is_ruled",
    "state",
    "stated",
    "takes_token",
]

_ANY_TOKEN: Final = Requirement.of(sender_constraint=SenderConstraint.EITHER)

#: Where a view carries what it demands. Decorators around it that use functools.wraps keep it.
_MARK: Final = "_portvakt_demands"

_TOKEN: Final = "token"  # noqa: S105  a name

V = TypeVar("V", bound=Callable[..., Any])


class NotAdmitted(Exception):  # noqa: N818  it says what the request is
    """An endpoint demands more than the token has. Rendered as the guard's own answer.

    Attributes:
        response: that answer.
    """

    def __init__(self, response: Response) -> None:
        self.response: Final = response
        super().__init__("the request is not admitted")


class _Stated(NamedTuple):
    guard: Guard
    requirement: Requirement


def state(view: V, guard: Guard, requirement: Requirement) -> V:
    """Note on a view that a guard's demand stands before it."""
    before: tuple[_Stated, ...] = getattr(view, _MARK, ())
    setattr(view, _MARK, (*before, _Stated(guard, requirement)))
    return view


def stated(view: object, guard: Guard) -> tuple[Requirement, ...]:
    """Return what stands before a view of this guard's demands."""
    noted: tuple[_Stated, ...] = getattr(view, _MARK, ())
    return tuple(one.requirement for one in noted if one.guard is guard)


def takes_token(view: Callable[..., Any]) -> bool:
    """Whether a view has a parameter ``token``, to be given the access token."""
    return _TOKEN in inspect.signature(view).parameters


def is_ruled(guard: Guard, request: HttpRequest) -> bool:
    """Whether a rule of the policy is for a request."""
    rule = guard.routes.find(request)
    # Where no rules are, what stands in for them has no path.
    return rule is not None and rule.path is not None


def beyond_rules(guard: Guard, request: HttpRequest) -> Requirement | None:
    """Return what is demanded of a request that no rule is for: a valid token.

    Its view says the rest. None where a rule is: a requirement of ours would make a public rule
    demand a token.
    """
    return None if is_ruled(guard, request) else _ANY_TOKEN


def demand_blocked(
    judgement: Judgement, guard: Guard, parameters: Mapping[str, object], *demands: Requirement
) -> Judgement:
    """Demand more of a request that was admitted, and return the judgement that comes of it.

    Parameters:
        judgement: what was found about the request before.
        guard: whose demands they are.
        parameters: what the framework found in the path.
        demands: what is demanded; none loosens another.

    Raises:
        NotAdmitted: with the answer to give instead of the endpoint's.
        ConfigurationError: if the request was judged by another guard.
    """
    request, decision = _routed(judgement, guard, parameters), judgement.decision
    for one in demands:
        if decision.token is None:
            # Public by its path, and yet the endpoint demands a token: the stricter holds.
            decision = guard.check_blocking(request, one, again=True)
        else:
            decision = demand_blocking(guard, request, decision, one)
        _pass(decision)
    return _noted(judgement, decision, demands)


async def demand_awaited(
    judgement: Judgement, guard: Guard, parameters: Mapping[str, object], *demands: Requirement
) -> Judgement:
    """Do what :func:`demand_blocked` does, in code with an event loop."""
    request, decision = _routed(judgement, guard, parameters), judgement.decision
    for one in demands:
        if decision.token is None:
            decision = await guard.check(request, one, again=True)
        else:
            decision = await guard.demand(request, decision, one)
        _pass(decision)
    return _noted(judgement, decision, demands)


def _pass(decision: Decision) -> None:
    if decision.response is not None:
        raise NotAdmitted(decision.response)


def _noted(judgement: Judgement, decision: Decision, demands: tuple[Requirement, ...]) -> Judgement:
    """Return the judgement with what was demanded, where that can matter later."""
    route = decision.route
    if decision is judgement.decision and not (route and route.requirement.unsafe_on_stale):
        return judgement
    # What lasts is looked at by the last decision; and each demand says whether old news do.
    return Judgement(judgement.guard, judgement.request, decision, (*judgement.demands, *demands))


def _routed(judgement: Judgement, guard: Guard, parameters: Mapping[str, object]) -> HttpRequest:
    """Return the request with what a framework found in its path, encoded anew."""
    if judgement.guard is not guard:
        raise ConfigurationError("requires() and protect() are of two different guards")
    request = judgement.request
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


def admitted_token(judgement: Judgement) -> AccessToken:
    """Return the token with which a request was admitted.

    Raises:
        ConfigurationError: if it was admitted without one, on a public route.
    """
    token = judgement.decision.token
    if token is None:
        raise ConfigurationError(
            "there is no token, as the route is public: ask token_of(), which may return None"
        )
    return token
