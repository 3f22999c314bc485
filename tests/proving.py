"""What the tests of proofs share: one API behind proofs, a client with a key, and a judge."""

from functools import cache
from typing import Any, Final

from judging import signer_for
from portvakt.errors import Refused
from portvakt.forge.proofs import ProofBuilder
from portvakt.http.origin import Origin
from portvakt.jose.jwk import thumbprint
from portvakt.jose.signer import Signer, public_members
from portvakt.oauth.dpop import DpopRules, Proof, ProofReader
from portvakt.oauth.dpop_nonce import Nonces
from portvakt.refusal import Code

NOW: Final = 1_800_000_000.0
TOKEN: Final = "test.access.token-of-some-issuer"
PUBLIC: Final = "https://api.test"
#: A second origin, behind a proxy that takes its base path away.
BEHIND: Final = "https://gateway.test:8443/journal"
PATH: Final = "/patients/17"
NONCES: Final = Nonces((b"n" * 32,))

#: A headers' worth of what else a request carries.
OTHERS: Final = (("Host", "attacker.invalid"), ("Authorization", f"DPoP {TOKEN}"))


def rules(**more: Any) -> DpopRules:
    """Return what proofs must be like at the API."""
    origins = (Origin.parse(PUBLIC), Origin.parse(BEHIND))
    return DpopRules(**{"origins": origins, **more})


def jkt_of(signer: Signer) -> str:
    """Return the thumbprint of a client's key, as a token that is bound to it has it."""
    return thumbprint(public_members(signer.public_key))


def honest(alg: str = "ES256", *, signer: Signer | None = None, **more: Any) -> ProofBuilder:
    """Return an honest proof that is not written yet."""
    given = {"method": "GET", "url": PUBLIC + PATH, "token": TOKEN, "now": NOW}
    return ProofBuilder(signer or signer_for(alg), **{**given, **more})


@cache
def reader() -> ProofReader:
    """Return the reader of most tests. What it remembers must never change a verdict."""
    return ProofReader(rules())


def read(*proofs: str, by: ProofReader | None = None, **more: Any) -> Proof:
    """Read the proof of a request; parameters as of :meth:`ProofReader.read`."""
    given = {
        "method": "GET",
        "target": PATH,
        "token": TOKEN,
        "thumbprint": jkt_of(signer_for("ES256")),
        "now": NOW,
    }
    headers = (*OTHERS, *(("DPoP", proof) for proof in proofs))
    return (by or reader()).read(headers, **{**given, **more})


def verdict(*proofs: str, by: ProofReader | None = None, **more: Any) -> Code | None:
    """Return why a request with these proofs is refused; None: it is not.

    The one place in which attacks are judged, so that they can be sent to something larger.
    """
    try:
        read(*proofs, by=by, **more)
    except Refused as refused:
        return refused.refusal.code
    return None
