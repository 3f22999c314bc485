"""Serve an application on a real port, and send it requests octet by octet."""

from __future__ import annotations

import io
import json
import socket
import threading
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import uvicorn
import waitress

from behaviour.sample import OTHER, PATIENT, PID_CLAIM, Sample
from servers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from portvakt import HttpRequest

__all__ = ["Adapter", "Address", "Answer", "Served", "serve_asgi", "serve_wsgi"]

Address = tuple[str, int]


class Adapter(NamedTuple):
    """How one adapter serves the sample API.

    Attributes:
        name: its module in ``portvakt.adapters``.
        title: what the documentation calls it.
        serve: serves a sample on a real port while it is entered, and gives the address.
        forget: builds the API with a route ``/forgotten`` that nobody guards, starts it as a server
            would, and returns the text of the ConfigurationError; None where a framework does not
            show its routes, so that they are refused when they are called.
        lacks: what this adapter has not, and why, as the documentation says it; by the word with
            which a behaviour needs it.
        lasting: whether it serves connections that outlive one answer: ``/live`` and ``/events``.
        client: who calls it, if not over HTTP.
        apart: behaviours that are none of this adapter, by the names of their tests, and why.
    """

    name: str
    title: str
    serve: Callable[[Sample], AbstractContextManager[Address]]
    forget: Callable[[Sample], str] | None = None
    lacks: Mapping[str, str] = {}
    lasting: bool = False
    client: Callable[[Adapter, Sample, Address], Served] | None = None
    apart: Mapping[str, str] = {}

    def why_not(self, needs: frozenset[str]) -> str | None:
        """Say why a behaviour that needs these is none of this adapter; None if it is."""
        lacking = dict(self.lacks)
        if self.forget is None:
            lacking["routes"] = "the framework does not show its routes"
        if not self.lasting:
            lacking["lasting"] = (
                "only the adapters for ASGI and its frameworks end what outlives one answer"
            )
        return next((lacking[need] for need in sorted(needs) if need in lacking), None)


class Answer(NamedTuple):
    """What came back; ``raw`` is every octet of it, where the connection was to be closed."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    raw: bytes

    def header(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class Served:
    """The sample API behind one adapter, on a real port.

    Attributes:
        adapter: which one.
        sample: what it serves.
        address: where.
    """

    def __init__(self, adapter: Adapter, sample: Sample, address: Address) -> None:
        self.adapter: Final = adapter
        self.sample: Final = sample
        self.address: Final = address

    def send(
        self, target: str, *lines: str, method: str = "GET", body: bytes | None = None
    ) -> Answer:
        """Send one request as it is written here, and return all that comes back.

        Parameters:
            target: the request target, not touched.
            lines: further header lines, not touched.
            method: the method.
            body: the body, with its length in a header.
        """
        head = [f"{method} {target} HTTP/1.1", "Host: api.test", *lines]
        closed = not any(line.lower().startswith("connection:") for line in lines)
        if closed:
            head.append("Connection: close")
        if body is not None:
            head.append(f"Content-Length: {len(body)}")
        sent = "\r\n".join([*head, "", ""]).encode("latin-1") + (body or b"")
        with socket.create_connection(self.address, timeout=20) as connection:
            connection.sendall(sent)
            if not closed:
                return _read(connection, method)
            raw = b""
            while data := connection.recv(65536):
                raw += data
        return read_answer(raw, method)

    def send_request(self, request: HttpRequest) -> Answer:
        """Send a request that a guard could judge as it is."""
        lines = [f"{name}: {value}" for name, value in request.headers]
        return self.send(request.url, *lines, method=request.method)

    def get(self, target: str, token: str | None = None, *lines: str) -> Answer:
        """Send a GET with a bearer token."""
        return self.send(target, *bearer(token), *lines)

    def token(self, *scopes: str, pid: str = PATIENT, **claims: Any) -> str:
        """An honest token of a person, who signed in at level 4."""
        return self.sample.issuer.token(scopes=scopes, claims={PID_CLAIM: pid, **claims})

    def other(self, *scopes: str) -> str:
        """An honest token of another person."""
        return self.token(*scopes, pid=OTHER)

    @contextmanager
    def unreached(self) -> Iterator[None]:
        """See that no endpoint is reached meanwhile."""
        before = len(self.sample.reached)
        yield
        assert self.sample.reached[before:] == []

    @contextmanager
    def reached(self, *paths: str) -> Iterator[None]:
        """See that these endpoints are reached meanwhile, and no others."""
        before = len(self.sample.reached)
        yield
        assert self.sample.reached[before:] == list(paths)


def bearer(token: str | None) -> tuple[str, ...]:
    """The header line of a bearer token."""
    return () if token is None else (f"Authorization: Bearer {token}",)


def read_answer(raw: bytes, method: str = "GET") -> Answer:
    """Read an answer; what comes behind its end stays in ``raw`` alone."""

    class Received:
        def makefile(self, *_: object) -> io.BytesIO:
            return io.BytesIO(raw)

    return _read(cast("socket.socket", Received()), method)._replace(raw=raw)


def _read(connection: socket.socket, method: str) -> Answer:
    response = HTTPResponse(connection, method=method)
    response.begin()
    return Answer(response.status, tuple(response.getheaders()), response.read(), b"")


@contextmanager
def serve_asgi(app: Any) -> Iterator[Address]:
    """Serve an ASGI application with uvicorn."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, proxy_headers=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        assert server.started, "the application did not start: the log says why"
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def serve_wsgi(app: Any) -> Iterator[Address]:
    """Serve a WSGI application with waitress: threads, as WSGI servers have them."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = waitress.create_server(app, sockets=[listener], threads=8)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        server.trigger.pull_trigger(server.close)
        thread.join()
        server.task_dispatcher.shutdown()
