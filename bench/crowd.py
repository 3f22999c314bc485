"""A crowd of connections that send nothing, or one octet a second, or a head of a megabyte.

Beside them honest requests go on, each over a connection of its own, for getting in is what a crowd
makes hard. What is measured is theirs: are they all answered, and how long does it take? The same
requests without a crowd are measured before, in the same run. The gateway is ``portvakt serve``
with two workers; the crowd comes from processes of its own, since one may not open as many files,
and from addresses of its own, since one has not as many ports. Whom the gateway throws out comes
again, soon.

    python bench/crowd.py [--connections N] [--seconds N]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import resource
import select
import socket
import statistics
import sys
import tempfile
import time
from collections import deque
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import payload
from gateway_contenders import HOST, Served, family, served

from portvakt.jose.signer import Signer, sign_compact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.sharedctypes import Synchronized
    from multiprocessing.synchronize import Event

#: Honest clients, and the requests that each sends in a second.
HONEST, RATE = 16, 25

#: Seconds within which an honest request has to be answered.
PATIENCE = 10.0

#: Connections of one process of the crowd: a fraction of the files that it may open.
SHARE = 5_000

#: Seconds until the crowd has to be there, whole.
GATHERING = 15.0

#: Connections that one process of the crowd opens in a turn of 10 ms.
OPENED = 25


class Kind(NamedTuple):
    """A way to misbehave.

    Attributes:
        said: what each connection sends.
        pause: seconds between two octets of it; 0: all of it as fast as it is taken.
        back: seconds after which one who was thrown out comes again.
    """

    said: bytes
    pause: float = 0.0
    back: float = 1.0


KINDS = {
    "nothing": Kind(b""),
    "an octet a second": Kind(b"GET / HTTP/1.1\r\nx-slow: " + b"a" * 1000, pause=1.0),
    "a head of a megabyte": Kind(b"GET / HTTP/1.1\r\nx-long: " + b"a" * 2**20, back=10.0),
}


class Stranger:
    """One connection that means no good."""

    __slots__ = ("due", "sent", "socket")

    def __init__(self, port: int, source: str) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(0)
        self.socket.bind((source, 0))
        self.sent = 0
        self.due = 0.0
        with suppress(BlockingIOError):
            self.socket.connect((HOST, port))

    def say(self, kind: Kind) -> bool:
        """Send what is to be sent now; whether there is more to be sent as fast as it is taken."""
        end = self.sent + (1 if kind.pause else 2**16)
        with suppress(BlockingIOError):
            self.sent += self.socket.send(kind.said[self.sent : end])
        return not kind.pause and self.sent < len(kind.said)


class Strangers:
    """The part of a crowd that one process is.

    Parameters:
        port: of the gateway.
        kind: how they misbehave.
        source: the address that they come from.
    """

    def __init__(self, port: int, kind: Kind, source: str) -> None:
        self._port, self._kind, self._source = port, kind, source
        self._poll = select.epoll()
        self._here: dict[int, Stranger] = {}
        self._absent: deque[float] = deque()
        self._speaking: deque[Stranger] = deque()
        self._came = 0

    def run(self, connections: int, came: Synchronized[int], end: Event) -> None:
        """Misbehave until the end.

        Parameters:
            connections: how many they are.
            came: where it is told how many connections were made.
            end: when to go.
        """
        self._absent.extend([0.0] * connections)
        parent = os.getppid()
        while not end.is_set() and os.getppid() == parent:
            now = time.monotonic()
            self._come(now)
            while self._speaking and self._speaking[0].due <= now:
                self._speak(self._speaking.popleft(), now)
            for number, event in self._poll.poll(0.01):
                stranger = self._here[number]
                if event & ~select.EPOLLOUT:
                    self._listen(stranger, now)
                else:
                    self._connected(stranger, now)
            came.value = self._came

    def _come(self, now: float) -> None:
        for _ in range(OPENED):
            if not self._absent or self._absent[0] > now:
                return
            self._absent.popleft()
            stranger = Stranger(self._port, self._source)
            self._here[stranger.socket.fileno()] = stranger
            self._poll.register(stranger.socket, select.EPOLLIN | select.EPOLLOUT)

    def _connected(self, stranger: Stranger, now: float) -> None:
        """Begin, or go on, where more is taken."""
        if not stranger.sent:
            self._came += 1
        try:
            more = stranger.say(self._kind) if self._kind.said else False
        except OSError:
            self._go(stranger, now)
            return
        if more:
            return
        self._poll.modify(stranger.socket, select.EPOLLIN)
        if self._kind.pause:
            stranger.due = now + self._kind.pause
            self._speaking.append(stranger)

    def _speak(self, stranger: Stranger, now: float) -> None:
        if self._here.get(stranger.socket.fileno()) is not stranger:
            return  # It was thrown out meanwhile.
        try:
            stranger.say(self._kind)
        except OSError:
            self._go(stranger, now)
            return
        stranger.due = now + self._kind.pause
        self._speaking.append(stranger)

    def _listen(self, stranger: Stranger, now: float) -> None:
        try:
            if stranger.socket.recv(65536):
                return  # A refusal. What counts is the connection.
        except BlockingIOError:
            return
        except OSError:
            pass
        self._go(stranger, now)

    def _go(self, stranger: Stranger, now: float) -> None:
        del self._here[stranger.socket.fileno()]
        stranger.socket.close()
        self._absent.append(now + self._kind.back)


def misbehave(
    port: int, kind: str, source: str, connections: int, came: Synchronized[int], end: Event
) -> None:
    """Be a part of a crowd: what one process of it does."""
    raise_limit()
    Strangers(port, KINDS[kind], source).run(connections, came, end)


@contextmanager
def crowd(port: int, kind: str, connections: int) -> Iterator[list[Synchronized[int]]]:
    """Have a crowd around the gateway, and tell how often each process of it has connected."""
    context = multiprocessing.get_context("spawn")
    end = context.Event()
    came: list[Synchronized[int]] = []
    processes = []
    for number, begin in enumerate(range(0, connections, SHARE)):
        came.append(context.Value("i", 0))
        share = min(SHARE, connections - begin)
        source = f"127.0.0.{10 + number}"
        process = context.Process(
            target=misbehave, args=(port, kind, source, share, came[-1], end), daemon=True
        )
        process.start()
        processes.append(process)
    try:
        yield came
    finally:
        end.set()
        for process in processes:
            process.join(5)
            process.kill()


class Honest:
    """Requests at their times, whether or not those before them are answered quickly.

    Attributes:
        took: how many seconds each took that was answered.
        failed: what became of each that was not.
    """

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._request = (
            "GET / HTTP/1.1\r\nhost: a\r\nx-original-method: GET\r\n"
            f"x-original-uri: /journal/1\r\nauthorization: Bearer {token}\r\n\r\n"
        ).encode()
        self.took: list[float] = []
        self.failed: list[str] = []

    async def run(self, seconds: float) -> None:
        """Send them for so many seconds, and wait for the last answers."""
        await asyncio.gather(*(self._one(seconds, number) for number in range(HONEST)))

    async def _one(self, seconds: float, number: int) -> None:
        await asyncio.sleep(number / HONEST / RATE)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.perf_counter()
            try:
                status = await asyncio.wait_for(self._ask(), PATIENCE)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                self.failed.append(type(error).__name__)
            else:
                if status == "200":
                    self.took.append(time.perf_counter() - began)
                else:
                    self.failed.append(status)
            await asyncio.sleep(max(0.0, 1 / RATE - (time.perf_counter() - began)))

    async def _ask(self) -> str:
        reader, writer = await asyncio.open_connection(HOST, self._port)
        try:
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.close()
        return head.split(b" ", 2)[1].decode()


def files_of(gateway: Served) -> int:
    """Count the files that all processes of a gateway have open."""
    return sum(len(list(Path(f"/proc/{one}/fd").iterdir())) for one in family(gateway.process.pid))


def raise_limit() -> None:
    """Let this process open as many files as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def measure(gateway: Served, token: str, kind: str | None, count: int, seconds: float) -> bool:
    """Measure honest requests beside a crowd; whether all were answered, and the crowd was there.

    Parameters:
        gateway: whom they ask.
        token: what they show.
        kind: how the crowd misbehaves; None: there is none.
        count: how many it is.
        seconds: for how long.
    """
    honest = Honest(gateway.port, token)
    before = files_of(gateway)
    with crowd(gateway.port, kind or "nothing", count if kind else 0) as came:
        end = time.monotonic() + GATHERING
        while sum(one.value for one in came) < count and time.monotonic() < end:
            time.sleep(0.1)
        inside = files_of(gateway) - before
        asyncio.run(honest.run(seconds))
        every = sum(one.value for one in came)
    ordered = sorted(honest.took) or [float("nan")]
    median, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    print(
        f"  {kind or 'no crowd':22} {inside:>6} inside, {every:>6} came"
        f"   {len(honest.took):>6} answered, {len(honest.failed)} not"
        f"   median {median * 1e3:6.2f}  p99 {p99 * 1e3:7.2f}  most {ordered[-1] * 1e3:8.2f} ms",
        flush=True,
    )
    if honest.failed:
        print(f"    {sorted(set(honest.failed))}")
    return not honest.failed and bool(honest.took) and every >= count


def main() -> int:
    """Measure each crowd, and return 1 if an honest request was not answered."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    raise_limit()
    signer = Signer.generate("RS256")
    header = {"alg": "RS256", "typ": "at+jwt", "kid": signer.kid}
    token = sign_compact(header, payload.claims(int(time.time()), 1), signer)
    print("honest requests beside a crowd", flush=True)
    good = True
    with (
        tempfile.TemporaryDirectory(prefix="crowd-") as folder,
        served(Path(folder), signer, workers=2, core=None) as gateway,
    ):
        for kind in (None, *KINDS):
            count = options.connections if kind else 0
            good &= measure(gateway, token, kind, count, options.seconds)
    print("every honest request was answered" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
