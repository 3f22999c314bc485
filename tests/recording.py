"""What tests of decision records share: a guard that keeps them, and what it wrote."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from portvakt import Guard
from portvakt.records.key import RecordKey
from portvakt.records.reading import heads_told, lines_of_file
from portvakt.records.sinks import listed
from portvakt.records.verify import Verifier
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from portvakt.records.chain import Head
    from portvakt.records.verify import Flaw

__all__ = [
    "HELSE",
    "KEY",
    "ROUTES",
    "SECRET",
    "VARIABLE",
    "folder_in",
    "recording_guard",
    "until",
    "verified",
    "written",
]

#: An issuer whose tokens speak of persons and organisations.
HELSE: Final = FakeIssuer(profile="helseid-test", alg="ES256")

SECRET: Final = "a secret of tests, thirty-two octets or more"
VARIABLE: Final = "RECORD_KEY"
KEY: Final = RecordKey(SECRET.encode())

ROUTES: Final[list[dict[str, Any]]] = [
    {"path": "/healthz", "public": True},
    {
        "path": "/journal/{patient}",
        "security_level": 4,
        "require": ["pid", "organisation"],
        "ignore": ["hpr_number"],
    },
]


def folder_in(tmp_path: Path) -> Path:
    """Return a folder for records."""
    folder = tmp_path / "records"
    folder.mkdir(mode=0o700)
    return folder


def recording_guard(records: dict[str, Any], *, issuer: FakeIssuer = HELSE, **config: Any) -> Guard:
    """Return a guard that keeps records."""
    os.environ[VARIABLE] = SECRET
    table = {"keys": [{"env": VARIABLE}], **records}
    made = issuer.config(**{"route": ROUTES, **config}, records=table)
    return Guard.from_config(made, clock=issuer.clock)


def until(what: Any, seconds: float = 5.0) -> None:
    """Wait for what a thread does."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


def written(folder: Path) -> list[dict[str, Any]]:
    """Return every record of a folder, in the order of its files."""
    lines = [line.octets for path in listed(folder) for line in lines_of_file(path)]
    return [msgspec.json.decode(line) for line in lines]


def verified(
    folder: Path, expected: Iterable[Head] = (), *, pruned: bool = False, key: RecordKey = KEY
) -> tuple[list[Flaw], Verifier]:
    """Return what is wrong with the records of a folder, and who found out."""
    verifier = Verifier({key.id: key}, expected, pruned=pruned)
    lines = [line for path in listed(folder) for line in lines_of_file(path)]
    first = [next(lines_of_file(path), None) for path in listed(folder)]
    verifier.tell(heads_told(line.octets for line in first if line is not None))
    flaws = [
        flaw for line in lines if line.whole for flaw in verifier.read(line.octets, line.place)[1]
    ]
    return [*flaws, *verifier.finish()], verifier
