"""``portvakt registers update``: a copy from a mirror on loopback, or from files."""

import gzip
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from key_server import KeyServer, by_path, whole
from portvakt.cli import app
from portvakt.registers.snapshot import read_info
from unit.registers.conftest import main_unit, sub_unit

MAIN, SUB = b"[" + main_unit() + b"]", b"[" + sub_unit() + b"]"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["registers", "update", *map(str, arguments)])


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "units.sqlite"


def test_a_copy_is_made_of_what_a_server_has(copy: Path) -> None:
    zipped = [("Content-Type", "application/vnd.brreg.enhetsregisteret.enhet.v1+gzip")]
    coded = [("Content-Encoding", "gzip"), ("Content-Type", "application/json")]
    behaviour = by_path(
        {
            "/enheter/lastned": whole(gzip.compress(MAIN), headers=zipped),
            "/underenheter/lastned": whole(gzip.compress(SUB), headers=coded),
        }
    )
    with KeyServer(behaviour, plain=True) as server:
        base = f"http://127.0.0.1:{server.port}"
        arguments = ["--main", f"{base}/enheter/lastned", "--sub", f"{base}/underenheter/lastned"]
        result = run(copy, *arguments)
        assert result.exit_code == 0, result.stderr
        assert f"{copy}: 1 main units, 1 sub-units, as of 20" in result.stdout
        assert [one.target for one in server.requests] == [
            "/enheter/lastned",
            "/underenheter/lastned",
        ]
        before = copy.read_bytes()

        server.answer = whole(b"", status=503)
        result = run(copy, *arguments)
        assert result.exit_code == 2
        assert "portvakt registers update: main units: the server answered 503" in result.stderr

        server.answer = whole(b"<html>")
        result = run(copy, *arguments)
        assert result.exit_code == 1
        assert "main units, after 0: the file is no JSON array" in result.stderr
    assert copy.read_bytes() == before


def test_a_copy_is_made_of_local_files(copy: Path, tmp_path: Path) -> None:
    main, sub = tmp_path / "main.json", tmp_path / "sub.json"
    main.write_bytes(b"[" + main_unit() + b"," + main_unit("983658776") + b"]")
    sub.write_bytes(SUB)
    assert run(copy, "--main", main, "--sub", sub).exit_code == 0
    main.write_bytes(MAIN)
    assert run(copy, "--main", main, "--sub", sub).exit_code == 1
    assert run(copy, "--main", main, "--sub", sub, "--allow-smaller").exit_code == 0
    assert read_info(copy).main == 1


def test_what_cannot_be_read_cannot_be_told(copy: Path, tmp_path: Path) -> None:
    result = run(copy, "--main", tmp_path / "nowhere\x1b[2J", "--sub", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "nowhere\\x1b[2J: No such file or directory" in result.stderr
    result = run(copy, "--ca-file", tmp_path / "nowhere.pem")
    assert result.exit_code == 2
    assert "no file of PEM certificates" in result.stderr


def test_http_leads_to_this_machine_only(copy: Path) -> None:
    result = run(copy, "--main", "http://192.0.2.1/enheter")
    assert result.exit_code == 2
    assert "loopback addresses only" in result.stderr
