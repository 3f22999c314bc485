"""Makes the copy of Enhetsregisteret: fetched whole, read strictly, replaced in one piece.

Whatever goes wrong, the copy that is there stays as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from portvakt.net.address import FetchError
from portvakt.registers.bulk import MalformedBulk, pieces, split
from portvakt.registers.enhetsregisteret import OPEN_API
from portvakt.registers.files import Unusable
from portvakt.registers.snapshot import SCHEMA, SnapshotInfo, pack, read_info
from portvakt.registers.unit_json import MalformedUnit, read_main, read_sub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portvakt.clock import Clock
    from portvakt.net.fetch import Fetch
    from portvakt.registers.units import Unit

__all__ = [
    "MAIN_UNITS",
    "SUB_UNITS",
    "NotFetched",
    "Progress",
    "RefusedSnapshot",
    "update_snapshot",
]

#: Where the bulk files are.
MAIN_UNITS: Final = f"{OPEN_API}/enheter/lastned"
SUB_UNITS: Final = f"{OPEN_API}/underenheter/lastned"

#: Octets that may come out of one bulk file. There is little more than one gigabyte in either.
MAX_INFLATED: Final = 8 * 1024**3

#: Of the units that the last copy had, at least so many must be in the next.
_AT_LEAST: Final = 0.8

#: Units between two reports.
_STEP: Final = 10_000

_ACCEPT: Final = {
    "main": "application/vnd.brreg.enhetsregisteret.enhet.v1+gzip, application/json;q=0.9",
    "sub": "application/vnd.brreg.enhetsregisteret.underenhet.v1+gzip, application/json;q=0.9",
}
_READ: Final[dict[str, Callable[[bytes], Unit]]] = {"main": read_main, "sub": read_sub}
_NAMES: Final = {"main": "main units", "sub": "sub-units"}


class NotFetched(Exception):  # noqa: N818  it says what happened
    """A source cannot be had, or the copy not be written. The message says why."""


class RefusedSnapshot(Exception):  # noqa: N818  it says what became of it
    """A source is not what it must be. The message says why, and holds nothing of it."""


class Progress(Protocol):
    """Is told how far it is."""

    def __call__(self, what: str, octets: int, units: int, /) -> None:
        """Take note.

        Parameters:
            what: which of the two files.
            octets: how many were fetched; 0 for a local file.
            units: how many were read; 0 while it is fetched.
        """
        ...


def _silent(_what: str, _octets: int, _units: int, /) -> None:
    pass


async def update_snapshot(
    path: str | Path,
    *,
    fetch: Fetch | None = None,
    main_units: str | Path = MAIN_UNITS,
    sub_units: str | Path = SUB_UNITS,
    allow_smaller: bool = False,
    max_inflated: int = MAX_INFLATED,
    progress: Progress = _silent,
    wall_clock: Clock = time.time,
) -> SnapshotInfo:
    """Make a copy of both bulk files, and put it in the place of the last.

    It takes a few minutes, a gigabyte on disk and little memory. Readers see the last copy or the
    new one and never anything between.

    Does not check: that the files belong together or are today's; that what they say is true.

    Parameters:
        path: the copy. What else is needed on the way is put into its folder.
        fetch: how URLs are fetched, with a time and a size that are enough for them; not needed for
            local files.
        main_units: the file of ``/enheter/lastned``: its URL, or a path.
        sub_units: that of ``/underenheter/lastned``.
        allow_smaller: take a copy even if it has far fewer units than the last one.
        max_inflated: octets that may come out of each file.
        progress: is told how far it is; on any thread.
        wall_clock: seconds since 1970.

    Returns:
        What the new copy says of itself. Its age counts from before the first octet was fetched;
        of local files, from when the older one was written.

    Raises:
        NotFetched: if a source cannot be had, or the copy not be written.
        RefusedSnapshot: if a source is malformed or holds nothing, or far less than the last time.
    """
    path = Path(path)
    now = wall_clock()
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            files, times = {}, [now]
            for kind, source in (("main", main_units), ("sub", sub_units)):
                if isinstance(source, Path):
                    files[kind] = source
                    times.append(source.stat().st_mtime)
                else:
                    files[kind] = Path(folder, kind)
                    await _download(source, files[kind], kind, fetch, progress)
            draft, stop = Path(folder, "new.sqlite"), threading.Event()

            def report(what: str, octets: int, units: int, /) -> None:
                if stop.is_set():
                    raise InterruptedError
                progress(what, octets, units)

            try:
                info = await asyncio.to_thread(
                    _build, draft, files, min(times), max_inflated, report
                )
            finally:
                stop.set()  # Whoever gives up here does not want the thread to go on.
            _check_size(info, path, allow_smaller=allow_smaller)
            _replace(draft, path)
    except (MalformedBulk, MalformedUnit, OSError, sqlite3.Error) as error:
        raise _failure(error) from None
    return info


def _failure(error: Exception) -> NotFetched | RefusedSnapshot:
    match error:
        case MalformedBulk() | MalformedUnit():
            return RefusedSnapshot(str(error))
        case OSError(strerror=str(reason), filename=filename):
            return NotFetched(f"{filename}: {reason}" if filename else reason)
    return NotFetched(f"the copy cannot be written ({type(error).__name__})")


async def _download(
    url: str, file: Path, kind: str, fetch: Fetch | None, progress: Progress
) -> None:
    if fetch is None:
        raise NotFetched("a URL needs something that fetches it")
    size, failed = 0, None
    with file.open("wb") as sink:

        def take(piece: bytes) -> None:
            nonlocal size, failed
            try:
                sink.write(piece)
            except OSError as error:  # No space is left, and the fetch would say it less well.
                failed = error
                raise
            size += len(piece)
            progress(_NAMES[kind], size, 0)

        try:
            await fetch.send("GET", url, accept=_ACCEPT[kind], into=take)
        except FetchError as error:
            if failed is not None:
                raise failed from None
            raise NotFetched(f"{_NAMES[kind]}: {error.reason}") from None


def _build(
    draft: Path, files: dict[str, Path], made_at: float, max_inflated: int, progress: Progress
) -> SnapshotInfo:
    """Write a new copy; on a thread."""
    counts = {}
    with closing(sqlite3.connect(draft)) as connection:
        # Nobody else sees the file: if this is interrupted, it is not used.
        connection.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {SCHEMA}")
        for kind, file in files.items():
            counts[kind] = 0
            rows = _rows(kind, file, counts, max_inflated, progress)
            try:
                connection.executemany(f"INSERT INTO {kind} VALUES (?, ?, ?)", rows)  # noqa: S608  main or sub
            except sqlite3.IntegrityError:
                raise MalformedBulk(f"{_NAMES[kind]}: a unit is there twice") from None
            if not counts[kind]:
                raise MalformedBulk(f"{_NAMES[kind]}: there are none")
            progress(_NAMES[kind], 0, counts[kind])
        info = SnapshotInfo(made_at, counts["main"], counts["sub"])
        connection.execute("INSERT INTO info VALUES (?, ?, ?)", (made_at, info.main, info.sub))
        connection.commit()
    return info


def _rows(
    kind: str, file: Path, counts: dict[str, int], max_inflated: int, progress: Progress
) -> Iterator[tuple[int, int | None, int]]:
    read = _READ[kind]
    try:
        for text in split(pieces(file, max_inflated)):
            yield pack(read(text))
            counts[kind] += 1
            if counts[kind] % _STEP == 0:
                progress(_NAMES[kind], 0, counts[kind])
    except (MalformedBulk, MalformedUnit) as flaw:
        raise MalformedBulk(f"{_NAMES[kind]}, after {counts[kind]}: {flaw}") from None


def _check_size(info: SnapshotInfo, path: Path, *, allow_smaller: bool) -> None:
    """Refuse a copy that has lost much: that is a mistake at the source more often than true."""
    try:
        last = read_info(path)
    except (OSError, Unusable):
        return
    for kind, new, old in (("main", info.main, last.main), ("sub", info.sub, last.sub)):
        if new < _AT_LEAST * old and not allow_smaller:
            raise RefusedSnapshot(
                f"{_NAMES[kind]}: {new} where the last copy has {old}; if that is right, "
                "allow a smaller one"
            )


def _replace(draft: Path, path: Path) -> None:
    """Put the draft in place; after a power failure it is there whole, or the last one is."""
    descriptor = os.open(draft, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(path)
    if hasattr(os, "O_DIRECTORY"):
        with contextlib.suppress(OSError):
            folder = os.open(path.parent, os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
