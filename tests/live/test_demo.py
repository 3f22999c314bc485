"""The demo as its user runs it: a server, a socket, and every scene through them."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import typer
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from portvakt.adapters.fastapi import FastAPIGuard
from portvakt.cli.demo import demo
from portvakt.demo import run
from portvakt.demo.api import READ, WRITE, journal_api
from portvakt.demo.run import Demo, DemoError, play_all
from portvakt.demo.scenes import SCENES

PORTVAKT = Path(sys.executable).with_name("portvakt")

#: Ctrl-C is ignored by what a shell runs in the background, and by all that it starts.
_RUN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from portvakt.cli import main; main()"
)


def nothing() -> dict[str, str]:
    return {}


def played(demo: Demo) -> tuple[list[str], int]:
    """Return the scenes that did not go as they must, and how many requests arrived."""
    with demo:
        return [row.scene.id for row in play_all(demo) if not row.ok], demo.requests


def command(*arguments: str, **environment: str) -> Result:
    app = typer.Typer()
    app.command()(demo)
    return CliRunner().invoke(app, arguments, env=environment)


def test_every_scene_goes_as_it_must_over_http() -> None:
    assert played(Demo()) == ([], len(SCENES))


def test_the_targets_arrive_as_they_are_written() -> None:
    seen: list[bytes] = []

    def build(guard: FastAPIGuard) -> FastAPI:
        app = journal_api(guard)

        class Watch:
            def __init__(self, app: Any) -> None:
                self.app = app

            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                if scope["type"] == "http":
                    seen.append(scope["raw_path"])
                await self.app(scope, receive, send)

        app.add_middleware(Watch)
        return app

    assert played(Demo(build=build))[0] == []
    assert b"/healthz/../journal/1" in seen
    assert b"/healthz%2f..%2fjournal/1" in seen


def test_an_api_that_is_not_protected_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FastAPIGuard, "protect", lambda _guard, _app: None)
    assert played(Demo()) == ([scene.id for scene in SCENES], len(SCENES))


def test_an_api_without_any_guard_is_found_out() -> None:
    def build(_: FastAPIGuard) -> FastAPI:
        app = FastAPI()
        app.add_api_route("/healthz", nothing)
        app.add_api_route("/journal/{patient}", lambda patient: {"patient": patient})
        return app

    assert played(Demo(build=build)) == ([scene.id for scene in SCENES], len(SCENES))


def test_one_check_left_out_fails_the_one_scene_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with Demo() as running:
        # In whose hands a token is, is looked at in three places: by the rule, by the token where
        # no rule says, and by the endpoint.
        for name in ("guard.refuse_unproven", "guard.confirm_certificate_of"):
            monkeypatch.setattr(f"portvakt.guard.{name}", lambda *_, **__: None)
        monkeypatch.setattr("portvakt.guard.demanding.refuse_other_hands", lambda *_, **__: None)
        assert [row.scene.id for row in play_all(running) if not row.ok] == ["bound"]


def test_an_api_that_does_not_start_is_no_demo() -> None:
    def build(guard: FastAPIGuard) -> FastAPI:
        app = journal_api(guard)
        app.add_api_route("/forgotten", nothing)
        return app

    with pytest.raises(DemoError, match="did not start"), Demo(build=build):
        pass


def test_the_server_is_gone_afterwards() -> None:
    with Demo() as running:
        assert httpx2.get(f"{running.url}/healthz", trust_env=False).status_code == 200
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{running.url}/healthz", trust_env=False)


def test_the_command_shows_each_scene_and_exits_with_0() -> None:
    result = command("--once", COLUMNS="120")
    assert result.exit_code == 0
    assert f"{len(SCENES)} of {len(SCENES)} requests went as they must" in result.output
    assert f"the server received {len(SCENES)} over HTTP" in result.output
    assert "token_expired" in result.output
    assert "should be" not in result.output


def test_the_command_exits_with_1_when_the_api_is_not_protected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FastAPIGuard, "protect", lambda _guard, _app: None)
    result = command("--once", COLUMNS="120")
    assert result.exit_code == 1
    assert f"0 of {len(SCENES)} requests went as they must" in result.output
    assert "the guard was not asked" in result.output


def test_the_command_exits_with_1_when_more_arrives_than_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Demo, "requests", len(SCENES) + 1)
    assert command("--once").exit_code == 1


@pytest.mark.parametrize("columns", [40, 76, 100, 200])
def test_the_table_fits_the_terminal(columns: int) -> None:
    result = command("--once", COLUMNS=str(columns))
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= columns
    for word in ("HelseID", "confirmation_unmet", "scope_insufficient"):
        assert word in result.output


def test_the_command_says_that_its_port_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = command("--once", "--port", str(port))
    assert result.exit_code == 2
    assert f"port {port} of 127.0.0.1 cannot be used" in result.output


@pytest.mark.parametrize("missing", ["fastapi", "httpx2", "uvicorn"])
def test_the_command_says_which_extra_is_missing(missing: str) -> None:
    # A process of its own: in this one the packages are imported already.
    result = process(f"import sys; sys.modules[{missing!r}] = None; {_RUN}", "demo", "--once")
    assert result.returncode == 2
    assert "pip install 'portvakt[demo]'" in result.stderr
    assert result.stdout == ""


def process(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        timeout=60,
    )


def test_the_installed_command_exits_with_0_and_says_nothing_else() -> None:
    result = subprocess.run(
        [PORTVAKT, "demo", "--once"], capture_output=True, check=False, timeout=60
    )
    assert result.returncode == 0
    assert result.stderr == b""


def test_a_terminal_of_ascii_is_enough() -> None:
    result = process(_RUN, "demo", "--once", PYTHONIOENCODING="ascii")
    assert result.returncode == 0
    assert result.stdout.isascii()
    assert "\nok " in result.stdout


def test_a_weakened_guard_makes_the_process_exit_with_1() -> None:
    weakened = """
from portvakt.adapters.fastapi import FastAPIGuard
FastAPIGuard.protect = lambda guard, app: None
"""
    result = process(f"{weakened}{_RUN}", "demo", "--once", COLUMNS="120")
    assert result.returncode == 1
    assert f"0 of {len(SCENES)} requests went as they must" in result.stdout


def test_a_guard_that_fails_its_self_test_makes_the_process_exit_with_1() -> None:
    weakened = "from portvakt.guard import guard; guard.refuse_unproven = lambda *_, **__: None"
    result = process(f"{weakened}; {_RUN}", "demo", "--once")
    assert result.returncode == 1
    assert "a forged token got in" in result.stderr
    assert result.stdout == ""


@contextmanager
def serving() -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run the command until its curl lines are printed; give them, and the process."""
    with subprocess.Popen(
        [sys.executable, "-c", _RUN, "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"},
    ) as running:
        assert running.stdout is not None
        lines: list[str] = []
        for line in running.stdout:
            if line.startswith("curl "):
                lines.append(line.strip())
            if line.startswith("Ctrl-C"):
                break
        try:
            yield running, lines
        finally:
            running.kill()


def test_what_one_run_writes_is_read_in_it_and_not_in_the_next() -> None:
    def entries(running: Demo) -> list[str]:
        answer = httpx2.get(f"{running.url}/journal/1", headers=may_all(running), trust_env=False)
        found: list[str] = answer.json()["entries"]
        return found

    with Demo() as running:
        before = entries(running)
        assert [row.status for row in play_all(running) if row.scene.id == "write"] == [201]
        after = entries(running)
        assert after[:-1] == before
    with Demo() as another:
        assert entries(another) == before


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_patient_who_does_not_exist_has_no_journal(method: str) -> None:
    with Demo() as running:
        answer = httpx2.request(
            method,
            f"{running.url}/journal/99",
            headers=may_all(running),
            json={"entry": "-"} if method == "POST" else None,
            trust_env=False,
        )
    assert answer.status_code == 404


def may_all(running: Demo) -> dict[str, str]:
    token = running.cast.issuer.token(scopes=[READ, WRITE])
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to whole consoles only")
def test_it_keeps_serving_what_the_curl_lines_ask_for_until_ctrl_c() -> None:
    with serving() as (running, lines):
        statuses = []
        for line in lines:
            url = line.split()[2]
            headers = dict([line.split("'")[1].split(": ")]) if "'" in line else {}
            statuses.append(httpx2.get(url, headers=headers, trust_env=False).status_code)
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=10)
    assert statuses == [200, 401, 401]
    assert running.returncode == 0
    assert output.strip() == "Stopped."
    assert errors == ""


def test_nothing_of_the_environment_comes_between(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert played(run.Demo()) == ([], len(SCENES))
