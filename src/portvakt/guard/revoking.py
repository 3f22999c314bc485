"""From what a person wants revoked to what a store keeps: pure."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from portvakt.errors import ConfigurationError, Problem
from portvakt.policy.handles import Kind, handle_of
from portvakt.stores.base import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portvakt.policy.issuer import TrustedIssuer

__all__ = ["KEEP_KEY", "Revocation", "entry_for"]

#: Seconds for which a revoked key is remembered if nothing else is said. Whoever has it goes on
#: signing: until then it must have gone from the issuer's key set.
KEEP_KEY: Final = 30 * 86400.0

#: The longest that a revocation is remembered: ten years.
MAX_KEEP: Final = 3660 * 86400.0

#: Those that are revoked whenever they were issued.
_TIMELESS: Final = frozenset({Kind.TOKEN, Kind.KEY})

#: Characters of a name: as many as a token's own may have.
_MAX_NAME: Final = 1024

#: How a signed or encrypted token begins: a JSON object in base64url, and a dot.
_SIGNED: Final = re.compile(r"eyJ[A-Za-z0-9_-]+\.")

_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class Revocation(Struct, frozen=True, kw_only=True):
    """What somebody wants revoked.

    Attributes:
        issuer: whose tokens: exactly what stands in ``iss``.
        kind: by what they are named: one token, or all of a session, a subject, a client or a
            signing key; or all of the issuer.
        value: which one, exactly as the token says it; for a key its RFC 7638 thumbprint; for the
            issuer as a whole, nothing.
        issued_before: seconds since 1970: tokens issued before that are revoked, and others not, as
            by ``iat``, which most issuers round down. None: those issued until now, and a little
            longer: for as long as the issuer's clock may be ahead of ours by its ``leeway``. One
            token and a key are revoked whenever they were issued.
        keep_for: seconds for which this is remembered. It cannot be shorter than the tokens live
            that are revoked. None: for just that long, and for a key 30 days.
    """

    issuer: str
    kind: Kind
    value: str = ""
    issued_before: float | None = None
    keep_for: float | None = None

    # The value may be somebody's identity number.
    def __repr__(self) -> str:
        """Show of whose tokens something is revoked, and not what."""
        return f"Revocation(issuer={self.issuer!r}, kind={self.kind!s})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("issuer", self.issuer), ("kind", self.kind)]


def entry_for(wanted: Revocation, issuers: Mapping[str, TrustedIssuer], now: float) -> Entry:
    """Return what a store has to keep.

    Does not check that there is such a token, session, subject, client or key: nobody here knows.
    A value that is misspelt revokes nothing.

    Parameters:
        wanted: what is to be revoked.
        issuers: those of the policy, by name. How long their tokens live is how long this is kept:
            where guards with other policies read the same store and allow longer lives, *keep_for*
            has to say so.
        now: seconds since 1970.

    Raises:
        ConfigurationError: with everything that is wrong; it does not repeat the value.
    """
    issuer = issuers.get(wanted.issuer)
    if issuer is None:
        known = ", ".join(issuers)
        raise ConfigurationError([Problem("issuer", f"is not in the policy; there are {known}")])
    # A token that is revoked now says at most so much later that it was issued, lives so long at
    # the most, and is taken for so much longer.
    ahead = max(issuer.max_age_ahead, issuer.leeway) + 1
    needed = ahead + issuer.max_lifetime + issuer.leeway
    problems = tuple(_flaws(wanted, issuer, needed, now))
    if problems:
        raise ConfigurationError(problems)
    if wanted.kind in _TIMELESS:
        before, usual = math.inf, KEEP_KEY if wanted.kind is Kind.KEY else needed
    elif wanted.issued_before is None:
        # With all of this second, in which the issuer may have issued just before.
        before, usual = math.floor(now) + 1 + issuer.leeway, needed
    else:
        # Never earlier than asked: of two tokens in doubt, both go.
        before, usual = float(math.ceil(wanted.issued_before)), needed
    keep_for = usual if wanted.keep_for is None else wanted.keep_for
    handle = handle_of(wanted.kind, issuer.issuer, wanted.value)
    return Entry(handle, before, now + max(keep_for, needed))


def _flaws(
    wanted: Revocation, issuer: TrustedIssuer, needed: float, now: float
) -> Iterator[Problem]:
    kind, value = wanted.kind, wanted.value
    if kind is Kind.ISSUER:
        if value:
            yield Problem("value", "means nothing where everything of an issuer is revoked")
    elif kind is Kind.TOKEN and _SIGNED.match(value):
        # It would be written down, and revoke nothing.
        yield Problem("value", "is a token itself: state its jti")
    elif not 0 < len(value) <= _MAX_NAME:
        yield Problem("value", f"must be 1 to {_MAX_NAME} characters")
    elif kind is Kind.KEY and not _THUMBPRINT.fullmatch(value):
        yield Problem("value", "must be the RFC 7638 thumbprint of the key: 43 characters")
    elif not value.isprintable():
        # No token that says so is ever admitted, so it is a slip: a line break, mostly.
        yield Problem("value", "has a character that does not print")
    before = wanted.issued_before
    if before is not None:
        if kind in _TIMELESS:
            # Who has the key writes into iat what he likes.
            yield Problem("issued_before", f"means nothing for a {kind.value}")
        elif not 0 <= before <= now + issuer.max_age_ahead:
            yield Problem("issued_before", "must be a time that is past, in seconds since 1970")
    keep_for = wanted.keep_for
    if keep_for is not None and not needed <= keep_for <= MAX_KEEP:
        yield Problem(
            "keep_for",
            f"must be at least {needed:.0f} seconds, as tokens of this issuer may live so long, "
            f"and at most {MAX_KEEP / 86400:.0f} days",
        )
