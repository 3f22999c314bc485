"""The port behind which private keys and secrets lie, each under a name."""

import re
from enum import StrEnum
from typing import Final, Protocol

from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.signer import Signer

__all__ = ["NAME", "KeyStore", "State"]

#: What an entry may be called: a word that needs no quotes in a policy or a shell.
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class State(StrEnum):
    """Where a version of an entry stands in its life.

    A key that decrypts is *next* until every guard has it, *current* while senders are told to use
    it, and *retired* until nothing that was made for it is on its way.
    """

    NEXT = "next"
    CURRENT = "current"
    RETIRED = "retired"


class KeyStore(Protocol):
    """Private keys and secrets by name. Nothing of them is in a repr or a message.

    Each is read at start-up. What is missing, or of another kind than what is asked for, is a
    :class:`~portvakt.errors.ConfigurationError` that names the entry and shows nothing of it.
    """

    def names(self) -> tuple[str, ...]:
        """Return the names of the entries, in order."""

    def secret(self, name: str) -> str:
        """Return the current secret of a name.

        Raises:
            ConfigurationError: if there is none.
        """

    def signer(self, name: str) -> Signer:
        """Return the current signing key of a name.

        Raises:
            ConfigurationError: if there is none.
        """

    def decryption_keys(self, name: str) -> tuple[DecryptionKey, ...]:
        """Return all keys of a name that decrypt: the current one, the next, and retired ones.

        Raises:
            ConfigurationError: if there is none.
        """
