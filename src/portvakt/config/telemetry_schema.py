"""The ``[telemetry]`` table of the policy file, as plain data: what a guard tells its operator."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

__all__ = ["ADMITTED", "EXPORTERS", "LOG_TO", "MOST_BUFFER", "LogTable", "TelemetryTable"]

#: Where the log of decisions may go, if not to a file.
LOG_TO: Final = ("stdout", "stderr", "logging")

#: Which admissions are written: all, none, or a share, as 1% or 0.5%.
ADMITTED: Final = r"^(all|none|[0-9]{1,2}(\.[0-9]{1,3})?%)$"

#: Who may read the metrics.
EXPORTERS: Final = ("prometheus", "opentelemetry")

#: The bound of the bound: a line takes some three hundred octets.
MOST_BUFFER: Final = 1_000_000


class LogTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The log of decisions: one line of JSON for each."""

    to: Annotated[
        str | UnsetType,
        Meta(
            description="stdout, stderr, or logging: the application's own, by the logger "
            "portvakt.decisions. stderr if neither this nor a file is stated.",
            extra_json_schema={"enum": list(LOG_TO)},
        ),
    ] = UNSET
    file: Annotated[
        Annotated[str, Meta(min_length=1)] | UnsetType,
        Meta(
            description="A file that lines are added to, relative to this one. It may be moved "
            "away at any time: a new one is made."
        ),
    ] = UNSET
    admitted: Annotated[
        str,
        Meta(
            description="Which admissions are written: all, none, or a share picked at random, as "
            "1%. Refusals always are.",
            pattern=ADMITTED,
        ),
    ] = "all"
    buffer: Annotated[
        int,
        Meta(
            description="How many lines may wait to be written. More are lost and counted, those "
            "of admissions first."
        ),
    ] = 10_000


class TelemetryTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a guard tells of its decisions. Nothing of it holds a token, a claim or a path."""

    log: Annotated[
        LogTable | UnsetType,
        Meta(description="The log of decisions: one line of JSON for each."),
    ] = UNSET
    metrics: Annotated[
        tuple[Annotated[str, Meta(extra_json_schema={"enum": list(EXPORTERS)})], ...],
        Meta(
            description="Who reads the metrics: prometheus (the default registry of "
            "prometheus_client, and guard.metrics), opentelemetry (the application's meter "
            "provider)."
        ),
    ] = ()
    traces: Annotated[
        bool,
        Meta(
            description="Whether each decision is a span, of OpenTelemetry and the application's "
            "tracer provider."
        ),
    ] = False
    traceparent: Annotated[
        bool,
        Meta(
            description="Whether a request may say which span it belongs to (W3C Trace Context), "
            "where the application has none. Whoever calls may then have every request sampled."
        ),
    ] = False
