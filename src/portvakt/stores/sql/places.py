"""From a URL to a place."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from portvakt.errors import ConfigurationError

if TYPE_CHECKING:
    from portvakt.stores.sql.place import Place

__all__ = ["sql_place"]

#: What SQLAlchemy asks for when it connects, and what makes tables.
_LATER: Final = ("aiosqlite", "alembic", "greenlet")

_FILE: Final = "sqlite:///"


def sql_place(url: str, password: str | None, timeout: float, directory: Path | None) -> Place:
    """Return where a URL leads. Opens nothing.

    Parameters:
        url: ``sqlite:///file.db``, ``sqlite:////var/lib/file.db`` or what libpq reads.
        password: what to show a server.
        timeout: seconds within which it must answer.
        directory: where a file is looked for whose path is not absolute.

    Raises:
        ConfigurationError: if a URL of SQLite names no file.
        ModuleNotFoundError: if a package is missing that is only imported later.
    """
    for package in _LATER:
        if find_spec(package) is None:
            raise ModuleNotFoundError(name=package)
    if not url.startswith("sqlite:"):
        from portvakt.stores.sql.postgresql import PostgresqlPlace

        return PostgresqlPlace(url, password, timeout)
    name = unquote(url.removeprefix(_FILE))
    if not url.startswith(_FILE) or not name or name == ":memory:" or "?" in url:
        raise ConfigurationError(
            "must name a file: sqlite:///file.db, or sqlite:////var/lib/file.db"
        )
    from portvakt.stores.sql.sqlite import SqlitePlace

    return SqlitePlace((directory or Path()) / name, timeout)
