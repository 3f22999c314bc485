"""Registers: what is asked, what is answered, and the port between.

A token's claims are validated elsewhere: that a number has the form of an organisation's, that its
check digit fits. Whether anybody has that number, and is what the token says, only a register
knows. Nothing here decides what a request may do: a register knows somebody or it does not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum

from msgspec import Struct

from portvakt.errors import ConfigurationError, Problem, Unavailable
from portvakt.refusal import Code

__all__ = [
    "Answer",
    "Question",
    "Reason",
    "Register",
    "RegisterHealth",
    "Subject",
    "ask",
    "check_seconds",
    "unavailable",
]


class Subject(Enum):
    """What a register is asked about. The values are words for the log and the policy."""

    ORGANISATION = "organisation"
    SUPPLIER = "supplier"
    HPR_NUMBER = "hpr_number"
    PID = "pid"
    CLIENT = "client"


class Reason(Enum):
    """Why a register says no: fixed words for the operator's log."""

    UNKNOWN = "unknown"
    DELETED = "deleted"
    BANKRUPT = "bankrupt"
    WINDING_UP = "winding_up"
    FORCED_WINDING_UP = "forced_winding_up"
    NOT_OF_PARENT = "not_of_parent"
    NOT_VALID_NOW = "not_valid_now"
    DENIED = "denied"


class Question(Struct, frozen=True):
    """Something that a token says, and that a register is asked to confirm.

    Does not check: the form of what it holds; each register has its own and knows nothing else.

    Attributes:
        subject: what *value* is.
        value: a number or a name, as the token says it; for an organisation its own number, or
            that of the parent where a *child* is stated.
        child: for an organisation, the number of the unit within it; otherwise None.
    """

    subject: Subject
    value: str
    child: str | None = None

    # A value may be a national identity number (msgspec gives rich a repr of its own).
    def __repr__(self) -> str:
        """Show what is asked about, and of nobody."""
        return f"Question(subject={self.subject.value!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        """Show to rich what repr shows."""
        return [("subject", self.subject.value)]


class Answer(Struct, frozen=True):
    """What a register says.

    Attributes:
        known: whether it confirms what was asked.
        reason: why not; None if it does, or does not say.
        fresh_for: for how many seconds the register says that its answer holds; None if it does
            not say. Whoever remembers answers has a limit of its own.
    """

    known: bool
    reason: Reason | None = None
    fresh_for: float | None = None


class RegisterHealth(Struct, frozen=True, kw_only=True):
    """How a register is. Times are seconds; none of it holds what was asked.

    Attributes:
        name: its name in the policy.
        source: where its answers come from: a URL, a file, a function.
        entries: how many it holds, or answers that are remembered; None if it cannot say.
        age: how old what it holds is; None if it holds nothing.
        max_staleness: the age at which it answers no more; None if there is no limit.
        last_error: why it could not answer, or could not be read anew, the last time; None if it
            could.
        last_error_age: since then.
    """

    name: str
    source: str
    entries: int | None = None
    age: float | None = None
    max_staleness: float | None = None
    last_error: str | None = None
    last_error_age: float | None = None


class Register(ABC):
    """Somebody who knows, in two halves: memory, and going to ask.

    A register of your own has this class as its base.

    Attributes:
        name: its name in the policy and in the log.
        subjects: what it can be asked about; it is never asked about anything else.
    """

    name: str
    subjects: frozenset[Subject]

    @abstractmethod
    def current(self, question: Question) -> Answer | None:
        """Return the answer in memory, or None if :meth:`fetch` must be called. Never waits.

        May be called from any thread.
        """

    @abstractmethod
    async def fetch(self, question: Question) -> Answer:
        """Go and ask; runs on the guard's home loop, and may be cancelled at a deadline.

        Raises:
            Unavailable: if there is no answer, or none that can be trusted. What else it raises is
                taken for that too.
        """

    def health(self) -> RegisterHealth:
        """Say how it is. Never waits."""
        return RegisterHealth(name=self.name, source=type(self).__name__)

    def open(self) -> None:  # noqa: B027  most have nothing to do
        """Start what goes on in the background; runs at home, and waits for nothing."""

    def close(self) -> None:  # noqa: B027  likewise
        """End what goes on in the background; runs at home. What is asked for later starts anew."""


async def ask(register: Register, question: Question) -> Answer | Unavailable:
    """Ask a register, and let nothing out but its answer or one kind of failure.

    Does not check: how long it takes.
    """
    try:
        answer = await register.fetch(question)
    except Unavailable as failure:
        return failure
    except Exception as error:  # noqa: BLE001  a fault of a register must not refuse or admit
        # Its words may quote what was asked: the kind is all that is kept.
        return unavailable(f"internal error: {type(error).__name__}")
    return answer if type(answer) is Answer else unavailable("internal error: not an Answer")


def unavailable(reason: str, retry_after: int = 1) -> Unavailable:
    """Make the one failure of a register.

    Parameters:
        reason: why, for the operator's log; nothing of what was asked or received.
        retry_after: in how many seconds a caller may try again.
    """
    return Unavailable(Code.REGISTER_UNAVAILABLE, reason, retry_after=retry_after)


def check_seconds(**settings: float) -> None:
    """See that settings are times that pass; what is no number does not.

    Raises:
        ConfigurationError: naming each that is not.
    """
    problems = [
        Problem(name, "must be a positive number of seconds")
        for name, seconds in settings.items()
        if not seconds > 0
    ]
    if problems:
        raise ConfigurationError(problems)
