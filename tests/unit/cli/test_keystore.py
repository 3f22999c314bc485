"""``portvakt keys``, of one's own keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from encrypting import token
from portvakt.cli import app
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.jwe import Decryption
from portvakt.jose.signer import Signer
from portvakt.keystore.encrypted_file import EncryptedFile
from portvakt.keystore.sealed import MIN_COST

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = "a long passphrase"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    EncryptedFile.create(path, PASSPHRASE, cost=MIN_COST)
    return path


@pytest.fixture(autouse=True)
def passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTVAKT_KEYSTORE_PASSPHRASE", PASSPHRASE)


def run(path: Path, *arguments: str, typed: str | None = None) -> Result:
    given = ["keys", *arguments, "--keystore", str(path)]
    return CliRunner().invoke(app, given, input=typed)


def private(tmp_path: Path, text: str) -> str:
    file = tmp_path / "private"
    file.write_text(text)
    file.chmod(0o600)
    return str(file)


def published(path: Path, name: str) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = json.loads(run(path, "publish", name).stdout)["keys"]
    return keys


def test_generated_keys_are_rotated_and_published(path: Path) -> None:
    assert run(path, "generate", "api", "--alg", "ECDH-ES").exit_code == 0
    (first,) = published(path, "api")
    assert run(path, "generate", "api", "--alg", "ECDH-ES+A256KW", "--next").exit_code == 0
    assert published(path, "api") == [first]
    rotated = run(path, "rotate", "api").stdout
    (second,) = published(path, "api")
    assert second["alg"] == "ECDH-ES+A256KW"
    assert rotated == (
        f"api: decryption key: current (kid {second['kid']}), retired (kid {first['kid']})\n"
    )
    assert "retired" not in run(path, "rotate", "api", "--drop-retired").stdout
    assert run(path, "generate", "client", "--alg", "ES256").stdout.startswith(
        "client: ES256, kid "
    )
    assert published(path, "client")[0]["use"] == "sig"
    listed = run(path, "list").stdout
    assert listed.splitlines()[0] == f"api: decryption key: current (kid {second['kid']})"
    assert len(listed.splitlines()) == 2


def test_keys_and_secrets_are_imported(path: Path, tmp_path: Path) -> None:
    key, signer = DecryptionKey.generate("ECDH-ES", "enc-1"), Signer.generate("ES256", "sign-1")
    for name, text, use in (
        ("api", json.dumps(key.private_jwk()), "enc"),
        ("client", json.dumps(signer.private_jwk()), "sig"),
        ("introspection", "s3cret\n", "secret"),
    ):
        done = run(path, "import", name, private(tmp_path, text), "--use", use)
        assert (done.exit_code, done.stderr) == (0, "")
    store = EncryptedFile.open(path, PASSPHRASE)
    assert Decryption(store.decryption_keys("api")).decrypt(token(key, "a.b.c")) == "a.b.c"
    assert store.signer("client").private_jwk() == signer.private_jwk()
    assert store.secret("introspection") == "s3cret"
    assert "introspection: secret: current\n" in run(path, "list").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("generate", "api", "--alg", "RSA1_5"), "RSA1_5 is not an algorithm; known are RS256"),
        (("generate", "api", "--alg", "ES256", "--next"), "api is not there yet"),
        (("rotate", "api"), "no entry of this name"),
        (("publish", "api"), "no entry of this name"),
        (("import", "api", "/no/such/file"), "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said(path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = run(path, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.startswith(f"portvakt keys {arguments[0]}: ")


def test_set_of_keys_is_imported_one_at_a_time(path: Path, tmp_path: Path) -> None:
    keys = [DecryptionKey.generate("ECDH-ES", f"enc-{n}").private_jwk() for n in (1, 2)]
    file = private(tmp_path, json.dumps({"keys": keys}))
    done = run(path, "import", "api", file, "--use", "enc")
    assert done.exit_code == 2
    assert "one at a time" in done.stderr
    assert keys[0]["d"] not in done.stderr


def test_passphrase_is_in_a_file_or_asked_for(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PORTVAKT_KEYSTORE_PASSPHRASE")
    file = private(tmp_path, f"{PASSPHRASE}\n")
    assert run(path, "list", "--passphrase-file", file).exit_code == 0
    asked = run(path, "list", typed=f"{PASSPHRASE}\n")
    assert asked.exit_code == 0
    assert PASSPHRASE not in asked.output
    wrong = run(path, "list", typed="something else\n")
    assert wrong.exit_code == 2
    assert "the passphrase is wrong, or the file was changed" in wrong.stderr
    missing = run(path, "list", "--passphrase-file", str(tmp_path / "none"))
    assert "--passphrase-file: the file cannot be read" in missing.stderr


def test_key_store_is_made_by_the_first_key(tmp_path: Path) -> None:
    new = tmp_path / "new"
    assert run(new, "list").exit_code == 2
    assert not new.exists()
    assert run(new, "generate", "api", "--alg", "ECDH-ES").exit_code == 0
    assert EncryptedFile.open(new, PASSPHRASE).names() == ("api",)
