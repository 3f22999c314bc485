"""Where records are kept: files in a folder, standard output, or a database.

One thread writes to a sink and waits for it. A sink that fails is asked again with the very same
lines until it has taken them all, so each remembers how far it came.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from portvakt.clock import monotonic
from portvakt.records.chain import Head, Unreadable, open_sealed
from portvakt.stores.base import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from portvakt.records.chain import Sealed
    from portvakt.stores.base import RecordRows

__all__ = ["SUFFIX", "FileSink", "Rotation", "Sink", "SinkError", "SqlSink", "StreamSink", "listed"]

#: How the names of files with records end.
SUFFIX: Final = ".jsonl"

#: Chains beside its own that a new one tells of: those that began last.
_OTHERS: Final = 32

#: Octets in which the last whole line of a file is looked for.
_LAST: Final = 64 * 1024

#: What a pipe takes as one piece (POSIX PIPE_BUF is at least 512; Linux has this), so that lines of
#: several processes on one pipe do not mix.
_PIECE: Final = 4096


#: Windows opens no folder, and so puts none on the disk.
_FOLDERS_OPEN: Final = os.name != "nt"

_NOT_OPEN: Final = "what keeps the records is not open"


class SinkError(Exception):
    """What was to be kept is not, or that is not certain.

    Attributes:
        reason: why, in words that hold nothing of a record.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Sink(ABC):
    """Keeps the records of one writer at a time."""

    @abstractmethod
    def open(self, writer: str, at: float, /) -> tuple[Head, ...]:
        """Begin with a new writer; return where the chains stand that are there already.

        Parameters:
            writer: its name.
            at: when it began, in seconds since 1970.

        Raises:
            SinkError: if it cannot be had.
        """

    @abstractmethod
    def write(self, records: Sequence[Sealed], /) -> None:
        """Keep records. After an error it is called again with the same ones.

        Raises:
            SinkError: if not all of them are kept.
        """

    def is_full(self) -> bool:
        """Whether the next record is to begin another part."""
        return False

    def turn(self) -> None:  # noqa: B027  most have no parts
        """Begin another part.

        Raises:
            SinkError: if it cannot be had.
        """

    def unsettled(self) -> float | None:
        """Return in how many seconds :meth:`settle` is due; None: what was written will do."""
        return None

    def settle(self) -> None:  # noqa: B027  most have nothing to do
        """Make sure of what was written.

        Raises:
            SinkError: if that is not certain.
        """

    @abstractmethod
    def close(self) -> None:
        """End with this writer. Raises nothing."""


class Rotation:
    """When a file is full, and when it is on the disk.

    Parameters:
        max_octets: the size from which on another one begins.
        max_age: likewise the age, in seconds.
        sync_after: seconds after which what was written is made sure to be on the disk, not only
            with the kernel: 0 for each batch, None for never.
    """

    __slots__ = ("max_age", "max_octets", "sync_after")

    def __init__(self, max_octets: int, max_age: float, sync_after: float | None) -> None:
        self.max_octets: Final = max_octets
        self.max_age: Final = max_age
        self.sync_after: Final = sync_after


class FileSink(Sink):
    """Files in one folder, for many processes: each has its own, that nobody else can read.

    They are called ``<time of the start>-<writer>-<part>.jsonl``, so that names sort as they began.

    Parameters:
        folder: where; it has to be there.
        rotation: when a file is full, and when it is on the disk.
    """

    def __init__(self, folder: Path, rotation: Rotation) -> None:
        self._folder = folder
        self._rotation = rotation
        self._file: int | None = None
        self._stem = ""
        self._part = 0
        self._octets = 0
        self._began = 0.0
        self._rest: memoryview | None = None
        self._unsynced: float | None = None
        self._broken = False

    def open(self, writer: str, at: float, /) -> tuple[Head, ...]:
        """Begin the first file of a writer."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
        self._stem, self._part = f"{stamp}-{writer}", 0
        try:
            others = _heads(self._folder)
            self._make()
        except OSError as error:
            raise SinkError(f"no file for records can be made: {error.strerror}") from None
        return others

    def is_full(self) -> bool:
        """Whether it is too large, or too old."""
        rotation = self._rotation
        return self._octets >= rotation.max_octets or monotonic() - self._began >= rotation.max_age

    def turn(self) -> None:
        """Begin the next file, when the last one is as sure as it has to be."""
        if self._file is None:
            raise SinkError(_NOT_OPEN)
        if self._unsynced is not None:
            self.settle()
        self._part += 1
        last = self._file
        try:
            self._make()
        except OSError as error:
            self._part -= 1
            raise SinkError(f"no further file can be made: {error.strerror}") from None
        os.close(last)

    def _make(self) -> None:
        path = self._folder / f"{self._stem}-{self._part:06d}{SUFFIX}"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        made = os.open(path, flags, 0o600)
        try:
            if self._rotation.sync_after is not None:
                _sync_folder(self._folder)
        except OSError:
            # It is made once more, under the same name.
            os.close(made)
            path.unlink()
            raise
        self._file, self._octets, self._began = made, 0, monotonic()

    def write(self, records: Sequence[Sealed], /) -> None:
        """Append lines; of a file that takes a part of them, the rest when it is asked again."""
        if self._file is None:
            raise SinkError(_NOT_OPEN)
        if self._broken:
            raise SinkError("the file with records is lost: the disk failed")
        if self._rest is None:
            self._rest = memoryview(b"".join([record.line for record in records]))
        try:
            while self._rest:
                written = os.write(self._file, self._rest)
                self._octets += written
                self._rest = self._rest[written:]
        except OSError as error:
            raise SinkError(f"records cannot be written: {error.strerror}") from None
        self._rest = None
        if self._rotation.sync_after is None:
            return
        if self._unsynced is None:
            self._unsynced = monotonic()
        if monotonic() - self._unsynced >= self._rotation.sync_after:
            self.settle()

    def unsettled(self) -> float | None:
        """Return when what was written has to be on the disk."""
        if self._unsynced is None or self._rotation.sync_after is None:
            return None
        return max(0.0, self._unsynced + self._rotation.sync_after - monotonic())

    def settle(self) -> None:
        """Wait until the disk has it."""
        if self._file is None:
            return
        try:
            os.fsync(self._file)
        except OSError as error:
            # The kernel tells of it once, and may have given up what it could not write: to ask
            # again would hear that all is well.
            self._broken = True
            raise SinkError(f"the disk failed: {error.strerror}") from None
        self._unsynced = None

    def close(self) -> None:
        """Close the file, with all that was written on the disk if it ever is."""
        if self._file is None:
            return
        with suppress(OSError):
            if self._unsynced is not None:
                os.fsync(self._file)
        with suppress(OSError):
            os.close(self._file)
        self._file = self._rest = self._unsynced = None


def listed(folder: Path) -> list[Path]:
    """Return the files of a folder that hold records, as they began.

    Raises:
        OSError: if the folder cannot be read.
    """
    return sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIX))


def _heads(folder: Path) -> tuple[Head, ...]:
    """Return where the last chains of a folder stand, by their own word."""
    last = {path.name.rsplit("-", 1)[0]: path for path in listed(folder)}
    heads = []
    for path in list(last.values())[-_OTHERS:]:
        # Of what cannot be read nothing is told; verification will say so.
        with suppress(OSError, Unreadable), path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST))
            lines = file.read().rpartition(b"\n")[0].splitlines()
            if lines:
                record, _, _ = open_sealed(lines[-1])
                link = lines[-1][-45:-2].decode("ascii")
                heads.append(Head(record.writer, record.n, link))
    return tuple(heads)


def _sync_folder(folder: Path) -> None:
    if not _FOLDERS_OPEN:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class StreamSink(Sink):
    """An open file, such as standard output, that others may write lines to as well.

    Parameters:
        file: its descriptor; it is not closed here.
    """

    def __init__(self, file: int = 1) -> None:
        self._descriptor = file
        self._rest = b""
        self._done = 0

    def open(self, writer: str, at: float, /) -> tuple[Head, ...]:  # noqa: ARG002  the port
        """Begin; nothing is known of other chains."""
        self._rest, self._done = b"", 0
        return ()

    def write(self, records: Sequence[Sealed], /) -> None:
        """Write whole lines, in pieces that do not mix with those of others."""
        rest = self._rest
        if not rest:
            self._rest = rest = b"".join([record.line for record in records])
            self._done = 0
        try:
            while (done := self._done) < len(rest):
                end = rest.rfind(b"\n", done, done + _PIECE) + 1 or rest.index(b"\n", done) + 1
                self._done += os.write(self._descriptor, rest[done:end])
        except OSError as error:
            raise SinkError(f"records cannot be written: {error.strerror}") from None
        self._rest = b""

    def close(self) -> None:
        """Nothing to do: it is not ours."""


class SqlSink(Sink):
    """A table.

    Parameters:
        make: opens what writes to it. Called for each writer, in the thread that uses it.
    """

    def __init__(self, make: Callable[[], RecordRows]) -> None:
        self._make = make
        self._rows: RecordRows | None = None
        self._writer = ""

    def open(self, writer: str, at: float, /) -> tuple[Head, ...]:  # noqa: ARG002  the port
        """Connect, and find the chains that are there."""
        self._writer = writer
        try:
            self._rows = self._make()
            lines = self._rows.last(_OTHERS)
        except StoreError as error:
            self.close()
            raise SinkError(error.reason) from None
        heads = []
        for line in lines:
            with suppress(Unreadable):
                record, _, _ = open_sealed(line)
                heads.append(Head(record.writer, record.n, line[-45:-2].decode("ascii")))
        return tuple(heads)

    def write(self, records: Sequence[Sealed], /) -> None:
        """Insert rows, all or none; those that are there already stay as they are."""
        if self._rows is None:
            raise SinkError(_NOT_OPEN)
        rows = [(self._writer, one.n, one.at, one.line.rstrip(b"\n")) for one in records]
        try:
            self._rows.append(rows)
        except StoreError as error:
            raise SinkError(error.reason) from None

    def close(self) -> None:
        """Disconnect."""
        rows, self._rows = self._rows, None
        if rows is not None:
            rows.close()
