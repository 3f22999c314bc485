"""The mirror: how old it may be, and how it catches up with its store."""

import asyncio
import math

import pytest

from fake_store import DOWN, FakeRevocations
from keeping import at_home, others, settle
from mirroring import NOW, STALE, asked_again, code_of, entry, mirror_of, token_of, until
from portvakt.errors import ConfigurationError, Refused, Unavailable
from portvakt.guard import revocation
from portvakt.guard.revocation import Mirror
from portvakt.policy.handles import NO_HANDLES, Kind
from portvakt.refusal import Code
from portvakt.stores.base import Entry, Page
from portvakt.testing.clock import FrozenClock

STALE_CODE = Code.REVOCATION_UNAVAILABLE
REVOKED = Code.TOKEN_REVOKED


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause for no longer than a test has patience; what is measured is on clocks of its own."""
    monkeypatch.setattr(revocation, "_GAP", 0.0)


# How old it may be.


@at_home
async def test_a_mirror_that_was_never_filled_admits_nobody() -> None:
    mirror = mirror_of(FakeRevocations(), FrozenClock(0))
    assert not mirror.current()
    with pytest.raises(Unavailable, match="the mirror is not filled yet") as caught:
        mirror.check(token_of(), NOW)
    assert caught.value.refusal.code is STALE_CODE
    assert caught.value.retry_after == 1
    assert code_of(mirror, token_of(), admit_stale=True) is None
    health = mirror.health()
    assert (health.age, health.stale, health.entries, health.push) == (None, True, 0, False)
    assert (health.last_error, health.last_error_age, health.max_staleness) == (None, None, STALE)


@at_home
async def test_a_filled_mirror_admits_whom_nothing_revokes() -> None:
    store = FakeRevocations([entry("other")])
    mirror = mirror_of(store, FrozenClock(0))
    await mirror.catch_up()
    assert mirror.current()
    assert mirror.clears(token_of())
    assert code_of(mirror, token_of()) is None
    assert code_of(mirror, token_of("other")) is REVOKED
    with pytest.raises(Refused):
        mirror.check(token_of("other"), NOW, admit_stale=True)
    assert store.asked == [None]
    mirror.close()


@at_home
async def test_what_was_issued_after_the_time_of_a_revocation_is_admitted() -> None:
    store = FakeRevocations([entry("", kind=Kind.ISSUER, issued_before=NOW)])
    mirror = mirror_of(store, FrozenClock(0))
    await mirror.catch_up()
    assert code_of(mirror, token_of(issued_at=NOW - 1)) is REVOKED
    assert code_of(mirror, token_of()) is None
    mirror.close()


@at_home
async def test_it_refuses_from_its_bound_on_to_the_last_bit() -> None:
    clock, store = FrozenClock(100), FakeRevocations([entry("gone")])
    mirror = mirror_of(store, clock)
    await mirror.catch_up()
    store.failing = DOWN
    clock.set(math.nextafter(100 + STALE, 0))
    assert mirror.current()
    assert code_of(mirror, token_of()) is None
    for late in (100 + STALE, 1e9, math.nan):
        clock.set(late)
        assert not mirror.current()
        assert mirror.health().stale
        assert code_of(mirror, token_of()) is STALE_CODE
        # What is known to be revoked stays so; what is not, a route may admit.
        assert code_of(mirror, token_of("gone")) is REVOKED
        assert code_of(mirror, token_of("gone"), admit_stale=True) is REVOKED
        assert code_of(mirror, token_of(), admit_stale=True) is None
        assert mirror.unavailable().refusal.detail == "the mirror is too old"
    mirror.close()


@at_home
async def test_its_age_counts_from_the_start_and_not_from_the_end() -> None:
    clock, store = FrozenClock(0), FakeRevocations()
    mirror = mirror_of(store, clock)
    store.answering.clear()
    waiting = asyncio.ensure_future(mirror.catch_up())
    await until(lambda: store.asked)
    clock.set(4)
    store.answering.set()
    await waiting
    assert mirror.health().age == 4
    clock.set(math.nextafter(STALE, 0))
    assert mirror.current()
    clock.set(STALE)
    assert not mirror.current()
    mirror.close()


@at_home
async def test_an_answer_that_took_longer_than_the_bound_serves_nobody() -> None:
    clock, store = FrozenClock(0), FakeRevocations()
    mirror = mirror_of(store, clock)
    store.answering.clear()
    waiting = asyncio.ensure_future(mirror.catch_up())
    await until(lambda: store.asked)
    clock.set(STALE)
    store.answering.set()
    await waiting
    assert code_of(mirror, token_of()) is STALE_CODE
    mirror.close()


@at_home
async def test_only_the_last_page_makes_it_current() -> None:
    clock = FrozenClock(0)
    store = FakeRevocations([entry(str(one)) for one in range(7)], page=2)
    mirror = mirror_of(store, clock)
    answered = store.since

    async def fails_at_the_last_page(cursor: str | None, /) -> Page:
        page = await answered(cursor)
        if not page.more:
            raise DOWN
        return page

    store.since = fails_at_the_last_page  # type: ignore[method-assign]
    await mirror.catch_up()
    assert not mirror.current()
    assert mirror.health().entries == 6
    assert code_of(mirror, token_of("5")) is REVOKED
    assert code_of(mirror, token_of("6")) is STALE_CODE

    store.since = answered  # type: ignore[method-assign]
    clock.set(50)
    await asked_again(mirror)
    # None of them twice, and then from there once more: an attempt counts for what it read itself.
    assert store.asked == [None, "0:2", "0:4", "0:6", "0:6", "0:7"]
    assert mirror.current()
    assert mirror.health().age == 0
    assert code_of(mirror, token_of("6")) is REVOKED
    mirror.close()


@pytest.mark.parametrize("seconds", [0, -1, 0.4999, 3600.5, math.inf, math.nan])
def test_the_bound_has_bounds(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match=r"max_staleness: must be between 0.5 and 3600"):
        Mirror(FakeRevocations(), max_staleness=seconds, wall_clock=FrozenClock())


@pytest.mark.parametrize("seconds", [0.5, 3600])
def test_at_its_bounds_it_is_a_bound(seconds: float) -> None:
    mirror = Mirror(FakeRevocations(), max_staleness=seconds, wall_clock=FrozenClock())
    assert mirror.max_staleness == seconds


@at_home
async def test_a_token_without_handles_is_never_admitted() -> None:
    """A guard that verifies tokens so and asks a mirror is put together wrongly."""
    from msgspec import structs

    mirror = mirror_of(FakeRevocations(), FrozenClock(0))
    await mirror.catch_up()
    bare = structs.replace(token_of(), handles=NO_HANDLES)
    assert code_of(mirror, bare) is STALE_CODE
    assert code_of(mirror, bare, admit_stale=True) is STALE_CODE
    mirror.close()


# How it catches up.


@at_home
async def test_it_takes_what_is_new_and_repeated_and_late() -> None:
    store = FakeRevocations([entry("a"), entry("b")], page=2)
    store.overlap = 2
    mirror = mirror_of(store, FrozenClock(0))
    await mirror.catch_up()
    assert mirror.health().entries == 2
    store.write(entry("c"), entry("d"), entry("e"), entry("a", issued_before=5))
    await asked_again(mirror)
    assert mirror.health().entries == 5
    for one in "abcde":
        assert code_of(mirror, token_of(one)) is REVOKED
    mirror.close()


@at_home
async def test_a_store_that_begins_anew_takes_nothing_back() -> None:
    store = FakeRevocations([entry(str(one), expires_at=NOW + 1 + one) for one in range(6)], page=2)
    mirror = mirror_of(store, FrozenClock(0))
    await mirror.catch_up()
    store.expire(NOW + 3)
    store.replace()
    store.write(entry("new"))
    await asked_again(mirror)
    assert store.asked[3:] == ["0:6", "1:2"]
    assert mirror.current()
    assert mirror.health().entries == 7
    for one in ("0", "5", "new"):
        assert code_of(mirror, token_of(one)) is REVOKED
    mirror.close()


@at_home
async def test_many_who_wait_are_one_question() -> None:
    store = FakeRevocations()
    mirror = mirror_of(store, FrozenClock(0))
    await asyncio.gather(*(mirror.catch_up() for _ in range(50)))
    assert store.asked == [None]
    await mirror.catch_up()
    assert store.asked == [None]
    mirror.close()


@at_home
async def test_who_gives_up_waiting_ends_it_for_nobody_else() -> None:
    store = FakeRevocations()
    mirror = mirror_of(store, FrozenClock(0))
    store.answering.clear()
    one, other = (asyncio.ensure_future(mirror.catch_up()) for _ in range(2))
    await until(lambda: store.asked)
    one.cancel()
    await settle()
    store.answering.set()
    await other
    assert mirror.current()
    mirror.close()


@at_home
async def test_nobody_waits_for_what_has_just_failed() -> None:
    clock, store = FrozenClock(0), FakeRevocations()
    store.failing = DOWN
    mirror = mirror_of(store, clock)
    await mirror.catch_up()
    assert mirror.health().last_error == DOWN.reason
    clock.set(0.5)
    assert mirror.health().last_error_age == 0.5
    asked = len(store.asked)
    store.answering.clear()
    await mirror.catch_up()
    assert len(store.asked) == asked
    with pytest.raises(Unavailable, match=DOWN.reason) as caught:
        mirror.check(token_of(), NOW)
    assert caught.value.retry_after == 1
    store.answering.set()
    store.failing = None
    await asked_again(mirror)
    assert mirror.current()
    assert mirror.health().last_error is None
    mirror.close()


@at_home
async def test_after_failures_it_asks_less_and_less_often_and_tells_so() -> None:
    clock, store = FrozenClock(0), FakeRevocations()
    store.failing = DOWN
    mirror = mirror_of(store, clock, max_staleness=3600)
    await mirror.catch_up()
    pauses = []
    for _ in range(40):
        pauses.append(mirror._next_at)
        await asked_again(mirror)
    assert pauses[:7] == [1, 2, 4, 8, 16, 30, 30]
    assert pauses[-1] == 30
    assert mirror.unavailable().retry_after == 30
    mirror.close()

    # Never less often than usual, or a short bound would be missed for the sake of a pause.
    quick = mirror_of(store, clock, max_staleness=0.75)
    await quick.catch_up()
    assert quick._next_at == 0.25
    assert quick.unavailable().retry_after == 1
    quick.close()


@at_home
async def test_it_asks_three_times_within_its_bound() -> None:
    clock = FrozenClock(0)
    mirror = mirror_of(FakeRevocations(), clock)
    await mirror.catch_up()
    assert mirror._next_at == STALE / 3
    mirror.close()


@at_home
async def test_it_asks_again_by_itself_when_it_is_time() -> None:
    store = FakeRevocations()
    mirror = mirror_of(store, asyncio.get_running_loop().time, max_staleness=0.5)
    mirror.open()
    await until(mirror.current)
    store.write(entry())
    await until(lambda: code_of(mirror, token_of()) is REVOKED)
    await until(lambda: len(store.asked) >= 4)
    assert mirror.current()
    mirror.close()


@at_home
async def test_a_store_that_hangs_is_given_up_in_time() -> None:
    store = FakeRevocations()
    mirror = mirror_of(store, FrozenClock(0), timeout=0.01)
    store.answering.clear()
    await mirror.catch_up()
    assert mirror.health().last_error == "did not come to the end within 0.01 s"
    store.answering.set()
    await asked_again(mirror)
    assert mirror.current()
    mirror.close()
    # Two attempts that fail leave time for a third.
    assert mirror_of(store, FrozenClock(0))._deadline == STALE / 3


@at_home
async def test_a_store_that_never_comes_to_its_end_is_given_up_in_time() -> None:
    class Endless(FakeRevocations):
        async def since(self, cursor: str | None, /) -> Page:
            return Page(entries=(), cursor="same", more=True, afresh=True)

    mirror = mirror_of(Endless(), FrozenClock(0), timeout=0.01)
    await mirror.catch_up()
    assert not mirror.current()
    assert mirror.health().last_error == "did not come to the end within 0.01 s"
    mirror.close()


@at_home
async def test_a_fault_ends_no_catching_up() -> None:
    store = FakeRevocations()
    store.failing = ZeroDivisionError("SECRET")
    mirror = mirror_of(store, FrozenClock(0))
    await mirror.catch_up()
    assert mirror.health().last_error == "internal error: ZeroDivisionError"
    store.failing = None
    store.write(entry("nonsense", issued_before=math.nan))
    await asked_again(mirror)
    assert mirror.health().last_error == "internal error: ValueError"
    assert not mirror.current()
    mirror.close()


@at_home
async def test_what_has_ended_is_forgotten_once_a_minute_and_not_before_news() -> None:
    clock, wall = FrozenClock(0), FrozenClock(NOW)
    store = FakeRevocations([entry(str(one), expires_at=NOW + 60) for one in range(5000)])
    mirror = mirror_of(store, clock, wall_clock=wall)
    await mirror.catch_up()
    await settle()
    wall.advance(1000)
    clock.set(59)
    await asked_again(mirror)
    await settle()
    assert mirror.health().entries == 5000
    clock.set(60)
    changed = mirror._changed
    assert changed is not None
    await asked_again(mirror)
    changed.set()
    await settle()
    await until(lambda: mirror.health().entries == 0)
    assert len(store.asked) >= 5
    mirror.close()


# Being told.


@at_home
async def test_it_asks_at_once_when_it_is_told() -> None:
    store = FakeRevocations(pushing=True)
    mirror = mirror_of(store, FrozenClock(0))
    mirror.open()
    await until(lambda: mirror.health().push)
    await store.revoke((entry(),))
    await until(lambda: code_of(mirror, token_of()) is REVOKED)
    mirror.close()


@at_home
async def test_what_is_written_while_it_asks_is_asked_for_again() -> None:
    store = FakeRevocations(pushing=True)
    mirror = mirror_of(store, FrozenClock(0))
    mirror.open()
    await until(lambda: mirror.health().push and len(store.asked) == 2)
    answered = store.since

    async def and_then(cursor: str | None, /) -> Page:
        page = await answered(cursor)
        if len(store.asked) == 3:
            await store.revoke((entry(),))
        return page

    store.since = and_then  # type: ignore[method-assign]
    store.tell()
    await until(lambda: code_of(mirror, token_of()) is REVOKED)
    assert len(store.asked) == 4
    mirror.close()


@at_home
async def test_a_thousand_hints_are_few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "_GAP", 0.05)
    store = FakeRevocations(pushing=True)
    mirror = mirror_of(store, FrozenClock(0))
    mirror.open()
    await until(lambda: mirror.health().push and mirror.current())
    for one in range(1000):
        await store.revoke((entry(str(one)),))
        await asyncio.sleep(0)
    await until(lambda: mirror.health().entries == 1000)
    assert len(store.asked) < 10
    mirror.close()


@at_home
async def test_when_it_is_not_told_any_more_it_polls_and_listens_again() -> None:
    store = FakeRevocations(pushing=True)
    mirror = mirror_of(store, FrozenClock(0))
    mirror.open()
    await until(lambda: mirror.health().push)
    store.cut()
    await until(lambda: not mirror.health().push)
    store.write(entry())
    await asked_again(mirror)
    assert code_of(mirror, token_of()) is REVOKED
    mirror.close()


@at_home
async def test_it_listens_again_after_a_pause_and_then_asks_for_what_it_missed() -> None:
    store = FakeRevocations()
    pauses = revocation._FIRST_RETRY, revocation._LAST_RETRY
    try:
        revocation._FIRST_RETRY, revocation._LAST_RETRY = 0.001, 0.02  # type: ignore[misc]
        mirror = mirror_of(store, FrozenClock(0))
        mirror.open()
        await until(mirror.current)
        await asyncio.sleep(0.1)
        store.write(entry())
        store.pushing = True
        await until(lambda: mirror.health().push)
        await until(lambda: code_of(mirror, token_of()) is REVOKED)
        mirror.close()
    finally:
        revocation._FIRST_RETRY, revocation._LAST_RETRY = pauses  # type: ignore[misc]


# Revoking.


@at_home
async def test_what_is_revoked_here_holds_here_at_once_and_in_the_store() -> None:
    store = FakeRevocations()
    mirror, other = (mirror_of(store, FrozenClock(0)) for _ in range(2))
    await mirror.catch_up()
    await mirror.revoke((entry(), entry("u")))
    assert code_of(mirror, token_of()) is REVOKED
    assert code_of(mirror, token_of("u")) is REVOKED
    await other.catch_up()
    assert code_of(other, token_of("u")) is REVOKED
    mirror.close()
    other.close()


@at_home
async def test_what_is_not_certainly_written_is_an_error_and_does_not_hold() -> None:
    store = FakeRevocations()
    mirror = mirror_of(store, FrozenClock(0), timeout=0.01)
    await mirror.catch_up()
    store.failing = DOWN
    with pytest.raises(Unavailable, match=DOWN.reason) as caught:
        await mirror.revoke((entry(),))
    assert caught.value.retry_after == DOWN.retry_after
    assert caught.value.__context__ is None
    store.answering.clear()
    with pytest.raises(Unavailable, match=r"no answer within 0.01 s") as caught:
        await mirror.revoke((entry(),))
    assert caught.value.refusal.code is STALE_CODE
    assert code_of(mirror, token_of()) is None
    mirror.close()


def test_nothing_of_it_shows_what_is_revoked() -> None:
    entries: list[Entry] = [entry("SECRET")]
    mirror = mirror_of(FakeRevocations(entries), FrozenClock(0))
    mirror.revoked.put(entries)
    assert "SECRET" not in repr(mirror) + repr(mirror.revoked) + repr(mirror.health())


# Beginning and end of what goes on in the background.


@at_home
async def test_closing_leaves_no_task_and_admits_nobody_until_it_has_caught_up_again() -> None:
    store = FakeRevocations([entry("a")], pushing=True)
    mirror = mirror_of(store, FrozenClock(0))
    mirror.close()
    mirror.open()
    mirror.open()
    assert len(others()) == 2
    await until(mirror.current)
    mirror.close()
    await settle()
    assert not others()
    assert not mirror.health().push
    assert not store.listeners
    assert code_of(mirror, token_of()) is STALE_CODE
    assert code_of(mirror, token_of("a")) is REVOKED
    await mirror.catch_up()
    assert code_of(mirror, token_of()) is None
    assert store.asked[0] is None
    assert set(store.asked[1:]) == {"0:1"}
    mirror.close()


@at_home
async def test_who_waits_when_all_is_closed_goes_on_at_once() -> None:
    store = FakeRevocations()
    mirror = mirror_of(store, FrozenClock(0))
    store.answering.clear()
    waiting = asyncio.ensure_future(mirror.catch_up())
    await until(lambda: store.asked)
    mirror.close()
    await waiting
    assert not mirror.current()


@at_home
async def test_if_a_task_of_it_dies_the_next_request_starts_it_again() -> None:
    store, flaws = FakeRevocations(), [1]

    def wall() -> float:
        return NOW / flaws[0]

    mirror = mirror_of(store, FrozenClock(0), wall_clock=wall)
    flaws[0] = 0
    await mirror.catch_up()
    (keeping, _) = mirror._tasks
    await until(keeping.done)
    assert isinstance(keeping.exception(), ZeroDivisionError)
    flaws[0] = 1
    mirror._until = -math.inf
    await mirror.catch_up()
    assert mirror.current()
    assert len(others()) == 2
    mirror.close()
