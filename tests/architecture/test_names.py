"""The public names: what each room offers, and what the package promises."""

from __future__ import annotations

import ast
from importlib import import_module
from typing import TYPE_CHECKING

import django_project  # noqa: F401  Django REST framework can be imported only in a project
import portvakt

if TYPE_CHECKING:
    from architecture.conftest import Module

#: Whoever removes a name from here breaks users' code.
PROMISED = [
    "AccessToken",
    "Claims",
    "Code",
    "ConfigurationError",
    "Decision",
    "FixedKeys",
    "Guard",
    "HttpRequest",
    "JwkSet",
    "KeySource",
    "Observer",
    "Problem",
    "Refusal",
    "Refused",
    "Requirement",
    "Response",
    "Route",
    "Routes",
    "Step",
    "TrustedIssuer",
    "Unavailable",
]


def listed(tree: ast.Module) -> list[str] | None:
    """The value of __all__, or None if the module has none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
        ):
            names = ast.literal_eval(node.value)
            assert isinstance(names, list)
            return names
    return None


def defined(tree: ast.Module) -> set[str]:
    """The public classes and functions that a module defines, commands of a terminal apart."""
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return {
        node.name
        for node in tree.body
        if isinstance(node, kinds)
        and not node.name.startswith("_")
        and not any("command" in ast.unparse(decorator) for decorator in node.decorator_list)
    }


def test_the_package_exports_what_it_promises() -> None:
    assert portvakt.__all__ == PROMISED
    assert all(getattr(portvakt, name) is not None for name in PROMISED)
    assert set(PROMISED) <= set(dir(portvakt))


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    assert not hasattr(portvakt, "verify_without_checks")


def test_every_name_of_the_package_is_the_object_of_its_own_module() -> None:
    for name, home in portvakt._HOMES.items():
        assert getattr(portvakt, name) is getattr(import_module(home), name)
    assert sorted(portvakt._HOMES) == PROMISED


def test_every_file_lists_all_its_public_classes_and_functions(modules: list[Module]) -> None:
    unlisted = {
        module.room: missing
        for module in modules
        if (missing := defined(module.tree) - set(listed(module.tree) or ()))
    }

    assert unlisted == {}


def test_every_listed_name_exists(modules: list[Module]) -> None:
    missing = [
        f"{module.room}: {name}"
        for module in modules
        for name in listed(module.tree) or ()
        if not hasattr(import_module(module.name), name)
    ]

    assert missing == []


def test_no_room_takes_from_another_what_it_does_not_offer(modules: list[Module]) -> None:
    offered = {module.name: set(listed(module.tree) or ()) for module in modules}
    taken = [
        f"{module.room}: {node.module}.{alias.name}"
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module in offered
        for alias in node.names
        if alias.name not in {*offered[node.module], "__version__"}
        and f"{node.module}.{alias.name}" not in offered
    ]

    assert taken == []
