"""``portvakt profile``."""

from pathlib import Path

from typer.testing import CliRunner, Result

from portvakt.cli import app
from portvakt.profiles.profile import profile_names


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["profile", *arguments])


def test_every_profile_is_listed_and_shown() -> None:
    listed = run("list")
    assert listed.exit_code == 0
    for name in profile_names():
        assert f"{name} " in listed.stdout
        shown = run("show", name)
        assert shown.exit_code == 0
        assert "issuer " in shown.stdout


def test_what_is_known_of_helseid_is_shown() -> None:
    text = run("show", "helseid").stdout
    for line in (
        "environment   production",
        "issuer        https://helseid-sts.nhn.no",
        "typ           at+jwt, JWT",
        "no access     a token with any of nonce, at_hash, c_hash, s_hash, events",
        "pid                    helseid://claims/identity/pid",
        "levels                 1 = 1, 2 = 2, 3 = 3, 4 = 4",
        "person_kinds           fodselsnummer, d-number",
    ):
        assert line in text.splitlines()
    assert "wrong check digits are tolerated" in run("show", "helseid-test").stdout
    assert "no access     a token whose typ is not Bearer" in run("show", "keycloak").stdout
    assert "tokens live up to 95m" in run("show", "entra").stdout
    assert (
        "metadata      https://maskinporten.no/.well-known/" in run("show", "maskinporten").stdout
    )


def test_a_profile_of_ones_own_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "ours.toml"
    file.write_text(
        'title = "Ours\\u001b[2J"\nabout = "x"\nproduction = false\nissuer_hint = "https://x"\n'
        'jwks_uri = "https://x/keys"\nalgorithms = ["ES256"]\n'
    )
    shown = run("show", str(file))
    assert shown.exit_code == 0
    assert "Ours\\x1b[2J" in shown.stdout
    assert "keys          https://x/keys" in shown.stdout


def test_what_is_no_profile_is_named(tmp_path: Path) -> None:
    near = run("show", "helsid")
    assert near.exit_code == 2
    assert "helsid: is no profile; did you mean helseid?" in near.stderr
    assert run("show", str(tmp_path / "absent.toml")).exit_code == 2
    file = tmp_path / "wrong.toml"
    file.write_text("title = 1")
    assert run("show", str(file)).exit_code == 2
