"""Published numbers, and numbers computed here. None of them is a real person's.

The person numbers are Skatteetaten's own test data, NAV's, Norsk Helsenett's and HelseID's, or the
check digits are worked out below for a month that does not exist.
"""

from collections.abc import Callable
from typing import Any

import pytest
from rich.pretty import pretty_repr

from portvakt.policy.claims import Claims
from portvakt.policy.identifiers import (
    ForeignIdentifier,
    HprNumber,
    MalformedIdentifier,
    NumberRule,
    OrganisationNumber,
    PersonKind,
    PersonNumber,
    parse_hpr_number,
    parse_iso6523,
    parse_iso6523_claim,
    parse_organisation_number,
    parse_person_number,
)

OLD, NEW = NumberRule.OF_1964, NumberRule.OF_2032


WEIGHTS_K1 = (3, 7, 6, 1, 8, 9, 4, 5, 2)
WEIGHTS_K2 = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)


def check_digit(weights: tuple[int, ...], digits: str, remainder: int = 0) -> int:
    total = sum(weight * int(digit) for weight, digit in zip(weights, digits, strict=True))
    return (remainder - total) % 11


def complete(first_digits: str, remainder: int = 0) -> str:
    """Append what is missing of nine digits, and both check digits, the first for this remainder.

    One check digit in eleven would be ten; then the next individual digits are tried.
    """
    for nine in range(int(first_digits.ljust(9, "0")), 10**9):
        text = f"{nine:09}"
        k1 = check_digit(WEIGHTS_K1, text, remainder)
        k2 = check_digit(WEIGHTS_K2, f"{text}{k1}") if k1 < 10 else 10
        if k2 < 10:
            break
    assert text.startswith(first_digits[:7])
    return f"{text}{k1}{k2}"


@pytest.mark.parametrize(
    ("number", "kind", "rule"),
    [
        # Skatteetaten's list for its own validator.
        ("30108299939", PersonKind.FODSELSNUMMER, NEW),
        ("30908299902", PersonKind.TENOR_SYNTHETIC, NEW),
        ("20036914700", PersonKind.FODSELSNUMMER, OLD),
        ("03851598730", PersonKind.TENOR_SYNTHETIC, OLD),
        ("29020073150", PersonKind.FODSELSNUMMER, OLD),  # leap day, in 2000
        ("55102499947", PersonKind.D_NUMBER, NEW),
        ("41819077906", PersonKind.TENOR_SYNTHETIC_D_NUMBER, NEW),
        # Remainder 0, but no century has 773 and the year 90: only the rule of 2032 gives it.
        ("41819077302", PersonKind.TENOR_SYNTHETIC_D_NUMBER, NEW),
        # Its worked examples.
        ("02013299997", PersonKind.FODSELSNUMMER, OLD),
        ("30108299920", PersonKind.FODSELSNUMMER, OLD),
        # navikt/fnrvalidator, issue 116.
        ("15507600333", PersonKind.H_OR_NAV_SYNTHETIC, OLD),
        ("55507608360", PersonKind.NAV_SYNTHETIC_D_NUMBER, OLD),
        ("17912099997", PersonKind.TENOR_SYNTHETIC, OLD),
        ("57912075186", PersonKind.TENOR_SYNTHETIC_D_NUMBER, OLD),
        # Norsk Helsenett: a test person of HelseID's, a test patient born in 1899, an FH-number.
        ("17056600574", PersonKind.FODSELSNUMMER, OLD),
        ("70019950032", PersonKind.D_NUMBER, OLD),
        ("88888888831", PersonKind.FH_NUMBER, OLD),
        # Norsk Helsenett's SyntPop adds 65 to the month; these are computed.
        (complete("017720950"), PersonKind.NHN_SYNTHETIC, OLD),
        (complete("316620950"), PersonKind.NHN_SYNTHETIC, OLD),
        (complete("417720950", 1), PersonKind.NHN_SYNTHETIC_D_NUMBER, NEW),
    ],
)  # fmt: skip
def test_published_numbers_are_of_their_kind_and_rule(
    number: str, kind: PersonKind, rule: NumberRule
) -> None:
    parsed = parse_person_number(number)

    assert (parsed.number, parsed.kind, parsed.rule) == (number, kind, rule)
    assert parse_person_number(number, strict_check_digits=False) == parsed
    if rule is OLD:
        assert parse_person_number(number, newest=OLD) == parsed
    else:
        with pytest.raises(MalformedIdentifier, match="by the rule of 2032 only"):
            parse_person_number(number, newest=OLD)


@pytest.mark.parametrize("newest", NumberRule)
@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("20036914712", "check digits"),  # Skatteetaten's
        ("29020105729", "29 February"),  # Skatteetaten's: its check digits are right
        ("24019391117", "check digits"),  # Norsk Helsenett's examples
        ("05076600324", "check digits"),
        (complete("802345678", 1), "check digits"),  # an FH-number by the rule of 2032
        (complete("802345678", 3), "check digits"),
        (complete("009120950"), "no such day"),
        (complete("409120950"), "no such day"),
        (complete("329120950"), "no such day"),
        (complete("719120950"), "no such day"),  # 31 as a D-number is the last
        (complete("729120950"), "no such day"),
        (complete("799120950"), "no such day"),
        (complete("308220950"), "no such day"),  # 30 February
        (complete("318420950"), "no such day"),  # 31 April
        (complete("298221950"), "29 February"),
        (complete("698221950"), "29 February"),
        (complete("010020950"), "no such month"),
        (complete("011320950"), "no such month"),
        (complete("012120950"), "no such month"),  # 20 is added to NAV's own "NPID"
        (complete("014020950"), "no such month"),
        (complete("015320950"), "no such month"),
        (complete("016520950"), "no such month"),
        (complete("017820950"), "no such month"),
        (complete("018020950"), "no such month"),
        (complete("019320950"), "no such month"),
    ],
)
def test_numbers_that_are_no_ones_by_any_rule_are_malformed(
    number: str, reason: str, newest: NumberRule
) -> None:
    with pytest.raises(MalformedIdentifier, match=reason):
        parse_person_number(number, newest=newest)


@pytest.mark.parametrize("number", ["20036914712", "24019391117", "05076600324", "88888888832"])
def test_wrong_check_digits_are_tolerated_on_request_and_leave_no_rule(number: str) -> None:
    for newest in NumberRule:
        parsed = parse_person_number(number, newest=newest, strict_check_digits=False)
        assert (parsed.number, parsed.rule) == (number, None)


def test_where_check_digits_are_tolerated_those_of_a_newer_rule_are_too() -> None:
    parsed = parse_person_number("30108299939", newest=OLD, strict_check_digits=False)
    assert parsed.rule is NEW


@pytest.mark.parametrize("number", ["29020105729", complete("308220950"), complete("014020950")])
def test_an_impossible_date_is_never_tolerated(number: str) -> None:
    with pytest.raises(MalformedIdentifier, match=r"no such|29 February"):
        parse_person_number(number, strict_check_digits=False)


def test_the_last_day_of_each_month_is_a_day_and_the_next_is_not() -> None:
    for month, last in enumerate((31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), 81):
        for added in (0, 40):
            for day in (1 + added, last + added):
                parse_person_number(f"{day:02}{month}2099900", strict_check_digits=False)
            for day in (added, last + 1 + added):
                with pytest.raises(MalformedIdentifier, match="no such day"):
                    parse_person_number(f"{day:02}{month}2099900", strict_check_digits=False)


@pytest.mark.parametrize(
    ("first_six", "individual", "rule"),
    [
        # 1900 to 1999.
        ("028100", "000", OLD), ("018140", "499", OLD), ("018153", "499", OLD),
        # 2000 to 2039.
        ("018100", "500", OLD), ("018139", "500", OLD), ("028139", "999", OLD),
        # 1854 to 1899, and the years before it that have no series of 500 to 749.
        ("018140", "500", NEW), ("018153", "500", NEW), ("018140", "749", NEW),
        ("018153", "749", NEW), ("018154", "749", OLD), ("018198", "749", OLD),
        # 1940 to 1999, and what lies between the two.
        ("018154", "750", NEW), ("018198", "750", NEW), ("018140", "899", NEW),
        ("018198", "899", NEW), ("018140", "900", OLD), ("018198", "900", OLD),
        # Leap days: 1900 had none, 2000 had; by the rule of 2032 nobody knows which it is.
        ("298200", "000", NEW), ("298200", "498", NEW), ("298200", "500", OLD),
        ("298204", "000", OLD), ("298296", "500", OLD),
        ("298240", "900", OLD), ("698200", "000", NEW),
    ],
)  # fmt: skip
def test_by_the_rule_of_1964_the_individual_digits_name_a_century(
    first_six: str, individual: str, rule: NumberRule
) -> None:
    number = complete(first_six + individual)

    # At the bounds these very digits have a number; of leap days, some near them.
    assert number.startswith(first_six + (individual[0] if first_six[2:4] == "82" else individual))
    assert parse_person_number(number).rule is rule


@pytest.mark.parametrize(("remainder", "rule"), [(0, OLD), (1, NEW), (2, NEW), (3, NEW)])
def test_the_rule_of_2032_accepts_four_remainders(remainder: int, rule: NumberRule) -> None:
    assert parse_person_number(complete("018120950", remainder)).rule is rule


@pytest.mark.parametrize("remainder", [4, 5, 6, 7, 8, 9, 10])
def test_the_other_seven_remainders_are_wrong(remainder: int) -> None:
    with pytest.raises(MalformedIdentifier, match="check digits"):
        parse_person_number(complete("018120950", remainder))


@pytest.mark.parametrize("second", range(1, 10))
def test_the_second_check_digit_has_one_value_by_either_rule(second: int) -> None:
    for right in ("17912099997", "30908299902"):
        wrong = right[:10] + str((int(right[10]) + second) % 10)
        assert parse_person_number(wrong, strict_check_digits=False).rule is None


def test_a_kind_says_whether_it_is_synthetic_or_can_be() -> None:
    certain = {
        PersonKind.NAV_SYNTHETIC_D_NUMBER,
        PersonKind.NHN_SYNTHETIC,
        PersonKind.NHN_SYNTHETIC_D_NUMBER,
        PersonKind.TENOR_SYNTHETIC,
        PersonKind.TENOR_SYNTHETIC_D_NUMBER,
    }
    for kind in PersonKind:
        number = PersonNumber("17912099997", kind, OLD)
        assert number.is_synthetic is (kind in certain)
        assert number.may_be_synthetic is (kind in certain or kind is PersonKind.H_OR_NAV_SYNTHETIC)


def test_the_names_of_kinds_and_rules_are_stable() -> None:
    # They stand in policy files, and in every pseudonym.
    assert [kind.value for kind in PersonKind] == [
        "fodselsnummer",
        "d-number",
        "fh-number",
        "h-or-nav-synthetic",
        "nav-synthetic-d-number",
        "nhn-synthetic",
        "nhn-synthetic-d-number",
        "tenor-synthetic",
        "tenor-synthetic-d-number",
    ]
    assert [rule.value for rule in NumberRule] == ["1964", "2032"]


VALID_ORGANISATIONS = [
    "912159523", "922734046", "994598759", "917897468", "915933149", "993467049", "874716782",
    "974589095", "972418013", "974042436", "999977774", "313745392", "313325016", "312232324",
    "958935420", "894234482", "313231593", "100100673", "991825827",
]  # fmt: skip
WRONG_ORGANISATIONS = ["999977776", "999977775", "312232326", "123456789"]


@pytest.mark.parametrize("number", VALID_ORGANISATIONS)
def test_published_organisation_numbers_are_well_formed(number: str) -> None:
    assert parse_organisation_number(number) == OrganisationNumber(number)


@pytest.mark.parametrize("number", WRONG_ORGANISATIONS)
def test_a_wrong_check_digit_of_an_organisation_is_refused_or_tolerated(number: str) -> None:
    with pytest.raises(MalformedIdentifier, match="check digit"):
        parse_organisation_number(number)
    assert parse_organisation_number(number, strict_check_digits=False).number == number


def test_an_organisation_whose_check_digit_would_be_ten_does_not_exist() -> None:
    weights = (3, 2, 7, 6, 5, 4, 3, 2)
    eight = "99999976"
    assert -sum(w * int(d) for w, d in zip(weights, eight, strict=True)) % 11 == 10
    for last in "0123456789":
        with pytest.raises(MalformedIdentifier, match="check digit"):
            parse_organisation_number(eight + last)


@pytest.mark.parametrize("scheme", ["0192", "9908"])
def test_iso_6523_identifiers_are_organisation_numbers(scheme: str) -> None:
    text = f"{scheme}:991825827"
    claim = {"authority": "iso6523-actorid-upis", "ID": text, "more": 1}

    assert parse_iso6523(text).number == "991825827"
    assert parse_iso6523_claim(claim).number == "991825827"
    assert parse_iso6523_claim(Claims(claim)).number == "991825827"


def test_a_wrong_check_digit_is_tolerated_with_a_scheme_too() -> None:
    text = "0192:999977776"
    claim = {"authority": "iso6523-actorid-upis", "ID": text}

    with pytest.raises(MalformedIdentifier, match="check digit"):
        parse_iso6523(text)
    with pytest.raises(MalformedIdentifier, match="check digit"):
        parse_iso6523_claim(claim)
    assert parse_iso6523(text, strict_check_digits=False).number == "999977776"
    assert parse_iso6523_claim(claim, strict_check_digits=False).number == "999977776"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("991825827", "scheme"),
        (":991825827", "scheme"),
        ("0007:991825827", "scheme"),  # Sweden's
        ("192:991825827", "scheme"),
        (" 0192:991825827", "scheme"),
        ("0192", "digits"),
        ("0192:", "digits"),
        ("0192:0192:991825827", "digits"),
        ("0192:991 825 827", "digits"),
        ("0192:NO991825827", "digits"),
        ("0192:991825827MVA", "digits"),
        (None, "string"),
        (991825827, "string"),
    ],
)
def test_other_iso_6523_identifiers_are_malformed(value: object, reason: str) -> None:
    claim = {"authority": "iso6523-actorid-upis", "ID": value}
    with pytest.raises(MalformedIdentifier, match=reason):
        parse_iso6523(value)
    with pytest.raises(MalformedIdentifier, match=reason):
        parse_iso6523_claim(claim)


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ("0192:991825827", "object"),
        (None, "object"),
        (["iso6523-actorid-upis", "0192:991825827"], "object"),
        ({}, "authority"),
        ({"ID": "0192:991825827"}, "authority"),
        ({"authority": "ISO6523-actorid-upis", "ID": "0192:991825827"}, "authority"),
        ({"authority": ["iso6523-actorid-upis"], "ID": "0192:991825827"}, "authority"),
        ({"authority": "iso6523-actorid-upis"}, "string"),
        ({"authority": "iso6523-actorid-upis", "id": "0192:991825827"}, "string"),
        ({"authority": "iso6523-actorid-upis", "ID": {"0192": "991825827"}}, "string"),
    ],
)
def test_other_claims_are_malformed(claim: object, reason: str) -> None:
    with pytest.raises(MalformedIdentifier, match=reason):
        parse_iso6523_claim(claim)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("181000001", "181000001"),
        ("431001110", "431001110"),
        ("565501872", "565501872"),
        ("9144900", "9144900"),
        ("009144900", "9144900"),
        ("9144897", "9144897"),
        ("1", "1"),
        ("000000010", "10"),
    ],
)
def test_hpr_numbers_are_equal_whatever_zeros_lead(text: str, number: str) -> None:
    assert parse_hpr_number(text) == HprNumber(number)


@pytest.mark.parametrize("text", ["0", "000000000", "0009144900", "1234567890", "1" * 5000])
def test_other_hpr_numbers_are_malformed(text: str) -> None:
    with pytest.raises(MalformedIdentifier, match=r"zeros|more than nine"):
        parse_hpr_number(text)


Parser = Callable[[object], Any]
PARSERS: list[tuple[Parser, str]] = [
    (parse_person_number, "17056600574"),
    (parse_organisation_number, "912159523"),
    (parse_hpr_number, "181000001"),
]


@pytest.mark.parametrize(("parse", "honest"), PARSERS)
def test_only_a_string_of_ascii_digits_is_read(parse: Parser, honest: str) -> None:
    variants: list[object] = [
        "", " ", honest + " ", " " + honest, honest + "\n", honest + "\0",
        f"{honest[:6]} {honest[6:]}", f"{honest[:6]}-{honest[6:]}",
        f"+{honest[1:]}", f"-{honest[1:]}", f"{honest[:-2]}_{honest[-1]}", f"{honest[:-1]}x",
        honest[:-1] + "²", honest[:-1] + "٤", honest[:-1] + "４", honest[:-1] + "𝟒",
        honest.translate({0x30 + digit: 0x660 + digit for digit in range(10)}),
        None, True, int(honest), float(honest), honest.encode(),
        [honest], (honest,), {honest: honest},
    ]  # fmt: skip
    assert parse(honest).number == honest
    for variant in variants:
        with pytest.raises(MalformedIdentifier, match=r"string|digits 0 to 9"):
            parse(variant)


@pytest.mark.parametrize(("parse", "honest"), PARSERS[:2])
def test_the_number_of_digits_is_exact(parse: Parser, honest: str) -> None:
    for variant in (honest[:-1], honest + "0", "0" + honest, honest * 2, "0"):
        with pytest.raises(MalformedIdentifier, match=rf"not {len(honest)} digits"):
            parse(variant)


@pytest.mark.parametrize(
    "identifier",
    [
        PersonNumber("17912099997", PersonKind.TENOR_SYNTHETIC, OLD),
        PersonNumber("17912099997", PersonKind.TENOR_SYNTHETIC, None),
        OrganisationNumber("17912099997"),
        HprNumber("17912099997"),
        ForeignIdentifier("17912099997"),
    ],
)
def test_no_identifier_shows_its_number(identifier: object) -> None:
    name = type(identifier).__name__
    for shown in (repr(identifier), str(identifier), f"{[identifier]}", pretty_repr(identifier)):
        assert name in shown
        assert "179" not in shown


def test_a_person_number_shows_its_kind_and_rule() -> None:
    tolerated = PersonNumber("17912099997", PersonKind.TENOR_SYNTHETIC, None)
    valid = parse_person_number("17912099997")

    assert repr(valid) == "PersonNumber(kind='tenor-synthetic', rule='1964')"
    assert pretty_repr(valid) == repr(valid)
    assert repr(tolerated) == "PersonNumber(kind='tenor-synthetic', rule=None)"
    assert pretty_repr(tolerated) == repr(tolerated)


@pytest.mark.parametrize(
    ("parse", "one", "other"),
    [
        (parse_person_number, "17912099997", "57912075186"),
        (parse_organisation_number, "912159523", "922734046"),
        (parse_hpr_number, "181000001", "431001110"),
        (ForeignIdentifier, "SE/NO/191212121212", "SE/NO/191212121213"),
    ],
)
def test_identifiers_are_values(parse: Callable[[str], Any], one: str, other: str) -> None:
    identifier = parse(one)

    assert identifier == parse(one) != parse(other)
    assert len({identifier, parse(one), parse(other)}) == 2
    with pytest.raises(AttributeError):
        identifier.number = other
