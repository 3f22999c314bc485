"""What only a file has: who may read it, and an earlier state of it that is put back."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import stat
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from portvakt.errors import ConfigurationError
from portvakt.stores.base import Entry, StoreError, Use
from portvakt.stores.opened import open_store
from portvakt.stores.sql import sqlite
from portvakt.testing import FrozenClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from portvakt.stores.base import Store

BEFORE = "the store's memory does not reach back that far"


def opened(path: Path, clock: FrozenClock) -> Store:
    return open_store(
        f"sqlite:///{quote(str(path))}",
        password=None,
        timeout=10,
        replay_capacity=100,
        replay_per_owner=50,
        clock=clock,
    )


def proof(clock: FrozenClock) -> Use:
    now = clock()
    return Use("owner", "item", now - 5, now + 40, now)


async def used(path: Path, clock: FrozenClock, one: Use) -> bool | str:
    """What a process that has just started says."""
    store = opened(path, clock)
    try:
        return await store.use(one)
    except StoreError as error:
        return error.reason
    finally:
        await store.close()


def written_over(path: Path, backup: Path) -> None:
    shutil.copyfile(backup, path)


def put_in_its_place(path: Path, backup: Path) -> None:
    # The new file often gets the number that the old one had.
    path.unlink()
    shutil.copy2(backup, path)


def moved(path: Path, backup: Path) -> None:
    shutil.copy2(backup, backup.with_name("moved"))
    backup.with_name("moved").replace(path)


def everything_put_back(path: Path, backup: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    shutil.copy2(backup, path)


@pytest.mark.attack("RPL-02", "CLK-01")
@pytest.mark.parametrize("restored", [written_over, put_in_its_place, moved, everything_put_back])
def test_what_was_used_before_a_backup_was_put_back_is_not_known(
    tmp_path: Path, restored: Callable[[Path, Path], None]
) -> None:
    async def test() -> None:
        clock, path, backup = FrozenClock(), tmp_path / "store.db", tmp_path / "backup"
        opened(path, clock)
        shutil.copy2(path, backup)
        clock.advance(100)
        one = proof(clock)
        assert await used(path, clock, one) is True
        store = opened(path, clock)
        await store.revoke((Entry(b"0123456789abcdef", 1.0, clock() + 900),))
        cursor = (await store.since(None)).cursor
        await store.close()
        restored(path, backup)
        assert await used(path, clock, one) == BEFORE
        # And readers begin anew, even where as much was revoked again.
        store = opened(path, clock)
        await store.revoke((Entry(b"another handle..", 1.0, clock() + 900),))
        page = await store.since(cursor)
        assert (page.afresh, len(page.entries)) == (True, 1)
        await store.close()
        # From then on it remembers again.
        clock.advance(60)
        assert await used(path, clock, proof(clock)) is True
        assert await used(path, clock, proof(clock)) is False

    asyncio.run(test())


@pytest.mark.attack("RPL-02")
def test_a_log_that_was_taken_away_is_noticed(tmp_path: Path) -> None:
    async def test() -> None:
        clock, path = FrozenClock(), tmp_path / "store.db"
        opened(path, clock)
        clock.advance(100)
        one, store = proof(clock), opened(path, clock)
        assert await store.use(one) is True
        # As after a crash: what is in the log is not in the file yet.
        crashed = tmp_path / "crashed"
        shutil.copytree(tmp_path, crashed)
        await store.close()
        for end in ("-wal", "-shm"):
            (crashed / f"store.db{end}").unlink()
        assert await used(crashed / "store.db", clock, one) == BEFORE

    asyncio.run(test())


@pytest.mark.twin("RPL-02")
def test_a_restart_loses_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        clock, path = FrozenClock(), tmp_path / "store.db"
        opened(path, clock)
        clock.advance(100)
        first = proof(clock)
        assert await used(path, clock, first) is True
        assert await used(path, clock, first) is False
        store = opened(path, clock)
        begins = store.health().memory_begins
        # What is forgotten as it has expired is no loss.
        clock.advance(3600)
        assert await store.prune(clock()) == 1
        assert await store.use(proof(clock)) is True
        assert store.health().memory_begins == clock() - 3700
        assert begins is None
        await store.close()

    asyncio.run(test())


def test_a_witness_that_is_taken_away_disturbs_nobody_who_runs(tmp_path: Path) -> None:
    async def test() -> None:
        clock, path = FrozenClock(), tmp_path / "store.db"
        store = opened(path, clock)
        for _ in range(2):
            clock.advance(100)
            assert await store.use(proof(clock)) is True
            path.with_name("store.db-witness").unlink()
        clock.advance(100)
        assert await store.use(proof(clock)) is True
        await store.close()
        # What was made again has no name.
        assert await used(path, clock, proof(clock)) == BEFORE

    asyncio.run(test())


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    async def test() -> None:
        clock, path = FrozenClock(), tmp_path / "a folder%41" / "store.db"
        path.parent.mkdir()
        store = opened(path, clock)
        await store.prune(clock())
        files = sorted(path.parent.iterdir())
        assert [file.name for file in files] == [
            "store.db",
            "store.db-shm",
            "store.db-wal",
            "store.db-witness",
        ]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        await store.close()

    asyncio.run(test())


def test_a_file_that_is_gone_is_not_made_again_by_a_request(tmp_path: Path) -> None:
    async def test() -> None:
        clock, path = FrozenClock(), tmp_path / "store.db"
        store = opened(path, clock)
        clock.advance(100)
        assert await store.use(proof(clock)) is True
        path.unlink()
        with pytest.raises(StoreError, match="run portvakt store upgrade"):
            await store.use(proof(clock))
        assert not path.exists()
        await store.close()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("name", "times", "patience", "tries"),
    [
        ("SQLITE_BUSY", 2, 10.0, 3),
        # Not for ever, and not for what does not pass.
        ("SQLITE_BUSY", 1_000_000, 0.0, 1),
        ("SQLITE_READONLY", 1_000_000, 10.0, 1),
    ],
)
def test_a_file_that_is_busy_while_others_open_it_is_tried_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    times: int,
    patience: float,
    tries: int,
) -> None:
    tried: list[object] = []

    def busy(connection: Any, record: object) -> None:
        tried.append(connection)
        if len(tried) <= times:
            error = sqlite3.OperationalError("it cannot be had")
            error.sqlite_errorname = name
            raise error
        set_as_ever(connection, record)

    set_as_ever = sqlite._set
    monkeypatch.setattr(sqlite, "_set", busy)
    monkeypatch.setattr(sqlite, "_SWITCHING", patience)
    with nullcontext() if times < 3 else pytest.raises(ConfigurationError):
        opened(tmp_path / "store.db", FrozenClock())
    assert len(tried) >= tries
    assert times < 3 or len(tried) == tries
