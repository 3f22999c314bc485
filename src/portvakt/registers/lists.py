"""A list of one's own: health personnel, agreed partners, clients; in a CSV or SQLite file."""

from __future__ import annotations

import math
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Final

from portvakt.clock import SystemClock, monotonic
from portvakt.registers.base import (
    Answer,
    Question,
    Reason,
    Register,
    RegisterHealth,
    check_seconds,
)
from portvakt.registers.files import Watched
from portvakt.registers.list_file import Entries, ListForm, list_stamp, normal, read_list

if TYPE_CHECKING:
    from collections.abc import Callable

    from portvakt.clock import Clock

__all__ = ["ListRegister"]

_YES: Final = Answer(known=True)
_UNKNOWN: Final = Answer(known=False, reason=Reason.UNKNOWN)
_NOT_NOW: Final = Answer(known=False, reason=Reason.NOT_VALID_NOW)


class ListRegister(Register):
    """Knows those whose identifier stands in a file, on the days that the file says.

    The file has a row of names first, then one row an identifier. Columns ``valid_from`` and
    ``valid_to`` (YYYY-MM-DD, both days included, empty for no limit) are heeded where they are
    there, all others passed over. HPR numbers are compared without leading zeros.

    It is read at the first question, and anew when it has changed; a new one that is broken leaves
    the old one in place and says so in :meth:`health`, until *max_staleness*.

    Does not check: a question's *child*: a list says nothing of who is a part of whom; check
    digits; that the rows are true.

    Parameters:
        name: its name in the policy.
        path: the file, CSV in UTF-8 or SQLite.
        form: what its identifiers are, and where in the file they stand.
        timezone: whose days ``valid_from`` and ``valid_to`` are.
        interval: seconds between two looks at the file.
        max_staleness: seconds for which the list serves while its file is broken or gone.
        wall_clock: seconds since 1970.
        clock: an age, in seconds; the monotonic clock by default.

    Raises:
        ConfigurationError: if a number of seconds is not positive.
    """

    def __init__(
        self,
        name: str,
        path: str | Path,
        form: ListForm,
        *,
        timezone: tzinfo = UTC,
        interval: float = 2.0,
        max_staleness: float = 86400.0,
        wall_clock: Clock | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        check_seconds(interval=interval, max_staleness=max_staleness)
        self.name = name
        self.subjects = frozenset({form.subject})
        self._subject = form.subject
        self._path = Path(path)
        self._timezone = timezone
        self._max_staleness = max_staleness
        self._wall_clock = SystemClock() if wall_clock is None else wall_clock
        self._file: Watched[Entries] = Watched(
            self._path,
            lambda path: read_list(path, form),
            stamp=list_stamp,
            interval=interval,
            max_staleness=max_staleness,
            clock=clock,
        )

    def current(self, question: Question) -> Answer | None:
        """Look it up in the list that was read, if the file was looked at lately."""
        entries = self._file.current()
        return None if entries is None else self._answer(entries, question)

    async def fetch(self, question: Question) -> Answer:
        """Have the file looked at, and look it up."""
        return self._answer(await self._file.get(), question)

    def health(self) -> RegisterHealth:
        """Say how many the list holds, and what is wrong with its file."""
        entries = self._file.value
        return RegisterHealth(
            name=self.name,
            source=str(self._path),
            entries=None if entries is None else len(entries),
            max_staleness=self._max_staleness if math.isfinite(self._max_staleness) else None,
            last_error=self._file.error,
            last_error_age=self._file.error_age(),
        )

    def _answer(self, entries: Entries, question: Question) -> Answer:
        identifier = normal(self._subject, question.value)
        periods = None if identifier is None else entries.get(identifier)
        if periods is None:
            return _UNKNOWN
        today: float | None = None
        for first, last in periods:
            if first == -math.inf and last == math.inf:
                return _YES
            if today is None:
                now = datetime.fromtimestamp(self._wall_clock(), self._timezone)
                today = now.toordinal()
            if first <= today <= last:
                return _YES
        return _NOT_NOW
