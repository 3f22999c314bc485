"""The guard: a request in, a decision out. The path of one request is written here, once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from portvakt.clock import Clock, SystemClock
from portvakt.errors import ConfigurationError, Refused, Unavailable
from portvakt.guard.hints import ASKABLE, hints_for
from portvakt.guard.steps import TrustedIssuers, authenticate, resolve_issuer, satisfy
from portvakt.guard.validated import ValidatedTokens
from portvakt.home import Elsewhere, Home, finish
from portvakt.oauth.bearer import read_credential, refuse_method_override
from portvakt.oauth.challenge import NO_HINTS, Challenges
from portvakt.policy.decision import Decision, Observer
from portvakt.policy.routes import Route, Routes
from portvakt.refusal import Code, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike
    from types import TracebackType
    from typing import Self

    from portvakt.guard.health import Health
    from portvakt.guard.questions import Confirmation
    from portvakt.http.request import HttpRequest
    from portvakt.jose.jws import KnownHeaders
    from portvakt.net.keys import KeySource
    from portvakt.policy.access_token import AccessToken
    from portvakt.policy.issuer import TrustedIssuer
    from portvakt.policy.requirement import Requirement
    from portvakt.registers.base import Register
    from portvakt.registers.verify import Registers

__all__ = ["Guard"]

_log: Final = logging.getLogger("portvakt")

#: Encoded headers remembered at most. An issuer sends one per key; the rest would be noise.
_MAX_KNOWN_HEADERS: Final = 256

_NO_REGISTERS: Final = "registers are to be asked, and the guard has none"


class Guard:
    """Judges requests by one policy. Immutable, and safe to share between threads and tasks.

    Make one with :meth:`from_file` or :meth:`from_config`; the constructor takes compiled parts.

    Parameters:
        issuers: whose tokens are accepted; each ``issuer`` once.
        keys: where their keys come from.
        routes: which rule is for which request; empty: every request needs a valid token.
        registers: those that the routes ask.
        realm: the name of the API, for the challenge; the first issuer's audience by default.
        disclose: whether a refusal names the scope, level or age that is demanded.
        clock: what time it is; the system's by default.
        observers: who is told of every decision.

    Raises:
        ConfigurationError: if there is no issuer, or one twice, or registers that nobody has.
    """

    def __init__(
        self,
        *,
        issuers: Iterable[TrustedIssuer],
        keys: KeySource,
        routes: Routes | None = None,
        registers: Registers | None = None,
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
        self.registers = registers
        self._confirm: Confirmation | None = None
        if registers is None and self.routes.registers:
            raise ConfigurationError(_NO_REGISTERS)
        if registers is not None:
            # Most guards have none, and asking takes an event loop to be imported.
            from portvakt.guard.questions import Confirmation

            self._confirm = Confirmation(registers)
            for name in self.routes.registers:
                registers.subjects(name)  # Raises, if there is none of that name.
        self.disclose = disclose
        self.realm = realm if realm is not None else listed[0].audience
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.observers = tuple(observers)
        self.home = Home()
        self._challenges = Challenges(self.realm)
        self._validated = ValidatedTokens(keys)
        self._known_headers: KnownHeaders = {}

    @classmethod
    def from_file(
        cls,
        path: str | PathLike[str] = "portvakt.toml",
        *,
        clock: Clock | None = None,
        observers: Iterable[Observer] = (),
        registers: Iterable[Register] = (),
    ) -> Self:
        """Read a policy file, and test the guard it makes before handing it out.

        Parameters:
            path: the TOML file. Environment variables ``PORTVAKT_…`` override it.
            clock: what time it is; the system's by default.
            observers: who is told of every decision.
            registers: registers of your own, that routes name beside those of the policy.

        Raises:
            ConfigurationError: with everything that is wrong, each with its place and line; or if a
                forged token would get in.
        """
        from portvakt.guard.assembly import assemble_file

        try:
            return assemble_file(cls, path, clock=clock, observers=observers, registers=registers)
        except ConfigurationError as error:
            flawed, cause = ConfigurationError(error.problems, source=error.source), error.__cause__
        # Raised anew: the frames below hold the file, its keys and the environment, and there are
        # tracebacks that show every variable. A cause is a file that could not be opened.
        raise flawed from cause

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        *,
        clock: Clock | None = None,
        observers: Iterable[Observer] = (),
        registers: Iterable[Register] = (),
    ) -> Self:
        """Make a guard of a policy given as data, shaped like the policy file.

        The data is copied: changing it later changes nothing. The environment is not read.

        Parameters:
            config: the tables of the policy file.
            clock: what time it is; the system's by default.
            observers: who is told of every decision.
            registers: registers of your own, that routes name beside those of the policy.

        Raises:
            ConfigurationError: see :meth:`from_file`.
        """
        from portvakt.guard.assembly import assemble_config

        try:
            return assemble_config(
                cls, config, clock=clock, observers=observers, registers=registers
            )
        except ConfigurationError as error:
            flawed = ConfigurationError(error.problems, source=error.source)
        del config  # As in from_file; what the caller's own frames show is the caller's.
        raise flawed

    def self_test(self) -> None:
        """Forge tokens against this guard's own policy; called when it is made from a policy.

        Raises:
            ConfigurationError: if one gets in, or if no honest token ever could.
        """
        from portvakt.guard.self_test import self_test

        self_test(self)

    async def warm(self) -> Health:
        """Get everything that a first request would otherwise wait for, now.

        For those who prefer not to start at all when an issuer cannot be reached. Without this a
        guard starts, answers 503 to the tokens of that issuer alone, and recovers by itself.

        Raises:
            Unavailable: naming each issuer whose keys cannot be had, and why.
        """
        return await self.home.awaited(self._warm)

    def warm_blocking(self) -> Health:
        """Do what :meth:`warm` does, from code without an event loop."""
        return finish(self.home.blocked(self._warm))

    async def _warm(self) -> Health:
        from portvakt.guard.health import warm

        await warm(self.issuers.values(), self.keys)
        return self.health()

    def health(self) -> Health:
        """Say how current all is that decisions rest on. Never waits."""
        from portvakt.guard.health import Health

        keys = tuple(map(self.keys.health, self.issuers.values()))
        return Health(keys, () if self.registers is None else self.registers.health())

    async def check(self, request: HttpRequest, requirement: Requirement | None = None) -> Decision:
        """Judge *request*; whatever the caller sent and whatever is down, a decision comes out.

        Parameters:
            request: what was received.
            requirement: what the API demands on top of the policy's own rule; neither loosens the
                other. With one, a request that no rule of the policy is for is judged by it alone.
        """
        try:
            return await self._check(request, requirement, self.home.awaited)
        except ConfigurationError as error:
            flawed = ConfigurationError(error.problems, source=error.source)
        del request  # As in from_file: the frames below hold the token.
        raise flawed

    def check_blocking(
        self, request: HttpRequest, requirement: Requirement | None = None
    ) -> Decision:
        """Judge *request* as :meth:`check` does, from code without an event loop."""
        try:
            return finish(self._check(request, requirement, self.home.blocked))
        except ConfigurationError as error:
            flawed = ConfigurationError(error.problems, source=error.source)
        del request
        raise flawed

    async def _check(
        self, request: HttpRequest, requirement: Requirement | None, elsewhere: Elsewhere
    ) -> Decision:
        now, route, token = 0.0, None, None
        unconfirmed: tuple[str, ...] = ()
        if requirement is not None and requirement.registers and self._confirm is None:
            raise ConfigurationError(_NO_REGISTERS)
        try:
            now = self.clock()  # Read once: no two checks of one request may disagree (CLK-05).
            # (1) The one rule for this request.
            route = self.routes.match(request, requirement)
            if route.public and requirement is None:
                refuse_method_override(request)
                return self._admit(request, route, None, now)
            # (2) The one credential.
            credential = read_credential(request)
            # (3) Seen before, under the same keys and still in its time; or else verified now.
            token = self._validated.get(credential, now)
            if token is None:
                candidate = resolve_issuer(credential, self._issuers, self._known_headers)
                issuer, header = candidate.issuer, candidate.unverified.header
                keys = self.keys.current(issuer, header)
                if keys is None:
                    keys = await elsewhere(self.keys.fetch, issuer, header)
                token = authenticate(candidate, keys, now)
                # Only what was verified is remembered: the token, and its header for the next ones.
                self._validated.put(credential, token, issuer, keys)
                if len(self._known_headers) < _MAX_KNOWN_HEADERS:
                    self._known_headers[candidate.unverified.encoded_header] = header
            # (4) In the right hands, and with what the rule demands and what the API demands.
            satisfy(token, route.requirement, requirement, route, request, now)
            # (5) What registers know of those whom it names.
            if self._confirm is not None:
                demands = (route.requirement, requirement)
                unconfirmed = await self._confirm(token, demands, elsewhere)
        except Refused as refused:
            return self._refuse(request, route, refused.refusal, now, requirement, token=token)
        except Unavailable as unavailable:
            wait = unavailable.retry_after
            return self._refuse(
                request, route, unavailable.refusal, now, requirement, retry_after=wait
            )
        except ConfigurationError:
            raise  # The caller of the guard made a mistake, not the caller of the API.
        except Exception as error:  # noqa: BLE001  a fault of ours must not admit anyone
            # The type only: a message or traceback could hold what the caller sent.
            _log.error("internal error, request refused: %s", type(error).__name__)
            return self._refuse(request, route, Refusal(Code.INTERNAL_ERROR), now, requirement)
        return self._admit(request, route, token, now, unconfirmed)

    def require(
        self, request: HttpRequest, decision: Decision, requirement: Requirement
    ) -> Decision:
        """Demand more of a request whose token was already admitted; verifies nothing again.

        Parameters:
            request: the request that was judged.
            decision: what :meth:`check` made of it.
            requirement: what is demanded in addition.
        """
        if decision.token is None:
            raise ConfigurationError("require() was given a decision without a token: call check()")
        if requirement.registers:
            raise ConfigurationError("require() cannot wait for registers: call check()")
        route, now = decision.route, decision.at
        try:
            satisfy(decision.token, requirement, None, route, request, now)
        except Refused as refused:
            token = decision.token
            return self._refuse(request, route, refused.refusal, now, requirement, token=token)
        except Exception as error:  # noqa: BLE001  as in a check
            _log.error("internal error, request refused: %s", type(error).__name__)
            return self._refuse(request, route, Refusal(Code.INTERNAL_ERROR), now, requirement)
        return decision

    def malformed(self, request: HttpRequest, detail: str) -> Decision:
        """Refuse a request that cannot be judged, because server and application may read it apart.

        Parameters:
            request: what was received, as far as it could be read.
            detail: what is wrong with it, for the log; nothing of the request itself.
        """
        now, refusal = 0.0, Refusal(Code.REQUEST_MALFORMED, detail)
        try:
            now = self.clock()
        except Exception as error:  # noqa: BLE001  as in a check
            _log.error("internal error, request refused: %s", type(error).__name__)
            refusal = Refusal(Code.INTERNAL_ERROR)
        return self._refuse(request, None, refusal, now, None)

    def _admit(
        self,
        request: HttpRequest,
        route: Route,
        token: AccessToken | None,
        now: float,
        unconfirmed: tuple[str, ...] = (),
    ) -> Decision:
        decision = Decision(token, None, route, None, now, unconfirmed)
        if self.observers:
            self._tell(request, decision)
        return decision

    def _refuse(
        self,
        request: HttpRequest,
        route: Route | None,
        refusal: Refusal,
        now: float,
        requirement: Requirement | None,
        *,
        retry_after: int | None = None,
        token: AccessToken | None = None,
    ) -> Decision:
        hints = NO_HINTS
        if self.disclose and refusal.code in ASKABLE:
            demands = [] if route is None else [route.requirement]
            if requirement is not None:
                demands.append(requirement)
            acr_values = () if token is None else self.issuers[token.issuer].acr_values
            hints = hints_for(refusal.code, demands, acr_values)
        response = self._challenges.answer(refusal.code, hints, retry_after)
        decision = Decision(None, refusal, route, response, now)
        if self.observers:
            self._tell(request, decision)
        return decision

    def _tell(self, request: HttpRequest, decision: Decision) -> None:
        for observer in self.observers:
            try:
                observer(request, decision)
            except Exception as error:  # noqa: BLE001  an observer has no say in the decision
                _log.error("an observer failed: %s", type(error).__name__)

    async def __aenter__(self) -> Self:
        """Do input and output on the running asyncio loop from now on, as ASGI lifespans want.

        What a first request would wait for is asked for now, and not waited for.
        """
        self.home.adopt()
        await self.home.awaited(self._open)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End what goes on in the background, and give the loop back."""
        await self.home.awaited(self._close)
        self.home.leave()

    async def _open(self) -> None:
        self.keys.open()
        if self.registers is not None:
            self.registers.open()

    async def _close(self) -> None:
        self.keys.close()
        if self.registers is not None:
            self.registers.close()

    def __repr__(self) -> str:
        """Show whose tokens are accepted, and nothing else."""
        return f"{type(self).__name__}(issuers={sorted(self.issuers)})"
