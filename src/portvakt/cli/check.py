"""``portvakt check``: each check of one token, in its order, with what it found and why."""

import json
import math
import re
import sys
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text

from portvakt.cli.discreet import discreet
from portvakt.errors import ConfigurationError
from portvakt.explain import Explanation, Language, StepExplanation, explain
from portvakt.explain.shown import MAX_TIME, show_utc
from portvakt.explain.texts import Words, load
from portvakt.guard import Guard
from portvakt.guard.assembly import assemble_file
from portvakt.home import finish

__all__ = ["HELP", "check"]

HELP: Final = (
    "Explain a token: each check in order, what it found, and why.\n\n"
    "Exit 0: admitted. Exit 1: refused. Exit 2: cannot tell.\n\n"
    "The token is never printed. Give it on standard input (as -) rather than as an argument: "
    "other users of this machine can see arguments."
)

_EXIT: Final = {"admitted": 0, "refused": 1, "cannot tell": 2}

#: Octets read from standard input: a token this long is refused for its length alone.
_MAX_INPUT: Final = 1024 * 1024

#: A method and a request target (RFC 9112 section 3); in the target no space, no fragment and no
#: braces: a template names many paths, and a request has one.
_ROUTE: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ((?:/|https?://)[^\s#{}]*)")

_STYLES: Final = {"passed": "green", "failed": "bold red", "not reached": "dim"}
_VERDICT_STYLES: Final = {"admitted": "bold green", "refused": "bold red", "cannot tell": "bold"}

#: Columns beyond which lines get too long to read; in a pipe each thing said is one line.
_WIDEST: Final = 110
_UNBROKEN: Final = 100_000

_INDENT: Final = " " * 4


class _CannotTellError(Exception):
    """There is no verdict; the message says why, and holds nothing of the token."""


def check(
    token: Annotated[
        # As many words as there are: Bearer may come first, and what is left over is never echoed.
        list[str],
        typer.Argument(help="The token, or - to read it from standard input.", metavar="TOKEN|-"),
    ],
    *,
    config: Annotated[
        str, typer.Option("--config", envvar="PORTVAKT_CONFIG", help="The policy file.")
    ] = "portvakt.toml",
    route: Annotated[
        str | None,
        typer.Option(
            "--route",
            help='The request that carries it, as "GET /journal/1".',
            metavar='"METHOD /path"',
        ),
    ] = None,
    at: Annotated[
        float | None,
        typer.Option(
            "--at", help="Judge as if it were this time, in seconds since 1970.", metavar="UNIX"
        ),
    ] = None,
    proof: Annotated[
        str | None,
        typer.Option(
            "--proof", help="The DPoP proof that comes with it; with --route.", metavar="PROOF"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    language: Annotated[Language, typer.Option("--language", help="The language.")] = "en",
) -> None:
    """Explain a token (see :data:`HELP`)."""
    try:
        explanation = _explain(_read(" ".join(token)), config, route, at, language, proof)
    except _CannotTellError as error:
        message = discreet(str(error))
        if as_json:
            typer.echo(json.dumps(_undecided(message, load(language).words)))
        else:
            typer.echo(f"portvakt check: {_escaped(message)}", err=True)
        raise typer.Exit(_EXIT["cannot tell"]) from None
    if as_json:
        typer.echo(json.dumps(explanation.plain()))
    else:
        _print(explanation, load(language).words)
    raise typer.Exit(_EXIT[explanation.verdict])


def _read(argument: str) -> str:
    # As an HTTP server would read it: each octet is a character.
    from_pipe = argument == "-"
    given = sys.stdin.buffer.read(_MAX_INPUT).decode("iso-8859-1") if from_pipe else argument
    token = given.strip()
    # People copy the whole header.
    scheme, space, rest = token.partition(" ")
    return rest.lstrip() if space and scheme.lower() in {"bearer", "dpop"} else token


def _explain(
    token: str,
    config: str,
    route: str | None,
    at: float | None,
    language: Language,
    proof: str | None,
) -> Explanation:
    method, url = _request(route)
    if proof is not None and route is None:
        raise _CannotTellError("--proof is for one request: say which with --route")
    if at is not None and not (math.isfinite(at) and 0 <= at <= MAX_TIME):
        raise _CannotTellError("--at must be a time in seconds since 1970, as 1716473600")
    try:
        clock = None if at is None else lambda: at
        # A rehearsal: to explain a proof must not use it up.
        guard = assemble_file(Guard, config, clock=clock, observers=(), rehearsal=True)
    except ConfigurationError as error:
        raise _CannotTellError(str(error)) from None
    try:
        return explain(guard, token, method=method, url=url, proof=proof, language=language)
    finally:
        if guard.parts.store is not None:
            finish(guard.home.blocked(guard.parts.close))


def _request(route: str | None) -> tuple[str, str | None]:
    if route is None:
        return "GET", None
    match = _ROUTE.fullmatch(route)
    if match is None:
        raise _CannotTellError(
            '--route must be a method, a space and the path of a request, as "GET /journal/1"; '
            "not a template with braces"
        )
    return match[1], match[2]


def _undecided(message: str, words: Words) -> dict[str, Any]:
    """Return what ``--json`` prints when the guard was not even asked: the same names, empty."""
    nothing = Explanation(
        verdict="cannot tell",
        headline=words.cannot_tell,
        at=None,
        steps=(),
        code=None,
        text=None,
        detail=message,
        status=None,
        challenge=None,
        sentence=None,
    )
    return nothing.plain()


def _escaped(text: str) -> str:
    """Escape what could act on a terminal: a policy file may be somebody else's."""
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


def _print(explanation: Explanation, words: Words) -> None:
    # Nothing is taken for markup or an emoji: some of it was written by whoever made the token.
    console = Console(markup=False, emoji=False, highlight=False)
    console.width = min(console.width, _WIDEST) if console.is_terminal else _UNBROKEN
    if explanation.at is not None:
        console.print(words.judged_at.format(time=show_utc(explanation.at)), style="dim")
    for one in explanation.steps:
        _print_step(console, one, explanation, words)
    console.print()
    console.print(explanation.headline, style=_VERDICT_STYLES[explanation.verdict])
    if explanation.code is not None:
        _print_line(console, words.answer, f"{explanation.status} {explanation.sentence}")
        if explanation.challenge is not None:
            _print_line(console, "WWW-Authenticate", explanation.challenge)
        detail = "" if explanation.detail is None else f": {explanation.detail}"
        _print_line(console, words.log, explanation.code.value + detail)


def _print_step(
    console: Console, one: StepExplanation, explanation: Explanation, words: Words
) -> None:
    names = {
        "passed": words.outcome_passed,
        "failed": words.outcome_failed,
        "not reached": words.outcome_not_reached,
    }
    outcome = names[one.outcome].ljust(max(map(len, names.values())))
    title = Text.assemble(
        f"{one.step:2}. ",
        (outcome, _STYLES[one.outcome]),
        (f"  {one.title}: {one.question}", "bold"),
    )
    _print_indented(console, title, first="")
    if one.found is not None:
        doubt = f" ({words.unverified})" if one.unverified else ""
        _print_line(console, words.found, one.found + doubt)
    if one.expected is not None:
        _print_line(console, words.expected, one.expected)
    _print_indented(console, Text(one.why, style="dim" if one.outcome == "not reached" else ""))
    text = explanation.text
    if text is not None and explanation.code is not None and one.step is explanation.code.step:
        _print_line(console, words.matters, text.why)
        _print_line(console, words.remedy, text.remedy)
        _print_line(console, words.advice, one.advice)


def _print_line(console: Console, label: str, value: str) -> None:
    _print_indented(console, Text.assemble((f"{label}: ", "cyan"), value))


def _print_indented(console: Console, text: Text, first: str = _INDENT) -> None:
    for number, line in enumerate(text.wrap(console, console.width - len(_INDENT))):
        line.rstrip()
        console.print(Text(_INDENT if number else first).append_text(line))
