"""Family CLK: what happens to a guard when time misbehaves."""

import time
from collections.abc import Callable
from typing import Final

import pytest

from portvakt import Code, Decision, Guard
from portvakt.clock import SystemClock
from portvakt.testing import FakeIssuer

NOW: Final = 1_800_000_000


def code_of(decision: Decision) -> Code | None:
    assert decision.token is None or decision.admitted
    return None if decision.refusal is None else decision.refusal.code


class Readings:
    """A wall clock that shows one reading after another, and counts how often it is read."""

    def __init__(self, *readings: float) -> None:
        self.readings = list(readings)
        self.read = 0

    def __call__(self) -> float:
        self.read += 1
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]


@pytest.fixture
def system_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SystemClock]:
    """Make a system clock whose machine shows the given readings."""

    def make(*readings: float) -> SystemClock:
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", Readings(*readings))
            return SystemClock()

    return make


@pytest.mark.attack("CLK-01")
def test_the_system_clock_never_runs_backwards(
    system_clock: Callable[..., SystemClock],
) -> None:
    clock = system_clock(NOW, NOW - 1, NOW - 86400, 0.0, -1.0, NOW + 1, NOW)
    shown = [clock() for _ in range(7)]
    assert shown == [NOW, NOW, NOW, NOW, NOW, NOW + 1, NOW + 1]


@pytest.mark.attack("CLK-01")
def test_a_clock_set_back_brings_no_expired_token_to_life(
    system_clock: Callable[..., SystemClock],
) -> None:
    issuer = FakeIssuer()
    guard = Guard.from_config(issuer.config(), clock=system_clock(NOW, NOW + 400, NOW))
    request = issuer.request(issuer.token())
    assert [code_of(guard.check_blocking(request)) for _ in range(3)] == [
        None,
        Code.TOKEN_EXPIRED,
        Code.TOKEN_EXPIRED,
    ]


@pytest.mark.twin("CLK-01")
def test_the_system_clock_follows_the_machine_forwards(
    system_clock: Callable[..., SystemClock],
) -> None:
    clock = system_clock(NOW, NOW + 0.25, NOW + 0.25, NOW + 86400)
    assert [clock() for _ in range(4)] == [NOW, NOW + 0.25, NOW + 0.25, NOW + 86400]
    assert SystemClock()() == pytest.approx(time.time(), abs=5)


@pytest.mark.attack("CLK-02")
def test_a_jump_ahead_refuses_tokens_and_forgets_no_key() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    old = issuer.request(issuer.token())
    assert guard.check_blocking(old).admitted
    issuer.clock.advance(10 * 365 * 86400)
    assert code_of(guard.check_blocking(old)) is Code.TOKEN_EXPIRED
    # The keys did not age with the wall clock: a token of the new time is verified with them.
    assert guard.check_blocking(issuer.request(issuer.token())).admitted


@pytest.mark.twin("CLK-02")
def test_a_token_is_admitted_again_when_a_clock_that_jumped_is_corrected() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    request = issuer.request(issuer.token())
    issuer.clock.advance(86400)
    assert not guard.check_blocking(request).admitted
    issuer.clock.advance(-86400)
    assert guard.check_blocking(request).admitted


ZONES: Final = ["UTC", "Asia/Tokyo", "America/New_York", "Europe/Oslo", "XXX-14", "XXX+12"]


@pytest.mark.attack("CLK-03")
@pytest.mark.twin("CLK-03")
@pytest.mark.parametrize("zone", ZONES)
def test_the_time_zone_of_the_machine_changes_no_verdict(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = FakeIssuer()
    real = int(time.time())
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        guard = Guard.from_config(issuer.config())  # by the clock of the machine
        honest = issuer.builder().claims(iat=real - 120, nbf=real - 120)
        fresh = honest.claims(exp=real + 60).build()
        stale = honest.claims(exp=real - 60).build()
        early = honest.claims(exp=real + 600, nbf=real + 300).build()
        assert guard.check_blocking(issuer.request(fresh)).admitted
        assert code_of(guard.check_blocking(issuer.request(stale))) is Code.TOKEN_EXPIRED
        assert code_of(guard.check_blocking(issuer.request(early))) is Code.NOT_YET_VALID
    finally:
        monkeypatch.undo()
        time.tzset()


#: The ends of 32-bit times, and a time in the far future that still is one.
EDGES: Final = [2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1, 2**32, 2**32 + 1, 253402300700]


@pytest.mark.attack("CLK-04")
@pytest.mark.parametrize("edge", EDGES)
def test_a_token_expires_at_the_ends_of_narrow_integers_as_elsewhere(edge: int) -> None:
    issuer = FakeIssuer()
    issuer.clock.set(edge - 60)
    guard = issuer.guard()
    request = issuer.request(issuer.builder().claims(exp=edge).build())
    assert guard.check_blocking(request).admitted
    for late in (5, 6, 2**31, 2**32):
        issuer.clock.set(edge + late)
        assert code_of(guard.check_blocking(request)) is Code.TOKEN_EXPIRED
    # In 32 bits the expiry would wrap to the past, and the present would wrap to before it.
    issuer.clock.set(edge - 60)
    for wrapped in (edge - 2**31, edge - 2**32):
        token = issuer.builder().claims(iat=wrapped - 60, exp=wrapped).build()
        assert code_of(guard.check_blocking(issuer.request(token))) is Code.TOKEN_EXPIRED


@pytest.mark.attack("CLK-04")
@pytest.mark.parametrize("exp", [2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2.0**53, 1e18])
def test_a_time_that_a_float_cannot_hold_is_no_time(exp: float) -> None:
    issuer = FakeIssuer()
    token = issuer.builder().claims(exp=exp).build()
    assert code_of(issuer.guard().check_blocking(issuer.request(token))) is Code.EXPIRY_MALFORMED


@pytest.mark.twin("CLK-04")
@pytest.mark.parametrize("edge", EDGES)
def test_tokens_live_across_the_ends_of_narrow_integers(edge: int) -> None:
    issuer = FakeIssuer()
    issuer.clock.set(edge)
    token = issuer.builder().claims(iat=edge - 30, nbf=edge - 30, exp=edge + 30).build()
    assert issuer.guard().check_blocking(issuer.request(token)).admitted


@pytest.mark.attack("CLK-04")
@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_clock_that_shows_no_time_admits_nothing(broken: float) -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    remembered, fresh = issuer.request(issuer.token()), issuer.request(issuer.token())
    assert guard.check_blocking(remembered).admitted
    issuer.clock.set(broken)
    assert not guard.check_blocking(remembered).admitted
    assert not guard.check_blocking(fresh).admitted


@pytest.mark.attack("CLK-05")
def test_the_clock_is_read_once_for_each_request() -> None:
    issuer = FakeIssuer()
    clock = Readings(NOW)
    guard = Guard.from_config(issuer.config(route=[{"path": "/", "public": False}]), clock=clock)
    requests = [
        issuer.request(issuer.token()),
        issuer.request(issuer.token(claims={"nbf": NOW})),
        issuer.request(issuer.forged("expired")),
        issuer.request("not a token"),
        issuer.request(),
        issuer.request(url="/unknown"),
    ]
    for request in requests:
        for _ in range(2):  # first sight, and again
            before = clock.read
            guard.check_blocking(request)
            assert clock.read == before + 1


@pytest.mark.attack("CLK-05")
def test_no_check_sees_a_later_time_than_another() -> None:
    # Read twice, this token would be not yet valid at the first reading or expired at the second.
    issuer = FakeIssuer()
    token = issuer.builder().claims(iat=NOW, nbf=NOW, exp=NOW + 10).build()
    guard = Guard.from_config(issuer.config(), clock=Readings(NOW - 6, NOW + 12))
    assert code_of(guard.check_blocking(issuer.request(token))) is Code.NOT_YET_VALID
    assert guard.check_blocking(issuer.request(token)).admitted


@pytest.mark.twin("CLK-05")
def test_a_decision_says_at_which_time_it_was_made() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    for request in (issuer.request(issuer.token()), issuer.request()):
        assert guard.check_blocking(request).at == NOW
