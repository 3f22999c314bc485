"""One worker of the gateway, as a Granian (RSGI) application."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import TYPE_CHECKING, Any, Final

from portvakt.errors import ConfigurationError
from portvakt.gateway.forward_auth import rendered
from portvakt.gateway.reload import Reloader
from portvakt.gateway.reports import end_with, this_process, write_report
from portvakt.http.forwarded import UNIX
from portvakt.http.response import problem

if TYPE_CHECKING:
    from pathlib import Path

    from portvakt.config.gateway import Listen

__all__ = ["Worker", "readable"]

_log: Final = logging.getLogger("portvakt.gateway")

#: Seconds between two reports.
_INTERVAL: Final = 1.0

#: What stands for a value that cannot be read.
_UNREADABLE: Final = "\xff"

_FAILED: Final = rendered(problem(500, "server_error", "The request could not be decided."))


class Worker:
    """Answers a proxy over HTTP.

    Parameters:
        path: the policy file.
        reports: the folder in which it tells how it is; None: nobody asks.

    Raises:
        ConfigurationError: with everything that is wrong with the policy.
    """

    def __init__(self, path: Path, reports: Path | None = None) -> None:
        self.reloader = Reloader(path)
        self._reports = reports
        self._folder = path.parent.absolute()
        self._parent = os.getppid()
        self._grpc: Any = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._by_socket = self.reloader.serving.reading.settings.listen.path is not None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Get ready, before the first connection is taken."""
        loop.run_until_complete(self.reloader.open())
        envoy = self.reloader.serving.reading.settings.ext_authz
        if envoy is not None:
            loop.run_until_complete(self._serve_grpc(envoy))
        loop.add_signal_handler(signal.SIGHUP, self.reloader.hurry)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # See serve().
        self._tasks = loop.create_task(self._tell()), loop.create_task(end_with(self._parent))

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give back what is open, after the last answer."""
        for task in self._tasks:
            task.cancel()
        if self._grpc is not None:
            loop.run_until_complete(self._grpc.stop(self.reloader.serving.reading.table.grace))
        loop.run_until_complete(self.reloader.close())
        self._report()

    async def _serve_grpc(self, listen: Listen) -> None:
        from portvakt.gateway.ext_authz import start

        place = f"unix:{self._folder / listen.path}" if listen.path else listen.text
        self._grpc = await start(place, self._check)

    async def _check(self, message: bytes, context: Any) -> bytes:
        serving = self.reloader.serving
        serving.under_way += 1
        try:
            if serving.ext_authz is None:
                # The file does not state it any more; the address is given up at the next start.
                raise ConfigurationError("gateway.ext_authz is not stated")
            return await serving.ext_authz.serve(message, context)
        finally:
            serving.under_way -= 1

    async def _tell(self) -> None:
        while True:
            self._report()
            await asyncio.sleep(_INTERVAL)

    def _report(self) -> None:
        if self._reports is None:
            return
        try:
            write_report(self._reports, this_process(self.reloader))
        except OSError as error:
            _log.error("the admin address cannot be told: %s", type(error).__name__)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request."""
        serving = self.reloader.serving
        serving.under_way += 1
        try:
            headers = readable(scope.headers)
            peer = UNIX if self._by_socket else _address_of(scope.client)
            answer = await serving.auth.answer(headers, peer)
        except Exception as error:  # noqa: BLE001  a fault of ours must not admit anyone
            _log.error("internal error, request refused: %s", type(error).__name__)
            answer = _FAILED
        finally:
            serving.under_way -= 1
        if answer.body:
            protocol.response_bytes(answer.status, answer.headers, answer.body)
        else:
            protocol.response_empty(answer.status, answer.headers)


def readable(sent: Any) -> list[tuple[str, str]]:
    """Return the header lines of a request, and a name for each that has none that can be read.

    Granian leaves out lines whose value is not visible ASCII. Some headers do what they do by being
    there at all, with whatever value a server strips or reads: one that overrides the method, or is
    taken for who was admitted. And a credential that cannot be read is none that is missing. So the
    name is judged, with a value that no header has a meaning for.

    A line of that kind beside a good one of the same name cannot be seen. Then the good one is
    judged: of an identity or an override it is refused, and credentials the API is not sent.

    Parameters:
        sent: the headers as Granian gives them.
    """
    headers: list[tuple[str, str]] = sent.items()
    # Its length is that of its names; to compare the two is all that nearly every request costs.
    found = dict(headers)
    if len(sent) != len(found):
        headers += [(name, _UNREADABLE) for name in sent if name not in found]
    return headers


def _address_of(client: str) -> str:
    """Return the address of ``address:port``; IPv6 without its brackets."""
    return client.rpartition(":")[0].removeprefix("[").removesuffix("]")
