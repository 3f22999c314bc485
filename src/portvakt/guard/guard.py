"""The guard: a request in, a decision out. The path of one request is written here, once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from portvakt.clock import Clock, SystemClock, stopwatch
from portvakt.errors import ConfigurationError, Refused, Unavailable
from portvakt.guard.answers import Answers, Sight
from portvakt.guard.demanding import Demanding
from portvakt.guard.parts import NO_PARTS, Parts
from portvakt.guard.steps import (
    TrustedIssuers,
    authenticate,
    confirm_certificate_of,
    refuse_unproven,
    resolve_issuer,
    satisfy,
)
from portvakt.guard.validated import ValidatedTokens
from portvakt.home import Elsewhere, Home, finish
from portvakt.jose.jws import DOTS_OF_JWE
from portvakt.oauth.bearer import read_credential, refuse_method_override
from portvakt.oauth.challenge import Challenges
from portvakt.policy.decision import NO_HEADERS, Decision
from portvakt.policy.routes import Routes
from portvakt.policy.sender_constraint import DPOP, EITHER, MTLS, agreed
from portvakt.refusal import Code, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from portvakt.guard.questions import Confirmation
    from portvakt.http.request import HttpRequest
    from portvakt.jose.jws import KnownHeaders
    from portvakt.net.keys import KeySource
    from portvakt.oauth.dpop import Proof
    from portvakt.policy.access_token import AccessToken
    from portvakt.policy.decision import Observer
    from portvakt.policy.issuer import TrustedIssuer
    from portvakt.policy.requirement import Requirement
    from portvakt.policy.routes import Route

__all__ = ["Guard"]

_log: Final = logging.getLogger("portvakt")

#: Encoded headers remembered at most. An issuer sends one per key; the rest would be noise.
_MAX_KNOWN_HEADERS: Final = 256

_NO_REGISTERS: Final = "registers are to be asked, and the guard has none"


class Guard(Demanding):
    """Judges requests by one policy. Immutable, and safe to share between threads and tasks.

    Make one with :meth:`from_file` or :meth:`from_config`; the constructor takes compiled parts.

    Parameters:
        issuers: whose tokens are accepted; each ``issuer`` once.
        keys: where their keys come from.
        routes: which rule is for which request; empty: every request needs a valid token.
        parts: what a policy of more than signed bearer tokens needs.
        realm: the name of the API, for the challenge; the first issuer's audience by default.
        disclose: whether a refusal names the scope, level or age that is demanded.
        clock: what time it is; the system's by default.
        observers: who is told of every decision, beside what the policy says under telemetry.

    Raises:
        ConfigurationError: if there is no issuer, or one twice, or a route that asks for a part
            that is not there.
    """

    def __init__(
        self,
        *,
        issuers: Iterable[TrustedIssuer],
        keys: KeySource,
        routes: Routes | None = None,
        parts: Parts = NO_PARTS,
        realm: str | None = None,
        disclose: bool = True,
        clock: Clock | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        listed = tuple(issuers)
        self._issuers = TrustedIssuers(listed)
        self.issuers: Mapping[str, TrustedIssuer] = self._issuers.by_name
        if not listed:
            raise ConfigurationError("no issuer is trusted, so no request could ever be admitted")
        if len(self.issuers) != len(listed):
            raise ConfigurationError("an issuer is listed twice: one policy for each")
        self.keys = keys
        self.routes = routes if routes is not None else Routes()
        self.parts = parts
        self._proxies, self._possession = parts.proxies, parts.possession
        self._introspection, self._decryption = parts.introspection, parts.decryption
        self._standing, self._records = parts.standing, parts.records
        self._revocable = parts.standing is not None and parts.standing.by_handle
        self._confirm: Confirmation | None = None
        for rule in self.routes.every:
            self.check_parts(rule.requirement)
        if parts.registers is not None:
            # Most guards have none, and asking takes an event loop to be imported.
            from portvakt.guard.questions import Confirmation

            self._confirm = Confirmation(parts.registers)
            for name in self.routes.registers:
                parts.registers.subjects(name)  # Raises, if there is none of that name.
        self.realm = realm if realm is not None else listed[0].audience
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.home = Home()
        if parts.telling is not None:
            observers = (*parts.telling.observers, *observers)
            parts.telling.watch(self.readings)
        algorithms = () if parts.possession is None else parts.possession.rules.algorithms
        self._answers = Answers(
            Challenges(self.realm, algorithms, parts.resource_metadata),
            self.issuers,
            disclose=disclose,
            observers=observers,
            records=parts.records,
        )
        self._watched = self._answers.watched
        self._validated = ValidatedTokens(keys)
        self._known_headers: KnownHeaders = {}

    def self_test(self) -> None:
        """Forge tokens against this guard's own policy; called when it is made from a policy.

        Raises:
            ConfigurationError: if one gets in, or if no honest token ever could.
        """
        from portvakt.guard.self_test import self_test

        self_test(self)

    def check_parts(self, requirement: Requirement) -> None:
        """See that there is what a demand asks for.

        Raises:
            ConfigurationError: if there is not: no request could be admitted.
        """
        if requirement.registers and self.parts.registers is None:
            raise ConfigurationError(_NO_REGISTERS)
        if requirement.sender_constraint is DPOP and self._possession is None:
            raise ConfigurationError("proofs are demanded, and the guard has nothing to check them")

    async def check(
        self,
        request: HttpRequest,
        requirement: Requirement | None = None,
        again: bool = False,  # noqa: FBT001, FBT002  a default by name alone costs each request 1 %
    ) -> Decision:
        """Judge *request*; whatever the caller sent and whatever is down, a decision comes out.

        Parameters:
            request: what was received.
            requirement: what the API demands on top of the policy's own rule; neither loosens the
                other. With one, a request that no rule of the policy is for is judged by it alone.
            again: whether it was judged before, so that observers do not count it twice.
        """
        try:
            return await self._check(request, requirement, self.home.awaited, again)
        except ConfigurationError as error:
            flawed = ConfigurationError(error.problems, source=error.source)
        del request  # As in from_file: the frames below hold the token.
        raise flawed

    def check_blocking(
        self,
        request: HttpRequest,
        requirement: Requirement | None = None,
        again: bool = False,  # noqa: FBT001, FBT002  as in check
    ) -> Decision:
        """Judge *request* as :meth:`check` does, from code without an event loop."""
        try:
            return finish(self._check(request, requirement, self.home.blocked, again))
        except ConfigurationError as error:
            flawed = ConfigurationError(error.problems, source=error.source)
        del request
        raise flawed

    async def _check(
        self,
        request: HttpRequest,
        requirement: Requirement | None,
        elsewhere: Elsewhere,
        again: bool,  # noqa: FBT001  as in check
    ) -> Decision:
        started = stopwatch() if self._watched else None
        now, route, token, proof = 0.0, None, None, None
        unconfirmed: tuple[str, ...] = ()
        remembered: bool | None = None
        if requirement is not None:
            self.check_parts(requirement)
        try:
            now = self.clock()  # Read once: no two checks of one request may disagree (CLK-05).
            # (1) What a trusted proxy says of its client.
            if self._proxies is not None:
                request = self._proxies.original(request)
            # (2) The one rule for this request.
            route = self.routes.match(request, requirement)
            demand = route.requirement
            if route.public and (requirement is None or route.answer is not None):
                refuse_method_override(request)
                if started is None:
                    return Decision(None, None, route, route.answer, now, again=again)
                return self._answers.admit_anyone(request, route, now, started, again=again)
            # (3) The one credential, in the one way that the rule takes.
            constraint, bound = demand.sender_constraint, demand.bound
            stale = demand.unsafe_on_stale
            if requirement is not None:
                constraint = agreed(constraint, requirement.sender_constraint)
                bound = bound or requirement.bound
                stale = stale and requirement.unsafe_on_stale
            either = constraint is EITHER
            credential, proven = read_credential(
                request, dpop=None if either else constraint is DPOP
            )
            # (4) Seen before, under the same keys and still in its time; or else verified now.
            token = self._validated.get(credential, now)
            if token is None:
                anew = demand.asked_anew or (requirement is not None and requirement.asked_anew)
                token, remembered = await self._first_sight(credential, now, elsewhere, anew=anew)
            else:
                remembered = True
            # (5) Not revoked, as far as this rule wants to know.
            if self._standing is not None and not self._standing.clears(token):
                if not self._standing.current(token):
                    await elsewhere(self._standing.catch_up, token)
                self._standing.check(token, now, admit_stale=stale)
            # (6) In the right hands.
            if proven:
                proof = self._prove(token, credential, request, now)
            elif constraint is MTLS or (either and token.confirmation):
                confirm_certificate_of(token, request)
            else:
                refuse_unproven(token, bound=bound)
            # (7) With what the rule demands and what the API demands.
            satisfy(token, demand, requirement, route, request, now)
            if bound:
                self._check_keys_age(token, demand, requirement)
            # (8) What registers know of those whom it names.
            if self._confirm is not None:
                unconfirmed = await self._confirm(token, (demand, requirement), elsewhere)
            # (9) What is decided now will be written down.
            if self._records is not None:
                self._records.check()
            # (10) Last, so that no refusal uses a proof up.
            if proof is not None and self._possession is not None:
                await self._possession.spend(proof, now, elsewhere, self.clock)
            # (11) What was revoked while registers or the store of proofs were waited for counts.
            if self._standing is not None and (proof is not None or self._confirm is not None):
                self._standing.check(token, now, admit_stale=stale)
        except ConfigurationError:
            raise  # The caller of the guard made a mistake, not the caller of the API.
        except Exception as error:  # noqa: BLE001  a fault of ours must not admit anyone
            sight = Sight(started, token, remembered, again)
            return self._decide_against(error, request, route, now, requirement, sight)
        headers, said = NO_HEADERS, None
        if proof is not None and self._possession is not None:
            headers, said = self._possession.headers(proof, now), proof.claims
        seconds = None if started is None else stopwatch() - started
        decision = Decision(
            token, None, route, None, now, unconfirmed, headers, said,
            token.issuer, remembered, seconds, again,
        )  # fmt: skip  # Every field by its place: names would cost each request.
        if started is not None:
            self._answers.tell(request, decision)
        return decision

    async def _first_sight(
        self, credential: str, now: float, elsewhere: Elsewhere, *, anew: bool
    ) -> tuple[AccessToken, bool]:
        """Verify a token that is not remembered. Its form decides how, once (TYP-08).

        Returns:
            the token, and whether it is known from an earlier question to its issuer.
        """
        # (a) A reference: it says nothing, so whoever issued it is asked.
        introspection = self._introspection
        if introspection is not None:
            asked = introspection.issuer_for(credential)
            if asked is not None:
                most = 0.0 if anew else introspection.max_staleness(asked)
                found = introspection.current(asked, credential, most, now)
                if found is not None:
                    return found, True
                return await elsewhere(introspection.fetch, asked, credential, most, now), False
        # (b) An encrypted token holds a signed one; nothing else that it could hold is looked at.
        signed, encrypted = credential, False
        if self._decryption is not None and credential.count(".") == DOTS_OF_JWE:
            signed, encrypted = self._decryption.decrypt(credential), True
        # (c) A signed token.
        candidate = resolve_issuer(signed, self._issuers, self._known_headers)
        issuer, header = candidate.issuer, candidate.unverified.header
        keys = self.keys.current(issuer, header)
        if keys is None:
            keys = await elsewhere(self.keys.fetch, issuer, header)
        token = authenticate(candidate, keys, now, encrypted=encrypted, revocable=self._revocable)
        # Only what was verified is remembered: the token, and its header for the next ones.
        self._validated.put(credential, token, issuer, keys)
        if len(self._known_headers) < _MAX_KNOWN_HEADERS:
            self._known_headers[candidate.unverified.encoded_header] = header
        return token, False

    def _prove(
        self, token: AccessToken, credential: str, request: HttpRequest, now: float
    ) -> Proof:
        if self._possession is None:
            raise Refused(Code.SCHEME_REFUSED, "a proof came, and nothing here checks proofs")
        return self._possession.confirm(token, credential, request, now)

    def _decide_against(
        self,
        error: Exception,
        request: HttpRequest,
        route: Route | None,
        now: float,
        requirement: Requirement | None,
        sight: Sight,
    ) -> Decision:
        """Make the decision of what kept a request out."""
        refusal, wait, nonce = Refusal(Code.INTERNAL_ERROR), None, None
        if isinstance(error, Refused):
            refusal = error.refusal
            if refusal.code is Code.PROOF_NONCE and self._possession is not None:
                nonce = self._possession.nonce(now)
        elif isinstance(error, Unavailable):
            refusal, wait = error.refusal, error.retry_after
        else:
            # The type only: a message or traceback could hold what the caller sent.
            _log.error("internal error, request refused: %s", type(error).__name__)
        return self._answers.refuse(
            request, route, refusal, now, requirement, sight, retry_after=wait, nonce=nonce
        )

    def malformed(self, request: HttpRequest, detail: str) -> Decision:
        """Refuse a request that cannot be judged, because server and application may read it apart.

        Parameters:
            request: what was received, as far as it could be read.
            detail: what is wrong with it, for the log; nothing of the request itself.
        """
        started = stopwatch() if self._watched else None
        now, refusal = 0.0, Refusal(Code.REQUEST_MALFORMED, detail)
        try:
            now = self.clock()
        except Exception as error:  # noqa: BLE001  as in a check
            _log.error("internal error, request refused: %s", type(error).__name__)
            refusal = Refusal(Code.INTERNAL_ERROR)
        return self._answers.refuse(request, None, refusal, now, None, Sight(started))

    def __repr__(self) -> str:
        """Show whose tokens are accepted, and nothing else."""
        return f"{type(self).__name__}(issuers={sorted(self.issuers)})"
