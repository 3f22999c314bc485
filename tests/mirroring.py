"""What the tests of :class:`portvakt.guard.revocation.Mirror` share: tokens, entries, a mirror."""

import asyncio
import math
from collections.abc import Callable
from typing import Final

from msgspec import structs

from fake_store import FakeRevocations
from portvakt.guard.revocation import Mirror
from portvakt.jose.jwk_set import JwkSet
from portvakt.policy.access_token import AccessToken, check_claims
from portvakt.policy.handles import Kind, handle_of, handles_of
from portvakt.refusal import Code
from portvakt.stores.base import Entry
from portvakt.testing import FakeIssuer
from portvakt.testing.clock import FrozenClock

ISSUER: Final = "https://issuer.test"
NOW: Final = 1_800_000_000.0
STALE: Final = 6.0

_ISSUER: Final = FakeIssuer(ISSUER)


def verified(issuer: FakeIssuer, token: str) -> AccessToken:
    """Return what comes of a token that passes every check, with what it can be revoked by."""
    from portvakt.jose.jws import parse, verify

    jws = parse(token, {})
    keys = JwkSet.from_object(issuer.jwks(), issuer.trusted.algorithms)
    key = keys.select(jws.header.alg, jws.header.kid)
    return check_claims(verify(jws, key), issuer.trusted, issuer.clock(), revocable=True)


_TOKEN: Final = verified(_ISSUER, _ISSUER.token())


def token_of(token_id: str = "t", *, issued_at: float = NOW, subject: str = "s") -> AccessToken:
    handles = handles_of(
        ISSUER,
        token_id=token_id,
        session="session",
        subject=subject,
        client_id="client",
        key_thumbprint="key",
    )
    return structs.replace(_TOKEN, handles=handles, issued_at=issued_at)


def entry(
    value: str = "t",
    *,
    kind: Kind = Kind.TOKEN,
    issued_before: float = math.inf,
    expires_at: float = NOW + 3600,
) -> Entry:
    return Entry(handle_of(kind, ISSUER, value), issued_before, expires_at)


def mirror_of(
    store: FakeRevocations,
    clock: Callable[[], float],
    *,
    wall_clock: Callable[[], float] | None = None,
    timeout: float = 5.0,
    max_staleness: float = STALE,
) -> Mirror:
    return Mirror(
        store,
        max_staleness=max_staleness,
        clock=clock,
        wall_clock=FrozenClock(NOW) if wall_clock is None else wall_clock,
        timeout=timeout,
    )


def code_of(
    mirror: Mirror, token: AccessToken, now: float = NOW, *, admit_stale: bool = False
) -> Code | None:
    """Return why a token is not admitted; None if it is."""
    from portvakt.errors import Refused, Unavailable

    cleared = mirror.clears(token)
    try:
        mirror.check(token, now, admit_stale=admit_stale)
    except (Refused, Unavailable) as refusal:
        # The look that spares most requests the check never says more than it.
        assert not cleared
        return refusal.refusal.code
    return None


async def until(holds: Callable[[], object]) -> None:
    """Let everything happen that happens by itself, until something holds."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  there is no event of it
            await asyncio.sleep(0.001)


async def asked_again(mirror: Mirror) -> None:
    """Have a mirror ask now, as it does by itself when it is time, and wait for its end."""
    changed, attempt = mirror._changed, mirror._attempt
    assert changed is not None
    assert attempt is not None
    changed.set()
    async with asyncio.timeout(10):
        await attempt.wait()
