"""The ``[keystore]`` and ``[encryption]`` tables of the policy file, as plain data."""

from typing import Annotated

from msgspec import Meta, Struct

from portvakt.config.secrets_schema import SecretTable

__all__ = ["EncryptionTable", "KeystoreTable"]


class KeystoreTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The encrypted file in which keys and secrets lie under their names."""

    file: Annotated[str, Meta(description="The key store, relative to this file.", min_length=1)]
    passphrase: Annotated[
        SecretTable,
        Meta(
            description="Where its passphrase is: env or file. By default the variable "
            "PORTVAKT_KEYSTORE_PASSPHRASE."
        ),
    ] = SecretTable(env="PORTVAKT_KEYSTORE_PASSPHRASE")


class EncryptionTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How encrypted tokens are opened: a signed token in an encrypted one."""

    keys: Annotated[
        SecretTable,
        Meta(
            description="Where the private keys are that decrypt: an entry of the key store with "
            "all its versions, or a private JWK or set of them (env or file)."
        ),
    ]
