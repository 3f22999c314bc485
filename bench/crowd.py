"""A crowd of connections that send nothing, or one octet a second, or a head of a megabyte.

Beside them honest requests go on, and what is measured is theirs: are they all answered, and how
long does it take? The same requests without a crowd are measured before, in the same run. The
gateway runs as ``portvakt serve`` with one worker, in processes of its own.

    python bench/crowd.py [--connections N] [--seconds N]
"""

import argparse
import asyncio
import contextlib
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import payload
from gateway_contenders import HOST, portvakt

from portvakt.jose.signer import Signer, sign_compact

#: Honest connections, and the requests that each sends in a second.
HONEST, RATE = 16, 50


class Honest:
    """Requests at their times, whether or not those before them are answered quickly."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._request = (
            "GET / HTTP/1.1\r\nhost: a\r\nx-original-method: GET\r\n"
            f"x-original-uri: /journal/1\r\nauthorization: Bearer {token}\r\n\r\n"
        ).encode()
        self.took: list[float] = []
        self.failed: list[str] = []

    async def run(self, seconds: float) -> None:
        await asyncio.gather(*(self._one(seconds, number) for number in range(HONEST)))

    async def _one(self, seconds: float, number: int) -> None:
        await asyncio.sleep(number / HONEST / RATE)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.perf_counter()
            try:
                # A connection for each: what has to get in is what is measured.
                reader, writer = await asyncio.wait_for(
                    asyncio.open_connection(HOST, self._port), 10
                )
                writer.write(self._request)
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                writer.close()
                status = head.split(b" ", 2)[1].decode()
                if status != "200":
                    self.failed.append(status)
                self.took.append(time.perf_counter() - began)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                self.failed.append(type(error).__name__)
            await asyncio.sleep(max(0.0, 1 / RATE - (time.perf_counter() - began)))


class Crowd:
    """Connections that mean no good; one that is closed comes again."""

    def __init__(self, port: int, kind: str) -> None:
        self._port, self._kind = port, kind
        self.open = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def gather(self, connections: int) -> None:
        for number in range(connections):
            self._tasks.append(asyncio.get_running_loop().create_task(self._one(number)))
            if number % 200 == 0:
                await asyncio.sleep(0.01)
        end = time.monotonic() + 20
        while self.open < connections * 0.9 and time.monotonic() < end:
            await asyncio.sleep(0.1)

    async def disperse(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _one(self, number: int) -> None:
        while True:
            writer = None
            try:
                reader, writer = await asyncio.open_connection(HOST, self._port)
                self.open += 1
                try:
                    await self._misbehave(reader, writer, number)
                finally:
                    self.open -= 1
            except OSError:
                pass
            finally:
                if writer is not None:
                    writer.close()
            await asyncio.sleep(1)

    async def _misbehave(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        if self._kind == "nothing":
            await reader.read(1)
        elif self._kind == "an octet a second":
            for octet in b"GET / HTTP/1.1\r\nx-slow: " + b"a" * 10_000:
                writer.write(bytes([octet]))
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    if not await asyncio.wait_for(reader.read(1), 1):
                        return
        else:
            writer.write(b"GET / HTTP/1.1\r\nx-long: " + b"a" * 2**20)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(writer.drain(), 5 + number % 5)
                await asyncio.wait_for(reader.read(), 5)


def worst(took: list[float]) -> tuple[float, float, float]:
    ordered = sorted(took)
    return (
        statistics.median(ordered) * 1e3,
        ordered[int(len(ordered) * 0.99)] * 1e3,
        ordered[-1] * 1e3,
    )


async def measure(port: int, token: str, connections: int, seconds: float) -> bool:
    good = True
    for kind, count in (
        ("no crowd", 0),
        ("nothing", connections),
        ("an octet a second", connections),
        ("a head of a megabyte", max(1, connections // 100)),
    ):
        crowd = Crowd(port, kind)
        await crowd.gather(count)
        honest = Honest(port, token)
        held = crowd.open
        await honest.run(seconds)
        await crowd.disperse()
        median, p99, most = worst(honest.took or [float("nan")])
        print(
            f"  {kind:22} {held:>6} open   {len(honest.took):>6} answered, "
            f"{len(honest.failed)} not   median {median:6.2f}  p99 {p99:7.2f}  most {most:8.2f} ms",
            flush=True,
        )
        if honest.failed:
            print(f"    {sorted(set(honest.failed))}")
        good = good and not honest.failed and (not count or held > count // 2)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signer = Signer.generate("RS256")
    header = {"alg": "RS256", "typ": "at+jwt", "kid": signer.kid}
    token = sign_compact(header, payload.claims(int(time.time()), 1), signer)
    print("honest requests beside a crowd")
    with (
        tempfile.TemporaryDirectory(prefix="crowd-") as folder,
        portvakt(Path(folder), signer) as port,
    ):
        good = asyncio.run(measure(port, token, options.connections, options.seconds))
    print("every honest request was answered" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
