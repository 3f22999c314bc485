"""Scopes are compared as whole words, and all of them are needed."""

import pytest

from portvakt import AccessToken, Code, ConfigurationError, Refused, Requirement
from portvakt.policy.requirement import authorize
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer()
GUARD = ISSUER.guard()


def token_with(*scopes: str) -> AccessToken:
    token = GUARD.check_blocking(ISSUER.request(ISSUER.token(scopes=scopes))).token
    assert token is not None
    return token


def test_all_scopes_together_are_enough() -> None:
    authorize(token_with("b", "a", "c"), Requirement.of(["a", "b"]))
    authorize(token_with(), Requirement.of())


@pytest.mark.parametrize("scopes", [(), ("a",), ("A", "b"), ("ab",), ("a/b", "b")])
def test_anything_less_is_refused_and_the_missing_ones_are_named(scopes: tuple[str, ...]) -> None:
    with pytest.raises(Refused) as refused:
        authorize(token_with(*scopes), Requirement.of(["a", "b"]))
    assert refused.value.refusal.code is Code.SCOPE_INSUFFICIENT
    missing = {"a", "b"} - {*scopes}
    assert refused.value.refusal.detail == f"missing scope: {' '.join(sorted(missing))}"


def test_the_challenge_keeps_the_order_and_drops_repetitions() -> None:
    assert Requirement.of(["b", "a", "b"]).challenge == "b a"


@pytest.mark.parametrize(
    "scopes", ["read", ["read write"], [""], ['a"b'], ["a\\b"], ["\u00e5"], [1]]
)
def test_what_is_not_a_list_of_words_is_a_mistake_of_the_developer(scopes: object) -> None:
    with pytest.raises(ConfigurationError, match="scopes"):
        Requirement.of(scopes)  # type: ignore[arg-type]
