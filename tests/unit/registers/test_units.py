"""What makes an organisation known, and a child a part of it."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portvakt.errors import ConfigurationError
from portvakt.registers.base import Answer, Question, Reason, Subject
from portvakt.registers.units import (
    MAX_STEPS,
    Contradiction,
    Unit,
    Wanted,
    check_tolerated,
    judge,
)
from unit.registers.conftest import CHILD, ORGANISATION, OTHER, YES, organisation

Units = Mapping[str, Unit]


def number(of: int) -> str:
    return f"{900000000 + of}"


def units(*of: Unit) -> dict[str, Unit]:
    return {unit.number: unit for unit in of}


def answer(
    question: Question,
    there: Units,
    tolerated: frozenset[Reason] = frozenset(),
    asked: list[Wanted] | None = None,
) -> Answer:
    procedure = judge(question, tolerated)
    try:
        wanted = next(procedure)
        while True:
            if asked is not None:
                asked += wanted
            wanted = procedure.send(tuple(there.get(one.number) for one in wanted))
    except StopIteration as end:
        found: Answer = end.value
        return found


def no(reason: Reason) -> Answer:
    return Answer(known=False, reason=reason)


TOP = Unit(ORGANISATION, None)


@pytest.mark.parametrize("subject", [Subject.ORGANISATION, Subject.SUPPLIER])
def test_a_main_unit_is_known(subject: Subject) -> None:
    asked: list[Wanted] = []
    assert answer(Question(subject, ORGANISATION), units(TOP), asked=asked) == YES
    assert asked == [Wanted(ORGANISATION)]
    assert answer(Question(subject, ORGANISATION), {}) == no(Reason.UNKNOWN)


@pytest.mark.parametrize(
    "reason", [Reason.DELETED, Reason.BANKRUPT, Reason.WINDING_UP, Reason.FORCED_WINDING_UP]
)
def test_anything_against_a_unit_is_said(reason: Reason) -> None:
    against = units(Unit(ORGANISATION, None, (reason,)), Unit(CHILD, ORGANISATION))
    assert answer(organisation(), against) == no(reason)
    assert answer(organisation(child=CHILD), against) == no(reason)
    # Wherever on the way it is.
    middle = units(TOP, Unit(OTHER, ORGANISATION, (reason,)), Unit(CHILD, OTHER))
    assert answer(organisation(child=CHILD), middle) == no(reason)
    below = units(TOP, Unit(CHILD, ORGANISATION, (reason,)))
    assert answer(organisation(child=CHILD), below) == no(reason)


def test_what_is_tolerated_does_not_count() -> None:
    tolerated = check_tolerated(["winding_up", "bankrupt"])
    one = units(Unit(ORGANISATION, None, (Reason.BANKRUPT, Reason.WINDING_UP)))
    assert answer(organisation(), one, tolerated) == YES
    two = units(Unit(ORGANISATION, None, (Reason.BANKRUPT, Reason.FORCED_WINDING_UP)))
    assert answer(organisation(), two, tolerated) == no(Reason.FORCED_WINDING_UP)


@pytest.mark.parametrize("names", [["deleted"], ["unknown"], "bankrupt", [""], ["Bankrupt"]])
def test_nothing_else_can_be_tolerated(names: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="bankrupt, winding_up, forced_winding_up"):
        check_tolerated(names)


def test_a_child_belongs_to_the_unit_above_it() -> None:
    asked: list[Wanted] = []
    there = units(TOP, Unit(CHILD, ORGANISATION))
    assert answer(organisation(child=CHILD), there, asked=asked) == YES
    assert asked == [Wanted(ORGANISATION), Wanted(CHILD, sub=True)]


def test_an_organisation_belongs_to_itself() -> None:
    assert answer(organisation(child=ORGANISATION), units(TOP)) == YES
    assert answer(organisation(child=ORGANISATION), {}) == no(Reason.UNKNOWN)


@pytest.mark.parametrize("parent", [OTHER, None])
def test_a_child_of_somebody_else_is_not_of_this_one(parent: str | None) -> None:
    there = units(TOP, Unit(OTHER, None), Unit(CHILD, parent))
    assert answer(organisation(child=CHILD), there) == no(Reason.NOT_OF_PARENT)


def test_an_organisation_is_no_part_of_its_child() -> None:
    there = units(TOP, Unit(CHILD, ORGANISATION))
    assert answer(organisation(CHILD, ORGANISATION), there) == no(Reason.NOT_OF_PARENT)


def test_a_child_that_does_not_exist_is_unknown() -> None:
    assert answer(organisation(child=CHILD), units(TOP)) == no(Reason.UNKNOWN)
    assert answer(organisation(child=CHILD), units(TOP, Unit(CHILD, OTHER))) == no(Reason.UNKNOWN)


@pytest.mark.parametrize(("length", "known"), [(1, True), (MAX_STEPS, True), (6, False)])
def test_the_way_up_has_five_steps_at_most(length: int, known: bool) -> None:
    chain = [Unit(number(step), number(step + 1)) for step in range(length)]
    there = units(*chain, Unit(number(length), None))
    found = answer(organisation(number(length), number(0)), there)
    assert found == (YES if known else no(Reason.NOT_OF_PARENT))


@pytest.mark.parametrize("back_to", [0, 1, 2])
def test_units_above_one_another_in_a_circle_are_no_answer(back_to: int) -> None:
    there = units(
        TOP,
        Unit(number(0), number(1)),
        Unit(number(1), number(2)),
        Unit(number(2), number(back_to)),
    )
    with pytest.raises(Contradiction, match="circle"):
        answer(organisation(child=number(0)), there)


@pytest.mark.parametrize(
    "value",
    ["", "97458909", "9745890955", "97458909x", "974589095\n", " 974589095", "٩٧٤٥٨٩٠٩٥", "../.."],
)
def test_what_is_no_number_is_unknown_and_asked_of_nobody(value: str) -> None:
    asked: list[Wanted] = []
    for question in (organisation(value), organisation(child=value), organisation(value, CHILD)):
        assert answer(question, {}, asked=asked) == no(Reason.UNKNOWN)
    assert asked == []


@given(
    st.dictionaries(st.integers(0, 7), st.none() | st.integers(0, 7)),
    st.integers(0, 7),
    st.integers(0, 7),
)
def test_any_register_gives_an_answer_in_a_few_turns(
    parents: dict[int, int | None], top: int, child: int
) -> None:
    there = {
        number(unit): Unit(number(unit), None if parent is None else number(parent))
        for unit, parent in parents.items()
    }
    asked: list[Wanted] = []
    try:
        found = answer(organisation(number(top), number(child)), there, asked=asked)
    except Contradiction:
        found = None
    assert len(asked) <= MAX_STEPS + 1
    # The same, written the simple way.
    way, unit = [], child
    while unit in parents and unit != top and unit not in way:
        way.append(unit)
        unit = parents[unit]  # type: ignore[assignment]  # None is not in parents
    led_there = unit == top and top in parents and len(way) <= MAX_STEPS
    assert (found is not None and found.known) == led_there
