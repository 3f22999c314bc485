"""What a route demands, out of its table, ``[api]`` and what the issuers' tokens carry.

The advice says *always*: where an issuer's tokens state a security level or identities, each route
says what it demands of them, or that it does without. Leaving it out is a decision somebody must
have written down.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import UNSET, UnsetType

from portvakt.config.place import below
from portvakt.config.problems import Problems, must_be_one_of
from portvakt.config.route_schema import CARRIED, RouteTable, RuleTable
from portvakt.config.schema import ApiTable
from portvakt.errors import ConfigurationError, said_of
from portvakt.policy.identifiers import MalformedIdentifier, parse_organisation_number
from portvakt.policy.requirement import Requirement
from portvakt.policy.rules import AllOf, AnyOf, AtLeast, Equals, OneOf, Present, Rule
from portvakt.policy.sender_constraint import SENDER_CONSTRAINTS
from portvakt.policy.sensitivity import Sensitivity

__all__ = ["Demands"]

#: What is required of an organisation or of its parts means that it is not ignored.
_ABOUT: Mapping[str, str] = {"organisation_child": "organisation", "supplier": "organisation"}


class Demands:
    """Compiles the demands of one policy's routes.

    Parameters:
        api: what holds for all of them.
        carried: what the tokens of any of its issuers may say; of :data:`CARRIED`.
        registers: the names of the registers that there are.
        problems: where to note what is wrong.
    """

    def __init__(
        self, api: ApiTable, carried: frozenset[str], registers: frozenset[str], problems: Problems
    ) -> None:
        self._api = api
        self._carried = carried
        self._registers = registers
        self._problems = problems
        self._scopes = self.scopes(api.scopes, "api.scopes")
        self._sensitivity = self._degree(api.sensitivity, "api.sensitivity")

    def everywhere(self, *, alone: bool) -> Requirement:
        """Compile what ``[api]`` demands.

        Parameters:
            alone: whether it decides by itself, as there are no routes.
        """
        api = self._api
        self._check_names(api.require, api.ignore, "api")
        if alone:
            self._check_decided(api.security_level is not UNSET, api.require, api.ignore, "api")
            self._check_level(api.security_level, self._sensitivity, "api.security_level")
        return self._compiled(
            "api",
            scopes=self._scopes,
            security_level=0 if api.security_level is UNSET else api.security_level,
            require=api.require,
            sensitivity=self._sensitivity,
            sender_constraint=self._constraint(api.sender_constraint, "api.sender_constraint"),
            require_encryption=api.require_encryption,
        )

    def of(self, table: RouteTable, place: str) -> Requirement:
        """Compile what one route demands, with what ``[api]`` demands of all.

        Parameters:
            table: the route.
            place: its place in the policy.
        """
        if table.public:
            # It demands nothing; with demands of its own it is refused for the contradiction.
            return self._demanded_in_vain(table, place)
        api, problems = self._api, self._problems
        self._check_names(table.require, table.ignore, place)
        for name in table.ignore:
            if name in api.require:
                problems.add(f"{place}.ignore", f"[api] requires {name}, for every route")
        level = table.security_level
        if level is UNSET:
            level = api.security_level
        elif api.security_level is not UNSET and level < api.security_level:
            problems.add(
                f"{place}.security_level",
                f"is below that of [api], {api.security_level}, which holds for every route",
            )
        degree = self._sensitivity
        if table.sensitivity is not UNSET:
            degree = self._degree(table.sensitivity, f"{place}.sensitivity")
        required = (*api.require, *table.require)
        ignored = (*table.ignore, *(name for name in api.ignore if name not in table.require))
        decided = (*required, *table.matches_request)
        self._check_decided(level is not UNSET, decided, ignored, place)
        self._check_level(level, degree, f"{place}.security_level")
        return self._compiled(
            place,
            scopes=self._scopes + self.scopes(table.scopes, f"{place}.scopes"),
            any_scopes=self.scopes(table.any_scopes, f"{place}.any_scopes"),
            security_level=0 if level is UNSET else level,
            require=required,
            sensitivity=degree,
            **self._binding(table, place),
            **self._further(table, place),
        )

    def _binding(self, table: RouteTable, place: str) -> dict[str, Any]:
        """Return in whose hands a token must be, and who may have read it."""
        stated = table.sender_constraint
        inside = f"{place}.sender_constraint"
        if stated is UNSET:
            stated, inside = self._api.sender_constraint, "api.sender_constraint"
        constraint = self._constraint(stated, inside)
        encrypted = table.require_encryption
        return {
            # What neither says is said here: a route takes one kind of token.
            "sender_constraint": constraint or "none",
            "require_encryption": self._api.require_encryption if encrypted is UNSET else encrypted,
        }

    def _constraint(self, stated: str | UnsetType, place: str) -> str | None:
        if stated is UNSET:
            return None
        if stated in SENDER_CONSTRAINTS:
            return stated
        self._problems.add(place, must_be_one_of(SENDER_CONSTRAINTS, stated))
        return None

    def scopes(self, values: Iterable[str], place: str) -> tuple[str, ...]:
        """Return the scopes that are words of RFC 6749, and note the others."""
        sound = []
        for index, value in enumerate(values):
            try:
                Requirement.of([value])
            except ConfigurationError as error:
                for problem in error.problems:
                    self._problems.add(below(place, index), problem.message)
            else:
                sound.append(value)
        return tuple(sound)

    def _further(self, table: RouteTable, place: str) -> dict[str, Any]:
        """Return the demands that only a route can have."""
        age = table.max_authentication_age
        found: dict[str, Any] = {
            "max_authentication_age": None if age is UNSET else age,
            "rules": self._rules(table.claims, f"{place}.claims"),
            "matches_request": table.matches_request,
            "registers": table.registers,
            "unsafe_on_unavailable": table.unsafe_on_unavailable == "admit",
            "unsafe_on_stale": table.unsafe_on_stale == "admit",
        }
        for setting, name in (
            ("clients", "clients"),
            ("organisations", "parents"),
            ("suppliers", "suppliers"),
        ):
            values = getattr(table, setting)
            if values is not UNSET:
                found[name] = values
                if setting != "clients":
                    self._check_organisations(values, f"{place}.{setting}")
        if table.units:
            found["children"] = table.units
            for parent, units in table.units.items():
                self._check_organisations((parent, *units), f"{place}.units")
        for index, register in enumerate(table.registers):
            if register not in self._registers:
                known = ", ".join(sorted(self._registers)) or "none"
                self._problems.add(
                    f"{place}.registers[{index}]", f"is no [[register]]; there are: {known}"
                )
        if table.unsafe_on_unavailable not in {"refuse", "admit"}:
            self._problems.add(f"{place}.unsafe_on_unavailable", 'must be "refuse" or "admit"')
        if table.unsafe_on_stale not in {"refuse", "admit"}:
            self._problems.add(f"{place}.unsafe_on_stale", 'must be "refuse" or "admit"')
        if table.unsafe_on_unavailable == "admit" and not table.registers:
            self._problems.add(f"{place}.unsafe_on_unavailable", "is about registers: name some")
        return found

    def _rules(self, tables: Iterable[RuleTable], place: str) -> tuple[Rule, ...]:
        rules = []
        for index, table in enumerate(tables):
            inside = below(place, index)
            rule = self._rule(table, inside)
            if rule is not None:
                rules.append(rule)
        return tuple(rules)

    def _rule(self, table: RuleTable, place: str) -> Rule | None:
        stated = [name for name in table.__struct_fields__ if getattr(table, name) is not UNSET]
        kinds = [name for name in stated if name != "claim"]
        if len(kinds) != 1:
            self._problems.add(
                place, "must have one of present, equals, one_of, at_least, any_of and all_of"
            )
            return None
        kind = kinds[0]
        if (kind in {"any_of", "all_of"}) == (table.claim is not UNSET):
            what = "takes no claim" if table.claim is not UNSET else "needs a claim"
            self._problems.add(place, f"{kind} {what}")
            return None
        if kind == "present" and table.present is not True:
            self._problems.add(f"{place}.present", "must be true; leave the rule out otherwise")
            return None
        try:
            return self._made(kind, table, place)
        except ConfigurationError as error:
            self._problems.extend(place, error)
            return None

    def _made(self, kind: str, table: RuleTable, place: str) -> Rule:
        claim: Any = table.claim
        value: Any = getattr(table, kind)
        match kind:
            case "present":
                return Present(claim)
            case "equals":
                return Equals(claim, value)
            case "one_of":
                return OneOf(claim, value)
            case "at_least":
                return AtLeast(claim, value)
            case "any_of":
                return AnyOf(self._rules(value, f"{place}.any_of"))
            case _:
                return AllOf(self._rules(value, f"{place}.all_of"))

    def _check_names(self, require: Iterable[str], ignore: Iterable[str], place: str) -> None:
        required = {*require, *(_ABOUT.get(name, name) for name in require)}
        for index, name in enumerate(ignore):
            if name not in CARRIED:
                what = said_of(name, f"is not known; known are {', '.join(CARRIED)}")
                self._problems.add(f"{place}.ignore[{index}]", what)
            elif name in required:
                self._problems.add(f"{place}.ignore[{index}]", f"{name} is required as well")

    def _check_decided(
        self,
        level: bool,  # noqa: FBT001  whether there is one
        require: Iterable[str],
        ignore: Iterable[str],
        place: str,
    ) -> None:
        """Note what tokens carry and nobody has decided about."""
        decided = {*ignore, *(_ABOUT.get(name, name) for name in require)}
        if level:
            decided.add("security_level")
        open_ = [name for name in CARRIED if name in self._carried and name not in decided]
        if not open_:
            return
        asked = ["security_level = 4"] if "security_level" in open_ else []
        named = [name for name in open_ if name != "security_level"]
        if named:
            listed = ", ".join(f'"{name}"' for name in named)
            asked.append(f"require = [{listed}]")
        every = ", ".join(f'"{name}"' for name in open_)
        self._problems.add(
            place,
            f"does not say what it demands of {', '.join(open_)}, which the issuer's tokens may "
            f"have: state {' and '.join(asked)}, or ignore = [{every}], here or in [api]",
        )

    def _check_level(self, level: object, degree: Sensitivity | None, place: str) -> None:
        # Zero is written by whoever wants none; UNSET was decided by ignore.
        if degree is None or type(level) is not int or "security_level" not in self._carried:
            return
        if level < degree.min_level:
            self._problems.add(
                place,
                f"is below what data of sensitivity {degree.value} needs, {degree.min_level}: "
                "raise it, lower the sensitivity, or ignore security_level for machines",
            )

    def _check_organisations(self, numbers: Iterable[str], place: str) -> None:
        for number in numbers:
            try:
                parse_organisation_number(number, strict_check_digits=False)
            except MalformedIdentifier:
                self._problems.add(place, "must be organisation numbers: nine digits each")

    def _degree(self, value: str, place: str) -> Sensitivity | None:
        try:
            return Sensitivity(value)
        except ValueError:
            names = ", ".join(one.value for one in Sensitivity)
            self._problems.add(place, f"must be one of {names}")
            return None

    def _demanded_in_vain(self, table: RouteTable, place: str) -> Requirement:
        stated = (table.sensitivity, table.sender_constraint, table.require_encryption)
        if table.ignore or any(one is not UNSET for one in stated):
            self._problems.add(place, "a public route admits everyone, so it demands nothing")
        level = table.security_level
        return self._compiled(
            place,
            scopes=self.scopes(table.scopes, f"{place}.scopes"),
            any_scopes=self.scopes(table.any_scopes, f"{place}.any_scopes"),
            security_level=0 if level is UNSET else level,
            require=table.require,
            **self._further(table, place),
        )

    def _compiled(self, place: str, **demands: Any) -> Requirement:
        try:
            return Requirement.of(**demands)
        except ConfigurationError as error:
            self._problems.extend(place, error)
            return Requirement.of()
