"""What comes out of a check: the decision, the answer that goes with it, and who is told."""

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from portvakt.clock import stopwatch
from portvakt.guard.hints import ASKABLE, hints_for
from portvakt.http.request import HttpRequest
from portvakt.oauth.bearer import sends_proof
from portvakt.oauth.challenge import NO_HINTS, Challenges
from portvakt.policy.decision import Decision, Observer
from portvakt.policy.issuer import TrustedIssuer
from portvakt.policy.requirement import Requirement
from portvakt.policy.routes import Route
from portvakt.policy.sender_constraint import SenderConstraint
from portvakt.policy.token import AccessToken
from portvakt.refusal import Refusal

if TYPE_CHECKING:
    # Threads and a queue, which most guards do not need.
    from portvakt.records.keeping import DecisionRecords

__all__ = ["Answers", "Sight"]

_log: Final = logging.getLogger("portvakt")


class Sight(Struct, frozen=True, gc=False):
    """What observers are told of a refused request, beside the refusal.

    Attributes:
        started: when it came, by the stopwatch; None where there are no observers.
        token: the token, if it was verified.
        remembered: whether that was before this request.
        again: whether there was a decision about this request before.
    """

    started: float | None
    token: AccessToken | None = None
    remembered: bool | None = None
    again: bool = False


class Answers:
    """Makes the decisions of one guard.

    Parameters:
        challenges: the answers to refused requests.
        issuers: whose tokens are accepted, by name.
        disclose: whether a refusal names the scope, level or age that is demanded.
        observers: who is told of every decision.
        records: where every decision is written down; None: nowhere.

    Attributes:
        watched: whether there is anybody to tell.
    """

    __slots__ = ("_challenges", "_disclose", "_issuers", "_observers", "_records", "watched")

    def __init__(
        self,
        challenges: Challenges,
        issuers: Mapping[str, TrustedIssuer],
        *,
        disclose: bool,
        observers: Iterable[Observer],
        records: "DecisionRecords | None" = None,
    ) -> None:
        self._challenges = challenges
        self._issuers = issuers
        self._disclose = disclose
        self._observers = tuple(observers)
        self._records = records
        self.watched: Final = records is not None or bool(self._observers)

    def admit_anyone(
        self, request: HttpRequest, route: Route, now: float, started: float, *, again: bool
    ) -> Decision:
        """Let a request through that needs no token, and tell the observers.

        Where its rule has an answer of its own, that is the answer.
        """
        seconds = stopwatch() - started
        decision = Decision(None, None, route, route.answer, now, seconds=seconds, again=again)
        self.tell(request, decision)
        return decision

    def refuse(
        self,
        request: HttpRequest,
        route: Route | None,
        refusal: Refusal,
        now: float,
        requirement: Requirement | None,
        sight: Sight,
        *,
        retry_after: int | None = None,
        nonce: str | None = None,
    ) -> Decision:
        """Keep the request out, and say what the caller may be told.

        Parameters:
            request: what was received.
            route: the rule for it, if one was found.
            refusal: why.
            now: when.
            requirement: what the API demanded on top of the rule.
            sight: what is told of it beside the verdict.
            retry_after: in how many seconds it may be tried again.
            nonce: what the next proof must carry.
        """
        started = sight.started
        issuer = None if sight.token is None else sight.token.issuer
        demands = [] if route is None else [route.requirement]
        if requirement is not None:
            demands.append(requirement)
        hints = NO_HINTS
        if self._disclose and refusal.code in ASKABLE:
            acr_values = () if issuer is None else self._issuers[issuer].acr_values
            hints = hints_for(refusal.code, demands, acr_values)
        stated = {demand.sender_constraint for demand in demands}
        dpop: bool | None = SenderConstraint.DPOP in stated
        if not dpop and SenderConstraint.EITHER in stated:
            # Which one is taken, the endpoint says, and the request has not reached it.
            dpop = sends_proof(request) or None
        response = self._challenges.answer(refusal.code, hints, retry_after, dpop=dpop, nonce=nonce)
        seconds = None if started is None else stopwatch() - started
        decision = Decision(
            None, refusal, route, response, now, (), (), None,
            issuer, sight.remembered, seconds, sight.again,
        )  # fmt: skip  # Every field by its place, as in the guard.
        if started is not None:
            self.tell(request, decision, sight.token)
        return decision

    def tell(
        self, request: HttpRequest, decision: Decision, token: AccessToken | None = None
    ) -> None:
        """Have a decision written down, and tell every observer of it.

        Parameters:
            request: what it is about.
            decision: the decision.
            token: for the records: the verified token of a request that was refused nevertheless.
        """
        if self._records is not None:
            self._records.note(request, decision, decision.token if token is None else token)
        for observer in self._observers:
            try:
                observer(request, decision)
            except Exception as error:  # noqa: BLE001  an observer has no say in the decision
                _log.error("an observer failed: %s", type(error).__name__)
