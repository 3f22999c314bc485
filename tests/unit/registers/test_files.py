"""A file that is read anew when it has changed, whole or not at all."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portvakt.errors import Unavailable
from portvakt.registers.files import Stamp, Unusable, Watched, stamp
from portvakt.testing.clock import FrozenClock

if TYPE_CHECKING:
    from collections.abc import Callable


class Case:
    """A file, and a clock that stands still."""

    def __init__(self, folder: Path, max_staleness: float = 100.0) -> None:
        self.path = folder / "list"
        self.reads = 0
        self.clock = FrozenClock(0)
        self.while_reading: Callable[[], object] = int
        self.watched = Watched(
            self.path, self._read, interval=2, max_staleness=max_staleness, clock=self.clock
        )

    def _read(self, path: Path) -> str:
        self.reads += 1
        text = path.read_text()
        self.while_reading()
        if text == "broken":
            raise Unusable("it is broken")
        if text == "fault":
            raise KeyError
        return text

    def write(self, text: str, *, replace: bool = False) -> None:
        path = self.path.with_suffix(".new") if replace else self.path
        path.write_text(text)
        # As if time had passed, on file systems with coarse times too.
        os.utime(path, ns=(0, self.path.stat().st_mtime_ns + 10**9 if self.path.exists() else 0))
        path.replace(self.path)

    def get(self, later: float = 60.0) -> str:
        self.clock.advance(later)
        try:
            return asyncio.run(self.watched.get())
        except Unavailable as failure:
            return f"!{failure.refusal.detail}"


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_it_is_read_once_as_long_as_it_is_the_same(case: Case) -> None:
    case.write("one")
    assert case.watched.current() is None
    assert [case.get() for _ in range(5)] == ["one"] * 5
    assert case.watched.current() == "one"
    assert case.reads == 1


def test_it_is_looked_at_every_so_often(case: Case) -> None:
    case.write("one")
    case.get()
    case.clock.advance(1.9)
    assert case.watched.current() == "one"
    case.clock.advance(0.1)
    assert case.watched.current() is None


@pytest.mark.parametrize("replace", [False, True])
def test_it_is_read_anew_when_it_has_changed_and_lies_still(case: Case, replace: bool) -> None:
    case.write("one")
    case.get()
    case.write("two", replace=replace)
    assert case.get() == "one"
    assert case.get() == "two"
    assert case.watched.error is None


def test_while_somebody_writes_it_is_not_read(case: Case) -> None:
    case.write("one")
    case.get()
    for text in ("t", "tw", "two"):
        case.write(text)
        assert case.get() == "one"
    assert case.get() == "two"
    assert case.reads == 2


def test_what_changes_while_it_is_read_is_not_used(case: Case) -> None:
    case.write("one")
    case.get()
    case.write("two")
    case.get()
    case.while_reading = lambda: case.write("three")
    assert case.get() == "one"
    assert case.watched.error == "the file changed while it was read"
    case.while_reading = int
    assert [case.get(), case.get()] == ["one", "three"]
    assert case.watched.error is None


def test_a_broken_one_leaves_the_last_in_place_and_is_read_once(case: Case) -> None:
    case.write("one")
    case.get()
    case.write("broken")
    assert [case.get(20) for _ in range(5)] == ["one"] * 5
    assert case.reads == 2
    assert (case.watched.error, case.watched.error_age()) == ("it is broken", 60)
    case.write("two")
    assert [case.get(13), case.get(13)] == ["one", "two"]
    assert case.watched.error_age() is None


def test_a_broken_one_does_not_leave_the_last_in_place_for_ever(case: Case) -> None:
    case.write("one")
    case.get()
    case.write("broken")
    assert [case.get(13), case.get(13), case.get(99)] == ["one"] * 3
    case.clock.advance(1)
    assert case.watched.current() is None
    assert case.get(0) == "!it is broken"


def test_one_that_is_gone_leaves_the_last_in_place_and_may_come_back(case: Case) -> None:
    case.write("one")
    case.get()
    aside = case.path.rename(case.path.with_suffix(".aside"))
    assert case.get(13) == "one"
    assert case.watched.error == "the file cannot be read: No such file or directory"
    aside.rename(case.path)
    assert case.get(13) == "one"
    assert case.watched.error_age() is None
    assert case.reads == 1


def test_one_that_never_was_there_is_unavailable_until_it_is(case: Case) -> None:
    assert case.get() == "!the file cannot be read: No such file or directory"
    assert case.get(0) == "!the file cannot be read: No such file or directory"
    case.write("broken")
    assert case.get() == "!it is broken"
    case.write("fault")
    assert case.get() == "!internal error: KeyError"
    case.write("one")
    assert case.get() == "one"


def test_one_that_everybody_may_write_to_is_not_used(case: Case) -> None:
    case.write("one")
    case.path.chmod(0o666)
    assert case.get() == "!everybody may write to the file: chmod o-w"
    case.path.chmod(0o664)
    assert case.get() == "one"


def test_where_the_mode_says_nothing_it_is_not_asked(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.write("one")
    case.path.chmod(0o666)
    monkeypatch.delattr(os, "geteuid")
    assert isinstance(stamp(case.path), Stamp)


def test_nobody_waits_for_a_look_where_requests_are_frequent(case: Case) -> None:
    case.write("one")
    case.get()

    async def play() -> None:
        case.clock.advance(3)
        assert case.watched.current() is None
        assert await case.watched.get() == "one"  # It began a look, and did not wait for it.
        assert case.watched.current() == "one"
        case.clock.advance(9)
        assert case.watched.current() is None  # Now it is late.
        assert await case.watched.get() == "one"
        assert case.watched.current() == "one"

    asyncio.run(play())
    assert case.reads == 1


def test_one_look_for_all_who_wait(case: Case) -> None:
    case.write("one")

    async def play() -> None:
        waiting = [asyncio.ensure_future(case.watched.get()) for _ in range(10)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # The one that began it.
        assert await asyncio.gather(*waiting[1:]) == ["one"] * 9

    asyncio.run(play())
    assert case.reads == 1


def test_the_loop_may_change_in_the_middle_of_a_look(case: Case) -> None:
    case.write("one")

    async def leave_behind() -> None:
        asyncio.ensure_future(case.watched.get())  # noqa: RUF006  nobody waits for it
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(leave_behind())
    assert case.get() == "one"


def test_a_file_on_disk_of_no_limit_serves_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("one")
    watched = Watched(path, Path.read_text)
    assert asyncio.run(watched.get()) == "one"
    assert watched.current() == "one"
