"""The ``[telemetry]`` of a policy → the observers that log, count and trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from portvakt.config.telemetry import share_of

if TYPE_CHECKING:
    from pathlib import Path

    from portvakt.clock import Clock
    from portvakt.config.compile import Policy
    from portvakt.config.telemetry_schema import LogTable
    from portvakt.policy.decision import Observer
    from portvakt.telemetry.buffer import Buffer
    from portvakt.telemetry.metrics import Metrics, Readings
    from portvakt.telemetry.sink import Output

__all__ = ["Telling", "telling_of"]


class Telling:
    """All that a guard tells of its decisions, as its policy says.

    Parameters:
        observers: who is told of every decision.
        metrics: what is counted; None if nothing is.
        buffer: what waits to be written to a log; None where nothing waits.
    """

    def __init__(
        self, observers: tuple[Observer, ...], metrics: Metrics | None, buffer: Buffer | None
    ) -> None:
        self.observers = observers
        self.metrics = metrics
        self._buffer = buffer
        if buffer is not None:
            self.watch(buffer.readings)

    def watch(self, readings: Readings) -> None:
        """Have metrics read what a method returns, for as long as its object lives."""
        if self.metrics is not None:
            self.metrics.watch(readings)

    async def close(self) -> None:
        """Write what waits, as far as that goes in some seconds, and hold nobody up meanwhile."""
        if self._buffer is not None:
            import asyncio

            await asyncio.to_thread(self._buffer.close)


def telling_of(policy: Policy, clock: Clock, *, rehearsal: bool) -> Telling | None:
    """Make what a policy asks for; None if it asks for nothing, or if this is a rehearsal.

    What logs, counts and traces is imported where it is asked for, and no sooner.

    Raises:
        ConfigurationError: if a file cannot be written, or a package is missing.
    """
    table = policy.configuration.telemetry
    if rehearsal or (table.log is UNSET and not table.metrics and not table.traces):
        return None
    observers: list[Observer] = []
    metrics: Metrics | None = None
    buffer: Buffer | None = None
    if table.metrics:
        from portvakt.telemetry.metrics import Metrics

        metrics = Metrics(clock)
        observers.append(metrics.counts)
    if "prometheus" in table.metrics and metrics is not None:
        from portvakt.telemetry.prometheus import register

        register(metrics)
    if "opentelemetry" in table.metrics and metrics is not None:
        from portvakt.telemetry.opentelemetry import Durations, export

        export(metrics)
        observers.append(Durations())
    if table.traces:
        from portvakt.telemetry.tracing import Tracing

        observers.append(Tracing(traceparent=table.traceparent))
    if table.log is not UNSET:
        log, buffer = _log(table.log, policy.directory)
        observers.append(log)
    return Telling(tuple(observers), metrics, buffer)


def _log(table: LogTable, directory: Path) -> tuple[Observer, Buffer | None]:
    from portvakt.telemetry.log import Log, lost_line, through_logging

    share = share_of(table.admitted)
    if table.to == "logging":
        return Log(through_logging, share), None
    from portvakt.telemetry.buffer import Buffer
    from portvakt.telemetry.sink import File, Stream

    output: Output
    if table.file is UNSET:
        output = Stream(1 if table.to == "stdout" else 2)
    else:
        output = File(directory / table.file)
    buffer = Buffer(output, table.buffer, lost_line)

    def put(line: bytes, optional: bool, _outcome: str) -> None:  # noqa: FBT001  see Put
        buffer.put(line, optional=optional)

    return Log(put, share), buffer
