"""Norwegian identifiers: person numbers, organisation numbers and HPR numbers.

Each is read without separators and in the digits 0 to 9 alone, because a second text for the same
number would be a second person to whoever compares texts. What is read says that a number is well
formed. Only its register knows whether it was ever given to anyone, and only the policy whether an
API takes its kind (:mod:`portvakt.policy.accepted_persons`).

Neither the date nor the individual digits are handed out: from 2032 on they tell neither century
nor sex, which are to be read from the register (Skatteetaten, "Nytt fødselsnummer fra 2032"), and a
D-number may carry the day on which it was ordered (udi.no).
"""

from collections.abc import Mapping
from enum import Enum
from operator import mul
from typing import Final

from msgspec import Struct

__all__ = [
    "ForeignIdentifier",
    "HprNumber",
    "MalformedIdentifier",
    "NumberRule",
    "OrganisationNumber",
    "PersonKind",
    "PersonNumber",
    "parse_hpr_number",
    "parse_iso6523",
    "parse_iso6523_claim",
    "parse_organisation_number",
    "parse_person_number",
]


class MalformedIdentifier(ValueError):  # noqa: N818  it says what the identifier is
    """The text is no identifier of its sort. The message says why and never holds the text."""


class PersonKind(Enum):
    """What a person number is, told by its form alone. The values are stable names.

    A test population may also hold numbers of the ordinary forms, so "not synthetic" means that
    nothing in the number says so.
    """

    #: Given by Skatteetaten to everyone who lives in Norway.
    FODSELSNUMMER = "fodselsnummer"
    #: Given by Skatteetaten to others who need a number; 40 is added to the day.
    D_NUMBER = "d-number"
    #: "Felles hjelpenummer" of the health sector, for patients who have or know no other number:
    #: begins with 8 or 9, and what follows is random.
    FH_NUMBER = "fh-number"
    #: 40 added to the month: the number that one hospital gave to a patient (H-number, HIS 1001),
    #: or a test person of NAV's. They cannot be told apart.
    H_OR_NAV_SYNTHETIC = "h-or-nav-synthetic"
    #: NAV's synthetic D-number. Not ambiguous: no one adds to the day of an H-number.
    NAV_SYNTHETIC_D_NUMBER = "nav-synthetic-d-number"
    #: 65 added to the month: a test person reserved in Norsk Helsenett's SyntPop.
    NHN_SYNTHETIC = "nhn-synthetic"
    NHN_SYNTHETIC_D_NUMBER = "nhn-synthetic-d-number"
    #: 80 added to the month: a test person of Skatteetaten's (Tenor, Test-Norge).
    TENOR_SYNTHETIC = "tenor-synthetic"
    TENOR_SYNTHETIC_D_NUMBER = "tenor-synthetic-d-number"


class NumberRule(Enum):
    """By which rule a person number is valid. Each rule accepts all that the one before it does."""

    #: First check digit with remainder 0; the individual digits tell the century.
    OF_1964 = "1964"
    #: First check digit with remainder 0 to 3, for numbers given from 1 January 2032 on, also to
    #: people born before; the individual digits tell nothing.
    OF_2032 = "2032"


class PersonNumber(Struct, frozen=True, gc=False):
    """A well-formed person number; :func:`parse_person_number` makes it.

    Attributes:
        number: the eleven digits.
        kind: what sort of number it is.
        rule: the oldest rule by which it is valid; None if its check digits are wrong and whoever
            parsed it tolerates that.
    """

    number: str
    kind: PersonKind
    rule: NumberRule | None

    @property
    def is_synthetic(self) -> bool:
        """Whether only test data have this form."""
        return self.kind in _SYNTHETIC

    @property
    def may_be_synthetic(self) -> bool:
        """Whether test data have this form, be it that a patient's number may have it too."""
        return self.kind in _SYNTHETIC or self.kind is PersonKind.H_OR_NAV_SYNTHETIC

    # msgspec gives rich a repr of its own, so both have to be written.
    def __repr__(self) -> str:
        """Show the kind and the rule, never the number."""
        rule = self.rule and self.rule.value
        return f"PersonNumber(kind={self.kind.value!r}, rule={rule!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("kind", self.kind.value), ("rule", self.rule and self.rule.value)]


class OrganisationNumber(Struct, frozen=True, gc=False):
    """A well-formed organisation number; :func:`parse_organisation_number` makes it.

    Attributes:
        number: the nine digits.
    """

    number: str

    def __repr__(self) -> str:
        """Show that it is one, never which: a sole proprietorship is a person."""
        return "OrganisationNumber()"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return []


class HprNumber(Struct, frozen=True, gc=False):
    """A well-formed number of a health professional; :func:`parse_hpr_number` makes it.

    Attributes:
        number: one to nine digits without leading zeros, so that equal numbers are equal texts.
    """

    number: str

    def __repr__(self) -> str:
        """Show that it is one, never which."""
        return "HprNumber()"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return []


class ForeignIdentifier(Struct, frozen=True, gc=False):
    """A person identifier of another country, in a form that the policy lists.

    Attributes:
        number: the identifier as it came. Nothing is normalised, since nothing is known of it.
    """

    number: str

    def __repr__(self) -> str:
        """Show that it is one, never which."""
        return "ForeignIdentifier()"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return []


# What is added to the month says who gave the number; 40 added to the day makes it a D-number.
_ADDED_TO_MONTH: Final = (
    (0, PersonKind.FODSELSNUMMER, PersonKind.D_NUMBER),
    (40, PersonKind.H_OR_NAV_SYNTHETIC, PersonKind.NAV_SYNTHETIC_D_NUMBER),
    (65, PersonKind.NHN_SYNTHETIC, PersonKind.NHN_SYNTHETIC_D_NUMBER),
    (80, PersonKind.TENOR_SYNTHETIC, PersonKind.TENOR_SYNTHETIC_D_NUMBER),
)
_SYNTHETIC: Final = frozenset(PersonKind) - {
    PersonKind.FODSELSNUMMER,
    PersonKind.D_NUMBER,
    PersonKind.FH_NUMBER,
    PersonKind.H_OR_NAV_SYNTHETIC,
}

_LAST_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

#: The month as it is written: its last day, and the two kinds of numbers that write it so.
_MONTHS: Final = {
    f"{month + added:02}": (last_day, kind, d_kind)
    for added, kind, d_kind in _ADDED_TO_MONTH
    for month, last_day in enumerate(_LAST_DAYS, 1)
}

# Each check digit counts once, so that the weighted sum of a right number has remainder 0.
_WEIGHTS_K1: Final = (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)
_WEIGHTS_K2: Final = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
_WEIGHTS_ORGANISATION: Final = (3, 2, 7, 6, 5, 4, 3, 2, 1)
_VALUES: Final = bytes.maketrans(b"0123456789", bytes(range(10)))


def parse_person_number(
    text: object,
    *,
    newest: NumberRule = NumberRule.OF_2032,
    strict_check_digits: bool = True,
) -> PersonNumber:
    """Read a fødselsnummer or one of its kin.

    Does not check that the number was given to anyone, that its kind is welcome, or that its date
    lies in the past: the first two take a register and a policy, and the last a clock.

    Wrong check digits are tolerated on request, since Norsk Helsenett's own examples have some; a
    wrong form or a date that no year has never is.

    Parameters:
        text: a claim's value, possibly hostile.
        newest: the newest rule whose numbers are accepted.
        strict_check_digits: whether wrong check digits are refused. Where they are not, those of a
            newer rule than *newest* are not either.

    Raises:
        MalformedIdentifier: if it is not eleven digits, has an impossible date, or check digits
            that are wrong by every accepted rule.
    """
    # (1) Eleven ASCII digits.
    number = _digits(text, 11, "person number")

    # (2) The kind, and a date that exists. Which century is unknown (rule of 2032), so a leap year
    # is one that four divides, as in Skatteetaten's own validator; only 1900 is no leap year.
    day, is_leap_day = int(number[:2]), False
    if day >= 80:
        kind = PersonKind.FH_NUMBER
    else:
        try:
            last_day, kind, d_kind = _MONTHS[number[2:4]]
        except KeyError:
            raise MalformedIdentifier("person number: no such month") from None
        if day > 40:
            day, kind = day - 40, d_kind
        if not 1 <= day <= last_day:
            raise MalformedIdentifier("person number: no such day in the month")
        is_leap_day = day == last_day == 29
        if is_leap_day and int(number[4:6]) % 4:
            raise MalformedIdentifier("person number: 29 February in a year without it")

    # (3) Both check digits, by the oldest rule that fits.
    rule = _rule_of(number, kind, is_leap_day=is_leap_day)

    # (4) The rules that are accepted.
    if strict_check_digits:
        if rule is None:
            raise MalformedIdentifier("person number: the check digits are wrong")
        if rule is NumberRule.OF_2032 and newest is NumberRule.OF_1964:
            raise MalformedIdentifier("person number: valid by the rule of 2032 only")
    return PersonNumber(number, kind, rule)


def _rule_of(number: str, kind: PersonKind, *, is_leap_day: bool) -> NumberRule | None:
    values = number.encode("ascii").translate(_VALUES)
    if sum(map(mul, _WEIGHTS_K2, values)) % 11:
        return None
    remainder = sum(map(mul, _WEIGHTS_K1, values)) % 11
    # No source extends the rule of 2032 to FH-numbers: they are not Skatteetaten's, and have no
    # dates whose numbers could run out.
    if kind is PersonKind.FH_NUMBER:
        return None if remainder else NumberRule.OF_1964
    if remainder == 0 and _has_century(number, is_leap_day=is_leap_day):
        return NumberRule.OF_1964
    return NumberRule.OF_2032 if remainder <= 3 else None


def _has_century(number: str, *, is_leap_day: bool) -> bool:
    """Tell whether the individual digits name a century, and the date exists in it."""
    year, individual = int(number[4:6]), int(number[6:9])
    if individual < 500:
        return not (is_leap_day and year == 0)  # 1900 to 1999
    if year < 40:
        return True  # 2000 to 2039
    if individual < 750:
        return year >= 54  # 1854 to 1899
    return individual >= 900  # 1940 to 1999


def parse_organisation_number(
    text: object, *, strict_check_digits: bool = True
) -> OrganisationNumber:
    """Read an organisation number, of a main unit or a sub-unit.

    Does not check that the organisation exists, nor whether it is a test unit: real ones begin with
    8 or 9, but which others there are, no source says.

    Parameters:
        text: a claim's value, possibly hostile.
        strict_check_digits: whether a wrong check digit is refused.

    Raises:
        MalformedIdentifier: if it is not nine digits, or its check digit is wrong.
    """
    number = _digits(text, 9, "organisation number")
    if strict_check_digits:
        values = number.encode("ascii").translate(_VALUES)
        # A check digit of ten has no digit, so no such number passes.
        if sum(map(mul, _WEIGHTS_ORGANISATION, values)) % 11:
            raise MalformedIdentifier("organisation number: the check digit is wrong")
    return OrganisationNumber(number)


#: The schemes under which Norwegian organisation numbers are written: ISO 6523, and Peppol's older.
_NORWEGIAN_SCHEMES: Final = frozenset({"0192", "9908"})


def parse_iso6523(text: object, *, strict_check_digits: bool = True) -> OrganisationNumber:
    """Read an organisation number with its scheme before it, as ``0192:991825827``.

    Does not read identifiers of other schemes: no other country's organisation has a Norwegian
    number.

    Raises:
        MalformedIdentifier: if the scheme is not 0192 or 9908, or the number is not well formed.
    """
    if type(text) is not str:
        raise MalformedIdentifier("ISO 6523 identifier: not a string")
    scheme, _, number = text.partition(":")
    if scheme not in _NORWEGIAN_SCHEMES:
        raise MalformedIdentifier("ISO 6523 identifier: the scheme is not 0192 or 9908")
    return parse_organisation_number(number, strict_check_digits=strict_check_digits)


def parse_iso6523_claim(claim: object, *, strict_check_digits: bool = True) -> OrganisationNumber:
    """Read Maskinporten's ``consumer`` or ``supplier``: an authority and an identifier of its.

    Does not look at other members of the object.

    Parameters:
        claim: a claim's value, possibly hostile.
        strict_check_digits: whether a wrong check digit is refused.

    Raises:
        MalformedIdentifier: if it is no object, the authority is another, or ``ID`` is not well
            formed.
    """
    if not isinstance(claim, Mapping):
        raise MalformedIdentifier("ISO 6523 claim: not an object")
    if claim.get("authority") != "iso6523-actorid-upis":
        raise MalformedIdentifier("ISO 6523 claim: authority is not iso6523-actorid-upis")
    return parse_iso6523(claim.get("ID"), strict_check_digits=strict_check_digits)


def parse_hpr_number(text: object) -> HprNumber:
    """Read a number of the health personnel register (HPR).

    No length or check digit is published: seven and nine digits are seen, and some systems pad with
    zeros. So leading zeros are taken off, and anything else is left to the register.

    Parameters:
        text: a claim's value, possibly hostile.

    Raises:
        MalformedIdentifier: if it is not one to nine digits, or only zeros.
    """
    number = _digits(text, None, "HPR number")
    if not len(number) <= 9:
        raise MalformedIdentifier("HPR number: more than nine digits")
    number = number.lstrip("0")
    if not number:
        raise MalformedIdentifier("HPR number: only zeros")
    return HprNumber(number)


def _digits(text: object, length: int | None, name: str) -> str:
    # isdigit alone takes the digits of every script, and superscripts.
    if type(text) is not str:
        raise MalformedIdentifier(f"{name}: not a string")
    if not (text.isascii() and text.isdigit()):
        raise MalformedIdentifier(f"{name}: not only the digits 0 to 9")
    if length is not None and len(text) != length:
        raise MalformedIdentifier(f"{name}: not {length} digits")
    return text
