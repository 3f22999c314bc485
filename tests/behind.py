"""Real proxies with the configurations of ``deploy/``, the gateway beside, Node's server behind.

The shipped files are what is run: only paths and ports in them are exchanged for those of a test.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from random import randrange
from typing import TYPE_CHECKING, Any, Final

import pytest
from msgspec import Struct

from certificates import AUTHORITY, issue
from portvakt.testing import FakeIssuer
from raw_http import Answer, exchange
from servers import family, missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import trustme

REPOSITORY: Final = Path(__file__).parent.parent
DEPLOY: Final = REPOSITORY / "deploy"
DATA: Final = REPOSITORY / "tests" / "data"
HOST: Final = "api.example.no"

NAMES: Final = ("nginx", "caddy", "haproxy")
_PACKAGES: Final = {
    "nginx": "nginx",
    "caddy": "caddy",
    "haproxy": "haproxy",
    "node": "nodejs",
}

#: Seconds that nothing takes here, though the machine may be busy.
PATIENCE: Final = 60.0

ISSUER: Final = FakeIssuer("https://sts.example.no", audience="nhn:journal", clock=time.time)
#: One whose keys cannot be had.
DOWN: Final = FakeIssuer("https://down.example.no", audience="nhn:journal", clock=time.time)

POLICY: Final = (DATA / "behind.toml").read_text()


Header = tuple[str, str]

NONCE_KEY: Final = "a nonce key of thirty-two octets"


def bearer(token: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {token}"


def honest(scopes: Sequence[str] = ("read",), **claims: Any) -> tuple[str, str]:
    """The Authorization header of an honest client."""
    return bearer(ISSUER.token(scopes=scopes, claims=claims))


def quiet_port() -> int:
    """A port that nobody has, nor gets for a connection of his before it is listened on."""
    while True:
        # Below what Linux gives to connections: other tests make those by the thousand.
        port = randrange(20_000, 32_000)  # noqa: S311  no secret
        with socket.socket() as one, suppress(OSError):
            one.bind(("", port))
            return port


class Gateway:
    """``portvakt serve`` for one kind of proxy, in a folder of its own.

    Parameters:
        proxy: the preset.
        folder: an empty one, with a short name.
    """

    def __init__(self, proxy: str, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        for name, text in {
            "keys.json": json.dumps(ISSUER.jwks()),
            "nonce.key": NONCE_KEY,
            "portvakt.toml": POLICY.replace('"nginx"', f'"{proxy}"'),
        }.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)

    @property
    def socket(self) -> Path:
        return self.folder / "gateway.sock"

    def start(self) -> None:
        with (self.folder / "gateway.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "portvakt", "serve"],
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )

    def wait(self) -> None:
        """Wait until it answers."""
        _until(self._answers, self._process, self.folder)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(PATIENCE)
            if probe.connect_ex(str(self.socket)) != 0:
                return False
            try:
                probe.sendall(b"GET / HTTP/1.1\r\nHost: portvakt\r\n\r\n")
                return bool(probe.recv(12))
            except OSError:
                return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, how: signal.Signals) -> None:
        """Send a signal to it and to its workers."""
        for pid in (*family(self.pid), self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, how)

    def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(PATIENCE)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait(PATIENCE)


class Proxy:
    """A real proxy with its shipped configuration.

    Parameters:
        name: nginx, caddy or haproxy.
        gateway: the socket of whom it asks.
        api: the port of the API.
        folder: an empty one.
        mtls: whether what the shipped file has for certificates of clients is switched on.
    """

    def __init__(
        self, name: str, gateway: Path, api: int, folder: Path, *, mtls: bool = False
    ) -> None:
        self.name, self._gateway, self.folder = name, gateway, folder
        self.port, self._admin = quiet_port(), quiet_port()
        self._api, self._mtls = api, mtls
        self._process: subprocess.Popen[bytes] | None = None
        self._kept: ssl.SSLSocket | None = None
        own = issue(HOST)
        (folder / "api.pem").write_bytes(b"".join(one.bytes() for one in own.cert_chain_pems))
        (folder / "api.key").write_bytes(own.private_key_pem.bytes())
        (folder / "api-with-key.pem").write_bytes(own.private_key_and_cert_chain_pem.bytes())
        (folder / "clients-ca.pem").write_bytes(AUTHORITY.cert_pem.bytes())
        shutil.copy(DATA / "nginx.conf", folder)
        for source in (DEPLOY / name).rglob("*"):
            if source.is_file():
                target = folder / source.relative_to(DEPLOY / name)
                target.parent.mkdir(exist_ok=True)
                target.write_text(self._here(source.read_text()))

    def _here(self, text: str) -> str:
        """Exchange paths and ports for those of this test."""
        if self._mtls:
            text = _with_certificates(self.name, text)
        # Who the servers run as is the machine's business; here it is whoever runs the tests.
        text = re.sub(r"^    (user|group) haproxy$", "", text, flags=re.MULTILINE)
        for shipped, here in {
            "/run/portvakt/gateway.sock": f"{self._gateway}",
            "/etc/ssl/portvakt": f"{self.folder}",
            "/etc/nginx/portvakt": f"{self.folder}/portvakt",
            "/etc/haproxy": f"{self.folder}",
            "/dev/log": f"{self.folder}/log.sock",
            "127.0.0.1:8080": f"127.0.0.1:{self._api}",
            "listen 443": f"listen 127.0.0.1:{self.port}",
            "bind :443": f"bind 127.0.0.1:{self.port}",
            f"{HOST}:443": f"{HOST}:{self.port}",
            "localhost:2019": f"localhost:{self._admin}",
        }.items():
            text = text.replace(shipped, here)
        return text

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = {
            "nginx": ["-e", "error.log", "-p", str(self.folder), "-c", "nginx.conf"],
            "caddy": ["run", "--config", "Caddyfile", "--adapter", "caddyfile"],
            "haproxy": ["-f", "haproxy.cfg"],
        }[self.name]
        with (self.folder / "proxy.log").open("ab") as log:
            self._process = subprocess.Popen(
                [binary(self.name), *command],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                # Caddy keeps what it makes in the home of whoever runs it.
                env={**os.environ, "HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder)},
            )
        _until(lambda: _connects(("127.0.0.1", self.port)), self._process, self.folder)

    def stop(self) -> None:
        if self._kept is not None:
            self._kept.close()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(PATIENCE)

    def connect(self, shown: trustme.LeafCert | None = None) -> ssl.SSLSocket:
        """A TLS connection, as a client with or without a certificate makes it."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        return _context(shown).wrap_socket(plain, server_hostname=HOST)

    def ask(
        self,
        *headers: Header,
        target: str = "/journal",
        method: str = "GET",
        body: bytes = b"",
        shown: trustme.LeafCert | None = None,
    ) -> Answer:
        """Send one request, and read the answer; on the last connection, if it is still open."""
        sent = request(method, target, headers, body)
        own = shown is not None or any(name.lower() == "connection" for name, _ in headers)
        if self._kept is not None and not own:
            with suppress(OSError, AssertionError):
                return self._exchange(self._kept, sent, method)
        connection = self.connect(shown)
        if not own:
            return self._exchange(connection, sent, method)
        with connection:
            return exchange(connection, sent, method)

    def _exchange(self, connection: ssl.SSLSocket, sent: bytes, method: str) -> Answer:
        self._kept = None
        try:
            answer = exchange(connection, sent, method)
        except BaseException:
            connection.close()
            raise
        if answer.all("connection") == ["close"]:
            connection.close()
        else:
            self._kept = connection
        return answer


@cache
def _context(shown: trustme.LeafCert | None) -> ssl.SSLContext:
    # Not the default one: that reads all certificates of the system first.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(context)
    if shown is not None:
        shown.configure_cert(context)
    return context


def request(method: str, target: str, headers: Iterable[Header], body: bytes = b"") -> bytes:
    """Write a request as it is stated here, and nothing else."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {HOST}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _until(done: Callable[[], bool], process: subprocess.Popen[bytes] | None, folder: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert process is not None
        if process.poll() is not None or time.monotonic() > end:
            raise AssertionError("\n".join(one.read_text() for one in folder.glob("*.log")))
        time.sleep(0.02)


def _connects(address: Path | tuple[str, int]) -> bool:
    kind = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(kind) as probe:
        return probe.connect_ex(str(address) if isinstance(address, Path) else address) == 0


def _with_certificates(name: str, text: str) -> str:
    """Do what the shipped file says of certificates of clients."""
    if name == "haproxy":
        text = re.sub(r"^    bind .*\n", "", text, flags=re.MULTILINE)
        return text.replace("    # bind ", "    bind ")
    marked = r"^(\s*)# ?(ssl_client_certificate|ssl_verify_client|client_auth|\tmode|\ttrusted|\}$)"
    return re.sub(marked, r"\1\2", text, flags=re.MULTILINE)


def binary(name: str) -> str:
    """Where a server is, or a skipped test."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None or sys.platform != "linux":
        missing(name, f"on Linux: apt install {_PACKAGES[name]}")
    return found


@contextmanager
def node() -> Iterator[int]:
    """Run the API, and return its port."""
    port = quiet_port()
    script = DATA / "echo_api.js"
    process = subprocess.Popen([binary("node"), str(script), str(port)])
    try:
        end = time.monotonic() + PATIENCE
        while not _connects(("127.0.0.1", port)):
            assert process.poll() is None, "the API ended"
            assert time.monotonic() < end, "the API did not start"
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)


@contextmanager
def folders() -> Iterator[Callable[[str], Path]]:
    """Make folders, and take them away at the end."""
    with ExitStack() as stack:
        # A path to a Unix socket may have about a hundred characters: too few for pytest's folders.
        yield lambda name: Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix=f"pv-{name}-"))
        )


class House(Struct, frozen=True):
    """What runs for a whole session.

    Attributes:
        gateways: by the name of their proxy.
        proxies: by name.
        certified: the same, asking clients for certificates.
        api: the port of the API.
    """

    gateways: dict[str, Gateway]
    proxies: dict[str, Proxy]
    certified: dict[str, Proxy]
    api: int


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    """Every proxy there is, each with a gateway, and one API behind all of them."""
    for name in (*NAMES, "node"):
        binary(name)
    with folders() as folder, node() as api, ExitStack() as stack:
        built = House({}, {}, {}, api)
        for name in NAMES:
            gateway = built.gateways[name] = Gateway(name, folder(name))
            stack.callback(gateway.stop)
            gateway.start()
            for proxies, mtls in ((built.proxies, False), (built.certified, True)):
                proxies[name] = Proxy(name, gateway.socket, api, folder(name), mtls=mtls)
                stack.callback(proxies[name].stop)
                proxies[name].start()
        for gateway in built.gateways.values():
            gateway.wait()
        yield built


@pytest.fixture(params=NAMES)
def proxy(request: pytest.FixtureRequest, house: House) -> Proxy:
    """One proxy after the other."""
    return house.proxies[request.param]


@pytest.fixture(params=NAMES)
def certified(request: pytest.FixtureRequest, house: House) -> Proxy:
    """The same, asking clients for certificates."""
    return house.certified[request.param]
