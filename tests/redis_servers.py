"""Real Redis servers, started by the tests on loopback, each in a folder of its own.

``redis-server`` is looked for on PATH. ``PORTVAKT_TEST_REDIS`` may name a server that is there
already (``redis://…``, a database of it that may be emptied); what has to kill, stop or configure
a server starts its own nevertheless. Valkey's server speaks the same protocol and takes the same
settings: ``PORTVAKT_TEST_REDIS_SERVER=valkey-server`` tests with it.

Where there is none, tests are skipped and say why; with ``CI=true`` they fail.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Final

from servers import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["REDIS_URL", "Cluster", "Server", "redis_cluster", "redis_server"]

# Read when this is imported: tests run without the variables of Portvakt.
REDIS_URL: Final = os.environ.get("PORTVAKT_TEST_REDIS")
_PROGRAM: Final = os.environ.get("PORTVAKT_TEST_REDIS_SERVER", "redis-server")

_PATIENCE: Final = 20.0
_SLOTS: Final = 16384


def program() -> str:
    """Return where the server's program is, or skip the test; with CI=true, fail it."""
    found = shutil.which(_PROGRAM)
    if found is None:
        missing("Redis", "apt-get install redis-server")
    return found


# Below the ports that a system gives to whoever asks for any; each process begins elsewhere.
_ports: Final = cycle(range(10_000, 20_000))
for _ in range(os.getpid() * 97 % 10_000):
    next(_ports)


def free_port() -> int:
    """Return a port on which nobody listens; a node of a cluster takes another 10 000 above."""
    while True:
        port = next(_ports)
        try:
            for each in (port, port + 10_000):
                with socket.socket() as listener:
                    listener.bind(("127.0.0.1", each))
        except OSError:
            continue
        return port


class Server:
    """One server: started, asked, stopped, killed, paused, started again on the same files."""

    def __init__(self, folder: Path, *settings: str, port: int | None = None) -> None:
        self.folder = folder
        self.settings = settings
        self.port = free_port() if port is None else port
        self.password: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Server:
        """Start it, and wait until it answers."""
        plain = () if "--tls-port" in self.settings else ("--port", str(self.port))
        command = [
            program(), *plain, "--bind", "127.0.0.1", "--dir", str(self.folder),
            "--daemonize", "no", "--logfile", str(self.folder / "log"),
            # By default a replica waits five seconds for others that might come.
            "--repl-diskless-sync-delay", "0", *self.settings,
        ]  # fmt: skip
        self._process = subprocess.Popen(command)
        self._paused = False
        if plain:
            self.wait_for(lambda: self.command("PING") in {"PONG", "-NOAUTH"})
        else:
            self.wait_for(self._listens)
        return self

    def command(self, *words: str) -> str:
        """Ask it one thing and return the first line of the answer, a bulk answer's whole text."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as line:
            if self.password is not None:
                _ask(line, "AUTH", self.password)
            return _ask(line, *words)

    def info(self, field: str) -> str:
        """Return one field of INFO."""
        for line in self.command("INFO", "everything").splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return value.strip()
        raise LookupError(field)

    def stop(self) -> None:
        """End it in peace."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Make it hang: its sockets stay open, and nothing answers."""
        self._signal(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)
        self._paused = False

    def wait_for(self, condition: object) -> None:
        """Wait until something holds; its errors count as no."""
        assert callable(condition)
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                if condition():
                    return
            except (OSError, LookupError):
                pass
            if time.monotonic() > end or (self._process and self._process.poll() is not None):
                log = self.folder / "log"
                raise RuntimeError(
                    log.read_text() if log.exists() else "the server is not as it should be"
                )
            time.sleep(0.01)

    def _listens(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: int) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._signal(number)
        if self._paused:
            self._signal(signal.SIGCONT)
        self._process.wait(timeout=_PATIENCE)


class Cluster:
    """Masters, each with its share of the slots."""

    def __init__(self, servers: tuple[Server, ...]) -> None:
        self.servers = servers

    @property
    def url(self) -> str:
        """Where its nodes are."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return f"redis+cluster://{hosts}"

    def owner(self, slot: int) -> Server:
        """Return the server that was given a slot."""
        return self.servers[slot * len(self.servers) // _SLOTS]

    def join(self) -> None:
        """Make the servers one cluster."""
        count = len(self.servers)
        for number, server in enumerate(self.servers):
            first = -(-number * _SLOTS // count)
            last = -(-(number + 1) * _SLOTS // count) - 1
            assert server.command("CLUSTER", "ADDSLOTSRANGE", str(first), str(last)) == "OK"
            server.command("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
        for server in self.servers[1:]:
            server.command("CLUSTER", "MEET", "127.0.0.1", str(self.servers[0].port))
        for server in self.servers:
            server.wait_for(lambda server=server: self._complete(server))

    def _complete(self, server: Server) -> bool:
        state = server.command("CLUSTER", "INFO")
        known = f"cluster_known_nodes:{len(self.servers)}"
        return "cluster_state:ok" in state and known in state


@contextmanager
def redis_server(*settings: str, port: int | None = None) -> Iterator[Server]:
    """Start a server that keeps what it has: every write goes to its file."""
    kept = ("--save", "", "--appendonly", "yes", "--appendfsync", "everysec")
    with tempfile.TemporaryDirectory(prefix="portvakt-redis-") as folder:
        server = Server(Path(folder), *kept, *settings, port=port)
        try:
            yield server.start()
        finally:
            server.kill()


@contextmanager
def redis_cluster(*settings: str, nodes: int = 3) -> Iterator[Cluster]:
    """Start a cluster of masters."""
    with ExitStack() as stack:
        own = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1500", *settings)
        servers = tuple(stack.enter_context(redis_server(*own)) for _ in range(nodes))
        cluster = Cluster(servers)
        cluster.join()
        yield cluster


def _ask(line: socket.socket, *words: str) -> str:
    """Say one command in Redis's own protocol and read the answer."""
    encoded = [word.encode() for word in words]
    line.sendall(
        b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in encoded)
    )
    with line.makefile("rb") as reader:
        first = reader.readline().decode().rstrip()
        if not first:
            raise ConnectionError("no answer")
        if first.startswith("$") and first != "$-1":
            return reader.read(int(first[1:]) + 2)[:-2].decode()
    return first.split(" ")[0] if first.startswith("-") else first.lstrip("+:")
