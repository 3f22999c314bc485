"""One ``[[issuer]]`` table, over the profile that it names → what is believed about the issuer."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from msgspec import UNSET

from portvakt.config.issuer_schema import KEY_SOURCES, IssuerTable
from portvakt.config.place import below
from portvakt.config.problems import Problems
from portvakt.config.schema import ApiTable
from portvakt.errors import ConfigurationError, said_of
from portvakt.jose.header import media_type
from portvakt.policy.accepted_persons import AcceptedPersons
from portvakt.policy.identifiers import PersonKind
from portvakt.policy.identity import IdentityClaims
from portvakt.policy.issuer import ID_TOKEN_CLAIMS, TrustedIssuer
from portvakt.profiles.profile import (
    MalformedProfile,
    Profile,
    UnknownProfile,
    load_profile,
    load_profile_file,
)

__all__ = ["settle", "trust", "words"]

#: What holds where neither the table nor a profile says anything.
_DEFAULTS: Final[Mapping[str, Any]] = {
    "typ": ("at+jwt",),
    "other_audiences": (),
    "required_claims": ("sub", "client_id", "jti"),
    "leeway": 5.0,
}

#: RFC 6838 section 4.2. A parameter or a wildcard would never equal what a token says.
_MEDIA_TYPE: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*(?:/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*)?"
)


def settle(
    table: IssuerTable, directory: Path, place: str, problems: Problems
) -> tuple[IssuerTable, Profile | None]:
    """Fill in what a table leaves to its profile, and to what holds without one.

    Parameters:
        table: the table as it was written.
        directory: where a profile of one's own is looked for.
        place: its place in the policy.
        problems: where to note what is wrong.

    Returns:
        the table with nothing left out but a lifetime that nobody states, and the profile.
    """
    profile = _profile(table, directory, place, problems)
    stated = {
        name: value
        for name in IssuerTable.__struct_fields__
        if (value := getattr(table, name)) is not UNSET
    }
    if not table.jwks_hosts:
        del stated["jwks_hosts"]  # Empty is also how a table says nothing about it.
    known = {} if profile is None else _settings(profile, stated)
    for name in ("issuer", "algorithms"):
        if name not in stated and name not in known:
            hint = (
                ""
                if profile is None or profile.issuer_hint is None
                else (f": the profile leaves it to you, as {profile.issuer_hint}")
            )
            # With a profile that cannot be read, nobody knows whether it is.
            unknown = profile is None and table.profile is not UNSET
            problems.void(f"{place}.{name}", None if unknown else f"is missing{hint}")
            known[name] = "" if name == "issuer" else ()
    return IssuerTable(**{**_DEFAULTS, **known, **stated}), profile


def trust(
    table: IssuerTable,
    profile: Profile | None,
    api: ApiTable,
    longest: float,
    place: str,
    problems: Problems,
) -> TrustedIssuer | None:
    """Compile what is believed about an issuer; with a flaw noted, None.

    Parameters:
        table: a settled table.
        profile: its profile, or None.
        api: what holds for the whole API.
        longest: the most seconds that a token may live by the sensitivity of any route.
        place: the place of the table.
        problems: where to note what is wrong.
    """
    settings: Any = table  # Settled, so nothing in it is unset but what is asked for below.
    for index, name in enumerate(settings.typ):
        if name and not _MEDIA_TYPE.fullmatch(name):
            what = said_of(name, "is not a media type without parameters")
            problems.add(f"{place}.typ[{index}]", what)
    known = 0.0 if table.max_lifetime is UNSET else table.max_lifetime
    try:
        return TrustedIssuer(
            issuer=settings.issuer,
            audience=api.audience if table.audience is UNSET else table.audience,
            algorithms=frozenset(words(settings.algorithms, f"{place}.algorithms", problems)),
            types=frozenset(map(media_type, words(settings.typ, f"{place}.typ", problems))),
            other_audiences=frozenset(
                words(settings.other_audiences, f"{place}.other_audiences", problems)
            ),
            required_claims=frozenset(
                words(settings.required_claims, f"{place}.required_claims", problems)
            ),
            leeway=settings.leeway,
            max_lifetime=known if table.max_lifetime is not UNSET else longest,
            max_age_ahead=table.max_age_ahead,
            known_lifetime=known,
            **_kind(profile),
            status_lists=frozenset(table.status_lists),
            identity=_identity(profile, table, place, problems),
        )
    except ConfigurationError as error:
        if table.audience is UNSET:
            problems.void(f"{place}.audience")  # It was judged at [api], where it stands.
        problems.extend(place, error)
        return None


def words(values: Iterable[str], place: str, problems: Problems) -> tuple[str, ...]:
    """Return the words of a list; an empty one is a mistake, never a word."""
    found = []
    empty = 0
    for index, value in enumerate(values):
        if value:
            found.append(value)
        else:
            empty += 1
            problems.add(below(place, index), "is empty")
    if empty and not found:
        problems.void(place)  # That nothing is left needs no saying.
    return tuple(found)


def _profile(table: IssuerTable, directory: Path, place: str, problems: Problems) -> Profile | None:
    if table.profile is UNSET:
        return None
    name, place = table.profile, f"{place}.profile"
    try:
        # A file of one's own has an ending; those that come with Portvakt have none.
        if name.endswith(".toml"):
            return load_profile_file(directory / name)
        return load_profile(name)
    except OSError as error:
        problems.void(place, f"cannot be read: {error.strerror}")
    except ValueError as flaw:
        known = isinstance(flaw, UnknownProfile | MalformedProfile)
        problems.void(place, str(flaw) if known else "cannot be read: it holds a null character")
    return None


def _settings(profile: Profile, stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a profile says, by the names of the table's settings."""
    known: dict[str, Any] = {
        "algorithms": profile.algorithms,
        "typ": profile.typ,
        "required_claims": profile.required_claims,
        "leeway": profile.leeway,
        "person_kinds": profile.person_kinds,
        "strict_check_digits": profile.strict_check_digits,
    }
    issuer = stated.get("issuer", profile.issuer)
    if issuer is not None:
        known["issuer"] = issuer
        known["other_audiences"] = profile.audiences(issuer)
    if profile.max_lifetime is not None:
        known["max_lifetime"] = profile.max_lifetime
    # Where keys are is one statement: a table that makes it has the profile's in no part. Where
    # everybody has their own issuer, the profile knows of the hosts that all of them use.
    ours = profile.issuer in {issuer, None}
    if not any(name in stated for name in KEY_SOURCES) and ours:
        for name in ("metadata_uri", "jwks_uri"):
            if (url := getattr(profile, name)) is not None:
                known[name] = url
        if profile.jwks_hosts:
            known["jwks_hosts"] = profile.jwks_hosts
    return known


def _kind(profile: Profile | None) -> dict[str, Any]:
    """Return what tells the issuer's access tokens, and which claims they carry."""
    if profile is None:
        return {}
    claims = profile.claims
    return {
        "subject_claim": claims.subject,
        "client_claim": claims.client_id,
        "token_id_claim": claims.token_id,
        "scope_claims": claims.scope,
        "refused_claims": frozenset(profile.refused_claims) or ID_TOKEN_CLAIMS,
        "expected_values": tuple(
            (name, frozenset(values)) for name, values in profile.expected_values.items()
        ),
        "acr_values": tuple((int(level), name) for level, name in profile.acr_values.items()),
    }


def _identity(
    profile: Profile | None, table: IssuerTable, place: str, problems: Problems
) -> IdentityClaims | None:
    """Compile which claims speak of persons and organisations; None if none do."""
    strict = table.strict_check_digits is not False
    persons = _persons(table, place, problems)
    if profile is None:
        for name in ("person_kinds", "strict_check_digits"):
            if getattr(table, name) is not UNSET:
                problems.add(f"{place}.{name}", "needs a profile that says which claims have them")
        return None
    claims = profile.claims
    found = IdentityClaims(
        security_level=claims.security_level,
        levels=dict(profile.levels),
        pid=claims.pid,
        hpr_number=claims.hpr_number,
        organisation_parent=claims.organisation_parent,
        organisation_child=claims.organisation_child,
        organisation_supplier=claims.organisation_supplier,
        iso6523=profile.iso6523,
        client_name=claims.client_name,
        tenancy=claims.tenancy,
        trust_framework=claims.trust_framework,
        authenticated_at=claims.authenticated_at,
        persons=persons,
        strict_check_digits=strict,
    )
    return found if found != IdentityClaims(persons=persons, strict_check_digits=strict) else None


def _persons(table: IssuerTable, place: str, problems: Problems) -> AcceptedPersons:
    kinds = set()
    for index, name in enumerate(() if table.person_kinds is UNSET else table.person_kinds):
        try:
            kinds.add(PersonKind(name))
        except ValueError:
            values = [kind.value for kind in PersonKind]
            near = get_close_matches(name.lower()[:64], values, n=1)
            meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(values)}"
            problems.add(f"{place}.person_kinds[{index}]", f"is not known; {meant}")
    strict = table.strict_check_digits is not False
    if not kinds:
        return AcceptedPersons(strict_check_digits=strict)
    return AcceptedPersons(kinds=frozenset(kinds), strict_check_digits=strict)
