"""Mutual TLS that a real nginx ends, in front of uvicorn: whose certificate does the API see?

One uvicorn listens on a TCP port and on a Unix socket. nginx connects to the port from 127.0.0.2,
which is trusted; everybody else comes from 127.0.0.1, which is not.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import trustme
import uvicorn

from certificates import AUTHORITY, STATED, base64_of, der_of, digest_of, issue
from portvakt.adapters.asgi import read_request
from portvakt.errors import Refused
from portvakt.http.forwarded import UNIX, Proxies, network_of
from portvakt.oauth.confirmation import methods_of
from portvakt.oauth.mtls import confirm_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portvakt import HttpRequest

HOLDER: Final = issue("holder.test")
THIEF: Final = issue("thief.test")
API: Final = issue("api.test")
STRANGER: Final = trustme.CA().issue_cert("holder.test")

#: The token that every request carries is bound to the holder's certificate.
CONFIRMATION: Final = {"x5t#S256": digest_of(der_of(HOLDER))}
PROXIES: Final = Proxies([network_of("127.0.0.2"), UNIX], "nginx")

#: As docs/how-to.md has it, with each line that matters.
NGINX: Final = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;

    ssl_certificate {folder}/api.pem;
    ssl_certificate_key {folder}/api.pem;
    ssl_client_certificate {folder}/ca.pem;
    proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;
    proxy_set_header X-SSL-Client-Verify $ssl_client_verify;
    proxy_bind 127.0.0.2;

    server {{
        listen unix:{folder}/tcp.sock ssl;
        ssl_verify_client optional;
        location / {{ proxy_pass http://127.0.0.1:{port}; }}
    }}
    server {{
        listen unix:{folder}/unix.sock ssl;
        ssl_verify_client optional;
        location / {{ proxy_bind off; proxy_pass http://unix:{folder}/api.sock; }}
    }}
    server {{
        listen unix:{folder}/lax.sock ssl;
        ssl_verify_client optional_no_ca;
        location / {{ proxy_pass http://127.0.0.1:{port}; }}
    }}
}}
"""


def judge(request: HttpRequest) -> tuple[int, str]:
    """What the API answers to a request with that token: a status, and why."""
    try:
        methods = methods_of(CONFIRMATION)
        confirm_certificate(methods.certificate, PROXIES.original(request).client_certificate)
    except Refused as refused:
        code = refused.refusal.code
        return code.status, code.value
    return 200, "admitted"


async def api(scope: Any, receive: Any, send: Any) -> None:
    request, flaw = read_request(scope)
    assert flaw is None
    status, why = judge(request)
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": why.encode()})


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Serve the API on a port, which is given, and on api.sock."""
    port = socket.create_server(("127.0.0.1", 0))
    local = socket.socket(socket.AF_UNIX)
    local.bind(str(folder / "api.sock"))
    local.listen()
    # Who connects must not be what X-Forwarded-For says.
    config = uvicorn.Config(api, log_config=None, lifespan="off", proxy_headers=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([port, local],))
    thread.start()
    try:
        yield port.getsockname()[1]  # What connects before the server is up waits in the queue.
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def proxying(binary: str, folder: Path, port: int) -> Iterator[None]:
    """Run nginx in front of the API."""
    (folder / "api.pem").write_bytes(API.private_key_and_cert_chain_pem.bytes())
    (folder / "ca.pem").write_bytes(AUTHORITY.cert_pem.bytes())
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    with (folder / "out").open("w") as out:
        process = subprocess.Popen(
            [binary, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"],
            stdout=out,
            stderr=out,
        )
    try:
        _wait_for(folder / "lax.sock", process)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        time.sleep(0.01)
    raise AssertionError((path.parent / "error.log").read_text())


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if binary is None or sys.platform != "linux":
        reason = "needs nginx on Linux: apt-get install nginx-light"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    # A path to a Unix socket may have about a hundred characters: too few for pytest's folders.
    with (
        tempfile.TemporaryDirectory(prefix="nginx-") as name,
        serving(Path(name)) as port,
        proxying(binary, Path(name), port),
    ):
        (Path(name) / "port").write_text(str(port))
        yield Path(name)


def ask(
    connection: socket.socket, *headers: tuple[str, str], server: str = "api.test"
) -> tuple[int, str]:
    """Send one request, and return the status and the body of the answer."""
    lines = [f"GET / HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in headers]
    connection.sendall("".join([*lines, "\r\n"]).encode("latin-1"))
    received = b""
    while data := connection.recv(65536):
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    text = body.decode()
    # Without a length uvicorn answers in chunks, and so does nginx.
    if b"chunked" in head.lower():
        text = text.split("\r\n")[1]
    return int(head.split(b" ", 2)[1]), text


def through_nginx(
    folder: Path, shown: trustme.LeafCert | None, *headers: tuple[str, str], to: str = "tcp"
) -> tuple[int, str]:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if shown is not None:
        shown.configure_cert(context)
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(10)
        plain.connect(str(folder / f"{to}.sock"))
        with context.wrap_socket(plain, server_hostname="api.test") as connection:
            return ask(connection, *headers)


def directly(folder: Path, *headers: tuple[str, str]) -> tuple[int, str]:
    address = ("127.0.0.1", int((folder / "port").read_text()))
    with socket.create_connection(address, timeout=10) as connection:
        return ask(connection, *headers)


SPOOFED: Final = STATED["nginx"](der_of(HOLDER))
MISSING: Final = (401, "certificate_missing")
WRONG: Final = (401, "certificate_wrong")
WAYS: Final = ["tcp", "unix"]


@pytest.mark.twin("MTLS-01", "MTLS-02", "MTLS-03")
@pytest.mark.parametrize("to", WAYS)
def test_the_holder_is_admitted(folder: Path, to: str) -> None:
    assert through_nginx(folder, HOLDER, to=to) == (200, "admitted")


@pytest.mark.attack("MTLS-01")
@pytest.mark.parametrize("to", WAYS)
def test_another_client_is_refused(folder: Path, to: str) -> None:
    assert through_nginx(folder, THIEF, to=to) == WRONG


@pytest.mark.attack("MTLS-02")
@pytest.mark.parametrize("to", WAYS)
def test_a_client_without_a_certificate_is_refused(folder: Path, to: str) -> None:
    assert through_nginx(folder, None, to=to) == MISSING


@pytest.mark.attack("MTLS-03")
def test_the_header_is_not_believed_from_who_goes_around_nginx(folder: Path) -> None:
    assert directly(folder, *SPOOFED) == MISSING
    forwarded = ("X-Forwarded-For", "127.0.0.2"), ("Forwarded", "for=127.0.0.2")
    assert directly(folder, *SPOOFED, *forwarded) == MISSING


@pytest.mark.attack("MTLS-03")
@pytest.mark.parametrize("to", WAYS)
def test_nginx_overwrites_what_a_client_writes(folder: Path, to: str) -> None:
    for headers in (SPOOFED, SPOOFED * 2, [(name.lower(), value) for name, value in SPOOFED]):
        assert through_nginx(folder, None, *headers, to=to) == MISSING
        assert through_nginx(folder, THIEF, *headers, to=to) == WRONG
        assert through_nginx(folder, HOLDER, *headers, to=to) == (200, "admitted")


@pytest.mark.attack("MTLS-03")
@pytest.mark.parametrize("to", WAYS)
def test_other_spellings_and_forms_are_of_no_use(folder: Path, to: str) -> None:
    underscored = [(name.replace("-", "_"), value) for name, value in SPOOFED]
    others = [pair for form in STATED if form != "nginx" for pair in STATED[form](der_of(HOLDER))]
    for headers in (underscored, others, [("Client-Cert", f":{base64_of(der_of(HOLDER))}:")]):
        assert through_nginx(folder, None, *headers, to=to) == MISSING
        assert through_nginx(folder, THIEF, *headers, to=to) == WRONG


@pytest.mark.attack("MTLS-03")
def test_a_certificate_of_another_authority_is_worth_nothing(folder: Path) -> None:
    status, _ = through_nginx(folder, STRANGER)
    assert status == 400  # nginx's own answer
    # Where nginx lets it through, it says that it could not verify it.
    assert through_nginx(folder, STRANGER, to="lax") == MISSING
    assert through_nginx(folder, STRANGER, *SPOOFED, to="lax") == MISSING
    assert through_nginx(folder, HOLDER, to="lax") == (200, "admitted")
