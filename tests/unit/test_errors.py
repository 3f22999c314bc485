"""Three errors, by who has to act."""

from portvakt import Code, ConfigurationError, Problem, Refused, Unavailable
from portvakt.errors import named, said_of


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


def test_only_what_is_plainly_a_word_of_a_setting_is_named() -> None:
    for word in (
        *("ES265", "get", "/journal/{patient}", "nhn:journal/read", "at+jwt", "GET-IT", "*", "a"),
        *("helseid://claims/identity/security_level", "require_security_level", "/%61dmin"),
        *("x" * 20, "/".join(["x" * 20] * 3), "https://sts.example.no", "aes256_" + "x" * 10),
    ):
        assert named(word, "it") == word
        assert said_of(word, "is wrong") == f"{word} is wrong"
    for other in (
        *("", "a b", "a\nb", 'a"b', "å", "x" * 21, "a/" * 33, "0" * 21, None, 5, b"a", ["a"]),
        *("f5b8a1f8-9d5c-4e0c-9a4b-3f5d1a2b3c4d", "SeCrEt_1-SeCrEt_1-SeC", "{d: 1}", "a\n"),
    ):
        assert named(other, "it") == "it"
        assert said_of(other, "is wrong") == "is wrong"
