"""The short forms of what ``make`` measures for minutes: what they assert, not their figures."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


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


def test_a_flood_of_proofs_is_bounded_and_burns_nobody_elses(repository: Path) -> None:
    found = run(repository, "bench/replay_flood.py", "--proofs", "5000")
    assert "used again: 1250 of the whole flood: {'used': 1250}" in found


def test_what_binding_and_revocation_cost_can_be_measured(repository: Path) -> None:
    # Two turns on a busy machine are no figures; that every check of them is admitted, is asserted.
    found = run(repository, "bench/bound.py", "--rounds", "2", "--revocations", "2000")
    assert "a store, 2000 revoked" in found
    assert "the token seen before" in found
    assert "reference, asked about before" in found


def test_what_decision_records_cost_can_be_measured(repository: Path) -> None:
    found = run(repository, "bench/records.py", "--rounds", "2", "--decisions", "500")
    assert "on the path of the request" in found
    assert "records/s" in found


def test_what_open_connections_cost_can_be_measured(repository: Path) -> None:
    found = run(repository, "bench/open_connections.py", "--rounds", "1", "--connections", "500")
    assert "500 idle connections, guarded" in found
    assert "all closed" in found


def test_a_crowd_at_the_gateway_keeps_no_honest_client_out(repository: Path) -> None:
    short = ("--connections", "300", "--seconds", "2")
    assert "every honest request was answered" in run(repository, "bench/crowd.py", *short)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk sends the load")
def test_the_gateway_read_anew_under_load_answers_as_expected(repository: Path) -> None:
    # Too short for the memories to fill, so memory may rise; nothing else may.
    short = ("--minutes", "0.1", "--warm-up", "2", "--reload", "2", "--tokens", "200")
    found = run(repository, "bench/gateway_soak.py", *short, "--slack", "64")
    assert " 0 other than expected, 0 cut; 3 reloads" in found


def test_what_a_guard_adds_to_a_route_can_be_measured(repository: Path) -> None:
    # The ratio is judged on a quiet machine; here, that each application admits and refuses.
    found = run(repository, "bench/overhead.py", "--requests", "20", "--turns", "3", "--most", "9")
    assert "of what PyJWT adds" in found
