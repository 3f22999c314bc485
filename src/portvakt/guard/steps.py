"""The pure steps of a token's first sight: whose it says it is, whether it is, and in whose hands."""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from portvakt.errors import Refused
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.jwk import JwkSet
from portvakt.jose.jws import KnownHeaders, UnverifiedJws, parse, verify
from portvakt.policy.access_token import AccessToken, check_claims
from portvakt.policy.issuer import TrustedIssuer
from portvakt.refusal import Code

__all__ = ["Candidate", "authenticate", "confirm", "resolve_issuer"]


class Candidate(Struct, frozen=True):
    """A token that names a trusted issuer. Whether that issuer wrote it, nobody knows yet.

    Attributes:
        issuer: the policy it will be judged by.
        unverified: the token taken apart.
    """

    issuer: TrustedIssuer
    unverified: UnverifiedJws


class _UnverifiedIssuer(Struct):
    """The one claim that is looked at before the signature, to choose whose keys to try."""

    iss: str


_peek: Final = msgspec.json.Decoder(_UnverifiedIssuer).decode


def resolve_issuer(
    token: str, issuers: Mapping[str, TrustedIssuer], known: KnownHeaders
) -> Candidate:
    """Take a token apart and find the policy of the issuer it names, by exact look-up.

    Nothing is fetched for an issuer that is not in the policy, and nothing the token says is
    believed: the claim is only the key of a map, and is checked again once it is verified.

    Raises:
        Refused: at steps FORM to ALGORITHM.
    """
    jws = parse(token, known)
    try:
        name = _peek(jws.payload).iss
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Refused(Code.ISSUER_MISSING, "no readable iss: a string in a JSON object") from None
    issuer = issuers.get(name)
    if issuer is None:
        raise Refused(Code.ISSUER_UNKNOWN, "iss is not, character by character, a trusted issuer")
    header = jws.header
    if header.typ not in issuer.types:
        raise Refused(Code.TYPE_REFUSED, "typ is not one that this issuer's access tokens have")
    if header.alg not in issuer.algorithms:
        raise _algorithm_refused(header.alg)
    return Candidate(issuer, jws)


def _algorithm_refused(alg: str) -> Refused:
    if alg.strip("\0 ").lower() == "none":
        return Refused(Code.ALGORITHM_NONE, "alg is none: the token is not signed at all")
    known = "the policy of this issuer does not allow it" if alg in ALGORITHMS else "unknown here"
    return Refused(Code.ALGORITHM_REFUSED, f"alg: {known}")


def authenticate(candidate: Candidate, keys: JwkSet, now: float) -> AccessToken:
    """Verify the signature with exactly one key of the issuer, then check every claim.

    Raises:
        Refused: at steps KEY to SCOPE.
    """
    jws = candidate.unverified
    key = keys.select(jws.header.alg, jws.header.kid)
    return check_claims(verify(jws, key), candidate.issuer, now)


def confirm(token: AccessToken) -> None:
    """Check that a token is in the right hands.

    A token with ``cnf`` is bound to a key, and nothing here can check possession yet: it is refused,
    never taken for a bearer token (RFC 9449 section 7.2, RFC 8705 section 3, RFC 7800).

    Raises:
        Refused: ``confirmation_unmet``.
    """
    if token.confirmation is not None:
        raise Refused(Code.CONFIRMATION_UNMET, "a bound token was sent as a bearer token")
