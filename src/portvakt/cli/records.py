"""``portvakt records``: the records of decisions, verified and handed on."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import msgspec
import typer

from portvakt.cli.config import shown
from portvakt.config.compile import compile_policy
from portvakt.config.load import read_file
from portvakt.errors import ConfigurationError
from portvakt.guard.evidence import record_keys, records_place
from portvakt.guard.fitting import secrets_of
from portvakt.records.chain import Head, Unreadable, link_of
from portvakt.records.fhir import audit_event
from portvakt.records.reading import (
    heads_told,
    lines_of_file,
    lines_of_rows,
    lines_of_stream,
)
from portvakt.records.record import Kind
from portvakt.records.sinks import listed
from portvakt.records.verify import UnknownKey, Verifier
from portvakt.stores.base import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import NoReturn

    from portvakt.records.key import RecordKey
    from portvakt.records.reading import Line
    from portvakt.records.record import Record
    from portvakt.records.verify import Flaw

__all__ = ["app"]

app: Final = typer.Typer(help="Records of decisions.", no_args_is_help=True)

FLAWED: Final = 1
CANNOT_TELL: Final = 2

#: Flaws that are shown: who wants more has other troubles.
_SHOWN: Final = 100

#: Seconds that a database has for each step.
_PATIENCE: Final = 30.0

_CONFIG: Final = typer.Option(
    "--config", envvar="PORTVAKT_CONFIG", help="The policy file.", dir_okay=False
)
_SOURCES: Final = typer.Argument(
    help="Files or folders with records, or - for standard input; else what the policy says.",
    show_default=False,
)
_PRUNED: Final = typer.Option(
    "--pruned", help="Old files may have been deleted: a chain may begin with any of its files."
)


class _Source(NamedTuple):
    """Where records are read from.

    Attributes:
        keys: the secrets, by their names.
        told: heads of chains that stand in records themselves.
        lines: the lines.
    """

    keys: dict[str, RecordKey]
    told: Iterable[Head]
    lines: Iterable[Line]


@app.command()
def verify(
    sources: Annotated[list[str] | None, _SOURCES] = None,
    *,
    config: Annotated[Path, _CONFIG] = Path("portvakt.toml"),
    expect: Annotated[
        Path | None,
        typer.Option("--expect", help="Heads that were saved earlier, and must be there."),
    ] = None,
    save_heads: Annotated[
        Path | None,
        typer.Option("--save-heads", help="Write where each chain stands, to keep elsewhere."),
    ] = None,
    pruned: Annotated[bool, _PRUNED] = False,
) -> None:
    """Say whether any record was changed, removed or moved, and where.

    Only whoever has the key can make records, so the policy's keys are needed. The end of a chain
    can be cut off unnoticed, unless its head was kept elsewhere.

    Exit 0: all of them hold. Exit 1: some do not. Exit 2: that cannot be told.
    """
    with _telling("verify"):
        source = _source(config, sources or [])
        expected = [] if expect is None else _read_heads(expect)
        verifier = Verifier(source.keys, expected, pruned=pruned)
        verifier.tell(source.told)
        flaws = 0
        for line in source.lines:
            if not line.whole:
                what = "an incomplete last line: its writer was killed, or is writing it"
                typer.echo(f"{line.place}: {what}")
                continue
            _, found = verifier.read(line.octets, line.place)
            flaws = _show(found, flaws)
        flaws = _show(verifier.finish(), flaws)
        heads = list(verifier.heads())
        if not heads and not flaws:
            _cannot("there are no records")
        for head, records, ended in heads:
            state = "ended in good order" if ended else "no end: killed, cut off, or still writing"
            typer.echo(
                f"writer {head.writer}: {records} records, {state}; head {head.n} {head.link}"
            )
        if save_heads is not None and not flaws:
            text = "".join(f"{head.writer} {head.n} {head.link}\n" for head, _, _ in heads)
            save_heads.write_text(text, encoding="ascii")
    if verifier.lost:
        typer.echo(f"{verifier.lost} decisions were not recorded, as the records themselves say")
    if flaws:
        typer.echo(f"{flaws} flaws: the records do not hold", err=True)
        raise typer.Exit(FLAWED)
    typer.echo(f"{verifier.decisions} decisions: nothing was changed, removed or moved")


@app.command()
def export(
    sources: Annotated[list[str] | None, _SOURCES] = None,
    *,
    config: Annotated[Path, _CONFIG] = Path("portvakt.toml"),
    form: Annotated[
        str, typer.Option("--format", help="Which form: fhir, R4 AuditEvent as JSON.")
    ] = "fhir",
    bundle: Annotated[
        bool, typer.Option("--bundle", help="One Bundle, and not one resource a line.")
    ] = False,
    pruned: Annotated[bool, _PRUNED] = False,
) -> None:
    """Print the records of decisions in another form. Each is verified before it is printed.

    Exit 0: all are printed. Exit 1: one does not hold, and nothing is printed from there on. Exit
    2: they cannot be had.
    """
    with _telling("export"):
        if form != "fhir":
            _cannot("the form must be fhir")
        source = _source(config, sources or [])
        verifier = Verifier(source.keys, pruned=pruned)
        out = sys.stdout.buffer
        events = _events(verifier, source.lines)
        if not bundle:
            for event in events:
                out.write(event + b"\n")
        else:
            out.write(b'{"resourceType":"Bundle","type":"collection","entry":[')
            for index, event in enumerate(events):
                out.write((b"," if index else b"") + b'{"resource":' + event + b"}")
            out.write(b"]}\n")
        out.flush()


def _events(verifier: Verifier, lines: Iterable[Line]) -> Iterator[bytes]:
    apis: dict[str, str | None] = {}
    for line in lines:
        if not line.whole:
            continue
        record, flaws = verifier.read(line.octets, line.place)
        if record is None:
            _show(flaws, 0, err=True)
            sys.stdout.flush()
            raise typer.Exit(FLAWED)
        _remember_api(apis, record)
        if record.kind == Kind.DECISION:
            yield msgspec.json.encode(audit_event(record, apis.get(record.writer)))


def _remember_api(apis: dict[str, str | None], record: Record) -> None:
    if record.kind in {Kind.START, Kind.PART}:
        apis[record.writer] = record.api
    elif record.kind == Kind.END:
        apis.pop(record.writer, None)


def _source(config: Path, sources: list[str]) -> _Source:
    policy = compile_policy(read_file(config, os.environ))
    secrets = secrets_of(policy)
    keys = {key.id: key for key in record_keys(policy, secrets)}
    if sources == ["-"]:
        return _Source(keys, (), lines_of_stream(sys.stdin.buffer, "-"))
    if not sources:
        place = records_place(policy, secrets, timeout=_PATIENCE)
        if place is not None:
            from portvakt.stores.sql.records import SqlRecords  # noqa: PLC0415  of an extra

            rows = SqlRecords(place)
            first = [octets for _, _, octets in rows.lines(first_only=True)]
            return _Source(keys, heads_told(first), lines_of_rows(rows))
        table = policy.configuration.records
        folder = None if isinstance(table, msgspec.UnsetType) else table.folder
        if not isinstance(folder, str):
            _cannot("name the files: the policy has records written to standard output")
        sources = [str(policy.directory / folder)]
    paths = [found for one in sources for found in _files(Path(one))]
    first = [line.octets for path in paths for line in _first(path)]
    return _Source(keys, heads_told(first), chain.from_iterable(map(lines_of_file, paths)))


def _files(path: Path) -> list[Path]:
    return listed(path) if path.is_dir() else [path]


def _first(path: Path) -> Iterator[Line]:
    for line in lines_of_file(path):
        yield line
        return


def _read_heads(path: Path) -> list[Head]:
    heads = []
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        writer, _, rest = line.partition(" ")
        n, _, link = rest.partition(" ")
        try:
            link_of(link)
            heads.append(Head(writer, int(n), link))
        except (Unreadable, ValueError):
            _cannot(f"{path} holds no heads: each line is a writer, a number and a link")
    return heads


def _show(found: Iterable[Flaw], before: int, *, err: bool = False) -> int:
    count = before
    for flaw in found:
        count += 1
        if count <= _SHOWN:
            where = f"{flaw.place}: " if flaw.place else ""
            typer.echo(shown(f"{where}{flaw.what}"), err=err)
        elif count == _SHOWN + 1:
            typer.echo("… and more", err=err)
    return count


class _CannotTell(Exception):  # noqa: N818  it says what it is
    pass


def _cannot(why: str) -> NoReturn:
    raise _CannotTell(why)


@contextmanager
def _telling(command: str) -> Iterator[None]:
    """Say why something cannot be told, and end with exit 2."""
    try:
        yield
        return  # noqa: TRY300  nothing to say
    except UnknownKey as error:
        why = f"the secret {error.id} is not among the policy's [records] keys"
    except StoreError as error:
        why = error.reason
    except OSError as error:
        why = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    except (ConfigurationError, _CannotTell) as error:
        why = str(error)
    typer.echo(f"portvakt records {command}: {shown(why)}", err=True)
    raise typer.Exit(CANNOT_TELL)
