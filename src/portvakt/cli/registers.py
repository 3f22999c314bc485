"""``portvakt registers``: the copies of registers on this machine."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from portvakt.cli.config import shown
from portvakt.errors import ConfigurationError
from portvakt.net.address import CheckedAddresses, Reach
from portvakt.net.fetch import Fetch
from portvakt.registers.update import (
    MAIN_UNITS,
    SUB_UNITS,
    NotFetched,
    RefusedSnapshot,
    update_snapshot,
)

__all__ = ["app"]

app: Final = typer.Typer(help="Registers that are asked on this machine.", no_args_is_help=True)

REFUSED: Final = 1
CANNOT_TELL: Final = 2

#: Octets of a bulk file as it is sent. The larger one has some two hundred millions.
_MAX_FILE: Final = 2 * 1024**3


@app.command()
def update(
    snapshot: Annotated[
        Path, typer.Argument(help="The copy: a SQLite file, made or replaced.", dir_okay=False)
    ],
    *,
    main_units: Annotated[
        str, typer.Option("--main", help="The bulk file of main units: a URL, or a local file.")
    ] = MAIN_UNITS,
    sub_units: Annotated[
        str, typer.Option("--sub", help="The bulk file of sub-units: a URL, or a local file.")
    ] = SUB_UNITS,
    allow_smaller: Annotated[
        bool,
        typer.Option("--allow-smaller", help="Take it even if it has far fewer units than before."),
    ] = False,
    ca_file: Annotated[
        Path | None,
        typer.Option("--ca-file", help="More certificates to trust, in PEM.", dir_okay=False),
    ] = None,
    proxy: Annotated[str | None, typer.Option("--proxy", help="The URL of an HTTP proxy.")] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds for each of the two files.")
    ] = 1800.0,
) -> None:
    """Fetch Enhetsregisteret and put a copy of it in the place of the last one.

    Exit 0: there is a new copy. Exit 1: what came is not usable. Exit 2: it cannot be had. After
    exit 1 and 2 the last copy is as it was.
    """
    try:
        fetch = Fetch(
            # A mirror that the operator names may well be within.
            CheckedAddresses(Reach(private=True, loopback=True)),
            ca_file=ca_file,
            proxy=proxy,
            loopback_http=True,
            timeout=timeout,
            max_body=_MAX_FILE,
        )
        console = Console(stderr=True, markup=False, emoji=False, highlight=False)
        with console.status("") as status:

            def progress(what: str, octets: int, units: int, /) -> None:
                done = f"{octets / 1e6:.1f} MB fetched" if octets else f"{units} read"
                status.update(f"{what}: {done}")

            info = asyncio.run(
                update_snapshot(
                    snapshot,
                    fetch=fetch,
                    main_units=_source(main_units),
                    sub_units=_source(sub_units),
                    allow_smaller=allow_smaller,
                    progress=progress,
                )
            )
    except (ConfigurationError, NotFetched, RefusedSnapshot) as error:
        typer.echo(f"portvakt registers update: {shown(str(error))}", err=True)
        refused = isinstance(error, RefusedSnapshot)
        raise typer.Exit(REFUSED if refused else CANNOT_TELL) from None
    made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(info.made_at))
    typer.echo(shown(f"{snapshot}: {info.main} main units, {info.sub} sub-units, as of {made_at}"))


def _source(text: str) -> str | Path:
    return text if text.lower().startswith(("https://", "http://")) else Path(text)
