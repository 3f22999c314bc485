"""The bulk files of Enhetsregisteret: a JSON array of a million units, read one at a time.

``/enheter/lastned`` and ``/underenheter/lastned`` are gzip files of some hundred megabytes that
hold more than a gigabyte. Neither is ever in memory: what is read is bounded, and so is what comes
out of it, whoever wrote it.
"""

from __future__ import annotations

import gzip
import re
import zlib
from typing import IO, TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["MalformedBulk", "pieces", "split"]

#: Octets of one unit. Those of the largest are some ten thousand.
MAX_OBJECT: Final = 256 * 1024

#: How deep arrays and objects nest in a unit; those of the register do three deep.
MAX_NESTING: Final = 8

_PIECE: Final = 256 * 1024
_GZIP: Final = b"\x1f\x8b"


class MalformedBulk(ValueError):  # noqa: N818  it says what it is
    """The file is no bulk file. The message says why and holds nothing of it."""


def pieces(path: Path, max_octets: int) -> Iterator[bytes]:
    """Read a file piece by piece, decompressed where it is a gzip file.

    Parameters:
        path: the file.
        max_octets: what may come out of it.

    Raises:
        OSError: if it cannot be read.
        MalformedBulk: if it is compressed and broken, or more comes out of it.
    """
    with path.open("rb") as file:
        compressed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        source = cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if compressed else file
        size = 0
        while True:
            try:
                piece = source.read(_PIECE)
            except (gzip.BadGzipFile, EOFError, zlib.error):
                raise MalformedBulk("the gzip file is broken or cut off") from None
            if not piece:
                return
            size += len(piece)
            if size > max_octets:
                raise MalformedBulk(f"the file holds more than {max_octets} octets")
            yield piece


def _nested(depth: int) -> bytes:
    # Possessive, so that nothing is ever tried twice: what does not match costs one reading of it.
    # Brackets of either kind close either: whether it is JSON, the decoder says.
    inner = rb"" if depth == 0 else rb"|[{\[]" + _nested(depth - 1) + rb"[}\]]"
    return rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+"' + inner + rb")*+"


_OBJECT: Final = re.compile(rb"\{" + _nested(MAX_NESTING) + rb"\}", re.DOTALL)
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")


def split(source: Iterable[bytes]) -> Iterator[bytes]:
    """Split a JSON array of objects into the texts of its objects.

    Does not check: that each is JSON, which whoever decodes it does; only where it ends.

    Parameters:
        source: the array in pieces, cut anywhere.

    Raises:
        MalformedBulk: if it is no array of objects, if one is too long or nests too deep, or if the
            array does not end, or not at the end of the file.
    """
    reader = _Reader(source)
    if reader.take() != b"[":
        raise MalformedBulk("the file is no JSON array")
    first = True
    while True:
        mark = reader.take()
        if mark == b"]" and first:
            break
        if not first:
            if mark == b"]":
                break
            if mark != b",":
                raise MalformedBulk("the array is cut off, or not one of objects")
            mark = reader.take()
        if mark != b"{":
            raise MalformedBulk("the array is cut off, or not one of objects")
        yield reader.rest_of_object()
        first = False
    if reader.take():
        raise MalformedBulk("something follows the array")


class _Reader:
    """A window on the pieces, no larger than one object and one piece."""

    def __init__(self, source: Iterable[bytes]) -> None:
        self._source = iter(source)
        self._window = b""
        self._at = 0

    def take(self) -> bytes:
        """Return the next octet that is no white space; nothing at the end."""
        while True:
            space = _SPACE.match(self._window, self._at)
            self._at = self._at if space is None else space.end()
            if self._at < len(self._window):
                self._at += 1
                return self._window[self._at - 1 : self._at]
            if not self._more():
                return b""

    def rest_of_object(self) -> bytes:
        """Return the object whose bracket was taken."""
        self._at -= 1
        while True:
            found = _OBJECT.match(self._window, self._at)
            if found is not None:
                self._at = found.end()
                return found.group()
            if len(self._window) - self._at > MAX_OBJECT:
                raise MalformedBulk("a unit is too long, or nests too deep")
            if not self._more():
                raise MalformedBulk("the file is cut off within a unit, or one nests too deep")

    def _more(self) -> bool:
        piece = next(self._source, None)
        if piece is None:
            return False
        self._window = self._window[self._at :] + piece
        self._at = 0
        return True
