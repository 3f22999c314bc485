"""What issuers tell, written down as revocations."""

import logging
from typing import Any

import pytest

from fake_store import DOWN, FakeRevocations
from keeping import at_home
from mirroring import code_of, mirror_of, verified
from portvakt import Code, Unavailable
from portvakt.guard.recording import Recorder
from portvakt.oauth.security_event import SecurityEvent, SubjectEvent
from portvakt.testing import FakeIssuer
from portvakt.testing.clock import FrozenClock

ISSUER = FakeIssuer()
NAME = ISSUER.trusted.issuer
CLAIMS = {"jti": "one", "sub": "alice", "client_id": "app", "sid": "evening"}


def event(*subjects: tuple[str, str], at: float | None = None, issuer: str = NAME) -> SecurityEvent:
    moment = ISSUER.clock() if at is None else at
    revoked = tuple(SubjectEvent(kind, issuer, value, moment) for kind, value in subjects)
    return SecurityEvent(NAME, "event", revoked, ())


def recorder_of(store: FakeRevocations) -> tuple[Recorder, Any]:
    mirror = mirror_of(store, FrozenClock(0))
    return Recorder({NAME: ISSUER.trusted}, mirror, ISSUER.clock), mirror


@pytest.mark.parametrize(
    "subject",
    [("token", "one"), ("session", "evening"), ("subject", "alice"), ("client", "app")],
)
@at_home
async def test_each_subject_is_revoked(subject: tuple[str, str]) -> None:
    record, mirror = recorder_of(FakeRevocations())
    token = verified(ISSUER, ISSUER.token(claims={**CLAIMS, "iat": int(ISSUER.clock()) - 60}))
    await mirror.catch_up()
    assert code_of(mirror, token) is None
    await record((event(subject),))
    assert code_of(mirror, token) is Code.TOKEN_REVOKED
    mirror.close()


@at_home
async def test_an_event_that_is_ahead_of_our_clock_counts_as_now() -> None:
    record, mirror = recorder_of(FakeRevocations())
    await mirror.catch_up()
    await record((event(("subject", "alice"), at=ISSUER.clock() + 3600),))
    old = verified(ISSUER, ISSUER.token(claims={**CLAIMS, "iat": int(ISSUER.clock()) - 60}))
    assert code_of(mirror, old) is Code.TOKEN_REVOKED
    mirror.close()


@at_home
async def test_a_subject_that_no_token_has_is_passed_over_and_the_others_are_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    record, mirror = recorder_of(FakeRevocations())
    await mirror.catch_up()
    odd = event(("subject", "line\nbreak"), ("subject", "alice"))
    with caplog.at_level(logging.WARNING, "portvakt"):
        await record((odd, event(("subject", "x"), issuer="https://other.test")))
    token = verified(ISSUER, ISSUER.token(claims={**CLAIMS, "iat": int(ISSUER.clock()) - 60}))
    assert code_of(mirror, token) is Code.TOKEN_REVOKED
    assert len(caplog.records) == 2
    assert "line" not in caplog.text
    mirror.close()


@at_home
async def test_what_is_not_written_is_not_acknowledged() -> None:
    store = FakeRevocations()
    record, mirror = recorder_of(store)
    store.failing = DOWN
    with pytest.raises(Unavailable):
        await record((event(("subject", "alice")),))
    # What revokes nothing needs no store.
    await record((event(),))
    mirror.close()
