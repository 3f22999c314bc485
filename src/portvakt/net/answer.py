"""An HTTP answer, and what its headers say of it: how long it is fresh, when it was made.

All of it is the other side's word: callers clamp it.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

__all__ = ["Fetched", "Headers", "freshness", "listed", "retry_after"]

#: Names in lower case and values, in order, duplicates kept.
Headers = Sequence[tuple[str, str]]

#: Seconds: 68 years, which is what RFC 9111 section 1.2.2 makes of anything longer.
MAX_SECONDS: Final = 2.0**31


class Fetched(Struct, frozen=True):
    """An answer, complete and bounded. Nothing in it is to be believed yet.

    Attributes:
        status: one of those that were asked for.
        headers: names in lower case and values, in order, duplicates kept; each character is one
            octet (ISO 8859-1).
        body: the octets, as they came.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def media_type(self) -> str | None:
        """The media type in lower case without parameters; None if there is none, or several."""
        value = _only(self.headers, "content-type")
        return None if value is None else value.partition(";")[0].strip().lower()

    @property
    def date(self) -> float | None:
        """When the server made the answer, by its own clock; seconds since 1970, None if unsaid."""
        return _date(self.headers, "date")

    # An answer may hold a token or claims (msgspec gives rich a repr of its own).
    def __repr__(self) -> str:
        """Show status and size, and nothing that was sent."""
        return f"Fetched(status={self.status}, octets={len(self.body)})"

    def __rich_repr__(self) -> list[tuple[str, int]]:
        """Show to rich what repr shows."""
        return [("status", self.status), ("octets", len(self.body))]


def listed(headers: Headers, name: str) -> list[str]:
    """Return the members of a header that is a list (RFC 9110 section 5.6.1), in lower case."""
    values = [value for field, value in headers if field == name]
    return [one for value in values for part in value.split(",") if (one := part.strip().lower())]


def _only(headers: Headers, name: str) -> str | None:
    """Return the value of a header; None if it is not there, or more than once."""
    values = [value for field, value in headers if field == name]
    return values[0] if len(values) == 1 else None


# A directive of Cache-Control (RFC 9111 section 5.2). A quoted value may hold commas.
_DIRECTIVE: Final = re.compile(
    r"""\s*+ ([^\s=,"]++) \s*+ (?: = \s*+ (?: "((?:[^"\\]|\\.)*+)" | ([^,]*+) ) )?""", re.VERBOSE
)


def freshness(headers: Headers) -> float | None:
    """Return for how many seconds more an answer may be used (RFC 9111 section 4.2), 0 to 2**31.

    ``max-age`` less the ``Age`` that it already has. ``no-store`` and ``no-cache`` are 0.0, and so
    is a ``max-age`` that is repeated or no number (section 4.2.1). None if nothing is said.

    Does not read: ``s-maxage``, which is for shared caches, ``Expires`` and ``Pragma``.
    """
    ages = []
    for value in (value for field, value in headers if field == "cache-control"):
        for name, quoted, plain in _DIRECTIVE.findall(value):
            match name.lower():
                case "no-store" | "no-cache":
                    return 0.0
                case "max-age":
                    ages.append(_seconds(quoted or plain.strip()))
    if not ages:
        return None
    lifetime = ages[0] if len(ages) == 1 else None
    age = next((_seconds(value) for field, value in headers if field == "age"), None)
    return max(0.0, (lifetime or 0.0) - (age or 0.0))


def retry_after(headers: Headers) -> float | None:
    """Return in how many seconds to ask again (RFC 9110 section 10.2.3), 0 to 2**31, or None.

    A point in time is understood only beside a ``Date``: both are read from the server's clock.
    """
    value = _only(headers, "retry-after")
    seconds = None if value is None else _seconds(value)
    if seconds is not None:
        return seconds
    then, now = _date(headers, "retry-after"), _date(headers, "date")
    return None if then is None or now is None else min(max(0.0, then - now), MAX_SECONDS)


def _seconds(text: str) -> float | None:
    """Read delta-seconds (RFC 9111 section 1.2.2); None if it is none."""
    if not (text.isascii() and text.isdigit()):
        return None
    return MAX_SECONDS if len(text.lstrip("0")) > 10 else min(float(text), MAX_SECONDS)


# The one form of a date that may be sent (RFC 9110 section 5.6.7). The two obsolete ones are not
# read: what is missed is a hint. The library takes a year below 1000 for one of two digits.
_IMF_DATE: Final = re.compile(
    r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [1-9][0-9]{3} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)


def _date(headers: Headers, name: str) -> float | None:
    from email.utils import parsedate_to_datetime

    value = _only(headers, name)
    if value is None or not _IMF_DATE.fullmatch(value):
        return None
    try:
        return parsedate_to_datetime(value).timestamp()
    except ValueError:
        return None
