"""From a URL to a store: only what is needed is imported, and what is missing is said."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import portvakt.stores
from portvakt.errors import ConfigurationError
from portvakt.stores.memory import MemoryStore
from portvakt.stores.opened import open_database, open_store

if TYPE_CHECKING:
    from pathlib import Path

    from portvakt.stores.base import Store


def opened(url: str, directory: Path | None = None) -> Store:
    return open_store(
        url,
        password=None,
        timeout=1.0,
        replay_capacity=10,
        replay_per_owner=5,
        clock=lambda: 0.0,
        directory=directory,
    )


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", "memory"),
        ("sqlite:///store.db", "sqlite"),
        ("postgresql://nobody@127.0.0.1:1/nothing", "postgresql"),
        ("redis://127.0.0.1:1", "redis"),
    ],
)
def test_each_kind_is_opened_without_asking_a_server(tmp_path: Path, url: str, kind: str) -> None:
    assert opened(url, tmp_path).health().kind == kind


def test_a_file_is_looked_for_beside_the_policy(tmp_path: Path) -> None:
    opened("sqlite:///a%20store.db", tmp_path)
    opened(f"sqlite:///{tmp_path}/absolute.db", tmp_path / "elsewhere")
    assert {path.name for path in tmp_path.iterdir()} >= {"a store.db", "absolute.db"}


@pytest.mark.parametrize("url", ["mysql://localhost", "", "sqlite:///", "sqlite:///:memory:"])
def test_another_url_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError):
        opened(url)


def test_the_memory_of_one_process_does_not_serve_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert isinstance(opened("memory://"), MemoryStore)
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    with pytest.raises(ConfigurationError, match="WEB_CONCURRENCY=4 makes several"):
        opened("memory://")


def test_only_databases_have_tables(tmp_path: Path) -> None:
    for url in ("memory://", "redis://localhost", "rediss+cluster://localhost"):
        assert open_database(url, password=None, timeout=1.0) is None
    place = open_database("sqlite:///store.db", password=None, timeout=1.0, directory=tmp_path)
    assert place is not None
    assert place.kind == "sqlite"
    assert list(tmp_path.iterdir()) == []


def python(code: str) -> str:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environ
    ).stdout.strip()


OPEN = """
from portvakt.errors import ConfigurationError
from portvakt.stores.opened import open_store
try:
    open_store({url!r}, password=None, timeout=1.0, replay_capacity=10, replay_per_owner=5,
               clock=lambda: 0.0)
except ConfigurationError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("package", "url", "extra"),
    [
        ("sqlalchemy", "sqlite:///store.db", "sql"),
        ("greenlet", "sqlite:///store.db", "sql"),
        ("aiosqlite", "postgresql://localhost", "sql"),
        ("psycopg", "postgresql://localhost", "sql"),
        ("redis", "redis://localhost", "redis"),
    ],
)
def test_a_missing_package_says_which_extra_to_install(package: str, url: str, extra: str) -> None:
    missing = f"import sys; sys.modules[{package!r}] = None\n"
    assert python(missing + OPEN.format(url=url)) == (
        f"this store needs more packages: pip install 'portvakt[{extra}]'"
    )


@pytest.mark.parametrize(
    ("package", "url"),
    [("alembic", "sqlite:///store.db"), ("redis.asyncio", "redis://localhost")],
)
def test_a_missing_package_is_a_configuration_error_here_too(
    monkeypatch: pytest.MonkeyPatch, package: str, url: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name.startswith("portvakt.stores.redis")]:
        # A module that is imported anew takes the place of the old one in its package, too.
        short = name.rpartition(".")[2]
        monkeypatch.setattr(portvakt.stores, short, getattr(portvakt.stores, short))
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigurationError, match="this store needs more packages"):
        opened(url)


def test_a_part_of_our_own_that_is_missing_is_not_an_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "portvakt.stores.sql.places", None)
    with pytest.raises(ModuleNotFoundError):
        opened("sqlite:///store.db")


def test_the_store_of_one_process_needs_nothing_heavy() -> None:
    heavy = "{'asyncio', 'sqlalchemy', 'redis', 'alembic', 'psycopg'}"
    code = OPEN.format(url="memory://") + f"import sys; print({heavy} & set(sys.modules))"
    assert python(code) == "set()"


def test_a_database_is_opened_without_what_makes_tables() -> None:
    code = OPEN.format(url="postgresql://localhost") + (
        "import sys; print({'alembic', 'aiosqlite'} & set(sys.modules))"
    )
    assert python(code) == "set()"
