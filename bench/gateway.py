"""The gateway beside what else verifies tokens in front of an API: requests in a second, latency.

Each contender has one core, wrk the other; each answers 200 by itself, and no API is behind it.
HAProxy (nbthread 1) checks alg, iss, aud, exp and the signature with its own ``jwt_verify``;
Apache's mod_auth_openidc and a FastAPI application with PyJWT check what they do. Portvakt does all
that it always does, with metrics on; with and without decision records. Turns are interleaved, and
what is judged is the median of the ratios of turns beside each other: times on shared machines are
noisy. What is not installed is left out and said.

    python bench/gateway.py [--seconds N] [--turns N] [--tokens N] [--only NAME …]
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import payload
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from portvakt.forge.proofs import ProofBuilder
from portvakt.jose.jwk import thumbprint
from portvakt.jose.signer import Signer, sign_compact

HOST = "127.0.0.1"
CONNECTIONS = 32
SERVED_BY, LOADED_BY = "0", "1"  # cores

#: The least that is wanted: requests in a second, as a ratio to the contender's.
TARGETS = {
    ("repeated", "haproxy"): 1.5,
    ("distinct", "haproxy"): 0.7,
    ("repeated, with records", "haproxy"): 1.0,
    ("repeated", "apache"): 3.0,
    ("repeated", "fastapi"): 3.0,
}


class Turn(NamedTuple):
    """What wrk measured: requests in a second, the 99th percentile in milliseconds, and errors."""

    rate: float
    p99: float
    errors: int


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
def running(command: list[str], port: int, folder: Path, **environ: str) -> Iterator[None]:
    """Run a server on its core."""
    log = folder / f"{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["taskset", "-c", SERVED_BY, *command],
            stdout=out,
            stderr=out,
            env={**os.environ, **environ},
            cwd=folder,
        )
    try:
        await_port(port, process, log)
        yield
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
url = "{store}"

[gateway]
proxy = "haproxy"
trusted = ["127.0.0.1"]
listen = "127.0.0.1:{port}"
admin = "127.0.0.1:{admin}"
{further}
"""


@contextmanager
def portvakt(folder: Path, signer: Signer, further: str = "") -> Iterator[int]:
    """``portvakt serve`` with one worker."""
    port, admin = free_port(), free_port()
    (folder / "keys.json").write_text(json.dumps({"keys": [signer.public_jwk()]}))
    policy = folder / f"portvakt-{port}.toml"
    policy.write_text(
        POLICY.format(
            audience=payload.AUDIENCE,
            issuer=payload.ISSUER,
            port=port,
            admin=admin,
            store="memory://",
            further=further,
        )
    )
    command = [sys.executable, "-m", "portvakt", "serve", "--config", str(policy)]
    with running(command, port, folder):
        yield port


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
    http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(txn.alg,"{key}") -m int 1 }}
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
    """A FastAPI application with PyJWT, on uvicorn."""
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


# Each request its own lines of a file, in turn; the file is read once.
WRK = """
local lines = {{}}
for line in io.lines("{file}") do lines[#lines + 1] = line end
local at = 0
request = function()
  at = at % #lines + 1
  local token, proof = lines[at]:match("^(%S+) ?(%S*)$")
  local headers = {{
    ["X-Original-Method"] = "GET", ["X-Original-Uri"] = "{target}",
    ["Authorization"] = (proof == "" and "Bearer " or "DPoP ") .. token,
  }}
  if proof ~= "" then headers["DPoP"] = proof end
  return wrk.format("GET", "/", headers)
end
"""


def load(port: int, script: Path, seconds: float) -> Turn:
    """Let wrk ask for so many seconds."""
    done = subprocess.run(
        [
            *("taskset", "-c", LOADED_BY, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s"),
            *("--latency", "-s", str(script), f"http://{HOST}:{port}/"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done)[1])  # type: ignore[index]
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", done).groups()  # type: ignore[union-attr]
    p99 = float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", done)
    return Turn(rate, p99, int(errors[1]) if errors else 0)


def write_script(folder: Path, name: str, lines: list[str], target: str = "/journal/1") -> Path:
    file = folder / f"{name}.txt"
    file.write_text("\n".join(lines) + "\n")
    script = folder / f"{name}.lua"
    script.write_text(WRK.format(file=file, target=target))
    return script


def sign(signer: Signer, now: int, serial: int, **further: object) -> str:
    header = {"alg": signer.alg, "typ": "at+jwt", "kid": signer.kid}
    return sign_compact(header, {**payload.claims(now, serial), **further}, signer)


def proofs(token: str, key: Signer, count: int) -> list[str]:
    """Proofs of one token, each to be used once."""
    now = int(time.time())
    return [
        ProofBuilder(
            key, method="GET", url="https://api.example.no/bound/1", token=token, now=now
        ).build()
        for _ in range(count)
    ]


def compare(
    name: str,
    servers: dict[str, int],
    script: Callable[[str], Path],
    seconds: float,
    turns: int,
) -> bool:
    """Measure contenders in turns, and print them beside Portvakt."""
    found: dict[str, list[Turn]] = {one: [] for one in servers}
    for _ in range(turns):
        for one, port in servers.items():
            found[one].append(load(port, script(one), seconds))
    print(f"\n{name}")
    met = True
    for one, measured in found.items():
        rate = statistics.median(turn.rate for turn in measured)
        p99 = statistics.median(turn.p99 for turn in measured)
        errors = sum(turn.errors for turn in measured)
        line = f"  {one:20} {rate:>9,.0f} requests/s   p99 {p99:6.2f} ms"
        if errors:
            line += f"   {errors} REFUSED"
            met = False
        if one != "portvakt":
            pairs = zip(found["portvakt"], measured, strict=True)
            ratio = statistics.median(ours.rate / theirs.rate for ours, theirs in pairs)
            target = TARGETS.get((name, one))
            line += f"   portvakt {ratio:5.2f} x"
            if target is not None:
                line += f" (wanted {target:g}: {'met' if ratio >= target else 'MISSED'})"
                met = met and ratio >= target
        print(line, flush=True)
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--only", nargs="*", default=["haproxy", "apache", "fastapi"])
    options = parser.parse_args()
    if shutil.which("wrk") is None or shutil.which("taskset") is None:
        print("needs wrk and taskset: apt-get install wrk util-linux", file=sys.stderr)
        return 2
    contenders = {"haproxy": haproxy, "apache": apache, "fastapi": fastapi}
    signer = Signer.generate("RS256")
    now = int(time.time())
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        root.chmod(0o755)

        def folder(name: str) -> Path:
            made = root / name
            made.mkdir()
            return made

        servers = {"portvakt": stack.enter_context(portvakt(folder("portvakt"), signer))}
        for name in options.only:
            try:
                servers[name] = stack.enter_context(contenders[name](folder(name), signer))
            except (OSError, RuntimeError) as error:
                print(f"left out: {name}: {str(error)[:300]}")
        repeated = write_script(root, "repeated", [sign(signer, now, 1)])
        met = compare("repeated", servers, lambda _: repeated, options.seconds, options.turns)
        many = [sign(signer, now, serial) for serial in range(options.tokens)]
        distinct = write_script(root, "distinct", many)
        both = {name: port for name, port in servers.items() if name in {"portvakt", "haproxy"}}
        met &= compare("distinct", both, lambda _: distinct, options.seconds, options.turns)
        key = Signer.generate("ES256")
        bound = sign(signer, now, 2, cnf={"jkt": thumbprint(key.public_jwk())})
        time.sleep(1)

        def proven(_: str) -> Path:
            count = int(20_000 * min(options.seconds, 2.0))
            lines = [f"{bound} {proof}" for proof in proofs(bound, key, count)]
            return write_script(root, "proven", lines, "/bound/1")

        ours = {"portvakt": servers["portvakt"]}
        met &= compare("DPoP proofs", ours, proven, min(options.seconds, 2.0), options.turns)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
