"""The status lists of every issuer, fetched ahead: whether a token still holds, out of memory.

Only the lists that a policy names are ever fetched, when their time has come and never because of
what a token says. A list that is missing or too old says nothing, and then nobody is admitted.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from portvakt.clock import monotonic
from portvakt.errors import Refused, Unavailable
from portvakt.jose.jws import verify
from portvakt.net.address import FetchError
from portvakt.net.answer import freshness
from portvakt.net.cache import Budget, Kept, NotLoaded, Schedule
from portvakt.net.fetch import Fetch
from portvakt.net.signed import key_of, take_apart
from portvakt.oauth.status_list import (
    MAX_LIST_TOKEN,
    STATUS_LIST_TYPE,
    MalformedStatusList,
    StatusList,
    read_status_list,
)
from portvakt.policy.issuer import TrustedIssuer
from portvakt.refusal import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from portvakt.jose.jwk import Jwk
    from portvakt.jose.jws import UnverifiedJws
    from portvakt.net.keys import KeySource
    from portvakt.policy.token import AccessToken

__all__ = ["PublishedLists", "StatusListHealth", "StatusLists"]

_ACCEPT: Final = "application/statuslist+jwt"

#: Seconds for which a list is used at least, whatever its ``ttl`` says.
_FLOOR: Final = 15.0

#: Seconds that a request waits for a list at most, if there is none to use.
_PATIENCE: Final = 10.0


class PublishedLists(Struct, frozen=True, kw_only=True):
    """The lists of one issuer, and how they are fetched.

    Attributes:
        issuer: whose they are; its ``status_lists`` are what they are called and where they are.
        fetch: how they are asked for; it must take an answer of :data:`MAX_LIST_TOKEN` octets.
        max_age: seconds since it was asked for after which a list is used no more.
    """

    issuer: TrustedIssuer
    fetch: Fetch
    max_age: float = 300.0


class StatusListHealth(Struct, frozen=True, kw_only=True):
    """How one list is. Times are seconds before or after now.

    Attributes:
        issuer: whose it is.
        uri: which one.
        places: how many tokens it has a status of; None if there is none to use.
        age: since it was asked for; None if it never came.
        max_age: the age at which it is used no more.
        last_error: why it could not be renewed the last time; None if it could.
        last_error_age: since then.
        next_refresh: until it is asked for again; None if nobody will, as nothing has asked yet.
    """

    issuer: str
    uri: str
    places: int | None
    age: float | None
    max_age: float
    last_error: str | None
    last_error_age: float | None
    next_refresh: float | None


class _Held(Struct, frozen=True, gc=False):
    """A list in memory.

    Attributes:
        list: the list.
        until: when it is too old, by the monotonic clock.
    """

    list: StatusList
    until: float


class StatusLists:
    """The lists that the issuers of a policy publish, kept fresh.

    :meth:`check` and :meth:`current` may be called from any thread; the rest runs at home. After a
    fork, what is in memory serves until its time is over, and the first request then starts afresh.

    Does not remember lists beyond this process: after a restart an older list that is still good is
    taken, if the issuer's server sends one.

    Parameters:
        published: the lists of each issuer that has some.
        keys: where the keys are that lists are signed with.
        clock: an age, in seconds; the monotonic clock by default.
        wall_clock: seconds since 1970.
    """

    __slots__ = ("_clock", "_lists")

    def __init__(
        self,
        published: Iterable[PublishedLists],
        keys: KeySource,
        *,
        clock: Callable[[], float] = monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        # An issuer's list is found by the issuer first: another's, of whatever name, never is.
        self._lists = {
            one.issuer.issuer: {
                uri: _KeptList(one, uri, keys, clock, wall_clock)
                for uri in sorted(one.issuer.status_lists)
            }
            for one in published
        }

    def current(self, token: AccessToken) -> bool:
        """Whether :meth:`check` can decide by what is in memory. Never waits."""
        status = token.status
        return status is None or self._lists[token.issuer][status.uri].current() is not None

    async def fetch(self, token: AccessToken) -> None:
        """Go and get the list of a token, if it is time to; then :meth:`check` decides.

        Raises nothing: what could not be had is not there when it is checked.
        """
        status = token.status
        if status is not None:
            await self._lists[token.issuer][status.uri].fetch()

    def check(self, token: AccessToken, now: float, *, admit_stale: bool = False) -> None:
        """Refuse a token that its issuer has marked as anything but valid. Never waits.

        Parameters:
            token: a verified token; one without a status is in no list, and passes.
            now: seconds since 1970, read once for the whole request.
            admit_stale: whether a list that is missing or too old admits. What it last said of a
                token holds all the same.

        Raises:
            Refused: ``token_revoked``.
            Unavailable: ``revocation_unavailable``, if the list is missing or too old, or has no
                such place.
        """
        status = token.status
        if status is None:
            return
        kept = self._lists[token.issuer][status.uri]
        found = kept.current()
        stale = found is None or not now < found.expires_at
        if stale:
            found = kept.latest()
        marked = None if found is None else found.status(status.index)
        if marked:
            raise Refused(Code.TOKEN_REVOKED, f"the list of its issuer says {marked}")
        if stale:
            if not admit_stale:
                raise kept.unavailable("the list of its status is missing or too old")
        elif marked is None:
            # A newer list may have it; this one says nothing of it.
            raise kept.unavailable("the list of its status has no such place")

    def follow(self, other: StatusLists) -> None:
        """Know the lists that another one has, as such that are too old.

        What they say of a token to be revoked holds, and nobody can send an older one. From any
        thread.
        """
        for issuer, lists in self._lists.items():
            theirs = other._lists.get(issuer, {})
            for uri, kept in lists.items():
                if uri in theirs and kept.kept.value is None:
                    kept.kept.value = theirs[uri].kept.value

    def open(self) -> None:
        """Start to get the lists and to keep them fresh; waits for nothing."""
        for kept in self._each():
            kept.kept.keep_fresh()

    def close(self) -> None:
        """End the renewals."""
        for kept in self._each():
            kept.kept.close()

    def health(self) -> tuple[StatusListHealth, ...]:
        """Say how each list is. Never waits."""
        return tuple(kept.health() for kept in self._each())

    def _each(self) -> Iterable[_KeptList]:
        return (kept for lists in self._lists.values() for kept in lists.values())


class _KeptList:
    """One list, kept fresh."""

    __slots__ = ("_clock", "_keys", "_published", "_uri", "_wall_clock", "kept")

    def __init__(
        self,
        published: PublishedLists,
        uri: str,
        keys: KeySource,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._published = published
        self._uri = uri
        self._keys = keys
        self._clock = clock
        self._wall_clock = wall_clock
        half = published.max_age / 2
        self.kept: Kept[_Held] = Kept(
            self._load,
            Schedule(
                floor=min(_FLOOR, half),
                # Asked for twice in its greatest age, so that one answer may fail.
                ceiling=half,
                default=half,
                hard_limit=published.max_age,
                last_retry=min(30.0, half),
            ),
            unavailable=Code.REVOCATION_UNAVAILABLE,
            budget=Budget(clock=clock),
            clock=clock,
        )

    def current(self) -> StatusList | None:
        """Return the list if it is not too old."""
        held = self.kept.current()
        return None if held is None or self._clock() >= held.until else held.list

    def latest(self) -> StatusList | None:
        """Return the list, however old."""
        held = self.kept.value
        return None if held is None else held.list

    def unavailable(self, why: str) -> Unavailable:
        """Return what to raise if the list does not tell."""
        due = self.kept.next_at
        wait = 1 if due is None else max(1, math.ceil(due - self._clock()))
        return Unavailable(Code.REVOCATION_UNAVAILABLE, why, retry_after=wait)

    async def fetch(self) -> None:
        """Get the list if it is time to; wait for it only if there is none to use."""
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self.kept.get()

    def health(self) -> StatusListHealth:
        kept, now, found = self.kept, self._clock(), self.current()
        return StatusListHealth(
            issuer=self._published.issuer.issuer,
            uri=self._uri,
            places=None if found is None else found.places,
            age=None if kept.loaded_at is None else now - kept.loaded_at,
            max_age=self._published.max_age,
            last_error=kept.last_error,
            last_error_age=(
                None
                if kept.last_error is None or kept.last_error_at is None
                else now - kept.last_error_at
            ),
            next_refresh=None if kept.next_at is None else kept.next_at - now,
        )

    async def _load(self, last: _Held | None, /) -> tuple[_Held, float | None]:
        """Fetch the list, verify it, and see that it is no older than the one before."""
        started, now = self._clock(), self._wall_clock()
        issuer = self._published.issuer
        # (1) What is published where the policy says.
        try:
            answer = await self._published.fetch.get(self._uri, accept=_ACCEPT)
        except FetchError as error:
            raise NotLoaded(error.reason, error.retry_after) from None
        # (2) Signed by this issuer, as a list. A long one takes a while: not on this loop.
        try:
            jws = await asyncio.to_thread(take_apart, answer.body, STATUS_LIST_TYPE, MAX_LIST_TOKEN)
            key = await key_of(jws, issuer, self._keys)
            found = await asyncio.to_thread(self._read, jws, key, now)
        except Refused as refused:
            detail = refused.refusal.detail or refused.refusal.code.value
            raise NotLoaded(f"the list is refused: {detail}") from None
        except Unavailable as error:
            detail = error.refusal.detail or error.refusal.code.value
            raise NotLoaded(f"the keys are unavailable: {detail}", error.retry_after) from None
        except MalformedStatusList as flaw:
            raise NotLoaded(str(flaw)) from None
        # (3) Not older than what is known: whoever sends yesterday's list takes a revocation back.
        if last is not None and found.issued_at < last.list.issued_at:
            raise NotLoaded("the list was issued before the one that is known already")
        # (4) For how long. What its issuer states precedes what the answer's headers say.
        said = freshness(answer.headers) if found.ttl is None else found.ttl
        until = math.inf if found.ttl is None else started + max(found.ttl, _FLOOR)
        fresh_for = min(math.inf if said is None else said, found.expires_at - now)
        return _Held(found, until), None if fresh_for == math.inf else fresh_for

    def _read(self, jws: UnverifiedJws, key: Jwk, now: float) -> StatusList:
        issuer = self._published.issuer
        return read_status_list(
            verify(jws, key).payload,
            uri=self._uri,
            issuer=issuer.issuer,
            audience=issuer.audience,
            now=now,
            ahead=issuer.max_age_ahead,
        )
