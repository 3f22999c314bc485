"""Which person identifiers an API accepts."""

from collections.abc import Iterator
from string import ascii_uppercase, digits
from typing import Final

from msgspec import Struct

from portvakt.errors import ConfigurationError, Problem
from portvakt.policy.identifiers import (
    ForeignIdentifier,
    MalformedIdentifier,
    NumberRule,
    PersonKind,
    PersonNumber,
    parse_person_number,
)

__all__ = ["AcceptedPersons", "ForeignForm", "KindNotAccepted"]

#: Characters of a foreign identifier, before and after its prefix.
MAX_LENGTH: Final = 64

_VISIBLE: Final = frozenset(map(chr, range(0x21, 0x7F)))


class KindNotAccepted(MalformedIdentifier):
    """The number is well formed, but of a kind that this API does not take.

    It is a :class:`MalformedIdentifier`, so that nobody who catches that one lets this one through.

    Attributes:
        kind: the kind it is of.
    """

    kind: Final[PersonKind]

    def __init__(self, kind: PersonKind) -> None:
        self.kind = kind
        super().__init__(f"person number: the kind {kind.value} is not accepted here")


class ForeignForm(Struct, frozen=True, kw_only=True):
    """One form of person identifiers of another country: a prefix, then some characters.

    Not a regular expression: one that takes exponential time looks like any other, and one that
    forgot an anchor accepts everything. This is read in one pass, and from the first character to
    the last.

    Attributes:
        prefix: how each of them begins, as ``SE/NO/``. Empty only if it is written so.
        min_length: the fewest characters after the prefix.
        max_length: the most characters after the prefix.
        characters: the characters that may stand after the prefix.

    Raises:
        ConfigurationError: with every flaw, if nothing or anything at all would fit.
    """

    prefix: str
    min_length: int
    max_length: int
    characters: frozenset[str] = frozenset(digits + ascii_uppercase)

    def __post_init__(self) -> None:
        """Refuse to exist when it could fit nothing, or what no one can see."""
        problems = tuple(self._problems())
        if problems:
            raise ConfigurationError(problems)

    def _problems(self) -> Iterator[Problem]:
        if not _VISIBLE.issuperset(self.prefix) or len(self.prefix) > MAX_LENGTH:
            yield Problem("prefix", f"must be at most {MAX_LENGTH} visible ASCII characters")
        if not 1 <= self.min_length <= self.max_length <= MAX_LENGTH:
            yield Problem("max_length", f"1 <= min_length <= max_length <= {MAX_LENGTH} must hold")
        if not self.characters or not self.characters <= _VISIBLE:
            yield Problem("characters", "must list visible ASCII characters, one by one")

    def fits(self, text: str) -> bool:
        """Tell whether *text* is of this form."""
        rest = text.removeprefix(self.prefix)
        return (
            text.startswith(self.prefix)
            and self.min_length <= len(rest) <= self.max_length
            and self.characters.issuperset(rest)
        )


class AcceptedPersons(Struct, frozen=True, kw_only=True):
    """Which person identifiers an API accepts. What it is made with by default is for production.

    By default it takes a fødselsnummer and a D-number, which are what people log in with. It takes
    these only if they are listed:

    - FH-numbers. Their owners are patients who had no other number when they came, so no one logs
      in with one. They are not synthetic: an API that reads patients' numbers may need them.
    - Month + 40. As an H-number it means something in one hospital only, and as NAV's it is no one.
    - What is synthetic. Who can have a test person's number in production gets in as nobody.

    Both rules are accepted: from 2032 on there are numbers that only the new one knows, and no
    check is lost that a slip of the pen would need (the second check digit alone catches each wrong
    digit and each pair of neighbours in the wrong order).

    Attributes:
        kinds: the kinds of Norwegian numbers.
        newest_rule: the newest rule whose numbers are accepted.
        strict_check_digits: whether wrong check digits are refused. A wrong form always is.
        foreign: the forms of other countries' identifiers. None is accepted that is not listed, and
            eleven digits are a Norwegian number under every policy.

    Raises:
        ConfigurationError: with every flaw, if no kind is listed, or something else than kinds.
    """

    kinds: frozenset[PersonKind] = frozenset({PersonKind.FODSELSNUMMER, PersonKind.D_NUMBER})
    newest_rule: NumberRule = NumberRule.OF_2032
    strict_check_digits: bool = True
    foreign: tuple[ForeignForm, ...] = ()

    def __post_init__(self) -> None:
        """Refuse to exist when incomplete."""
        problems = tuple(self._problems())
        if problems:
            raise ConfigurationError(problems)

    @classmethod
    def for_tests(cls) -> "AcceptedPersons":
        """Accept what production does, and every kind of test person beside it.

        FH-numbers are not among them: what a test environment admits and production does not should
        be test persons alone.
        """
        return cls(kinds=frozenset(PersonKind) - {PersonKind.FH_NUMBER})

    def _problems(self) -> Iterator[Problem]:
        if not self.kinds:
            yield Problem("kinds", "must list at least one kind; empty does not mean all")
        if any(type(kind) is not PersonKind for kind in self.kinds):
            names = ", ".join(kind.value for kind in PersonKind)
            yield Problem("kinds", f"must be kinds of person numbers; known are {names}")
        if type(self.newest_rule) is not NumberRule:
            names = ", ".join(rule.value for rule in NumberRule)
            yield Problem("newest_rule", f"must be a rule of person numbers; known are {names}")

    def read(self, text: object) -> PersonNumber | ForeignIdentifier:
        """Read a person identifier that this API accepts.

        Does not check that it is anyone's, nor that it is who the request is about.

        Parameters:
            text: a claim's value, possibly hostile.

        Raises:
            KindNotAccepted: if it is a Norwegian number of another kind.
            MalformedIdentifier: if it is no identifier at all, or of no form that is listed.
        """
        # (1) A foreign form. Never eleven digits: it would admit what step 2 refuses.
        if type(text) is str and not (len(text) == 11 and text.isdigit()):
            for form in self.foreign:
                if form.fits(text):
                    return ForeignIdentifier(text)

        # (2) A Norwegian number, of a kind that is listed.
        number = parse_person_number(
            text, newest=self.newest_rule, strict_check_digits=self.strict_check_digits
        )
        if number.kind not in self.kinds:
            raise KindNotAccepted(number.kind)
        return number
