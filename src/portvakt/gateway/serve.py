"""``portvakt serve``: workers, their sockets, and a stop that loses nothing."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import signal
import socket
import stat
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer
from msgspec import UNSET

from portvakt.errors import ConfigurationError, Problem
from portvakt.gateway.admin import run_admin
from portvakt.gateway.rsgi import Worker
from portvakt.gateway.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from portvakt.config.gateway_schema import GatewayTable

__all__ = ["serve"]

_log: Final = logging.getLogger("portvakt.gateway")

#: Connections that wait to be taken.
BACKLOG: Final = 4096

#: Connections of one worker, at most.
CONNECTIONS: Final = 65_536

#: Files that a worker keeps for itself, of all that it may open: stores, keys, its own reports.
RESERVE: Final = 256

#: Octets of a request's head, at most: a token has 16 KiB, a proof as many, a certificate 8.
MAX_HEAD: Final = 64 * 1024

#: Seconds between the start of two workers.
_PAUSE: Final = 0.5


def serve(path: Path) -> None:
    """Serve until a signal says to stop: SIGTERM and SIGINT end it, SIGHUP reads the policy again.

    Raises:
        ConfigurationError: with everything that is wrong with the policy, before anything listens.
    """
    # Every process inherits this, and takes SIGHUP when it is ready for it: one that comes early
    # waits, where it would otherwise end the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    # The workers read the policy for themselves; this one says what is wrong with it, once.
    reading = Serving(path).reading
    table, listen, admin = reading.table, reading.settings.listen, reading.settings.admin
    connections = _most_connections()
    # Whoever may write to a Unix socket may connect to it: nobody does whom its mode does not name,
    # not even before it has that mode, and no stranger reaches the admin address.
    os.umask(os.umask(0o077) | 0o002)
    where: dict[str, Any] = {"address": listen.host, "port": listen.port}
    if listen.path is not None:
        file = (path.parent / listen.path).absolute()
        _make_room(file, "gateway.listen")
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
        backpressure=connections,
        http1_settings=HTTP1Settings(
            header_read_timeout=int(table.header_timeout * 1000), max_buffer_size=MAX_HEAD
        ),
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        respawn_interval=_PAUSE,
        workers_kill_timeout=max(1, int(table.grace)),
    )
    server.listen_for_reloads()
    if admin is not None and admin.path is not None:
        _make_room((path.parent / admin.path).absolute(), "gateway.admin")
    with tempfile.TemporaryDirectory(prefix="portvakt-") as folder:
        reports = Path(folder)
        if admin is not None:
            server.accompany(partial(run_admin, path, reports))
        # The types of Granian know functions alone.
        loader: Any = partial(Worker, path, reports)
        server.serve(target_loader=loader, wrap_loader=False)


class _Server(MPServer):
    """Granian's supervisor, with one more process; a reload is the processes' own business."""

    _companion: multiprocessing.process.BaseProcess | None = None
    _stopping = False

    def accompany(self, work: Callable[[], None]) -> None:
        """Have a process beside the workers, started again should it end."""
        self.on_startup(lambda: threading.Thread(target=self._accompany, args=(work,)).start())
        self.on_shutdown(self._dismiss)

    def _accompany(self, work: Callable[[], None]) -> None:
        while not self._stopping:
            # Not forked: it would inherit the workers' sockets.
            self._companion = multiprocessing.get_context("spawn").Process(target=work)
            self._companion.start()
            self._companion.join()
            if not self._stopping:
                _log.error("the process of the admin address ended, it is started again")
                time.sleep(_PAUSE)

    def _dismiss(self) -> None:
        self._stopping = True
        if self._companion is not None:
            self._companion.terminate()

    def listen_for_reloads(self) -> None:
        """Have a thread wait for SIGHUP, which is blocked in all others."""

        def listen() -> None:
            while signal.sigwait({signal.SIGHUP}):
                self.signal_handler_reload()

        self.on_startup(lambda: threading.Thread(target=listen, daemon=True).start())

    def signal_handler_reload(self, *_arguments: object) -> None:
        """Have every process read the policy again, without stopping any."""
        for process in (*(worker.inner for worker in self.wrks), self._companion):
            if process is not None and process.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGHUP)


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


def _make_room(file: Path, place: str) -> None:
    """Take away a Unix socket that nobody listens to any more.

    Raises:
        ConfigurationError: if somebody does, or if it is another kind of file.
    """
    try:
        found = file.lstat()
    except FileNotFoundError:
        if not file.parent.is_dir():
            raise ConfigurationError(
                [Problem(place, "is in a folder that does not exist")]
            ) from None
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigurationError([Problem(place, "names a file that is no socket")])
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(file)) == 0:
            raise ConfigurationError([Problem(place, "is served already")])
    file.unlink()


def _most_connections() -> int:
    """Open as many files as the system allows from now on; return how many may be connections.

    A worker whose connections took the last of its files could read no policy, ask no issuer and
    write to no store. Those beyond wait to be taken until one of the others ends, and whoever is
    silent for ``header_timeout`` is thrown out.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return CONNECTIONS
    return max(1, min(CONNECTIONS, limit - min(RESERVE, limit // 2)))
