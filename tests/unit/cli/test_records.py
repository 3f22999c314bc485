"""portvakt records: verify and export, on files, tables and a stream."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from portvakt import Guard
from portvakt.cli import app
from portvakt.cli import records as command
from portvakt.records.sinks import listed
from recording import HELSE, SECRET, VARIABLE, folder_in, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLICY = """
[api]
audience = "test-api"
ignore = ["security_level", "pid", "hpr_number", "organisation"]

[[issuer]]
profile = "helseid-test"
algorithms = ["ES256"]
jwks_file = "keys.json"

[records]
"""
FILE = 'sink = "file"\nfolder = "records"\nfsync = "never"'
SQL = 'sink = "sql"\nurl = "sqlite:///records.db"'


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, SECRET)
    (tmp_path / "keys.json").write_text(json.dumps(HELSE.jwks()))
    folder_in(tmp_path)
    return write(tmp_path / "portvakt.toml", FILE)


def write(policy: Path, records: str, keys: str = f'[{{ env = "{VARIABLE}" }}]') -> Path:
    policy.write_text(f"{POLICY}{records}\nkeys = {keys}\n")
    return policy


def run(policy: Path, *words: str, given: bytes | None = None) -> Any:
    return CliRunner().invoke(
        app, ["records", *words, "--config", str(policy)], input=given, env=dict(os.environ)
    )


def decide(policy: Path, count: int = 5, *, close: bool = True) -> Guard:
    guard = Guard.from_file(policy, clock=HELSE.clock)
    request = HELSE.request(HELSE.token(), url="/x")
    for _ in range(count):
        assert guard.check_blocking(request).admitted
    assert guard.parts.records is not None
    if close:
        guard.parts.records.close()
    else:
        records = guard.parts.records
        until(lambda: records.health().behind == 0)
    return guard


@pytest.fixture
def records(policy: Path) -> Path:
    """The one file of five decisions."""
    decide(policy)
    [path] = listed(policy.parent / "records")
    return path


def change(path: Path, before: bytes, after: bytes) -> None:
    octets = path.read_bytes()
    assert before in octets
    path.write_bytes(octets.replace(before, after, 1))


@pytest.mark.parametrize("sink", [FILE, SQL])
def test_what_was_not_touched_holds(policy: Path, sink: str) -> None:
    write(policy, sink)
    decide(policy, 5)
    decide(policy, 3)
    result = run(policy, "verify")
    assert result.exit_code == 0, result.output
    assert result.output.endswith("8 decisions: nothing was changed, removed or moved\n")
    assert result.output.count("ended in good order") == 2


def test_a_change_is_found_with_its_place(policy: Path, records: Path) -> None:
    change(records, b'"n":3,"kind":"decision"', b'"n":3,"kind":"decisiom"')
    result = run(policy, "verify")
    assert result.exit_code == 1
    assert f"{records.name}:4: record 3 of writer" in result.stdout
    assert "was changed" in result.stdout
    assert "1 flaws: the records do not hold" in result.stderr


def test_many_flaws_are_not_all_shown(
    policy: Path, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_SHOWN", 2)
    records.write_bytes(records.read_bytes().replace(b'"GET"', b'"PUT"'))
    result = run(policy, "verify")
    assert result.stdout.count("was changed") == 2
    assert "… and more" in result.stdout
    assert "5 flaws" in result.stderr


def test_heads_that_were_kept_show_that_the_end_was_cut_off(policy: Path, records: Path) -> None:
    heads = policy.parent / "heads"
    saved = run(policy, "verify", "--save-heads", str(heads))
    assert saved.exit_code == 0
    assert run(policy, "verify", "--expect", str(heads)).exit_code == 0
    lines = records.read_bytes().splitlines(keepends=True)
    records.write_bytes(b"".join(lines[:4]))
    result = run(policy, "verify")
    assert result.exit_code == 0
    assert "no end: killed, cut off, or still writing" in result.output
    result = run(policy, "verify", "--expect", str(heads))
    assert result.exit_code == 1
    assert "the end of the chain" in result.stdout
    records.unlink()
    result = run(policy, "verify", "--expect", str(heads))
    assert result.exit_code == 1
    assert "the whole chain" in result.stdout


def test_no_heads_are_kept_of_what_does_not_hold(policy: Path, records: Path) -> None:
    change(records, b'"GET"', b'"PUT"')
    assert run(policy, "verify", "--save-heads", str(policy.parent / "heads")).exit_code == 1
    assert not (policy.parent / "heads").exists()


def test_a_chain_that_is_gone_is_missed_unless_it_may_be(policy: Path, records: Path) -> None:
    decide(policy)
    records.unlink()
    result = run(policy, "verify")
    assert result.exit_code == 1
    assert "whole chain of writer" in result.stdout
    assert run(policy, "verify", "--pruned").exit_code == 0


def test_an_incomplete_last_line_is_told_and_is_no_flaw(policy: Path, records: Path) -> None:
    records.write_bytes(records.read_bytes()[:-100])
    result = run(policy, "verify")
    assert result.exit_code == 0
    assert f"{records.name}:7: an incomplete last line" in result.output
    exported = run(policy, "export")
    assert (exported.exit_code, exported.output.count("AuditEvent")) == (0, 5)


def test_a_stream_is_verified_among_what_else_is_in_it(policy: Path, records: Path) -> None:
    octets = b"INFO: started\n" + records.read_bytes().replace(b"\n", b"\nINFO: a line\n")
    result = run(policy, "verify", "-", given=octets)
    assert result.exit_code == 0, result.output
    assert "5 decisions" in result.output
    lines = octets.splitlines(keepends=True)
    result = run(policy, "verify", "-", given=b"".join(lines[:5] + lines[6:]))
    assert result.exit_code == 1
    assert "is missing" in result.stdout


def test_files_and_folders_can_be_named(policy: Path, records: Path) -> None:
    write(policy, 'sink = "stdout"')
    for source in (records, records.parent):
        assert run(policy, "verify", str(source)).exit_code == 0
    result = run(policy, "verify")
    assert result.exit_code == 2
    assert "name the files" in result.stderr


def test_what_was_lost_is_told(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from portvakt.records import writer

    guard = decide(policy, 1, close=False)
    monkeypatch.setattr(writer, "CAPACITY", 0)
    guard.malformed(HELSE.request(None, url="/x"), "no text")
    assert guard.parts.records is not None
    guard.parts.records.close()
    result = run(policy, "verify")
    assert result.exit_code == 0
    assert "1 decisions were not recorded, as the records themselves say" in result.output


def cannot(result: Any, words: str) -> None:
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert SECRET not in result.output


def test_what_cannot_be_told_ends_with_two(policy: Path, records: Path) -> None:
    heads = policy.parent / "heads"
    heads.write_text("w 1 x\n")
    cannot(run(policy, "verify", "--expect", str(heads)), "holds no heads")
    heads.write_text("w x " + "A" * 43)
    cannot(run(policy, "verify", "--expect", str(heads)), "holds no heads")
    cannot(run(policy, "verify", str(policy.parent / "nothing.jsonl")), "No such file")
    cannot(run(policy, "verify", "--expect", str(policy.parent / "nothing")), "No such file")
    cannot(run(policy, "export", "--format", "csv"), "must be fhir")
    write(policy, FILE, keys='[{ env = "OTHER_RECORD_KEY" }]')
    cannot(run(policy, "verify"), "not set")
    os.environ["OTHER_RECORD_KEY"] = SECRET[::-1]
    try:
        cannot(run(policy, "verify"), "is not among the policy's [records] keys")
        cannot(run(policy, "export"), "is not among the policy's [records] keys")
        write(policy, FILE, keys=f'[{{ env = "OTHER_RECORD_KEY" }}, {{ env = "{VARIABLE}" }}]')
        assert run(policy, "verify").exit_code == 0
    finally:
        del os.environ["OTHER_RECORD_KEY"]
    write(policy, SQL)
    cannot(run(policy, "verify"), "store upgrade")
    for path in listed(records.parent):
        path.unlink()
    write(policy, FILE)
    cannot(run(policy, "verify"), "there are no records")
    policy.write_text(POLICY.replace("[records]", ""))
    cannot(run(policy, "verify"), "no [records]")
    policy.write_text("")
    cannot(run(policy, "export"), "api")


@pytest.mark.parametrize("sink", [FILE, SQL])
def test_audit_events_come_one_a_line_or_in_a_bundle(policy: Path, sink: str) -> None:
    write(policy, sink)
    decide(policy, 2)
    guard = decide(policy, 1, close=False)
    guard.check_blocking(HELSE.request(None, url="/x"))
    assert guard.parts.records is not None
    guard.parts.records.close()
    lines = run(policy, "export").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["resourceType"] for event in events] == ["AuditEvent"] * 4
    assert sorted(event["outcome"] for event in events) == ["0", "0", "0", "4"]
    assert {event["source"]["observer"]["display"] for event in events} == {"test-api"}
    bundle = json.loads(run(policy, "export", "--bundle").stdout)
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "collection")
    assert [entry["resource"] for entry in bundle["entry"]] == events


def test_nothing_is_exported_from_where_records_do_not_hold(policy: Path, records: Path) -> None:
    change(records, b'"n":4,"kind":"decision"', b'"n":4,"kind":"decisiom"')
    result = run(policy, "export")
    assert result.exit_code == 1
    assert result.stdout.count("AuditEvent") == 3
    assert f"{records.name}:5" in result.stderr


@pytest.fixture(autouse=True)
def _no_secret_remains() -> Iterator[None]:
    yield
    os.environ.pop("OTHER_RECORD_KEY", None)
