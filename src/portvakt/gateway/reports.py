"""What each worker tells the admin address: a small file a second, in a folder of the supervisor.

A file and not a socket: a worker that hangs, or was killed, tells nothing any more, and what it
counted until then stays counted.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from portvakt.telemetry.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from portvakt.gateway.reload import Reloader
    from portvakt.guard.health import Health

__all__ = [
    "FRESH",
    "Report",
    "end_with",
    "health_data",
    "read_reports",
    "snapshots",
    "this_process",
    "write_report",
]

#: Seconds after which a worker that told nothing is taken for hanging.
FRESH: Final = 5.0

#: Octets of a file that are read at most: counters of some hundred routes have a tenth of it.
_MAX_FILE: Final = 16 * 1024 * 1024


class Report(Struct, frozen=True):
    """What one worker told last.

    Attributes:
        pid: which process.
        at: when, in seconds since 1970.
        ready: whether it can decide about every issuer's tokens.
        generation: how many times it read the policy.
        broken: whether it could not use the file when it read it last.
        health: how current all is that it decides by.
        metrics: what it counted.
        identity_key: the public key, as a JWK, that it signs who was admitted with; None where
            headers tell it.
    """

    pid: int
    at: float
    ready: bool
    generation: int
    broken: bool
    health: dict[str, Any]
    metrics: Snapshot
    identity_key: dict[str, Any] | None = None

    @property
    def alive(self) -> bool:
        """Whether the process told something lately."""
        return abs(time.time() - self.at) <= FRESH


def write_report(folder: Path, report: Report) -> None:
    """Put a report in place of the last one of its process, all at once."""
    file = folder / f"{report.pid}.json"
    beside = folder / f"{report.pid}.new"
    beside.write_bytes(msgspec.json.encode(report))
    beside.replace(file)


def read_reports(folder: Path) -> list[Report]:
    """Return what each process told last, those that ended included."""
    return list(_read(folder))


def _read(folder: Path) -> Iterator[Report]:
    for file in sorted(folder.glob("*.json")):
        with suppress(OSError, msgspec.MsgspecError):
            with file.open("rb") as opened:
                octets = opened.read(_MAX_FILE)
            yield msgspec.json.decode(octets, type=Report)


def snapshots(reports: Iterable[Report]) -> Iterator[Snapshot]:
    """Yield what each process counted; of one that ended, not how it was."""
    for report in reports:
        counted = report.metrics
        yield counted if report.alive else Snapshot(counted.decisions, counted.times, ())


def health_data(health: Health) -> dict[str, Any]:
    """Return a guard's health as plain data. It holds no token, key or secret."""
    told: dict[str, Any] = {
        "keys": [
            {name: getattr(one, name) for name in one.__struct_fields__ if name != "published"}
            for one in health.keys
        ]
    }
    for name in ("registers", "introspection", "status_lists", "events"):
        told[name] = [msgspec.to_builtins(one) for one in getattr(health, name)]
    for name in ("revocation", "store"):
        told[name] = msgspec.to_builtins(getattr(health, name))
    return told


async def end_with(parent: int) -> None:
    """Ask this process to stop, once its parent is gone: nobody else would ever stop it.

    Parameters:
        parent: the process that started this one.
    """
    while os.getppid() == parent:  # noqa: ASYNC110  the system tells of it in no other way
        await asyncio.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)


def this_process(reloader: Reloader) -> Report:
    """Return the report of this process.

    Parameters:
        reloader: what it answers by.
    """
    serving = reloader.serving
    health, signer = serving.guard.health(), serving.reading.signer
    return Report(
        pid=os.getpid(),
        at=time.time(),
        ready=health.ready,
        generation=reloader.generation,
        broken=reloader.broken,
        health=health_data(health),
        metrics=serving.metrics.snapshot(),
        identity_key=None if signer is None else signer.public_jwk(),
    )
