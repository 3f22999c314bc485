"""Redis and Valkey, single or cluster: shared by all processes on all machines.

What the server has to be set to:

- ``maxmemory-policy noeviction`` (its default). With any other, a server that is full gives up what
  it was to remember, and a used proof would pass again: then nothing is answered.
- ``appendonly yes``, so that a revocation outlives a restart. Without it, and without a replica
  that has it, :meth:`RedisStore.revoke` writes and says that it is not certain.
- ``appendfsync always``, and ``no-appendfsync-on-rewrite no``: no loss even without power. With
  ``everysec`` that loses a second, of revocations too; a kill alone loses at most the last uses.
- With replicas: ``?replicas=1`` in the URL, or more: a write counts only when so many have it, and
  a master is believed about revocations only while so many are in touch with it. Without that, a
  failover loses what no replica had, and a master that was cut off answers until it notices.

What was used is remembered from the moment at which a server's reign was first seen, plus a margin
for clocks that disagree. A reign ends with a restart, a failover, an eviction and a flush. Only a
single server without replicas that has every write on its disk (``appendfsync always``) goes on
after a restart as if there had been none. In a cluster, memory begins anew where slots are moved.

Does not see, on a server that is durable in this sense, within the lifetime of a proof: a copy of
the data brought back, or appendonly off and on just before a kill. Nor keys deleted by hand.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import secrets
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from redis.crc import key_slot
from redis.exceptions import RedisError

from portvakt.clock import monotonic
from portvakt.stores.base import Entry, Page, Store, StoreError, StoreHealth
from portvakt.stores.redis_line import SENSELESS, acknowledged, durable, why, written
from portvakt.stores.redis_nodes import Bucket, Nodes, read_url
from portvakt.stores.redis_scripts import (
    ARRIVE,
    PAGE,
    PRUNE_REVOCATIONS,
    PRUNE_USES,
    REVOKE,
    USE,
    Answer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from portvakt.stores.base import Use
    from portvakt.stores.redis_line import Line

__all__ = ["MARGIN", "RedisStore"]

T = TypeVar("T")

#: Seconds by which clocks may disagree: memory begins later by so much.
MARGIN: Final = 5.0

_BUCKETS: Final = 32
_PAGE: Final = 1000
_ENTRY: Final = struct.Struct(">dd")
_CURSOR: Final = re.compile(r"([0-9a-f]*)\.([0-9a-f]+)\.([0-9]{1,16})")
_CHANNEL: Final = b"portvakt:revocations"

_HEAD, _ORDER, _ENTRIES, _EXPIRY = (
    b"portvakt:{revocations}:" + name for name in (b"head", b"order", b"entries", b"expiry")
)
_REVOCATIONS: Final = key_slot(_HEAD)

#: Connections of the process before a fork, and of loops that have ended: to close one here would
#: end it for the parent, or needs a loop that is no more. They are held so that nobody does.
_left_alone: Final[list[Nodes]] = []

_SAID: Final = {
    Answer.EVICTS: "the store's maxmemory-policy is not noeviction: it may give up what it keeps",
    Answer.OWNER_FULL: "the store has no room for another use of this owner",
    Answer.FULL: "the store has no room for another use",
    Answer.FORGOTTEN: "the store's memory does not reach back that far",
    Answer.REPLICA: "the store is a replica",
    Answer.ALONE: "the store has too few replicas",
    Answer.UNWRITTEN: "the store's appendonly was turned off: turn it on, or restart the store",
    Answer.UNKNOWN: "the store began anew while it was asked",
}

_NO_ILLNESS: Final = {_SAID[Answer.OWNER_FULL], _SAID[Answer.FORGOTTEN]}


class RedisStore(Store):
    """Everything in one Redis or Valkey.

    Does not check: that the clocks of the guards agree to within :data:`MARGIN`.

    Parameters:
        url: see :func:`~portvakt.stores.redis_nodes.read_url`.
        password: the password, if there is one; it goes before one in the URL.
        timeout: after how many seconds an operation ends without an answer.
        replay_capacity: how many uses are remembered at most. In a cluster the owners are spread
            over 32 parts; each has a share of it, and room for one owner besides.
        replay_per_owner: how many uses of one owner.
        clock: the guard's.

    Raises:
        ConfigurationError: if the URL is none of this store.
    """

    def __init__(
        self,
        url: str,
        *,
        password: str | None,
        timeout: float,
        replay_capacity: int,
        replay_per_owner: int,
        clock: Callable[[], float],
    ) -> None:
        self._place = read_url(url, password)
        self._timeout = timeout
        self._per_owner = replay_per_owner
        self._clock = clock
        self._capacity = replay_capacity
        self._buckets: tuple[Bucket, ...] = (Bucket(0),)
        if self._place.cluster:
            self._capacity = -(-replay_capacity // _BUCKETS) + replay_per_owner
            self._buckets = tuple(Bucket(number) for number in range(_BUCKETS))
        self._begins: dict[int, float] = {}
        self._uses: int | None = None
        self._error: tuple[str, float] | None = None
        self._pid = os.getpid()
        self._nodes: dict[asyncio.AbstractEventLoop, Nodes] = {}

    def __repr__(self) -> str:
        return "RedisStore()"

    async def use(self, use: Use, /) -> bool:
        """Remember a use; False: it was used before.

        Where replicas have to have it and do not, it is remembered and yet not admitted.

        Raises:
            StoreError: if it is not known, or there is no room.
        """
        owner = use.owner.encode("utf-8", "surrogatepass")
        bucket = self._bucket(owner)
        words = (
            use.item.encode("utf-8", "surrogatepass"),
            use.usable_from,
            use.expires_at,
            use.at,
            self._capacity,
            self._per_owner,
            MARGIN,
            owner,
            bucket.prefix,
        )
        keys = (bucket.head, bucket.due, bucket.prefix + owner)

        async def work(line: Line) -> tuple[int, bytes]:
            status, begins = await line.script(USE, keys, *words)
            if status == Answer.ADMITTED and self._place.replicas:
                await acknowledged(line, self._place.replicas, self._timeout / 2)
            return status, begins

        async def ask(nodes: Nodes) -> bool:
            status, begins = await nodes.run(bucket.slot, work)
            if status == Answer.UNKNOWN:
                await self._arrive(nodes, bucket)
                status, begins = await nodes.run(bucket.slot, work)
            if begins:
                self._begins[bucket.slot] = float(begins)
            if status == Answer.FORGOTTEN:
                wait = min(float(begins) + MARGIN - use.usable_from, 60.0)
                raise StoreError(_SAID[status], retry_after=max(1, math.ceil(wait)))
            if status not in {Answer.ADMITTED, Answer.USED}:
                _refuse(status)
            return bool(status == Answer.ADMITTED)

        return await self._answer(ask)

    async def revoke(self, entries: tuple[Entry, ...], /) -> None:
        """Write entries, all of them or none.

        It returns when they are in the server's append-only file (see this module's beginning for
        what that is worth), or at a replica; and where the master has replicas, one of them must
        have them at least, or as many as the URL says.

        Raises:
            StoreError: if that is not certain. They may be written all the same, and writing them
                again does no harm.
        """
        if not entries:
            return
        words: list[bytes] = [secrets.token_hex(16).encode(), _CHANNEL]
        for entry in entries:
            words += (entry.handle, _ENTRY.pack(entry.issued_before, entry.expires_at))

        async def work(line: Line) -> None:
            keys = (_HEAD, _ORDER, _ENTRIES, _EXPIRY)
            status, replicas, on_disk = await line.script(REVOKE, keys, *words)
            if status != Answer.ADMITTED:
                _refuse(status)
            wanted = max(self._place.replicas, min(replicas, 1))
            if wanted:
                await acknowledged(line, wanted, self._timeout / 2)
            elif on_disk:
                await written(line)
            else:
                raise StoreError(
                    "it is written, but a restart of the store would lose it: appendonly is off, "
                    "and there is no replica"
                )

        await self._answer(lambda nodes: nodes.run(_REVOCATIONS, work))

    async def since(self, cursor: str | None, /) -> Page:
        """Return what was written after a cursor; None: from the beginning.

        A cursor holds which data and which reign it is of, so that after a flush, a restart and a
        failover everything is read afresh: a counter alone would be reached again with other
        entries behind it.

        Raises:
            StoreError: if the store gives no answer.
        """
        asked = _CURSOR.fullmatch(cursor or "")
        words = ("", "", "0") if asked is None else asked.groups()
        wanted = self._place.replicas

        async def work(line: Line) -> Any:
            status, *page = await line.script(
                PAGE, (_HEAD, _ORDER, _ENTRIES), *words, _PAGE, wanted
            )
            if status != Answer.ADMITTED:
                _refuse(status)
            return page

        page = await self._answer(lambda nodes: nodes.run(_REVOCATIONS, work))
        data, reign, counter, more, afresh, handles, packed = page
        return Page(
            entries=tuple(
                Entry(handle, *_ENTRY.unpack(entry))
                for handle, entry in zip(handles, packed, strict=True)
            ),
            cursor=b".".join((data, reign, counter)).decode(),
            more=bool(more),
            afresh=bool(afresh) and cursor is not None,
        )

    async def changes(self) -> AsyncGenerator[None, None]:
        """Yield once when it listens, and then whenever something may have been written.

        A server that stays silent is asked for a sign of life now and then, so that a connection
        that leads nowhere any more is noticed.

        Raises:
            StoreError: when it cannot listen, or no longer.
        """
        listener = await self._answer(lambda nodes: nodes.listen(_REVOCATIONS, _CHANNEL))
        try:
            yield None
            while True:
                if await listener.heard():
                    yield None
        finally:
            await listener.close()

    async def prune(self, now: float, /) -> int:
        """Forget what has expired, in small steps; what is left after half a timeout stays.

        Raises:
            StoreError: if the store gives no answer.
        """

        async def ask(nodes: Nodes) -> int:
            until = monotonic() + self._timeout / 2
            count = uses = 0
            keys: tuple[bytes, ...]
            for bucket in self._buckets:
                await self._register(nodes, bucket)
                keys = (bucket.head, bucket.due)
                count += await nodes.prune(
                    bucket.slot, PRUNE_USES, keys, now, bucket.prefix, until=until
                )
                uses += await nodes.run(bucket.slot, bucket.total)
            self._uses = uses
            keys = (_ORDER, _ENTRIES, _EXPIRY)
            return count + await nodes.prune(
                _REVOCATIONS, PRUNE_REVOCATIONS, keys, now, until=until
            )

        return await self._answer(ask)

    def health(self) -> StoreHealth:
        """Say how it is. Never waits."""
        reason, when = self._error or (None, 0.0)
        return StoreHealth(
            kind="redis",
            shared=True,
            last_error=reason,
            last_error_age=None if reason is None else monotonic() - when,
            memory_begins=max(self._begins.values()) + MARGIN if self._begins else None,
            uses=self._uses,
        )

    async def close(self) -> None:
        """Give back what is open on this loop. What is asked for later starts anew.

        A loop that ended without this leaves its connections open until the process ends.
        """
        self._sweep()
        nodes = self._nodes.pop(asyncio.get_running_loop(), None)
        if nodes is not None:
            await nodes.close()

    def _bucket(self, owner: bytes) -> Bucket:
        return self._buckets[zlib.crc32(owner) % len(self._buckets)]

    def _here(self) -> Nodes:
        """Return the connections of this loop in this process, and leave all others alone."""
        loop = asyncio.get_running_loop()
        nodes = self._nodes.get(loop)
        if nodes is None or self._pid != os.getpid():
            self._sweep()
            nodes = self._nodes[loop] = Nodes(self._place, self._timeout)
        return nodes

    def _sweep(self) -> None:
        """Leave alone what is another process's, or of a loop that has ended."""
        forked, self._pid = self._pid != os.getpid(), os.getpid()
        for loop in tuple(self._nodes):
            if forked or loop.is_closed():
                _left_alone.append(self._nodes.pop(loop))

    async def _answer(self, ask: Callable[[Nodes], Awaitable[T]]) -> T:
        """Ask within the deadline, and know nothing of redis-py's errors but what kind they are.

        The error is raised outside of what is caught, so that it does not carry the other with it,
        whose message has the address and whose frames have the password.
        """
        try:
            async with asyncio.timeout(self._timeout):
                answer = await ask(self._here())
        except StoreError as error:
            if error.reason not in _NO_ILLNESS:
                self._error = (error.reason, monotonic())
            raise
        except (RedisError, OSError, TimeoutError, ValueError, TypeError, struct.error) as error:
            reason = why(error)
        else:
            self._error = None
            return answer
        self._error = (reason, monotonic())
        raise StoreError(reason)

    async def _arrive(self, nodes: Nodes, wanted: Bucket) -> None:
        """Register a reign for all buckets: memory begins now for those that are not asked yet.

        Those of a node that does not answer stay as they are.
        """
        others = [
            asyncio.ensure_future(self._register(nodes, bucket))
            for bucket in self._buckets
            if bucket is not wanted
        ]
        try:
            await self._register(nodes, wanted)
            if others:
                await asyncio.wait(others, timeout=self._timeout / 4)
        finally:
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def _register(self, nodes: Nodes, bucket: Bucket) -> None:
        async def work(line: Line) -> tuple[int, bytes]:
            kept = not self._place.cluster and await durable(line)
            now = self._clock()
            status, begins, _ = await line.script(ARRIVE, (bucket.head,), now, int(kept))
            return status, begins

        status, begins = await nodes.run(bucket.slot, work)
        if status != Answer.ADMITTED:
            _refuse(status)
        self._begins[bucket.slot] = float(begins)


def _refuse(status: int) -> NoReturn:
    raise StoreError(_SAID.get(status, SENSELESS))
