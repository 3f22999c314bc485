"""Whether a token still stands: what was revoked since it was issued, from every source."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from portvakt.guard.revocation import Mirror
    from portvakt.net.security_events import SecurityEvents
    from portvakt.net.status_lists import StatusLists
    from portvakt.policy.token import AccessToken

__all__ = ["Standing"]


def _never(_: AccessToken) -> bool:
    return False


class Standing:
    """Everything that is known of revoked tokens. Nothing here makes a request wait for the news.

    Parameters:
        mirror: what was revoked by those who run this API, or told by issuers; None: nothing is.
        lists: the status lists that issuers publish; None: none does.
        events: what issuers tell of sessions and accounts; None: none does.

    Attributes:
        by_handle: whether tokens are asked for their handles.
        clears: whether it is known at once that nothing speaks against a token, whatever a route
            says of old news. If not, :meth:`current`, :meth:`catch_up` and :meth:`check` find out.
    """

    __slots__ = ("by_handle", "clears", "events", "lists", "mirror")

    def __init__(
        self,
        mirror: Mirror | None,
        lists: StatusLists | None = None,
        events: SecurityEvents | None = None,
    ) -> None:
        self.mirror: Final = mirror
        self.lists: Final = lists
        self.events: Final = events
        self.by_handle: Final = mirror is not None
        # Most guards have the mirror alone, and then one look into it is everything.
        alone = mirror if lists is None and events is None else None
        self.clears: Final[Callable[[AccessToken], bool]] = (
            _never if alone is None else alone.clears
        )

    def current(self, token: AccessToken) -> bool:
        """Whether :meth:`check` can decide by what is in memory. Never waits."""
        if self.mirror is not None and not self.mirror.current():
            return False
        if self.lists is not None and not self.lists.current(token):
            return False
        return self.events is None or self.events.current(token)

    async def catch_up(self, token: AccessToken) -> None:
        """Get what is missing, once, for instance after a fork; then :meth:`check` decides.

        Runs at home. Raises nothing: what could not be had is not there when it is checked.
        """
        if self.mirror is not None and not self.mirror.current():
            await self.mirror.catch_up()
        if self.lists is not None and not self.lists.current(token):
            await self.lists.fetch(token)
        if self.events is not None and not self.events.current(token):
            await self.events.fetch(token)

    def look_again_in(self) -> float:
        """Return after how many seconds at most somebody who was admitted is to be checked again.

        It is a third of the mirror's bound, and never later than its news is too old. Status lists
        and polls for events have bounds of their own; they are looked at just as often.
        """
        return inf if self.mirror is None else self.mirror.look_again_in()

    def check(self, token: AccessToken, now: float, *, admit_stale: bool = False) -> None:
        """Refuse a token that was revoked, or of which that is not known. Never waits.

        Parameters:
            token: a verified token.
            now: seconds since 1970.
            admit_stale: whether old news will do, as the policy says of a route by name. What is
                known to be revoked is refused all the same.

        Raises:
            Refused: ``token_revoked``.
            Unavailable: ``revocation_unavailable``.
        """
        if self.mirror is not None:
            self.mirror.check(token, now, admit_stale=admit_stale)
        if self.lists is not None:
            self.lists.check(token, now, admit_stale=admit_stale)
        if self.events is not None and not admit_stale:
            self.events.check(token)

    def follow(self, other: Standing) -> None:
        """Know from the start what another one knows to be revoked, which judged until now.

        Of how old that is nothing is believed: whether a token that is *not* known to be revoked is
        admitted is decided as if nothing had been before. From any thread.
        """
        if self.mirror is not None and other.mirror is not None:
            self.mirror.revoked.follow(other.mirror.revoked)
        if self.lists is not None and other.lists is not None:
            self.lists.follow(other.lists)

    def open(self) -> None:
        """Start to follow the news; runs at home, and waits for nothing."""
        for source in (self.mirror, self.lists, self.events):
            if source is not None:
                source.open()

    def close(self) -> None:
        """Stop; runs at home."""
        for source in (self.mirror, self.lists, self.events):
            if source is not None:
                source.close()
