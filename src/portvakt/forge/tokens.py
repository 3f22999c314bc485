"""An honest token for one issuer's policy, and then any change to it.

The builder knows what an issuer would write, so that a forgery is wrong in one thing and right in
everything else. It is pure: the time is given, and nothing is random but the keys.
"""

from collections.abc import Iterable
from itertools import count
from math import floor
from typing import Any, Final

from portvakt.forge.compact import CompactBuilder
from portvakt.forge.identities import honest_identity
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


class TokenBuilder(CompactBuilder):
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

    __slots__ = ("issuer", "now", "signer")

    def __init__(
        self, issuer: TrustedIssuer, signer: Signer, *, now: float, scopes: Iterable[str] = ()
    ) -> None:
        super().__init__(_header(issuer, signer), _claims(issuer, now, scopes), signer)
        self.issuer: Final = issuer
        self.signer: Final = signer
        self.now: Final = now

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
