"""A guard that fetches keys, in worker processes: each starts clean, and fetches for itself.

Real addresses in processes of their own: so it is http on this machine, and said to be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import httpx2
import pytest

from key_server import KeyServer, whole
from portvakt.jose.signer import Signer
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Plain(KeyServer):
    """An issuer on this machine, over plain HTTP."""

    def __init__(self) -> None:
        super().__init__(whole(), plain=True)

    def __enter__(self) -> Self:
        super().__enter__()
        self.issuer = FakeIssuer(
            f"http://127.0.0.1:{self.port}", audience="test-api", clock=time.time
        )
        self.publish()
        return self

    def publish(self, *more: Signer) -> None:
        keys = [*self.issuer.jwks()["keys"], *(one.public_jwk() for one in more)]
        self.answer = whole(json.dumps({"keys": keys}).encode())

    def policy(self) -> dict[str, Any]:
        name = self.issuer.trusted.issuer
        table = {
            "issuer": name,
            "algorithms": ["ES256"],
            "jwks_uri": f"{name}/keys",
            "unsafe_loopback": True,
        }
        return {"api": {"audience": "test-api"}, "issuer": [table]}


@pytest.fixture
def plain() -> Iterator[Plain]:
    with Plain() as server:
        yield server


FORKING = """
import json, os, signal, sys
from portvakt import Guard, HttpRequest

config, first, second, parent = json.loads(sys.argv[1])
guard = Guard.from_config(config)

def admitted(token):
    header = ("Authorization", f"Bearer {token}")
    return guard.check_blocking(HttpRequest(method="GET", url="/", headers=(header,))).admitted

if parent == "warm":
    assert admitted(first)
    sys.stdin.readline(os.write(1, b"warm\\n"))  # Now the issuer publishes another key.
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if admitted(first) and admitted(second) and admitted(first) else 1)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert admitted(second)
sys.exit(any(codes))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("parent", ["cold", "warm"])
def test_each_fork_fetches_for_itself(plain: Plain, parent: str) -> None:
    # As gunicorn does with --preload: the guard is made, and may have been used, before the fork.
    new = Signer.generate("ES256", "new")
    issuer = plain.issuer
    draft = issuer.builder().header(kid="new").signed_by(new)
    arguments = json.dumps([plain.policy(), issuer.token(), draft.build(), parent])
    if parent == "cold":
        plain.publish(new)
    with subprocess.Popen(
        [sys.executable, "-c", FORKING, arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        if parent == "warm":
            assert process.stdout is not None
            assert process.stdout.readline() == "warm\n"
            plain.publish(new)
        _, errors = process.communicate("\n", timeout=60)
    assert process.returncode == 0, errors
    # One question of the parent for each key that it missed, and one of each child.
    assert len(plain.requests) == (4 if parent == "cold" else 1 + 3 + 1)


APP = """
import os
from portvakt import Guard
from portvakt.adapters.asgi import GuardMiddleware

async def pid(scope, receive, send):
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

app = GuardMiddleware(pid, Guard.from_file("portvakt.toml"))
"""


def test_each_worker_of_uvicorn_fetches_for_itself(plain: Plain, tmp_path: Path) -> None:
    table = plain.policy()["issuer"][0]
    lines = ['[api]\naudience = "test-api"\n[[issuer]]']
    lines += [f"{name} = {json.dumps(value)}" for name, value in table.items()]
    (tmp_path / "portvakt.toml").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "worker_app.py").write_text(APP, encoding="utf-8")
    command = [sys.executable, "-m", "uvicorn", "worker_app:app", "--port", "0", "--workers", "2"]
    environment = {**os.environ, "NO_COLOR": "1"}
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            address = _address(process)
            # Each asks as soon as it starts, and no request had to come first.
            plain.wait_for(2, seconds=30)
            headers = {"Authorization": f"Bearer {plain.issuer.token()}"}
            workers: set[str] = set()
            for _ in range(200):
                # A new connection each time, for whichever worker takes it.
                answer = httpx2.get(address, headers=headers, trust_env=False, timeout=10)
                assert answer.status_code == 200
                workers.add(answer.text)
                if len(workers) == 2:
                    break
            assert workers
            assert str(process.pid) not in workers
            assert httpx2.get(address, trust_env=False).status_code == 401
            assert len(plain.requests) == 2
        finally:
            process.terminate()
            process.stderr.read() if process.stderr else None


def _address(process: subprocess.Popen[str]) -> str:
    """Read where uvicorn listens out of what it says."""
    assert process.stderr is not None
    seen = []
    while line := process.stderr.readline():
        seen.append(line)
        if "running on" in line:
            return line.partition("running on ")[2].split()[0]
    raise AssertionError("".join(seen))


def test_no_loop_and_no_thread_is_made_before_something_is_fetched(plain: Plain) -> None:
    code = """
import gc, json, sys, threading
import portvakt
from portvakt import Guard
assert "asyncio" not in sys.modules
import portvakt.adapters.asgi, portvakt.adapters.fastapi, portvakt.net.remote_keys
guard = Guard.from_config(json.loads(sys.argv[1]))
assert not guard.health().ready
assert threading.active_count() == 1
asyncio = sys.modules.get("asyncio")
assert not asyncio or not [
    one for one in gc.get_objects() if isinstance(one, asyncio.AbstractEventLoop)
]
"""
    command = [sys.executable, "-W", "error", "-c", code, json.dumps(plain.policy())]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert plain.requests == []
