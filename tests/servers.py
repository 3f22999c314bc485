"""Real servers for tests: found on this machine, or by a URL, or said to be missing in one line.

A server that is found is started by us, once a session, in a folder of its own, on loopback; it can
be killed, paused and started again. One that a URL leads to is only used. What could not be had is
skipped and named in one line at the end; with ``CI=true`` it fails.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Read before a fixture takes such variables away from the tests.
POSTGRESQL_URL: Final = os.environ.get("PORTVAKT_TEST_POSTGRESQL")
CI: Final = os.environ.get("CI") == "true"
#: How often two processes meet at one proof.
ROUNDS: Final = int(os.environ.get("PORTVAKT_ROUNDS", "200"))

PASSWORD: Final = "a-password-of-the-tests"  # never to be seen anywhere

_missing: Final[dict[str, str]] = {}
_numbers: Final = itertools.count(1)


def missing(what: str, how: str) -> NoReturn:
    """Skip a test because a server is missing; with CI=true, fail.

    Parameters:
        what: the server, as the closing line names it.
        how: how to get it.
    """
    _missing[what] = how
    if CI:
        pytest.fail(f"{what} could not be tested: {how}")
    pytest.skip(f"no {what} here")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _missing:
        parts = (f"what needs {what} ({way})" for what, way in sorted(_missing.items()))
        terminalreporter.write_line(f"not run: {'; '.join(parts)}")


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def until(done: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for what a server does by itself."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "a server of the tests did not get ready"
        time.sleep(0.05)


def family(pid: int) -> list[int]:
    """The children of a process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if path.read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(int(path.parent.name))
    return found


def state(pid: int) -> str | None:
    """What a process is doing, as one letter; None if there is none."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return None


def _stands_still(pid: int) -> bool:
    return state(pid) in {"T", "Z", None}


class Postgresql:
    """A PostgreSQL server of our own, or one that a URL leads to.

    Each test has a database of its own, which belongs to a role that may do nothing else.
    """

    def __init__(self, binaries: Path | None, url: str | None) -> None:
        self._binaries = binaries
        self._url = url
        self._process: subprocess.Popen[bytes] | None = None
        # The path of a socket has to be short.
        self._folder = Path(tempfile.mkdtemp(prefix="pv-pg-", dir="/tmp"))
        # It refuses to be run by root.
        self._user: Any = {"user": "postgres"} if os.geteuid() == 0 else {}
        self.port = free_port()
        if binaries is not None:
            self._initialise(binaries)
            self.start()
        with self.admin() as connection:
            found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'portvakt'")
            if found.fetchone() is None:
                connection.execute(f"CREATE ROLE portvakt LOGIN PASSWORD '{PASSWORD}'")

    @property
    def is_ours(self) -> bool:
        """Whether it can be stopped."""
        return self._binaries is not None

    def _initialise(self, binaries: Path) -> None:
        if self._user:
            shutil.chown(self._folder, "postgres")
        password = self._folder / "password"
        password.write_text(PASSWORD)
        if self._user:
            shutil.chown(password, "postgres")
        subprocess.run(
            [
                *(binaries / "initdb", "--pgdata", self._folder / "data", "--encoding=UTF8"),
                *("--username=postgres", f"--pwfile={password}", "--auth=scram-sha-256"),
                *("--no-locale", "--no-sync"),
            ],
            check=True,
            capture_output=True,
            cwd=self._folder,
            **self._user,
        )

    def admin(self, database: str = "postgres") -> Any:
        """A connection that may do everything."""
        import psycopg

        if self._url is not None:
            return psycopg.connect(self._url, autocommit=True, dbname=database)
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            password=PASSWORD,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )

    def database(self, template: str | None = None) -> str:
        """Make a database, and return its name."""
        name = f"portvakt_test_{os.getpid()}_{next(_numbers)}"
        with self.admin() as connection:
            copied = "" if template is None else f" TEMPLATE {template}"
            connection.execute(f"CREATE DATABASE {name} OWNER portvakt{copied}")
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is in it."""
        with self.admin() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def url(self, database: str) -> str:
        """Where a database is, without the password."""
        if self._url is None:
            return f"postgresql://portvakt@127.0.0.1:{self.port}/{database}"
        from psycopg.conninfo import conninfo_to_dict

        found = conninfo_to_dict(self._url)
        host, port = found.get("host", ""), found.get("port", 5432)
        return f"postgresql://portvakt@{host}:{port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert self._binaries is not None
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self._folder,
            "max_connections": 100,
            "shared_buffers": "32MB",
        }
        settings = [("-c", f"{name}={value}") for name, value in options.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._binaries / "postgres", "-D", self._folder / "data"),
                    *itertools.chain.from_iterable(settings),
                ],
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
                **self._user,
            )
        until(self.answers)

    def answers(self) -> bool:
        """Whether it takes connections."""
        import psycopg

        try:
            self.admin().close()
        except psycopg.Error:
            return False
        return True

    def stop(self) -> None:
        """Stop it in an orderly way; connections are cut."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        pid = self.pid
        children = family(pid)
        os.kill(pid, signal.SIGKILL)
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._end(signal.SIGKILL)
        until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Let it hang: connections stay, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        until(lambda: state(self.pid) == "T")
        # From here on it has no more children than these.
        for one in family(self.pid):
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGSTOP)
            until(partial(_stands_still, one))

    def resume(self) -> None:
        """Let it go on."""
        for one in (*family(self.pid), self.pid):
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGCONT)

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(how)
        self._process.wait(60)

    def close(self) -> None:
        """Stop it for good."""
        if self._process is not None and self._process.poll() is None:
            self.resume()
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def _postgresql_binaries() -> Path | None:
    """Where PostgreSQL's programs are, the newest first."""
    folders = [
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: -float(one.parent.name)),
        *sorted(Path("/usr").glob("pgsql-*/bin"), reverse=True),
        *(Path(one) for one in os.environ.get("PATH", "").split(os.pathsep) if one),
        Path("/opt/homebrew/bin"),
    ]
    return next((one for one in folders if all((one / name).exists() for name in _PROGRAMS)), None)


_PROGRAMS: Final = ("initdb", "postgres")


@pytest.fixture(scope="session")
def _postgresql_or_none() -> Iterator[Postgresql | None]:
    binaries = None if POSTGRESQL_URL else _postgresql_binaries()
    if binaries is None and POSTGRESQL_URL is None:
        yield None
        return
    server = Postgresql(binaries, POSTGRESQL_URL)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def postgresql(_postgresql_or_none: Postgresql | None) -> Postgresql:
    """The server of the session."""
    if _postgresql_or_none is None:
        missing(
            "PostgreSQL",
            "apt install postgresql, or PORTVAKT_TEST_POSTGRESQL=postgresql://… of a superuser",
        )
    return _postgresql_or_none
