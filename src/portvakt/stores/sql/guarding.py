"""Uses and revocations in SQL, one code for every database.

Each use is one statement of its own: an insertion that happens unless the same is there and has not
expired. Of two at once the database lets one wait for the other, so it is told True only once.
"""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import text

from portvakt.clock import monotonic
from portvakt.stores.base import Entry, Page, Store, StoreError, StoreHealth, Use
from portvakt.stores.sql.cursor import Cursor
from portvakt.stores.sql.engine import Database
from portvakt.stores.sql.epochs import transaction
from portvakt.stores.sql.notify import changes
from portvakt.stores.sql.room import Room, Rooms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy import Connection, TextClause

    from portvakt.stores.sql.place import Epoch, Place

__all__ = ["SqlStore"]

T = TypeVar("T")

_BEFORE: Final = "the store's memory does not reach back that far"
_FULL: Final = "the store has no room for another use"
_OWNER_FULL: Final = "the store has no room for another use of this owner"

#: Rows of one small deletion, and how many of them one prune() makes.
_BATCH: Final = 500
_BATCHES: Final = 200
#: Revocations on a page.
_PAGE: Final = 2000

_USE: Final = text("""
INSERT INTO portvakt_uses (owner, item, expires_at) VALUES (:owner, :item, :expires_at)
ON CONFLICT (owner, item) DO UPDATE SET expires_at = excluded.expires_at
    WHERE portvakt_uses.expires_at <= :at
RETURNING 1
""")
_COUNT_OWNER: Final = text("""
SELECT count(*) FROM (
    SELECT 1 FROM portvakt_uses WHERE owner = :owner AND expires_at > :at LIMIT :most) AS counted
""")
_COUNT_ALL: Final = text(
    "SELECT count(*) FROM (SELECT 1 FROM portvakt_uses LIMIT :most) AS counted"
)
_NEXT_POSITION: Final = "SELECT {next_position}"
_REVOKE: Final = """
INSERT INTO portvakt_revocations (handle, issued_before, expires_at, position)
VALUES (:handle, :issued_before, :expires_at, {position})
ON CONFLICT (handle) DO UPDATE SET
    issued_before = {larger}(portvakt_revocations.issued_before, excluded.issued_before),
    expires_at = {larger}(portvakt_revocations.expires_at, excluded.expires_at),
    position = excluded.position
"""
_SINCE: Final = text(f"""
SELECT handle, issued_before, expires_at, position FROM portvakt_revocations
WHERE (position, handle) > (:position, :handle) ORDER BY position, handle LIMIT {_PAGE + 1}
""")  # noqa: S608  a constant of ours


class SqlStore(Store):
    """A store in a database.

    Uses are kept as digests of their owners and items. Both bounds are exact where one process
    writes; where several do, they may be passed by what is being written at that moment.

    Parameters:
        place: where the tables are; they have to be there (:mod:`portvakt.stores.sql.upgrade`).
        replay_capacity: uses that are remembered at the same time.
        replay_per_owner: and of them, those of one owner.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        place: Place,
        *,
        replay_capacity: int,
        replay_per_owner: int,
        clock: Callable[[], float],
    ) -> None:
        words = place.words
        self._place = place
        self._database = Database(place, clock)
        self._rooms = Rooms(replay_capacity, replay_per_owner)
        self._uses: int | None = None
        self._next_position = text(_NEXT_POSITION.format(next_position=words.next_position))
        self._revoke_one = text(_REVOKE.format(position=words.position, larger=words.larger))
        self._prune_uses = _deletion(place, "portvakt_uses", "owner, item")
        self._prune_revocations = _deletion(place, "portvakt_revocations", "handle")

    def __repr__(self) -> str:
        return f"SqlStore({self._place.kind})"

    async def use(self, use: Use, /) -> bool:
        """Remember a use; False: it was used before.

        Raises:
            StoreError: if that is not known, or there is no room.
        """
        owner = _digest(use.owner)
        own, every = self._rooms.of(owner), self._rooms.all
        if every.is_full(use.at):
            raise self._database.failed(_FULL)
        if own.is_full(use.at):
            raise self._database.failed(_OWNER_FULL)
        # Both, always: each counts what is added.
        near = [room for room in (every, own) if room.must_count()]
        return await self._database.run(partial(self._use, use, owner, near))

    def _use(
        self, use: Use, owner: bytes, near: list[Room], connection: Connection, epoch: Epoch
    ) -> bool:
        if use.usable_from < epoch.begins:
            raise StoreError(_BEFORE)
        row = {
            "owner": owner,
            "item": _digest(use.item),
            "expires_at": use.expires_at,
            "at": use.at,
        }
        if not near:
            fresh = connection.execute(_USE, row).one_or_none() is not None
        else:
            fresh = self._use_near(near, row, owner, connection)
        if fresh:
            self._place.used(use.expires_at)
        return fresh

    def _use_near(
        self, near: list[Room], row: dict[str, Any], owner: bytes, connection: Connection
    ) -> bool:
        # Near a bound they come one by one, so that what is counted is what there is.
        with transaction(connection, self._place):
            for room in near:
                self._place.lock(connection, owner if room is not self._rooms.all else b"all")
            if connection.execute(_USE, row).one_or_none() is None:
                return False
            for room in near:
                if room is self._rooms.all:
                    self._count_all(room, row["at"], connection)
                else:
                    self._count_owner(room, row["at"], owner, connection)
        return True

    def _count_owner(self, room: Room, at: float, owner: bytes, connection: Connection) -> None:
        row = {"owner": owner, "at": at, "most": room.limit + 1}
        if not room.count(connection.execute(_COUNT_OWNER, row).scalar_one(), at):
            raise StoreError(_OWNER_FULL)

    def _count_all(self, room: Room, at: float, connection: Connection) -> None:
        counted = connection.execute(_COUNT_ALL, {"most": room.limit + 1}).scalar_one()
        if counted > room.limit:
            # What has expired makes room.
            counted -= connection.execute(self._prune_uses, {"now": at}).rowcount
        if not room.count(counted, at):
            raise StoreError(_FULL)

    async def revoke(self, entries: tuple[Entry, ...], /) -> None:
        """Write entries, all of them or none.

        Raises:
            StoreError: if that is not certain. Writing them again does no harm.
        """
        merged: dict[bytes, tuple[float, float]] = {}
        for entry in entries:
            before, until = merged.get(entry.handle, (entry.issued_before, entry.expires_at))
            merged[entry.handle] = max(before, entry.issued_before), max(until, entry.expires_at)
        if merged:
            # In one order for all, so that no two wait for each other.
            rows = [
                {"handle": handle, "issued_before": before, "expires_at": until}
                for handle, (before, until) in sorted(merged.items())
            ]
            await self._database.run(partial(self._revoke, rows))

    def _revoke(self, rows: list[dict[str, object]], connection: Connection, _epoch: Epoch) -> None:
        with transaction(connection, self._place):
            self._place.before_revoking(connection)
            connection.execute(self._revoke_one, rows)

    async def since(self, cursor: str | None, /) -> Page:
        """Return what was written after a cursor; None: from the beginning.

        Raises:
            StoreError: if the store gives no answer.
        """
        return await self._database.run(partial(self._since, cursor), reading=True)

    def _since(self, text: str | None, connection: Connection, epoch: Epoch) -> Page:
        # First up to where it will be complete, then what there is: what is written in between
        # comes again the next time.
        following: int = connection.execute(self._next_position).scalar_one()
        cursor = Cursor.read(text, epoch.mark)
        known = cursor is not None and cursor.following <= following
        if cursor is None or not known:
            cursor = Cursor(epoch.mark, following, -1, b"")
        elif not cursor.is_midway():
            cursor = Cursor(epoch.mark, following, cursor.position, b"")
        found = connection.execute(
            _SINCE, {"position": cursor.position, "handle": cursor.handle}
        ).all()
        rows, more = found[:_PAGE], len(found) > _PAGE
        reached = cursor.midway(rows[-1].position, rows[-1].handle) if more else cursor.complete()
        return Page(
            tuple(Entry(bytes(one.handle), one.issued_before, one.expires_at) for one in rows),
            reached.write(),
            more=more,
            afresh=text is not None and not known,
        )

    def changes(self) -> AsyncIterator[None]:
        """Yield once when it listens, and then whenever something may have been written.

        Raises:
            StoreError: when it cannot listen, or no longer.
        """
        return changes(self._place, self._database)

    async def prune(self, now: float, /) -> int:
        """Forget what has expired, in small transactions of their own; return how many.

        Raises:
            StoreError: if the store gives no answer.
        """
        total = 0
        for statement in (self._prune_uses, self._prune_revocations):
            for _ in range(_BATCHES):
                deleted = await self._database.run(partial(_delete, statement, now))
                total += deleted
                if deleted < _BATCH:
                    break
        # For whoever watches it; as far as the bound, as a store counts that may be full.
        self._uses = await self._database.run(partial(_count, self._rooms.all.limit + 1))
        return total

    def health(self) -> StoreHealth:
        """Say how it is. Never waits."""
        error, epoch = self._database.last_error, self._database.epoch
        return StoreHealth(
            kind=self._place.kind,
            shared=True,
            last_error=None if error is None else error[0],
            last_error_age=None if error is None else monotonic() - error[1],
            memory_begins=None if epoch is None else epoch.begins,
            uses=self._uses,
        )

    async def close(self) -> None:
        """Close the connections. What is asked for later opens others."""
        await self._database.close()


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _deletion(place: Place, table: str, key: str) -> TextClause:
    """Return a statement that forgets a few rows of a table that have expired."""
    rows = place.words.rows.format(table=table, key=key, expired=place.words.expired, most=_BATCH)
    return text(f"DELETE FROM {table} WHERE {rows}")  # noqa: S608  constants of ours


def _delete(statement: TextClause, now: float, connection: Connection, _epoch: Epoch) -> int:
    return connection.execute(statement, {"now": now}).rowcount


def _count(most: int, connection: Connection, _epoch: Epoch) -> int:
    return int(connection.execute(_COUNT_ALL, {"most": most}).scalar_one())
