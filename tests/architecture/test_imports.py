"""What an import brings with it, each seen in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

OPTIONAL = [
    "fastapi",
    "litestar",
    "starlette",
    "typer",
    "rich",
    "uvicorn",
    "httpx2",
    "pytest",
    "prometheus_client",
    "opentelemetry",
    "grpc",
    "google.protobuf",
]


def python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )


def without(*packages: str) -> str:
    """A line of Python after which these packages cannot be found."""
    return f"import sys; sys.modules.update(dict.fromkeys({packages!r}))\n"


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = (
        "import sys, portvakt\n"
        "heavy = {'msgspec', 'cryptography', 'asyncio', 'json', 'logging', 'tomllib', 'fastapi'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )

    assert python(script).stdout == "[]\n"


def test_the_guard_does_not_import_an_event_loop_or_a_way_out() -> None:
    script = (
        "import sys\n"
        "from portvakt import Guard\n"
        "never = {'asyncio', 'socket', 'httpx2', 'anyio', 'tomllib', 'joserfc', 'fastapi'}\n"
        "print(sorted(never & set(sys.modules)))\n"
    )

    assert python(script).stdout == "[]\n"


def test_the_guard_works_without_any_optional_package() -> None:
    script = without(*OPTIONAL) + (
        "from portvakt.testing import FakeIssuer\n"
        "issuer = FakeIssuer()\n"
        "guard = issuer.guard()\n"
        "honest, hostile = issuer.token(), issuer.forged('expired')\n"
        "print(guard.check_blocking(issuer.request(honest)).admitted,\n"
        "      guard.check_blocking(issuer.request(hostile)).admitted)\n"
    )

    result = python(script)

    assert (result.stdout, result.stderr) == ("True False\n", "")


@pytest.mark.parametrize(
    ("room", "missing", "extra"),
    [
        ("portvakt.adapters.fastapi", "fastapi", "portvakt[fastapi]"),
        ("portvakt.adapters.litestar", "litestar", "portvakt[litestar]"),
        ("portvakt.adapters.starlette", "starlette", "portvakt[starlette]"),
        ("portvakt.adapters.grpc", "grpc", "portvakt[grpc]"),
        ("portvakt.gateway.ext_authz", "grpc", "portvakt[grpc]"),
        ("portvakt.gateway.ext_authz", "google.protobuf.message", "portvakt[grpc]"),
        ("portvakt.cli", "typer", "portvakt[cli]"),
        ("portvakt.telemetry.prometheus", "prometheus_client", "portvakt[telemetry]"),
        ("portvakt.telemetry.opentelemetry", "opentelemetry", "portvakt[telemetry]"),
        ("portvakt.telemetry.tracing", "opentelemetry", "portvakt[telemetry]"),
    ],
)
def test_a_missing_optional_package_says_which_extra_to_install(
    room: str, missing: str, extra: str
) -> None:
    result = python(without(missing) + f"import {room}\n")

    assert result.returncode != 0
    assert f"pip install '{extra}'" in result.stderr
