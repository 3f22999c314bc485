"""Change the deciding code in every small way that cosmic-ray knows, and see a test fail each time.

A mutant that survives is a check that no test would miss. Those that are known to change no verdict
are listed, each with its reason, in equivalent_mutants.toml beside this file; any other fails the
run. One that is listed and does not survive is named, so that the list stays true. Cosmic-ray makes
the mutants. The tests run in a forked process that has imported everything but Portvakt, which is
several times faster than a new one each time; each worker has a copy of the tree of its own, as a
mutant is written into the file.

    python bench/mutate.py [--workers N] [--skip-known] [--log FILE] [FILE …]

The log has a line for each mutant: which test killed it, or that the clock did.
"""

import argparse
import compileall
import contextlib
import difflib
import gc
import importlib
import json
import multiprocessing
import os
import py_compile
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
import warnings
from pathlib import Path
from typing import NamedTuple, NoReturn

import cosmic_ray.plugins
import cryptography.hazmat.primitives.asymmetric.rsa  # noqa: F401  imported once, for all children
import hypothesis.strategies  # noqa: F401  likewise
import joserfc.jwe  # noqa: F401  likewise
import msgspec.json  # noqa: F401  likewise
import pytest
from cosmic_ray.mutating import mutate_code

ROOT = Path(__file__).resolve().parent.parent
CLAIMS = "clm json typ typ_introspection cache clk"
KEYS = "alg key key_rsa key_selection sig sig_eddsa sig_rsa"
JOSE, POLICY = "tests/unit/jose/test_", "tests/unit/policy/test_"
FROZEN = "tests/unit/test_frozen.py"
DECODERS = "tests/attacks/test_json.py tests/attacks/test_enc.py tests/property/test_encoding.py"
MATRICES = f"{POLICY}matrix.py {POLICY}matrix_further.py"
# By file: the tests that most likely fail, quick ones first; then the families of attacks that
# could.
TESTS = {
    "jose/jws.py": (f"{JOSE}jws.py", f"enc {KEYS} possession"),
    "jose/header.py": (f"{JOSE}jws.py", "hdr hdr_parameters enc json typ alg dpop"),
    "policy/access_token.py": (
        f"{POLICY}access_token.py {POLICY}revocable.py",
        f"{CLAIMS} revocation clm_step_up",
    ),
    "policy/token.py": (f"{POLICY}token.py {POLICY}access_token.py {POLICY}requirement.py", "clm"),
    "policy/authorization.py": (
        f"{POLICY}authorization.py {POLICY}requirement.py {POLICY}rules.py {MATRICES}",
        "clm_step_up demands_later",
    ),
    "policy/handles.py": (f"{POLICY}handles.py", "revocation"),
    "policy/sender_constraint.py": (
        f"{POLICY}sender_constraint.py tests/unit/config/test_requirements.py",
        "possession possession_late possession_nonce mtls",
    ),
    "policy/claims.py": (f"{POLICY}claims.py {POLICY}access_token.py", "clm"),
    "jose/jwk.py": (f"{JOSE}jwk_bounds.py {JOSE}jwk.py {JOSE}algorithms.py", f"{KEYS} dpop"),
    "jose/encoding.py": (
        f"{JOSE}encoding.py {JOSE}jws.py {DECODERS}",
        f"{CLAIMS} dos",
    ),
    "jose/jwe.py": (f"{JOSE}jwe.py tests/attacks/test_jwe.py tests/property/test_jwe.py", ""),
    "jose/algorithms.py": (f"{JOSE}algorithms.py {JOSE}jws.py", KEYS),
    "jose/jwk_set.py": (f"{JOSE}jwk_set.py {JOSE}jwk.py", "key_selection key jwks_documents"),
    "jose/decryption_key.py": (f"{JOSE}decryption_key.py", "jwe"),
    "jose/encryption.py": (f"{JOSE}decryption_key.py", "jwe"),
    "jose/claims.py": (f"{POLICY}claims.py", "clm cache"),
    "jose/signer.py": (f"{JOSE}signer.py {JOSE}decryption_key.py", "alg"),
    "jose/strength.py": (f"{JOSE}strength.py", KEYS),
    "http/origin.py": ("tests/unit/http/test_origin.py", "dpop"),
    "oauth/dpop.py": ("tests/unit/oauth/test_dpop.py", "dpop"),
    "oauth/dpop_nonce.py": ("tests/unit/oauth/test_dpop_nonce.py", "dpop"),
}
#: A mutant that loops for ever is found out by what it costs: seconds of computing, whatever else
#: the machine has to do. One that waits for ever is found out by the clock.
SECONDS = 120
SECONDS_BY_THE_CLOCK = 900
MEMORY = 6 * 1024**3
UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH


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


class Task(NamedTuple):
    """What one worker does."""

    mutants: list[Mutant]
    skip_known: bool
    log: str | None


def mutants_of(file: str, folder: Path) -> list[Mutant]:
    """Let cosmic-ray list every mutant of a file."""
    configuration, session = folder / "mutate.toml", folder / "session.sqlite"
    configuration.write_text(
        f'[cosmic-ray]\nmodule-path = "src/portvakt/{file}"\ntimeout = 1\nexcluded-modules = []\n'
        'test-command = "none"\n[cosmic-ray.distributor]\nname = "local"\n'
    )
    command = [sys.executable, "-m", "cosmic_ray.cli", "init", "--force", str(configuration)]
    command.append(str(session))
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  ours
    with sqlite3.connect(session) as database:
        rows = database.execute(
            "select operator_name, operator_args, occurrence from mutation_specs order by rowid"
        )
        return [Mutant(file, *row) for row in rows]


class Verdict(NamedTuple):
    """What came of the tests: whether all passed, and if not, the one that failed first."""

    passed: bool
    killer: str = ""


class _Recorder:
    """Writes down the first test that fails, as a plugin of pytest."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.path.write_text(f"{report.nodeid} ({report.when})", encoding="utf-8")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.path.write_text(f"{report.nodeid} (collection)", encoding="utf-8")


def copy_tree(target: Path) -> Path:
    """Copy what the tests need, with the published vectors where they look for them."""
    tree = target / "tree"
    ignored = shutil.ignore_patterns(".venv*", ".git", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, tree, ignore=ignored)
    shared = ROOT.parent / "shared"
    if shared.exists():
        (target / "shared").symlink_to(shared)
    for folder in ("src", "tests"):
        compileall.compile_dir(tree / folder, quiet=1, invalidation_mode=UNCHECKED)
    return tree


def put(path: Path, code: str) -> None:
    """Write a file, and its byte code, of which no child asks whether it is that of the file.

    A mutant of the same length within the same second would find the byte code of the one before;
    and a child that compiled "0 is len(x)" itself would fail for the warning, without any test.
    """
    path.write_text(code, encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        py_compile.compile(str(path), doraise=True, invalidation_mode=UNCHECKED)


def attacks(families: str) -> list[str]:
    """Return the tests of families of attacks, and those that concern every file."""
    return [
        FROZEN,
        *(f"tests/attacks/test_{name}.py" for name in families.split()),
        "tests/vectors",
    ]


def run(tree: Path, file: str, tests: list[str], record: Path) -> NoReturn:
    """Be the forked process: run tests with the Portvakt of this tree, and exit as they end."""
    code = 3
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        signal.alarm(SECONDS_BY_THE_CLOCK)
        os.chdir(tree)
        sys.path.insert(0, str(tree / "src"))
        os.environ["PYTHONPATH"] = str(tree / "src")  # for processes that tests start
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        record.write_text("the import", encoding="utf-8")  # a third of all mutants end here
        module = importlib.import_module(f"portvakt.{file.removesuffix('.py').replace('/', '.')}")
        if not str(module.__file__).startswith(str(tree)):
            raise ImportError(f"the mutant is not in {module.__file__}")
        record.write_text("no test", encoding="utf-8")
        options = ["-x", "-q", "--no-header", "--assert=plain", "-p", "no:cacheprovider"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        code = pytest.main([*options, *tests], plugins=[_Recorder(record)])
        if code == 0:
            record.write_text("\n".join(libraries(tree)), encoding="utf-8")
    finally:
        os._exit(code)


def libraries(tree: Path) -> list[str]:
    """Return the names of all modules that are imported and are not of this tree."""
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    return [name for name, file in files.items() if file and not file.startswith(str(tree))]


def judge(tree: Path, file: str, tests: list[str]) -> Verdict:
    """Run tests in a forked process, with the Portvakt of this tree."""
    record = tree.parent / "record"
    record.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        run(tree, file, tests, record)
    status = os.waitpid(child, 0)[1]
    if status == 0:
        return Verdict(passed=True)
    killer = record.read_text(encoding="utf-8")
    if os.WIFSIGNALED(status):
        killer = f"{signal.Signals(os.WTERMSIG(status)).name}, after {killer}"
    return Verdict(passed=False, killer=killer)


def verdict_of(file: str, tree: Path) -> Verdict:
    """Run the tests of a file: first those that know it."""
    first, families = TESTS[file]
    verdict = judge(tree, file, first.split())
    return judge(tree, file, attacks(families)) if verdict.passed else verdict


def prepare(file: str, tree: Path) -> None:
    """See that the tests of a file pass, and import what they import, once, for all children."""
    verdict = verdict_of(file, tree)
    if not verdict.passed:
        raise SystemExit(f"the tests of {file} fail without any mutant: {verdict.killer}")
    for name in (tree.parent / "record").read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ImportError):  # a name that only its own package imports
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # Nothing of it is looked through again in every child.


def apply(mutant: Mutant, code: str) -> tuple[str, Survivor] | None:
    """Return the changed text, and the mutant as it is listed; None if nothing changes."""
    arguments = json.loads(mutant.arguments)
    if isinstance(arguments, str):
        arguments = json.loads(arguments)  # cosmic-ray writes them as text within JSON
    operator = cosmic_ray.plugins.get_operator(mutant.operator)(**arguments)
    try:
        mutated = mutate_code(code, operator, mutant.occurrence)
    except AttributeError:  # cosmic-ray replaces no exception whose name has a dot
        return None
    if mutated is None or mutated == code:
        return None
    changes = list(difflib.ndiff(code.splitlines(), mutated.splitlines()))
    was = " / ".join(line[2:].strip() for line in changes if line.startswith("- "))
    became = " / ".join(line[2:].strip() for line in changes if line.startswith("+ "))
    return mutated, Survivor(mutant.file, was, became)


def work(task: Task) -> list[Survivor]:
    """Try a share of the mutants in a tree of this worker's own; return those that survive."""
    sys.dont_write_bytecode = True
    listed = known() if task.skip_known else set()
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_tree(Path(folder))
        for file in {mutant.file for mutant in task.mutants}:
            prepare(file, tree)
        found = []
        for mutant in task.mutants:
            path = tree / "src/portvakt" / mutant.file
            code = path.read_text(encoding="utf-8")
            applied = apply(mutant, code)
            if applied is None:
                continue
            mutated, change = applied
            if change in listed:
                found.append(change)
                continue
            try:
                put(path, mutated)
                verdict = verdict_of(mutant.file, tree)
            except py_compile.PyCompileError:
                verdict = Verdict(passed=False, killer="it does not compile")
            finally:
                put(path, code)
            if verdict.passed:
                print(f"survived: {change.file}\n  - {change.was}\n  + {change.became}", flush=True)
                found.append(change)
            if task.log:
                line = json.dumps([*change, "survived" if verdict.passed else verdict.killer])
                with Path(task.log).open("a", encoding="utf-8") as log:
                    log.write(line + "\n")
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
    parser.add_argument(
        "--skip-known", action="store_true", help="do not try those that are listed as equivalent"
    )
    parser.add_argument("--log", help="a file to which each mutant and its killer are appended")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mutants = [one for file in arguments.files for one in mutants_of(file, Path(folder))]
    print(f"{len(mutants)} mutants of {len(arguments.files)} files", flush=True)
    tasks = [
        Task(mutants[number :: arguments.workers], arguments.skip_known, arguments.log)
        for number in range(arguments.workers)
    ]
    with multiprocessing.get_context("fork").Pool(arguments.workers) as pool:
        survivors = [one for found in pool.map(work, tasks, chunksize=1) for one in found]
    listed = {one for one in known() if one.file in arguments.files}
    unknown = [one for one in survivors if one not in listed]
    stale = sorted(listed.difference(survivors))
    equivalent = len(survivors) - len(unknown)
    print(f"{len(survivors)} of {len(mutants)} survived, {equivalent} known to be equivalent")
    for one in unknown:
        print(f"{one.file}\n  - {one.was}\n  + {one.became}")
    for one in stale:
        print(f"listed, and did not survive: {one.file}\n  - {one.was}\n  + {one.became}")
    return bool(unknown)


if __name__ == "__main__":
    sys.exit(main())
