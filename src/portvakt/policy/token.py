"""What comes of a token that passed every check: read-only, and what it says by name."""

from typing import Any

from msgspec import Struct

from portvakt.policy.claims import Claims
from portvakt.policy.handles import NO_HANDLES
from portvakt.policy.identifiers import ForeignIdentifier, HprNumber, PersonNumber
from portvakt.policy.identity import Identity, Organisation

__all__ = ["AccessToken", "StatusReference"]


class StatusReference(Struct, frozen=True, gc=False):
    """Where an issuer publishes whether a token still holds: one place of a Token Status List.

    Attributes:
        uri: which list; one that the policy names.
        index: which place of it.
    """

    uri: str
    index: int


class AccessToken(Struct, frozen=True, gc=False):
    """A genuine access token, issued for this API and valid at the time of the decision.

    Being here does not say that its holder may do what he asks: that is what a
    :class:`~portvakt.Requirement` is for. Identity is ``(issuer, subject)``, never the subject
    alone.

    Attributes:
        issuer: who issued it.
        subject: ``sub``, or None where the policy does not require it.
        client_id: the client it was issued to, or None where the policy does not require it.
        audience: every API it is for, this one included.
        scopes: what it grants, each compared exactly.
        issued_at: seconds since 1970.
        expires_at: seconds since 1970, without leeway. What outlives one answer ends with it: the
            adapters for ASGI see to that, with leeway.
        not_before: seconds since 1970, or None.
        token_id: ``jti``, or None where the policy does not require it.
        confirmation: ``cnf``, what its holder must prove possession of (RFC 7800), or None.
        key_thumbprint: the RFC 7638 thumbprint of the key that signed it; None for a reference
            token whose issuer answers without a signature.
        identity: what it says of the person and the organisation, as far as its issuer does.
        known_lifetime: seconds that this issuer's tokens are known to live, 0 if nothing is known;
            such a lifetime is allowed whatever the data's sensitivity.
        by_reference: whether its issuer was asked about it, as it says nothing by itself.
        encrypted: whether it came encrypted to this API.
        handles: what a revocation can name it by; empty where nothing is ever revoked.
        status: where its issuer publishes whether it still holds; None where it does not.
    """

    issuer: str
    subject: str | None
    client_id: str | None
    audience: tuple[str, ...]
    scopes: frozenset[str]
    issued_at: float
    expires_at: float
    not_before: float | None
    token_id: str | None
    confirmation: Claims | None
    key_thumbprint: str | None
    identity: Identity
    known_lifetime: float
    _members: dict[str, Any]
    by_reference: bool = False
    encrypted: bool = False
    handles: frozenset[bytes] = NO_HANDLES
    status: StatusReference | None = None

    @property
    def claims(self) -> Claims:
        """Every claim, read-only."""
        return Claims(self._members)

    @property
    def security_level(self) -> int:
        """How surely the person was identified, 1 to 4; 0 where the token does not say."""
        return self.identity.security_level

    @property
    def pid(self) -> PersonNumber | ForeignIdentifier | None:
        """The national identity number of the person who signed in, or None."""
        return self.identity.pid

    @property
    def hpr_number(self) -> HprNumber | None:
        """The person's number in the register of health personnel, or None."""
        return self.identity.hpr_number

    @property
    def organisation(self) -> Organisation | None:
        """For which organisation the client acts, or None."""
        return self.identity.organisation

    # Claims are personal data, and msgspec gives rich a repr of its own: neither shows them.
    def __repr__(self) -> str:
        """Show who issued it and until when it lives."""
        return f"AccessToken(issuer={self.issuer!r}, expires_at={self.expires_at})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("issuer", self.issuer), ("expires_at", self.expires_at)]
