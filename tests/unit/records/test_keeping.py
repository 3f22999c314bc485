"""Decisions reach the records, or nobody is admitted; and whoever notes one waits for nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from portvakt import Code, Guard, Unavailable
from portvakt.guard.parts import Parts
from portvakt.records import keeping
from portvakt.records import writer as writing
from portvakt.records.chain import Chain, Head, Sealed
from portvakt.records.keeping import DecisionRecords
from portvakt.records.record import places_of
from portvakt.records.sinks import Sink, SinkError
from portvakt.records.verify import Verifier
from recording import HELSE, KEY, folder_in, recording_guard, until, verified, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


class Kept(Sink):
    """Keeps lines in memory, and fails as a test says."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.opened = self.closed = 0
        self.full = False
        self.fails: str | None = None
        self.broken: Exception | None = None
        self.blocks: threading.Event | None = None
        self.unsure: float | None = None
        self.settled = 0

    def _do(self) -> None:
        if self.blocks is not None:
            self.blocks.wait()
        if self.broken is not None:
            raise self.broken
        if self.fails is not None:
            raise SinkError(self.fails)

    def open(self, writer: str, at: float, /) -> tuple[Head, ...]:
        self._do()
        self.opened += 1
        return (Head("other", 3, "A" * 43),)

    def write(self, records: Sequence[Sealed], /) -> None:
        self._do()
        self.lines += [one.line.rstrip(b"\n") for one in records]

    def is_full(self) -> bool:
        return self.full

    def turn(self) -> None:
        self._do()
        self.full = False

    def unsettled(self) -> float | None:
        return self.unsure

    def settle(self) -> None:
        self._do()
        self.unsure = None
        self.settled += 1

    def close(self) -> None:
        self.closed += 1

    def kinds(self) -> list[str]:
        verifier = Verifier({KEY.id: KEY})
        found = [verifier.read(line, "") for line in self.lines]
        assert [flaw for _, flaws in found for flaw in flaws] == []
        return [record.kind for record, _ in found if record is not None]


@pytest.fixture
def sink() -> Kept:
    return Kept()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "PAUSE", 0.001)
    monkeypatch.setattr(writing, "_AGAIN", 0.002)


@pytest.fixture
def made(sink: Kept, quick: None) -> Iterator[Callable[..., Guard]]:
    """Make guards with records; they are closed at the end."""
    every: list[DecisionRecords] = []

    def make(**settings: Any) -> Guard:
        model = HELSE.guard(route=[{"path": "/x", "ignore": EVERYTHING}])
        records = DecisionRecords(
            lambda: sink,
            key=KEY,
            places=places_of(model.routes),
            api="api",
            version="1",
            clock=HELSE.clock,
            **{"max_behind": 5.0, **settings},
        )
        every.append(records)
        return Guard(
            issuers=model.issuers.values(),
            keys=model.keys,
            routes=model.routes,
            parts=Parts(records=records),
            clock=HELSE.clock,
        )

    yield make
    sink.blocks = sink.fails = sink.broken = None
    for one in every:
        one.close()


EVERYTHING = ["security_level", "pid", "hpr_number", "organisation"]


def ask(guard: Guard) -> Code | None:
    refusal = guard.check_blocking(HELSE.request(HELSE.token(), url="/x")).refusal
    return None if refusal is None else refusal.code


def records_of(guard: Guard) -> DecisionRecords:
    assert guard.parts.records is not None
    return guard.parts.records


def test_what_is_decided_is_written_soon_and_the_end_when_it_is_closed(
    made: Callable[..., Guard], sink: Kept
) -> None:
    guard = made()
    assert ask(guard) is None
    until(lambda: len(sink.lines) == 2)
    until(lambda: records_of(guard).health().behind == 0)
    assert ask(guard) is None
    records_of(guard).close()
    assert sink.kinds() == ["start", "decision", "decision", "end"]
    assert b'"others":[["other",3,"AAAA' in sink.lines[0]
    assert (sink.opened, sink.closed) == (1, 1)
    records_of(guard).close()
    assert sink.closed == 1
    # Who goes on has another writer.
    assert ask(guard) is None
    records_of(guard).close()
    assert sink.opened == 2


def test_nothing_is_open_before_it_is_needed(made: Callable[..., Guard], sink: Kept) -> None:
    guard = made()
    assert records_of(guard).health() == writing.RecordsHealth()
    records_of(guard).close()
    assert sink.opened == 0
    assert repr(records_of(guard)) == f"DecisionRecords({KEY.id})"


def test_a_guard_that_is_opened_begins_and_one_that_is_closed_ends(
    made: Callable[..., Guard], sink: Kept
) -> None:
    guard = made()

    async def serve() -> None:
        async with guard:
            await asyncio.to_thread(until, lambda: sink.lines)
            request = HELSE.request(HELSE.token(), url="/x")
            assert (await guard.check(request)).admitted

    asyncio.run(serve())
    assert sink.kinds() == ["start", "decision", "end"]


def test_nobody_is_admitted_while_records_cannot_be_written(
    made: Callable[..., Guard], sink: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    guard = made()
    assert ask(guard) is None
    until(lambda: len(sink.lines) == 2)
    sink.fails = "no room"
    ask(guard)
    until(lambda: records_of(guard).health().last_error == "no room")
    decision = guard.check_blocking(HELSE.request(HELSE.token(), url="/x"))
    assert decision.refusal is not None
    assert decision.refusal.code is Code.RECORDS_UNAVAILABLE
    assert decision.response is not None
    assert (decision.response.status, dict(decision.response.headers)["Retry-After"]) == (503, "1")
    # What is refused for another reason still is.
    assert guard.check_blocking(HELSE.request(None, url="/x")).refusal is not None
    sink.fails = None
    until(lambda: records_of(guard).health().last_error is None)
    until(lambda: ask(guard) is None)
    records_of(guard).close()
    # Nothing is missing: what was refused meanwhile is there as well.
    kinds = sink.kinds()
    assert kinds[0] == "start"
    assert set(kinds[1:-1]) == {"decision"}
    assert caplog.text.count("decisions are not written down: no room") == 1
    assert "decisions are written down again" in caplog.text


def test_a_policy_may_admit_what_nobody_records(made: Callable[..., Guard], sink: Kept) -> None:
    sink.fails = "no room"
    guard = made(admit_unrecorded=True)
    assert ask(guard) is None
    until(lambda: records_of(guard).health().last_error == "no room")
    assert ask(guard) is None


def test_nobody_is_admitted_while_records_are_late(made: Callable[..., Guard], sink: Kept) -> None:
    sink.blocks = threading.Event()
    guard = made(max_behind=0.05)
    assert ask(guard) is None
    until(lambda: records_of(guard).health().behind > 0.05)
    assert ask(guard) is Code.RECORDS_UNAVAILABLE
    sink.blocks.set()
    until(lambda: ask(guard) is None)


def test_a_place_that_cannot_be_had_admits_nobody(made: Callable[..., Guard], sink: Kept) -> None:
    sink.fails = "no folder"
    guard = made()
    records_of(guard).open()
    until(lambda: records_of(guard).health().last_error == "no folder")
    assert ask(guard) is Code.RECORDS_UNAVAILABLE
    sink.fails = None
    until(lambda: ask(guard) is None)


def test_what_finds_no_room_is_counted_and_the_count_is_a_record(
    made: Callable[..., Guard], sink: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "CAPACITY", 10)
    sink.blocks = threading.Event()
    guard = made()
    # The thread has taken nothing yet: it waits for the sink.
    codes = [ask(guard) for _ in range(13)]
    assert codes == [None] * 10 + [Code.RECORDS_UNAVAILABLE] * 3
    assert (records_of(guard).health().waiting, records_of(guard).health().lost) == (10, 3)
    sink.blocks.set()
    records_of(guard).close()
    assert sink.kinds() == ["start", *["decision"] * 10, "lost", "end"]
    assert b'"count":3' in sink.lines[-2]


def test_one_decision_that_cannot_be_described_ends_nothing(
    made: Callable[..., Guard], sink: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    guard = made()
    assert ask(guard) is None
    until(lambda: len(sink.lines) == 2)
    writer = records_of(guard)._writer
    assert writer is not None
    writer.note((1.0, "GET", "kanari", None, None, (), False))  # type: ignore[arg-type]
    assert ask(guard) is None
    records_of(guard).close()
    assert sink.kinds()[1:] == ["decision", "decision", "lost", "end"]
    assert "cannot be written down: AttributeError" in caplog.text
    assert "kanari" not in caplog.text


def test_a_fault_of_the_writer_admits_nobody_from_then_on(
    made: Callable[..., Guard], sink: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    guard = made()
    assert ask(guard) is None
    until(lambda: len(sink.lines) == 2)
    sink.broken = ValueError("kanari")
    ask(guard)
    until(lambda: records_of(guard).health().last_error is not None)
    assert ask(guard) is Code.RECORDS_UNAVAILABLE
    assert "failed: ValueError" in caplog.text
    assert "kanari" not in caplog.text


def test_the_end_does_not_wait_for_what_does_not_come(
    made: Callable[..., Guard], sink: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    guard = made()
    assert ask(guard) is None
    until(lambda: len(sink.lines) == 2)
    sink.fails = "no room"
    ask(guard)
    until(lambda: records_of(guard).health().last_error is not None)
    records_of(guard).close()
    assert "1 decisions were not written down: the process ends" in caplog.text
    assert sink.closed == 1
    # And one that never began.
    other = made()
    ask(other)
    records_of(other).close()
    assert caplog.text.count("the process ends") == 2


def test_the_end_comes_even_where_only_the_last_word_fails(
    made: Callable[..., Guard], sink: Kept
) -> None:
    guard = made()
    assert ask(guard) is None
    until(lambda: records_of(guard).health().behind == 0)
    sink.fails = "no room"
    records_of(guard).close()
    assert sink.closed == 1


def test_another_part_says_what_it_is_by_itself(made: Callable[..., Guard], sink: Kept) -> None:
    guard = made()
    assert ask(guard) is None
    until(lambda: len(sink.lines) == 2)
    sink.full, sink.fails = True, "no further file"
    ask(guard)
    until(lambda: records_of(guard).health().last_error == "no further file")
    sink.fails = None
    until(lambda: ask(guard) is None)
    records_of(guard).close()
    assert sink.kinds()[:4] == ["start", "decision", "part", "decision"]
    link = sink.lines[1][-45:-2]
    assert b'"after":"' + link + b'"' in sink.lines[2]
    assert b'"part":1' in sink.lines[2]


def test_the_end_does_not_wait_for_another_part(made: Callable[..., Guard], sink: Kept) -> None:
    guard = made()
    assert ask(guard) is None
    until(lambda: len(sink.lines) == 2)
    sink.full, sink.fails = True, "no further file"
    ask(guard)
    until(lambda: records_of(guard).health().last_error == "no further file")
    records_of(guard).close()
    assert sink.kinds() == ["start", "decision"]


def test_what_was_written_is_settled_when_nothing_more_comes(
    made: Callable[..., Guard], sink: Kept
) -> None:
    sink.unsure = 0.002
    guard = made()
    assert ask(guard) is None
    until(lambda: sink.settled == 1)


def test_a_guard_that_nobody_has_any_more_ends_its_records(quick: None, sink: Kept) -> None:
    # The fixture would keep it.
    model = HELSE.guard(route=[{"path": "/x", "ignore": EVERYTHING}])
    records = DecisionRecords(
        lambda: sink, key=KEY, places={}, api="a", version="1", clock=HELSE.clock, max_behind=5.0
    )  # fmt: skip
    guard = Guard(
        issuers=model.issuers.values(), keys=model.keys, routes=model.routes,
        parts=Parts(records=records), clock=HELSE.clock,
    )  # fmt: skip
    assert ask(guard) is None
    del records, guard
    gc.collect()
    until(lambda: sink.closed == 1)
    assert sink.kinds()[-1] == "end"


def test_no_thread_no_admission(
    made: Callable[..., Guard], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    guard = made()
    with monkeypatch.context() as patch:
        patch.setattr(writing.Writer, "start", _no_thread)
        assert ask(guard) is Code.RECORDS_UNAVAILABLE
        records_of(guard).open()
        with pytest.raises(Unavailable):
            records_of(guard).check()
    assert "no thread can be started" in caplog.text
    assert ask(guard) is None


def _no_thread(_: object) -> None:
    raise RuntimeError("can't start new thread")


def test_a_child_of_a_fork_has_a_chain_of_its_own_and_leaves_the_parent_s(
    tmp_path: Path,
) -> None:
    folder = folder_in(tmp_path)
    guard = recording_guard({"sink": "file", "folder": str(folder)})
    request = HELSE.request(HELSE.token(), url="/journal/1")
    assert guard.check_blocking(request).admitted
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            parent = guard.parts.records
            assert parent is not None
            admitted = guard.check_blocking(request).admitted
            parent.close()
            os._exit(0 if admitted else 1)
        children.append(child)
    assert guard.check_blocking(request).admitted
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    records_of(guard).close()
    flaws, verifier = verified(folder)
    assert flaws == []
    assert verifier.decisions == 4
    assert [ended for _, _, ended in verifier.heads()] == [True] * 3
    assert len({one["writer"] for one in written(folder)}) == 3


def test_the_writer_of_a_parent_is_not_stopped_in_a_child(
    made: Callable[..., Guard], sink: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = made()
    assert ask(guard) is None
    until(lambda: len(sink.lines) == 2)
    pid = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    records_of(guard).close()
    monkeypatch.undo()
    assert sink.closed == 0
    records_of(guard).close()
    assert sink.closed == 1


def test_two_who_begin_at_once_have_one_writer(made: Callable[..., Guard], sink: Kept) -> None:
    records = records_of(made())
    records.open()
    records.open()
    assert records._begin() is records._writer
    records.close()
    assert sink.opened == 1


def test_what_is_noted_while_it_goes_to_sleep_is_seen(made: Callable[..., Guard]) -> None:
    class Late(deque[Any]):
        """A queue that something comes into when it was just found empty."""

        looked = 0

        def __bool__(self) -> bool:
            self.looked += 1
            return self.looked == 2

    records = records_of(made())
    records.open()
    writer = records._writer
    assert writer is not None
    until(lambda: not writer._awake)
    records.close()
    other = writing.Writer(Kept(), Chain(KEY), writer._describer, head=("a", "1"), clock=time.time)
    other._queue = Late()
    assert other._round()
    assert other._awake
    assert other.since is not None


def test_a_fork_leaves_every_writer_to_the_parent(made: Callable[..., Guard], sink: Kept) -> None:
    records = records_of(made())
    records.open()
    writer = records._writer
    assert writer is not None
    keeping._leave_to_the_parent()
    assert records._writer is None
    writer.stop()
    assert sink.closed == 1


def test_noting_costs_no_waiting(made: Callable[..., Guard], sink: Kept) -> None:
    sink.blocks = threading.Event()
    guard = made()
    began = time.perf_counter()
    for _ in range(1000):
        ask(guard)
    assert time.perf_counter() - began < 2
    assert records_of(guard).health().waiting == 1000
    sink.blocks.set()


def test_the_writer_may_end_itself(made: Callable[..., Guard], sink: Kept) -> None:
    # When its own thread happens to collect the guard that nobody has any more.
    guard = made()
    assert ask(guard) is None
    until(lambda: len(sink.lines) == 2)
    writer = records_of(guard)._writer
    assert writer is not None
    sink.settle = writer.stop  # type: ignore[method-assign]
    sink.unsure = 0.0
    ask(guard)
    until(lambda: sink.closed == 1)
    logging.getLogger("portvakt.records").info("over")
