"""A token that was given where something else is meant is not said again."""

from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from portvakt.cli import app
from portvakt.cli.discreet import discreet
from portvakt.testing import FakeIssuer

TOKEN: Final = FakeIssuer().token()
PARTS: Final = TOKEN.split(".")
ENCRYPTED: Final = f"{PARTS[0]}..aXYtaXYtaXYt.Y2lwaGVydGV4dA.dGFn"


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "5000"})
    assert result.exit_code == 2
    # The frame around an error may break anywhere.
    return "".join(result.output.split())


@pytest.mark.attack("API-07")
@pytest.mark.parametrize("secret", [TOKEN, f"Bearer {TOKEN}", ENCRYPTED, "r" * 101, PARTS[0]])
@pytest.mark.parametrize(
    "before",
    [
        *([], ["config"], ["config", "check"], ["config", "check", "--config"], ["keys"]),
        *(["check", "--language"], ["check", "--at"], ["check", "--route"], ["demo"]),
        *(["demo", "--port"], ["check", "--config"], ["check", "--json", "--config"]),
    ],
    ids=" ".join,
)
def test_what_looks_like_a_token_is_left_out(
    before: list[str], secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    after = ["-"] if before[:1] == ["check"] else []
    output = said(*before, secret, *after)
    for part in secret.removeprefix("Bearer ").split("."):
        assert not part or part[-20:] not in output


@pytest.mark.attack("API-07")
def test_an_option_may_not_hold_one_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in ([f"--{TOKEN}"], ["check", f"--{TOKEN}"], ["keys", "show", TOKEN]):
        assert PARTS[1][-20:] not in said(*arguments)


@pytest.mark.twin("API-07")
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["chek"], "chek"),
        (["check", "--language", "klingon", "-"], "klingon"),
        (["check", "--langauge", "en", "-"], "--langauge"),
        (["config", "check", "my.prod.toml"], "my.prod.toml"),
        (["check", "--config", "/no/such/portvakt.prod.toml", "-"], "/no/such/portvakt.prod.toml"),
    ],
)
def test_what_was_mistyped_is_named(arguments: list[str], named: str) -> None:
    assert named in said(*arguments)


def test_a_message_keeps_its_words() -> None:
    for text in (
        "issuer[0].audience: is missing",
        "https://sts.example.no/a",
        "/home/" + "a/" * 99,
    ):
        assert discreet(text) == text
    assert discreet(f"No such command '{TOKEN}'.") == "No such command '[left out]'."
