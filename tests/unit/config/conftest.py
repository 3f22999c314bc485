from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from portvakt.config.compile import Policy, compile_policy
from portvakt.config.load import read_file
from portvakt.errors import ConfigurationError, Problem
from portvakt.jose.signer import Signer

POLICY = """\
[api]
audience = "nhn:journal"
scopes = ["nhn:journal/access"]

[[issuer]]
issuer = "https://sts.example.no"
jwks_file = "keys.json"
algorithms = ["ES256"]
leeway = "5s"

[[route]]
path = "/journal/{patient}"
methods = ["GET"]
scopes = ["nhn:journal/read"]

[[route]]
path = "/healthz"
public = true
"""

SIGNER = Signer.generate("ES256", "key-1")


@pytest.fixture
def text() -> str:
    """A sound policy that uses most keys; its lines are counted by tests."""
    return POLICY


@pytest.fixture
def signer() -> Signer:
    return SIGNER


@pytest.fixture
def jwks() -> dict[str, Any]:
    return {"keys": [SIGNER.public_jwk()]}


Compile = Callable[..., Policy]
Problems = Callable[..., tuple[Problem, ...]]


@pytest.fixture
def compiled(tmp_path: Path, jwks: dict[str, Any]) -> Compile:
    """Write a policy and its keys, and compile it."""

    def compiled(
        text: str | bytes,
        environ: Mapping[str, str] = MappingProxyType({}),
        keys: object = jwks,
    ) -> Policy:
        written = keys if isinstance(keys, bytes) else msgspec.json.encode(keys)
        (tmp_path / "keys.json").write_bytes(written)
        file = tmp_path / "portvakt.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return compile_policy(read_file(file, environ))

    return compiled


@pytest.fixture
def problems(compiled: Compile) -> Problems:
    """Write a policy and its keys, and return what is wrong with it."""

    def problems(text: str | bytes, **how: Any) -> tuple[Problem, ...]:
        with pytest.raises(ConfigurationError) as caught:
            compiled(text, **how)
        return caught.value.problems

    return problems
