"""``portvakt keys show``, against a real server on this machine."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from portvakt.cli import app
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.signer import Signer

GOOD, WITHOUT_NAME = Signer.generate("ES256", "key-1"), Signer.generate("ES256", None)
THUMBPRINT = JwkSet.from_object({"keys": [GOOD.public_jwk()]}, ["ES256"]).keys[0].thumbprint


class Server:
    """Serves documents by path, over plain HTTP on a loopback address."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}
        documents = self.documents

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = documents.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def publish(self, *keys: Any) -> None:
        self.documents["/keys"] = json.dumps({"keys": keys}).encode()
        self.documents["/.well-known/openid-configuration"] = json.dumps(
            {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        ).encode()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def policy(tmp_path: Path, server: Server) -> Path:
    stated = json.dumps({"keys": [Signer.generate("Ed25519", "stated").public_jwk()]})
    (tmp_path / "stated.json").write_text(stated)
    policy = tmp_path / "policy.toml"
    policy.write_text(f"""\
[api]
audience = "api"
[[issuer]]
issuer = "{server.url}"
algorithms = ["ES256"]
unsafe_loopback = true
[[issuer]]
issuer = "https://stated.test/a"
algorithms = ["Ed25519"]
jwks_file = "stated.json"
[[issuer]]
issuer = "https://stated.test/b"
algorithms = ["Ed25519"]
jwks_file = "stated.json"
""")
    return policy


def show(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["keys", "show", *map(str, arguments)])


def test_the_keys_that_an_issuer_publishes_are_shown(server: Server, policy: Path) -> None:
    weak = Signer.generate("ES384", "too-new").public_jwk()
    server.publish(GOOD.public_jwk(), WITHOUT_NAME.public_jwk(), weak, "x")
    result = show("127.0.0.1", "--config", policy)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"issuer {server.url}"
    assert lines[1] == f"from   {server.url}/keys"
    assert lines[2] in {f"clock  the issuer's is {offset} s from ours" for offset in ("+0", "-1")}
    (row,) = [line for line in lines if "key-1" in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "key-1",
        "ES256",
        "P-256",
        THUMBPRINT,
    ]
    assert any("(none)" in line for line in lines)
    assert lines[-2].startswith("not used: keys[2] (kid too-new): ")
    assert lines[-1] == "not used: keys[3]: not a JSON object"


def test_keys_that_a_policy_states_are_shown_too(policy: Path) -> None:
    result = show("https://stated.test/a", "--config", policy)
    assert result.exit_code == 0
    assert "from   policy" in result.stdout
    assert "Ed25519" in result.stdout
    assert "clock" not in result.stdout


def test_the_name_of_a_key_does_not_act_on_the_terminal(server: Server, policy: Path) -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07[bold]:smile:\u202e\r\n"
    bad = {**Signer.generate("ES384", hostile).public_jwk()}
    server.publish(Signer.generate("ES256", hostile).public_jwk(), bad)
    result = show("127.0.0.1", "--config", policy)
    assert result.exit_code == 0
    assert not {"\x1b", "\x07", "\u202e", "\r"} & set(result.stdout)
    assert result.stdout.count("\\x1b[2J\\x1b]0;owned\\x07[bold]:smile:\\u202e\\r\\n") == 2


def test_a_set_of_which_no_key_is_usable_is_shown_with_exit_1(server: Server, policy: Path) -> None:
    secret = GOOD.private_jwk()
    server.publish(secret, {"kty": "EC", "use": "enc", "kid": "other"})
    result = show("127.0.0.1", "--config", policy)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[-2].startswith("not used: keys[0] (kid key-1): ")
    assert lines[-1].startswith("not used: keys[1] (kid other): ")
    assert secret["d"] not in result.output
    server.publish()
    assert show("127.0.0.1", "--config", policy).exit_code == 1


def test_an_issuer_that_cannot_be_asked_is_exit_2(policy: Path) -> None:
    result = show("127.0.0.1", "--config", policy)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        "portvakt keys show: keys_unavailable: there is no metadata: the answer is 404\n"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stated.test", "several issuers have 'stated.test' in their name"),
        ("other.test", "no issuer of the policy has 'other.test' in their name"),
        ("\x1b[2J", "no issuer of the policy has '\\x1b[2J' in their name"),
    ],
)
def test_an_issuer_that_is_not_found_is_exit_2_and_the_known_ones_are_listed(
    policy: Path, name: str, message: str
) -> None:
    result = show(name, "--config", policy)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "https://stated.test/a, https://stated.test/b" in result.stderr


def test_a_policy_that_is_wrong_is_exit_2(policy: Path) -> None:
    policy.write_text('[api]\naudience = "*"\n')
    result = show("stated.test", "--config", policy)
    assert result.exit_code == 2
    assert "api.audience" in result.stderr
    assert show("stated.test", "--config", policy.with_name("absent.toml")).exit_code == 2


def test_the_policy_of_the_folder_is_taken(
    server: Server, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.publish(GOOD.public_jwk())
    policy.rename(policy.with_name("portvakt.toml"))
    monkeypatch.chdir(policy.parent)
    assert show("127.0.0.1").exit_code == 0


def test_without_a_policy_any_issuer_can_be_asked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # This one is on this machine, which nobody has allowed: that it was tried is what counts.
    result = show("https://127.0.0.1:1")
    assert result.exit_code == 2
    assert "a loopback address, and such are not dialled" in result.stderr
    result = show(server.url)
    assert result.exit_code == 2
    assert "not https" in result.stderr
