"""Nothing that a token says causes traffic to anywhere but the configured issuer's endpoints."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

#: The families of which every hostile token is sent. The others differ from these in their keys.
FAMILIES: Final = ("alg", "sig", "hdr", "hdr_parameters", "enc", "json", "typ", "clm", "http")

#: Takes the sockets away itself, from the one question that is allowed as well.
NOT: Final = "not test_no_url_in_a_token_is_ever_fetched"


@pytest.mark.attack("CLM-17", "HDR-02", "HDR-03", "HDR-05", "HDR-06", "HDR-20", "HDR-21", "JWKS-04")
@pytest.mark.twin("CLM-17", "JWKS-04")
def test_no_token_causes_a_connection_a_look_up_or_an_open_file(
    repository: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    files = [f"tests/attacks/test_{family}.py" for family in FAMILIES]
    options = ["-q", "-p", "watched", "-p", "no:cacheprovider", "-k", NOT]
    path = os.pathsep.join(filter(None, ("tests", os.environ.get("PYTHONPATH"))))
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=repository,
        env={**os.environ, "WATCHED_REPORT": str(report), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(report.read_text(encoding="utf-8"))
    assert found["seen"] == []
    # What is sent is judged to the end: honest twins among them are admitted.
    assert found["tried"] > 10_000
    assert found["admitted"] > 100
    # A kid that nobody knows is a question to the issuer, and one in each cooldown is all.
    assert found["targets"] == ["/keys"]
    assert found["fetches"] <= 2 + found["seconds"] / 10 + 1
