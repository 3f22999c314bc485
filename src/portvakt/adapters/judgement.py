"""What a guard found about a request, where the application behind it looks."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, NamedTuple

from portvakt.guard import (
    AccessToken,
    ConfigurationError,
    Decision,
    Guard,
    HttpRequest,
    Requirement,
)

__all__ = [
    "KEY",
    "Application",
    "Judgement",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "decision_of",
    "judgement_of",
    "token_of",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Where the judgement is found. Scopes are made by servers: no client can write into one.
KEY: Final = "portvakt"


class Judgement(NamedTuple):
    """What the application finds in its scope.

    Attributes:
        guard: who judged: one guard never takes another's word.
        request: what was judged.
        decision: the verdict.
        demands: what endpoints demanded beside the policy's rule.
    """

    guard: Guard
    request: HttpRequest
    decision: Decision
    demands: tuple[Requirement, ...] = ()


def judgement_of(scope: Mapping[str, Any]) -> Judgement:
    """Return what the innermost guard found about the request or connection of a scope.

    Raises:
        ConfigurationError: if no guard stands in front of the application.
    """
    judgement = scope.get(KEY)
    if not isinstance(judgement, Judgement):
        raise ConfigurationError(
            "nothing was checked, as no guard stands in front: call protect(app), or wrap the "
            "application in GuardMiddleware"
        )
    return judgement


def decision_of(scope: Mapping[str, Any]) -> Decision:
    """Return the decision about the request or connection of a scope; it is always an admission.

    Raises:
        ConfigurationError: if no guard stands in front of the application.
    """
    return judgement_of(scope).decision


def token_of(scope: Mapping[str, Any]) -> AccessToken | None:
    """Return the access token of a scope; None on a route that the policy declares public.

    Raises:
        ConfigurationError: if no guard stands in front of the application.
    """
    return judgement_of(scope).decision.token
