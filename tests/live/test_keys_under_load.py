"""Keys from the network while honest requests come without a pause: outage, rotation, flood.

Over TLS, on real loops and threads. The full forms, with their figures, are ``make flood`` and
``make soak``.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import pytest
import trio

from key_server import Gate, silent, whole
from portvakt import Code
from portvakt.jose.signer import Signer
from portvakt.net.cache import Budget, Schedule
from publishing import Published, code_of, guard_of, timed_guard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from key_server import Names
    from portvakt import Guard

#: As a minute to an hour is in production, only faster.
QUICK = Schedule(
    floor=0.2,
    ceiling=0.4,
    default=0.3,
    hard_limit=2.5,
    cooldown=0.3,
    first_retry=0.1,
    last_retry=0.2,
)


@pytest.fixture
def quick(hosts: Names, ca_file: Path, published: Published) -> Guard:
    """A guard whose keys are renewed several times a second."""
    return timed_guard(hosts, ca_file, published, schedule=QUICK, budget=Budget(1000))


class Load:
    """Honest requests from several threads, without a pause, until told to stop.

    Attributes:
        tokens: what they carry; may be exchanged at any time.
        codes: what became of each, in order; None for admitted.
    """

    def __init__(self, guard: Guard, published: Published, threads: int = 2) -> None:
        self.tokens = [published.token() for _ in range(50)]
        self.codes: list[Code | None] = []
        self._guard, self._published = guard, published
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
            for token in self.tokens:
                self.codes.append(self._published.judged(self._guard, token))
            time.sleep(0.005)


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for something that a background task does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["refusing", "hanging"])
def test_an_outage_refuses_nobody_until_the_hard_limit_and_is_over_when_it_is_over(
    quick: Guard, published: Published, kind: str
) -> None:
    assert published.judged(quick) is None
    with Load(quick, published) as load:
        if kind == "refusing":
            published.server.stop()
        else:
            published.publish(metadata=silent, answer=silent)
        started = time.monotonic()
        until(lambda: quick.health().keys[0].last_error is not None)
        until(lambda: Code.KEYS_UNAVAILABLE in load.codes)
        # The last good keys were asked for a few tenths of a second before the outage, or on a busy
        # machine a second: so long they served.
        assert time.monotonic() - started > QUICK.hard_limit - 1.4
        published.publish()
        if kind == "refusing":
            published.server.start()
        until(lambda: load.codes[-1] is None)
        recovered = len(load.codes)
    assert set(load.codes) == {None, Code.KEYS_UNAVAILABLE}
    # One refusal after another, while it lasted, and none after the first renewal.
    assert set(load.codes[: load.codes.index(Code.KEYS_UNAVAILABLE)]) == {None}
    assert set(load.codes[recovered:]) <= {None}
    assert published.judged(quick) is None


def test_a_rotation_under_load_refuses_nobody(quick: Guard, published: Published) -> None:
    assert published.judged(quick) is None
    last = published.issuer.signer
    with Load(quick, published) as load:
        for number in range(4):
            new = Signer.generate("ES256", f"new-{number}")
            published.publish({"keys": [last.public_jwk(), new.public_jwk()]})
            # From here on everything is signed with it, and no renewal has seen it yet; a moment
            # ago everything was signed with the last one, and some of that is still on its way.
            load.tokens = [published.token(signer=new, jti=f"{number}-{n}") for n in range(50)]
            sent = len(load.codes)
            until(lambda sent=sent: len(load.codes) > sent + 200)  # type: ignore[misc]
            time.sleep(QUICK.cooldown)
            last = new
    assert set(load.codes) == {None}


def test_a_flood_of_unknown_kids_neither_reaches_the_issuer_nor_the_honest(
    hosts: Names, ca_file: Path, published: Published
) -> None:
    guard = guard_of(hosts, ca_file, published.table())
    assert published.judged(guard) is None
    invented = [published.token(f"invented-{number}") for number in range(300)]
    with Load(guard, published) as load:
        codes = [published.judged(guard, token) for token in invented]
    assert codes == [Code.KEY_UNKNOWN, *[Code.KEYS_UNAVAILABLE] * 299]
    assert set(load.codes) == {None}
    assert published.fetches() == 2


@pytest.mark.attack("JWKS-25")
def test_first_requests_of_many_threads_are_one_fetch(
    hosts: Names, ca_file: Path, published: Published
) -> None:
    guard, gate = guard_of(hosts, ca_file, published.table()), opening(published)
    codes: list[Code | None] = []
    threads = [
        threading.Thread(target=lambda: codes.append(published.judged(guard))) for _ in range(100)
    ]
    for thread in threads:
        thread.start()
    published.server.wait_for(2)
    gate.open()
    for thread in threads:
        thread.join()
    assert codes == [None] * 100
    assert published.fetches() == 1


@pytest.mark.attack("JWKS-25")
def test_first_requests_of_many_trio_tasks_are_one_fetch(
    hosts: Names, ca_file: Path, published: Published
) -> None:
    guard, gate = guard_of(hosts, ca_file, published.table()), opening(published)

    async def all_of_them() -> list[Code | None]:
        codes: list[Code | None] = []

        async def one() -> None:
            request = published.issuer.request(published.token())
            codes.append(code_of(await guard.check(request)))

        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(one)
        return codes

    def open_later() -> None:
        published.server.wait_for(2)
        gate.open()

    opener = threading.Thread(target=open_later)
    opener.start()
    assert trio.run(all_of_them) == [None] * 100
    opener.join()
    assert published.fetches() == 1


def opening(published: Published) -> Any:
    """Let the key endpoint wait until it is told to answer."""
    gate = Gate(whole(json.dumps(published.issuer.jwks()).encode()))
    published.publish(answer=gate)
    return gate


def test_a_start_while_one_issuer_is_down_serves_the_others_and_recovers_by_itself(
    hosts: Names, ca_file: Path, published: Published
) -> None:
    with Published("down.test", hosts) as down:
        down.server.stop()
        guard = guard_of(hosts, ca_file, published.table(), down.table())
        decision = guard.check_blocking(down.issuer.request(down.token()))
        assert code_of(decision) is Code.KEYS_UNAVAILABLE
        assert decision.response is not None
        assert decision.response.status == 503
        assert "Retry-After" in dict(decision.response.headers)
        assert published.judged(guard) is None
        assert [keys.keys for keys in guard.health().keys] == [2, None]
        assert not guard.health().ready
        down.server.start()
        # By itself: no request asks for it.
        until(lambda: guard.health().ready)
        assert down.judged(guard) is None


def test_a_restart_during_an_outage_serves_by_the_keys_on_disk(
    hosts: Names, ca_file: Path, published: Published, tmp_path: Path
) -> None:
    network = {"cache_dir": str(tmp_path / "keys"), "timeout": "1s"}
    first = guard_of(hosts, ca_file, published.table(), network=network)
    assert published.judged(first) is None
    published.server.stop()

    second = guard_of(hosts, ca_file, published.table(), network=network)
    assert published.judged(second) is None

    # The hard limit counts from the fetch, not from the start: here it is over.
    (file,) = (tmp_path / "keys").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    kept = json.loads(file.read_text())
    for age, code in ((86000, None), (86401, Code.KEYS_UNAVAILABLE)):
        file.write_text(json.dumps({**kept, "fetched_at": kept["fetched_at"] - age}))
        restarted = guard_of(hosts, ca_file, published.table(), network=network)
        assert published.judged(restarted) is code
    published.server.start()
    until(lambda: published.judged(restarted) is None)
