"""A server on loopback that answers what a test tells it to: any octets, at any pace, over TLS.

::

    with KeyServer(whole(b'{"keys": []}')) as server:
        fetch = Fetch(Names({"issuer.test": server}), ca_file=ca_file)
        asyncio.run(fetch.get("https://issuer.test/jwks", accept="application/json"))
        assert server.requests[-1].target == "/jwks"

        server.answer = whole(b"", status=500)  # from the next request on
        server.stop()  # an outage: connections are refused, and those that are open break
        server.start()  # the same port again

It runs on an event loop and a thread of its own, so it answers whatever loop, thread or process
asks. Nothing in it parses or repairs what a behaviour sends.

**Behaviours** are coroutine functions of one :class:`Exchange`; those here can be combined:

===================  ==============================================================================
``whole``            a complete answer with a body
``octets``           these very octets, then the connection is closed
``endless``          a beginning, then the same piece until the client has had enough
``drip``             one octet at a time, then silence
``silent``           no answer, and the connection stays open
``hang_up``          no answer, and the connection is closed
``by_path``          another behaviour for each path
``in_turn``          another behaviour for each request, the last one from then on
``Gate``             holds requests back until the test opens it
``tunnel``           what an HTTP proxy does with CONNECT: leads to another server here
===================  ==============================================================================

**Names.** :class:`Names` stands in for the resolver in a :class:`~portvakt.net.fetch.Fetch`: it
says for each name which server to dial, and notes which names were asked for. Everything else
about the exchange is real. Where the check of addresses itself is tested, put
:class:`~portvakt.net.address.CheckedAddresses` and a lookup of your own there instead.

**Certificates** come from one authority for the whole run: ``authority()``; write it to a file with
``write_ca(folder)`` and hand that to ``Fetch(ca_file=…)``. A server shows a certificate for
``issuer.test`` unless it is given a context, as ``certificate("other.test", "127.0.0.1")``, or
``plain=True``.

A behaviour that fails in a way that has nothing to do with the client fails the test, when the
server is left.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any, Self

import trustme

from portvakt.net.address import FetchError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Behaviour",
    "Exchange",
    "Gate",
    "KeyServer",
    "Names",
    "Request",
    "authority",
    "by_path",
    "certificate",
    "drip",
    "endless",
    "hang_up",
    "in_turn",
    "octets",
    "silent",
    "tunnel",
    "whole",
    "write_ca",
]

#: What happens when a client goes away; no fault of a behaviour.
GONE = (OSError, EOFError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


@dataclass(frozen=True)
class Request:
    """One request as it came: the head up to and with the empty line, and the body."""

    head: bytes
    body: bytes = b""

    @property
    def method(self) -> str:
        return self.head.split(b" ", 1)[0].decode("latin-1")

    @property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode("latin-1")

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names in lower case and values, in order, duplicates kept."""
        lines = self.head.decode("latin-1").split("\r\n")[1:-2]
        pairs = [line.partition(":") for line in lines]
        return [(name.lower(), value.strip()) for name, _, value in pairs]


@dataclass
class Exchange:
    """One request, and the connection to answer it on."""

    request: Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    #: Octets of the answer that were written so far.
    sent: int = 0

    async def send(self, data: bytes) -> None:
        """Write octets, as fast as the client takes them."""
        self.writer.write(data)
        self.sent += len(data)
        await self.writer.drain()
        # Without a turn of the loop, drain would never learn that the client has gone.
        await asyncio.sleep(0)

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        while await self.reader.read(65536):
            pass


Behaviour = Callable[[Exchange], Awaitable[None]]


def whole(
    body: bytes = b"",
    *,
    status: int = 200,
    headers: Sequence[tuple[str, str]] = (("Content-Type", "application/json"),),
) -> Behaviour:
    """Answer with a body and its length."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
    return octets(head.encode("latin-1") + body)


def octets(data: bytes) -> Behaviour:
    """Answer with these octets, then close the connection."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(data)

    return answer


def endless(beginning: bytes, piece: bytes) -> Behaviour:
    """Answer with a beginning, then with the same piece until the client closes the connection."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(beginning)
        while True:
            await exchange.send(piece)

    return answer


def drip(data: bytes, *, every: float, then: bytes = b"") -> Behaviour:
    """Answer with one octet at a time, so many seconds apart, then the rest at once, then nothing.

    The connection stays open.
    """

    async def answer(exchange: Exchange) -> None:
        for position in range(len(data)):
            await exchange.send(data[position : position + 1])
            await asyncio.sleep(every)
        await exchange.send(then)
        await exchange.gone()

    return answer


async def silent(exchange: Exchange) -> None:
    """Do not answer."""
    await exchange.gone()


async def hang_up(exchange: Exchange) -> None:
    """Close the connection instead of answering."""


def by_path(behaviours: Mapping[str, Behaviour], otherwise: Behaviour | None = None) -> Behaviour:
    """Behave according to the path without its query; 404 for any other."""

    async def answer(exchange: Exchange) -> None:
        path = exchange.request.target.partition("?")[0]
        await behaviours.get(path, otherwise or whole(status=404))(exchange)

    return answer


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behave differently at each request; the last behaviour stays."""
    numbers = count()

    async def answer(exchange: Exchange) -> None:
        await behaviours[min(next(numbers), len(behaviours) - 1)](exchange)

    return answer


class Gate:
    """A behaviour that holds every request back until the test opens it, from any thread."""

    def __init__(self, answer: Behaviour) -> None:
        self._answer = answer
        self._is_open = False
        self._opened = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, exchange: Exchange) -> None:
        self._loop = asyncio.get_running_loop()
        if not self._is_open:
            await self._opened.wait()
        await self._answer(exchange)

    def open(self) -> None:
        """Answer those that wait, and all others from now on."""
        self._is_open = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._opened.set)


def tunnel(server: KeyServer) -> Behaviour:
    """Answer CONNECT as a proxy does: whatever name was asked for, it leads to this server."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            await asyncio.gather(relay(exchange.reader, writer), relay(reader, exchange.writer))
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)  # It closes in the loop's next turn.

    return answer


@dataclass
class KeyServer:
    """The server. Enter it, and it listens; leave it, and all is closed.

    Attributes:
        answer: how it behaves; may be set at any time, and holds from the next request on.
        tls: the certificate it shows; None for one of ``issuer.test``.
        plain: speak HTTP without TLS.
        port: where it listens on 127.0.0.1; the same for its whole life.
        requests: all that came, in order.
        connections: how many were accepted, whether or not a request came; with TLS, only those
            whose handshake was completed.
        sent: octets of answers that were written, by the connections that have ended.
    """

    answer: Behaviour
    tls: ssl.SSLContext | None = None
    plain: bool = False
    port: int = field(default=0, init=False)
    requests: list[Request] = field(default_factory=list, init=False)
    connections: int = field(default=0, init=False)
    sent: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._tls = None if self.plain else self.tls or certificate("issuer.test")
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        # What a hostile client, or a client that gives up, does to a connection is not news.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="key-server", daemon=True
        )
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self._failures: list[Exception] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._failures:
            raise self._failures[0]

    def start(self) -> None:
        """Listen: at first, and after an outage on the same port again."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def stop(self) -> None:
        """Listen no longer, and break every connection."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()

    def wait_for(self, requests: int = 0, *, connections: int = 0, seconds: float = 5.0) -> None:
        """Block until so many requests and connections have come in all."""

        def have_come() -> bool:
            return len(self.requests) >= requests and self.connections >= connections

        with self._changed:
            assert self._changed.wait_for(have_come, seconds)

    def wait_until_idle(self, seconds: float = 5.0) -> None:
        """Block until the clients have closed every connection: then ``sent`` is complete."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._open, seconds)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._tls, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        self._server = None
        while self._open:
            for task, writer in self._open.items():
                task.cancel()
                writer.transport.abort()
            await asyncio.wait(self._open)
        await asyncio.sleep(0)  # The transports close in the loop's next turn.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        with self._changed:
            self._open[task] = writer
            self.connections += 1
            self._changed.notify_all()
        exchange = None
        try:
            request = await _read(reader)
            exchange = Exchange(request, reader, writer)
            with self._changed:
                self.requests.append(request)
                self._changed.notify_all()
            await self.answer(exchange)
            writer.close()
            await writer.wait_closed()
        except (*GONE, asyncio.CancelledError):
            pass
        except Exception as failure:  # noqa: BLE001  handed to the test that is running
            self._failures.append(failure)
        finally:
            writer.transport.abort()
            with self._changed:
                self.sent += exchange.sent if exchange else 0
                del self._open[task]
                self._changed.notify_all()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = await reader.readuntil(b"\r\n\r\n")
    length = dict(Request(head).headers).get("content-length", "0")
    return Request(head, await reader.readexactly(int(length)))


class Names:
    """Addresses of servers by name, in place of a resolver and its check.

    Attributes:
        servers: which server each name leads to; may be changed at any time.
        asked: the hosts that were asked for, in order.
    """

    def __init__(self, servers: Mapping[str, KeyServer] | None = None) -> None:
        self.servers = dict(servers or {})
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[tuple[str, int]]:
        self.asked.append(host)
        if host not in self.servers:
            raise FetchError("the name of the host cannot be resolved")
        return [("127.0.0.1", self.servers[host].port)]


@cache
def authority() -> trustme.CA:
    """Return the one authority that tests trust."""
    return trustme.CA()


def write_ca(folder: Path) -> Path:
    """Write the certificate of the authority to a file, and return its path."""
    path = folder / "ca.pem"
    authority().cert_pem.write_to_path(str(path))
    return path


def certificate(*names: str, signer: trustme.CA | None = None, **options: Any) -> ssl.SSLContext:
    """Make the server's side of TLS with a certificate for these names or addresses.

    Parameters:
        names: what the certificate is for.
        signer: who signs it, if not the authority that tests trust.
        options: as for :meth:`trustme.CA.issue_cert`, for example ``not_after``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (signer or authority()).issue_cert(*names, **options).configure_cert(context)
    return context
