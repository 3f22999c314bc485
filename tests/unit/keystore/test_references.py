"""From a reference to the secret; and what is said, and not said, where there is none."""

import io
import json
import re
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from rich.console import Console
from rich.traceback import Traceback

from portvakt.config.secrets_schema import SecretTable
from portvakt.errors import ConfigurationError
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.signer import Signer, private_jwk_of
from portvakt.keystore.base import State
from portvakt.keystore.encrypted_file import EncryptedFile
from portvakt.keystore.references import Secrets
from portvakt.keystore.sealed import MIN_COST

PASSPHRASE: Final = "kanari-passphrase"
SECRET: Final = "kanari-0123456789"
SIGNER: Final = Signer.generate("ES256", "sign-1")
KEY, NEXT = (DecryptionKey.generate("ECDH-ES", f"enc-{n}") for n in (1, 2))
ENV: Final = SecretTable(env="THE_SECRET")
FILE: Final = SecretTable(file="secret")
ENTRY: Final = SecretTable(keystore="entry")
Find = Callable[..., Secrets]


@pytest.fixture
def secrets(tmp_path: Path) -> Find:
    """Put a text where each of the three kinds of references looks for it."""

    def secrets(text: str | bytes) -> Secrets:
        octets = text if isinstance(text, bytes) else text.encode()
        file = tmp_path / "secret"
        file.write_bytes(octets)
        file.chmod(0o600)
        return Secrets(tmp_path, {"THE_SECRET": octets.decode("utf-8", "surrogateescape")})

    return secrets


@pytest.fixture
def store(tmp_path: Path) -> EncryptedFile:
    return EncryptedFile.create(tmp_path / "keys", PASSPHRASE, cost=MIN_COST)


def pem(private_key: Any, password: bytes | None = None) -> str:
    how = NoEncryption() if password is None else BestAvailableEncryption(password)
    octets: bytes = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    return octets.decode()


@pytest.mark.parametrize("reference", [ENV, FILE], ids=repr)
def test_text_is_found(secrets: Find, reference: SecretTable) -> None:
    assert secrets("s3cret ø").text(reference) == "s3cret ø"


@pytest.mark.parametrize(
    ("octets", "text"), [(b"a\n", "a"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b" a ", " a ")]
)
def test_one_line_break_at_the_end_of_a_file_is_not_of_the_secret(
    secrets: Find, octets: bytes, text: str
) -> None:
    assert secrets(octets).text(FILE) == text


@pytest.mark.parametrize("reference", [ENV, FILE], ids=repr)
def test_private_jwk_is_a_signer(secrets: Find, reference: SecretTable) -> None:
    found = secrets(json.dumps(SIGNER.private_jwk())).signer(reference)
    assert found.private_jwk() == SIGNER.private_jwk()
    jwk = private_jwk_of(rsa.generate_private_key(65537, 2048))
    assert secrets(json.dumps(jwk)).signer(reference, alg="PS256").alg == "PS256"


def test_pem_is_a_signer(secrets: Find) -> None:
    for key, alg, told in (
        (rsa.generate_private_key(65537, 2048), "RS256", "RS256"),
        (ec.generate_private_key(ec.SECP256R1()), "ES256", None),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA", None),
    ):
        found = secrets(pem(key)).signer(FILE, alg=told)
        assert (found.alg, found.kid) == (alg, None)


def test_decryption_keys_are_one_or_a_set_or_all_versions_of_an_entry(
    secrets: Find, store: EncryptedFile, tmp_path: Path
) -> None:
    one, both = KEY.private_jwk(), {"keys": [KEY.private_jwk(), NEXT.private_jwk()]}
    for reference in (ENV, FILE):
        found = secrets(json.dumps(one)).decryption_keys(reference)
        assert [key.private_jwk() for key in found] == [one]
        found = secrets(json.dumps(both)).decryption_keys(reference)
        assert [key.kid for key in found] == ["enc-1", "enc-2"]
    found = secrets(pem(KEY.private_key)).decryption_keys(FILE, alg="ECDH-ES")
    assert found[0].public_jwk()["x"] == one["x"]
    store.put("entry", KEY)
    store.put("entry", NEXT, state=State.NEXT)
    found = Secrets(tmp_path, {}, store).decryption_keys(ENTRY)
    assert [key.kid for key in found] == ["enc-2", "enc-1"]


def test_entries_of_the_key_store_are_found(store: EncryptedFile, tmp_path: Path) -> None:
    secrets = Secrets(tmp_path, {}, store)
    store.put("entry", SECRET)
    store.put("client", SIGNER)
    assert secrets.text(ENTRY) == SECRET
    assert secrets.signer(SecretTable(keystore="client")).kid == "sign-1"
    assert repr(secrets) == "Secrets()"


def shown(error: ConfigurationError) -> str:
    """Return every form in which an error shows itself, with all variables of its traceback."""
    plain = traceback.TracebackException.from_exception(error, capture_locals=True)
    rich = Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_max_string=100_000,
        locals_max_length=1000, extra_lines=0, width=5000,
    )  # fmt: skip
    console = Console(file=io.StringIO(), width=5000, color_system=None)
    console.print(rich)
    assert isinstance(console.file, io.StringIO)
    return "".join(plain.format()) + console.file.getvalue() + repr(error)


def failure(work: Callable[[], object]) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        work()
    return caught.value


PRIVATE: Final = SIGNER.private_jwk()
WRONG: Final[dict[str, tuple[str | bytes, str]]] = {
    "no JSON": (SECRET, "neither a private JWK nor a private key in PEM"),
    "half a character": (b'{"kty":"EC","d":"kanari-0123456789\xff"}', "neither|not UTF-8"),
    "no PEM": (f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n", "not a private key in PEM"),
    "a public key": (json.dumps(SIGNER.public_jwk() | {"x5": SECRET}), "the private JWK lacks"),
    "halves that differ": (json.dumps({**PRIVATE, "d": "AQ", "s": SECRET}), "its halves differ"),
    "another purpose": (json.dumps({**PRIVATE, "use": "other", "s": SECRET}), "its use is not"),
    "an unknown type": (json.dumps({**PRIVATE, "kty": "oct", "k": SECRET}), "lacks, or does not"),
    "an unknown algorithm": (json.dumps({**PRIVATE, "alg": [SECRET]}), "is not"),
    "a set that is none": (json.dumps({"keys": SECRET}), "malformed|lacks"),
    "an empty set": (json.dumps({"keys": [], "s": SECRET}), "malformed|lacks"),
    "a set of texts": (json.dumps({"keys": [SECRET]}), "malformed|lacks"),
    "an encrypted key": (
        pem(ec.generate_private_key(ec.SECP256R1()), SECRET.encode()), "encrypted: store it"
    ),
    "a key of another kind": (pem(x25519.X25519PrivateKey.generate()), "of a kind that is known"),
    "a key of another curve": (pem(ec.generate_private_key(ec.SECP256K1())), "kind that is known"),
    "a key for DSA": (pem(dsa.generate_private_key(2048)), "of a kind that is known"),
}  # fmt: skip


@pytest.mark.attack("API-07")
@pytest.mark.parametrize("reference", [ENV, FILE], ids=repr)
@pytest.mark.parametrize("case", WRONG)
def test_unusable_key_is_an_error_with_its_place_and_nothing_else(
    secrets: Find, reference: SecretTable, case: str
) -> None:
    message = WRONG[case][1]
    finder = secrets(WRONG[case][0])
    for find in (finder.signer, finder.decryption_keys):
        error = failure(partial(find, reference, "issuer[0].key"))
        assert [problem.place for problem in error.problems] == ["issuer[0].key"]
        assert re.search(message, str(error))
        seen = shown(error)
        assert not [it for it in ("kanari", PRIVATE["d"], PRIVATE["x"]) if it in seen]
        assert error.__context__ is None
        assert error.__cause__ is None


@pytest.mark.attack("API-07")
@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (SecretTable(env="NOT_SET"), "is not set"),
        (SecretTable(env="EMPTY"), "is not set"),
        (SecretTable(file="missing"), "cannot be read: No such file"),
        (SecretTable(file="empty"), "is empty"),
        (SecretTable(file="line"), "is empty"),
        (SecretTable(file="binary"), "is not UTF-8"),
        (SecretTable(file="loose"), "run chmod 600"),
        (SecretTable(file="long"), "is longer than"),
        (SecretTable(file="."), "is not a file|cannot be read"),
        (SecretTable(keystore="entry"), "there is no key store"),
    ],
)
def test_missing_secret_is_an_error_with_its_place_and_nothing_else(
    reference: SecretTable, message: str, tmp_path: Path
) -> None:
    for name, octets in (
        ("empty", b""), ("line", b"\n"), ("binary", SECRET.encode() + b"\xff"),
        ("loose", SECRET.encode()), ("long", SECRET.encode() * 10_000),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(octets)
        (tmp_path / name).chmod(0o644 if name == "loose" else 0o600)
    del octets
    finder = Secrets(tmp_path, {"EMPTY": "", "OTHER": SECRET})
    for find in (finder.text, finder.signer, finder.decryption_keys):
        error = failure(partial(find, reference, "api.secret"))
        assert re.search(message, str(error))
        assert [problem.place for problem in error.problems] == ["api.secret"]
        assert "kanari" not in shown(error)
        assert error.__context__ is None


@pytest.mark.attack("API-07")
def test_key_store_that_does_not_open_shows_nothing(store: EncryptedFile, tmp_path: Path) -> None:
    store.put("entry", SECRET)
    store.put("client", SIGNER)
    for work in (
        lambda: EncryptedFile.open(tmp_path / "keys", PASSPHRASE[:-1]),
        lambda: EncryptedFile.create(tmp_path / "keys", PASSPHRASE),
        lambda: EncryptedFile.create(tmp_path / "new", PASSPHRASE[:10]),
        lambda: store.put("entry", SECRET),
        lambda: store.put("", SECRET),
        lambda: store.put("client", SIGNER),
        lambda: store.rotate("entry"),
        lambda: store.signer("entry"),
        lambda: store.decryption_keys("entry"),
        lambda: store.secret("client"),
        lambda: Secrets(tmp_path, {}, store).signer(ENTRY, "x"),
    ):
        error = failure(work)
        seen = shown(error)
        assert not [it for it in ("kanari", PRIVATE["d"], PRIVATE["x"]) if it in seen]
        assert error.__context__ is None
