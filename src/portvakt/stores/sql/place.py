"""What is different between the databases: how they are reached, and the words for some things.

Everything else is one code for all of them, in :mod:`portvakt.stores.sql.guarding`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final

from msgspec import Struct

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["PATIENCE", "SKEW", "Epoch", "Place", "Words"]

#: What part of its time work waits for others: it ends by itself, and can say what it waited for.
PATIENCE: Final = 0.9

#: Seconds by which the clocks of two guards may differ: what has expired is kept so much longer.
SKEW: Final = 5.0


class Epoch(Struct, frozen=True):
    """Since when the data has been where it is.

    Attributes:
        mark: names it in cursors.
        begins: what was used before this is not known, in seconds since 1970.
    """

    mark: str
    begins: float


class Words(Struct, frozen=True):
    """SQL that each database writes in its own way.

    Attributes:
        begin: begins a transaction that will write.
        larger: the larger of two values.
        expired: until when what has expired may be forgotten, of the parameter ``now``.
        rows: which rows a small deletion takes: a condition with ``{table}`` and ``{key}``.
        position: the position of what this transaction writes.
        next_position: what every transaction that can still write has as its position, or more.
    """

    begin: str
    larger: str
    expired: str
    rows: str
    position: str
    next_position: str


class Place(ABC):
    """One database: a file or a server."""

    kind: ClassVar[str]
    shared: ClassVar[bool] = True
    words: ClassVar[Words]

    #: Seconds that are added to the beginning of its memory: whose clocks may differ from ours.
    skew: ClassVar[float]

    #: Whether work on it ends in any case, soon after that time.
    ends_by_itself: ClassVar[bool]

    #: Seconds within which it must answer.
    timeout: float

    def __repr__(self) -> str:
        # Where it is may hold a password.
        return f"{type(self).__name__}()"

    @abstractmethod
    def engine(self) -> AsyncEngine:
        """Make what connections come from, on the running loop. Opens nothing."""

    @abstractmethod
    def blocking_engine(self) -> Engine:
        """Make the same for a thread that may wait."""

    @abstractmethod
    def drop(self, driver: Any) -> None:
        """Close a connection whose loop has ended."""

    @abstractmethod
    def identity(self, connection: Connection, now: float) -> str:
        """Return what changes whenever what was written last may be lost."""

    @abstractmethod
    def lock(self, connection: Connection, name: bytes) -> None:
        """Within a transaction: wait until no other one has locked this name."""

    @abstractmethod
    def before_revoking(self, connection: Connection) -> None:
        """Within a transaction that revokes: make a new position, and announce it."""

    @abstractmethod
    def reposition(self, connection: Connection) -> None:
        """Within a transaction, on a server that is new: put back positions that lie ahead."""

    @abstractmethod
    def explain(self, error: BaseException) -> str:
        """Say what went wrong, in words that hold nothing of the data and no address."""

    def prepare(self) -> None:  # noqa: B027  most have nothing to do
        """Make what tables can be made in, before they are."""

    def used(self, expires_at: float) -> None:  # noqa: B027  likewise
        """Note outside of the database that a use was written to it."""

    def stamp(self) -> object:
        """Return what changes when connections lead to something that is not there any more.

        None: there is nothing, and it is not to be made by looking.
        """
        return ""
