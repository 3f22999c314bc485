import pytest
from hypothesis import given
from hypothesis import strategies as st

from portvakt.config.duration import parse_duration, write_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("0s", 0.0), ("5s", 5.0), ("60m", 3600.0), ("24h", 86400.0)],
)
def test_each_unit_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "s", "-5s", "+5s", "5 s", "5S", "1.5s", "5d", "5s\n", "1h30m", "٥s", "5e3s"]
)
def test_every_other_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="units ms, s, m, h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (0.25, "250ms"), (5.0, "5s"), (90.0, "90s"), (5700.0, "95m"), (3600.0, "1h")],
)
def test_a_duration_is_written_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert write_duration(seconds) == text


@given(st.integers(0, 10**8))
def test_what_is_written_is_read_again(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(write_duration(seconds)) == seconds
