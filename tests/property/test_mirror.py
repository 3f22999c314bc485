"""A mirror against the simplest thing that could be right, through anything that can happen."""

import asyncio
import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_store import DOWN, FakeRevocations
from mirroring import ISSUER, NOW, STALE, asked_again, code_of, mirror_of, token_of
from portvakt.policy.handles import Kind, handle_of
from portvakt.refusal import Code
from portvakt.stores.base import Entry
from portvakt.testing.clock import FrozenClock

NAMES = ("a", "b", "c", "d")
THINGS = [(Kind.TOKEN, name) for name in NAMES] + [(Kind.SUBJECT, "s"), (Kind.ISSUER, "")]
#: Whole seconds and slots, where a mirror and its model agree to the last bit.
TIMES = [math.inf, *(NOW + one for one in (-300.0, -1.0, 0.0, 1.0, 300.0))]
ENDS = [math.ceil(NOW / 128) * 128 + 128.0 * one for one in (-3, 0, 1, 2, 60)]

entries = st.builds(
    lambda thing, before, end: Entry(handle_of(thing[0], ISSUER, thing[1]), before, end),
    st.sampled_from(THINGS),
    st.sampled_from(TIMES),
    st.sampled_from(ENDS),
)
actions = st.one_of(
    st.tuples(st.just("write"), st.lists(entries, max_size=4)),
    st.tuples(st.just("revoke"), st.lists(entries, max_size=4)),
    st.tuples(st.sampled_from(["ask", "fail", "replace", "expire", "forget"]), st.none()),
    st.tuples(st.just("pass"), st.sampled_from([0.5, 3.0, STALE, 130.0, 300.0])),
    st.tuples(st.just("issue"), st.sampled_from([-300.0, -1.0, 0.0, 299.0, 300.0])),
)


class Model:
    """All that was ever known here, and until when it may be relied on."""

    def __init__(self) -> None:
        self.unread: list[Entry] = []
        self.known: list[Entry] = []
        self.until = -math.inf

    def revoked(self, handles: frozenset[bytes], issued_at: float, now: float) -> bool:
        for handle in handles:
            mine = [one for one in self.known if one.handle == handle]
            before = max((one.issued_before for one in mine), default=-math.inf)
            end = max((one.expires_at for one in mine), default=-math.inf)
            if issued_at < before and now < end:
                return True
        return False

    def forget(self, now: float) -> None:
        handles = {one.handle for one in self.known}
        for handle in handles:
            if max(one.expires_at for one in self.known if one.handle == handle) <= now:
                self.known = [one for one in self.known if one.handle != handle]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(actions, max_size=25), page=st.integers(1, 3), overlap=st.integers(0, 3))
def test_a_mirror_is_what_its_model_is(
    steps: list[tuple[str, object]], page: int, overlap: int
) -> None:
    asyncio.run(compare(steps, page, overlap))


async def compare(  # noqa: C901, PLR0912  one case for each step
    steps: list[tuple[str, object]], page: int, overlap: int
) -> None:
    clock, wall = FrozenClock(0), FrozenClock(NOW)
    store = FakeRevocations(page=page)
    store.overlap = overlap
    mirror, model = mirror_of(store, clock, wall_clock=wall), Model()
    mirror._forget_at = math.inf  # when it forgets is one of the steps
    mirror.open()
    await asked_again(mirror)
    model.until = STALE
    issued_at = NOW
    for what, value in steps:
        match what, value:
            case "write", list(new):
                store.write(*new)
                model.unread += new
            case "revoke", list(new):
                await mirror.revoke(tuple(new))
                model.known += new
            case "ask", _:
                await asked_again(mirror)
                model.known += model.unread
                model.unread = []
                model.until = clock() + STALE
            case "fail", _:
                store.failing = DOWN
                await asked_again(mirror)
                store.failing = None
            case "replace", _:
                store.replace()
            case "expire", _:
                store.expire(wall())
                model.unread = [one for one in model.unread if one.expires_at > wall()]
            case "forget", _:
                for _ in mirror.revoked.forget(wall()):
                    pass
                model.forget(wall())
            case "pass", float(seconds):
                clock.advance(seconds)
                wall.advance(seconds)
            case "issue", float(seconds):
                issued_at = NOW + seconds
        for name in NAMES:
            token = token_of(name, issued_at=issued_at)
            expected = None
            if model.revoked(token.handles, issued_at, wall()):
                expected = Code.TOKEN_REVOKED
            elif not clock() < model.until:
                expected = Code.REVOCATION_UNAVAILABLE
            assert code_of(mirror, token, wall()) is expected
    mirror.close()
