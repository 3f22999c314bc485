"""Measure what issue by reference, binding and revocation cost, as ratios of one run.

As in bench/run.py, the contenders take turns, and a figure is the median over the turns of the
ratio to the other *of the same turn*. Every proof is used once, and made before anything is
measured; a second passes from turn to turn, so that stores also forget.

Time is what this thread's processor spent, which is all there is to it where nothing is waited for;
only what servers answer is measured by the clock on the wall.

    python bench/bound.py [--rounds N] [--revocations N]
"""

import argparse
import gc
import json
import os
import statistics
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import payload
from run import TOKENS, Contender, measure, ratio, raw, verdict
from stores import KINDS, Kinds

from portvakt import Guard, HttpRequest
from portvakt.forge.proofs import ProofBuilder
from portvakt.guard.parts import Parts
from portvakt.guard.possession import Possession
from portvakt.guard.revoked import Revoked
from portvakt.guard.validated import ValidatedTokens
from portvakt.home import finish
from portvakt.http.origin import Origin
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.jwe import encrypt
from portvakt.jose.jwk import thumbprint
from portvakt.jose.signer import Signer, sign_compact
from portvakt.oauth.dpop import DpopRules
from portvakt.stores.base import Entry, Replay
from portvakt.testing import FrozenClock

REVOKED_TARGET = 1.2  # × the check without
DPOP_TARGET = 1.3  # × the two raw verifications
OCTETS_TARGET = 160.0  # for one revocation

ORIGIN = "https://journal.example.no"
PATH = "/journal/1"
ISSUER_KEY = Signer.generate("ES256", "key-1")
CLIENT_KEY = Signer.generate("ES256")
STORE = {"store": {"url": "memory://", "replay_per_key": 1_000_000}}


def config(route: dict[str, Any], **tables: Any) -> dict[str, Any]:
    """Return a policy with one route, for the payload of bench/payload.py."""
    issuer = {
        "issuer": payload.ISSUER,
        "algorithms": ["ES256"],
        "jwks": {"keys": [ISSUER_KEY.public_jwk()]},
    }
    return {
        "api": {"audience": payload.AUDIENCE, "origin": ORIGIN},
        "issuer": [issuer],
        "route": [{"path": "/journal/{id}", "methods": ["GET"], **route}],
        **tables,
    }


def tokens_of(now: float, count: int = TOKENS, **more: Any) -> list[str]:
    """Return signed tokens, no two alike."""
    header = {"alg": "ES256", "kid": "key-1", "typ": "at+jwt"}
    claims = ({**payload.claims(int(now), serial), **more} for serial in range(count))
    return [sign_compact(header, one, ISSUER_KEY) for one in claims]


def request(credential: str, proof: str | None = None) -> HttpRequest:
    """Return a request with the headers that an ordinary client sends."""
    sent = [("Authorization", credential)]
    if proof is not None:
        sent.append(("DPoP", proof))
    return HttpRequest(
        method="GET",
        url=PATH,
        headers=(
            ("Host", "journal.example.no"),
            ("User-Agent", "client/1.0"),
            ("Accept", "application/json"),
            *sent,
            ("X-Request-Id", "1"),
        ),
    )


def all_of(guard: Guard, requests: list[HttpRequest]) -> Callable[[], None]:
    """Return a turn that checks the same requests each time; they are seen to be admitted."""
    assert all(guard.check_blocking(one).admitted for one in requests)

    def turn() -> None:
        for one in requests:
            guard.check_blocking(one)

    return turn


def forgetting(guard: Guard) -> Callable[[], None]:
    """Return what makes a guard see every token for the first time."""

    def forget() -> None:
        guard._validated = ValidatedTokens(guard.keys)

    return forget


def named(title: str, times: dict[str, list[float]], base: str) -> None:
    """Print the figures of one measurement."""
    print(f"\n{title}")
    for name, values in times.items():
        figure = ratio(times, name, base)
        print(f"  {name:44}{statistics.median(values):9.2f} µs {figure:8.3f} × {base}")


def judge(what: str, got: float, target: float, unit: str = "×") -> None:
    """Print a figure beside its target."""
    print(f"  {what}: {got:.3f} {unit}, target {target:g}: {verdict(met=got <= target)}")


def revocations(rounds: int, count: int) -> None:
    """Measure a remembered bearer token with many revocations, and without any store."""
    now = time.time()
    requests = [request(f"Bearer {token}") for token in tokens_of(now)]
    without = Guard.from_config(config({}))
    news = {"revocation": {"max_staleness": "1m"}}
    empty, full = (Guard.from_config(config({}, **STORE, **news)) for _ in range(2))
    store = full.parts.store
    assert store is not None
    entries = tuple(Entry(os.urandom(16), now, now + 86400) for _ in range(count))
    finish(full.home.blocked(store.revoke, entries))
    contenders = {
        "no store": Contender(all_of(without, requests)),
        "a store, nothing revoked": Contender(all_of(empty, requests)),
        f"a store, {count} revoked": Contender(all_of(full, requests)),
    }
    health = full.health().revocation
    assert health is not None
    assert health.entries == count
    times = measure(contenders, rounds, time.thread_time)
    named("revocation: a bearer token that was seen before", times, "no store")
    judge("with revocations", ratio(times, list(times)[-1], "no store"), REVOKED_TARGET)
    for guard in (empty, full):
        guard.home.leave()


def octets(count: int) -> None:
    """Measure the memory of one revocation."""
    now = time.time()
    revoked = Revoked()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    revoked.put(Entry(os.urandom(16), now, now + 86400) for _ in range(count))
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(revoked) == count
    print(f"\nmemory of {count} revocations")
    judge("for each", taken / count, OCTETS_TARGET, "octets")


class Proven:
    """A turn whose requests have each a proof of their own.

    Parameters:
        guard: who checks; it goes by *clock*.
        clock: what time it is there.
        tokens: bound to the client's key.
        turns: how many there will be.
    """

    def __init__(self, guard: Guard, clock: FrozenClock, tokens: list[str], turns: int) -> None:
        self._check, self._clock, self._tokens = guard.check_blocking, clock, tokens
        start = clock()
        self._proofs = iter(
            [[proof(token, start + turn) for token in tokens] for turn in range(1, turns + 1)]
        )
        self._requests: list[HttpRequest] = []
        self.admitted = True

    def receive(self) -> None:
        """Make the requests of the next turn, just before, as a server does."""
        self._clock.advance(1)
        pairs = zip(self._tokens, next(self._proofs), strict=True)
        self._requests = [request(f"DPoP {token}", proof) for token, proof in pairs]

    def __call__(self) -> None:
        """Check one request for each token."""
        check = self._check
        for one in self._requests:
            decision = check(one)
        self.admitted = self.admitted and decision.admitted


def proof(token: str, now: float) -> str:
    """Return a proof for a request with this token."""
    url = ORIGIN + PATH
    return ProofBuilder(CLIENT_KEY, method="GET", url=url, token=token, now=now).build()


def bound_tokens(now: float) -> list[str]:
    """Return tokens that are bound to the client's key."""
    return tokens_of(now, cnf={"jkt": thumbprint(CLIENT_KEY.public_jwk())})


def dpop(rounds: int) -> None:
    """Measure checks with proofs beside the raw verifications that they need."""
    now = float(int(time.time()))
    tokens = bound_tokens(now)
    proofs = [proof(token, now) for token in tokens]
    verify_token = raw(ISSUER_KEY.public_jwk(), tokens)
    verify_proof = raw(CLIENT_KEY.public_jwk() | {"alg": "ES256"}, proofs)

    def both() -> None:
        verify_token()
        verify_proof()

    def proven(turns: int) -> tuple[Guard, Proven]:
        clock = FrozenClock(now - 60)
        guard = Guard.from_config(config({"sender_constraint": "dpop"}, **STORE), clock=clock)
        clock.advance(60)
        return guard, Proven(guard, clock, tokens, turns)

    turns = 2 * rounds + 1
    (first, at_first), (new, at_new), (_, again) = (proven(turns) for _ in range(3))
    for one in (at_first, at_new, again):
        one.receive()
        one()
    forget = forgetting(first)

    def at_first_sight() -> None:
        forget()
        at_first.receive()

    def of_a_stranger() -> None:
        at_new.receive()
        possession = new.parts.possession
        assert possession is not None
        possession._reader._keys._young.clear()

    raw_two, raw_one = "the two raw verifications", "the raw verification of the proof"
    contenders = {
        raw_two: Contender(both),
        raw_one: Contender(verify_proof),
        "first sight of the token": Contender(at_first, at_first_sight),
        "the token seen before": Contender(again, again.receive),
        "and the client's key once in 48 not": Contender(at_new, of_a_stranger),
    }
    times = measure(contenders, rounds, time.thread_time)
    assert all(one.admitted for one in (at_first, at_new, again))
    named("DPoP, ES256 token and ES256 proof, store in memory", times, raw_two)
    judge("first sight", ratio(times, "first sight of the token", raw_two), DPOP_TARGET)
    figure = ratio(times, "the token seen before", raw_one)
    print(f"  the token seen before: {figure:.3f} × the one verification that it needs")


def dpop_stores(rounds: int) -> None:
    """Measure checks with proofs of tokens that were seen before, on each kind of store."""
    print("\nDPoP, a token that was seen before, by store")
    with Kinds() as kinds:
        for name in KINDS:
            with kinds.made(name) as kind:
                if kind is not None:
                    clock: Any = kind.clock
                    store = kind.open(capacity=1_000_000, per_owner=1_000_000)
                    clock.advance(60)
                    took = on_store(store, clock, rounds)
                    print(f"  {name:44}{took:9.1f} µs")


def on_store(store: Replay, clock: FrozenClock, rounds: int) -> float:
    """Return the microseconds of one check."""
    table = config({"sender_constraint": "dpop"}, **STORE)
    base = Guard.from_config(table, clock=clock)
    rules = DpopRules(origins=(Origin.parse(ORIGIN),))
    parts = Parts(possession=Possession(rules, store))
    guard = Guard(
        issuers=base.issuers.values(), keys=base.keys, routes=base.routes, parts=parts, clock=clock
    )
    turn = Proven(guard, clock, bound_tokens(clock()), 2 * rounds)
    times = measure({"it": Contender(turn, turn.receive)}, rounds)["it"]
    assert turn.admitted
    guard.home.leave()
    return statistics.median(times)


@contextmanager
def an_issuer(claims: dict[str, Any]) -> Iterator[str]:
    """Publish keys on loopback, and say of every reference token that it is active."""
    keys = json.dumps({"keys": [ISSUER_KEY.public_jwk()]}).encode()
    active = json.dumps({"active": True, "token_type": "Bearer", **claims}).encode()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(keys)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(active)

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def forms(rounds: int) -> None:
    """Measure reference tokens and encrypted ones beside signed ones; no target."""
    now = time.time()
    keys = {alg: DecryptionKey.generate(alg, alg) for alg in ("ECDH-ES", "RSA-OAEP-256")}
    os.environ["BENCH_SECRET"] = "a secret of the benchmark, and of nothing else"
    os.environ["BENCH_KEYS"] = json.dumps({"keys": [one.private_jwk() for one in keys.values()]})
    signed = tokens_of(now)
    with an_issuer(payload.claims(int(now), 1)) as url:
        asked = {
            "client_id": "api",
            "secret": {"env": "BENCH_SECRET"},
            "endpoint": f"{url}/introspect",
            "signed": False,
            "max_staleness": "5m",
        }
        issuer = {"jwks_uri": f"{url}/keys", "unsafe_loopback": True, "introspection": asked}
        table = config({}, encryption={"keys": {"env": "BENCH_KEYS"}})
        del table["issuer"][0]["jwks"]
        table["issuer"][0] |= issuer
        guard = Guard.from_config(table)
        references = [request(f"Bearer reference-{number}") for number in range(TOKENS)]
        plain = all_of(guard, [request(f"Bearer {token}") for token in signed])
        contenders = {
            "signed, seen before": Contender(plain),
            "reference, asked about before": Contender(all_of(guard, references)),
            "signed, first sight": Contender(plain, forgetting(guard)),
        }
        for alg, key in keys.items():
            sealed = [request(f"Bearer {encrypt(token, key.public_jwk())}") for token in signed]
            turn = all_of(guard, sealed)
            contenders[f"encrypted with {alg}, first sight"] = Contender(turn, forgetting(guard))
        times = measure(contenders, rounds, time.thread_time)
        named("forms of tokens, no target", times, "signed, first sight")
        figure = ratio(times, "reference, asked about before", "signed, seen before")
        print(f"  a reference that was asked about: {figure:.2f} × a signed token seen before")
        guard.home.leave()


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description="What binding and revocation cost.")
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--revocations", type=int, default=100_000)
    arguments = parser.parse_args()
    rounds = arguments.rounds
    revocations(3 * rounds, arguments.revocations)
    dpop(rounds)
    dpop_stores(max(1, rounds // 5))
    octets(arguments.revocations)
    forms(rounds)


if __name__ == "__main__":
    main()
