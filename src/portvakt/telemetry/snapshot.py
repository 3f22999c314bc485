"""What was counted, as plain data: to be sent to another process, and added up there."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from portvakt.telemetry.families import FAMILIES, Merge
from portvakt.telemetry.outcome import OUTCOMES

__all__ = ["BOUNDS", "Cell", "Reading", "Snapshot", "Source", "Times", "merge"]

#: The upper bounds of the buckets for times, in seconds: a remembered token takes a few millionths,
#: a register or an issuer that has to be asked some seconds.
BOUNDS: Final = (
    5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4,
    1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip


class Cell(Struct, frozen=True, kw_only=True):
    """How many decisions are alike in all that is counted.

    Attributes:
        route: the template of the rule; see :func:`portvakt.telemetry.outcome.route_of`.
        code: why they were refused; None: admitted.
        issuer: whose tokens, once verified.
        remembered: see :class:`portvakt.Decision`.
        again: likewise.
        count: how many.
    """

    route: str
    code: str | None
    issuer: str | None
    remembered: bool | None
    again: bool
    count: int


class Times(Struct, frozen=True):
    """How long decisions of one outcome took.

    Attributes:
        outcome: which.
        buckets: how many took at most so long, and longer than the bound before; one bucket more
            than there are :data:`BOUNDS`, for those that took longer than the last.
        seconds: all of them together.
    """

    outcome: str
    buckets: tuple[int, ...]
    seconds: float


class Reading(Struct, frozen=True):
    """One value that is read when somebody asks.

    Attributes:
        name: of :data:`portvakt.telemetry.families.FAMILIES`.
        value: its value.
        labels: the values of its labels, in the order of the family.
    """

    name: str
    value: float
    labels: tuple[str, ...] = ()


class Snapshot(Struct, frozen=True):
    """Everything that one process, or several together, have to say.

    Attributes:
        decisions: how many there were, by all that is told apart.
        times: how long they took.
        readings: how all is that they rest on.
    """

    decisions: tuple[Cell, ...] = ()
    times: tuple[Times, ...] = ()
    readings: tuple[Reading, ...] = ()

    def encode(self) -> bytes:
        """Write it as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, octets: bytes) -> "Snapshot":
        """Read what :meth:`encode` wrote.

        Raises:
            msgspec.MsgspecError: if it is anything else.
        """
        return _decode(octets)


class Source(Protocol):
    """Whatever has something to say of itself.

    Attributes:
        followed: whether another says it instead.
    """

    followed: bool

    def snapshot(self) -> Snapshot:
        """Return everything as it is now."""
        ...


_decode: Final = msgspec.json.Decoder(Snapshot).decode

_MERGED: Final[dict[Merge, Callable[[Sequence[float]], float]]] = {
    Merge.SUM: sum,
    Merge.MOST: max,
    Merge.LEAST: min,
}


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Add snapshots up: several processes as one, or one process before and after it was restarted.

    Counts are added. Of ages and the like the worst is kept, as each family says. A process that
    ended takes its counts with it unless its last snapshot is kept and merged.
    """
    listed = tuple(snapshots)
    cells: Counter[tuple[str, str | None, str | None, bool | None, bool]] = Counter()
    buckets = {outcome: [0] * (len(BOUNDS) + 1) for outcome in OUTCOMES}
    seconds = dict.fromkeys(OUTCOMES, 0.0)
    readings: dict[tuple[str, tuple[str, ...]], list[float]] = {}
    for snapshot in listed:
        for cell in snapshot.decisions:
            key = (cell.route, cell.code, cell.issuer, cell.remembered, cell.again)
            cells[key] += cell.count
        for times in snapshot.times:
            mine = buckets[times.outcome]
            buckets[times.outcome] = [
                one + more for one, more in zip(mine, times.buckets, strict=True)
            ]
            seconds[times.outcome] += times.seconds
        for reading in snapshot.readings:
            readings.setdefault((reading.name, reading.labels), []).append(reading.value)
    return Snapshot(
        decisions=tuple(
            Cell(
                route=route,
                code=code,
                issuer=issuer,
                remembered=remembered,
                again=again,
                count=count,
            )
            for (route, code, issuer, remembered, again), count in cells.items()
        ),
        times=tuple(
            Times(outcome, tuple(buckets[outcome]), seconds[outcome]) for outcome in OUTCOMES
        ),
        readings=tuple(
            Reading(name, _MERGED[FAMILIES[name].merge](values), labels)
            for (name, labels), values in readings.items()
        ),
    )
