"""Whether there is only one process: by what the server was told, and by a lock."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from portvakt.stores import workers
from portvakt.stores.base import StoreError, Use
from portvakt.stores.memory import MemoryStore
from portvakt.stores.workers import Alone, several_workers
from portvakt.testing import FrozenClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize(
    ("environ", "argv", "told"),
    [
        ({}, ["/usr/bin/uvicorn", "app:app", "--workers", "4"], "uvicorn --workers 4"),
        ({}, ["/lib/uvicorn/__main__.py", "app:app", "--workers=4"], "uvicorn --workers 4"),
        ({}, ["fastapi", "run", "--workers", "2"], "fastapi --workers 2"),
        ({}, ["gunicorn", "-w", "4", "app:app"], "gunicorn -w 4"),
        ({}, ["gunicorn", "-w4", "app:app"], "gunicorn -w 4"),
        ({}, ["hypercorn", "-w", "3", "app:app"], "hypercorn -w 3"),
        ({}, ["granian", "--workers", "2", "app:app"], "granian --workers 2"),
        ({}, ["uwsgi", "-p", "2"], "uwsgi -p 2"),
        ({"WEB_CONCURRENCY": "4"}, ["uvicorn", "app:app"], "WEB_CONCURRENCY=4"),
        ({"WEB_CONCURRENCY": "4"}, ["/srv/serve.py"], "WEB_CONCURRENCY=4"),
        ({"WEB_CONCURRENCY": "4"}, [], "WEB_CONCURRENCY=4"),
        ({"UVICORN_WORKERS": "3"}, ["uvicorn", "app:app"], "UVICORN_WORKERS=3"),
        ({"GRANIAN_WORKERS": "3"}, ["granian", "app:app"], "GRANIAN_WORKERS=3"),
        ({"GUNICORN_CMD_ARGS": "--workers=3"}, ["gunicorn", "app:app"], "gunicorn --workers 3"),
        # The last one counts.
        ({}, ["gunicorn", "--workers", "1", "-w", "2"], "gunicorn -w 2"),
    ],
)
def test_what_tells_a_server_to_run_several_is_found(
    environ: dict[str, str], argv: list[str], told: str
) -> None:
    assert several_workers(environ, argv) == told


@pytest.mark.parametrize(
    ("environ", "argv"),
    [
        ({}, ["uvicorn", "app:app"]),
        ({}, ["uvicorn", "app:app", "--workers", "1"]),
        ({}, ["uvicorn", "app:app", "--workers"]),
        ({}, ["uvicorn", "app:app", "--workers", "many"]),
        ({"WEB_CONCURRENCY": "1"}, ["uvicorn", "app:app"]),
        ({"WEB_CONCURRENCY": ""}, ["uvicorn", "app:app"]),
        # The command line wins.
        ({"WEB_CONCURRENCY": "4"}, ["uvicorn", "app:app", "--workers", "1"]),
        ({"GUNICORN_CMD_ARGS": "-w 3"}, ["gunicorn", "-w", "1"]),
        ({"GUNICORN_CMD_ARGS": "'"}, ["gunicorn", "app:app"]),
        # Not a server that we know: its options mean something else.
        ({}, ["pytest", "-w", "4", "--workers", "4"]),
        ({"UVICORN_WORKERS": "3"}, ["gunicorn", "app:app"]),
        ({}, ["gunicorn", "--worker-class", "4", "--threads", "8"]),
        ({}, []),
    ],
)
def test_one_process_is_no_problem(environ: dict[str, str], argv: list[str]) -> None:
    assert several_workers(environ, argv) is None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the locks are, for this process and those that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield tmp_path
    workers._leave_to_the_parent()


OTHER = """
import sys
from portvakt.stores.base import StoreError
from portvakt.stores.workers import Alone
try:
    Alone(sys.argv[1]).take()
except StoreError as error:
    print(error.reason, flush=True)
else:
    print("alone", flush=True)
sys.stdin.read()
"""


def other(name: Path, program: str = OTHER) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(name)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_processes_are_not_alone_until_one_of_them_is_killed(folder: Path) -> None:
    name = folder / "portvakt.toml"
    with other(name) as first:
        assert first_line(first) == "alone"
        with pytest.raises(StoreError, match="another process serves the same policy"):
            Alone(name).take()
        # Of another policy it is.
        Alone(folder / "other.toml").take()
        first.kill()
        first.wait()
        Alone(name).take()
        # Twice in one process is once.
        Alone(name).take()
        with other(name) as second:
            assert "another process" in first_line(second)
            second.kill()


USING = """
import sys
from portvakt.stores.base import Use
from portvakt.stores.memory import MemoryStore
from portvakt.stores.workers import Alone
store = MemoryStore(capacity=9, per_owner=9, clock=lambda: 900.0, alone=Alone(sys.argv[1]).take)
for line in sys.stdin:
    at = float(line)
    print(store.use_at_once(Use("owner", line, at - 5, at + 40, at)), flush=True)
"""


@pytest.mark.attack("RPL-04")
def test_what_the_one_before_used_beside_it_is_not_known(folder: Path) -> None:
    """A server that is replaced without a pause: for a while there are two of them."""
    name = folder / "portvakt.toml"
    with other(name, USING) as first:
        assert first.stdin is not None
        clock = FrozenClock(1000)
        memory = MemoryStore(capacity=9, per_owner=9, clock=clock, alone=Alone(name).take)
        proof = Use("owner", "item", 1005, 1050, 1010)
        for at in ("1009.5", "1010", "1010.4"):
            first.stdin.write(f"{at}\n")
            first.stdin.flush()
            assert first_line(first) == "True"
        # It may be what the first one used: nobody here can tell.
        with pytest.raises(StoreError, match="another process"):
            memory.use_at_once(proof)
        first.kill()
        first.wait()
        with pytest.raises(StoreError, match="does not reach back that far"):
            memory.use_at_once(proof)
        later = Use("owner", "later", 1013, 1060, 1018)
        assert memory.use_at_once(later) is True
        assert memory.use_at_once(later) is False


@pytest.mark.twin("RPL-04")
def test_who_was_alone_all_the_time_knows_everything(folder: Path) -> None:
    clock = FrozenClock(1000)
    name = folder / "portvakt.toml"
    with other(name) as first:
        assert first_line(first) == "alone"
        first.kill()
        first.wait()
    (lock,) = (folder / f"portvakt-{os.getuid()}").iterdir()
    os.utime(lock, (0, time.time() - 10))
    memory = MemoryStore(capacity=99, per_owner=99, clock=clock, alone=Alone(name).take)
    for at in range(1010, 1040):
        assert memory.use_at_once(Use("owner", str(at), at - 9.5, at + 40, at)) is True
    # Who comes after it is told that it was here.
    assert lock.stat().st_mtime > time.time() - 60


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_child_of_a_fork_is_another_process(folder: Path) -> None:
    alone = Alone(folder / "portvakt.toml")
    alone.take()
    child = os.fork()
    if child == 0:
        try:
            alone.take()
        except StoreError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    # And it has not let go of what is the parent's.
    with other(folder / "portvakt.toml") as process:
        assert "another process" in first_line(process)
        process.kill()


def test_a_folder_that_others_may_write_to_is_not_used(folder: Path) -> None:
    theirs = folder / f"portvakt-{os.getuid()}"
    theirs.mkdir()
    theirs.chmod(0o777)
    with pytest.raises(StoreError, match="cannot be told"):
        Alone(folder / "portvakt.toml").take()


def test_a_link_in_the_place_of_the_lock_is_not_followed(folder: Path) -> None:
    alone = Alone(folder / "portvakt.toml")
    alone.take()
    workers._leave_to_the_parent()
    (lock,) = (folder / f"portvakt-{os.getuid()}").iterdir()
    lock.unlink()
    lock.symlink_to(folder / "elsewhere")
    with pytest.raises(StoreError, match="cannot be told"):
        alone.take()
    assert not (folder / "elsewhere").exists()


def test_where_files_cannot_be_locked_nothing_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    Alone(folder / "portvakt.toml").take()
    assert list(folder.iterdir()) == []
