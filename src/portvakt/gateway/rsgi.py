"""One worker of the gateway, as a Granian (RSGI) application."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING, Any, Final

from portvakt.gateway.forward_auth import rendered
from portvakt.gateway.reload import Reloader
from portvakt.http.forwarded import UNIX
from portvakt.http.response import problem

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

__all__ = ["Worker"]

_log: Final = logging.getLogger("portvakt.gateway")

_FAILED: Final = rendered(problem(500, "server_error", "The request could not be decided."))


class Worker:
    """Answers a proxy over HTTP.

    Parameters:
        path: the policy file.

    Raises:
        ConfigurationError: with everything that is wrong with the policy.
    """

    def __init__(self, path: Path) -> None:
        self.reloader = Reloader(path)
        self._by_socket = self.reloader.serving.settings.listen.path is not None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Get ready, before the first connection is taken."""
        loop.run_until_complete(self.reloader.open())
        loop.add_signal_handler(signal.SIGHUP, self.reloader.hurry)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give back what is open, after the last answer."""
        loop.run_until_complete(self.reloader.close())

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request."""
        serving = self.reloader.serving
        serving.under_way += 1
        try:
            headers = scope.headers
            lines = headers.items()
            peer = UNIX if self._by_socket else _address_of(scope.client)
            # Granian leaves out values that are not visible ASCII; nobody may profit from that.
            answer = await serving.auth.answer(lines, peer, readable=len(headers) == len(lines))
        except Exception as error:  # noqa: BLE001  a fault of ours must not admit anyone
            _log.error("internal error, request refused: %s", type(error).__name__)
            answer = _FAILED
        finally:
            serving.under_way -= 1
        if answer.body:
            protocol.response_bytes(answer.status, answer.headers, answer.body)
        else:
            protocol.response_empty(answer.status, answer.headers)


def _address_of(client: str) -> str:
    """Return the address of ``address:port``; IPv6 without its brackets."""
    return client.rpartition(":")[0].removeprefix("[").removesuffix("]")
