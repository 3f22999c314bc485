"""Wrong use that must not compile: checked by mypy, never run.

Each ``type: ignore`` names the error that mypy must find. If it no longer does, the ignore is
unused, and mypy says so: one type for each stage of trust is what makes a skipped check visible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portvakt import Decision, FixedKeys, Guard, HttpRequest, Requirement, TrustedIssuer
from portvakt.jose.jws import VerifiedJws, verify
from portvakt.policy.access_token import AccessToken, check_claims
from portvakt.policy.authorization import authorize

if TYPE_CHECKING:
    from portvakt.guard.steps import Candidate
    from portvakt.http.request import HttpRequest
    from portvakt.jose.jwk import Jwk
    from portvakt.jose.jwk_set import JwkSet
    from portvakt.jose.jws import UnverifiedJws


def unverified_is_not_verified(jws: UnverifiedJws, issuer: TrustedIssuer) -> AccessToken:
    return check_claims(jws, issuer, 0.0)  # type: ignore[arg-type]


def verified_is_not_an_access_token(
    jws: VerifiedJws, requirement: Requirement, request: HttpRequest
) -> None:
    authorize(jws, requirement, request, {}, 0.0)  # type: ignore[arg-type]


def a_candidate_is_not_an_access_token(
    candidate: Candidate, requirement: Requirement, request: HttpRequest
) -> None:
    authorize(candidate, requirement, request, {}, 0.0)  # type: ignore[arg-type]


def a_key_set_is_not_the_one_key(jws: UnverifiedJws, keys: JwkSet) -> VerifiedJws:
    return verify(jws, keys)  # type: ignore[arg-type]


def text_is_not_a_token(token: str, key: Jwk) -> VerifiedJws:
    return verify(token, key)  # type: ignore[arg-type]


def an_issuer_is_complete_or_not_at_all() -> TrustedIssuer:
    return TrustedIssuer(issuer="https://issuer.test")  # type: ignore[call-arg]


def an_access_token_does_not_change(token: AccessToken) -> None:
    token.scopes = frozenset({"everything"})  # type: ignore[misc]


def a_decision_may_hold_no_token(decision: Decision) -> str:
    return decision.token.issuer  # type: ignore[union-attr]


async def a_decision_must_be_waited_for(guard: Guard, request: HttpRequest) -> bool:
    return bool(guard.check(request).admitted)  # type: ignore[attr-defined]


def a_guard_trusts_nobody_by_default() -> Guard:
    return Guard(keys=FixedKeys({}))  # type: ignore[call-arg]


def a_key_does_not_change(key: Jwk) -> None:
    key.algorithms = ()  # type: ignore[misc]
