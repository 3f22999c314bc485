"""Without its framework an adapter says which extra to install."""

from __future__ import annotations

import importlib
import sys

import pytest

import django_project  # noqa: F401  Django REST framework can be imported only in a project
from portvakt import ConfigurationError


@pytest.mark.attack("API-11")
@pytest.mark.parametrize(
    ("adapter", "framework", "extra"),
    [
        ("flask", "flask", "flask"),
        ("django", "django.conf", "django"),
        ("django_rest_framework", "rest_framework.authentication", "drf"),
    ],
)
def test_a_missing_framework_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, adapter: str, framework: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, framework, None)
    monkeypatch.delitem(sys.modules, f"portvakt.adapters.{adapter}", raising=False)
    with pytest.raises(ConfigurationError, match=rf"pip install 'portvakt\[{extra}\]'"):
        importlib.import_module(f"portvakt.adapters.{adapter}")
