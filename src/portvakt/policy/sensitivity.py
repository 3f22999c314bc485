"""How sensitive the data is, and what follows from it."""

import math
from enum import Enum
from typing import Final, NamedTuple

__all__ = ["LONGEST_LIFETIME", "Sensitivity"]


class _Limits(NamedTuple):
    """What follows from one degree of sensitivity."""

    max_lifetime: float
    min_level: int
    bound: bool
    asked_anew: bool
    keys_max_age: float


class Sensitivity(Enum):
    """How much harm a stolen token could do: the more, the shorter it may live."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @property
    def max_lifetime(self) -> float:
        """The most seconds between ``iat`` and ``exp``.

        A token that lives longer is refused, valid or not. An issuer whose profile says that it
        issues longer-lived ones is the exception, and shows in a risk assessment.
        """
        return _LIMITS[self.value].max_lifetime

    @property
    def min_level(self) -> int:
        """The lowest security level that a route may state, where the issuer states levels at all.

        A route for machines ignores the level by name.
        """
        return _LIMITS[self.value].min_level

    @property
    def bound(self) -> bool:
        """Whether only sender-constrained tokens and reference tokens will do."""
        return _LIMITS[self.value].bound

    @property
    def asked_anew(self) -> bool:
        """Whether an issuer is asked about a reference token each time, and not remembered."""
        return _LIMITS[self.value].asked_anew

    @property
    def keys_max_age(self) -> float:
        """For how many seconds an issuer's last good keys serve while it cannot be reached.

        Beyond what the policy says of the issuer itself, which holds for all routes.
        """
        return _LIMITS[self.value].keys_max_age


_LIMITS: Final = {
    "low": _Limits(24 * 3600.0, 0, bound=False, asked_anew=False, keys_max_age=math.inf),
    "normal": _Limits(3600.0, 3, bound=False, asked_anew=False, keys_max_age=math.inf),
    "high": _Limits(3600.0, 4, bound=True, asked_anew=True, keys_max_age=3600.0),
}

#: No route admits a token that lives longer, unless its issuer is known to issue such.
LONGEST_LIFETIME: Final = max(one.max_lifetime for one in Sensitivity)
