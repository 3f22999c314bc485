"""A policy that is read again: what was known stays known, and what is wrong changes nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest

from gateways import POLICY, READ, asked, issuer_of_today, write_policy
from portvakt.gateway.reload import Reloader
from portvakt.guard import Guard
from portvakt.testing import FakeClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from portvakt.testing import FakeIssuer

LINES: Final = 'proxy = "caddy"\nlisten = "127.0.0.1:8600"\ntrusted = ["127.0.0.1"]'
STALE: Final = POLICY.replace("scopes =", 'unsafe_on_stale = "admit"\nscopes =')


@pytest.fixture
def issuer() -> FakeIssuer:
    return issuer_of_today()


class Worker:
    """What one worker has of a policy."""

    def __init__(self, folder: Path, issuer: FakeIssuer, further: str, **more: Any) -> None:
        self.issuer, self._folder = issuer, folder
        self.reloader = Reloader(self.write(further, **more))
        self.token = issuer.token(scopes=[READ])

    def write(self, further: str, **more: Any) -> Path:
        return write_policy(self._folder, self.issuer, LINES, further=further, **more)

    async def ask(self, token: str | None = None) -> int:
        headers = asked("/journal/1", token or self.token, form="forwarded")
        return (await self.reloader.serving.auth.answer(headers, "127.0.0.1")).status

    async def revoke(self) -> None:
        guard = self.reloader.serving.guard
        await guard.revoke("https://issuer.test", "subject", "test-subject")


def run(worker: Worker, work: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await worker.reloader.open()
        try:
            await work()
        finally:
            await worker.reloader.close()

    asyncio.run(whole())


def memory(capacity: int = 100_000) -> str:
    return f'[store]\nurl = "memory://"\nreplay_capacity = {capacity}\n'


@pytest.mark.attack("CACHE-07", "API-08")
@pytest.mark.parametrize(
    "after",
    [
        memory(),
        memory(200_000),
        '[store]\nurl = "sqlite:///a.db"',
        '[store]\nurl = "redis://127.0.0.1:1"',
    ],
)
def test_what_was_revoked_is_revoked_after_it(
    tmp_path: Path, issuer: FakeIssuer, after: str
) -> None:
    worker = Worker(tmp_path, issuer, memory(), policy=STALE)

    async def work() -> None:
        assert await worker.ask() == 200
        await worker.revoke()
        assert await worker.ask() == 401
        worker.write(after, policy=STALE)
        assert await worker.reloader.reload()
        assert await worker.ask() == 401

    run(worker, work)


@pytest.mark.twin("CACHE-07", "API-08")
def test_what_was_not_revoked_is_admitted_after_it(tmp_path: Path, issuer: FakeIssuer) -> None:
    worker = Worker(tmp_path, issuer, memory())

    async def work() -> None:
        await worker.revoke()
        worker.write(memory(200_000))
        assert await worker.reloader.reload()
        assert await worker.ask(issuer.token(scopes=[READ], claims={"sub": "another"})) == 200

    run(worker, work)


@pytest.mark.attack("API-08", "DOS-09")
@pytest.mark.parametrize("when", ["warm", "__aenter__"])
def test_a_fault_while_it_gets_ready_leaves_the_one_before(
    tmp_path: Path, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    async def fails(_: Guard) -> None:
        raise RuntimeError("a fault")

    worker = Worker(tmp_path, issuer, memory())

    async def work() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Guard, when, fails)
            assert not await worker.reloader.reload()
        assert (worker.reloader.generation, worker.reloader.broken) == (1, True)
        # The store that both have is open still.
        assert await worker.ask() == 200
        await worker.revoke()
        assert await worker.ask() == 401
        assert await worker.reloader.reload()
        assert (worker.reloader.generation, worker.reloader.broken) == (2, False)
        assert await worker.ask() == 401

    run(worker, work)


BOUND: Final = POLICY.replace(
    'audience = "test-api"', 'audience = "test-api"\norigin = "https://api.test"'
).replace("scopes =", 'sender_constraint = "dpop"\nscopes =')


@pytest.mark.attack("RPL-01", "API-08")
@pytest.mark.parametrize("store", [memory(), '[store]\nurl = "sqlite:///a.db"'])
def test_a_proof_that_was_used_is_used_after_it(
    tmp_path: Path, issuer: FakeIssuer, store: str
) -> None:
    worker = Worker(tmp_path, issuer, store, policy=BOUND)
    client = FakeClient(issuer)
    token = client.token(scopes=[READ])

    def proven() -> list[tuple[str, str]]:
        own = client.request(token, url="/journal/1").headers
        plain = asked("/journal/1", form="forwarded")
        return [*plain, *((name.lower(), value) for name, value in own)]

    async def sent(headers: list[tuple[str, str]]) -> int:
        return (await worker.reloader.serving.auth.answer(headers, "127.0.0.1")).status

    async def work() -> None:
        # A store that is new takes no proof that is older than its memory.
        while await sent(proven()) != 200:  # noqa: ASYNC110  nobody tells when that is
            await asyncio.sleep(0.1)
        used = proven()
        assert await sent(used) == 200
        assert await worker.reloader.reload()
        assert await sent(used) == 401
        assert await sent(proven()) == 200  # the honest twin: another proof is admitted at once

    run(worker, work)
