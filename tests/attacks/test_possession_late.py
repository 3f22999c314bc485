"""RPL-03: a request that had to wait spends its proof late, when it may be forgotten already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from portvakt import Code, Guard, Requirement
from portvakt.guard.parts import Parts
from portvakt.guard.possession import Possession
from portvakt.http.origin import Origin
from portvakt.net.keys import KeySource
from portvakt.oauth.dpop import DpopRules
from portvakt.stores.memory import MemoryStore
from portvakt.testing import FakeClient, FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Callable

    from portvakt.jose.header import Header
    from portvakt.jose.jwk_set import JwkSet
    from portvakt.policy.issuer import TrustedIssuer

BOUND: Final = Requirement.of(sender_constraint="dpop")


class SlowKeys(KeySource):
    """Keys that have to be fetched, as slowly as a test says."""

    def __init__(self, keys: JwkSet) -> None:
        self.keys = keys
        self.meanwhile: Callable[[], object] | None = None

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet | None:
        return self.keys if self.meanwhile is None else None

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        meanwhile, self.meanwhile = self.meanwhile, None
        assert meanwhile is not None
        meanwhile()
        return self.keys


class Late:
    """A guard whose clock goes on while a request waits for keys."""

    def __init__(self) -> None:
        self.issuer = FakeIssuer()
        self.client, self.other = FakeClient(self.issuer), FakeClient(self.issuer)
        self.token, self.others = self.client.token(), self.other.token()
        made, clock = self.issuer.guard(), self.issuer.clock
        (trusted,) = made.issuers.values()
        keys = made.keys.current(trusted)
        assert keys is not None
        self.keys = SlowKeys(keys)
        self.guard = Guard(
            issuers=[trusted],
            keys=self.keys,
            parts=Parts(
                possession=Possession(
                    DpopRules(origins=(Origin.parse("https://api.test"),)),
                    MemoryStore(capacity=100, per_owner=100, clock=clock),
                )
            ),
            clock=clock,
        )
        clock.advance(60)

    def verdict(self, token: str, proof: str | None = None) -> Code | None:
        client = self.client if token is self.token else self.other
        decision = self.guard.check_blocking(client.request(token, proof=proof), BOUND)
        return None if decision.refusal is None else decision.refusal.code

    def waits(self, seconds: float) -> Callable[[], object]:
        def meanwhile() -> None:
            self.issuer.clock.advance(seconds)
            # Whoever comes in the meantime, and makes the store forget what has expired.
            assert self.verdict(self.others) is None

        return meanwhile


@pytest.mark.attack("RPL-03", "DPOP-16")
@pytest.mark.parametrize("waits", [5, 9.9, 10, 11, 15, 60])
def test_a_request_that_waited_is_not_admitted_with_a_proof_that_was_forgotten(
    waits: float,
) -> None:
    late = Late()
    proof = late.client.proof(late.token).build()
    assert late.verdict(late.token, proof) is None
    # The thief's request comes while the proof is just in time, and then waits for keys.
    late.issuer.clock.advance(30)
    late.keys.meanwhile = late.waits(waits)
    assert late.verdict(late.token, proof) in {Code.PROOF_REPLAYED, Code.PROOF_TIME}
    assert late.verdict(late.token) is None


@pytest.mark.twin("RPL-03")
def test_a_request_that_waited_is_admitted_with_a_proof_that_is_still_in_time() -> None:
    late = Late()
    proof = late.client.proof(late.token).build()
    late.keys.meanwhile = late.waits(30)
    assert late.verdict(late.token, proof) is None
    assert late.verdict(late.token, proof) is Code.PROOF_REPLAYED
