"""What it costs that connections end with their token: nothing for those that do not last.

Two figures. A request that is answered at once, through the middleware, beside the same request
where it is read and judged and nothing else. And ten thousand WebSockets on which nothing is said,
beside as many without a guard: time of a core, memory, and how late the event loop gets. Ratios of
one run, the medians of several rounds in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from portvakt.adapters.asgi import GuardMiddleware, read_request
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from portvakt import Guard

ISSUER: Final = FakeIssuer()
POLICY: Final[dict[str, Any]] = {
    "store": {"url": "memory://"},
    "revocation": {"max_staleness": "5s"},
}
REQUESTS: Final = 20_000
SECONDS: Final = 5.0


def scope_of(token: str, kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer " + token.encode()), (b"accept", b"*/*")],
        "client": ("192.0.2.1", 50000),
    }


async def answered(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"well"})


async def idle(_scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] == "websocket.receive":
        pass


async def nothing(*_: Any) -> Any:
    """Receive, or send, and do no more."""


def judging(guard: Guard) -> Any:
    """Put the least in front of the application that could be called a middleware."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request, _ = read_request(scope)
        if (await guard.check(request)).admitted:
            await answered(scope, receive, send)

    return app


async def requests(guard: Guard, rounds: int) -> None:
    scope = scope_of(ISSUER.token(), "http")
    apps = {"judged": judging(guard), "served": GuardMiddleware(answered, guard)}
    times: dict[str, list[float]] = {name: [] for name in apps}
    for _ in range(rounds):
        for name, app in apps.items():
            start = time.perf_counter()
            for _ in range(REQUESTS):
                await app(dict(scope), nothing, nothing)
            times[name].append((time.perf_counter() - start) / REQUESTS * 1e6)
    judged, served = (statistics.median(found) for found in times.values())
    print(f"a request: {served:.2f} µs, of which judged {judged:.2f}: {served / judged:.2f} x")


def core() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


async def connections(guard: Guard, app: Any, name: str, number: int) -> None:
    closed: list[str] = []

    async def send(message: Any) -> None:
        if message["type"] == "websocket.close":
            closed.append(message["reason"])

    before, tasks = memory(), []
    scope = scope_of(ISSUER.token(claims={"sub": name}), "websocket")
    for _ in range(number):
        queue: asyncio.Queue[Any] = asyncio.Queue()
        queue.put_nowait({"type": "websocket.connect"})
        tasks.append(asyncio.create_task(app(dict(scope), queue.get, send)))
    await asyncio.sleep(1)
    each = (memory() - before) / number
    start, used, late = time.perf_counter(), core(), 0.0
    while time.perf_counter() - start < SECONDS:
        asked = time.perf_counter()
        await asyncio.sleep(0.01)
        late = max(late, time.perf_counter() - asked - 0.01)
    share = (core() - used) / (time.perf_counter() - start)
    line = f"{share:.1%} of a core, {each:.0f} octets each, {late * 1000:.1f} ms late at most"
    if isinstance(app, GuardMiddleware):
        start = time.perf_counter()
        await guard.revoke(ISSUER.trusted.issuer, "subject", name)
        while len(closed) < number:  # noqa: ASYNC110  there is no event of it
            await asyncio.sleep(0.01)
        line += f", all closed {time.perf_counter() - start:.2f} s after a revocation"
    print(f"{number} idle connections, {name}: {line}")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def main(options: argparse.Namespace) -> None:
    guard = ISSUER.guard(**POLICY)
    async with guard:
        await requests(guard, options.rounds)
        await connections(guard, idle, "bare", options.connections)
        await connections(guard, GuardMiddleware(idle, guard), "guarded", options.connections)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--connections", type=int, default=10_000)
    asyncio.run(main(parser.parse_args()))
