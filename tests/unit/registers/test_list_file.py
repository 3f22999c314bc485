"""A list is read strictly: one row that is not as it must be, and nothing of it is used."""

import csv
import io
import math
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portvakt.errors import ConfigurationError
from portvakt.registers import list_file
from portvakt.registers.base import Subject
from portvakt.registers.files import Unusable
from portvakt.registers.list_file import Entries, ListForm, list_stamp, normal, read_list

HPR = ListForm(subject=Subject.HPR_NUMBER, column="hpr")
EVER = ((-math.inf, math.inf),)


def day(text: str) -> int:
    return date.fromisoformat(text).toordinal()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "list"


def read(path: Path, text: str | bytes, form: ListForm = HPR) -> Entries:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_list(path, form)


def database(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


@pytest.mark.parametrize(
    ("subject", "text", "spelling"),
    [
        (Subject.HPR_NUMBER, "9144900", "9144900"),
        (Subject.HPR_NUMBER, "009144900", "9144900"),
        (Subject.HPR_NUMBER, "0", None),
        (Subject.HPR_NUMBER, "000000000", None),
        (Subject.HPR_NUMBER, "0000000001", None),
        (Subject.HPR_NUMBER, "", None),
        (Subject.HPR_NUMBER, "-1", None),
        (Subject.HPR_NUMBER, "٣", None),
        (Subject.PID, "05076600324", "05076600324"),
        (Subject.PID, "5076600324", None),
        (Subject.PID, "050766 00324", None),
        (Subject.ORGANISATION, "974589095", "974589095"),
        (Subject.ORGANISATION, "974 589 095", None),
        (Subject.SUPPLIER, "974589095", "974589095"),
        (Subject.SUPPLIER, "NO974589095", None),
        (Subject.CLIENT, "fd6b:7/x y", "fd6b:7/x y"),
        (Subject.CLIENT, "x", "x"),
        (Subject.CLIENT, "a" * 1024, "a" * 1024),
        (Subject.CLIENT, "a" * 1025, None),
        (Subject.CLIENT, " x", None),
        (Subject.CLIENT, "x ", None),
        (Subject.CLIENT, "", None),
        (Subject.CLIENT, "æ", None),
    ],
)
def test_an_identifier_has_one_spelling(subject: Subject, text: str, spelling: str | None) -> None:
    assert normal(subject, text) == spelling
    assert normal(subject, f"{text}\n") is None


@pytest.mark.parametrize(
    "text",
    [
        "hpr\n9144900\n009144901\n",
        "hpr\r\n9144900\r\n9144901\r\n",
        "hpr\r9144900\r9144901\r",
        "\ufeffhpr\n9144900\n9144901\n",
        'navn,hpr\n"Ås, Åse",9144900\nOla,"9144901"\n',
        '"navn","hpr"\n"to\nlinjer",9144900\nOla,9144901\n',
    ],
)
def test_a_list_of_numbers(path: Path, text: str) -> None:
    assert read(path, text) == {"9144900": EVER, "9144901": EVER}


def test_dates_say_when_a_row_holds(path: Path) -> None:
    text = (
        "hpr;valid_from;valid_to\n"
        "1;2024-02-29;2024-12-31\n"
        "2;;2024-12-31\n"
        "3;2024-02-29;\n"
        "4;;\n"
        "1;2026-01-01;2026-01-01\n"
        "4;2026-01-01;\n"
    )
    first, last, later = day("2024-02-29"), day("2024-12-31"), day("2026-01-01")
    form = ListForm(subject=Subject.HPR_NUMBER, column="hpr", delimiter=";")
    assert read(path, text, form) == {
        "1": ((first, last), (later, later)),
        "2": ((-math.inf, last),),
        "3": ((first, math.inf),),
        "4": (*EVER, (later, math.inf)),
    }


def test_one_of_the_dates_is_enough(path: Path) -> None:
    assert read(path, "valid_to,hpr\n2024-12-31,1\n") == {"1": ((-math.inf, day("2024-12-31")),)}
    assert read(path, "valid_from,hpr\n2024-12-31,1\n") == {"1": ((day("2024-12-31"), math.inf),)}


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("", "no column 'hpr'"),
        ("hpr\n", "the list is empty"),
        ("9144900\n", "no column 'hpr'"),
        ("HPR\n1\n", "no column 'hpr'"),
        ("hpr,hpr\n1,1\n", "two columns have the same name"),
        ("hpr\n1\nx2\n", "row 2: not of the form of hpr_number"),
        ("hpr\n1\n\n2\n", "row 2: not as many columns"),
        ("hpr\n1,2\n", "row 1: not as many columns"),
        ("hpr,navn\n1\n", "row 1: not as many columns"),
        ("hpr\n1\n2", "the last line has no end"),
        ("hpr", "the last line has no end"),
        ("hpr\n 1\n", "row 1: not of the form"),
        ('hpr\n"1\n', "no CSV in UTF-8"),
        ('hpr\n"1"2\n', "no CSV in UTF-8"),
        (b"hpr\n\xff\n", "no CSV in UTF-8"),
        ("hpr\n1\0\n", "row 1: not of the form|no CSV"),
        ("hpr,valid_to\n1,31.12.2024\n", "row 1: a date is not written as YYYY-MM-DD"),
        ("hpr,valid_to\n1,2024-02-30\n", "row 1: a date is not written as YYYY-MM-DD"),
        ("hpr,valid_to\n1,20241231\n", "row 1: a date is not written as YYYY-MM-DD"),
        ("hpr,valid_from,valid_to\n1,2024-12-31,2024-12-30\n", "row 1: valid_to is before"),
        ("SQLite format 2\n", "no column 'hpr'"),
        (b"SQLite format 3\0more", "a SQLite file, so a table must be named"),
    ],
)
def test_what_is_not_as_it_must_be_spoils_the_whole(
    path: Path, text: str | bytes, flaw: str
) -> None:
    with pytest.raises(Unusable, match=flaw):
        read(path, text)


def test_what_is_wrong_is_said_without_its_content(path: Path) -> None:
    form = ListForm(subject=Subject.PID, column="pid")
    with pytest.raises(Unusable) as flaw:
        read(path, "pid\n0507660032\n", form)
    assert "0507660032" not in str(flaw.value)


def test_a_list_has_a_length(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_file, "MAX_ROWS", 2)
    assert len(read(path, "hpr\n1\n2\n")) == 2
    with pytest.raises(Unusable, match="more than 2 rows"):
        read(path, "hpr\n1\n2\n3\n")


def test_a_file_that_is_not_there_is_said_so(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_list(path, HPR)


TABLE = '"the ""list"""'
INTO = 'INSERT INTO "the ""list"""'
SQL = ListForm(subject=Subject.HPR_NUMBER, column="hpr", table='the "list"')


@pytest.mark.parametrize("kind", ["TEXT", "INTEGER"])
def test_a_table_of_sqlite(path: Path, kind: str) -> None:
    database(
        path,
        f"CREATE TABLE {TABLE} (hpr {kind}, navn TEXT, valid_to TEXT)",
        f"""{INTO} VALUES
           ('9144900', 'Åse', NULL), ('9144901', 'Ola', '2024-12-31')""",
    )
    assert read_list(path, SQL) == {
        "9144900": EVER,
        "9144901": ((-math.inf, day("2024-12-31")),),
    }


@pytest.mark.parametrize(
    ("statements", "flaw"),
    [
        (["CREATE TABLE other (hpr TEXT)"], "no column 'hpr'"),
        ([f"CREATE TABLE {TABLE} (HPRNR TEXT)"], "no column 'hpr'"),
        ([f"CREATE TABLE {TABLE} (hpr TEXT)"], "the list is empty"),
        (
            [f"CREATE TABLE {TABLE} (hpr REAL)", f"{INTO} VALUES (1.5)"],
            "row 1: neither text nor a whole number",
        ),
        (
            [f"CREATE TABLE {TABLE} (hpr TEXT)", f"{INTO} VALUES (NULL)"],
            "row 1: neither text nor a whole number",
        ),
        (
            [f"CREATE TABLE {TABLE} (hpr TEXT)", f"{INTO} VALUES ('x')"],
            "row 1: not of the form",
        ),
    ],
)
def test_a_table_that_is_not_as_it_must_be(path: Path, statements: list[str], flaw: str) -> None:
    with pytest.raises(Unusable, match=flaw):
        read_list(database(path, *statements), SQL)


def test_a_sqlite_file_that_is_cut_off(path: Path) -> None:
    database(
        path,
        f"CREATE TABLE {TABLE} (hpr TEXT)",
        *(f"{INTO} VALUES ({number})" for number in range(1, 5001)),
    )
    assert len(read_list(path, SQL)) == 5000
    path.write_bytes(path.read_bytes()[:8192])
    with pytest.raises(Unusable, match="no SQLite database with that table and column"):
        read_list(path, SQL)


def test_a_csv_file_is_no_sqlite_file(path: Path) -> None:
    with pytest.raises(Unusable, match="the file is no SQLite file"):
        read(path, "hpr\n1\n", SQL)


def test_the_log_of_sqlite_is_a_part_of_the_file(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"CREATE TABLE {TABLE} (hpr TEXT)")
        connection.execute(f"{INTO} VALUES ('1')")
        connection.commit()
        before = list_stamp(path)
        assert read_list(path, SQL) == {"1": EVER}
        connection.execute(f"{INTO} VALUES ('2')")
        connection.commit()
        assert list_stamp(path) != before
        assert read_list(path, SQL) == {"1": EVER, "2": EVER}


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n"])
def test_a_delimiter_is_one_character(delimiter: str) -> None:
    with pytest.raises(ConfigurationError, match="delimiter"):
        ListForm(subject=Subject.PID, column="pid", delimiter=delimiter)


@given(st.lists(st.tuples(st.integers(1, 999_999_999), st.text(st.characters(codec="utf-8")))))
def test_what_a_csv_writer_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]]
) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["navn", "hpr"])
    writer.writerows((name, number) for number, name in rows)
    path = tmp_path_factory.getbasetemp() / "written.csv"
    if not rows:
        return
    assert read(path, text.getvalue()) == {str(number): EVER for number, _ in rows}


@given(st.binary() | st.text('hpr,"\n\r1\0ø').map(str.encode))
def test_anything_is_a_list_or_unusable(
    tmp_path_factory: pytest.TempPathFactory, text: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "anything"
    for content in (text, b"hpr\n" + text, b"SQLite format 3\0" + text):
        for form in (HPR, SQL):
            found: Any = None
            try:
                found = read(path, content, form)
            except Unusable:
                continue
            assert all(normal(Subject.HPR_NUMBER, one) == one for one in found)
