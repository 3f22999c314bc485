"""What is shown of a token can neither act on a terminal nor name a person."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portvakt.explain.shown import (
    MAX_LISTED,
    MAX_SHOWN,
    is_time,
    show,
    show_list,
    show_span,
    show_time,
    show_utc,
    show_value,
)
from portvakt.explain.texts import load

WORDS = load("en").words


@pytest.mark.attack("HDR-07", "JSON-08")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\u001b[2J"),
        ("a\r\nSet-Cookie:b", r'"a\u000d\u000aSet-Cookie:b"'),
        ("admin\0x", r"admin\u0000x"),
        ("\x9b31m", r"\u009b31m"),
        ("abc\u202edef", r"abc\u202edef"),
        ("a\u2028b", r'"a\u2028b"'),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        (r"\u001b", r"\\u001b"),
        ("\x7f", r"\u007f"),
    ],
)
def test_what_acts_on_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert show(text, WORDS) == shown


@pytest.mark.twin("HDR-07", "JSON-08")
@pytest.mark.parametrize("text", ["nhn:journal/read", "Ærlig-nøkkel", "[bold]", "日本"])
def test_what_only_prints_stays_as_it_is(text: str) -> None:
    assert show(text, WORDS) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", '""'), (" at+jwt", '" at+jwt"'), ("a,b", '"a,b"'), ('a"b', r'"a\"b"'), ("a;b", '"a;b"')],
)
def test_quotes_show_where_a_text_starts_and_ends(text: str, shown: str) -> None:
    assert show(text, WORDS) == shown


@given(st.text())
def test_whatever_is_shown_prints_on_one_line(text: str) -> None:
    assert show(text, WORDS).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        *(
            "17056600574",
            "patient/17056600574/x",
            "pid17056600574",
            "x017056600574",
            "170566005740",
        ),
        *(
            "170566-00574",
            "170566 00574",
            "17.05.66.00574",
            "170566 - 00574",
            "1 7 0 5 6 6 0 0 5 7 4",
        ),
        *(
            "170566\u201300574",
            "170566\u00a000574",
            "170566\t00574",
            "１７０５６６００５７４",
            "1716473563000",
        ),
    ],
)
def test_eleven_digits_are_hidden(text: str) -> None:
    shown = show(text, WORDS)
    assert "[digits hidden]" in shown
    assert not any(one.isdigit() for one in shown)


@pytest.mark.parametrize(
    "text",
    [
        *("1716473563", "917897468", "0192:917897468", "192.168.1.10", "2027-01-15", "v1.2.3-rc4"),
        *(
            "12345:678901",
            "17056a600574",
            "f5b8a1f8-9d5c-4e0c-9a4b-3f5d1a2b3c4d",
            "170566----00574",
        ),
    ],
)
def test_other_numbers_are_not(text: str) -> None:
    assert show(text, WORDS) == text


def test_eleven_digits_at_the_cut_are_hidden_too() -> None:
    shown = show("x" * (MAX_SHOWN - 5) + "-17056600574", WORDS)
    assert "1705" not in shown


def test_a_long_text_is_cut() -> None:
    assert show("a" * MAX_SHOWN, WORDS) == "a" * MAX_SHOWN
    assert show("a" * (MAX_SHOWN + 1), WORDS) == "a" * MAX_SHOWN + "…"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        (17056600574, "[digits hidden]"),
        ({"pid": "secret"}, "{…}"),
        (["a", ["secret"], {"b": 1}, 2], "[a, […], {…}, 2]"),
        ([], "[]"),
    ],
)
def test_a_value_is_shown_by_its_kind(value: object, shown: str) -> None:
    assert show_value(value, WORDS) == shown


def test_a_long_list_is_cut() -> None:
    shown = show_list(["a"] * (MAX_LISTED + 3), WORDS)
    assert shown.count("a, ") == MAX_LISTED
    assert shown.endswith("and 3 more")
    assert "more" not in show_list(["a"] * MAX_LISTED, WORDS)


@pytest.mark.parametrize("value", [True, "1716473563", -1, 253402300800, [1], None, 10**20])
def test_what_is_no_time_is_shown_as_it_is(value: object) -> None:
    assert not is_time(value)
    assert show_time(value, 0.0, WORDS) == show_value(value, WORDS)


@pytest.mark.parametrize(
    ("value", "now", "shown"),
    [
        (1716477163, 1716473563.0, "2024-05-23 15:12:43 UTC, 1 h ahead"),
        (1716477163, 1716477163.0, "2024-05-23 15:12:43 UTC, 0 s ago"),
        (1716477163.9, 1716477253.9, "2024-05-23 15:12:43 UTC, 1 min 30 s ago"),
        (0, 0.0, "1970-01-01 00:00:00 UTC, 0 s ago"),
        (253402300799, 253402300799.0, "9999-12-31 23:59:59 UTC, 0 s ago"),
    ],
)
def test_a_time_is_shown_in_utc_and_from_now(value: float, now: float, shown: str) -> None:
    assert show_time(value, now, WORDS) == shown


def test_the_last_second_there_is_can_be_shown() -> None:
    assert show_utc(253402300799.0) == "9999-12-31 23:59:59 UTC"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3661, "1 h 1 min"), (90061, "1 d 1 h"), (-5, "5 s")],
)
def test_a_span_is_shown_in_its_two_largest_units(seconds: float, shown: str) -> None:
    assert show_span(seconds, WORDS) == shown
