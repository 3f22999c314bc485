"""The ``[revocation]`` table."""

import pytest
from msgspec import UNSET, UnsetType

from portvakt.config.problems import Problems
from portvakt.config.revocation import check_revocation
from portvakt.config.revocation_schema import RevocationTable
from portvakt.errors import ConfigurationError


def checked(stated: float | UnsetType, *, has_store: bool = True) -> float | None:
    problems = Problems()
    bound = check_revocation(RevocationTable(max_staleness=stated), problems, has_store=has_store)
    problems.check()
    return bound


@pytest.mark.parametrize("stated", [0.5, 5.0, 3600.0])
def test_a_bound_within_its_bounds(stated: float) -> None:
    assert checked(stated) == stated


def test_what_holds_if_the_policy_does_not_say() -> None:
    assert checked(UNSET) == 5
    assert checked(UNSET, has_store=False) is None


@pytest.mark.parametrize("stated", [0.0, 0.499, 3600.001, 86400.0])
def test_a_bound_that_is_none(stated: float) -> None:
    with pytest.raises(ConfigurationError) as caught:
        checked(stated)
    (problem,) = caught.value.problems
    assert str(problem) == "revocation.max_staleness: must be between 500ms and 1h"


def test_a_bound_of_nothing() -> None:
    with pytest.raises(ConfigurationError, match="means nothing without a store"):
        checked(5.0, has_store=False)
