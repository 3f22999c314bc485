"""The keys of one issuer, fetched: rotation, removal, outage, and keys that nobody knows."""

import asyncio

import pytest

from fake_fetch import DOWN, HARD, IMPOSTOR, KEYS, NEW, OLD, TRUSTED, Keys, answer, key_set, kids
from keeping import at_home, settle
from portvakt.errors import Refused, Unavailable
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.signer import Signer
from portvakt.net import remote_keys
from portvakt.net.address import FetchError
from portvakt.net.answer import Fetched
from portvakt.refusal import Code


@at_home
async def test_the_first_request_fetches_and_the_others_read() -> None:
    keys = Keys(OLD)
    assert keys.current() is keys.current("old") is None
    first = await keys.get("old")
    assert kids(first) == ["old"]
    assert keys.current() is keys.current("old") is await keys.get("old") is first
    assert keys.fetch.asked == [KEYS]
    assert keys.fetch.accepts == ["application/jwk-set+json, application/json"]
    keys.source.close()


@at_home
async def test_a_thousand_first_requests_fetch_once() -> None:
    keys = Keys(OLD)
    keys.fetch.open.clear()
    wanted = [asyncio.ensure_future(keys.get("old")) for _ in range(1000)]
    await settle()
    keys.fetch.open.set()
    assert len({id(one) for one in await asyncio.gather(*wanted)}) == 1
    assert keys.fetch.asked == [KEYS]
    keys.source.close()


@at_home
async def test_they_are_fetched_ahead_of_the_first_request_when_opened() -> None:
    keys = Keys(OLD)
    keys.source.open()
    await settle()
    assert kids(keys.current()) == ["old"]
    keys.source.close()


@at_home
async def test_equal_keys_stay_the_same_object_and_others_are_another() -> None:
    keys = Keys(OLD)
    first = await keys.get()
    await keys.pass_time(600)
    assert len(keys.fetch.asked) == 2
    assert keys.current() is first  # remembered tokens stay good
    keys.publish(OLD, NEW)
    await keys.pass_time(600)
    second = keys.current()
    assert kids(second) == ["old", "new"]
    assert second is not first
    keys.source.close()


@at_home
async def test_a_key_that_is_removed_is_gone_at_the_next_renewal() -> None:
    keys = Keys(OLD, NEW)
    first = await keys.get()
    keys.publish(NEW)
    await keys.pass_time(600)
    second = keys.current()
    assert second is not first
    assert kids(second) == ["new"]
    keys.source.close()


@at_home
async def test_another_key_under_an_old_name_takes_its_place() -> None:
    keys = Keys(OLD)
    first = await keys.get("old")
    keys.publish(IMPOSTOR)
    await keys.pass_time(600)
    second = keys.current("old")
    assert second is not None
    assert second is not first
    assert second.select("ES256", "old").thumbprint != first.select("ES256", "old").thumbprint
    keys.source.close()


@at_home
async def test_a_key_that_signs_before_any_renewal_loses_no_request() -> None:
    keys = Keys(OLD)
    await keys.get()
    keys.publish(OLD, NEW)
    assert keys.current("new") is None
    wanted = await asyncio.gather(*(keys.get("new") for _ in range(100)))
    assert {tuple(kids(one)) for one in wanted} == {("old", "new")}
    assert len(keys.fetch.asked) == 2
    assert kids(keys.current("new")) == ["old", "new"]
    assert not keys.source._missing
    keys.source.close()


@pytest.mark.parametrize(
    "bad",
    [
        answer(b"<html>maintenance</html>"),
        answer(b""),
        answer(b"[]"),
        answer(b'{"keys": [], "keys": []}'),
        answer(b"\xef\xbb\xbf" + answer(key_set(NEW)).body),
        answer(answer(key_set(NEW)).body + b"x"),
        answer({"keys": {}}),
        answer({"keys": None}),
        answer({"keys": []}),
        answer(key_set(*[NEW] * 101)),
        answer(b" " * (512 * 1024 + 1)),
        answer({"keys": [NEW.private_jwk()]}),
        answer({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "new"}]}),
        answer({"keys": [Signer.generate("ES384", "new").public_jwk()]}),
        DOWN,
    ],
)
def test_what_is_no_set_of_usable_keys_leaves_the_last_good_one(bad: Fetched | FetchError) -> None:
    @at_home
    async def run() -> None:
        keys = Keys(OLD)
        first = await keys.get()
        keys.publish(bad)
        await keys.pass_time(600)
        assert len(keys.fetch.asked) == 2
        assert keys.current() is await keys.get() is first
        assert keys.source.health(TRUSTED).last_error
        # For a key that is not there this is no answer, so nobody is refused.
        await keys.pass_time(HARD - 600 - 100)
        with pytest.raises(Unavailable):
            await keys.get("new")
        assert keys.current() is first
        await keys.pass_time(100)
        assert keys.current() is None
        with pytest.raises(Unavailable) as caught:
            await keys.get()
        assert caught.value.refusal.code is Code.KEYS_UNAVAILABLE
        keys.publish(NEW)
        await keys.pass_time(40)
        assert kids(keys.current()) == ["new"]
        keys.source.close()

    run()


@at_home
async def test_what_is_not_used_is_said_once_each_and_not_quoted() -> None:
    secret = NEW.private_jwk()
    keys = Keys()
    keys.publish(answer({"keys": [secret, secret, "x"]}))
    with pytest.raises(Unavailable) as caught:
        await keys.get()
    detail = caught.value.refusal.detail or ""
    assert detail.startswith("the set has no usable key: ")
    assert detail.count("private") == 1
    assert secret["d"] not in detail
    keys.publish(answer({"keys": []}))
    await keys.pass_time(2)
    assert keys.source.health(TRUSTED).last_error == ("the set has no usable key: the set is empty")
    keys.source.close()


@at_home
async def test_one_bad_key_does_not_spoil_the_set() -> None:
    keys = Keys()
    keys.publish(answer({"keys": [None, {"kty": "what"}, NEW.private_jwk(), OLD.public_jwk()]}))
    found = await keys.get()
    assert kids(found) == ["old"]
    assert [one.position for one in found.ignored] == [0, 1, 2]
    keys.source.close()


@at_home
async def test_only_pinned_keys_are_used() -> None:
    thumbprint = JwkSet.from_object(key_set(OLD), ["ES256"]).keys[0].thumbprint
    keys = Keys(OLD, NEW, pinned=frozenset({thumbprint}))
    assert kids(await keys.get()) == ["old"]
    # Whoever publishes another key under that name gains nothing.
    keys.publish(IMPOSTOR)
    await keys.pass_time(600)
    assert "pinned" in (keys.source.health(TRUSTED).last_error or "")
    assert kids(keys.current()) == ["old"]
    keys.source.close()


# A key that nobody knows.


@at_home
async def test_an_unknown_key_is_refused_only_after_its_issuer_was_asked_for_it() -> None:
    keys = Keys(OLD)
    await keys.get()
    assert keys.current("other") is None
    found = await keys.get("other")
    assert len(keys.fetch.asked) == 2
    with pytest.raises(Refused) as refused:
        found.select("ES256", "other")
    assert refused.value.refusal.code is Code.KEY_UNKNOWN
    keys.source.close()


@at_home
async def test_in_the_cooldown_an_unknown_key_is_unavailable_and_causes_nothing() -> None:
    keys = Keys(OLD)
    await keys.get()
    await keys.get("other")
    for number in range(100):
        kid = f"random-{number}"
        with pytest.raises(Unavailable, match="too early") as caught:
            keys.current(kid)
        assert caught.value.retry_after == 10
        with pytest.raises(Unavailable, match="too early") as caught:
            await keys.get(kid)
        assert caught.value.retry_after == 10
    assert len(keys.fetch.asked) == 2
    assert kids(keys.current("old")) == ["old"]  # the honest ones notice nothing
    keys.source.close()


@at_home
async def test_a_key_that_was_not_there_is_not_asked_for_again_soon() -> None:
    keys = Keys(OLD)
    await keys.get()
    await keys.get("other")
    await keys.pass_time(11)
    with pytest.raises(Unavailable) as caught:
        keys.current("other")
    assert caught.value.retry_after == 19
    # Another name may be asked for, and that leaves the first one as it is.
    assert keys.current("another") is None
    await keys.get("another")
    assert len(keys.fetch.asked) == 3
    await keys.pass_time(10)
    await keys.get("a third")
    with pytest.raises(Unavailable) as caught:
        await keys.get("other")
    assert caught.value.retry_after == 10  # as for everyone
    await keys.pass_time(8.5)
    with pytest.raises(Unavailable) as caught:
        await keys.get("other")
    assert caught.value.retry_after == 2
    await keys.pass_time(1.5)
    assert keys.current("other") is None
    await keys.get("other")
    assert len(keys.fetch.asked) == 5
    keys.source.close()


@at_home
async def test_a_key_that_was_not_there_serves_as_soon_as_it_is() -> None:
    keys = Keys(OLD)
    await keys.get()
    await keys.get("new")
    keys.publish(OLD, NEW)
    await keys.pass_time(11)
    await keys.get("other")  # somebody else's question brings it
    assert kids(keys.current("new")) == kids(await keys.get("new")) == ["old", "new"]
    keys.source.close()


@at_home
async def test_the_memory_of_keys_that_were_not_there_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote_keys, "_MAX_MISSING", 4)
    keys = Keys(OLD)
    await keys.get()
    missing = keys.source._missing
    for kid in ("a", "b", "c"):
        await keys.get(kid)
        await keys.pass_time(10)
    await keys.get("a")  # its time is over, and now it is the latest
    assert [kid for _, kid in missing] == ["b", "c", "a"]
    for kid in ("d", "e"):
        await keys.pass_time(10)
        await keys.get(kid)
    assert [kid for _, kid in missing] == ["c", "a", "d", "e"]
    keys.source.close()


@at_home
async def test_a_question_that_fails_is_no_answer() -> None:
    keys = Keys(OLD)
    await keys.get()
    keys.publish(DOWN)
    with pytest.raises(Unavailable, match="500") as caught:
        await keys.get("new")
    assert caught.value.retry_after == 10
    assert not keys.source._missing
    keys.publish(OLD, NEW)
    await keys.pass_time(10)
    assert kids(await keys.get("new")) == ["old", "new"]
    keys.source.close()


@at_home
async def test_the_budget_is_that_of_all_issuers() -> None:
    keys = Keys(OLD)
    await keys.get()
    while not keys.budget.take():
        pass
    with pytest.raises(Unavailable) as caught:
        await keys.get("other")
    assert caught.value.retry_after == 60
    assert len(keys.fetch.asked) == 1
    keys.source.close()
