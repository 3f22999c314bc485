"""``portvakt check``: the right exit, every check told, and never the token."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from portvakt.cli import app
from portvakt.errors import Unavailable
from portvakt.explain.texts import load
from portvakt.guard.guard import Guard
from portvakt.jose.header import Header
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.signer import Signer, sign_compact
from portvakt.net.keys import KeySource
from portvakt.policy.issuer import TrustedIssuer
from portvakt.refusal import Code, Step
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer()
NOW = "1800000000"

#: DOMAIN.md section 1.3: the payload of a HelseID test token, with made-up people in it.
HELSEID = {
    "iss": "https://helseid-sts.test.nhn.no",
    "nbf": 1716473563,
    "iat": 1716473563,
    "exp": 1716477163,
    "aud": "e-helse:sfm.api",
    "scope": ["openid", "helseid://scopes/identity/pid", "e-helse:sfm.api/sfm.api"],
    "client_id": "8cd7c619-92db-4d55-89e2-383b75efc758",
    "sub": "tzto6gPhyTQw2bR/Wl0kgF/mTH+jdQoUBvaYSObfmlQ=",
    "helseid://claims/identity/pid": "17056600574",
    "helseid://claims/hpr/hpr_number": "431001110",
    "jti": "6745AAAE3691417B0139C645BA37F7F6",
}

POLICY = """
[api]
audience = "{audience}"

[[issuer]]
issuer = "{issuer}"
jwks_file = "keys.json"
algorithms = ["{alg}"]
typ = ["at+jwt", "JWT"]
{routes}
"""
ROUTES = """
[[route]]
path = "/journal/{patient}"
methods = ["GET"]
scopes = ["test-api/read"]

[[route]]
path = "/healthz"
public = true
"""

Run = Callable[..., Result]


def write_policy(folder: Path, jwks: object, **values: str) -> Path:
    (folder / "keys.json").write_text(json.dumps(jwks))
    policy = folder / "portvakt.toml"
    policy.write_text(POLICY.format(**{"routes": "", **values}))
    return policy


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    trusted = ISSUER.trusted
    return write_policy(
        tmp_path,
        ISSUER.jwks(),
        audience="test-api",
        issuer=trusted.issuer,
        alg="ES256",
        routes=ROUTES,
    )


@pytest.fixture
def run(policy: Path) -> Run:
    """Run ``portvakt check`` with the policy, at the time of the issuer's clock."""

    def invoke(*arguments: str, stdin: str | bytes | None = None, at: str = NOW) -> Result:
        line = ["check", "--config", str(policy), "--at", at, *arguments]
        return CliRunner().invoke(app, line, input=stdin)

    return invoke


def test_an_admitted_token_ends_with_0_and_every_check_in_order(run: Run) -> None:
    result = run(ISSUER.token())
    assert result.exit_code == 0
    heads = [line for line in result.stdout.splitlines() if line[:3].strip(". ").isdigit()]
    titles = [text.title for text in load("en").step.values()]
    assert [head.split("passed")[1].split(":")[0].strip() for head in heads] == titles
    assert load("en").words.admitted in result.stdout


def test_a_refused_token_ends_with_1_and_says_why(run: Run) -> None:
    result = run(ISSUER.forged("expired"))
    text = load("en").code[Code.TOKEN_EXPIRED]
    assert result.exit_code == 1
    assert "15. failed       Expiry: Is the token still valid?" in result.stdout
    for told in (text.what, text.why, text.remedy, "2027-01-15 07:59:54 UTC, 6 s ago"):
        assert told in result.stdout
    assert "16. not reached  Not before" in result.stdout
    assert "WWW-Authenticate: Bearer realm=" in result.stdout
    assert "Your log would say: token_expired: expired 6 s ago" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config", "absent.toml", "x"],
        ["--config", ".", "x"],
        ["--at", "nan", "x"],
        ["--at", "-1", "x"],
        ["--at", "253402300800", "x"],
        ["--at", "soon", "x"],
        ["--route", "/journal/1", "x"],
        ["--route", "GET", "x"],
        ["--route", "GET journal/1", "x"],
        ["--route", "GET /journal/{patient}", "x"],
        ["--route", "GET /journal/1 HTTP/1.1", "x"],
        ["--language", "de", "x"],
        [],
    ],
    ids=" ".join,
)
def test_what_cannot_be_judged_ends_with_2(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr


def test_a_policy_that_is_wrong_ends_with_2_and_every_problem(run: Run, policy: Path) -> None:
    policy.write_text('[api]\naudiense = "x"\n[[issuer]]\nalgorithms = ["none"]\n')
    result = run(ISSUER.token())
    assert result.exit_code == 2
    assert "audiense" in result.stderr
    assert "algorithms" in result.stderr


def test_a_key_file_that_is_not_there_ends_with_2(run: Run, policy: Path) -> None:
    (policy.parent / "keys.json").unlink()
    result = run(ISSUER.token())
    assert result.exit_code == 2
    assert "jwks_file" in result.stderr


def test_a_policy_that_is_no_text_ends_with_2(run: Run, policy: Path) -> None:
    policy.write_bytes(b"\xff\xfe\x00")
    assert run("x").exit_code == 2


class Unreachable(KeySource):
    """An issuer whose keys cannot be had."""

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> None:
        assert issuer is ISSUER.trusted

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        raise Unavailable(Code.KEYS_UNAVAILABLE, f"{issuer.issuer} does not answer")


def test_keys_that_cannot_be_had_end_with_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # No policy file of this release can say so: its keys are always there.
    guard = Guard(issuers=[ISSUER.trusted], keys=Unreachable(), clock=ISSUER.clock)
    monkeypatch.setattr("portvakt.cli.check.assemble_file", lambda *_, **__: guard)
    result = run(ISSUER.token())
    guard.home.leave()
    assert result.exit_code == 2
    assert load("en").words.cannot_tell in result.stdout
    assert "The caller would get: 503" in result.stdout


@pytest.mark.parametrize("given", ["{}", "  {}\r\n", "Bearer {}\n", "bearer   {}"])
def test_a_token_comes_from_standard_input_with_what_people_copy_along(
    run: Run, given: str
) -> None:
    assert run("-", stdin=given.format(ISSUER.token())).exit_code == 0


def test_a_whole_header_value_is_taken_as_arguments_too(run: Run) -> None:
    assert run("Bearer", ISSUER.token()).exit_code == 0


@pytest.mark.parametrize("given", [b"", b"\xff\xfe\x00", b"\x80" * 5000, b"a" * 3_000_000])
def test_garbage_on_standard_input_is_refused(run: Run, given: bytes) -> None:
    assert run("-", stdin=given).exit_code == 1


def test_the_request_is_the_one_that_is_named(run: Run) -> None:
    honest, scoped = ISSUER.token(), ISSUER.token(scopes=["test-api/read"])
    assert run("--route", "GET /journal/1", scoped).exit_code == 0
    assert run("--route", "GET https://api.test/journal/1", scoped).exit_code == 0
    missing = run("--route", "GET /journal/1", honest)
    assert missing.exit_code == 1
    assert "missing scope: test-api/read" in missing.stdout
    assert "route_unknown" in run("--route", "POST /journal/1", scoped).stdout
    assert run("--route", "GET /healthz", "nonsense").exit_code == 0


def test_the_clock_is_the_one_that_is_set(run: Run) -> None:
    token = ISSUER.token()
    assert run(token, at="1800000304").exit_code == 0
    assert run(token, at="1800000305").exit_code == 1
    assert "not_yet_valid" in run(token, at="1799999000").stdout


def test_without_a_clock_it_is_now(policy: Path) -> None:
    result = CliRunner().invoke(app, ["check", "--config", str(policy), ISSUER.token()])
    assert result.exit_code == 1


def test_json_is_one_object_with_stable_names(run: Run) -> None:
    result = run("--json", ISSUER.forged("expired"))
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert {name: told[name] for name in ("verdict", "code", "step", "status", "at")} == {
        "verdict": "refused",
        "code": "token_expired",
        "step": "expiry",
        "status": 401,
        "at": 1800000000.0,
    }
    assert told["detail"].startswith("expired 6 s ago")
    rows = {row["step"]: row["outcome"] for row in told["steps"]}
    assert list(rows) == [step.name.lower() for step in Step]
    assert (rows["audience"], rows["expiry"], rows["scope"]) == ("passed", "failed", "not reached")
    assert set(told["steps"][0]) == {
        "step", "outcome", "title", "question", "found", "expected", "unverified", "why", "advice",
    }  # fmt: skip


def test_json_without_a_verdict_has_the_same_names(run: Run) -> None:
    judged = json.loads(run("--json", ISSUER.token()).stdout)
    result = run("--json", "--route", "nowhere", ISSUER.token())
    told = json.loads(result.stdout)
    assert result.exit_code == 2
    assert (told["verdict"], told["steps"]) == ("cannot tell", [])
    assert "--route" in told["detail"]
    assert list(told) == list(judged)


def test_norwegian_is_spoken_on_demand(run: Run) -> None:
    result = run("--language", "nb", ISSUER.forged("expired"))
    assert result.exit_code == 1
    assert load("nb").code[Code.TOKEN_EXPIRED].what in result.stdout
    assert load("nb").words.refused in result.stdout


def helseid(folder: Path) -> tuple[Path, str]:
    signer = Signer.generate("RS256", "B8919616C1E79E875A74E0C6B0274E7130D50A63")
    policy = write_policy(
        folder,
        {"keys": [signer.public_jwk()]},
        audience="e-helse:sfm.api",
        issuer="https://helseid-sts.test.nhn.no",
        alg="RS256",
    )
    header = {"alg": "RS256", "kid": signer.kid, "typ": "JWT"}
    return policy, sign_compact(header, HELSEID, signer)


def test_a_helseid_token_is_admitted_at_its_time_and_no_person_is_named(tmp_path: Path) -> None:
    policy, token = helseid(tmp_path)
    line = ["check", "--config", str(policy), "--at", "1716473600", "-"]
    result = CliRunner().invoke(app, line, input=token)
    assert result.exit_code == 0
    assert "2024-05-23 15:12:43 UTC, 59 min 23 s ahead" in result.stdout
    for secret in (
        "sub",
        "jti",
        "helseid://claims/identity/pid",
        "helseid://claims/hpr/hpr_number",
    ):
        assert str(HELSEID[secret]) not in result.stdout
    late = CliRunner().invoke(app, [*line[:4], "1716480000", "-"], input=token)
    assert late.exit_code == 1


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_the_token_is_never_printed(run: Run, options: list[str]) -> None:
    for token in (ISSUER.token(), ISSUER.forged("expired"), ISSUER.token() + "x", "abc.def"):
        for extra in ([], ["--route", "?"], ["more"]):
            result = run(*options, *extra, token)
            for part in token.split("."):
                assert part not in result.output


@pytest.mark.attack("HDR-07", "JSON-08")
def test_a_hostile_token_cannot_act_on_the_terminal(run: Run) -> None:
    evil = "\x1b[2J\x07[red]:boom:\r\n"
    claims = {"iss": ISSUER.trusted.issuer, "aud": evil, "scope": evil, evil: 1}
    result = run(
        "--route", f"GET /{evil.strip()}", ISSUER.token(header={"kid": evil}, claims=claims)
    )
    assert result.exit_code == 1
    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout
    # Neither markup nor an emoji: it stands there as it is.
    assert r"\u001b[2J\u0007[red]:boom:" in result.stdout


@pytest.mark.twin("HDR-07", "JSON-08")
def test_an_odd_but_honest_scope_is_printed_as_it_is(run: Run) -> None:
    result = run(ISSUER.token(scopes=["[red]:smile:"]))
    assert result.exit_code == 0
    assert "[red]:smile:" in result.stdout


def test_on_a_terminal_it_is_coloured_and_wrapped(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    output = run(ISSUER.forged("expired")).stdout
    lines = re.sub("\x1b\\[[0-9;]*m", "", output).splitlines()
    assert "\x1b[1;31mfailed" in output
    assert max(map(len, lines)) <= 60
    assert "\x1b" not in "".join(lines)


def test_it_works_in_a_pipe_of_another_process(tmp_path: Path) -> None:
    policy, token = helseid(tmp_path)
    command = [sys.executable, "-m", "portvakt", "check", "--language", "nb", "--at", "1716473600"]
    # A terminal without Norwegian letters.
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PORTVAKT_CONFIG": str(policy)}
    environment.pop("FORCE_COLOR", None)
    done = subprocess.run(
        [*command, "-"], input=token, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Sluppet inn" in done.stdout
    assert r"best\xe5tt" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_proof_needs_the_request_that_it_is_for(run: Run) -> None:
    result = run("--proof", "a.b.c", ISSUER.token())
    assert result.exit_code == 2
    assert "say which with --route" in result.stderr
