"""Every piece of code in every page is run, as a reader would run it: in order, in one folder.

Beside a page's own files there is what a reader has: the issuer's public keys, and a token that has
expired. A page that states no policy uses the README's.

What a page runs in a process of its own (its commands, its tests) is run so here too; that is why
the first of these tests takes seconds.
"""

from __future__ import annotations

import importlib
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import WebSocketDisconnect
from fastapi.testclient import TestClient

from docs.conftest import PAGES, REPOSITORY, Block, blocks
from portvakt import ConfigurationError, Guard
from portvakt.jose.signer import Signer
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = [page for page in PAGES if blocks(page)]

#: Not run here: it installs or serves forever. What the tutorial serves is tested below.
NOT_RUN = ("python3 -m venv", ".venv/bin/pip", ". .venv/", "uvicorn ", "curl ", ".ci/run")

#: No issuer of our pages exists, so nothing is fetched: its keys are the file beside the page.
KEYS = "PORTVAKT_ISSUER__0__JWKS_FILE"

#: What the policies of the pages refer to.
SECRETS = {
    "API_KEY": json.dumps(Signer.generate("ES256").private_jwk()),
    "EVENT_TOKEN": "an event token",
    "NONCE_KEY": "a nonce key of thirty-two octets",
    "RECORD_KEY": "a record key of thirty-two octets",
    "PORTVAKT_KEYSTORE_PASSPHRASE": "a passphrase of the pages",
}

README_POLICY = next(one.text for one in blocks("README.md") if one.title == "portvakt.toml")


@pytest.fixture
def issuer() -> FakeIssuer:
    """The issuer of the README's policy; new keys for each page."""
    return FakeIssuer("https://sts.example.no", audience="nhn:journal", clock=time.time)


@pytest.fixture
def folder(tmp_path: Path, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A reader's working folder, from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    write(tmp_path / "keys.json", json.dumps(issuer.jwks()))
    monkeypatch.setenv(KEYS, str(tmp_path / "keys.json"))
    other = FakeIssuer("https://other.example.no", alg="EdDSA")
    write(tmp_path / "other-keys.json", json.dumps(other.jwks()))
    write(tmp_path / "expired.jwt", issuer.forged("expired"))
    write(tmp_path / "subject.txt", "somebody")
    (tmp_path / "records").mkdir(mode=0o700)
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    write(tmp_path / "portvakt.toml", README_POLICY)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def pages_files(page: str, folder: Path) -> None:
    """Write the files of a page, as a reader would."""
    for block in blocks(page):
        if block.title is not None:
            write(folder / block.title, block.text)


def names_of_a_page(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Where a page's code runs: a module that can be found by its name, as frameworks do."""
    module = ModuleType("__page__")
    monkeypatch.setitem(sys.modules, "__page__", module)
    return vars(module)


@pytest.mark.parametrize("page", RUN)
def test_every_piece_of_code_of_a_page_runs(
    page: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = names_of_a_page(monkeypatch)
    tests = []
    for block in blocks(page):
        if block.title is not None:
            write(folder / block.title, block.text)
            if block.title.startswith("test_"):
                tests.append(block.title)
        elif block.language == "python":
            exec(compile(block.text, block.place, "exec"), names)  # noqa: S102  they are our pages
        elif block.language == "toml":
            write(folder / "other.toml", block.text)
            with pytest.MonkeyPatch.context() as patch:
                patch.delenv(KEYS)
                Guard.from_file(folder / "other.toml")
        elif block.language == "sh":
            for line in block.text.splitlines():
                run(line, block, folder)
        else:
            assert block.language == "text", block.place
    if tests:
        result = execute(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], folder
        )
        assert result.returncode == 0, result.stdout


def run(line: str, block: Block, folder: Path) -> None:
    """Run one line of a shell, or see that what it names exists."""
    if not line or line.startswith(NOT_RUN):
        return
    words = shlex.split(line)
    variables = {}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    if words[0] == "make":
        # It is what runs this test; and demo and check have tests of their own.
        assert f"\n{words[1]}:" in (REPOSITORY / "Makefile").read_text(encoding="utf-8"), (
            block.place
        )
        return
    given = None
    if "<" in words:
        given = (folder / words.pop()).read_text(encoding="utf-8")
        words.remove("<")
    assert words[0] in {"python", "portvakt"}, f"{block.place}: {line}"
    program = (
        sys.executable if words[0] == "python" else str(Path(sys.executable).parent / words[0])
    )
    result = execute([program, *words[1:]], folder, variables, given)
    assert result.returncode == block.exit, f"{block.place}: {line}\n{result.stdout}{result.stderr}"


def execute(
    command: list[str],
    folder: Path,
    variables: dict[str, str] | None = None,
    given: str | None = None,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(variables or {})},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def status(client: TestClient, token: str | None = None, path: str = "/journal/1") -> int:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return client.get(path, headers=headers).status_code


def test_the_readme_guards_its_route(folder: Path, issuer: FakeIssuer) -> None:
    pages_files("README.md", folder)
    app = importlib.import_module("app").app
    read = ["nhn:journal/read"]

    with TestClient(app) as client:
        assert status(client, issuer.token(scopes=read)) == 200
        assert status(client, issuer.token(scopes=["nhn:journal"])) == 403
        assert status(client) == 401
        for fault in ("none", "expired", "aud-other", "jwk", "iss-other", "typ-jwt"):
            assert status(client, issuer.forged(fault, scopes=read)) == 401, fault


def test_the_readme_s_application_does_not_start_with_a_route_forgotten(folder: Path) -> None:
    pages_files("README.md", folder)
    app = importlib.import_module("app").app
    app.add_api_route("/forgotten", lambda: "all journals")

    with pytest.raises(ConfigurationError, match="/forgotten"), TestClient(app):
        pass


def test_the_tutorial_s_table_is_true(folder: Path) -> None:
    pages_files("docs/tutorial.md", folder)
    assert execute([sys.executable, "issuer.py"], folder).returncode == 0
    app = importlib.import_module("app").app
    tokens = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.jwt")}

    with TestClient(app) as client:
        answers = [
            status(client, path="/health"),
            status(client),
            *(status(client, tokens[name]) for name in ("reader", "writer", "expired", "none")),
        ]

    table = (REPOSITORY / "docs/tutorial.md").read_text(encoding="utf-8").split("| because |")[1]
    rows = [line.split("|")[2].strip() for line in table.splitlines() if line.startswith("| ")]
    assert answers == list(map(int, rows))


def test_the_tutorial_s_forgotten_route_keeps_it_from_starting(folder: Path) -> None:
    pages_files("docs/tutorial.md", folder)
    assert execute([sys.executable, "issuer.py"], folder).returncode == 0
    app = importlib.import_module("forgotten").app

    with pytest.raises(ConfigurationError, match="/statistics"), TestClient(app):
        pass


def test_the_tutorial_s_misspelt_key_is_named_with_its_line(folder: Path) -> None:
    pages_files("docs/tutorial.md", folder)
    policy = (folder / "portvakt.toml").read_text(encoding="utf-8")
    write(folder / "portvakt.toml", policy.replace("algorithms", "algoritms"))

    with pytest.raises(ConfigurationError) as error:
        Guard.from_file("portvakt.toml")

    assert any(
        problem.line == 7 and "algorithms" in problem.message for problem in error.value.problems
    )


@pytest.mark.parametrize("kind", ["StarletteGuard", "LitestarGuard"])
def test_the_how_to_guards_an_application_of_each_framework(
    kind: str, folder: Path, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from litestar.testing import TestClient as LitestarClient

    first, *_ = (block for block in blocks("docs/how-to.md") if block.title == "portvakt.toml")
    write(folder / "portvakt.toml", first.text)
    (block,) = (one for one in blocks("docs/how-to.md") if f"guard = {kind}" in one.text)
    names = names_of_a_page(monkeypatch)
    exec(compile(block.text, block.place, "exec"), names)  # noqa: S102  they are our pages
    client: Any = TestClient if kind == "StarletteGuard" else LitestarClient

    with client(names["app"]) as opened:
        assert status(opened, issuer.token(scopes=["nhn:journal/read"])) == 200
        assert status(opened, issuer.token()) == 403
        assert status(opened) == 401


def test_the_how_to_s_websocket_ends_without_a_word_of_the_application(
    folder: Path, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = (block for block in blocks("docs/how-to.md") if block.title == "portvakt.toml")
    write(folder / "portvakt.toml", first.text)
    (block,) = (one for one in blocks("docs/how-to.md") if '"/live"' in one.text)
    names = names_of_a_page(monkeypatch)
    exec(compile(block.text, block.place, "exec"), names)  # noqa: S102  they are our pages
    end = time.time() + 0.8 - issuer.trusted.leeway
    token = issuer.token(scopes=["nhn:journal/read"], claims={"exp": end, "iat": end - 60})
    headers = {"Authorization": f"Bearer {token}"}

    with (
        TestClient(names["app"]) as client,
        client.websocket_connect("/live", headers=headers) as socket,
    ):
        socket.send_text("hello")
        assert socket.receive_text() == "hello"
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_text()
    assert (ended.value.code, ended.value.reason) == (1008, "invalid_token")
