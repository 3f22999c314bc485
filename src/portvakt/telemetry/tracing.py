"""One span for each decision. Nothing happens unless the application has set a tracer provider."""

import re
import time
from typing import Final

from portvakt.errors import ConfigurationError
from portvakt.http.request import HttpRequest
from portvakt.policy.decision import Decision
from portvakt.telemetry.outcome import UNAVAILABLE, outcome_of, route_of

try:
    from opentelemetry.context import Context
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        StatusCode,
        TraceFlags,
        Tracer,
        get_current_span,
        get_tracer,
        set_span_in_context,
    )
except ImportError as error:
    raise ConfigurationError(
        "opentelemetry-api is missing: pip install 'portvakt[telemetry]'"
    ) from error

__all__ = ["Tracing", "parent_in"]

#: W3C Trace Context, section 3.2: version, trace, parent, flags. A later version may have more
#: behind these; the form of the first four is fixed.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
#: Characters of a header that is looked at at all.
_MOST: Final = 256
_SAMPLED: Final = 0x01

_NAME: Final = "portvakt.decision"


class Tracing:
    """An observer that makes a span of each decision, as long as it took.

    Its parent is the running span of the application, if there is one. Attributes are of closed
    lists. As a span is made when the decision is, what the guard asked meanwhile is not inside it.

    Parameters:
        traceparent: whether else the request says which span it belongs to. Whoever calls decides
            then what is sampled, unless the application's sampler decides for itself.
        tracer: who makes spans; by default that of the provider which the application sets.
    """

    def __init__(self, *, traceparent: bool = False, tracer: Tracer | None = None) -> None:
        self._traceparent = traceparent
        self._tracer = tracer or get_tracer("portvakt")

    def __call__(self, request: HttpRequest, decision: Decision) -> None:
        """Make a span of a decision."""
        parent: Context | None = None
        if self._traceparent and not get_current_span().get_span_context().is_valid:
            parent = parent_in(request)
        outcome, refusal, end = outcome_of(decision), decision.refusal, time.time_ns()
        attributes: dict[str, str | bool] = {
            "portvakt.outcome": outcome,
            "http.route": route_of(decision.route),
        }
        if refusal is not None:
            attributes["portvakt.code"] = refusal.code.value
            attributes["portvakt.step"] = refusal.code.step.name.lower()
        if decision.issuer is not None:
            attributes["portvakt.issuer"] = decision.issuer
        if decision.remembered is not None:
            attributes["portvakt.remembered"] = decision.remembered
        if decision.again:
            attributes["portvakt.again"] = True
        start = end - round((decision.seconds or 0.0) * 1e9)
        span = self._tracer.start_span(
            "portvakt.decision", parent, attributes=attributes, start_time=start
        )
        if outcome == UNAVAILABLE:
            # A refused request is the caller's error, and this one is not.
            span.set_status(StatusCode.ERROR)
        span.end(end)


def parent_in(request: HttpRequest) -> Context | None:
    """Return the span that a request says it belongs to; None if it says none, or nothing clear.

    Reads the one ``traceparent`` there is, in its exact form, and nothing of ``tracestate``.
    Whether there is such a span, nobody knows.
    """
    stated = [value for name, value in request.headers if name.lower() == "traceparent"]
    if len(stated) != 1 or len(stated[0]) > _MOST:
        return None
    match = _TRACEPARENT.fullmatch(stated[0].strip(" \t"))
    if match is None or (match[1] == "00" and match[5] is not None):
        return None
    flags = TraceFlags(int(match[4], 16) & _SAMPLED)
    context = SpanContext(int(match[2], 16), int(match[3], 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(context), Context())
