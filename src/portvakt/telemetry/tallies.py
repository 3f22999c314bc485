"""What is counted, summed up by the few labels that each metric has."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from portvakt.refusal import Code
from portvakt.telemetry.outcome import ADMITTED, NONE, REFUSED, UNAVAILABLE
from portvakt.telemetry.snapshot import Cell, Snapshot

__all__ = ["TALLIES", "Tally"]

Sums = Counter[tuple[str, ...]]


class Tally(NamedTuple):
    """One counter, by its labels.

    Attributes:
        text: what it counts, for the reader of a page of metrics.
        labels: what tells its values apart.
        of: sums a snapshot up.
    """

    text: str
    labels: tuple[str, ...]
    of: Callable[[Snapshot], Sums]


_OUTCOMES: Final = {NONE: ADMITTED} | {
    code.value: UNAVAILABLE if code.status == 503 else REFUSED for code in Code
}


def _decided(cells: Iterable[Cell]) -> Sums:
    found: Sums = Counter()
    for cell in cells:
        code = NONE if cell.code is None else cell.code
        found[_OUTCOMES[code], code, cell.route, cell.issuer or NONE] += cell.count
    return found


def _first(snapshot: Snapshot) -> Sums:
    return _decided(cell for cell in snapshot.decisions if not cell.again)


def _further(snapshot: Snapshot) -> Sums:
    return _decided(cell for cell in snapshot.decisions if cell.again)


def _tokens(snapshot: Snapshot) -> Sums:
    found: Sums = Counter()
    for cell in snapshot.decisions:
        if cell.remembered is not None and not cell.again:
            found[cell.issuer or NONE, "hit" if cell.remembered else "miss"] += cell.count
    return found


_DECISION: Final = ("outcome", "code", "route", "issuer")

#: By name, as Prometheus wants it, without its ``_total``.
TALLIES: Final[dict[str, Tally]] = {
    "portvakt_decisions": Tally("Requests that were decided on.", _DECISION, _first),
    "portvakt_further_decisions": Tally(
        "Further decisions about requests that had been decided on: what endpoints demanded later.",
        _DECISION,
        _further,
    ),
    "portvakt_tokens": Tally(
        "Good tokens, by whether they were remembered (hit) or verified or asked about (miss).",
        ("issuer", "cache"),
        _tokens,
    ),
}
