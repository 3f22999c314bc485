"""The watch over open connections: one for all, whatever happens to one of them."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest

from asking import ISSUER as ASKED
from asking import Asking, claims_of
from lasting import LOOPS, Client, connected, scope_of
from portvakt import Decision, Guard
from portvakt.adapters.asgi import KEY, GuardMiddleware, Judgement
from portvakt.guard import lasting
from portvakt.guard.parts import Parts
from portvakt.jose.jwk_set import JwkSet
from portvakt.net.keys import FixedKeys
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from portvakt.adapters.asgi import Receive, Scope, Send
    from portvakt.adapters.watch import Watch

REFERENCE: Final = "ref_0123456789_abcdefghijklmnopqrstuvwxyz_0123456789"
STORED: Final[dict[str, Any]] = {
    "store": {"url": "memory://"},
    "revocation": {"max_staleness": "1m"},
}
ENDED: Final = {"type": "websocket.close", "code": 1008, "reason": "invalid_token"}
LATER: Final = {"type": "websocket.close", "code": 1013, "reason": ""}


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "_LOOK_EVERY", 0.01)
    monkeypatch.setattr("portvakt.adapters.lasting._PATIENCE", 0.1)
    monkeypatch.setattr("portvakt.adapters.watch._PAUSE", 0.01)


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer()


async def idle(_scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def closed(client: Client) -> None:
    await client.until("websocket.close")


def last(client: Client) -> Any:
    return client.received[-2]


def grow_old(guard: Guard) -> None:
    """Let the guard's mirror be too old, whatever it does."""
    standing: Any = guard.parts.standing
    standing.mirror._clock = lambda: math.inf


@pytest.mark.attack("HTTP-16", "CACHE-07")
@pytest.mark.parametrize("loop", LOOPS)
def test_all_end_when_nobody_knows_what_is_revoked(loop: str, issuer: FakeIssuer) -> None:
    guard = issuer.guard(**STORED)

    async def test(client: Client) -> None:
        await client.until("websocket.accept")
        grow_old(guard)
        await client.until("websocket.close")

    client = connected(loop, guard, idle, scope_of(issuer.token(), "websocket"), test)
    assert last(client) == LATER


@pytest.mark.twin("HTTP-16", "CACHE-07")
def test_who_may_stay_without_news_stays(issuer: FakeIssuer) -> None:
    guard = issuer.guard(**STORED, route=[{"path": "/", "unsafe_on_stale": "admit"}])
    easy = guard.routes.rules[0].requirement

    async def test(client: Client) -> None:
        await client.until("websocket.accept")
        grow_old(guard)
        await anyio.sleep(0.05)
        assert client.kinds() == ["websocket.accept"]
        # An endpoint that does not say so ends it.
        judgement = client.scope[KEY]
        demand = type(easy).of()
        client.scope[KEY] = judgement._replace(demands=(easy, demand))
        await client.until("websocket.close")

    client = connected("asyncio", guard, idle, scope_of(issuer.token(), "websocket"), test)
    assert last(client) == LATER


def reference_guard() -> tuple[Asking, Guard]:
    asking = Asking(max_staleness=0.05)
    asking.out.answers[REFERENCE] = claims_of()
    jwks = JwkSet.from_object(ASKED.jwks(), ASKED.trusted.algorithms)
    guard = Guard(
        issuers=[ASKED.trusted],
        keys=FixedKeys({ASKED.trusted.issuer: jwks}),
        parts=Parts(introspection=asking.introspection),
        clock=asking.wall,
    )
    return asking, guard


@pytest.mark.attack("HTTP-16", "CACHE-07")
@pytest.mark.parametrize("loop", LOOPS)
def test_a_reference_token_that_its_issuer_ended_ends_the_connection(loop: str) -> None:
    asking, guard = reference_guard()

    async def test(client: Client) -> None:
        await client.until("websocket.accept")
        with anyio.fail_after(5):
            while len(asking.out.asked) < 3:  # noqa: ASYNC110  there is no event of it
                await anyio.sleep(0.01)
        assert client.kinds() == ["websocket.accept"]
        del asking.out.answers[REFERENCE]
        await client.until("websocket.close")

    client = connected(loop, guard, idle, scope_of(REFERENCE, "websocket"), test)
    assert last(client) == ENDED


@pytest.mark.attack("HTTP-16", "DOS-06")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", ["websocket", "http"])
def test_a_client_that_does_not_read_keeps_nothing_open(
    loop: str, kind: str, issuer: FakeIssuer
) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        if kind == "websocket":
            await send({"type": "websocket.accept"})
        else:
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        while True:
            if kind == "websocket":
                await send({"type": "websocket.send", "text": "x"})
            else:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async def test(client: Client) -> None:
        await client.until("websocket.send" if kind == "websocket" else "http.response.body")
        client.reads = anyio.Event()
        issuer.clock.advance(7200)

    client = connected(loop, issuer.guard(), app, scope_of(issuer.token(), kind), test)
    assert client.received[-1] == {"type": "returned"}
    assert ENDED not in client.received


def test_who_goes_while_the_issuer_is_asked_is_not_asked_about_further() -> None:
    asking, guard = reference_guard()

    async def test(client: Client) -> None:
        await client.until("websocket.accept")
        asking.out.open.clear()
        before = len(asking.out.asked)
        with anyio.fail_after(5):
            while len(asking.out.asked) == before:  # noqa: ASYNC110  there is no event of it
                await anyio.sleep(0.01)
        client.say(type="websocket.disconnect", code=1000)
        await client.until("returned")
        asking.out.open.set()
        await anyio.sleep(0.05)

    client = connected("asyncio", guard, idle, scope_of(REFERENCE, "websocket"), test)
    assert client.kinds() == ["websocket.accept", "returned"]


def test_observers_are_told_once(issuer: FakeIssuer) -> None:
    told: list[Decision] = []
    guard = Guard.from_config(
        issuer.config(), clock=issuer.clock, observers=[lambda _, decision: told.append(decision)]
    )
    told.clear()  # Those of the guard's own test.

    async def test(client: Client) -> None:
        await client.until("websocket.accept")
        issuer.clock.advance(7200)
        await client.until("websocket.close")

    connected("asyncio", guard, idle, scope_of(issuer.token(), "websocket"), test)
    assert [decision.admitted for decision in told] == [True, False]


def test_what_another_guard_says_in_the_same_scope_changes_nothing(issuer: FakeIssuer) -> None:
    stranger = FakeIssuer()
    outer, inner = issuer.guard(), stranger.guard()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        mine = scope[KEY]
        later = await inner.check(stranger.request(stranger.token()))
        scope[KEY] = Judgement(inner, mine.request, later)
        await idle(scope, receive, send)

    async def test(client: Client) -> None:
        await client.until("websocket.accept")
        issuer.clock.advance(7200)
        await client.until("websocket.close")

    client = connected("asyncio", outer, app, scope_of(issuer.token(), "websocket"), test)
    assert last(client) == ENDED


@pytest.mark.parametrize("loop", LOOPS)
def test_a_public_connection_has_no_end(loop: str, issuer: FakeIssuer) -> None:
    guard = issuer.guard(route=[{"path": "/", "public": True}])

    async def test(client: Client) -> None:
        await client.until("websocket.accept")
        issuer.clock.advance(1e6)
        await anyio.sleep(0.05)
        client.say(type="websocket.disconnect", code=1000)

    client = connected(loop, guard, idle, scope_of(None, "websocket"), test)
    assert client.kinds() == ["websocket.accept", "returned"]


# What applications raise


class AppError(Exception):
    """A fault of the application."""


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", ["websocket", "http"])
@pytest.mark.parametrize("late", [False, True])
def test_a_fault_of_the_application_is_not_hidden(
    loop: str, kind: str, late: bool, issuer: FakeIssuer
) -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        if kind == "websocket":
            await send({"type": "websocket.accept"})
            if late:
                issuer.clock.advance(7200)
                await receive()
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            if late:
                await send({"type": "http.response.body", "body": b"1", "more_body": True})
        raise AppError

    async def test(client: Client) -> None: ...

    with pytest.raises(BaseExceptionGroup) as caught:
        connected(loop, issuer.guard(), app, scope_of(issuer.token(), kind), test)
    assert caught.group_contains(AppError)


@pytest.mark.parametrize("loop", LOOPS)
def test_what_the_end_itself_raises_is_no_fault(loop: str, issuer: FakeIssuer) -> None:
    """By whatever name a framework calls it, and in whatever group of tasks."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        issuer.clock.advance(7200)

        async def say() -> None:
            try:
                await send({"type": "websocket.send", "text": "late"})
            except OSError:
                raise AppError from None

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(say)
            tasks.start_soon(say)

    async def test(client: Client) -> None:
        await client.until("websocket.close")

    client = connected(loop, issuer.guard(), app, scope_of(issuer.token(), "websocket"), test)
    assert last(client) == ENDED


# What servers do


def test_a_server_that_cancels_is_not_taken_for_the_watch(issuer: FakeIssuer) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        await anyio.sleep_forever()

    async def serve(*, expire: bool) -> tuple[bool, int]:
        client = Client(scope_of(issuer.token()))
        middleware = GuardMiddleware(app, issuer.guard())
        task = asyncio.create_task(middleware(client.scope, client.receive, client.send))
        await client.until("http.response.body")
        if expire:
            issuer.clock.advance(7200)
        task.cancel()
        await asyncio.wait([task])
        client.close()
        return task.cancelled(), task.cancelling()

    assert asyncio.run(serve(expire=False)) == (True, 1)
    assert asyncio.run(serve(expire=True)) == (True, 1)


def test_no_cancellation_is_left_behind(issuer: FakeIssuer) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            return  # As no application should.

    async def serve() -> int:
        client = Client(scope_of(issuer.token()))
        task = asyncio.current_task()
        assert task is not None

        async def expire() -> None:
            await client.until("http.response.body")
            issuer.clock.advance(7200)

        other = asyncio.create_task(expire())
        await GuardMiddleware(app, issuer.guard())(client.scope, client.receive, client.send)
        await other
        client.close()
        return task.cancelling()

    assert asyncio.run(serve()) == 0


# The watch itself


@pytest.mark.parametrize("loop", LOOPS)
def test_one_watch_for_all_and_none_for_nobody(loop: str, issuer: FakeIssuer) -> None:
    guard = issuer.guard()
    middleware = GuardMiddleware(idle, guard)
    lives = [60.0, 120.0, 180.0]

    async def serve() -> None:
        clients = []
        for life in lives * 100:
            token = issuer.builder().claims(exp=issuer.clock() + life).build()
            clients.append(Client(scope_of(token, "websocket")))
        async with anyio.create_task_group() as tasks:
            for client in clients:
                tasks.start_soon(middleware, client.scope, client.receive, client.send)
            for client in clients:
                await client.until("websocket.accept")
            watch: Watch = middleware._lasting.watch()
            assert middleware._lasting.watch() is watch
            assert len(watch) == len(clients)
            for number in range(3):
                issuer.clock.advance(60 + (issuer.trusted.leeway if number == 0 else 0))
                with anyio.fail_after(5):
                    while len(watch) > 100 * (2 - number):  # noqa: ASYNC110  as above
                        await anyio.sleep(0.005)
                ended = [ENDED in client.received for client in clients]
                assert sum(ended) == 100 * (number + 1)
        assert len(watch) == 0
        for client in clients:
            client.close()

    anyio.run(serve, backend=loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_end_is_not_late_although_looks_are_rare(
    loop: str, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the system's clock: a token that ends before the next look wakes the watch up."""
    import time

    monkeypatch.setattr(lasting, "_LOOK_EVERY", 30.0)
    real = FakeIssuer(clock=time.time)
    guard = real.guard()
    ends = [time.time() + wait for wait in (0.25, 0.1)]
    middleware = GuardMiddleware(idle, guard)

    async def serve() -> None:
        late = []

        async def one(end: float) -> None:
            exp = end - real.trusted.leeway
            token = real.token(claims={"exp": exp, "iat": exp - 60})
            client = Client(scope_of(token, "websocket"))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(middleware, client.scope, client.receive, client.send)
                await client.until("websocket.close")
                late.append(time.time() - end)
            client.close()

        async with anyio.create_task_group() as tasks:
            for end in ends:
                tasks.start_soon(one, end)
                await anyio.sleep(0.01)
        # No earlier, and later only by what a busy machine takes.
        assert all(0 <= one < 1 for one in late)

    anyio.run(serve, backend=loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_fault_in_the_watch_does_not_end_it(
    loop: str, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    guard, faults = issuer.guard(), [RuntimeError("with a token in it")]
    honest = guard.look_again_in

    def look_again_in() -> float:
        if faults:
            raise faults.pop()
        return honest()

    monkeypatch.setattr(guard, "look_again_in", look_again_in)

    async def test(client: Client) -> None:
        await client.until("websocket.accept")
        issuer.clock.advance(7200)
        await client.until("websocket.close")

    client = connected(loop, guard, idle, scope_of(issuer.token(), "websocket"), test)
    assert last(client) == ENDED
    assert [record.getMessage() for record in caplog.records] == [
        "internal error in the watch: RuntimeError"
    ]


def test_outside_of_a_task_nothing_is_served(issuer: FakeIssuer) -> None:
    client_scope = scope_of(issuer.token())
    middleware = GuardMiddleware(idle, issuer.guard())

    async def nothing(*_: Any) -> Any: ...

    async def main() -> None:
        coroutine = middleware(client_scope, nothing, nothing)
        done = asyncio.get_running_loop().create_future()

        def drive() -> None:
            try:
                coroutine.send(None)
            except RuntimeError as error:
                done.set_result(str(error))

        asyncio.get_running_loop().call_soon(drive)
        assert "task" in await done

    asyncio.run(main())
