"""The keys of one issuer: by its metadata, from an earlier run, and what is told of them."""

from pathlib import Path

import pytest

from fake_fetch import (
    DOWN,
    HARD,
    ISSUER,
    KEYS,
    NEW,
    NOW,
    OLD,
    OPENID,
    TRUSTED,
    Keys,
    answer,
    key_set,
    kids,
)
from keeping import at_home
from portvakt.errors import Unavailable
from portvakt.jose.signer import Signer
from portvakt.net.address import FetchError
from portvakt.net.answer import Fetched
from portvakt.net.cache import Schedule
from portvakt.net.discovery import Discovery
from portvakt.net.remote_keys import KeyEndpoint, RemoteKeys


def with_metadata(keys: Keys) -> RemoteKeys:
    where = Discovery(ISSUER, keys.fetch.port, clock=keys.clock)
    keys.fetch.answers[OPENID] = answer({"issuer": ISSUER, "jwks_uri": KEYS})
    endpoint = KeyEndpoint(
        where=where,
        fetch=keys.fetch.port,
        pinned=frozenset(),
        schedule=Schedule(hard_limit=HARD),
        file=None,
    )
    keys.source = RemoteKeys(TRUSTED, endpoint, budget=keys.budget, clock=keys.clock)
    return keys.source


@at_home
async def test_the_metadata_says_where_they_are() -> None:
    keys = Keys(OLD)
    source = with_metadata(keys)
    assert source.health(TRUSTED).source == OPENID
    assert kids(await keys.get()) == ["old"]
    assert keys.fetch.asked == [OPENID, KEYS]
    assert source.health(TRUSTED).source == KEYS
    await keys.pass_time(600)
    assert keys.fetch.asked == [OPENID, KEYS, KEYS]
    source.close()


@at_home
async def test_metadata_widens_nothing() -> None:
    keys = Keys(OLD)
    source = with_metadata(keys)
    weak = Signer.generate("ES384", "weak")
    keys.fetch.answers[OPENID] = answer(
        {
            "issuer": ISSUER,
            "jwks_uri": KEYS,
            "id_token_signing_alg_values_supported": ["none", "HS256", "ES384"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES384"],
        }
    )
    keys.publish(answer(key_set(OLD, weak)))
    assert kids(await keys.get()) == ["old"]
    source.close()


@at_home
async def test_metadata_of_another_issuer_leaves_no_keys() -> None:
    keys = Keys(OLD)
    source = with_metadata(keys)
    keys.fetch.answers[OPENID] = answer({"issuer": "https://evil.test", "jwks_uri": KEYS})
    with pytest.raises(Unavailable, match="another issuer"):
        await keys.get()
    assert keys.fetch.asked == [OPENID]
    source.close()


@pytest.mark.parametrize("bad", [DOWN, answer(b"<html>"), answer({"keys": []})])
def test_the_metadata_is_asked_again_when_the_keys_are_not_where_it_said(
    bad: Fetched | FetchError,
) -> None:
    @at_home
    async def run() -> None:
        keys = Keys(OLD)
        source = with_metadata(keys)
        await keys.get()
        moved = f"{ISSUER}/moved"
        keys.publish(bad)
        await keys.pass_time(550)
        keys.fetch.answers[OPENID] = answer({"issuer": ISSUER, "jwks_uri": moved})
        keys.fetch.answers[moved] = answer(key_set(NEW))
        await keys.pass_time(2)
        assert keys.fetch.asked == [OPENID, KEYS, KEYS, OPENID, moved]
        assert kids(keys.current()) == ["new"]
        source.close()

    run()


@at_home
async def test_when_to_ask_again_is_said_by_the_other_side() -> None:
    keys = Keys()
    keys.publish(FetchError("busy", retry_after=20.0))
    with pytest.raises(Unavailable, match="busy"):
        await keys.get()
    assert keys.source.health(TRUSTED).next_refresh == 20
    keys.publish(answer(key_set(OLD), ("cache-control", "max-age=1000")))
    await keys.pass_time(20)
    next_refresh = keys.source.health(TRUSTED).next_refresh
    assert next_refresh is not None
    assert 750 <= next_refresh <= 900
    keys.source.close()


@at_home
async def test_how_the_keys_are_can_be_told() -> None:
    keys = Keys(OLD, NEW)
    before = keys.source.health(TRUSTED)
    assert (before.issuer, before.source, before.hard_limit) == (ISSUER, KEYS, HARD)
    assert before.keys is before.age is before.next_refresh is None
    assert before.published is None
    found = await keys.get()
    await keys.pass_time(100)
    health = keys.source.health(TRUSTED)
    assert (health.keys, health.age, health.last_error, health.last_error_age) == (
        2,
        100,
        None,
        None,
    )
    assert health.published is found
    assert health.next_refresh is not None
    assert 350 <= health.next_refresh <= 440
    keys.publish(DOWN)
    await keys.pass_time(450)
    await keys.pass_time(0.5)
    health = keys.source.health(TRUSTED)
    assert (health.keys, health.age) == (2, 550.5)
    assert (health.last_error, health.last_error_age) == (DOWN.reason, 0.5)
    assert health.published is None
    await keys.pass_time(HARD)
    assert keys.source.health(TRUSTED).keys is None
    keys.publish(answer({"keys": [NEW.private_jwk()]}))
    await keys.pass_time(40)
    health = keys.source.health(TRUSTED)
    assert health.keys is None
    assert health.published is not None
    assert [one.secret for one in health.published.ignored] == [True]
    keys.source.close()


@pytest.mark.parametrize(
    ("headers", "offset"),
    [
        ([], None),
        ([("date", "Fri, 15 Jan 2027 08:00:00 GMT")], 0),
        ([("date", "Fri, 15 Jan 2027 08:00:07 GMT")], 8),
        ([("date", "Fri, 15 Jan 2027 07:58:00 GMT")], -120),
        ([("date", "Fri, 15 Jan 2027 07:58:00 GMT"), ("age", "120")], None),
        ([("date", "yesterday")], None),
    ],
)
def test_how_far_the_issuers_clock_is_from_ours_is_told_by_its_own_answers(
    headers: list[tuple[str, str]], offset: float | None
) -> None:
    @at_home
    async def run() -> None:
        keys = Keys()
        keys.publish(answer(key_set(OLD), *headers))
        await keys.get()
        assert keys.source.health(TRUSTED).clock_offset == offset
        keys.source.close()

    run()


@at_home
async def test_a_restart_in_an_outage_serves_what_the_last_run_had(tmp_path: Path) -> None:
    keys = Keys(OLD, file=tmp_path)
    first = await keys.get()
    keys.source.close()
    again = Keys(file=tmp_path, now=NOW + HARD - 60)
    again.publish(DOWN)
    assert again.current() is None
    found = await again.get("old")
    assert found.same_as(first)
    health = again.source.health(TRUSTED)
    assert (health.keys, health.age) == (1, HARD - 60)
    # The hard limit counts from the fetch, not from the start.
    await again.pass_time(59)
    assert again.current() is found
    await again.pass_time(1)
    assert again.current() is None
    with pytest.raises(Unavailable):
        await again.get("old")
    again.source.close()
