"""``portvakt store``: the database in which guards remember together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from msgspec import UNSET

from portvakt.cli.config import shown
from portvakt.clock import SystemClock
from portvakt.config.compile import compile_policy
from portvakt.config.load import read_file
from portvakt.errors import ConfigurationError
from portvakt.guard.evidence import records_place
from portvakt.guard.fitting import secrets_of
from portvakt.stores.base import StoreError
from portvakt.stores.opened import open_database

if TYPE_CHECKING:
    from portvakt.stores.sql.place import Place

__all__ = ["app"]

app: Final = typer.Typer(
    help="The database in which guards remember together.", no_args_is_help=True
)

NOT_READY: Final = 1
CANNOT_TELL: Final = 2

#: Seconds that a database has for each step; a guard gives it less.
_PATIENCE: Final = 30.0

_CONFIG: Final = typer.Option(
    "--config", envvar="PORTVAKT_CONFIG", help="The policy file.", dir_okay=False
)


@app.command()
def upgrade(config: Annotated[Path, _CONFIG] = Path("portvakt.toml")) -> None:
    """Make the tables, or bring them to the form of this version. There is no way back.

    Nothing in them is lost. Guards of an earlier version refuse from then on what they need the
    store for: stop them first.

    Exit 0: the store is as this version needs it. Exit 2: it cannot be had, or is of a later one.
    """
    for place in _places(config, "upgrade"):
        _upgrade(place)


def _upgrade(place: Place) -> None:
    from portvakt.stores.sql import upgrade as tables  # noqa: PLC0415  of an extra

    try:
        before = tables.upgrade(place, SystemClock())
    except StoreError as error:
        raise _failed("upgrade", error.reason) from None
    now = tables.SCHEMA
    if before == now:
        typer.echo(f"{place.kind}: is as this version needs it ({now})")
    else:
        typer.echo(f"{place.kind}: upgraded from {before or 'nothing'} to {now}")


@app.command()
def status(config: Annotated[Path, _CONFIG] = Path("portvakt.toml")) -> None:
    """Say whether the tables are those of this version. Changes nothing.

    Exit 0: they are. Exit 1: they have to be upgraded. Exit 2: that cannot be told, or they are of
    a later version.
    """
    behind = [_is_behind(place) for place in _places(config, "status")]
    if any(behind):
        typer.echo("run portvakt store upgrade")
        raise typer.Exit(NOT_READY)


def _is_behind(place: Place) -> bool:
    from portvakt.stores.sql import upgrade as tables  # noqa: PLC0415  of an extra

    try:
        found = tables.schema(place)
    except StoreError as error:
        raise _failed("status", error.reason) from None
    if found is not None and found > tables.SCHEMA:
        raise _failed("status", tables.NEWER)
    if found != tables.SCHEMA:
        typer.echo(f"{place.kind}: has {found or 'no tables'}, and this version {tables.SCHEMA}")
        return True
    typer.echo(f"{place.kind}: is as this version needs it ({found})")
    return False


def _places(config: Path, command: str) -> list[Place]:
    """Return where the policy has tables: its store's and its records', once if they are one.

    None of them, once that is said, if its store has none.
    """
    places: list[Place] = []
    try:
        policy = compile_policy(read_file(config, os.environ))
        table, records = policy.configuration.store, policy.configuration.records
        apart = records is not UNSET and records.sink == "sql" and records.url is not UNSET
        if table is UNSET and not apart:
            raise _failed(command, "the policy has no [store]")
        secrets = secrets_of(policy)
        found = None
        if table is not UNSET:
            password = None
            if table.password is not UNSET:
                password = secrets.text(table.password, "store.password")
            found = open_database(
                table.url, password=password, timeout=_PATIENCE, directory=policy.directory
            )
        further = records_place(policy, secrets, timeout=_PATIENCE) if apart else None
        places += [place for place in (found, further) if place is not None]
    except ConfigurationError as error:
        raise _failed(command, str(error)) from None
    if not places:
        typer.echo("this store has no tables: there is nothing to do")
    return places


def _failed(command: str, why: str) -> typer.Exit:
    typer.echo(f"portvakt store {command}: {shown(why)}", err=True)
    return typer.Exit(CANNOT_TELL)
