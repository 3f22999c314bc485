"""Three errors, by who has to act."""

from portvakt import Code, ConfigurationError, Problem, Refused, Unavailable


def test_a_refusal_says_its_code_and_keeps_its_detail_for_the_log() -> None:
    refused = Refused(Code.TOKEN_EXPIRED, "expired 3 s ago")
    assert str(refused) == "token_expired"
    assert refused.refusal.detail == "expired 3 s ago"


def test_an_outage_says_when_to_come_back() -> None:
    assert Unavailable(Code.KEYS_UNAVAILABLE, retry_after=5).retry_after == 5
    assert str(Unavailable(Code.KEYS_UNAVAILABLE)) == "keys_unavailable"


def test_problems_are_listed_with_their_places() -> None:
    one = ConfigurationError([Problem("api.audience", "is missing", 3)], source="portvakt.toml")
    assert str(one) == "portvakt.toml: line 3: api.audience: is missing"
    two = ConfigurationError([Problem("a", "x"), Problem("", "y")])
    assert str(two) == "\n  - a: x\n  - y"
    assert str(ConfigurationError("simply wrong")) == "simply wrong"
    assert repr(two.problems[0]) == "Problem('a: x')"
