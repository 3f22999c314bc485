"""Security events of every issuer, taken in: asked for by poll (RFC 8936), or pushed (RFC 8935).

An event is acknowledged when what it revokes is durable, and no earlier. One that comes again, by
whichever way and in whichever process, revokes the same again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from portvakt.clock import monotonic
from portvakt.errors import Refused, Unavailable
from portvakt.net.event_poll import EventPoll
from portvakt.net.event_stream import EventTaker, UnacceptableEvent
from portvakt.net.signed import take_apart
from portvakt.oauth.event_delivery import (
    PUSH_TYPE,
    push_accepted,
    push_refused,
    push_unavailable,
)
from portvakt.oauth.security_event import SECURITY_EVENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from portvakt.http.response import Response
    from portvakt.net.event_stream import EventStream, Record
    from portvakt.net.keys import KeySource
    from portvakt.policy.token import AccessToken

__all__ = ["EventStreamHealth", "SecurityEvents"]


class EventStreamHealth(Struct, frozen=True, kw_only=True):
    """How the events of one issuer are. Times are seconds before or after now.

    Attributes:
        issuer: whose they are.
        taken: how many were taken by this process.
        refused: how many were not acceptable.
        last_refused: why the last of those was not; None if none was refused.
        unusable: how many should have revoked something, and named it as no token does.
        last_unusable: how the last of those named it; None if there was none.
        polled: whether the issuer is asked for events.
        age: since the last complete poll began; None if there was none.
        max_staleness: the age from which on nobody is admitted; None if it is not polled.
        last_error: why the last poll failed; None if it did not.
        last_error_age: since then.
        next_poll: until it is asked again; None if nobody will, as nothing has asked yet.
    """

    issuer: str
    taken: int
    refused: int
    last_refused: str | None
    unusable: int
    last_unusable: str | None
    polled: bool
    age: float | None = None
    max_staleness: float | None = None
    last_error: str | None = None
    last_error_age: float | None = None
    next_poll: float | None = None


class SecurityEvents:
    """The events of all issuers that send some.

    :meth:`check` and :meth:`current` may be called from any thread; the rest runs at home.

    Parameters:
        streams: of each issuer that sends events, how they come.
        keys: where the keys are that they are signed with.
        record: makes durable what they revoke, so that they can be acknowledged.
        clock: an age, in seconds; the monotonic clock by default.
        wall_clock: seconds since 1970.
    """

    __slots__ = ("_clock", "_polls", "_pushing", "_streams", "_takers")

    def __init__(
        self,
        streams: Iterable[EventStream],
        keys: KeySource,
        record: Record,
        *,
        clock: Callable[[], float] = monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._streams = {one.issuer.issuer: one for one in streams}
        self._takers = {
            name: EventTaker(one, keys, record, wall_clock) for name, one in self._streams.items()
        }
        self._polls = {
            name: EventPoll(one.polling, self._takers[name], clock)
            for name, one in self._streams.items()
            if one.polling is not None
        }

    def current(self, token: AccessToken) -> bool:
        """Whether :meth:`check` passes by what is known. Never waits."""
        poll = self._polls.get(token.issuer)
        return poll is None or poll.is_current()

    async def fetch(self, token: AccessToken) -> None:
        """Poll the issuer of a token, if it is time to; then :meth:`check` decides.

        Raises nothing: a poll that failed is not there when it is checked.
        """
        poll = self._polls.get(token.issuer)
        if poll is not None:
            await poll.catch_up()

    def check(self, token: AccessToken) -> None:
        """Say nothing for a token whose issuer was not polled for too long. Never waits.

        Does not look for the token: what events revoke is in the store, and in its mirror.

        Parameters:
            token: a verified token.

        Raises:
            Unavailable: ``revocation_unavailable``.
        """
        poll = self._polls.get(token.issuer)
        if poll is not None and not poll.is_current():
            raise poll.unavailable()

    async def receive(self, body: bytes, content_type: str | None) -> Response:
        """Take an event that was pushed (RFC 8935), and return what to answer.

        Whoever pushes is known by the signature alone. Does not check the method and the path of
        the request: it is a POST to wherever the operator put this.

        Parameters:
            body: the body of the request, possibly hostile; the caller bounds what is read.
            content_type: the value of the Content-Type header; None if there is none, or several.
        """
        media_type = (content_type or "").partition(";")[0].strip().lower()
        if media_type != PUSH_TYPE:
            return push_refused("invalid_request", f"the media type is not {PUSH_TYPE}")
        try:
            taker = self._taker_of(body)
            if taker is None:
                return push_refused("invalid_issuer", "iss is no issuer that pushes events here")
            await taker.record((await taker.verified(body),))
        except Refused as refused:
            why = refused.refusal.detail or refused.refusal.code.value
            return push_refused("invalid_request", why)
        except UnacceptableEvent as flaw:
            return push_refused(flaw.err, flaw.why)
        except Unavailable as error:
            return push_unavailable(error.retry_after or 1)
        return push_accepted()

    def open(self) -> None:
        """Start to poll; waits for nothing."""
        for poll in self._polls.values():
            poll.kept.keep_fresh()

    def close(self) -> None:
        """Poll no more. What is pushed is taken all the same."""
        for poll in self._polls.values():
            poll.kept.close()

    def health(self) -> tuple[EventStreamHealth, ...]:
        """Say how the events of each issuer are. Never waits."""
        return tuple(map(self._health_of, self._streams))

    def _taker_of(self, body: bytes) -> EventTaker | None:
        """Return who takes the events of the issuer that is named. Nobody knows yet if it is so.

        One claim is looked at, to choose whose keys to try; it is checked again once it is
        verified. Nothing is fetched for an issuer that does not push.

        Raises:
            Refused: at steps FORM to TYPE.
        """
        payload = take_apart(body, SECURITY_EVENT_TYPE).payload
        try:
            name = _peek(payload).iss
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        stream = self._streams.get(name)
        return self._takers[name] if stream is not None and stream.push else None

    def _health_of(self, name: str) -> EventStreamHealth:
        taker, polling = self._takers[name], self._streams[name].polling
        kept, now = None if polling is None else self._polls[name].kept, self._clock()

        def since(then: float | None) -> float | None:
            return None if then is None else now - then

        return EventStreamHealth(
            issuer=name,
            taken=taker.taken,
            refused=taker.refused,
            last_refused=taker.last_refused,
            unusable=taker.unusable,
            last_unusable=taker.last_unusable,
            polled=kept is not None,
            age=None if kept is None else since(kept.loaded_at),
            max_staleness=None if polling is None else polling.max_staleness,
            last_error=None if kept is None else kept.last_error,
            last_error_age=(
                None if kept is None or kept.last_error is None else since(kept.last_error_at)
            ),
            next_poll=None if kept is None or kept.next_at is None else kept.next_at - now,
        )


class _UnverifiedIssuer(Struct, gc=False):
    """The one claim that is looked at before the signature."""

    iss: str


_peek: Final = msgspec.json.Decoder(_UnverifiedIssuer).decode
