"""The command line as a whole."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from portvakt import __version__, cli
from portvakt.cli import app, main
from portvakt.testing import FakeIssuer


def test_the_version_is_said() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"portvakt {__version__}\n")


def test_every_command_is_there() -> None:
    help_text = CliRunner().invoke(app, ["--help"]).stdout
    for command in ("check", "config", "demo", "keys"):
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0
        assert command in help_text


def test_an_unknown_command_is_no_verdict() -> None:
    assert CliRunner().invoke(app, ["chek"]).exit_code == 2


def test_python_m_portvakt_is_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "portvakt", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"portvakt {__version__}\n")


def test_a_fault_of_its_own_is_no_verdict_and_shows_no_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("eyJ-the-token")

    monkeypatch.setattr("portvakt.cli.check.explain", fail)
    monkeypatch.setattr("portvakt.cli.check.assemble_file", lambda *_, **__: FakeIssuer().guard())
    monkeypatch.setattr(sys, "argv", ["portvakt", "check", "eyJ-the-token"])
    with pytest.raises(SystemExit) as ended:
        main()
    output = capsys.readouterr()
    assert ended.value.code == cli.CANNOT_TELL
    assert "RuntimeError" in output.err
    assert "eyJ" not in output.out + output.err


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_packages_it_says_which_extra_to_install(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; import portvakt.cli"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == cli.CANNOT_TELL
    assert done.stderr == "The command line needs more packages: pip install 'portvakt[cli]'\n"
