"""Measure what a route's demands cost on the path of an admitted request.

The same token of HelseID's form, seen before, at two routes of two guards that differ in nothing
else: one demands nothing but a valid token, the other a level, scopes, a person, health personnel,
one of some organisations, and that the person is the one in the path. They take turns; the figures
are the medians of the differences, and of the ratios, of the same turn. So too for tokens that are
seen for the first time.

    python bench/journal.py [--rounds N]
"""

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

from portvakt import Guard, HttpRequest
from portvakt.forge.identities import ORGANISATION
from portvakt.guard.validated import ValidatedTokens
from portvakt.testing import FakeIssuer

TOKENS = 48
TARGET = 3.0  # microseconds

PID = "helseid://claims/identity/pid"
SOMEBODY = "17056600574"  # synthetic
DEMANDS: dict[str, Any] = {
    "scopes": ["journal/read"],
    "security_level": 4,
    "require": ["pid", "hpr_number", "organisation"],
    "organisations": [ORGANISATION],
    "matches_request": {"pid": "path.pid"},
}


def guard_of(issuer: FakeIssuer, demands: dict[str, Any]) -> Guard:
    """Return a guard with one route that demands this."""
    decided = {"ignore": ["security_level", "pid", "hpr_number", "organisation"]}
    bare = demands or {"sensitivity": "low", **decided}
    return issuer.guard(route=[{"path": "/me/{pid}", "methods": ["GET"], **bare}])


def main() -> None:
    """Print the two figures."""
    parser = argparse.ArgumentParser(description="What a route's demands cost.")
    parser.add_argument("--rounds", type=int, default=301)
    rounds = parser.parse_args().rounds

    issuer = FakeIssuer(profile="helseid-test", alg="RS256", clock=time.time)
    guards = {"bare": guard_of(issuer, {}), "journal": guard_of(issuer, DEMANDS)}
    requests: list[HttpRequest] = [
        issuer.request(
            issuer.token(scopes=["openid", "profile", "journal/read"], claims={PID: SOMEBODY}),
            url=f"/me/{SOMEBODY}",
        )
        for _ in range(TOKENS)
    ]

    def turn(guard: Guard) -> Callable[[], float]:
        def taken() -> float:
            start = time.perf_counter()
            for request in requests:
                guard.check_blocking(request)
            return (time.perf_counter() - start) / TOKENS * 1e6

        return taken

    for guard in guards.values():
        assert all(guard.check_blocking(request).admitted for request in requests)
    gc.collect()
    gc.freeze()
    print("journal route beside a bare one, HelseID's claims")
    for seen in ("repeated", "first sight"):
        times: dict[str, list[float]] = {name: [] for name in guards}
        for _ in range(rounds):
            for name, guard in guards.items():
                measured = turn(guard)
                measured()  # warm
                if seen == "first sight":
                    guard._validated = ValidatedTokens(guard.keys)
                times[name].append(measured())
        for name, values in times.items():
            print(f"  {seen:12} {name:10}{statistics.median(values):9.2f} µs")
        pairs = list(zip(times["journal"], times["bare"], strict=True))
        cost = statistics.median(one - other for one, other in pairs)
        more = statistics.median(one / other for one, other in pairs)
        print(f"  {seen:12} the demands cost {cost:.2f} µs, {more:.2f} × the bare one")
        if seen == "repeated":
            print(f"  {'':12} target {TARGET} µs: {'met' if cost <= TARGET else 'MISSED'}")


if __name__ == "__main__":
    main()
