"""Which rule judges a request: an exact match, or a refusal.

Paths are never normalised. A path that an application might read as another one (dots, encoded
slashes, semicolons) simply equals no rule, and what equals no rule is refused (HTTP-18).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import cache
from typing import Final
from urllib.parse import quote, unquote

from msgspec import Struct

from portvakt.errors import ConfigurationError, Problem, Refused, named, said_of
from portvakt.http.request import HttpRequest
from portvakt.http.response import Response
from portvakt.http.url import path_of
from portvakt.policy.issuer import is_words
from portvakt.policy.requirement import Requirement
from portvakt.policy.rules import MatchesRequest
from portvakt.refusal import Code

__all__ = ["Route", "Routes", "parameters_of", "path_of"]


class Route(Struct, frozen=True, kw_only=True):
    """One rule: which requests it is for, and what it demands of them.

    Attributes:
        path: an exact path; or a template: ``/journal/{patient}`` takes one segment,
            ``/static/{file:path}`` the rest of the path. None stands for every path.
        methods: the methods it is for; None stands for every method.
        public: whether it admits everyone, without a token.
        requirement: what it demands of a token.
        answer: what to answer instead of the API; None: the API answers.
    """

    path: str | None
    methods: frozenset[str] | None
    public: bool
    requirement: Requirement
    answer: Response | None = None


# One character of a path (RFC 3986 section 3.3), plain or encoded. Encoded it must not be one that
# some server decodes into structure: a slash, backslash, dot, semicolon, percent sign or control.
_CHARACTER: Final = (
    r"(?:[A-Za-z0-9\-._~!$&'()*+,=:@]|%(?!2[eEfF5]|3[bB]|5[cC]|[01]|7[fF])[0-9A-Fa-f]{2})"
)
_SEGMENT: Final = rf"(?!\.){_CHARACTER}+"
_TAIL: Final = rf"{_SEGMENT}(?:/{_SEGMENT})*"
_PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(:path)?\}")
# What a rule writes out may start with a dot, as /.well-known does; a segment of dots means others.
_LITERAL: Final = re.compile(rf"/|(?:/(?!\.+(?:/|\Z)){_CHARACTER}+)+/?")
#: What a path holds without encoding, beside letters and digits.
_PLAIN: Final = "/-._~!$&'()*+,=:@"
_METHOD: Final = re.compile(r"[A-Z]+(?:-[A-Z]+)*")
#: Where a host keeps what is said of it (RFC 8615).
_WELL_KNOWN: Final = "/.well-known/"


def parameters_of(route: Route | None, request: HttpRequest) -> Mapping[str, str]:
    """Return the parameters of a request's path, by name, as they were written.

    Parameters:
        route: the rule that is for the request, if there is one.
        request: what was received. What a framework found in the path is added to what the rule's
            template finds there. What the two find under one name and differently is left out: the
            one would be judged, and the other served.
    """
    routed = request.path_parameters
    found = {}
    if route is not None and route.path is not None and "{" in route.path:
        match = _compile_named(route.path).fullmatch(path_of(request.url))
        if match is not None:
            found = match.groupdict()
    if not routed:
        return found
    every = dict(routed)
    apart = {
        name
        for name, value in (*routed, *found.items())
        if unquote(every.setdefault(name, value)) != unquote(value)
    }
    return {name: value for name, value in every.items() if name not in apart}


_ANY_TOKEN: Final = Requirement.of()


class Routes:
    """The rules of one API, compiled. Immutable.

    Parameters:
        rules: each for its own requests; none means that every request is judged alike.
        demand: what a request must carry that is judged by no rule of its own: every request of a
            policy without rules, and one for which the API states a requirement itself.

    Attributes:
        rules: the rules.
        answered: those beside them that never reach the API; see :meth:`answering`.

    Raises:
        ConfigurationError: if a path is malformed, or two rules claim the same request.
    """

    __slots__ = ("_everywhere", "_exact", "_readings", "_templates", "answered", "rules")

    def __init__(self, rules: Iterable[Route] = (), demand: Requirement = _ANY_TOKEN) -> None:
        self.rules: Final = tuple(rules)
        self.answered: tuple[Route, ...] = ()
        self._everywhere = Route(path=None, methods=None, public=False, requirement=demand)
        self._exact: dict[str, list[Route]] = {}
        self._templates: list[tuple[re.Pattern[str], Route]] = []
        self._readings: list[tuple[re.Pattern[str], Route]] = []
        problems = list(_problems(self.rules))
        if problems:
            raise ConfigurationError(problems)
        for rule in self.rules:
            path = rule.path or ""  # Never None here: that is one of the problems.
            self._readings.append((_read_generously(path), rule))
            if "{" in path:
                self._templates.append((_compile(path), rule))
            else:
                self._exact.setdefault(path, []).append(rule)

    def answering(self, answered: Iterable[Route]) -> "Routes":
        """Return the same rules, and beside them some that never reach the API.

        They are none of :attr:`rules`: where there are no others, every other request is judged
        alike. A rule for the same path and method comes first.

        Parameters:
            answered: public rules with an answer, each for one exact path below ``/.well-known/``.

        Raises:
            ConfigurationError: if one is not.
        """
        answered = tuple(answered)
        exact = {path: [*rules] for path, rules in self._exact.items()}
        for rule in answered:
            path = rule.path or ""
            if rule.answer is None or not rule.public or not path.startswith(_WELL_KNOWN):
                raise ConfigurationError(
                    "what the guard itself answers has an answer, is public, and lies below "
                    f"{_WELL_KNOWN}"
                )
            exact.setdefault(path, []).append(rule)
        routes = copy(self)
        routes.answered = answered
        routes._exact = exact  # noqa: SLF001  of a copy that nobody else has seen
        return routes

    def match(self, request: HttpRequest, requirement: Requirement | None = None) -> Route:
        """Find the one rule for a request.

        Parameters:
            request: what was received.
            requirement: what the API itself demands; it stands in where no rule is for the request.

        Raises:
            Refused: ``route_unknown`` if there are rules, none for this request, and no
                requirement; or if the path, once decoded, could be one that a rule is for.
        """
        # Without rules the path matters to what is answered alone, and to look for that is cheap.
        if not self.rules and not (self.answered and _WELL_KNOWN in request.url):
            return self._everywhere
        rule = self.find(request)
        if rule is not None:
            return rule
        if requirement is not None and not self._is_meant(request.method, path_of(request.url)):
            return self._everywhere
        raise Refused(Code.ROUTE_UNKNOWN, "no rule is for this method and path")

    def find(self, request: HttpRequest) -> Route | None:
        """Return the one rule that is for a request, or None; without rules, what holds for all."""
        if not self.rules and not self.answered:
            return self._everywhere
        path = path_of(request.url)
        method = request.method
        for rule in self._exact.get(path, ()):
            if rule.methods is None or method in rule.methods:
                return rule
        for pattern, rule in self._templates:
            if (rule.methods is None or method in rule.methods) and pattern.fullmatch(path):
                # Decoded, /fhir/%24export is /fhir/$export, which may have a rule of its own.
                return None if "%" in path and self._is_meant(method, path, rule) else rule
        return None if self.rules else self._everywhere

    def _is_meant(self, method: str, path: str, but: Route | None = None) -> bool:
        """Whether an application that decodes *path* may serve there what a rule is for.

        No requirement stands in for that rule: the request is refused for the way it is written.
        """
        decoded = unquote(path)
        return any(
            rule is not but
            and (rule.methods is None or method in rule.methods)
            and pattern.fullmatch(decoded)
            for pattern, rule in self._readings
        )

    @property
    def everywhere(self) -> Route:
        """What holds for requests that no rule is for, where the API states a requirement."""
        return self._everywhere

    @property
    def every(self) -> tuple[Route, ...]:
        """Every rule there is, with what holds where there is none."""
        return (self._everywhere, *self.rules)

    @property
    def registers(self) -> frozenset[str]:
        """The names of the registers that any rule wants asked."""
        return frozenset(name for rule in self.every for name in rule.requirement.registers)

    def covering(self, template: str, method: str) -> Route | None:
        """Return the one rule that is for every request of a framework's route, or None.

        Parameters:
            template: the framework's path, with parameters in braces; their names do not matter.
            method: the method.
        """
        shape = _shape(template)
        for rule in self.rules:
            listed = rule.methods is None or method in rule.methods
            if listed and _shape(rule.path or "") == shape:
                return rule
        return None

    def covers(self, template: str, method: str) -> bool:
        """Whether there is such a rule."""
        return self.covering(template, method) is not None


def _shape(path: str) -> str:
    return _PARAMETER.sub(lambda match: "{:path}" if match[2] else "{}", path)


def _compile(template: str) -> re.Pattern[str]:
    pattern, end = "", 0
    for match in _PARAMETER.finditer(template):
        pattern += re.escape(template[end : match.start()]) + (_TAIL if match[2] else _SEGMENT)
        end = match.end()
    return re.compile(pattern + re.escape(template[end:]))


@cache
def _compile_named(template: str) -> re.Pattern[str]:
    """Compile a template of the policy so that its parameters can be had by name."""
    pattern, end = "", 0
    for match in _PARAMETER.finditer(template):
        kind = _TAIL if match[2] else _SEGMENT
        pattern += re.escape(template[end : match.start()]) + f"(?P<{match[1]}>{kind})"
        end = match.end()
    return re.compile(pattern + re.escape(template[end:]))


def _read_generously(template: str) -> re.Pattern[str]:
    """Compile what the least strict application would take for *template*, after decoding."""
    pattern, end = "", 0
    for match in _PARAMETER.finditer(template):
        literal = re.escape(unquote(template[end : match.start()]))
        pattern += literal + (".*" if match[2] else "[^/]*")
        end = match.end()
    # Frameworks end their patterns in $, which matches before a line break at the end as well.
    return re.compile(pattern + re.escape(unquote(template[end:])) + r"\n?", re.DOTALL)


def _problems(rules: Sequence[Route]) -> Iterator[Problem]:
    sound: list[Route] = []
    for index, rule in enumerate(rules):
        flaws = tuple(_flaws(rule))
        for setting, message in flaws:
            yield Problem(f"route[{index}].{setting}", message)
        if flaws:
            continue
        for earlier in sound:
            if _overlap(earlier, rule):
                yield Problem(
                    f"route[{index}].path",
                    f"{named(rule.path, 'this')} claims requests that "
                    f"{named(earlier.path, 'another')} claims: one rule for each",
                )
        sound.append(rule)


def _flaws(rule: Route) -> Iterator[tuple[str, str]]:
    """Find what is wrong with one rule by itself: the setting, and what is wrong with it."""
    if rule.path is None:
        yield "path", "is missing"
    else:
        flaw = _flaw_of_path(rule.path)
        if flaw:
            yield "path", flaw
    # In a string "in" looks for a part, and a list could be changed behind the policy's back.
    if rule.methods is not None and not is_words(rule.methods):
        yield "methods", "must be a frozenset of strings, or None for every method"
        return
    for method in sorted(rule.methods or ()):
        if not _METHOD.fullmatch(method):
            yield "methods", _flaw_of_method(method)
    if rule.methods is not None and not rule.methods:
        yield "methods", "is empty; leave it out for every method"
    public: object = rule.public
    if type(public) is not bool:
        yield "public", "must be True or False"
    elif public and rule.requirement != _ANY_TOKEN:
        yield "public", "a public route admits everyone, so it cannot demand anything"
    names = [match[1] for match in _PARAMETER.finditer(rule.path or "")]
    for name in {name for name in names if names.count(name) > 1}:
        yield "path", f"has two parameters of the name {name}"
    if rule.path is not None:
        yield from _flaws_of_matches(rule.path, names, rule.requirement)


def _flaws_of_matches(
    path: str, names: Sequence[str], requirement: Requirement
) -> Iterator[tuple[str, str]]:
    # Under a parameter that takes slashes, a framework may find parameters of its own.
    if ":path}" in path:
        return
    for one in requirement.rules:
        if isinstance(one, MatchesRequest) and one.source.startswith("path."):
            name = one.source.removeprefix("path.")
            if name not in names:
                what = said_of(name, "is no parameter of the path, where it would be in braces")
                yield "matches_request", what


def _flaw_of_method(method: str) -> str:
    capitals = named(method.upper(), "")
    if _METHOD.fullmatch(capitals):
        return f"write {capitals} for {method}: methods depend on case"
    return said_of(method, "is not a method: one word in capitals, as GET")


def _flaw_of_path(path: str) -> str | None:
    literal = path
    for match in _PARAMETER.finditer(path):
        if match[2] and match.end() != len(path):
            return said_of(match[0], "takes the rest of the path, so it must come last")
        before, after = path[match.start() - 1 : match.start()], path[match.end() :][:1]
        if before != "/" or after not in {"", "/"}:
            return f"{named(match[0], 'a parameter')} must be a whole segment"
        literal = literal.replace(match[0], "x")
    if not _LITERAL.fullmatch(literal):
        return said_of(path, "is not a path in its plain form, starting with a slash")
    plain = quote(unquote(literal), safe=_PLAIN)
    if plain != literal:
        advice = named(plain, "its plain form")
        return said_of(path, f"encodes what needs none, or in small letters: write {advice}")
    return None


def _overlap(one: Route, other: Route) -> bool:
    if one.methods is not None and other.methods is not None and not one.methods & other.methods:
        return False
    first, second = one.path or "", other.path or ""
    if ("{" in first) != ("{" in second):
        return False  # An exact path is more to the point than a template, and wins.
    return _may_be_equal(_shape(first).split("/"), _shape(second).split("/"))


def _may_be_equal(first: list[str], second: list[str]) -> bool:
    for one, other in zip(first, second, strict=False):
        if "{:path}" in (one, other):
            return True
        if one != other and "{}" not in (one, other):
            return False
    return len(first) == len(second)
