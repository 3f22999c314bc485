"""``portvakt keys``: the keys of an issuer, as the guard sees them, and one's own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from portvakt.cli import keystore
from portvakt.cli.config import shown
from portvakt.cli.discreet import discreet
from portvakt.errors import ConfigurationError, Unavailable
from portvakt.guard.guard import Guard
from portvakt.jose.algorithms import ALGORITHMS

if TYPE_CHECKING:
    from portvakt.jose.jwk_set import JwkSet
    from portvakt.net.keys import KeysHealth
    from portvakt.policy.issuer import TrustedIssuer

__all__ = ["app"]

app: Final = typer.Typer(
    help="The keys of issuers, and one's own in a key store.", no_args_is_help=True
)

app.command("generate")(keystore.generate)
app.command("import")(keystore.import_)
app.command("rotate")(keystore.rotate)
app.command("publish")(keystore.publish)
app.command("list")(keystore.list_)

UNUSABLE: Final = 1
CANNOT_TELL: Final = 2


@app.command()
def show(
    issuer: Annotated[
        str,
        typer.Argument(
            help="An issuer of the policy, or a part of its name; without a policy file, the URL "
            "of any issuer."
        ),
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            envvar="PORTVAKT_CONFIG",
            help="The policy file; portvakt.toml if it is there.",
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Fetch the keys of an issuer and say which are used, and why others are not.

    Exit 0: there are usable keys. Exit 1: there are none. Exit 2: they cannot be had.
    """
    try:
        guard = _guard(issuer, config)
        trusted = _find(issuer, guard)
    except ConfigurationError as error:
        _give_up(error)
    try:
        keys = asyncio.run(guard.keys.fetch(trusted))
    except Unavailable as error:
        # A set of which no key is usable is never used, but it is what one wants to see.
        published = guard.keys.health(trusted).published
        if published is None:
            _give_up(error)
        keys = published
    _print(trusted, keys, guard.keys.health(trusted))
    raise typer.Exit(0 if keys.keys else UNUSABLE)


def _give_up(error: Exception) -> NoReturn:
    typer.echo(f"portvakt keys show: {shown(discreet(str(error)))}", err=True)
    raise typer.Exit(CANNOT_TELL) from None


def _guard(issuer: str, config: Path | None) -> Guard:
    path = Path("portvakt.toml") if config is None else config
    if config is not None or path.exists():
        return Guard.from_file(path)
    # No policy yet: whoever is about to write one wants to see what the issuer offers.
    return Guard.from_config(
        {
            "api": {"audience": "none-yet"},
            "issuer": [{"issuer": issuer, "algorithms": list(ALGORITHMS)}],
        }
    )


def _find(name: str, guard: Guard) -> TrustedIssuer:
    exact = guard.issuers.get(name)
    if exact is not None:
        return exact
    found = [one for one in guard.issuers.values() if name in one.issuer]
    if len(found) == 1:
        return found[0]
    known = ", ".join(guard.issuers)
    what = "several issuers have" if found else "no issuer of the policy has"
    raise ConfigurationError(f"{what} {name!r} in their name; there are {known}")


def _print(issuer: TrustedIssuer, keys: JwkSet, health: KeysHealth) -> None:
    # Names of keys are written by somebody else: nothing is taken for markup or an emoji.
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(shown(f"issuer {issuer.issuer}"))
    console.print(shown(f"from   {health.source}"))
    if health.clock_offset is not None:
        console.print(f"clock  the issuer's is {health.clock_offset:+.0f} s from ours")
    table = Table("kid", "alg", "strength", "thumbprint (RFC 7638, for pin)")
    for key in keys.keys:
        kid = "(none)" if key.kid is None else shown(key.kid)
        table.add_row(kid, ", ".join(key.algorithms), key.strength, key.thumbprint)
    console.print(table)
    for ignored in keys.ignored:
        name = "" if ignored.kid is None else f" (kid {shown(ignored.kid)})"
        console.print(f"not used: keys[{ignored.position}]{name}: {ignored.reason}")
