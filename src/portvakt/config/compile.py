"""Configuration → TrustedIssuer, keys, Routes. Opens no socket."""

import logging
import re
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Final

from msgspec import UNSET, Struct

from portvakt.config.issuer_keys import check_network, read_keys
from portvakt.config.load import Draft
from portvakt.config.place import below
from portvakt.config.problems import Problems
from portvakt.config.schema import ApiTable, IssuerTable, NetworkTable, RouteTable
from portvakt.errors import ConfigurationError, said_of
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.header import media_type
from portvakt.jose.jwk_set import JwkSet
from portvakt.policy.issuer import TrustedIssuer
from portvakt.policy.requirement import Requirement
from portvakt.policy.routes import Route, Routes

__all__ = ["Policy", "compile_policy"]

_log: Final = logging.getLogger("portvakt.config")

#: RFC 6838 section 4.2. A parameter or a wildcard would never equal what a token says.
_MEDIA_TYPE: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*(?:/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*)?"
)


class Policy(Struct, frozen=True):
    """What a guard is made of.

    Attributes:
        issuers: whose tokens are accepted, and on which conditions.
        keys: the keys that the policy states, by ``issuer``.
        published: where the others publish theirs, by ``issuer``.
        routes: which rule is for which request.
        realm: the name of the API.
        network: how issuers are reached.
        directory: where the files that *network* names are looked for.
    """

    issuers: tuple[TrustedIssuer, ...]
    keys: dict[str, JwkSet]
    published: dict[str, IssuerTable]
    routes: Routes
    realm: str
    network: NetworkTable
    directory: Path


def compile_policy(draft: Draft) -> Policy:
    """Compile a policy, or say everything that is wrong with it.

    Keys that are not used, keys that two issuers share, and algorithms that no key is for, are
    warnings in the log of ``portvakt.config``.

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
    _check_each_once(configuration.issuer, problems)
    issuers: list[TrustedIssuer] = []
    sets: dict[str, JwkSet] = {}
    published: dict[str, IssuerTable] = {}
    for index, table in enumerate(configuration.issuer):
        place = below("issuer", index)
        trusted = _issuer(table, configuration.api, place, problems)
        keys = read_keys(table, draft.directory, place, problems)
        if trusted is not None and keys is not None:
            issuers.append(trusted)
            if isinstance(keys, JwkSet):
                sets[trusted.issuer] = keys
            else:
                published[trusted.issuer] = keys
    check_network(configuration.network, draft.directory, problems)
    # (3) The routes.
    routes = _routes(configuration.route, configuration.api, problems)
    # (4) All of it is right, or there is no policy.
    problems.check()
    for issuer in issuers:
        _warn(issuer, sets.get(issuer.issuer), published.get(issuer.issuer))
    _warn_of_shared_keys(sets, published)
    return Policy(
        tuple(issuers),
        sets,
        published,
        routes,
        configuration.api.audience,
        configuration.network,
        draft.directory,
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
    first: dict[str, int] = {}
    for index, table in enumerate(tables):
        earlier = first.setdefault(table.issuer, index)
        if earlier != index:
            problems.add(
                f"issuer[{index}].issuer",
                f"is stated by issuer[{earlier}]: one table for each issuer",
            )


def _issuer(
    table: IssuerTable, api: ApiTable, place: str, problems: Problems
) -> TrustedIssuer | None:
    for index, name in enumerate(table.typ):
        if name and not _MEDIA_TYPE.fullmatch(name):
            what = said_of(name, "is not a media type without parameters")
            problems.add(f"{place}.typ[{index}]", what)
    try:
        return TrustedIssuer(
            issuer=table.issuer,
            audience=api.audience if table.audience is UNSET else table.audience,
            algorithms=frozenset(_words(table.algorithms, f"{place}.algorithms", problems)),
            types=frozenset(map(media_type, _words(table.typ, f"{place}.typ", problems))),
            other_audiences=frozenset(
                _words(table.other_audiences, f"{place}.other_audiences", problems)
            ),
            required_claims=frozenset(
                _words(table.required_claims, f"{place}.required_claims", problems)
            ),
            leeway=table.leeway,
            max_lifetime=table.max_lifetime,
            max_age_ahead=table.max_age_ahead,
        )
    except ConfigurationError as error:
        if table.audience is UNSET:
            problems.void(f"{place}.audience")  # It was judged at [api], where it stands.
        problems.extend(place, error)
        return None


def _words(values: Iterable[str], place: str, problems: Problems) -> tuple[str, ...]:
    """Return the words of a list; an empty one is a mistake, never a word."""
    words = []
    empty = 0
    for index, value in enumerate(values):
        if value:
            words.append(value)
        else:
            empty += 1
            problems.add(below(place, index), "is empty")
    if empty and not words:
        problems.void(place)  # That nothing is left needs no saying.
    return tuple(words)


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


def _routes(tables: Iterable[RouteTable], api: ApiTable, problems: Problems) -> Routes:
    everywhere = _scopes(api.scopes, "api.scopes", problems)
    rules = []
    for index, table in enumerate(tables):
        place = f"route[{index}]"
        scopes = _scopes(table.scopes, f"{place}.scopes", problems)
        methods = table.methods
        rules.append(
            Route(
                path=table.path,
                methods=None
                if methods is UNSET
                else frozenset(_words(methods, f"{place}.methods", problems)),
                public=table.public,
                # A public route demands nothing of a token; with scopes of its own it is refused.
                requirement=Requirement.of(scopes if table.public else everywhere + scopes),
            )
        )
    try:
        return Routes(rules, Requirement.of(everywhere))
    except ConfigurationError as error:
        problems.extend("", error)
        return Routes()


def _scopes(values: Iterable[str], place: str, problems: Problems) -> tuple[str, ...]:
    """Return the scopes that are words of RFC 6749, and note the others."""
    sound = []
    for index, value in enumerate(values):
        try:
            Requirement.of([value])
        except ConfigurationError as error:
            for problem in error.problems:
                problems.add(below(place, index), problem.message)
        else:
            sound.append(value)
    return tuple(sound)
