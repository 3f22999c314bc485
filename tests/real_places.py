"""Each shared store at real time: made, its memory long begun, its server within reach.

The other tests of stores have clocks of their own (:mod:`store_servers`); guards in processes of
their own have the machine's.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import pytest

import redis_servers
from portvakt.stores.opened import open_store
from servers import PASSWORD
from store_servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers import Postgresql
    from store_servers import Server

__all__ = ["PLACES", "RealPlace"]


class RealPlace(NamedTuple):
    """Where a store is.

    Attributes:
        name: which kind.
        url: where, without the password.
        password: what to show it.
        server: what can be stopped; None: nothing.
        parts: what can be killed one by one.
        port: of the server, if there is one that all goes to.
        pushes: whether it tells of changes by itself.
        path: the file, if it is one.
        anew: seconds for which it refuses proofs after a restart: until all are younger than that.
    """

    name: str
    url: str
    password: str | None = None
    server: Server | None = None
    parts: tuple[Server, ...] = ()
    port: int | None = None
    pushes: bool = True
    path: Path | None = None
    anew: float = 0.0

    def by(self, port: int) -> str:
        """Return the way to it through another port."""
        return self.url.replace(f":{self.port}/", f":{port}/")


class AllOf:
    """Several servers that are one."""

    def __init__(self, servers: tuple[redis_servers.Server, ...]) -> None:
        self._servers = tuple(map(RedisServer, servers))

    def stop(self) -> None:
        for one in self._servers:
            one.stop()

    def start(self) -> None:
        for one in self._servers:
            one.start()

    def kill(self) -> None:
        for one in self._servers:
            one.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        for one in self._servers:
            one.pause()

    def resume(self) -> None:
        for one in self._servers:
            one.resume()


def _remember(url: str) -> None:
    """Have the memory of a Redis begin an hour ago."""

    async def begin() -> None:
        store = open_store(
            url,
            password=None,
            timeout=10.0,
            replay_capacity=1000,
            replay_per_owner=1000,
            clock=lambda: time.time() - 3600,
        )
        await store.prune(time.time() - 3600)
        await store.close()

    asyncio.run(begin())


def _sqlite(_request: pytest.FixtureRequest, folder: Path) -> Iterator[RealPlace]:
    from portvakt.stores.sql.places import sql_place
    from portvakt.stores.sql.upgrade import upgrade

    path = folder / "store.db"
    url = f"sqlite:///{path}"
    upgrade(sql_place(url, None, 10.0, None), lambda: 0.0)
    yield RealPlace(name="sqlite", url=url, pushes=False, path=path)


def _postgresql(request: pytest.FixtureRequest, _folder: Path) -> Iterator[RealPlace]:
    from portvakt.stores.sql.places import sql_place
    from portvakt.stores.sql.upgrade import upgrade

    server: Postgresql = request.getfixturevalue("postgresql")
    name = server.database()
    url = server.url(name)
    upgrade(sql_place(url, PASSWORD, 10.0, None), lambda: 0.0)
    try:
        yield RealPlace(
            name="postgresql",
            url=url,
            password=PASSWORD,
            server=server if server.is_ours else None,
            parts=(server,) if server.is_ours else (),
            port=urlsplit(url).port if server.is_ours else None,
        )
    finally:
        server.drop(name)


def _redis(_request: pytest.FixtureRequest, _folder: Path) -> Iterator[RealPlace]:
    # Every write on its disk: so a restart loses nothing, and proofs go on.
    with redis_servers.redis_server("--appendfsync", "always") as server:
        _remember(server.url)
        one = RedisServer(server)
        yield RealPlace(name="redis", url=server.url, server=one, parts=(one,), port=server.port)


def _cluster(request: pytest.FixtureRequest, _folder: Path) -> Iterator[RealPlace]:
    cluster: redis_servers.Cluster = request.getfixturevalue("_own_cluster")
    for server in cluster.servers:
        server.command("FLUSHALL")
    _remember(cluster.url)
    yield RealPlace(
        name="redis-cluster",
        url=cluster.url,
        server=AllOf(cluster.servers),
        parts=tuple(map(RedisServer, cluster.servers)),
        anew=12.0,
    )


@pytest.fixture(scope="session")
def _own_cluster() -> Iterator[redis_servers.Cluster]:
    with redis_servers.redis_cluster() as cluster:
        yield cluster


PLACES: Final[dict[str, Callable[[pytest.FixtureRequest, Path], Iterator[RealPlace]]]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "redis": _redis,
    "redis-cluster": _cluster,
}


@pytest.fixture(params=list(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealPlace]:
    """Each shared store, one after the other."""
    yield from PLACES[request.param](request, tmp_path)
