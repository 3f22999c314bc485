"""The messages of RFC 8935 and RFC 8936."""

import json
from typing import Any

import pytest

from portvakt.oauth.event_delivery import (
    MAX_EVENTS,
    MalformedPoll,
    poll_request,
    push_accepted,
    push_refused,
    push_unavailable,
    read_poll,
)


def test_a_poll_asks_for_what_is_there_now() -> None:
    assert json.loads(poll_request((), {})) == {"maxEvents": 100, "returnImmediately": True}


def test_a_poll_says_what_was_taken_and_what_was_not() -> None:
    assert json.loads(poll_request(["a", "b"], {"c": ("invalid_key", "no such key")})) == {
        "maxEvents": 100,
        "returnImmediately": True,
        "ack": ["a", "b"],
        "setErrs": {"c": {"err": "invalid_key", "description": "no such key"}},
    }


@pytest.mark.parametrize(
    ("answer", "events", "more"),
    [
        ({"sets": {}}, {}, False),
        ({"sets": {"a": "x.y.z"}, "moreAvailable": True, "unknown": 1}, {"a": "x.y.z"}, True),
    ],
)
def test_an_answer_is_read(answer: Any, events: dict[str, str], more: bool) -> None:
    found = read_poll(json.dumps(answer).encode())
    assert (found.events, found.more) == (events, more)
    assert repr(found) == f"PollAnswer(events={len(events)}, more={more})"
    assert found.__rich_repr__() == [("events", len(events)), ("more", more)]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"sets": {}, "sets": {}}',
        b'{"sets": []}',
        b'{"sets": {"a": 1}}',
        b'{"sets": {"": "x"}}',
        b'{"sets": {}, "moreAvailable": 1}',
        b'{"sets": {}, "moreAvailable": null}',
        json.dumps({"sets": {"a" * 1025: "x"}}).encode(),
        json.dumps({"sets": {str(n): "x" for n in range(MAX_EVENTS + 1)}}).encode(),
    ],
)
def test_what_is_no_answer_to_a_poll(answer: bytes) -> None:
    with pytest.raises(MalformedPoll):
        read_poll(answer)


def test_the_answers_to_a_push() -> None:
    accepted = push_accepted()
    assert (accepted.status, accepted.body) == (202, b"")
    refused = push_refused("invalid_key", "no such key")
    assert refused.status == 400
    assert json.loads(refused.body) == {"err": "invalid_key", "description": "no such key"}
    assert ("Content-Type", "application/json") in refused.headers
    assert ("Content-Length", str(len(refused.body))) in refused.headers
    unavailable = push_unavailable(7)
    assert (unavailable.status, unavailable.body) == (503, b"")
    assert ("Retry-After", "7") in unavailable.headers
    for one in (accepted, refused, unavailable):
        assert ("Cache-Control", "no-store") in one.headers
