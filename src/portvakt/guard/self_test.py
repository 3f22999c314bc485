"""Forge tokens against a guard's own policy, before the first real one comes.

A policy file can be well formed and still let everyone in, or no one: through a fault in this code,
in a subclass, in a library that was exchanged. So a guard is tried when it is made, with the same
near misses that users' tests have (:mod:`portvakt.forge.faults`).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol, TypeVar

from portvakt.errors import ConfigurationError, Problem
from portvakt.forge.fault import Forgery, throwaway
from portvakt.forge.faults import FAULTS
from portvakt.forge.tokens import TokenBuilder
from portvakt.guard.parts import Parts
from portvakt.home import finish
from portvakt.http.request import HttpRequest
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.jwk_set import JwkSet
from portvakt.net.keys import FixedKeys, KeySource
from portvakt.policy.decision import Decision
from portvakt.policy.issuer import TrustedIssuer
from portvakt.policy.requirement import Requirement

__all__ = ["Testable", "self_test"]

#: 2027-01-15T08:00:00Z. Any time will do: tokens are made for it, and no clock is asked.
_NOW: Final = 1_800_000_000.0


class Testable(Protocol):
    """A guard, as far as this file has to know it: :mod:`portvakt.guard.guard` imports this one."""

    @property
    def issuers(self) -> Mapping[str, TrustedIssuer]:
        """Whose tokens are accepted, by name."""
        ...

    @property
    def keys(self) -> KeySource:
        """Where their keys come from."""
        ...

    @property
    def parts(self) -> Parts:
        """What else the policy asks for."""
        ...

    @property
    def realm(self) -> str:
        """The name of the API."""
        ...

    async def check(self, request: HttpRequest) -> Decision:
        """Judge a request."""
        ...

    def check_blocking(
        self, request: HttpRequest, requirement: Requirement | None = None
    ) -> Decision:
        """Judge a request."""
        ...


G = TypeVar("G", bound=Testable)


def self_test(guard: Testable) -> None:
    """Try every way in that a forger has, and the one that an honest client has.

    Works on twins of *guard*: same class and issuers, but without its routes, observers, clock and
    memory, so that nothing of the test remains. Fetches no keys: an issuer whose keys are not in
    memory is tried without them.

    Does not test routes, requirements, or whether the keys of the policy are the issuer's.

    Parameters:
        guard: the guard to try.

    Raises:
        ConfigurationError: naming each fault that got in, and each issuer whose honest tokens would
            be refused: a policy that admits no one is as wrong as one that admits everyone.
    """
    problems = [*_with_its_own_keys(guard), *_with_throwaway_keys(guard)]
    if guard.parts.possession is not None and guard.issuers:
        # (3) With its key, a proof gets in, and no near miss does. Only some guards take proofs.
        from portvakt.guard.proof_test import proof_test

        cheapest = _cheapest(next(iter(guard.issuers.values())))
        problems += proof_test(guard, cheapest, _NOW)
    if problems:
        raise ConfigurationError(problems)


def _with_its_own_keys(guard: Testable) -> Iterator[Problem]:
    """(1) Whoever has no key of the issuer does not get in."""
    known = {name: guard.keys.current(issuer) for name, issuer in guard.issuers.items()}
    empty = JwkSet.from_object({"keys": []}, ())
    twin = _twin(guard, FixedKeys({name: keys or empty for name, keys in known.items()}))
    for position, (name, issuer) in enumerate(guard.issuers.items()):
        keys = known[name]
        key = keys.keys[0] if keys is not None and keys.keys else None
        alg = _cheapest(issuer) if key is None else key.algorithms[0]
        token = TokenBuilder(issuer, throwaway(alg, "nobody"), now=_NOW).without_header("kid")
        if key is not None and key.kid is not None:
            token = token.header(kid=key.kid)
        forgery = Forgery.against(token, public_key=key.public_key if key is not None else None)
        yield from _forged(twin, position, token, forgery, keyless=True)


def _with_throwaway_keys(guard: Testable) -> Iterator[Problem]:
    """(2) With an issuer's key, an honest token gets in and no near miss does."""
    # Each has its own key, so that a token of one is never good for another whose name is like its.
    signers = {
        name: throwaway(_cheapest(issuer), f"issuer-{position}")
        for position, (name, issuer) in enumerate(guard.issuers.items())
    }
    sets = {
        name: JwkSet.from_object({"keys": [signer.public_jwk()]}, guard.issuers[name].algorithms)
        for name, signer in signers.items()
    }
    twin = _twin(guard, FixedKeys(sets))
    for position, (name, issuer) in enumerate(guard.issuers.items()):
        token = TokenBuilder(issuer, signers[name], now=_NOW)
        for decision in _judge(twin, token.build()):
            if decision.refusal is not None:
                why = ": ".join(
                    filter(None, (decision.refusal.code.value, decision.refusal.detail))
                )
                yield Problem(
                    f"issuer[{position}]",
                    f"no token could ever get in: even an honest one is refused ({why})",
                )
                break
        yield from _forged(twin, position, token, Forgery.against(token), keyless=False)


def _forged(
    twin: Testable, position: int, token: TokenBuilder, forgery: Forgery, *, keyless: bool
) -> Iterator[Problem]:
    for fault in FAULTS:
        if (fault.keyless or not keyless) and fault.applies(token, forgery):
            decisions = _judge(twin, fault.apply(token, forgery))
            if any(decision.admitted for decision in decisions):
                yield Problem(
                    f"issuer[{position}]",
                    f"a forged token got in ({fault.id}, {fault.attack}): {fault.title}",
                )


def _judge(twin: Testable, token: str) -> tuple[Decision, Decision]:
    """Ask both doors: a subclass may have changed one of them."""
    request = HttpRequest(method="GET", url="/", headers=(("Authorization", f"Bearer {token}"),))
    # All keys are in memory, so nothing has to be waited for.
    return twin.check_blocking(request), finish(twin.check(request))


def _twin(guard: G, keys: KeySource) -> G:
    """Make a guard of the same class for the same issuers, and with nothing else in common."""
    make: Callable[..., G] = type(guard)
    return make(issuers=guard.issuers.values(), keys=keys, realm=guard.realm, clock=lambda: _NOW)


def _cheapest(issuer: TrustedIssuer) -> str:
    """Return an algorithm of the policy whose keys are quick to make: not RSA, if it can be."""
    rows = (row for row in ALGORITHMS.values() if row.name in issuer.algorithms)
    return min(rows, key=lambda row: row.kty == "RSA").name
