"""gRPC calls that stream end with their token (HTTP-16), on real servers."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from grpc_serving import FLAVOURS, PATH, SERVICE, bearer, encoded, guard_of, make_server, serving
from portvakt import Code, Refusal, Requirement
from portvakt.adapters.grpc_calls import Call
from portvakt.adapters.grpc_watch import CallEnded, Watch
from portvakt.guard import lasting
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portvakt.adapters.grpc import GrpcGuard

#: What a guard needs so that anything can be revoked.
STORED: Final[dict[str, Any]] = {
    "store": {"url": "memory://"},
    "revocation": {"max_staleness": "500ms"},
}
ENDED: Final = (grpc.StatusCode.UNAUTHENTICATED, "The access token has expired.")
REVOKED: Final = (grpc.StatusCode.UNAUTHENTICATED, "The access token has been revoked.")
#: The blocking server cannot say why, where a handler waits.
CANCELLED: Final = (grpc.StatusCode.CANCELLED, "CANCELLED")


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still until a test moves it: look as soon as it has."""
    monkeypatch.setattr(lasting, "_LOOK_EVERY", 0.01)


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer()


class Slow:
    """Streams for as long as it may; a test says when it goes on, and hears when it is over."""

    def __init__(self) -> None:
        self.going_on = threading.Semaphore(0)
        self.over = threading.Event()
        self.heard: list[str] = []

    def list(self, request: str, context: Any) -> Iterator[str]:
        try:
            for number in range(100):
                yield str(number)
                self.going_on.acquire(timeout=5)
        finally:
            self.over.set()

    def write(self, requests: Iterator[str], context: Any) -> str:
        try:
            for request in requests:
                self.heard.append(request)
            return "all"
        finally:
            self.over.set()

    def chat(self, requests: Iterator[str], context: Any) -> Iterator[str]:
        try:
            yield from requests
        finally:
            self.over.set()

    async def alist(self, request: str, context: Any) -> Any:
        try:
            for number in range(100):
                yield str(number)
                await asyncio.to_thread(self.going_on.acquire, timeout=5)
        finally:
            self.over.set()

    async def awrite(self, requests: Any, context: Any) -> str:
        try:
            async for request in requests:
                self.heard.append(request)
            return "all"
        finally:
            self.over.set()

    async def achat(self, requests: Any, context: Any) -> None:
        try:
            async for request in requests:
                await context.write(request)
        finally:
            self.over.set()


class Stream:
    """An open call, from the side of the client.

    Attributes:
        call: it.
    """

    def __init__(self, channel: grpc.Channel, method: str, token: str | None) -> None:
        self._method = method
        self._requests: list[str] = ["first"]
        self._more = threading.Condition()
        self._done = False
        metadata = bearer(token)
        path = f"{PATH}/{method}"
        if method == "List":
            self.call: Any = channel.unary_stream(path, encoded, bytes.decode)(
                "all", metadata=metadata, timeout=20
            )
        elif method == "Write":
            self.call = channel.stream_unary(path, encoded, bytes.decode).future(
                self._sent(), metadata=metadata, timeout=20
            )
        else:
            self.call = channel.stream_stream(path, encoded, bytes.decode)(
                self._sent(), metadata=metadata, timeout=20
            )

    def _sent(self) -> Iterator[str]:
        while True:
            with self._more:
                while not self._requests and not self._done:
                    self._more.wait()
                if not self._requests:
                    return
                request = self._requests.pop(0)
            yield request

    def send(self, *requests: str, done: bool = False) -> None:
        with self._more:
            self._requests += requests
            self._done = done
            self._more.notify()

    def end(self) -> tuple[grpc.StatusCode, str]:
        """How it ended; waits for that."""
        if self._method == "Write":
            self.call.exception()
        else:
            with suppress(grpc.RpcError):
                list(self.call)
        return self.call.code(), self.call.details()


METHODS: Final = ("List", "Write", "Chat")


def opened(flavour: str, guard: GrpcGuard, api: Slow) -> Any:
    """A server of slow methods."""
    prefix = "a" if flavour == "aio" else ""
    kinds = {"List": "unary_stream", "Write": "stream_unary", "Chat": "stream_stream"}
    methods = {
        name: getattr(grpc, f"{kind}_rpc_method_handler")(
            getattr(api, prefix + name.lower()), bytes.decode, encoded
        )
        for name, kind in kinds.items()
    }
    demands = {f"{PATH}/{name}": Requirement.of(["read"]) for name in kinds}
    make = make_server(flavour, guard, None if guard.routes.rules else demands)
    return serving(flavour, make, {SERVICE: methods})


def token_of(issuer: FakeIssuer, seconds: float = 300) -> str:
    return issuer.builder(["read"]).claims(exp=issuer.clock() + seconds).build()


def until(true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    for _ in range(500):
        if true():
            return
        time.sleep(0.01)
    pytest.fail("it never was")


def start(channel: grpc.Channel, method: str, token: str | None, api: Slow) -> Stream:
    """Open a call, and wait until its handler has begun."""
    stream = Stream(channel, method, token)
    if method == "Write":
        until(lambda: api.heard == ["first"])
    else:
        assert next(stream.call) in {"0", "first"}
    return stream


@pytest.mark.twin("HTTP-16")
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("method", METHODS)
def test_a_stream_goes_on_for_as_long_as_its_token(
    issuer: FakeIssuer, flavour: str, method: str
) -> None:
    api = Slow()
    with (
        opened(flavour, guard_of(issuer, **STORED), api) as target,
        grpc.insecure_channel(target) as channel,
    ):
        stream = start(channel, method, token_of(issuer), api)
        issuer.clock.advance(300 + issuer.trusted.leeway - 0.5)
        time.sleep(0.05)  # Several looks.
        for _ in range(100):
            api.going_on.release()
        stream.send("second", done=True)

        assert stream.end()[0] is grpc.StatusCode.OK
    assert api.over.is_set()


@pytest.mark.attack("HTTP-16")
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("method", METHODS)
def test_a_stream_on_which_nothing_happens_ends_with_its_token(
    issuer: FakeIssuer, flavour: str, method: str
) -> None:
    api = Slow()
    with (
        opened(flavour, guard_of(issuer), api) as target,
        grpc.insecure_channel(target) as channel,
    ):
        stream = start(channel, method, token_of(issuer), api)
        issuer.clock.advance(300 + issuer.trusted.leeway)

        assert stream.end() == (CANCELLED if flavour == "blocking" else ENDED)
        if flavour != "blocking":
            trailing = {one.key: one.value for one in stream.call.trailing_metadata()}
            assert 'error="invalid_token"' in trailing["www-authenticate"]
            assert json.loads(trailing["problem-bin"])["status"] == 401
        api.going_on.release(100)
        stream.send(done=True)
        assert api.over.wait(5)


@pytest.mark.attack("HTTP-16")
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("every", [60.0, 0.01])
def test_nothing_more_is_sent_when_the_token_has_expired(
    issuer: FakeIssuer, flavour: str, every: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if flavour != "migrating" and every < 1:
        pytest.skip("it has ended before there is anything to send")
    # The look in between comes too late, or must wait for what may be under way: the message itself
    # is looked at.
    monkeypatch.setattr(lasting, "_LOOK_EVERY", every)
    api = Slow()
    with (
        opened(flavour, guard_of(issuer), api) as target,
        grpc.insecure_channel(target) as channel,
    ):
        stream = start(channel, "List", token_of(issuer), api)
        issuer.clock.advance(300 + issuer.trusted.leeway)
        time.sleep(0.05)
        api.going_on.release()

        with pytest.raises(grpc.RpcError) as error:
            next(stream.call)

    assert (error.value.code(), stream.call.details()) == ENDED
    assert api.over.wait(5)


@pytest.mark.attack("HTTP-16")
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("method", METHODS)
def test_a_stream_ends_when_its_token_is_revoked(
    issuer: FakeIssuer, flavour: str, method: str
) -> None:
    api, guard = Slow(), guard_of(issuer, **STORED)
    with opened(flavour, guard, api) as target, grpc.insecure_channel(target) as channel:
        stream = start(channel, method, token_of(issuer), api)
        guard.revoke_blocking(issuer.trusted.issuer, "subject", "test-subject")

        assert stream.end() == (CANCELLED if flavour == "blocking" else REVOKED)
        api.going_on.release(100)
        stream.send(done=True)


@pytest.mark.twin("HTTP-16")
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_public_stream_has_no_token_that_could_end(issuer: FakeIssuer, flavour: str) -> None:
    routes = [{"path": f"{PATH}/{method}", "public": True} for method in METHODS]
    api = Slow()
    with (
        opened(flavour, guard_of(issuer, route=routes), api) as target,
        grpc.insecure_channel(target) as channel,
    ):
        stream = start(channel, "Chat", None, api)
        issuer.clock.advance(10_000)
        stream.send("second", done=True)

        assert list(stream.call) == ["second"]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("method", METHODS)
def test_who_asks_an_issuer_again_ends_what_it_does_not_know_any_more(
    issuer: FakeIssuer, flavour: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a reference token, whose issuer is asked as often as the policy says."""
    api, guard = Slow(), guard_of(issuer)
    answers = [None, None, Refusal(Code.TOKEN_REVOKED)]
    asked: list[str] = []

    async def ask_again(request: Any, decision: Any) -> Refusal | None:
        asked.append(request.url)
        return answers.pop(0)

    monkeypatch.setattr(guard, "ask_again_in", lambda _: 0.02, raising=False)
    monkeypatch.setattr(guard, "ask_again", ask_again)
    with opened(flavour, guard, api) as target, grpc.insecure_channel(target) as channel:
        stream = start(channel, method, token_of(issuer), api)

        assert stream.end() == (CANCELLED if flavour == "blocking" else REVOKED)
        api.going_on.release(100)
        stream.send(done=True)

    assert asked == [f"{PATH}/{method}"] * 3


@pytest.mark.parametrize("flavour", ["blocking", "migrating"])
def test_a_fault_of_the_look_out_ends_the_call(
    issuer: FakeIssuer,
    flavour: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    api, guard = Slow(), guard_of(issuer)
    monkeypatch.setattr(guard, "ask_again_in", lambda _: "soon")
    with opened(flavour, guard, api) as target, grpc.insecure_channel(target) as channel:
        stream = Stream(channel, "Chat", token_of(issuer))

        code, _ = stream.end()
        stream.send(done=True)

    expected = grpc.StatusCode.CANCELLED if flavour == "blocking" else grpc.StatusCode.UNAVAILABLE
    assert code is expected
    assert "internal error, call ended: TypeError" in caplog.messages


class Stubborn:
    """A handler that does not take no for an answer."""

    def __init__(self) -> None:
        self.cancelled = 0

    async def chat(self, requests: Any, context: Any) -> None:
        async for request in requests:
            await context.write(request)
            break
        while self.cancelled < 2:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                self.cancelled += 1


class Deaf:
    """A handler that goes on writing."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def chat(self, requests: Any, context: Any) -> None:
        async for request in requests:
            await context.write(request)
            break
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            try:
                await context.write("more")
            except Exception as error:
                self.error = error
                raise


@pytest.mark.attack("HTTP-16")
def test_a_handler_that_goes_on_writing_writes_to_nobody(issuer: FakeIssuer) -> None:
    api = Deaf()
    method: Any = grpc.stream_stream_rpc_method_handler(api.chat, bytes.decode, encoded)
    make = make_server("aio", guard_of(issuer), {f"{PATH}/Chat": Requirement.of(["read"])})
    with (
        serving("aio", make, {SERVICE: {"Chat": method}}) as target,
        grpc.insecure_channel(target) as channel,
    ):
        stream = Stream(channel, "Chat", token_of(issuer))
        assert next(stream.call) == "first"
        issuer.clock.advance(300 + issuer.trusted.leeway)

        assert stream.end() == ENDED
        stream.send(done=True)

    assert isinstance(api.error, CallEnded)


class Big:
    """Sends more than a connection takes from who does not read."""

    def __init__(self) -> None:
        self.sent = 0

    async def list(self, request: str, context: Any) -> Any:
        while True:
            yield "x" * 1_000_000
            self.sent += 1

    async def chat(self, requests: Any, context: Any) -> None:
        while True:
            await context.write("x" * 1_000_000)
            self.sent += 1


@pytest.mark.attack("HTTP-16")
@pytest.mark.parametrize("method", ["List", "Chat"])
def test_who_does_not_read_gets_no_more_than_was_under_way(issuer: FakeIssuer, method: str) -> None:
    api = Big()
    kind = {"List": "unary_stream", "Chat": "stream_stream"}[method]
    made: Any = getattr(grpc, f"{kind}_rpc_method_handler")(
        getattr(api, method.lower()), bytes.decode, encoded
    )
    make = make_server("aio", guard_of(issuer), {f"{PATH}/{method}": Requirement.of(["read"])})
    with (
        serving("aio", make, {SERVICE: {method: made}}) as target,
        grpc.insecure_channel(target) as channel,
    ):
        stream = Stream(channel, method, token_of(issuer))
        assert next(stream.call)
        before = -1
        while before != api.sent:
            before = api.sent
            time.sleep(0.1)
        issuer.clock.advance(300 + issuer.trusted.leeway)
        time.sleep(0.05)

        received = 1
        with suppress(grpc.RpcError):
            for _ in stream.call:
                received += 1
        stream.send(done=True)

    assert (stream.call.code(), stream.call.details()) == ENDED
    assert received <= before + 2


def test_a_call_is_ended_once() -> None:
    issuer = FakeIssuer()
    guard = guard_of(issuer)
    decision = guard.check_blocking(issuer.request(issuer.token()))
    ended: list[str] = []

    class Context:
        def cancel(self) -> None:
            ended.append("cancelled")

    watch = Watch(Call(guard, issuer.request(), decision, None), Context(), watched=True)
    watch._end(None)
    watch._end(Refusal(Code.TOKEN_EXPIRED))

    assert ended == ["cancelled"]
    assert watch.ended()


def test_a_handler_that_does_not_let_go_is_cancelled_again(issuer: FakeIssuer) -> None:
    api = Stubborn()
    method: Any = grpc.stream_stream_rpc_method_handler(api.chat, bytes.decode, encoded)
    make = make_server("aio", guard_of(issuer), {f"{PATH}/Chat": Requirement.of(["read"])})
    with (
        serving("aio", make, {SERVICE: {"Chat": method}}) as target,
        grpc.insecure_channel(target) as channel,
    ):
        stream = Stream(channel, "Chat", token_of(issuer))
        assert next(stream.call) == "first"
        issuer.clock.advance(300 + issuer.trusted.leeway)

        assert stream.end() == ENDED
        stream.send(done=True)
        until(lambda: api.cancelled == 2)
