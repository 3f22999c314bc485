"""What issuers tell of sessions and accounts → revocations in the store of all guards."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from portvakt.errors import ConfigurationError
from portvakt.guard.revoking import Revocation, entry_for
from portvakt.policy.handles import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portvakt.clock import Clock
    from portvakt.guard.revocation import Mirror
    from portvakt.oauth.security_event import SecurityEvent, SubjectEvent
    from portvakt.policy.issuer import TrustedIssuer
    from portvakt.stores.base import Entry

__all__ = ["Recorder"]

_log: Final = logging.getLogger("portvakt")


class Recorder:
    """Writes down what verified events revoke.

    Parameters:
        issuers: those of the policy, by name.
        mirror: of the store that it is written to.
        clock: what time it is.
    """

    __slots__ = ("_clock", "_issuers", "_mirror")

    def __init__(self, issuers: Mapping[str, TrustedIssuer], mirror: Mirror, clock: Clock) -> None:
        self._issuers = issuers
        self._mirror = mirror
        self._clock = clock

    async def __call__(self, events: tuple[SecurityEvent, ...]) -> None:
        """Make durable what they revoke; then they may be acknowledged.

        Raises:
            Unavailable: ``revocation_unavailable``, if that is not certain.
        """
        now = self._clock()
        entries = [
            entry
            for event in events
            for subject in event.revoked
            if (entry := self._entry(subject, now)) is not None
        ]
        if entries:
            await self._mirror.revoke(tuple(entries))

    def _entry(self, subject: SubjectEvent, now: float) -> Entry | None:
        kind = Kind(subject.kind)
        issuer = self._issuers.get(subject.issuer)
        # Tokens of its issuer may be as far ahead of our clock, and an event must not fail for it.
        ahead = 0.0 if issuer is None else issuer.max_age_ahead
        at = None if kind is Kind.TOKEN else min(subject.at, now + ahead)
        wanted = Revocation(issuer=subject.issuer, kind=kind, value=subject.value, issued_before=at)
        try:
            return entry_for(wanted, self._issuers, now)
        except ConfigurationError:
            # A name that no token can have: of another issuer, or with what does not print.
            _log.warning("an event of %s names a %s that no token has", subject.issuer, kind.value)
            return None
