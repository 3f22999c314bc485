"""The last good keys of an issuer on disk, so that a restart during an outage still serves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from portvakt.jose.encoding import NotCanonical, decode_object, encode_object
from portvakt.jose.jwk_set import JwkSet, MalformedKeySet

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KeyFile"]

_log: Final = logging.getLogger("portvakt.net")

#: Octets read at most: a key set within a string, its quotes escaped, and a few names beside it.
_MAX_READ: Final = 2 * 512 * 1024 + 4096

#: Seconds that the time of a fetch may lie ahead of our clock. More is a clock that was set back,
#: and an age that nobody knows.
_AHEAD: Final = 5.0


class KeyFile:
    """One issuer's key set in a folder. Only public keys are ever in it.

    A file that others may write, that is another issuer's or that is malformed is not used, and
    what is used is imported anew under the policy of today.

    Parameters:
        folder: the folder; made if it is not there, for this user alone.
        issuer: whose keys.
    """

    __slots__ = ("_issuer", "_path")

    def __init__(self, folder: Path, issuer: str) -> None:
        self._issuer = issuer
        # The name is a hash: an issuer's name is not a file name.
        self._path = folder / f"{sha256(issuer.encode()).hexdigest()[:32]}.json"

    def read(
        self, import_set: Callable[[bytes], JwkSet], now: float
    ) -> tuple[JwkSet, float] | None:
        """Return the keys of an earlier run and their age in seconds; None if there are none.

        Does not check that they are young enough.

        Parameters:
            import_set: imports a key set as if it had just been fetched.
            now: seconds since 1970.
        """
        try:
            return self._read(import_set, now)
        except FileNotFoundError:
            return None
        except (OSError, NotCanonical, MalformedKeySet, _UnusableError) as flaw:
            why = flaw.strerror if isinstance(flaw, OSError) else flaw
            _log.warning("issuer %s: the keys on disk are not used: %s", self._issuer, why)
            return None

    async def write(self, text: bytes, fetched_at: float) -> None:
        """Keep a key set, in one piece or not at all. A failure is logged and changes nothing.

        Parameters:
            text: the document as it was fetched.
            fetched_at: when the exchange started, in seconds since 1970.
        """
        try:
            await asyncio.to_thread(self._write, text, fetched_at)
        except OSError as error:
            _log.warning("issuer %s: the keys cannot be kept: %s", self._issuer, error.strerror)

    def _read(self, import_set: Callable[[bytes], JwkSet], now: float) -> tuple[JwkSet, float]:
        # The folder first: in one that others may write, even to open a file may wait for ever.
        _check_owner(self._path.parent.stat())
        with self._path.open("rb") as file:
            _check_owner(os.fstat(file.fileno()))
            members: dict[str, Any] = decode_object(file.read(_MAX_READ))
        if members.get("issuer") != self._issuer:
            raise _UnusableError("the file is another issuer's")
        fetched_at: Any = members.get("fetched_at")
        text = members.get("jwks")
        if type(fetched_at) not in {int, float} or type(text) is not str:
            raise _UnusableError("the file is not of the form that was written")
        age = now - fetched_at
        if age < -_AHEAD:
            raise _UnusableError("the file was written in the future")
        keys = import_set(text.encode())
        if not keys.keys:
            raise _UnusableError("no key in the file is usable")
        return keys, max(0.0, age)

    def _write(self, text: bytes, fetched_at: float) -> None:
        folder = self._path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = encode_object(
            {"issuer": self._issuer, "fetched_at": fetched_at, "jwks": text.decode()}
        )
        # A name of its own, which nobody can foresee and nothing has yet: another guard may write
        # at the same time, in this process or in a container that shares the folder and the pid.
        handle, draft = tempfile.mkstemp(".new", f"{self._path.stem}.", folder)
        try:
            with open(handle, "wb") as file:  # noqa: PTH123  it is open already
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                Path(draft).unlink()
            raise


class _UnusableError(ValueError):
    """The file is not used. The message says why and holds nothing of it."""


def _check_owner(found: os.stat_result) -> None:
    """Refuse what somebody else could have written: they would be keys of their choice."""
    if not hasattr(os, "geteuid"):
        return  # Windows: what others may do is not in the mode.
    if found.st_uid not in {0, os.geteuid()}:
        raise _UnusableError("file or folder belongs to another user")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _UnusableError("others may write to file or folder: chmod go-w")
