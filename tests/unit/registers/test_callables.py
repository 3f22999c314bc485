"""A function of the user's own, plain or async, and all that it may do."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from portvakt.errors import ConfigurationError, Unavailable
from portvakt.registers.base import Answer, Question, Reason, Subject
from portvakt.registers.callables import CallableRegister
from portvakt.registers.remembered import Memory, Remembered
from unit.registers.conftest import YES, hpr

ABOUT = [Subject.HPR_NUMBER]
DENIED = Answer(known=False, reason=Reason.DENIED)


def register(function: Any, threads: int = 8) -> CallableRegister:
    return CallableRegister("mine", function, ABOUT, threads=threads)


def answer(function: Any) -> Answer | str:
    try:
        return asyncio.run(register(function).fetch(hpr()))
    except Unavailable as failure:
        return failure.refusal.detail or ""


def plain(result: Any) -> Callable[[Question], Any]:
    def function(question: Question) -> Any:
        assert question == hpr()
        assert threading.current_thread() is not threading.main_thread()
        if isinstance(result, BaseException):
            raise result
        return result

    return function


def coroutine(result: Any) -> Callable[[Question], Any]:
    async def function(question: Question) -> Any:
        assert question == hpr()
        await asyncio.sleep(0)
        if isinstance(result, BaseException):
            raise result
        return result

    return function


class WithAsyncCall:
    async def __call__(self, question: Question) -> bool:
        return True


@pytest.mark.parametrize("kind", [plain, coroutine])
@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (True, YES),
        (False, DENIED),
        (1, "the function returned int, neither True nor False"),
        (None, "the function returned NoneType, neither True nor False"),
        ("yes", "the function returned str, neither True nor False"),
        (YES, "the function returned Answer, neither True nor False"),
        (ValueError("9144900"), "the function raised ValueError"),
    ],
)
def test_only_true_and_false_are_answers(kind: Any, result: Any, expected: Answer | str) -> None:
    assert answer(kind(result)) == expected


def test_a_failure_keeps_nothing_of_the_functions_own_words() -> None:
    with pytest.raises(Unavailable) as failure:
        asyncio.run(register(plain(ValueError("9144900"))).fetch(hpr()))
    assert failure.value.__context__ is None


@pytest.mark.parametrize("error", [StopIteration(), SystemExit(), KeyboardInterrupt()])
def test_a_plain_function_cannot_end_anything_else(error: BaseException) -> None:
    assert answer(plain(error)) == "the function raised RuntimeError"


def test_an_object_that_is_called_asynchronously() -> None:
    assert answer(WithAsyncCall()) == YES


def test_a_function_that_hides_that_it_is_async_is_no_answer() -> None:
    def hides(question: Question) -> Any:
        return WithAsyncCall()(question)

    assert answer(hides) == ("the function returned coroutine, neither True nor False")


def test_it_remembers_nothing_and_says_which_it_is() -> None:
    one = register(plain(result=True))
    assert one.current(hpr()) is None
    assert one.subjects == {Subject.HPR_NUMBER}
    assert one.health().source == "function plain.<locals>.function"
    assert register(WithAsyncCall()).health().source == "function WithAsyncCall"


def test_plain_functions_run_side_by_side_on_a_few_threads() -> None:
    barrier = threading.Barrier(2, timeout=5)
    seen: set[str] = set()

    def meet(question: Question) -> bool:
        barrier.wait()
        seen.add(threading.current_thread().name)
        return True

    async def play() -> list[Answer]:
        one = register(meet, threads=2)
        return await asyncio.gather(*(one.fetch(hpr(str(n))) for n in range(6)))

    assert asyncio.run(play()) == [YES] * 6
    assert len(seen) == 2


def test_threads_are_used_again() -> None:
    one = register(plain(result=True))

    async def play() -> None:
        for _ in range(5):
            assert await one.fetch(hpr()) == YES

    asyncio.run(play())
    assert one._threads._started == 1


def test_a_function_that_hangs_is_not_waited_for() -> None:
    release = threading.Event()

    def hang(question: Question) -> bool:
        return release.wait(5)

    one = register(hang, threads=1)
    remembered = Remembered(one, Memory(deadline=0.05))

    async def play() -> None:
        started = time.perf_counter()
        for number in ("1", "2"):  # The second has no thread at all.
            with pytest.raises(Unavailable, match="no answer within"):
                await remembered.fetch(hpr(number))
        assert time.perf_counter() - started < 1
        release.set()
        assert await one.fetch(hpr("3")) == YES

    asyncio.run(play())


def test_what_ends_after_its_loop_is_heard_by_nobody() -> None:
    release, ended = threading.Event(), threading.Event()

    def hang(question: Question) -> bool:
        release.wait(5)
        return True

    one = register(hang)

    async def give_up() -> None:
        waiting = asyncio.ensure_future(one.fetch(hpr()))
        await asyncio.sleep(0.01)
        waiting.cancel()

    asyncio.run(give_up())
    release.set()
    one._threads._work.put(ended.set)
    # Whichever thread comes to it, the one that hung is free again or another serves.
    assert ended.wait(5)
    assert asyncio.run(one.fetch(hpr())) == YES


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_after_a_fork_there_are_threads_again() -> None:
    one = register(plain(result=True))
    assert asyncio.run(one.fetch(hpr())) == YES
    child = os.fork()
    if child == 0:  # pragma: no cover  another process
        code = 1
        try:
            code = 0 if asyncio.run(asyncio.wait_for(one.fetch(hpr()), 5)) == YES else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_fork_is_known_by_its_process_number(monkeypatch: pytest.MonkeyPatch) -> None:
    one = register(plain(result=True))
    one._threads._started = one._threads._busy = 8
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert asyncio.run(one.fetch(hpr())) == YES


def test_the_configuration_has_to_make_sense() -> None:
    with pytest.raises(ConfigurationError, match="threads"):
        register(plain(result=True), threads=0)
    with pytest.raises(ConfigurationError, match="subjects"):
        CallableRegister("mine", plain(result=True), [])
