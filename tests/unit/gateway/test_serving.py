"""A policy file as one worker has it: who is told what, and by whose signature."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from gateways import POLICY, READ, asked, issuer_of_today, write_policy
from portvakt.errors import ConfigurationError
from portvakt.gateway.reading import Reading
from portvakt.gateway.reload import Reloader
from portvakt.gateway.reports import this_process
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.jws import parse, verify
from portvakt.jose.signer import Signer

if TYPE_CHECKING:
    from pathlib import Path

LINES: Final = 'proxy = "caddy"\nlisten = "127.0.0.1:8600"\ntrusted = ["127.0.0.1"]\n'
JWT: Final = '[gateway.identity]\nform = "jwt"\nkey = { file = "identity.key" }'
WITH_ORIGIN: Final = POLICY.replace(
    'audience = "test-api"', 'audience = "test-api"\norigin = "https://api.test/base"'
)


def write_key(folder: Path) -> Signer:
    signer = Signer.generate("ES256", "gateway-1")
    file = folder / "identity.key"
    file.write_text(json.dumps(signer.private_jwk()))
    file.chmod(0o600)
    return signer


def told(reloader: Reloader, token: str) -> Any:
    """The claims of the JWT for the API, verified by the key that the admin address publishes."""
    headers = asked("/journal/1", token, form="forwarded")
    answer = asyncio.run(reloader.serving.auth.answer(headers, "127.0.0.1"))
    ((name, jwt),) = answer.headers
    assert (answer.status, name) == (200, "x-portvakt-token")
    published = this_process(reloader).identity_key
    (key,) = JwkSet.from_object({"keys": [published]}, frozenset({"ES256"})).keys
    return msgspec.json.decode(verify(parse(jwt, {}), key).payload)


@pytest.mark.parametrize(
    ("policy", "issuer"), [(POLICY, "portvakt"), (WITH_ORIGIN, "https://api.test/base")]
)
def test_the_jwt_says_which_gateway_wrote_it(tmp_path: Path, policy: str, issuer: str) -> None:
    whose = issuer_of_today()
    write_key(tmp_path)
    reloader = Reloader(write_policy(tmp_path, whose, LINES + JWT, policy=policy))
    claims = told(reloader, whose.token(scopes=[READ]))
    assert (claims["iss"], claims["aud"]) == (issuer, "test-api")
    assert claims["sub"] == "test-subject"


def test_a_new_key_is_published_when_it_signs(tmp_path: Path) -> None:
    whose = issuer_of_today()
    write_key(tmp_path)
    reloader = Reloader(write_policy(tmp_path, whose, LINES + JWT))
    first = this_process(reloader).identity_key
    write_key(tmp_path)
    assert asyncio.run(reloader.reload())
    assert this_process(reloader).identity_key != first
    told(reloader, whose.token(scopes=[READ]))


def test_headers_need_no_key(tmp_path: Path) -> None:
    reloader = Reloader(write_policy(tmp_path, issuer_of_today(), LINES))
    assert this_process(reloader).identity_key is None


def test_a_reading_shows_no_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary" * 8)
    (tmp_path / "secret").chmod(0o600)
    lines = LINES + 'secret = { file = "secret" }'
    reading = Reading(write_policy(tmp_path, issuer_of_today(), lines))
    assert reading.secret == "canary" * 8
    assert "canary" not in repr(reading)


@pytest.mark.parametrize("text", ["short", "å" * 40, "a" * 31, "a" * 40 + "\t"])
def test_a_secret_that_is_none_is_refused_unseen(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_text(text)
    (tmp_path / "secret").chmod(0o600)
    lines = LINES + 'secret = { file = "secret" }'
    with pytest.raises(ConfigurationError, match="at least 32 visible characters") as raised:
        Reading(write_policy(tmp_path, issuer_of_today(), lines))
    assert text not in str(raised.value)
