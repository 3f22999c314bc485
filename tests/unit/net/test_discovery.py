"""Where the keys of an issuer are, by its own word, and whose word is none."""

import asyncio
from typing import Any

import pytest

from fake_fetch import DOWN, ISSUER, KEYS, OPENID, RFC8414, FakeFetch, answer
from portvakt.net.address import FetchError
from portvakt.net.answer import Fetched
from portvakt.net.discovery import Discovery
from portvakt.testing.clock import FrozenClock

GOOD = answer({"issuer": ISSUER, "jwks_uri": KEYS})
NOT_FOUND = answer(b"<html>", status=404)


def discovery(fetch: FakeFetch, clock: FrozenClock | None = None, **how: Any) -> Discovery:
    return Discovery(ISSUER, fetch.port, clock=clock or FrozenClock(0), **how)


def found(where: Discovery) -> str:
    return asyncio.run(where.jwks_uri())


def refused(where: Discovery) -> str:
    with pytest.raises(FetchError) as caught:
        found(where)
    return caught.value.reason


def test_it_is_where_openid_connect_puts_it() -> None:
    fetch = FakeFetch({OPENID: GOOD})
    where = discovery(fetch)
    assert where.source == OPENID
    assert found(where) == where.source == KEYS
    assert fetch.asked == [OPENID]
    assert fetch.accepts == ["application/json"]


def test_or_else_where_rfc_8414_puts_it() -> None:
    fetch = FakeFetch({OPENID: NOT_FOUND, RFC8414: GOOD})
    assert found(discovery(fetch)) == KEYS
    assert fetch.asked == [OPENID, RFC8414]


def test_or_else_it_is_not() -> None:
    fetch = FakeFetch({OPENID: NOT_FOUND, RFC8414: NOT_FOUND})
    assert refused(discovery(fetch)) == "there is no metadata: the answer is 404"


@pytest.mark.parametrize("other", [DOWN, answer(GOOD.body, status=302), answer(b"<html>")])
def test_nothing_but_404_leads_to_the_second_place(other: Fetched | FetchError) -> None:
    fetch = FakeFetch({OPENID: other, RFC8414: GOOD})
    assert refused(discovery(fetch))
    assert fetch.asked == [OPENID]


def test_or_where_the_policy_says_and_nowhere_else() -> None:
    stated = "https://issuer.test/meta"
    fetch = FakeFetch({stated: GOOD})
    assert found(discovery(fetch, metadata_uri=stated)) == KEYS
    fetch.answers[stated] = NOT_FOUND
    assert "404" in refused(discovery(fetch, metadata_uri=stated))
    assert set(fetch.asked) == {stated}


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"issuer": f"{ISSUER}/", "jwks_uri": KEYS}, "of another issuer"),
        ({"issuer": "https://evil.test", "jwks_uri": KEYS}, "of another issuer"),
        ({"issuer": ISSUER.upper(), "jwks_uri": KEYS}, "of another issuer"),
        ({"jwks_uri": KEYS}, "no issuer"),
        ({"issuer": ISSUER}, "no jwks_uri"),
        (b"<html>", "not strict JSON"),
        (b"", "not strict JSON"),
    ],
)
def test_a_document_that_is_not_this_issuers_is_none(document: object, why: str) -> None:
    assert why in refused(discovery(FakeFetch({OPENID: answer(document)})))


@pytest.mark.parametrize(
    ("jwks_uri", "why"),
    [
        ("http://issuer.test/keys", "not https"),
        ("file:///etc/passwd", "not https"),
        ("https://issuer.test@evil.test/keys", "user name"),
        ("https://issuer.test\\@evil.test/keys", "user name"),
        ("https://evil.test/keys", "on another host"),
        ("https://issuer.test.evil.test/keys", "on another host"),
        ("https://keys.issuer.test/", "on another host"),
        ("https://issuer.test:8443/keys", "on another host"),
        ("https://127.0.0.1/keys", "on another host"),
        ("//issuer.test/keys", "not https"),
        ("/keys", "not https"),
    ],
)
def test_keys_are_not_looked_for_just_anywhere(jwks_uri: str, why: str) -> None:
    document = answer({"issuer": ISSUER, "jwks_uri": jwks_uri})
    where = discovery(FakeFetch({OPENID: document}))
    reason = refused(where)
    assert why in reason
    assert "evil" not in reason
    assert where.source == OPENID


@pytest.mark.parametrize("jwks_uri", ["https://ISSUER.test/keys", "https://issuer.test:443/keys"])
def test_another_way_to_write_the_same_host_is_the_same_host(jwks_uri: str) -> None:
    document = answer({"issuer": ISSUER, "jwks_uri": jwks_uri})
    assert found(discovery(FakeFetch({OPENID: document}))) == jwks_uri


@pytest.mark.parametrize(
    ("listed", "jwks_uri", "allowed"),
    [
        ("keys.test", "https://keys.test/", True),
        ("KEYS.test", "https://keys.TEST/", True),
        ("keys.test:443", "https://keys.test/", True),
        ("keys.test", "https://keys.test:443/", True),
        ("keys.test", "https://keys.test:8443/", False),
        ("keys.test:8443", "https://keys.test:8443/", True),
        ("keys.test:8443", "https://keys.test/", False),
        ("keys.test", "https://a.keys.test/", False),
        ("[2001:db8::1]", "https://[2001:db8::1]/", True),
    ],
)
def test_another_host_is_allowed_by_name_and_port(
    listed: str, jwks_uri: str, *, allowed: bool
) -> None:
    document = answer({"issuer": ISSUER, "jwks_uri": jwks_uri})
    where = discovery(FakeFetch({OPENID: document}), jwks_hosts=["other.test", listed])
    if allowed:
        assert found(where) == jwks_uri
    else:
        assert "on another host" in refused(where)


def test_on_this_machine_http_is_allowed_if_that_is_stated() -> None:
    stated = "http://127.0.0.1:8000/metadata"
    for jwks_uri, flaw in (
        ("http://127.0.0.1:8000/keys", None),
        ("https://127.0.0.1:8000/keys", "another host"),
        ("http://127.0.0.1:8001/keys", "another host"),
    ):
        fetch = FakeFetch({stated: answer({"issuer": ISSUER, "jwks_uri": jwks_uri})})
        where = discovery(fetch, metadata_uri=stated, loopback_http=True)
        if flaw is None:
            assert found(where) == jwks_uri
        else:
            assert flaw in refused(where)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, 86400),
        ("max-age=0", 600),
        ("no-store", 600),
        ("max-age=1000", 1000),
        ("max-age=999999999999", 86400),
    ],
)
def test_it_is_believed_for_a_time_between_floor_and_ceiling(
    said: str | None, seconds: int
) -> None:
    headers = () if said is None else (("cache-control", said),)
    fetch, clock = FakeFetch({OPENID: answer(GOOD.body, *headers)}), FrozenClock(50)
    where = discovery(fetch, clock)
    found(where)
    clock.set(50 + seconds - 0.1)
    assert found(where) == KEYS
    assert len(fetch.asked) == 1
    clock.set(50 + seconds)
    moved = f"{ISSUER}/new"
    fetch.answers[OPENID] = answer({"issuer": ISSUER, "jwks_uri": moved})
    assert found(where) == where.source == moved
    assert len(fetch.asked) == 2


def test_what_is_forgotten_is_asked_for_again_and_a_failure_changes_nothing() -> None:
    fetch = FakeFetch({OPENID: GOOD})
    where = discovery(fetch)
    found(where)
    where.forget()
    fetch.answers[OPENID] = DOWN
    assert refused(where) == DOWN.reason
    assert where.source == KEYS
    fetch.answers[OPENID] = GOOD
    assert found(where) == KEYS
    assert len(fetch.asked) == 3


def test_what_the_other_side_wants_to_wait_is_handed_on() -> None:
    fetch = FakeFetch({OPENID: FetchError("the server answered 429", retry_after=7.0)})
    with pytest.raises(FetchError) as caught:
        found(discovery(fetch))
    assert caught.value.retry_after == 7
