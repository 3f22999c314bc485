"""The events of one issuer, however they come: verified, and recorded before anyone is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from portvakt.errors import Refused
from portvakt.jose.jws import verify
from portvakt.net.fetch import Fetch
from portvakt.net.signed import key_of, take_apart
from portvakt.oauth.security_event import (
    SECURITY_EVENT_TYPE,
    MalformedEvent,
    SecurityEvent,
    read_event,
)
from portvakt.policy.issuer import TrustedIssuer
from portvakt.refusal import Code

if TYPE_CHECKING:
    from portvakt.net.keys import KeySource

__all__ = ["EventStream", "EventTaker", "Polling", "Record", "UnacceptableEvent"]

Record = Callable[[tuple[SecurityEvent, ...]], Awaitable[None]]
"""Makes durable what events revoke. Raises Unavailable if that is not certain."""

#: What RFC 8935 section 2.4 calls it if an event is not genuine; anything else is its form.
_ERRORS: Final = {
    Code.ALGORITHM_REFUSED: "invalid_key",
    Code.KEY_UNKNOWN: "invalid_key",
    Code.KEY_AMBIGUOUS: "invalid_key",
    Code.SIGNATURE_INVALID: "authentication_failed",
}


class Polling(Struct, frozen=True, kw_only=True):
    """Where an issuer is asked for events, and how often.

    Attributes:
        uri: where.
        fetch: how; it must take an answer of :data:`portvakt.oauth.event_delivery.MAX_ANSWER`
            octets.
        token: what it is shown as a bearer token; None for nothing.
        interval: seconds between two polls.
        max_staleness: seconds since the last complete poll began after which nobody knows what has
            been revoked.
    """

    uri: str
    fetch: Fetch
    token: str | None = None
    interval: float = 5.0
    max_staleness: float = 300.0

    # The token is a secret, and msgspec gives rich a repr of its own: neither shows it.
    def __repr__(self) -> str:
        """Show where."""
        return f"Polling(uri={self.uri!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("uri", self.uri)]


class EventStream(Struct, frozen=True, kw_only=True):
    """How the events of one issuer come.

    Attributes:
        issuer: whose they are.
        audience: the name by which it knows this receiver.
        polling: how it is asked for them; None if it is not.
        push: whether it may push them.
    """

    issuer: TrustedIssuer
    audience: str
    polling: Polling | None = None
    push: bool = False


class UnacceptableEvent(Exception):  # noqa: N818  it says what the event is
    """An event that will never be taken.

    Attributes:
        err: an error code of RFC 8935 section 2.4.
        why: fixed words, without anything that was sent.
    """

    def __init__(self, err: str, why: str) -> None:
        self.err = err
        self.why = why
        super().__init__(why)


class EventTaker:
    """Takes the events of one issuer; runs at home.

    Parameters:
        stream: the issuer, and how its events come.
        keys: where the keys are that they are signed with.
        record: makes durable what they revoke.
        wall_clock: seconds since 1970.

    Attributes:
        taken: how many events were taken.
        refused: how many were not acceptable.
        last_refused: why the last of those was not.
        unusable: how many should have revoked something, and named it as no token does.
        last_unusable: how the last of those named it.
    """

    def __init__(
        self,
        stream: EventStream,
        keys: KeySource,
        record: Record,
        wall_clock: Callable[[], float],
    ) -> None:
        self._stream = stream
        self._keys = keys
        self._record = record
        self._wall_clock = wall_clock
        # Where not every token must name its session, an event about one reaches further.
        issuer = stream.issuer
        self._sessions = issuer.session_claim in issuer.required_claims
        self.taken = self.refused = self.unusable = 0
        self.last_refused: str | None = None
        self.last_unusable: str | None = None

    async def verified(self, body: bytes) -> SecurityEvent:
        """Verify an event token and read it.

        Parameters:
            body: the octets as received, possibly hostile.

        Raises:
            UnacceptableEvent: if it will never be taken.
            Unavailable: if the keys cannot be had, or it is too early for it: nobody knows then.
        """
        stream = self._stream
        try:
            jws = take_apart(body, SECURITY_EVENT_TYPE)
            key = await key_of(jws, stream.issuer, self._keys)
            return read_event(
                verify(jws, key).payload,
                issuer=stream.issuer.issuer,
                audience=stream.audience,
                now=self._wall_clock(),
                ahead=stream.issuer.max_age_ahead,
                sessions=self._sessions,
            )
        except Refused as refused:
            code = refused.refusal.code
            err, why = _ERRORS.get(code, "invalid_request"), refused.refusal.detail or code.value
        except MalformedEvent as flaw:
            err, why = flaw.err, str(flaw)
        raise self.unacceptable(err, why)

    def unacceptable(self, err: str, why: str) -> UnacceptableEvent:
        """Count an event that will never be taken, and return what to raise for it."""
        self.refused += 1
        self.last_refused = why
        return UnacceptableEvent(err, why)

    async def record(self, events: tuple[SecurityEvent, ...]) -> None:
        """Make durable what events revoke; after that, and not before, they are acknowledged.

        Raises:
            Unavailable: if that is not certain.
        """
        await self._record(events)
        self.taken += len(events)
        for why in (why for event in events for why in event.unusable):
            self.unusable += 1
            self.last_unusable = why
