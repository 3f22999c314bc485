"""The claims of a verified token: what they are, and when one says nothing."""

from typing import Any

from portvakt.jose.claims import Claims

__all__ = ["Claims", "is_missing"]


def is_missing(value: Any) -> bool:
    """Whether a claim is not there, as None says, or says nothing. False and 0 do say something."""
    return value is None or value in ("", [], {})
