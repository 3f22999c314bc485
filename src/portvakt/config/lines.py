"""On which line of a TOML text each setting stands, for messages alone.

:mod:`tomllib` keeps no positions. This finds tables and the keys at the start of a line; what
stands inside an inline table or a list is placed at the key that holds it.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Final

from portvakt.config.place import below

__all__ = ["locate"]

# Strings and comments, within which a bracket or an equals sign means nothing.
_OPAQUE: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*",
    re.DOTALL,
)
_BRACKET_OR_END: Final = re.compile(r"[\[\]{}\n]")


def locate(text: str) -> dict[str, int]:
    """Return the line, counted from 1, of each place of a policy file.

    Best effort: a place that is not found has no line, and a text that is not TOML has what was
    recognised of it.

    Parameters:
        text: a TOML document.
    """
    lines: dict[str, int] = {}
    lengths: dict[str, int] = {}
    table = ""
    for line, kind, key in _statements(text):
        parts = _parts(key)
        place = table if kind == "=" else ""
        for position, part in enumerate(parts):
            place = below(place, part)
            lines.setdefault(place, line)
            if kind == "[[" and position == len(parts) - 1:
                lengths[place] = lengths.get(place, 0) + 1
            if place in lengths:
                place = below(place, lengths[place] - 1)
                lines.setdefault(place, line)
        if kind != "=":
            table = place
    return lines


def _statements(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the kind (``[``, ``[[`` or ``=``) and the key of each statement."""
    text = text.replace("\r\n", "\n")
    # As long as the text, character for character, so that offsets hold in both.
    masked = _OPAQUE.sub(lambda match: ("x", " ")[match[0][0] == "#"] * len(match[0]), text)
    start, line = 0, 1
    while start < len(masked):
        end = masked.find("\n", start)
        end = end if end >= 0 else len(masked)
        statement = masked[start:end]
        equals = statement.find("=")
        if statement.lstrip().startswith("["):
            opening = "[[" if statement.lstrip().startswith("[[") else "["
            first = start + statement.find(opening) + len(opening)
            last = masked.find("]", first, end)
            yield line, opening, text[first : last if last >= 0 else end]
        elif equals >= 0:
            yield line, "=", text[start : start + equals]
            end = _end_of_value(masked, start + equals + 1)
        line += text.count("\n", start, end + 1)
        start = end + 1


def _end_of_value(masked: str, start: int) -> int:
    """Return where the line ends on which a value ends: lists and tables may take several."""
    depth = 0
    for match in _BRACKET_OR_END.finditer(masked, start):
        if match[0] in "[{":
            depth += 1
        elif match[0] in "]}":
            depth -= 1
        elif depth <= 0:
            return match.start()
    return len(masked)


def _parts(key: str) -> list[str]:
    """Take a key apart as TOML does, dots and quotes included."""
    try:
        found: object = tomllib.loads(f"{key} = 0")
    except ValueError:
        return []
    parts = []
    while isinstance(found, dict) and found:
        name, found = next(iter(found.items()))
        parts.append(name)
    return parts
