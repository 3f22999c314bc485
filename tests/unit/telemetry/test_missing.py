"""What needs a package that is not there says which extra has it."""

import importlib
import sys

import pytest

from portvakt import ConfigurationError


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("prometheus", "prometheus_client"),
        ("opentelemetry", "opentelemetry.metrics"),
        ("tracing", "opentelemetry.trace"),
    ],
)
def test_a_missing_package_is_said_with_its_extra(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"portvakt.telemetry.{name}", raising=False)
    with pytest.raises(ConfigurationError, match=r"pip install 'portvakt\[telemetry\]'"):
        importlib.import_module(f"portvakt.telemetry.{name}")
