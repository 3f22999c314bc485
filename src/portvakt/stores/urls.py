"""What the URL of a store may be. Nothing here, and no message, quotes one: it may hold a password.

Does not check what only its server can tell, nor all of its form: who opens it reads the rest.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Final

__all__ = ["MEMORY", "REDIS", "SCHEMES", "SQLITE", "flaw_of", "scheme_of"]

#: The store of one process.
MEMORY: Final = "memory"
SQLITE: Final = "sqlite"
REDIS: Final = frozenset({"redis", "rediss", "redis+cluster", "rediss+cluster"})

#: What a URL can begin with.
SCHEMES: Final = (MEMORY, SQLITE, "postgresql", *sorted(REDIS))

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31})://")
_PASSWORD: Final = re.compile(r"[?&;][^=&;]*pass[^=&;]*=", re.IGNORECASE)
_FILE: Final = re.compile(r"sqlite:///(?!:memory:)[^?#\0]*[^?#\0/]")


def scheme_of(url: str) -> str | None:
    """Return the scheme of a store's URL; None if it is of no store."""
    match = _SCHEME.match(url)
    return match[1] if match is not None and match[1] in SCHEMES else None


def flaw_of(url: str) -> str | None:
    """Say what is wrong with a URL that stands in a policy; None if it may be right."""
    scheme = scheme_of(url)
    if scheme is None:
        match = _SCHEME.match(url)
        near = [] if match is None else get_close_matches(match[1].lower(), SCHEMES, n=1)
        if near:
            return f"is not known; did you mean {near[0]}://?"
        return f"must begin with one of {', '.join(f'{one}://' for one in SCHEMES)}"
    if scheme == MEMORY:
        return None if url == "memory://" else "must be memory:// and no more: it is in no place"
    if scheme == SQLITE:
        if _FILE.fullmatch(url):
            return None
        return "must name a file: sqlite:///file.db, or sqlite:////var/lib/file.db"
    # A password is everything up to the last @, whatever is in it.
    before, at, _ = url.partition("://")[2].rpartition("@")
    if (at and ":" in before) or _PASSWORD.search(url):
        return "must not hold a password: say where it is with password, as { env = … }"
    return None
