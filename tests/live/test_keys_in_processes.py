"""A guard that fetches keys, imported and forked: nothing starts too early, and each fetches.

Real addresses in processes of their own: so it is http on this machine, and said to be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import pytest

from key_server import KeyServer, whole
from portvakt.jose.signer import Signer
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator


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
