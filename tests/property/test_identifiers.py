"""What the check digits catch, exactly; and that nothing else than a number is ever read."""

import re
from collections.abc import Callable
from itertools import combinations, pairwise
from typing import Any, Final

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from stdnum.exceptions import InvalidChecksum, InvalidComponent, ValidationError
from stdnum.no import fodselsnummer, orgnr

from portvakt.policy.accepted_persons import AcceptedPersons, ForeignForm
from portvakt.policy.identifiers import (
    MalformedIdentifier,
    NumberRule,
    PersonKind,
    parse_hpr_number,
    parse_iso6523,
    parse_iso6523_claim,
    parse_organisation_number,
    parse_person_number,
)
from portvakt.policy.pseudonym import Pseudonyms, mask

OLD, NEW = NumberRule.OF_1964, NumberRule.OF_2032

# Written as the standard writes them; the last weight is the check digit's own.
K1: Final = (3, 7, 6, 1, 8, 9, 4, 5, 2, 1, 0)
K2: Final = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
ORGANISATION: Final = (3, 2, 7, 6, 5, 4, 3, 2, 1)


def remainder(weights: tuple[int, ...], number: str) -> int:
    return sum(weight * int(digit) for weight, digit in zip(weights, number, strict=True)) % 11


def continuations(nine: str) -> list[tuple[str, int]]:
    """Return every number that begins so and has right check digits, with its k1 remainder."""
    return [
        (number, remainder(K1, number))
        for last in range(100)
        if remainder(K1, number := f"{nine}{last:02}") <= 3 and remainder(K2, number) == 0
    ]


@st.composite
def first_nine(draw: st.DrawFn) -> str:
    """Draw a date that nearly always exists, as one of the kinds writes it, and three digits."""
    day = draw(st.integers(1, 31)) + draw(st.sampled_from([0, 40]))
    month = draw(st.integers(1, 12)) + draw(st.sampled_from([0, 40, 65, 80]))
    year, individual = draw(st.integers(0, 99)), draw(st.integers(0, 999))
    return f"{day:02}{month:02}{year:02}{individual:03}"


fh_nine = st.integers(800_000_000, 999_999_999).map(str)


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """Draw a number that is valid by the rule of 1964 or of 2032."""
    number, _ = draw(st.sampled_from(continuations(draw(first_nine() | fh_nine))))
    assume(is_valid(number))
    return number


@st.composite
def organisations(draw: st.DrawFn) -> str:
    eight = f"{draw(st.integers(0, 10**8 - 1)):08}"
    last = -remainder(ORGANISATION, f"{eight}0") % 11
    assume(last < 10)
    return f"{eight}{last}"


def is_valid(number: object, newest: NumberRule = NEW) -> bool:
    try:
        parse_person_number(number, newest=newest)
    except MalformedIdentifier:
        return False
    return True


def is_valid_organisation(number: object) -> bool:
    try:
        parse_organisation_number(number)
    except MalformedIdentifier:
        return False
    return True


def swapped(number: str, one: int, other: int) -> str:
    digits = list(number)
    digits[one], digits[other] = digits[other], digits[one]
    return "".join(digits)


@given(numbers())
@example("17056600574")
@example("30108299939")
@example("88888888831")
def test_every_wrong_digit_is_caught_by_either_rule(number: str) -> None:
    for place in range(11):
        for digit in set("0123456789") - {number[place]}:
            assert not is_valid(f"{number[:place]}{digit}{number[place + 1 :]}")


@given(numbers())
@example("17056600574")
@example("30108299939")
@example("88888888831")
def test_every_swap_of_neighbours_is_caught_by_either_rule(number: str) -> None:
    for place in range(10):
        if number[place] != number[place + 1]:
            assert not is_valid(swapped(number, place, place + 1))


def test_the_second_check_digit_alone_catches_them() -> None:
    # Changing a digit by d changes the sum by weight × d, swapping by the difference of the weights
    # × d; 11 is prime and d is less than it, so the sum stays the same only if that factor is 0.
    for weights in (K2, ORGANISATION):
        assert all(weight % 11 for weight in weights)
        assert all((a - b) % 11 for a, b in pairwise(weights))


#: Places whose weights are the same in k2, so that only k1 can tell a swap of theirs.
LEFT_TO_K1: Final = {(0, 6), (1, 7), (2, 8), (3, 9)}


def test_swaps_that_the_second_check_digit_does_not_catch_are_these() -> None:
    assert {pair for pair in combinations(range(11), 2) if not differs(K2, pair)} == LEFT_TO_K1
    # The fourth digit and the first check digit weigh the same in both: no rule tells their swap.
    assert {pair for pair in LEFT_TO_K1 if not differs(K1, pair)} == {(3, 9)}


def differs(weights: tuple[int, ...], pair: tuple[int, int]) -> bool:
    return (weights[pair[0]] - weights[pair[1]]) % 11 != 0


@given(numbers())
@example("17056600574")
@example("30108299939")
@example("15507600333")
def test_a_swap_of_two_other_digits_is_caught_but_for_these(number: str) -> None:
    before = remainder(K1, number)
    for one, other in combinations(range(11), 2):
        wrong = swapped(number, one, other)
        if wrong == number:
            continue
        try:
            rule = parse_person_number(wrong, strict_check_digits=False).rule
        except MalformedIdentifier:
            continue  # The date caught it.
        # What k1 says of the number as it is now: that sum is moved by a known amount.
        after = (before + (K1[one] - K1[other]) * (int(number[other]) - int(number[one]))) % 11
        is_fh = wrong[0] in "89"
        let_through = (one, other) in LEFT_TO_K1 and after <= (0 if is_fh else 3)
        assert (rule is not None) is let_through
        if before == 0 and after == 0:
            # Both by the rule of 1964: it catches all of them but one pair of places.
            assert not let_through or (one, other) == (3, 9)


@given(first_nine())
def test_the_rule_of_2032_has_two_to_four_numbers_where_that_of_1964_has_at_most_one(
    nine: str,
) -> None:
    found = continuations(nine)
    valid = [number for number, _ in found if is_valid(number)]

    assert 2 <= len(found) <= 4
    assert len([number for number, rest in found if rest == 0]) <= 1
    assert valid in ([number for number, _ in found], [])  # Only the date can refuse, and then all.
    assert {n for n in valid if is_valid(n, OLD)} <= {n for n, rest in found if rest == 0}


@given(first_nine())
def test_all_other_check_digits_are_wrong(nine: str) -> None:
    right = {number for number, _ in continuations(nine)}
    for last in range(100):
        number = f"{nine}{last:02}"
        assert not is_valid(number) or number in right


@given(fh_nine)
def test_an_fh_number_has_one_pair_of_check_digits_at_most(nine: str) -> None:
    valid = [number for number, _ in continuations(nine) if is_valid(number)]
    assert valid == [number for number, rest in continuations(nine) if rest == 0]
    assert {parse_person_number(number).kind for number in valid} <= {PersonKind.FH_NUMBER}


@given(numbers())
def test_an_older_rule_accepts_no_more_than_a_newer(number: str) -> None:
    rule = parse_person_number(number).rule
    assert is_valid(number, OLD) is (rule is OLD)


#: The only places of an organisation number whose digits can be swapped unnoticed.
EQUAL_WEIGHTS: Final = {(0, 6), (1, 7)}


def test_two_pairs_of_places_of_an_organisation_weigh_the_same() -> None:
    pairs = combinations(range(9), 2)
    assert {pair for pair in pairs if not differs(ORGANISATION, pair)} == EQUAL_WEIGHTS


@given(organisations())
@example("912159523")
def test_every_wrong_digit_and_nearly_every_swap_in_an_organisation_is_caught(number: str) -> None:
    assert is_valid_organisation(number)
    for place in range(9):
        for digit in set("0123456789") - {number[place]}:
            assert not is_valid_organisation(f"{number[:place]}{digit}{number[place + 1 :]}")
    for pair in combinations(range(9), 2):
        wrong = swapped(number, *pair)
        assert is_valid_organisation(wrong) is (wrong == number or pair in EQUAL_WEIGHTS)


ANYTHING = AcceptedPersons(
    kinds=frozenset(PersonKind),
    strict_check_digits=False,
    foreign=(ForeignForm(prefix="", min_length=1, max_length=64),),
)
Parser = Callable[[object], Any]
PARSERS: Final[list[tuple[Parser, str]]] = [
    (parse_person_number, "[0-9]{11}"),
    (lambda text: parse_person_number(text, strict_check_digits=False), "[0-9]{11}"),
    (parse_organisation_number, "[0-9]{9}"),
    (lambda text: parse_organisation_number(text, strict_check_digits=False), "[0-9]{9}"),
    (parse_hpr_number, "[0-9]{1,9}"),
    (parse_iso6523, "(0192|9908):[0-9]{9}"),
    (parse_iso6523_claim, "(?!)"),
    (lambda value: parse_iso6523_claim({"authority": value, "ID": value}), "(?!)"),
    (AcceptedPersons().read, "[0-9]{11}"),
    (ANYTHING.read, "[0-9A-Z]{1,64}"),
]
digits = st.text("0123456789", max_size=13)
texts = (
    st.text(max_size=14)
    | digits
    | st.text(st.characters(categories=["Nd", "No", "Nl"]), max_size=12)
    | st.builds(lambda *parts: "".join(parts), st.sampled_from(["0192:", "9908:"]), digits)
    | st.builds(lambda n, c, i: n[:i] + c + n[i:], numbers(), st.characters(), st.integers(0, 11))
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=12) | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["authority", "ID"]) | texts, inner, max_size=3)
    ),
    max_leaves=4,
)


def read(parse: Parser, value: object) -> tuple[str | None, str]:
    """Return the number that was read, or what was wrong."""
    try:
        return parse(value).number, ""
    except MalformedIdentifier as flaw:
        return None, str(flaw)


@given(values)
@example("\ud800" * 11)
@example("1705660057\n")
@example({"authority": "iso6523-actorid-upis", "ID": ["0192:991825827"]})
@example({"authority": "iso6523-actorid-upis", "ID": "0192:991825827"})
def test_whatever_comes_in_is_a_number_or_malformed(value: object) -> None:
    for parse, form in PARSERS:
        number, flaw = read(parse, value)
        if number is None:
            # Its own words and at most a year or a scheme, never a piece of the value.
            assert re.fullmatch("[a-zA-Z0-9 :,-]+", flaw)
            assert not re.search("[0-9]{5}", flaw)
        elif type(value) is str:
            assert re.fullmatch(form, value)
            assert value.endswith(number)
        else:
            assert parse is parse_iso6523_claim
            assert re.fullmatch("[0-9]{9}", number)


DIGITS: Final = [
    chr(point)
    for zero in (0x660, 0x6F0, 0x7C0, 0x966, 0xFF10, 0x1D7CE, 0x1D7F6)
    for point in range(zero, zero + 10)
]


@given(numbers(), st.integers(0, 10), st.sampled_from(range(0, len(DIGITS), 10)))
def test_a_digit_of_another_script_is_never_that_digit(
    number: str, place: int, script: int
) -> None:
    other = DIGITS[script + int(number[place])]
    assert int(other) == int(number[place])
    assert not is_valid(f"{number[:place]}{other}{number[place + 1 :]}")


@given(texts)
def test_a_mask_shows_two_digits_at_most(text: str) -> None:
    shown = mask(text)
    if re.fullmatch(r"[0-9]{9}|[0-9]{11}", text, re.ASCII):
        assert shown == text[:2] + "*" * (len(text) - 2)
    else:
        assert shown == "***"


@given(numbers(), numbers(), st.binary(min_size=32, max_size=64))
def test_pseudonyms_are_equal_when_the_numbers_are(one: str, other: str, key: bytes) -> None:
    pseudonyms = Pseudonyms(key)
    first = pseudonyms.of(parse_person_number(one))
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", first, re.ASCII)
    assert (first == pseudonyms.of(parse_person_number(other))) is (one == other)
    assert one not in first


def stdnum_difference(number: str) -> str | None:
    """Name the reason for which stdnum refuses what Portvakt accepts, if it is a known one.

    Whatever is not listed here must be judged alike.
    """
    try:
        fodselsnummer.validate(number)
    except ValidationError as raised:
        flaw = raised
    else:
        return None
    parsed = parse_person_number(number)
    if parsed.rule is NEW and remainder(K1, number):
        # stdnum 2.2 does not know the rule of 2032.
        return "remainder 1 to 3" if type(flaw) is InvalidChecksum else None
    if type(flaw) is not InvalidComponent:
        return None
    if parsed.kind is PersonKind.FH_NUMBER:
        # It refuses them on purpose, since they have no date of birth.
        return "FH-number"
    if parsed.kind.value.startswith(("nhn-", "tenor-")):
        # It knows 40 added to the month, but neither 65 nor 80.
        return "synthetic"
    if parsed.rule is NEW:
        # Remainder 0, but the rule of 1964 has no such century, or no such leap day.
        return "series of 2032"
    # It compares the date with the machine's, and a pure function has no clock.
    return "not born yet" if "not been born yet" in str(flaw) else None


@given(first_nine() | fh_nine | st.integers(0, 10**9 - 1).map("{:09}".format), st.integers(0, 99))
@example("298200000", 0)
@example("010127500", 36)
def test_person_numbers_are_judged_as_stdnum_does_but_for_known_differences(
    nine: str, last: int
) -> None:
    for number in [f"{nine}{last:02}", *(number for number, _ in continuations(nine))]:
        if fodselsnummer.is_valid(number):
            # stdnum is never the more generous, given eleven digits.
            assert is_valid(number, OLD)
        elif is_valid(number):
            assert stdnum_difference(number)


# "Not born yet" is seen by the test above, for as long as there are such dates.
@pytest.mark.parametrize(
    ("number", "difference"),
    [
        ("17056600574", None),
        ("70019950032", None),
        ("15507600333", None),
        ("88888888831", "FH-number"),
        ("30108299939", "remainder 1 to 3"),
        ("55102499947", "remainder 1 to 3"),
        ("03851598730", "synthetic"),
        ("57912075186", "synthetic"),
        ("01772095186", "synthetic"),
        ("41819077302", "synthetic"),
        ("41419075076", "series of 2032"),
    ],
)
def test_each_known_difference_exists(number: str, difference: str | None) -> None:
    assert is_valid(number)
    assert stdnum_difference(number) == difference


@given(organisations() | st.from_regex(r"[0-9]{9}", fullmatch=True))
def test_organisation_numbers_are_judged_as_stdnum_does(number: str) -> None:
    assert is_valid_organisation(number) is orgnr.is_valid(number)


@given(texts)
def test_what_stdnum_alone_reads_is_not_written_in_digits_alone(text: str) -> None:
    # It takes off spaces, hyphens and colons, and reads digits of other scripts. In a token that
    # would be several texts for one person.
    if orgnr.is_valid(text) and not is_valid_organisation(text):
        assert not re.fullmatch("[0-9]+", text)
    if fodselsnummer.is_valid(text) and not is_valid(text):
        assert not re.fullmatch("[0-9]+", text)


@pytest.mark.parametrize(
    ("text", "compact"),
    [
        ("170566 00574", "17056600574"),
        ("170566-00574", "17056600574"),
        (" 17056600574 ", "17056600574"),
        ("１７０５６６００５７４", "17056600574"),
    ],
)
def test_what_stdnum_compacts_is_malformed(text: str, compact: str) -> None:
    assert fodselsnummer.validate(text) == compact
    assert is_valid(compact)
    assert not is_valid(text)
