"""``portvakt serve`` as it is run: processes of their own, real sockets, signals and kills."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import grpc
import pytest

from certificates import AUTHORITY, issue
from envoy_wire import check_request, verdict
from gateways import (
    POLICY,
    READ,
    Gateway,
    asked,
    issuer_of_today,
    listening,
    serving,
    write_policy,
)
from portvakt.gateway.ext_authz import SERVICE
from portvakt.jose.signer import Signer
from servers import free_port, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from portvakt.testing import FakeIssuer

SECRET = "s" * 40


@pytest.fixture(scope="module")
def issuer() -> FakeIssuer:
    return issuer_of_today()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, issuer: FakeIssuer) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "admin").write_text(SECRET)
    (folder / "admin").chmod(0o600)
    lines = 'proxy = "haproxy"\ntrusted = ["127.0.0.1"]\nadmin_token = { file = "admin" }'
    store = '[store]\nurl = "sqlite:///store.db"\n[revocation]\nmax_staleness = "1s"\n'
    with serving(folder, issuer, lines=lines, further=store, workers=2) as made:
        yield made


class Load:
    """Honest requests over kept connections, as a proxy sends them, and what came of each."""

    def __init__(self, gateway: Gateway, token: str, connections: int = 8) -> None:
        lines = [f"{name}: {value}\r\n" for name, value in asked("/journal/1", token)]
        self._request = f"GET / HTTP/1.1\r\nhost: a\r\n{''.join(lines)}\r\n".encode()
        self._port = gateway.port
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(connections)]
        self.counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _count(self, outcome: str) -> None:
        with self._lock:
            self.counts[outcome] = self.counts.get(outcome, 0) + 1

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=10) as one:
                    while not self._end.is_set():
                        one.sendall(self._request)
                        head = b""
                        while not head.endswith(b"\r\n\r\n"):
                            part = one.recv(65536)
                            if not part:
                                raise ConnectionResetError
                            head += part
                        self._count(head.split(b" ", 2)[1].decode())
            except OSError:
                self._count("cut")


def test_honest_and_hostile_requests(gateway: Gateway, issuer: FakeIssuer) -> None:
    token = issuer.token(scopes=[READ])
    status, headers, body = gateway.ask(asked("/journal/1", token))
    assert (status, body) == (200, b"")
    assert headers["x-portvakt-subject"] == "test-subject"
    assert gateway.ask(asked("/healthz"))[0] == 200
    assert gateway.ask(asked("/journal/1"))[0] == 401
    assert gateway.ask(asked("/elsewhere", token))[0] == 403
    assert gateway.ask(asked("/journal/1", issuer.forged("none", [READ])))[0] == 401
    assert gateway.ask([])[0] == 400


@pytest.mark.attack("HTTP-14")
@pytest.mark.parametrize("value", [b"Bearer \xe5", b"Bearer a\x7fb", b"\xff", b"Bearer \xc3\xa5"])
def test_odd_octets_admit_nobody(gateway: Gateway, value: bytes) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as one:
        lines = "".join(f"{name}: {it}\r\n" for name, it in asked("/journal/1"))
        head = f"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{lines}".encode()
        one.sendall(head + b"authorization: " + value + b"\r\n\r\n")
        assert one.recv(65536).split(b" ", 2)[1] in {b"400", b"401"}


def test_the_operator_sees_how_it_is(gateway: Gateway) -> None:
    assert gateway.admin("/healthz")[0] == 200
    assert len(gateway.workers()) == 2
    status, _, body = gateway.admin("/status")
    (first, _) = json.loads(body)["workers"]
    assert status == 200
    assert first["health"]["keys"][0]["issuer"] == "https://issuer.test"
    assert gateway.admin("/")[0] == 404
    assert gateway.admin("/healthz", body=b"")[0] == 405
    assert gateway.admin("/revoke")[0] == 405


def test_metrics_of_all_workers_are_one_page(gateway: Gateway) -> None:
    before = _admitted(gateway)
    for _ in range(20):
        assert gateway.ask(asked("/healthz"))[0] == 200
    # What was asked before this test may be told of only now.
    until(lambda: _admitted(gateway) >= before + 20)
    status, headers, page = gateway.admin("/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    assert b"https://issuer.test" in page


def _admitted(gateway: Gateway) -> float:
    """How many requests for /healthz were admitted, by all workers."""
    page = gateway.admin("/metrics")[2].decode()
    lines = [one for one in page.splitlines() if 'route="/healthz"' in one and "admitted" in one]
    return sum(float(one.rpartition(" ")[2]) for one in lines)


class TestRevocation:
    """Whoever revokes shows the secret, and every worker hears of it."""

    def body(self, jti: str) -> bytes:
        told = {"issuer": "https://issuer.test", "kind": "token", "value": jti}
        return json.dumps(told).encode()

    def test_a_token_is_taken_back(self, gateway: Gateway, issuer: FakeIssuer) -> None:
        token = issuer.token(scopes=[READ], claims={"jti": "to-revoke"})
        assert gateway.ask(asked("/journal/1", token))[0] == 200
        shown = [("authorization", f"Bearer {SECRET}")]
        assert gateway.admin("/revoke", shown, body=self.body("to-revoke"))[0] == 204
        until(lambda: gateway.ask(asked("/journal/1", token))[0] == 401)
        time.sleep(1.0)  # By then each of the workers must know.
        for _ in range(20):
            assert gateway.ask(asked("/journal/1", token))[0] == 401

    @pytest.mark.parametrize(
        "shown",
        [
            [],
            [("authorization", SECRET)],
            [("authorization", f"Bearer {SECRET}x")],
            [("authorization", f"Basic {SECRET}")],
            [("authorization", f"Bearer {SECRET}"), ("authorization", f"Bearer {SECRET}")],
        ],
    )
    def test_nobody_else_can(
        self, gateway: Gateway, issuer: FakeIssuer, shown: list[tuple[str, str]]
    ) -> None:
        status, headers, _ = gateway.admin("/revoke", shown, body=self.body("test-token-1"))
        assert status == 401
        assert headers["www-authenticate"].startswith("Bearer ")
        assert gateway.ask(asked("/journal/1", issuer.token(scopes=[READ])))[0] == 200

    def test_what_was_sent_is_neither_told_nor_logged(self, gateway: Gateway) -> None:
        shown = [("authorization", f"Bearer {SECRET}")]
        for field in ("issuer", "kind", "value"):
            told = {"issuer": "https://issuer.test", "kind": "token", "value": "a"}
            told[field] = "canary 01014300000"
            status, _, body = gateway.admin("/revoke", shown, body=json.dumps(told).encode())
            assert status == (204 if field == "value" else 400)
            assert b"canary" not in body
        assert "canary" not in gateway.log

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 400),
            (b"{}", 400),
            (b'{"issuer": "a", "kind": "token", "extra": 1}', 400),
            (b'{"issuer": "https://other.test", "kind": "token", "value": "a"}', 400),
            (b'{"issuer": "https://issuer.test", "kind": "tokens", "value": "a"}', 400),
            (b"\xff", 400),
            (b'{"issuer": "' + b"a" * 70_000 + b'"}', 413),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, gateway: Gateway, body: bytes, status: int
    ) -> None:
        shown = [("authorization", f"Bearer {SECRET}")]
        assert gateway.admin("/revoke", shown, body=body)[0] == status


class TestReload:
    """A change takes effect at once or not at all, and no request notices."""

    @pytest.fixture
    def change(self, gateway: Gateway) -> Iterator[Callable[[str], None]]:
        before = gateway.path.read_text()

        def write(text: str) -> None:
            gateway.path.write_text(text.replace("BEFORE", before))

        yield write
        generation = max(one["generation"] for one in gateway.readiness())
        gateway.path.write_text(before + "\n")
        until(lambda: all(one["generation"] > generation for one in gateway.readiness()))

    def test_a_changed_file_under_load(
        self, gateway: Gateway, issuer: FakeIssuer, change: Callable[[str], None]
    ) -> None:
        token = issuer.token(scopes=[READ])
        assert gateway.ask(asked("/new"))[0] == 403
        generation = gateway.readiness()[0]["generation"]
        with Load(gateway, token) as load:
            change('BEFORE\n[[route]]\npath = "/new"\npublic = true\n')
            until(lambda: all(one["generation"] > generation for one in gateway.readiness()))
            gateway.signal(signal.SIGHUP)
            until(lambda: all(one["generation"] > generation + 1 for one in gateway.readiness()))
        assert set(load.counts) == {"200"}
        assert load.counts["200"] > 100
        for _ in range(10):
            assert gateway.ask(asked("/new"))[0] == 200

    @pytest.mark.parametrize("text", ["BEFORE\nx = [", "BEFORE\n[[route]]\npath = 'new'\n", ""])
    def test_a_broken_file_changes_nothing_and_is_said(
        self, gateway: Gateway, issuer: FakeIssuer, change: Callable[[str], None], text: str
    ) -> None:
        said = gateway.log.count("is not used, the one before it goes on")
        change(text)
        until(lambda: all(one["policy_file_broken"] for one in gateway.readiness()))
        assert gateway.admin("/readyz")[0] == 200
        assert gateway.ask(asked("/journal/1", issuer.token(scopes=[READ])))[0] == 200
        assert gateway.ask(asked("/journal/1"))[0] == 401
        assert gateway.log.count("is not used, the one before it goes on") > said

    def test_a_revocation_outlives_it(
        self, gateway: Gateway, issuer: FakeIssuer, change: Callable[[str], None]
    ) -> None:
        token = issuer.token(scopes=[READ], claims={"jti": "revoked-before"})
        told = {"issuer": "https://issuer.test", "kind": "token", "value": "revoked-before"}
        shown = [("authorization", f"Bearer {SECRET}")]
        assert gateway.admin("/revoke", shown, body=json.dumps(told).encode())[0] == 204
        until(lambda: gateway.ask(asked("/journal/1", token))[0] == 401)
        generation = gateway.readiness()[0]["generation"]
        change("BEFORE\n# changed\n")
        until(lambda: all(one["generation"] > generation for one in gateway.readiness()))
        for _ in range(10):
            assert gateway.ask(asked("/journal/1", token))[0] == 401


def test_a_killed_worker_loses_its_own_requests_only(gateway: Gateway, issuer: FakeIssuer) -> None:
    token = issuer.token(scopes=[READ])
    first = gateway.workers()[0]
    with Load(gateway, token) as load:
        time.sleep(0.3)
        os.kill(first, signal.SIGKILL)
        until(lambda: first not in gateway.workers() and len(gateway.workers()) == 2)
    assert set(load.counts) <= {"200", "cut"}
    assert load.counts.get("cut", 0) <= 8  # at most one of each connection
    assert load.counts["200"] > 100


class _Keys(BaseHTTPRequestHandler):
    """An issuer's keys: at first the old one, then, slowly, the new one too."""

    sets: list[dict[str, Any]]
    delay = 0.0

    def do_GET(self) -> None:
        time.sleep(self.delay)
        body = json.dumps(self.sets[-1]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_what_is_under_way_at_a_stop_is_answered(tmp_path: Path) -> None:
    issuer = issuer_of_today()
    handler = type("Keys", (_Keys,), {"sets": [issuer.jwks()]})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        policy = POLICY.replace(
            'jwks_file = "keys.json"',
            f'jwks_uri = "http://127.0.0.1:{server.server_port}/keys"\nunsafe_loopback = true',
        )
        found: list[int] = []
        with serving(tmp_path, issuer, policy=policy) as gateway:
            good = asked("/journal/1", issuer.token(scopes=[READ]))
            assert gateway.ask(good)[0] == 200
            # A key that the gateway has not heard of: it asks, and the answer takes a while.
            signer = Signer.generate("ES256", "another")
            handler.sets.append({"keys": [*issuer.jwks()["keys"], signer.public_jwk()]})  # type: ignore[attr-defined]
            handler.delay = 1.5  # type: ignore[attr-defined]
            token = issuer.builder([READ]).header(kid="another").signed_by(signer).build()
            late = asked("/journal/1", token)
            asking = threading.Thread(target=lambda: found.append(gateway.ask(late)[0]))
            asking.start()
            time.sleep(0.5)
        asking.join()
        server.shutdown()
    assert found == [200]


def test_envoy_asks_by_grpc(tmp_path: Path, issuer: FakeIssuer) -> None:
    port = free_port()
    lines = f'proxy = "envoy"\ntrusted = ["127.0.0.1"]\next_authz = "127.0.0.1:{port}"'
    with serving(tmp_path, issuer, lines=lines, workers=2) as gateway:
        token = issuer.token(scopes=[READ])
        shown = [("authorization", f"Bearer {token}")]

        def ask(target: str, headers: list[tuple[str, str]]) -> Any:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                check: Any = channel.unary_unary(f"/{SERVICE}/Check")
                return verdict(check(check_request("GET", target, headers), timeout=10))

        said = ask("/journal/1", shown)
        assert said.admitted
        assert ("x-portvakt-subject", "test-subject") in said.set
        assert ask("/journal/1", []).status == 401
        assert ask("/new", []).status == 403
        gateway.path.write_text(
            gateway.path.read_text() + '\n[[route]]\npath = "/new"\npublic = true\n'
        )
        until(lambda: all(one["generation"] == 2 for one in gateway.readiness()))
        assert ask("/new", []).admitted


def test_it_listens_on_a_unix_socket(tmp_path: Path, issuer: FakeIssuer) -> None:
    file = tmp_path / "g.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(file))  # as a gateway that was killed leaves it
    left.close()
    lines = 'proxy = "caddy"\nlisten = "unix:g.sock"\nsocket_mode = "0600"'
    with serving(tmp_path, issuer, lines=lines):
        assert listening(file)
        assert file.stat().st_mode & 0o777 == 0o600
        token = issuer.token(scopes=[READ])
        for headers, status in (
            (asked("/journal/1", token, form="forwarded"), b"200"),
            (asked("/journal/1", form="forwarded"), b"401"),
        ):
            with socket.socket(socket.AF_UNIX) as one:
                one.settimeout(10)
                one.connect(str(file))
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
                one.sendall(f"GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n".encode())
                assert one.recv(65536).split(b" ", 2)[1] == status
        again = subprocess.run(
            [sys.executable, "-m", "portvakt", "serve", "--config", tmp_path / "portvakt.toml"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert again.returncode == 2
        assert "gateway.listen: is served already" in again.stderr


@pytest.mark.attack("MTLS-03", "API-04")
def test_no_stranger_connects_to_its_sockets(tmp_path: Path, issuer: FakeIssuer) -> None:
    lines = 'proxy = "caddy"\nlisten = "unix:g.sock"\nadmin = "unix:a.sock"'
    path = write_policy(tmp_path, issuer, lines)
    command = [sys.executable, "-m", "portvakt", "serve", "--config", str(path)]
    # Started by whoever masks nothing.
    process = subprocess.Popen(command, umask=0)
    try:
        for name, mode in (("g.sock", 0o660), ("a.sock", 0o775)):
            file = tmp_path / name
            until(partial(listening, file))
            assert file.stat().st_mode & 0o777 == mode
    finally:
        process.terminate()
        process.wait(20)


def test_it_speaks_tls_with_its_proxy_alone(tmp_path: Path, issuer: FakeIssuer) -> None:
    own, proxy, other = issue("127.0.0.1"), issue("proxy.test"), None
    (tmp_path / "own.pem").write_bytes(b"".join(it.bytes() for it in own.cert_chain_pems))
    (tmp_path / "own.key").write_bytes(_pkcs8(own.private_key_pem.bytes()))
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.cert_pem.bytes())
    lines = 'proxy = "haproxy"\ntrusted = ["127.0.0.1"]'
    tls = '[gateway.tls]\ncertificate = "own.pem"\nkey = "own.key"\nclient_ca = "ca.pem"'
    with serving(tmp_path, issuer, lines=lines, further=tls) as gateway:
        for shown in (proxy, other):
            context = ssl.create_default_context()
            AUTHORITY.configure_trust(context)
            if shown is not None:
                shown.configure_cert(context)
            headers = asked("/journal/1", issuer.token(scopes=[READ]))
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
            request = f"GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n".encode()
            with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as plain:
                if shown is None:
                    assert _refused(context, plain, request)
                else:
                    with context.wrap_socket(plain, server_hostname="127.0.0.1") as one:
                        one.sendall(request)
                        assert one.recv(65536).split(b" ", 2)[1] == b"200"


def _refused(context: ssl.SSLContext, plain: socket.socket, request: bytes) -> bool:
    """Whether the other end ends the connection, in the handshake or after it (TLS 1.3)."""
    try:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as one:
            one.sendall(request)
            return one.recv(65536) == b""
    except OSError:
        return True


def _pkcs8(pem: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(pem, None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.mark.parametrize(
    ("policy", "gateway", "said"),
    [
        (POLICY, 'proxy = "nginz"', "did you mean nginx?"),
        (POLICY, 'proxy = "nginx"', "nobody is believed by default"),
        (
            POLICY + "\n[[route]]\npath = 'a'\n",
            'proxy = "caddy"\nlisten = "unix:a"',
            "route[2].path",
        ),
        (
            POLICY,
            'proxy = "caddy"\nlisten = "unix:portvakt.toml"',
            "names a file that is no socket",
        ),
        (POLICY, 'proxy = "caddy"\nlisten = "unix:no/a.sock"', "a folder that does not exist"),
        (
            POLICY,
            'proxy = "caddy"\ntrusted = ["127.0.0.1"]\nsecret = { file = "keys.json" }',
            "gateway.secret",
        ),
        (
            POLICY,
            'proxy = "caddy"\ntrusted = ["127.0.0.1"]\ntls = { certificate = "a", key = "b" }',
            "gateway.tls.certificate: names no file",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_listens(
    tmp_path: Path, issuer: FakeIssuer, policy: str, gateway: str, said: str
) -> None:
    path = write_policy(tmp_path, issuer, gateway, policy=policy)
    done = subprocess.run(
        [sys.executable, "-m", "portvakt", "serve", "--config", path],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert said in done.stderr


def test_without_the_table_it_says_what_to_write(tmp_path: Path, issuer: FakeIssuer) -> None:
    path = write_policy(tmp_path, issuer, "")
    path.write_text(POLICY)
    done = subprocess.run(
        [sys.executable, "-m", "portvakt", "serve", "--config", path],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert 'gateway: is missing: state at least proxy = "nginx"' in done.stderr


def test_its_processes_end_with_the_supervisor(tmp_path: Path, issuer: FakeIssuer) -> None:
    with serving(tmp_path, issuer, workers=2) as gateway:
        pids = gateway.workers()
        gateway.signal(signal.SIGKILL)
        gateway.process.wait(10)
        until(lambda: not any(_alive(pid) for pid in pids))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
