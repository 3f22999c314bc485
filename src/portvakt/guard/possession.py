"""Whose hands a token is in: its proof is checked, and then spent so that nobody uses it again."""

from typing import Final

from portvakt.clock import Clock
from portvakt.errors import Refused, Unavailable
from portvakt.guard.steps import binding_of
from portvakt.home import Elsewhere
from portvakt.http.request import HttpRequest
from portvakt.oauth.dpop import DpopRules, Proof, ProofReader
from portvakt.oauth.mtls import confirm_certificate
from portvakt.policy.token import AccessToken
from portvakt.refusal import Code
from portvakt.stores.base import Replay, StoreError, Use

__all__ = ["NEVER_USED", "Possession"]

#: Seconds for which a proof is remembered beyond the time in which any guard would take it: the
#: clocks of several guards differ, and one of them removes what another still has to know (RPL-03).
_MARGIN: Final = 10.0


class Possession:
    """Checks proofs of possession (RFC 9449), each of which serves once.

    Parameters:
        rules: what a proof must be.
        replay: where the proofs that were used are remembered.

    Attributes:
        rules: what a proof must be.
    """

    __slots__ = ("_max_age", "_max_ahead", "_memory", "_nonces", "_reader", "_replay", "rules")

    def __init__(self, rules: DpopRules, replay: Replay) -> None:
        self.rules: Final = rules
        self._reader = ProofReader(rules)
        self._nonces = rules.nonces
        self._replay = replay
        self._max_age, self._max_ahead = rules.max_age, rules.max_ahead
        self._memory: Final = rules.max_age + _MARGIN

    def confirm(
        self, token: AccessToken, credential: str, request: HttpRequest, now: float
    ) -> Proof:
        """Check that the request comes with a proof of the key that the token is bound to.

        Does not check that the proof was never used: :meth:`spend` does, when nothing else refuses
        the request any more (DPOP-17).

        Parameters:
            token: a verified token.
            credential: its characters as they were sent.
            request: the request that carries it.
            now: seconds since 1970.

        Raises:
            Refused: at step CONFIRMATION.
        """
        methods = binding_of(token)
        if methods.key is None:
            raise Refused(Code.BINDING_REQUIRED, "the token is not bound to the key of a proof")
        if methods.certificate is not None:
            confirm_certificate(methods.certificate, request.client_certificate)
        return self._reader.read(
            request.headers,
            method=request.method,
            target=request.url,
            token=credential,
            thumbprint=methods.key,
            now=now,
        )

    async def spend(self, proof: Proof, now: float, elsewhere: Elsewhere, clock: Clock) -> None:
        """Use a proof up.

        Parameters:
            proof: one that :meth:`confirm` returned.
            now: when the request came, in seconds since 1970.
            elsewhere: how the caller waits.
            clock: what time it is when the proof has been used up.

        Raises:
            Refused: ``proof_replayed``; ``proof_time`` if the request waited until the proof was
                too old, for an issuer, a register or the store itself.
            Unavailable: ``replay_unavailable``, if nobody knows, or there is no room.
        """
        use = Use(
            proof.thumbprint,
            proof.token_id_digest,
            proof.issued_at - self._max_ahead,
            proof.issued_at + self._memory,
            now,
        )
        try:
            fresh = self._replay.use_at_once(use)
            if fresh is None:
                fresh = await elsewhere(self._replay.use, use)
        except StoreError as error:
            raise Unavailable(
                Code.REPLAY_UNAVAILABLE, error.reason, retry_after=error.retry_after
            ) from None
        if fresh is not True:
            raise Refused(Code.PROOF_REPLAYED, "a proof with this jti and key was used before")
        # What the store said holds for as long as it remembers a first use: a request that waited
        # longer would be told that nobody used the proof (RPL-03).
        if not clock() <= proof.issued_at + self._max_age:
            raise Refused(Code.PROOF_TIME, "the request waited until its proof was too old")

    def nonce(self, now: float) -> str | None:
        """Return what the next proof must carry; None if proofs need no nonce."""
        return None if self._nonces is None else self._nonces.make(now)

    def headers(self, proof: Proof, now: float) -> tuple[tuple[str, str], ...]:
        """Return what to add to the API's answer: a newer nonce, if there is one (section 8.2).

        An answer with one should not be stored by any cache, which would give it to a later request
        when it is old; what the API itself says of caches stays.
        """
        if self._nonces is None:
            return ()
        newest = self._nonces.make(now)
        if proof.claims.get("nonce") == newest:
            return ()
        return (("DPoP-Nonce", newest), ("Cache-Control", "no-store"))


class _NeverUsed(Replay):
    """Says of every proof that it was never used, and remembers none: to rehearse, not to serve."""

    def use_at_once(self, use: Use, /) -> bool:  # noqa: ARG002  the port
        return True

    async def use(self, use: Use, /) -> bool:
        return self.use_at_once(use)


#: For whoever explains what would become of a request.
NEVER_USED: Final[Replay] = _NeverUsed()
