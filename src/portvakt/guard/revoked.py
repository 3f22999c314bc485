"""What is revoked, in memory: a hundred thousand digests, and an answer in a tenth of a µs.

One dict and nothing beside it. Where neither a token's issuer nor anything else that it says is
revoked, which is nearly always, one call into C finds that out: see :attr:`Revoked.clears`.

**Threads.** Any thread may ask while another changes this. What is asked is one look-up of a digest
at a time, which the interpreter does as a whole; digests are octets, so that no code of ours runs
in the middle of it. A value is a number: it is replaced, never changed. So who asks sees a
revocation whole or not yet, and that it was not there yet is what its age is counted for. Those who
*write* do so one at a time, under a lock that nobody who asks ever waits for.
"""

from __future__ import annotations

import threading
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from portvakt.policy.token import AccessToken
    from portvakt.stores.base import Entry

__all__ = ["Revoked"]

# The value of an entry is one number, which a Python int holds in 32 octets: before which second a
# token was issued that is revoked, and after it in which slot of time the entry ends. An object for
# each of the two would cost three times that, for each of a hundred thousand.
_SLOT_BITS: Final = 26
_LAST_SLOT: Final = (1 << _SLOT_BITS) - 1
#: Seconds of a slot: the last one begins in the year 2242.
_SLOT: Final = 128
#: Whenever it was issued. As a time this is the year 2514.
_ALWAYS: Final = (1 << 34) - 1

#: Entries that are looked through in one go for what has expired: a fraction of a millisecond.
_SLICE: Final = 2000


class Revoked:
    """Every revocation that is known and has not ended.

    Times are kept to the second and rounded up: a token issued in the same second as the end of
    what is revoked is revoked if that end lies within the second. An entry stays up to two minutes
    beyond its end.

    Attributes:
        clears: whether none of some handles is revoked, for any time. From any thread.
    """

    __slots__ = ("_entries", "_lock", "clears")

    def __init__(self) -> None:
        self._entries: dict[bytes, int] = {}
        # A view of a dict walks through the smaller one of the two sets: six handles, not a hundred
        # thousand entries.
        self.clears: Final[Callable[[frozenset[bytes]], bool]] = self._entries.keys().isdisjoint
        self.start_afresh()

    def start_afresh(self) -> None:
        """Make it writable after a fork, where a thread that stayed behind may hold the lock."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many things are revoked."""
        return len(self._entries)

    def names(self, token: AccessToken, now: float) -> bool:
        """Whether a token is revoked: by one of its handles, and issued before that one's time.

        Parameters:
            token: a verified token.
            now: seconds since 1970.
        """
        get, issued_at = self._entries.get, token.issued_at
        for handle in token.handles:
            value = get(handle)
            if value is None:
                continue
            before = value >> _SLOT_BITS
            # In the form "revoked unless it holds": a time that is no number revokes too.
            late = issued_at >= before and before != _ALWAYS
            if not (late or now >= (value & _LAST_SLOT) * _SLOT):
                return True
        return False

    def put(self, entries: Iterable[Entry]) -> None:
        """Take entries in. Of one that is there already the later of both times counts, and of both
        ends too: nothing takes a revocation back.
        """  # noqa: D205  one sentence
        known = self._entries
        with self._lock:
            for entry in entries:
                before, slot = _rounded(entry)
                value = known.get(entry.handle)
                if value is not None:
                    before = max(before, value >> _SLOT_BITS)
                    slot = max(slot, value & _LAST_SLOT)
                known[entry.handle] = before << _SLOT_BITS | slot

    def follow(self, other: Revoked) -> None:
        """Take in what another one has, as :meth:`put` does. From any thread."""
        known = self._entries
        # The copy is one operation, that no Python code interrupts.
        for handle, theirs in other._entries.copy().items():
            with self._lock:
                mine = known.get(handle, 0)
                before = max(mine >> _SLOT_BITS, theirs >> _SLOT_BITS)
                known[handle] = before << _SLOT_BITS | max(mine & _LAST_SLOT, theirs & _LAST_SLOT)

    def forget(self, now: float) -> Iterator[None]:
        """Forget what has ended, a little with each step of this iterator.

        Parameters:
            now: seconds since 1970.
        """
        known = self._entries
        handles = list(known)
        for start in range(0, len(handles), _SLICE):
            with self._lock:
                for handle in handles[start : start + _SLICE]:
                    slot = known.get(handle, _LAST_SLOT) & _LAST_SLOT
                    if slot != _LAST_SLOT and now >= slot * _SLOT:
                        del known[handle]
            yield


def _rounded(entry: Entry) -> tuple[int, int]:
    """Return a time in seconds and an end in slots. What is no number raises, and is not put."""
    before, end = entry.issued_before, entry.expires_at / _SLOT
    return (
        _ALWAYS if before >= _ALWAYS else max(0, ceil(before)),
        _LAST_SLOT if end >= _LAST_SLOT else max(0, ceil(end)),
    )
