"""The ``[records]`` of a policy → what writes decision records, and what is there to be read."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, cast

from msgspec import UNSET

from portvakt import __version__
from portvakt.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from portvakt.clock import Clock
    from portvakt.config.compile import Policy
    from portvakt.config.records_schema import RecordsTable
    from portvakt.config.store_schema import StoreTable
    from portvakt.keystore.references import Secrets
    from portvakt.records.keeping import DecisionRecords
    from portvakt.records.key import RecordKey
    from portvakt.records.sinks import Sink
    from portvakt.stores.sql.place import Place

__all__ = ["record_keys", "records_of", "records_place"]

_MIB: Final = 1024 * 1024


def records_of(
    policy: Policy, secrets: Secrets, *, clock: Clock, rehearsal: bool
) -> DecisionRecords | None:
    """Return what writes down the decisions of a policy's guard; None: nothing does.

    Parameters:
        policy: the compiled policy.
        secrets: finds the keys, and a password.
        clock: what time it is.
        rehearsal: whether no decision is a real one.

    Raises:
        ConfigurationError: if a key, the folder or the database cannot be had.
    """
    table = policy.configuration.records
    if table is UNSET or rehearsal:
        return None
    from portvakt.records.keeping import DecisionRecords
    from portvakt.records.record import places_of

    return DecisionRecords(
        _sinks(policy, table, secrets, clock),
        key=record_keys(policy, secrets)[0],
        places=places_of(policy.routes),
        api=policy.realm,
        version=__version__,
        clock=clock,
        max_behind=table.max_behind,
        admit_unrecorded=table.unsafe_on_failure == "admit",
    )


def record_keys(policy: Policy, secrets: Secrets) -> tuple[RecordKey, ...]:
    """Return the keys of a policy's records: the one in use, and older ones.

    Raises:
        ConfigurationError: if there are none, or one cannot be had or is too short.
    """
    from portvakt.records.key import RecordKey

    table = policy.configuration.records
    if table is UNSET:
        raise ConfigurationError("the policy has no [records]")
    keys, problems = [], []
    for index, reference in enumerate(table.keys):
        place = f"records.keys[{index}]"
        secret = secrets.text(reference, place).encode("utf-8", "surrogatepass")
        try:
            keys.append(RecordKey(secret))
        except ConfigurationError as error:
            problems += [Problem(place, one.message) for one in error.problems]
    if problems:
        raise ConfigurationError(problems)
    return tuple(keys)


def records_place(
    policy: Policy, secrets: Secrets, *, timeout: float | None = None
) -> Place | None:
    """Return where the table of a policy's records is; None if they are in no table.

    Parameters:
        policy: the compiled policy.
        secrets: finds the password.
        timeout: seconds that its server has, if not what the policy says.

    Raises:
        ConfigurationError: if it cannot be had.
    """
    table = policy.configuration.records
    if table is UNSET or table.sink != "sql":
        return None
    from portvakt.stores.opened import open_database

    of, url = "records", table.url
    found: RecordsTable | StoreTable = table
    if url is UNSET:
        # Then there is a store, and it has tables: the policy was checked.
        of, found = "store", cast("StoreTable", policy.configuration.store)
        url = found.url
    password = None
    if found.password is not UNSET:
        password = secrets.text(found.password, f"{of}.password")
    try:
        return open_database(
            url,
            password=password,
            timeout=found.timeout if timeout is None else timeout,
            directory=policy.directory,
        )
    except ConfigurationError as error:
        problems = [Problem(f"{of}.url", one.message) for one in error.problems]
    raise ConfigurationError(problems)


def _sinks(
    policy: Policy, table: RecordsTable, secrets: Secrets, clock: Clock
) -> Callable[[], Sink]:
    from portvakt.records.sinks import SqlSink, StreamSink

    if table.sink == "stdout":
        return StreamSink
    if table.sink == "file":
        return _files(policy, table)
    place = cast("Place", records_place(policy, secrets))
    from portvakt.stores.base import StoreError
    from portvakt.stores.sql.records import SqlRecords
    from portvakt.stores.sql.upgrade import upgrade

    if place.kind == "sqlite":
        try:
            upgrade(place, clock)
        except StoreError as error:
            raise ConfigurationError([Problem("records.url", error.reason)]) from None
    return partial(SqlSink, partial(SqlRecords, place))


def _files(policy: Policy, table: RecordsTable) -> Callable[[], Sink]:
    from portvakt.config.records_schema import SYNCS
    from portvakt.keystore.permissions import check_folder
    from portvakt.records.sinks import FileSink, Rotation

    folder = policy.directory / str(table.folder)
    if not folder.is_dir():
        made = "is not there: make it, for this user alone (mkdir -m 700)"
        raise ConfigurationError([Problem("records.folder", made)])
    try:
        check_folder(folder)
    except ConfigurationError as error:
        problems = [Problem("records.folder", one.message) for one in error.problems]
    else:
        rotation = Rotation(
            (100 if table.max_file_size is UNSET else table.max_file_size) * _MIB,
            86400.0 if table.max_file_age is UNSET else table.max_file_age,
            SYNCS["1s" if table.fsync is UNSET else table.fsync],
        )
        return partial(FileSink, folder, rotation)
    raise ConfigurationError(problems)
