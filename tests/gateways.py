"""What tests of the gateway share: a policy, an honest request of a proxy, and a served gateway."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, Final

from portvakt.clock import SystemClock
from portvakt.testing import FakeIssuer
from servers import free_port, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: The scope that the journal demands.
READ: Final = "test-api/read"

POLICY: Final = """
[api]
audience = "test-api"

[[issuer]]
issuer = "https://issuer.test"
algorithms = ["ES256"]
jwks_file = "keys.json"

[[route]]
path = "/healthz"
public = true

[[route]]
path = "/journal/{patient}"
scopes = ["test-api/read"]
"""


def issuer_of_today() -> FakeIssuer:
    """An issuer whose tokens hold now: processes of their own have the system's clock."""
    return FakeIssuer(clock=SystemClock())


def write_policy(
    folder: Path, issuer: FakeIssuer, gateway: str, *, policy: str = POLICY, further: str = ""
) -> Path:
    """Write a policy file with its keys.

    Parameters:
        folder: where.
        issuer: whose tokens it takes.
        gateway: the lines of its [gateway].
        policy: what comes before.
        further: what comes after.
    """
    (folder / "keys.json").write_text(json.dumps(issuer.jwks()))
    path = folder / "portvakt.toml"
    path.write_text(f"{policy}\n[gateway]\n{gateway}\n{further}")
    return path


def asked(
    target: str, token: str | None = None, *, method: str = "GET", form: str = "original"
) -> list[tuple[str, str]]:
    """The headers that a proxy sends for a request of its client."""
    name = "x-original-uri" if form == "original" else "x-forwarded-uri"
    headers = [(f"x-{form}-method", method), (name, target)]
    return headers if token is None else [*headers, ("authorization", f"Bearer {token}")]


class Gateway:
    """A gateway that is served by processes of its own.

    Attributes:
        path: its policy file.
        process: the supervisor.
    """

    def __init__(self, path: Path, process: subprocess.Popen[bytes], port: int, admin: int) -> None:
        self.path, self.process, self.port, self.admin_port = path, process, port, admin

    def ask(
        self, headers: list[tuple[str, str]], *, port: int | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask it as a proxy does."""
        return self.get("/", headers, port=port or self.port)

    def admin(
        self, path: str, headers: list[tuple[str, str]] | None = None, *, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask at the admin address."""
        method = "GET" if body is None else "POST"
        return self.get(path, headers or [], port=self.admin_port, method=method, body=body)

    def get(
        self,
        path: str,
        headers: list[tuple[str, str]],
        *,
        port: int,
        method: str = "GET",
        body: bytes | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read()
        finally:
            connection.close()

    def workers(self) -> list[int]:
        """The processes that judge."""
        return [one["pid"] for one in json.loads(self.admin("/status")[2])["workers"]]

    def readiness(self) -> list[dict[str, Any]]:
        """What each worker says of itself at /readyz."""
        found: list[dict[str, Any]] = json.loads(self.admin("/readyz")[2])["workers"]
        return found

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor."""
        os.kill(self.process.pid, number)

    @property
    def log(self) -> str:
        """What it wrote to its standard error and output."""
        return (self.path.parent / "log").read_text()


@contextmanager
def serving(
    folder: Path,
    issuer: FakeIssuer,
    *,
    lines: str = 'proxy = "nginx"\ntrusted = ["127.0.0.1"]',
    policy: str = POLICY,
    further: str = "",
    workers: int = 1,
    environ: Mapping[str, str] | None = None,
    files: int | None = None,
) -> Iterator[Gateway]:
    """Serve a policy by ``portvakt serve`` until the block ends.

    Parameters:
        folder: where the policy and its files are written.
        issuer: whose tokens it takes.
        lines: of its [gateway].
        policy: what comes before that.
        further: what comes after it.
        workers: how many processes judge.
        environ: what is added to the environment.
        files: how many files each process may open, if not as many as this one may.
    """
    port, admin = free_port(), free_port()
    stated = f'{lines}\nworkers = {workers}\nadmin = "127.0.0.1:{admin}"\n'
    if "listen" not in lines:
        stated += f'listen = "127.0.0.1:{port}"\n'
    path = write_policy(folder, issuer, stated, policy=policy, further=further)
    command = [sys.executable, "-m", "portvakt", "serve", "--config", str(path)]
    if files is not None:
        command = ["prlimit", f"--nofile={files}:{files}", *command]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **(environ or {})}
        )
    gateway = Gateway(path, process, port, admin)
    try:
        until(lambda: _ready(gateway, workers))
        yield gateway
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
            raise


def _ready(gateway: Gateway, workers: int) -> bool:
    assert gateway.process.poll() is None, gateway.log
    with suppress(OSError):
        status, _, body = gateway.admin("/readyz")
        return status == 200 and len(json.loads(body)["workers"]) == workers
    return False


def listening(path: Path) -> bool:
    """Whether somebody listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
