"""What a refused client may ask its issuer for."""

from portvakt import Code, Requirement
from portvakt.guard.hints import ASKABLE, hints_for
from portvakt.oauth.challenge import NO_HINTS, Hints
from portvakt.testing import FakeIssuer

LEVELS = [(4, "Level4"), (3, "Level3")]


def test_scopes_of_route_and_api_are_named_together() -> None:
    demands = [Requirement.of(["a", "b"]), Requirement.of(["c"])]
    assert hints_for(Code.SCOPE_INSUFFICIENT, demands, ()) == Hints(scope="a b c")
    assert hints_for(Code.SCOPE_INSUFFICIENT, [Requirement.of()], ()) == Hints()
    twice = [Requirement.of(["a"]), Requirement.of(), Requirement.of(["b", "a"])]
    assert hints_for(Code.SCOPE_INSUFFICIENT, twice, ()) == Hints(scope="a b")


def test_a_client_that_asks_for_what_is_named_is_not_told_to_ask_again() -> None:
    # Of which one is enough, no parameter of a challenge says: all of them are named.
    demands = [Requirement.of(["a"], any_scopes=["b", "c"])]
    assert hints_for(Code.SCOPE_INSUFFICIENT, demands, ()) == Hints(scope="a b c")


def test_the_levels_that_will_do_are_named_the_lowest_first() -> None:
    three = [Requirement.of(security_level=3), Requirement.of()]
    assert hints_for(Code.LEVEL_TOO_LOW, three, LEVELS) == Hints(acr_values="Level3 Level4")
    four = [Requirement.of(security_level=3), Requirement.of(security_level=4)]
    assert hints_for(Code.LEVEL_TOO_LOW, four, LEVELS) == Hints(acr_values="Level4")
    assert hints_for(Code.LEVEL_TOO_LOW, four, ()) == Hints()


def test_the_least_age_is_named() -> None:
    demands = [Requirement.of(max_authentication_age=age) for age in (3600, 60.9)]
    demands.append(Requirement.of())
    assert hints_for(Code.AUTHENTICATION_TOO_OLD, demands, ()) == Hints(max_age=60)


def test_nothing_else_can_be_asked_for() -> None:
    for code in set(Code) - ASKABLE:
        assert hints_for(code, [Requirement.of(["a"], security_level=4)], LEVELS) is NO_HINTS


def test_an_api_may_keep_its_demands_to_itself() -> None:
    issuer = FakeIssuer()
    for disclose, told in ((True, True), (False, False)):
        api = {"audience": "test-api", "scopes": ["a"], "disclose": disclose}
        decision = issuer.guard(api=api).check_blocking(issuer.request(issuer.token()))
        assert decision.response is not None
        challenge = dict(decision.response.headers)["WWW-Authenticate"]
        assert ('scope="a"' in challenge) is told
        assert 'error="insufficient_scope"' in challenge
