"""Requests that are refused for their proof, reference, encryption or revocation, with canaries.

For tests/attacks/test_canary.py, which searches whatever comes out for what is planted here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from certificates import digest_of
from portvakt import Code, Guard, HttpRequest, Refused, Requirement, Unavailable
from portvakt.forge.proof_faults import PROOF_FAULTS
from portvakt.guard.parts import Parts
from portvakt.guard.possession import Possession
from portvakt.http.origin import Origin
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.jwe import Decryption, encrypt
from portvakt.oauth.dpop import DpopRules
from portvakt.oauth.dpop_nonce import Nonces
from portvakt.policy.routes import Route, Routes
from portvakt.stores.base import Replay, StoreError, Use
from portvakt.testing import FakeClient, FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portvakt.policy.issuer import TrustedIssuer
    from portvakt.policy.token import AccessToken

__all__ = ["CERTIFICATE", "SECRETS", "bound_cases"]

CERTIFICATE: Final = b"0\x0akanari-der"
NONCE_KEY: Final = b"kanari-nonce-key-of-more-than-32-octets"
KEY: Final = DecryptionKey.generate("ECDH-ES", "kanari-key")

#: What must not be seen either.
SECRETS: Final = [KEY.private_jwk()["d"], NONCE_KEY.decode()]


class Spent(Replay):
    """Says what a test wants of every proof."""

    def __init__(self, answer: bool | Exception) -> None:
        self._answer = answer

    def use_at_once(self, use: Use, /) -> bool:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    async def use(self, use: Use, /) -> bool:
        return self.use_at_once(use)


class Asked:
    """Stands in for whoever is asked about references."""

    def __init__(self, issuer: TrustedIssuer, error: Exception) -> None:
        self._issuer, self._error = issuer, error

    def issuer_for(self, _token: str) -> TrustedIssuer:
        return self._issuer

    def max_staleness(self, _issuer: TrustedIssuer) -> float:
        return 0.0

    def current(self, *_: object) -> AccessToken:
        raise self._error


class Stands:
    """Stands in for what is known of revoked tokens."""

    by_handle = True
    mirror = lists = events = None

    def __init__(self, error: Exception) -> None:
        self._error = error

    def clears(self, _token: AccessToken) -> bool:
        return False

    def current(self, _token: AccessToken) -> bool:
        return True

    def check(self, *_: object, **__: object) -> None:
        raise self._error


class Full:
    """Stands in for records that cannot be written."""

    def note(self, *_: object) -> None:
        pass

    def check(self) -> None:
        raise Unavailable(Code.RECORDS_UNAVAILABLE)


def bound_cases(
    issuer: FakeIssuer, claims: Mapping[str, Any], path: str, headers: tuple[tuple[str, str], ...]
) -> Iterator[tuple[Code, Guard, HttpRequest]]:
    """Yield a request for every code that is about a token's hands, its form or its end."""
    client = FakeClient(issuer)
    token = client.token(claims=claims)
    plain = issuer.token(claims=claims)

    def guard_of(replay: Replay | None = None, **parts: Any) -> Guard:
        made = issuer.guard()
        rules = DpopRules(origins=(Origin.parse("https://api.test"),), **parts.pop("rules", {}))
        possession = None if replay is None else Possession(rules, replay)
        constraint = parts.pop("constraint", "none" if replay is None else "dpop")
        demand = Requirement.of(
            sender_constraint=constraint, require_encryption=parts.pop("sealed", False)
        )
        rule = Route(path="/me/{pid}", methods=None, public=False, requirement=demand)
        return Guard(
            issuers=made.issuers.values(),
            keys=made.keys,
            routes=Routes([rule]),
            parts=Parts(possession=possession, **parts),
            clock=issuer.clock,
        )

    def bearer(credential: str, certificate: bytes | None = None) -> HttpRequest:
        sent = (("Authorization", f"Bearer {credential}"), *headers)
        return HttpRequest(method="GET", url=path, headers=sent, client_certificate=certificate)

    dpop = guard_of(Spent(answer=True))
    asking = guard_of(Spent(answer=True), rules={"nonces": Nonces((NONCE_KEY,), 300)})
    seen: set[Code] = set()
    for fault in PROOF_FAULTS:
        guard = asking if fault.code is Code.PROOF_NONCE else dpop
        proof = client.proof(token, url=path, nonce="kanari" if guard is asking else None)
        if fault.code not in seen and fault.applies(proof):
            seen.add(fault.code)
            nonce = "kanari-nonce" if guard is asking else None
            request = client.forged(fault.id, token, url=path, nonce=nonce)
            sent = (*request.headers, *headers)
            yield fault.code, guard, HttpRequest(method="GET", url=path, headers=sent)
    honest = client.request(token, url=path, headers=headers)
    yield Code.PROOF_REPLAYED, guard_of(Spent(answer=False)), honest
    full = StoreError("there is no room")
    yield Code.REPLAY_UNAVAILABLE, guard_of(Spent(answer=full)), honest
    yield Code.SCHEME_REFUSED, dpop, bearer(plain)

    certified = guard_of(constraint="mtls")
    bound = issuer.token(claims={**claims, "cnf": {"x5t#S256": digest_of(CERTIFICATE)}})
    yield Code.CERTIFICATE_MISSING, certified, bearer(bound)
    yield Code.CERTIFICATE_WRONG, certified, bearer(bound, CERTIFICATE + b"!")

    opening = guard_of(decryption=Decryption([KEY]))
    sealed = encrypt(plain, KEY.public_jwk())
    yield Code.DECRYPTION_FAILED, opening, bearer(sealed[:-8] + "AAAAAAAA")
    yield Code.ENCRYPTION_REFUSED, opening, bearer(f"e30.{sealed.partition('.')[2]}")
    yield Code.ENCRYPTION_REQUIRED, guard_of(sealed=True), bearer(plain)

    for code, error in (
        (Code.TOKEN_INACTIVE, Refused(Code.TOKEN_INACTIVE)),
        (Code.INTROSPECTION_UNAVAILABLE, Unavailable(Code.INTROSPECTION_UNAVAILABLE)),
    ):
        guard = guard_of(introspection=Asked(issuer.trusted, error))
        yield code, guard, bearer("kanari-reference-token")
    for code, error in (
        (Code.TOKEN_REVOKED, Refused(Code.TOKEN_REVOKED)),
        (Code.REVOCATION_UNAVAILABLE, Unavailable(Code.REVOCATION_UNAVAILABLE)),
    ):
        yield code, guard_of(standing=Stands(error)), bearer(plain)
    yield Code.RECORDS_UNAVAILABLE, guard_of(records=Full()), bearer(plain)
