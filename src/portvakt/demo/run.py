"""The demo itself: a server on loopback, and every scene sent to it over real HTTP.

Nothing is simulated. The requests leave through a socket, uvicorn receives them, the guard judges
them, and what it decided is noted beside what was answered.
"""

from __future__ import annotations

import re
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

import httpx2
import uvicorn
from msgspec import Struct

from portvakt.adapters.fastapi import FastAPIGuard
from portvakt.clock import SystemClock
from portvakt.demo.api import AUDIENCE, READ, ROUTES, journal_api
from portvakt.demo.scenes import SCENES, Scene
from portvakt.demo.sent import JOURNAL, Cast
from portvakt.refusal import Code
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from fastapi import FastAPI

    from portvakt.guard import Decision, HttpRequest

    Messages = Callable[..., Awaitable[Any]]
    App = Callable[[Any, Messages, Messages], Awaitable[None]]

__all__ = ["Demo", "DemoError", "Row", "play_all"]

ISSUER: Final = "https://sts.example.no"

#: Says which scene a request belongs to, so that each is counted where it arrives.
_SCENE_HEADER: Final = "Portvakt-Demo-Scene"

#: Room for the token of a megabyte: the guard is to refuse it, not the server before it.
_MAX_HEADERS: Final = 2 * 1024 * 1024

#: Seconds for the server to start, for it to stop, and for one answer.
_PATIENCE: Final = 10.0

_ERROR: Final = re.compile(r'\berror="([a-z_]+)"')


class DemoError(Exception):
    """The demo could not be played: its server did not start, or its port is taken."""


class Row(Struct, frozen=True, kw_only=True):
    """What came of a scene.

    Attributes:
        scene: what was sent and what had to happen.
        status: the HTTP status that was answered; None if there was no answer.
        error: the OAuth error code in ``WWW-Authenticate``, or None.
        code: why the guard refused; None if it admitted, or was never asked.
        judged: whether the guard was asked at all.
        arrived: how often the server saw this very request; it must be once.
    """

    scene: Scene
    status: int | None
    error: str | None
    code: Code | None
    judged: bool
    arrived: int

    @property
    def ok(self) -> bool:
        """Whether everything went as it must: answer, reason, and that it went over HTTP."""
        expected = self.scene.code.error if self.scene.code else None
        return (
            self.judged
            and self.arrived == 1
            and (self.status, self.error, self.code)
            == (self.scene.status, expected, self.scene.code)
        )


class Demo:
    """A sample API, served on loopback as long as the ``with`` block lasts.

    Parameters:
        port: the port to listen on; 0 for any that is free.
        build: makes the API of its guard; the sample journal API by default.

    Attributes:
        cast: the issuer that the API trusts, and its honest token.
        url: where the API is.

    Raises:
        DemoError: on entering, if the server does not start.
    """

    cast: Final[Cast]
    url: str

    def __init__(
        self, port: int = 0, build: Callable[[FastAPIGuard], FastAPI] = journal_api
    ) -> None:
        issuer = FakeIssuer(ISSUER, audience=AUDIENCE, clock=SystemClock())
        self.cast = Cast.of(issuer)
        self._decisions: list[Decision] = []
        guard = FastAPIGuard.from_config(
            issuer.config(route=list(ROUTES)), clock=issuer.clock, observers=(self._note,)
        )
        self._door = _Door(build(guard))
        self._server = _Server(self._door)
        self._port = port

    def __enter__(self) -> Self:
        """Start the server."""
        self.url = f"http://127.0.0.1:{self._server.start(self._port)}"
        # Straight to loopback, without a proxy of the environment; and a connection for each scene,
        # so that none can spoil it for the next.
        self._client = httpx2.Client(
            trust_env=False,
            timeout=_PATIENCE,
            follow_redirects=False,
            limits=httpx2.Limits(max_keepalive_connections=0),
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the server, whatever happened."""
        self._client.close()
        self._server.stop()

    def play(self, scene: Scene) -> Row:
        """Send the request of one scene, and see what comes of it."""
        sent = scene.make(self.cast)
        self._decisions.clear()
        before = self._door.seen.count(scene.id)
        # The target extension sends the target as it is: httpx would resolve dots and encode anew.
        request = self._client.build_request(
            sent.method,
            self.url,
            headers=[*sent.headers, (_SCENE_HEADER, scene.id)],
            content=sent.body or None,
            extensions={"target": sent.target.encode("ascii")},
        )
        try:
            answer = self._client.send(request)
        except httpx2.TransportError:
            status, challenge = None, ""
        else:
            status, challenge = answer.status_code, answer.headers.get("WWW-Authenticate", "")
        error = _ERROR.search(challenge)
        # The last decision counts: a route's own demand is judged after the policy's.
        refusal = self._decisions[-1].refusal if self._decisions else None
        return Row(
            scene=scene,
            status=status,
            error=error[1] if error else None,
            code=refusal.code if refusal else None,
            judged=bool(self._decisions),
            arrived=self._door.seen.count(scene.id) - before,
        )

    @property
    def requests(self) -> int:
        """How many requests have arrived at the server, outside the guard."""
        return len(self._door.seen)

    def curl_lines(self) -> tuple[tuple[str, str], ...]:
        """Return commands to try by hand, each with what to expect of it. They hold tokens."""
        curl = f"curl -i {self.url}{JOURNAL}"
        honest = self.cast.issuer.token(scopes=[READ])
        expired = self.cast.issuer.forged("expired", [READ])
        return (
            (
                "An honest token: 200, and 401 when it has expired, in five minutes",
                f"{curl} -H 'Authorization: Bearer {honest}'",
            ),
            ("An expired token: 401", f"{curl} -H 'Authorization: Bearer {expired}'"),
            ("No token: 401", curl),
        )

    def wait(self) -> None:
        """Return when the server has stopped; Ctrl-C gets through."""
        self._server.wait()

    def _note(self, _: HttpRequest, decision: Decision) -> None:
        self._decisions.append(decision)


def play_all(demo: Demo) -> Iterator[Row]:
    """Play every scene in its order."""
    for scene in SCENES:
        yield demo.play(scene)


class _Door:
    """Stands outside the guard and counts who comes: evidence that a scene went over HTTP."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.seen: list[str] = []

    async def __call__(self, scope: Mapping[str, Any], receive: Messages, send: Messages) -> None:
        if scope["type"] == "http":
            name = _SCENE_HEADER.lower().encode()
            self.seen.append(dict(scope["headers"]).get(name, b"").decode("latin-1"))
        await self._app(scope, receive, send)


class _Server(uvicorn.Server):
    """uvicorn in a thread of its own, on a socket that is bound before it starts."""

    def __init__(self, app: App) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                loop="asyncio",
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="critical",
                access_log=False,
                h11_max_incomplete_event_size=_MAX_HEADERS,
                timeout_graceful_shutdown=1,
            )
        )
        self._settled = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, port: int) -> int:
        """Serve on 127.0.0.1 until :meth:`stop`; return the port."""
        # asyncio switches Nagle's delay off only where the protocol is named: else 40 ms an answer.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            listener.close()
            raise DemoError(f"port {port} of 127.0.0.1 cannot be used: {error.strerror}") from None
        # A daemon: whatever happens to it, the process can end.
        self._thread = threading.Thread(
            target=self._serve_on, args=(listener,), name="portvakt-demo", daemon=True
        )
        self._thread.start()
        self._settled.wait(_PATIENCE)
        if not self.started:
            self.stop()
            raise DemoError("the server of the sample API did not start")
        return int(listener.getsockname()[1])

    def stop(self) -> None:
        """Stop serving, and wait until it has stopped."""
        self.should_exit = True
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    def wait(self) -> None:
        """Return when it has stopped serving."""
        while self._thread is not None and self._thread.is_alive():
            # In short turns: on Windows an endless one would not hear Ctrl-C.
            self._thread.join(0.5)

    def _serve_on(self, listener: socket.socket) -> None:
        try:
            self.run(sockets=[listener])
        except SystemExit:
            pass  # uvicorn's word for a lifespan that failed; start() says so.
        finally:
            self._settled.set()
            listener.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say when it is ready, so that nobody needs to ask again and again."""
        await super().startup(sockets)
        self._settled.set()
