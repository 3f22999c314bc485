"""The settings of an issuer's feeds: what is sound, and what is said of the rest."""

from typing import Any

import msgspec
import pytest

from portvakt.config.feeds import check_events, check_status_lists
from portvakt.config.feeds_schema import EventsTable
from portvakt.config.problems import Problems
from portvakt.errors import ConfigurationError

LIST = "https://issuer.test/statuses/1"
POLL = "https://issuer.test/events"


def said(problems: Problems) -> list[str]:
    try:
        problems.check()
    except ConfigurationError as error:
        return [str(problem) for problem in error.problems]
    return []


def lists(*uris: str, max_age: float = 300.0, **how: Any) -> list[str]:
    problems = Problems()
    found = check_status_lists(uris, max_age, "issuer[0]", problems, **how)
    assert found == frozenset(uris)
    return said(problems)


def events(*, loopback_http: bool = False, **table: Any) -> list[str]:
    problems = Problems()
    check_events(
        msgspec.convert(table, EventsTable),
        "issuer[0].events",
        problems,
        loopback_http=loopback_http,
    )
    return said(problems)


@pytest.mark.parametrize("max_age", [10, 300, 86400])
def test_sound_lists(max_age: float) -> None:
    assert lists(LIST, f"{LIST}/2", max_age=max_age) == []
    assert lists(max_age=max_age) == []
    assert lists("http://localhost:8080/1", loopback_http=True) == []


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://issuer.test/1", "not https"),
        ("statuses/1", "not https"),
        (f"{LIST}#x", "fragment"),
        (f"{LIST} ", "space"),
    ],
)
def test_a_list_that_cannot_be_fetched(uri: str, message: str) -> None:
    (problem,) = lists(LIST, uri)
    assert problem.startswith("issuer[0].status_lists[1]: ")
    assert message in problem


def test_a_list_that_stands_there_twice() -> None:
    assert lists(LIST, LIST) == ["issuer[0].status_lists[1]: is an earlier list"]


@pytest.mark.parametrize("max_age", [0, 9, 86401])
def test_an_age_without_sense(max_age: float) -> None:
    assert lists(max_age=max_age) == ['issuer[0].status_max_age: must be between "10s" and "24h"']


@pytest.mark.parametrize(
    "table",
    [
        {"push": True},
        {"push": True, "audience": "receiver"},
        {"poll": POLL},
        {"poll": POLL, "push": True, "token": {"env": "EVENTS_TOKEN"}},
        {"poll": POLL, "interval": 1, "max_staleness": 2},
        {"poll": POLL, "interval": 300, "max_staleness": 86400},
    ],
)
def test_sound_events(table: dict[str, Any]) -> None:
    assert events(**table) == []


def test_events_on_this_machine() -> None:
    assert events(poll="http://127.0.0.1:8080/events", loopback_http=True) == []
    assert len(events(poll="http://127.0.0.1:8080/events")) == 1


@pytest.mark.parametrize(
    ("table", "place", "message"),
    [
        ({}, "", "state poll, or push = true"),
        ({"push": True, "token": {"env": "X"}}, ".token", "there is none"),
        ({"push": True, "interval": 1}, ".interval", "is for polls"),
        ({"push": True, "max_staleness": 10}, ".max_staleness", "is for polls"),
        ({"poll": "http://issuer.test/events"}, ".poll", "not https"),
        ({"poll": POLL, "interval": 0.5}, ".interval", "between"),
        ({"poll": POLL, "interval": 301, "max_staleness": 3600}, ".interval", "between"),
        ({"poll": POLL, "max_staleness": 86401}, ".max_staleness", "at most"),
        ({"poll": POLL, "max_staleness": 9.9}, ".max_staleness", "twice the interval"),
        ({"poll": POLL, "token": {}}, ".token", "exactly one"),
    ],
)
def test_what_is_wrong_with_events(table: dict[str, Any], place: str, message: str) -> None:
    (problem,) = events(**table)
    assert problem.startswith(f"issuer[0].events{place}: ")
    assert message in problem


def test_a_secret_in_its_own_place_is_no_setting() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"poll": POLL, "token": "s3cret"}, EventsTable)
