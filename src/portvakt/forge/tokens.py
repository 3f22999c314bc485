"""An honest token for one issuer's policy, and then any change to it.

The builder knows what an issuer would write, so that a forgery is wrong in one thing and right in
everything else. It is pure: the time is given, and nothing is random but the keys.
"""

from collections.abc import Iterable, Mapping
from copy import copy
from itertools import count
from math import floor
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from portvakt.forge.identities import honest_identity
from portvakt.jose.encoding import encode_base64url, encode_object
from portvakt.jose.header import ABSENT
from portvakt.jose.signer import Signer
from portvakt.policy.issuer import TrustedIssuer

__all__ = ["LIFETIME", "TokenBuilder", "lifetime"]

#: Seconds that an honest token lives, unless the policy allows less.
LIFETIME: Final = 300

# A counter, not chance: no two builders share a jti, and a test run repeats itself.
_serial: Final = count(1)


def lifetime(issuer: TrustedIssuer) -> float:
    """Return how many seconds an honest token of this issuer lives."""
    # Whole ones: a fraction that is added to a time of today comes back rounded, perhaps upwards.
    return min(LIFETIME, floor(issuer.max_lifetime) or issuer.max_lifetime / 2)


class _Draft(Struct, frozen=True):
    """What a token will be made of; None stands for: what follows from the rest."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signer: Signer
    header_bytes: bytes | None = None
    payload: bytes | None = None
    signature: bytes | None = None


class TokenBuilder:
    """An honest token for one issuer's policy, to be changed at will. Immutable.

    Each method returns a new builder and leaves this one as it was::

        honest = TokenBuilder(issuer, signer, now=clock())
        expired = honest.claims(exp=clock() - 60).build()

    Parameters:
        issuer: the policy that the token is to fulfil.
        signer: the key that signs it; its ``alg`` and ``kid`` go into the header.
        now: seconds since 1970; the token is issued then.
        scopes: what it grants; no ``scope`` at all if empty, unless the policy requires one.

    Attributes:
        issuer: the policy.
        signer: the issuer's key, also after :meth:`signed_by`.
        now: when the token is issued.
    """

    __slots__ = ("_draft", "issuer", "now", "signer")

    def __init__(
        self, issuer: TrustedIssuer, signer: Signer, *, now: float, scopes: Iterable[str] = ()
    ) -> None:
        self.issuer: Final = issuer
        self.signer: Final = signer
        self.now: Final = now
        self._draft = _Draft(_header(issuer, signer), _claims(issuer, now, scopes), signer)

    def claims(self, /, **claims: Any) -> "TokenBuilder":
        """Set claims. A name that is no Python name: ``claims(**{"helseid://claims/x": 1})``."""
        return self._with(claims={**self._draft.claims, **claims})

    def without(self, *names: str) -> "TokenBuilder":
        """Drop claims."""
        return self._with(claims=_dropped(self._draft.claims, names))

    def header(self, /, **parameters: Any) -> "TokenBuilder":
        """Set header parameters; they are signed like the rest."""
        return self._with(header={**self._draft.header, **parameters})

    def without_header(self, *names: str) -> "TokenBuilder":
        """Drop header parameters."""
        return self._with(header=_dropped(self._draft.header, names))

    def payload(self, raw: bytes) -> "TokenBuilder":
        """Put these octets in the place of the claims; they are signed."""
        return self._with(payload=raw)

    def header_bytes(self, raw: bytes) -> "TokenBuilder":
        """Put these octets in the place of the header; they are signed."""
        return self._with(header_bytes=raw)

    def signed_by(self, signer: Signer) -> "TokenBuilder":
        """Sign with another key. The header still names the first one, unless it is changed too."""
        return self._with(signer=signer)

    def signature(self, raw: bytes) -> "TokenBuilder":
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
        """Return the token in its compact form."""
        header = encode_base64url(self.header_octets())
        return self.build_encoded(header, encode_base64url(self.payload_octets()))

    def build_encoded(self, header: str, payload: str) -> str:
        """Return a token of two parts that are encoded already, rightly or wrongly, signed as such.

        Parameters:
            header: the first part, ASCII.
            payload: the second part, ASCII.
        """
        signed, signature = f"{header}.{payload}", self._draft.signature
        if signature is None:
            signature = self._draft.signer.sign(signed.encode("ascii"))
        return f"{signed}.{encode_base64url(signature)}"

    def _with(self, **changes: Any) -> "TokenBuilder":
        other = copy(self)
        other._draft = replace(self._draft, **changes)  # noqa: SLF001  of its own class
        return other

    def __repr__(self) -> str:
        """Show for whom: claims may be a real person's."""
        return f"TokenBuilder(issuer={self.issuer.issuer!r}, alg={self.signer.alg})"


def _header(issuer: TrustedIssuer, signer: Signer) -> dict[str, Any]:
    header: dict[str, Any] = {"alg": signer.alg}
    if signer.kid is not None:
        header["kid"] = signer.kid
    named = sorted(issuer.types - {ABSENT})
    if named:
        header["typ"] = named[0]
    return header


def _claims(issuer: TrustedIssuer, now: float, scopes: Iterable[str]) -> dict[str, Any]:
    # Whole seconds, as issuers write them; rounded down, so that nothing lies in the future.
    issued = floor(now)
    granted = " ".join(scopes)
    claims: dict[str, Any] = {
        "iss": issuer.issuer,
        "aud": issuer.audience,
        issuer.subject_claim: "test-subject",
        issuer.client_claim: "test-client",
        "iat": issued,
        "nbf": issued,
        "exp": issued + lifetime(issuer),
        issuer.token_id_claim: f"test-token-{next(_serial)}",
        **honest_identity(issuer, issued),
    }
    if granted:
        claims[issuer.scope_claims[0]] = granted
    for name, values in issuer.expected_values:
        claims[name] = min(values)
    for name in sorted(issuer.required_claims):
        claims.setdefault(name, f"test-{name}")
    return claims


def _dropped(members: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    dropped = frozenset(names)
    return {name: value for name, value in members.items() if name not in dropped}
