"""The copy is made whole or not at all, and read as long as it is young enough."""

import asyncio
import gzip
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import pytest

from portvakt.errors import ConfigurationError, Unavailable
from portvakt.net.address import FetchError
from portvakt.net.answer import Fetched
from portvakt.registers import snapshot, update
from portvakt.registers.base import Answer, Question, Reason, RegisterHealth, Subject
from portvakt.registers.files import Unusable
from portvakt.registers.snapshot import SnapshotInfo, SnapshotRegister, pack, read_info
from portvakt.registers.units import Unit
from portvakt.registers.update import (
    MAIN_UNITS,
    SUB_UNITS,
    NotFetched,
    RefusedSnapshot,
    update_snapshot,
)
from portvakt.testing.clock import FrozenClock
from unit.registers.conftest import (
    CHILD,
    NO,
    ORGANISATION,
    OTHER,
    YES,
    main_unit,
    organisation,
    sub_unit,
)

if TYPE_CHECKING:
    from portvakt.net.fetch import Fetch

SMALL = "100100673"
MAIN = (
    b"["
    + b",".join(
        [
            main_unit(),
            main_unit(OTHER, konkurs=True, underAvvikling=True),
            main_unit(SMALL, overordnetEnhet=ORGANISATION),
        ]
    )
    + b"]"
)
SUB = b"[" + b",".join([sub_unit(), sub_unit("974742985", SMALL)]) + b"]"
NOW = 1_800_000_000.0


class Case:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "units.sqlite"
        self.main, self.sub = folder / "main.json", folder / "sub.json.gz"
        self.write(MAIN, SUB)
        self.wall, self.clock = FrozenClock(NOW), FrozenClock(0)
        self.told: list[tuple[str, int, int]] = []

    def write(self, main: bytes, sub: bytes) -> None:
        self.main.write_bytes(main)
        self.sub.write_bytes(gzip.compress(sub))
        os.utime(self.main, (NOW - 100, NOW - 100))
        os.utime(self.sub, (NOW - 200, NOW - 200))

    def update(self, **options: Any) -> SnapshotInfo:
        sources = {"main_units": self.main, "sub_units": self.sub}
        return asyncio.run(
            update_snapshot(
                self.path,
                progress=lambda *told: self.told.append(told),
                wall_clock=self.wall,
                **(sources | options),
            )
        )

    def register(self, **options: Any) -> SnapshotRegister:
        return SnapshotRegister(self.path, wall_clock=self.wall, clock=self.clock, **options)

    def left_over(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} - {"main.json", "sub.json.gz"}


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def answer(register: SnapshotRegister, question: Question) -> Answer | str:
    try:
        found = asyncio.run(register.fetch(question))
    except Unavailable as failure:
        return failure.refusal.detail or ""
    assert register.current(question) is found
    return found


def no(reason: Reason) -> Answer:
    return Answer(known=False, reason=reason)


def test_a_copy_of_local_files_is_as_old_as_the_older_one(case: Case) -> None:
    info = case.update()
    assert info == read_info(case.path) == SnapshotInfo(NOW - 200, 3, 2)
    assert case.left_over() == {"units.sqlite"}
    assert case.told == [("main units", 0, 3), ("sub-units", 0, 2)]


def test_the_copy_answers_what_the_register_would(case: Case) -> None:
    case.update()
    register = case.register()
    assert register.subjects == {Subject.ORGANISATION, Subject.SUPPLIER}
    assert register.current(organisation()) is None
    for question, found in (
        (organisation(), YES),
        (Question(Subject.SUPPLIER, ORGANISATION), YES),
        (organisation(SMALL), YES),
        (organisation(OTHER), no(Reason.BANKRUPT)),
        (organisation("999999999"), NO),
        (organisation("000000000"), NO),
        (organisation(CHILD), NO),
        (organisation(child=CHILD), YES),
        (organisation(child=SMALL), YES),
        (organisation(child="974742985"), YES),
        (organisation(SMALL, CHILD), no(Reason.NOT_OF_PARENT)),
        (organisation(child="999999999"), NO),
        (organisation("x"), NO),
    ):
        assert answer(register, question) == found


def test_what_is_tolerated_is_known(case: Case) -> None:
    case.update()
    assert answer(case.register(tolerate=["bankrupt"]), organisation(OTHER)) == no(
        Reason.WINDING_UP
    )
    both = ["bankrupt", "winding_up"]
    assert answer(case.register(tolerate=both), organisation(OTHER)) == YES


def test_a_circle_in_the_copy_is_no_answer(case: Case) -> None:
    circle = [sub_unit(parent=OTHER)]
    case.write(
        b"[" + b",".join([main_unit(), main_unit(OTHER, overordnetEnhet=CHILD)]) + b"]",
        b"[" + b",".join(circle) + b"]",
    )
    case.update()
    assert "circle" in str(answer(case.register(), organisation(child=CHILD)))


@pytest.mark.parametrize(
    ("later", "flaw"),
    [
        (48 * 3600 - 201, None),
        (48 * 3600 - 200, "the snapshot is 48 h old: update it"),
        (-205, None),
        (-206, "the snapshot was made in the future"),
    ],
)
def test_a_copy_is_believed_for_so_long(case: Case, later: float, flaw: str | None) -> None:
    case.update()
    register = case.register()
    answer(register, organisation())
    case.wall.advance(later)
    if flaw is None:
        assert register.current(organisation()) == YES
    else:
        assert register.current(organisation()) is None
        assert answer(register, organisation()) == flaw
    health = register.health()
    assert (health.age, health.last_error) == (later + 200, flaw)


def test_its_health_says_how_large_and_old_it_is(case: Case) -> None:
    register = case.register(name="units", max_staleness=7200)
    empty = RegisterHealth(name="units", source=str(case.path), max_staleness=7200)
    assert register.health() == empty
    case.update()
    answer(register, organisation())
    assert register.health() == RegisterHealth(
        name="units", source=str(case.path), entries=5, age=200, max_staleness=7200
    )


def test_a_new_copy_is_used_and_what_the_last_one_said_forgotten(case: Case) -> None:
    case.update()
    register = case.register()
    assert answer(register, organisation()) == YES
    case.write(MAIN.replace(b'"konkurs": false', b'"konkurs": true', 1), SUB)
    case.update()
    for _ in range(2):  # It is read when it lies still.
        case.clock.advance(60)
        asyncio.run(register.fetch(organisation(OTHER)))
    assert register.current(organisation()) is None
    assert answer(register, organisation()) == no(Reason.BANKRUPT)


def test_only_so_many_answers_are_remembered(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_MAX_ANSWERS", 2)
    case.update()
    register = case.register()
    for number in range(3):
        assert answer(register, organisation(f"10000000{number}")) == NO
    assert register.current(organisation("100000000")) is None
    assert register.current(organisation("100000002")) == NO


def test_a_copy_that_is_not_there_is_no_answer(case: Case) -> None:
    assert "No such file" in str(answer(case.register(), organisation()))


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        ("PRAGMA application_id = 0", "no snapshot of this form"),
        ("PRAGMA user_version = 2", "no snapshot of this form"),
        ("DELETE FROM info", "no snapshot, or a broken one"),
        ("INSERT INTO info SELECT * FROM info", "no snapshot, or a broken one"),
        ("UPDATE info SET made_at = 'today'", "no snapshot, or a broken one"),
        ("UPDATE info SET main = 9e999", "no snapshot, or a broken one"),
        ("DROP TABLE info", "no snapshot, or a broken one"),
        ("DROP TABLE main", "the snapshot is broken"),
        ("UPDATE main SET state = 'x'", "unsupported operand"),
    ],
)
def test_a_file_that_is_no_copy(case: Case, change: str, flaw: str) -> None:
    case.update()
    with closing(sqlite3.connect(case.path)) as connection:
        connection.execute(change)
        connection.commit()
    try:
        found = answer(case.register(), organisation())
    except TypeError as error:  # Whoever asks it takes that for a failure.
        found = str(error)
    assert flaw in str(found)


def test_any_other_file_is_no_copy(case: Case) -> None:
    with pytest.raises(Unusable, match="no snapshot, or a broken one"):
        read_info(case.main)


def test_a_register_has_to_make_sense(case: Case) -> None:
    with pytest.raises(ConfigurationError) as error:
        case.register(interval=0, max_staleness=0)
    assert [problem.place for problem in error.value.problems] == ["interval", "max_staleness"]
    with pytest.raises(ConfigurationError, match="tolerate"):
        case.register(tolerate=["deleted"])
    assert SnapshotRegister(str(case.path)).name == "enhetsregisteret"


def test_a_unit_is_a_row_and_back() -> None:
    reasons = (Reason.DELETED, Reason.BANKRUPT, Reason.FORCED_WINDING_UP, Reason.WINDING_UP)
    assert pack(Unit("000000001", "974589095", reasons)) == (1, 974589095, 15)
    assert pack(Unit("974589095", None)) == (974589095, None, 0)


def refused(case: Case, **options: Any) -> str:
    before = case.path.read_bytes() if case.path.exists() else None
    with pytest.raises((RefusedSnapshot, NotFetched)) as failure:
        case.update(**options)
    # Whatever goes wrong, the copy that is there stays as it is, and nothing is left behind.
    assert (case.path.read_bytes() if case.path.exists() else None) == before
    assert case.left_over() <= {"units.sqlite"}
    return f"{type(failure.value).__name__}: {failure.value}"


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("main", "sub", "flaw"),
    [
        (b"<html>", SUB, "main units, after 0: the file is no JSON array"),
        (MAIN[:-2], SUB, "main units, after 2: the file is cut off within a unit"),
        (MAIN, SUB[:-1], "sub-units, after 2: the array is cut off"),
        (MAIN, b"[]", "sub-units: there are none"),
        (b"[" + main_unit() + b"," + main_unit() + b"]", SUB, "main units: a unit is there twice"),
        (b"[" + main_unit(konkurs=0) + b"]", SUB, "main units, after 0: a unit has a member"),
        (b"[" + main_unit(konkurs=...) + b"]", SUB, "main units, after 0: a unit does not say"),
        (SUB, MAIN, "main units, after 0: a unit does not say"),
        (MAIN, MAIN, "sub-units, after 0: a sub-unit has no unit above"),
    ],
)
def test_what_is_not_as_it_must_be_makes_no_copy(
    case: Case, main: bytes, sub: bytes, flaw: str, there: bool
) -> None:
    if there:
        case.update()
    case.write(main, sub)
    assert f"RefusedSnapshot: {flaw}" in refused(case)


def test_what_comes_out_of_a_file_is_bounded(case: Case) -> None:
    assert "more than 100 octets" in refused(case, max_inflated=100)


def test_a_copy_that_has_lost_much_is_refused_unless_it_is_allowed(case: Case) -> None:
    case.update()
    case.write(MAIN, b"[" + sub_unit() + b"]")
    assert "sub-units: 1 where the last copy has 2" in refused(case)
    assert case.update(allow_smaller=True).sub == 1


def test_a_file_that_is_no_copy_is_replaced(case: Case) -> None:
    case.path.write_text("something")
    assert case.update().main == 3


@pytest.mark.parametrize(
    ("options", "flaw"),
    [
        ({"main_units": Path("/nowhere/main.json")}, "/nowhere/main.json: No such file"),
        ({"main_units": "https://mirror.test/"}, "a URL needs something that fetches it"),
    ],
)
def test_a_source_that_cannot_be_had(case: Case, options: dict[str, Any], flaw: str) -> None:
    assert f"NotFetched: {flaw}" in refused(case, **options)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.path = tmp_path / "nowhere" / "units.sqlite"
    with pytest.raises(NotFetched, match="No such file or directory"):
        case.update()


def test_a_copy_that_cannot_be_written(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update, "SCHEMA", "no SQL")
    assert refused(case) == "NotFetched: the copy cannot be written (OperationalError)"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError()])
def test_a_disk_that_is_full(case: Case, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def fail(draft: Path, path: Path) -> None:
        raise error

    monkeypatch.setattr(update, "_replace", fail)
    assert refused(case).startswith("NotFetched: ")


def test_a_system_whose_folders_cannot_be_synchronised(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_DIRECTORY")
    assert case.update().main == 3


class Mirror:
    """Stands in for what fetches: hands the files on in pieces."""

    def __init__(self, *, fails: Exception | None = None) -> None:
        self.fails = fails
        self.asked: list[tuple[str, str]] = []

    async def send(
        self, method: str, url: str, *, accept: str, into: Callable[[bytes], object]
    ) -> Fetched:
        self.asked.append((url, accept))
        content = gzip.compress(SUB if "underenheter" in url else MAIN)
        try:
            for at in range(0, len(content), 50):
                into(content[at : at + 50])
        except OSError:
            raise FetchError("the exchange failed (OSError)") from None
        if self.fails is not None:
            raise self.fails
        return Fetched(200, (), b"")


def test_a_copy_of_the_open_api_is_as_old_as_the_question(case: Case) -> None:
    mirror = Mirror()
    info = case.update(fetch=mirror, main_units=MAIN_UNITS, sub_units=SUB_UNITS)
    assert info == SnapshotInfo(NOW, 3, 2)
    assert [url for url, _ in mirror.asked] == [MAIN_UNITS, SUB_UNITS]
    assert "enhet.v1+gzip" in mirror.asked[0][1]
    assert case.told[0] == ("main units", 50, 0)
    assert case.left_over() == {"units.sqlite"}


def test_a_register_that_is_down_makes_no_copy(case: Case) -> None:
    mirror = Mirror(fails=FetchError("the server answered 500"))
    flaw = refused(case, fetch=mirror, main_units=MAIN_UNITS)
    assert flaw == "NotFetched: main units: the server answered 500"


def test_a_disk_that_is_full_while_it_is_fetched(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def write(self, piece: bytes) -> None:
            raise OSError(28, "No space left on device")

    def open_full(self: Path, mode: str) -> Full:
        assert (self.name, mode) == ("main", "wb")
        return Full()

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(NotFetched, match=r"^No space left on device$"):
        case.update(fetch=Mirror(), main_units=MAIN_UNITS)


def test_who_gives_up_leaves_no_work_behind(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update, "_STEP", 1)

    async def give_up() -> None:
        task: asyncio.Task[Any]
        loop = asyncio.get_running_loop()
        told = []

        def cancel(what: str, octets: int, units: int, /) -> None:
            told.append(units)
            loop.call_soon_threadsafe(task.cancel)
            while not task.done():
                pass  # The other thread comes to it, and then this one is stopped.

        task = asyncio.ensure_future(
            update_snapshot(case.path, main_units=case.main, sub_units=case.sub, progress=cancel)
        )
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(lambda: None)
        assert told == [1]

    asyncio.run(give_up())
    assert case.left_over() == set()


def test_nothing_is_told_where_nobody_listens(case: Case) -> None:
    work = update_snapshot(
        case.path, main_units=case.main, sub_units=case.sub, fetch=cast("Fetch", None)
    )
    assert asyncio.run(work).main == 3
