"""The pages as data: every fenced block of every page, with its language and its title."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for path in (*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"))
)

_FENCE = re.compile(
    r'^```(?P<language>\w+)(?: title="(?P<title>[\w.]+)")?(?: exit=(?P<exit>\d))?\n'
    r"(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """One fenced block of a page."""

    language: str
    title: str | None
    exit: int
    text: str
    place: str


def blocks(page: str) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    found = [
        Block(
            match["language"],
            match["title"],
            int(match["exit"] or 0),
            match["text"],
            f"{page}:{text.count(chr(10), 0, match.start()) + 1}",
        )
        for match in _FENCE.finditer(text)
    ]
    # A fence that the pattern does not know would be code that nobody runs.
    assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len(found), page
    return found
