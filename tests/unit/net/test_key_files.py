"""The last good keys on disk: written in one piece, and read only if nobody else can have been."""

import asyncio
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.signer import Signer
from portvakt.net.key_files import KeyFile

ISSUER = "https://issuer.test"
SIGNER = Signer.generate("ES256", "key-1")
SET = msgspec.json.encode({"keys": [SIGNER.public_jwk()]})
NOW = 1_800_000_000.0

#: The name of an issuer's file is part of what outlives a new version of this program.
NAME = "2a3897fff194c942756d6bb9045430f1.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "var" / "keys"


@pytest.fixture
def file(folder: Path) -> KeyFile:
    return KeyFile(folder, ISSUER)


@pytest.fixture
def written(file: KeyFile, folder: Path) -> Path:
    """The path of a file as an earlier run left it."""
    write(file)
    (path,) = folder.iterdir()
    return path


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING, "portvakt.net"):
        yield caplog


def write(file: KeyFile, text: bytes = SET, at: float = NOW) -> None:
    asyncio.run(file.write(text, at))


def imported(text: bytes) -> JwkSet:
    return JwkSet.from_json(text, ["ES256"])


def read(file: KeyFile, now: float = NOW) -> tuple[list[str | None], float] | None:
    found = file.read(imported, now)
    return None if found is None else ([key.kid for key in found[0].keys], found[1])


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_what_is_written_is_read_with_its_age(
    file: KeyFile, said: pytest.LogCaptureFixture
) -> None:
    write(file)
    assert read(file, NOW + 90) == (["key-1"], 90)
    assert read(KeyFile(file._path.parent, ISSUER)) == (["key-1"], 0)
    assert not said.records


def test_where_nothing_was_written_there_is_nothing_to_say(
    file: KeyFile, folder: Path, said: pytest.LogCaptureFixture
) -> None:
    assert read(file) is None
    folder.mkdir(parents=True)
    assert read(file) is None
    assert not said.records


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_nobody_else_can_read_or_write_it(file: KeyFile, folder: Path) -> None:
    before = os.umask(0)
    try:
        write(file)
    finally:
        os.umask(before)
    (path,) = folder.iterdir()
    assert (mode(path), mode(folder)) == (0o600, 0o700)


def test_the_name_is_no_issuers_choice(tmp_path: Path) -> None:
    for issuer in ("../../etc/passwd", "/etc/passwd", "a\0b", "x" * 256, "ü"):
        write(KeyFile(tmp_path, issuer))
    names = {path.name for path in tmp_path.iterdir()}
    assert len(names) == 5
    assert all(len(name) == len(NAME) and name.endswith(".json") for name in names)


def test_the_name_stays_the_same(written: Path) -> None:
    assert written.name == NAME


def test_issuers_do_not_share_a_file(folder: Path, said: pytest.LogCaptureFixture) -> None:
    other = KeyFile(folder, "https://other.test")
    write(other)
    assert read(KeyFile(folder, ISSUER)) is None
    other._path.rename(KeyFile(folder, ISSUER)._path)
    assert read(KeyFile(folder, ISSUER)) is None
    assert said.messages == [
        f"issuer {ISSUER}: the keys on disk are not used: the file is another issuer's"
    ]


def test_a_newer_set_takes_the_place_of_the_older(file: KeyFile, written: Path) -> None:
    newer = msgspec.json.encode({"keys": [Signer.generate("ES256", "key-2").public_jwk()]})
    write(file, newer, NOW + 5)
    assert read(file, NOW + 6) == (["key-2"], 1)
    assert list(written.parent.iterdir()) == [written]


def test_a_set_of_any_form_survives_the_way(file: KeyFile) -> None:
    """Escapes double what is kept, and the bound on what is read leaves room for that."""
    document = {"keys": [SIGNER.public_jwk()], "note": '"\\\n' * 40_000 + "ü"}
    text = msgspec.json.format(msgspec.json.encode(document), indent=2)
    assert len(text) < 512 * 1024
    write(file, text)
    assert read(file) == (["key-1"], 0)
    largest = SET + b"\n" * (512 * 1024 - len(SET))
    write(file, largest)
    assert read(file) == (["key-1"], 0)


@pytest.mark.usefixtures("written")
def test_it_is_imported_under_the_policy_of_today(file: KeyFile) -> None:
    def other(text: bytes) -> JwkSet:
        return JwkSet.from_json(text, ["RS256"])

    assert file.read(other, NOW) is None


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
@pytest.mark.parametrize("loose", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_used(
    file: KeyFile, written: Path, said: pytest.LogCaptureFixture, loose: int
) -> None:
    written.chmod(loose)
    assert read(file) is None
    assert "others may write to file or folder: chmod go-w" in said.text
    written.chmod(0o644)  # all that others may do is read public keys
    assert read(file) == (["key-1"], 0)


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
@pytest.mark.parametrize("loose", [0o770, 0o707, 0o777, 0o1777])
def test_a_folder_that_others_may_write_is_not_used(
    file: KeyFile, written: Path, said: pytest.LogCaptureFixture, loose: int
) -> None:
    written.parent.chmod(loose)
    assert read(file) is None
    assert "others may write to file or folder" in said.text
    written.parent.chmod(0o755)
    assert read(file) == (["key-1"], 0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFO")
def test_in_a_folder_of_everybodys_nothing_is_opened(folder: Path, file: KeyFile) -> None:
    folder.mkdir(parents=True)
    os.mkfifo(file._path)
    folder.chmod(0o777)
    assert read(file) is None  # to open it would wait for ever


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives away")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_belongs_to_another_user_is_not_used(
    file: KeyFile, written: Path, said: pytest.LogCaptureFixture, what: str
) -> None:
    os.chown(written if what == "file" else written.parent, 12345, -1)
    assert read(file) is None
    assert "belongs to another user" in said.text


def test_where_it_cannot_be_told_who_owns_a_file_that_is_not_asked(
    file: KeyFile, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written.chmod(0o666)
    monkeypatch.delattr(os, "geteuid", raising=False)
    assert read(file) == (["key-1"], 0)


GOOD: dict[str, Any] = {"issuer": ISSUER, "fetched_at": NOW, "jwks": SET.decode()}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "malformed"),
        (b"[]", "not an object"),
        (b"\xff", "not UTF-8"),
        (msgspec.json.encode(GOOD)[:-1], "malformed"),
        (b'{"issuer": "a", ' + msgspec.json.encode(GOOD)[1:], "repeated"),
        ({}, "another issuer's"),
        ({**GOOD, "issuer": None}, "another issuer's"),
        ({**GOOD, "fetched_at": None}, "not of the form"),
        ({**GOOD, "fetched_at": True}, "not of the form"),
        ({**GOOD, "fetched_at": "0"}, "not of the form"),
        ({**GOOD, "jwks": {"keys": []}}, "not of the form"),
        ({**GOOD, "jwks": None}, "not of the form"),
        ({**GOOD, "jwks": "<html>"}, "not strict JSON"),
        ({**GOOD, "jwks": '{"keys": 1}'}, "no array"),
        ({**GOOD, "jwks": '{"keys": []}'}, "no key in the file is usable"),
        ({**GOOD, "fetched_at": NOW + 5.1}, "in the future"),
        ({**GOOD, "fetched_at": 99_999_999_999_999_999_999}, "in the future"),
        (b" " * 2_000_000, "malformed"),
    ],
)
def test_what_was_not_written_by_us_is_not_used(
    file: KeyFile, written: Path, said: pytest.LogCaptureFixture, content: object, why: str
) -> None:
    written.write_bytes(content if isinstance(content, bytes) else msgspec.json.encode(content))
    assert read(file) is None
    (message,) = said.messages
    assert message.startswith(f"issuer {ISSUER}: the keys on disk are not used: ")
    assert why in message


@pytest.mark.usefixtures("written")
def test_a_clock_that_was_set_a_little_back_makes_no_keys_younger(file: KeyFile) -> None:
    assert read(file, NOW - 5) == (["key-1"], 0)


def test_what_cannot_be_read_is_said_and_not_used(
    file: KeyFile, folder: Path, said: pytest.LogCaptureFixture
) -> None:
    folder.mkdir(parents=True)
    file._path.mkdir()
    assert read(file) is None
    assert said.messages == [f"issuer {ISSUER}: the keys on disk are not used: Is a directory"]


# What can go wrong while it is written leaves the last one as it was.


@pytest.mark.parametrize("broken", ["os.fsync", "pathlib.Path.replace", "tempfile.mkstemp"])
def test_a_full_disk_changes_nothing(
    file: KeyFile,
    written: Path,
    said: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(broken, full)
    write(file, b'{"keys": []}', NOW + 1)
    assert said.messages == [f"issuer {ISSUER}: the keys cannot be kept: No space left on device"]
    assert list(written.parent.iterdir()) == [written]
    assert read(file) == (["key-1"], 0)


@pytest.mark.usefixtures("written")
def test_a_draft_that_cannot_be_removed_either_is_one_failure(
    file: KeyFile,
    said: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    monkeypatch.setattr("pathlib.Path.unlink", broken)
    write(file)
    assert said.messages == [f"issuer {ISSUER}: the keys cannot be kept: No space left on device"]


def test_where_the_folder_cannot_be_made_nothing_is_kept(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("a file")
    write(KeyFile(tmp_path / "taken", ISSUER))
    write(KeyFile(tmp_path / "taken" / "below", ISSUER))
    assert [message.rpartition(": ")[2] for message in said.messages] == [
        "File exists",
        "Not a directory",
    ]


@pytest.mark.skipif(os.name != "posix", reason="links are of POSIX")
def test_a_link_in_the_place_of_a_draft_is_not_followed(
    file: KeyFile, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    monkeypatch.setattr("tempfile._get_candidate_names", lambda: iter(["one", "two"]))
    link = written.parent / f"{written.stem}.one.new"
    link.symlink_to(target)
    write(file, at=NOW + 1)
    assert target.read_text() == "precious"
    assert link.is_symlink()
    assert read(file, NOW + 1) == (["key-1"], 0)


def test_those_who_write_at_once_each_write_in_one_piece(
    folder: Path, said: pytest.LogCaptureFixture
) -> None:
    files = [KeyFile(folder, ISSUER) for _ in range(8)]
    write(files[0])

    def work(file: KeyFile) -> bool:
        good = True
        for _ in range(10):
            file._write(SET, NOW)
            good = good and read(file) == (["key-1"], 0)
        return good

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, files))
    assert [path.name for path in folder.iterdir()] == [files[0]._path.name]
    assert not said.records
