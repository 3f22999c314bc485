"""Everything that one request asks: at once, and within one deadline."""

import asyncio
import time

import pytest

from portvakt.errors import ConfigurationError, Refused, Unavailable
from portvakt.refusal import Code, Step
from portvakt.registers.base import Answer, Question, Reason, Subject
from portvakt.registers.verify import Registers
from unit.registers.conftest import NO, YES, Stub, hpr, never, organisation, stubborn

ASKED = [("units", organisation()), ("people", hpr())]


def failure(reason: str, retry_after: int | None = None) -> Unavailable:
    return Unavailable(Code.REGISTER_UNAVAILABLE, reason, retry_after=retry_after)


def registers(units: Stub, people: Stub, deadline: float = 2.0) -> Registers:
    units.name, people.name = "units", "people"
    return Registers([units, people], deadline=deadline)


def test_when_all_know_nothing_happens() -> None:
    units, people = Stub(), Stub()
    assert asyncio.run(registers(units, people).verify(ASKED)) == ()
    assert (units.asked, people.asked) == ([organisation()], [hpr()])


def test_nothing_asked_is_nothing_to_wait_for() -> None:
    assert Registers().check_current([])
    assert asyncio.run(Registers().verify([])) == ()


def test_what_is_in_memory_is_not_asked_for() -> None:
    units, people = Stub(NO, known={organisation(): YES}), Stub()
    both = registers(units, people)
    assert not both.check_current(ASKED)
    assert asyncio.run(both.verify(ASKED)) == ()
    assert (units.asked, people.asked) == ([], [hpr()])
    people.known[hpr()] = YES
    assert both.check_current(ASKED)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(known=False, reason=Reason.NOT_OF_PARENT), "not_of_parent"),
        (Answer(known=False), "denied"),
        (Answer(known="yes"), "denied"),  # type: ignore[arg-type]  # not True is not known
    ],
)
def test_one_that_says_no_refuses(answer: Answer, reason: str) -> None:
    in_memory = registers(Stub(known={organisation(): answer}), Stub())
    elsewhere = registers(Stub(answer), Stub())
    for attempt in (
        lambda: in_memory.check_current(ASKED),
        lambda: asyncio.run(in_memory.verify(ASKED)),
        lambda: asyncio.run(elsewhere.verify(ASKED)),
    ):
        with pytest.raises(Refused) as refused:
            attempt()
        assert refused.value.refusal.code is Code.REGISTER_DENIED
        assert refused.value.refusal.detail == f"units: organisation: {reason}"


def test_a_no_says_nothing_of_whom_it_is_about() -> None:
    with pytest.raises(Refused) as refused:
        asyncio.run(registers(Stub(), Stub(NO)).verify(ASKED))
    assert "9144900" not in f"{refused.value.refusal}{refused.value}"


@pytest.mark.parametrize("admit", [False, True])
def test_a_no_weighs_more_than_one_that_does_not_answer(admit: bool) -> None:
    both = registers(Stub(failure("down")), Stub(NO))
    with pytest.raises(Refused, match="register_denied"):
        asyncio.run(both.verify(ASKED, admit_unavailable=admit))


def test_one_that_cannot_be_had_refuses_with_its_reason() -> None:
    both = registers(Stub(failure("down", 7)), Stub(failure("slow")))
    with pytest.raises(Unavailable) as unavailable:
        asyncio.run(both.verify(ASKED))
    assert unavailable.value.refusal.code is Code.REGISTER_UNAVAILABLE
    assert unavailable.value.refusal.detail == "units: down; people: slow"
    assert unavailable.value.retry_after == 7


def test_one_that_cannot_be_had_is_passed_over_and_named_where_the_route_says_so() -> None:
    both = registers(Stub(failure("down")), Stub())
    asked = [*ASKED, ("units", organisation("999999999"))]
    assert asyncio.run(both.verify(asked, admit_unavailable=True)) == ("units",)


@pytest.mark.parametrize("reply", [never, stubborn])
def test_the_deadline_is_one_for_all_and_is_kept(reply: object) -> None:
    both = registers(Stub(reply), Stub(reply), deadline=0.05)  # type: ignore[arg-type]

    async def timed() -> float:
        started = time.perf_counter()
        with pytest.raises(Unavailable) as unavailable:
            await both.verify(ASKED)
        assert unavailable.value.refusal.detail == (
            "units: no answer within 0.05 s; people: no answer within 0.05 s"
        )
        elapsed = time.perf_counter() - started
        await asyncio.sleep(0.03)  # What resisted comes to its end.
        return elapsed

    assert 0.05 <= asyncio.run(timed()) < 0.5


def test_the_questions_are_under_way_at_the_same_time() -> None:
    both_there = asyncio.Event()
    there = []

    async def meet(question: Question) -> Answer:
        there.append(question)
        if len(there) == 2:
            both_there.set()
        await both_there.wait()
        return YES

    assert asyncio.run(registers(Stub(meet), Stub(meet)).verify(ASKED)) == ()


def test_a_register_that_cancels_itself_has_given_no_answer() -> None:
    async def give_up(question: Question) -> Answer:
        raise asyncio.CancelledError

    with pytest.raises(Unavailable) as unavailable:
        asyncio.run(registers(Stub(give_up), Stub()).verify(ASKED))
    assert unavailable.value.refusal.detail == "units: the register gave up"


def test_who_is_cancelled_cancels_what_is_asked() -> None:
    ended: list[Question] = []

    async def wait(question: Question) -> Answer:
        try:
            return await never(question)
        finally:
            ended.append(question)

    async def give_up() -> None:
        task = asyncio.ensure_future(registers(Stub(wait), Stub(wait)).verify(ASKED))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    asyncio.run(give_up())
    assert len(ended) == 2


def test_each_is_opened_closed_and_asked_for_its_health() -> None:
    units, people = Stub(), Stub()
    both = registers(units, people)
    both.open()
    both.close()
    assert (units.opened, people.opened, units.closed, people.closed) == (1, 1, 1, 1)
    assert [health.name for health in both.health()] == ["units", "people"]


def test_what_a_route_names_is_checked_at_start_up() -> None:
    both = registers(Stub(subjects=frozenset({Subject.ORGANISATION, Subject.SUPPLIER})), Stub())
    both.check("units", Subject.SUPPLIER)
    with pytest.raises(ConfigurationError, match=r"no register 'unit'; there are: units, people"):
        both.check("unit", Subject.SUPPLIER)
    with pytest.raises(ConfigurationError, match="cannot be asked about pid, but about: organ"):
        both.check("units", Subject.PID)
    with pytest.raises(ConfigurationError, match="there are: none"):
        Registers().check("units", Subject.PID)


def test_two_of_one_name_are_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="two registers have the name 'stub'"):
        Registers([Stub(), Stub()])


@pytest.mark.parametrize("deadline", [0, -1, float("nan")])
def test_a_deadline_is_positive(deadline: float) -> None:
    with pytest.raises(ConfigurationError, match="deadline"):
        Registers(deadline=deadline)


def test_the_codes_are_of_the_last_step_that_uses_nothing_up() -> None:
    assert Code.REGISTER_DENIED.step is Code.REGISTER_UNAVAILABLE.step is Step.REGISTER
    assert [step for step in Step if step > Step.REGISTER] == [Step.RECORD, Step.REPLAY]
    assert (Code.REGISTER_DENIED.status, Code.REGISTER_UNAVAILABLE.status) == (403, 503)
