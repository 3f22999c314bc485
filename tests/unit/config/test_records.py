"""The [records] table: what it may say, and what is said of what is wrong with it."""

from __future__ import annotations

import io
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import UNSET, UnsetType
from rich.console import Console

from portvakt import ConfigurationError
from portvakt.config.problems import Problems
from portvakt.config.records import check_records
from portvakt.config.records_schema import RecordsTable
from portvakt.config.secrets_schema import SecretTable
from portvakt.config.store_schema import StoreTable
from recording import VARIABLE, folder_in, recording_guard

if TYPE_CHECKING:
    from pathlib import Path

KEYS = (SecretTable(env="RECORD_KEY"),)
DATABASE = StoreTable(url="sqlite:///store.db")


def problems(store: StoreTable | UnsetType = UNSET, **stated: Any) -> dict[str, str]:
    found = Problems()
    check_records(RecordsTable(**{"keys": KEYS, **stated}), store, found)
    try:
        found.check()
    except ConfigurationError as error:
        return {one.place: one.message for one in error.problems}
    return {}


@pytest.mark.parametrize(
    ("stated", "store"),
    [
        ({"sink": "stdout"}, UNSET),
        ({"sink": "file", "folder": "records"}, UNSET),
        ({"sink": "file", "folder": "/r", "fsync": "batch", "max_file_size": 1}, UNSET),
        ({"sink": "file", "folder": "r", "max_file_age": 60.0, "max_behind": 0.5}, UNSET),
        ({"sink": "sql"}, DATABASE),
        ({"sink": "sql", "url": "sqlite:///r.db", "timeout": 0.05}, UNSET),
        ({"sink": "sql", "url": "postgresql://h/d", "password": SecretTable(file="p")}, DATABASE),
        ({"sink": "stdout", "unsafe_on_failure": "admit", "max_behind": 60.0}, UNSET),
    ],
)
def test_what_is_sound_is_no_problem(stated: dict[str, Any], store: StoreTable) -> None:
    assert problems(store, **stated) == {}


def test_no_table_is_no_problem() -> None:
    found = Problems()
    check_records(UNSET, UNSET, found)
    found.check()


@pytest.mark.parametrize(
    ("stated", "place", "words"),
    [
        ({"sink": "files"}, "records.sink", "files is not known; known are file, sql, stdout"),
        ({"keys": ()}, "records.keys", "at least one"),
        ({"keys": (SecretTable(),)}, "records.keys[0]", "state exactly one of"),
        ({"folder": "r"}, "records.folder", "means nothing for stdout"),
        ({"fsync": "1s"}, "records.fsync", "means nothing for stdout"),
        ({"max_file_size": 5}, "records.max_file_size", "means nothing for stdout"),
        ({"max_file_age": 5.0}, "records.max_file_age", "means nothing for stdout"),
        ({"url": "sqlite:///r.db"}, "records.url", "means nothing for stdout"),
        ({"sink": "sql", "url": "sqlite:///r.db", "folder": "r"}, "records.folder", "for sql"),
        ({"sink": "file"}, "records.folder", "is missing"),
        ({"sink": "file", "folder": ""}, "records.folder", "name of a folder"),
        ({"sink": "file", "folder": "a\0"}, "records.folder", "name of a folder"),
        ({"sink": "file", "folder": "r", "fsync": "2s"}, "records.fsync", "known are batch, 1s"),
        ({"sink": "file", "folder": "r", "max_file_size": 0}, "records.max_file_size", "1 and 100"),
        (
            {"sink": "file", "folder": "r", "max_file_size": 10_001},
            "records.max_file_size",
            "between 1 and 10000 (MiB)",
        ),
        (
            {"sink": "file", "folder": "r", "max_file_age": 59.0},
            "records.max_file_age",
            "between 1m and 8784h",
        ),
        ({"sink": "sql"}, "records.url", "is missing"),
        ({"sink": "sql", "password": KEYS[0]}, "records.password", "without a url"),
        ({"sink": "sql", "url": "redis://h"}, "records.url", "must be a database"),
        ({"sink": "sql", "url": "memory://"}, "records.url", "must be a database"),
        ({"sink": "sql", "url": "postgres://h"}, "records.url", "did you mean postgresql://?"),
        ({"sink": "sql", "url": "postgresql://u:p@h/d"}, "records.url", "hold a password"),
        (
            {"sink": "sql", "url": "sqlite:///r.db", "password": KEYS[0]},
            "records.password",
            "for a file",
        ),
        ({"sink": "sql", "url": "sqlite:///r.db", "timeout": 31.0}, "records.timeout", "and 30s"),
        ({"max_behind": 0.4}, "records.max_behind", "between 500ms and 1m"),
        ({"max_behind": 61.0}, "records.max_behind", "between 500ms and 1m"),
        ({"unsafe_on_failure": "maybe"}, "records.unsafe_on_failure", 'be "refuse" or "admit"'),
    ],
)
def test_what_is_wrong_is_named(stated: dict[str, Any], place: str, words: str) -> None:
    found = problems(**{"sink": "stdout", **stated})
    assert list(found) == [place] or place in found
    assert words in found[place]


@pytest.mark.parametrize("url", ["memory://", "redis://h"])
def test_a_store_without_tables_keeps_no_records(url: str) -> None:
    assert "no [store] with tables" in problems(StoreTable(url=url), sink="sql")["records.url"]


def test_what_is_unsafe_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    problems(sink="stdout", unsafe_on_failure="admit")
    assert "unsafe_on_failure is set" in caplog.text


def test_a_password_in_a_url_is_not_shown() -> None:
    table = RecordsTable(sink="sql", keys=KEYS, url="postgresql://u:kanari@h/d")
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    out = console.file
    assert isinstance(out, io.StringIO)
    assert "kanari" not in repr(table) + out.getvalue()


def flaws(**records: Any) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        recording_guard(records)
    return {one.place: one.message for one in caught.value.problems}


def test_a_folder_has_to_be_there_for_this_user_alone(tmp_path: Path) -> None:
    assert "mkdir -m 700" in flaws(sink="file", folder=str(tmp_path / "none"))["records.folder"]
    folder = folder_in(tmp_path)
    folder.chmod(0o777)
    assert "chmod go-w" in flaws(sink="file", folder=str(folder))["records.folder"]


def test_a_key_has_to_be_there_and_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"sink": "file", "folder": str(folder_in(tmp_path))}
    monkeypatch.setenv("SHORT", "s" * 31)
    found = flaws(**table, keys=[{"env": VARIABLE}, {"env": "SHORT"}])
    assert "32 octets" in found["records.keys[1]"]
    assert "not set" in flaws(**table, keys=[{"env": "NOWHERE"}])["records.keys[0]"]
    assert "no key store" in flaws(**table, keys=[{"keystore": "k"}])["records.keys[0].keystore"]
    assert recording_guard(table).parts.records is not None


def test_a_database_has_to_be_usable(tmp_path: Path) -> None:
    where = f"sqlite:///{tmp_path}/no/such/folder.db"
    assert "cannot be used" in flaws(sink="sql", url=where)["records.url"]
    assert flaws(sink="sql", url="postgresql://h/d", password={"env": "NOWHERE"}) == {
        "records.password": "the environment variable that it names is not set"
    }
    assert recording_guard({"sink": "stdout"}).parts.records is not None
    # A server is not asked before there is something to write.
    server = {"url": "postgresql://127.0.0.1:1/d"}
    assert recording_guard({"sink": "sql", **server}).parts.records is not None
    # The store's own.
    store = {"url": f"sqlite:///{tmp_path}/store.db"}
    assert recording_guard({"sink": "sql"}, store=store).parts.records is not None


def test_a_database_that_needs_more_packages_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "aiosqlite", None)
    found = flaws(sink="sql", url=f"sqlite:///{tmp_path}/r.db")
    assert "pip install 'portvakt[sql]'" in found["records.url"]
