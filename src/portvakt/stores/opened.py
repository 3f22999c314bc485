"""From a URL to a store. What one kind needs is imported only when that kind is asked for."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from portvakt.errors import ConfigurationError
from portvakt.stores.base import StoreError
from portvakt.stores.memory import MemoryStore
from portvakt.stores.urls import MEMORY, REDIS, SCHEMES, SQLITE, scheme_of
from portvakt.stores.workers import several_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from portvakt.stores.base import Store
    from portvakt.stores.sql.place import Place

__all__ = ["open_database", "open_store"]


def open_store(  # noqa: PLR0913  all that the policy says of it
    url: str,
    *,
    password: str | None,
    timeout: float,
    replay_capacity: int,
    replay_per_owner: int,
    clock: Callable[[], float],
    directory: Path | None = None,
    alone: Callable[[], bool] | None = None,
    rehearsal: bool = False,
) -> Store:
    """Return the store that a URL leads to.

    No server is asked. A file of SQLite is made, and brought to the form of this version.

    Parameters:
        url: where it is; a password in it is used, though a policy file may hold none.
        password: what to show the server.
        timeout: seconds within which it must answer.
        replay_capacity: uses that are remembered at the same time.
        replay_per_owner: and of them, those of one owner.
        clock: seconds since 1970.
        directory: where a file is looked for whose path is not absolute; by default where the
            process runs.
        alone: for the store of one process: raises :class:`~portvakt.stores.base.StoreError` where
            there is another (:meth:`portvakt.stores.workers.Alone.take`).
        rehearsal: whether a file is left as it is. Where there is none, nothing is remembered.

    Raises:
        ConfigurationError: if the URL is none of a store, the package for it is not installed, a
            file cannot be used, or the store of one process would serve several.
    """
    scheme = _known(url)
    if scheme == MEMORY:
        told = several_workers(os.environ, sys.argv)
        if told is not None:
            raise ConfigurationError(
                f"memory:// is the memory of one process, and {told} makes several: on one machine "
                "sqlite:///file.db is for all of them"
            )
        return MemoryStore(
            capacity=replay_capacity, per_owner=replay_per_owner, clock=clock, alone=alone
        )
    if scheme in REDIS:
        with _extra("redis"):
            from portvakt.stores.redis import RedisStore
        return RedisStore(
            url,
            password=password,
            timeout=timeout,
            replay_capacity=replay_capacity,
            replay_per_owner=replay_per_owner,
            clock=clock,
        )
    place = _database(url, password, timeout, directory)
    from portvakt.stores.sql.guarding import SqlStore

    if scheme == SQLITE and rehearsal and place.stamp() is None:
        return MemoryStore(capacity=replay_capacity, per_owner=replay_per_owner, clock=clock)
    if scheme == SQLITE and not rehearsal:
        from portvakt.stores.sql.upgrade import upgrade

        try:
            upgrade(place, clock)
        except StoreError as error:
            raise ConfigurationError(error.reason) from None
    return SqlStore(
        place, replay_capacity=replay_capacity, replay_per_owner=replay_per_owner, clock=clock
    )


def open_database(
    url: str, *, password: str | None, timeout: float, directory: Path | None = None
) -> Place | None:
    """Return where the tables of a store are; None if it is one that has none. Opens nothing.

    Raises:
        ConfigurationError: as :func:`open_store`.
    """
    if _known(url) in {MEMORY, *REDIS}:
        return None
    return _database(url, password, timeout, directory)


def _known(url: str) -> str:
    scheme = scheme_of(url)
    if scheme is None:
        known = ", ".join(f"{one}://" for one in SCHEMES)
        raise ConfigurationError(f"must begin with one of {known}")
    return scheme


def _database(url: str, password: str | None, timeout: float, directory: Path | None) -> Place:
    with _extra("sql"):
        from portvakt.stores.sql.places import sql_place

        return sql_place(url, password, timeout, directory)


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Say which extra to install where a package is missing."""
    try:
        yield
        return  # noqa: TRY300  nothing was missing
    except ImportError as error:  # SQLAlchemy raises its own where greenlet is missing
        if (error.name or "").startswith("portvakt"):
            raise
    raise ConfigurationError(f"this store needs more packages: pip install 'portvakt[{name}]'")
