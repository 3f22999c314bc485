"""Whatever is done to records shows, and where; what was not touched still holds."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portvakt.records.chain import Chain, Head, Unreadable, link_of, next_link, open_sealed
from portvakt.records.key import RecordKey
from portvakt.records.record import Kind, Record
from portvakt.records.verify import UnknownKey, Verifier
from recording import KEY

if TYPE_CHECKING:
    from portvakt.records.chain import Sealed
    from portvakt.records.verify import Flaw

OTHER: Final = RecordKey(b"another secret of tests, long enough")


def chain_of(decisions: int, key: RecordKey = KEY, *, ended: bool = True) -> list[bytes]:
    """Return the lines of a chain: a start, decisions with a part between, and an end."""
    chain = Chain(key)

    def seal(kind: str, **members: Any) -> Sealed:
        return chain.seal(Record(chain.writer, chain.n, kind, key.id, 1.5, **members))

    lines = [seal(Kind.START, part=0, api="api", version="1")]
    lines += [seal(Kind.DECISION, outcome="admitted", method="GET") for _ in range(decisions)]
    if ended:
        lines.append(seal(Kind.END))
    return [one.line.rstrip(b"\n") for one in lines]


def read(lines: list[bytes], verifier: Verifier | None = None) -> list[Flaw]:
    if verifier is None:
        verifier = Verifier({KEY.id: KEY})
    flaws = [flaw for at, line in enumerate(lines, 1) for flaw in verifier.read(line, f":{at}")[1]]
    return [*flaws, *verifier.finish()]


def test_what_was_not_touched_holds() -> None:
    verifier = Verifier({KEY.id: KEY})
    assert read(chain_of(5) + chain_of(7), verifier) == []
    assert verifier.decisions == 12
    assert [ended for _, _, ended in verifier.heads()] == [True, True]


def test_a_chain_that_goes_on_holds_and_is_not_said_to_have_ended() -> None:
    verifier = Verifier({KEY.id: KEY})
    assert read(chain_of(3, ended=False), verifier) == []
    [(head, records, ended)] = verifier.heads()
    assert (head.n, records, ended) == (3, 4, False)


@pytest.mark.parametrize("at", [0, 1, 3, 6])
def test_a_change_shows_where_it_was_made_and_nowhere_else(at: int) -> None:
    lines = chain_of(5)
    lines[at] = lines[at].replace(b'"at":1.5', b'"at":1.6')
    [flaw] = read(lines)
    assert flaw.place == f":{at + 1}"
    assert "was changed" in flaw.what


@pytest.mark.parametrize("at", [0, 1, 3, 5])
def test_a_missing_record_shows_before_the_one_that_follows(at: int) -> None:
    lines = chain_of(5)
    del lines[at]
    [flaw] = read(lines)
    assert flaw.place == f":{at + 1}"
    assert f"record {at} is missing" in flaw.what


def test_several_missing_records_are_named() -> None:
    lines = chain_of(5)
    del lines[2:5]
    [flaw] = read(lines)
    assert "records 2 to 4 are missing" in flaw.what


def test_two_records_in_the_wrong_order_show() -> None:
    lines = chain_of(5)
    lines[2], lines[3] = lines[3], lines[2]
    flaws = read(lines)
    assert [flaw.place for flaw in flaws] == [":3", ":4", ":5"][: len(flaws)]
    assert "record 2 is missing" in flaws[0].what
    assert "stands behind record 3" in flaws[1].what


def test_a_record_that_stands_there_twice_shows() -> None:
    lines = chain_of(5)
    lines.insert(3, lines[2])
    [flaw] = read(lines)
    assert flaw.place == ":4"
    assert "a second time" in flaw.what


def test_what_was_added_behind_the_end_shows() -> None:
    lines, more = chain_of(2), chain_of(9)
    # Somebody without the key can but put a record of another chain there, under this one's name.
    record, _, _ = open_sealed(lines[0])
    other, _, _ = open_sealed(more[0])
    forged = more[4].replace(other.writer.encode(), record.writer.encode())
    [first, second] = read([*lines, forged])
    assert "was changed" in first.what
    assert "behind the end" in second.what


def test_another_key_makes_no_link() -> None:
    lines = [line.replace(OTHER.id.encode(), KEY.id.encode()) for line in chain_of(3, OTHER)]
    assert len(read(lines)) == len(lines)


def test_a_chain_under_a_key_that_is_not_at_hand_cannot_be_told() -> None:
    with pytest.raises(UnknownKey) as caught:
        read(chain_of(1, OTHER))
    assert caught.value.id == OTHER.id
    verifier = Verifier({KEY.id: KEY, OTHER.id: OTHER})
    assert read(chain_of(1, OTHER) + chain_of(1), verifier) == []


def test_a_key_does_not_change_within_a_chain() -> None:
    chain = Chain(KEY)
    lines = [
        chain.seal(Record(chain.writer, 0, Kind.START, KEY.id, 1.0)).line[:-1],
        chain.seal(Record(chain.writer, 1, Kind.END, OTHER.id, 1.0)).line[:-1],
    ]
    [flaw] = read(lines)
    assert "names another key" in flaw.what


def test_a_line_that_is_no_record_shows() -> None:
    lines = chain_of(2)
    for junk in (b"", b"x", b"{}", lines[0][:-3], b"\xff" * 200, lines[0][:60] + lines[0][90:]):
        flaws = read([lines[0], junk, *lines[1:]])
        assert [flaw.place for flaw in flaws] == [":2"]
        assert "is no record" in flaws[0].what


def test_a_cut_off_end_shows_by_a_head_that_was_kept_and_not_without() -> None:
    lines = chain_of(5)
    verifier = Verifier({KEY.id: KEY})
    read(lines, verifier)
    heads = [head for head, _, _ in verifier.heads()]

    assert read(lines[:4]) == []
    [flaw] = read(lines[:4], Verifier({KEY.id: KEY}, heads))
    assert flaw.place == ""
    assert "records 4 to 6" in flaw.what
    assert read(lines, Verifier({KEY.id: KEY}, heads)) == []


def test_a_whole_chain_that_is_missing_shows_by_its_head() -> None:
    one, other = chain_of(2), chain_of(2)
    verifier = Verifier({KEY.id: KEY})
    read(one + other, verifier)
    heads = [head for head, _, _ in verifier.heads()]
    [flaw] = read(one, Verifier({KEY.id: KEY}, heads))
    assert f"whole chain of writer {heads[1].writer} is missing" in flaw.what
    # One that was kept elsewhere is missing whatever may have been deleted; one that only another
    # chain tells of may be among that.
    assert len(read(one, Verifier({KEY.id: KEY}, heads, pruned=True))) == 1
    verifier = Verifier({KEY.id: KEY}, pruned=True)
    verifier.tell(heads)
    assert read(one, verifier) == []


def test_a_chain_that_was_made_anew_shows_by_the_head_of_the_first_one() -> None:
    # What somebody with the key can do.
    lines = chain_of(3)
    record, _, _ = open_sealed(lines[-1])
    stated = Head(record.writer, record.n, "A" * 43)
    [flaw] = read(lines, Verifier({KEY.id: KEY}, [stated]))
    assert "another one than the head" in flaw.what


def parts() -> tuple[list[bytes], list[bytes]]:
    """Return a chain in two files."""
    from portvakt.jose.encoding import encode_base64url

    chain = Chain(KEY)

    def seal(kind: str, **members: Any) -> bytes:
        record = Record(chain.writer, chain.n, kind, KEY.id, 1.5, **members)
        return chain.seal(record).line.rstrip(b"\n")

    first = [seal(Kind.START, part=0), seal(Kind.DECISION)]
    after = encode_base64url(chain.link)
    return first, [seal(Kind.PART, part=1, after=after), seal(Kind.DECISION), seal(Kind.END)]


def test_a_file_may_be_missing_only_where_it_is_said_that_it_may() -> None:
    first, second = parts()
    assert read(first + second) == []
    [flaw] = read(second)
    assert "records 0 to 1" in flaw.what
    assert read(second, Verifier({KEY.id: KEY}, pruned=True)) == []


def test_a_beginning_is_not_invented() -> None:
    _, second = parts()
    for changed in (
        second[0].replace(b'"after":"', b'"after":"A', 1),
        second[0].replace(b'"part":1', b'"part":0'),
    ):
        assert read([changed, *second[1:]], Verifier({KEY.id: KEY}, pruned=True)) != []
    # In the middle of a file nothing may be missing.
    assert read(second[1:], Verifier({KEY.id: KEY}, pruned=True)) != []


def test_the_link_is_what_the_page_says_it_is() -> None:
    import hashlib
    import hmac

    lines = chain_of(1)
    before = bytes(32)
    for line in lines:
        body, _, tail = line.rpartition(b',"link":"')
        mac = hmac.new(KEY.chain, before + body + b"}", hashlib.sha256).digest()
        assert mac == link_of(tail[:43]) == next_link(KEY.chain, before, body + b"}")
        before = mac


@given(st.binary(max_size=300))
def test_no_line_is_more_than_no_record(line: bytes) -> None:
    with pytest.raises(Unreadable):
        open_sealed(line)


def test_no_octet_of_a_chain_can_be_changed() -> None:
    chance = random.Random(1)  # noqa: S311  to choose octets
    lines = chain_of(6)
    text = b"\n".join(lines)
    for _ in range(2000):
        at = chance.randrange(len(text))
        to = chance.choice([bytes([chance.randrange(256)]), b"", text[at : at + 1] * 2])
        if to == text[at : at + 1]:
            continue
        changed = (text[:at] + to + text[at + 1 :]).split(b"\n")
        try:
            assert read(changed) != [], (at, to)
        except UnknownKey:
            continue  # Of the first line: nothing can be told, which is no "yes" either.
