"""How much room there is, without counting at each use.

Counting a hundred thousand rows takes longer than all the rest. So each process counts now and
then, and in between it assumes that seven others add as many as itself.
"""

from __future__ import annotations

from math import inf
from typing import Final

__all__ = ["Room", "Rooms"]

#: Processes that may add at the same rate without ever passing the bound.
_PROCESSES: Final = 8
#: Seconds for which a bound that was reached is not counted again.
_REST: Final = 1.0
#: Owners of whom a process knows how much they have.
_MAX_OWNERS: Final = 10_000


class Room:
    """How much of one bound is taken, as far as this process knows.

    Parameters:
        limit: the bound.
    """

    __slots__ = ("_added", "_counted", "_full_until", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._counted: int | None = None
        self._added = 0
        self._full_until = -inf

    def is_full(self, at: float) -> bool:
        """Whether it was full a moment ago."""
        return at < self._full_until

    def must_count(self) -> bool:
        """Whether the bound may be near; else one more is added."""
        counted = self._counted
        if counted is None or (self._added + 1) * _PROCESSES > self.limit - counted:
            return True
        self._added += 1
        return False

    def count(self, counted: int, at: float) -> bool:
        """Note how many there are with the one just added; False: that is too many."""
        if counted > self.limit:
            self._full_until = at + _REST
            return False
        self._counted, self._added, self._full_until = counted, 0, -inf
        return True


class Rooms:
    """The bounds of all, and of each owner.

    Parameters:
        capacity: of all.
        per_owner: of each owner.
    """

    __slots__ = ("_owners", "_per_owner", "all")

    def __init__(self, capacity: int, per_owner: int) -> None:
        self.all = Room(capacity)
        self._per_owner = per_owner
        self._owners: dict[bytes, Room] = {}

    def of(self, owner: bytes) -> Room:
        """Return the room of one owner."""
        room = self._owners.get(owner)
        if room is None:
            if len(self._owners) >= _MAX_OWNERS:
                # What is forgotten is counted again.
                self._owners.clear()
            room = self._owners[owner] = Room(self._per_owner)
        return room
