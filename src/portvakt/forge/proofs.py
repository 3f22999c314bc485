"""A DPoP proof for one request, and then any change to it.

What can be wrong, :mod:`portvakt.forge.proof_faults` lists. Pure, like the rest of the forge.
"""

from collections.abc import Callable
from itertools import count
from typing import Any, Final

from msgspec import Struct

from portvakt.forge.compact import CompactBuilder
from portvakt.jose.signer import Signer
from portvakt.oauth.dpop_making import proof_claims, proof_header
from portvakt.refusal import Code

__all__ = ["ProofBuilder", "ProofFault", "Send"]

# A counter, not chance: no two builders share a jti, and a test run repeats itself.
_serial: Final = count(1)


class ProofBuilder(CompactBuilder):
    """An honest proof for one request, to be changed at will. Immutable.

    Each method returns a new builder and leaves this one as it was::

        honest = ProofBuilder(signer, method="GET", url=url, token=token, now=clock())
        old = honest.claims(iat=clock() - 60).build()

    Parameters:
        signer: the key of the client, to which the token is bound.
        method: the method of the request.
        url: its absolute URL.
        token: the access token that goes with it.
        now: seconds since 1970; the proof is made then.
        nonce: the last nonce of the server, if it gives any.

    Attributes:
        signer: the key of the client, also after :meth:`signed_by`.
        method, url, token, now, nonce: what it was made with.
    """

    __slots__ = ("method", "nonce", "now", "signer", "token", "url")

    def __init__(
        self,
        signer: Signer,
        *,
        method: str,
        url: str,
        token: str,
        now: float,
        nonce: str | None = None,
    ) -> None:
        claims = proof_claims(
            method=method,
            url=url,
            token=token,
            nonce=nonce,
            token_id=f"test-proof-{next(_serial)}",
            issued_at=now,
        )
        super().__init__(proof_header(signer), claims, signer)
        self.signer: Final = signer
        self.method: Final = method
        self.url: Final = url
        self.token: Final = token
        self.now: Final = now
        self.nonce: Final = nonce

    def by(self, signer: Signer) -> "ProofBuilder":
        """Return an honest proof of another client for the same request."""
        return ProofBuilder(
            signer,
            method=self.method,
            url=self.url,
            token=self.token,
            now=self.now,
            nonce=self.nonce,
        )

    def jwk(self, /, **members: Any) -> "ProofBuilder":
        """Set members of the key in the header."""
        return self.header(jwk={**proof_header(self.signer)["jwk"], **members})

    def __repr__(self) -> str:
        """Show for which method: a URL may name a person, and the token is one."""
        return f"ProofBuilder({self.method!r}, alg={self.signer.alg})"


Send = Callable[[ProofBuilder], tuple[str, ...]]
"""Makes the DPoP headers of a request, mostly one, out of an honest proof."""


def _always(_: ProofBuilder) -> bool:
    return True


class ProofFault(Struct, frozen=True):
    """One way in which what proves possession can be wrong.

    Attributes:
        id: its name.
        attack: its id in the catalogue of attacks.
        code: the reason for which a guard refuses it.
        title: what is wrong, for someone who is new to proofs.
        send: makes the DPoP headers out of an honest proof; only where *applies* says yes.
        applies: whether it is a fault at all: where no nonce is asked for, none may be missing.
        helseid: what HelseID's Test Token Service calls it; None if it cannot make it.
    """

    id: str
    attack: str
    code: Code
    title: str
    send: Send
    applies: Callable[[ProofBuilder], bool] = _always
    helseid: str | None = None
