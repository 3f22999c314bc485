"""The metrics of one guard: what it decided, and how all is that its decisions rest on."""

from collections.abc import Callable, Iterable
from typing import Final
from weakref import WeakMethod

from portvakt.clock import Clock, SystemClock
from portvakt.telemetry.counts import Counts
from portvakt.telemetry.snapshot import Reading, Snapshot

__all__ = ["Metrics", "Readings"]

Readings = Callable[[], Iterable[Reading]]


class Metrics:
    """Counts decisions, and reads the rest when somebody asks.

    Those of a guard that is made anew, of a changed policy, go on where those of the one before
    stopped, if they :meth:`follow` them.

    Parameters:
        clock: what time it is; the system's by default.

    Attributes:
        counts: the observer that counts.
        generation: how many policies were loaded one after the other, this one included.
        reloads: how many attempts to load one anew succeeded and failed.
        followed: whether others count together with these now, and say what these would.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.counts: Final = Counts()
        self._clock = SystemClock() if clock is None else clock
        self._sources: list[WeakMethod[Readings]] = []
        self.followed = False
        self.generation = 1
        self._loaded = self._clock()
        self.reloads = {"ok": 0, "failed": 0}

    def watch(self, readings: Readings) -> None:
        """Read from here as well, for as long as the object lives whose method this is."""
        self._sources = [source for source in self._sources if source() is not None]
        self._sources.append(WeakMethod(readings))

    def follow(self, before: "Metrics") -> None:
        """Go on where those of the guard before stopped, whose policy was loaded anew.

        Both count together from now on, as the guard before may have requests still. Call it before
        this one's guard serves.
        """
        self.counts.share(before.counts)
        self.generation = before.generation + 1
        self.reloads = {**before.reloads, "ok": before.reloads["ok"] + 1}
        before.followed = True

    def reload_failed(self) -> None:
        """Take note that a policy could not be loaded, so that the one before goes on to serve."""
        self.reloads["failed"] += 1

    def snapshot(self) -> Snapshot:
        """Return everything as it is now. Never waits; may be called from any thread."""
        decisions, times = self.counts.read()
        return Snapshot(decisions, times, tuple(self._readings()))

    def render(self) -> bytes:
        """Return a page of metrics in the text format of Prometheus.

        Raises:
            ConfigurationError: if prometheus_client is missing.
        """
        from portvakt.telemetry.prometheus import render

        return render([self.snapshot()])

    def _readings(self) -> Iterable[Reading]:
        for source in self._sources:
            readings = source()
            if readings is not None:
                yield from readings()
        yield Reading("portvakt_policy_generation", self.generation)
        yield Reading("portvakt_policy_loaded_timestamp_seconds", self._loaded)
        for result, count in self.reloads.items():
            yield Reading("portvakt_policy_reloads", count, (result,))
