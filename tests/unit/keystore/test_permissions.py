"""What others can read or replace is not read."""

import os
import stat
from pathlib import Path

import pytest

from portvakt.errors import ConfigurationError
from portvakt.keystore import permissions
from portvakt.keystore.permissions import check_folder, read_private

US, ROOT, OTHER = 1000, 0, 1001
FILE, PIPE = stat.S_IFREG, stat.S_IFIFO


def status(mode: int, uid: int) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, uid, uid, 1, 0, 0, 0))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_bytes(b"s3cret\n")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize(
    ("mode", "uid", "message"),
    [
        (0o600, US, None),
        (0o400, US, None),
        (0o700, US, None),
        (0o400, ROOT, None),
        (0o440, ROOT, None),  # systemd, Kubernetes: our group may read what is root's
        (0o440, US, "chmod 600"),
        (0o444, ROOT, "chmod 600"),
        (0o460, ROOT, "chmod 600"),
        (0o420, US, "chmod 600"),
        (0o604, US, "chmod 600"),
        (0o602, US, "chmod 600"),
        (0o600, OTHER, "belongs to another user"),
    ],
)
def test_who_may_touch_a_file(
    mode: int, uid: int, message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: US)
    found = status(FILE | mode, uid)
    if message is None:
        permissions._check_file(Path("keys"), found)
    else:
        with pytest.raises(ConfigurationError, match=message):
            permissions._check_file(Path("keys"), found)


@pytest.mark.parametrize("kind", [PIPE, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFSOCK])
def test_what_is_no_file_is_not_read(kind: int) -> None:
    with pytest.raises(ConfigurationError, match="is not a file"):
        permissions._check_file(Path("keys"), status(kind | 0o600, os.geteuid()))


def test_private_file_is_read(file: Path) -> None:
    assert read_private(file, 7) == b"s3cret\n"


def test_link_to_a_private_file_is_read(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    assert read_private(link, 100) == b"s3cret\n"
    file.chmod(0o644)
    with pytest.raises(ConfigurationError, match="run chmod 600"):
        read_private(link, 100)


def test_long_file_is_not_read(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="longer than 6 octets"):
        read_private(file, 6)


def test_missing_file_is_not_named(tmp_path: Path) -> None:
    # Somebody may have written the secret where its file belongs.
    with pytest.raises(ConfigurationError, match="cannot be read: No such file") as caught:
        read_private(tmp_path / "hunter2", 100)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="a null character"):
        read_private(tmp_path / "a\0b", 100)


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigurationError, match="is not a file"):
        read_private(tmp_path / "pipe", 100)


def test_folder_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "stat", lambda self: status(stat.S_IFDIR | 0o700, OTHER))
    monkeypatch.setattr(os, "geteuid", lambda: US)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        check_folder(tmp_path)
