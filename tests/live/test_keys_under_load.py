"""Keys from the network while everything happens at once: floods, outages, rotation, forks.

Over TLS, on real loops, threads and processes. The full forms, with their figures, are
``make flood`` and ``make soak``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Self

import pytest
import trio

from key_server import Names, whole
from portvakt import Code, Guard
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.signer import Signer, sign_compact
from portvakt.net.cache import Budget, Schedule
from portvakt.net.fetch import Fetch
from portvakt.net.remote_keys import KeyEndpoint, RemoteKeys
from portvakt.testing import FakeIssuer
from publishing import OPEN, Published, code_of, guard_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: As a minute to an hour is in production, only faster.
QUICK = Schedule(
    floor=0.2,
    ceiling=0.4,
    default=0.3,
    hard_limit=1.5,
    cooldown=0.3,
    first_retry=0.1,
    last_retry=0.2,
)


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def published(names: Names) -> Iterator[Published]:
    with Published("issuer.test", names) as issuer:
        yield issuer


def quick_guard(names: Names, ca_file: Path, published: Published) -> Guard:
    """A guard whose keys are renewed several times a second."""
    endpoint = KeyEndpoint(
        where="https://issuer.test/keys",
        fetch=Fetch(names, ca_file=ca_file, timeout=1.0),
        pinned=frozenset(),
        schedule=QUICK,
        file=None,
    )
    trusted = published.issuer.trusted
    guard = Guard(issuers=[trusted], keys=RemoteKeys(trusted, endpoint, budget=Budget(1000)))
    OPEN.append(guard)
    return guard


class Load:
    """Honest requests from several threads, as fast as they go, until told to stop."""

    def __init__(self, guard: Guard, published: Published, threads: int = 2) -> None:
        self.codes: list[Code | None] = []
        self._guard = guard
        self._requests = [published.issuer.request(published.token()) for _ in range(50)]
        self._on = True
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._on = False
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while self._on:
            for request in self._requests:
                self.codes.append(code_of(self._guard.check_blocking(request)))
            time.sleep(0.005)


def until(condition: object, seconds: float = 5.0) -> None:
    """Wait for something that a background task does."""
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_outage_refuses_nobody_until_the_hard_limit_and_is_over_when_it_is_over(
    names: Names, ca_file: Path, published: Published
) -> None:
    guard = quick_guard(names, ca_file, published)
    honest = published.issuer.request(published.token())
    assert guard.check_blocking(honest).admitted
    with Load(guard, published) as load:
        published.server.stop()
        started = time.monotonic()
        until(lambda: guard.health().keys[0].last_error is not None)
        while time.monotonic() < started + 0.8:
            time.sleep(0.05)
        assert set(load.codes) == {None}  # well before the hard limit
        until(lambda: Code.KEYS_UNAVAILABLE in load.codes)
        # The last good keys were asked for at most 0.4 s before the outage.
        assert time.monotonic() - started > QUICK.hard_limit - 0.5
        published.server.start()
        back = len(load.codes)
        until(lambda: None in load.codes[back:])
    assert guard.check_blocking(honest).admitted


def test_a_rotation_under_load_refuses_nobody(
    names: Names, ca_file: Path, published: Published
) -> None:
    guard = quick_guard(names, ca_file, published)
    claims = {**_claims(published), "jti": "rotated"}
    with Load(guard, published) as load:
        for number in range(5):
            new = Signer.generate("ES256", f"new-{number}")
            published.publish({"keys": [*published.issuer.jwks()["keys"], new.public_jwk()]})
            token = sign_compact({"alg": "ES256", "kid": new.kid, "typ": "at+jwt"}, claims, new)
            decision = guard.check_blocking(published.issuer.request(token))
            assert code_of(decision) is None  # signed with it before any renewal
            time.sleep(QUICK.cooldown)
    assert set(load.codes) == {None}


def test_a_flood_of_unknown_kids_neither_reaches_the_issuer_nor_the_honest(
    names: Names, ca_file: Path, published: Published
) -> None:
    guard = guard_of(names, ca_file, published.table())
    assert guard.check_blocking(published.issuer.request(published.token())).admitted
    invented = [
        published.issuer.request(published.token(f"invented-{number}")) for number in range(300)
    ]
    with Load(guard, published) as load:
        codes = [code_of(guard.check_blocking(request)) for request in invented]
    assert set(codes) <= {Code.KEY_UNKNOWN, Code.KEYS_UNAVAILABLE}
    assert codes.count(Code.KEY_UNKNOWN) <= 1
    assert set(load.codes) == {None}
    assert published.fetches() <= 2


def test_first_requests_of_many_threads_are_one_fetch(
    names: Names, ca_file: Path, published: Published
) -> None:
    guard = guard_of(names, ca_file, published.table())
    request = published.issuer.request(published.token())
    codes: list[Code | None] = []
    threads = [
        threading.Thread(target=lambda: codes.append(code_of(guard.check_blocking(request))))
        for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [None] * 50
    assert published.fetches() == 1


def test_trio_is_served_like_asyncio(names: Names, ca_file: Path, published: Published) -> None:
    guard = guard_of(names, ca_file, published.table())

    async def several() -> list[Code | None]:
        codes: list[Code | None] = []

        async def one() -> None:
            request = published.issuer.request(published.token())
            codes.append(code_of(await guard.check(request)))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(one)
        return codes

    assert trio.run(several) == [None] * 20
    assert published.fetches() == 1


def test_a_start_while_one_issuer_is_down_serves_the_others_and_recovers_by_itself(
    names: Names, ca_file: Path, published: Published
) -> None:
    with Published("down.test", names) as down:
        down.server.stop()
        guard = guard_of(names, ca_file, published.table(), down.table())
        theirs = down.issuer.request(down.token())
        decision = guard.check_blocking(theirs)
        assert code_of(decision) is Code.KEYS_UNAVAILABLE
        assert decision.response is not None
        assert "Retry-After" in dict(decision.response.headers)
        assert guard.check_blocking(published.issuer.request(published.token())).admitted
        down.server.start()
        until(lambda: guard.check_blocking(theirs).admitted)


def test_a_restart_during_an_outage_serves_by_the_keys_on_disk(
    names: Names, ca_file: Path, published: Published, tmp_path: Path
) -> None:
    network = {"cache_dir": str(tmp_path / "keys"), "timeout": "1s"}
    request = published.issuer.request(published.token())
    first = guard_of(names, ca_file, published.table(), network=network)
    assert first.check_blocking(request).admitted
    published.server.stop()

    second = guard_of(names, ca_file, published.table(), network=network)
    assert second.check_blocking(request).admitted

    # The hard limit counts from the fetch, not from the start: here it is long over.
    (file,) = (tmp_path / "keys").iterdir()
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "fetched_at": time.time() - 86400}))
    third = guard_of(names, ca_file, published.table(), network=network)
    assert code_of(third.check_blocking(request)) is Code.KEYS_UNAVAILABLE


FORKING = """
import json, os, sys
from portvakt import Guard, HttpRequest
config, token = json.loads(sys.argv[1])
guard = Guard.from_config(config)
request = HttpRequest(method="GET", url="/", headers=(("Authorization", f"Bearer {token}"),))
assert "asyncio" not in sys.modules or not [t for t in __import__("threading").enumerate()[1:]]
if sys.argv[2] == "warm":
    assert guard.check_blocking(request).admitted
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        decision = guard.check_blocking(request)
        fresh = guard.check_blocking(request)
        os._exit(0 if decision.admitted and fresh.admitted else 1)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert guard.check_blocking(request).admitted
sys.exit(any(codes))
"""


@pytest.mark.parametrize("parent", ["cold", "warm"])
def test_each_fork_fetches_for_itself(parent: str) -> None:
    # Real addresses, in processes of their own: so it is http, on this machine, and said to be.
    from key_server import KeyServer

    with KeyServer(whole(), plain=True) as server:
        name = f"http://127.0.0.1:{server.port}"
        issuer = FakeIssuer(name, audience="test-api", clock=time.time)
        server.answer = whole(json.dumps(issuer.jwks()).encode())
        table = {
            "issuer": name,
            "algorithms": ["ES256"],
            "jwks_uri": f"{name}/keys",
            "unsafe_loopback": True,
        }
        config = {"api": {"audience": "test-api"}, "issuer": [table]}
        result = subprocess.run(
            [sys.executable, "-c", FORKING, json.dumps([config, issuer.token()]), parent],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        # Nobody more than once; and who had keys already, no sooner than they are due.
        assert len(server.requests) == (4 if parent == "cold" else 1)


def test_no_loop_and_no_thread_is_there_before_something_is_fetched() -> None:
    code = (
        "import sys, threading, portvakt; from portvakt import Guard;"
        "assert 'asyncio' not in sys.modules; assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _claims(published: Published) -> dict[str, object]:
    from portvakt.jose.encoding import decode_base64url

    claims: dict[str, object] = json.loads(decode_base64url(published.token().split(".")[1]))
    return claims


def test_the_sets_are_the_issuers(published: Published) -> None:
    # What the tests above rest on: two keys, of which one signs.
    assert len(JwkSet.from_object(published.issuer.jwks(), ["ES256"]).keys) == 2
