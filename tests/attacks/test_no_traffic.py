"""Nothing that a token says causes traffic to anywhere but the configured issuer's endpoints."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from key_server import KeyServer, by_path, whole
from portvakt.testing import FakeIssuer

#: Runs in a process of its own: an audit hook sees every connection, look-up, file and program that
#: Python opens, and cannot be taken off again. Whatever it sees beyond the issuer ends the process.
WATCHED = """
import json, sys

config, jwk, port = json.loads(sys.stdin.read())
seen = []


def watch(event, arguments):
    if event == "socket.connect":
        seen.append(["connect", list(arguments[1][:2])])
    elif event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}:
        seen.append([event, str(arguments[0])])
    elif event in {"subprocess.Popen", "os.system", "os.exec", "urllib.Request"}:
        seen.append([event, ""])
    elif event == "open" and armed and not str(arguments[0]).endswith((".py", ".pyc", ".so")):
        seen.append(["open", str(arguments[0])])


armed = False
sys.addaudithook(watch)

from portvakt import Guard, HttpRequest
from portvakt.forge.faults import FAULTS, Forgery
from portvakt.forge.tokens import TokenBuilder
from portvakt.jose.signer import Signer

import time

guard = Guard.from_config(config)
signer = Signer.from_jwk(jwk)
issuer = next(iter(guard.issuers.values()))


def judge(token, headers=(), url="/"):
    header = ("Authorization", f"Bearer {token}")
    request = HttpRequest(method="GET", url=url, headers=(header, *headers))
    return guard.check_blocking(request)


honest = TokenBuilder(issuer, signer, now=time.time())
assert judge(honest.build()).admitted  # metadata and keys: from here on everything is known
del seen[:]
armed = True

outside = ["https://evil.example/keys", "http://169.254.169.254/latest", "file:///etc/passwd",
           "//evil.example", "ldap://evil.example/x", "../../etc/passwd", "' OR 1=1 --", "|id",
           "https://evil.example/.well-known/openid-configuration", "gopher://127.0.0.1:6379/_x"]
tried = 0
forgery = Forgery.against(honest, several_keys=True)
for fault in FAULTS:
    if fault.applies(honest, forgery):
        judge(fault.apply(honest, forgery))
        tried += 1
for place in outside:
    for name in ("kid", "jku", "x5u", "jwk", "x5c", "typ", "alg", "crit", "cty", "iss", "url"):
        judge(honest.header(**{name: place}).build())
        tried += 1
    for name in ("iss", "aud", "sub", "jti", "cnf", "act", "jku", "jwks_uri", "client_id", "scope",
                 "status", "_claim_sources", "picture", "website"):
        judge(honest.claims(**{name: place}).build())
        judge(honest.claims(**{name: {"uri": place, "status_list": {"uri": place}}}).build())
        tried += 2
    judge(honest.build(), [("Host", place), ("Forwarded", f"host={place}"), ("X-Original-URL", place)])
    judge(honest.build(), url=f"/?access_token={place}")
    tried += 2

print(json.dumps([tried, seen]))
"""


@pytest.mark.attack("CLM-17", "HDR-05", "HDR-06", "JWKS-04", "JWKS-15")
def test_no_token_causes_a_connection_a_look_up_or_an_open_file() -> None:
    with KeyServer(whole(), plain=True) as server:
        name = f"http://127.0.0.1:{server.port}"
        issuer = FakeIssuer(name, audience="test-api", clock=time.time)
        metadata = json.dumps({"issuer": name, "jwks_uri": f"{name}/keys"}).encode()
        server.answer = by_path(
            {
                "/.well-known/openid-configuration": whole(metadata),
                "/keys": whole(json.dumps(issuer.jwks()).encode()),
            }
        )
        table = {"issuer": name, "algorithms": ["ES256"], "unsafe_loopback": True}
        config = {"api": {"audience": "test-api"}, "issuer": [table]}
        result = subprocess.run(
            [sys.executable, "-c", WATCHED],
            input=json.dumps([config, issuer.signer.private_jwk(), server.port]),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        tried, seen = json.loads(result.stdout)
        assert tried > 450
        # The one question that a key nobody knows may cause; and nothing else at all.
        assert seen == [["connect", ["127.0.0.1", server.port]]]
        targets = [request.target for request in server.requests]
        assert targets == ["/.well-known/openid-configuration", "/keys", "/keys"]
