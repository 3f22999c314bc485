"""Time that stands still until a test moves it."""

from portvakt.testing import FrozenClock


def test_it_stands_still() -> None:
    clock = FrozenClock(100.0)
    assert (clock(), clock()) == (100.0, 100.0)


def test_it_moves_when_told() -> None:
    clock = FrozenClock(100.0)
    clock.advance(5)
    assert clock() == 105.0
    clock.advance(-10)
    assert clock() == 95.0
    clock.set(7.5)
    assert clock() == 7.5
    assert repr(clock) == "FrozenClock(7.5)"
