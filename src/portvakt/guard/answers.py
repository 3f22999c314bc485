"""What comes out of a check: the decision, the answer that goes with it, and who is told."""

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from portvakt.guard.hints import ASKABLE, hints_for
from portvakt.http.request import HttpRequest
from portvakt.jose.claims import Claims
from portvakt.oauth.bearer import sends_proof
from portvakt.oauth.challenge import NO_HINTS, Challenges
from portvakt.policy.decision import Decision, Observer
from portvakt.policy.issuer import TrustedIssuer
from portvakt.policy.requirement import Requirement
from portvakt.policy.routes import Route
from portvakt.policy.sender_constraint import SenderConstraint
from portvakt.policy.token import AccessToken
from portvakt.refusal import Refusal

__all__ = ["Answers"]

_log: Final = logging.getLogger("portvakt")


class Answers:
    """Makes the decisions of one guard.

    Parameters:
        challenges: the answers to refused requests.
        issuers: whose tokens are accepted, by name.
        disclose: whether a refusal names the scope, level or age that is demanded.
        observers: who is told of every decision.
    """

    __slots__ = ("_challenges", "_disclose", "_issuers", "_observers")

    def __init__(
        self,
        challenges: Challenges,
        issuers: Mapping[str, TrustedIssuer],
        *,
        disclose: bool,
        observers: Iterable[Observer],
    ) -> None:
        self._challenges = challenges
        self._issuers = issuers
        self._disclose = disclose
        self._observers = tuple(observers)

    def admit(
        self,
        request: HttpRequest,
        route: Route,
        token: AccessToken | None,
        now: float,
        unconfirmed: tuple[str, ...] = (),
        headers: tuple[tuple[str, str], ...] = (),
        proof: Claims | None = None,
    ) -> Decision:
        """Let the request through, or answer it where its rule has an answer of its own."""
        decision = Decision(token, None, route, route.answer, now, unconfirmed, headers, proof)
        if self._observers:
            self._tell(request, decision)
        return decision

    def refuse(
        self,
        request: HttpRequest,
        route: Route | None,
        refusal: Refusal,
        now: float,
        requirement: Requirement | None = None,
        *,
        retry_after: int | None = None,
        nonce: str | None = None,
        token: AccessToken | None = None,
    ) -> Decision:
        """Keep the request out, and say what the caller may be told.

        Parameters:
            request: what was received.
            route: the rule for it, if one was found.
            refusal: why.
            now: when.
            requirement: what the API demanded on top of the rule.
            retry_after: in how many seconds it may be tried again.
            nonce: what the next proof must carry.
            token: the token that was verified, if one was.
        """
        demands = [] if route is None else [route.requirement]
        if requirement is not None:
            demands.append(requirement)
        hints = NO_HINTS
        if self._disclose and refusal.code in ASKABLE:
            acr_values = () if token is None else self._issuers[token.issuer].acr_values
            hints = hints_for(refusal.code, demands, acr_values)
        stated = {demand.sender_constraint for demand in demands}
        dpop: bool | None = SenderConstraint.DPOP in stated
        if not dpop and SenderConstraint.EITHER in stated:
            # Which one is taken, the endpoint says, and the request has not reached it.
            dpop = sends_proof(request) or None
        response = self._challenges.answer(refusal.code, hints, retry_after, dpop=dpop, nonce=nonce)
        decision = Decision(None, refusal, route, response, now)
        if self._observers:
            self._tell(request, decision)
        return decision

    def _tell(self, request: HttpRequest, decision: Decision) -> None:
        for observer in self._observers:
            try:
                observer(request, decision)
            except Exception as error:  # noqa: BLE001  an observer has no say in the decision
                _log.error("an observer failed: %s", type(error).__name__)
