"""The ``[revocation]`` table of the policy file, as plain data: within which time it holds."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

__all__ = ["DEFAULT_STALENESS", "LEAST_STALENESS", "MOST_STALENESS", "RevocationTable"]

#: The bounds of the bound, in seconds. Less than half a second is lost in one slow answer; and for
#: more than an hour most tokens need no revoking.
LEAST_STALENESS: Final = 0.5
MOST_STALENESS: Final = 3600.0

#: Seconds, if the policy does not say.
DEFAULT_STALENESS: Final = 5.0

_Duration = float


class RevocationTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Within which time a revocation holds everywhere."""

    max_staleness: Annotated[
        _Duration | UnsetType,
        Meta(
            description="The longest that a guard may not have heard of a revocation: 500ms to 1h, "
            "5s if left out. A guard that has not caught up with the store for so long refuses."
        ),
    ] = UNSET
