"""Time never runs backwards."""

import runpy
import time

import pytest

from portvakt import clock as module
from portvakt.clock import SystemClock, monotonic


def test_a_clock_that_is_set_back_stands_still() -> None:
    clock = SystemClock()
    readings = iter([100.0, 90.0, 99.9, 100.0, 100.5])
    clock._read = lambda: next(readings)
    assert [clock() for _ in range(5)] == [100.0, 100.0, 100.0, 100.0, 100.5]


def test_it_is_the_time_of_the_system() -> None:
    assert SystemClock()() > 1_700_000_000
    assert monotonic() <= monotonic()


@pytest.mark.attack("CLK-01")
@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="there is one clock for both here")
def test_what_is_in_memory_ages_while_the_machine_is_suspended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = time.clock_gettime
    asleep = {time.CLOCK_BOOTTIME: 3600.0}
    monkeypatch.setattr(time, "clock_gettime", lambda which: read(which) + asleep.get(which, 0.0))
    before = monotonic()
    assert runpy.run_path(module.__file__)["monotonic"]() >= before + 3600


def test_where_there_is_no_such_clock_the_usual_one_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    assert runpy.run_path(module.__file__)["monotonic"] is time.monotonic
