"""What may be shown of an identifier: a mask for people, a keyed pseudonym for logs."""

import hmac
from typing import Final

from portvakt.errors import ConfigurationError, Problem
from portvakt.jose.encoding import encode_base64url
from portvakt.policy.identifiers import (
    ForeignIdentifier,
    HprNumber,
    OrganisationNumber,
    PersonNumber,
)

__all__ = ["MIN_KEY", "Pseudonyms", "mask"]

Identifier = PersonNumber | OrganisationNumber | HprNumber | ForeignIdentifier

# With the names of the kinds of persons, these are part of every pseudonym: to change one is to
# lose the thread of every log.
_KINDS: Final[dict[type[Identifier], str]] = {
    OrganisationNumber: "organisation-number",
    HprNumber: "hpr-number",
    ForeignIdentifier: "foreign",
}

#: Octets. There are so few person numbers that whoever guesses the key reads every log.
MIN_KEY: Final = 32

#: Octets of the code that are kept. 128 bits: two people in one log never share a pseudonym.
KEPT: Final = 16


def mask(text: str) -> str:
    """Hide an identifier, so that it can be recognised but not found out.

    Of eleven digits the first two are shown: a day, shared by one in thirty, which also tells a
    D-number and an FH-number. Month, year and the rest are not. Of nine digits likewise. Of
    everything else nothing is shown, not even the length: who knows what an unknown text tells.

    Does not make anything anonymous: it is for a screen, and a log takes a pseudonym.
    """
    if len(text) in {9, 11} and text.isascii() and text.isdigit():
        return text[:2] + "*" * (len(text) - 2)
    return "***"


class Pseudonyms:
    """Pseudonyms under one key: HMAC-SHA256 over the kind and the number (RFC 2104).

    The same person has the same pseudonym as long as the key lasts, so a log can be followed. It is
    no anonymisation: whoever has the key finds every person by trying all numbers. Use the key for
    nothing else, and keep it where the log is not.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        """Take the key.

        Raises:
            ConfigurationError: if it is not at least 32 octets. Whether they are random, no one
                can see.
        """
        if type(key) is not bytes or len(key) < MIN_KEY:
            flaw = f"must be at least {MIN_KEY} octets from a random generator"
            raise ConfigurationError([Problem("pseudonym_key", flaw)])
        self._key = key

    def of(self, identifier: Identifier) -> str:
        """Return the pseudonym: 22 characters of base64url, 128 bits."""
        # No kind holds a zero octet, so no two pairs are the same message.
        return self._of(f"{_kind(identifier)}\0{identifier.number}")

    def named(self, kind: str, issuer: str, name: str) -> str:
        """Return the pseudonym of what one issuer gives a name to: a subject, a client, a token.

        Parameters:
            kind: what it is: a constant of ours, and none that :meth:`of` has.
            issuer: whose name it is, as in ``iss``: the same name of another is somebody else.
            name: the name.
        """
        # An issuer is printable, so it ends where it seems to end.
        return self._of(f"{kind}\0{issuer}\0{name}")

    def _of(self, message: str) -> str:
        octets = message.encode("utf-8", "surrogatepass")
        return encode_base64url(hmac.digest(self._key, octets, "sha256")[:KEPT])


def _kind(identifier: Identifier) -> str:
    if isinstance(identifier, PersonNumber):
        return identifier.kind.value
    return _KINDS[type(identifier)]
