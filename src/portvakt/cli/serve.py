"""``portvakt serve``: the gateway that a proxy asks before it passes a request on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from portvakt.cli.config import list_problems
from portvakt.errors import ConfigurationError

__all__ = ["serve"]

CANNOT_TELL: Final = 2


def serve(
    config: Annotated[
        Path,
        typer.Option("--config", envvar="PORTVAKT_CONFIG", help="The policy file.", dir_okay=False),
    ] = Path("portvakt.toml"),
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="How many processes judge, whatever the file says."),
    ] = None,
) -> None:
    """Protect APIs in any language: answer what nginx, Caddy, Traefik, Envoy or HAProxy asks.

    SIGHUP, or a change of the file, has the policy read again; a file that is wrong changes
    nothing. SIGTERM stops it when all requests under way are answered.
    """
    try:
        from portvakt.gateway.serve import serve as serve_gateway
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("portvakt"):
            raise
        typer.echo("The gateway needs more packages: pip install 'portvakt[gateway]'", err=True)
        raise typer.Exit(CANNOT_TELL) from None
    if workers is not None:
        # As the environment can: the processes that judge read it again.
        os.environ["PORTVAKT_GATEWAY__WORKERS"] = str(workers)
    try:
        serve_gateway(config)
    except ConfigurationError as error:
        list_problems(config, error)
        raise typer.Exit(CANNOT_TELL) from None
