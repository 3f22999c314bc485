"""What a slow register said serves for a while, and what is down is left alone."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from portvakt.errors import ConfigurationError, Unavailable
from portvakt.refusal import Code
from portvakt.registers.base import Answer, Question, RegisterHealth
from portvakt.registers.remembered import Memory, Remembered
from portvakt.testing.clock import FrozenClock
from unit.registers.conftest import NO, YES, Stub, hpr, never, stubborn

DOWN = Unavailable(Code.REGISTER_UNAVAILABLE, "connection refused")


class Case:
    """A register with a memory, and a clock that stands still."""

    def __init__(self, reply: Any = YES, **memory: Any) -> None:
        self.clock = FrozenClock(1000)
        self.stub = Stub(reply)
        self.memory = Memory(**memory)
        self.register = Remembered(self.stub, self.memory, clock=self.clock)

    async def ask(self, question: Question | None = None) -> Answer | str:
        """Ask as the guard does: memory first. A failure is its reason."""
        question = question or hpr()
        answer = self.register.current(question)
        if answer is not None:
            return answer
        try:
            return await self.register.fetch(question)
        except Unavailable as failure:
            return failure.refusal.detail or ""

    def asks(self, question: Question | None = None) -> Answer | str:
        return asyncio.run(self.ask(question))

    @property
    def asked(self) -> int:
        return len(self.stub.asked)


@pytest.mark.parametrize(("reply", "fresh"), [(YES, 600), (NO, 60)])
def test_an_answer_serves_while_it_is_fresh(reply: Answer, fresh: float) -> None:
    case = Case(reply)
    assert case.register.current(hpr()) is None
    assert case.asks() is reply
    case.clock.advance(fresh - 0.1)
    assert case.asks() is reply
    assert case.asked == 1
    case.clock.advance(0.1)
    assert case.register.current(hpr()) is None
    assert case.asks() is reply
    assert case.asked == 2


@pytest.mark.parametrize(("said", "held"), [(5.0, 5), (0.0, 0), (-3.0, 0), (9999.0, 600)])
def test_a_register_may_ask_for_less_and_not_for_more(said: float, held: float) -> None:
    case = Case(Answer(known=True, fresh_for=said))
    case.asks()
    case.clock.advance(max(0, held - 0.1))
    assert (case.register.current(hpr()) is not None) == (held > 0)
    case.clock.advance(0.1)
    assert case.register.current(hpr()) is None


def test_the_verdict_may_change_both_ways() -> None:
    case = Case(YES)
    assert case.asks() is YES
    case.clock.advance(600)
    case.stub.reply = NO
    assert case.asks() is NO
    assert case.asks() is NO
    case.clock.advance(60)
    case.stub.reply = YES
    assert case.asks() is YES
    assert case.asks() is YES
    assert case.asked == 3


@pytest.mark.parametrize("reply", [YES, NO])
def test_during_an_outage_the_last_answer_serves_until_the_limit(reply: Answer) -> None:
    case = Case(reply, max_staleness=3600)
    case.asks()
    case.stub.reply = DOWN
    for _ in range(100):
        case.clock.advance(35.9)
        assert case.asks() is reply
        asked = case.asked
        assert case.register.current(hpr()) is case.asks() is reply
        assert case.asked == asked
    case.clock.advance(10)
    assert case.asks() == "connection refused"
    assert case.asks() == "not asked again yet: connection refused"
    case.stub.reply = YES
    case.clock.advance(10)
    assert case.asks() is YES


def test_a_register_that_is_down_is_not_asked_on_every_request() -> None:
    case = Case(DOWN, cooldown=10, failures=3)
    for number in range(100):
        case.asks(hpr(str(number + 1)))
    assert case.asked == 3
    case.clock.advance(10)
    # One question tries, and the others are turned away again.
    for number in range(100):
        case.asks(hpr(str(number + 1)))
    assert case.asked == 4
    case.clock.advance(10)
    case.stub.reply = YES
    assert [case.asks(hpr(str(number + 1))) for number in range(100)] == [YES] * 100


def test_one_strange_entry_is_no_outage() -> None:
    case = Case(DOWN)
    for _ in range(10):
        case.asks(hpr("666"))
    assert case.asked == 1
    case.stub.reply = YES
    assert case.asks(hpr("1")) is YES
    assert case.asks(hpr("666")) == "not asked again yet: it failed"


def test_while_a_register_is_tried_again_nobody_waits_for_it() -> None:
    case = Case(failures=1, fresh=1, fresh_denial=1)

    async def play() -> None:
        assert await case.ask(hpr("1")) is YES
        case.stub.reply = DOWN
        await case.ask(hpr("2"))
        case.clock.advance(10)
        opened = asyncio.Event()

        async def slow(question: Question) -> Answer:
            await opened.wait()
            return YES

        case.stub.reply = slow
        trial = asyncio.ensure_future(case.ask(hpr("2")))
        await asyncio.sleep(0)
        assert await case.ask(hpr("3")) == "too many questions are under way already"
        assert await case.ask(hpr("1")) is YES  # Stale, and better than nothing.
        opened.set()
        assert await trial is YES

    asyncio.run(play())


def test_a_register_says_when_it_wants_to_be_asked_again() -> None:
    case = Case(Unavailable(Code.REGISTER_UNAVAILABLE, retry_after=30), failures=1, cooldown=10)
    assert case.asks() == ""
    case.clock.advance(29)
    assert case.asks() == "not asked again yet: it failed"
    case.clock.advance(1)
    case.stub.reply = Unavailable(Code.REGISTER_UNAVAILABLE, "busy", retry_after=86400)
    assert case.asks() == "busy"
    case.clock.advance(60)  # It may not say: never.
    case.stub.reply = YES
    assert case.asks() is YES


def test_the_pause_is_told_to_the_caller() -> None:
    case = Case(DOWN, failures=1, cooldown=10)
    case.asks()
    case.clock.advance(2.5)
    with pytest.raises(Unavailable) as failure:
        asyncio.run(case.register.fetch(hpr()))
    assert failure.value.retry_after == 8


def gated() -> tuple[asyncio.Event, Callable[[Question], Awaitable[Answer]]]:
    opened = asyncio.Event()

    async def reply(question: Question) -> Answer:
        await opened.wait()
        return YES

    return opened, reply


def test_one_exchange_for_all_who_ask_the_same() -> None:
    case = Case()

    async def play() -> None:
        opened, case.stub.reply = gated()
        waiting = [asyncio.ensure_future(case.ask()) for _ in range(50)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # The one that began it: the others do not suffer.
        opened.set()
        assert await asyncio.gather(*waiting[1:]) == [YES] * 49
        # Who comes for it when it has come does not ask either.
        assert await case.register.fetch(hpr()) is YES

    asyncio.run(play())
    assert case.asked == 1


def test_only_so_many_wait() -> None:
    case = Case(waiting=2)

    async def play() -> None:
        opened, case.stub.reply = gated()
        waiting = [asyncio.ensure_future(case.ask()) for _ in range(2)]
        await asyncio.sleep(0)
        assert await case.ask() == "too many requests wait for it already"
        opened.set()
        assert await asyncio.gather(*waiting) == [YES] * 2

    asyncio.run(play())


def test_only_so_many_questions_are_under_way() -> None:
    case = Case(flights=2)

    async def play() -> None:
        opened, case.stub.reply = gated()
        waiting = [asyncio.ensure_future(case.ask(hpr(str(n)))) for n in (1, 2, 2)]
        await asyncio.sleep(0)
        assert await case.ask(hpr("3")) == "too many questions are under way already"
        opened.set()
        assert await asyncio.gather(*waiting) == [YES] * 3
        assert await case.ask(hpr("3")) is YES

    asyncio.run(play())


@pytest.mark.parametrize("reply", [never, stubborn])
def test_the_deadline_is_kept_whatever_the_register_does(reply: Any) -> None:
    case = Case(reply, deadline=0.05)

    async def play() -> None:
        started = time.perf_counter()
        assert await case.ask() == "no answer within 0.05 s"
        assert 0.05 <= time.perf_counter() - started < 0.5
        # And nobody waits so long again at once.
        assert await case.ask() == "not asked again yet: no answer within 0.05 s"
        await asyncio.sleep(0.03)

    asyncio.run(play())
    assert case.asked == 1


def test_a_question_that_was_late_has_failed_once() -> None:
    case = Case(never, deadline=0.01, failures=2)

    async def play() -> None:
        await asyncio.gather(*(case.ask() for _ in range(5)))
        await asyncio.sleep(0.01)
        case.stub.reply = YES
        assert await case.ask(hpr("2")) is YES  # One failure of two: it is not down.

    asyncio.run(play())


def test_a_flood_of_unknown_numbers_does_not_drive_out_the_known() -> None:
    case = Case(entries=3)
    case.asks(hpr("1"))
    case.stub.reply = NO
    for number in range(2, 100):
        case.asks(hpr(str(number)))
    assert case.register.health().entries == 4
    assert case.register.current(hpr("1")) is YES
    assert case.register.current(hpr("96")) is None
    assert case.register.current(hpr("97")) is NO


def test_the_oldest_goes_first() -> None:
    case = Case(entries=2)
    for number in ("1", "2", "1", "3"):
        case.clock.advance(601)
        case.asks(hpr(number))
    assert [case.register._known.get(hpr(n)) is not None for n in "123"] == [True, False, True]


def test_what_a_register_knows_by_itself_is_used() -> None:
    case = Case()
    case.stub.known[hpr()] = NO
    assert case.register.current(hpr()) is NO
    assert case.asked == 0


def test_the_loop_may_change() -> None:
    case = Case(deadline=0.01)

    async def leave_behind() -> None:
        case.stub.reply = gated()[1]
        waiting = asyncio.ensure_future(case.ask())
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(leave_behind())
    case.stub.reply = YES
    assert case.asks() is YES


def test_closing_ends_what_is_under_way_and_keeps_what_is_known() -> None:
    case = Case()
    case.asks(hpr("1"))

    async def play() -> None:
        case.register.open()
        _, case.stub.reply = gated()
        waiting = asyncio.ensure_future(case.ask(hpr("2")))
        await asyncio.sleep(0)
        case.register.close()
        assert await waiting == "the register was closed"
        case.stub.reply = YES
        assert await case.ask(hpr("2")) is YES

    asyncio.run(play())
    assert case.register.current(hpr("1")) is YES
    assert (case.stub.opened, case.stub.closed) == (1, 1)


def test_what_comes_after_closing_is_remembered_all_the_same() -> None:
    case = Case(stubborn)

    async def play() -> None:
        waiting = asyncio.ensure_future(case.ask())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        case.register.close()
        assert await waiting is YES

    asyncio.run(play())
    assert case.register.current(hpr()) is YES


def test_the_health_says_what_is_wrong_and_nothing_of_anybody() -> None:
    case = Case()
    assert case.register.health() == RegisterHealth(
        name="stub", source="Stub", entries=0, max_staleness=3600
    )
    case.asks()
    case.stub.reply = DOWN
    case.clock.advance(700)
    case.asks()
    case.clock.advance(5)
    assert case.register.health() == RegisterHealth(
        name="stub",
        source="Stub",
        entries=1,
        max_staleness=3600,
        last_error="connection refused",
        last_error_age=5,
    )


def test_the_numbers_have_to_make_sense() -> None:
    with pytest.raises(ConfigurationError) as error:
        Memory(fresh=0, deadline=float("nan"), cooldown=float("inf"), entries=-1)
    assert [problem.place for problem in error.value.problems] == [
        "fresh",
        "deadline",
        "cooldown",
        "entries",
    ]
    with pytest.raises(ConfigurationError, match="max_staleness: must not be less than fresh"):
        Memory(fresh=600, max_staleness=599)
    assert Remembered(Stub()).name == "stub"
