"""What adapters of frameworks with views have in common: demands of a view, and forgotten views.

Nothing here knows a framework.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

from portvakt.adapters.asgi import Judgement
from portvakt.guard import (
    AccessToken,
    ConfigurationError,
    Decision,
    Guard,
    HttpRequest,
    Problem,
    Requirement,
    Response,
    Routes,
    SenderConstraint,
    agreed,
    demand_blocking,
)

__all__ = [
    "ANY_TOKEN",
    "EVERY_METHOD",
    "Inspection",
    "NotAdmitted",
    "admitted_token",
    "demand_awaited",
    "demand_blocked",
    "is_ruled",
    "state",
    "stated",
    "template_of",
]

#: What is demanded of a request that no rule is for: its view says the rest.
ANY_TOKEN: Final = Requirement.of(sender_constraint=SenderConstraint.EITHER)

#: Stands for every method: no rule can list it, so only a rule without a list is for it.
EVERY_METHOD: Final = "*"

#: Where a view carries what it demands. Decorators around it that use functools.wraps keep it.
_MARK: Final = "_portvakt_demands"

#: Parameters that take one segment at most. Others take slashes.
_ONE_SEGMENT: Final = re.compile(r"\{[^{}:]+\}")

V = TypeVar("V", bound=Callable[..., Any])


class NotAdmitted(Exception):  # noqa: N818  it says what the request is
    """A view demands more than the token has. Rendered as the guard's own answer.

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


def is_ruled(guard: Guard, request: HttpRequest) -> bool:
    """Whether a rule of the policy is for a request.

    Where no rule is, or no rules are (what stands in for them has no path), a view has to demand
    something itself; a requirement of ours would make a public rule demand a token.
    """
    rule = guard.routes.find(request)
    return rule is not None and rule.path is not None


def _routed(request: HttpRequest, parameters: Mapping[str, object]) -> HttpRequest:
    """Return the request with what the framework found in its path, encoded anew."""
    if not parameters:
        return request
    return HttpRequest(
        method=request.method,
        url=request.url,
        headers=request.headers,
        peer=request.peer,
        client_certificate=request.client_certificate,
        path_parameters=tuple(
            (name, quote(str(value), safe="")) for name, value in parameters.items()
        ),
    )


def demand_blocked(
    judgement: Judgement, guard: Guard, demand: Requirement, parameters: Mapping[str, object]
) -> Judgement:
    """Demand more of a request that was admitted, and return the judgement that comes of it.

    Parameters:
        judgement: what was found about the request before.
        guard: whose demand it is.
        demand: what is demanded.
        parameters: what the framework found in the path.

    Raises:
        NotAdmitted: if the request does not have it.
        ConfigurationError: if the request was judged by another guard.
    """
    request = _asked(judgement, guard, parameters)
    if judgement.decision.token is None:
        # Public by its path, and yet the view demands a token: the stricter of them holds.
        decision = guard.check_blocking(request, demand)
    else:
        decision = demand_blocking(guard, request, judgement.decision, demand)
    return _found(judgement, decision)


async def demand_awaited(
    judgement: Judgement, guard: Guard, demand: Requirement, parameters: Mapping[str, object]
) -> Judgement:
    """Do what :func:`demand_blocked` does, in code with an event loop."""
    request = _asked(judgement, guard, parameters)
    if judgement.decision.token is None:
        decision = await guard.check(request, demand)
    else:
        decision = await guard.demand(request, judgement.decision, demand)
    return _found(judgement, decision)


def _asked(judgement: Judgement, guard: Guard, parameters: Mapping[str, object]) -> HttpRequest:
    if judgement.guard is not guard:
        raise ConfigurationError("the demand and the protection are of two different guards")
    return _routed(judgement.request, parameters)


def _found(judgement: Judgement, decision: Decision) -> Judgement:
    if decision.response is not None:
        raise NotAdmitted(decision.response)
    return judgement._replace(decision=decision)


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
