"""What a decision rests on cannot be changed once it is made: a token is remembered and shared."""

import importlib
import pkgutil
from typing import Any

import pytest
from msgspec import Struct

import portvakt.http
import portvakt.jose
import portvakt.oauth
import portvakt.policy

MODULES = sorted(
    module.name
    for package in (portvakt.http, portvakt.jose, portvakt.oauth, portvakt.policy)
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
)


def structs_of(module: str) -> list[Any]:
    found = vars(importlib.import_module(module)).values()
    classes = [one for one in found if isinstance(one, type) and issubclass(one, Struct)]
    return [one for one in classes if one.__module__ == module]


@pytest.mark.parametrize("module", MODULES)
def test_every_value_is_frozen(module: str) -> None:
    for struct in structs_of(module):
        assert struct.__struct_config__.frozen, struct.__name__


def test_there_are_values_to_look_at() -> None:
    assert sum(len(structs_of(module)) for module in MODULES) > 30
