"""``portvakt config``: whether the policy file is right, and what it says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from portvakt.cli.discreet import discreet
from portvakt.config.duration import write_duration
from portvakt.config.json_schema import json_schema
from portvakt.errors import ConfigurationError
from portvakt.explain.demands import demands
from portvakt.guard.guard import Guard
from portvakt.guard.standing import Standing
from portvakt.policy.issuer import TrustedIssuer
from portvakt.policy.routes import Route

__all__ = ["app", "list_problems", "shown"]

app: Final = typer.Typer(help="The policy file.", no_args_is_help=True)

_CONFIG: Final = typer.Option(
    "--config", envvar="PORTVAKT_CONFIG", help="The policy file.", dir_okay=False
)

WRONG: Final = 1
CANNOT_TELL: Final = 2


@app.command()
def check(config: Annotated[Path, _CONFIG] = Path("portvakt.toml")) -> None:
    """Say what is wrong with the policy file, or what it says. Exit 0 right, 1 wrong, 2 unread."""
    try:
        guard = Guard.from_file(config)
    except ConfigurationError as error:
        list_problems(config, error)
        # What could not be opened was not judged.
        unread = isinstance(error.__cause__, OSError)
        raise typer.Exit(CANNOT_TELL if unread else WRONG) from None
    typer.echo(f"{config}: right")
    for line in _summary(guard):
        typer.echo(shown(line))


def list_problems(config: Path, error: ConfigurationError) -> None:
    """Print what is wrong with a policy file, one line for each problem."""
    count = len(error.problems)
    typer.echo(f"{discreet(str(config))}: {count} problem{'s' * (count != 1)}", err=True)
    for problem in error.problems:
        typer.echo(f"  {shown(discreet(str(problem)))}", err=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the policy file, for editors."""
    typer.echo(json.dumps(json_schema(), indent=2))


def _summary(guard: Guard) -> Iterator[str]:
    yield f"API {guard.realm}"
    for issuer in guard.issuers.values():
        yield from _issuer(guard, issuer)
    yield from _parts(guard)
    if guard.parts.resource_metadata is not None:
        yield f"metadata for everyone at {guard.parts.resource_metadata}"
    if not guard.routes.rules:
        yield "routes: none, so every request needs a valid token"
        return
    yield "routes (any other request is refused)"
    for rule in guard.routes.rules:
        yield f"  {_route(rule)}"


def _parts(guard: Guard) -> Iterator[str]:
    parts = guard.parts
    if parts.possession is not None:
        rules = parts.possession.rules
        yield f"proofs for {', '.join(origin.text for origin in rules.origins)}"
        nonce = "" if rules.nonces is None else ", with a nonce"
        yield f"  alg      {', '.join(sorted(rules.algorithms))}{nonce}"
        yield (
            f"  time     at most {write_duration(rules.max_age)} old and "
            f"{write_duration(rules.max_ahead)} ahead"
        )
    if parts.store is not None:
        yield f"store {parts.store.health().kind}"
    standing = parts.standing
    if standing is None:
        yield "revocation: none, so a token holds until it expires"
    else:
        yield from _standing(standing)
    if parts.proxies is not None:
        yield "a proxy is believed what it says of its client"
    for asked in () if parts.introspection is None else parts.introspection.health():
        yield f"reference tokens of {asked.issuer} are asked about, by {asked.source}"
    if parts.decryption is not None:
        yield "encrypted tokens are opened"


def _standing(standing: Standing) -> Iterator[str]:
    if standing.mirror is not None:
        yield f"revocation holds within {write_duration(standing.mirror.max_staleness)}"
    for one in () if standing.lists is None else standing.lists.health():
        yield f"status list {one.uri}, at most {write_duration(one.max_age)} old"
    for told in () if standing.events is None else standing.events.health():
        yield f"events of {told.issuer}{', polled' if told.polled else ''}"


def _issuer(guard: Guard, issuer: TrustedIssuer) -> Iterator[str]:
    yield f"issuer {issuer.issuer}"
    yield f"  aud      {issuer.audience}"
    if issuer.other_audiences:
        yield f"           beside it: {', '.join(sorted(issuer.other_audiences))}"
    yield f"  alg      {', '.join(sorted(issuer.algorithms))}"
    yield f"  typ      {', '.join(sorted(issuer.types))}"
    yield f"  claims   {', '.join(['iss', 'aud', 'exp', 'iat', *sorted(issuer.required_claims)])}"
    yield (
        f"  time     lives at most {write_duration(issuer.max_lifetime)}, clocks may differ by "
        f"{write_duration(issuer.leeway)}, iat at most {write_duration(issuer.max_age_ahead)} ahead"
    )
    keys = guard.keys.current(issuer)
    for key in keys.keys if keys is not None else ():
        name = key.kid if key.kid is not None else "(no kid)"
        yield f"  key      {name}: {key.strength}, {', '.join(key.algorithms)}"


def _route(rule: Route) -> str:
    methods = ",".join(sorted(rule.methods)) if rule.methods is not None else "any method"
    if rule.public:
        return f"{methods} {rule.path}: public: no token"
    scopes = sorted(rule.requirement.scopes)
    demand = [f"scopes {', '.join(scopes)}"] if scopes else ["any valid token"]
    return f"{methods} {rule.path}: {'; '.join([*demand, *demands(rule.requirement)])}"


def shown(line: str) -> str:
    """Escape what could act on a terminal: a kid is written by somebody else."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)
