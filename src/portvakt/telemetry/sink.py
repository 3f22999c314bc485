"""Where lines of a log go: standard output, standard error, or a file that others may rotate."""

import os
from pathlib import Path
from typing import Final, Protocol

from portvakt.errors import ConfigurationError, Problem

__all__ = ["MOST", "File", "Output", "Stream"]

#: Octets of one write. Writes of at most so many are not mixed with those of other processes that
#: write to the same pipe (POSIX: PIPE_BUF); what is appended to a file is not mixed at all.
MOST: Final = 4096


class Output(Protocol):
    """Takes whole lines."""

    def write(self, octets: bytes) -> None:
        """Write some lines; waits as long as it takes.

        Raises:
            OSError: if they are not all written.
        """
        ...


class Stream:
    """Standard output or standard error.

    Parameters:
        descriptor: which: 1 or 2.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, octets: bytes) -> None:
        """Write some lines."""
        _write(self._descriptor, octets)


class File:
    """A file that is appended to, and opened anew where it was moved away, as logrotate does.

    It is made when there is something to write, and not by who only looks whether a policy is
    right: that may be somebody else than who serves by it.

    Parameters:
        path: which. If it is made here, its owner and group alone may read it.

    Raises:
        ConfigurationError: if it could not be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        flaw = _flaw_of(path)
        if flaw is not None:
            raise ConfigurationError([Problem("telemetry.log.file", flaw)])

    def write(self, octets: bytes) -> None:
        """Append some lines."""
        descriptor = self._descriptor
        if descriptor is not None and self._moved(descriptor):
            self._descriptor = None
            os.close(descriptor)
        if self._descriptor is None:
            self._descriptor = self._open()
        _write(self._descriptor, octets)

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return os.open(self._path, flags, 0o640)

    def _moved(self, descriptor: int) -> bool:
        opened = os.fstat(descriptor)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        return (there.st_dev, there.st_ino) != (opened.st_dev, opened.st_ino)

    def __del__(self) -> None:
        """Close it; the buffer in front of it has written what it had."""
        if self._descriptor is not None:
            os.close(self._descriptor)


def _flaw_of(path: Path) -> str | None:
    if path.is_dir():
        return "is a folder"
    if not path.exists() and not path.parent.is_dir():
        return "cannot be made: its folder is not there"
    there = path if path.exists() else path.parent
    return None if os.access(there, os.W_OK) else "cannot be written: permission denied"


def _write(descriptor: int, octets: bytes) -> None:
    while octets:
        octets = octets[os.write(descriptor, octets) :]
