"""Measure Portvakt beside raw verification and other libraries: one run, every figure a ratio.

Times on shared machines are noisy, so the contenders take turns, many short turns each, and a
figure is the median over the turns of the ratio to the raw verification *of the same turn*. A turn
verifies the same 48 different tokens; for "first sight" with a guard that has seen none of them.

    python bench/run.py [--rounds N] [ALGORITHM …]
"""

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import contenders
import payload
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from portvakt.guard.validated import ValidatedTokens
from portvakt.jose.encoding import decode_base64url
from portvakt.jose.jwk import import_jwk
from portvakt.jose.signer import Signer, sign_compact

TOKENS = 48
CASES = ("RS256-2048", "RS256-3072", "PS256-2048", "ES256", "EdDSA", "ML-DSA-44")

# What the design asks for: first sight, as a multiple of raw verification.
TARGETS = {"RS256-2048": 1.5, "RS256-3072": 1.35, "ES256": 1.2, "EdDSA": 1.2}


class Contender(NamedTuple):
    """What takes a turn: it verifies all tokens once."""

    turn: Callable[[], None]
    prepare: Callable[[], None] = lambda: None


def raw(jwk: dict[str, Any], tokens: list[str]) -> Callable[[], None]:
    """Return the least that anyone must do: the primitive's own verification, prepared."""
    alg = jwk["alg"]
    key = import_jwk(jwk, frozenset({alg})).public_key
    sha256 = hashes.SHA256()
    extra: dict[str, tuple[Any, ...]] = {
        "RS256": (padding.PKCS1v15(), sha256),
        "PS256": (padding.PSS(padding.MGF1(sha256), 32), sha256),
        "ES256": (ec.ECDSA(sha256),),
    }
    arguments = []
    for token in tokens:
        signed, _, signature = token.rpartition(".")
        octets = decode_base64url(signature)
        if alg == "ES256":
            r, s = (int.from_bytes(half, "big") for half in (octets[:32], octets[32:]))
            octets = encode_dss_signature(r, s)
        arguments.append((octets, signed.encode(), *extra.get(alg, ())))
    verify = key.verify

    def turn() -> None:
        for each in arguments:
            verify(*each)

    return turn


def turns(case: str) -> dict[str, Contender]:
    """Return what takes turns, by name. Each verifies all tokens once."""
    alg, _, bits = case.partition("-") if case[1:2] == "S" else (case, "", "")
    signer = Signer.generate(alg, "key-1", bits=int(bits or 2048))
    jwk = signer.public_jwk()
    header = {"alg": alg, "kid": "key-1", "typ": "at+jwt"}
    now = int(time.time())
    claims = [payload.claims(now, serial) for serial in range(TOKENS + 1)]
    warm, *tokens = [sign_compact(header, each, signer) for each in claims]
    spaced = [sign_compact(header, json.dumps(each, indent=1).encode(), signer) for each in claims]

    guard = contenders.guard(jwk)
    requests = [contenders.request(token) for token in tokens]
    assert guard.check_blocking(contenders.request(warm)).admitted

    def all_of(check: Callable[[Any], object], inputs: Iterable[Any]) -> Callable[[], None]:
        def turn() -> None:
            for each in inputs:
                check(each)

        return turn

    def forget() -> None:
        guard._validated = ValidatedTokens(guard.keys)

    repeated = all_of(guard.check_blocking, requests)
    pretty = all_of(guard.check_blocking, [contenders.request(token) for token in spaced[1:]])
    result = {
        "raw cryptography": Contender(raw(jwk, tokens)),
        "Portvakt, first sight": Contender(repeated, forget),
        "Portvakt, repeated": Contender(repeated),
        "Portvakt, first sight, pretty-printed": Contender(pretty, forget),
    }
    for name, make in (
        ("PyJWT", contenders.pyjwt),
        ("joserfc, with claims registry", contenders.joserfc),
        ("Authlib, RFC 9068 validator", contenders.authlib),
    ):
        try:
            check = make(jwk)
            check(tokens[0])
        except Exception as error:  # noqa: BLE001  it does not know the algorithm: no figure
            print(f"  {name}: no figure for {alg} ({type(error).__name__})")
            continue
        result[name] = Contender(all_of(check, tokens))
    for request in requests:  # what is measured is admitted
        assert guard.check_blocking(request).admitted
    return result


def measure(
    named: dict[str, Contender], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Let each take its turn, *rounds* times; return microseconds for one token, by name."""
    gc.collect()
    gc.freeze()
    times: dict[str, list[float]] = {name: [] for name in named}
    for _ in range(rounds):
        for name, contender in named.items():
            # Warm, with the very work that is measured: what ran before has driven it out of the
            # caches, and a guard that remembers would warm another path than that of first sight.
            contender.prepare()
            contender.turn()
            contender.prepare()
            start = clock()
            contender.turn()
            times[name].append((clock() - start) / TOKENS * 1e6)
    return times


def ratio(times: dict[str, list[float]], name: str, base: str) -> float:
    """Return the median over the rounds of one time as a multiple of another."""
    pairs = zip(times[name], times[base], strict=True)
    return statistics.median(one / other for one, other in pairs)


def verdict(*, met: bool) -> str:
    """Say in a word whether a target was met."""
    return "met" if met else "MISSED"


def report(case: str, times: dict[str, list[float]]) -> None:
    """Print one case's figures."""
    base = "raw cryptography"
    print(f"\n{case}")
    for name, values in times.items():
        figure = ratio(times, name, base)
        print(f"  {name:40}{statistics.median(values):9.2f} µs {figure:8.3f} × raw")
    first, repeated = "Portvakt, first sight", "Portvakt, repeated"
    if case in TARGETS:
        got = ratio(times, first, base)
        target = TARGETS[case]
        print(f"  first sight: {got:.3f} × raw, target {target}: {verdict(met=got <= target)}")
    for name, target in (("joserfc, with claims registry", 1.8), ("PyJWT", 2.5)):
        if name in times and case == "RS256-2048":
            got = ratio(times, name, first)
            met = verdict(met=got >= target)
            print(f"  first sight: {got:.2f} × faster than {name}, target {target}: {met}")
    if "PyJWT" in times:
        got = ratio(times, "PyJWT", repeated)
        print(f"  repeated: {got:.1f} × faster than PyJWT, target 30: {verdict(met=got >= 30)}")


def imports(rounds: int = 15) -> None:
    """Print how long the imports take, less the interpreter's own start."""
    statements = ("pass", "import portvakt", "from portvakt import Guard", "import jwt")
    times: dict[str, list[float]] = {statement: [] for statement in statements}
    for _ in range(rounds):
        for statement in statements:
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            times[statement].append((time.perf_counter() - start) * 1e3)
    bare = statistics.median(times.pop("pass"))
    print("\nimports, beyond the interpreter's own start")
    for statement, values in times.items():
        print(f"  {statement:40}{max(0.0, statistics.median(values) - bare):9.1f} ms")


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description="Portvakt beside others, as ratios of one run.")
    parser.add_argument("cases", nargs="*", metavar="ALGORITHM", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=101)
    arguments = parser.parse_args()
    for case in arguments.cases or CASES:
        report(case, measure(turns(case), arguments.rounds))
    imports()


if __name__ == "__main__":
    main()
