"""The environment over the file: ``PORTVAKT_ISSUER__0__LEEWAY=10s`` sets ``issuer[0].leeway``."""

import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

from portvakt.config.place import below
from portvakt.config.problems import Problems

__all__ = ["PASSPHRASE", "PREFIX", "override"]

PREFIX: Final = "PORTVAKT_"

#: The passphrase of the key store. It is no setting: the policy has none that holds a secret.
PASSPHRASE: Final = "PORTVAKT_KEYSTORE_PASSPHRASE"  # noqa: S105  a name, not what it holds

#: The first names the file, so it cannot be a part of it.
NOT_OVERRIDES: Final = frozenset({"PORTVAKT_CONFIG", PASSPHRASE})

_PLAIN: Final = re.compile(r"[A-Z0-9_]+")
_INDEX: Final = re.compile(r"[0-9]{1,4}")


def override(tables: dict[str, Any], environ: Mapping[str, str], problems: Problems) -> None:
    """Set in *tables* what the environment says, and note which variable set what.

    Does not check that there are such settings, nor their values: what reads the tables does, and
    treats an unknown variable as it treats an unknown key. So a secret cannot come this way: a
    variable can say where one is, as a key of the file can, and text where that is expected is
    refused by place and name, its value never shown.

    Parameters:
        tables: the decoded file; changed in place.
        environ: the environment; variables without the prefix are not looked at.
        problems: where to note variables that lead nowhere.
    """
    # Shorter paths first, so that a part is set on top of the whole, whatever the order is in which
    # the platform lists its variables.
    names = [name for name in environ if name.startswith(PREFIX) and name not in NOT_OVERRIDES]
    for name in sorted(names, key=lambda name: (name.count("__"), name)):
        if not _PLAIN.fullmatch(name):
            problems.add("", f"the variable {name!a} is not known: names are in capitals")
            continue
        path = name.removeprefix(PREFIX).lower().split("__")
        _set(tables, name, path, _value(environ[name]), problems)


def _value(text: str) -> object:
    """Read TOML where it is TOML, and text elsewhere: ``true``, ``["a"]`` and ``10s`` all work."""
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    # A line break could smuggle in more than the one value.
    return found["value"] if len(found) == 1 else text


def _set(
    tables: dict[str, Any], variable: str, path: list[str], value: object, problems: Problems
) -> None:
    node: Any = tables
    place = ""
    for position, part in enumerate(path, start=1):
        key = _key(node, part)
        if key is None:
            what = (
                f"has {len(node)} entries, counted from 0"
                if isinstance(node, list)
                else "is one value"
            )
            problems.add("", f"the variable {variable} leads nowhere: {place} {what}")
            return
        place = below(place, key)
        if position == len(path):
            node[key] = value
            problems.variables[place] = variable
        elif isinstance(node, dict) and key not in node:
            node[key] = {}
            problems.variables[place] = variable
        node = node[key]


def _key(node: object, part: str) -> str | int | None:
    if isinstance(node, list):
        index = int(part) if _INDEX.fullmatch(part) else len(node)
        return index if index < len(node) else None
    return part if isinstance(node, dict) else None
