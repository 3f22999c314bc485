"""What tests measured, as a table at the end of a long run (``make stores``)."""

from __future__ import annotations

import os
from typing import Any, Final

__all__ = ["KILLS", "LONG", "REVOCATIONS", "figure", "spread"]

#: Whether this is a long run, which prints what it measured.
LONG: Final = os.environ.get("PORTVAKT_LONG") == "1"
#: How often something is killed, and how many revocations are timed.
KILLS: Final = int(os.environ.get("PORTVAKT_KILLS", "50" if LONG else "2"))
REVOCATIONS: Final = int(os.environ.get("PORTVAKT_REVOCATIONS", "200" if LONG else "5"))

_figures: Final[list[tuple[str, str, str]]] = []


def figure(what: str, place: str, *found: str) -> None:
    """Note what was found of a store."""
    _figures.append((what, place, ", ".join(found)))


def spread(seconds: list[float]) -> str:
    """Return the middle, the last hundredth and the end of some times, in milliseconds."""
    ordered = sorted(seconds)
    places = (len(ordered) // 2, len(ordered) * 99 // 100, len(ordered) - 1)
    p50, p99, most = (f"{1000 * ordered[place]:.1f}" for place in places)
    return f"p50 {p50} ms, p99 {p99} ms, max {most} ms"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not (LONG and _figures):
        return
    terminalreporter.section("figures")
    for what in dict.fromkeys(row[0] for row in _figures):
        terminalreporter.write_line(what)
        for place, found in [row[1:] for row in _figures if row[0] == what]:
            terminalreporter.write_line(f"  {place:14} {found}")
