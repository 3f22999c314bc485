"""What the attack tests share: one policy, keys made once, and the way a token is judged.

Everything goes through :meth:`Guard.check_blocking` with an ``Authorization`` header, as in
production. A key set is whatever a test says it is.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from portvakt.forge.tokens import TokenBuilder
from portvakt.guard.guard import Guard
from portvakt.http.request import HttpRequest
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.encoding import encode_base64url
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.signer import Signer
from portvakt.net.keys import FixedKeys
from portvakt.policy.decision import Decision
from portvakt.policy.issuer import TrustedIssuer
from portvakt.refusal import Code
from portvakt.testing.clock import FrozenClock

ISSUER: Final = "https://issuer.test"
AUDIENCE: Final = "test-api"
NOW: Final = 1_800_000_000.0
KID: Final = "key-1"


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """Return the one RSA key of all tests that sign with RSA: making one is slow.

    Its modulus lies well below the next power of two, so that some signature plus the modulus still
    fits into as many octets.
    """
    while True:
        key = rsa.generate_private_key(65537, 2048)
        if key.public_key().public_numbers().n < 3 << 2046:
            return key


@cache
def signer_for(alg: str, kid: str | None = KID) -> Signer:
    """Return the issuer's key for an algorithm."""
    return Signer(alg, kid, rsa_key()) if alg[1] == "S" and alg[0] in "RP" else new_signer(alg, kid)


def new_signer(alg: str, kid: str | None = KID) -> Signer:
    """Return a key that no other test has."""
    return Signer.generate(alg, kid)


def trusted(*algorithms: str, issuer: str = ISSUER, **policy: Any) -> TrustedIssuer:
    """Return what the API believes about an issuer."""
    return TrustedIssuer(
        issuer=issuer, audience=AUDIENCE, algorithms=frozenset(algorithms), **policy
    )


def guard_with(*keys: Mapping[str, Any], algorithms: tuple[str, ...], **policy: Any) -> Guard:
    """Return a guard that trusts one issuer with exactly these keys and algorithms."""
    issuer = trusted(*algorithms, **policy)
    jwks = JwkSet.from_object({"keys": list(keys)}, issuer.algorithms)
    return Guard(issuers=[issuer], keys=FixedKeys({issuer.issuer: jwks}), clock=FrozenClock(NOW))


@cache
def guard_for(alg: str) -> Guard:
    """Return the guard of an issuer with one algorithm and its key."""
    return guard_with(signer_for(alg).public_jwk(), algorithms=(alg,))


def honest(alg: str = "ES256", signer: Signer | None = None, **policy: Any) -> TokenBuilder:
    """Return an honest token that is not written yet."""
    return TokenBuilder(trusted(alg, **policy), signer or signer_for(alg), now=NOW)


def decide(guard: Guard, token: str) -> Decision:
    """Judge a token as a request that carries it is judged."""
    request = HttpRequest(method="GET", url="/", headers=(("Authorization", f"Bearer {token}"),))
    decision = guard.check_blocking(request)
    if not decision.admitted:
        assert decision.token is None
        assert decision.response is not None
        assert decision.response.status in {400, 401, 403, 503}
    return decision


def verdict(guard: Guard, token: str) -> Code | None:
    """Return why a token is refused; None: it is admitted."""
    decision = decide(guard, token)
    return None if decision.refusal is None else decision.refusal.code


def flaws(*keys: object, algorithms: tuple[str, ...] = tuple(ALGORITHMS)) -> list[str]:
    """Return why the keys of a set are not used."""
    return [key.reason for key in JwkSet.from_object({"keys": list(keys)}, algorithms).ignored]


def parts(token: str) -> tuple[str, str, str]:
    """Split an honest token."""
    header, payload, signature = token.split(".")
    return header, payload, signature


def uint(value: int) -> str:
    """Write a Base64urlUInt (RFC 7518 section 2)."""
    return encode_base64url(value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))
