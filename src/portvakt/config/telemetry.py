"""What is wrong with the ``[telemetry]`` table, as far as it alone tells."""

import re

from msgspec import UNSET

from portvakt.config.problems import Problems, must_be_one_of
from portvakt.config.telemetry_schema import (
    ADMITTED,
    EXPORTERS,
    LOG_TO,
    MOST_BUFFER,
    LogTable,
    TelemetryTable,
)

__all__ = ["check_telemetry", "share_of"]


def check_telemetry(table: TelemetryTable, problems: Problems) -> None:
    """Note what is wrong with the table.

    Does not check that what it needs is installed, nor that the file can be written.
    """
    if table.log is not UNSET:
        _check_log(table.log, problems)
    for index, name in enumerate(table.metrics):
        if name not in EXPORTERS:
            problems.add(f"telemetry.metrics[{index}]", must_be_one_of(EXPORTERS, name))
        elif name in table.metrics[:index]:
            problems.add(f"telemetry.metrics[{index}]", "is there already")
    if table.traceparent and not table.traces:
        problems.add("telemetry.traceparent", "means nothing without traces = true")


def _check_log(log: LogTable, problems: Problems) -> None:
    if log.to is not UNSET and log.file is not UNSET:
        problems.add("telemetry.log.file", "and to are two places: state one")
    if log.to is not UNSET and log.to not in LOG_TO:
        problems.add("telemetry.log.to", must_be_one_of(LOG_TO, log.to))
    if not re.fullmatch(ADMITTED, log.admitted):
        problems.add("telemetry.log.admitted", 'must be "all", "none" or a share, as "1%"')
    if not 1 <= log.buffer <= MOST_BUFFER:
        problems.add("telemetry.log.buffer", f"must be between 1 and {MOST_BUFFER}")


def share_of(admitted: str) -> float:
    """Return which share of admissions a sound setting has written, from 0 to 1."""
    if admitted.endswith("%"):
        return float(admitted[:-1]) / 100
    return 1.0 if admitted == "all" else 0.0
