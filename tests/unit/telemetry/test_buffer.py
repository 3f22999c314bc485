"""The buffer of lines: nobody waits, what finds no room is counted, what can be written is."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from portvakt import ConfigurationError
from portvakt.telemetry import buffer as buffer_module
from portvakt.telemetry.buffer import Buffer
from portvakt.telemetry.sink import File, Stream

#: Longer than anything here takes.
SECONDS: Final = 10.0


class Output:
    """Takes lines when it is open, and fails when it is told to."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.failing: Exception | None = None
        self.written: list[bytes] = []

    def write(self, octets: bytes) -> None:
        self.entered.set()
        assert self.open.wait(SECONDS)
        if self.failing is not None:
            raise self.failing
        self.written.append(octets)

    def lines(self) -> list[bytes]:
        return b"".join(self.written).splitlines()


def lost(count: int) -> bytes:
    return b"lost %d\n" % count


Make = Callable[..., Buffer]


@pytest.fixture
def buffer_of() -> Iterator[Make]:
    """Makes buffers, and sees that none leaves a thread behind."""
    made: list[Buffer] = []

    def make(
        output: Output | File, capacity: int = 100, said: Callable[[int], bytes] = lost
    ) -> Buffer:
        made.append(Buffer(output, capacity, said))
        return made[-1]

    yield make
    for buffer in made:
        buffer.close()
    for thread in threads():
        thread.join(SECONDS)
    assert threads() == []


def numbered(*numbers: int) -> list[bytes]:
    return [b"%d" % number for number in numbers]


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "portvakt-log"]


def test_lines_are_written_in_order_and_many_at_once(buffer_of: Make) -> None:
    output = Output()
    buffer = buffer_of(output, 10_000)
    for number in range(2000):
        buffer.put(b"%d\n" % number)
    assert buffer.flush()
    assert output.lines() == numbered(*range(2000))
    assert len(output.written) < 200
    assert all(len(written) <= 4096 for written in output.written)
    assert buffer.lost == 0


def test_nothing_runs_before_the_first_line_and_a_closed_buffer_starts_anew(
    buffer_of: Make,
) -> None:
    output = Output()
    buffer = buffer_of(output)
    assert buffer.flush()
    buffer.close()
    assert threads() == []
    for number in range(3):
        buffer.put(b"%d\n" % number)
        buffer.close()
        for thread in threads():
            thread.join(SECONDS)
    assert output.lines() == numbered(0, 1, 2)


def test_what_finds_no_room_is_lost_and_counted_and_admissions_first(buffer_of: Make) -> None:
    output = Output()
    buffer = buffer_of(output, 4)
    output.open.clear()
    buffer.put(b"0\n")
    assert output.entered.wait(SECONDS)  # It waits for the output, and holds the first.
    for number in range(1, 4):
        buffer.put(b"%d\n" % number, optional=True)
    for number in range(4, 8):
        buffer.put(b"%d\n" % number)
    assert not buffer.flush(0.01)
    assert buffer.lost == 3
    output.open.set()
    assert buffer.flush()
    assert output.lines() == [*numbered(0, 1, 2, 4, 5), b"lost 3"]
    buffer.put(b"8\n")
    assert buffer.flush()
    assert output.lines()[-1] == b"8"  # It is said once.


def test_lines_that_cannot_be_written_are_lost_and_those_after_them_are_not(
    buffer_of: Make,
    caplog: pytest.LogCaptureFixture,
) -> None:
    output = Output()
    buffer = buffer_of(output)
    output.failing = OSError("No space left")
    for number in range(2):
        buffer.put(b"%d\n" % number)
        assert buffer.flush()
    assert buffer.lost == 2
    assert caplog.messages == ["the log of decisions cannot be written: OSError"]
    output.failing = None
    buffer.put(b"2\n")
    assert buffer.flush()
    # What was written before the failure may have been half a line.
    assert output.written[0] == b"\n2\n"
    assert output.lines() == [b"", b"2", b"lost 2"]


def test_a_line_that_comes_while_the_thread_goes_to_sleep_is_written(buffer_of: Make) -> None:
    output, late = Output(), [b"late\n"]

    def said(count: int) -> bytes:
        while late:
            made[0].put(late.pop())
        return lost(count)

    made = [buffer_of(output, 1, said)]
    output.open.clear()
    made[0].put(b"0\n")
    assert output.entered.wait(SECONDS)
    for _ in range(3):  # One waits, and two find no room.
        made[0].put(b"1\n")
    output.open.set()
    assert made[0].flush()
    assert output.lines() == [b"0", b"1", b"lost 2", b"late"]


def test_lines_from_many_threads_are_all_written(buffer_of: Make) -> None:
    output = Output()
    buffer = buffer_of(output, 100_000)

    def work() -> None:
        for _ in range(500):
            buffer.put(b"x\n")

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert buffer.flush()
    assert output.lines() == [b"x"] * 4000


def test_a_buffer_that_is_forgotten_writes_what_it_has_and_leaves_no_thread() -> None:
    output = Output()
    buffer = Buffer(output, 100, lost)
    buffer.put(b"1\n")
    (thread,) = threads()
    del buffer
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert output.lines() == [b"1"]


def test_the_child_of_a_fork_forgets_and_the_end_of_a_process_writes(buffer_of: Make) -> None:
    output = Output()
    buffer = buffer_of(output)
    buffer.put(b"1\n")
    buffer_module._write_the_last()
    parents = buffer._lines
    buffer_module._forget_the_parents()
    parents.end()  # In a child it would not be there at all.
    assert buffer.flush()
    assert output.lines()[:1] == [b"1"]
    assert buffer._lines._thread is None


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_writes_its_own_lines_and_not_its_parents(buffer_of: Make, tmp_path: Path) -> None:
    path = tmp_path / "log"
    buffer = buffer_of(File(path), 10)
    buffer._lines.waiting.append(b"parent\n")
    child = os.fork()
    if child == 0:
        buffer.put(b"child\n")
        os._exit(not buffer.flush())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.read_bytes() == b"child\n"
    buffer.put(b"more\n")
    assert buffer.flush()
    assert path.read_bytes() == b"child\nparent\nmore\n"


def test_the_last_lines_of_a_process_are_written() -> None:
    script = (
        "from portvakt.telemetry.buffer import Buffer\n"
        "from portvakt.telemetry.sink import Stream\n"
        "buffer = Buffer(Stream(1), 10, lambda _: b'')\n"
        "buffer.put(b'the last\\n')\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert result.stdout == b"the last\n"


def test_a_file_that_was_moved_away_or_removed_is_made_anew(tmp_path: Path) -> None:
    path, old = tmp_path / "decisions.log", tmp_path / "decisions.log.1"
    path.write_bytes(b"0\n")
    file = File(path)
    file.write(b"1\n")
    path.rename(old)
    file.write(b"2\n")
    assert (old.read_bytes(), path.read_bytes()) == (b"0\n1\n", b"2\n")
    path.unlink()
    file.write(b"3\n")
    assert path.read_bytes() == b"3\n"
    assert path.stat().st_mode & 0o007 == 0


def test_a_file_is_there_again_when_its_folder_is(tmp_path: Path) -> None:
    folder, away = tmp_path / "log", tmp_path / "away"
    folder.mkdir()
    file = File(folder / "decisions")
    file.write(b"0\n")
    folder.rename(away)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            file.write(b"lost\n")
    folder.mkdir()
    file.write(b"1\n")
    assert (folder / "decisions").read_bytes() == b"1\n"


@pytest.mark.parametrize(
    ("name", "flaw"),
    [
        ("nowhere/decisions", "cannot be made: its folder is not there"),
        (".", "is a folder"),
        ("locked", "cannot be written: permission denied"),
    ],
)
def test_a_file_that_cannot_be_written_is_a_mistake_of_the_policy(
    name: str, flaw: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever runs the tests may write to everything.
    monkeypatch.setattr(os, "access", lambda path, _mode: path != tmp_path / "locked")
    (tmp_path / "locked").touch()
    with pytest.raises(ConfigurationError, match=f"telemetry.log.file: {flaw}"):
        File(tmp_path / name)


def test_a_file_is_made_when_there_is_something_to_write(tmp_path: Path) -> None:
    path = tmp_path / "decisions"
    file = File(path)
    assert not path.exists()
    file.write(b"1\n")
    file.write(b"2\n")
    assert path.read_bytes() == b"1\n2\n"


def test_standard_error_is_written_whole(capfd: pytest.CaptureFixture[str]) -> None:
    Stream(2).write(b"x" * 100_000)
    Stream(1).write(b"y")
    assert capfd.readouterr() == ("y", "x" * 100_000)


def test_what_takes_a_part_is_given_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bytes] = []

    def write(_descriptor: int, octets: bytes) -> int:
        taken.append(octets[:3])
        return len(taken[-1])

    monkeypatch.setattr(os, "write", write)
    Stream(1).write(b"12345678")
    assert taken == [b"123", b"456", b"78"]
