"""A copy of Enhetsregisteret on this machine, so that no request waits for the internet.

``portvakt registers update`` makes it (:mod:`portvakt.registers.update`) and replaces it in one
piece; here it is only ever read. A copy that is too old is no longer believed: what has happened
since, it does not know.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from portvakt.clock import SystemClock, monotonic
from portvakt.registers.base import (
    Answer,
    Question,
    Reason,
    Register,
    RegisterHealth,
    check_seconds,
    unavailable,
)
from portvakt.registers.files import Unusable, Watched
from portvakt.registers.units import ABOUT, Contradiction, Unit, Wanted, check_tolerated, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from portvakt.clock import Clock

__all__ = ["APPLICATION_ID", "SCHEMA", "SnapshotInfo", "SnapshotRegister", "pack", "read_info"]

#: What tells SQLite files of this kind from others ("Pvkt"), and this form from later ones.
APPLICATION_ID: Final = 0x50766B74
FORM: Final = 1

#: The form of the file. Units are few columns of numbers, as there are two millions of them.
SCHEMA: Final = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORM};
CREATE TABLE info (made_at REAL NOT NULL, main INTEGER NOT NULL, sub INTEGER NOT NULL);
CREATE TABLE main (number INTEGER PRIMARY KEY, parent INTEGER, state INTEGER NOT NULL);
CREATE TABLE sub (number INTEGER PRIMARY KEY, parent INTEGER, state INTEGER NOT NULL);
"""

#: Each objection is one bit of the state.
_BITS: Final = (Reason.DELETED, Reason.BANKRUPT, Reason.FORCED_WINDING_UP, Reason.WINDING_UP)

#: Seconds that a copy may be made ahead of our clock. More is a clock that was set back, and an
#: age that nobody knows.
_AHEAD: Final = 5.0

#: Answers remembered, of each copy.
_MAX_ANSWERS: Final = 10_000


class SnapshotInfo(Struct, frozen=True):
    """What a copy says of itself.

    Attributes:
        made_at: when its source was fetched, in seconds since 1970.
        main: how many main units it holds.
        sub: how many sub-units.
    """

    made_at: float
    main: int
    sub: int


class _Copy(Struct, frozen=True):
    """One state of the file, and what was asked of it."""

    info: SnapshotInfo
    answers: dict[Question, Answer]


def pack(unit: Unit) -> tuple[int, int | None, int]:
    """Return a unit as a row."""
    state = sum(1 << bit for bit, reason in enumerate(_BITS) if reason in unit.objections)
    return int(unit.number), None if unit.parent is None else int(unit.parent), state


def read_info(path: Path) -> SnapshotInfo:
    """Return what a copy says of itself.

    Raises:
        OSError: if it is not there.
        Unusable: if the file is no copy of this form.
    """
    path.stat()
    try:
        with closing(_connect(path)) as connection:
            ((kind,),) = connection.execute("PRAGMA application_id")
            ((form,),) = connection.execute("PRAGMA user_version")
            if (kind, form) == (APPLICATION_ID, FORM):
                ((made_at, main, sub),) = connection.execute("SELECT made_at, main, sub FROM info")
                return SnapshotInfo(float(made_at), int(main), int(sub))
    except (sqlite3.Error, ArithmeticError, TypeError, ValueError):
        raise Unusable("the file is no snapshot, or a broken one") from None
    raise Unusable("the file is no snapshot of this form: update it")


class SnapshotRegister(Register):
    """Answers what :class:`~portvakt.registers.enhetsregisteret.Enhetsregisteret` does, on its own.

    The file is looked at every few seconds, and a new one is used from then on. Answers are
    remembered as long as it is the same; the others are looked up on a thread, within a
    millisecond.

    Does not check: what has changed in the register since the copy was made; a unit that was
    deleted is simply not there, and unknown. Otherwise as for the API.

    Parameters:
        path: the file.
        name: its name in the policy.
        max_staleness: seconds after which the copy is not believed any more, counted from when its
            source was fetched.
        tolerate: what does not count against a unit: ``bankrupt``, ``winding_up``,
            ``forced_winding_up``.
        interval: seconds between two looks at the file.
        wall_clock: seconds since 1970.
        clock: an age, in seconds; the monotonic clock by default.

    Raises:
        ConfigurationError: if a number is not positive, or *tolerate* names something else.
    """

    subjects = ABOUT

    def __init__(
        self,
        path: str | Path,
        *,
        name: str = "enhetsregisteret",
        max_staleness: float = 48 * 3600.0,
        tolerate: Collection[str] = (),
        interval: float = 2.0,
        wall_clock: Clock | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        check_seconds(interval=interval, max_staleness=max_staleness)
        self.name = name
        self._path = Path(path)
        self._max_staleness = max_staleness
        self._tolerated = check_tolerated(tolerate)
        self._wall_clock = SystemClock() if wall_clock is None else wall_clock
        self._file: Watched[_Copy] = Watched(
            self._path, lambda path: _Copy(read_info(path), {}), interval=interval, clock=clock
        )

    def current(self, question: Question) -> Answer | None:
        """Return what was asked of this copy before."""
        copy = self._file.current()
        if copy is None or self._flaw(copy) is not None:
            return None
        return copy.answers.get(question)

    async def fetch(self, question: Question) -> Answer:
        """Have the file looked at, and look the units up."""
        copy = await self._file.get()
        flaw = self._flaw(copy)
        if flaw is not None:
            raise unavailable(flaw)
        try:
            answer = await asyncio.to_thread(self._look_up, question)
        except Contradiction as found:
            raise unavailable(str(found)) from None
        except sqlite3.Error:
            raise unavailable("the snapshot is broken") from None
        if len(copy.answers) >= _MAX_ANSWERS:
            copy.answers.clear()
        copy.answers[question] = answer
        return answer

    def health(self) -> RegisterHealth:
        """Say how large and how old the copy is."""
        copy = self._file.value
        flaw = None if copy is None else self._flaw(copy)
        return RegisterHealth(
            name=self.name,
            source=str(self._path),
            entries=None if copy is None else copy.info.main + copy.info.sub,
            age=None if copy is None else self._age(copy),
            max_staleness=self._max_staleness,
            last_error=self._file.error or flaw,
            last_error_age=self._file.error_age(),
        )

    def _age(self, copy: _Copy) -> float:
        return self._wall_clock() - copy.info.made_at

    def _flaw(self, copy: _Copy) -> str | None:
        """Say why the copy is not believed; None if it is."""
        age = self._age(copy)
        if -_AHEAD <= age < self._max_staleness:
            return None
        if age < 0:
            return "the snapshot was made in the future"
        return f"the snapshot is {age / 3600:.0f} h old: update it"

    def _look_up(self, question: Question) -> Answer:
        # The file as it is now: if it was replaced since the last look, it is the newer one.
        with closing(_connect(self._path)) as connection:
            procedure = judge(question, self._tolerated)
            try:
                wanted = next(procedure)
                while True:
                    wanted = procedure.send(tuple(_unit(connection, one) for one in wanted))
            except StopIteration as end:
                answer: Answer = end.value
                return answer


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _unit(connection: sqlite3.Connection, wanted: Wanted) -> Unit | None:
    query = "SELECT parent, state FROM {} WHERE number = ?"
    row = None
    if wanted.sub:
        row = connection.execute(query.format("sub"), (int(wanted.number),)).fetchone()
    if row is None:
        row = connection.execute(query.format("main"), (int(wanted.number),)).fetchone()
    if row is None:
        return None
    parent, state = row
    objections = tuple(reason for bit, reason in enumerate(_BITS) if state >> bit & 1)
    return Unit(wanted.number, None if parent is None else f"{parent:09}", objections)
