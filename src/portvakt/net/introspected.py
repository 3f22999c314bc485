"""What issuers said of reference tokens: in this process only, bounded, and never for long.

An answer is found by a keyed digest of the issuer and every character of the token (CACHE-01,
CACHE-04). The key is drawn when the memory is made: nobody outside can tell which tokens collide,
and the memory holds no token. What is remembered is the token's claims checked in full, not a
verdict on a request (CACHE-03); and an answer is used only for as long as each caller allows.

Answers come in at home, one after the other; any thread may read them.
"""

from __future__ import annotations

import secrets
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from portvakt.clock import monotonic
from portvakt.errors import Refused
from portvakt.policy.token import AccessToken
from portvakt.refusal import Code, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from portvakt.policy.issuer import TrustedIssuer

__all__ = ["NEGATIVE", "Introspected", "Said"]

#: Seconds for which a "no" is remembered, for every caller: it admits nobody, and a token that is
#: made active must soon be.
NEGATIVE: Final = 2.0


class Said(Struct, frozen=True, gc=False):
    """What an issuer said of one token.

    Attributes:
        token: the token, if it is active and passed every check; else None.
        refusal: why not, if it is None.
        start, end: the token is good from and until then, leeway included; seconds since 1970.
        asked_at: when the exchange began, as an age.
        asked_on: the same by the wall clock, which counts on while a machine is suspended.
    """

    token: AccessToken | None
    refusal: Refusal | None
    start: float
    end: float
    asked_at: float
    asked_on: float

    @classmethod
    def good(cls, token: AccessToken, issuer: TrustedIssuer, asked: tuple[float, float]) -> Said:
        """Return what was said of a token that has passed every check."""
        start = token.issued_at - issuer.max_age_ahead
        if token.not_before is not None:
            start = max(start, token.not_before - issuer.leeway)
        return cls(token, None, start, token.expires_at + issuer.leeway, *asked)

    @classmethod
    def bad(cls, refusal: Refusal, asked: tuple[float, float]) -> Said:
        """Return what was said of a token that is refused."""
        return cls(None, refusal, 0.0, 0.0, *asked)

    def judged(self, now: float) -> AccessToken:
        """Return the token to somebody whose request came *now*.

        Raises:
            Refused: why it is not good, or not at that time.
        """
        if self.refusal is not None:
            raise Refused(self.refusal.code, self.refusal.detail)
        if self.token is None or not now < self.end:
            raise Refused(Code.TOKEN_EXPIRED, "expired while its issuer was asked")
        if not self.start <= now:
            raise Refused(Code.NOT_YET_VALID, "not valid yet at the time of the request")
        return self.token

    # It holds claims (msgspec gives rich a repr of its own).
    def __repr__(self) -> str:
        """Show whether it is good."""
        return f"Said(good={self.token is not None})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("good", self.token is not None)]


class Introspected:
    """Two bounded memories, of good tokens and of others: invented ones displace no good one.

    When one is full, what was asked about first goes: forgetting only costs another question.

    Parameters:
        capacity: how many answers of each kind are remembered.
        clock: an age, in seconds; the monotonic clock by default.
    """

    __slots__ = ("_bad", "_begun", "_capacity", "_clock", "_good", "_key")

    def __init__(self, capacity: int = 10_000, clock: Callable[[], float] = monotonic) -> None:
        self._capacity = max(1, capacity)
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._begun: dict[str, blake2b] = {}
        self._good: dict[bytes, Said] = {}
        self._bad: dict[bytes, Said] = {}

    def digest(self, issuer: str, token: str) -> bytes:
        """Return what an answer is found by. Neither an issuer nor a token holds a line break."""
        begun = self._begun.get(issuer)
        if begun is None:
            text = f"{issuer}\n".encode()
            begun = self._begun[issuer] = blake2b(text, digest_size=32, key=self._key)
        # What is the same for all tokens of an issuer is hashed once.
        digest = begun.copy()
        digest.update(token.encode("utf-8", "surrogatepass"))
        return digest.digest()

    def get(self, digest: bytes, max_staleness: float, now: float) -> AccessToken | None:
        """Return a token that its issuer called good at most so long ago; None means: ask.

        Parameters:
            digest: of which token.
            max_staleness: in seconds; 0 for: always ask.
            now: seconds since 1970; time is judged anew on each hit (CACHE-02).

        Raises:
            Refused: if its issuer has just said that it is not.
        """
        said = self._good.get(digest)
        if said is not None:
            # Refuses unless it holds, also if a time is no number.
            young = self._clock() - said.asked_at < max_staleness
            if young and now - said.asked_on < max_staleness and said.start <= now < said.end:
                return said.token
            return None
        said = self._bad.get(digest)
        if said is not None and self._clock() - said.asked_at < NEGATIVE:
            said.judged(now)
        return None

    def is_known(self, digest: bytes) -> bool:
        """Whether a token was good the last time that its issuer was asked."""
        return digest in self._good

    def put(self, digest: bytes, said: Said) -> None:
        """Remember what was said last, and nothing that was said before; runs at home."""
        into, out_of = (
            (self._good, self._bad) if said.token is not None else (self._bad, self._good)
        )
        out_of.pop(digest, None)
        # Last in the order of time, so that the first is always the oldest.
        into.pop(digest, None)
        while len(into) >= self._capacity:
            del into[next(iter(into))]
        into[digest] = said

    def clear(self) -> None:
        """Forget everything; runs at home."""
        self._good.clear()
        self._bad.clear()

    @property
    def good(self) -> int:
        """How many good tokens are remembered."""
        return len(self._good)

    @property
    def bad(self) -> int:
        """How many others."""
        return len(self._bad)

    def __repr__(self) -> str:
        """Show how many."""
        return f"Introspected(good={self.good}, bad={self.bad})"
