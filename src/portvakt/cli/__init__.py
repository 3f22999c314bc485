"""The command line: one file for each command beside this one."""

import sys
from io import TextIOWrapper
from typing import Annotated, Final

from portvakt import __version__

try:
    import typer
    from rich.console import Console
except ModuleNotFoundError:
    sys.stderr.write("The command line needs more packages: pip install 'portvakt[cli]'\n")
    raise SystemExit(2) from None

from portvakt.cli import (
    check,
    config,
    demo,
    keys,
    profile,
    records,
    registers,
    revoke,
    serve,
    store,
)
from portvakt.cli.discreet import DiscreetGroup

__all__ = ["app", "main"]

#: No verdict. An error of Python's own would end with 1, which means "refused" here.
CANNOT_TELL: Final = 2

# Tracebacks stay plain: the pretty ones can show local variables, and those hold tokens.
app: Final = typer.Typer(
    name="portvakt",
    cls=DiscreetGroup,
    help="Secures HTTP APIs with OAuth 2.0 access tokens and lets nobody skip a check.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:  # noqa: FBT001  typer calls it so
    if asked:
        typer.echo(f"portvakt {__version__}")
        raise typer.Exit


@app.callback()
def _portvakt(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Say which version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


app.command("check", help=check.HELP)(check.check)
app.add_typer(config.app, name="config")
app.add_typer(keys.app, name="keys")
app.add_typer(profile.app, name="profile")
app.add_typer(records.app, name="records")
app.add_typer(registers.app, name="registers")
app.command("revoke")(revoke.revoke)
app.command("serve")(serve.serve)
app.add_typer(store.app, name="store")
app.command("demo")(demo.demo)


def main() -> None:
    """Run the command line. What goes wrong in it ends with exit 2, and shows no token."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Where a terminal does not have a character, its number is better than an end.
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except Exception as error:  # noqa: BLE001  a message or a traceback could hold a token
        Console(stderr=True).print(f"portvakt: internal error: {type(error).__name__}")
        raise SystemExit(CANNOT_TELL) from None
