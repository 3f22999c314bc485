"""What one route demands of a token, compiled once."""

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from portvakt.errors import ConfigurationError, Problem, Refused, said_of
from portvakt.policy.access_token import AccessToken
from portvakt.refusal import Code

__all__ = ["Requirement", "authorize"]

#: RFC 6749 section 3.3: visible ASCII without quote and backslash.
_SCOPE_TOKEN: Final = re.compile(r"[!#-\[\]-~]+")


class Requirement(Struct, frozen=True):
    """What a token must carry for one route.

    Attributes:
        scopes: all of them are needed; none means that any valid token will do.
        challenge: the same as one string, as the challenge names them.
    """

    scopes: frozenset[str]
    challenge: str

    @classmethod
    def of(cls, scopes: Iterable[str] = ()) -> "Requirement":
        """Compile a requirement.

        Parameters:
            scopes: the scopes of which all are needed, each one word.

        Raises:
            ConfigurationError: if a scope is not a word of RFC 6749 section 3.3, or if a string is
                given where a list is meant.
        """
        if isinstance(scopes, str):
            raise ConfigurationError([Problem("scopes", "must be a list of strings")])
        words = tuple(dict.fromkeys(scopes))
        for word in words:
            if type(word) is not str or not _SCOPE_TOKEN.fullmatch(word):
                flaw = said_of(word, "is not one scope: no spaces, quotes or backslashes")
                raise ConfigurationError([Problem("scopes", flaw)])
        return cls(frozenset(words), " ".join(words))


def authorize(token: AccessToken, requirement: Requirement) -> None:
    """Check that a token carries what a route demands.

    Raises:
        Refused: ``scope_insufficient``.
    """
    if not requirement.scopes <= token.scopes:
        missing = " ".join(sorted(requirement.scopes - token.scopes))
        raise Refused(Code.SCOPE_INSUFFICIENT, f"missing scope: {missing}")
