"""The gateway at full load for minutes, read anew again and again: nothing of it may grow.

``portvakt serve`` runs with two workers on a file that both share. All the time wrk sends one token
again and again, thousands of distinct ones, and forged ones; a client of its own sends proofs of
possession, a new one each time and some of them twice; and the operator's address is asked every
second. Every few seconds SIGHUP has every process read its policy anew. Each answer has to be the
one that is expected, and no connection may be cut.

Memory, threads and open files of every process are sampled every second. What is judged is the end
beside the beginning, after a warm-up: by then every memory is as full as it gets.

    python bench/gateway_soak.py [--minutes N] [--warm-up S] [--reload S] [--tokens N]
                                 [--slack MEBIBYTES]
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

from gateway import sign, write_script
from gateway_contenders import HOST, Served, family, served

from portvakt.forge.proofs import ProofBuilder
from portvakt.jose.jwk import thumbprint
from portvakt.jose.signer import Signer

#: What may be more at the end: of memory, beside the slack; of threads and files, a few that come
#: and go with connections.
SHARE, FEW = 0.05, 6

#: Parts of the time, of which the first and the last are compared.
PARTS = 6

#: Processes that judge.
WORKERS = 2

#: Connections of each wrk.
CONNECTIONS = 8

#: Answers other than expected of which it is told what they were.
ODD = 20

#: Keys that proofs are made with: what a gateway remembers of each is bounded, and refused beyond.
KEYS = 16

#: Proofs of which one is sent twice.
TWICE = 8

# Added to a script of wrk: whether each answer is the expected one, and what came of it all.
COUNTING = """
wrong, odd = 0, ""
response = function(status)
  if status ~= {expected} then
    wrong = wrong + 1
    if wrong <= 5 then odd = odd .. " " .. status end
  end
end
local threads = {{}}
setup = function(thread) threads[#threads + 1] = thread end
done = function(summary)
  local all, found, errors = 0, "", summary.errors
  for _, thread in ipairs(threads) do
    all, found = all + thread:get("wrong"), found .. thread:get("odd")
  end
  local cut = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("COUNTED %d %d %d%s\\n", summary.requests, all, cut, found))
end
"""


class Sample(NamedTuple):
    """What one look at one process found: mebibytes, threads and open files."""

    rss: float
    threads: int
    files: int


def look(pid: int) -> Sample:
    """Sample a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return Sample(
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        len(list(Path(f"/proc/{pid}/task").iterdir())),
        len(list(Path(f"/proc/{pid}/fd").iterdir())),
    )


class Load:
    """All that is sent, and what came of it.

    Attributes:
        sent: answers that came.
        wrong: those that were not the expected ones.
        cut: connections that were lost.
        odd: what came instead, the first ones.
    """

    def __init__(self, gateway: Served, signer: Signer, folder: Path, tokens: int) -> None:
        self.sent = self.wrong = self.cut = 0
        self.odd: list[str] = []
        self._port, self._admin = gateway.port, gateway.admin
        self._lock = threading.Lock()
        self._end = threading.Event()
        now = int(time.time())
        many = [sign(signer, now, serial) for serial in range(tokens)]
        forged = [one[:-8] + "AAAAAAAA" for one in many[:100]]
        self._scripts = [
            _counting(write_script(folder, name, lines), status)
            for name, lines, status in (
                ("repeated", many[:1], 200),
                ("distinct", many, 200),
                ("forged", forged, 401),
            )
        ]
        keys = [Signer.generate("ES256") for _ in range(KEYS)]
        self._bound = [
            (key, sign(signer, now, 2, cnf={"jkt": thumbprint(key.public_jwk())})) for key in keys
        ]

    @contextmanager
    def going(self, seconds: float) -> Iterator[None]:
        """Send it all, for at most so many seconds."""
        threads = [
            threading.Thread(target=self._wrk, args=(script, seconds)) for script in self._scripts
        ]
        threads += [threading.Thread(target=one) for one in (self._prove, self._ask)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._end.set()
            for thread in threads:
                thread.join()

    def _count(self, what: str, sent: int, wrong: int, cut: int, odd: object = "") -> None:
        with self._lock:
            self.sent, self.wrong, self.cut = self.sent + sent, self.wrong + wrong, self.cut + cut
            if (wrong or cut) and len(self.odd) < ODD:
                self.odd.append(f"{time.strftime('%H:%M:%S')} {what}: {odd}")

    def _wrk(self, script: Path, seconds: float) -> None:
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "--timeout", "10s"]
        process = subprocess.Popen(
            [*command, "-s", str(script), f"http://{HOST}:{self._port}/"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._end.wait(seconds)
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)  # It then says what it counted, and ends.
        told, _ = process.communicate(timeout=30)
        found = [line.split()[1:] for line in told.splitlines() if line.startswith("COUNTED")]
        if not found:
            raise RuntimeError(f"wrk counted nothing: {told}")
        sent, wrong, cut, *odd = found[0]
        self._count(script.stem, int(sent), int(wrong), int(cut), " ".join(odd))

    def await_admission(self) -> None:
        """Wait until a proof is admitted: a new store takes none that is older than its memory.

        Raises:
            RuntimeError: if none is within half a minute.
        """
        with closing(HTTPConnection(HOST, self._port, timeout=10)) as connection:
            end = time.monotonic() + 30
            while (told := _send(connection, *self._proof(0)))[0] != 200:
                if time.monotonic() > end:
                    raise RuntimeError(f"no proof is admitted: {told}")
                time.sleep(0.1)

    def _proof(self, number: int) -> tuple[str, str]:
        """Make a proof, and return it with its token; the keys take turns."""
        key, token = self._bound[number % KEYS]
        url, now = "https://api.example.no/bound/1", int(time.time())
        return token, ProofBuilder(key, method="GET", url=url, token=token, now=now).build()

    def _prove(self) -> None:
        """Send proofs, each within its time."""
        number = 0
        with closing(HTTPConnection(HOST, self._port, timeout=10)) as connection:
            while not self._end.is_set():
                number += 1
                token, proof = self._proof(number)
                for expected in (200, 401) if number % TWICE == 0 else (200,):
                    try:
                        status, body = _send(connection, token, proof)
                    except (OSError, HTTPException) as error:
                        connection.close()
                        self._count("proofs", 0, 0, 1, type(error).__name__)
                        self._end.wait(0.1)
                    else:
                        told = f"{status} instead of {expected} {body[:120]!r}"
                        self._count("proofs", 1, int(status != expected), 0, told)

    def _ask(self) -> None:
        """Ask as the operator's tools do."""
        while not self._end.wait(1.0):
            for path in ("readyz", "metrics", "status"):
                try:
                    with urllib.request.urlopen(
                        f"http://{HOST}:{self._admin}/{path}", timeout=10
                    ) as answer:
                        self._count(path, 1, int(answer.status != 200), 0, answer.status)
                except OSError as error:
                    self._count(path, 1, 1, 0, error)


def _send(connection: HTTPConnection, token: str, proof: str) -> tuple[int, bytes]:
    """Ask with a proof, and return what came: the status and the body."""
    headers = {
        "X-Original-Method": "GET",
        "X-Original-Uri": "/bound/1",
        "Authorization": f"DPoP {token}",
        "DPoP": proof,
    }
    connection.request("GET", "/", headers=headers)
    response = connection.getresponse()
    return response.status, response.read()


def _counting(script: Path, expected: int) -> Path:
    with script.open("a") as opened:
        opened.write(COUNTING.format(expected=expected))
    return script


def await_readiness(gateway: Served) -> None:
    """Wait until every worker, and the operator's address, are ready.

    Raises:
        RuntimeError: if they are not within half a minute.
    """
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with (
            suppress(OSError),
            urllib.request.urlopen(f"http://{HOST}:{gateway.admin}/readyz", timeout=10) as answer,
        ):
            if answer.read().count(b'"ready":true') > WORKERS:  # theirs, and that of it all
                return
        time.sleep(0.1)
    raise RuntimeError("the gateway did not get ready")


def report(samples: dict[int, list[Sample]], names: dict[int, str], slack: float) -> bool:
    """Print what each process had in each part of the time, and return whether any of it grew."""
    grew = False
    print(f"  {'':18} {'from the first part to the last':>{8 * PARTS}} {'at most':>9}")
    for pid, found in samples.items():
        part = max(1, len(found) // PARTS)
        for field in Sample._fields:
            series = [getattr(one, field) for one in found]
            medians = [
                statistics.median(series[begin : begin + part] or series[-part:])
                for begin in range(0, PARTS * part, part)
            ]
            first, last = medians[0], medians[-1]
            allowed = first * (1 + SHARE) + slack if field == "rss" else first + FEW
            grew = grew or last > allowed
            told = " ".join(f"{one:7.1f}" for one in medians)
            verdict = "steady" if last <= allowed else "GREW"
            print(f"  {f'{names[pid]} {field}':18} {told} {max(series):9.1f}   {verdict}")
    return grew


def soak(gateway: Served, load: Load, options: argparse.Namespace) -> bool:
    """Let it run for its time; whether all of it was as it should be."""
    pid = gateway.process.pid
    names = family(pid)
    samples: dict[int, list[Sample]] = {one: [] for one in names}
    reloads = 0
    began = time.monotonic()
    end = began + options.warm_up + options.minutes * 60
    with load.going(end - began + 5):
        while (now := time.monotonic()) < end and gateway.process.poll() is None:
            if now >= began + (reloads + 1) * options.reload:
                reloads += 1
                gateway.process.send_signal(signal.SIGHUP)
            if now >= began + options.warm_up:
                for one, series in samples.items():
                    with suppress(FileNotFoundError):  # It ended, which is seen below.
                        series.append(look(one))
            time.sleep(1.0)
        same = gateway.process.poll() is None and family(pid) == names
    rate = load.sent / (time.monotonic() - began)
    print(
        f"{load.sent:,} answers ({rate:,.0f} a second), {load.wrong} other than expected, "
        f"{load.cut} cut; {reloads} reloads"
    )
    for told in load.odd:
        print(f"  {told}")
    grew = report(samples, names, options.slack)
    if not same:
        print(f"a process of the gateway ended; the supervisor: {gateway.process.poll()}")
        log = gateway.policy.parent / f"{gateway.port}.log"
        print(log.read_text(errors="replace")[-4000:])
    return same and not grew and not load.wrong and not load.cut and load.sent > 0


def main() -> int:
    """Run, print the figures, and return 1 if something grew, or an answer was another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--warm-up", type=float, default=30.0)
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--reload", type=float, default=20.0)
    # What the allocator's unevenness may add, beside a share of it all.
    parser.add_argument("--slack", type=float, default=5.0)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("needs wrk: apt-get install wrk", file=sys.stderr)
        return 2
    signer = Signer.generate("RS256")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        gateway = stack.enter_context(served(folder, signer, workers=WORKERS, core=None))
        load = Load(gateway, signer, folder, options.tokens)
        await_readiness(gateway)
        load.await_admission()
        good = soak(gateway, load, options)
    print("nothing grew, and every answer was the expected one" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
