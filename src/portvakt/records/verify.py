"""Whether records are all there, unchanged and in their order: read once, from first to last.

What this proves, and what not:

- Of what lies between the first and the last record of a chain nothing was changed, removed, added
  or put elsewhere, unless by somebody who has the key.
- A chain that has its end record ended there. One that has none may have been cut off, or its
  writer was killed, or is still writing: these cannot be told apart by the chain alone. Heads that
  were kept elsewhere can tell, and so can the chains of later writers, whose first record says
  where those before them stood.
- Whether what was decided is true, or a decision never was handed to the writer, no chain can say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portvakt.jose.encoding import encode_base64url
from portvakt.records.chain import Head, Unreadable, link_of, next_link, open_sealed
from portvakt.records.record import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from portvakt.records.key import RecordKey
    from portvakt.records.record import Record

__all__ = ["Flaw", "UnknownKey", "Verifier"]


class Flaw(NamedTuple):
    """Something that is not as it was written.

    Attributes:
        place: where, as the reader of the records names its lines; empty for a chain as a whole.
        what: what is wrong, in words that hold nothing of a record but its number and its writer.
    """

    place: str
    what: str


class UnknownKey(Exception):  # noqa: N818  it says what the key is
    """A record is made with a secret that is not at hand: nothing can be said of it.

    Attributes:
        id: the name of the secret.
    """

    def __init__(self, name: str) -> None:
        self.id = name
        super().__init__(name)


class _Seen:
    """How far one chain was read."""

    __slots__ = ("ended", "key", "link", "n", "records")

    def __init__(self, key: RecordKey) -> None:
        self.key = key
        self.n = 0
        self.link = bytes(32)
        self.records = 0
        self.ended = False


class Verifier:
    """Reads chains, each line once; what it remembers does not grow with their length.

    Parameters:
        keys: the secrets by their names.
        expected: heads that were kept elsewhere: each chain has to go through them.
        pruned: whether older files may have been deleted: a chain may then begin with any of its
            files, and a chain that only other chains tell of may be missing.

    Attributes:
        decisions: how many were read whose chain holds.
        lost: how many are missing by the writers' own word, because there was no room for them.
    """

    def __init__(
        self,
        keys: Mapping[str, RecordKey],
        expected: Iterable[Head] = (),
        *,
        pruned: bool = False,
    ) -> None:
        self._keys = keys
        self._pruned = pruned
        self._chains: dict[str, _Seen] = {}
        self._expected: dict[str, dict[int, str]] = {}
        self._told: set[str] = set()
        self.decisions = 0
        self.lost = 0
        for head in expected:
            self._expected.setdefault(head.writer, {})[head.n] = head.link

    def tell(self, heads: Iterable[Head]) -> None:
        """Take heads that stand in records themselves, before the chains that they are of are read.

        They are the word of a file that is still to be verified: what they say wrongly is a flaw.
        """
        for head in heads:
            self._told.add(head.writer)
            self._expected.setdefault(head.writer, {}).setdefault(head.n, head.link)

    def read(self, line: bytes, place: str) -> tuple[Record | None, list[Flaw]]:
        """Read the next line; return the record, if it holds, and what is wrong.

        Parameters:
            line: without its line break.
            place: what to call it.

        Raises:
            UnknownKey: if a chain begins with a secret that is not at hand.
        """
        try:
            record, body, link = open_sealed(line)
        except Unreadable as flaw:
            return None, [Flaw(place, f"this line is no record: {flaw}")]
        seen = self._chains.get(record.writer)
        if seen is None:
            seen, flaws = self._begin(record, place)
        else:
            flaws = []
        flaws += self._follow(seen, record, body, link, place)
        if flaws:
            return None, flaws
        seen.records += 1
        if record.kind == Kind.DECISION:
            self.decisions += 1
        elif record.kind == Kind.LOST:
            self.lost += record.count or 0
        elif record.kind == Kind.END:
            seen.ended = True
        return record, flaws

    def _begin(self, record: Record, place: str) -> tuple[_Seen, list[Flaw]]:
        key = self._keys.get(record.key)
        if key is None:
            raise UnknownKey(record.key)
        self._chains[record.writer] = seen = _Seen(key)
        if record.kind != Kind.PART or record.after is None:
            # The first record of all; or one in the middle, whose number tells what is missing.
            return seen, []
        seen.n = record.n
        try:
            seen.link = link_of(record.after)
        except Unreadable:
            return seen, [Flaw(place, f"record {record.n} of writer {record.writer} was changed")]
        if self._pruned:
            return seen, []
        what = f"records 0 to {record.n - 1} of writer {record.writer} are missing"
        return seen, [Flaw(place, f"{what}: earlier files")]

    def _follow(
        self, seen: _Seen, record: Record, body: bytes, link: bytes, place: str
    ) -> list[Flaw]:
        """See that a record is the next one, and go on from it whatever it is."""
        name = f"record {record.n} of writer {record.writer}"
        if record.n < seen.n:
            what = f"{name} stands behind record {seen.n - 1}"
            return [Flaw(place, f"{what}: moved, or here a second time")]
        flaws = []
        if record.n > seen.n:
            one = record.n == seen.n + 1
            missing = f"record {seen.n} is" if one else f"records {seen.n} to {record.n - 1} are"
            flaws.append(Flaw(place, f"before {name}, {missing} missing: removed, or moved"))
        elif next_link(seen.key.chain, seen.link, body) != link:
            flaws.append(Flaw(place, f"{name} was changed"))
        if seen.ended:
            flaws.append(Flaw(place, f"{name} stands behind the end of its chain"))
        if record.key != seen.key.id:
            flaws.append(Flaw(place, f"{name} names another key than its chain"))
        stated = self._expected.get(record.writer, {}).pop(record.n, None)
        if stated is not None and stated != encode_base64url(link):
            flaws.append(Flaw(place, f"{name} is another one than the head that is expected"))
        # What comes next is judged by what this one says of itself, so that one change is one flaw.
        seen.n, seen.link = record.n + 1, link
        return flaws

    def finish(self) -> Iterator[Flaw]:
        """Yield what is missing, when everything was read."""
        for writer, heads in self._expected.items():
            seen = self._chains.get(writer)
            if seen is None:
                if heads and not (self._pruned and writer in self._told):
                    yield Flaw("", f"the whole chain of writer {writer} is missing")
                continue
            # What lies before its beginning was deleted, as is said of it already.
            cut = [n for n in heads if n >= seen.n]
            if cut:
                what = f"the end of the chain of writer {writer} is missing"
                yield Flaw("", f"{what}: records {seen.n} to {max(cut)}, and perhaps more")

    def heads(self) -> Iterator[tuple[Head, int, bool]]:
        """Yield where each chain stands, how many of its records hold, and whether it ended."""
        for writer, seen in self._chains.items():
            head = Head(writer, seen.n - 1, encode_base64url(seen.link))
            yield head, seen.records, seen.ended
