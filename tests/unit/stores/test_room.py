"""How much room there is: never more is admitted than there is room for, and counting is rare."""

from __future__ import annotations

import pytest

from portvakt.stores.sql.room import Room, Rooms


def filled(room: Room, processes: int = 1) -> tuple[int, int]:
    """Fill a room from several processes in turn; return how many got in, and the counts made."""
    rooms = [room, *(Room(room.limit) for _ in range(processes - 1))]
    there = counts = 0
    while True:
        for one in rooms:
            if one.must_count():
                counts += 1
                if not one.count(there + 1, 0.0):
                    return there, counts
            there += 1


@pytest.mark.parametrize("limit", [1, 2, 7, 8, 9, 100, 5000])
@pytest.mark.parametrize("processes", [1, 2, 8])
def test_exactly_as_many_get_in_as_there_is_room_for(limit: int, processes: int) -> None:
    assert filled(Room(limit), processes)[0] == limit


def test_it_is_counted_rarely() -> None:
    assert filled(Room(100_000))[1] < 150


def test_one_that_was_full_is_not_counted_again_at_once() -> None:
    room = Room(1)
    assert room.must_count()
    assert not room.count(2, 100.0)
    assert room.is_full(100.0)
    assert room.is_full(100.9)
    assert not room.is_full(101.0)
    assert room.must_count()
    assert room.count(1, 101.0)
    assert not room.is_full(101.0)


def test_owners_have_rooms_of_their_own_and_are_forgotten_in_time() -> None:
    rooms = Rooms(10, 5)
    assert rooms.of(b"a") is rooms.of(b"a")
    assert rooms.of(b"a") is not rooms.of(b"b")
    assert (rooms.all.limit, rooms.of(b"a").limit) == (10, 5)
    first = rooms.of(b"a")
    for n in range(10_000):
        rooms.of(n.to_bytes(16, "big"))
    assert rooms.of(b"a") is not first
    assert rooms.of(b"a").must_count()
