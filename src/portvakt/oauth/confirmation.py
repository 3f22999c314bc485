"""What the holder of a token has to prove: the ``cnf`` claim (RFC 7800 section 3.1).

Two methods are known here: ``jkt``, a key that signs DPoP proofs (RFC 9449 section 6.1), and
``x5t#S256``, a certificate of the TLS connection (RFC 8705 section 3.1).
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from portvakt.errors import Refused
from portvakt.refusal import Code

__all__ = ["Methods", "methods_of"]

_KEY: Final = "jkt"
_CERTIFICATE: Final = "x5t#S256"


class Methods(Struct, frozen=True, gc=False):
    """How the holder of a token proves that it is its own: at least one way, and every one there.

    Attributes:
        key: the thumbprint of the key that signs DPoP proofs, as the token has it; or None.
        certificate: the digest of the client's certificate, as the token has it; or None.
    """

    key: str | None
    certificate: str | None

    def __repr__(self) -> str:
        """Show which methods there are, and no claim value."""
        return f"Methods({', '.join(self._names())})"

    def __rich_repr__(self) -> list[tuple[str, bool]]:
        """Show to rich what repr shows."""
        return [(name, True) for name in self._names()]

    def _names(self) -> list[str]:
        return [name for name in self.__struct_fields__ if getattr(self, name) is not None]


def methods_of(confirmation: Mapping[str, Any]) -> Methods:
    """Return the methods by which a token is bound. All of them have to be met.

    Members of ``cnf`` that are not understood beside one that is are passed over, as RFC 7800
    section 3.1 says; alone they refuse, since nobody here could ever meet them.

    Does not check what the values look like, beyond being text: who meets a method does. And it
    does not check that any method is met.

    Parameters:
        confirmation: the ``cnf`` of a verified token.

    Raises:
        Refused: ``claim_malformed`` if a method that is understood has a value that is no text;
            ``confirmation_unmet`` if no method is understood.
    """
    methods = Methods(_text(confirmation, _KEY), _text(confirmation, _CERTIFICATE))
    if methods.key is None and methods.certificate is None:
        raise Refused(Code.CONFIRMATION_UNMET, "cnf states no method that is understood")
    return methods


def _text(confirmation: Mapping[str, Any], name: str) -> str | None:
    if name not in confirmation:
        return None
    value = confirmation[name]
    # Null is no text either: the token says that it is bound so, and not to what.
    if type(value) is not str:
        raise Refused(Code.CLAIM_MALFORMED, f"cnf: {name} is no text")
    return value
