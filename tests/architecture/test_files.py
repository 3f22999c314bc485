"""What no file of the package may hold, and how long it may be."""

from __future__ import annotations

import ast
import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from portvakt.jose.algorithms import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from architecture.conftest import Module

CEILING = 400

#: Files beside the table that name an algorithm, and why they must.
NAMED_ELSEWHERE = {
    "jose/algorithms.py": "the table",
    "jose/jwk.py": "curves and parameter sets that have the name of their algorithm",
    "jose/strength.py": "likewise",
    "jose/signer.py": "likewise: it makes keys of each kind",
    "testing/fake_issuer.py": "an issuer for tests must sign with something unless told",
    "testing/fake_client.py": "likewise",
    "demo/run.py": "likewise",
}


def strings(tree: ast.Module) -> Iterator[str]:
    """Every text in the code that is not a docstring."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and id(node) not in docstrings:
            yield text


def test_no_file_is_longer_than_400_lines(modules: list[Module]) -> None:
    too_long = {
        module.room: lines for module in modules if (lines := module.text.count("\n")) > CEILING
    }

    assert too_long == {}


def test_every_file_says_what_it_is_for(modules: list[Module]) -> None:
    silent = [m.room for m in modules if m.tree.body and ast.get_docstring(m.tree) is None]

    assert silent == []


def test_a_verified_token_is_made_in_one_place(modules: list[Module]) -> None:
    made = [
        (module.room, line)
        for module in modules
        for line in module.text.splitlines()
        if "_Verified(" in line and not line.startswith("class _Verified(")
    ]

    assert [room for room, _ in made] == ["jose/jws.py"]


@pytest.mark.parametrize("word", ["force_setattr", "structs.replace", "pickle", "__new__(Verified"])
def test_nothing_makes_a_frozen_value_another_way(modules: list[Module], word: str) -> None:
    assert [module.room for module in modules if word in module.text] == []


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX", "NotImplementedError"])
def test_nothing_is_left_for_later(modules: list[Module], word: str) -> None:
    assert [module.room for module in modules if word in module.text] == []


def test_only_the_table_names_an_algorithm(modules: list[Module]) -> None:
    elsewhere = {
        module.room: names
        for module in modules
        if module.room not in NAMED_ELSEWHERE
        and (names := sorted(set(strings(module.tree)) & ALGORITHMS.keys()))
    }

    assert elsewhere == {}


def test_no_algorithm_with_a_shared_secret_is_named_at_all(modules: list[Module]) -> None:
    hmac = re.compile(r"HS(256|384|512)")

    named = {m.room for m in modules if any(hmac.fullmatch(text) for text in strings(m.tree))}

    # Someone has to forge with them, so that a guard can be seen to refuse.
    assert {room.partition("/")[0] for room in named} <= {"forge", "demo"}


def test_every_silenced_warning_has_a_reason(repository: Path) -> None:
    silent = re.compile(
        r"#\s*(?:noqa(?!: [A-Z]+\d+(?:, [A-Z]+\d+)*  \S)|type: ignore(?!\[[a-z-]+))"
    )
    files = [*repository.glob("src/**/*.py"), *repository.glob("bench/**/*.py")]
    # This very file speaks of them.
    files += [path for path in repository.glob("tests/**/*.py") if path.name != "test_files.py"]

    found = [
        f"{path.relative_to(repository)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if silent.search(line)
    ]

    assert found == []


def test_every_exception_to_a_rule_has_a_reason(repository: Path) -> None:
    text = (repository / "pyproject.toml").read_text(encoding="utf-8")
    rule = re.compile(r'^    "[A-Z]+\d*",')

    rules = [line for line in text.splitlines() if rule.match(line)]
    bare = [line for line in rules if not re.search(r"#\s*\S", line)]

    assert len(rules) > 20
    assert bare == []


def test_the_declared_pythons_are_those_that_are_supported(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    minor = re.compile(r"Programming Language :: Python :: 3\.(\d+)")

    declared = [match[1] for name in project["classifiers"] if (match := minor.fullmatch(name))]

    assert project["requires-python"] == ">=3.11"
    assert declared == ["11", "12", "13", "14"]


def test_the_version_is_written_once_for_all(repository: Path) -> None:
    import portvakt

    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changes = (repository / "CHANGELOG.md").read_text(encoding="utf-8")

    assert project["version"] == portvakt.__version__
    assert f"## [{portvakt.__version__}]" in changes


def test_the_package_says_that_it_is_typed(repository: Path) -> None:
    assert (repository / "src" / "portvakt" / "py.typed").is_file()


def test_every_dependency_is_pinned_once(repository: Path) -> None:
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    pinned = [re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower() for pin in pins]
    configuration = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [
        configuration["project"]["dependencies"],
        *configuration["project"]["optional-dependencies"].values(),
        *configuration["dependency-groups"].values(),
        configuration["build-system"]["requires"],
    ]
    wanted = {re.split(r"[\[>=<]", one)[0].lower() for group in groups for one in group}

    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)
    assert len(pinned) == len(set(pinned))
    assert wanted - {"portvakt"} <= set(pinned)
