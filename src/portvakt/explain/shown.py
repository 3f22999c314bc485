"""Values from outside in characters that only print, and times as people read them.

Whatever a token says may be meant for the terminal that shows it: escape sequences, new lines,
marks that turn the direction of writing (HDR-07, JSON-08). None of it gets through.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeGuard

from portvakt.explain.texts import Words

__all__ = [
    "MAX_TIME",
    "is_time",
    "show",
    "show_list",
    "show_span",
    "show_time",
    "show_utc",
    "show_value",
]

#: Characters of one value, and members of one list, that are shown at most.
MAX_SHOWN: Final = 200
MAX_LISTED: Final = 30

#: 9999-12-31T23:59:59Z: no later time can be written.
MAX_TIME: Final = 253402300799

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_OF_PLANE_0: Final = 0xFFFF

# As many digits as a national identity number has, or more, in one row or in groups as people write
# them: it may stand in any claim, with or without something beside it, and is never shown.
_ELEVEN_DIGITS: Final = re.compile(r"\d(?:[\s.\u00ad\u2010-\u2015\u2212-]{0,3}\d){10,}")

#: What needs no quotes to be seen where it starts and ends.
_PLAIN: Final = re.compile(r"[^\s,;\"]+")


_ESCAPES: Final = {"\\": r"\\", '"': r"\""}


def show(text: str, words: Words) -> str:
    """Return text from outside in characters that only print: no cursor is moved, no line ended.

    What does not print (controls, escape sequences, marks that turn the direction of writing,
    halves of surrogate pairs) is written as an escape. Eleven digits or more, also in groups, are
    hidden, and what is long is cut.
    """
    hidden = _ELEVEN_DIGITS.sub(words.hidden, text)
    # Cut before escaping, so that the cut goes through no escape.
    cut = hidden if len(hidden) <= MAX_SHOWN else hidden[:MAX_SHOWN] + "…"
    safe = "".join(map(_printable, cut))
    return safe if _PLAIN.fullmatch(text) else f'"{safe}"'


def _printable(one: str) -> str:
    if one in _ESCAPES:
        return _ESCAPES[one]
    if one.isprintable():
        return one
    code = ord(one)
    return rf"\u{code:04x}" if code <= _LAST_OF_PLANE_0 else rf"\U{code:08x}"


def show_value(value: Any, words: Words) -> str:
    """Return a JSON value in safe characters: an object as ``{…}``, an array by its members."""
    if isinstance(value, str):
        return show(value, words)
    if isinstance(value, Mapping):
        return "{…}"
    if isinstance(value, list):
        return f"[{show_list(('[…]' if isinstance(one, list) else one for one in value), words)}]"
    return show(json.dumps(value), words)


def show_list(items: Iterable[Any], words: Words) -> str:
    """Return several JSON values, the first of them if they are many."""
    shown = [show_value(item, words) for item in items]
    if len(shown) > MAX_LISTED:
        shown = [*shown[:MAX_LISTED], words.and_more.format(count=len(shown) - MAX_LISTED)]
    return ", ".join(shown)


def is_time(value: Any) -> TypeGuard[float]:
    """Whether a value is a NumericDate (RFC 7519 section 2) of the years 1970 to 9999."""
    return type(value) in {int, float} and 0 <= value <= MAX_TIME


def show_time(value: Any, now: float, words: Words) -> str:
    """Return a NumericDate as a time in UTC, and how far from *now* it is."""
    if not is_time(value):
        return show_value(value, words)
    distance = value - now
    relative = (words.ahead if distance > 0 else words.ago).format(span=show_span(distance, words))
    return f"{show_utc(value)}, {relative}"


def show_utc(seconds: float) -> str:
    """Return a time of the years 1970 to 9999 in UTC, to the second."""
    return f"{_EPOCH + timedelta(seconds=int(seconds)):%Y-%m-%d %H:%M:%S} UTC"


def show_span(seconds: float, words: Words) -> str:
    """Return a length of time in its two largest units."""
    rest = round(abs(seconds))
    amounts = []
    for size, unit in zip((86400, 3600, 60, 1), words.units, strict=True):
        amount, rest = divmod(rest, size)
        if amount:
            amounts.append(f"{amount} {unit}")
    return " ".join(amounts[:2]) or f"0 {words.units[-1]}"
