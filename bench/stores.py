"""Every kind of store there is on this machine, started as the tests start it."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import servers
import store_servers

__all__ = ["KINDS", "Kinds"]

#: From the one that is for one process to those that are for several machines.
KINDS = ("memory", "sqlite", "postgresql", "redis")


class Kinds:
    """Makes each kind of store, as :mod:`store_servers` does for tests.

    ::

        with Kinds() as kinds:
            with kinds.made("redis") as kind:
                ...  # None, if there is no server for it here
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._fixtures: dict[str, Any] = {"_upgraded": {}}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def getfixturevalue(self, name: str) -> Any:
        """Stand in for the request of a test, of which a kind asks for its server."""
        if name not in self._fixtures:
            binaries = None if servers.POSTGRESQL_URL else servers._postgresql_binaries()
            if binaries is None and servers.POSTGRESQL_URL is None:
                pytest.skip("no PostgreSQL here: apt-get install postgresql")
            server = servers.Postgresql(binaries, servers.POSTGRESQL_URL)
            self._stack.callback(server.close)
            self._fixtures[name] = server
        return self._fixtures[name]

    @contextmanager
    def made(self, name: str) -> Iterator[store_servers.Kind | None]:
        """Make a kind with data of its own, or say why not."""
        with tempfile.TemporaryDirectory(prefix="portvakt-bench-") as folder:
            making = contextmanager(store_servers.KINDS[name])(self, Path(folder))
            try:
                kind = making.__enter__()
            except pytest.skip.Exception as reason:
                print(f"  {name}: not measured, {reason}")
                yield None
                return
            try:
                yield kind
            finally:
                making.__exit__(None, None, None)
