"""Guard any ASGI application: what is not admitted never reaches it.

Which path is judged: the one that the application routes by, as it was written in the request.
That is ``raw_path`` without ``root_path`` (the prefix an application is mounted under), so rules
are written as the application's own routes are. It has to decode to ``path``, which the application
goes by; a request of which server and application could read different paths is answered with 400.
So is a target that is no path (``*``, or a whole URL that the server did not take apart), and a
path with control characters in it: routers end at a line break what does not end there. The
``Host`` header decides nothing. Middleware inside the guard must leave the path alone.

Behind a proxy that strips the prefix, some servers hand over ``root_path`` and a path without it.
Whatever is mounted in the application would then cut off another part than was judged, so the path
is handed on with the prefix in front, as ASGI has it. An application inside must have no
``root_path`` of its own.

A client's certificate is taken from the ASGI TLS extension (``client_cert_chain``), where a server
has it. As of September 2026 few do: released versions of Uvicorn, Hypercorn, Granian and Daphne end
TLS and can ask clients for certificates, and tell the application nothing of them (open proposals:
Uvicorn #3133, Granian #854, Hypercorn #62; Nonecorn has it). Behind those, let a proxy end TLS and
name it under ``[proxy]``.

Who the proxy is, the address of the connection says, so nothing may replace that address before the
guard sees it. Uvicorn does, with what ``X-Forwarded-For`` says: start it with
``--no-proxy-headers``, and never with ``--forwarded-allow-ips '*'``, with which anyone could write
a proxy's address there.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

from portvakt.adapters.answering import adding_headers, answer
from portvakt.adapters.judgement import (
    KEY,
    Application,
    Judgement,
    Message,
    Receive,
    Scope,
    Send,
    decision_of,
    judgement_of,
    token_of,
)
from portvakt.adapters.lasting import Lasting
from portvakt.guard import (
    ConfigurationError,
    Decision,
    Guard,
    HttpRequest,
    NotCertificate,
    read_pem,
)

__all__ = [
    "KEY",
    "Application",
    "GuardMiddleware",
    "Judgement",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "adding_headers",
    "answer",
    "decision_of",
    "judgement_of",
    "read_request",
    "token_of",
]

#: What a path holds without encoding, beside letters and digits (RFC 3986 section 3.3).
_PLAIN: Final = "/:@!$&'()*+,;=-._~"

#: No honest path has one, and patterns that end in ``$`` overlook a line break at the end.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

#: The peer of a connection by a Unix socket. The guard's policy has the same word for it.
_UNIX: Final = "unix"


class GuardMiddleware:
    """An ASGI application that lets another one see admitted requests only.

    Requests and WebSocket handshakes are judged by the policy alone: without rules each needs a
    valid token; with rules, what no rule is for is refused. What the guard itself answers, such as
    the API's metadata (RFC 9728), never reaches it. The application finds the outcome with
    :func:`token_of`. A WebSocket is judged when it opens, as a GET. It, and a response that is
    streamed, end when the token does: see :mod:`portvakt.adapters.lasting`.

    Parameters:
        app: the application to stand in front of.
        guard: who judges; its home is this application's event loop while its lifespan runs.
    """

    def __init__(self, app: Application, guard: Guard) -> None:
        self.app = app
        self.guard = guard
        self._ready = False
        self._lasting = Lasting(guard)

    def make_ready(self) -> None:
        """Check before the first request that what is judged will be what is served.

        Raises:
            ConfigurationError: if an application inside has a ``root_path`` of its own, as far as
                the ``app`` and ``routes`` of each lead to it; and no request is served.
        """
        pending: list[object] = [self.app]
        seen: set[int] = set()
        while pending:
            one = pending.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            prefix = getattr(one, "root_path", None)
            if isinstance(prefix, str) and prefix:
                raise ConfigurationError(
                    f"an application behind the guard has a root_path of its own, {prefix!a}, so "
                    "it would serve other paths than are judged: give root_path to the server"
                )
            routes = getattr(one, "routes", None)
            pending += [getattr(one, "app", None), *(routes if isinstance(routes, list) else ())]

    async def judge(self, request: HttpRequest) -> Decision:
        """Judge one request or handshake."""
        return await self.guard.check(request)

    def headed(self, decision: Decision, _scope: Scope, send: Send) -> Send:
        """Return a ``send`` that adds to the application's answer what the decision says.

        It is the same one where there is nothing to add.
        """
        return adding_headers(lambda: decision.headers, send) if decision.headers else send

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope, as ASGI 3 says.

        Raises:
            ConfigurationError: if the start-up checks fail, or for a protocol that is unknown here
                and so cannot be judged.
        """
        protocol = scope["type"]
        if protocol == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if protocol not in {"http", "websocket"}:
            raise ConfigurationError(f"the guard cannot judge the ASGI protocol {protocol!r}")
        if not self._ready:
            # No lifespan ran: the server has none, or this application is mounted in another.
            self.make_ready()
            self._ready = True
        request, flaw = read_request(scope)
        decision = self.guard.malformed(request, flaw) if flaw else await self.judge(request)
        if decision.response is not None:
            # A refusal, or what the guard itself answers: neither is the application's business.
            await answer(decision.response, scope, send)
            return
        judgement = Judgement(self.guard, request, decision)
        scope[KEY] = judgement
        if scope.get("root_path"):
            _complete(scope)
        send = self.headed(decision, scope, send)
        lasting = self._lasting
        serve = lasting.serve_request if protocol == "http" else lasting.serve_socket
        await serve(self.app, scope, receive, send, judgement)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.make_ready()
        except ConfigurationError as error:
            # Servers take a mere exception for "has no lifespan" and go on; this makes them stop.
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        self._ready = True
        async with self.guard:
            await self.app(scope, receive, send)


def read_request(scope: Mapping[str, Any]) -> tuple[HttpRequest, str | None]:
    """Return what a scope holds as the guard wants it, and why it cannot be judged, if so."""
    path, flaw = _path_as_written(scope)
    query: bytes = scope.get("query_string") or b""
    certificate = None
    extensions = scope.get("extensions")
    if extensions and "tls" in extensions:
        try:
            certificate = _certificate_of(extensions["tls"])
        except NotCertificate as error:
            flaw = flaw or f"the client certificate from the server: {error}"
    request = HttpRequest(
        method=scope.get("method", "GET"),  # A WebSocket opens with GET; its scope has no method.
        url=f"{path}?{query.decode('latin-1')}" if query else path,
        headers=tuple(
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        ),
        peer=_peer_of(scope),
        client_certificate=certificate,
    )
    return request, flaw


def _peer_of(scope: Mapping[str, Any]) -> str | None:
    """Return who is at the other end of the connection, as far as the server says."""
    client = scope.get("client")
    if client:
        # A server may have put there what a header says: that is no Unix socket, whatever it says.
        host: str = client[0]
        return host if host != _UNIX else None
    # No address alone says nothing. A path instead of the server's own address does.
    server = scope.get("server")
    return _UNIX if server and server[1] is None else None


def _certificate_of(tls: Mapping[str, Any]) -> bytes | None:
    """Return what the TLS extension says that the client showed; the chain is not looked at.

    A certificate that the server could not verify was not shown, as far as anyone knows.

    Raises:
        NotCertificate: if the first of the chain is no certificate in PEM.
    """
    chain = tls.get("client_cert_chain")
    if not chain or tls.get("client_cert_error") is not None:
        return None
    if not isinstance(chain, list | tuple) or not isinstance(chain[0], str):
        raise NotCertificate("client_cert_chain is no list of text")
    return read_pem(chain[0])


def _path_as_written(scope: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the path that the application routes by, still encoded, and what is wrong with it."""
    path: str = scope["path"]
    raw_path: bytes | None = scope.get("raw_path")
    # Without raw_path nobody knows how it was written; this form says what the application sees.
    written = (
        quote(path, safe=_PLAIN, errors="replace")
        if raw_path is None
        else raw_path.decode("latin-1")
    )
    if (unquote(written) if "%" in written else written) != path:
        # Litestar's test client leaves the query in it. No server does, and none could be meant.
        head, question, query = written.partition("?")
        left_in = question and query.encode("latin-1") == scope["query_string"]
        if not left_in or unquote(head) != path:
            return written, "raw_path is not what path is decoded from"
        written = head
    if not path.isprintable() and _CONTROL.search(path):
        return written, "the path has a control character"
    prefix: str = scope.get("root_path") or ""
    if prefix and _starts_with(path, prefix):
        # Frameworks cut the prefix from the decoded path: cut here as many segments as it has.
        slashes = prefix.count("/")
        cut = "/".join(written.split("/", slashes + 1)[: slashes + 1])
        if unquote(cut) != prefix:
            return written, "root_path is not where raw_path has it"
        written = written[len(cut) :]
    if not written.startswith("/") or "?" in written:
        return written, "the target is not a path"
    return written, None


def _starts_with(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in {"", "/"}


def _complete(scope: Scope) -> None:
    """Put ``root_path`` in front of a path that was judged without it, so that it is cut there."""
    prefix: str = scope["root_path"]
    if not _starts_with(scope["path"], prefix):
        scope["path"] = prefix + scope["path"]
        if scope.get("raw_path") is not None:
            written = quote(prefix, safe=_PLAIN, errors="replace").encode("ascii")
            scope["raw_path"] = written + scope["raw_path"]
