"""A list of one's own in a file: CSV or SQLite, one identifier a row, read strictly.

One row that is not as it must be, and nothing of the file is used: a list that is read wrongly in
one place is not right in the others. What is wrong is said with its row and never with its content.
"""

from __future__ import annotations

import csv
import math
import re
import sqlite3
from datetime import date
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from portvakt.errors import ConfigurationError, Problem
from portvakt.registers.base import Subject
from portvakt.registers.files import Stamp, Unusable, stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["Entries", "ListForm", "Period", "list_stamp", "normal", "read_list"]

#: The days on which a row holds, both included: as numbers of days, without limits where the row
#: states none.
Period = tuple[float, float]

#: Every identifier of a list, and when it holds.
Entries = dict[str, tuple[Period, ...]]

#: Rows of a list at most.
MAX_ROWS: Final = 2_000_000

#: Columns that may stand beside the identifier, and say when a row holds: YYYY-MM-DD, or nothing.
_DATES: Final = ("valid_from", "valid_to")

_ALWAYS: Final[Period] = (-math.inf, math.inf)
_EVER: Final = (_ALWAYS,)

_SQLITE: Final = b"SQLite format 3\0"


class ListForm(Struct, frozen=True, kw_only=True):
    """How a list is written.

    Attributes:
        subject: what its identifiers are.
        column: the name of the column that holds them.
        table: of a SQLite file, the name of the table.
        delimiter: of a CSV file, what stands between the columns.
    """

    subject: Subject
    column: str
    table: str | None = None
    delimiter: str = ","

    def __post_init__(self) -> None:
        """See that columns can be told apart.

        Raises:
            ConfigurationError: if the delimiter is not one character that can be one.
        """
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise ConfigurationError([Problem("delimiter", "must be one character, as , or ;")])


def _digits(pattern: str) -> Callable[[str], str | None]:
    matches = re.compile(pattern).fullmatch
    return lambda text: text if matches(text) else None


def _hpr_number(text: str) -> str | None:
    # Seven to nine digits are seen, and the same number with and without zeros in front.
    return (text.lstrip("0") or None) if re.fullmatch(r"[0-9]{1,9}", text) else None


#: The one spelling of an identifier, or None if it is none.
_NORMAL: Final[dict[Subject, Callable[[str], str | None]]] = {
    Subject.ORGANISATION: _digits(r"[0-9]{9}"),
    Subject.SUPPLIER: _digits(r"[0-9]{9}"),
    Subject.HPR_NUMBER: _hpr_number,
    Subject.PID: _digits(r"[0-9]{11}"),
    Subject.CLIENT: _digits(r"[\x21-\x7e](?:[\x20-\x7e]{0,1022}[\x21-\x7e])?"),
}


def normal(subject: Subject, text: str) -> str | None:
    """Return the one spelling of an identifier, or None if it is not of its form.

    An HPR number has no leading zeros, and is not zero; an organisation has nine digits, a person
    eleven; a client's name is printable ASCII that neither begins nor ends with a space.

    Does not check: check digits.
    """
    return _NORMAL[subject](text)


def list_stamp(path: Path) -> tuple[Stamp, Stamp | None]:
    """Return what tells that a list is another than it was.

    What is new in a SQLite file may lie in its log beside it.

    Raises:
        OSError: if the file is not there.
        Unusable: if everybody may write to it.
    """
    try:
        log = stamp(path.with_name(f"{path.name}-wal"))
    except FileNotFoundError:
        log = None
    return stamp(path), log


def read_list(path: Path, form: ListForm) -> Entries:
    """Read a list, CSV or SQLite, as the file itself says.

    Raises:
        OSError: if it cannot be read.
        Unusable: if a row, a column or the file is not as it must be, or it holds nothing.
    """
    with path.open("rb") as file:
        is_sqlite = file.read(len(_SQLITE)) == _SQLITE
    if is_sqlite != (form.table is not None):
        kind = "a SQLite file, so a table must be named" if is_sqlite else "no SQLite file"
        raise Unusable(f"the file is {kind}")
    try:
        entries = _entries(_sqlite_rows(path, form) if is_sqlite else _csv_rows(path, form), form)
    except (UnicodeDecodeError, csv.Error):
        raise Unusable("the file is no CSV in UTF-8") from None
    except sqlite3.Error:
        raise Unusable("the file is no SQLite database with that table and column") from None
    if not entries:
        raise Unusable("the list is empty")
    return entries


#: The number of a row, and its identifier and dates as they stand there.
_Row = tuple[int, str, list[str]]


def _entries(rows: Iterable[_Row], form: ListForm) -> Entries:
    entries: Entries = {}
    for number, text, dates in rows:
        if number > MAX_ROWS:
            raise Unusable(f"the list has more than {MAX_ROWS} rows")
        identifier = normal(form.subject, text)
        if identifier is None:
            raise Unusable(f"row {number}: not of the form of {form.subject.value}")
        period = _ALWAYS
        if dates:
            period = (_day(dates[0], -math.inf, number), _day(dates[1], math.inf, number))
            if period[0] > period[1]:
                raise Unusable(f"row {number}: valid_to is before valid_from")
        earlier = entries.get(identifier)
        if earlier is None and period is _ALWAYS:
            entries[identifier] = _EVER  # One for all, where there are millions.
        elif earlier is None or period not in earlier:
            entries[identifier] = (*(earlier or ()), period)
    return entries


def _day(text: str, without: float, number: int) -> float:
    if not text:
        return without
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        try:
            return date.fromisoformat(text).toordinal()
        except ValueError:
            pass
    raise Unusable(f"row {number}: a date is not written as YYYY-MM-DD")


def _csv_rows(path: Path, form: ListForm) -> Iterator[_Row]:
    # What a spreadsheet puts before the first letter is no letter.
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(_whole_lines(file), delimiter=form.delimiter, strict=True)
        names = next(rows, [])
        where = _columns(names, form)
        for number, row in enumerate(rows, 1):
            if len(row) != len(names):
                raise Unusable(f"row {number}: not as many columns as names of columns")
            text, *dates = ("" if at is None else row[at] for at in where)
            yield number, text, dates


def _whole_lines(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if not line.endswith(("\n", "\r")):
            raise Unusable("the last line has no end: the file may have been cut off")
        yield line


def _columns(names: Sequence[str], form: ListForm) -> list[int | None]:
    """Return where the identifier is, and where the dates are if there are any."""
    if len(set(names)) != len(names):
        raise Unusable("two columns have the same name")
    if form.column not in names:
        raise Unusable(f"there is no column {form.column!r}")
    dates = [names.index(name) if name in names else None for name in _DATES]
    return [names.index(form.column), *(dates if any(at is not None for at in dates) else ())]


def _sqlite_rows(path: Path, form: ListForm) -> Iterator[_Row]:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        table = _quoted(form.table or "")
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        where = _columns(names, form)
        wanted = ", ".join("''" if at is None else _quoted(names[at]) for at in where)
        rows = connection.execute(f"SELECT {wanted} FROM {table}")  # noqa: S608  quoted names
        for number, row in enumerate(rows, 1):
            if type(row[0]) not in {str, int}:
                raise Unusable(f"row {number}: neither text nor a whole number")
            text, *dates = ("" if value is None else str(value) for value in row)
            yield number, text, dates
    finally:
        connection.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
