"""Records where they are kept → their lines, one after the other, each with its place."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from portvakt.records.chain import Head, Unreadable, open_sealed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from portvakt.stores.base import RecordRows

__all__ = ["BEGINNING", "Line", "heads_told", "lines_of_file", "lines_of_rows", "lines_of_stream"]

#: How each line with a record begins: so records are told from what else is on a stream.
BEGINNING: Final = b'{"writer":"'

#: Octets of one line at most: ten times what a record can have.
_LONGEST: Final = 64 * 1024


class Line(NamedTuple):
    """One line.

    Attributes:
        place: what to call it.
        octets: without the line break.
        whole: whether there was a line break; without one, its writer did not come to the end.
    """

    place: str
    octets: bytes
    whole: bool = True


def lines_of_file(path: Path) -> Iterator[Line]:
    """Yield the lines of a file with records.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        yield from _lines(file, path.name)


def lines_of_stream(file: BinaryIO, name: str) -> Iterator[Line]:
    """Yield the lines of a stream that hold records; what else was written there is left out.

    A record that was changed so that it looks like no record is missing from its chain.
    """
    return (line for line in _lines(file, name) if line.octets.startswith(BEGINNING))


def lines_of_rows(rows: RecordRows) -> Iterator[Line]:
    """Yield the lines of a table with records.

    Raises:
        StoreError: if the database gives no answer.
    """
    for writer, n, octets in rows.lines():
        yield Line(f"{writer}:{n}", octets)


def heads_told(first: Iterable[bytes]) -> Iterator[Head]:
    """Yield the heads of other chains that first lines of files or chains tell of.

    Nothing is verified: the lines are read again, in their place.
    """
    for line in first:
        with suppress(Unreadable):
            record, _, _ = open_sealed(line)
            yield from (Head(*told) for told in record.others)


def _lines(file: BinaryIO, name: str) -> Iterator[Line]:
    number = 0
    while octets := file.readline(_LONGEST):
        number += 1
        whole = octets.endswith(b"\n")
        yield Line(f"{name}:{number}", octets[:-1] if whole else octets, whole)
