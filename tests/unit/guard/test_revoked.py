"""What is revoked, in memory: which token it names, until when, and what it costs."""

import math
import time
import tracemalloc
from hashlib import blake2b

import pytest

from mirroring import ISSUER, NOW, entry, token_of
from portvakt.guard.revoked import Revoked
from portvakt.policy.handles import Kind, handle_of
from portvakt.stores.base import Entry

VALUES = {
    Kind.TOKEN: "t",
    Kind.SESSION: "session",
    Kind.SUBJECT: "s",
    Kind.CLIENT: "client",
    Kind.KEY: "key",
    Kind.ISSUER: "",
}


def revoked(*entries: Entry) -> Revoked:
    made = Revoked()
    made.put(entries)
    return made


def names(made: Revoked, **token: object) -> bool:
    one = token_of(**token)  # type: ignore[arg-type]
    named = made.names(one, NOW)
    assert not (named and made.clears(one.handles))
    return named


@pytest.mark.parametrize("kind", Kind)
def test_a_token_is_named_by_each_of_its_names_and_by_no_other_kind_of_name(kind: Kind) -> None:
    assert names(revoked(entry(VALUES[kind], kind=kind)))
    others = [entry(VALUES[kind], kind=other) for other in Kind if other is not kind]
    assert not names(revoked(*others))
    assert revoked(*others).clears(token_of().handles)
    assert not names(revoked(entry(VALUES[kind] + "x", kind=kind)))


def test_another_issuers_thing_of_that_name_is_not_revoked() -> None:
    other = Entry(handle_of(Kind.TOKEN, ISSUER + "x", "t"), math.inf, NOW + 60)
    assert not names(revoked(other))


@pytest.mark.parametrize(
    ("issued_before", "issued_at", "named"),
    [
        (NOW, math.nextafter(NOW, 0), True),
        (NOW, NOW - 1, True),
        (NOW, NOW, False),
        (NOW, int(NOW), False),
        (NOW + 0.1, NOW + 0.9, True),  # of one second: rounded up, as issuers round iat down
        (NOW + 0.1, NOW + 1, False),
        (math.inf, NOW + 300, True),
        (math.inf, 253402300799, True),
        (1e300, 253402300799, True),
        (0.0, 0.0, False),
        (-5.0, 0.0, False),
        (NOW, math.nan, True),
    ],
)
def test_it_counts_when_the_token_was_issued(
    issued_before: float, issued_at: float, *, named: bool
) -> None:
    assert names(revoked(entry(issued_before=issued_before)), issued_at=issued_at) is named


@pytest.mark.parametrize("flawed", [entry(issued_before=math.nan), entry(expires_at=math.nan)])
def test_a_time_that_is_no_number_is_no_revocation(flawed: Entry) -> None:
    made = Revoked()
    with pytest.raises(ValueError, match="NaN"):
        made.put([flawed])
    assert len(made) == 0
    made.put([entry()])  # and nobody holds the lock


def test_it_ends_no_earlier_than_it_should_and_two_minutes_later_at_most() -> None:
    end = NOW + 60
    made, token = revoked(entry(expires_at=end)), token_of()
    assert made.names(token, math.nextafter(end, 0))
    assert not made.names(token, end + 128)
    assert made.names(token, math.nan)
    for far in (math.inf, 1e300):
        assert revoked(entry(expires_at=far)).names(token, NOW + 1e9)
    assert not revoked(entry(expires_at=-1)).names(token, NOW)


def test_the_later_time_and_the_later_end_count_in_any_order() -> None:
    early = entry(issued_before=NOW - 100, expires_at=NOW + 9000)
    late = entry(issued_before=NOW + 1, expires_at=NOW + 3600)
    for order in ((early, late), (late, early), (early, late, early)):
        made = revoked(*order)
        assert len(made) == 1
        assert names(made)
        assert not names(made, issued_at=NOW + 1)
        assert made.names(token_of(), NOW + 8999)
        assert not made.names(token_of(), NOW + 9000 + 128)
        assert [*made.forget(NOW + 8999)]
        assert len(made) == 1


def test_what_has_ended_is_forgotten_a_little_at_a_time() -> None:
    ends = {"past": NOW - 200, "now": NOW, "later": NOW + 1000, "never": math.inf}
    made = revoked(
        *(
            entry(f"{name} {one}", expires_at=end)
            for name, end in ends.items()
            for one in range(900)
        )
    )
    assert len(made) == 3600
    steps = made.forget(NOW + 200)
    assert len(made) == 3600
    next(steps)
    assert len(made) == 1800
    made.put([entry("in between")])
    del made._entries[entry("never 899").handle]
    assert [*steps]
    assert len(made) == 1800
    assert made.names(token_of("later 3"), NOW + 200)
    assert made.names(token_of("never 3"), NOW + 200)
    assert [*made.forget(math.nan)]
    assert [*made.forget(1e12)]
    assert len(made) == 899


def test_all_that_has_ended_is_forgotten() -> None:
    made = revoked(*many(9000))
    assert len([*made.forget(NOW * 10)]) == 5
    assert len(made) == 0


def many(number: int, first: int = 0) -> list[Entry]:
    """Revocations that have nothing in common: the dearest ones."""
    return [
        Entry(blake2b(b"%d" % one, digest_size=16).digest(), NOW + 1.1 * one, NOW + 3.7 * one)
        for one in range(first, first + number)
    ]


def test_a_revocation_costs_at_most_160_octets() -> None:
    made = Revoked()
    tracemalloc.start()
    try:
        for first in range(0, 100_000, 1000):
            made.put(many(1000, first))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(made) == 100_000
    assert used / 100_000 <= 160


def test_a_hundred_thousand_revocations_cost_a_request_next_to_nothing() -> None:
    made, token = revoked(*many(100_000)), token_of()
    best = math.inf
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(1000):
            made.clears(token.handles)
        best = min(best, time.perf_counter() - start)
    assert best / 1000 < 2e-6  # 0.14 µs where nothing else runs
    assert not made.names(token, NOW)
