"""No token and no national identity number in any decision record, wherever it is kept (API-07).

Every refusal there is and many admissions, with canaries wherever a caller or an issuer can put
something, go to a file, a table and a stream; then everything that was written is searched, and so
is what is exported of it.
"""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from typer.testing import CliRunner

from attacks.test_canary import (
    CASES,
    CLAIMS,
    HEADERS,
    ISSUER,
    METHOD,
    PID,
    PLANTED,
    segments,
    with_canaries,
)
from portvakt import Guard, HttpRequest, Requirement
from portvakt.cli import app
from portvakt.records.keeping import DecisionRecords
from portvakt.records.reading import lines_of_file, lines_of_rows
from portvakt.records.record import places_of
from portvakt.records.sinks import FileSink, Rotation, SqlSink, StreamSink, listed
from portvakt.stores.opened import open_database
from portvakt.stores.sql.records import SqlRecords
from portvakt.stores.sql.upgrade import upgrade
from portvakt.testing import FakeClient
from recording import HELSE, KEY, SECRET, VARIABLE, folder_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from portvakt.records.sinks import Sink

TRUST: Final = "nhn:tillitsrammeverk:parameters"
HPR, LEVEL = "431001110", "helseid://claims/identity/security_level"
EVERYTHING: Final = ["security_level", "pid", "hpr_number", "organisation"]

#: Where a client writes what it likes about a patient.
STATED: Final[dict[str, Any]] = {
    "practitioner": {"identifier": {"id": PID}, "hpr_nr": {"id": HPR}},
    "care_relationship": {
        "purpose_of_use": {"code": PID, "system": PID, "text": "kanari"},
        "purpose_of_use_details": {"code": PID},
        "decision_ref": {"id": PID},
    },
    "patients": [{"identifier": PID, "point_of_care": "kanari"}],
}


def admissions() -> Iterator[tuple[Guard, HttpRequest]]:
    """Yield requests that are admitted, full of canaries."""
    plain = ISSUER.guard(route=[{"path": "/me/{pid}"}, {"path": "/open/{pid}", "public": True}])
    yield plain, with_canaries(token=ISSUER.token(claims=CLAIMS))
    yield (
        plain,
        with_canaries(
            token=ISSUER.token(claims={**CLAIMS, "sub": PID, "client_id": PID, "jti": PID})
        ),
    )
    yield plain, with_canaries(token=ISSUER.token(claims=CLAIMS), method=METHOD)
    yield plain, with_canaries(token=ISSUER.token(claims=CLAIMS), method=PID)
    yield plain, with_canaries(f"/open/{PID}")
    everywhere = ISSUER.guard(route=[])
    yield everywhere, with_canaries(f"/{PID}", token=ISSUER.token(claims=CLAIMS))
    health = HELSE.guard(route=[{"path": "/me/{pid}", "ignore": EVERYTHING}])
    for code in (PID, "kanari", "TREAT", f"TREAT{PID}"):
        stated = {**STATED, "care_relationship": {"purpose_of_use": {"code": code}}}
        claims = {
            "helseid://claims/identity/pid": PID,
            "helseid://claims/hpr/hpr_number": HPR,
            TRUST: stated,
        }
        token = HELSE.token(
            claims={**claims, "sub": "kanari", "helseid://claims/client/client_name": "Kanari"}
        )
        yield health, HELSE.request(token, url=f"/me/{PID}", headers=HEADERS)
    client = FakeClient(ISSUER)
    bound = ISSUER.guard(
        route=[{"path": "/me/{pid}", "sender_constraint": "dpop"}],
        api={"audience": "test-api", "origin": "https://api.test"}, store={"url": "memory://"},
    )  # fmt: skip
    yield bound, client.request(client.token(claims=CLAIMS), url=f"/me/{PID}", headers=HEADERS)


def told(guard: Guard, records: DecisionRecords) -> Guard:
    """Have a guard's decisions written down, as if its policy said so."""
    answers = guard._answers
    answers._records, guard._watched = records, True
    return guard


def records_in(make: Callable[[], Sink]) -> DecisionRecords:
    return DecisionRecords(
        make, key=KEY, places={}, api="test-api", version="1", clock=ISSUER.clock, max_behind=60.0
    )


def drive(records: DecisionRecords) -> tuple[int, list[str]]:
    """Have everything decided; return how many decisions that were, and what must not be seen."""
    planted, decisions = [*PLANTED, HPR], 0
    refused = [(guard, request) for _, guard, request in CASES]
    for guard, request in [*refused, *admissions()]:
        watched, answers = guard._watched, guard._answers
        records._places = {**records._places, **places_of(guard.routes)}
        try:
            decision = told(guard, records).check_blocking(request)
            decisions += 1
            if decision.token is not None:
                guard.require(request, decision, Requirement.of(scopes=["kanari-scope"]))
                decisions += 1
        finally:
            answers._records, guard._watched = None, watched
        planted += segments(request)
    guard = told(ISSUER.guard(), records)
    guard.malformed(with_canaries(token=ISSUER.token(claims=CLAIMS)), f"kanari {PID}")
    records.close()
    return decisions + 1, planted


def found(octets: bytes, planted: list[str]) -> list[str]:
    return [one for one in planted if one.encode() in octets]


def assert_silent(lines: list[bytes], planted: list[str], decisions: int) -> None:
    kept = [msgspec.json.decode(line) for line in lines]
    assert [one["kind"] for one in kept].count("decision") == decisions
    assert "lost" not in {one["kind"] for one in kept}
    assert {one["outcome"] for one in kept if one["kind"] == "decision"} == {"admitted", "refused"}
    whole = b"\n".join(lines)
    assert found(whole, planted) == []
    # No number of a person of any form, be it by chance: eleven digits in a row are nowhere.
    assert re.findall(rb"\d{11}", whole) == []


POLICY: Final = f"""
[api]
audience = "test-api"
[[issuer]]
issuer = "https://issuer.test"
algorithms = ["ES256"]
[records]
keys = [{{ env = "{VARIABLE}" }}]
"""


def exported(tmp_path: Path, rest: str, *arguments: str) -> bytes:
    policy = tmp_path / "portvakt.toml"
    policy.write_text(POLICY + rest)
    result = CliRunner().invoke(
        app,
        ["records", "export", *arguments, "--config", str(policy)],
        env={**os.environ, VARIABLE: SECRET},
    )
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


@pytest.mark.attack("API-07")
def test_files_hold_no_token_and_no_number(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    decisions, planted = drive(records_in(partial(FileSink, folder, Rotation(4096, 1e9, None))))
    lines = [line.octets for path in listed(folder) for line in lines_of_file(path)]
    assert len(listed(folder)) > 0
    assert_silent(lines, planted, decisions)
    for form in ([], ["--bundle"]):
        events = exported(tmp_path, 'sink = "file"\nfolder = "records"', *form)
        assert events.count(b"AuditEvent") == decisions
        assert found(events, planted) == []


@pytest.mark.attack("API-07")
def test_a_table_holds_no_token_and_no_number(tmp_path: Path) -> None:
    place = open_database(f"sqlite:///{tmp_path}/records.db", password=None, timeout=10.0)
    assert place is not None
    upgrade(place, ISSUER.clock)
    decisions, planted = drive(records_in(partial(SqlSink, partial(SqlRecords, place))))
    rows = SqlRecords(place)
    lines = [line.octets for line in lines_of_rows(rows)]
    rows.close()
    assert_silent(lines, planted, decisions)
    for path in tmp_path.glob("records.db*"):
        assert found(path.read_bytes(), planted) == []
    events = exported(tmp_path, 'sink = "sql"\nurl = "sqlite:///records.db"')
    assert events.count(b"AuditEvent") == decisions
    assert found(events, planted) == []


@pytest.mark.attack("API-07")
def test_a_stream_gets_no_token_and_no_number(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        decisions, planted = drive(records_in(partial(StreamSink, out.fileno())))
    assert_silent((tmp_path / "out").read_bytes().splitlines(), planted, decisions)


@pytest.mark.twin("API-07")
def test_whoever_has_the_key_finds_a_person_by_the_number(tmp_path: Path) -> None:
    from portvakt.policy.identifiers import parse_person_number

    folder = folder_in(tmp_path)
    drive(records_in(partial(FileSink, folder, Rotation(1 << 30, 1e9, None))))
    person = KEY.pseudonyms.of(parse_person_number(PID)).encode()
    assert sum(path.read_bytes().count(person) for path in listed(folder)) > 8
