"""portvakt store: upgrade and status, on a real file and a real server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from portvakt.cli import app
from portvakt.stores.sql.tables import SCHEMA
from portvakt.testing import FakeIssuer
from servers import PASSWORD, Postgresql

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

POLICY = """
[api]
audience = "test-api"

[[issuer]]
issuer = "https://issuer.test"
algorithms = ["ES256"]
jwks_file = "keys.json"
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    import json

    issuer = FakeIssuer("https://issuer.test", alg="ES256")
    (tmp_path / "keys.json").write_text(json.dumps(issuer.jwks()))
    return tmp_path / "portvakt.toml"


def run(policy: Path, command: str, store: str, **environ: str) -> Any:
    policy.write_text(f"{POLICY}\n{store}")
    result: Result = CliRunner().invoke(
        app, ["store", command, "--config", str(policy)], env={**os.environ, **environ}
    )
    return result


def test_a_file_is_made_and_then_is_as_it_should_be(policy: Path) -> None:
    store = '[store]\nurl = "sqlite:///store.db"'

    before = run(policy, "status", store)
    made = run(policy, "upgrade", store)
    again = run(policy, "upgrade", store)
    after = run(policy, "status", store)

    assert before.exit_code == 1
    assert "portvakt store upgrade" in before.output
    assert (made.exit_code, made.output) == (0, f"sqlite: upgraded from nothing to {SCHEMA}\n")
    ready = f"sqlite: is as this version needs it ({SCHEMA})\n"
    assert (again.exit_code, again.output) == (after.exit_code, after.output) == (0, ready)


def test_a_server_is_upgraded_with_the_password_of_the_policy(
    policy: Path, postgresql: Postgresql
) -> None:
    name = postgresql.database()
    try:
        url = postgresql.url(name)
        store = f'[store]\nurl = "{url}"\npassword = {{ env = "THE_PASSWORD" }}'
        refused = run(policy, "upgrade", store, THE_PASSWORD="not-this-one")
        made = run(policy, "upgrade", store, THE_PASSWORD=PASSWORD)
        after = run(policy, "status", store, THE_PASSWORD=PASSWORD)
    finally:
        postgresql.drop(name)

    assert refused.exit_code == 2
    assert made.exit_code == 0, made.output
    assert after.exit_code == 0
    for result in (refused, made, after):
        assert PASSWORD not in result.output
        assert "not-this-one" not in result.output


def test_tables_of_a_later_version_are_said_to_be_that(policy: Path, tmp_path: Path) -> None:
    import sqlite3

    store = '[store]\nurl = "sqlite:///store.db"'
    run(policy, "upgrade", store)
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("UPDATE portvakt_schema SET version_num = '9999'")
    connection.commit()
    connection.close()

    for command in ("status", "upgrade"):
        result = run(policy, command, store)
        assert result.exit_code == 2
        assert "a later version" in result.output


@pytest.mark.parametrize("command", ["status", "upgrade"])
@pytest.mark.parametrize("url", ["memory://", "redis://localhost"])
def test_a_store_without_tables_has_nothing_to_upgrade(
    policy: Path, command: str, url: str
) -> None:
    result = run(policy, command, f'[store]\nurl = "{url}"')
    assert result.exit_code == 0
    assert "nothing to do" in result.output


@pytest.mark.parametrize("command", ["status", "upgrade"])
@pytest.mark.parametrize(
    ("store", "words"),
    [
        ("", "the policy has no [store]"),
        ('[store]\nurl = "mysql://localhost"', "must begin with one of"),
        ('[store]\nurl = "postgresql://nobody@127.0.0.1:1/a"', "cannot be reached"),
        (
            '[store]\nurl = "redis://localhost"\npassword = { env = "NOT_SET_ANYWHERE" }',
            "store.password",
        ),
    ],
)
def test_what_cannot_be_had_is_said_and_is_no_verdict(
    policy: Path, command: str, store: str, words: str
) -> None:
    result = run(policy, command, store)
    assert result.exit_code == 2
    assert words in result.output


def test_records_in_a_database_of_their_own_have_tables_as_well(policy: Path) -> None:
    records = '[records]\nsink = "sql"\nurl = "sqlite:///records.db"\nkeys = [{ env = "K" }]'
    store = '[store]\nurl = "sqlite:///store.db"'

    made = run(policy, "upgrade", f"{records}\n{store}")
    ready = run(policy, "status", f"{records}\n{store}")
    (policy.parent / "store.db").unlink()
    one = run(policy, "status", f"{records}\n{store}")
    alone = run(policy, "status", records)

    assert (made.exit_code, made.output.count("upgraded from nothing")) == (0, 2)
    assert (ready.exit_code, ready.output.count("as this version needs it")) == (0, 2)
    assert (one.exit_code, one.output.count("as this version needs it")) == (1, 1)
    assert (alone.exit_code, alone.output.count("as this version needs it")) == (0, 1)
