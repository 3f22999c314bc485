"""What keeps records keeps all of them, once, and says so when it cannot."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from portvakt.records import sinks
from portvakt.records.chain import Chain, Head, Sealed
from portvakt.records.record import Kind, Record
from portvakt.records.sinks import FileSink, Rotation, SinkError, SqlSink, StreamSink, listed
from portvakt.stores.base import RecordRows, StoreError
from recording import KEY, folder_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

NEVER = Rotation(1 << 30, 1e9, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_in(tmp_path)


def some(chain: Chain, count: int) -> list[Sealed]:
    kinds = [Kind.START if chain.n + one == 0 else Kind.DECISION for one in range(count)]
    return [chain.seal(Record(chain.writer, chain.n, kind, KEY.id, 1.5)) for kind in kinds]


def text(records: Sequence[Sealed]) -> bytes:
    return b"".join(one.line for one in records)


def test_a_file_is_for_nobody_else_and_its_name_says_when_and_whose(folder: Path) -> None:
    sink, chain = FileSink(folder, NEVER), Chain(KEY)
    assert sink.open(chain.writer, 1800000000.0) == ()
    records = some(chain, 3)
    sink.write(records)
    sink.close()
    [path] = listed(folder)
    assert path.name == f"20270115T080000Z-{chain.writer}-000000.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == text(records)
    sink.close()  # A second time does no harm.


def test_a_full_file_is_followed_by_another(folder: Path) -> None:
    sink, chain = FileSink(folder, Rotation(300, 1e9, 1.0)), Chain(KEY)
    sink.open(chain.writer, 1.0)
    first = some(chain, 1)
    sink.write(first)
    assert not sink.is_full()
    second = some(chain, 2)
    sink.write(second)
    assert sink.is_full()
    sink.turn()
    assert not sink.is_full()
    third = some(chain, 1)
    sink.write(third)
    sink.close()
    assert [path.read_bytes() for path in listed(folder)] == [text(first + second), text(third)]


def test_an_old_file_is_full_as_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(sinks, "monotonic", lambda: now)
    sink = FileSink(folder, Rotation(1 << 30, 60.0, None))
    sink.open("w", 1.0)
    assert not sink.is_full()
    now += 60
    assert sink.is_full()
    sink.turn()
    assert not sink.is_full()
    sink.close()


def test_what_has_to_be_on_the_disk_is_put_there_when_it_has_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, synced = 100.0, 0

    def fsync(_: int) -> None:
        nonlocal synced
        synced += 1

    monkeypatch.setattr(sinks, "monotonic", lambda: now)
    monkeypatch.setattr(os, "fsync", fsync)
    for after, expected in ((0.0, 1), (1.0, 0), (None, 0)):
        sink, chain = FileSink(folder, Rotation(1 << 30, 1e9, after)), Chain(KEY)
        sink.settle()  # Nothing is open yet, and nothing happens.
        sink.open(chain.writer, 1.0)
        synced = 0
        sink.write(some(chain, 1))
        assert synced == expected
        assert sink.unsettled() == (1.0 if after else None)
        now += 0.75
        assert sink.unsettled() == (0.25 if after else None)
        sink.write(some(chain, 1))
        assert synced == 2 * expected
        now += 5
        assert sink.unsettled() == (0.0 if after else None)
        sink.write(some(chain, 1))
        assert synced == (3 if after == 0 else 1 if after else 0)
        sink.write(some(chain, 1))
        sink.close()
        assert synced == (4 if after == 0 else 2 if after else 0)
    synced = 0
    sink = FileSink(folder, Rotation(1, 1e9, 60.0))
    sink.open(chain.writer, 2.0)
    sink.write(some(chain, 1))
    synced = 0
    sink.turn()  # What is left behind is on the disk, and so is the name of the next.
    assert synced == 2
    sink.close()


def test_a_full_disk_takes_the_rest_later_and_nothing_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink, chain = FileSink(folder, NEVER), Chain(KEY)
    sink.open(chain.writer, 1.0)
    records = some(chain, 3)
    write, room = os.write, 250

    def cramped(file: int, octets: bytes) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(28, "No space left on device")
        count = write(file, octets[:room])
        room -= count
        return count

    monkeypatch.setattr(os, "write", cramped)
    for _ in range(2):
        with pytest.raises(SinkError, match="No space left"):
            sink.write(records)
    room = 10_000
    sink.write(records)
    sink.close()
    assert [path.read_bytes() for path in listed(folder)] == [text(records)]


def test_a_disk_that_failed_is_not_believed_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink, chain = FileSink(folder, Rotation(1 << 30, 1e9, 0.0)), Chain(KEY)
    sink.open(chain.writer, 1.0)

    def fsync(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(SinkError, match="the disk failed"):
            sink.write(some(chain, 1))
    with pytest.raises(SinkError, match="the disk failed"):
        sink.write(some(chain, 1))
    sink.close()


def test_a_file_that_cannot_be_made_is_made_later_under_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = FileSink(folder, Rotation(1, 1e9, 1.0))
    folder.rmdir()
    with pytest.raises(SinkError, match="No such file"):
        sink.open("w", 1.0)
    with pytest.raises(SinkError, match="not open"):
        sink.write(())
    with pytest.raises(SinkError, match="not open"):
        sink.turn()
    sink.close()
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(sinks, "_sync_folder", _fails)
        with pytest.raises(SinkError, match="Input"):
            sink.open("w", 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(sinks, "_FOLDERS_OPEN", False)
        sink.open("w", 1.0)
    (folder / "19700101T000001Z-w-000001.jsonl").touch()
    with pytest.raises(SinkError, match="File exists"):
        sink.turn()
    (folder / "19700101T000001Z-w-000001.jsonl").unlink()
    sink.turn()
    sink.close()
    assert [path.name[-12:-6] for path in listed(folder)] == ["000000", "000001"]


def _fails(_: Path) -> None:
    raise OSError(5, "Input/output error")


def test_a_new_chain_finds_where_the_others_stand(folder: Path) -> None:
    heads: list[Head] = []
    for number in range(3):
        sink, chain = FileSink(folder, NEVER), Chain(KEY)
        assert sorted(sink.open(chain.writer, 10.0 + number)) == sorted(heads)
        records = some(chain, 400)
        sink.write(records)
        sink.close()
        heads.append(Head(chain.writer, 399, records[-1].line[-46:-3].decode()))
    # What is no record is told of by nobody: verification does.
    (folder / "0-empty-000000.jsonl").touch()
    (folder / "0-junk-000000.jsonl").write_bytes(b"junk\n")
    (folder / "0-folder-000000.jsonl").mkdir()
    whole = listed(folder)[-1]
    with whole.open("ab") as file:
        file.write(b'{"writer":"half')
    sink = FileSink(folder, NEVER)
    assert sorted(sink.open("w", 20.0)) == sorted(heads)
    sink.close()


def test_lines_on_a_stream_are_whole_and_small_enough_not_to_mix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pieces: list[bytes] = []

    def write(_: int, octets: bytes) -> int:
        pieces.append(octets)
        return len(octets)

    monkeypatch.setattr(os, "write", write)
    sink, chain = StreamSink(7), Chain(KEY)
    assert sink.open(chain.writer, 1.0) == ()
    records = some(chain, 100)
    long = Sealed(100, 1.0, b"x" * 9000 + b"\n")
    sink.write([*records, long])
    sink.close()
    assert b"".join(pieces) == text(records) + long.line
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert all(len(piece) <= 4096 for piece in pieces[:-1])
    assert pieces[-1] == long.line
    assert (sink.is_full(), sink.unsettled()) == (False, None)
    sink.settle()
    sink.turn()


def test_a_stream_that_is_full_gets_the_rest_later(monkeypatch: pytest.MonkeyPatch) -> None:
    got = b""

    def write(_: int, octets: bytes) -> int:
        nonlocal got
        if len(got) == 100:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        got += octets[:100]
        return min(len(octets), 100)

    monkeypatch.setattr(os, "write", write)
    sink, chain = StreamSink(), Chain(KEY)
    sink.open(chain.writer, 1.0)
    records = some(chain, 2)
    with pytest.raises(SinkError, match="unavailable"):
        sink.write(records)
    got += b" "
    sink.write(records)
    assert got.replace(b" ", b"", 1) == text(records)


class Rows(RecordRows):
    """A table that fails as a test says."""

    def __init__(self, *, fails: bool = False, last: tuple[bytes, ...] = ()) -> None:
        self.fails, self.closed, self._last = fails, False, last
        self.rows: list[tuple[str, int, float, bytes]] = []

    def append(self, rows: Sequence[tuple[str, int, float, bytes]], /) -> None:
        if self.fails:
            raise StoreError("it is away")
        self.rows += rows

    def last(self, most: int, /) -> tuple[bytes, ...]:
        if self.fails:
            raise StoreError("it is away")
        return self._last

    def lines(self, *, first_only: bool = False) -> Iterator[tuple[str, int, bytes]]:
        return iter(())

    def close(self) -> None:
        self.closed = True


def test_a_table_gets_lines_with_their_numbers() -> None:
    other = some(Chain(KEY), 2)
    rows, chain = Rows(last=(other[1].line.rstrip(b"\n"), b"junk")), Chain(KEY)
    sink = SqlSink(lambda: rows)
    [head] = sink.open(chain.writer, 1.0)
    assert (head.n, head.link) == (1, other[1].line[-46:-3].decode())
    records = some(chain, 2)
    sink.write(records)
    assert rows.rows == [(chain.writer, one.n, 1.5, one.line[:-1]) for one in records]
    rows.fails = True
    with pytest.raises(SinkError, match="it is away"):
        sink.write(records)
    sink.close()
    assert rows.closed
    with pytest.raises(SinkError, match="not open"):
        sink.write(records)


def test_a_table_that_cannot_be_had_is_closed_again() -> None:
    rows = Rows(fails=True)
    sink = SqlSink(lambda: rows)
    with pytest.raises(SinkError, match="it is away"):
        sink.open("w", 1.0)
    assert rows.closed
    sink.close()
