"""Self-contained tokens that were verified before: the second time costs a look-up.

An entry is the token's claims checked in full, not a verdict on a request: routes and scopes are
judged anew each time (CACHE-03). It is good only under the very key set that verified it, so a key
that is removed, replaced or too old takes its tokens with it, and no code purges anything.
"""

from typing import Final

from portvakt.jose.jwk_set import JwkSet
from portvakt.net.keys import KeySource
from portvakt.policy.access_token import AccessToken
from portvakt.policy.issuer import TrustedIssuer

__all__ = ["ValidatedTokens"]

Entry = tuple[str, AccessToken, TrustedIssuer, JwkSet, float, float]

#: Characters at the end of a token that entries are found by. They are a signature's, so no two
#: tokens share them; and an entry is used only if all of its characters are the same. To hash the
#: whole token would cost a quarter of a remembered token's check (measured: bench/).
_TAIL: Final = 64


class ValidatedTokens:
    """A bounded memory of verified tokens, by all their characters.

    Two generations: when the young one is full it becomes the old one, and an old token that is
    seen again is young again. So every operation is one look-up, and the tokens in use stay. What
    is forgotten is freed little by little, so that no single request pays for thousands.

    Parameters:
        keys: says which key set is current.
        capacity: how many tokens are remembered at most; each takes about seven kilobytes.
    """

    __slots__ = ("_forgotten", "_half", "_keys", "_old", "_young")

    def __init__(self, keys: KeySource, capacity: int = 10_000) -> None:
        self._keys = keys
        self._half: Final = max(1, capacity // 2)
        self._young: dict[str, Entry] = {}
        self._old: dict[str, Entry] = {}
        self._forgotten: dict[str, Entry] = {}

    def get(self, token: str, now: float) -> AccessToken | None:
        """Return what was verified, if it still holds; None means: verify it.

        Time is judged anew, so that a remembered token is refused in the same second as any other.
        """
        tail = token[-_TAIL:]
        entry = self._young.get(tail)
        if entry is None:
            entry = self._old.get(tail)
            if entry is None:
                return None
            self._remember(tail, entry)
        characters, access_token, issuer, keys, start, end = entry
        if start <= now < end and characters == token and self._keys.current(issuer) is keys:
            return access_token
        return None

    def put(
        self, token: str, access_token: AccessToken, issuer: TrustedIssuer, keys: JwkSet
    ) -> None:
        """Remember a token that has passed every check, with the key set that verified it."""
        leeway, not_before = issuer.leeway, access_token.not_before
        start = access_token.issued_at - issuer.max_age_ahead
        if not_before is not None and not_before - leeway > start:
            start = not_before - leeway
        end = access_token.expires_at + leeway
        self._remember(token[-_TAIL:], (token, access_token, issuer, keys, start, end))

    def _remember(self, tail: str, entry: Entry) -> None:
        if self._forgotten:
            self._free()
        if len(self._young) >= self._half:
            self._forgotten, self._old, self._young = self._old, self._young, {}
        self._young[tail] = entry

    def _free(self) -> None:
        try:
            self._forgotten.popitem()
            self._forgotten.popitem()
        except KeyError:
            pass  # It was the last one, or another thread was faster.

    def __len__(self) -> int:
        """Return how many tokens are remembered."""
        return len(self._young) + len(self._old)

    def __repr__(self) -> str:
        """Show how many: what is remembered are tokens."""
        return f"ValidatedTokens({len(self)})"
