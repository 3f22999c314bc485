"""A flood of tokens with invented key names, beside honest ones: what the honest notice of it.

The API behind the guard, the key endpoint and the flood have a process each; this one sends the
honest requests and measures. It is an open loop: each request has its time, by chance but the same
in every run, whether or not those before it are answered. Turns alternate, so that what else goes
on on the machine meets all alike: alone, beside the flood, and beside as many honest requests from
the flood's own process, which shows what any traffic costs on these processors.

As in bench/run.py, the ratio that is judged is the median over the turns of the ratio to the turn
beside it: a p99 is made of the few worst moments, and on a shared machine one second of somebody
else's would be all of it. The p99 of all turns together is printed too. What the generator itself
adds is how late it hands a request over, and is reported beside.

    python bench/flood.py [--seconds N] [--rate N] [--turn SECONDS] [--ratio N]
"""

import argparse
import asyncio
import multiprocessing
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from key_endpoint import HOST, KeyEndpoint

from portvakt import Guard
from portvakt.adapters.asgi import GuardMiddleware
from portvakt.testing import FakeIssuer

#: Connections of each generator. A request that finds none free waits for one, and that counts.
CONNECTIONS = 32

#: Honest tokens, each sent again and again.
TOKENS = 500

#: Seconds for which the policy lets nobody ask again for a key that is not there.
COOLDOWN = 10.0


class Answer(NamedTuple):
    """One request: seconds by which it was handed over late, and in which it was answered."""

    late: float
    took: float
    status: int


#: Forged ones, each sent once, and honest ones.
Tokens = tuple[list[str], list[str]]
Queue = asyncio.Queue[tuple[float, float, bytes] | None]


def serve_api(config: dict[str, Any], pipe: Connection) -> None:
    """Serve an API behind the guard, that answers 200 and nothing else."""
    import socket

    import uvicorn

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    # Named as TCP, or asyncio leaves Nagle's algorithm on: each answer would wait 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind((HOST, 0))
    listener.listen(1024)  # What connects before uvicorn is up waits in the queue.
    pipe.send(listener.getsockname()[1])
    guarded = GuardMiddleware(app, Guard.from_config(config))
    settings = uvicorn.Config(guarded, log_level="critical", access_log=False)
    uvicorn.Server(settings).run(sockets=[listener])


def flood(port: int, tokens: Tokens, rate: float, pipe: Connection) -> None:
    """Send what the pipe says for as many seconds as it says, and return the statuses."""
    forged, honest = ([written(token) for token in kind] for kind in tokens)
    chance = random.Random(2)  # noqa: S311  when a request comes, no secret
    with suppress(EOFError):  # The measurement has ended.
        while True:
            kind, seconds = pipe.recv()
            request = forged.pop if kind == "forged" else partial(chance.choice, honest)
            answers = asyncio.run(send(port, request, rate, seconds, chance))
            pipe.send(Counter(answer.status for answer in answers))


def written(token: str) -> bytes:
    """Write one request."""
    head = f"GET /journal/1 HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {token}\r\n\r\n"
    return head.encode()


async def send(
    port: int, request: Callable[[], bytes], rate: float, seconds: float, chance: random.Random
) -> list[Answer]:
    """Send requests at random times, so many a second on average, each when its time has come."""
    queue: Queue = asyncio.Queue()
    answers: list[Answer] = []
    callers = [asyncio.create_task(call(port, queue, answers)) for _ in range(CONNECTIONS)]
    started = due = time.perf_counter() + 0.1
    while (due := due + chance.expovariate(rate)) < started + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        queue.put_nowait((due, time.perf_counter(), request()))
    for _ in range(CONNECTIONS):
        queue.put_nowait(None)
    await asyncio.gather(*callers)
    return answers


async def call(port: int, queue: Queue, answers: list[Answer]) -> None:
    """Send what comes on one connection, one request at a time."""
    reader, writer = await asyncio.open_connection(HOST, port)
    while (item := await queue.get()) is not None:
        due, handed_over, request = item
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        await reader.readexactly(length)
        took = time.perf_counter() - handed_over
        answers.append(Answer(handed_over - due, took, int(head[9:12])))
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def percentile(values: list[float], share: float) -> float:
    """Return milliseconds that this share of the values, in seconds, does not exceed."""
    return sorted(values)[int(len(values) * share)] * 1e3


def show(name: str, turns: list[list[Answer]]) -> None:
    """Print what one kind of turns met with."""
    answers = [one for turn in turns for one in turn]
    took, late = [one.took for one in answers], [one.late for one in answers]
    print(
        f"{name:15} {dict(Counter(one.status for one in answers))}"
        f"  p50 {statistics.median(took) * 1e3:6.2f} ms  p99 {percentile(took, 0.99):6.2f} ms"
        f"  (generator late: p50 {statistics.median(late) * 1e3:.2f}, "
        f"p99 {percentile(late, 0.99):.2f} ms)"
    )


def ratio(turns: list[list[Answer]], others: list[list[Answer]]) -> float:
    """Return the median over the turns of one p99 as a multiple of another."""
    p99, base = (
        [percentile([a.took for a in turn], 0.99) for turn in kind] for kind in (turns, others)
    )
    return statistics.median(one / other for one, other in zip(p99, base, strict=True))


def main() -> int:
    """Run it and print the figures; 1 if one of them is not as it should be."""
    parser = argparse.ArgumentParser(description="A flood of unknown kids beside honest requests.")
    parser.add_argument("--seconds", type=float, default=10.0, help="of flood, in all")
    parser.add_argument("--rate", type=float, default=1000.0, help="a second, of either kind")
    parser.add_argument("--turn", type=float, default=1.0, help="seconds of each turn")
    parser.add_argument("--ratio", type=float, default=2.0, help="that the p99 may grow by")
    arguments = parser.parse_args()
    rate, turn = arguments.rate, arguments.turn
    turns = max(1, round(arguments.seconds / turn))
    context = multiprocessing.get_context("spawn")
    endpoint = KeyEndpoint()
    issuer = FakeIssuer(endpoint.issuer, audience="api", clock=time.time)
    endpoint.publish(*issuer.jwks()["keys"])
    api_pipe, api_end = context.Pipe()
    api = context.Process(target=serve_api, args=(endpoint.policy("api"), api_end), daemon=True)
    api.start()
    port = api_pipe.recv()
    # By chance, some turns have more requests than the rate says.
    invented = (os.urandom(12).hex() for _ in range(int(turns * turn * rate * 1.2) + 100))
    forged = [issuer.token(header={"kid": kid}) for kid in invented]
    tokens = [issuer.token() for _ in range(TOKENS)]
    pipe, end = context.Pipe()
    flooding = (port, (forged, tokens), rate, end)
    context.Process(target=flood, args=flooding, daemon=True).start()
    chance = random.Random(1)  # noqa: S311  when a request comes, no secret
    honest = [written(token) for token in tokens]

    def measure() -> list[Answer]:
        return asyncio.run(send(port, lambda: chance.choice(honest), rate, turn, chance))

    measure()  # Everything is warm, and every token seen.
    before, started = endpoint.fetches(), time.monotonic()
    met: dict[str, list[list[Answer]]] = {"nothing": [], "honest": [], "forged": []}
    sent: dict[str, Counter[int]] = {"honest": Counter(), "forged": Counter()}
    for _ in range(turns):
        for beside, measured in met.items():
            if beside == "nothing":
                measured.append(measure())
                continue
            pipe.send((beside, turn))
            measured.append(measure())
            sent[beside] += pipe.recv()
    fetches, elapsed = endpoint.fetches() - before, time.monotonic() - started
    api.terminate()

    print(f"load of the machine {os.getloadavg()[0]:.1f}, on {os.cpu_count()} processors")
    for beside, measured in met.items():
        show(f"beside {beside}", measured)
    print("what was sent beside:", {kind: dict(statuses) for kind, statuses in sent.items()})
    allowed = int(elapsed / COOLDOWN) + 1
    print(f"the key endpoint was asked {fetches} times in {elapsed:.0f} s; {allowed} are allowed")
    found = ratio(met["forged"], met["nothing"])
    print(
        f"p99 in a flood: {found:.2f} × alone ({arguments.ratio:g} is allowed), "
        f"{ratio(met['forged'], met['honest']):.2f} × beside as many honest ones"
    )
    honestly = {one.status for kind in met.values() for measured in kind for one in measured}
    well = (
        honestly | sent["honest"].keys() == {200}
        and sent["forged"].keys() <= {401, 503}
        and fetches <= allowed
        and found <= arguments.ratio
    )
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
