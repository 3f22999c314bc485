"""All that is asked on account of one request: at once, and within one deadline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from portvakt.errors import ConfigurationError, Refused, Unavailable
from portvakt.refusal import Code
from portvakt.registers.base import Answer, ask, check_seconds, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portvakt.registers.base import Question, Register, RegisterHealth, Subject

__all__ = ["Registers"]

#: A question, and the name of the register that it is put to.
Asked = tuple[str, "Question"]


class Registers:
    """The registers of one policy, by name.

    Does not check: that the questions are the right ones for the route. Whoever compiles the
    policy calls :meth:`check` for each register that a route names.

    Parameters:
        registers: each with a name of its own.
        deadline: seconds within which :meth:`verify` comes to an end, whatever a register does. A
            function of the user's that blocks the loop it runs on is the one thing that no
            deadline can end.

    Raises:
        ConfigurationError: if two have the same name, or the deadline is no positive number.
    """

    __slots__ = ("_deadline", "_registers")

    def __init__(self, registers: Iterable[Register] = (), *, deadline: float = 2.0) -> None:
        check_seconds(deadline=deadline)
        self._deadline = deadline
        self._registers: Final[dict[str, Register]] = {}
        for register in registers:
            if register.name in self._registers:
                raise ConfigurationError(f"two registers have the name {register.name!r}")
            self._registers[register.name] = register

    def check(self, name: str, subject: Subject) -> None:
        """See at start-up that a register can be asked about something.

        Raises:
            ConfigurationError: if there is none of that name, or it does not know such things.
        """
        register = self._named(name)
        if subject not in register.subjects:
            about = ", ".join(sorted(one.value for one in register.subjects))
            raise ConfigurationError(
                f"register {name!r} cannot be asked about {subject.value}, but about: {about}"
            )

    def subjects(self, name: str) -> frozenset[Subject]:
        """Return what a register can be asked about.

        Raises:
            ConfigurationError: if there is none of that name.
        """
        return frozenset(self._named(name).subjects)

    def _named(self, name: str) -> Register:
        register = self._registers.get(name)
        if register is None:
            known = ", ".join(self._registers) or "none"
            raise ConfigurationError(f"there is no register {name!r}; there are: {known}")
        return register

    def check_current(self, asked: Sequence[Asked]) -> bool:
        """Judge from memory alone. Never waits; may be called from any thread.

        Parameters:
            asked: the questions of one request, each with the name of its register.

        Returns:
            Whether every register confirms; if not, :meth:`verify` has to ask.

        Raises:
            Refused: ``register_denied``, if one says no.
        """
        complete = True
        for name, question in asked:
            answer = self._registers[name].current(question)
            if answer is None:
                complete = False
            elif answer.known is not True:
                raise _denied(name, question, answer)
        return complete

    async def verify(
        self, asked: Sequence[Asked], *, admit_unavailable: bool = False
    ) -> tuple[str, ...]:
        """Ask what is not in memory, everything at once; runs at home.

        A "no" weighs more than a register that does not answer: it refuses, whatever the others
        do and whatever *admit_unavailable* says.

        Parameters:
            asked: the questions of one request, each with the name of its register.
            admit_unavailable: whether a register that gives no answer is passed over. Whoever says
                so admits requests of which nothing was confirmed.

        Returns:
            The names of the registers that gave no answer, each once; empty unless
            *admit_unavailable*.

        Raises:
            Refused: ``register_denied``, if one says no.
            Unavailable: ``register_unavailable``, if one gives no answer in time.
        """
        answers, failures = await self._ask(asked)
        for (name, question), answer in answers:
            if answer.known is not True:
                raise _denied(name, question, answer)
        if failures and not admit_unavailable:
            detail = "; ".join(f"{name}: {failure.refusal.detail}" for name, failure in failures)
            waits = [failure.retry_after or 1 for _, failure in failures]
            raise Unavailable(Code.REGISTER_UNAVAILABLE, detail, retry_after=max(waits))
        return tuple(dict.fromkeys(name for name, _ in failures))

    async def _ask(
        self, asked: Sequence[Asked]
    ) -> tuple[list[tuple[Asked, Answer]], list[tuple[str, Unavailable]]]:
        """Put every question, and return those that were answered and those that were not."""
        answers: list[tuple[Asked, Answer]] = []
        failures: list[tuple[str, Unavailable]] = []
        tasks: dict[asyncio.Task[Answer | Unavailable], Asked] = {}
        for one in asked:
            register = self._registers[one[0]]
            answer = register.current(one[1])
            if answer is None:
                tasks[asyncio.ensure_future(ask(register, one[1]))] = one
            else:
                answers.append((one, answer))
        try:
            if tasks:
                # Not a timeout around them: what resists being cancelled is not waited for.
                await asyncio.wait(tasks, timeout=self._deadline)
        finally:
            late = {task for task in tasks if task.cancel()}
        for task, one in tasks.items():
            if task in late:
                failures.append((one[0], unavailable(f"no answer within {self._deadline:g} s")))
            elif task.cancelled():
                failures.append((one[0], unavailable("the register gave up")))
            elif isinstance(result := task.result(), Unavailable):
                failures.append((one[0], result))
            else:
                answers.append((one, result))
        return answers, failures

    def health(self) -> tuple[RegisterHealth, ...]:
        """Say how each is. Never waits."""
        return tuple(register.health() for register in self._registers.values())

    def open(self) -> None:
        """Open each; runs at home."""
        for register in self._registers.values():
            register.open()

    def close(self) -> None:
        """Close each; runs at home."""
        for register in self._registers.values():
            register.close()


def _denied(name: str, question: Question, answer: Answer) -> Refused:
    reason = "denied" if answer.reason is None else answer.reason.value
    return Refused(Code.REGISTER_DENIED, f"{name}: {question.subject.value}: {reason}")
