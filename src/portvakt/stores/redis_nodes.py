"""Connections to Redis and Valkey: where the URL says they are, and which node has what.

Commands are sent over redis-py's connections by hand, and not through its clients, for three
reasons: ``WAIT`` means something only on the connection that wrote; a write whose answer was lost
must not be repeated in silence, as a second use would be; and nothing may go on after the caller's
deadline.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct
from redis.asyncio import BlockingConnectionPool, Connection, SSLConnection
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError

from portvakt.clock import monotonic
from portvakt.errors import ConfigurationError, Problem
from portvakt.stores.redis_line import Line, Listener

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from portvakt.stores.redis_scripts import Script

__all__ = ["Bucket", "Nodes", "Place", "read_url"]

T = TypeVar("T")
Address = tuple[str, int]

_PORT: Final = 6379
_CONNECTIONS: Final = 32
_BATCH: Final = 200
_REDIRECTS: Final = 5
_FILES: Final = {"ca_file": "ssl_ca_certs", "cert_file": "ssl_certfile", "key_file": "ssl_keyfile"}


class Place(Struct, frozen=True, kw_only=True):
    """What a URL says. Nothing of it is shown: it may hold a password.

    Attributes:
        seeds: where to begin: one server, or some nodes of a cluster.
        cluster: whether the others are to be found from there.
        tls: whether the server must show a certificate for its name.
        options: what every connection is made with.
        replicas: how many replicas have to have each write before it counts.
    """

    seeds: tuple[Address, ...]
    cluster: bool
    tls: bool
    options: dict[str, Any]
    replicas: int = 0

    def __repr__(self) -> str:
        return "Place()"

    def __rich_repr__(self) -> Iterable[Any]:  # type: ignore[override]
        return ()


class Bucket:
    """The owners whose keys lie together."""

    __slots__ = ("due", "head", "prefix", "slot")

    def __init__(self, number: int) -> None:
        tag = b"portvakt:{replay-%d}:" % number
        self.head, self.due, self.prefix = tag + b"bucket", tag + b"due", tag + b"of:"
        self.slot = key_slot(self.head)

    async def total(self, line: Line) -> int:
        """Return how many uses these owners have, as the bucket itself counts them.

        Raises:
            RedisError, OSError: what redis-py raises.
        """
        (total,) = await line.call("HMGET", self.head, "total")
        return int(total or 0)


def read_url(url: str, password: str | None) -> Place:
    """Read ``redis://``, ``rediss://``, ``redis+cluster://`` or ``rediss+cluster://``.

    ``scheme://[user@]host[:port][,host[:port]…][/database][?…]``: several hosts for a cluster,
    a database for a single server. Options: ``ca_file``, ``cert_file`` and ``key_file`` for TLS
    (otherwise the system's authorities are trusted), ``replicas`` for how many replicas have to
    have each write. Nothing turns the check of the certificate off.

    Raises:
        ConfigurationError: for anything else; the message holds nothing of the URL.
    """
    try:
        parts = urlsplit(url)
        kind, _, cluster = parts.scheme.partition("+")
        credentials, _, hosts = parts.netloc.rpartition("@")
        seeds = tuple(_address(host) for host in hosts.split(","))
        query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
        database = int(parts.path[1:] or "0")
        replicas = int(query.pop("replicas", "0"))
    except ValueError:
        raise _flaw("is no redis://host:port/database") from None
    if kind not in {"redis", "rediss"} or cluster not in {"", "cluster"}:
        raise _flaw("is not of redis, rediss, redis+cluster or rediss+cluster")
    if database < 0 or replicas < 0 or parts.fragment:
        raise _flaw("is no redis://host:port/database")
    if cluster and database:
        raise _flaw("names a database, and a cluster has but one")
    if len(seeds) > 1 and not cluster:
        raise _flaw("names several hosts, which only redis+cluster:// may")
    user, _, inside = credentials.partition(":")
    options: dict[str, Any] = {"username": unquote(user) or None, "db": database}
    options["password"] = password if password is not None else unquote(inside) or None
    for name, value in query.items():
        if name not in _FILES or kind != "rediss":
            raise _flaw("has an option other than replicas, or ca_file, cert_file, key_file of TLS")
        options[_FILES[name]] = value
    return Place(
        seeds=seeds, cluster=bool(cluster), tls=kind == "rediss", options=options, replicas=replicas
    )


def _address(text: str) -> Address:
    """Read ``host``, ``host:port`` or ``[v6]:port``."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError
    return parts.hostname, _PORT if parts.port is None else parts.port


def _flaw(message: str) -> ConfigurationError:
    return ConfigurationError([Problem("store.url", message)])


class Nodes:
    """The nodes, and connections to them: of one process and one loop.

    Nothing here has a deadline of its own: whoever calls has one, and a connection on which a
    deadline came is closed, because its next answer would be another's.
    """

    def __init__(self, place: Place, timeout: float) -> None:
        self._place = place
        self._timeout = timeout
        self._pools: dict[Address, BlockingConnectionPool] = {}
        self._greeted: set[Address] = set()
        self._seeds = list(place.seeds)
        self._ranges: list[tuple[int, int, Address]] = []
        self._learning = asyncio.Lock()

    async def run(self, slot: int, work: Callable[[Line], Awaitable[T]]) -> T:
        """Do some work on one connection to the master that has a slot.

        In a cluster it is done again from its beginning when the first answer is that the slot is
        elsewhere; then nothing was done yet.

        Raises:
            RedisError, OSError: what redis-py raises.
        """
        if not self._place.cluster:
            return await self._at(self._seeds[0], work, asking=False)
        try:
            address, asking = await self._master(slot), False
            for _ in range(_REDIRECTS):
                try:
                    return await self._at(address, work, asking=asking)
                except AskError as other:
                    # A moved slot has moved for good, so all are asked for anew the next time.
                    asking = not isinstance(other, MovedError)
                    if not asking:
                        self._ranges = []
                    address = (other.host or address[0], other.port)
        except BaseException:
            self._ranges = []
            raise
        raise ClusterDownError("redirected in a circle")

    async def listen(self, slot: int, channel: bytes) -> Listener:
        """Listen to a channel on a connection of its own to the master that has a slot.

        Raises:
            RedisError, OSError: what redis-py raises.
        """
        address = await self._master(slot) if self._place.cluster else self._seeds[0]
        made = self._pool(address).make_connection()  # type: ignore[no-untyped-call]
        listener = Listener(made, channel, self._timeout)
        await listener.open()
        return listener

    async def prune(
        self,
        slot: int,
        script: Script,
        keys: tuple[bytes, ...],
        now: float,
        *words: bytes,
        until: float,
    ) -> int:
        """Remove batch after batch, with others' requests between them; return how many.

        Raises:
            RedisError, OSError: what redis-py raises.
        """

        async def work(line: Line) -> tuple[int, int]:
            removed, found = await line.script(script, keys, now, _BATCH, *words)
            return removed, found

        count = 0
        while True:
            removed, found = await self.run(slot, work)
            count += removed
            if found < _BATCH or monotonic() > until:
                return count

    async def close(self) -> None:
        """Close all connections."""
        pools, self._pools, self._ranges = self._pools, {}, []
        for pool in pools.values():
            await pool.disconnect()

    async def _at(
        self, address: Address, work: Callable[[Line], Awaitable[T]], *, asking: bool
    ) -> T:
        pool = self._pool(address)
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            if address not in self._greeted:
                # A server that wants a password answers a short command with just that; a long one
                # it does not even read.
                await Line(connection).call("PING")
                self._greeted.add(address)
            return await work(Line(connection, asking=asking))
        finally:
            await pool.release(connection)

    def _pool(self, address: Address) -> BlockingConnectionPool:
        pool = self._pools.get(address)
        if pool is None:
            pool = self._pools[address] = BlockingConnectionPool(
                max_connections=_CONNECTIONS,
                timeout=self._timeout,
                connection_class=SSLConnection if self._place.tls else Connection,
                host=address[0],
                port=address[1],
                protocol=2,
                driver_info=None,
                # The caller's deadline bounds every read and write; this one, closing.
                socket_timeout=None,
                socket_connect_timeout=self._timeout,
                **self._place.options,
            )
        return pool

    async def _master(self, slot: int) -> Address:
        async with self._learning:
            if not self._ranges:
                await self._learn()
        for first, last, address in self._ranges:
            if first <= slot <= last:
                return address
        raise ClusterDownError("nobody has the slot")

    async def _learn(self) -> None:
        """Ask one node after the other who has which slots; who does not answer is asked last."""
        failure: Exception = ClusterDownError("there is nobody to ask")
        for _ in range(len(self._seeds)):
            seed = self._seeds[0]
            try:
                async with asyncio.timeout(self._timeout / 4):
                    answer = await self._at(seed, _ask_slots, asking=False)
            except (RedisError, OSError, TimeoutError) as error:
                failure = error
                self._seeds.append(self._seeds.pop(0))
                continue
            self._ranges = [
                (first, last, (_host(master[0]) or seed[0], master[1]))
                for first, last, master, *_ in answer
            ]
            # Those that the URL names stay: the others may all be replaced.
            known = dict.fromkeys(
                (seed, *(address for _, _, address in self._ranges), *self._place.seeds)
            )
            self._seeds = list(known)
            return
        raise failure


async def _ask_slots(line: Line) -> Any:
    return await line.call("CLUSTER", "SLOTS")


def _host(name: bytes | None) -> str | None:
    """Return a node's name; None if it does not know its own."""
    return None if name in {None, b"", b"?"} else bytes(name or b"").decode()
