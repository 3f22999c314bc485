"""Metrics for OpenTelemetry. Nothing happens unless the application has set a meter provider."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final
from weakref import WeakKeyDictionary, WeakSet

from portvakt.errors import ConfigurationError
from portvakt.http.request import HttpRequest
from portvakt.policy.decision import Decision
from portvakt.telemetry.families import FAMILIES, Family
from portvakt.telemetry.outcome import outcome_of
from portvakt.telemetry.snapshot import BOUNDS, Snapshot, Source, merge
from portvakt.telemetry.tallies import TALLIES, Tally

try:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter
except ImportError as error:
    raise ConfigurationError(
        "opentelemetry-api is missing: pip install 'portvakt[telemetry]'"
    ) from error

__all__ = ["Durations", "export"]

_Read = Callable[[Snapshot], Iterable[Observation]]

#: What a name of Prometheus ends in says the unit; OpenTelemetry has it beside the name.
_SECONDS: Final = "_seconds"

#: What the labels of Prometheus are called here; ``http.route`` is everybody's name for it.
_ATTRIBUTES: Final = {"route": "http.route"}


class Durations:
    """An observer that records how long decisions took.

    OpenTelemetry has no histogram that is read when somebody asks, so each decision is recorded as
    it is made. That costs what the application's meter provider costs.

    Parameters:
        meter: whose; by default that of the provider which the application sets.
    """

    def __init__(self, meter: Meter | None = None) -> None:
        histogram = (meter or get_meter("portvakt")).create_histogram(
            "portvakt.decision.duration",
            unit="s",
            description="How long it took to decide on a request, with all waiting.",
            explicit_bucket_boundaries_advisory=BOUNDS,
        )
        self._record = histogram.record

    def __call__(self, _request: HttpRequest, decision: Decision) -> None:
        """Record a decision."""
        if decision.seconds is not None and not decision.again:
            self._record(decision.seconds, {"portvakt.outcome": outcome_of(decision)})


def export(metrics: Source, meter: Meter | None = None) -> None:
    """Have metrics read whenever a meter's provider exports, for as long as their guard lives.

    Those of several guards in one process are added up.

    Parameters:
        metrics: what was counted.
        meter: whose; by default that of the provider which the application sets.
    """
    meter = meter or get_meter("portvakt")
    living = _living.get(meter)
    if living is None:
        living = _living[meter] = WeakSet()
        _instruments(meter, living)
    living.add(metrics)


def _instruments(meter: Meter, living: WeakSet[Source]) -> None:
    """Make every instrument there is, once."""

    def reading(read: _Read) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _options: read(merge([one.snapshot() for one in living if not one.followed]))

    for name, tally in TALLIES.items():
        read = reading(partial(_counted, tally))
        meter.create_observable_counter(_name(name), [read], description=tally.text)
    for name, family in FAMILIES.items():
        make = meter.create_observable_counter if family.counter else meter.create_observable_gauge
        unit = "s" if name.endswith(_SECONDS) else ""
        make(_name(name), [reading(partial(_read_of, name, family))], unit, family.text)


def _counted(tally: Tally, snapshot: Snapshot) -> Iterator[Observation]:
    for values, count in tally.of(snapshot).items():
        yield Observation(count, _attributes(tally.labels, values))


def _read_of(name: str, family: Family, snapshot: Snapshot) -> Iterator[Observation]:
    for reading in snapshot.readings:
        if reading.name == name:
            yield Observation(reading.value, _attributes(family.labels, reading.labels))


def _name(prometheus: str) -> str:
    return prometheus.removesuffix(_SECONDS).replace("_", ".")


def _attributes(labels: tuple[str, ...], values: tuple[str, ...]) -> dict[str, str]:
    names = (_ATTRIBUTES.get(label, f"portvakt.{label}") for label in labels)
    return dict(zip(names, values, strict=True))


_living: Final[WeakKeyDictionary[Meter, WeakSet[Source]]] = WeakKeyDictionary()
