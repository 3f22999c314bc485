"""What the headers of an answer say of it."""

from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portvakt.net.answer import Fetched, freshness, listed, retry_after

YEARS: Final = 2.0**31
DATE: Final = "Sun, 06 Nov 1994 08:49:37 GMT"
STAMP: Final = 784111777.0


def fetched(*headers: tuple[str, str]) -> Fetched:
    return Fetched(200, headers, b"{}")


def cached(*values: str, age: str | None = None) -> float | None:
    headers = [("cache-control", value) for value in values]
    return freshness(headers if age is None else [*headers, ("age", age)])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("max-age=3600", 3600.0),
        ("MAX-AGE=3600", 3600.0),
        ("public, max-age=3600, must-revalidate", 3600.0),
        ("public,max-age=3600", 3600.0),
        (' max-age="3600" ', 3600.0),
        ("max-age=0", 0.0),
        ("max-age=007", 7.0),
        ("max-age=1000000000000", YEARS),
        ("max-age=2147483649", YEARS),
        (f"max-age={'9' * 10_000}", YEARS),
        (f"max-age={'0' * 10_000}9", 9.0),
        ("max-age=-1", 0.0),
        ("max-age=+1", 0.0),
        ("max-age=1.5", 0.0),
        ("max-age=1e3", 0.0),
        ("max-age=", 0.0),
        ("max-age", 0.0),
        ('max-age=""', 0.0),
        ("max-age=٣", 0.0),
        ("max-age=for ever", 0.0),
        ("max-age=60, max-age=60", 0.0),
        ("no-store", 0.0),
        ("no-cache", 0.0),
        ('no-cache="set-cookie", max-age=60', 0.0),
        ("max-age=60, No-Store", 0.0),
        ('a="b, max-age=7", max-age=60', 60.0),
        ('a="\\", max-age=7", max-age=60', 60.0),
        ('a="b, no-store', 0.0),
        ("s-maxage=60", None),
        ("public", None),
        ("x-max-age=60", None),
        ("", None),
        (",,;=", None),
    ],
)
def test_freshness_is_what_max_age_says(value: str, expected: float | None) -> None:
    assert cached(value) == expected
    assert freshness([("etag", "x"), ("cache-control", value)]) == expected


def test_directives_may_stand_in_several_headers() -> None:
    assert cached("public", "max-age=60") == 60.0
    assert cached("max-age=60", "no-store") == 0.0
    assert cached("max-age=60", "max-age=70") == 0.0
    assert freshness([("expires", DATE), ("pragma", "no-cache")]) is None
    assert freshness([]) is None


@pytest.mark.parametrize(
    ("age", "expected"),
    [("0", 60.0), ("20", 40.0), ("60", 0.0), ("61", 0.0), ("9" * 50, 0.0), ("x", 60.0), ("", 60.0)],
)
def test_the_age_that_an_answer_has_is_subtracted(age: str, expected: float) -> None:
    assert cached("max-age=60", age=age) == expected
    assert cached(age=age) is None


@given(st.lists(st.text(), max_size=3), st.none() | st.text())
@example(['max-age="' + "\\" * 1000], None)
@example(['a="' * 10_000], None)
def test_freshness_is_in_range_whatever_is_sent(values: list[str], age: str | None) -> None:
    found = cached(*values, age=age)
    assert found is None or 0.0 <= found <= YEARS


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_freshness_is_lifetime_less_age(lifetime: int, age: int) -> None:
    expected = max(0.0, min(lifetime, YEARS) - min(age, YEARS))
    assert cached(f"max-age={lifetime}", age=str(age)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (DATE, STAMP),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", None),
        ("Sun Nov  6 08:49:37 1994", None),
        ("Sun, 06 Nov 1994 08:49:37 +0100", None),
        ("Sun, 06 Abc 1994 08:49:37 GMT", None),
        ("Sun, 66 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 25:49:37 GMT", None),
        ("Sun, 06 Nov 1994 ::::::10 GMT", None),
        ("Sun, 06 Nov 0094 08:49:37 GMT", None),
        ("784111777", None),
        ("", None),
    ],
)
def test_the_date_is_read_in_the_one_form_that_may_be_sent(
    value: str, expected: float | None
) -> None:
    assert fetched(("date", value)).date == expected


def test_without_one_date_there_is_none() -> None:
    assert fetched().date is None
    assert fetched(("date", DATE), ("date", DATE)).date is None


@given(
    st.from_regex(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [1-9][0-9]{3} ([0-9]{2}:){2}[0-9]{2} GMT")
)
def test_no_date_is_a_surprise(value: str) -> None:
    assert isinstance(fetched(("date", value)).date, float | None)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("retry-after", "120")], 120.0),
        ([("retry-after", "0")], 0.0),
        ([("retry-after", "1" * 50)], YEARS),
        ([("retry-after", "-1")], None),
        ([("retry-after", "soon")], None),
        ([("retry-after", DATE)], None),
        ([("date", DATE), ("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")], 60.0),
        ([("date", DATE), ("retry-after", "Sun, 06 Nov 1994 08:40:37 GMT")], 0.0),
        ([("date", DATE), ("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")], YEARS),
        ([("date", DATE)], None),
        ([("retry-after", "1"), ("retry-after", "2")], None),
        ([], None),
    ],
)
def test_when_to_ask_again(headers: list[tuple[str, str]], expected: float | None) -> None:
    assert retry_after(headers) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("application/json", "application/json"),
        ("Application/JWK-Set+JSON; charset=utf-8", "application/jwk-set+json"),
        (" text/html ;a", "text/html"),
        ("", ""),
    ],
)
def test_the_media_type_is_without_its_parameters(value: str, expected: str) -> None:
    assert fetched(("content-type", value)).media_type == expected
    assert fetched(("content-type", value), ("content-type", value)).media_type is None
    assert fetched().media_type is None


def test_a_list_may_be_spread_over_several_headers() -> None:
    assert listed([("a", "B, c,,"), ("b", "x"), ("a", ""), ("a", "d")], "a") == ["b", "c", "d"]


def test_an_answer_shows_nothing_that_was_sent() -> None:
    answer = Fetched(200, (("set-cookie", "secret"),), b"secret")
    assert repr(answer) == "Fetched(status=200, octets=6)"
    assert list(answer.__rich_repr__()) == [("status", 200), ("octets", 6)]
