"""Counting decisions: plain integers, in a table of its own for each thread.

Nothing is locked on the way of a request. A table is written by its own thread alone, so no count
is lost, with or without a global interpreter lock; whoever reads makes a copy of it in one
operation that no Python code interrupts. The table of a thread that has ended is added to what is
past.
"""

import threading
from bisect import bisect_left
from typing import Final
from weakref import WeakSet, ref

from portvakt.home import after_fork
from portvakt.http.request import HttpRequest
from portvakt.policy.decision import Decision
from portvakt.refusal import Code
from portvakt.telemetry.outcome import ADMITTED, ANY_ROUTE, NONE, OUTCOMES, REFUSED, UNAVAILABLE
from portvakt.telemetry.snapshot import BOUNDS, Cell, Times

__all__ = ["Counts"]

#: Route, code by its identity, issuer, whether it was remembered, whether it is a further decision.
_Key = tuple[str, int, str | None, bool | None, bool]

#: A code is one object for all time. Hashing an enumeration's member runs Python code, its identity
#: does not.
_NAMES: Final[dict[int, str | None]] = {id(code): code.value for code in Code} | {0: None}

_INDEX: Final = {outcome: index for index, outcome in enumerate(OUTCOMES)}
_ADMITTED, _REFUSED, _UNAVAILABLE = _INDEX[ADMITTED], _INDEX[REFUSED], _INDEX[UNAVAILABLE]


class _Table:
    """What one thread has counted."""

    __slots__ = ("buckets", "cells", "sums")

    def __init__(self) -> None:
        # A count is a list of one, so that counting looks a key up once: it costs most of all.
        self.cells: dict[_Key, list[int]] = {}
        self.buckets = [[0] * (len(BOUNDS) + 1) for _ in OUTCOMES]
        self.sums = [0.0] * len(OUTCOMES)

    def add(self, other: "_Table") -> None:
        """Add what another thread has counted, or is about to count."""
        for key, count in other.cells.copy().items():
            self.cells.setdefault(key, [0])[0] += count[0]
        for index, theirs in enumerate(other.buckets):
            mine = self.buckets[index]
            self.buckets[index] = [
                one + more for one, more in zip(mine, theirs.copy(), strict=True)
            ]
            self.sums[index] += other.sums[index]


class _Alive:
    """Lives as long as the thread whose local variable it is."""

    __slots__ = ("__weakref__",)


class _Tables:
    """The tables of all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._past = _Table()
        self._living: list[tuple[ref[_Alive], _Table]] = []

    def make(self, alive: _Alive) -> _Table:
        """Return a new table, for the thread that *alive* lives as long as."""
        table = _Table()
        with self._lock:
            self._bury()
            self._living.append((ref(alive), table))
        return table

    def sum(self) -> _Table:
        """Return what all threads have counted."""
        total = _Table()
        with self._lock:
            self._bury()
            for table in (self._past, *(table for _, table in self._living)):
                total.add(table)
        return total

    def _bury(self) -> None:
        """Add the tables of threads that have ended to what is past."""
        living = []
        for entry in self._living:
            alive, table = entry
            if alive() is None:
                self._past.add(table)
            else:
                living.append(entry)
        self._living = living


class _Mine(threading.local):
    """The table of the running thread, made when it first asks."""

    def __init__(self, tables: _Tables) -> None:
        self.alive = _Alive()
        self.table = tables.make(self.alive)


class Counts:
    """Counts every decision it is told of, as an observer.

    Labels are of closed lists: routes and issuers of the policy, codes of :class:`Code`. So nobody
    who sends requests can make it grow.

    Attributes:
        tables: those of all threads.
    """

    def __init__(self) -> None:
        self.start_afresh()
        _every.add(self)

    def start_afresh(self) -> None:
        """Forget everything: after a fork, it is the parent's to tell."""
        self.tables = _Tables()
        self._mine = _Mine(self.tables)

    def share(self, other: "Counts") -> None:
        """Count together with *other* from now on, and what it has counted as well.

        What this one has counted alone is forgotten.
        """
        self.tables = other.tables
        self._mine = _Mine(self.tables)

    def __call__(self, _request: HttpRequest, decision: Decision) -> None:
        """Count a decision."""
        table = self._mine.table
        refusal, route, again = decision.refusal, decision.route, decision.again
        key = (
            NONE if route is None else route.path or ANY_ROUTE,
            0 if refusal is None else id(refusal.code),
            decision.issuer,
            decision.remembered,
            again,
        )
        cell = table.cells.get(key)
        if cell is None:
            cell = table.cells[key] = [0]
        cell[0] += 1
        seconds = decision.seconds
        if seconds is None or again:
            return
        if refusal is None:
            outcome = _ADMITTED
        else:
            outcome = _UNAVAILABLE if refusal.code.status == 503 else _REFUSED
        table.buckets[outcome][bisect_left(BOUNDS, seconds)] += 1
        table.sums[outcome] += seconds

    def read(self) -> tuple[tuple[Cell, ...], tuple[Times, ...]]:
        """Return what was counted so far, by all threads."""
        total = self.tables.sum()
        cells = tuple(
            Cell(
                route=route,
                code=_NAMES[code],
                issuer=issuer,
                remembered=remembered,
                again=again,
                count=count[0],
            )
            for (route, code, issuer, remembered, again), count in total.cells.items()
        )
        times = tuple(
            Times(outcome, tuple(buckets), seconds)
            for outcome, buckets, seconds in zip(OUTCOMES, total.buckets, total.sums, strict=True)
        )
        return cells, times


_every: Final[WeakSet[Counts]] = WeakSet()


def _forget_the_parents() -> None:
    for counts in _every:
        counts.start_afresh()


after_fork(_forget_the_parents)
