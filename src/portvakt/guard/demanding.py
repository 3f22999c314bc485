"""What an endpoint demands of a request that a check has already admitted."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from portvakt.clock import stopwatch
from portvakt.errors import ConfigurationError, Refused, Unavailable
from portvakt.guard.answers import Sight
from portvakt.guard.lifecycle import Lifecycle
from portvakt.guard.steps import asks_enough, refuse_other_hands, satisfy
from portvakt.home import finish
from portvakt.oauth.bearer import read_credential
from portvakt.policy.decision import Decision
from portvakt.policy.sender_constraint import agreed
from portvakt.refusal import Code

if TYPE_CHECKING:
    from portvakt.guard.answers import Answers
    from portvakt.guard.questions import Confirmation
    from portvakt.guard.standing import Standing
    from portvakt.home import Elsewhere
    from portvakt.http.forwarded import Proxies
    from portvakt.http.request import HttpRequest
    from portvakt.net.introspection import Introspection
    from portvakt.policy.access_token import AccessToken
    from portvakt.policy.requirement import Requirement
    from portvakt.policy.routes import Route

__all__ = ["Demanding"]


class Demanding(Lifecycle):
    """A guard's further demands, once its check has admitted a request."""

    _answers: Answers
    _watched: bool
    _proxies: Proxies | None
    _introspection: Introspection | None
    _standing: Standing | None
    _confirm: Confirmation | None

    @abstractmethod
    def check_parts(self, requirement: Requirement) -> None:
        """Raise ConfigurationError if there is not what a demand asks for."""

    @abstractmethod
    async def _first_sight(
        self, credential: str, now: float, elsewhere: Elsewhere, *, anew: bool
    ) -> tuple[AccessToken, bool]: ...

    @abstractmethod
    def _decide_against(
        self,
        error: Exception,
        request: HttpRequest,
        route: Route | None,
        now: float,
        requirement: Requirement | None,
        sight: Sight,
    ) -> Decision: ...

    def require(
        self, request: HttpRequest, decision: Decision, requirement: Requirement
    ) -> Decision:
        """Demand more of a request whose token was already admitted; verifies nothing again.

        Parameters:
            request: the request that was judged.
            decision: what :meth:`check` made of it.
            requirement: what is demanded in addition.
        """
        if requirement.registers:
            raise ConfigurationError("require() cannot wait for registers: call demand()")
        if self._introspection is not None and not asks_enough(decision.route, requirement):
            raise ConfigurationError("require() cannot wait for an issuer: call demand()")
        return finish(self.demand(request, decision, requirement))

    async def demand(
        self, request: HttpRequest, decision: Decision, requirement: Requirement
    ) -> Decision:
        """Do what :meth:`require` does, and wait for registers where the requirement names some.

        Data of high sensitivity has the issuer of a reference token asked anew here, unless the
        rule for the request did: the token of the decision that comes out is what it says now.

        If nothing changes, the decision that comes out is the one that went in, and observers are
        told nothing. A new one they are told, marked as one about the same request.
        """
        started = stopwatch() if self._watched else None
        token, route, now = decision.token, decision.route, decision.at
        if token is None:
            raise ConfigurationError("a decision without a token meets no requirement: check again")
        self.check_parts(requirement)
        unconfirmed: tuple[str, ...] = ()
        remembered = decision.remembered
        try:
            if self._proxies is not None:
                request = self._proxies.original(request)
            stated = requirement.sender_constraint
            if route is not None:
                stated = agreed(route.requirement.sender_constraint, stated)
            refuse_other_hands(token, stated, bound=requirement.bound)
            if token.by_reference and not asks_enough(route, requirement):
                token, remembered = await self._ask_again(token, request, now)
            if self._standing is not None:
                # As in a check: old news has to do for every demand.
                self._standing.check(token, now, admit_stale=requirement.unsafe_on_stale)
            satisfy(token, requirement, None, route, request, now)
            self._check_keys_age(token, requirement, None)
            if self._confirm is not None and requirement.registers:
                unconfirmed = await self._confirm(token, (requirement,), self.home.awaited)
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001  as in a check
            sight = Sight(started, token, remembered, again=True)
            return self._decide_against(error, request, route, now, requirement, sight)
        if not unconfirmed and token is decision.token:
            return decision
        further = Decision(
            token=token,
            refusal=None,
            route=route,
            response=None,
            at=now,
            unconfirmed=(*decision.unconfirmed, *unconfirmed),
            headers=decision.headers,
            proof=decision.proof,
            issuer=token.issuer,
            remembered=remembered,
            seconds=None if started is None else stopwatch() - started,
            again=True,
        )
        if started is not None:
            self._answers.tell(request, further)
        return further

    async def _ask_again(
        self, token: AccessToken, request: HttpRequest, now: float
    ) -> tuple[AccessToken, bool]:
        """Return what the issuer of an admitted reference token says of it by now."""
        credential, _ = read_credential(request, dpop=None)
        found, remembered = await self._first_sight(credential, now, self.home.awaited, anew=True)
        if found.confirmation != token.confirmation:
            # What was proven in the check is not what would have to be.
            raise Refused(Code.CONFIRMATION_UNMET, "the token is bound otherwise by now")
        return found, remembered

    def _check_keys_age(
        self, token: AccessToken, demand: Requirement, further: Requirement | None
    ) -> None:
        """Refuse to judge by keys that are older than data of this sensitivity allows."""
        if token.by_reference:
            return
        age = self.keys.age(self.issuers[token.issuer])
        limit = demand.keys_max_age
        if further is not None and further.keys_max_age < limit:
            limit = further.keys_max_age
        if age is not None and not age <= limit:
            raise Unavailable(
                Code.KEYS_UNAVAILABLE,
                f"keys are {age:.0f} s old, allowed for this data {limit:g} s",
            )
