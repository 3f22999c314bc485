"""What a worker reads of a request's headers, as Granian gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portvakt.gateway.rsgi import readable

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Headers:
    """As Granian: every name once, and the lines that it can read."""

    def __init__(self, *lines: tuple[str, str]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        return len(dict(self._lines))

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._lines))

    def items(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self._lines if value.isascii()]


@pytest.mark.attack("HTTP-14")
def test_a_line_that_cannot_be_read_is_there_all_the_same() -> None:
    for more in ([], [("a", "3")], [("a", "3"), ("a", "4")]):
        found = readable(_Headers(("a", "1"), ("x-http-method-override", "\xe6"), *more))
        assert [name for name, _ in found].count("x-http-method-override") == 1
        assert dict(found)["x-http-method-override"] not in {"", "\xe6"}


@pytest.mark.twin("HTTP-14")
def test_lines_that_can_be_read_are_as_they_came() -> None:
    lines = [("a", "1"), ("b", "2"), ("a", "3"), ("c", "")]
    assert readable(_Headers(*lines)) == lines
