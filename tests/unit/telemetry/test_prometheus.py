"""A page of metrics: what Prometheus reads of one process or several."""

import gc
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from portvakt import Code, Decision, Guard, Refusal, Requirement, Route
from portvakt.telemetry.families import FAMILIES
from portvakt.telemetry.metrics import Metrics
from portvakt.telemetry.prometheus import CONTENT_TYPE, register, render
from portvakt.telemetry.snapshot import Reading, Snapshot
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
NAME: Final = ISSUER.trusted.issuer
REQUEST: Final = ISSUER.request()
ROUTES: Final = [
    {"path": "/open", "public": True},
    {"path": "/x/{a}", "scopes": ["read"]},
]

Samples = dict[str, dict[tuple[str, ...], float]]


def samples(page: bytes) -> Samples:
    """What Prometheus's own parser finds: by name, then by the values of the labels, sorted."""
    found: Samples = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in sorted(sample.labels))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def guard_with_metrics() -> Guard:
    config = ISSUER.config(route=ROUTES, telemetry={"metrics": ["prometheus"]})
    return Guard.from_config(config, clock=ISSUER.clock)


def test_a_page_says_what_was_decided_and_how_long_it_took() -> None:
    guard = guard_with_metrics()
    reader = ISSUER.request(ISSUER.token(scopes=["read"]), url="/x/1")
    for request in (reader, reader, ISSUER.request(url="/open"), ISSUER.request(url="/y")):
        guard.check_blocking(request)
    decision = guard.check_blocking(reader)
    guard.require(reader, decision, Requirement.of(["write"]))
    found = samples(guard.metrics.render())
    assert found["portvakt_decisions_total"] == {
        ("none", NAME, "admitted", "/x/{a}"): 3,
        ("none", "none", "admitted", "/open"): 1,
        ("route_unknown", "none", "refused", "none"): 1,
    }
    assert found["portvakt_further_decisions_total"] == {
        ("scope_insufficient", NAME, "refused", "/x/{a}"): 1
    }
    assert found["portvakt_tokens_total"] == {("hit", NAME): 2, ("miss", NAME): 1}
    assert found["portvakt_decision_seconds_count"] == {
        ("admitted",): 4,
        ("refused",): 1,
        ("unavailable",): 0,
    }
    assert found["portvakt_decision_seconds_bucket"]["+Inf", "admitted"] == 4
    assert found["portvakt_decision_seconds_sum"]["admitted",] > 0
    assert found["portvakt_ready"] == {(): 1}
    assert found["portvakt_keys_usable"] == {(NAME,): 2}
    assert found["portvakt_policy_generation"] == {(): 1}
    assert CONTENT_TYPE.startswith("text/plain")


def test_buckets_are_those_at_most_so_long() -> None:
    guard = guard_with_metrics()
    guard.check_blocking(REQUEST)
    (refused,) = (
        [value for (le, outcome), value in buckets.items() if outcome == "refused"]
        for buckets in [samples(guard.metrics.render())["portvakt_decision_seconds_bucket"]]
    )
    assert refused == sorted(refused)
    assert refused[-1] == 1


def test_several_processes_are_one_page() -> None:
    guards = [guard_with_metrics() for _ in range(2)]
    for guard in guards:
        guard.check_blocking(REQUEST)
    sent = [guard.metrics.snapshot().encode() for guard in guards]
    found = samples(render(map(Snapshot.decode, sent)))
    assert found["portvakt_decisions_total"] == {("route_unknown", "none", "refused", "none"): 2}
    assert found["portvakt_keys_usable"] == {(NAME,): 2}


def test_every_reading_has_a_family_of_its_own_on_the_page() -> None:
    readings = tuple(
        Reading(name, 1.0, tuple("abc"[: len(family.labels)])) for name, family in FAMILIES.items()
    )
    found = samples(render([Snapshot(readings=readings)]))
    for name, family in FAMILIES.items():
        assert found[name + ("_total" if family.counter else "")], name


def test_labels_that_a_policy_may_have_are_escaped() -> None:
    strange = 'https://a.test/"\\\n'
    reading = Reading("portvakt_keys_usable", 1.0, (strange,))
    assert samples(render([Snapshot(readings=(reading,))]))["portvakt_keys_usable"] == {
        (strange,): 1
    }


def test_metrics_are_in_a_registry_for_as_long_as_their_guard_lives() -> None:
    gc.collect()  # No guard of another test is left in it.
    assert "portvakt_decisions_total" not in samples(generate_latest(REGISTRY))
    guards = [guard_with_metrics(), guard_with_metrics()]
    for guard in guards:
        guard.check_blocking(REQUEST)
    refused = ("route_unknown", "none", "refused", "none")
    found = samples(generate_latest(REGISTRY))
    assert found["portvakt_decisions_total"] == {refused: 2}
    assert "python_info" in found
    guards[1].metrics.follow(guards[0].metrics)
    guards[1].check_blocking(REQUEST)
    assert samples(generate_latest(REGISTRY))["portvakt_decisions_total"] == {refused: 2}
    del guards, guard
    gc.collect()
    assert "portvakt_decisions_total" not in samples(generate_latest(REGISTRY))


def test_any_registry_will_do() -> None:
    registry, metrics = CollectorRegistry(), Metrics()
    register(metrics, registry)
    register(metrics, registry)
    route = Route(path="/x", methods=None, public=False, requirement=Requirement.of())
    refusal = Refusal(Code.REGISTER_UNAVAILABLE)
    metrics.counts(REQUEST, Decision(None, refusal, route, None, 0.0))
    assert samples(generate_latest(registry))["portvakt_decisions_total"] == {
        ("register_unavailable", "none", "unavailable", "/x"): 1
    }
