"""Keys that an issuer publishes, fetched and kept fresh; and what to do when it is down.

What a token says chooses nothing here: its header is looked up in the set, and if no key fits, the
issuer of the policy is asked once more, at most once in a cooldown. Until it has answered nobody
knows whether there is such a key, so the answer is 503, never a remembered 401 (JWKS-15, JWKS-23).
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final, NoReturn

from msgspec import Struct

from portvakt.clock import monotonic
from portvakt.errors import Unavailable
from portvakt.jose.jwk_set import JwkSet, MalformedKeySet
from portvakt.net.address import FetchError
from portvakt.net.answer import freshness
from portvakt.net.cache import Budget, Kept, NotLoaded, Schedule
from portvakt.net.discovery import Discovery
from portvakt.net.fetch import Fetch
from portvakt.net.key_files import KeyFile
from portvakt.net.keys import KeysHealth, KeySource
from portvakt.refusal import Code

if TYPE_CHECKING:
    from collections.abc import Callable

    from portvakt.jose.header import Header
    from portvakt.policy.issuer import TrustedIssuer

__all__ = ["KeyEndpoint", "RemoteKeys"]

#: Names of keys that an issuer was asked for in vain, remembered at most; the oldest go first.
_MAX_MISSING: Final = 1024

#: Seconds for which an issuer is not asked again for a key that it did not have.
_MISSING: Final = 30.0

_ACCEPT: Final = "application/jwk-set+json, application/json"


class KeyEndpoint(Struct, frozen=True, kw_only=True):
    """Where an issuer publishes its keys, and which of them may be used.

    Attributes:
        where: a URL, or the metadata that names one.
        fetch: how it is asked.
        pinned: if any, the RFC 7638 thumbprints of the only keys that may be used.
        schedule: when it is asked, and how long the last good keys serve.
        file: where the last good keys are kept for the next start; None for nowhere.
    """

    where: str | Discovery
    fetch: Fetch
    pinned: frozenset[str]
    schedule: Schedule
    file: KeyFile | None


class RemoteKeys(KeySource):
    """The keys of one issuer, from its key endpoint.

    Parameters:
        issuer: whose keys.
        endpoint: where they are published.
        budget: questions on callers' accounts, shared with the other issuers of a guard.
        clock: an age, in seconds; the monotonic clock by default.
        wall_clock: seconds since 1970, for what outlives this process and for the issuer's clock.
    """

    def __init__(
        self,
        issuer: TrustedIssuer,
        endpoint: KeyEndpoint,
        *,
        budget: Budget,
        clock: Callable[[], float] = monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = issuer
        self._endpoint = endpoint
        self._clock = clock
        self._wall_clock = wall_clock
        self._clock_offset: float | None = None
        self._published: JwkSet | None = None
        self._missing: dict[tuple[str, str | None], float] = {}
        self._kept: Kept[JwkSet] = Kept(
            self._load,
            endpoint.schedule,
            unavailable=Code.KEYS_UNAVAILABLE,
            budget=budget,
            clock=clock,
        )
        file = endpoint.file
        earlier = file.read(self._import, wall_clock()) if file is not None else None
        if earlier is not None:
            self._kept.offer(*earlier)

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet | None:  # noqa: ARG002  the port
        """Return the keys in memory; see :class:`~portvakt.KeySource`."""
        keys = self._kept.current()
        if header is None or keys is None or keys.has(header.alg, header.kid):
            return keys
        self._check_patience(header)
        return None

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:  # noqa: ARG002  the port
        """Get the keys, newer ones if none fits *header*; see :class:`~portvakt.KeySource`."""
        keys = await self._kept.get()
        if header is None or keys.has(header.alg, header.kid):
            return keys
        self._check_patience(header)
        newer = await self._kept.renew(lambda newer: newer.has(header.alg, header.kid))
        if not newer.has(header.alg, header.kid):
            self._note_missing(header)
        return newer

    def age(self, issuer: TrustedIssuer) -> float | None:  # noqa: ARG002  the port
        """Return the age of the keys; see :class:`~portvakt.KeySource`."""
        loaded_at = self._kept.loaded_at
        return None if loaded_at is None else self._clock() - loaded_at

    def health(self, issuer: TrustedIssuer) -> KeysHealth:
        """Say how the keys are; see :class:`~portvakt.KeySource`."""
        kept, now, where = self._kept, self._clock(), self._endpoint.where
        keys = kept.value
        return KeysHealth(
            issuer=issuer.issuer,
            source=where if isinstance(where, str) else where.source,
            keys=len(keys.keys) if keys is not None and kept.usable() is not None else None,
            age=self.age(issuer),
            hard_limit=self._endpoint.schedule.hard_limit,
            last_error=kept.last_error,
            last_error_age=(
                None
                if kept.last_error is None or kept.last_error_at is None
                else now - kept.last_error_at
            ),
            next_refresh=None if kept.next_at is None else kept.next_at - now,
            clock_offset=self._clock_offset,
            published=self._published,
        )

    def open(self) -> None:
        """Start the renewals, the first of them at once."""
        self._kept.keep_fresh()

    def close(self) -> None:
        """End the renewals."""
        self._kept.close()

    def _check_patience(self, header: Header) -> None:
        """Raise if it is too early to ask for the key that a token names."""
        wait = self._kept.cooling()
        until = self._missing.get((header.alg, header.kid))
        if until is not None:
            wait = max(wait, until - self._clock())
        if wait > 0:
            raise Unavailable(
                Code.KEYS_UNAVAILABLE,
                "no key fits, and it is too early to ask again",
                retry_after=math.ceil(wait),
            )

    def _note_missing(self, header: Header) -> None:
        missing = self._missing
        while len(missing) >= _MAX_MISSING:
            del missing[next(iter(missing))]
        # Last in the order of time, so that the first is always the oldest.
        missing.pop((header.alg, header.kid), None)
        missing[header.alg, header.kid] = self._clock() + _MISSING

    async def _load(self, last: JwkSet | None, /) -> tuple[JwkSet, float | None]:
        """Fetch, import and remember the keys; the same object where nothing has changed."""
        where = self._endpoint.where
        self._published = None
        try:
            url = where if isinstance(where, str) else await where.jwks_uri()
            started = self._wall_clock()
            answer = await self._endpoint.fetch.get(url, accept=_ACCEPT)
        except FetchError as error:
            self._forget_endpoint()
            raise NotLoaded(error.reason, error.retry_after) from None
        # An answer out of a cache on the way has the Date of an earlier one.
        if answer.date is not None and "age" not in dict(answer.headers):
            # A Date has whole seconds, cut off: on average half of one is missing.
            middle = (started + self._wall_clock()) / 2
            self._clock_offset = round(answer.date + 0.5 - middle)
        try:
            keys = self._import(answer.body)
        except MalformedKeySet as flaw:
            self._forget_endpoint()
            raise NotLoaded(str(flaw)) from None
        self._published = keys
        if not keys.keys:
            self._forget_endpoint()
            _refuse_empty(keys)
        if self._endpoint.file is not None:
            await self._endpoint.file.write(answer.body, started)
        if last is not None and keys.same_as(last):
            keys = last
        return keys, freshness(answer.headers)

    def _import(self, text: bytes) -> JwkSet:
        return JwkSet.from_json(text, self._issuer.algorithms, self._endpoint.pinned)

    def _forget_endpoint(self) -> None:
        # It may have moved: ask the metadata again before the next attempt.
        if not isinstance(self._endpoint.where, str):
            self._endpoint.where.forget()


def _refuse_empty(keys: JwkSet) -> NoReturn:
    # An empty set is somebody's mistake more often than an order to trust no one; the last good
    # keys serve on until the hard limit, which bounds both (JWKS-13).
    reasons = "; ".join(sorted({key.reason for key in keys.ignored})) or "the set is empty"
    raise NotLoaded(f"the set has no usable key: {reasons}")
