"""What is wrong with the ``[revocation]`` table, as far as it alone tells."""

from msgspec import UNSET

from portvakt.config.duration import write_duration
from portvakt.config.problems import Problems
from portvakt.config.revocation_schema import (
    DEFAULT_STALENESS,
    LEAST_STALENESS,
    MOST_STALENESS,
    RevocationTable,
)

__all__ = ["check_revocation"]


def check_revocation(
    table: RevocationTable, problems: Problems, *, has_store: bool
) -> float | None:
    """Note what is wrong with the table, and return the bound in seconds; None without a store.

    Parameters:
        table: what the policy says, or says nothing of.
        problems: where to note what is wrong.
        has_store: whether the policy has a store to keep revocations in.
    """
    stated, place = table.max_staleness, "revocation.max_staleness"
    if not has_store:
        if stated is not UNSET:
            problems.add(place, "means nothing without a store: that is where revocations are kept")
        return None
    if stated is UNSET:
        return DEFAULT_STALENESS
    if not LEAST_STALENESS <= stated <= MOST_STALENESS:
        least, most = write_duration(LEAST_STALENESS), write_duration(MOST_STALENESS)
        problems.add(place, f"must be between {least} and {most}")
    return stated
