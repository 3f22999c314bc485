"""Units of Enhetsregisteret, and what makes one of them known: the same for its API and a copy.

The procedure asks for units one step at a time and does not know where they come from, so that an
API over the network and a file on this machine come to the same verdict.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from portvakt.errors import ConfigurationError, Problem
from portvakt.registers.base import Answer, Question, Reason, Subject

if TYPE_CHECKING:
    from collections.abc import Collection, Generator

__all__ = ["ABOUT", "Contradiction", "Unit", "Wanted", "check_tolerated", "judge"]

#: What this register can be asked about.
ABOUT: Final = frozenset({Subject.ORGANISATION, Subject.SUPPLIER})

#: Units on the way from a child up to its parent, the child included. Public bodies have three or
#: four levels.
MAX_STEPS: Final = 5

#: Eight digits and a check digit, which is checked where claims are validated.
_NUMBER: Final = re.compile(r"[0-9]{9}")

_TOLERABLE: Final = {
    reason.value: reason
    for reason in (Reason.BANKRUPT, Reason.WINDING_UP, Reason.FORCED_WINDING_UP)
}


class Unit(Struct, frozen=True):
    """What matters of one unit.

    Attributes:
        number: its organisation number.
        parent: the number of the unit above it (``overordnetEnhet``), or None.
        objections: what is against it, from the reasons there are: deleted, bankrupt, winding up.
    """

    number: str
    parent: str | None
    objections: tuple[Reason, ...] = ()


class Wanted(Struct, frozen=True):
    """A unit that the procedure has to see next.

    Attributes:
        number: nine digits.
        sub: whether it is looked for among the sub-units first; among the main units only, if not.
    """

    number: str
    sub: bool = False


class Contradiction(Exception):  # noqa: N818  it says what was found
    """The register contradicts itself, so it has said nothing. The message holds no number."""


def check_tolerated(names: Collection[str]) -> frozenset[Reason]:
    """Return what does not count against a unit, as reasons.

    Raises:
        ConfigurationError: for anything but bankrupt, winding_up and forced_winding_up: a unit that
            was deleted is not there to be tolerated.
    """
    if isinstance(names, str) or not _TOLERABLE.keys() >= set(names):
        known = ", ".join(_TOLERABLE)
        raise ConfigurationError([Problem("tolerate", f"must be a list of some of: {known}")])
    return frozenset(_TOLERABLE[name] for name in names)


def judge(
    question: Question, tolerated: frozenset[Reason] = frozenset()
) -> Generator[tuple[Wanted, ...], tuple[Unit | None, ...], Answer]:
    """Find out whether the register knows an organisation, and its child as a part of it.

    A generator: it yields the units that it has to see, all of one turn at once, is sent them in
    the same order (None for one that does not exist), and returns the answer. The organisation
    itself has to be a main unit. Its child may be it itself, a sub-unit, or a main unit below it
    (a part of a public body), and :data:`MAX_STEPS` units at most lie on the way up.

    Does not check: check digits; whether sub-units have business of the kind that is asked for.

    Raises:
        Contradiction: if the way up from the child comes back to a unit where it has been.
    """
    organisation, child = question.value, question.child
    numbers = (organisation,) if child is None else (organisation, child)
    # (1) What is no number of this register is not in it, and never becomes a part of a URL.
    if not all(_NUMBER.fullmatch(number) for number in numbers):
        return Answer(known=False, reason=Reason.UNKNOWN)

    # (2) The organisation, and in the same turn the child.
    if child is None or child == organisation:
        (unit,) = yield (Wanted(organisation),)
        return _known(unit, tolerated)
    unit, below = yield Wanted(organisation), Wanted(child, sub=True)
    for one in (unit, below):
        answer = _known(one, tolerated)
        if not answer.known:
            return answer

    # (3) The way up.
    seen = {child}
    while below is not None and below.parent is not None and below.parent != organisation:
        if below.parent in seen:
            raise Contradiction("units above one another in a circle")
        if len(seen) == MAX_STEPS:
            return Answer(known=False, reason=Reason.NOT_OF_PARENT)
        seen.add(below.parent)
        (below,) = yield (Wanted(below.parent),)
        answer = _known(below, tolerated)
        if not answer.known:
            return answer
    if below is None or below.parent is None:
        return Answer(known=False, reason=Reason.NOT_OF_PARENT)
    return Answer(known=True)


def _known(unit: Unit | None, tolerated: frozenset[Reason]) -> Answer:
    if unit is None:
        return Answer(known=False, reason=Reason.UNKNOWN)
    against = [reason for reason in unit.objections if reason not in tolerated]
    return Answer(known=not against, reason=against[0] if against else None)
