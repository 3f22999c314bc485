"""``portvakt serve``: workers, their sockets, and a stop that loses nothing."""

from __future__ import annotations

import os
import resource
import signal
import socket
import stat
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer
from msgspec import UNSET

from portvakt.errors import ConfigurationError, Problem
from portvakt.gateway.rsgi import Worker
from portvakt.gateway.serving import Serving

if TYPE_CHECKING:
    from pathlib import Path

    from portvakt.config.gateway_schema import GatewayTable

__all__ = ["serve"]

#: Connections that wait to be taken.
BACKLOG: Final = 4096

#: Connections of one worker, at most; how many files a process may open is another bound.
CONNECTIONS: Final = 65_536

#: Octets of a request's head, at most: a token has 16 KiB, a proof as many, a certificate 8.
MAX_HEAD: Final = 64 * 1024

#: Seconds between the start of two workers.
_PAUSE: Final = 0.5


def serve(path: Path) -> None:
    """Serve until a signal says to stop: SIGTERM and SIGINT end it, SIGHUP reads the policy again.

    Raises:
        ConfigurationError: with everything that is wrong with the policy, before anything listens.
    """
    # The workers read the policy for themselves; this one says what is wrong with it, once.
    first = Serving(path)
    table, listen = first.table, first.settings.listen
    raise_limit()
    where: dict[str, Any] = {"address": listen.host, "port": listen.port}
    if listen.path is not None:
        file = (path.parent / listen.path).absolute()
        _make_room(file)
        where = {"uds": file, "uds_permissions": int(table.socket_mode, 8)}
    server = _Server(
        "portvakt",
        **where,
        **_tls_of(table, path.parent),
        interface=Interfaces.RSGI,
        workers=table.workers,
        runtime_mode=RuntimeModes.st,
        loop=Loops.auto,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        backpressure=CONNECTIONS,
        http1_settings=HTTP1Settings(
            header_read_timeout=int(table.header_timeout * 1000), max_buffer_size=MAX_HEAD
        ),
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        respawn_interval=_PAUSE,
        workers_kill_timeout=max(1, int(table.grace)),
    )
    del first
    # The types of Granian know functions alone.
    loader: Any = partial(Worker, path)
    server.serve(target_loader=loader, wrap_loader=False)


class _Server(MPServer):
    """Granian's supervisor; a reload is the workers' own business."""

    def signal_handler_reload(self, *_arguments: object) -> None:
        """Have every worker read the policy again, without stopping any."""
        for worker in tuple(self.wrks):
            with suppress(ProcessLookupError):
                os.kill(worker.inner.pid, signal.SIGHUP)


def _tls_of(table: GatewayTable, folder: Path) -> dict[str, Any]:
    if table.tls is UNSET:
        return {}
    files = {"certificate": table.tls.certificate, "key": table.tls.key}
    if table.tls.client_ca is not UNSET:
        files["client_ca"] = table.tls.client_ca
    problems = [
        Problem(f"gateway.tls.{name}", "names no file that can be read")
        for name, file in files.items()
        if not os.access(folder / file, os.R_OK)
    ]
    if problems:
        raise ConfigurationError(problems)
    return {
        "ssl_cert": folder / files["certificate"],
        "ssl_key": folder / files["key"],
        "ssl_ca": folder / files["client_ca"] if "client_ca" in files else None,
        "ssl_client_verify": "client_ca" in files,
    }


def _make_room(file: Path) -> None:
    """Take away a Unix socket that nobody listens to any more.

    Raises:
        ConfigurationError: if somebody does, or if it is another kind of file.
    """
    try:
        found = file.lstat()
    except FileNotFoundError:
        if not file.parent.is_dir():
            raise ConfigurationError(
                [Problem("gateway.listen", "is in a folder that does not exist")]
            ) from None
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigurationError([Problem("gateway.listen", "names a file that is no socket")])
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(file)) == 0:
            raise ConfigurationError([Problem("gateway.listen", "is served already")])
    file.unlink()


def raise_limit() -> None:
    """Let this process, and those it starts, open as many files as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
