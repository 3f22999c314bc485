"""Counts, their snapshots, and what several snapshots come to."""

import os
import threading
from typing import Final

import pytest

from portvakt import Code, Decision, Refusal, Requirement, Route
from portvakt.telemetry import counts as counts_module
from portvakt.telemetry.counts import Counts
from portvakt.telemetry.metrics import Metrics
from portvakt.telemetry.snapshot import BOUNDS, Cell, Reading, Snapshot, Times, merge
from portvakt.testing import FakeIssuer, FrozenClock

ISSUER: Final = FakeIssuer()
NAME: Final = ISSUER.trusted.issuer
REQUEST: Final = ISSUER.request()
ROUTE: Final = Route(path="/x/{a}", methods=None, public=False, requirement=Requirement.of())
ANY: Final = Route(path=None, methods=None, public=False, requirement=Requirement.of())


def admitted(seconds: float | None = 0.001, *, again: bool = False) -> Decision:
    return Decision(
        None, None, ROUTE, None, 0.0, issuer=NAME, remembered=True, seconds=seconds, again=again
    )


def refused(code: Code, route: Route | None = None, seconds: float | None = 0.001) -> Decision:
    return Decision(None, Refusal(code), route, None, 0.0, seconds=seconds)


def counted(*decisions: Decision) -> Snapshot:
    counts = Counts()
    for decision in decisions:
        counts(REQUEST, decision)
    return Snapshot(*counts.read())


def cell(**how: object) -> Cell:
    given: dict[str, object] = {
        "route": "/x/{a}",
        "code": None,
        "issuer": NAME,
        "remembered": True,
        "again": False,
        "count": 1,
    }
    return Cell(**{**given, **how})  # type: ignore[arg-type]


def test_decisions_are_told_apart_by_all_that_is_counted() -> None:
    found = counted(
        admitted(),
        admitted(),
        admitted(again=True),
        refused(Code.ROUTE_UNKNOWN),
        refused(Code.TOKEN_EXPIRED, ANY),
    )
    nobody = {"issuer": None, "remembered": None}
    assert set(found.decisions) == {
        cell(count=2),
        cell(again=True),
        cell(route="none", code="route_unknown", **nobody),
        cell(route="*", code="token_expired", **nobody),
    }


def test_times_are_counted_by_outcome_and_none_twice() -> None:
    found = counted(
        admitted(BOUNDS[0]),  # A bound belongs to the bucket it ends.
        admitted(BOUNDS[0] * 1.1),
        admitted(99.0),
        admitted(1.0, again=True),
        admitted(None),
        refused(Code.INTERNAL_ERROR, seconds=0.25),
        refused(Code.TOKEN_EXPIRED, seconds=0.5),
    )
    times = {one.outcome: one for one in found.times}
    assert times["admitted"].buckets[:2] == (1, 1)
    assert times["admitted"].buckets[-1] == 1
    assert {name: sum(one.buckets) for name, one in times.items()} == {
        "admitted": 3,
        "refused": 1,
        "unavailable": 1,
    }
    assert times["unavailable"].seconds == 0.25
    assert times["refused"].seconds == 0.5


def test_no_count_is_lost_between_threads_nor_when_they_end() -> None:
    counts, each = Counts(), 3000

    def work() -> None:
        for _ in range(each):
            counts(REQUEST, admitted())

    for _ in range(3):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            (one,) = counts.read()[0] or (cell(count=0),)
            assert one.count <= 12 * each
        for thread in threads:
            thread.join()
    cells, times = counts.read()
    assert cells == (cell(count=12 * each),)
    assert sum(times[0].buckets) == 12 * each
    # The tables of threads that have ended are one by now.
    assert len(counts.tables._living) == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_does_not_tell_what_its_parent_counted() -> None:
    counts = Counts()
    counts(REQUEST, admitted())
    child = os.fork()
    if child == 0:
        counts(REQUEST, refused(Code.ROUTE_UNKNOWN))
        (one,) = counts.read()[0]
        os._exit(one.code != "route_unknown")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert counts.read()[0] == (cell(),)


def test_after_a_fork_all_is_forgotten() -> None:
    counts = Counts()
    counts(REQUEST, admitted())
    counts_module._forget_the_parents()
    assert counts.read()[0] == ()


def test_snapshots_are_added_up_and_of_ages_the_worst_is_kept() -> None:
    first, second = counted(admitted(0.5)), counted(admitted(0.5), refused(Code.ROUTE_UNKNOWN))
    first = Snapshot(
        first.decisions,
        first.times,
        (
            Reading("portvakt_keys_age_seconds", 5.0, (NAME,)),
            Reading("portvakt_keys_usable", 2.0, (NAME,)),
            Reading("portvakt_log_lines_lost", 1.0),
        ),
    )
    second = Snapshot(
        second.decisions,
        second.times,
        (
            Reading("portvakt_keys_age_seconds", 7.0, (NAME,)),
            Reading("portvakt_keys_usable", 1.0, (NAME,)),
            Reading("portvakt_log_lines_lost", 2.0),
        ),
    )
    both = merge([first, second, Snapshot()])
    assert cell(count=2) in both.decisions
    assert len(both.decisions) == 2
    times = {one.outcome: one for one in both.times}
    assert times["admitted"] == Times("admitted", times["admitted"].buckets, 1.0)
    assert sum(times["admitted"].buckets) == 2
    assert set(both.readings) == {
        Reading("portvakt_keys_age_seconds", 7.0, (NAME,)),
        Reading("portvakt_keys_usable", 1.0, (NAME,)),
        Reading("portvakt_log_lines_lost", 3.0),
    }
    assert merge([]).decisions == ()


class Guarded:
    """Something whose method is read."""

    def readings(self) -> list[Reading]:
        return [Reading("portvakt_ready", 1.0)]


def test_a_snapshot_crosses_to_another_process_as_it_is() -> None:
    metrics, guarded = Metrics(FrozenClock(1000.0)), Guarded()
    metrics.watch(guarded.readings)
    metrics.counts(REQUEST, admitted())
    snapshot = metrics.snapshot()
    assert Reading("portvakt_ready", 1.0) in snapshot.readings
    assert Snapshot.decode(snapshot.encode()) == snapshot


def test_what_no_longer_lives_is_no_longer_read() -> None:
    metrics, guarded = Metrics(), Guarded()
    metrics.watch(guarded.readings)
    del guarded
    assert Reading("portvakt_ready", 1.0) not in metrics.snapshot().readings
    metrics.watch(Guarded().readings)
    assert len(metrics._sources) == 1


def test_a_policy_loaded_anew_goes_on_counting() -> None:
    clock = FrozenClock(1000.0)
    before = Metrics(clock)
    before.counts(REQUEST, admitted())
    before.reload_failed()
    clock.advance(5)
    after = Metrics(clock)
    after.follow(before)
    before.counts(REQUEST, admitted())
    after.counts(REQUEST, admitted())
    snapshot = after.snapshot()
    assert snapshot.decisions == (cell(count=3),)
    assert set(snapshot.readings) == {
        Reading("portvakt_policy_generation", 2),
        Reading("portvakt_policy_loaded_timestamp_seconds", 1005.0),
        Reading("portvakt_policy_reloads", 1, ("ok",)),
        Reading("portvakt_policy_reloads", 1, ("failed",)),
    }
    assert (before.followed, after.followed) == (True, False)
