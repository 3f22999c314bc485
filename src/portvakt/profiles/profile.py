"""What is known of an issuer, as data: one small TOML file beside this one for each.

A profile says what an issuer does, not what an API wants of it: which claim carries what, how it
writes a type, how long its tokens live. Nothing unsafe is ever switched on by one.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

__all__ = [
    "ClaimNames",
    "MalformedProfile",
    "Profile",
    "UnknownProfile",
    "load_profile",
    "load_profile_file",
    "profile_names",
]

#: Octets of a profile of one's own.
MAX_FILE: Final = 64 * 1024

_HIGHEST: Final = 4

#: A key that TOML wants no quotes for.
_BARE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class MalformedProfile(ValueError):  # noqa: N818  it says what the file is
    """The file is no profile. The message says where and why."""


class UnknownProfile(ValueError):  # noqa: N818  it says what the name is
    """There is no profile of this name. The message names the nearest one."""


class ClaimNames(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which claim carries what. Of several names one is there; none: the issuer does not say it.

    Attributes:
        subject: whom a token is about.
        client_id: the client it was issued to.
        token_id: what tells it from every other token.
        scope: what it grants, each a string of words or an array; the first that is there.
        security_level: how surely a person was identified; ``levels`` of the profile orders it.
        pid: the person's national identity number.
        hpr_number: the person's number in the register of health personnel.
        organisation_parent: the organisation that a client acts for.
        organisation_child: its sub-unit.
        organisation_supplier: who acts on its behalf.
        client_name: what the client is called.
        tenancy: whether the client serves several organisations.
        trust_framework: what it says of a person's work with a patient, as an object.
        authenticated_at: when the person signed in.
    """

    subject: str = "sub"
    client_id: str = "client_id"
    token_id: str = "jti"  # noqa: S105  the name of a claim
    scope: tuple[str, ...] = ("scope",)
    security_level: tuple[str, ...] = ()
    pid: tuple[str, ...] = ()
    hpr_number: tuple[str, ...] = ()
    organisation_parent: tuple[str, ...] = ()
    organisation_child: tuple[str, ...] = ()
    organisation_supplier: tuple[str, ...] = ()
    client_name: tuple[str, ...] = ()
    tenancy: tuple[str, ...] = ()
    trust_framework: tuple[str, ...] = ()
    authenticated_at: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every claim that carries something."""
        carried = (getattr(self, field) for field in self.__struct_fields__)
        return tuple(
            name for names in carried for name in ((names,) if isinstance(names, str) else names)
        )


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is known of one issuer, or of one kind of issuers.

    Attributes:
        title: its name, for people.
        about: what to know before it is used, in a sentence or two.
        production: whether its tokens open real data.
        issuer: the exact value of ``iss``; None where everybody has their own.
        issuer_hint: how such a value looks.
        metadata_uri: where its metadata is, if not where OpenID Connect or RFC 8414 puts it.
        jwks_uri: where its keys are, if no metadata says so.
        jwks_hosts: hosts, beside that of its metadata, that its keys may be on.
        algorithms: what it signs with.
        typ: what stands in the header of its access tokens.
        other_audiences: what stands beside an API in ``aud``; ``{issuer}`` is the issuer's name.
        required_claims: what is always there, beside ``iss``, ``aud``, ``exp`` and ``iat``.
        leeway: seconds that clocks may differ by.
        max_lifetime: seconds that its tokens are known to live, where that is longer than usual.
        refused_claims: what its ID tokens or other JWTs have, and its access tokens never.
        expected_values: what its access tokens have there, and its other JWTs do not.
        claims: which claim carries what.
        levels: the values of the claim for the security level, on a scale from 1 to 4.
        acr_values: by level, what a client asks for to reach it.
        person_kinds: the kinds of person numbers that may be there.
        strict_check_digits: whether they have right check digits.
        iso6523: whether organisations are objects with ``authority`` and ``ID``.
    """

    title: str
    about: str
    production: bool
    issuer: str | None = None
    issuer_hint: str | None = None
    metadata_uri: str | None = None
    jwks_uri: str | None = None
    jwks_hosts: tuple[str, ...] = ()
    algorithms: tuple[str, ...]
    typ: tuple[str, ...] = ("at+jwt",)
    other_audiences: tuple[str, ...] = ()
    required_claims: tuple[str, ...] = ("sub", "client_id", "jti")
    leeway: float = 5.0
    max_lifetime: float | None = None
    refused_claims: tuple[str, ...] = ()
    expected_values: Mapping[str, tuple[str, ...]] = {}
    claims: ClaimNames = ClaimNames()
    levels: Mapping[str, int] = {}
    acr_values: Mapping[str, str] = {}
    person_kinds: tuple[str, ...] = ("fodselsnummer", "d-number")
    strict_check_digits: bool = True
    iso6523: bool = False

    def audiences(self, issuer: str) -> tuple[str, ...]:
        """Return the other audiences of the issuer of this name."""
        return tuple(name.replace("{issuer}", issuer) for name in self.other_audiences)


@cache
def profile_names() -> tuple[str, ...]:
    """Return the names of the profiles that come with Portvakt, in order."""
    names = (file.name for file in files(__package__).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


@cache
def load_profile(name: str) -> Profile:
    """Return a profile that comes with Portvakt.

    Raises:
        UnknownProfile: naming the nearest one.
    """
    if name not in profile_names():
        near = get_close_matches(name.lower()[:64], profile_names(), n=1)
        meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(profile_names())}"
        raise UnknownProfile(f"is no profile; {meant}")
    return _decode((files(__package__) / f"{name}.toml").read_bytes())


def load_profile_file(path: Path) -> Profile:
    """Read a profile of one's own.

    Does not check that its algorithms, types and kinds of person numbers exist: that is known to
    those who use them.

    Raises:
        OSError: if it cannot be read.
        MalformedProfile: if it is none.
    """
    with path.open("rb") as file:
        text = file.read(MAX_FILE + 1)
    if len(text) > MAX_FILE:
        raise MalformedProfile(f"the profile is longer than {MAX_FILE} octets")
    return _decode(text)


def _decode(text: bytes) -> Profile:
    try:
        # Editors on Windows put a byte order mark in front; it changes nothing.
        tables: dict[str, Any] = tomllib.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise MalformedProfile(f"the profile is not TOML: {error}") from None
    flaw = next(_unknown(tables), None)
    if flaw is not None:
        raise MalformedProfile(flaw)
    try:
        profile = msgspec.convert(tables, Profile)
    except msgspec.ValidationError as error:
        # It says of what form a value is, never the value.
        what, _, place = str(error).partition(" - at `$.")
        raise MalformedProfile(f"{place[:-1] or 'the profile'}: malformed: {what}") from None
    flaw = next(_flaws(profile), None)
    if flaw is not None:
        raise MalformedProfile(flaw)
    return profile


def _unknown(tables: dict[str, Any]) -> Iterator[str]:
    """Yield what is said of each key that is not known, with its place."""
    for place, table, kind in (
        ("", tables, Profile),
        ("claims.", tables.get("claims"), ClaimNames),
    ):
        known = kind.__struct_fields__
        for name in table if isinstance(table, dict) else ():
            if name not in known:
                near = get_close_matches(name.lower()[:64], known, n=1)
                meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                shown = name if _BARE.fullmatch(name) else f"{name[:64]!a}"
                yield f"{place}{shown}: unknown key; {meant}"


def _flaws(profile: Profile) -> Iterator[str]:
    if (profile.issuer is None) == (profile.issuer_hint is None):
        yield "the profile needs either an issuer, or an issuer_hint where everybody has their own"
    if not profile.algorithms or not profile.typ:
        yield "the profile must list at least one algorithm and one typ"
    if bool(profile.claims.security_level) != bool(profile.levels):
        yield "the profile needs levels and a claim for security_level, or neither"
    if not all(1 <= level <= _HIGHEST for level in profile.levels.values()):
        yield f"levels must be numbers from 1 to {_HIGHEST}"
    reached = {str(level) for level in profile.levels.values()}
    if not profile.acr_values.keys() <= reached:
        yield f"acr_values are by level: {', '.join(sorted(reached)) or 'without levels, none'}"
    # Of no token could both be true.
    needed = {*profile.required_claims, *profile.expected_values, *profile.claims.names}
    for name in sorted(needed.intersection(profile.refused_claims)):
        yield f"refused_claims: {name[:64]!a} is a claim that access tokens have"
    for name, values in profile.expected_values.items():
        if not values:
            yield f"expected_values: {name[:64]!a} has no value; empty does not mean any"
