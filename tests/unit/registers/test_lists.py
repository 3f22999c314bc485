"""A list of one's own as a register: who stands in it, today."""

import asyncio
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from portvakt.errors import ConfigurationError, Unavailable
from portvakt.registers.base import Answer, Question, Reason, RegisterHealth, Subject
from portvakt.registers.list_file import ListForm
from portvakt.registers.lists import ListRegister
from portvakt.testing.clock import FrozenClock
from unit.registers.conftest import NO, YES, hpr, organisation

FORM = ListForm(subject=Subject.HPR_NUMBER, column="hpr")
NOT_NOW = Answer(known=False, reason=Reason.NOT_VALID_NOW)


class Case:
    def __init__(self, path: Path, text: str, form: ListForm = FORM, **options: Any) -> None:
        self.path = path
        self.wall, self.clock = FrozenClock(), FrozenClock(0)
        self.write(text)
        self.register = ListRegister(
            "people", path, form, wall_clock=self.wall, clock=self.clock, **options
        )

    def write(self, text: str) -> None:
        self.path.write_text(text)
        os.utime(self.path, (0, self.clock()))

    def asks(self, question: Question, later: float = 60) -> Answer | str:
        self.clock.advance(later)
        try:
            answer = asyncio.run(self.register.fetch(question))
        except Unavailable as failure:
            return failure.refusal.detail or ""
        assert self.register.current(question) == answer
        return answer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "list.csv"


@pytest.mark.parametrize(
    ("value", "answer"),
    [("9144900", YES), ("009144900", YES), ("9144901", NO), ("0009144900", NO), ("x", NO)],
)
def test_who_stands_in_it_is_known(path: Path, value: str, answer: Answer) -> None:
    assert Case(path, "hpr\n009144900\n").asks(hpr(value)) == answer


def test_nothing_is_known_before_the_file_was_looked_at(path: Path) -> None:
    assert Case(path, "hpr\n1\n").register.current(hpr("1")) is None


@pytest.mark.parametrize(
    ("now", "answer"),
    [
        ("2024-02-28T23:59:59+00:00", NOT_NOW),
        ("2024-02-29T00:00:00+00:00", YES),
        ("2024-12-31T23:59:59+00:00", YES),
        ("2025-01-01T00:00:00+00:00", NOT_NOW),
        ("2026-01-01T12:00:00+00:00", YES),
    ],
)
def test_a_row_holds_on_its_days(path: Path, now: str, answer: Answer) -> None:
    text = "hpr,valid_from,valid_to\n1,2024-02-29,2024-12-31\n1,2026-01-01,\n2,,\n"
    case = Case(path, text)
    case.wall.set(datetime.fromisoformat(now).timestamp())
    assert case.asks(hpr("1")) == answer
    assert case.asks(hpr("2")) == YES


def test_the_days_are_those_of_the_place(path: Path) -> None:
    oslo = timezone(timedelta(hours=2))
    case = Case(path, "hpr,valid_to\n1,2024-06-30\n", timezone=oslo)
    case.wall.set(datetime(2024, 6, 30, 22, tzinfo=UTC).timestamp())
    assert case.asks(hpr("1")) == NOT_NOW
    case.wall.advance(-1)
    assert case.asks(hpr("1")) == YES


def test_a_new_list_counts(path: Path) -> None:
    case = Case(path, "hpr\n1\n")
    assert case.asks(hpr("2")) == NO
    case.write("hpr\n2\n")
    case.asks(hpr("2"))
    assert (case.asks(hpr("2")), case.asks(hpr("1"))) == (YES, NO)


def test_a_broken_list_leaves_the_last_in_place_and_says_so(path: Path) -> None:
    case = Case(path, "hpr\n1\n2\n", max_staleness=200)
    assert case.register.health() == RegisterHealth(
        name="people", source=str(path), max_staleness=200
    )
    case.asks(hpr("1"))
    case.write("hpr\n1\n2")
    assert [case.asks(hpr("1")), case.asks(hpr("1"))] == [YES, YES]
    case.clock.advance(7)
    assert case.register.health() == RegisterHealth(
        name="people",
        source=str(path),
        entries=2,
        max_staleness=200,
        last_error="the last line has no end: the file may have been cut off",
        last_error_age=7,
    )
    assert case.asks(hpr("1"), later=193) == case.register.health().last_error


def test_a_list_without_a_limit_says_none(path: Path) -> None:
    case = Case(path, "hpr\n1\n", max_staleness=float("inf"))
    assert case.register.health().max_staleness is None


def test_partners_are_known_whatever_their_child(path: Path) -> None:
    form = ListForm(subject=Subject.ORGANISATION, column="orgnr", delimiter=";")
    case = Case(path, "orgnr;navn\n974589095;Sykehuset\n", form)
    assert case.register.subjects == {Subject.ORGANISATION}
    assert case.asks(organisation(child="873255102")) == YES
    assert case.asks(organisation("873255102")) == NO


def test_the_numbers_have_to_make_sense(path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        Case(path, "", interval=0, max_staleness=-1)
    assert [problem.place for problem in error.value.problems] == ["interval", "max_staleness"]
    assert ListRegister("people", str(path), FORM).name == "people"
