"""The lines of the log of decisions: what they say, and which are written."""

import json
import logging
from typing import Any, Final

import pytest

from portvakt import Code, Decision, Guard, HttpRequest, Refusal, Requirement
from portvakt.telemetry import log as log_module
from portvakt.telemetry.log import LOGGER, Log, line_of, lost_line, through_logging
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
NAME: Final = ISSUER.trusted.issuer
AT: Final = 1_800_000_000.25
ADMITTED: Final = Decision(None, None, None, None, AT)
REFUSED: Final = Decision(None, Refusal(Code.TOKEN_EXPIRED), None, None, AT)
REQUEST: Final = ISSUER.request()


def read(line: bytes) -> dict[str, Any]:
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_of_each_kind() -> None:
    lines: list[dict[str, Any]] = []

    def put(line: bytes, optional: bool, outcome: str) -> None:
        lines.append(read(line))
        assert lines[-1]["outcome"] == outcome
        assert optional is (outcome == "admitted")

    guard = Guard.from_config(
        ISSUER.config(route=[{"path": "/x/{a}", "scopes": ["read"]}]),
        clock=ISSUER.clock,
        observers=[Log(put)],
    )
    request = ISSUER.request(ISSUER.token(scopes=["read"]), url="/x/1?a=b")
    decision = guard.check_blocking(request)
    guard.require(request, decision, Requirement.of(["write"]))
    guard.check_blocking(ISSUER.request(method="DELETE", url="/y"))
    for line in lines:
        assert line.pop("took_ms") > 0
        assert line.pop("time") == "2027-01-15T08:00:00.000Z"
    assert lines == [
        {
            "outcome": "admitted",
            "route": "/x/{a}",
            "method": "GET",
            "issuer": NAME,
            "remembered": False,
        },
        {
            "outcome": "refused",
            "route": "/x/{a}",
            "code": "scope_insufficient",
            "step": "authorization",
            "method": "GET",
            "issuer": NAME,
            "remembered": False,
            "again": True,
            "detail": "missing scope: write",
        },
        {
            "outcome": "refused",
            "route": "none",
            "code": "route_unknown",
            "step": "route",
            "method": "DELETE",
            "detail": "no rule is for this method and path",
        },
    ]


def test_what_is_measured_is_rounded_and_what_was_passed_over_is_named() -> None:
    decision = Decision(
        None, None, None, None, AT, unconfirmed=("hpr",), seconds=0.0012345678, remembered=True
    )
    assert read(line_of(REQUEST, decision, 0.01)) == {
        "time": "2027-01-15T08:00:00.250Z",
        "outcome": "admitted",
        "route": "none",
        "method": "GET",
        "took_ms": 1.235,
        "remembered": True,
        "unconfirmed": ["hpr"],
        "sampled": 0.01,
    }


@pytest.mark.parametrize("method", ["get", "GET\n", "12345678901", "PROPFIND"])
def test_a_method_that_is_not_known_is_not_said(method: str) -> None:
    assert "method" not in read(line_of(HttpRequest(method=method, url="/"), ADMITTED))


def test_a_detail_is_bounded_and_in_ascii() -> None:
    detail = "line\nbreak \u2028 ø" + "x" * 2000
    decision = Decision(None, Refusal(Code.INTERNAL_ERROR, detail), None, None, AT)
    line = line_of(REQUEST, decision)
    assert line.isascii()
    assert read(line)["detail"] == detail[:1000]
    assert read(line)["outcome"] == "unavailable"


def test_a_second_is_written_once_and_right_again_when_it_is_another() -> None:
    times = [AT, AT + 0.5, AT + 60, AT, 0.0]
    written = [read(line_of(REQUEST, Decision(None, None, None, None, at)))["time"] for at in times]
    assert written == [
        "2027-01-15T08:00:00.250Z",
        "2027-01-15T08:00:00.750Z",
        "2027-01-15T08:01:00.250Z",
        "2027-01-15T08:00:00.250Z",
        "1970-01-01T00:00:00.000Z",
    ]


@pytest.mark.parametrize(
    ("share", "dice", "written"),
    [(1.0, 0.99, True), (0.01, 0.009, True), (0.01, 0.01, False), (0.0, 0.0, False)],
)
def test_admissions_are_sampled_and_refusals_never(
    share: float, dice: float, written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "random", lambda: dice)
    lines: list[dict[str, Any]] = []
    log = Log(lambda line, _optional, _outcome: lines.append(read(line)), share)
    log(REQUEST, ADMITTED)
    assert [line.get("sampled") for line in lines] == (
        [share if share < 1 else None] if written else []
    )
    lines.clear()
    log(REQUEST, REFUSED)
    log(REQUEST, Decision(None, None, None, None, AT, unconfirmed=("hpr",)))
    assert [line.get("sampled", "whole") for line in lines] == ["whole", "whole"]


def test_lines_go_through_logging_with_a_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    down = Decision(None, Refusal(Code.KEYS_UNAVAILABLE), None, None, AT)
    log = Log(through_logging)
    for decision in (ADMITTED, REFUSED, down):
        log(REQUEST, decision)
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO", "WARNING"]
    assert {record.name for record in caplog.records} == {"portvakt.decisions"}
    assert json.loads(caplog.records[1].getMessage())["code"] == "token_expired"


def test_how_many_were_lost_is_a_line_too() -> None:
    assert read(lost_line(3))["lines_lost"] == 3
