"""A guard's health → what metrics read of it."""

from collections.abc import Iterator

from portvakt.guard.health import Health
from portvakt.telemetry.snapshot import Reading

__all__ = ["readings_of"]


def readings_of(health: Health) -> Iterator[Reading]:
    """Yield what is known; an age that nobody knows is no reading."""
    yield Reading("portvakt_ready", float(health.ready))
    for name, value, *labels in _values(health):
        if value is not None:
            yield Reading(f"portvakt_{name}", float(value), tuple(labels))


def _values(health: Health) -> Iterator[tuple[str, float | None, *tuple[str, ...]]]:
    for keys in health.keys:
        issuer = keys.issuer
        yield "keys_usable", keys.keys or 0, issuer
        yield "keys_age_seconds", keys.age, issuer
        yield "keys_hard_limit_seconds", keys.hard_limit, issuer
        yield "keys_failing", keys.last_error is not None, issuer
        yield "issuer_clock_offset_seconds", keys.clock_offset, issuer
    revocation = health.revocation
    if revocation is not None:
        yield "revocation_age_seconds", revocation.age
        yield "revocation_max_staleness_seconds", revocation.max_staleness
        yield "revocation_stale", revocation.stale
        yield "revocation_pushed", revocation.push
        yield "revocation_entries", revocation.entries
    yield from _lists(health)
    for events in health.events:
        yield "events_age_seconds", events.age, events.issuer
        yield "events_taken", events.taken, events.issuer
        yield "events_refused", events.refused, events.issuer
        yield "events_unusable", events.unusable, events.issuer
    for asked in health.introspection:
        yield "introspection_questions", asked.questions, asked.issuer
        yield "introspection_answer_age_seconds", asked.last_answer_age, asked.issuer
        yield "introspection_failing", asked.last_error is not None, asked.issuer
    for register in health.registers:
        yield "register_age_seconds", register.age, register.name
        yield "register_entries", register.entries, register.name
        yield "register_failing", register.last_error is not None, register.name
    if health.store is not None:
        yield "replay_uses", health.store.uses, health.store.kind
        yield "store_failing", health.store.last_error is not None, health.store.kind


def _lists(health: Health) -> Iterator[tuple[str, float | None, *tuple[str, ...]]]:
    """Yield the worst of each issuer's lists: tokens name them, so there may be many."""
    for issuer in dict.fromkeys(one.issuer for one in health.status_lists):
        lists = [one for one in health.status_lists if one.issuer == issuer]
        ages = [one.age for one in lists if one.age is not None]
        yield "status_list_age_seconds", max(ages, default=None), issuer
        yield "status_list_failing", sum(one.last_error is not None for one in lists), issuer
