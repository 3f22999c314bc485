"""What registers are asked on account of one token."""

from collections.abc import Callable, Iterable
from typing import Final

from portvakt.errors import Refused
from portvakt.home import Elsewhere
from portvakt.policy.access_token import AccessToken
from portvakt.policy.requirement import Requirement
from portvakt.refusal import Code
from portvakt.registers.base import Question, Subject
from portvakt.registers.verify import Registers

__all__ = ["Confirmation", "questions_for"]


def questions_for(
    token: AccessToken, names: Iterable[str], registers: Registers
) -> list[tuple[str, Question]]:
    """Return what each register is asked: all that it knows about and the token says.

    Parameters:
        token: a verified token.
        names: the registers that the route names.
        registers: those of the policy.

    Raises:
        Refused: ``identity_missing``, if the token says nothing that a register could confirm:
            nothing would be verified then.
    """
    asked: list[tuple[str, Question]] = []
    for name in names:
        subjects = registers.subjects(name)
        found = [
            question
            for subject, question_of in _QUESTIONS.items()
            if subject in subjects and (question := question_of(token)) is not None
        ]
        if not found:
            raise Refused(
                Code.IDENTITY_MISSING, f"the token says nothing that register {name} could confirm"
            )
        asked.extend((name, question) for question in found)
    return asked


class Confirmation:
    """Asks the registers that the demands on one request name.

    Parameters:
        registers: those of the policy.
    """

    __slots__ = ("_registers",)

    def __init__(self, registers: Registers) -> None:
        self._registers = registers

    async def __call__(
        self, token: AccessToken, demands: Iterable[Requirement | None], elsewhere: Elsewhere
    ) -> tuple[str, ...]:
        """Ask; return the registers that gave no answer and were passed over, as the policy says.

        Parameters:
            token: a verified token.
            demands: what the route and the API demand.
            elsewhere: how the caller waits.

        Raises:
            Refused: ``register_denied``, or ``identity_missing`` if there is nothing to ask about.
            Unavailable: ``register_unavailable``.
        """
        passed_over: list[str] = []
        for demand in demands:
            if demand is None or not demand.registers:
                continue
            asked = questions_for(token, demand.registers, self._registers)
            if not self._registers.check_current(asked):
                passed_over += await elsewhere(
                    self._registers.verify,
                    asked,
                    admit_unavailable=demand.unsafe_on_unavailable,
                )
        return tuple(dict.fromkeys(passed_over))


def _organisation(token: AccessToken) -> Question | None:
    found = token.organisation
    if found is None:
        return None
    if found.parent is not None:
        child = None if found.child is None else found.child.number
        return Question(Subject.ORGANISATION, found.parent.number, child)
    return None if found.child is None else Question(Subject.ORGANISATION, found.child.number)


def _supplier(token: AccessToken) -> Question | None:
    found = None if token.organisation is None else token.organisation.supplier
    return None if found is None else Question(Subject.SUPPLIER, found.number)


def _hpr_number(token: AccessToken) -> Question | None:
    found = token.hpr_number
    return None if found is None else Question(Subject.HPR_NUMBER, found.number)


def _pid(token: AccessToken) -> Question | None:
    found = token.pid
    return None if found is None else Question(Subject.PID, found.number)


def _client(token: AccessToken) -> Question | None:
    return None if token.client_id is None else Question(Subject.CLIENT, token.client_id)


_QUESTIONS: Final[dict[Subject, Callable[[AccessToken], Question | None]]] = {
    Subject.ORGANISATION: _organisation,
    Subject.SUPPLIER: _supplier,
    Subject.HPR_NUMBER: _hpr_number,
    Subject.PID: _pid,
    Subject.CLIENT: _client,
}
