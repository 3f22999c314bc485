"""A process that is killed under load leaves records that hold, up to its last whole line."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from figures import figure
from portvakt.records.reading import lines_of_file
from portvakt.records.sinks import listed
from recording import folder_in, recording_guard, verified, written

TESTS = Path(__file__).resolve().parent.parent
KILLS = 20 if os.environ.get("PORTVAKT_LONG") else 2

#: Seconds by which records may be behind on a machine with nothing to spare.
BEHIND = 1.0


def begun(folder: Path, fsync: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(TESTS / "recording_process.py"), str(folder), fsync],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])},
        text=True,
    )


def killed(process: subprocess.Popen[str], seconds: float) -> int:
    """Kill a process; return how many of its decisions have to be there."""
    assert process.stdout is not None
    assert process.stdout.readline()
    time.sleep(seconds)
    process.kill()
    at = time.monotonic()
    said = [line.split() for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    return max((int(count) for count, when in said if float(when) < at - BEHIND), default=0)


def test_a_process_that_is_killed_under_load_leaves_records_that_hold(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    chance = random.Random(7)  # noqa: S311  the same in every run
    due = 0
    for number in range(KILLS):
        # Two write to one folder at the same time, and one of them is killed first.
        both = [begun(folder, ("1s", "batch")[(number + one) % 2]) for one in range(2)]
        due += sum(killed(one, BEHIND + chance.uniform(0.1, 0.6)) for one in both)
    guard = recording_guard({"sink": "file", "folder": str(folder)})
    assert guard.parts.records is not None
    guard.parts.records.open()
    guard.parts.records.close()

    flaws, verifier = verified(folder)
    assert flaws == []
    heads = list(verifier.heads())
    assert len(heads) == 2 * KILLS + 1
    assert [ended for _, _, ended in heads].count(True) == 1
    assert verifier.decisions >= due > 0
    incomplete = [line for path in listed(folder) for line in lines_of_file(path) if not line.whole]
    files = len(listed(folder))
    assert files > len(heads)  # Some were full.
    figure(
        "a process that keeps records is killed under load",
        f"{2 * KILLS} kills",
        f"{verifier.decisions} decisions in {files} files, all hold",
        f"{len(incomplete)} incomplete last lines",
        f"{due} had to be there: decided {BEHIND:g} s before or earlier",
    )


def test_wherever_a_file_ends_what_is_there_holds_and_no_more(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    guard = recording_guard({"sink": "file", "folder": str(folder)})
    from recording import HELSE

    for _ in range(3):
        guard.check_blocking(HELSE.request(None, url="/journal/7"))
    assert guard.parts.records is not None
    guard.parts.records.close()
    [path] = listed(folder)
    octets = path.read_bytes()
    for end in range(len(octets)):
        path.write_bytes(octets[:end])
        flaws, verifier = verified(folder)
        assert flaws == []
        whole = octets[:end].count(b"\n")
        assert verifier.decisions == max(0, min(3, whole - 1))
    path.write_bytes(octets)
    assert len(written(folder)) == 5


@pytest.mark.parametrize("last", [b"\0" * 400, b'{"writer":"', b"\xff\n", b"{}\n"])
def test_what_a_crash_of_the_machine_leaves_is_never_taken_for_a_record(
    tmp_path: Path, last: bytes
) -> None:
    folder = folder_in(tmp_path)
    guard = recording_guard({"sink": "file", "folder": str(folder)})
    assert guard.parts.records is not None
    guard.parts.records.open()
    guard.parts.records.close()
    [path] = listed(folder)
    with path.open("ab") as file:
        file.write(last)
    flaws, verifier = verified(folder)
    assert verifier.decisions == 0
    assert len(flaws) == last.endswith(b"\n")
