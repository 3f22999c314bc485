"""Reference tokens: which issuer is asked about one, and what is made of the answer (RFC 7662).

The form of a token decides once what becomes of it, and how it begins decides who is asked: no
token is tried as two things, or shown to an issuer that it may not belong to (TYP-08). Nothing that
a token says chooses where a question goes.
"""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from portvakt.clock import monotonic
from portvakt.errors import ConfigurationError, Refused, Unavailable
from portvakt.net.address import FetchError
from portvakt.net.introspected import Introspected, Said
from portvakt.net.question import Failed, Flight, Lane, Limits
from portvakt.oauth.introspection import MalformedAnswer, check_reference, is_reference
from portvakt.refusal import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from portvakt.net.introspection_endpoint import IntrospectionEndpoint, Place
    from portvakt.net.keys import KeySource
    from portvakt.policy.issuer import TrustedIssuer
    from portvakt.policy.token import AccessToken

__all__ = ["Introspection", "IntrospectionHealth", "check_prefixes"]

_LIMITS: Final = Limits()


class IntrospectionHealth(Struct, frozen=True, kw_only=True):
    """How asking one issuer goes. Times are seconds before now.

    Attributes:
        issuer: who is asked.
        source: where, as far as that is known.
        questions: how many there are at the moment, asked or in wait.
        last_answer_age: since it last answered; None if it never did.
        last_error: why it did not answer the last time; None if it did.
        last_error_age: since then.
    """

    issuer: str
    source: str
    questions: int = 0
    last_answer_age: float | None = None
    last_error: str | None = None
    last_error_age: float | None = None


class Introspection:
    """All issuers that are asked about reference tokens.

    Parameters:
        endpoints: one for each such issuer. If there are several, each has a prefix, and none of
            them begins like another.
        keys: the keys that signed answers are verified with.
        revocable: whether tokens will be asked for their handles.
        capacity: how many answers are remembered, of good tokens and as many of others.
        limits: how much one issuer is asked.
        clock: an age, in seconds; the monotonic clock by default.

    Raises:
        ConfigurationError: if nobody could tell whom a token belongs to.
    """

    __slots__ = ("_asked", "_by_prefix", "_clock", "_memory")

    def __init__(
        self,
        endpoints: Iterable[IntrospectionEndpoint],
        keys: KeySource,
        *,
        revocable: bool = False,
        capacity: int = 10_000,
        limits: Limits = _LIMITS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        listed = tuple(endpoints)
        if not listed:
            raise ConfigurationError("no issuer is asked about reference tokens")
        if len({one.issuer.issuer for one in listed}) != len(listed):
            raise ConfigurationError("an issuer is asked at two places: state one")
        flaw = check_prefixes([one.prefix for one in listed])
        if flaw is not None:
            raise ConfigurationError(flaw)
        self._clock = clock
        self._memory = Introspected(capacity, clock)
        self._by_prefix = tuple((one.prefix, one.issuer) for one in listed)
        self._asked = {
            one.issuer.issuer: _Asked(
                one, self._memory, keys, revocable=revocable, limits=limits, clock=clock
            )
            for one in listed
        }

    def issuer_for(self, token: str) -> TrustedIssuer | None:
        """Return whom to ask about a token; None if it has the form of a self-contained one.

        Looks at nothing but the form: whether there is such a token, only the issuer knows.

        Raises:
            Refused: if it has the form of no token, or of none that any of these issuers has.
        """
        if not is_reference(token):
            return None
        check_reference(token)
        for prefix, issuer in self._by_prefix:
            if token.startswith(prefix):
                return issuer
        raise Refused(Code.ISSUER_UNKNOWN, "it begins like the tokens of no issuer that is asked")

    def max_staleness(self, issuer: TrustedIssuer) -> float:
        """Return for how many seconds an answer of an issuer serves, as the policy says."""
        return self._asked[issuer.issuer].max_staleness

    def current(
        self, issuer: TrustedIssuer, token: str, max_staleness: float, now: float
    ) -> AccessToken | None:
        """Return what is in memory of a token, or None if :meth:`fetch` must be called.

        Never waits, and may be called from any thread.

        Parameters:
            issuer: whose token, as :meth:`issuer_for` says.
            token: the token.
            max_staleness: how many seconds ago the issuer may have been asked; 0 for: ask.
            now: seconds since 1970, read once for the whole request.

        Raises:
            Refused: if the issuer has just said that it is not good.
        """
        memory = self._memory
        return memory.get(memory.digest(issuer.issuer, token), max_staleness, now)

    async def fetch(
        self, issuer: TrustedIssuer, token: str, max_staleness: float, now: float
    ) -> AccessToken:
        """Ask the issuer, together with all who want to know the same; runs at home.

        Parameters:
            issuer, token, max_staleness, now: as for :meth:`current`. With no staleness allowed,
                the question that is answered begins after this call.

        Raises:
            Refused: if the token is not active, or not good for this API.
            Unavailable: if nobody can tell.
        """
        return await self._asked[issuer.issuer].fetch(token, max_staleness, now)

    def health(self) -> tuple[IntrospectionHealth, ...]:
        """Say how asking each issuer goes. Never waits."""
        return tuple(asked.health() for asked in self._asked.values())

    def open(self) -> None:
        """Find out where to ask, ahead of the first request; runs at home, waits for nothing."""
        for asked in self._asked.values():
            asked.open()

    def close(self) -> None:
        """End all questions, forget all answers; runs at home. What is asked later starts anew."""
        for asked in self._asked.values():
            asked.close()
        self._memory.clear()

    def __repr__(self) -> str:
        """Show who is asked."""
        return f"Introspection({', '.join(self._asked)})"


def check_prefixes(prefixes: Sequence[str]) -> str | None:
    """Return why nobody could tell by these beginnings whose a token is; None if one can."""
    for index, one in enumerate(prefixes):
        for other in prefixes[:index]:
            if one.startswith(other) or other.startswith(one):
                return (
                    "several issuers have reference tokens: each needs a prefix that its tokens "
                    "begin with, and no other's do"
                )
    return None


class _Asked:
    """One issuer, and all that goes on with it. But for :meth:`health`, it runs at home."""

    __slots__ = (
        "_answered_at",
        "_begun",
        "_clock",
        "_desk",
        "_endpoint",
        "_failed_at",
        "_failure",
        "_keys",
        "_limits",
        "_memory",
        "_revocable",
        "max_staleness",
    )

    def __init__(
        self,
        endpoint: IntrospectionEndpoint,
        memory: Introspected,
        keys: KeySource,
        *,
        revocable: bool,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self._endpoint, self._memory, self._keys = endpoint, memory, keys
        self._revocable, self._limits, self._clock = revocable, limits, clock
        self.max_staleness: Final = endpoint.max_staleness
        self._begun = 0
        self._desk: _Desk | None = None
        self._answered_at: float | None = None
        self._failure: str | None = None
        self._failed_at = 0.0

    async def fetch(self, token: str, max_staleness: float, now: float) -> AccessToken:
        memory, earlier, came = self._memory, self._begun, self._clock()

        def wall_clock() -> float:
            # Of the first who asks: at his request's time, and later by as much as he has waited.
            return now + (self._clock() - came)

        digest = memory.digest(self._endpoint.issuer.issuer, token)
        # (1) While the caller came here, another may have brought the answer.
        found = memory.get(digest, max_staleness, now)
        while found is None:
            # (2) The question under way, or the next. If it fails, it fails for everybody.
            desk = self._at_desk()
            flight = desk.flights.get(digest)
            if flight is None:
                flight = self._begin(desk, digest, token, wall_clock)
            said = await flight.wait()
            # (3) One that began before the caller came may be too old; then the next one is not.
            if flight.number > earlier or self._clock() - said.asked_at < max_staleness:
                found = said.judged(now)
        return found

    def _at_desk(self) -> _Desk:
        """Return what goes on here; on another loop than the last time, it is nobody's any more."""
        loop = asyncio.get_running_loop()
        if self._desk is None or self._desk.loop is not loop:
            self._desk = _Desk(loop, self._limits, self._clock)
        return self._desk

    def _begin(
        self, desk: _Desk, digest: bytes, token: str, wall_clock: Callable[[], float]
    ) -> Flight:
        lane = desk.known if self._memory.is_known(digest) else desk.others
        lane.check()
        flight = Flight(lane, partial(self._question, desk, digest, token, wall_clock))

        def ended(_: object) -> None:
            del desk.flights[digest]
            lane.questions -= 1

        desk.flights[digest] = flight
        lane.questions += 1
        # Also if it was cancelled before it began.
        flight.task.add_done_callback(ended)
        return flight

    async def _question(
        self,
        desk: _Desk,
        digest: bytes,
        token: str,
        wall_clock: Callable[[], float],
        flight: Flight,
    ) -> None:
        """Wait for a turn, ask, and remember what was said."""
        timeout = self._endpoint.timeout
        asked = self._clock(), wall_clock()
        try:
            async with asyncio.timeout(timeout), flight.lane.turns:
                self._begun += 1
                flight.number = self._begun
                asked = self._clock(), wall_clock()
                said = await self._ask(desk, token, wall_clock, asked)
        except TimeoutError:
            # Who never had a turn knows nothing of the issuer.
            reason = f"no answer within {timeout:g} s"
            said = Failed(Code.INTROSPECTION_UNAVAILABLE, reason, outage=flight.number > 0)
        except Exception as error:  # noqa: BLE001  a fault of ours must not admit anyone
            reason = f"internal error: {type(error).__name__}"
            said = Failed(Code.INTROSPECTION_UNAVAILABLE, reason)
        flight.said = said
        flight.lane.note(said, asked[0])
        if isinstance(said, Said):
            self._memory.put(digest, said)
            self._answered_at, self._failure = self._clock(), None
        else:
            self._failed_at, self._failure = self._clock(), said.reason
            if said.outage:
                self._endpoint.forget()

    async def _ask(
        self,
        desk: _Desk,
        token: str,
        wall_clock: Callable[[], float],
        asked: tuple[float, float],
    ) -> Said | Failed:
        endpoint = self._endpoint
        try:
            place = await self._place(desk)
            found = await endpoint.ask(
                place,
                token,
                keys=self._keys,
                wall_clock=wall_clock,
                revocable=self._revocable,
            )
        except Refused as refused:
            return Said.bad(refused.refusal, asked)
        except MalformedAnswer as flaw:
            return Failed(Code.INTROSPECTION_UNAVAILABLE, str(flaw))
        except FetchError as error:
            wanted = min(error.retry_after or 0.0, self._limits.last_pause)
            return Failed(
                Code.INTROSPECTION_UNAVAILABLE,
                error.reason,
                max(1, math.ceil(wanted)),
                outage=True,
                pause=wanted,
            )
        except Unavailable as error:
            return Failed(error.refusal.code, error.refusal.detail, error.retry_after)
        return Said.good(found, endpoint.issuer, asked)

    async def _place(self, desk: _Desk) -> Place:
        # One after the other: the first looks into the metadata, and the others know it then.
        async with desk.finding:
            return await self._endpoint.find()

    def open(self) -> None:
        desk = self._at_desk()
        if desk.opening is None:
            desk.opening = desk.loop.create_task(self._open(desk))

    async def _open(self, desk: _Desk) -> None:
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                await self._place(desk)
        except (FetchError, TimeoutError) as error:
            # Nobody waits for it, and the first question will try again.
            reason = error.reason if isinstance(error, FetchError) else "no answer in time"
            self._failed_at, self._failure = self._clock(), reason

    def close(self) -> None:
        desk, self._desk = self._desk, None
        # Another loop's are no longer anybody's: it was closed, or is the parent's of a fork.
        if desk is not None and desk.loop is asyncio.get_running_loop():
            if desk.opening is not None:
                desk.opening.cancel()
            for flight in desk.flights.values():
                flight.task.cancel()

    def health(self) -> IntrospectionHealth:
        now, desk, failure = self._clock(), self._desk, self._failure
        return IntrospectionHealth(
            issuer=self._endpoint.issuer.issuer,
            source=self._endpoint.source,
            questions=0 if desk is None else len(desk.flights),
            last_answer_age=None if self._answered_at is None else now - self._answered_at,
            last_error=failure,
            last_error_age=None if failure is None else now - self._failed_at,
        )


class _Desk:
    """What goes on with one issuer on one loop."""

    __slots__ = ("finding", "flights", "known", "loop", "opening", "others")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, limits: Limits, clock: Callable[[], float]
    ) -> None:
        self.loop = loop
        self.flights: dict[bytes, Flight] = {}
        self.known, self.others = Lane(limits, clock), Lane(limits, clock)
        self.finding = asyncio.Lock()
        self.opening: asyncio.Task[None] | None = None
