"""The gateway beside what else verifies tokens in front of an API: requests in a second, latency.

Each contender has one core, wrk the other; each answers 200 by itself, and no API is behind it.
HAProxy (nbthread 1) checks alg, iss, aud, exp and the signature with its own ``jwt_verify``;
Apache's mod_auth_openidc and a FastAPI application with PyJWT check what they do. Portvakt does all
that it always does, with metrics on; with and without decision records. Turns are interleaved, and
what is judged is the median of the ratios of turns beside each other: times on shared machines are
noisy. What is not installed is left out and said.

    python bench/gateway.py [--seconds N] [--turns N] [--tokens N] [--only NAME …]
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import payload
from gateway_contenders import HOST, apache, fastapi, haproxy, portvakt

from portvakt.forge.proofs import ProofBuilder
from portvakt.jose.jwk import thumbprint
from portvakt.jose.signer import Signer, sign_compact

CONNECTIONS = 32
CORE = "1"  # that of the load

#: The least that is wanted: requests in a second, as a ratio to the contender's.
TARGETS = {
    ("repeated", "haproxy"): 1.5,
    ("distinct", "haproxy"): 0.7,
    ("repeated, with records", "haproxy"): 1.0,
    ("repeated", "apache"): 3.0,
    ("repeated", "fastapi"): 3.0,
}


#: What a policy says that has every decision written down.
RECORDS = """
[records]
sink = "file"
folder = "records"
keys = [{ file = "../record-key" }]
fsync = "1s"
"""


class Turn(NamedTuple):
    """What wrk measured: requests in a second, the 99th percentile in milliseconds, and errors."""

    rate: float
    p99: float
    errors: int


# Each request its own lines of a file, in turn; the file is read once.
WRK = """
local lines = {{}}
for line in io.lines("{file}") do lines[#lines + 1] = line end
local at = 0
request = function()
  at = at % #lines + 1
  local token, proof = lines[at]:match("^(%S+) ?(%S*)$")
  local headers = {{
    ["X-Original-Method"] = "GET", ["X-Original-Uri"] = "{target}",
    ["Authorization"] = (proof == "" and "Bearer " or "DPoP ") .. token,
  }}
  if proof ~= "" then headers["DPoP"] = proof end
  return wrk.format("GET", "/", headers)
end
"""


def load(port: int, script: Path, seconds: float) -> Turn:
    """Let wrk ask for so many seconds."""
    done = subprocess.run(
        [
            *("taskset", "-c", CORE, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s"),
            *("--latency", "-s", str(script), f"http://{HOST}:{port}/"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done)[1])  # type: ignore[index]
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", done).groups()  # type: ignore[union-attr]
    p99 = float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", done)
    return Turn(rate, p99, int(errors[1]) if errors else 0)


def write_script(folder: Path, name: str, lines: list[str], target: str = "/journal/1") -> Path:
    file = folder / f"{name}.txt"
    file.write_text("\n".join(lines) + "\n")
    script = folder / f"{name}.lua"
    script.write_text(WRK.format(file=file, target=target))
    return script


def sign(signer: Signer, now: int, serial: int, **further: object) -> str:
    header = {"alg": signer.alg, "typ": "at+jwt", "kid": signer.kid}
    return sign_compact(header, {**payload.claims(now, serial), **further}, signer)


def proofs(token: str, key: Signer, count: int) -> list[str]:
    """Proofs of one token, each to be used once."""
    return [
        ProofBuilder(
            key,
            method="GET",
            url="https://api.example.no/bound/1",
            token=token,
            now=int(time.time()),
        ).build()
        for _ in range(count)
    ]


def compare(
    name: str,
    servers: dict[str, int],
    script: Callable[[str], Path],
    seconds: float,
    turns: int,
) -> bool:
    """Measure contenders in turns, and print them beside Portvakt."""
    found: dict[str, list[Turn]] = {one: [] for one in servers}
    for _ in range(turns):
        for one, port in servers.items():
            found[one].append(load(port, script(one), seconds))
    print(f"\n{name}")
    met = True
    for one, measured in found.items():
        rate = statistics.median(turn.rate for turn in measured)
        p99 = statistics.median(turn.p99 for turn in measured)
        errors = sum(turn.errors for turn in measured)
        line = f"  {one:20} {rate:>9,.0f} requests/s   p99 {p99:6.2f} ms"
        if errors:
            line += f"   {errors} REFUSED"
            met = False
        if one != "portvakt":
            pairs = zip(found["portvakt"], measured, strict=True)
            ratio = statistics.median(ours.rate / theirs.rate for ours, theirs in pairs)
            target = TARGETS.get((name, one))
            line += f"   portvakt {ratio:5.2f} x"
            if target is not None:
                line += f" (wanted {target:g}: {'met' if ratio >= target else 'MISSED'})"
                met = met and ratio >= target
        print(line, flush=True)
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--only", nargs="*", default=["haproxy", "apache", "fastapi"])
    options = parser.parse_args()
    if shutil.which("wrk") is None or shutil.which("taskset") is None:
        print("needs wrk and taskset: apt-get install wrk util-linux", file=sys.stderr)
        return 2
    contenders = {"haproxy": haproxy, "apache": apache, "fastapi": fastapi}
    signer = Signer.generate("RS256")
    now = int(time.time())
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        root.chmod(0o755)

        def folder(name: str) -> Path:
            made = root / name
            made.mkdir()
            return made

        servers = {"portvakt": stack.enter_context(portvakt(folder("portvakt"), signer))}
        for name in options.only:
            try:
                servers[name] = stack.enter_context(contenders[name](folder(name), signer))
            except (OSError, RuntimeError) as error:
                print(f"left out: {name}: {str(error)[:300]}")
        repeated = write_script(root, "repeated", [sign(signer, now, 1)])
        met = compare("repeated", servers, lambda _: repeated, options.seconds, options.turns)
        (root / "record-key").write_text("r" * 64)
        (root / "record-key").chmod(0o600)
        place = folder("recording")
        (place / "records").mkdir(mode=0o700)
        recorded = {"portvakt": stack.enter_context(portvakt(place, signer, RECORDS))}
        recorded |= {name: port for name, port in servers.items() if name == "haproxy"}
        name = "repeated, with records"
        met &= compare(name, recorded, lambda _: repeated, options.seconds, options.turns)
        many = [sign(signer, now, serial) for serial in range(options.tokens)]
        distinct = write_script(root, "distinct", many)
        both = {name: port for name, port in servers.items() if name in {"portvakt", "haproxy"}}
        met &= compare("distinct", both, lambda _: distinct, options.seconds, options.turns)
        key = Signer.generate("ES256")
        bound = sign(signer, now, 2, cnf={"jkt": thumbprint(key.public_jwk())})
        time.sleep(1)

        def proven(_: str) -> Path:
            count = int(10_000 * min(options.seconds, 2.0))  # made while the first are still young
            lines = [f"{bound} {proof}" for proof in proofs(bound, key, count)]
            return write_script(root, "proven", lines, "/bound/1")

        ours = {"portvakt": servers["portvakt"]}
        met &= compare("DPoP proofs", ours, proven, min(options.seconds, 2.0), options.turns)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
