import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from portvakt.cli.config import app
from portvakt.config.json_schema import json_schema
from portvakt.jose.signer import Signer

POLICY = """\
[api]
audience = "nhn:journal"

[[issuer]]
issuer = "https://sts.example.no"
jwks_file = "keys.json"
algorithms = ["ES256", "Ed25519"]
typ = ["at+jwt", "JWT"]
other_audiences = ["account"]
max_lifetime = "95m"

[[route]]
path = "/journal/{patient}"
methods = ["PUT", "GET"]
scopes = ["nhn:journal/read"]

[[route]]
path = "/healthz"
public = true

[[route]]
path = "/me"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    keys = [
        Signer.generate("ES256", "a\x1b[2J").public_jwk(),
        Signer.generate("Ed25519", None).public_jwk(),
    ]
    (tmp_path / "keys.json").write_bytes(msgspec.json.encode({"keys": keys}))
    file = tmp_path / "portvakt.toml"
    file.write_text(POLICY)
    return file


def run(*arguments: str | Path, **environ: str) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), env=environ)


def test_a_right_policy_is_summed_up(file: Path) -> None:
    result = run("check", "--config", file)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{file}: right",
        "API nhn:journal",
        "issuer https://sts.example.no",
        "  aud      nhn:journal",
        "           beside it: account",
        "  alg      ES256, Ed25519",
        "  typ      at+jwt, jwt",
        "  claims   iss, aud, exp, iat, client_id, jti, sub",
        "  time     lives at most 95m, clocks may differ by 5s, iat at most 30s ahead",
        "  key      a\\x1b[2J: P-256, ES256",
        "  key      (no kid): Ed25519, Ed25519",
        "revocation: none, so a token holds until it expires",
        "routes (any other request is refused)",
        "  GET,PUT /journal/{patient}: scopes nhn:journal/read",
        "  any method /healthz: public: no token",
        "  any method /me: any valid token",
    ]


def test_without_routes_that_is_said(file: Path) -> None:
    text = POLICY[: POLICY.index("[[route]]")]
    file.write_text(text.replace('other_audiences = ["account"]', ""))
    result = run("check", "--config", file)
    assert result.exit_code == 0
    assert "beside it" not in result.stdout
    assert result.stdout.splitlines()[-1] == "routes: none, so every request needs a valid token"


def test_every_problem_of_a_wrong_policy_is_printed_with_place_and_line(file: Path) -> None:
    file.write_text(POLICY.replace('"95m"', '"95"').replace("public", "pubic"))
    result = run("check", "--config", file)
    assert result.exit_code == 1
    assert result.stdout == ""
    head, *problems = result.stderr.splitlines()
    assert head == f"{file}: 2 problems"
    assert problems[0].startswith("  line 10: issuer[0].max_lifetime: is not a duration")
    assert problems[1] == "  line 19: route[1].pubic: is not known; did you mean public?"


def test_the_environment_names_the_file_and_overrides_it(file: Path) -> None:
    assert run("check", PORTVAKT_CONFIG=str(file)).exit_code == 0
    result = run("check", PORTVAKT_CONFIG=str(file), PORTVAKT_API__AUDIENCE="*")
    assert result.exit_code == 1
    assert "1 problem\n" in result.stderr
    assert "(environment: PORTVAKT_API__AUDIENCE)" in result.stderr


def test_a_file_that_cannot_be_opened_was_not_judged(tmp_path: Path) -> None:
    result = run("check", "--config", tmp_path / "absent.toml")
    assert result.exit_code == 2
    assert "cannot be read: No such file" in result.stderr


def test_the_schema_is_printed_as_json() -> None:
    result = run("schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json_schema()


def test_what_a_token_can_be_ended_by_is_summed_up(file: Path) -> None:
    (file.with_name("secret.txt")).write_text("a secret")
    (file.with_name("secret.txt")).chmod(0o600)
    further = """
[proxy]
trusted = ["10.1.2.3"]
client_certificate = "nginx"
"""
    issuer = """max_lifetime = "95m"
status_lists = ["https://sts.example.no/statuses/1"]

[issuer.introspection]
client_id = "journal"
secret = { file = "secret.txt" }
endpoint = "https://sts.example.no/introspect"
"""
    file.write_text(POLICY.replace('max_lifetime = "95m"\n', issuer) + further)
    told = run("check", "--config", file).stdout
    assert "revocation: none" not in told
    assert "status list https://sts.example.no/statuses/1, at most 5m old" in told
    assert "reference tokens of https://sts.example.no are asked about" in told
    assert "a proxy is believed" in told
    stored = POLICY.replace(
        'max_lifetime = "95m"\n',
        """max_lifetime = "95m"
[issuer.events]
push = true
""",
    )
    file.write_text(stored + '\n[store]\nurl = "memory://"\n')
    told = run("check", "--config", file).stdout
    assert "revocation holds within 5s\nevents of https://sts.example.no\n" in told


def test_where_the_metadata_is_is_said(file: Path) -> None:
    text = POLICY.replace("[[issuer]]", 'origin = "https://api.test/journal"\n\n[[issuer]]')
    url = "https://api.test/.well-known/oauth-protected-resource/journal"
    file.write_text(text)
    assert f"metadata for everyone at {url}\n" in run("check", "--config", file).stdout
    file.write_text(POLICY.replace("[[issuer]]", "metadata = true\n\n[[issuer]]"))
    result = run("check", "--config", file)
    assert result.exit_code == 1
    assert "line 4: api.metadata: needs [api] origin" in result.stderr
