"""What is wrong with the ``[keystore]`` and ``[encryption]`` tables, as far as they alone tell."""

from collections.abc import Iterable

from msgspec import UNSET, UnsetType

from portvakt.config.keystore_schema import EncryptionTable, KeystoreTable
from portvakt.config.problems import Problems
from portvakt.config.secrets import check_secret
from portvakt.config.secrets_schema import SecretTable

__all__ = ["check_encryption", "check_keystore"]


def check_keystore(
    table: KeystoreTable | UnsetType,
    references: Iterable[tuple[str, SecretTable]],
    problems: Problems,
) -> None:
    """Note what is wrong with the table, and which references need one where there is none.

    Does not look for the file: :class:`portvakt.keystore.encrypted_file.EncryptedFile` does, at
    start-up.

    Parameters:
        table: the table, or UNSET.
        references: all other references of the policy to secrets, with their places.
        problems: where to note it.
    """
    if table is UNSET:
        for place, reference in references:
            if reference.keystore is not UNSET:
                problems.add(f"{place}.keystore", "there is no key store: add [keystore] with file")
        return
    if not table.file or "\0" in table.file:
        problems.add("keystore.file", "must be the name of a file")
    if table.passphrase.keystore is not UNSET:
        problems.add(
            "keystore.passphrase", "cannot be in the key store that it opens: state env or file"
        )
    else:
        check_secret(table.passphrase, "keystore.passphrase", problems)


def check_encryption(table: EncryptionTable | UnsetType, problems: Problems) -> None:
    """Note what is wrong with the table."""
    if table is not UNSET:
        check_secret(table.keys, "encryption.keys", problems)
