"""What one route demands of a token, compiled once."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypedDict

from msgspec import Struct
from msgspec.structs import asdict

from portvakt.errors import ConfigurationError, Problem, said_of
from portvakt.http.request import HttpRequest
from portvakt.policy.access_token import AccessToken
from portvakt.policy.identity import MAX_LEVEL
from portvakt.policy.rules import MatchesRequest, Rule, is_rule
from portvakt.policy.sender_constraint import SENDER_CONSTRAINTS, SenderConstraint
from portvakt.policy.sensitivity import Sensitivity

__all__ = ["IDENTITIES", "MAX_LEVEL", "Check", "Demands", "Requirement"]

#: RFC 6749 section 3.3: visible ASCII without quote and backslash.
_SCOPE_TOKEN: Final = re.compile(r"[!#-\[\]-~]+")

_NUMBER: Final = re.compile(r"[0-9]{9}")

#: inspect.CO_COROUTINE, without the time that importing inspect takes.
_COROUTINE: Final = 0x80

#: What a route can require that a token says of persons and organisations.
IDENTITIES: Final = ("pid", "hpr_number", "organisation", "organisation_child", "supplier")

Check = Callable[[AccessToken, HttpRequest], bool]
"""A rule of one's own: True admits, False refuses. It must neither wait nor change anything."""


class Demands(TypedDict, total=False):
    """What can be demanded beside scopes, by name: the arguments of :meth:`Requirement.of`."""

    any_scopes: Iterable[str]
    security_level: int
    max_authentication_age: float | None
    require: Iterable[str]
    clients: Iterable[str] | None
    parents: Iterable[str] | None
    suppliers: Iterable[str] | None
    children: Mapping[str, Iterable[str]] | None
    rules: Iterable[Rule]
    matches_request: Mapping[str, str] | None
    checks: Iterable[Check]
    sensitivity: str | Sensitivity | None
    registers: Iterable[str]
    unsafe_on_unavailable: bool
    sender_constraint: str | SenderConstraint | None
    require_encryption: bool
    unsafe_on_stale: bool


class Requirement(Struct, frozen=True, kw_only=True):
    """What a token must carry for one route. :meth:`of` compiles it.

    Attributes:
        scopes: all of them are needed; none means that any valid token will do.
        any_scopes: at least one of them is needed; none means that none is.
        challenge: the scopes as one string, as the challenge names them.
        security_level: the lowest level that will do; 0 demands none.
        max_authentication_age: how many seconds ago the person may have signed in; None: any time.
        identities: which of :data:`IDENTITIES` must be there.
        clients: the only clients that will do, by ``client_id``; None: every client.
        parents: the only organisations that will do; None: every one.
        suppliers: the only suppliers that will do; None: every one. Without a supplier in the token
            nobody acts for anybody, so there is nothing to refuse.
        children: by parent, the only sub-units that will do; None: every one.
        rules: rules about claims and about the request; all must hold.
        checks: rules of one's own; all must return True.
        sensitivity: how sensitive the data is; None: what the policy says of the API.
        registers: the names of the registers that must know whom the token speaks of.
        unsafe_on_unavailable: whether a register that cannot be asked is passed over.
        sender_constraint: how its sender must prove that it is theirs; None: nothing is said here.
        require_encryption: whether only a token will do that came encrypted, or says nothing by
            itself.
        unsafe_on_stale: whether a token is admitted though nobody knows if it was revoked lately.
        max_lifetime: what *sensitivity* makes of it: seconds.
        bound: likewise: whether a token that anyone can use who has it will not do.
        asked_anew: likewise: whether an issuer is asked about a reference token each time.
        keys_max_age: likewise: how old an issuer's keys may be, in seconds.
        organisational: whether there is anything to check about organisations.
        ruled: whether there are rules or checks.
        further: whether there is anything to check beside scopes, lifetime and level.
    """

    scopes: frozenset[str]
    challenge: str
    any_scopes: frozenset[str] = frozenset()
    security_level: int = 0
    max_authentication_age: float | None = None
    identities: tuple[str, ...] = ()
    clients: frozenset[str] | None = None
    parents: frozenset[str] | None = None
    suppliers: frozenset[str] | None = None
    children: Mapping[str, frozenset[str]] | None = None
    rules: tuple[Rule, ...] = ()
    checks: tuple[Check, ...] = ()
    sensitivity: Sensitivity | None = None
    registers: tuple[str, ...] = ()
    unsafe_on_unavailable: bool = False
    sender_constraint: SenderConstraint | None = None
    require_encryption: bool = False
    unsafe_on_stale: bool = False
    max_lifetime: float = math.inf
    bound: bool = False
    asked_anew: bool = False
    keys_max_age: float = math.inf
    organisational: bool = False
    ruled: bool = False
    further: bool = False

    def __post_init__(self) -> None:
        """Refuse to exist when what follows from the demands does not: it decides what is asked."""
        stated, constraint = asdict(self), self.sender_constraint
        # Compared by identity: a mere word would be none of the constraints.
        sound = constraint is None or isinstance(constraint, SenderConstraint)
        if not sound or any(stated[name] != value for name, value in _following(stated).items()):
            raise _flaw("", "is not a requirement that Requirement.of compiled")

    @classmethod
    def of(
        cls,
        scopes: Iterable[str] = (),
        *,
        any_scopes: Iterable[str] = (),
        security_level: int = 0,
        max_authentication_age: float | None = None,
        require: Iterable[str] = (),
        clients: Iterable[str] | None = None,
        parents: Iterable[str] | None = None,
        suppliers: Iterable[str] | None = None,
        children: Mapping[str, Iterable[str]] | None = None,
        rules: Iterable[Rule] = (),
        matches_request: Mapping[str, str] | None = None,
        checks: Iterable[Check] = (),
        sensitivity: str | Sensitivity | None = None,
        registers: Iterable[str] = (),
        unsafe_on_unavailable: bool = False,
        sender_constraint: str | SenderConstraint | None = None,
        require_encryption: bool = False,
        unsafe_on_stale: bool = False,
    ) -> "Requirement":
        """Compile a requirement.

        Parameters:
            scopes: the scopes of which all are needed, each one word.
            any_scopes: scopes of which one is enough.
            security_level: the lowest level that will do, 1 to 4; 0 demands none.
            max_authentication_age: seconds since the person signed in, at the most.
            require: of ``pid``, ``hpr_number``, ``organisation``, ``organisation_child`` and
                ``supplier``, what the token must say.
            clients: the only clients that will do.
            parents: the only organisations that will do, by number.
            suppliers: the only suppliers that may act for others, by number.
            children: by an organisation's number, the only sub-units of it that will do.
            rules: rules about claims and the request; see :mod:`portvakt.policy.rules`.
            matches_request: by what the token says (``pid``, …), where the request must name the
                same: ``path.NAME``, ``query.NAME`` or ``header.NAME``.
            checks: functions of your own: ``(token, request)`` → True to admit.
            sensitivity: ``low``, ``normal`` or ``high``.
            registers: the names of registers of the policy that are to be asked.
            unsafe_on_unavailable: pass over a register that cannot be asked.
            sender_constraint: ``none``, ``dpop`` or ``mtls``.
            require_encryption: refuse a token that anyone on its way could read.
            unsafe_on_stale: admit when it is not known what was revoked lately.

        Raises:
            ConfigurationError: if a value could never be met, or a string is given where a list is
                meant.
        """
        every = _scopes("scopes", scopes)
        one_of = _scopes("any_scopes", any_scopes)
        if type(security_level) is not int or not 0 <= security_level <= MAX_LEVEL:
            raise _flaw("security_level", f"must be a whole number from 0 to {MAX_LEVEL}")
        if max_authentication_age is not None and (
            type(max_authentication_age) not in (int, float)
            or not 0 < max_authentication_age < 10**9
        ):
            raise _flaw("max_authentication_age", "must be a number of seconds, and more than none")
        switches = {
            "unsafe_on_unavailable": unsafe_on_unavailable,
            "require_encryption": require_encryption,
            "unsafe_on_stale": unsafe_on_stale,
        }
        for name, value in switches.items():
            if type(value) is not bool:
                raise _flaw(name, "must be True or False")
        identities = _listed("require", require)
        for name in identities:
            if name not in IDENTITIES:
                what = said_of(name, f"is not known; known are {', '.join(IDENTITIES)}")
                raise _flaw("require", what)
        level = None if sensitivity is None else _sensitivity(sensitivity)
        matches = tuple(MatchesRequest(*one) for one in (matches_request or {}).items())
        demands: dict[str, Any] = {
            "scopes": frozenset(every),
            "challenge": " ".join(dict.fromkeys((*every, *one_of))),
            "any_scopes": frozenset(one_of),
            "security_level": security_level,
            "max_authentication_age": max_authentication_age,
            "identities": identities,
            "clients": _some("clients", clients),
            "parents": _numbers("parents", parents),
            "suppliers": _numbers("suppliers", suppliers),
            "children": None if children is None else _units(children),
            "rules": (*_each("rules", rules, "rules", is_rule), *matches),
            "checks": _each("checks", checks, "functions that do not wait", _is_check),
            "sensitivity": level,
            "registers": _listed("registers", registers),
            "sender_constraint": _constraint(sender_constraint),
            **switches,
        }
        return cls(**demands, **_following(demands))


def _following(demands: Mapping[str, Any]) -> dict[str, Any]:
    """Return what follows from demands, so that most requests are asked little."""
    level = demands["sensitivity"]
    organisations = (demands[name] for name in ("parents", "suppliers", "children"))
    organisational = any(listed is not None for listed in organisations)
    ruled = bool(demands["rules"] or demands["checks"])
    others = bool(demands["identities"]) or any(
        demands[name] is not None for name in ("max_authentication_age", "clients")
    )
    return {
        "max_lifetime": math.inf if level is None else level.max_lifetime,
        "bound": level is not None and level.bound,
        "asked_anew": level is not None and level.asked_anew,
        "keys_max_age": math.inf if level is None else level.keys_max_age,
        "organisational": organisational,
        "ruled": ruled,
        "further": organisational or ruled or others,
    }


def _flaw(place: str, message: str) -> ConfigurationError:
    return ConfigurationError([Problem(place, message)])


def _each(
    place: str, values: Iterable[Any], what: str, fits: Callable[[Any], bool]
) -> tuple[Any, ...]:
    """Return what was given, in its order, if each of it fits."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise _flaw(place, f"must be a list of {what}")
    listed = tuple(values)
    if not all(map(fits, listed)):
        raise _flaw(place, f"must be a list of {what}")
    return listed


def _is_text(value: object) -> bool:
    return type(value) is str and value != ""


def _is_check(value: object) -> bool:
    # What a coroutine function returns is not True, so it would refuse everyone.
    code = getattr(value, "__code__", None)
    return callable(value) and not getattr(code, "co_flags", 0) & _COROUTINE


def _listed(place: str, values: Iterable[str]) -> tuple[str, ...]:
    texts = _each(place, values, "texts, none of them empty", _is_text)
    return tuple(dict.fromkeys(texts))


def _some(place: str, values: Iterable[str] | None) -> frozenset[str] | None:
    """Return the listed values; None where there is no list. An empty one admits no one."""
    if values is None:
        return None
    listed = _listed(place, values)
    if not listed:
        raise _flaw(place, "must list at least one; empty does not mean any")
    return frozenset(listed)


def _numbers(place: str, values: Iterable[str] | None) -> frozenset[str] | None:
    """Return listed organisation numbers. In no token is one written otherwise."""
    numbers = _some(place, values)
    if not all(map(_NUMBER.fullmatch, numbers or ())):
        raise _flaw(place, "must be organisation numbers: nine digits each")
    return numbers


def _units(children: Mapping[str, Iterable[str]]) -> Mapping[str, frozenset[str]]:
    _numbers("children", children)
    return MappingProxyType(
        {parent: _numbers("children", listed) or frozenset() for parent, listed in children.items()}
    )


def _scopes(place: str, values: Iterable[str]) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(_each(place, values, "strings", lambda one: type(one) is str)))
    for word in words:
        if not _SCOPE_TOKEN.fullmatch(word):
            what = said_of(word, "is not one scope: no spaces, quotes or backslashes")
            raise _flaw(place, what)
    return words


def _sensitivity(value: Any) -> Sensitivity:
    try:
        return Sensitivity(value)
    except ValueError:
        names = ", ".join(one.value for one in Sensitivity)
        raise _flaw("sensitivity", f"must be one of {names}") from None


def _constraint(value: Any) -> SenderConstraint | None:
    if value is None or isinstance(value, SenderConstraint):
        return value
    # No demand that is written down takes whatever comes: "either" is for who judges twice.
    if value not in SENDER_CONSTRAINTS:
        raise _flaw("sender_constraint", f"must be one of {', '.join(SENDER_CONSTRAINTS)}")
    return SenderConstraint(value)
