"""Read a file that holds a secret, unless others can read it or could have written it."""

import os
import stat
from pathlib import Path

from portvakt.errors import ConfigurationError

__all__ = ["check_folder", "read_private"]

#: Without it (Windows), what others may do is not in the mode.
_HAS_OWNERS = hasattr(os, "geteuid")


def read_private(path: Path, limit: int) -> bytes:
    """Read a file, if it is private.

    A file of root's may be readable by its group: that is how systemd and Kubernetes hand over a
    secret to a process that is not root. Does not check access control lists.

    Parameters:
        path: the file; a link is followed, as secrets that are mounted are links.
        limit: how many octets it may have.

    Raises:
        ConfigurationError: if it cannot be read, is no file, is too long, or is loose. The message
            says what to run, and nothing that is in it.
    """
    check_folder(path.parent)
    try:
        # Not to wait for ever for the other end of a pipe.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(handle, "rb") as file:  # noqa: PTH123  it is open already
            # Of what was opened: what the name stands for may change in between.
            _check_file(path, os.fstat(handle))
            octets = file.read(limit + 1)
    except OSError as error:
        # Not by its name: somebody may have written the secret where its file belongs.
        raise ConfigurationError(f"the file cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError("the name of the file holds a null character") from None
    if len(octets) > limit:
        raise ConfigurationError(f"{path.name} is longer than {limit} octets")
    return octets


def check_folder(folder: Path) -> None:
    """Refuse a folder in which others could put another file in the place of ours.

    Raises:
        ConfigurationError: if it is not there, somebody else's, or writable by others. One such as
            /tmp, where nobody can touch the files of another, will do.
    """
    try:
        found = folder.stat()
    except (OSError, ValueError):
        raise ConfigurationError("the folder of the file cannot be read") from None
    if not _HAS_OWNERS:
        return
    if found.st_uid not in {0, os.geteuid()}:
        raise ConfigurationError(f"the folder {folder} belongs to another user")
    loose = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if loose and not found.st_mode & stat.S_ISVTX:
        raise ConfigurationError(
            f"others may write to the folder {folder}: run chmod go-w {folder}"
        )


def _check_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError(f"{path.name} is not a file")
    if not _HAS_OWNERS:
        return
    user = os.geteuid()
    if found.st_uid not in {0, user}:
        raise ConfigurationError(f"{path.name} belongs to another user")
    loose = stat.S_IRWXG | stat.S_IRWXO
    if found.st_uid != user:
        loose &= ~stat.S_IRGRP
    if found.st_mode & loose:
        raise ConfigurationError(f"others have access to {path.name}: run chmod 600 {path}")
