"""Three errors, told apart by who has to act.

::

    Exception
    ├── Refused               the caller: the request is not admitted, and why
    ├── Unavailable           the operator: something outside failed, nothing was decided
    └── ConfigurationError    the developer: the policy is wrong; raised at start-up only

:class:`Refused` and :class:`Unavailable` never leave a check: they become a
:class:`~portvakt.Decision`. :class:`ConfigurationError` is the one that users of the guard meet,
and :class:`Unavailable` if they ask it to :meth:`~portvakt.Guard.warm` up.
"""

import re
from collections.abc import Iterable
from typing import Final

from portvakt.refusal import Code, Refusal

__all__ = ["ConfigurationError", "Problem", "Refused", "Unavailable", "named", "said_of"]

#: What people write in settings: words with marks between them.
_WORDS: Final = re.compile(r"[A-Za-z0-9._:/+*$@~{}%-]{1,64}")

#: Keys, passwords and tokens are longer words, and mixed with digits. No word of a setting is.
_SECRET: Final = re.compile(r"[A-Za-z0-9]{21}|(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{21}")


def named(value: object, otherwise: str) -> str:
    """Return a value of a policy for a message, if it is plainly a word of a setting.

    Somebody will put a secret where it does not belong, and messages end up in logs. Where it
    stands, the message says by its place and line.

    Parameters:
        value: what stands in the policy.
        otherwise: what to call it if it is anything but such a word.
    """
    if isinstance(value, str) and _WORDS.fullmatch(value) and not _SECRET.search(value):
        return value
    return otherwise


def said_of(value: object, what: str) -> str:
    """Begin what is wrong with a value with the value itself, if it may be named."""
    return f"{named(value, '')} {what}".lstrip()


class Refused(Exception):  # noqa: N818  "refused" is the verdict, not an error of ours
    """The request is not admitted.

    Attributes:
        refusal: the code and, for the log alone, the detail.
    """

    refusal: Final[Refusal]

    def __init__(self, code: Code, detail: str | None = None) -> None:
        self.refusal = Refusal(code, detail)
        super().__init__(code.value)


class Unavailable(Exception):  # noqa: N818  the name says what it is
    """Something that a decision needs cannot be reached: the answer is 503, never "admitted".

    Attributes:
        refusal: the code (its status is 503) and, for the log alone, the detail.
        retry_after: in how many whole seconds the caller may try again; None when nobody knows.
    """

    refusal: Final[Refusal]
    retry_after: Final[int | None]

    def __init__(
        self, code: Code, detail: str | None = None, *, retry_after: int | None = None
    ) -> None:
        self.refusal = Refusal(code, detail)
        self.retry_after = retry_after
        super().__init__(f"{code.value}: {detail}" if detail else code.value)


class Problem:
    """One thing that is wrong with a configuration: where, what, and what may have been meant.

    Attributes:
        place: the path of the setting, as ``issuer[0].audience``; empty for the whole.
        message: what is wrong and how to put it right, in one sentence.
        line: the line of the file, counted from 1; None where there is no file.
    """

    __slots__ = ("line", "message", "place")

    def __init__(self, place: str, message: str, line: int | None = None) -> None:
        self.place = place
        self.message = message
        self.line = line

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{where}{self.place}: {self.message}" if self.place else f"{where}{self.message}"

    def __repr__(self) -> str:
        return f"Problem({str(self)!r})"


class ConfigurationError(Exception):
    """The policy is incomplete, contradictory or unsafe, so there is no guard.

    Everything that is wrong is reported at once.

    Attributes:
        problems: each thing that is wrong, in the order of the file.
        source: the file they were found in, or None.
    """

    problems: Final[tuple[Problem, ...]]
    source: Final[str | None]

    def __init__(self, problems: str | Iterable[Problem], *, source: str | None = None) -> None:
        self.problems = (Problem("", problems),) if isinstance(problems, str) else tuple(problems)
        self.source = source
        head = f"{source}: " if source else ""
        lines = [str(problem) for problem in self.problems]
        text = lines[0] if len(lines) == 1 else "".join(f"\n  - {line}" for line in lines)
        super().__init__(f"{head}{text}")
