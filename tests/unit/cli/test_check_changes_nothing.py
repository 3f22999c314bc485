"""``portvakt check`` explains: it leaves every store, and whatever issuers send, as it was."""

import json
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from portvakt.cli import app
from portvakt.guard.assembly import assemble_file
from portvakt.guard.guard import Guard
from portvakt.home import finish
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer(clock=time.time)
FAR = "4000000000"

POLICY = """
[api]
audience = "test-api"
origin = "https://api.test"

[store]
url = "{url}"

[[issuer]]
issuer = "{issuer}"
jwks_file = "keys.json"
algorithms = ["ES256"]
"""
EVENTS = """
[issuer.events]
poll = "https://issuer.test/events"
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "keys.json").write_text(json.dumps(ISSUER.jwks()))
    path = tmp_path / "portvakt.toml"
    path.write_text(POLICY.format(url="sqlite:///store.db", issuer=ISSUER.trusted.issuer))
    return path


def check(policy: Path, *options: str) -> Result:
    line = ["check", "--config", str(policy), *options, ISSUER.token()]
    return CliRunner().invoke(app, line)


def begins(file: Path) -> list[Any]:
    connection = sqlite3.connect(file)
    try:
        return [row[0] for row in connection.execute("SELECT begins FROM portvakt_epochs")]
    finally:
        connection.close()


def test_no_store_is_made(policy: Path) -> None:
    assert check(policy).exit_code == 0
    assert [one.name for one in policy.parent.glob("store.db*")] == []


def test_a_store_that_is_there_is_looked_at(policy: Path) -> None:
    guard = Guard.from_file(policy)
    guard.revoke_blocking(ISSUER.trusted.issuer, "issuer", issued_before=time.time() + 5)
    finish(guard.home.blocked(guard.parts.close))
    found = json.loads(check(policy, "--json").stdout)
    assert (found["verdict"], found["code"]) == ("refused", "token_revoked")


def test_a_store_of_another_version_is_not_upgraded(policy: Path) -> None:
    file = policy.with_name("store.db")
    Guard.from_file(policy)
    connection = sqlite3.connect(file)
    connection.execute("UPDATE portvakt_schema SET version_num = '0000'")
    connection.commit()
    connection.close()
    result = check(policy)
    assert result.exit_code == 2
    assert "portvakt store upgrade" in result.stdout


@pytest.mark.parametrize("at", [FAR, "0"])
def test_memory_begins_when_it_does_whatever_time_is_judged_by(policy: Path, at: str) -> None:
    # Else proofs would be refused for years, or those from before a failover taken again.
    made, file = policy.with_name("made.db"), policy.with_name("store.db")
    Guard.from_file(policy)
    shutil.copy(file, made)
    made.replace(file)
    before = time.time()
    check(policy, "--at", at)
    assert all(before - 60 < one <= time.time() for one in begins(file))


def test_no_event_is_taken_and_nothing_pruned(policy: Path) -> None:
    policy.write_text(policy.read_text() + EVENTS)
    serving = Guard.from_file(policy).parts.standing
    explaining = assemble_file(
        Guard, policy, clock=None, observers=(), rehearsal=True
    ).parts.standing
    assert serving is not None
    assert explaining is not None
    assert serving.events is not None
    assert explaining.events is None
    # Nothing tells from outside, for half a minute.
    assert serving.mirror is not None
    assert serving.mirror._prune is not None
    assert explaining.mirror is not None
    assert explaining.mirror._prune is None
