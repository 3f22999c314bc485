"""``portvakt revoke``: what is written, and what is said of it."""

import json
import math
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fake_store import DOWN, FakeStore
from mirroring import ISSUER
from portvakt.cli import app
from portvakt.config.compile import compile_policy
from portvakt.config.load import read_file
from portvakt.policy.handles import Kind, handle_of
from portvakt.testing import FakeIssuer

THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
CLI = sys.modules["portvakt.cli.revoke"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "keys.json").write_text(json.dumps(FakeIssuer(ISSUER).jwks()))
    policy = tmp_path / "portvakt.toml"
    policy.write_text(
        f'[api]\naudience = "api"\n[[issuer]]\nissuer = "{ISSUER}"\njwks_file = "keys.json"\n'
        'algorithms = ["ES256"]\nmax_lifetime = "10m"\n'
    )
    return policy


@pytest.fixture
def store(config: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    made = FakeStore()

    def opened(path: Path) -> object:
        return CLI.Opened(compile_policy(read_file(path, {})), made, 7.5)

    monkeypatch.setattr(CLI, "open_policy_store", opened)
    return made


def run(config: Path, *arguments: str, typed: str | None = None) -> Result:
    command = ["revoke", "--config", str(config), "--issuer", ISSUER, *arguments]
    return CliRunner().invoke(app, command, input=typed)


@pytest.mark.parametrize(
    ("arguments", "kind", "value", "words"),
    [
        (["--token", "t-1"], Kind.TOKEN, "t-1", "one token of"),
        (["--session", "s-1"], Kind.SESSION, "s-1", "every token of one session of"),
        (["--subject", "x"], Kind.SUBJECT, "x", "every token of one subject of"),
        (["--client", "c"], Kind.CLIENT, "c", "every token of one client of"),
        (["--key", THUMBPRINT], Kind.KEY, THUMBPRINT, "every token signed by one key of"),
        (["--everything"], Kind.ISSUER, "", "every token of"),
    ],
)
def test_each_thing_that_can_be_revoked(
    config: Path, store: FakeStore, arguments: list[str], kind: Kind, value: str, words: str
) -> None:
    result = run(config, *arguments)
    assert result.exit_code == 0, result.stderr
    (entry,) = store.entries()
    assert entry.handle == handle_of(kind, ISSUER, value)
    timeless = kind in {Kind.TOKEN, Kind.KEY}
    assert math.isinf(entry.issued_before) is timeless
    said = f"revoked: {words} {ISSUER}" + ("\n" if timeless else " issued before 20")
    assert said in result.stdout
    assert "every guard refuses within 7500ms, and this is kept until 20" in result.stdout
    assert store.closed == 1


def test_a_name_is_read_from_standard_input_and_never_said(config: Path, store: FakeStore) -> None:
    for typed in ("13116900216\n", "13116900216\r\nmore\n", "13116900216"):
        result = run(config, "--subject", "-", typed=typed)
        assert result.exit_code == 0
        assert "13116900216" not in result.output
    handles = {entry.handle for entry in store.entries()}
    assert handles == {handle_of(Kind.SUBJECT, ISSUER, "13116900216")}
    assert run(config, "--token", "-", typed="\n").exit_code == 1


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("2026-11-24T12:00:00Z", 1795521600),
        ("2026-11-24T13:00:00+01:00", 1795521600),
        ("2026-11-24T12:00:00.5Z", 1795521601),
    ],
)
def test_a_time_and_a_duration(
    config: Path, store: FakeStore, monkeypatch: pytest.MonkeyPatch, time: str, seconds: int
) -> None:
    monkeypatch.setattr(CLI, "SystemClock", lambda: lambda: 1795522000.0)
    result = run(config, "--everything", "--issued-before", time, "--keep", "30d")
    assert result.exit_code == 0, result.stderr
    (entry,) = store.entries()
    assert entry.issued_before == seconds
    assert entry.expires_at == 1795522000 + 30 * 86400
    assert f"issued before 2026-11-24T12:00:0{seconds % 10}Z\n" in result.stdout
    assert "kept until 2026-12-24T12:06:40Z\n" in result.stdout


def test_it_waits_until_it_holds_everywhere(
    config: Path, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(CLI.time, "sleep", slept.append)
    assert run(config, "--token", "t").exit_code == 0
    assert slept == []
    result = run(config, "--token", "t", "--wait")
    assert slept == [7.5]
    assert "7500ms have passed: it holds everywhere" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to revoke with one of --token, --session, --subject, --client, --key"),
        (["--token", "t", "--subject", "s"], "say what to revoke with one of"),
        (["--token", "t", "--everything"], "say what to revoke with one of"),
        (["--subject", ""], "value: must be 1 to 1024 characters"),
        (["--key", "SECRET-THUMB"], "value: must be the RFC 7638 thumbprint"),
        (["--token", "t", "--issued-before", "2026-11-24T12:00:00Z"], "means nothing for a token"),
        (["--everything", "--issued-before", "yesterday"], "must be a time with its zone"),
        (["--everything", "--issued-before", "2026-11-24T12:00:00"], "must be a time with its"),
        (["--everything", "--issued-before", "2999-01-01T00:00:00Z"], "must be a time that is"),
        (["--token", "t", "--keep", "1w"], "--keep: must be a duration, as 30m, 12h or 30d"),
        (["--token", "t", "--keep", "30s"], "keep_for: must be at least 636 seconds"),
        (["--token", "t", "--issuer", "https://other.test"], f"there are {ISSUER}"),
    ],
)
def test_what_is_wrong_revokes_nothing(
    config: Path, store: FakeStore, arguments: list[str], said: str
) -> None:
    result = run(config, *arguments)
    assert result.exit_code == 1
    assert f"portvakt revoke: {said}" in result.stderr or said in result.stderr
    assert "SECRET" not in result.output
    assert store.entries() == []


def test_the_memory_of_one_process_is_no_place_for_it(config: Path, store: FakeStore) -> None:
    store.shared = False
    result = run(config, "--token", "t")
    assert result.exit_code == 1
    assert "store: is the memory of one process: no guard would hear of it" in result.stderr
    assert store.entries() == []
    assert store.closed == 1


def test_a_store_that_does_not_answer(
    config: Path, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.failing = DOWN
    result = run(config, "--token", "t")
    assert result.exit_code == 2
    assert f"not certain that it is written: {DOWN.reason}" in result.stderr
    store.answering.clear()
    monkeypatch.setattr(CLI, "_PATIENCE", 0.01)
    result = run(config, "--token", "t")
    assert result.exit_code == 2
    assert "not certain that it is written: it gives no answer" in result.stderr
    assert store.closed == 2


def test_a_policy_without_a_store(config: Path) -> None:
    result = run(config, "--token", "t")
    assert result.exit_code == 1
    assert "store: is missing" in result.stderr
    config.write_text("[api]\n")
    assert run(config, "--token", "t").exit_code == 1
