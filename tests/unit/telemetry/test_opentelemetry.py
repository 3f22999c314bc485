"""Metrics and spans through the OpenTelemetry that an application has set up."""

from typing import Any, Final

import pytest
from opentelemetry import context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, get_current_span, set_span_in_context

from portvakt import Code, Decision, Guard, HttpRequest, Refusal
from portvakt.telemetry.families import FAMILIES
from portvakt.telemetry.metrics import Metrics
from portvakt.telemetry.opentelemetry import Durations, export
from portvakt.telemetry.snapshot import Reading
from portvakt.telemetry.tracing import Tracing, parent_in
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
NAME: Final = ISSUER.trusted.issuer
ROUTES: Final = [{"path": "/x/{a}", "scopes": ["read"]}]
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STATED: Final = f"00-{TRACE}-{SPAN}-01"


class Lines:
    """Something that is read."""

    def readings(self) -> list[Reading]:
        return [
            Reading("portvakt_log_lines_lost", 2.0),
            Reading("portvakt_keys_age_seconds", 5.0, (NAME,)),
        ]


def test_what_was_counted_is_exported_when_somebody_asks() -> None:
    reader, metrics, lines = InMemoryMetricReader(), Metrics(), Lines()
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("portvakt")
    metrics.watch(lines.readings)
    export(metrics, meter)
    export(metrics, meter)
    guard = Guard.from_config(
        ISSUER.config(route=ROUTES),
        clock=ISSUER.clock,
        observers=[metrics.counts, Durations(meter)],
    )
    request = ISSUER.request(ISSUER.token(scopes=["read"]), url="/x/1")
    for _ in range(2):
        assert guard.check_blocking(request).admitted
    assert guard.check_blocking(request, again=True).admitted
    found = dict(_points(reader))
    assert found["portvakt.decisions"] == [
        (
            {
                "portvakt.outcome": "admitted",
                "portvakt.code": "none",
                "http.route": "/x/{a}",
                "portvakt.issuer": NAME,
            },
            2,
        )
    ]
    assert found["portvakt.decision.duration"] == [({"portvakt.outcome": "admitted"}, 2)]
    assert found["portvakt.log.lines.lost"] == [({}, 2)]
    assert found["portvakt.keys.age"] == [({"portvakt.issuer": NAME}, 5)]
    # Those that another guard follows say nothing themselves.
    Metrics().follow(metrics)
    assert "portvakt.decisions" not in dict(_points(reader))


def _points(reader: InMemoryMetricReader) -> list[tuple[str, list[tuple[dict[str, Any], float]]]]:
    data = reader.get_metrics_data()
    assert data is not None
    return [
        (
            metric.name,
            [
                (
                    dict(point.attributes or {}),
                    point.count if hasattr(point, "count") else point.value,
                )
                for point in metric.data.data_points
            ],
        )
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]


def test_without_a_provider_nothing_happens() -> None:
    config = ISSUER.config(telemetry={"metrics": ["opentelemetry"], "traces": True})
    guard = Guard.from_config(config, clock=ISSUER.clock)
    assert guard.check_blocking(ISSUER.request(ISSUER.token())).admitted
    assert guard.metrics.snapshot().decisions[0].count == 1
    assert not get_current_span().get_span_context().is_valid


class Traced:
    """A guard whose decisions are spans, kept in memory."""

    def __init__(self, *, traceparent: bool = False) -> None:
        self._spans = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.tracer = provider.get_tracer("tests")
        self.tracing = Tracing(traceparent=traceparent, tracer=self.tracer)
        self.guard = Guard.from_config(
            ISSUER.config(route=ROUTES), clock=ISSUER.clock, observers=[self.tracing]
        )

    def span(self) -> Any:
        (span,) = self._spans.get_finished_spans()
        self._spans.clear()
        return span


def test_a_span_says_what_was_decided_and_lasts_as_long() -> None:
    traced = Traced()
    request = ISSUER.request(ISSUER.token(scopes=["read"]), url="/x/1")
    traced.guard.check_blocking(request)
    span = traced.span()
    assert span.name == "portvakt.decision"
    assert dict(span.attributes) == {
        "portvakt.outcome": "admitted",
        "http.route": "/x/{a}",
        "portvakt.issuer": NAME,
        "portvakt.remembered": False,
    }
    assert span.parent is None
    assert span.status.status_code is StatusCode.UNSET
    assert 0 < span.end_time - span.start_time < 5e9
    traced.guard.check_blocking(ISSUER.request(url="/x/1"), again=True)
    assert dict(traced.span().attributes) == {
        "portvakt.outcome": "refused",
        "portvakt.code": "credential_missing",
        "portvakt.step": "credential",
        "http.route": "/x/{a}",
        "portvakt.again": True,
    }


def test_what_is_not_the_callers_doing_is_an_error() -> None:
    traced = Traced()
    decision = Decision(None, Refusal(Code.KEYS_UNAVAILABLE, "down"), None, None, 0.0, seconds=2.0)
    traced.tracing(ISSUER.request(), decision)
    span = traced.span()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert span.end_time - span.start_time == 2_000_000_000


def stating(*values: str) -> HttpRequest:
    return ISSUER.request(headers=[("TraceParent", value) for value in values])


def test_the_parent_is_the_applications_span_or_else_what_the_request_says_if_it_may() -> None:
    traced = Traced(traceparent=True)
    traced.guard.check_blocking(stating(STATED))
    parent = traced.span().parent
    assert (f"{parent.trace_id:032x}", f"{parent.span_id:016x}") == (TRACE, SPAN)
    assert parent.is_remote
    running = traced.tracer.start_span("running")
    token = context.attach(set_span_in_context(running))
    try:
        traced.guard.check_blocking(stating(STATED))
    finally:
        context.detach(token)
    assert traced.span().parent.span_id == running.get_span_context().span_id
    untrusting = Traced()
    untrusting.guard.check_blocking(stating(STATED))
    assert untrusting.span().parent is None


@pytest.mark.parametrize(
    ("stated", "flags"),
    [(STATED, 1), (f"00-{TRACE}-{SPAN}-00", 0), (f"00-{TRACE}-{SPAN}-ff", 1),
     (f"01-{TRACE}-{SPAN}-01-more", 1), (f" {STATED}\t", 1)],
)  # fmt: skip
def test_a_parent_that_is_stated_clearly_is_read(stated: str, flags: int) -> None:
    found = parent_in(stating(stated))
    assert found is not None
    parent = get_current_span(found).get_span_context()
    assert (parent.trace_id, parent.span_id) == (int(TRACE, 16), int(SPAN, 16))
    assert parent.trace_flags == flags


@pytest.mark.parametrize(
    "stated",
    [
        (),
        (STATED, STATED),
        ("",),
        (STATED.upper(),),
        (f"{STATED}-more",),  # Version 00 has nothing behind the flags.
        (f"{STATED}\n",),
        (f"ff-{TRACE}-{SPAN}-01",),
        (f"00-{'0' * 32}-{SPAN}-01",),
        (f"00-{TRACE}-{'0' * 16}-01",),
        (f"00-{TRACE[1:]}-{SPAN}-01",),
        (f"01-{TRACE}-{SPAN}-01-{'x' * 300}",),
        (f"01-{TRACE}-{SPAN}-01more",),
        ("٠٠" + STATED[2:],),
    ],
)
def test_a_parent_that_is_not_is_none(stated: tuple[str, ...]) -> None:
    assert parent_in(stating(*stated)) is None


def test_every_family_has_a_name_that_is_its_own() -> None:
    names = {name.removesuffix("_seconds").replace("_", ".") for name in FAMILIES}
    assert len(names) == len(FAMILIES)
