"""Which routes of an application nobody guards: what is asked before it serves anything."""

import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote

from portvakt.guard import (
    ConfigurationError,
    Problem,
    Requirement,
    Routes,
    SenderConstraint,
    agreed,
)

__all__ = ["EVERY", "Inspection", "template_of"]

#: Stands for every method: no rule can list it, so only a rule without a list is for it.
EVERY: Final = "*"

#: Parameters that take one segment at most. Others (path, converters of one's own) take slashes.
_ONE_SEGMENT: Final = re.compile(r"\{[^{}:]+(?::(?:str|int|float|uuid))?\}")


class Inspection:
    """Which routes are neither guarded nor in the policy, or both guarded and public.

    How a framework lists its routes, a class of its own knows.

    Parameters:
        rules: the policy's.
        advice: how the framework's endpoints are guarded, as in ``@guard.requires(scopes=[...])``.

    Attributes:
        problems: what is wrong.
    """

    def __init__(self, rules: Routes, advice: str) -> None:
        self.problems: list[Problem] = []
        self._rules = rules
        self._public = Routes(rule for rule in rules.rules if rule.public)
        self._advice = advice

    def conclude(self) -> None:
        """Say what was found.

        Raises:
            ConfigurationError: with everything that is wrong, and how to put it right.
        """
        if self.problems:
            raise ConfigurationError([*self.problems, Problem("", self._advice)])

    def within(self, path: str, *, ruled: bool = False, public: bool = False) -> tuple[bool, bool]:
        """Return whether a rule is for all that is mounted somewhere, and whether it is public.

        Parameters:
            path: where it is mounted, as a policy writes it.
            ruled: whether a rule is for all around it.
            public: whether that one is public.
        """
        everything = path + "/{rest:path}"
        return (
            ruled or self._rules.covers(everything, EVERY),
            public or self._public.covers(everything, EVERY),
        )

    def look_at(
        self,
        path: str,
        methods: Sequence[str],
        demands: Sequence[Requirement],
        *,
        template: str,
        shown: str | None = None,
        ruled: bool = False,
        public: bool = False,
    ) -> None:
        """Look at one route.

        Parameters:
            path: as the framework writes it.
            methods: those that a rule has to be for.
            demands: what its endpoint demands; none: it is not guarded.
            template: its path as a policy writes it.
            shown: what to call it where methods do not matter, as ``WEBSOCKET``.
            ruled: whether a rule is for all of what it is mounted in.
            public: whether that rule is public.
        """
        place = f"{shown or ', '.join(methods)} {path}"
        if demands:
            if not ruled:
                self._check_constraints(demands, template, methods, place)
            if public or any(self._public.covers(template, method) for method in methods):
                what = "is public in the policy and has guard.requires(): decide for one of them"
                self.problems.append(Problem(place, what))
            return
        if ruled:
            return
        forgotten = [method for method in methods if not self._rules.covers(template, method)]
        if forgotten:
            self.forgotten(f"{shown or ', '.join(forgotten)} {path}", "nobody guards it")

    def forgotten(self, place: str, message: str) -> None:
        """Note a route that nobody guards."""
        self.problems.append(Problem(place, message))

    def opaque(self, path: str, *, ruled: bool) -> None:
        """Note what is mounted and cannot be looked into, unless a rule is for all of it."""
        if not ruled:
            self.forgotten(f"{path}/*", "is mounted: only a [[route]] can be for all of it")

    def _check_constraints(
        self, demands: Iterable[Requirement], template: str, methods: Iterable[str], place: str
    ) -> None:
        """See that one token can be what the rule and every demand of an endpoint take."""
        for method in methods:
            rule = self._rules.covering(template, method) or self._rules.everywhere
            first = rule.requirement.sender_constraint
            try:
                taken = {
                    agreed(first, one.sender_constraint) or SenderConstraint.NONE for one in demands
                }
            except ConfigurationError as error:
                self.problems.extend(Problem(place, one.message) for one in error.problems)
                return
            if len(taken) > 1:
                words = " and ".join(sorted(one.value for one in taken))
                message = (
                    f"takes tokens of two kinds at once, and so none, by sender_constraint {words}"
                )
                self.problems.append(
                    Problem(place, f"{message}: state the same in each requires()")
                )
                return


def template_of(path: str) -> str:
    """Write Starlette's path as a policy writes it: a segment with a parameter is a parameter."""
    return "/".join(
        "{segment}"
        if _ONE_SEGMENT.search(segment) and "{" not in _ONE_SEGMENT.sub("", segment)
        else quote(segment, safe="{}-._~!$&'()*+,;=:@")
        for segment in path.split("/")
    )
