"""What code without an event loop asks of a guard, beside ``check_blocking``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portvakt.guard.steps import asks_enough
from portvakt.home import finish

if TYPE_CHECKING:
    from portvakt.guard.guard import Guard
    from portvakt.http.request import HttpRequest
    from portvakt.policy.decision import Decision
    from portvakt.policy.requirement import Requirement

__all__ = ["demand_blocking"]


def demand_blocking(
    guard: Guard, request: HttpRequest, decision: Decision, requirement: Requirement
) -> Decision:
    """Do what :meth:`Guard.demand` does, from code without an event loop.

    The guard's own loop is gone to only where there is something to wait for.

    Parameters:
        guard: who admitted the request.
        request: the request that was judged.
        decision: what the guard made of it.
        requirement: what is demanded in addition.
    """
    waits = bool(requirement.registers) or (
        guard.parts.introspection is not None and not asks_enough(decision.route, requirement)
    )
    if not waits:
        return guard.require(request, decision, requirement)
    return finish(guard.home.blocked(guard.demand, request, decision, requirement))
