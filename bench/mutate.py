"""Change the deciding code in every small way that cosmic-ray knows, and see a test fail each time.

A mutant that survives is a check that no test would miss. Those that are known to change no verdict
are listed, each with its reason, in equivalent_mutants.toml beside this file; any other fails the
run. Cosmic-ray makes the mutants. The tests run in a forked process that has imported everything
but Portvakt, which is several times faster than a new one each time; each worker has a copy of the
tree of its own, as a mutant is written into the file.

    python bench/mutate.py [--workers N] [FILE …]
"""

import argparse
import difflib
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

import cosmic_ray.plugins
import cryptography.hazmat.primitives.asymmetric.rsa  # noqa: F401  imported once, for all children
import hypothesis  # noqa: F401  likewise
import msgspec.json  # noqa: F401  likewise
import pytest
from cosmic_ray.mutating import mutate_code

ROOT = Path(__file__).resolve().parent.parent
CLAIMS = "clm json typ cache clk"
KEYS = "alg key key_rsa key_selection sig sig_eddsa sig_rsa"
# By file: the unit tests that most likely fail, and then the families of attacks that could.
# jose/signer.py is not here: it signs, and no verdict rests on it.
TESTS = {
    "jose/jws.py": ("tests/unit/jose/test_jws.py", f"enc {KEYS}"),
    "jose/header.py": ("tests/unit/jose/test_jws.py", "hdr hdr_parameters enc json typ alg"),
    "policy/access_token.py": ("tests/unit/policy/test_access_token.py", CLAIMS),
    "jose/jwk.py": ("tests/unit/jose/test_jwk.py", KEYS),
    "jose/encoding.py": ("tests/property/test_encoding.py", f"enc json {CLAIMS}"),
    "jose/algorithms.py": ("tests/unit/jose/test_jws.py", KEYS),
    "jose/strength.py": ("tests/unit/jose/test_strength.py", KEYS),
    "http/origin.py": ("tests/unit/http/test_origin.py", "dpop"),
    "oauth/dpop.py": ("tests/unit/oauth/test_dpop.py", "dpop"),
    "oauth/dpop_nonce.py": ("tests/unit/oauth/test_dpop_nonce.py", "dpop"),
}
SECONDS = 90  # A mutant that loops for ever is found out by the clock.


class Mutant(NamedTuple):
    """One change: the file, the operator with its arguments, and which of its places."""

    file: str
    operator: str
    arguments: str
    occurrence: int


class Survivor(NamedTuple):
    """A mutant that no test noticed: its file, and the line before and after."""

    file: str
    was: str
    became: str


def mutants_of(file: str, folder: Path) -> list[Mutant]:
    """Let cosmic-ray list every mutant of a file."""
    configuration, session = folder / "mutate.toml", folder / "session.sqlite"
    configuration.write_text(
        f'[cosmic-ray]\nmodule-path = "src/portvakt/{file}"\ntimeout = 1\nexcluded-modules = []\n'
        'test-command = "none"\n[cosmic-ray.distributor]\nname = "local"\n'
    )
    command = [sys.executable, "-m", "cosmic_ray.cli", "init", "--force", str(configuration)]
    command.append(str(session))
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    with sqlite3.connect(session) as database:
        rows = database.execute(
            "select operator_name, operator_args, occurrence from mutation_specs order by rowid"
        )
        return [Mutant(file, *row) for row in rows]


def copy_tree(target: Path) -> Path:
    """Copy what the tests need, with the published vectors where they look for them."""
    tree = target / "tree"
    ignored = shutil.ignore_patterns(".venv*", ".git", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, tree, ignore=ignored)
    shared = ROOT.parent / "shared"
    if shared.exists():
        (target / "shared").symlink_to(shared)
    return tree


def attacks(families: str) -> list[str]:
    """Return the tests of families of attacks, and the published vectors."""
    return ["tests/vectors", *(f"tests/attacks/test_{name}.py" for name in families.split())]


def passes(tree: Path, tests: list[str]) -> bool:
    """Run tests in a forked process, with the Portvakt of this tree."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        os.chdir(tree)
        sys.path.insert(0, str(tree / "src"))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        options = ["-x", "-q", "--no-header", "--assert=plain", "-p", "no:cacheprovider"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        code = 1
        try:
            code = pytest.main([*options, *tests])
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def survives(mutant: Mutant, tree: Path) -> Survivor | None:
    """Write one mutant into the tree and run the tests: first those that know the file."""
    path = tree / "src/portvakt" / mutant.file
    code = path.read_text(encoding="utf-8")
    arguments = json.loads(mutant.arguments)
    if isinstance(arguments, str):
        arguments = json.loads(arguments)  # cosmic-ray writes them as text within JSON
    operator = cosmic_ray.plugins.get_operator(mutant.operator)(**arguments)
    mutated = mutate_code(code, operator, mutant.occurrence)
    if mutated is None or mutated == code:
        return None
    try:
        path.write_text(mutated, encoding="utf-8")
        first, families = TESTS[mutant.file]
        if not passes(tree, [first]) or not passes(tree, attacks(families)):
            return None
    finally:
        path.write_text(code, encoding="utf-8")
    changes = list(difflib.ndiff(code.splitlines(), mutated.splitlines()))
    was = " / ".join(line[2:].strip() for line in changes if line.startswith("- "))
    became = " / ".join(line[2:].strip() for line in changes if line.startswith("+ "))
    return Survivor(mutant.file, was, became)


def work(mutants: list[Mutant]) -> list[Survivor]:
    """Try a share of the mutants in a tree of this worker's own."""
    # A mutant of the same length within the same second would find the old byte code.
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_tree(Path(folder))
        for file in {mutant.file for mutant in mutants}:
            first, families = TESTS[file]
            if not passes(tree, [first]) or not passes(tree, attacks(families)):
                raise SystemExit(f"the tests of {file} fail without any mutant")
        found = []
        for mutant in mutants:
            survivor = survives(mutant, tree)
            if survivor is not None:
                print(f"survived: {survivor.file}\n  - {survivor.was}\n  + {survivor.became}")
                sys.stdout.flush()
                found.append(survivor)
        return found


def known() -> set[Survivor]:
    """Read the mutants that are known to change no verdict."""
    path = Path(__file__).with_name("equivalent_mutants.toml")
    listed = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"] if path.exists() else []
    return {Survivor(one["file"], one["was"], became) for one in listed for became in one["became"]}


def main() -> int:
    """Share all mutants out to the workers; return 1 if an unknown one survives."""
    parser = argparse.ArgumentParser(description="Mutation testing of what decides.")
    parser.add_argument("files", nargs="*", default=list(TESTS), metavar="FILE")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mutants = [one for file in arguments.files for one in mutants_of(file, Path(folder))]
    print(f"{len(mutants)} mutants of {len(arguments.files)} files", flush=True)
    shares = [mutants[number :: arguments.workers] for number in range(arguments.workers)]
    with multiprocessing.get_context("fork").Pool(arguments.workers) as pool:
        survivors = [one for found in pool.map(work, shares, chunksize=1) for one in found]
    unknown = [one for one in survivors if one not in known()]
    equivalent = len(survivors) - len(unknown)
    print(f"{len(survivors)} of {len(mutants)} survived, {equivalent} known to be equivalent")
    for one in unknown:
        print(f"{one.file}\n  - {one.was}\n  + {one.became}")
    return bool(unknown)


if __name__ == "__main__":
    sys.exit(main())
