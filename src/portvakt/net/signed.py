"""What an issuer signs beside its tokens: of exactly one type, with a key of its own.

Nothing in it chooses where anybody goes: its header is looked up among the keys of an issuer of the
policy, as a token's is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portvakt.errors import Refused
from portvakt.jose.jws import MAX_TOKEN, parse
from portvakt.refusal import Code

if TYPE_CHECKING:
    from portvakt.jose.jwk import Jwk
    from portvakt.jose.jws import UnverifiedJws
    from portvakt.net.keys import KeySource
    from portvakt.policy.issuer import TrustedIssuer

__all__ = ["key_of", "take_apart"]


def take_apart(body: bytes, typ: str, longest: int = MAX_TOKEN) -> UnverifiedJws:
    """Take a compact serialization apart, and see that it is of one type. Verifies nothing.

    The type alone tells an issuer's lists and events from its tokens, so it must be there and be
    the very one (RFC 8725 section 3.11).

    Parameters:
        body: the octets as received, possibly hostile.
        typ: what its ``typ`` must be.
        longest: the most of them.

    Raises:
        Refused: at steps FORM to TYPE.
    """
    # Whatever is not ASCII is no base64url either, and is found there.
    jws = parse(body.decode("latin-1"), {}, longest)
    if jws.header.typ != typ:
        raise Refused(Code.TYPE_REFUSED, "typ is not what it must be")
    return jws


async def key_of(jws: UnverifiedJws, issuer: TrustedIssuer, keys: KeySource) -> Jwk:
    """Return the one key of *issuer* that must have signed it; runs at home.

    Parameters:
        jws: what is to be verified.
        issuer: whose it must be, and which algorithms it may be signed with.
        keys: where its keys are.

    Raises:
        Refused: ``algorithm_refused``, ``key_unknown`` or ``key_ambiguous``.
        Unavailable: if the keys cannot be had, or newer ones cannot where they are needed.
    """
    header = jws.header
    if header.alg not in issuer.algorithms:
        raise Refused(Code.ALGORITHM_REFUSED, "alg: the policy of this issuer does not allow it")
    found = keys.current(issuer, header) or await keys.fetch(issuer, header)
    return found.select(header.alg, header.kid)
