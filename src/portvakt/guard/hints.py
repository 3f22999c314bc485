"""What a refused client may ask its issuer for, as far as the API tells."""

from collections.abc import Iterable, Sequence
from typing import Final

from portvakt.oauth.challenge import NO_HINTS, Hints
from portvakt.policy.requirement import Requirement
from portvakt.refusal import Code

__all__ = ["ASKABLE", "hints_for"]

#: What a client can put right by asking its issuer for another token.
ASKABLE: Final = frozenset(
    {Code.SCOPE_INSUFFICIENT, Code.LEVEL_TOO_LOW, Code.AUTHENTICATION_TOO_OLD}
)


def hints_for(
    code: Code, demands: Sequence[Requirement], acr_values: Iterable[tuple[int, str]]
) -> Hints:
    """Return what a token that would not be refused for this must be asked for.

    Parameters:
        code: the reason for the refusal.
        demands: what the route and the API demand.
        acr_values: by security level, what the token's issuer calls it.
    """
    if code is Code.SCOPE_INSUFFICIENT:
        words = dict.fromkeys(word for demand in demands for word in demand.challenge.split())
        return Hints(scope=" ".join(words) or None)
    if code is Code.LEVEL_TOO_LOW:
        level = max(demand.security_level for demand in demands)
        # The lowest that will do comes first: RFC 9470 section 3 lists in order of preference.
        names = [name for one, name in sorted(acr_values) if one >= level]
        return Hints(acr_values=" ".join(names) or None)
    if code is Code.AUTHENTICATION_TOO_OLD:
        ages = [age for demand in demands if (age := demand.max_authentication_age) is not None]
        return Hints(max_age=int(min(ages)))
    return NO_HINTS
