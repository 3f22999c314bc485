"""A compact serialization to be changed at will: header, claims, key and signature, each alone.

What is honest, the builders that are made of this know. It is pure: nothing is random but the keys.
"""

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, Self

from msgspec import Struct
from msgspec.structs import replace

from portvakt.jose.encoding import encode_base64url, encode_object
from portvakt.jose.signer import Signer

__all__ = ["CompactBuilder"]


class _Draft(Struct, frozen=True):
    """What a token will be made of; None stands for: what follows from the rest."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signer: Signer
    header_bytes: bytes | None = None
    payload: bytes | None = None
    signature: bytes | None = None


class CompactBuilder:
    """What is signed, and by whom; each method returns a new builder. Immutable.

    Parameters:
        header: every header parameter.
        claims: every claim.
        signer: the key that signs it.
    """

    __slots__ = ("_draft",)

    def __init__(self, header: dict[str, Any], claims: dict[str, Any], signer: Signer) -> None:
        self._draft = _Draft(header, claims, signer)

    def claims(self, /, **claims: Any) -> Self:
        """Set claims. A name that is no Python name: ``claims(**{"helseid://claims/x": 1})``."""
        return self._with(claims={**self._draft.claims, **claims})

    def without(self, *names: str) -> Self:
        """Drop claims."""
        return self._with(claims=_dropped(self._draft.claims, names))

    def header(self, /, **parameters: Any) -> Self:
        """Set header parameters; they are signed like the rest."""
        return self._with(header={**self._draft.header, **parameters})

    def without_header(self, *names: str) -> Self:
        """Drop header parameters."""
        return self._with(header=_dropped(self._draft.header, names))

    def payload(self, raw: bytes) -> Self:
        """Put these octets in the place of the claims; they are signed."""
        return self._with(payload=raw)

    def header_bytes(self, raw: bytes) -> Self:
        """Put these octets in the place of the header; they are signed."""
        return self._with(header_bytes=raw)

    def signed_by(self, signer: Signer) -> Self:
        """Sign with another key. The header still names the first one, unless it is changed too."""
        return self._with(signer=signer)

    def signature(self, raw: bytes) -> Self:
        """Put these octets in the place of a signature."""
        return self._with(signature=raw)

    def header_octets(self) -> bytes:
        """Return the header as it will be written, before base64url."""
        draft = self._draft
        return encode_object(draft.header) if draft.header_bytes is None else draft.header_bytes

    def payload_octets(self) -> bytes:
        """Return the payload as it will be written, before base64url."""
        draft = self._draft
        return encode_object(draft.claims) if draft.payload is None else draft.payload

    def build(self) -> str:
        """Return it in its compact form."""
        header = encode_base64url(self.header_octets())
        return self.build_encoded(header, encode_base64url(self.payload_octets()))

    def build_encoded(self, header: str, payload: str) -> str:
        """Return one of two parts that are encoded already, rightly or wrongly, signed as such.

        Parameters:
            header: the first part, ASCII.
            payload: the second part, ASCII.
        """
        signed, signature = f"{header}.{payload}", self._draft.signature
        if signature is None:
            signature = self._draft.signer.sign(signed.encode("ascii"))
        return f"{signed}.{encode_base64url(signature)}"

    def _with(self, **changes: Any) -> Self:
        other = copy(self)
        other._draft = replace(self._draft, **changes)  # noqa: SLF001  of its own class
        return other


def _dropped(members: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    dropped = frozenset(names)
    return {name: value for name, value in members.items() if name not in dropped}
