"""Rules about claims, and about a claim and the request: each holds, or says why not.

A rule is compiled when the policy is, and asked of every request after the token was verified. None
of them is ever true of nothing: an empty list is a mistake in the policy, not "any".
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import unquote

from msgspec import Struct

from portvakt.errors import ConfigurationError, Problem, said_of
from portvakt.http.request import HttpRequest
from portvakt.policy.access_token import AccessToken

__all__ = [
    "MATCHABLE",
    "AllOf",
    "AnyOf",
    "AtLeast",
    "Equals",
    "MatchesRequest",
    "OneOf",
    "Parameters",
    "Present",
    "Rule",
    "is_rule",
]

#: The parameters of the path, by name, still percent-encoded.
Parameters = Mapping[str, str]

Scalar = str | int | float | bool
#: What is as good as absent.
_EMPTY: Final[tuple[object, ...]] = (None, "", [], {})
_SCALARS: Final = (str, int, float, bool)


class Rule(Protocol):
    """Something that must hold of a token and the request that carries it."""

    def objection(
        self, token: AccessToken, request: HttpRequest, parameters: Parameters
    ) -> str | None:
        """Return why it does not hold, for the log and without any value; None if it holds."""
        ...


class _ClaimRule(Struct, frozen=True):
    """A rule about one claim.

    Attributes:
        claim: the name of the claim; several names lead into an object, as
            ``("realm_access", "roles")``.
    """

    claim: str | tuple[str, ...]

    def __post_init__(self) -> None:
        names: object = (self.claim,) if isinstance(self.claim, str) else self.claim
        # A list could be changed behind the policy's back.
        if type(names) is not tuple or not names or not all(map(_is_name, names)):
            raise ConfigurationError([Problem("claim", "must name a claim")])

    @property
    def name(self) -> str:
        """The claim's name, for messages."""
        return self.claim if isinstance(self.claim, str) else ".".join(self.claim)

    def _value(self, token: AccessToken) -> Any:
        """Return the claim's value as it was sent; None if it is not there."""
        # The mapping itself: it is read and not kept.
        value: Any = token._members  # noqa: SLF001  of the same room
        for name in (self.claim,) if isinstance(self.claim, str) else self.claim:
            value = value.get(name) if type(value) is dict else None
        return value


class Present(_ClaimRule, frozen=True):
    """The claim is there, and is not empty: not null, ``""``, ``[]`` or ``{}``."""

    def objection(
        self, token: AccessToken, request: HttpRequest, parameters: Parameters
    ) -> str | None:
        """Say why it does not hold; None if it does."""
        value = self._value(token)
        return f"{self.name} is missing or empty" if value in _EMPTY else None


class Equals(_ClaimRule, frozen=True):
    """The claim, or one element of it where it is an array, is this value, of the same type.

    Attributes:
        value: a text, number or truth value.
    """

    value: Scalar

    def __post_init__(self) -> None:
        """Refuse what nothing can equal."""
        super().__post_init__()
        if not _is_scalar(self.value):
            raise ConfigurationError([Problem("equals", "must be text, a number, true or false")])

    def objection(
        self, token: AccessToken, request: HttpRequest, parameters: Parameters
    ) -> str | None:
        """Say why it does not hold; None if it does."""
        if any(_same(one, self.value) for one in _elements(self._value(token))):
            return None
        return f"{self.name} is not the value that is demanded"


class OneOf(_ClaimRule, frozen=True):
    """The claim, or one element of it where it is an array, is one of these values.

    Attributes:
        values: texts, numbers or truth values; at least one.
    """

    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        """Refuse what nothing can fulfil."""
        super().__post_init__()
        if type(self.values) is not tuple or not self.values:
            raise ConfigurationError(
                [Problem("one_of", "must list at least one value; empty does not mean any")]
            )
        if not all(map(_is_scalar, self.values)):
            raise ConfigurationError([Problem("one_of", "must list texts, numbers, true or false")])

    def objection(
        self, token: AccessToken, request: HttpRequest, parameters: Parameters
    ) -> str | None:
        """Say why it does not hold; None if it does."""
        found = _elements(self._value(token))
        if any(_same(one, value) for one in found for value in self.values):
            return None
        return f"{self.name} is none of the values that are demanded"


class AtLeast(_ClaimRule, frozen=True):
    """The claim is a number that is at least this one. A text of digits is no number.

    Attributes:
        least: the smallest number that will do.
    """

    least: float

    def __post_init__(self) -> None:
        """Refuse what is no number."""
        super().__post_init__()
        if type(self.least) not in (int, float) or not _is_scalar(self.least):
            raise ConfigurationError([Problem("at_least", "must be a number")])

    def objection(
        self, token: AccessToken, request: HttpRequest, parameters: Parameters
    ) -> str | None:
        """Say why it does not hold; None if it does."""
        value = self._value(token)
        if type(value) in (int, float) and value >= self.least:
            return None
        return f"{self.name} is not a number of at least {self.least}"


class _Combination(Struct, frozen=True):
    """Several rules as one.

    Attributes:
        rules: the rules; at least one.
    """

    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        """Refuse to be true, or false, of nothing."""
        name, rules = _NAMES[type(self)], self.rules
        # A generator would be asked once, and be empty for every request after the first.
        if type(rules) is not tuple or not all(map(is_rule, rules)):
            raise ConfigurationError([Problem(name, "must be a tuple of rules")])
        if not rules:
            raise ConfigurationError(
                [Problem(name, "must list at least one rule; empty decides nothing")]
            )


class AllOf(_Combination, frozen=True):
    """Every one of the rules holds."""

    def objection(
        self, token: AccessToken, request: HttpRequest, parameters: Parameters
    ) -> str | None:
        """Say why it does not hold; None if it does."""
        for rule in self.rules:
            objection = rule.objection(token, request, parameters)
            if objection is not None:
                return objection
        return None


class AnyOf(_Combination, frozen=True):
    """At least one of the rules holds."""

    def objection(
        self, token: AccessToken, request: HttpRequest, parameters: Parameters
    ) -> str | None:
        """Say why it does not hold; None if it does."""
        objections = []
        for rule in self.rules:
            objection = rule.objection(token, request, parameters)
            if objection is None:
                return None
            objections.append(objection)
        return "none of these holds: " + "; ".join(objections)


_NAMES: Final[dict[type, str]] = {AllOf: "all_of", AnyOf: "any_of"}


def is_rule(value: object) -> bool:
    """Whether something can be asked whether it holds: a rule, and not the class of one."""
    return not isinstance(value, type) and callable(getattr(value, "objection", None))


def _is_name(value: object) -> bool:
    return type(value) is str and value != ""


def _is_scalar(value: object) -> bool:
    # No claim equals or reaches a number that is none or has no end.
    return type(value) in _SCALARS and not (type(value) is float and not math.isfinite(value))


def _elements(value: Any) -> Sequence[Any]:
    return value if type(value) is list else (value,)


def _same(one: Any, other: Scalar) -> bool:
    # In Python, True equals 1; in a token they are two things.
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _pid(token: AccessToken) -> str | None:
    return None if token.pid is None else token.pid.number


def _hpr_number(token: AccessToken) -> str | None:
    return None if token.hpr_number is None else token.hpr_number.number


def _unit(name: str) -> Any:
    def number(token: AccessToken) -> str | None:
        found = None if token.organisation is None else getattr(token.organisation, name)
        return None if found is None else str(found.number)

    return number


#: What of a token can be compared with a request, and how it is written.
MATCHABLE: Final[dict[str, Any]] = {
    "pid": _pid,
    "hpr_number": _hpr_number,
    "organisation": _unit("parent"),
    "organisation_child": _unit("child"),
    "supplier": _unit("supplier"),
    "subject": lambda token: token.subject,
    "client_id": lambda token: token.client_id,
}

_SOURCES: Final = ("path", "query", "header")


class MatchesRequest(Struct, frozen=True):
    """What a token says is exactly what the request names: someone acts for themselves alone.

    A value that the request does not name, or names twice, matches nothing; under a name that some
    parser takes for the same, it is named too. HPR numbers are compared without leading zeros.

    Attributes:
        identity: one of :data:`MATCHABLE`.
        source: where the request names it: ``path.NAME``, ``query.NAME`` or ``header.NAME``.
    """

    identity: str
    source: str

    def __post_init__(self) -> None:
        """Refuse what can never match."""
        if self.identity not in [*MATCHABLE]:
            known = ", ".join(MATCHABLE)
            what = said_of(self.identity, f"cannot be compared; known are {known}")
            raise ConfigurationError([Problem("matches_request", what)])
        kind, dot, name = str(self.source).partition(".")
        if kind not in _SOURCES or not dot or not name:
            raise ConfigurationError(
                [
                    Problem(
                        f"matches_request.{self.identity}",
                        "must be path.NAME, query.NAME or header.NAME",
                    )
                ]
            )

    def objection(
        self, token: AccessToken, request: HttpRequest, parameters: Parameters
    ) -> str | None:
        """Say why it does not hold; None if it does."""
        claimed = MATCHABLE[self.identity](token)
        if claimed is None:
            return f"the token has no {self.identity} to compare with {self.source}"
        kind, _, name = self.source.partition(".")
        named = _READERS[kind](name, request, parameters)
        if named is None:
            return f"the request does not name {self.source} exactly once"
        if self.identity == "hpr_number":
            named = named.lstrip("0")
        return None if named == claimed else f"{self.identity} is not what {self.source} names"


def _from_path(name: str, _: HttpRequest, parameters: Parameters) -> str | None:
    value = parameters.get(name)
    return None if value is None else _decoded(value)


def _from_query(name: str, request: HttpRequest, _: Parameters) -> str | None:
    query = request.url.partition("?")[2]
    # Some frameworks split at semicolons too, and some take a fragment for a part of the query:
    # what two parsers read in two ways names nothing.
    if ";" in query or "#" in query:
        return None
    parts = (part.partition("=") for part in query.replace("+", " ").split("&"))
    pairs = [(_decoded(key), value) for key, _, value in parts]
    meant = _spoken(name)
    found = [(key, value) for key, value in pairs if key is None or _spoken(key) == meant]
    return _decoded(found[0][1]) if len(found) == 1 and found[0][0] == name else None


def _from_header(name: str, request: HttpRequest, _: Parameters) -> str | None:
    lowered, length = name.lower(), len(name)
    # WSGI takes X_Pid for X-Pid, and CGI any mark for any other: then two of them are there.
    meant = _MARK.sub("-", lowered)
    found = [
        (key, value)
        for key, value in request.headers
        if len(key) == length and _MARK.sub("-", key.lower()) == meant
    ]
    return found[0][1] if len(found) == 1 and found[0][0].lower() == lowered else None


_READERS: Final = {"path": _from_path, "query": _from_query, "header": _from_header}
_MARK: Final = re.compile(r"[^a-z0-9]")


#: What PHP leaves out of the name of a query parameter, or takes for another mark.
_UNSPOKEN: Final = re.compile(r"[\[\0].*|[\W_]+", re.DOTALL)


def _spoken(name: str) -> str:
    """Return the name of a query parameter as whoever is least particular about names reads it.

    ASP.NET takes PID for pid; PHP takes "pid[]" and " pid" for it, and p.id for p_id.
    """
    return _UNSPOKEN.sub("", name.casefold())


def _decoded(text: str) -> str | None:
    """Return what percent-encoded text says; None if that is no UTF-8, and so read in many ways."""
    if "%" not in text:
        return text
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return None
