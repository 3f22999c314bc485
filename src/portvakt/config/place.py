"""How a setting is named: ``api.audience``, ``issuer[0].leeway``."""

import json
import re
from typing import Final

from portvakt.errors import named

__all__ = ["below", "shown", "upwards"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_LAST_PART: Final = re.compile(r'(?:\[[0-9]+\]|\.?(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"))\Z')
_PART: Final = re.compile(r'[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"')


def below(place: str, part: str | int) -> str:
    """Return the place of a member of a table, or of an element of a list.

    A name that TOML would want in quotes is written as JSON, so that no place holds a line break.
    """
    if isinstance(part, int):
        return f"{place}[{part}]"
    name = part if _BARE.fullmatch(part) else json.dumps(part)
    return f"{place}.{name}" if place else name


def upwards(place: str) -> list[str]:
    """Return a place and the places it is in, from the inside out."""
    places = []
    while place:
        places.append(place)
        place = _LAST_PART.sub("", place)
    return places


def shown(place: str) -> str:
    """Return a place for a message, without names that nobody gives to a setting."""
    return _PART.sub(_said, place)


def _said(part: re.Match[str]) -> str:
    name = part[0].strip('"')
    return part[0] if not name or named(name, "") else "…"
