"""Make a DPoP proof at the client (RFC 9449 section 4.2)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from portvakt.errors import ConfigurationError
from portvakt.http.origin import normalised
from portvakt.http.url import RefusedUrl
from portvakt.jose.signer import Signer, public_members, sign_compact
from portvakt.oauth.dpop import PROOF_TYPE, token_hash

__all__ = ["make_proof", "proof_claims", "proof_header"]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def make_proof(
    signer: Signer,
    *,
    method: str,
    url: str,
    token: str | None = None,
    nonce: str | None = None,
    token_id: str,
    issued_at: float,
    claims: Mapping[str, Any] = _NOTHING,
) -> str:
    """Return a proof for one request: the value of its ``DPoP`` header.

    Pure: time and chance are given. Does not check that the key is strong, nor that its algorithm
    is one that the server accepts.

    Parameters:
        signer: the key that the token is, or will be, bound to.
        method: the method of the request.
        url: its absolute URL; query and fragment are left out of the proof.
        token: the access token that goes with it; None in a request for a token.
        nonce: the last nonce that this very server gave, if it gave one.
        token_id: ``jti``: random, and never used before with this key.
        issued_at: seconds since 1970.
        claims: further claims, which servers may ignore.

    Raises:
        ConfigurationError: if the URL is none, or *claims* has a claim of the proof itself.
    """
    own = proof_claims(
        method=method, url=url, token=token, nonce=nonce, token_id=token_id, issued_at=issued_at
    )
    taken = sorted(own.keys() & claims)
    if taken:
        raise ConfigurationError(f"a proof states {', '.join(taken)} itself")
    return sign_compact(proof_header(signer), {**own, **claims}, signer)


def proof_header(signer: Signer) -> dict[str, Any]:
    """Return the header of every proof of one key."""
    return {"typ": PROOF_TYPE, "alg": signer.alg, "jwk": public_members(signer.public_key)}


def proof_claims(
    *,
    method: str,
    url: str,
    token: str | None,
    nonce: str | None,
    token_id: str,
    issued_at: float,
) -> dict[str, Any]:
    """Return the claims of a proof; parameters and errors as of :func:`make_proof`."""
    try:
        target = normalised(url)
    except RefusedUrl as flaw:
        raise ConfigurationError(f"no proof can be made for this URL: {flaw}") from None
    claims: dict[str, Any] = {"jti": token_id, "htm": method, "htu": target, "iat": issued_at}
    if token is not None:
        claims["ath"] = token_hash(token)
    if nonce is not None:
        claims["nonce"] = nonce
    return claims
