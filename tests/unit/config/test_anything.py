"""Whatever the file, environment or data say: a policy comes out, or a ConfigurationError."""

import contextlib
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portvakt.config.compile import compile_policy
from portvakt.config.load import load_data, read_data, read_file
from portvakt.config.schema import Configuration
from portvakt.errors import ConfigurationError

WORDS = st.sampled_from(
    [
        "*",
        "",
        "none",
        "HS256",
        "ES256",
        "5s",
        "at+jwt",
        "/",
        "/{a}",
        "keys.json",
        "GET",
        "sub",
        "\0",
    ]
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text()
    | st.dates() | st.times() | st.datetimes()
)  # fmt: skip
NAMES = st.text(max_size=8) | st.sampled_from(
    [
        *("api", "issuer", "route", "audience", "scopes", "algorithms", "jwks", "jwks_file", "typ"),
        *("keys", "kty", "path", "methods", "public", "leeway", "required_claims", "k", "kid"),
    ]
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def table(**known: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: one | ANYTHING for name, one in known.items()})


TEXTS = st.lists(WORDS, max_size=3)
NEARLY = table(
    api=table(audience=WORDS, scopes=TEXTS),
    issuer=st.lists(
        table(
            issuer=st.sampled_from(["a", "b"]),
            algorithms=TEXTS,
            jwks=table(keys=st.lists(ANYTHING, max_size=2)),
            jwks_file=WORDS,
            typ=TEXTS,
            audience=WORDS,
            other_audiences=TEXTS,
            required_claims=TEXTS,
            leeway=WORDS,
        ),
        max_size=2,
    ),
    route=st.lists(
        table(path=WORDS, methods=TEXTS, scopes=TEXTS, public=st.booleans()), max_size=2
    ),
)


@given(st.dictionaries(NAMES, ANYTHING, max_size=4) | NEARLY)
def test_any_mapping_is_a_configuration_or_a_configuration_error(config: dict[str, Any]) -> None:
    try:
        assert isinstance(load_data(config), Configuration)
    except ConfigurationError as error:
        assert error.problems  # noqa: PT017  either outcome is right
    with contextlib.suppress(ConfigurationError):
        compile_policy(read_data(config))


def toml(value: object) -> str:
    """Write a value as TOML, as far as TOML has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(name)} = {toml(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(one):08x}" for one in value) + '"'
    return str(value)


@pytest.fixture(scope="module")
def policy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("anything") / "portvakt.toml"


@given(
    st.binary()
    | st.text().map(str.encode)
    | NEARLY.map(
        lambda one: "\n".join(f"{key} = {toml(value)}" for key, value in one.items()).encode()
    ),
    st.dictionaries(
        st.sampled_from(
            ["API", "API__AUDIENCE", "ISSUER__0__LEEWAY", "ROUTE__0", "", "__", "é"]
        ).map("PORTVAKT_".__add__),
        WORDS | st.text() | ANYTHING.map(toml),
        max_size=3,
    ),
)
def test_any_octets_and_environment_are_a_policy_or_a_configuration_error(
    policy_file: Path, octets: bytes, environ: dict[str, str]
) -> None:
    policy_file.write_bytes(octets)
    with contextlib.suppress(ConfigurationError):
        compile_policy(read_file(policy_file, environ))
