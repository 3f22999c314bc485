"""How far a reader of revocations has come, as text."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

__all__ = ["Cursor"]

_FORM: Final = re.compile(r"([0-9a-f]{16}):([0-9]{1,19}):(-?[0-9]{1,19}):((?:[0-9a-f]{2})*)")


class Cursor(Struct, frozen=True):
    """Where to read on.

    What was written is ordered by position and handle, and read from the first after these two.
    When there is no more, the next reading begins at *following*: whatever was still being written
    when this one began has that position or a later one.

    Attributes:
        mark: the epoch of the store in which it has a meaning.
        following: where the next reading begins.
        position: where this one is.
        handle: likewise; nothing at its beginning.
    """

    mark: str
    following: int
    position: int
    handle: bytes

    @classmethod
    def read(cls, text: str | None, mark: str) -> Cursor | None:
        """Return what a text says; None if it is not of this epoch, or nothing that we wrote."""
        match = None if text is None else _FORM.fullmatch(text)
        if match is None or match[1] != mark:
            return None
        return cls(match[1], int(match[2]), int(match[3]), bytes.fromhex(match[4]))

    def write(self) -> str:
        """Return it as text."""
        return f"{self.mark}:{self.following}:{self.position}:{self.handle.hex()}"

    def is_midway(self) -> bool:
        """Whether a reading is under way."""
        return self.handle != b""

    def midway(self, position: int, handle: bytes) -> Cursor:
        """Return where the reading goes on after a row."""
        return Cursor(self.mark, self.following, position, handle)

    def complete(self) -> Cursor:
        """Return where the next reading begins."""
        return Cursor(self.mark, self.following, self.following, b"")
