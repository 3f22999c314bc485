"""A guard under load for minutes while its issuer changes keys: nothing of the process may grow.

The key endpoint is a process of its own. Every few seconds the issuer publishes a new key beside
the last one, and signs with it as soon as the guard admits it: at once, or when the cooldown is
over. Memory, threads, tasks and open files are sampled; the memory of verified tokens is full after
the first changes, and from then on the second half of the samples must not lie above the first.

    python bench/soak.py [--minutes N] [--rotate SECONDS] [--slack MEBIBYTES]
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from key_endpoint import KeyEndpoint

from portvakt import Code, Guard
from portvakt.home import finish
from portvakt.jose.encoding import decode_base64url
from portvakt.jose.signer import Signer, sign_compact
from portvakt.net.address import CheckedAddresses, Reach
from portvakt.net.cache import Budget, Schedule
from portvakt.net.fetch import Fetch
from portvakt.net.remote_keys import KeyEndpoint as KeyPlace
from portvakt.net.remote_keys import RemoteKeys
from portvakt.testing import FakeIssuer

#: Tokens of each key; the memory of verified ones holds ten thousand.
TOKENS = 2000


class Sample(NamedTuple):
    """What one look at the process found."""

    rss: float
    threads: int
    files: int
    tasks: int


async def _tasks() -> int:
    return len(asyncio.all_tasks())


def look(guard: Guard) -> Sample:
    """Sample this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return Sample(
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        threading.active_count(),
        len(list(Path("/proc/self/fd").iterdir())),
        finish(guard.home.blocked(_tasks)) - 1,
    )


class Load:
    """Threads that send the tokens of the day, again and again."""

    def __init__(self, guard: Guard, issuer: FakeIssuer, threads: int = 2) -> None:
        self.refused = self.sent = 0
        self.requests: list[Any] = []
        self.on = True
        self._guard = guard
        self._issuer = issuer
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End."""
        self.on = False
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while self.on:
            requests = self.requests
            for request in requests:
                if self.requests is not requests:
                    break  # Their key may be withdrawn before the last of them is sent.
                self.sent += 1
                self.refused += not self._guard.check_blocking(request).admitted
                time.sleep(0.0002)


def tokens_of(issuer: FakeIssuer, signer: Signer) -> list[Any]:
    """Sign new tokens with one key."""
    header = {"alg": signer.alg, "kid": signer.kid, "typ": "at+jwt"}
    claims = json.loads(decode_base64url(issuer.token().split(".")[1]))
    return [
        issuer.request(sign_compact(header, {**claims, "jti": f"{signer.kid}-{number}"}, signer))
        for number in range(TOKENS)
    ]


def guard_for(endpoint: KeyEndpoint, issuer: FakeIssuer, cooldown: float) -> Guard:
    """Make a guard as from a policy file, but for the cooldown, which no policy can shorten."""
    where = KeyPlace(
        where=f"{endpoint.issuer}/keys",
        fetch=Fetch(CheckedAddresses(Reach(loopback=True)), loopback_http=True),
        pinned=frozenset(),
        schedule=Schedule(cooldown=cooldown),
        file=None,
    )
    keys = RemoteKeys(issuer.trusted, where, budget=Budget())
    return Guard(issuers=[issuer.trusted], keys=keys)


def report(samples: list[Sample], slack: float) -> bool:
    """Print what was found, and return whether something grew."""
    kept = samples[len(samples) // 4 :]  # The caches are full by then.
    first, second = kept[: len(kept) // 2], kept[len(kept) // 2 :]
    grew = False
    for field in Sample._fields:
        before = statistics.median(getattr(one, field) for one in first)
        after = statistics.median(getattr(one, field) for one in second)
        most = max(getattr(one, field) for one in samples)
        verdict = "grew" if after > before + (slack if field == "rss" else 0) else "steady"
        grew = grew or verdict == "grew"
        print(f"  {field:8}{before:10.1f} →{after:10.1f}   most {most:10.1f}   {verdict}")
    return grew


def main() -> int:
    """Run, print the figures, and return 1 if something grew or an honest request was refused."""
    parser = argparse.ArgumentParser(description="A soak with rotation.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rotate", type=float, default=10.0)
    # What the second half may be above the first: the allocator's own unevenness.
    parser.add_argument("--slack", type=float, default=6.0)
    arguments = parser.parse_args()
    endpoint = KeyEndpoint()
    issuer = FakeIssuer(endpoint.issuer, audience="api", clock=time.time)
    guard = guard_for(endpoint, issuer, cooldown=min(10.0, arguments.rotate))
    last = Signer.generate("ES256", "key-0")
    load = Load(guard, issuer)
    samples: list[Sample] = []
    started = time.monotonic()
    rotation = 0
    while time.monotonic() < started + arguments.minutes * 60:
        rotation += 1
        new = Signer.generate("ES256", f"key-{rotation}")
        endpoint.publish(last.public_jwk(), new.public_jwk())
        requests = tokens_of(issuer, new)
        while (refusal := guard.check_blocking(requests[0]).refusal) is not None:
            # 503 until the cooldown is over, and never an honest 401.
            assert refusal.code is Code.KEYS_UNAVAILABLE
            time.sleep(0.2)
        load.requests = requests
        if rotation == 1:
            load.start()
        last = new
        next_at = started + rotation * arguments.rotate
        while time.monotonic() < min(next_at, started + arguments.minutes * 60):
            time.sleep(0.5)
            samples.append(look(guard))
    load.stop()
    print(f"{load.sent} requests, {load.refused} refused, {rotation} keys", end="")
    print(f", {endpoint.fetches()} fetches")
    grew = report(samples, arguments.slack)
    return 1 if grew or load.refused else 0


if __name__ == "__main__":
    sys.exit(main())
