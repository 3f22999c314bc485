"""Status lists kept fresh: what they say, how long, and what is no list of this issuer."""

import asyncio
from typing import Any

import pytest

from feeding import (
    ANOTHER,
    ISSUER,
    LIST,
    NOW,
    OTHER,
    SECOND,
    STRANGER,
    Feeds,
    fixed_keys,
    list_claims,
    signed,
    status_list,
    token,
    trusted,
)
from keeping import at_home, settle
from portvakt.errors import Refused, Unavailable
from portvakt.jose.header import Header
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.signer import Signer
from portvakt.net import status_lists
from portvakt.net.address import FetchError
from portvakt.net.answer import Fetched
from portvakt.net.keys import KeySource
from portvakt.policy.issuer import TrustedIssuer
from portvakt.refusal import Code

STALE = Code.REVOCATION_UNAVAILABLE
DOWN = FetchError("the server answered 500")


@at_home
async def test_a_list_says_who_is_refused() -> None:
    feeds = Feeds()
    assert [await feeds.judged(token(place)) for place in (0, 1, 2)] == [
        None,
        Code.TOKEN_REVOKED,
        None,
    ]
    assert feeds.fetch.asked == [LIST]
    assert feeds.fetch.accepts == ["application/statuslist+jwt"]
    feeds.lists.close()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_every_status_but_valid_refuses(bits: int) -> None:
    @at_home
    async def run() -> None:
        feeds = Feeds()
        feeds.published[LIST] = status_list(0, 1, 2, 3, bits=bits)
        judged = [await feeds.judged(token(place)) for place in range(4)]
        assert judged == [None, *[Code.TOKEN_REVOKED] * 3]
        feeds.lists.close()

    run()


@at_home
async def test_a_token_without_a_status_is_in_no_list() -> None:
    feeds = Feeds()
    elsewhere = token(None, issuer="https://without.test")
    assert feeds.lists.current(elsewhere)
    await feeds.lists.fetch(elsewhere)
    assert await feeds.judged(elsewhere) is None
    assert feeds.fetch.asked == []


@at_home
async def test_a_place_that_the_list_does_not_have_is_not_known() -> None:
    feeds = Feeds()
    for place in (8, 10**30):
        assert await feeds.judged(token(place)) is STALE
        assert await feeds.judged(token(place), admit_stale=True) is STALE
    # The list is current: nobody goes and gets another because of what a token says.
    assert feeds.lists.current(token(8))
    assert feeds.fetch.asked == [LIST]
    with pytest.raises(Unavailable) as caught:
        feeds.lists.check(token(8), NOW)
    assert 1 <= (caught.value.retry_after or 0) <= 135
    feeds.lists.close()


@at_home
async def test_lists_are_fetched_ahead_when_opened() -> None:
    feeds = Feeds(trusted(status_lists=frozenset({LIST, SECOND})))
    feeds.published[SECOND] = status_list(1, sub=SECOND)
    feeds.lists.open()
    await feeds.pass_time(0)
    assert sorted(feeds.fetch.asked) == [LIST, SECOND]
    assert await feeds.judged(token(0), fetch=False) is None
    assert await feeds.judged(token(0, uri=SECOND), fetch=False) is Code.TOKEN_REVOKED
    feeds.lists.close()


@at_home
async def test_a_list_that_was_never_there_admits_nobody() -> None:
    feeds = Feeds()
    assert not feeds.lists.current(token())
    assert await feeds.judged(token(), fetch=False) is STALE
    assert await feeds.judged(token(), fetch=False, admit_stale=True) is None
    feeds.published[LIST] = DOWN
    assert await feeds.judged(token()) is STALE
    with pytest.raises(Unavailable) as caught:
        feeds.lists.check(token(), NOW)
    assert caught.value.retry_after == 1
    feeds.lists.close()


@at_home
async def test_a_thousand_first_requests_fetch_once() -> None:
    feeds = Feeds()
    feeds.fetch.open.clear()
    wanted = [asyncio.ensure_future(feeds.judged(token())) for _ in range(1000)]
    await asyncio.sleep(0)
    feeds.fetch.open.set()
    assert set(await asyncio.gather(*wanted)) == {None}
    assert feeds.fetch.asked == [LIST]
    feeds.lists.close()


@at_home
async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_lists, "_PATIENCE", 0.01)
    feeds = Feeds()
    feeds.fetch.open.clear()
    assert await feeds.judged(token()) is STALE
    feeds.lists.close()


# How long.


@at_home
async def test_a_newer_list_takes_the_place_of_the_last() -> None:
    feeds = Feeds()
    assert await feeds.judged(token(0)) is None
    feeds.published[LIST] = status_list(1)
    await feeds.pass_time(150)
    assert await feeds.judged(token(0), fetch=False) is Code.TOKEN_REVOKED
    # Of the same second, an issuer may publish two.
    feeds.published[LIST] = status_list(0)
    await feeds.pass_time(150)
    assert await feeds.judged(token(0), fetch=False) is None
    feeds.lists.close()


@at_home
async def test_a_list_that_cannot_be_renewed_serves_until_its_greatest_age() -> None:
    feeds = Feeds()
    assert await feeds.judged(token(0)) is None
    feeds.published[LIST] = DOWN
    for _ in range(29):
        await feeds.pass_time(10)
        assert await feeds.judged(token(0), fetch=False) is None
    await feeds.pass_time(10)
    assert await feeds.judged(token(0)) is STALE
    assert await feeds.judged(token(0), admit_stale=True) is None
    # What was refused stays refused, whatever a route says about staleness.
    assert await feeds.judged(token(1)) is Code.TOKEN_REVOKED
    assert await feeds.judged(token(1), admit_stale=True) is Code.TOKEN_REVOKED
    assert await feeds.judged(token(99)) is STALE
    assert await feeds.judged(token(99), admit_stale=True) is None
    feeds.published[LIST] = status_list(0, iat=int(NOW) + 300)
    await feeds.pass_time(30)
    assert await feeds.judged(token(0)) is None
    feeds.lists.close()


@at_home
async def test_the_age_counts_from_the_beginning_of_the_exchange() -> None:
    feeds = Feeds()
    feeds.fetch.open.clear()
    wanted = asyncio.ensure_future(feeds.judged(token()))
    await settle()
    feeds.clock.advance(100)
    feeds.fetch.open.set()
    assert await wanted is None
    assert feeds.lists.health()[0].age == 100
    feeds.lists.close()


@at_home
async def test_a_list_is_not_used_longer_than_it_says_itself() -> None:
    feeds = Feeds()
    feeds.published[LIST] = status_list(0, ttl=60)
    assert await feeds.judged(token()) is None
    feeds.published[LIST] = DOWN
    await feeds.pass_time(59)
    assert await feeds.judged(token()) is None
    await feeds.pass_time(1)
    assert await feeds.judged(token()) is STALE
    assert feeds.lists.health()[0].places is None
    feeds.lists.close()


@at_home
async def test_a_list_is_renewed_within_the_time_that_it_says() -> None:
    feeds = Feeds()
    feeds.published[LIST] = status_list(0, ttl=60)
    assert await feeds.judged(token()) is None
    await feeds.pass_time(54)
    assert len(feeds.fetch.asked) == 2
    await feeds.pass_time(7)
    assert await feeds.judged(token(), fetch=False) is None
    feeds.lists.close()


@at_home
async def test_a_list_of_very_short_time_is_not_asked_for_all_the_time() -> None:
    feeds = Feeds()
    feeds.published[LIST] = status_list(0, ttl=0.001)
    assert await feeds.judged(token()) is None
    await feeds.pass_time(11)
    assert len(feeds.fetch.asked) == 1
    assert await feeds.judged(token(), fetch=False) is None
    await feeds.pass_time(4)
    assert len(feeds.fetch.asked) == 2
    feeds.lists.close()


@at_home
async def test_a_long_time_is_no_longer_than_the_policy_allows() -> None:
    feeds = Feeds()
    feeds.published[LIST] = status_list(0, ttl=10**9)
    assert await feeds.judged(token()) is None
    await feeds.pass_time(135)
    assert len(feeds.fetch.asked) == 2
    feeds.lists.close()


@at_home
async def test_a_list_that_is_over_says_nothing() -> None:
    feeds = Feeds()
    feeds.published[LIST] = status_list(0, 1, exp=int(NOW) + 100)
    assert await feeds.judged(token()) is None
    assert feeds.lists._lists[ISSUER][LIST].kept.next_at == pytest.approx(82, abs=8)
    feeds.published[LIST] = DOWN
    # Also where the monotonic clock stood still, as in a machine that slept.
    feeds.wall_clock.advance(99.5)
    assert await feeds.judged(token()) is None
    feeds.wall_clock.advance(0.5)
    assert await feeds.judged(token()) is STALE
    assert await feeds.judged(token(), admit_stale=True) is None
    assert await feeds.judged(token(1)) is Code.TOKEN_REVOKED
    feeds.lists.close()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ((("cache-control", "max-age=40"),), 36),
        ((("cache-control", "no-store"),), 14),
        ((("cache-control", "max-age=99999"),), 135),
        ((), 135),
    ],
)
def test_where_the_list_says_nothing_the_answer_may(
    headers: tuple[tuple[str, str], ...], seconds: float
) -> None:
    @at_home
    async def run() -> None:
        feeds = Feeds()
        feeds.published[LIST] = Fetched(200, headers, status_list(0, exp=None).encode())
        assert await feeds.judged(token()) is None
        due = feeds.lists.health()[0].next_refresh
        assert due is not None
        assert 0.8 * seconds <= due <= seconds
        feeds.lists.close()

    run()


# What is no list of this issuer.


def forged(**how: Any) -> str:
    return signed(list_claims(0), "statuslist+jwt", **how)


@pytest.mark.parametrize(
    "published",
    [
        DOWN,
        b"",
        b"\xff\xfe",
        b"<html>maintenance</html>",
        status_list(0, signer=STRANGER),
        status_list(0, signer=ANOTHER),
        status_list(0, signer=Signer.generate("ES384")),
        forged(kid="unknown"),
        forged(alg="none"),
        forged(jwk=STRANGER.public_jwk()),
        signed(list_claims(0), "at+jwt"),
        signed(list_claims(0), "JWT"),
        signed(list_claims(0), "secevent+jwt"),
        signed(list_claims(0), "statuslist+cwt"),
        signed(list_claims(0), None),
        status_list(0, sub=SECOND),
        status_list(0, iss=OTHER),
        status_list(0, exp=int(NOW) + 100),
        status_list(0, iat=int(NOW) + 600),
        status_list(0, iat=int(NOW) - 1),
        status_list(0, status_list={"bits": 1, "lst": "AAAA"}),
        status_list(0)[:-4],
        status_list(0) + "\n",
    ],
)
def test_what_is_no_list_leaves_the_last_good_one_and_is_no_news(published: object) -> None:
    @at_home
    async def run() -> None:
        feeds = Feeds()
        assert await feeds.judged(token(1)) is Code.TOKEN_REVOKED
        feeds.published[LIST] = published
        await feeds.pass_time(150)
        assert len(feeds.fetch.asked) == 2
        assert feeds.last_error
        assert await feeds.judged(token(1)) is Code.TOKEN_REVOKED
        assert await feeds.judged(token(0)) is None
        await feeds.pass_time(150)
        assert await feeds.judged(token(0)) is STALE
        feeds.lists.close()

    run()


def test_the_types_of_lists_are_compared_as_types_are() -> None:
    @at_home
    async def run() -> None:
        feeds = Feeds()
        feeds.published[LIST] = signed(list_claims(0), "application/StatusList+JWT")
        assert await feeds.judged(token()) is None
        feeds.lists.close()

    run()


@at_home
async def test_an_older_list_is_not_taken_even_when_the_last_is_too_old() -> None:
    feeds = Feeds()
    feeds.published[LIST] = status_list(1, iat=int(NOW))
    assert await feeds.judged(token()) is Code.TOKEN_REVOKED
    feeds.published[LIST] = status_list(0, iat=int(NOW) - 60)
    await feeds.pass_time(400)
    assert await feeds.judged(token()) is Code.TOKEN_REVOKED
    assert feeds.last_error == "the list was issued before the one that is known already"
    feeds.lists.close()


@pytest.mark.attack("CACHE-07", "API-08")
@at_home
async def test_whoever_follows_another_knows_what_its_lists_last_said() -> None:
    before, after = Feeds(), Feeds()
    before.published[LIST] = status_list(1, iat=int(NOW))
    assert await before.judged(token()) is Code.TOKEN_REVOKED
    after.lists.follow(before.lists)
    before.lists.close()
    # One that takes the revocation back.
    after.published[LIST] = status_list(0, iat=int(NOW) - 60)
    for _ in range(2):
        assert await after.judged(token()) is Code.TOKEN_REVOKED
        assert await after.judged(token(), admit_stale=True) is Code.TOKEN_REVOKED
        await after.pass_time(400)
    after.lists.close()


@pytest.mark.twin("CACHE-07", "API-08")
@at_home
async def test_whoever_follows_another_takes_no_old_list_for_a_new_one() -> None:
    before, after = Feeds(), Feeds()
    before.published[LIST] = status_list(0, iat=int(NOW))
    assert await before.judged(token()) is None
    after.lists.follow(before.lists)
    before.lists.close()
    assert await after.judged(token(), fetch=False) is Code.REVOCATION_UNAVAILABLE
    assert await after.judged(token(), fetch=False, admit_stale=True) is None
    after.published[LIST] = status_list(1, iat=int(NOW) + 1)
    await after.pass_time(400)
    assert await after.judged(token()) is Code.TOKEN_REVOKED
    after.lists.close()


@at_home
async def test_a_list_of_ones_own_is_kept_whoever_is_followed() -> None:
    before, after = Feeds(), Feeds()
    before.published[LIST] = status_list(0, iat=int(NOW))
    after.published[LIST] = status_list(1, iat=int(NOW))
    assert await before.judged(token()) is None
    assert await after.judged(token()) is Code.TOKEN_REVOKED
    after.lists.follow(before.lists)
    assert await after.judged(token(), fetch=False) is Code.TOKEN_REVOKED
    before.lists.close()
    after.lists.close()


@at_home
async def test_one_issuers_list_is_no_others() -> None:
    feeds = Feeds(
        trusted(status_lists=frozenset({LIST})), trusted(OTHER, status_lists=frozenset({LIST}))
    )
    ours, theirs = token(0), token(0, issuer=OTHER)
    assert await feeds.judged(ours) is None
    # Whoever publishes it, it is signed by one of them.
    assert await feeds.judged(theirs) is STALE
    feeds.lists.close()


class Later(KeySource):
    """Keys that are not there at once, or not at all."""

    def __init__(self, failure: Unavailable | Refused | None = None) -> None:
        self.failure = failure
        self.fetched = 0

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet | None:
        return None

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        self.fetched += 1
        if self.failure is not None:
            raise self.failure
        return fixed_keys().current(issuer)


@at_home
async def test_keys_are_fetched_for_a_list_as_for_a_token() -> None:
    keys = Later()
    feeds = Feeds(keys=keys)
    assert await feeds.judged(token()) is None
    assert keys.fetched == 1
    feeds.lists.close()


@pytest.mark.parametrize("detail", ["the server answered 500", None])
def test_without_keys_there_is_no_list(detail: str | None) -> None:
    @at_home
    async def run() -> None:
        keys = Later(Unavailable(Code.KEYS_UNAVAILABLE, detail, retry_after=20))
        feeds = Feeds(keys=keys)
        assert await feeds.judged(token()) is STALE
        reason = detail or "keys_unavailable"
        assert feeds.last_error == f"the keys are unavailable: {reason}"
        # No sooner than the keys are worth asking for.
        assert feeds.lists.health()[0].next_refresh == 20
        feeds.lists.close()

    run()


@at_home
async def test_a_refusal_without_detail_is_named_by_its_code() -> None:
    feeds = Feeds(keys=Later(Refused(Code.KEY_UNKNOWN)))
    assert await feeds.judged(token()) is STALE
    assert feeds.last_error == "the list is refused: key_unknown"
    feeds.lists.close()


# How they are.


@at_home
async def test_health() -> None:
    feeds = Feeds()
    (before,) = feeds.lists.health()
    assert (before.issuer, before.uri, before.max_age) == (ISSUER, LIST, 300)
    assert (before.places, before.age, before.last_error, before.next_refresh) == (None,) * 4
    assert await feeds.judged(token()) is None
    feeds.clock.advance(10)
    (good,) = feeds.lists.health()
    assert (good.places, good.age, good.last_error, good.last_error_age) == (8, 10, None, None)
    assert 100 < (good.next_refresh or 0) < 135
    feeds.published[LIST] = DOWN
    await feeds.pass_time(140)
    feeds.clock.advance(5)
    (bad,) = feeds.lists.health()
    assert (bad.places, bad.age, bad.last_error_age) == (8, 155, 5)
    assert bad.last_error == "the server answered 500"
    feeds.lists.close()


@at_home
async def test_closing_ends_what_goes_on() -> None:
    feeds = Feeds()
    feeds.lists.open()
    await feeds.pass_time(0)
    feeds.lists.close()
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1
    assert not feeds.lists.current(token())
