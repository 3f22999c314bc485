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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from certificates import AUTHORITY, issue
from portvakt.testing import FakeIssuer
from raw_http import Answer, exchange
from servers import family, free_port, missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import trustme

REPOSITORY: Final = Path(__file__).parent.parent
DEPLOY: Final = REPOSITORY / "deploy"
HOST: Final = "api.example.no"

NAMES: Final = ("nginx", "caddy", "haproxy")
_PACKAGES: Final = {
    "nginx": "nginx",
    "caddy": "caddy",
    "haproxy": "haproxy",
    "node": "nodejs",
}

#: Seconds that nothing takes here, though the machine may be busy.
PATIENCE: Final = 20.0

ISSUER: Final = FakeIssuer("https://sts.example.no", audience="nhn:journal", clock=time.time)
#: One whose keys cannot be had.
DOWN: Final = FakeIssuer("https://down.example.no", audience="nhn:journal", clock=time.time)

POLICY: Final = """
[api]
audience = "nhn:journal"
origin = "https://api.example.no"

[gateway]
proxy = "{proxy}"
listen = "unix:{folder}/gateway.sock"
admin = "off"

[gateway.identity]
fields = ["issuer", "subject", "client_id", "scopes", "pid", "token_id", "expires_at"]

[store]
url = "memory://"

[dpop]
nonce_keys = [{{ file = "nonce.key" }}]

[[issuer]]
issuer = "https://sts.example.no"
algorithms = ["ES256"]
jwks_file = "keys.json"

[[issuer]]
issuer = "https://down.example.no"
algorithms = ["ES256"]
jwks_uri = "https://127.0.0.1:1/keys"
{more}
[[route]]
path = "/healthz"
methods = ["GET", "HEAD"]
public = true

[[route]]
path = "/journal"
methods = ["GET", "HEAD", "POST"]
scopes = ["read"]

[[route]]
path = "/journal/{{name}}"
scopes = ["read"]

[[route]]
path = "/files/{{rest:path}}"
scopes = ["read"]

[[route]]
path = "/admin"
scopes = ["admin"]

[[route]]
path = "/proved"
scopes = ["read"]
sender_constraint = "dpop"

[[route]]
path = "/certified"
scopes = ["read"]
sender_constraint = "mtls"
"""


def bearer(token: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {token}"


def honest(scopes: Sequence[str] = ("read",), **claims: Any) -> tuple[str, str]:
    """The Authorization header of an honest client."""
    return bearer(ISSUER.token(scopes=scopes, claims=claims))


class Behind:
    """A proxy with its gateway, in a folder; the API is shared.

    Parameters:
        name: nginx, caddy or haproxy.
        folder: an empty one, with a short name.
        api: the port of the API.
        mtls: whether what the shipped file has for certificates of clients is switched on.
    """

    def __init__(self, name: str, folder: Path, api: int, *, mtls: bool = False) -> None:
        self.name = name
        self.folder = folder
        self.port, self._admin = free_port(), free_port()
        self._api = api
        self._mtls = mtls
        self._gateway: subprocess.Popen[bytes] | None = None
        self._proxy: subprocess.Popen[bytes] | None = None

    def write(self) -> None:
        """Write the policy, the keys, the certificates and the proxy's configuration."""
        folder = self.folder
        (folder / "keys.json").write_text(json.dumps(ISSUER.jwks()))
        (folder / "nonce.key").write_text("a nonce key of thirty-two octets")
        for name in ("keys.json", "nonce.key"):
            (folder / name).chmod(0o600)
        policy = POLICY.format(proxy=self.name, folder=folder, more="")
        (folder / "portvakt.toml").write_text(policy)
        own = issue(HOST)
        (folder / "api.pem").write_bytes(b"".join(one.bytes() for one in own.cert_chain_pems))
        (folder / "api.key").write_bytes(own.private_key_pem.bytes())
        (folder / "api-with-key.pem").write_bytes(own.private_key_and_cert_chain_pem.bytes())
        (folder / "clients-ca.pem").write_bytes(AUTHORITY.cert_pem.bytes())
        for source in (DEPLOY / self.name).rglob("*"):
            if source.is_file():
                target = folder / source.relative_to(DEPLOY / self.name)
                target.parent.mkdir(exist_ok=True)
                target.write_text(self._here(source.read_text()))

    def _here(self, text: str) -> str:
        """Exchange paths and ports for those of this test."""
        if self._mtls:
            text = _with_certificates(self.name, text)
        # Who the servers run as is the machine's business; here it is whoever runs the tests.
        text = re.sub(r"^    (user|group) haproxy$", "", text, flags=re.MULTILINE)
        for shipped, here in {
            "/run/portvakt": f"{self.folder}",
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

    def start_gateway(self) -> None:
        """Start ``portvakt serve``, and wait until it listens."""
        with (self.folder / "gateway.log").open("ab") as log:
            self._gateway = subprocess.Popen(
                [sys.executable, "-m", "portvakt", "serve"],
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )

    def wait_for_gateway(self) -> None:
        self._until(lambda: _connects(self.folder / "gateway.sock"), self._gateway)

    def stop_gateway(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop or kill the gateway, its workers too."""
        process = self._gateway
        assert process is not None
        for pid in (*self.workers(), process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, how)
        process.wait(PATIENCE)

    def workers(self) -> list[int]:
        """The processes that answer."""
        assert self._gateway is not None
        return family(self._gateway.pid)

    def start_proxy(self) -> None:
        command = {
            "nginx": [
                binary("nginx"),
                "-e",
                "error.log",
                "-p",
                str(self.folder),
                "-c",
                "main.conf",
            ],
            "caddy": [binary("caddy"), "run", "--config", "Caddyfile", "--adapter", "caddyfile"],
            "haproxy": [binary("haproxy"), "-f", "haproxy.cfg"],
        }[self.name]
        if self.name == "nginx":
            (self.folder / "main.conf").write_text(NGINX.format(folder=self.folder))
        with (self.folder / "proxy.log").open("ab") as log:
            self._proxy = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                # Caddy keeps what it makes in the home of whoever runs it.
                env={**os.environ, "HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder)},
            )
        self._until(lambda: _connects(("127.0.0.1", self.port)), self._proxy)

    def _until(self, done: Any, process: subprocess.Popen[bytes] | None) -> None:
        end = time.monotonic() + PATIENCE
        while not done():
            assert process is not None
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError(self.logs())
            time.sleep(0.02)

    def logs(self) -> str:
        return "\n".join(one.read_text() for one in sorted(self.folder.glob("*.log")))

    def stop(self) -> None:
        """Stop both."""
        for process in (self._proxy, self._gateway):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                process.wait(PATIENCE)

    def connect(self, shown: trustme.LeafCert | None = None) -> ssl.SSLSocket:
        """A TLS connection to the proxy, as a client with or without a certificate makes it."""
        context = ssl.create_default_context()
        AUTHORITY.configure_trust(context)
        if shown is not None:
            shown.configure_cert(context)
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        return context.wrap_socket(plain, server_hostname=HOST)

    def ask(
        self,
        *headers: tuple[str, str],
        target: str = "/journal",
        method: str = "GET",
        body: bytes = b"",
        shown: trustme.LeafCert | None = None,
    ) -> Answer:
        """Send a request octet by octet as it is written here, and read the answer."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {HOST}"]
        if not any(name.lower() == "connection" for name, _ in headers):
            lines.append("Connection: close")
        lines += [f"{name}: {value}" for name, value in headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        sent = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        with self.connect(shown) as connection:
            return exchange(connection, sent, method)


def _connects(address: Path | tuple[str, int]) -> bool:
    kind = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(kind) as probe:
        return probe.connect_ex(str(address) if isinstance(address, Path) else address) == 0


def _with_certificates(name: str, text: str) -> str:
    """Do what the shipped file says of certificates of clients."""
    if name == "haproxy":
        found = re.search(r"add: (ca-file \S+ verify optional)", text)
        assert found is not None or "frontend" not in text
        return text if found is None else re.sub(r"( ssl crt \S+)", rf"\1 {found[1]}", text)
    marked = r"^(\s*)# ?(ssl_client_certificate|ssl_verify_client|client_auth|\tmode|\ttrusted|\}$)"
    return re.sub(marked, r"\1\2", text, flags=re.MULTILINE)


#: What belongs to a machine, not to an API.
NGINX: Final = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{ text/html html; }}
    include {folder}/api.conf;
}}
"""


def binary(name: str) -> str:
    """Where a server is, or a skipped test."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None or sys.platform != "linux":
        missing(name, f"on Linux: apt install {_PACKAGES[name]}")
    return found


@contextmanager
def node() -> Iterator[int]:
    """Run the API, and return its port."""
    port = free_port()
    script = REPOSITORY / "tests" / "data" / "echo_api.js"
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
def behind(names: Iterable[tuple[str, bool]], api: int) -> Iterator[dict[str, Behind]]:
    """Run proxies, each with its gateway; they start beside each other."""
    with ExitStack() as stack:
        found: dict[str, Behind] = {}
        for name, mtls in names:
            binary(name)
            # A path to a Unix socket may have about a hundred characters.
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"pv-{name}-")))
            one = Behind(name, folder, api, mtls=mtls)
            one.write()
            stack.callback(one.stop)
            one.start_gateway()
            one.start_proxy()
            found[name] = one
        for one in found.values():
            one.wait_for_gateway()
        yield found
