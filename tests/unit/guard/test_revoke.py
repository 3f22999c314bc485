"""Revoking from Python, and events that are pushed: what a guard does, and what it needs for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portvakt import Code, ConfigurationError, Unavailable
from portvakt.stores.base import StoreError
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer()
NAME = ISSUER.trusted.issuer
STORE: dict[str, Any] = {"store": {"url": "memory://"}}
CLAIMS = {"jti": "one", "sub": "alice", "client_id": "app", "sid": "evening"}


def old(**claims: Any) -> str:
    return ISSUER.token(claims={**CLAIMS, "iat": int(ISSUER.clock()) - 60, **claims})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("token", "one"),
        ("session", "evening"),
        ("subject", "alice"),
        ("client", "app"),
        ("issuer", ""),
    ],
)
def test_what_is_revoked_is_refused_at_once(kind: str, value: str) -> None:
    guard, request = ISSUER.guard(**STORE), ISSUER.request(old())
    assert guard.check_blocking(request).admitted
    guard.revoke_blocking(NAME, kind, value)
    refusal = guard.check_blocking(request).refusal
    assert refusal is not None
    assert refusal.code is Code.TOKEN_REVOKED
    guard.home.leave()


def test_a_key_that_leaked_takes_all_its_tokens_with_it() -> None:
    guard, request = ISSUER.guard(**STORE), ISSUER.request(old())
    token = guard.check_blocking(request).token
    assert token is not None
    assert token.key_thumbprint is not None
    asyncio.run(guard.revoke(NAME, "key", token.key_thumbprint, keep_for=86400 * 90))
    assert not guard.check_blocking(request).admitted
    guard.home.leave()


def test_what_was_issued_after_a_time_stays() -> None:
    guard, now = ISSUER.guard(**STORE), ISSUER.clock()
    guard.revoke_blocking(NAME, "subject", "alice", issued_before=now - 100)
    assert guard.check_blocking(ISSUER.request(old())).admitted
    assert not guard.check_blocking(ISSUER.request(old(iat=int(now) - 101))).admitted
    guard.home.leave()


def test_what_makes_no_sense_is_the_callers_mistake() -> None:
    guard = ISSUER.guard(**STORE)
    for arguments, message in (
        ((NAME, "tokens", "one"), "one of token, session"),
        (("https://other.test", "token", "one"), "not in the policy"),
        ((NAME, "token", ""), "1 to"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            guard.revoke_blocking(*arguments)
    guard.home.leave()
    with pytest.raises(ConfigurationError, match=r"no \[store\]"):
        ISSUER.guard().revoke_blocking(NAME, "token", "one")
    with pytest.raises(ConfigurationError, match="push"):
        asyncio.run(ISSUER.guard().receive_event(b"", None))
    with pytest.raises(ConfigurationError, match="push"):
        asyncio.run(guard.receive_event(b"", None))


def test_what_is_not_written_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = ISSUER.guard(**STORE)
    store = guard.parts.store
    assert store is not None

    async def down(*_: object) -> None:
        raise StoreError("down")

    monkeypatch.setattr(type(store), "revoke", down)
    with pytest.raises(Unavailable, match="down"):
        guard.revoke_blocking(NAME, "token", "one")
    guard.home.leave()


def test_a_guard_is_warm_when_it_knows_what_was_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = ISSUER.guard(**STORE)
    assert not guard.health().ready
    health = guard.warm_blocking()
    assert health.ready
    assert health.store is not None
    assert health.store.kind == "memory"
    guard.home.leave()
    cold = ISSUER.guard(**STORE)

    async def down(*_: object) -> None:
        raise StoreError("down")

    monkeypatch.setattr(type(cold.parts.store), "since", down)
    with pytest.raises(Unavailable, match="down"):
        cold.warm_blocking()
    cold.home.leave()


def test_a_guard_gives_back_what_it_opened() -> None:
    async def live() -> None:
        guard = ISSUER.guard(**STORE)
        async with guard:
            assert (await guard.check(ISSUER.request(old()))).admitted
            before = len(asyncio.all_tasks())
            assert before > 1
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(live())
