"""A decision in a few words from closed lists: what logs, metrics and traces have in common."""

from typing import Final

from portvakt.policy.decision import Decision
from portvakt.policy.routes import Route

__all__ = [
    "ADMITTED",
    "ANY_ROUTE",
    "NONE",
    "OUTCOMES",
    "REFUSED",
    "UNAVAILABLE",
    "outcome_of",
    "route_of",
]

ADMITTED: Final = "admitted"
REFUSED: Final = "refused"
#: Refused, and it may not be the caller's doing: something did not answer, or we are at fault.
UNAVAILABLE: Final = "unavailable"
OUTCOMES: Final = (ADMITTED, REFUSED, UNAVAILABLE)

#: Where there is no route, code or issuer.
NONE: Final = "none"
#: The rule of a policy without rules, which is for every path. No template is written so.
ANY_ROUTE: Final = "*"


def outcome_of(decision: Decision) -> str:
    """Return what became of a request, in one of three words."""
    refusal = decision.refusal
    if refusal is None:
        return ADMITTED
    return UNAVAILABLE if refusal.code.status == 503 else REFUSED


def route_of(route: Route | None) -> str:
    """Return the template of the rule that decided. Never the path of a request."""
    if route is None:
        return NONE
    return ANY_ROUTE if route.path is None else route.path
