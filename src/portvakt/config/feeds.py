"""What is wrong with the status lists and the security events of an issuer."""

from collections.abc import Iterator
from typing import Final

from msgspec import UNSET

from portvakt.config.feeds_schema import EventsTable
from portvakt.config.problems import Problems
from portvakt.config.secrets import check_secret
from portvakt.http.url import RefusedUrl, check_url

__all__ = ["check_events", "check_status_lists"]

#: Seconds. A list is asked for twice in its greatest age.
MIN_AGE: Final = 10.0
MAX_AGE: Final = 86400.0

#: Seconds between two polls.
MIN_INTERVAL: Final = 1.0
MAX_INTERVAL: Final = 300.0


def check_status_lists(
    uris: tuple[str, ...],
    max_age: float,
    place: str,
    problems: Problems,
    *,
    loopback_http: bool = False,
) -> frozenset[str]:
    """Note what is wrong with ``status_lists`` and ``status_max_age``; return the lists.

    Parameters:
        uris: the lists.
        max_age: how old each may be.
        place: the place of the issuer's table.
        problems: where to note what is wrong.
        loopback_http: whether they may be ``http`` on this machine.
    """
    for index, uri in enumerate(uris):
        flaw = _flaw_of(uri, loopback_http=loopback_http)
        if flaw is None and uri in uris[:index]:
            flaw = "is an earlier list"
        if flaw is not None:
            problems.add(f"{place}.status_lists[{index}]", flaw)
    if not MIN_AGE <= max_age <= MAX_AGE:
        problems.add(f"{place}.status_max_age", 'must be between "10s" and "24h"')
    return frozenset(uris)


def check_events(
    table: EventsTable, place: str, problems: Problems, *, loopback_http: bool = False
) -> None:
    """Note what is wrong with an ``events`` table.

    Does not look for the secret that it may refer to.

    Parameters:
        table: the table.
        place: its place.
        problems: where to note what is wrong.
        loopback_http: whether the issuer may be asked by ``http`` on this machine.
    """
    if table.token is not UNSET:
        check_secret(table.token, f"{place}.token", problems)
    for setting, message in _flaws(table, loopback_http=loopback_http):
        problems.add(f"{place}.{setting}" if setting else place, message)


def _flaws(table: EventsTable, *, loopback_http: bool) -> Iterator[tuple[str, str]]:
    if table.poll is UNSET:
        if not table.push:
            yield "", "brings no events: state poll, or push = true"
        if table.token is not UNSET:
            yield "token", "is shown in a poll, and there is none"
        # What holds for polls alone would look as if it bounded what is pushed.
        for name in ("interval", "max_staleness"):
            if getattr(table, name) != getattr(_UNSAID, name):
                yield name, "is for polls, and there is none"
        return
    flaw = _flaw_of(table.poll, loopback_http=loopback_http)
    if flaw is not None:
        yield "poll", flaw
    if not MIN_INTERVAL <= table.interval <= MAX_INTERVAL:
        yield "interval", 'must be between "1s" and "5m"'
    if not table.max_staleness <= MAX_AGE:
        yield "max_staleness", 'must be at most "24h"'
    if not 2 * table.interval <= table.max_staleness:
        yield "max_staleness", "must be at least twice the interval, so that one poll may fail"


_UNSAID: Final = EventsTable()


def _flaw_of(url: str, *, loopback_http: bool) -> str | None:
    try:
        check_url(url, loopback_http=loopback_http)
    except RefusedUrl as flaw:
        return str(flaw)
    return None
