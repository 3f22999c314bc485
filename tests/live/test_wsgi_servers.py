"""The WSGI middleware on the servers that people use: what each folds together, nobody gets in by.

Each has its own ideas of duplicates, underscores, slashes and escapes. The application says what it
was given; what the guard admits must be what the application serves.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from behaviour.serving import Answer, read_answer
from certificates import AUTHORITY, der_of, issue
from portvakt.testing import FakeIssuer
from servers import free_port, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import trustme

APP: Final = """
import json, os
from pathlib import Path
from portvakt import Guard
from portvakt.adapters.wsgi import GuardMiddleware, token_of, judgement_of

def echo(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    token, request = token_of(environ), judgement_of(environ).request
    said = {
        "path": environ["PATH_INFO"],
        "subject": token and token.subject,
        "peer": request.peer,
        "headers": [list(one) for one in request.headers],
        "certificate": request.client_certificate and request.client_certificate.hex(),
    }
    return [json.dumps(said).encode()]

app = GuardMiddleware(echo, Guard.from_config(json.loads(Path("policy.json").read_text())))
"""

#: The request as the guard sees it behind a proxy.
ORIGINAL: Final = """
def original(judgement):
    return judgement.guard.parts.proxies.original(judgement.request)
"""

WSGIREF: Final = """
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
from app import app

class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

make_server("127.0.0.1", int(sys.argv[1]), app, server_class=Server).serve_forever()
"""

SERVERS: Final = {
    "wsgiref": ["served.py", "{port}"],
    "waitress": ["-m", "waitress", "--listen=127.0.0.1:{port}", "app:app"],
    "gunicorn": ["-m", "gunicorn", "--bind=127.0.0.1:{port}", "--threads=4", "app:app"],
    "granian": ["-m", "granian", "--interface=wsgi", "--port={port}", "--no-ws", "app:app"],
}

ISSUER: Final = FakeIssuer(clock=time.time)
#: Of an hour: a whole run of tests takes longer than a token usually lives.
HONEST: Final = ISSUER.token(scopes=["read"], claims={"exp": int(time.time()) + 3500})
FORGED: Final = ISSUER.forged("foreign-key", scopes=["read"])
POLICY: Final = ISSUER.config(
    route=[
        {"path": "/healthz", "public": True},
        {"path": "/open/{page:path}", "public": True},
        {"path": "/journal/{patient}", "methods": ["GET"], "scopes": ["read"]},
    ]
)


class Running:
    """A server in a process of its own."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port

    def answers(self) -> bool:
        try:
            return self.send("/healthz").status == 200
        except OSError:
            return False

    def send(self, target: str, *lines: str, method: str = "GET") -> Answer:
        head = [f"{method} {target} HTTP/1.1", "Host: api.test", "Connection: close", *lines]
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1"))
            raw = b""
            while data := connection.recv(65536):
                raw += data
        return read_answer(raw, method)

    def get(self, target: str, token: str | None = None, *lines: str) -> Answer:
        credential = () if token is None else (f"Authorization: Bearer {token}",)
        return self.send(target, *credential, *lines)


@contextmanager
def started(arguments: list[str], folder: Path, app: str, policy: dict[str, Any]) -> Iterator[None]:
    (folder / "app.py").write_text(app)
    (folder / "served.py").write_text(WSGIREF)
    (folder / "policy.json").write_text(json.dumps(policy))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def running(name: str, folder: Path) -> Iterator[Running]:
    found = Running(name, free_port())
    arguments = [part.format(port=found.port) for part in SERVERS[name]]
    with started(arguments, folder, APP, POLICY):
        until(found.answers)
        yield found


def listening(port: int) -> bool:
    """Whether a server is up."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module", params=list(SERVERS))
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    name: str = request.param
    with running(name, tmp_path_factory.mktemp(name)) as found:
        yield found


@pytest.mark.twin("HTTP-04", "HTTP-05", "HTTP-18")
def test_an_honest_request_is_served(server: Running) -> None:
    said = server.get("/journal/1", HONEST, "X-One: 1").json()
    assert (said["path"], said["subject"]) == ("/journal/1", "test-subject")
    assert said["peer"] == "127.0.0.1"
    assert ["x-one", "1"] in said["headers"]
    assert server.get("/open/a%20b").json()["path"] == "/open/a b"
    assert server.get("/healthz?x=/../y").json()["subject"] is None


@pytest.mark.attack("HTTP-04", "HTTP-05")
def test_joined_credentials_are_refused(server: Running) -> None:
    for first, second in ((HONEST, FORGED), (FORGED, HONEST), (HONEST, HONEST)):
        lines = (f"Authorization: Bearer {first}", f"Authorization: Bearer {second}")
        assert server.send("/journal/1", *lines).status == 400
        assert server.get("/journal/1", f"{first}, Bearer {second}").status == 400
        assert server.get("/journal/1", f"{first},Bearer {second}").status == 400


@pytest.mark.attack("HTTP-09")
def test_the_method_is_overridden_in_no_spelling(server: Running) -> None:
    for name in ("X-HTTP-Method-Override", "X_HTTP_Method_Override", "X-HTTP_Method-Override"):
        answer = server.get("/journal/1", HONEST, f"{name}: DELETE")
        # Refused; or the server has dropped the header, and nobody can go by it.
        assert answer.status == 400 or "DELETE" not in answer.body.decode()
    for method in ("get", "Get"):
        line = f"Authorization: Bearer {ISSUER.token()}"
        assert server.send("/journal/1", line, method=method).status in {400, 403, 405, 501}


@pytest.mark.attack("HTTP-14")
def test_odd_octets_are_refused_and_the_server_lives(server: Running) -> None:
    for octets in ("\x00", "\xff", "\x7f", "\r\n folded"):
        assert server.get("/journal/1", HONEST + octets).status in {400, 401}
    assert server.get("/journal/1", HONEST).status == 200


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    "target",
    [
        *("/healthz/../journal/1", "/open/../journal/1", "/open/%2e%2e/journal/1"),
        *("/open/..%2fjournal/1", "/open%2f..%2fjournal/1", "/open/..\\journal", "/open/..%5cx"),
        *("/journal/1;x", "/healthz;x", "/healthz%00", "/open/%00", "/open/%0a", "/healthz%0a"),
        *("/HEALTHZ", "/healthz/", "/open/%252e%252e/x", "*", "/journal%2f1", "/journal/1%2f"),
        *("//journal/1", "///journal/1", "//healthz", "/%2fjournal/1", "/./journal/1"),
        *("/journal/1?access_token=x", "/journal/1#x", "/journal/\xff"),
    ],
)
def test_what_is_judged_is_what_is_served(server: Running, target: str) -> None:
    for token in (None, ISSUER.token(), HONEST):
        answer = server.get(target, token)
        if answer.status == 200:
            # The server itself has made an honest path of it, before the guard and for everyone.
            path = answer.json()["path"]
            assert path.startswith(("/open/", "/journal/")) or path == "/healthz"
            assert not path.startswith("/journal") or token is HONEST
            assert ".." not in path
        else:
            assert 400 <= answer.status < 500


def over(family: Any, address: Any, context: ssl.SSLContext | None, *lines: str) -> Answer:
    """Send a GET for /journal/1 by a connection of another kind."""
    head = ["GET /journal/1 HTTP/1.1", "Host: localhost", "Connection: close", *lines]
    with socket.socket(family) as plain:
        plain.settimeout(10)
        plain.connect(address)
        connection = plain
        if context is not None:
            connection = context.wrap_socket(plain, server_hostname="localhost")
        connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1"))
        raw = b""
        while data := connection.recv(65536):
            raw += data
        connection.close()
    return read_answer(raw)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="pv-", dir="/tmp") as folder:
        yield Path(folder)


def certificate_of(folder: Path, *lines: str) -> str | None:
    bearer = f"Authorization: Bearer {HONEST}"
    answer = over(socket.AF_UNIX, str(folder / "socket"), None, bearer, *lines)
    said: str | None = answer.json()["certificate"]
    return said


@pytest.mark.attack("MTLS-03")
@pytest.mark.twin("MTLS-03")
def test_a_proxy_at_gunicorns_unix_socket_is_believed_in_one_spelling(short: Path) -> None:
    policy = {**POLICY, "proxy": {"trusted": ["unix"], "client_certificate": "caddy"}}
    client = der_of(issue("client.test"))
    shown = base64.b64encode(client).decode()
    command = ["-m", "gunicorn", f"--bind=unix:{short}/socket", "--threads=2", "app:app"]
    seen = APP.replace("judgement_of(environ).request", "original(judgement_of(environ))")
    seen = seen.replace("(echo, ", "(echo, drops_underscores=True, guard=")
    with started(command, short, seen + ORIGINAL, policy):
        until((short / "socket").exists)
        assert certificate_of(short) is None
        assert certificate_of(short, f"X-Client-Certificate: {shown}") == client.hex()
        # What a client writes, a proxy passes on: in this spelling it did not come from there.
        assert certificate_of(short, f"X_Client_Certificate: {shown}") is None
        assert certificate_of(short, f"X-Client_Certificate: {shown}") is None


@pytest.mark.attack("MTLS-02")
@pytest.mark.twin("MTLS-02")
def test_gunicorn_shows_the_certificate_of_the_connection(short: Path) -> None:
    client, server = issue("client.test"), AUTHORITY.issue_cert("localhost")
    AUTHORITY.cert_pem.write_to_path(short / "ca.pem")
    server.private_key_and_cert_chain_pem.write_to_path(short / "server.pem")
    port = free_port()
    options = [f"--certfile={short}/server.pem", f"--ca-certs={short}/ca.pem", "--cert-reqs=1"]
    command = ["-m", "gunicorn", f"--bind=127.0.0.1:{port}", "--threads=2", *options, "app:app"]

    def get(shown: trustme.LeafCert | None) -> str | None:
        context = ssl.create_default_context()
        AUTHORITY.configure_trust(context)
        if shown is not None:
            shown.configure_cert(context)
        bearer = f"Authorization: Bearer {HONEST}"
        answer = over(socket.AF_INET, ("127.0.0.1", port), context, bearer)
        said: str | None = answer.json()["certificate"]
        return said

    with started(command, short, APP, POLICY):
        until(lambda: listening(port))
        assert get(client) == der_of(client).hex()
        assert get(None) is None
