"""The operator's address: healthz, readyz, metrics, status, revocation, and pushed events.

A process of its own, so that it answers also when every worker is busy. It is never the address
that the proxy asks. What it shows holds no token, no key and nothing of a person; whoever revokes
shows a secret, and whoever pushes an event signs it (RFC 8935).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final

import msgspec
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server
from msgspec import UNSET, Struct

from portvakt.errors import ConfigurationError, Unavailable
from portvakt.gateway.forward_auth import Answer, rendered
from portvakt.gateway.reading import Reading
from portvakt.gateway.reload import Reloader
from portvakt.gateway.reports import Report, end_with, read_reports, snapshots
from portvakt.http.response import problem
from portvakt.stores.urls import MEMORY, scheme_of
from portvakt.telemetry.prometheus import CONTENT_TYPE, render

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

__all__ = ["Admin", "run_admin"]

_log: Final = logging.getLogger("portvakt.gateway")

#: Octets of a body that are read at most.
MAX_BODY: Final = 64 * 1024

_TEXT: Final = [("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store")]
_JSON: Final = [("content-type", "application/json"), ("cache-control", "no-store")]

_UNKNOWN: Final = rendered(problem(404, "not_found", "There is nothing here."))
_METHOD: Final = rendered(problem(405, "method_not_allowed", "This takes another method."))
_NO_TOKEN: Final = rendered(
    problem(
        401,
        "unauthorized",
        "The admin token is required.",
        (("WWW-Authenticate", 'Bearer realm="portvakt admin"'),),
    )
)
_MALFORMED: Final = rendered(problem(400, "invalid_request", "The body is not what this takes."))
_TOO_LONG: Final = rendered(problem(413, "too_long", "The body is too long."))
_UNCERTAIN: Final = rendered(
    problem(503, "unavailable", "It is not certain that it is written. Try again; it does no harm.")
)
_FAILED: Final = rendered(problem(500, "server_error", "An internal error."))


class _RevokeBody(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``POST /revoke`` takes: the parameters of :meth:`portvakt.Guard.revoke`."""

    issuer: str
    kind: str
    value: str = ""
    issued_before: float | None = None
    keep_for: float | None = None

    # Values name sessions and persons.
    def __repr__(self) -> str:
        """Show what kind of thing is revoked."""
        return f"_RevokeBody(kind={self.kind!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        """Show to rich what repr shows."""
        return [("kind", self.kind)]


class Admin:
    """Answers the operator.

    Parameters:
        path: the policy file.
        reports: the folder with what the workers tell.
    """

    def __init__(self, path: Path, reports: Path) -> None:
        self._reports = reports
        reading = Reading(path)
        self.listen = reading.settings.admin
        self._token = reading.admin_token
        tables, store = reading.policy.configuration, reading.policy.configuration.store
        pushed = any(one.events is not UNSET and one.events.push for one in tables.issuer)
        # Only who writes to the store needs a guard here; the memory of one process is another's.
        shared = store is not UNSET and scheme_of(store.url) != MEMORY
        self.reloader = Reloader(path) if shared and (self._token or pushed) else None
        self._pages: dict[str, tuple[str, Callable[[Any, Any], Awaitable[Answer]]]] = {
            "/healthz": ("GET", self._healthz),
            "/readyz": ("GET", self._readyz),
            "/metrics": ("GET", self._metrics),
            "/status": ("GET", self._status),
            "/.well-known/jwks.json": ("GET", self._jwks),
        }
        if self._token is not None:
            self._pages["/revoke"] = ("POST", self._revoke)
        if pushed and self.reloader is not None:
            self._pages["/events"] = ("POST", self._events)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request."""
        method, page = self._pages.get(scope.path, ("", None))
        try:
            if page is None:
                answer = _UNKNOWN
            elif scope.method != method and not (method == "GET" and scope.method == "HEAD"):
                answer = _METHOD
            else:
                answer = await page(scope, protocol)
        except Exception as error:  # noqa: BLE001  the message could hold what was sent
            _log.error("internal error at the admin address: %s", type(error).__name__)
            answer = _FAILED
        if answer.body and scope.method != "HEAD":
            protocol.response_bytes(answer.status, answer.headers, answer.body)
        else:
            protocol.response_empty(answer.status, answer.headers)

    async def _healthz(self, _scope: Any, _protocol: Any) -> Answer:
        return (
            Answer(200, _TEXT, b"ok\n")
            if self._alive()
            else Answer(503, _TEXT, b"no worker answers\n")
        )

    async def _readyz(self, _scope: Any, _protocol: Any) -> Answer:
        alive = self._alive()
        ready = bool(alive) and all(report.ready for report in alive)
        told = {
            "ready": ready,
            "workers": [
                {
                    "ready": report.ready,
                    "generation": report.generation,
                    "policy_file_broken": report.broken,
                }
                for report in alive
            ],
        }
        return Answer(200 if ready else 503, _JSON, msgspec.json.encode(told))

    async def _status(self, _scope: Any, _protocol: Any) -> Answer:
        alive = self._alive()
        told = [
            {name: getattr(one, name) for name in ("pid", "at", "generation", "broken", "health")}
            for one in alive
        ]
        return Answer(200, _JSON, msgspec.json.encode({"workers": told}))

    async def _metrics(self, _scope: Any, _protocol: Any) -> Answer:
        page = render(snapshots(read_reports(self._reports)))
        return Answer(200, [("content-type", CONTENT_TYPE), ("cache-control", "no-store")], page)

    async def _jwks(self, _scope: Any, _protocol: Any) -> Answer:
        # While a policy is read again, workers may sign with two keys for a moment.
        told = [report.identity_key for report in self._alive()]
        keys = [key for at, key in enumerate(told) if key is not None and key not in told[:at]]
        return Answer(200, _JSON, msgspec.json.encode({"keys": keys}))

    async def _revoke(self, scope: Any, protocol: Any) -> Answer:
        if not self._shows_token(scope.headers):
            return _NO_TOKEN
        octets = await _body(protocol)
        if octets is None:
            return _TOO_LONG
        try:
            body = msgspec.json.decode(octets, type=_RevokeBody)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return _MALFORMED
        if self.reloader is None:
            return _UNKNOWN
        try:
            await self.reloader.serving.guard.revoke(
                body.issuer,
                body.kind,
                body.value,
                issued_before=body.issued_before,
                keep_for=body.keep_for,
            )
        except ConfigurationError as error:
            # Messages name settings and never values: see portvakt.errors.named.
            text = "; ".join(str(one) for one in error.problems)
            return rendered(problem(400, "invalid_request", text))
        except Unavailable:
            return _UNCERTAIN
        return Answer(204, [("cache-control", "no-store")], b"")

    async def _events(self, scope: Any, protocol: Any) -> Answer:
        octets = await _body(protocol)
        if octets is None:
            return _TOO_LONG
        if self.reloader is None:
            return _UNKNOWN
        kind = scope.headers.get("content-type")
        return rendered(await self.reloader.serving.guard.receive_event(octets, kind))

    def _alive(self) -> list[Report]:
        return [report for report in read_reports(self._reports) if report.alive]

    def _shows_token(self, headers: Any) -> bool:
        shown = [value for name, value in headers.items() if name == "authorization"]
        if len(shown) != 1 or self._token is None or shown[0][:7].lower() != "bearer ":
            return False
        return compare_digest(shown[0][7:].encode(), self._token.encode())


async def _body(protocol: Any) -> bytes | None:
    """Return the body of a request; None if it is longer than anything that is taken here."""
    found = bytearray()
    async for part in protocol:
        found += part
        if len(found) > MAX_BODY:
            return None
    return bytes(found)


def run_admin(path: Path, reports: Path) -> None:
    """Serve the admin address until SIGTERM; what the supervisor's second process does."""
    asyncio.run(_serve(path, reports))


async def _serve(path: Path, reports: Path) -> None:
    admin = Admin(path, reports)
    listen = admin.listen
    if listen is None:
        return
    where: dict[str, Any] = {"address": listen.host, "port": listen.port}
    if listen.path is not None:
        where = {"uds": (path.parent / listen.path).absolute()}
    server = Server(
        admin,
        **where,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        http1_settings=HTTP1Settings(header_read_timeout=10_000, max_buffer_size=MAX_BODY),
        log_level=LogLevels.error,
    )
    loop = asyncio.get_running_loop()
    watching = loop.create_task(end_with(os.getppid()))
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, server.stop)
    reloader = admin.reloader
    loop.add_signal_handler(signal.SIGHUP, reloader.hurry if reloader else lambda: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # See serve().
    if reloader is not None:
        await reloader.open()
    try:
        await server.serve()
    finally:
        watching.cancel()
        if reloader is not None:
            await reloader.close()
