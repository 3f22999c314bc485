"""The source as data: every module with its path and its syntax tree."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"


class Module(NamedTuple):
    """One file of the package."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The path as the design writes it: jose/jws.py."""
        return self.path.relative_to(SOURCE / "portvakt").as_posix()


def _read(path: Path) -> Module:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    text = path.read_text(encoding="utf-8")
    return Module(name, path, text, ast.parse(text))


@pytest.fixture(scope="session")
def modules() -> list[Module]:
    found = [_read(path) for path in sorted((SOURCE / "portvakt").rglob("*.py"))]
    assert len(found) > 30
    return found
