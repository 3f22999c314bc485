"""What two demands on one request say together, pair by pair, and how a token was proved."""

import pytest
from msgspec.structs import replace

from portvakt import AccessToken, ConfigurationError
from portvakt.policy.claims import Claims
from portvakt.policy.sender_constraint import (
    SENDER_CONSTRAINTS,
    SenderConstraint,
    agreed,
    met_by,
)
from portvakt.testing import FakeIssuer

NONE, DPOP, MTLS, EITHER = SenderConstraint
WAYS = (NONE, DPOP, MTLS)


@pytest.mark.parametrize("one", [None, *SenderConstraint])
def test_who_demands_nothing_agrees_with_all(one: SenderConstraint | None) -> None:
    assert agreed(one, None) is one
    assert agreed(None, one) is one
    assert agreed(one, one) is one


@pytest.mark.parametrize("one", WAYS)
def test_whichever_the_token_says_gives_way_to_one_way(one: SenderConstraint) -> None:
    assert agreed(one, EITHER) is one
    assert agreed(EITHER, one) is one


@pytest.mark.parametrize("one", WAYS)
@pytest.mark.parametrize("other", WAYS)
def test_two_ways_admit_nobody(one: SenderConstraint, other: SenderConstraint) -> None:
    if one is other:
        assert agreed(one, other) is one
        return
    with pytest.raises(ConfigurationError, match=f"{one.value} in one .* {other.value} in another"):
        agreed(one, other)


def test_a_policy_can_say_three_of_them() -> None:
    assert tuple(way.value for way in WAYS) == SENDER_CONSTRAINTS
    assert EITHER.value not in SENDER_CONSTRAINTS


@pytest.mark.parametrize(
    ("confirmation", "way"),
    [
        (None, NONE),
        ({"jkt": "x"}, DPOP),
        ({"x5t#S256": "x"}, MTLS),
        ({"jkt": "x", "x5t#S256": "x"}, DPOP),
    ],
)
def test_the_binding_of_an_admitted_token_tells_how_it_was_proved(
    confirmation: dict[str, str] | None, way: SenderConstraint
) -> None:
    issuer = FakeIssuer()
    token = issuer.guard().check_blocking(issuer.request(issuer.token())).token
    assert isinstance(token, AccessToken)
    bound = None if confirmation is None else Claims(confirmation)
    assert met_by(replace(token, confirmation=bound)) is way
