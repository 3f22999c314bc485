"""Records in tables: one chain for each writer, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from portvakt.records.chain import Chain, Head
from portvakt.records.reading import heads_told, lines_of_rows
from portvakt.records.record import Kind, Record
from portvakt.records.sinks import SinkError, SqlSink
from portvakt.records.verify import Verifier
from portvakt.stores.base import StoreError
from portvakt.stores.opened import open_database
from portvakt.stores.sql import records as table
from portvakt.stores.sql.epochs import NEWER, NOT_UPGRADED
from portvakt.stores.sql.records import SqlRecords
from portvakt.stores.sql.tables import VERSION_TABLE
from portvakt.stores.sql.upgrade import upgrade
from recording import KEY
from servers import PASSWORD, Postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portvakt.records.chain import Sealed
    from portvakt.records.verify import Flaw
    from portvakt.stores.sql.place import Place


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A database without any table."""
    if request.param == "sqlite":
        found = open_database(f"sqlite:///{tmp_path}/store.db", password=None, timeout=10.0)
        assert found is not None
        yield found
        return
    server: Postgresql = request.getfixturevalue("postgresql")
    name = server.database()
    found = open_database(server.url(name), password=PASSWORD, timeout=10.0)
    assert found is not None
    yield found
    server.drop(name)


@pytest.fixture
def place(empty: Place) -> Place:
    """The same with its tables."""
    upgrade(empty, lambda: 1.0)
    return empty


def some(chain: Chain, count: int, at: float = 1.5) -> list[Sealed]:
    kinds = [Kind.START if chain.n + one == 0 else Kind.DECISION for one in range(count)]
    return [chain.seal(Record(chain.writer, chain.n, kind, KEY.id, at)) for kind in kinds]


def verified(place: Place) -> tuple[list[Flaw], list[tuple[Head, int, bool]]]:
    rows, verifier = SqlRecords(place), Verifier({KEY.id: KEY})
    verifier.tell(heads_told(line for _, _, line in rows.lines(first_only=True)))
    flaws = [
        flaw for line in lines_of_rows(rows) for flaw in verifier.read(line.octets, line.place)[1]
    ]
    rows.close()
    rows.close()  # A second time does no harm.
    return [*flaws, *verifier.finish()], list(verifier.heads())


def execute(place: Place, statement: str) -> None:
    engine = place.blocking_engine()
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def test_what_was_written_is_read_in_its_order_and_holds(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_PAGE", 7)
    chains = [Chain(KEY) for _ in range(3)]
    sinks = [SqlSink(partial(SqlRecords, place)) for _ in chains]
    for number, (sink, chain) in enumerate(zip(sinks, chains, strict=True)):
        others = sink.open(chain.writer, 1.0)
        assert {head.writer for head in others} == {one.writer for one in chains[:number]}
        sink.write(some(chain, 1, at=1.0 + number))
    for _ in range(4):
        for sink, chain in zip(sinks, chains, strict=True):
            sink.write(some(chain, 5))
    for sink in sinks:
        sink.close()
    flaws, heads = verified(place)
    assert flaws == []
    assert [(head.n, count) for head, count, _ in heads] == [(20, 21)] * 3


def test_writing_again_does_no_harm(place: Place) -> None:
    sink, chain = SqlSink(partial(SqlRecords, place)), Chain(KEY)
    sink.open(chain.writer, 1.0)
    records = some(chain, 4)
    sink.write(records[:2])
    sink.write(records)
    sink.write(records)
    sink.close()
    flaws, [(head, count, _)] = verified(place)
    assert (flaws, head.n, count) == ([], 3, 4)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM portvakt_records WHERE n = 2", "record 2 is missing"),
        ("DELETE FROM portvakt_records WHERE n = 0", "record 0 is missing"),
        (
            "UPDATE portvakt_records SET line = (SELECT line FROM portvakt_records WHERE n = 1)",
            "a second time",
        ),
        ("UPDATE portvakt_records SET n = 9 WHERE n = 2", "record 2 is missing"),
        ("UPDATE portvakt_records SET writer = 'aaaaaaaaaaaaaa' WHERE n = 2", "missing"),
    ],
)
def test_what_was_done_to_the_table_shows(place: Place, statement: str, words: str) -> None:
    sink, chain = SqlSink(partial(SqlRecords, place)), Chain(KEY)
    sink.open(chain.writer, 1.0)
    sink.write(some(chain, 5))
    sink.close()
    execute(place, statement)
    flaws, _ = verified(place)
    assert any(words in flaw.what for flaw in flaws)


def test_a_chain_that_is_gone_is_missed_by_the_next(place: Place) -> None:
    writers = []
    for _ in range(2):
        sink, chain = SqlSink(partial(SqlRecords, place)), Chain(KEY)
        others = sink.open(chain.writer, 1.0)
        told = tuple((head.writer, head.n, head.link) for head in others)
        start = Record(chain.writer, 0, Kind.START, KEY.id, 1.5, others=told)
        sink.write([chain.seal(start), *some(chain, 3)])
        sink.close()
        writers.append(chain.writer)
    execute(place, f"DELETE FROM portvakt_records WHERE writer = '{writers[0]}'")  # noqa: S608  names of ours
    [flaw], _ = verified(place)
    assert writers[0] in flaw.what


def test_tables_of_another_version_are_not_written_to(empty: Place) -> None:
    with pytest.raises(StoreError) as caught:
        SqlRecords(empty)
    assert caught.value.reason == NOT_UPGRADED
    upgrade(empty, lambda: 1.0)
    execute(empty, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")  # noqa: S608  names of ours
    with pytest.raises(StoreError) as caught:
        SqlRecords(empty)
    assert caught.value.reason == NEWER


def test_a_table_that_went_away_is_found_again(place: Place) -> None:
    sink, chain = SqlSink(partial(SqlRecords, place)), Chain(KEY)
    sink.open(chain.writer, 1.0)
    records = some(chain, 2)
    execute(place, "ALTER TABLE portvakt_records RENAME TO elsewhere")
    with pytest.raises(SinkError) as caught:
        sink.write(records)
    assert chain.writer not in caught.value.reason
    execute(place, "ALTER TABLE elsewhere RENAME TO portvakt_records")
    sink.write(records)
    sink.close()
    flaws, [(head, _, _)] = verified(place)
    assert (flaws, head.n) == ([], 1)


def test_the_lines_are_for_the_thread_that_asks(place: Place) -> None:
    # As the writer does it: made, used and closed in a thread of its own.
    sink, chain = SqlSink(partial(SqlRecords, place)), Chain(KEY)

    def work() -> None:
        sink.open(chain.writer, 1.0)
        sink.write(some(chain, 3))
        sink.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    flaws, [(head, _, _)] = verified(place)
    assert (flaws, head.n) == ([], 2)
