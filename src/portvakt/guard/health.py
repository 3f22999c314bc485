"""How current all is that decisions rest on, and how to make it so before the first request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from portvakt.errors import Unavailable
from portvakt.refusal import Code

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portvakt.guard.parts import Parts
    from portvakt.guard.revocation import RevocationHealth
    from portvakt.net.introspection import IntrospectionHealth
    from portvakt.net.keys import KeysHealth, KeySource
    from portvakt.net.security_events import EventStreamHealth
    from portvakt.net.status_lists import StatusListHealth
    from portvakt.policy.issuer import TrustedIssuer
    from portvakt.records.writer import RecordsHealth
    from portvakt.registers.base import RegisterHealth
    from portvakt.stores.base import StoreHealth

__all__ = ["Health", "health", "warm"]


class Health(NamedTuple):
    """How a guard is, at one moment.

    Attributes:
        keys: of each issuer, how its keys are.
        registers: of each register, how it is.
        introspection: of each issuer that is asked about reference tokens, how that goes.
        revocation: how the mirror of revocations is; None where nothing is revoked.
        status_lists: of each status list, how it is.
        events: of each issuer that tells of sessions and accounts, how that goes.
        store: how the store of proofs and revocations is; None where there is none.
        records: how the records of decisions are; None where none are kept.
    """

    keys: tuple[KeysHealth, ...]
    registers: tuple[RegisterHealth, ...] = ()
    introspection: tuple[IntrospectionHealth, ...] = ()
    revocation: RevocationHealth | None = None
    status_lists: tuple[StatusListHealth, ...] = ()
    events: tuple[EventStreamHealth, ...] = ()
    store: StoreHealth | None = None
    records: RecordsHealth | None = None

    @property
    def ready(self) -> bool:
        """Whether every issuer's keys are there, and what was revoked is known."""
        if any(keys.keys is None for keys in self.keys):
            return False
        return self.revocation is None or not self.revocation.stale


def health(issuers: Iterable[TrustedIssuer], keys: KeySource, parts: Parts) -> Health:
    """Say how current all is that decisions rest on. Never waits."""
    standing = parts.standing
    mirror = None if standing is None else standing.mirror
    lists = None if standing is None else standing.lists
    events = None if standing is None else standing.events
    return Health(
        keys=tuple(map(keys.health, issuers)),
        registers=() if parts.registers is None else parts.registers.health(),
        introspection=() if parts.introspection is None else parts.introspection.health(),
        revocation=None if mirror is None else mirror.health(),
        status_lists=() if lists is None else lists.health(),
        events=() if events is None else events.health(),
        store=None if parts.store is None else parts.store.health(),
        records=None if parts.records is None else parts.records.health(),
    )


async def warm(issuers: Iterable[TrustedIssuer], keys: KeySource, parts: Parts) -> None:
    """Get the keys of every issuer, all at once, and what was revoked; runs at home.

    Raises:
        Unavailable: naming each issuer whose keys cannot be had, and why; or saying why it is not
            known what was revoked.
    """
    listed = tuple(issuers)
    answers = await asyncio.gather(
        *(keys.fetch(issuer) for issuer in listed), return_exceptions=True
    )
    flaws = []
    for issuer, answer in zip(listed, answers, strict=True):
        if isinstance(answer, Unavailable):
            flaws.append(f"{issuer.issuer}: {answer.refusal.detail}")
        elif isinstance(answer, BaseException):
            raise answer
    if flaws:
        raise Unavailable(Code.KEYS_UNAVAILABLE, "; ".join(flaws))
    mirror = None if parts.standing is None else parts.standing.mirror
    if mirror is not None:
        await mirror.catch_up()
        if not mirror.current():
            raise mirror.unavailable()
