"""No key and no secret in an error about a policy, however it is looked at (API-07)."""

import io
import json
import traceback
from pathlib import Path
from typing import Any, Final

import pytest
from rich.console import Console
from rich.pretty import pretty_repr
from rich.traceback import Traceback

from portvakt import ConfigurationError, Guard
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
PRIVATE: Final = ISSUER.signer.private_jwk()
PUBLIC: Final = json.dumps(ISSUER.jwks())

#: What somebody put where it does not belong.
SECRET: Final = "kanari-0123456789"
PID: Final = "17912099997"
PLANTED: Final = [SECRET, PID, PRIVATE["d"], PRIVATE["x"], PRIVATE["y"]]

POLICY: Final = """
[api]
audience = "test-api"
[[issuer]]
issuer = "https://issuer.test"
algorithms = ["ES256"]
jwks_file = "keys.json"
"""

FILES: Final[dict[str, tuple[str, str]]] = {
    "a private key": (POLICY, json.dumps({"keys": [PRIVATE]})),
    "a shared secret": (POLICY, json.dumps({"keys": [{"kty": "oct", "k": SECRET}]})),
    "a secret among good keys": (
        POLICY,
        json.dumps({"keys": [ISSUER.signer.public_jwk(), {"kty": "oct", "kid": "s", "k": SECRET}]}),
    ),
    "keys that are no JSON": (POLICY, f"{SECRET} {PID}"),
    "keys in PEM": (POLICY, f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n"),
    "keys that are no UTF-8": (POLICY, f'{{"keys": "{SECRET}\ud800"}}'),
    "keys that are no array": (POLICY, json.dumps({"keys": SECRET})),
    "a key of an unknown kind": (POLICY, json.dumps({"keys": [{"kty": SECRET, "n": SECRET}]})),
    "a key that is too short": (POLICY, json.dumps({"keys": [{"kty": "RSA", "n": SECRET, "e": "AQAB"}]})),
    "a key twice": (POLICY, PUBLIC.replace('"kty"', f'"kty": "{SECRET}", "kty"', 1)),
    "an unknown setting": (f'{POLICY}client_secret = "{SECRET}"\n', PUBLIC),
    "two unknown settings": (f'{POLICY}password = "{SECRET}"\n[store]\nurl = "{SECRET}"\n', PUBLIC),
    "a number for text": (POLICY.replace('"test-api"', PID), PUBLIC),
    "a list for text": (POLICY.replace('"test-api"', f'["{SECRET}"]'), PUBLIC),
    "text for a list": (f'{POLICY}required_claims = "{SECRET}"\n', PUBLIC),
    "text that is no duration": (f'{POLICY}leeway = "{SECRET}"\n', PUBLIC),
    "a private key in line": (
        POLICY.replace('jwks_file = "keys.json"', f'jwks = {{keys = [{{kty = "EC", d = "{PRIVATE["d"]}"}}]}}'),
        PUBLIC,
    ),
    "no TOML": (f"{POLICY}client_secret = {SECRET}\n", PUBLIC),
    "TOML without an end": (f'{POLICY}client_secret = "{SECRET}\n', PUBLIC),
    "TOML twice": (f'{POLICY}issuer = "{SECRET}"\n', PUBLIC),
}  # fmt: skip


def shown(error: ConfigurationError) -> str:
    """Return every form in which an error shows itself, with all variables of its traceback."""
    told = [error, *error.problems, error.args, error.source, vars(error)]
    plain = traceback.TracebackException.from_exception(error, capture_locals=True)
    rich = Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_max_string=100_000,
        locals_max_length=1000, extra_lines=0, width=5000,
    )  # fmt: skip
    console = Console(file=io.StringIO(), width=5000, color_system=None)
    console.print(rich)
    file = console.file
    assert isinstance(file, io.StringIO)
    texts = [form(value) for value in told for form in (str, repr, pretty_repr)]
    return "\n".join([*texts, "".join(plain.format()), file.getvalue()])


def failure(policy: Path) -> ConfigurationError:
    """Make a guard of a policy file, as a start-up does, and return the error."""
    with pytest.raises(ConfigurationError) as caught:
        Guard.from_file(policy)
    return caught.value


@pytest.mark.attack("API-07", "KEY-14")
@pytest.mark.parametrize(("policy", "keys"), FILES.values(), ids=FILES)
def test_an_error_about_a_file_shows_nothing_secret_that_is_in_it(
    policy: str, keys: str, tmp_path: Path
) -> None:
    path = tmp_path / "portvakt.toml"
    path.write_text(policy, "utf-8")
    (tmp_path / "keys.json").write_bytes(keys.encode("utf-8", "surrogatepass"))
    del policy, keys  # not what this test itself holds, but what the error does
    error = failure(path)
    assert str(path) in str(error)
    assert [planted for planted in PLANTED if planted in shown(error)] == []
    # Nor is there a hidden way to what was being read.
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.attack("API-07")
def test_an_error_about_the_environment_names_the_variable_and_not_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "portvakt.toml"
    path.write_text(POLICY, "utf-8")
    (tmp_path / "keys.json").write_text(PUBLIC, "utf-8")
    monkeypatch.setenv("DATABASE_PASSWORD", SECRET)  # no business of ours
    for name in (
        "PORTVAKT_ISSUER__0__CLIENT_SECRET",
        "PORTVAKT_API__AUDIENCES",
        "PORTVAKT_ISSUER__0__LEEWAY",
    ):
        monkeypatch.setenv(name, SECRET)
        error = failure(path)
        assert name in str(error)
        assert [planted for planted in PLANTED if planted in shown(error)] == []
        monkeypatch.delenv(name)


def failure_of_data() -> ConfigurationError:
    """Make a guard of data that nobody holds afterwards."""
    config = ISSUER.config(api={"audience": int(PID)})
    config["issuer"][0].update(client_secret=SECRET, jwks={"keys": [PRIVATE, {"k": SECRET}]})
    holder: list[Any] = [config]
    del config
    with pytest.raises(ConfigurationError) as caught:
        Guard.from_config(holder.pop())
    return caught.value


@pytest.mark.attack("API-07", "KEY-14")
def test_an_error_about_data_shows_nothing_secret_that_is_in_it() -> None:
    error = failure_of_data()
    assert len(error.problems) >= 3
    assert [planted for planted in PLANTED if planted in shown(error)] == []
    assert error.__context__ is None


@pytest.mark.twin("API-07", "KEY-14")
def test_an_error_says_where_the_fault_is_and_how_to_put_it_right(tmp_path: Path) -> None:
    path = tmp_path / "portvakt.toml"
    path.write_text(POLICY + 'client_secret = "x"\nleway = "5s"\n', "utf-8")
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [PRIVATE]}), "utf-8")
    text = str(failure(path))
    for told in ("client_secret", "did you mean leeway", "line 9", "keys[0] is a private"):
        assert told in text
    path.write_text(POLICY, "utf-8")
    (tmp_path / "keys.json").write_text(PUBLIC, "utf-8")
    assert set(Guard.from_file(path).issuers) == {"https://issuer.test"}
