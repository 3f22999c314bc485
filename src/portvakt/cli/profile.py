"""``portvakt profile``: what is known of issuers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from portvakt.cli.config import shown
from portvakt.config.duration import write_duration
from portvakt.profiles.profile import (
    MalformedProfile,
    Profile,
    UnknownProfile,
    load_profile,
    load_profile_file,
    profile_names,
)

__all__ = ["app"]

app: Final = typer.Typer(help="What is known of issuers.", no_args_is_help=True)

CANNOT_TELL: Final = 2


@app.command("list")
def list_profiles() -> None:
    """List the profiles that come with Portvakt."""
    width = max(map(len, profile_names()))
    for name in profile_names():
        profile = load_profile(name)
        typer.echo(f"{name.ljust(width)}  {profile.title}: {profile.issuer or profile.issuer_hint}")


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(help="A profile, or a TOML file of your own.", metavar="NAME")
    ],
) -> None:
    """Say what a profile knows of its issuer. Exit 0: shown. Exit 2: there is no such profile."""
    try:
        profile = load_profile_file(Path(name)) if name.endswith(".toml") else load_profile(name)
    except (OSError, MalformedProfile, UnknownProfile) as flaw:
        why = flaw.strerror if isinstance(flaw, OSError) else str(flaw)
        typer.echo(f"portvakt profile show: {shown(name[:64])}: {why}", err=True)
        raise typer.Exit(CANNOT_TELL) from None
    for line in _lines(profile):
        typer.echo(shown(line))


def _lines(profile: Profile) -> Iterator[str]:
    yield profile.title
    yield f"  {profile.about}"
    yield f"environment   {'production' if profile.production else 'test'}"
    yield f"issuer        {profile.issuer or f'yours, as {profile.issuer_hint}'}"
    for label, url in (("metadata", profile.metadata_uri), ("keys", profile.jwks_uri)):
        if url is not None:
            yield f"{label.ljust(13)} {url}"
    yield f"alg           {', '.join(profile.algorithms)}"
    yield f"typ           {', '.join(profile.typ)}"
    if profile.other_audiences:
        yield f"aud           beside yours: {', '.join(profile.other_audiences)}"
    yield f"claims        iss, aud, exp, iat, {', '.join(profile.required_claims)}"
    yield f"time          clocks may differ by {write_duration(profile.leeway)}" + (
        ""
        if profile.max_lifetime is None
        else f", tokens live up to {write_duration(profile.max_lifetime)}"
    )
    if profile.refused_claims:
        yield f"no access     a token with any of {', '.join(profile.refused_claims)}"
    for name, values in profile.expected_values.items():
        yield f"no access     a token whose {name} is not {' or '.join(values)}"
    yield from _carried(profile)


def _carried(profile: Profile) -> Iterator[str]:
    """Say which claim carries what, and what values of it are known."""
    for name in profile.claims.__struct_fields__:
        value = getattr(profile.claims, name)
        names = (value,) if isinstance(value, str) else value
        if names:
            yield f"{name.ljust(22)} {' or '.join(names)}"
    if profile.levels:
        values = ", ".join(f"{value} = {level}" for value, level in profile.levels.items())
        yield f"levels                 {values}"
    if profile.claims.pid:
        strict = "" if profile.strict_check_digits else "; wrong check digits are tolerated"
        yield f"person_kinds           {', '.join(profile.person_kinds)}{strict}"
