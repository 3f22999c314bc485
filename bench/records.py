"""Measure what decision records cost: on the path of a request, in the process, and to verify.

Two guards take turns, one that keeps records and one that does not, with the same repeated token. A
figure is the median over the turns of one ratio, or of one difference, of the same turn; time is
what processors spent: of this thread, on the path, and of the whole process, writing included.

    python bench/records.py [--rounds N] [--decisions N]
"""

import argparse
import gc
import os
import statistics
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

from portvakt import Guard, HttpRequest
from portvakt.records.key import RecordKey
from portvakt.records.reading import lines_of_file
from portvakt.records.sinks import listed
from portvakt.records.verify import Verifier
from portvakt.testing import FakeIssuer

PATH_TARGET = 4.0  # µs on the path of a request

SECRET = "a secret of a benchmark, long enough"
ISSUER = FakeIssuer(profile="helseid-test", alg="ES256")
ROUTE = {
    "path": "/journal/{patient}",
    "security_level": 4,
    "require": ["pid", "organisation"],
    "ignore": ["hpr_number"],
}


def guard(**tables: Any) -> Guard:
    return Guard.from_config(ISSUER.config(route=[ROUTE], **tables), clock=ISSUER.clock)


def decide(one: Guard, request: HttpRequest, count: int) -> None:
    check = one.check_blocking
    for _ in range(count):
        check(request)


def settled(one: Guard) -> None:
    """Wait until all is written."""
    records = one.parts.records
    while records is not None and records.health().behind:
        time.sleep(0.01)


def turn(one: Guard, request: HttpRequest, count: int) -> tuple[float, float]:
    """Return the µs of one decision: of this thread, and of the whole process."""
    gc.collect()
    whole, path = time.process_time(), time.thread_time()
    decide(one, request, count)
    path = time.thread_time() - path
    settled(one)
    return 1e6 * path / count, 1e6 * (time.process_time() - whole) / count


def verify(folder: Path) -> tuple[int, float, float]:
    """Return how many records hold, how many of them a second, and the MiB that it took."""
    key = RecordKey(SECRET.encode())

    def read() -> Verifier:
        verifier = Verifier({key.id: key})
        for path in listed(folder):
            for line in lines_of_file(path):
                record, _ = verifier.read(line.octets, line.place)
                assert record is not None
        return verifier

    began = time.process_time()
    verifier = read()
    took = time.process_time() - began
    tracemalloc.start()
    read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(verifier.finish()) == []
    count = sum(records for _, records, _ in verifier.heads())
    return count, count / took, peak / 2**20


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=30)
    arguments.add_argument("--decisions", type=int, default=5000)
    stated = arguments.parse_args()
    os.environ["RECORD_KEY"] = SECRET
    request = ISSUER.request(ISSUER.token(), url="/journal/1")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = {"sink": "file", "folder": name, "keys": [{"env": "RECORD_KEY"}]}
        bare, keeping = guard(), guard(records=table)
        for one in (bare, keeping):
            assert one.check_blocking(request).admitted
            turn(one, request, stated.decisions)
        turns = [
            (turn(bare, request, stated.decisions), turn(keeping, request, stated.decisions))
            for _ in range(stated.rounds)
        ]
        assert keeping.parts.records is not None
        keeping.parts.records.close()
        without = statistics.median(one[0] for one, _ in turns)
        path = statistics.median(other[0] - one[0] for one, other in turns)
        whole = statistics.median(other[1] - one[1] for one, other in turns)
        count, rate, peak = verify(folder)
        octets = sum(file.stat().st_size for file in listed(folder)) / count
    print(f"a repeated token without records          {without:6.2f} µs")
    print(f"a record, on the path of the request     +{path:6.2f} µs   target {PATH_TARGET:g}")
    print(f"a record, in the process as a whole      +{whole:6.2f} µs")
    print(f"a record                                  {octets:6.0f} octets")
    print(
        f"verified                                  {rate:6.0f} records/s, {peak:.2f} MiB at most"
    )
    assert count == (stated.rounds + 1) * stated.decisions + 3


if __name__ == "__main__":
    main()
