"""Whether what was admitted is good still: for connections that outlive one answer (HTTP-16).

A request is judged once, when it comes. A WebSocket, or a stream of events, goes on from there; so
whoever holds it open asks here again, as often as :meth:`Lasting.look_again_in` says. Nothing is
verified again and no demand is judged anew: what can change is the time and what is revoked.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from math import inf
from typing import TYPE_CHECKING, Final

from portvakt.clock import stopwatch
from portvakt.errors import Refused, Unavailable
from portvakt.guard.answers import Sight
from portvakt.home import finish
from portvakt.refusal import Code, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from portvakt.clock import Clock
    from portvakt.guard.answers import Answers
    from portvakt.guard.parts import Parts
    from portvakt.home import Home
    from portvakt.http.request import HttpRequest
    from portvakt.policy.decision import Decision
    from portvakt.policy.issuer import TrustedIssuer
    from portvakt.policy.requirement import Requirement
    from portvakt.policy.token import AccessToken

__all__ = ["Lasting"]

_log: Final = logging.getLogger("portvakt")

#: Seconds between two looks at most. Clocks are set and machines are suspended, and a timer knows
#: nothing of either.
_LOOK_EVERY: Final = 1.0

#: Seconds after which an issuer is asked again about a reference token, if the policy allows its
#: answers no age at all: it cannot be asked all the time.
_ASK_EVERY: Final = 5.0


class Lasting(ABC):
    """What a guard says of those whom it admitted earlier.

    Attributes:
        issuers: whose tokens are accepted, by name.
        parts: what else its policy asks for.
        clock: what time it is.
        home: where it does its input and output.
    """

    issuers: Mapping[str, TrustedIssuer]
    parts: Parts
    clock: Clock
    home: Home
    _answers: Answers

    def lasts_until(self, decision: Decision) -> float:
        """Return when an admission ends at the latest, in seconds since 1970.

        It is ``exp`` and the issuer's leeway: in the same moment a request would be refused. An
        admission without a token has no end.
        """
        token = decision.token
        return inf if token is None else token.expires_at + self.issuers[token.issuer].leeway

    def still_good(self, decision: Decision, demands: Iterable[Requirement] = ()) -> Refusal | None:
        """Return why what was admitted would not be admitted now; None if it would. Never waits.

        Looks at the time and at what is revoked, as far as that is known here. Does not check
        again signature, scopes or the route's other demands, nor what registers say; and does not
        ask about a reference token: :meth:`ask_again` does.

        Parameters:
            decision: what this guard admitted. Without a token it stays as it is.
            demands: what was demanded beside the rule for the request: old news has to do for
                each of them (``unsafe_on_stale``).
        """
        token = decision.token
        if token is None:
            return decision.refusal
        try:
            now = self.clock()
            if not now < token.expires_at + self.issuers[token.issuer].leeway:
                return Refusal(Code.TOKEN_EXPIRED, "expired while the connection was open")
            standing = self.parts.standing
            if standing is not None and not standing.clears(token):
                stale = decision.route is not None and decision.route.requirement.unsafe_on_stale
                for demand in demands:
                    stale = stale and demand.unsafe_on_stale
                standing.check(token, now, admit_stale=stale)
        except (Refused, Unavailable) as found:
            return found.refusal
        except Exception as error:  # noqa: BLE001  a fault of ours must not keep anyone in
            _log.error("internal error, connection ended: %s", type(error).__name__)
            return Refusal(Code.INTERNAL_ERROR)
        return None

    def look_again_in(self) -> float:
        """Return after how many seconds at most :meth:`still_good` must be asked again.

        **The bound.** What is revoked holds for requests within the policy's ``max_staleness``, and
        for whoever asks as often as this says just as well. Take the last look that found nothing:
        the mirror's last good catch-up had begun before the revocation was written, or it would be
        in it. The next look comes before that catch-up is *max_staleness* old, or in that moment:
        the mirror then has the revocation, or is too old and nobody stays.
        """
        standing = self.parts.standing
        return _LOOK_EVERY if standing is None else min(_LOOK_EVERY, standing.look_again_in())

    def ask_again_in(self, decision: Decision) -> float:
        """Return after how many seconds :meth:`ask_again` is due; infinity: never.

        What a reference token's issuer says of it serves for as long as the policy says.
        """
        token, introspection = decision.token, self.parts.introspection
        if token is None or not token.by_reference or introspection is None:
            return inf
        if decision.route is not None and decision.route.requirement.asked_anew:
            return _ASK_EVERY
        return introspection.max_staleness(self.issuers[token.issuer]) or _ASK_EVERY

    async def ask_again(self, request: HttpRequest, decision: Decision) -> Refusal | None:
        """Ask the issuer of a reference token whether it is good still.

        Parameters:
            request: the request that was admitted.
            decision: what became of it.
        """
        token = decision.token
        if token is None:
            return decision.refusal
        try:
            now = self.clock()
            found, _ = await self._ask_again(token, request, now)
            if not now < found.expires_at + self.issuers[found.issuer].leeway:
                return Refusal(Code.TOKEN_EXPIRED, "expired while the connection was open")
        except (Refused, Unavailable) as refusal:
            return refusal.refusal
        except Exception as error:  # noqa: BLE001  as above
            _log.error("internal error, connection ended: %s", type(error).__name__)
            return Refusal(Code.INTERNAL_ERROR)
        return None

    def ask_again_blocking(self, request: HttpRequest, decision: Decision) -> Refusal | None:
        """Do what :meth:`ask_again` does, from code without an event loop."""
        return finish(self.home.blocked(self.ask_again, request, decision))

    @abstractmethod
    async def _ask_again(
        self, token: AccessToken, request: HttpRequest, now: float
    ) -> tuple[AccessToken, bool]:
        """Return what the issuer of an admitted reference token says of it by now."""

    def end(self, request: HttpRequest, decision: Decision, refusal: Refusal) -> Decision:
        """Return the decision that ends what was admitted; observers are told of it like of any.

        Parameters:
            request: the request that was admitted.
            decision: what became of it.
            refusal: what :meth:`still_good` or :meth:`ask_again` says.
        """
        now = decision.at
        try:
            now = self.clock()
        except Exception as error:  # noqa: BLE001  as above
            _log.error("internal error, connection ended: %s", type(error).__name__)
        started = stopwatch() if self._answers.watched else None
        sight = Sight(started, decision.token, decision.remembered, again=True)
        return self._answers.refuse(request, decision.route, refusal, now, None, sight)
