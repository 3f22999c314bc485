"""What is wrong with a token: one row of the table of faults, and what a forger has.

:mod:`portvakt.forge.faults` is the table. Pure, like the builder that the faults are made with.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from msgspec import Struct

from portvakt.forge.tokens import TokenBuilder
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.signer import Signer
from portvakt.refusal import Code

__all__ = [
    "OTHER_API",
    "Applies",
    "Apply",
    "Fault",
    "Forgery",
    "claim_of",
    "claims",
    "header",
    "named",
    "needed",
    "throwaway",
    "unnamed",
    "without",
]

#: An API that no policy names.
OTHER_API: Final = "urn:portvakt:another-api"


@cache
def throwaway(alg: str, role: str) -> Signer:
    """Return a key that nobody trusts: one for each algorithm and role in this process.

    An RSA key takes tens of milliseconds to make; one that is never trusted may well be reused.
    """
    return Signer.generate(alg, role)


class Forgery(Struct, frozen=True):
    """What a forger has: keys of his own, and what the issuer publishes.

    Attributes:
        stranger: a key of his own, for the issuer's algorithm.
        outsider: a key for an algorithm that the policy does not allow; None if it allows all.
        public_key: the issuer's public key, as ``cryptography`` holds it.
        several_keys: whether the issuer publishes more than one key for its algorithm.
    """

    stranger: Signer
    outsider: Signer | None
    public_key: Any
    several_keys: bool

    @classmethod
    def against(
        cls, token: TokenBuilder, *, several_keys: bool = False, public_key: Any = None
    ) -> "Forgery":
        """Equip a forger with throwaway keys against the issuer of *token*.

        Parameters:
            token: an honest token.
            several_keys: whether the issuer publishes more than one key for its algorithm.
            public_key: the issuer's public key; that of the builder's signer by default.
        """
        return cls(
            throwaway(token.signer.alg, "stranger"),
            _outsider(token),
            token.signer.public_key if public_key is None else public_key,
            several_keys,
        )

    def __repr__(self) -> str:
        """Show whose keys these are, not the keys."""
        return f"Forgery(stranger={self.stranger!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("stranger", self.stranger)]


def _outsider(token: TokenBuilder) -> Signer | None:
    others = [row for row in ALGORITHMS.values() if row.name not in token.issuer.algorithms]
    if not others:
        return None
    signer = token.signer
    related = [row for row in others if row.kty == "RSA" == ALGORITHMS[signer.alg].kty]
    if related:
        # The issuer's own key, used in a way that the policy does not allow: the nearest miss.
        return Signer.from_jwk({**signer.private_jwk(), "alg": related[0].name})
    # RSA last: the others cost nothing to make.
    return throwaway(min(others, key=lambda row: row.kty == "RSA").name, "outsider")


Apply = Callable[[TokenBuilder, Forgery], str]
"""Makes the token out of an honest one."""

Applies = Callable[[TokenBuilder, Forgery], bool]
"""Whether it is a fault under this policy at all."""


def _always(_: TokenBuilder, __: Forgery) -> bool:
    return True


class Fault(Struct, frozen=True):
    """One way in which a token can be wrong.

    Attributes:
        id: its name, as in ``issuer.forged("expired")``.
        attack: its id in the catalogue of attacks.
        code: the reason for which a guard refuses it.
        title: what is wrong, for someone who is new to tokens.
        apply: makes the token out of an honest one; only where *applies* says yes.
        applies: whether it is a fault under this policy at all: where an issuer's tokens need no
            ``sub``, it is none to leave it out.
        keyless: whether a forger can make it who has no key of the issuer.
    """

    id: str
    attack: str
    code: Code
    title: str
    apply: Apply
    applies: Applies = _always
    keyless: bool = False


def claims(**claims: Any) -> Apply:
    """Set claims of an otherwise honest token."""
    return lambda token, _: token.claims(**claims).build()


def without(*names: str) -> Apply:
    """Leave claims out of an otherwise honest token."""
    return lambda token, _: token.without(*names).build()


def header(**parameters: Any) -> Apply:
    """Set header parameters of an otherwise honest token."""
    return lambda token, _: token.header(**parameters).build()


def named(setting: str, value: Any) -> Apply:
    """Set a claim by what it is for, as ``subject_claim``: issuers call it differently."""
    return lambda token, _: token.claims(**{claim_of(token, setting): value}).build()


def unnamed(setting: str) -> Apply:
    """Leave out a claim by what it is for."""
    return lambda token, _: token.without(claim_of(token, setting)).build()


def needed(setting: str) -> Applies:
    """Apply where the policy requires a claim, by what it is for."""
    return lambda token, _: claim_of(token, setting) in token.issuer.required_claims


def claim_of(token: TokenBuilder, setting: str) -> str:
    """Return what the issuer calls a claim; of several names for a scope, the first."""
    name: str | tuple[str, ...] = getattr(token.issuer, setting)
    return name if isinstance(name, str) else name[0]
