"""Metrics for Prometheus. What counts is not its client: that takes a lock for each number."""

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from portvakt.errors import ConfigurationError
from portvakt.telemetry.families import FAMILIES
from portvakt.telemetry.snapshot import BOUNDS, Snapshot, Source, merge
from portvakt.telemetry.tallies import TALLIES

try:
    from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )
    from prometheus_client.registry import Collector
    from prometheus_client.utils import floatToGoString
except ImportError as error:
    raise ConfigurationError(
        "prometheus_client is missing: pip install 'portvakt[telemetry]'"
    ) from error

if TYPE_CHECKING:
    from prometheus_client import Metric

__all__ = ["CONTENT_TYPE", "collect", "register", "render"]

#: What a page of metrics is, for whoever serves it.
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_BOUNDS: Final = (*map(floatToGoString, BOUNDS), "+Inf")


def render(snapshots: Iterable[Snapshot]) -> bytes:
    """Return a page of metrics in the text format of Prometheus, of several processes together."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed(merge(snapshots)))
    return generate_latest(registry)


def register(metrics: Source, registry: CollectorRegistry = REGISTRY) -> None:
    """Show metrics among the others of a registry, for as long as their guard lives.

    Those of several guards in one process are added up.
    """
    collector = _collectors.get(registry)
    if collector is None:
        collector = _collectors[registry] = _Living()
        registry.register(collector)
    collector.every.add(metrics)


def collect(snapshot: Snapshot) -> Iterator["Metric"]:
    """Yield a snapshot as the families that Prometheus has."""
    for name, tally in TALLIES.items():
        counter = CounterMetricFamily(name, tally.text, labels=tally.labels)
        for labels, count in tally.of(snapshot).items():
            counter.add_metric(labels, count)
        yield counter
    yield _times(snapshot)
    found: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for reading in snapshot.readings:
        family = found.get(reading.name)
        if family is None:
            about = FAMILIES[reading.name]
            kind = CounterMetricFamily if about.counter else GaugeMetricFamily
            family = found[reading.name] = kind(reading.name, about.text, labels=about.labels)
        family.add_metric(reading.labels, reading.value)
    yield from found.values()


def _times(snapshot: Snapshot) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "portvakt_decision_seconds",
        "How long it took to decide on a request, with all waiting.",
        labels=("outcome",),
    )
    for times in snapshot.times:
        # Each bucket of Prometheus counts all that took at most so long.
        buckets = list(zip(_BOUNDS, accumulate(times.buckets), strict=True))
        family.add_metric((times.outcome,), buckets, times.seconds)
    return family


class _Fixed(Collector):
    """Shows one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator["Metric"]:
        return collect(self._snapshot)


class _Living(Collector):
    """Shows what all metrics are that still live, each time it is asked."""

    def __init__(self) -> None:
        self.every: WeakSet[Source] = WeakSet()

    def collect(self) -> Iterator["Metric"]:
        return collect(merge([one.snapshot() for one in self.every if not one.followed]))

    def describe(self) -> Iterator["Metric"]:
        """Name nothing ahead, so that registering it does not collect."""
        return iter(())


_collectors: Final[dict[CollectorRegistry, _Living]] = {}
