"""What is wrong with a reference to a secret, as far as the policy alone tells."""

import re
from typing import Final

from msgspec import UNSET

from portvakt.config.environment import PASSPHRASE, PREFIX
from portvakt.config.problems import Problems
from portvakt.config.secrets_schema import SOURCES, SecretTable

__all__ = ["check_secret"]

#: POSIX 2024, section 8.1, and what shells can set.
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")

#: The names that a key store gives: see :data:`portvakt.keystore.base.NAME`.
_ENTRY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_secret(table: SecretTable, place: str, problems: Problems) -> None:
    """Note what is wrong with one reference. No message shows what stands in it.

    Does not look for the secret: :class:`portvakt.keystore.references.Secrets` does, at start-up.

    Parameters:
        table: the reference.
        place: where it stands in the policy.
        problems: where to note it.
    """
    stated = [name for name in SOURCES if getattr(table, name) is not UNSET]
    if len(stated) != 1:
        how = f"names {' and '.join(stated)}" if stated else "names no secret"
        problems.add(place, f"{how}: state exactly one of {', '.join(SOURCES)}")
        return
    if table.env is not UNSET:
        if not _VARIABLE.fullmatch(table.env):
            problems.add(f"{place}.env", "must be the name of an environment variable")
        elif table.env.startswith(PREFIX) and table.env != PASSPHRASE:
            problems.add(
                f"{place}.env",
                f"must not begin with {PREFIX}: a variable of such a name is a setting",
            )
    if table.file is not UNSET and (not table.file or "\0" in table.file or "\n" in table.file):
        problems.add(f"{place}.file", "must be the name of a file")
    if table.keystore is not UNSET and not _ENTRY.fullmatch(table.keystore):
        problems.add(f"{place}.keystore", "must be the name of an entry of the key store")
