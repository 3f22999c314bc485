"""Forge proofs of possession against a guard's own rules, as the self test forges tokens."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol, TypeVar

from portvakt.errors import Problem
from portvakt.forge.fault import throwaway
from portvakt.forge.proof_faults import PROOF_FAULTS
from portvakt.forge.proofs import ProofBuilder
from portvakt.forge.tokens import TokenBuilder
from portvakt.guard.parts import Parts
from portvakt.guard.possession import NEVER_USED, Possession
from portvakt.http.request import HttpRequest
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.jwk import thumbprint
from portvakt.jose.jwk_set import JwkSet
from portvakt.net.keys import FixedKeys
from portvakt.policy.decision import Decision
from portvakt.policy.issuer import TrustedIssuer
from portvakt.policy.requirement import Requirement

__all__ = ["Provable", "proof_test"]


class Provable(Protocol):
    """A guard, as far as this file has to know it."""

    @property
    def issuers(self) -> Mapping[str, TrustedIssuer]:
        """Whose tokens are accepted, by name."""
        ...

    @property
    def parts(self) -> Parts:
        """What else the policy asks for."""
        ...

    def check_blocking(
        self, request: HttpRequest, requirement: Requirement | None = None
    ) -> Decision:
        """Judge a request."""
        ...


G = TypeVar("G", bound=Provable)

_BOUND: Final = Requirement.of(sender_constraint="dpop")


def proof_test(guard: G, alg: str, now: float) -> Iterator[Problem]:
    """Yield what is wrong with how a guard checks proofs: a forged one that got in, or none at all.

    Works on a twin of *guard*: same class and rules, and no memory of what was used.

    Parameters:
        guard: the guard to try; one that checks no proofs passes.
        alg: an algorithm of its first issuer.
        now: the time of the twin, in seconds since 1970.
    """
    possession = guard.parts.possession
    if possession is None:
        return
    rules = possession.rules
    issuer = next(iter(guard.issuers.values()))
    signer = throwaway(alg, "issuer-0")
    keys = JwkSet.from_object({"keys": [signer.public_jwk()]}, issuer.algorithms)
    make: Callable[..., G] = type(guard)
    twin = make(
        issuers=[issuer],
        keys=FixedKeys({issuer.issuer: keys}),
        parts=Parts(possession=Possession(rules, NEVER_USED)),
        clock=lambda: now,
    )
    # Of the algorithms for proofs, one whose keys are quick to make.
    quickest = min(rules.algorithms, key=lambda name: ALGORITHMS[name].kty == "RSA")
    holder = throwaway(quickest, "holder")
    bound = {"jkt": thumbprint(holder.public_jwk())}
    token = TokenBuilder(issuer, signer, now=now).claims(cnf=bound).build()
    proof = ProofBuilder(
        holder,
        method="GET",
        url=f"{rules.origins[0].text}/",
        token=token,
        now=now,
        nonce=None if rules.nonces is None else rules.nonces.make(now),
    )

    def judge(*proofs: str) -> Decision:
        sent = (("Authorization", f"DPoP {token}"), *(("DPoP", one) for one in proofs))
        return twin.check_blocking(HttpRequest(method="GET", url="/", headers=sent), _BOUND)

    refusal = judge(proof.build()).refusal
    if refusal is not None:
        why = ": ".join(filter(None, (refusal.code.value, refusal.detail)))
        yield Problem("dpop", f"no proof could ever pass: even an honest one is refused ({why})")
    for fault in PROOF_FAULTS:
        if fault.applies(proof) and judge(*fault.send(proof)).admitted:
            what = f"a forged proof got in ({fault.id}, {fault.attack}): {fault.title}"
            yield Problem("dpop", what)
