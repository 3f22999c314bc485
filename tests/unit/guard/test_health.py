"""How current a guard's keys are, and how they are got before the first request."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import trio

from fake_fetch import DOWN, FakeFetch, answer
from portvakt import Code, FixedKeys, Guard, JwkSet, Unavailable
from portvakt.guard.health import Health
from portvakt.net.address import FetchError
from portvakt.net.answer import Fetched
from portvakt.net.cache import Budget, Schedule
from portvakt.net.keys import KeysHealth, KeySources
from portvakt.net.remote_keys import KeyEndpoint, RemoteKeys
from portvakt.testing import FakeIssuer

ONE, OTHER, THIRD = (FakeIssuer(f"https://{name}.test") for name in ("one", "other", "third"))


class Built:
    """A guard of three issuers: two that publish their keys, one whose keys are stated."""

    def __init__(self) -> None:
        self.fetch = FakeFetch({"one": good(ONE), "other": good(OTHER)})
        third = JwkSet.from_object(THIRD.jwks(), ["ES256"])
        self.guard = Guard(
            issuers=[ONE.trusted, OTHER.trusted, THIRD.trusted],
            keys=KeySources(
                {
                    ONE.trusted.issuer: self.published("one", ONE),
                    OTHER.trusted.issuer: self.published("other", OTHER),
                    THIRD.trusted.issuer: FixedKeys({THIRD.trusted.issuer: third}),
                }
            ),
            clock=ONE.clock,
        )

    def published(self, url: str, issuer: FakeIssuer) -> RemoteKeys:
        endpoint = KeyEndpoint(
            where=url,
            fetch=self.fetch.port,
            pinned=frozenset(),
            schedule=Schedule(),
            file=None,
        )
        return RemoteKeys(issuer.trusted, endpoint, budget=Budget())

    def admits(self, issuer: FakeIssuer) -> bool:
        return self.guard.check_blocking(issuer.request(issuer.token())).admitted

    def end(self) -> None:
        self.guard.home.leave()


def good(issuer: FakeIssuer) -> Fetched:
    return answer(issuer.jwks())


def warmed_in_a_thread(guard: Guard) -> Health:
    return guard.warm_blocking()


def warmed_in_asyncio(guard: Guard) -> Health:
    return asyncio.run(guard.warm())


def warmed_in_trio(guard: Guard) -> Health:
    health: Health = trio.run(guard.warm)
    return health


WAYS = [warmed_in_a_thread, warmed_in_asyncio, warmed_in_trio]


@pytest.mark.parametrize("warm", WAYS)
def test_warming_up_gets_the_keys_of_all(warm: Callable[[Guard], Health]) -> None:
    built = Built()
    before = built.guard.health()
    assert not before.ready
    assert [one.keys for one in before.keys] == [None, None, 2]
    after = warm(built.guard)
    assert after.ready
    assert [(one.issuer, one.source, one.keys) for one in after.keys] == [
        ("https://one.test", "one", 2),
        ("https://other.test", "other", 2),
        ("https://third.test", "policy", 2),
    ]
    assert sorted(built.fetch.asked) == ["one", "other"]
    # From here on no request has to wait for anything.
    built.fetch.answers.clear()
    for issuer in (ONE, OTHER, THIRD):
        assert built.admits(issuer)
    built.end()


@pytest.mark.parametrize("warm", WAYS)
def test_warming_up_names_every_issuer_whose_keys_cannot_be_had(
    warm: Callable[[Guard], Health],
) -> None:
    built = Built()
    built.fetch.answers = {"one": DOWN, "other": answer(b"<html>")}
    with pytest.raises(Unavailable) as caught:
        warm(built.guard)
    refusal = caught.value.refusal
    assert refusal.code is Code.KEYS_UNAVAILABLE
    one, other = (refusal.detail or "").split("; ")
    assert one == "https://one.test: the server answered 500"
    assert other.startswith("https://other.test: the key set is not strict JSON")
    built.end()


def test_one_that_fails_does_not_hold_up_the_others() -> None:
    built = Built()
    built.fetch.answers["one"] = FetchError("busy", retry_after=30.0)
    with pytest.raises(Unavailable, match=r"one\.test: busy"):
        built.guard.warm_blocking()
    assert [one.keys for one in built.guard.health().keys] == [None, 2, 2]
    built.end()


def test_a_fault_of_a_source_is_no_outage() -> None:
    class Broken(FixedKeys):
        async def fetch(self, issuer: Any, header: Any = None) -> JwkSet:
            raise LookupError

    guard = Guard(issuers=[ONE.trusted], keys=Broken({}), clock=ONE.clock)
    with pytest.raises(LookupError):
        guard.warm_blocking()
    guard.home.leave()


def test_ready_is_who_has_keys_for_every_issuer() -> None:
    some = KeysHealth(issuer="a", source="a", keys=1)
    none = KeysHealth(issuer="b", source="b", keys=None)
    assert Health((some, some)).ready
    assert not Health((some, none)).ready


def test_an_issuer_that_is_down_concerns_its_own_tokens_only() -> None:
    built = Built()
    built.fetch.answers["one"] = FetchError("busy", retry_after=30.0)
    for _ in range(3):
        decision = built.guard.check_blocking(ONE.request(ONE.token()))
        assert decision.refusal is not None
        assert decision.refusal.code is Code.KEYS_UNAVAILABLE
        assert decision.response is not None
        assert decision.response.status == 503
        assert dict(decision.response.headers)["Retry-After"] == "30"
        assert built.admits(OTHER)
        assert built.admits(THIRD)
    assert sorted(built.fetch.asked) == ["one", "other"]
    built.end()


def test_what_a_first_request_would_wait_for_is_asked_for_when_a_server_starts() -> None:
    built = Built()

    async def serve() -> None:
        async with built.guard as guard:
            for _ in range(10):
                await asyncio.sleep(0)
            assert guard.health().ready
            assert (await guard.check(ONE.request(ONE.token()))).admitted
            assert len(asyncio.all_tasks()) == 3  # two that renew, and this one
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(serve())
    assert sorted(built.fetch.asked) == ["one", "other"]


def test_a_request_that_waits_when_the_server_ends_is_decided_too() -> None:
    built = Built()

    async def serve() -> None:
        built.fetch.open.clear()
        async with built.guard as guard:
            waiting = asyncio.ensure_future(guard.check(ONE.request(ONE.token())))
            for _ in range(10):
                await asyncio.sleep(0)
        decision = await waiting
        assert decision.refusal is not None
        assert decision.refusal.code is Code.KEYS_UNAVAILABLE

    asyncio.run(serve())
