"""Which identifiers an API takes, and which it cannot be configured to take."""

from contextlib import suppress
from typing import Any

import pytest

from portvakt import ConfigurationError
from portvakt.policy.accepted_persons import AcceptedPersons, ForeignForm, KindNotAccepted
from portvakt.policy.identifiers import (
    ForeignIdentifier,
    MalformedIdentifier,
    NumberRule,
    PersonKind,
    PersonNumber,
    parse_person_number,
)

#: One published or computed number of each kind.
EXAMPLES = {
    PersonKind.FODSELSNUMMER: "17056600574",
    PersonKind.D_NUMBER: "70019950032",
    PersonKind.FH_NUMBER: "88888888831",
    PersonKind.H_OR_NAV_SYNTHETIC: "15507600333",
    PersonKind.NAV_SYNTHETIC_D_NUMBER: "55507608360",
    PersonKind.NHN_SYNTHETIC: "01772095186",
    PersonKind.NHN_SYNTHETIC_D_NUMBER: "41772095099",
    PersonKind.TENOR_SYNTHETIC: "17912099997",
    PersonKind.TENOR_SYNTHETIC_D_NUMBER: "57912075186",
}
SWEDEN = ForeignForm(prefix="SE/NO/", min_length=12, max_length=13)


def accepted(policy: AcceptedPersons) -> set[PersonKind]:
    kinds = set()
    for kind, number in EXAMPLES.items():
        with suppress(KindNotAccepted):
            parsed = policy.read(number)
            assert isinstance(parsed, PersonNumber)
            assert parsed == parse_person_number(number)
            assert parsed.kind is kind
            kinds.add(kind)
    return kinds


@pytest.mark.parametrize("kind", PersonKind)
def test_a_kind_that_is_not_accepted_is_named_but_not_its_number(kind: PersonKind) -> None:
    policy = AcceptedPersons(kinds=frozenset(PersonKind) - {kind})
    with pytest.raises(KindNotAccepted, match=f"the kind {kind.value} is not") as error:
        policy.read(EXAMPLES[kind])
    assert error.value.kind is kind
    assert EXAMPLES[kind] not in str(error.value)
    assert isinstance(error.value, MalformedIdentifier)


def test_production_takes_what_people_log_in_with() -> None:
    assert accepted(AcceptedPersons()) == {PersonKind.FODSELSNUMMER, PersonKind.D_NUMBER}


def test_a_test_environment_takes_test_persons_too() -> None:
    assert accepted(AcceptedPersons.for_tests()) == set(PersonKind) - {PersonKind.FH_NUMBER}
    assert AcceptedPersons.for_tests().strict_check_digits


@pytest.mark.parametrize("kind", PersonKind)
def test_each_kind_can_be_listed_alone(kind: PersonKind) -> None:
    assert accepted(AcceptedPersons(kinds=frozenset({kind}))) == {kind}


def test_the_newest_rule_is_a_choice() -> None:
    policy = AcceptedPersons(newest_rule=NumberRule.OF_1964)

    with pytest.raises(MalformedIdentifier, match="2032"):
        policy.read("30108299939")
    assert AcceptedPersons().read("30108299939").number == "30108299939"
    assert policy.read("30108299920").number == "30108299920"


@pytest.mark.parametrize("number", ["24019391117", "05076600324"])
def test_check_digits_can_be_tolerated_but_never_a_wrong_form(number: str) -> None:
    tolerant = AcceptedPersons(strict_check_digits=False)

    assert tolerant.read(number).number == number
    with pytest.raises(MalformedIdentifier, match="check digits"):
        AcceptedPersons().read(number)
    with pytest.raises(KindNotAccepted):
        tolerant.read("17912099998")
    for wrong in (number[:-1], number + "0", f"{number[:6]} {number[6:]}", "00" + number[2:], 5):
        with pytest.raises(MalformedIdentifier):
            tolerant.read(wrong)


def test_foreign_identifiers_are_accepted_only_in_a_listed_form() -> None:
    policy = AcceptedPersons(foreign=(SWEDEN, ForeignForm(prefix="P:", min_length=1, max_length=9)))

    assert policy.read("SE/NO/191212121212") == ForeignIdentifier("SE/NO/191212121212")
    assert policy.read("SE/NO/19121212121AZ").number == "SE/NO/19121212121AZ"
    assert policy.read("P:A1").number == "P:A1"
    assert accepted(policy) == {PersonKind.FODSELSNUMMER, PersonKind.D_NUMBER}
    with pytest.raises(MalformedIdentifier):
        AcceptedPersons().read("SE/NO/191212121212")


@pytest.mark.parametrize(
    "text",
    [
        "", "SE/NO/", "SE/NO/19121212121", "SE/NO/19121212121234", "SE/NO/1912121212aa",
        "SE/NO/19121212-1212", "SE/NO/191212121212\n", " SE/NO/191212121212",
        "se/no/191212121212", "DK/NO/191212121212", "191212121212",
        "SE/NO/１９１２１２１２１２１２", "SE/NO/SE/NO/191212121212", "x" * 16000,
    ],
)  # fmt: skip
def test_what_is_almost_of_a_foreign_form_is_malformed(text: str) -> None:
    with pytest.raises(MalformedIdentifier) as error:
        AcceptedPersons(foreign=(SWEDEN,)).read(text)
    assert not text or text not in str(error.value)


def test_eleven_digits_are_never_foreign() -> None:
    anything = ForeignForm(prefix="", min_length=1, max_length=64)
    policy = AcceptedPersons(foreign=(anything,))

    assert policy.read("191212121212") == ForeignIdentifier("191212121212")
    assert policy.read("1912121212") == ForeignIdentifier("1912121212")
    with pytest.raises(KindNotAccepted):
        policy.read("17912099997")
    with pytest.raises(MalformedIdentifier, match="check digits"):
        policy.read("17056600575")
    with pytest.raises(MalformedIdentifier, match="month"):
        policy.read("01000000000")


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"kinds": frozenset()}, "kinds"),
        ({"kinds": frozenset({"fodselsnummer"})}, "kinds"),
        ({"kinds": "fodselsnummer"}, "kinds"),
        ({"newest_rule": "1964"}, "newest_rule"),
    ],
)
def test_a_policy_that_is_incomplete_is_none(settings: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        AcceptedPersons(**settings)
    assert [problem.place for problem in error.value.problems] == [place]


def test_everything_that_is_wrong_comes_at_once() -> None:
    with pytest.raises(ConfigurationError) as policy:
        AcceptedPersons(kinds=frozenset(), newest_rule="2032")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError) as form:
        ForeignForm(prefix="\t", min_length=0, max_length=65, characters=frozenset())

    assert [p.place for p in policy.value.problems] == ["kinds", "newest_rule"]
    assert [p.place for p in form.value.problems] == ["prefix", "max_length", "characters"]


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"prefix": "SE "}, "prefix"),
        ({"prefix": "Å"}, "prefix"),
        ({"prefix": "x" * 65}, "prefix"),
        ({"min_length": 0}, "max_length"),
        ({"min_length": 14}, "max_length"),
        ({"max_length": 65}, "max_length"),
        ({"characters": frozenset()}, "characters"),
        ({"characters": frozenset("0123456789 ")}, "characters"),
        ({"characters": frozenset("٠١")}, "characters"),
        ({"characters": frozenset({"0", "12"})}, "characters"),
    ],
)
def test_a_foreign_form_that_fits_nothing_or_the_invisible_is_none(
    settings: dict[str, Any], place: str
) -> None:
    honest: dict[str, Any] = {"prefix": "SE/NO/", "min_length": 12, "max_length": 13}
    with pytest.raises(ConfigurationError) as error:
        ForeignForm(**{**honest, **settings})
    assert [problem.place for problem in error.value.problems] == [place]


def test_the_bounds_of_a_foreign_form_belong_to_it() -> None:
    form = ForeignForm(prefix="x" * 64, min_length=1, max_length=64)
    assert form.fits("x" * 64 + "A")
    assert form.fits("x" * 64 + "A" * 64)
    assert not form.fits("x" * 64)
    assert not form.fits("x" * 64 + "A" * 65)
    assert not form.fits("x" * 63 + "A")


def test_one_length_and_every_visible_character_are_allowed() -> None:
    visible = frozenset(chr(point) for point in range(0x21, 0x7F))
    form = ForeignForm(prefix="!~", min_length=3, max_length=3, characters=visible)
    assert form.fits("!~~!x")
    for invisible in (" ", "\x7f", "\x80"):
        with pytest.raises(ConfigurationError):
            ForeignForm(prefix=invisible, min_length=1, max_length=1)


def test_policies_are_frozen_and_written_by_name() -> None:
    policy = AcceptedPersons()
    with pytest.raises(AttributeError):
        policy.strict_check_digits = False  # type: ignore[misc]
    with pytest.raises(AttributeError):
        SWEDEN.prefix = ""  # type: ignore[misc]
    with pytest.raises(TypeError):
        AcceptedPersons(frozenset({PersonKind.FH_NUMBER}))  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        ForeignForm("", 1, 1)  # type: ignore[call-arg]
