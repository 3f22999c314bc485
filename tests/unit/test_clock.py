"""Time never runs backwards."""

from portvakt.clock import SystemClock, monotonic


def test_a_clock_that_is_set_back_stands_still() -> None:
    clock = SystemClock()
    readings = iter([100.0, 90.0, 99.9, 100.0, 100.5])
    clock._read = lambda: next(readings)
    assert [clock() for _ in range(5)] == [100.0, 100.0, 100.0, 100.0, 100.5]


def test_it_is_the_time_of_the_system() -> None:
    assert SystemClock()() > 1_700_000_000
    assert monotonic() <= monotonic()
