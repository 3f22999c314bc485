"""What is wrong with the ``[records]`` table, as far as the policy alone tells."""

import logging
from typing import Final

from msgspec import UNSET, UnsetType

from portvakt.config.duration import write_duration
from portvakt.config.problems import Problems
from portvakt.config.records_schema import (
    LEAST_BEHIND,
    MOST_BEHIND,
    SINKS,
    SYNCS,
    RecordsTable,
)
from portvakt.config.secrets import check_secret
from portvakt.config.store_schema import LEAST_TIMEOUT, MOST_TIMEOUT, StoreTable
from portvakt.errors import said_of
from portvakt.stores.urls import MEMORY, REDIS, SQLITE, flaw_of, scheme_of

__all__ = ["check_records"]

_log: Final = logging.getLogger("portvakt.config")

#: Which settings are for which sink alone.
_OF_SINK: Final = {
    "file": ("folder", "fsync", "max_file_size", "max_file_age"),
    "sql": ("url", "password"),
}

#: MiB: what is read in one piece by hardly anything; and what few tools open.
_SIZES: Final = (1, 10_000)

#: Seconds: another file each minute is a folder full in a week; and a year is for ever.
_AGES: Final = (60.0, 366 * 86400.0)


def check_records(
    table: RecordsTable | UnsetType, store: StoreTable | UnsetType, problems: Problems
) -> None:
    """Note what is wrong with the table. No message shows what stands in the URL.

    Does not look for the folder, the database or the secrets: that is done at start-up.

    Parameters:
        table: the table, or UNSET.
        store: where the policy's store is, or UNSET.
        problems: where to note it.
    """
    if table is UNSET:
        return
    if table.sink not in SINKS:
        what = f"is not known; known are {', '.join(SINKS)}"
        problems.add("records.sink", said_of(table.sink, what))
        return
    if not table.keys:
        problems.add("records.keys", "must list at least one secret")
    for index, key in enumerate(table.keys):
        check_secret(key, f"records.keys[{index}]", problems)
    for sink, names in _OF_SINK.items():
        for name in names:
            if sink != table.sink and getattr(table, name) is not UNSET:
                problems.add(f"records.{name}", f"means nothing for {table.sink}")
    if table.sink == "file":
        _check_files(table, problems)
    elif table.sink == "sql":
        _check_sql(table, store, problems)
    if not LEAST_BEHIND <= table.max_behind <= MOST_BEHIND:
        least, most = write_duration(LEAST_BEHIND), write_duration(MOST_BEHIND)
        problems.add("records.max_behind", f"must be between {least} and {most}")
    if table.unsafe_on_failure not in {"refuse", "admit"}:
        problems.add("records.unsafe_on_failure", 'must be "refuse" or "admit"')
    if table.unsafe_on_failure == "admit":
        _log.warning(
            "records: unsafe_on_failure is set: a request is admitted though nobody can record it"
        )


def _check_files(table: RecordsTable, problems: Problems) -> None:
    if table.folder is UNSET:
        problems.add("records.folder", "is missing: say in which folder the files are to be")
    elif not table.folder or "\0" in table.folder:
        problems.add("records.folder", "must be the name of a folder")
    if table.fsync is not UNSET and table.fsync not in SYNCS:
        what = f"is not known; known are {', '.join(SYNCS)}"
        problems.add("records.fsync", said_of(table.fsync, what))
    if table.max_file_size is not UNSET and not _SIZES[0] <= table.max_file_size <= _SIZES[1]:
        what = f"must be between {_SIZES[0]} and {_SIZES[1]} (MiB)"
        problems.add("records.max_file_size", what)
    if table.max_file_age is not UNSET and not _AGES[0] <= table.max_file_age <= _AGES[1]:
        least, most = map(write_duration, _AGES)
        problems.add("records.max_file_age", f"must be between {least} and {most}")


def _check_sql(table: RecordsTable, store: StoreTable | UnsetType, problems: Problems) -> None:
    if table.url is UNSET:
        if table.password is not UNSET:
            problems.add("records.password", "means nothing without a url")
        if store is UNSET or scheme_of(store.url) in {MEMORY, *REDIS}:
            problems.add("records.url", "is missing: the policy has no [store] with tables")
        return
    flaw = flaw_of(table.url)
    if flaw is None and scheme_of(table.url) in {MEMORY, *REDIS}:
        flaw = "must be a database: sqlite:///file.db, or postgresql://user@host/database"
    if flaw is not None:
        problems.add("records.url", flaw)
    if table.password is not UNSET:
        if scheme_of(table.url) == SQLITE:
            problems.add("records.password", "means nothing for a file")
        check_secret(table.password, "records.password", problems)
    if not LEAST_TIMEOUT <= table.timeout <= MOST_TIMEOUT:
        least, most = write_duration(LEAST_TIMEOUT), write_duration(MOST_TIMEOUT)
        problems.add("records.timeout", f"must be between {least} and {most}")
