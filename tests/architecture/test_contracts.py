"""Who may import whom: importlinter.ini, and what it takes to see that it bites."""

from __future__ import annotations

import configparser
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def lint(repository: Path, source: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter over a tree that stands in for src, in a process of its own."""
    script = (
        "import sys; sys.path[0:0] = [sys.argv[1]]\n"
        "from importlinter.cli import lint_imports\n"
        "sys.exit(lint_imports(config_filename=sys.argv[2], no_cache=True))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script, str(source), str(repository / "importlinter.ini")],
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_contract_is_kept(repository: Path) -> None:
    result = lint(repository, repository / "src")

    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    ("room", "statement", "contract"),
    [
        ("jose/jws.py", "import portvakt.policy.routes", "each floor imports only"),
        ("oauth/bearer.py", "import portvakt.policy.decision", "each floor imports only"),
        ("guard/guard.py", "import portvakt.testing", "each floor imports only"),
        ("policy/routes.py", "import os", "no sockets, files"),
        ("jose/jws.py", "import time", "no sockets, files"),
        ("guard/steps.py", "import portvakt.clock", "no sockets, files"),
        ("adapters/asgi.py", "import portvakt.jose.jws", "adapters see only"),
        ("guard/guard.py", "import httpx2", "httpx2 has"),
        ("guard/guard.py", "import rich", "the terminal belongs"),
        ("adapters/asgi.py", "import litestar", "Litestar belongs"),
    ],
)
def test_an_import_that_must_not_be_breaks_its_contract(
    repository: Path, tmp_path: Path, room: str, statement: str, contract: str
) -> None:
    for path in sorted((repository / "src").rglob("*.py")):
        copy = tmp_path / path.relative_to(repository / "src")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    changed = tmp_path / "portvakt" / room
    changed.write_text(f"{changed.read_text(encoding='utf-8')}\n{statement}\n", encoding="utf-8")

    result = lint(repository, tmp_path)

    assert result.returncode == 1
    broken = [line for line in result.stdout.splitlines() if line.endswith("BROKEN")]
    assert any(line.startswith(contract) for line in broken), result.stdout


def test_every_contract_says_what_it_is_for(repository: Path) -> None:
    contracts = configparser.ConfigParser()
    contracts.read(repository / "importlinter.ini", encoding="utf-8")

    assert all(contracts[section]["name"] for section in contracts.sections()[1:])
