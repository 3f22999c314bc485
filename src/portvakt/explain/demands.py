"""What a route demands beside scopes, in the policy file's own words."""

from collections.abc import Iterator

from portvakt.config.duration import write_duration
from portvakt.policy.requirement import Requirement
from portvakt.policy.rules import MatchesRequest, Rule
from portvakt.policy.sensitivity import Sensitivity

__all__ = ["demands"]


def demands(requirement: Requirement) -> Iterator[str]:
    """Yield each demand as it would stand in the policy file; scopes are left to the caller.

    A rule about claims is named by its claims alone, and a list of organisations or clients by its
    length: the explanation may be read by others than those who may read the policy.
    """
    if requirement.any_scopes:
        yield f"any_scopes = {sorted(requirement.any_scopes)}"
    degree = requirement.sensitivity
    if degree is not None and degree is not Sensitivity.NORMAL:
        yield f"sensitivity = {degree.value}"
    if requirement.security_level:
        yield f"security_level = {requirement.security_level}"
    if requirement.max_authentication_age is not None:
        yield f"max_authentication_age = {write_duration(requirement.max_authentication_age)}"
    if requirement.identities:
        yield f"require = {', '.join(requirement.identities)}"
    for name, listed in (
        ("clients", requirement.clients),
        ("organisations", requirement.parents),
        ("suppliers", requirement.suppliers),
        ("units", requirement.children),
    ):
        if listed is not None:
            yield f"{name} = [{len(listed)}]"
    for rule in requirement.rules:
        yield _named(rule)
    constraint = requirement.sender_constraint
    if constraint is not None and constraint.value in {"dpop", "mtls"}:
        yield f"sender_constraint = {constraint.value}"
    if requirement.require_encryption:
        yield "require_encryption = true"
    if requirement.unsafe_on_stale:
        yield "unsafe_on_stale = admit"
    if requirement.registers:
        yield f"registers = {', '.join(requirement.registers)}"


def _named(rule: Rule) -> str:
    if isinstance(rule, MatchesRequest):
        return f"{rule.identity} = {rule.source}"
    kind = type(rule).__name__
    name = getattr(rule, "name", None)
    return kind if name is None else f"{kind}({name})"
