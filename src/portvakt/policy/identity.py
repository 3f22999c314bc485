"""Out of claims: who signed in and how surely, and for which organisation a client acts.

Which claim carries what differs between issuers, so a policy names the claims. A claim that is
there and malformed refuses the token: it is never taken for absent (DOMAIN: "validate and verify").
Whether the person or organisation exists, and is who the request is about, is not asked here.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from portvakt.errors import ConfigurationError, Problem, Refused
from portvakt.policy.accepted_persons import AcceptedPersons, KindNotAccepted
from portvakt.policy.claims import Claims
from portvakt.policy.identifiers import (
    ForeignIdentifier,
    HprNumber,
    MalformedIdentifier,
    OrganisationNumber,
    PersonNumber,
    parse_hpr_number,
    parse_iso6523_claim,
    parse_organisation_number,
)
from portvakt.refusal import Code

__all__ = [
    "MAX_LEVEL",
    "NO_IDENTITY",
    "Identity",
    "IdentityClaims",
    "Organisation",
    "read_identity",
]

#: Security levels are 1 to this; 0 demands none.
MAX_LEVEL: Final = 4

#: Characters of a client's name or tenancy: they are shown and compared, never parsed.
MAX_TEXT: Final = 256

#: 9999-12-31T23:59:59Z, as for the other times of a token.
MAX_TIME: Final = 253402300799

Names = tuple[str, ...]


class Organisation(Struct, frozen=True, gc=False):
    """For which organisation a client acts. What is not said is None.

    Attributes:
        parent: the main unit that is answerable.
        child: the sub-unit. A multi-tenant client states it itself, and no issuer vouches for it:
            whether it belongs to the parent is a rule's or a register's to check.
        supplier: who acts on the parent's behalf.
    """

    parent: OrganisationNumber | None = None
    child: OrganisationNumber | None = None
    supplier: OrganisationNumber | None = None


class IdentityClaims(Struct, frozen=True, kw_only=True):
    """Which claims of one issuer carry what. An empty tuple: the issuer does not say it.

    Of several names one is there; where two are, they must say the same, each in its own words.

    Attributes:
        security_level: how surely a person was identified.
        levels: the values of that claim on one ordered scale, where 4 is the highest.
        pid: the person's national identity number.
        hpr_number: the number in the register of health personnel.
        organisation_parent: the main unit.
        organisation_child: the sub-unit.
        organisation_supplier: the supplier.
        iso6523: whether organisations are objects with ``authority`` and ``ID``.
        client_name: what the client is called; free text.
        tenancy: whether the client serves several organisations.
        authenticated_at: when the person signed in.
        trust_framework: what a client says of a person's work with a patient, as an object.
        persons: which person identifiers are accepted.
        strict_check_digits: whether organisation numbers need a right check digit.

    Raises:
        ConfigurationError: with every flaw, if names are no names, or levels not on the scale.
    """

    security_level: Names = ()
    levels: Mapping[str, int] = {}
    pid: Names = ()
    hpr_number: Names = ()
    organisation_parent: Names = ()
    organisation_child: Names = ()
    organisation_supplier: Names = ()
    iso6523: bool = False
    client_name: Names = ()
    tenancy: Names = ()
    authenticated_at: Names = ()
    trust_framework: Names = ()
    persons: AcceptedPersons = AcceptedPersons()
    strict_check_digits: bool = True

    def __post_init__(self) -> None:
        """Refuse to exist when a claim could be looked for under no name."""
        problems = tuple(self._problems())
        if problems:
            raise ConfigurationError(problems)

    def _problems(self) -> Iterator[Problem]:
        for setting in _NAMING:
            names: object = getattr(self, setting)
            # The characters of a string would be looked for one by one, and never be there.
            if type(names) is not tuple or not all(type(name) is str and name for name in names):
                yield Problem(setting, "must be a tuple of names")
        if not all(
            type(value) is str and type(level) is int and 1 <= level <= MAX_LEVEL
            for value, level in self.levels.items()
        ):
            yield Problem("levels", f"must be whole numbers from 1 to {MAX_LEVEL}, by text")
        if bool(self.levels) != bool(self.security_level):
            yield Problem("levels", "are needed with a claim for security_level, and only then")
        for setting in ("iso6523", "strict_check_digits"):
            if type(getattr(self, setting)) is not bool:
                yield Problem(setting, "must be True or False")

    @property
    def names(self) -> tuple[str, ...]:
        """Every claim that may be there."""
        return tuple(name for setting in _NAMING for name in getattr(self, setting))

    @property
    def carried(self) -> frozenset[str]:
        """Which of ``security_level``, ``pid``, ``hpr_number``, ``organisation`` may be there."""
        named = {
            "security_level": self.security_level,
            "pid": self.pid,
            "hpr_number": self.hpr_number,
            "organisation": (
                self.organisation_parent + self.organisation_child + self.organisation_supplier
            ),
        }
        return frozenset(name for name, claims in named.items() if claims)


_NAMING: Final = (
    "security_level",
    "pid",
    "hpr_number",
    "organisation_parent",
    "organisation_child",
    "organisation_supplier",
    "client_name",
    "tenancy",
    "authenticated_at",
    "trust_framework",
)


class Identity(Struct, frozen=True, gc=False):
    """What one token says of persons and organisations, each well formed. None: it does not say.

    Attributes:
        security_level: from 1, or 0 where the token names none, to 4.
        pid: the person's identifier.
        hpr_number: the number in the register of health personnel.
        organisation: for whom the client acts.
        client_name: what the client is called; not for deciding anything.
        tenancy: ``single-tenant``, ``multi-tenant`` or what else the issuer says.
        authenticated_at: when the person signed in, in seconds since 1970.
        trust_framework: Norsk Helsenett's *tillitsrammeverk*: ``practitioner``,
            ``care_relationship`` and ``patients``, as the client states them. Nothing inside is
            checked, and it may hold personal numbers.
    """

    security_level: int = 0
    pid: PersonNumber | ForeignIdentifier | None = None
    hpr_number: HprNumber | None = None
    organisation: Organisation | None = None
    client_name: str | None = None
    tenancy: str | None = None
    authenticated_at: float | None = None
    trust_framework: Claims | None = None

    # It is about a person: neither repr shows it.
    def __repr__(self) -> str:
        """Show the level only."""
        return f"Identity(security_level={self.security_level})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("security_level", self.security_level)]


#: What is known of the holder of a token whose issuer says nothing.
NO_IDENTITY: Final = Identity()


def read_identity(members: Mapping[str, Any], claims: IdentityClaims) -> Identity:
    """Read what a token says of persons and organisations.

    Does not check that anything is there, nor that it is true.

    Parameters:
        members: the claims of a verified token.
        claims: which of them carry what.

    Raises:
        Refused: ``identity_malformed``, or ``identity_refused`` for a kind of person number that
            the policy does not accept.
    """
    levels = claims.levels
    return Identity(
        _one(members, claims.security_level, lambda value: _level(value, levels)) or 0,
        _one(members, claims.pid, claims.persons.read),
        _one(members, claims.hpr_number, parse_hpr_number),
        _organisation(members, claims),
        _one(members, claims.client_name, _text),
        _one(members, claims.tenancy, _text),
        _one(members, claims.authenticated_at, _time),
        _one(members, claims.trust_framework, _object),
    )


def _one(members: Mapping[str, Any], names: Names, parse: Callable[[Any], Any]) -> Any:
    """Return what the one of these claims that is there says; None if none is."""
    found = None
    for name in names:
        if name not in members:
            continue
        try:
            value = parse(members[name])
        except KindNotAccepted as flaw:
            raise Refused(Code.IDENTITY_REFUSED, f"{name}: {flaw}") from None
        except MalformedIdentifier as flaw:
            raise Refused(Code.IDENTITY_MALFORMED, f"{name}: {flaw}") from None
        if found is not None and found != value:
            raise Refused(Code.IDENTITY_MALFORMED, f"{name} contradicts {names[0]}, its alias")
        found = value
    return found


def _level(value: Any, levels: Mapping[str, int]) -> int:
    level = levels.get(value) if type(value) is str else None
    if level is None:
        raise MalformedIdentifier("no level that is known here")
    return level


def _organisation(members: Mapping[str, Any], claims: IdentityClaims) -> Organisation | None:
    strict = claims.strict_check_digits
    read = parse_iso6523_claim if claims.iso6523 else parse_organisation_number

    def number(value: Any) -> OrganisationNumber:
        return read(value, strict_check_digits=strict)

    parent = _one(members, claims.organisation_parent, number)
    child = _one(members, claims.organisation_child, number)
    supplier = _one(members, claims.organisation_supplier, number)
    if parent is None and child is None and supplier is None:
        return None
    return Organisation(parent, child, supplier)


def _text(value: Any) -> str:
    if type(value) is not str or len(value) > MAX_TEXT or not value.isprintable():
        raise MalformedIdentifier("not a short text")
    return value


def _time(value: Any) -> float:
    if (type(value) is not int and type(value) is not float) or not 0 <= value <= MAX_TIME:
        raise MalformedIdentifier("not a time")
    return value


def _object(value: Any) -> Claims:
    if type(value) is not dict or not value:
        raise MalformedIdentifier("not an object that says something")
    return Claims(value)
