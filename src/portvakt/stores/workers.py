"""Whether there is only one process: the memory of one knows nothing of what another admits.

Two ways to find out, as neither sees everything: what the server was told when it was started, and
a lock that two processes cannot both have.
"""

from __future__ import annotations

import os
import shlex
import tempfile
import time
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

from portvakt.home import after_fork
from portvakt.stores.base import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Alone", "several_workers"]

#: Servers, and how each is told on its command line how many processes it starts.
_SERVERS: Final = {
    "fastapi": ("--workers",),
    "granian": ("--workers",),
    "gunicorn": ("--workers", "-w"),
    "hypercorn": ("--workers", "-w"),
    "portvakt": ("--workers",),
    "uvicorn": ("--workers",),
    "uwsgi": ("--processes", "--workers", "-p"),
}

#: The variables by which each is told the same, and one that several of them read.
_VARIABLES: Final = {"granian": "GRANIAN_WORKERS", "uvicorn": "UVICORN_WORKERS"}
_COMMON: Final = "WEB_CONCURRENCY"

_SEVERAL: Final = "another process serves the same policy, and the store is the memory of one"
_NO_LOCK: Final = "it cannot be told whether another process serves the same policy"


def several_workers(environ: Mapping[str, str], argv: Sequence[str]) -> str | None:
    """Say by what this server was told to run several processes; None if by nothing.

    Does not see what a server is told in a file of its own, or from Python.

    Parameters:
        environ: the environment.
        argv: the command line, its first word the program.
    """
    program = _program(argv)
    options = _SERVERS.get(program, ())
    words = list(argv[1:])
    if program == "gunicorn":
        with suppress(ValueError):
            # The command line comes after it, and so wins.
            words = [*shlex.split(environ.get("GUNICORN_CMD_ARGS", "")), *words]
    stated = _stated(words, options)
    if stated is not None:
        option, count = stated
        return f"{program} {option} {count}" if count > 1 else None
    for name in (_VARIABLES.get(program), _COMMON):
        if name is not None:
            number = _number(environ.get(name, ""))
            if number is not None:
                return f"{name}={number}" if number > 1 else None
    return None


def _program(argv: Sequence[str]) -> str:
    """Return which program it is, also where Python was told to run a package."""
    path = Path(argv[0]) if argv else Path()
    return path.parent.name if path.stem == "__main__" else path.stem


def _stated(words: Sequence[str], options: Sequence[str]) -> tuple[str, int] | None:
    """Return the last option that states a number of processes, and the number."""
    found = None
    for position, word in enumerate(words):
        for option in options:
            following = words[position + 1] if position + 1 < len(words) else ""
            if word == option:
                value = following
            elif word.startswith(f"{option}="):
                value = word.removeprefix(f"{option}=")
            elif len(option) == 2 and word.startswith(option):
                value = word.removeprefix(option)
            else:
                continue
            count = _number(value)
            if count is not None:
                found = option, count
    return found


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else None


class Alone:
    """Sees to it that one process has what another may not have at the same time.

    A file of this name, in a folder of this user, is locked from the first use until the process
    ends, however it ends. What is forked after that is another process, and has to ask as well.

    Does not see another machine, another container, or another user; on Windows, nobody.

    Parameters:
        name: what is served: the path of the policy file.
    """

    def __init__(self, name: str | Path) -> None:
        digest = blake2b(os.fsencode(Path(name).resolve()), digest_size=16).hexdigest()
        self._name = f"{digest}.lock"
        self._made = time.time()

    def take(self) -> bool:
        """Have it from now on; return whether another had it after this was made.

        To be called again each second: who has it says so in the file, for those who come after.

        Raises:
            StoreError: if another process has it, or that cannot be told.
        """
        try:
            import fcntl
        except ModuleNotFoundError:
            # On Windows a server that starts several processes says so on its command line.
            return False
        held, others = _taken.get(self._name), False
        try:
            if held is None:
                held = os.open(_folder() / self._name, _FLAGS, 0o600)
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    os.close(held)
                    raise StoreError(_SEVERAL) from None
                _taken[self._name] = held
                found = os.fstat(held)
                others = found.st_size > 0 and found.st_mtime + _SAID_FOR >= self._made
            os.pwrite(held, b"!", 0)
        except OSError:
            raise StoreError(_NO_LOCK) from None
        return others


#: Seconds for which it counts that somebody said that they had it: twice as long as until the next
#: time.
_SAID_FOR: Final = 2.0

_FLAGS: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)

#: What this process has, and the open files that keep it.
_taken: Final[dict[str, int]] = {}


def _folder() -> Path:
    """Return a folder that nobody else can write to.

    Raises:
        OSError: if there is none.
    """
    folder = Path(tempfile.gettempdir()) / f"portvakt-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or not folder.is_dir():
        raise PermissionError
    return folder


def _leave_to_the_parent() -> None:
    # The lock goes with the open file, which parent and child would share.
    while _taken:
        os.close(_taken.popitem()[1])


after_fork(_leave_to_the_parent)
