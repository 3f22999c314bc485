"""The servers that bench/gateway.py compares: each on one core, each answers 200 by itself.

What each checks: HAProxy alg, iss, aud, exp and the signature; Apache and PyJWT what their modules
do by themselves; Portvakt everything that it always does.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import payload
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from portvakt.jose.signer import Signer

HOST = "127.0.0.1"
CORE = "0"


def free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


def await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as one:
            if one.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(log.read_text())


@contextmanager
def running(
    command: list[str], port: int, folder: Path, *, core: str | None = CORE, **environ: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server on one core, or on all where *core* is None."""
    log = folder / f"{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command if core is None else ["taskset", "-c", core, *command],
            stdout=out,
            stderr=out,
            env={**os.environ, **environ},
            cwd=folder,
        )
    try:
        await_port(port, process, log)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


POLICY = """
[api]
audience = "{audience}"
origin = "https://api.example.no"

[[issuer]]
issuer = "{issuer}"
algorithms = ["RS256"]
jwks_file = "keys.json"

[[route]]
path = "/healthz"
public = true

[[route]]
path = "/journal/{{patient}}"
scopes = ["example:journal.api/read"]

[[route]]
path = "/bound/{{patient}}"
scopes = ["example:journal.api/read"]
sender_constraint = "dpop"

[store]
{store}

[gateway]
proxy = "haproxy"
trusted = ["127.0.0.1"]
listen = "127.0.0.1:{port}"
admin = "127.0.0.1:{admin}"
workers = {workers}
{further}
"""


#: The memory of one process is not that of two. A disk that others use too takes its time at times,
#: and how long a request waits for it is not what is measured.
SHARED = 'url = "sqlite:///store.db"\ntimeout = "10s"'


class Served(NamedTuple):
    """A gateway that runs: its port, that of the operator, its policy file and its supervisor."""

    port: int
    admin: int
    policy: Path
    process: subprocess.Popen[bytes]


def family(pid: int) -> dict[int, str]:
    """Return the processes of a gateway that do its work: what each is, by its number."""
    found = {pid: "supervisor"}
    for task in Path(f"/proc/{pid}/task").iterdir():  # Each thread has children of its own.
        for one in (task / "children").read_text(encoding="ascii").split():
            command = Path(f"/proc/{one}/cmdline").read_bytes()
            if b"resource_tracker" not in command:
                # The workers are forked and have the supervisor's own words; this one is spawned.
                found[int(one)] = "admin" if b"spawn_main" in command else "worker"
    return found


@contextmanager
def portvakt(folder: Path, signer: Signer, further: str = "") -> Iterator[int]:
    """``portvakt serve`` with one worker, on its core."""
    with served(folder, signer, further) as gateway:
        yield gateway.port


@contextmanager
def served(
    folder: Path, signer: Signer, further: str = "", *, workers: int = 1, core: str | None = CORE
) -> Iterator[Served]:
    """``portvakt serve`` with as many workers as are wanted, on one core or on all."""
    port, admin = free_port(), free_port()
    (folder / "keys.json").write_text(json.dumps({"keys": [signer.public_jwk()]}))
    policy = folder / f"portvakt-{port}.toml"
    policy.write_text(
        POLICY.format(
            audience=payload.AUDIENCE,
            issuer=payload.ISSUER,
            port=port,
            admin=admin,
            store='url = "memory://"' if workers == 1 else SHARED,
            workers=workers,
            further=further,
        )
    )
    command = [sys.executable, "-m", "portvakt", "serve", "--config", str(policy)]
    with running(command, port, folder, core=core) as process:
        yield Served(port, admin, policy, process)


HAPROXY = """
global
    nbthread 1
    log stderr local0 emerg
    tune.bufsize 65536
defaults
    mode http
    timeout client 30s
    timeout server 30s
    timeout connect 5s
    timeout http-keep-alive 30s
frontend jwt
    bind 127.0.0.1:{port}
    http-request set-var(txn.bearer) http_auth_bearer
    http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
    http-request set-var(txn.iss) var(txn.bearer),jwt_payload_query('$.iss')
    http-request set-var(txn.aud) var(txn.bearer),jwt_payload_query('$.aud')
    http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless {{ var(txn.alg) -m str RS256 }}
    http-request deny deny_status 401 unless {{ var(txn.iss) -m str {issuer} }}
    http-request deny deny_status 401 unless {{ var(txn.aud) -m str {audience} }}
    http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
    http-request set-var(txn.good) var(txn.bearer),jwt_verify(txn.alg,"{key}")
    http-request deny deny_status 401 unless {{ var(txn.good) -m int 1 }}
    http-request return status 200
"""


@contextmanager
def haproxy(folder: Path, signer: Signer) -> Iterator[int]:
    """HAProxy with its own jwt_verify, and nbthread 1."""
    port = free_port()
    key = folder / "public.pem"
    key.write_bytes(
        signer.public_key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    config = folder / "haproxy.cfg"
    config.write_text(
        HAPROXY.format(port=port, issuer=payload.ISSUER, audience=payload.AUDIENCE, key=key)
    )
    binary = shutil.which("haproxy") or "/usr/sbin/haproxy"
    with running([binary, "-db", "-f", str(config)], port, folder):
        yield port


APACHE = """
ServerName localhost
ServerRoot {folder}
PidFile {folder}/apache.pid
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_user_module {modules}/mod_authz_user.so
LoadModule dir_module {modules}/mod_dir.so
LoadModule auth_openidc_module {modules}/mod_auth_openidc.so
ErrorLog {folder}/apache.log
LogLevel crit
User {user}
Group {group}
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
KeepAlive On
MaxKeepAliveRequests 0
LimitRequestFieldSize 32768
DocumentRoot {folder}/www
OIDCCryptoPassphrase bench
OIDCOAuthVerifyCertFiles {kid}#{folder}/cert.pem
OIDCOAuthRemoteUserClaim sub
<Location />
    AuthType oauth20
    Require claim iss:{issuer}
</Location>
"""


@contextmanager
def apache(folder: Path, signer: Signer) -> Iterator[int]:
    """Apache with mod_auth_openidc as a resource server, one process."""
    port = free_port()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(signer.public_key)
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(signer._private_key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "www").mkdir()
    (folder / "www" / "index.html").write_text("")
    config = folder / "apache.conf"
    config.write_text(
        APACHE.format(
            folder=folder,
            port=port,
            modules="/usr/lib/apache2/modules",
            kid=signer.kid,
            issuer=payload.ISSUER,
            user="www-data",
            group="www-data",
        )
    )
    folder.chmod(0o755)
    with running(["/usr/sbin/apache2", "-X", "-f", str(config)], port, folder):
        yield port


FASTAPI = """
import json
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

KEY = jwt.PyJWK(json.load(open("keys.json"))["keys"][0]).key
app = FastAPI()


def claims(shown: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]):
    try:
        return jwt.decode(
            shown.credentials, KEY, algorithms=["RS256"], audience={audience!r}, issuer={issuer!r},
            options={{"require": ["exp", "iat", "iss", "aud", "sub"]}},
        )
    except jwt.PyJWTError:
        raise HTTPException(401) from None


@app.get("/")
def root(found: Annotated[dict, Depends(claims)]):
    return Response()
"""


@contextmanager
def fastapi(folder: Path, signer: Signer) -> Iterator[int]:
    """Serve a FastAPI application with PyJWT, on uvicorn."""
    port = free_port()
    (folder / "keys.json").write_text(json.dumps({"keys": [signer.public_jwk()]}))
    (folder / "pyjwt_app.py").write_text(
        FASTAPI.format(audience=payload.AUDIENCE, issuer=payload.ISSUER)
        .replace("def root", "async def root")
        .replace("def claims", "async def claims")
    )
    command = [sys.executable, "-m", "uvicorn", "pyjwt_app:app", "--port", str(port)]
    command += ["--no-access-log", "--log-level", "error", "--loop", "uvloop"]
    with running(command, port, folder, PYTHONPATH=os.environ.get("PYTHONPATH", "") + f":{folder}"):
        yield port
