"""Durations as a person writes them: ``500ms``, ``5s``, ``60m``, ``24h``."""

import re
from typing import Final

__all__ = ["DURATION", "parse_duration", "write_duration"]

#: The one form: a whole number and its unit. A number without a unit is a guess about which.
DURATION: Final = r"^[0-9]{1,9}(ms|s|m|h)$"

_FORM: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h)")
_MILLISECONDS: Final = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


def parse_duration(text: str) -> float:
    """Return the seconds of a duration.

    Does not check that there is any sense in so long a time: that depends on what it is for.

    Raises:
        ValueError: if it is not in the one form.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("not a whole number with one of the units ms, s, m, h")
    return int(match[1]) * _MILLISECONDS[match[2]] / 1000


def write_duration(seconds: float) -> str:
    """Write seconds, to the nearest millisecond, in the largest unit that needs no fraction."""
    milliseconds = round(seconds * 1000)
    for unit, size in _MILLISECONDS.items():
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return "0s"
