"""What is asked is not shown, and what comes back is an answer or one kind of failure."""

import asyncio

import pytest
from rich.pretty import pretty_repr

from portvakt.errors import Unavailable
from portvakt.refusal import Code
from portvakt.registers.base import Answer, Question, Reason, RegisterHealth, Subject, ask
from unit.registers.conftest import NO, YES, Stub, hpr, organisation


def test_a_question_shows_what_it_is_about_and_nobody() -> None:
    for question in (
        Question(Subject.PID, "05076600324"),
        Question(Subject.HPR_NUMBER, "9144900"),
        Question(Subject.ORGANISATION, "974589095", "873255102"),
    ):
        for shown in (repr(question), pretty_repr(question), f"{[question]}"):
            assert question.subject.value in shown
            assert question.value not in shown
            assert "873255102" not in shown


def test_equal_questions_are_one_question() -> None:
    assert {hpr("1"), hpr("1"), hpr("2")} == {hpr("1"), hpr("2")}
    assert organisation(child="1") != organisation()


def test_the_words_for_the_log_do_not_change() -> None:
    assert [reason.value for reason in Reason] == [
        "unknown",
        "deleted",
        "bankrupt",
        "winding_up",
        "forced_winding_up",
        "not_of_parent",
        "not_valid_now",
        "denied",
    ]
    assert [subject.value for subject in Subject] == [
        "organisation",
        "supplier",
        "hpr_number",
        "pid",
        "client",
    ]


def test_a_register_has_a_health_of_its_own_accord() -> None:
    class Plain(Stub):
        def open(self) -> None:
            super(Stub, self).open()

        def close(self) -> None:
            super(Stub, self).close()

    register = Plain()
    register.open()
    register.close()
    assert register.health() == RegisterHealth(name="stub", source="Plain")


@pytest.mark.parametrize("answer", [YES, NO])
def test_an_answer_comes_through(answer: Answer) -> None:
    assert asyncio.run(ask(Stub(answer), hpr())) is answer


def test_a_failure_comes_through_as_it_is() -> None:
    failure = Unavailable(Code.REGISTER_UNAVAILABLE, "why", retry_after=7)
    assert asyncio.run(ask(Stub(failure), hpr())) is failure


def test_any_other_error_is_a_failure_without_its_words() -> None:
    result = asyncio.run(ask(Stub(ValueError("05076600324")), hpr()))
    assert isinstance(result, Unavailable)
    assert result.refusal.detail == "internal error: ValueError"
    assert result.__context__ is None


@pytest.mark.parametrize("answer", [True, None, "yes", {"known": True}])
def test_what_is_no_answer_is_a_failure(answer: object) -> None:
    async def reply(question: Question) -> Answer:
        return answer  # type: ignore[return-value]  # a register of somebody's own

    result = asyncio.run(ask(Stub(reply), hpr()))
    assert isinstance(result, Unavailable)
    assert result.refusal.detail == "internal error: not an Answer"
