"""Each kind of store as tests meet it: made, made again beside itself, and its server troubled.

Another kind is one more class here, or in a file beside this one, and a line in ``KINDS``.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

import pytest

import redis_servers
from portvakt.stores.base import Use
from portvakt.stores.opened import open_store
from portvakt.stores.redis import MARGIN
from portvakt.testing import FrozenClock
from servers import PASSWORD, Postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from portvakt.stores.base import Store


class Server(Protocol):
    """What can be troubled."""

    def stop(self) -> None: ...
    def start(self) -> None: ...
    def kill(self) -> None: ...
    def restart(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Kind(ABC):
    """One kind of store, with data of its own.

    Attributes:
        name: which.
        url: where it is, without the password.
        password: what to show it.
        shared: whether several processes have the same.
        kept: seconds for which what has expired takes up room.
        exact: whether the bound of all uses is exact.
        server: what can be troubled; None if there is no server, or not one of ours.
        clock: seconds since 1970, as the store is given it.
    """

    name: ClassVar[str]
    shared: ClassVar[bool] = True
    kept: ClassVar[float] = 0.0
    exact: ClassVar[bool] = True
    url: str
    password: str | None = None
    server: Server | None = None
    clock: Callable[[], float]

    def open(self, *, capacity: int = 1000, per_owner: int = 500, timeout: float = 10.0) -> Store:
        """Make a store on the data of this test, beside those that there are."""
        return open_store(
            self.url,
            password=self.password,
            timeout=timeout,
            replay_capacity=capacity,
            replay_per_owner=per_owner,
            clock=self.clock,
        )

    @abstractmethod
    async def passes(self, seconds: float) -> None:
        """Let time pass: on the clock, or where the server has its own, really."""

    def use(self, item: str, owner: str = "owner", **changes: float) -> Use:
        """A use that is as it should be, now."""
        now = self.clock()
        times = {"usable_from": now, "expires_at": now + 60, "at": now, **changes}
        return Use(owner=owner, item=item, **times)


class OnAClock(Kind):
    """A store that has no time of its own."""

    def __init__(self) -> None:
        # A day ago: PostgreSQL forgets nothing that has not expired by its own clock as well.
        self._frozen = FrozenClock(float(int(time.time()) - 86_400))
        self.clock = self._frozen

    async def passes(self, seconds: float) -> None:
        self._frozen.advance(seconds)
        await asyncio.sleep(0)


class Memory(OnAClock):
    name = "memory"
    shared = False
    url = "memory://"


class Sqlite(OnAClock):
    name = "sqlite"
    kept = 5.0

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "store.db"
        self.url = f"sqlite:///{self.path}"


class OnPostgresql(OnAClock):
    name = "postgresql"
    kept = 5.0

    def __init__(self, server: Postgresql, database: str) -> None:
        super().__init__()
        self.server = server if server.is_ours else None
        self.url = server.url(database)
        self.password = PASSWORD
        self.postgresql = server
        self.database = database


class OnRedis(OnAClock):
    name = "redis"
    kept = MARGIN

    def __init__(self, url: str, server: redis_servers.Server | None) -> None:
        super().__init__()
        self.url = url
        if server is not None:
            self.server = RedisServer(server)

    async def begin(self) -> None:
        """Have its memory begin an hour ago."""
        store = self.open()
        await store.prune(self.clock())
        await asyncio.gather(
            *(store.use(self.use(str(n), f"first-{n}")) for n in range(200)), return_exceptions=True
        )
        await store.close()
        await self.passes(3600)
        store = self.open()
        await store.prune(self.clock())
        await store.close()


class OnRedisCluster(OnRedis):
    name = "redis-cluster"
    exact = False


class RedisServer:
    """A server of Redis, in the words of :class:`Server`."""

    def __init__(self, server: redis_servers.Server) -> None:
        self._server = server
        self.stop, self.kill = server.stop, server.kill
        self.pause, self.resume = server.pause, server.resume

    def start(self) -> None:
        self._server.start()

    def restart(self) -> None:
        self.stop()
        self.start()


@pytest.fixture(scope="session")
def _redis_cluster() -> Iterator[redis_servers.Cluster]:
    with redis_servers.redis_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def _upgraded() -> dict[int, str]:
    """The name of a database that is as `portvakt store upgrade` leaves it, of each server."""
    return {}


def _memory(_request: Any, _folder: Path) -> Iterator[Kind]:
    yield Memory()


def _sqlite(_request: Any, folder: Path) -> Iterator[Kind]:
    yield Sqlite(folder)


def _postgresql(request: Any, _folder: Path) -> Iterator[Kind]:
    from portvakt.stores.sql.places import sql_place
    from portvakt.stores.sql.upgrade import upgrade

    server: Postgresql = request.getfixturevalue("postgresql")
    upgraded: dict[int, str] = request.getfixturevalue("_upgraded")

    def prepare(name: str) -> None:
        # Long ago: the memory of each test reaches back as far as it likes.
        upgrade(sql_place(server.url(name), PASSWORD, 10.0, None), lambda: 0.0)

    if id(server) not in upgraded:
        name = server.database()
        prepare(name)
        upgraded[id(server)] = name
    name = server.database(upgraded[id(server)])
    prepare(name)
    try:
        yield OnPostgresql(server, name)
    finally:
        server.drop(name)


def _redis(_request: Any, _folder: Path) -> Iterator[Kind]:
    with redis_servers.redis_server() as server:
        kind = OnRedis(server.url, server)
        asyncio.run(kind.begin())
        yield kind


def _cluster(request: Any, _folder: Path) -> Iterator[Kind]:
    cluster: redis_servers.Cluster = request.getfixturevalue("_redis_cluster")
    for server in cluster.servers:
        server.command("FLUSHALL")
    kind = OnRedisCluster(cluster.url, None)
    asyncio.run(kind.begin())
    yield kind


#: How each kind is made: of the request of a test, and a folder.
KINDS: Final[dict[str, Callable[[Any, Path], Iterator[Kind]]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "redis": _redis,
    "redis-cluster": _cluster,
}

#: Those that several processes have in common.
SHARED: Final = [name for name in KINDS if name != "memory"]


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    """Each kind of store there is, one after the other."""
    yield from KINDS[request.param](request, tmp_path)


@pytest.fixture(params=SHARED)
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    """Each kind of store that several processes have in common."""
    yield from KINDS[request.param](request, tmp_path)
