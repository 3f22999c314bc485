"""Configuration → TrustedIssuer, keys, Routes. Opens no socket."""

import logging
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Final

from msgspec import UNSET, Struct

from portvakt.config.guarding import Guarding, check_demanded, check_guarding
from portvakt.config.issuer_keys import check_network, read_keys
from portvakt.config.issuer_schema import IssuerTable
from portvakt.config.issuers import settle, trust, words
from portvakt.config.load import Draft
from portvakt.config.place import below
from portvakt.config.problems import Problems
from portvakt.config.register_schema import RegisterTable
from portvakt.config.registers import check_registers
from portvakt.config.requirements import Demands
from portvakt.config.resource_metadata import check_metadata, metadata_routes
from portvakt.config.route_schema import RouteTable
from portvakt.config.schema import ApiTable, Configuration, NetworkTable
from portvakt.config.telemetry import check_telemetry
from portvakt.errors import ConfigurationError
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.jwk_set import JwkSet
from portvakt.oauth.resource_metadata import metadata_url
from portvakt.policy.issuer import TrustedIssuer
from portvakt.policy.requirement import Requirement
from portvakt.policy.routes import Route, Routes
from portvakt.policy.sensitivity import LONGEST_LIFETIME, Sensitivity

__all__ = ["Policy", "compile_policy"]

_log: Final = logging.getLogger("portvakt.config")


class Policy(Struct, frozen=True):
    """What a guard is made of.

    Attributes:
        issuers: whose tokens are accepted, and on which conditions.
        keys: the keys that the policy states, by ``issuer``.
        published: where the others publish theirs, by ``issuer``.
        routes: which rule is for which request.
        resource_metadata: where clients find what is said of the API; None: nothing is.
        realm: the name of the API.
        disclose: whether a refusal names what is demanded.
        network: how issuers are reached.
        registers: who is asked whether it is true.
        guarding: what proofs, references, encryption and revocation need.
        configuration: the tables.
        tables: those of the issuers, with nothing left out that a profile says; by ``issuer``.
        directory: where the files that these name are looked for.
        path: the policy file; None for data.
    """

    issuers: tuple[TrustedIssuer, ...]
    keys: dict[str, JwkSet]
    published: dict[str, IssuerTable]
    routes: Routes
    resource_metadata: str | None
    realm: str
    disclose: bool
    network: NetworkTable
    registers: tuple[RegisterTable, ...]
    guarding: Guarding
    configuration: Configuration
    tables: dict[str, IssuerTable]
    directory: Path
    path: Path | None


def compile_policy(draft: Draft, registers: frozenset[str] = frozenset()) -> Policy:
    """Compile a policy, or say everything that is wrong with it.

    Keys that are not used, keys that two issuers share, and algorithms that no key is for, are
    warnings in the log of ``portvakt.config``.

    Parameters:
        draft: the policy as it was read.
        registers: the names of registers that it may use and does not describe.

    Raises:
        ConfigurationError: with what was wrong with the draft, and with what the policy itself
            refuses: incomplete, contradictory or unsafe settings, and key sets without a usable key
            or with a private one.
    """
    configuration, problems = draft.configuration, draft.problems
    # (1) What holds for the whole API.
    _check_api(configuration.api, problems)
    # (2) Each issuer, with its keys.
    if not configuration.issuer:
        problems.add("issuer", "must list at least one: without any, no token could be accepted")
    issuers: list[TrustedIssuer] = []
    sets: dict[str, JwkSet] = {}
    published: dict[str, IssuerTable] = {}
    carried: set[str] = set()
    longest = _longest(configuration)
    settled = [
        settle(table, draft.directory, below("issuer", index), problems)
        for index, table in enumerate(configuration.issuer)
    ]
    _check_each_once([table for table, _ in settled], problems)
    for index, (table, profile) in enumerate(settled):
        place = below("issuer", index)
        trusted = trust(table, profile, configuration.api, longest, place, problems)
        if trusted is not None and trusted.identity is not None:
            carried |= trusted.identity.carried
        keys = read_keys(table, draft.directory, place, problems)
        if trusted is not None and keys is not None:
            issuers.append(trusted)
            if isinstance(keys, JwkSet):
                sets[trusted.issuer] = keys
            else:
                published[trusted.issuer] = keys
    check_network(configuration.network, draft.directory, problems)
    # (3) The routes.
    known = registers | check_registers(configuration.register, problems)
    demands = Demands(configuration.api, frozenset(carried), known, problems)
    routes = _routes(configuration.route, demands, problems)
    # (4) What they take, and what is told of them.
    tables = {index: table for index, (table, _) in enumerate(settled)}
    guarding = check_guarding(configuration, tables, problems)
    check_telemetry(configuration.telemetry, problems)
    places = tuple(_places(routes))
    check_demanded(places, configuration, problems)
    # (5) What everyone is told of all that.
    origin = check_metadata(configuration.api, guarding.origins, routes.rules, problems)
    # (6) All of it is right, or there is no policy.
    problems.check()
    if origin is not None:
        demanded = [one.requirement for one in routes.rules or routes.every if not one.public]
        answered = metadata_routes(origin, configuration, issuers, demanded)
        routes = routes.answering(answered)
    for issuer in issuers:
        _warn(issuer, sets.get(issuer.issuer), published.get(issuer.issuer))
    _warn_of_shared_keys(sets, published)
    for place, demand in places:
        _warn_of_unsafe(place, demand)
    return Policy(
        tuple(issuers),
        sets,
        published,
        routes,
        None if origin is None else metadata_url(origin),
        configuration.api.audience,
        configuration.api.disclose,
        configuration.network,
        configuration.register,
        guarding,
        configuration,
        {str(table.issuer): table for table in tables.values()},
        draft.directory,
        draft.path,
    )


def _check_api(api: ApiTable, problems: Problems) -> None:
    # The one rule for audiences is TrustedIssuer's; an issuer that does not exist lends it, so that
    # the audience is judged also where each issuer states its own.
    try:
        TrustedIssuer(
            issuer="https://issuer.invalid",
            audience=api.audience,
            algorithms=frozenset(ALGORITHMS),
        )
    except ConfigurationError as error:
        problems.extend("api", error)


def _check_each_once(tables: Iterable[IssuerTable], problems: Problems) -> None:
    first: dict[object, int] = {}
    for index, table in enumerate(tables):
        earlier = first.setdefault(table.issuer, index)
        if earlier != index:
            problems.add(
                f"issuer[{index}].issuer",
                f"is stated by issuer[{earlier}]: one table for each issuer",
            )


def _warn(issuer: TrustedIssuer, keys: JwkSet | None, published: IssuerTable | None) -> None:
    if published is not None and published.unsafe_loopback:
        _log.warning(
            "issuer %s: unsafe_loopback is set: its keys may come from this machine, and over http",
            issuer.issuer,
        )
    if keys is None:
        return
    for ignored in keys.ignored:
        _log.warning(
            "issuer %s: keys[%d] (kid %a) is not used: %s",
            issuer.issuer,
            ignored.position,
            ignored.kid,
            ignored.reason,
        )
    served = {name for key in keys.keys for name in key.algorithms}
    for name in sorted(issuer.algorithms - served):
        _log.warning("issuer %s: %s is allowed, but no key is for it", issuer.issuer, name)


def _warn_of_unsafe(place: str, demand: Requirement) -> None:
    """Say what a route lets in although something that it rests on does not answer."""
    for setting, what in (
        ("unsafe_on_unavailable", "a register that cannot be asked is passed over"),
        ("unsafe_on_stale", "a token is admitted though nobody knows if it was revoked lately"),
    ):
        if getattr(demand, setting):
            _log.warning("%s: %s is set: %s", place, setting, what)


def _warn_of_shared_keys(sets: dict[str, JwkSet], published: dict[str, IssuerTable]) -> None:
    """Say which issuers could sign in each other's name; keys that are to come nobody knows."""
    thumbprints = {name: {key.thumbprint for key in keys.keys} for name, keys in sets.items()}
    thumbprints |= {name: set(table.pin) for name, table in published.items()}
    for (one, first), (other, second) in combinations(thumbprints.items(), 2):
        for thumbprint in sorted(first & second):
            _log.warning(
                "issuer %s and issuer %s share a key (thumbprint %s): each could sign in the "
                "other's name",
                one,
                other,
                thumbprint,
            )


def _routes(tables: Iterable[RouteTable], demands: Demands, problems: Problems) -> Routes:
    rules = []
    for index, table in enumerate(tables):
        place = f"route[{index}]"
        methods = table.methods
        rules.append(
            Route(
                path=table.path,
                methods=None
                if methods is UNSET
                else frozenset(words(methods, f"{place}.methods", problems)),
                public=table.public,
                requirement=demands.of(table, place),
            )
        )
    everywhere = demands.everywhere(alone=not rules)
    try:
        return Routes(rules, everywhere)
    except ConfigurationError as error:
        problems.extend("", error)
        return Routes()


def _places(routes: Routes) -> Iterable[tuple[str, Requirement]]:
    """Yield what each route demands, with its place; without any, what the API does."""
    if not routes.rules:
        return [("api", rule.requirement) for rule in routes.every]
    return [(f"route[{index}]", rule.requirement) for index, rule in enumerate(routes.rules)]


def _longest(configuration: Configuration) -> float:
    """Return the most seconds that a token may live by the sensitivity of any route."""
    names = {configuration.api.sensitivity}
    for route in configuration.route:
        if not route.public and route.sensitivity is not UNSET:
            names.add(route.sensitivity)
    known = [one.max_lifetime for one in Sensitivity if one.value in names]
    return max(known, default=LONGEST_LIFETIME)
