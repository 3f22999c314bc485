"""``portvakt demo``: honest and hostile requests at a sample API, and what becomes of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from portvakt.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portvakt.demo.run import Demo, Row
    from portvakt.demo.scenes import Act

__all__ = ["demo"]

#: Columns of a terminal below which what belongs to a scene goes under one another.
_NARROW: Final = 76

#: Columns beyond which lines get too long to read.
_WIDEST: Final = 120

_OUTCOME_WIDTH: Final = 24

_INTRODUCTION: Final = (
    "An access token (a JWT) is a signed note: who may do what, at which API, until when. An API "
    "that does not check all of it lets strangers in. Here a sample journal API runs behind the "
    "guard, at {url}, and honest and hostile requests are sent to it over HTTP, now."
)

_REASONS: Final = (
    "The word below a status is the reason, for the log of whoever runs the API. To a forger the "
    "answer is always the same sentence: it does not tell what gave the forgery away."
)


def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="End after the table.")] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen on 127.0.0.1; 0: any free port.")
    ] = 0,
) -> None:
    """Watch a guarded API refuse forged tokens, over real HTTP on this machine.

    Starts a sample journal API behind the guard, sends honest and hostile
    requests at it, and shows what was sent, what the advice says, and what
    happened. Then the API keeps running, with curl lines to try, until Ctrl-C.

    Exits with 0 if everything went as it must, with 1 if not, and with 2 if
    the demo could not be played at all.
    """
    try:
        from portvakt.demo.run import Demo, DemoError  # noqa: PLC0415  the extra may be missing
        from portvakt.demo.scenes import ACTS  # noqa: PLC0415  likewise
    except (ImportError, ConfigurationError) as error:
        if isinstance(error, ImportError) and (error.name or "").startswith("portvakt"):
            raise
        typer.echo("The demo needs more packages: pip install 'portvakt[demo]'", err=True)
        raise typer.Exit(2) from None

    console = Console(highlight=False, emoji=False)
    ok = False
    try:
        with Demo(port) as running:
            ok = _show(running, ACTS, console)
            if not once:
                _invite(running, console)
                running.wait()
    except ConfigurationError as error:
        # The guard tests itself before it starts: one that lets forgeries in ends here.
        typer.echo(f"portvakt demo: {error}", err=True)
        raise typer.Exit(1) from None
    except DemoError as error:
        typer.echo(f"portvakt demo: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        console.print("\nStopped.")
    if not ok:
        raise typer.Exit(1)


def _show(running: Demo, acts: Iterable[Act], console: Console) -> bool:
    """Play every scene and print it as it happens; return whether all went as they must."""
    console.print(Text("Portvakt demo", style="bold"))
    console.print(
        _INTRODUCTION.format(url=running.url), width=min(console.width, _WIDEST), markup=False
    )
    console.print()
    if console.width >= _NARROW:
        heads = ("What was sent", "What the advice says", "What happened")
        console.print(_line(console, Text(), *(Text(head, style="dim") for head in heads)))
    played = failed = 0
    for act in acts:
        console.print()
        console.print(Text(act.title, style="bold cyan"))
        for scene in act.scenes:
            row = running.play(scene)
            console.print(_drawn(row, console))
            played += 1
            failed += not row.ok
    # Every scene went over HTTP, and nothing else did: the server counted, outside the guard.
    ok = not failed and running.requests == played
    console.print()
    verdict = f"{played - failed} of {played} requests went as they must"
    received = f"the server received {running.requests} over HTTP."
    console.print(Text(f"{verdict}; {received}", style="bold green" if ok else "bold red"))
    console.print(Text(_REASONS, style="dim"), width=min(console.width, _WIDEST))
    return ok


def _drawn(row: Row, console: Console) -> Table | Padding:
    """Draw one scene: beside one another where there is room, else under one another."""
    ascii_only = console.options.ascii_only
    if row.ok:
        mark = Text("ok" if ascii_only else "✓", style="green")
    else:
        mark = Text("NO" if ascii_only else "✗", style="bold red")
    sent, advice, outcome = Text(row.scene.sent), Text(row.scene.advice), _outcome(row)
    if console.width >= _NARROW:
        return _line(console, mark, sent, advice, outcome)
    sent.stylize("bold")
    stack = Table.grid(padding=(0, 1, 0, 0))
    stack.add_column(overflow="fold")
    stack.add_column(overflow="fold")
    stack.add_row(mark, sent)
    stack.add_row("", advice)
    stack.add_row("", outcome)
    return Padding(stack, (0, 0, 1, 0))


def _line(console: Console, mark: Text, sent: Text, advice: Text, outcome: Text) -> Table:
    # Each line is a table of its own, so that it is there at once: the widths must be fixed.
    rest = min(console.width, _WIDEST) - 2 - _OUTCOME_WIDTH - 3 * 2
    line = Table.grid(padding=(0, 2, 0, 0))
    for width in (2, rest * 2 // 5, rest - rest * 2 // 5, _OUTCOME_WIDTH):
        line.add_column(width=width, overflow="fold")
    line.add_row(mark, sent, advice, outcome)
    return line


def _outcome(row: Row) -> Text:
    """Say what happened, and what should have, if that is something else."""
    text = _answer(row.status, row.code.value if row.code else None)
    if row.ok:
        return text
    if not row.judged:
        text.append("\nthe guard was not asked", style="red")
    if row.arrived != 1:
        text.append(f"\narrived {row.arrived} times", style="red")
    text.append("\nshould be: ", style="red")
    return text + _answer(row.scene.status, row.scene.code.value if row.scene.code else None)


def _answer(status: int | None, reason: str | None) -> Text:
    if status is None:
        return Text("no answer", style="red")
    if status < 300:
        return Text(f"{status} let in", style="green")
    text = Text(f"{status} refused", style="yellow")
    return text.append(f"\n{reason}", style="dim") if reason else text


def _invite(running: Demo, console: Console) -> None:
    """Print lines to try, each on one line however long, so that it can be copied."""
    console.print()
    console.print(Text("The API keeps running. Try it from another terminal:", style="bold"))
    for title, command in running.curl_lines():
        console.print()
        console.print(Text(f"# {title}", style="dim"))
        console.print(Text(command), soft_wrap=True)
    console.print()
    console.print(Text("Ctrl-C ends it.", style="bold"))
