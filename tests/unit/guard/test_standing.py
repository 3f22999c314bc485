"""What is known of revoked tokens, from every source, and what a request waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from keeping import at_home
from mirroring import verified
from portvakt import Code, Guard, Refused, Requirement, Route, Routes, Unavailable
from portvakt.guard.parts import Parts
from portvakt.guard.standing import Standing
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from portvakt.policy.token import AccessToken

ISSUER = FakeIssuer()


class Source:
    """A source of news that is as current, and says, what a test wants."""

    def __init__(self, *, current: bool = True, error: Exception | None = None) -> None:
        self.is_current, self.error = current, error
        self.calls: list[str] = []

    def current(self, *_: object) -> bool:
        return self.is_current

    async def catch_up(self, *_: object) -> None:
        self.calls.append("catch up")
        self.is_current = True

    fetch = catch_up

    def clears(self, *_: object) -> bool:
        if self.error is None and self.is_current:
            self.calls.append("clears")
            return True
        return False

    def check(self, *_: object, admit_stale: bool = False) -> None:
        self.calls.append("stale will do" if admit_stale else "check")
        if self.error is not None:
            raise self.error

    def open(self) -> None:
        self.calls.append("open")

    def close(self) -> None:
        self.calls.append("close")


def standing(*sources: Source | None) -> Standing:
    return Standing(*cast("Any", sources))


def token() -> AccessToken:
    return verified(ISSUER, ISSUER.token())


def test_every_source_is_opened_asked_and_closed() -> None:
    sources = [Source(), Source(), Source()]
    every = standing(*sources)
    every.open()
    every.check(token(), 0.0)
    every.close()
    assert [source.calls for source in sources] == [["open", "check", "close"]] * 3
    standing(None).open()
    standing(None).check(token(), 0.0)
    standing(None).close()
    assert standing(None).current(token())


@pytest.mark.parametrize("late", [0, 1, 2])
@at_home
async def test_only_what_is_late_catches_up(late: int) -> None:
    sources = [Source(current=number != late) for number in range(3)]
    every = standing(*sources)
    assert not every.current(token())
    await every.catch_up(token())
    assert every.current(token())
    assert [source.calls for source in sources] == [
        ["catch up"] if number == late else [] for number in range(3)
    ]
    await standing(None).catch_up(token())


def test_old_news_will_do_only_where_it_is_said_so() -> None:
    sources = [Source(), Source(), Source()]
    standing(*sources).check(token(), 0.0, admit_stale=True)
    # Events have nothing to say of a token itself, only of how old they are.
    assert [source.calls for source in sources] == [["stale will do"], ["stale will do"], []]


def guard_of(source: Source) -> Guard:
    made = ISSUER.guard()
    return Guard(
        issuers=made.issuers.values(),
        keys=made.keys,
        parts=Parts(standing=standing(source)),
        clock=ISSUER.clock,
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused(Code.TOKEN_REVOKED), Code.TOKEN_REVOKED),
        (Unavailable(Code.REVOCATION_UNAVAILABLE), Code.REVOCATION_UNAVAILABLE),
        (None, None),
    ],
)
def test_a_guard_asks_at_first_sight_and_each_time_after(
    error: Exception | None, code: Code | None
) -> None:
    source = Source(error=error)
    guard, request = guard_of(source), ISSUER.request(ISSUER.token())
    for _ in range(2):
        refusal = guard.check_blocking(request).refusal
        assert (None if refusal is None else refusal.code) is code
    assert source.calls == ["clears" if error is None else "check"] * 2


def test_a_request_waits_once_for_what_is_late() -> None:
    source = Source(current=False)
    guard, request = guard_of(source), ISSUER.request(ISSUER.token())
    assert guard.check_blocking(request).admitted
    assert guard.check_blocking(request).admitted
    assert source.calls == ["catch up", "check", "clears"]
    guard.home.leave()


def test_old_news_must_do_for_every_demand_on_a_request() -> None:
    source = Source(error=Unavailable(Code.REVOCATION_UNAVAILABLE))
    guard, request = guard_of(source), ISSUER.request(ISSUER.token())
    lenient = Requirement.of(unsafe_on_stale=True)
    assert not guard.check_blocking(request, lenient).admitted
    assert source.calls == ["check"]  # The policy's own demand does not say so.


def test_one_look_is_enough_where_there_is_nothing_but_the_mirror() -> None:
    assert standing(Source()).clears(token())
    assert not standing(Source(current=False)).clears(token())


@pytest.mark.parametrize("others", [(Source(), None), (None, Source()), (Source(), Source())])
def test_where_there_is_more_than_the_mirror_one_look_is_not(
    others: tuple[Source | None, Source | None],
) -> None:
    assert not standing(Source(), *others).clears(token())
    assert not standing(None, *others).clears(token())


class Old(Source):
    """A source whose news are old."""

    def clears(self, *_: object) -> bool:
        return False

    def check(self, *_: object, admit_stale: bool = False) -> None:
        if not admit_stale:
            raise Unavailable(Code.REVOCATION_UNAVAILABLE)


@pytest.mark.parametrize("how", ["check", "require"])
def test_old_news_must_do_for_a_demand_that_comes_later_as_well(how: str) -> None:
    made, lenient = ISSUER.guard(), Requirement.of(unsafe_on_stale=True)
    rule = Route(path="/", methods=None, public=False, requirement=lenient)
    guard = Guard(
        issuers=made.issuers.values(),
        keys=made.keys,
        routes=Routes([rule]),
        parts=Parts(standing=standing(Old())),
        clock=ISSUER.clock,
    )
    request = ISSUER.request(ISSUER.token())
    decision = guard.check_blocking(request)
    assert decision.admitted
    for demand, admitted in ((lenient, True), (Requirement.of(), False)):
        if how == "check":
            judged = guard.check_blocking(request, demand)
        else:
            judged = guard.require(request, decision, demand)
        assert judged.admitted is admitted
        if judged.refusal is not None:
            assert judged.refusal.code is Code.REVOCATION_UNAVAILABLE


class Following(Source):
    """A source that knows what another one knew."""

    def __init__(self) -> None:
        super().__init__()
        self.revoked = self

    def follow(self, other: Source) -> None:
        self.calls.append("follow")
        assert other is not self


@pytest.mark.parametrize("mirrors", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("lists", [(True, True), (True, False), (False, True), (False, False)])
def test_what_was_known_is_known_on_where_both_have_the_source(
    mirrors: tuple[bool, bool], lists: tuple[bool, bool]
) -> None:
    mine = [Following() if there[0] else None for there in (mirrors, lists)]
    theirs = [Following() if there[1] else None for there in (mirrors, lists)]
    standing(*mine, None).follow(standing(*theirs, None))
    for one, other in zip(mine, theirs, strict=True):
        if one is not None:
            assert one.calls == ([] if other is None else ["follow"])
        assert other is None or other.calls == []
