"""Change the deciding code in every small way that cosmic-ray knows, and see a test fail each time.

Each worker has a copy of the tree of its own, as a mutant is written into the file. A mutant that
survives is a check that no test would miss; those known to change no verdict are listed, with the
reason, in equivalent_mutants.toml beside this file, and the run fails if there is any other.

    python bench/mutate.py [--workers N] [FILE …]
"""

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TARGETS = (
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("src/portvakt/jose/[a-z]*.py")),
    "src/portvakt/policy/access_token.py",
)
# What stops at the first failure must start with what fails soonest.
TESTS = (
    "tests/unit/jose tests/unit/policy tests/property/test_encoding.py tests/attacks tests/vectors "
    "tests/unit/guard tests/unit/forge"
)
DESELECTED = "--deselect tests/attacks/test_dos.py --deselect tests/attacks/test_canary.py"
CONFIGURATION = """\
[cosmic-ray]
module-path = "{module}"
timeout = 120.0
excluded-modules = []
test-command = "{python} -m pytest -x -q --no-header -p no:cacheprovider {deselected} {tests}"
[cosmic-ray.distributor]
name = "local"
"""


class Survivor(NamedTuple):
    """A mutant that no test noticed: where it is, and the line as it became."""

    file: str
    was: str
    became: str

    def __str__(self) -> str:
        return f"{self.file}\n  - {self.was}\n  + {self.became}"


def copy_tree(target: Path) -> Path:
    """Copy what the tests need, with the published vectors where they look for them."""
    tree = target / "tree"
    shutil.copytree(
        ROOT, tree, ignore=shutil.ignore_patterns(".venv*", ".git", "*cache*", ".hypothesis")
    )
    shared = ROOT.parent / "shared"
    if shared.exists():
        (target / "shared").symlink_to(shared)
    return tree


def run(tree: Path, file: str) -> list[Survivor]:
    """Run all mutants of one file in one tree; return the survivors."""
    configuration, session = tree / "mutate.toml", tree / "session.sqlite"
    configuration.write_text(
        CONFIGURATION.format(module=file, python=sys.executable, tests=TESTS, deselected=DESELECTED)
    )
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tree}/src",
        # A mutant of the same length within the same second would find the old byte code.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for command in ("init", "exec"):
        subprocess.run(  # noqa: S603  our own interpreter, our own arguments
            [
                *(sys.executable, "-m", "cosmic_ray.cli", command, str(configuration)),
                *(str(session), *(["--force"] if command == "init" else [])),
            ],
            cwd=tree,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    with sqlite3.connect(session) as database:
        rows = database.execute(
            "select diff, test_outcome, worker_outcome from work_results"
        ).fetchall()
    killed = sum(outcome == "KILLED" for _, outcome, _ in rows)
    print(f"{file}: {len(rows)} mutants, {killed} killed", flush=True)
    return [survivor for diff, outcome, _ in rows if outcome == "SURVIVED" for survivor in of(diff)]


def of(diff: str) -> Iterator[Survivor]:
    """Read a unified diff of one line."""
    lines = diff.splitlines()
    file = next(line[6:].strip() for line in lines if line.startswith("+++ "))
    was = [line[1:].strip() for line in lines if line.startswith("-") and line[:3] != "---"]
    became = [line[1:].strip() for line in lines if line.startswith("+") and line[:3] != "+++"]
    yield Survivor(file, " / ".join(was), " / ".join(became))


def known() -> set[tuple[str, str, str]]:
    """Read the mutants that are known to change no verdict."""
    path = Path(__file__).with_name("equivalent_mutants.toml")
    listed = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"] if path.exists() else []
    return {(one["file"], one["was"], became) for one in listed for became in one["became"]}


def main() -> int:
    """Run all files over the workers; return 1 if an unknown mutant survives."""
    parser = argparse.ArgumentParser(description="Mutation testing of what decides.")
    parser.add_argument("files", nargs="*", default=TARGETS, metavar="FILE")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    trees: SimpleQueue[Path] = SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.workers):
            (target := Path(folder, str(number))).mkdir()
            trees.put(copy_tree(target))

        def work(file: str) -> list[Survivor]:
            tree = trees.get()
            try:
                return run(tree, file)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(arguments.workers) as pool:
            survivors = [one for found in pool.map(work, arguments.files) for one in found]
    unknown = [one for one in survivors if tuple(one) not in known()]
    print(f"{len(survivors)} survived; {len(survivors) - len(unknown)} known to be equivalent")
    for one in unknown:
        print(one)
    return bool(unknown)


if __name__ == "__main__":
    sys.exit(main())
