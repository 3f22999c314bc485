"""A signal to read the policy again that comes while a process of the gateway starts ends none."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from gateways import READ, Gateway, asked, issuer_of_today, serving
from servers import family, until

if TYPE_CHECKING:
    from pathlib import Path


def _are_back(gateway: Gateway, killed: int) -> bool:
    with suppress(OSError):
        return killed not in gateway.workers() and len(gateway.workers()) == 1
    return False


def test_a_reload_while_processes_start_waits_for_them(tmp_path: Path) -> None:
    issuer = issuer_of_today()
    headers = asked("/journal/1", issuer.token(scopes=[READ]))
    with serving(tmp_path, issuer) as gateway:
        before = set(family(gateway.process.pid))
        (worker,) = gateway.workers()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            gateway.signal(signal.SIGHUP)
            time.sleep(0.02)
        until(lambda: _are_back(gateway, worker))
        generation = gateway.readiness()[0]["generation"]
        gateway.signal(signal.SIGHUP)
        until(lambda: gateway.readiness()[0]["generation"] > generation)
        assert gateway.ask(headers)[0] == 200
        # Each was started once again, after it was killed, and never a second time.
        assert gateway.log.count("the process of the admin address ended") == 1
        assert gateway.log.count("Unexpected exit from worker") == 1
