"""``portvakt keys generate``, ``import``, ``rotate``, ``publish``, ``list``: one's own keys."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from portvakt.cli.config import shown
from portvakt.cli.discreet import discreet
from portvakt.config.environment import PASSPHRASE
from portvakt.config.secrets_schema import SecretTable
from portvakt.errors import ConfigurationError, said_of
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.encryption import KEY_MANAGEMENT
from portvakt.jose.jwk import thumbprint
from portvakt.jose.signer import Signer
from portvakt.keystore.base import State
from portvakt.keystore.encrypted_file import EncryptedFile
from portvakt.keystore.references import Secrets

if TYPE_CHECKING:
    from portvakt.keystore.entries import Value

__all__ = ["Use", "generate", "import_", "list_", "publish", "rotate"]

CANNOT: Final = 2

#: Bits of a new RSA key: what is still enough when it is retired.
_BITS: Final = 3072


class Use(StrEnum):
    """What an imported file holds."""

    SIGNING = "sig"
    DECRYPTION = "enc"
    SECRET = "secret"  # noqa: S105  the name of a kind


_Name = Annotated[str, typer.Argument(help="The name of the entry.")]
_Store = Annotated[
    Path,
    typer.Option("--keystore", help="The key store; made if it is not there.", dir_okay=False),
]
_Passphrase = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help=f"A file with the passphrase. Without it the variable {PASSPHRASE}, or a question.",
        dir_okay=False,
    ),
]
_Next = Annotated[
    bool,
    typer.Option("--next", help="Add it as the next version, for keys rotate to make current."),
]
_STORE: Final = Path("portvakt.keystore")


def generate(
    name: _Name,
    *,
    alg: Annotated[
        str, typer.Option(help="ES256 and the like to sign; RSA-OAEP-256, ECDH-ES… to decrypt.")
    ],
    following: _Next = False,
    keystore: _Store = _STORE,
    passphrase_file: _Passphrase = None,
) -> None:
    """Make a new key in the key store. Exit 0: it is there. Exit 2: it is not, and why."""
    try:
        value = _made(alg)
        _put(_opened(keystore, passphrase_file, make=True), name, value, following=following)
    except ConfigurationError as error:
        _give_up("generate", error)
    typer.echo(f"{name}: {alg}, kid {value.kid}")


def import_(
    name: _Name,
    file: Annotated[
        Path,
        typer.Argument(
            help="A private JWK or an unencrypted PEM, or a secret; for you alone (chmod 600).",
            dir_okay=False,
        ),
    ],
    *,
    use: Annotated[Use, typer.Option(help="What it is for.")] = Use.SIGNING,
    alg: Annotated[
        str | None, typer.Option(help="The algorithm, for a key that does not say it.")
    ] = None,
    following: _Next = False,
    keystore: _Store = _STORE,
    passphrase_file: _Passphrase = None,
) -> None:
    """Take a key or a secret into the key store. The file stays: delete it afterwards."""
    try:
        value = _read(file, use, alg)
        store = _opened(keystore, passphrase_file, make=True)
        _put(store, name, value, following=following)
    except ConfigurationError as error:
        _give_up("import", error)
    typer.echo(f"{name}: {store.kind(name)}")


def rotate(
    name: _Name,
    *,
    drop: Annotated[
        bool, typer.Option("--drop-retired", help="Only forget the retired versions.")
    ] = False,
    keystore: _Store = _STORE,
    passphrase_file: _Passphrase = None,
) -> None:
    """Make the next version current, and the current one retired."""
    try:
        store = _opened(keystore, passphrase_file)
        if drop:
            store.drop_retired(name)
        else:
            store.rotate(name)
    except ConfigurationError as error:
        _give_up("rotate", error)
    _print(store, name)


def publish(name: _Name, keystore: _Store = _STORE, passphrase_file: _Passphrase = None) -> None:
    """Print the JWK set to publish: public halves only."""
    try:
        keys = _opened(keystore, passphrase_file).published(name)
    except ConfigurationError as error:
        _give_up("publish", error)
    typer.echo(json.dumps(keys, indent=2))


def list_(keystore: _Store = _STORE, passphrase_file: _Passphrase = None) -> None:
    """Say what is in the key store, and show none of it."""
    try:
        store = _opened(keystore, passphrase_file)
    except ConfigurationError as error:
        _give_up("list", error)
    for name in store.names():
        _print(store, name)


def _made(alg: str) -> Signer | DecryptionKey:
    if alg in KEY_MANAGEMENT:
        return DecryptionKey.generate(alg, bits=_BITS)
    if alg not in ALGORITHMS:
        known = ", ".join((*ALGORITHMS, *KEY_MANAGEMENT))
        raise ConfigurationError(said_of(alg, f"is not an algorithm; known are {known}"))
    jwk = Signer.generate(alg, None, bits=_BITS).private_jwk()
    return Signer.from_jwk({**jwk, "kid": thumbprint(jwk)})


def _read(file: Path, use: Use, alg: str | None) -> Value:
    secrets, reference = Secrets(Path(), {}), SecretTable(file=str(file))
    if use is Use.SECRET:
        return secrets.text(reference)
    if use is Use.SIGNING:
        return secrets.signer(reference, alg=alg)
    keys = secrets.decryption_keys(reference, alg=alg)
    if len(keys) > 1:
        raise ConfigurationError("the file holds several keys: import one at a time")
    return keys[0]


def _print(store: EncryptedFile, name: str) -> None:
    versions = (
        str(state) if kid is None else f"{state} (kid {shown(kid)})"
        for state, kid in store.versions(name)
    )
    typer.echo(f"{name}: {store.kind(name)}: {', '.join(versions)}")


def _put(store: EncryptedFile, name: str, value: Value, *, following: bool) -> None:
    store.put(name, value, state=State.NEXT if following else State.CURRENT)


def _opened(path: Path, passphrase_file: Path | None, *, make: bool = False) -> EncryptedFile:
    new = make and not path.exists()
    if passphrase_file is not None:
        secrets = Secrets(Path(), {})
        passphrase = secrets.text(SecretTable(file=str(passphrase_file)), "--passphrase-file")
    else:
        passphrase = os.environ.get(PASSPHRASE) or typer.prompt(
            f"passphrase of {path.name}", hide_input=True, confirmation_prompt=new, err=True
        )
    return EncryptedFile.create(path, passphrase) if new else EncryptedFile.open(path, passphrase)


def _give_up(command: str, error: ConfigurationError) -> NoReturn:
    typer.echo(f"portvakt keys {command}: {shown(discreet(str(error)))}", err=True)
    raise typer.Exit(CANNOT) from None
