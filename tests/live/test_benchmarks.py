"""The short forms of ``make flood`` and ``make soak``: what they assert, not what they measure."""

import subprocess
import sys
from pathlib import Path


def run(repository: Path, *command: str) -> str:
    result = subprocess.run(
        [sys.executable, *command],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_flood_of_invented_kids_refuses_no_honest_request(repository: Path) -> None:
    # How much slower the honest ones get is measured on a quiet machine; here nobody knows what
    # else runs.
    short = ("--seconds", "1", "--turn", "0.5", "--rate", "300", "--ratio", "100")
    assert "the key endpoint was asked" in run(repository, "bench/flood.py", *short)


def test_load_and_changing_keys_leave_nothing_behind(repository: Path) -> None:
    # Too short for the caches to fill, so that memory may still rise; nothing else may.
    short = ("--minutes", "0.2", "--rotate", "2", "--slack", "64")
    assert " 0 refused" in run(repository, "bench/soak.py", *short)
