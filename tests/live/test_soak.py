"""The short form of ``make soak``."""

import subprocess
import sys
from pathlib import Path


def test_load_and_changing_keys_leave_nothing_behind(repository: Path) -> None:
    # Too short for the caches to fill, so that memory may still rise; nothing else may.
    result = subprocess.run(
        [sys.executable, "bench/soak.py", "--minutes", "0.2", "--rotate", "2", "--slack", "64"],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 refused" in result.stdout
