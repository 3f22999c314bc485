"""Security events by poll and by push: what is taken, what is not, and when it is acknowledged."""

import asyncio
import json
from typing import Any

import pytest

from feeding import (
    ANOTHER,
    ISSUER,
    LOST,
    NOW,
    OTHER,
    POLL,
    STRANGER,
    Events,
    event,
    event_token,
    fixed_keys,
    signed,
    status_list,
    token,
    trusted,
)
from keeping import at_home, settle
from portvakt.errors import Refused, Unavailable
from portvakt.http.response import Response
from portvakt.jose.header import Header
from portvakt.jose.jwk_set import JwkSet
from portvakt.net import event_poll
from portvakt.net.address import FetchError
from portvakt.net.event_stream import Polling
from portvakt.net.keys import KeySource
from portvakt.policy.issuer import TrustedIssuer
from portvakt.refusal import Code

STALE = Code.REVOCATION_UNAVAILABLE
PUSH = "application/secevent+jwt"


def asked(events: Events) -> list[tuple[list[str], dict[str, Any]]]:
    """What each poll acknowledged, and what it refused."""
    return [(one.get("ack", []), one.get("setErrs", {})) for one in events.fetch.sent]


# By poll.


@at_home
async def test_an_event_is_recorded_and_then_acknowledged() -> None:
    events = Events()
    events.waiting = {"event-1": event_token()}
    assert await events.judged(token()) is None
    assert events.values == [("subject", "alice")]
    assert asked(events) == [([], {}), (["event-1"], {})]
    assert events.waiting == {}
    assert set(events.fetch.asked) == {POLL}
    assert events.fetch.headers == {
        "Content-Type": "application/json",
        "Authorization": "Bearer s3cret",
    }
    events.events.close()


@at_home
async def test_without_a_secret_none_is_shown() -> None:
    events = Events(secret=None)
    assert await events.judged(token()) is None
    assert "Authorization" not in events.fetch.headers
    events.events.close()


@at_home
async def test_it_polls_when_opened_and_again_and_again() -> None:
    events = Events()
    events.events.open()
    await events.pass_time(0)
    assert await events.judged(token()) is None
    events.waiting = {"event-1": event_token()}
    await events.pass_time(5)
    assert events.values == [("subject", "alice")]
    events.events.close()
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


@at_home
async def test_what_was_not_recorded_is_not_acknowledged() -> None:
    events = Events()
    events.waiting = {"event-1": event_token()}
    events.failure = LOST
    assert await events.judged(token()) is STALE
    assert asked(events) == [([], {})]
    (health,) = events.events.health()
    assert health.last_error == "the store gave no answer"
    assert (health.taken, health.next_poll) == (0, 7)
    events.failure = None
    await events.pass_time(7)
    assert events.values == [("subject", "alice")]
    assert events.waiting == {}
    assert await events.judged(token()) is None
    events.events.close()


@at_home
async def test_an_event_that_comes_again_says_the_same_again() -> None:
    events = Events()
    for _ in range(2):
        events.waiting = {"event-1": event_token()}
        await events.pass_time(5)
        assert await events.judged(token()) is None
    assert events.recorded[0] == events.recorded[-1]
    assert events.waiting == {}
    events.events.close()


@at_home
async def test_a_bad_event_is_refused_and_the_good_ones_are_taken() -> None:
    events = Events()
    events.waiting = {
        "event-1": event_token(),
        "bad": event_token(token_id="x", aud="other", jti="bad"),
        "event-2": event_token(jti="event-2"),
        "misnamed": event_token(jti="event-3"),
        "no text": "é",
    }
    assert await events.judged(token()) is None
    assert [one.token_id for one in events.recorded] == ["event-1", "event-2"]
    assert {name: error["err"] for name, error in events.errors.items()} == {
        "bad": "invalid_audience",
        "misnamed": "invalid_request",
        "no text": "invalid_request",
    }
    assert events.waiting == {}
    (health,) = events.events.health()
    assert (health.taken, health.refused) == (2, 3)
    events.events.close()


@pytest.mark.parametrize(
    ("bad", "err"),
    [
        ("", "invalid_request"),
        ("x.y.z", "invalid_request"),
        ("x" * (16 * 1024 + 1), "invalid_request"),
        (event_token(typ="at+jwt"), "invalid_request"),
        (event_token(typ="JWT"), "invalid_request"),
        (signed(event(), None), "invalid_request"),
        (status_list(0), "invalid_request"),
        (signed(event(), "secevent+jwt", alg="none"), "invalid_key"),
        (signed(event(), "secevent+jwt", kid="unknown"), "invalid_key"),
        (signed(event(), "secevent+jwt", crit=["x"]), "invalid_request"),
        (event_token(STRANGER), "authentication_failed"),
        (event_token(ANOTHER, iss=OTHER), "authentication_failed"),
        (event_token(iss=OTHER), "invalid_issuer"),
        (event_token(aud="other-api"), "invalid_audience"),
        (event_token(events={}), "invalid_request"),
        (event_token(iat=NOW + 86_401), "invalid_request"),
    ],
)
def test_what_is_no_event_for_us_revokes_nothing_by_either_way(bad: str, err: str) -> None:
    @at_home
    async def run() -> None:
        events = Events()
        events.waiting = {"event-1": bad}
        assert await events.judged(token()) is None
        assert events.errors["event-1"]["err"] == err
        answer = await events.events.receive(bad.encode(), PUSH)
        assert answer.status == 400
        # A stranger's issuer is found out before its signature is looked at.
        assert json.loads(answer.body)["err"] in {err, "invalid_issuer"}
        assert events.recorded == []
        assert "alice" not in json.dumps(events.errors) + answer.body.decode()
        events.events.close()

    run()


@at_home
async def test_many_events_come_in_turns() -> None:
    events = Events()
    names = [f"event-{number}" for number in range(250)]
    events.waiting = {name: event_token(jti=name) for name in names}
    assert await events.judged(token()) is None
    assert [one.token_id for one in events.recorded] == names
    assert [len(acknowledged) for acknowledged, _ in asked(events)] == [0, 100, 100, 50]
    events.events.close()


@at_home
async def test_an_issuer_that_sends_the_same_for_ever_is_not_asked_for_ever() -> None:
    events = Events()
    events.answer = {"sets": {"event-1": event_token()}}
    assert await events.judged(token()) is STALE
    assert len(events.fetch.asked) == 10
    assert "always the same" in (events.events.health()[0].last_error or "")
    # What it said is recorded all the same.
    assert events.values == [("subject", "alice")] * 10
    events.events.close()


@pytest.mark.parametrize(
    "answer",
    [
        {"sets": {}, "moreAvailable": True},
        b"",
        b"<html>",
        {"sets": []},
        FetchError("the server answered 401"),
    ],
)
def test_a_poll_that_is_not_complete_does_not_count(answer: object) -> None:
    @at_home
    async def run() -> None:
        events = Events()
        assert await events.judged(token()) is None
        events.answer = answer
        for _ in range(29):
            await events.pass_time(10)
            assert await events.judged(token()) is None
        await events.pass_time(10)
        assert await events.judged(token()) is STALE
        with pytest.raises(Unavailable) as caught:
            events.events.check(token())
        assert 1 <= (caught.value.retry_after or 0) <= 30
        assert events.events.health()[0].last_error
        events.answer = None
        await events.pass_time(30)
        assert await events.judged(token()) is None
        events.events.close()

    run()


@at_home
async def test_the_age_counts_from_the_beginning_of_the_poll() -> None:
    events = Events()
    events.fetch.open.clear()
    wanted = asyncio.ensure_future(events.judged(token()))
    await settle()
    events.clock.advance(20)
    events.fetch.open.set()
    assert await wanted is None
    assert events.events.health()[0].age == 20
    events.events.close()


@at_home
async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_poll, "_PATIENCE", 0.01)
    events = Events()
    events.fetch.open.clear()
    assert await events.judged(token()) is STALE
    events.events.close()


@at_home
async def test_before_the_first_poll_nobody_is_admitted() -> None:
    events = Events()
    assert not events.events.current(token())
    with pytest.raises(Unavailable) as caught:
        events.events.check(token())
    assert caught.value.retry_after == 1
    # Of another issuer nothing has to be asked.
    elsewhere = token(issuer=OTHER)
    assert events.events.current(elsewhere)
    await events.events.fetch(elsewhere)
    events.events.check(elsewhere)
    assert events.fetch.asked == []


class Away(KeySource):
    """Keys that cannot be had at first."""

    def __init__(self, detail: str | None) -> None:
        self.detail: str | None = detail
        self.away = True

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet | None:
        return None

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        if self.away:
            raise Unavailable(Code.KEYS_UNAVAILABLE, self.detail)
        return fixed_keys().current(issuer)


@pytest.mark.parametrize("detail", ["the server answered 500", None])
def test_while_there_are_no_keys_an_event_is_neither_taken_nor_refused(detail: str | None) -> None:
    @at_home
    async def run() -> None:
        keys = Away(detail)
        events = Events(keys=keys)
        events.waiting = {"event-1": event_token()}
        assert await events.judged(token()) is STALE
        assert asked(events) == [([], {})]
        reason = detail or "keys_unavailable"
        assert events.events.health()[0].last_error == f"the keys are unavailable: {reason}"
        pushed = await events.events.receive(event_token().encode(), PUSH)
        assert (pushed.status, events.recorded) == (503, [])
        keys.away = False
        await events.pass_time(5)
        assert events.values == [("subject", "alice")]
        assert events.waiting == {}
        events.events.close()

    run()


@pytest.mark.attack("CLK-01")
@at_home
async def test_an_event_that_comes_too_early_is_left_for_later_and_for_others() -> None:
    """The clock of one guard may be behind: what it refuses is never sent again."""
    events = Events()
    events.waiting = {"event-1": event_token(iat=NOW + 120), "event-2": event_token(jti="event-2")}
    assert await events.judged(token()) is STALE
    assert (list(events.waiting), events.errors) == (["event-1"], {})
    assert events.events.health()[0].last_error == "an event is issued in the future"
    answer = await events.events.receive(event_token(iat=NOW + 120).encode(), PUSH)
    assert answer.status == 503
    assert events.values == [("subject", "alice")]
    events.wall_clock.advance(120)
    await events.pass_time(300)
    assert events.values == [("subject", "alice")] * 2
    assert events.waiting == {}
    events.events.close()


@at_home
async def test_a_refusal_without_detail_is_named_by_its_code() -> None:
    class Without(Away):
        async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
            raise Refused(Code.KEY_UNKNOWN)

    events = Events(keys=Without(None))
    answer = await events.events.receive(event_token().encode(), PUSH)
    assert said(answer) == ("invalid_key", "key_unknown")


# By push.


def said(answer: Response) -> tuple[str, str]:
    assert answer.status == 400
    body = json.loads(answer.body)
    return body["err"], body["description"]


@pytest.mark.parametrize("content_type", [PUSH, PUSH.upper(), f"{PUSH} ; charset=utf-8"])
def test_an_event_that_is_pushed_is_recorded_and_then_accepted(content_type: str) -> None:
    @at_home
    async def run() -> None:
        events = Events(poll=False)
        for _ in range(2):
            answer = await events.events.receive(event_token().encode(), content_type)
            assert (answer.status, answer.body) == (202, b"")
        assert events.values == [("subject", "alice")] * 2
        # Whoever only pushes is never asked, and nobody can tell how old that is.
        assert await events.judged(token()) is None
        assert events.fetch.asked == []
        events.events.open()
        events.events.close()

    run()


@pytest.mark.parametrize(
    "content_type", [None, "", "application/jwt", "application/json", f"{PUSH}x", f"text/{PUSH}"]
)
def test_another_media_type_is_no_event(content_type: str | None) -> None:
    @at_home
    async def run() -> None:
        events = Events()
        answer = await events.events.receive(event_token().encode(), content_type)
        assert said(answer) == ("invalid_request", f"the media type is not {PUSH}")
        assert events.recorded == []

    run()


@at_home
async def test_what_cannot_be_recorded_has_to_be_pushed_again() -> None:
    events = Events()
    events.failure = LOST
    answer = await events.events.receive(event_token().encode(), PUSH)
    assert answer.status == 503
    assert ("Retry-After", "7") in answer.headers
    assert events.events.health()[0].taken == 0
    events.failure = None
    assert (await events.events.receive(event_token().encode(), PUSH)).status == 202


@pytest.mark.parametrize(
    "claims", [{"iss": OTHER}, {"iss": None}, {"iss": 1}, {"iss": [ISSUER]}, {"iss": f"{ISSUER}/"}]
)
def test_only_an_issuer_that_may_push_is_listened_to(claims: dict[str, Any]) -> None:
    @at_home
    async def run() -> None:
        events = Events()
        answer = await events.events.receive(event_token(**claims).encode(), PUSH)
        assert said(answer)[0] == "invalid_issuer"

    run()


@at_home
async def test_an_issuer_that_is_only_polled_may_not_push() -> None:
    events = Events(push=False)
    answer = await events.events.receive(event_token().encode(), PUSH)
    assert said(answer)[0] == "invalid_issuer"
    assert events.recorded == []


@at_home
async def test_a_payload_that_is_no_object_names_nobody() -> None:
    events = Events()
    for payload in (b"[]", b"\xff", b'"', b"[" * 10_000):
        answer = await events.events.receive(signed(payload, "secevent+jwt").encode(), PUSH)
        assert said(answer)[0] == "invalid_issuer"


# What follows.


@pytest.mark.parametrize(
    ("required", "values"),
    [
        ({"sid"}, [("session", "s")]),
        ({"sub"}, [("session", "s"), ("subject", "alice")]),
    ],
)
def test_a_session_reaches_as_far_as_tokens_name_it(
    required: set[str], values: list[tuple[str, str]]
) -> None:
    @at_home
    async def run() -> None:
        events = Events(issuer=trusted(required_claims=frozenset(required)))
        subject = {
            "format": "complex",
            "session": {"format": "opaque", "id": "s"},
            "user": {"format": "iss_sub", "iss": ISSUER, "sub": "alice"},
        }
        answer = await events.events.receive(event_token(subject=subject).encode(), PUSH)
        assert answer.status == 202
        assert events.values == values

    run()


@at_home
async def test_health() -> None:
    events = Events()
    (before,) = events.events.health()
    assert (before.issuer, before.polled, before.max_staleness) == (ISSUER, True, 300)
    assert (before.age, before.last_error, before.next_poll, before.last_unusable) == (None,) * 4
    unusable = {"format": "email", "email": "alice@example.no"}
    events.waiting = {
        "event-1": event_token(subject=unusable),
        "event-2": event_token(jti="event-2", events={"urn:unknown": {}}),
        "bad": event_token(jti="bad", aud="other-api"),
    }
    assert await events.judged(token()) is None
    events.clock.advance(1)
    (health,) = events.events.health()
    assert (health.taken, health.refused, health.unusable, health.age) == (2, 1, 1, 1)
    assert "email" in (health.last_unusable or "")
    assert health.last_refused == "aud does not contain this receiver"
    assert (health.last_error, health.last_error_age) == (None, None)
    events.answer = FetchError("the server answered 500")
    await events.pass_time(5)
    events.clock.advance(2)
    (failed,) = events.events.health()
    assert (failed.last_error, failed.last_error_age) == ("the server answered 500", 2)
    assert failed.next_poll is not None
    events.events.close()
    (pushed,) = Events(poll=False).events.health()
    assert (pushed.polled, pushed.max_staleness, pushed.age) == (False, None, None)


def test_no_repr_shows_the_secret() -> None:
    fetch = Events().fetch.port
    polling = Polling(uri=POLL, fetch=fetch, token="s3cret")
    assert repr(polling) == f"Polling(uri={POLL!r})"
    assert polling.__rich_repr__() == [("uri", POLL)]
