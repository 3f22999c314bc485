"""One policy with everything: references, encryption, status lists and events, over real TLS."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from introspection_server import CLIENT, CLIENT_KEY, SECRET, Introspecting
from key_server import by_path, whole
from portvakt import Code, ConfigurationError, Guard
from portvakt.guard.assembly import assemble_config
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.jwe import encrypt
from portvakt.jose.signer import sign_compact
from portvakt.oauth.event_delivery import PUSH_TYPE
from portvakt.oauth.security_event import make_event
from portvakt.oauth.status_list import make_status_list

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from key_server import Names
    from portvakt import HttpRequest

AUDIENCE = "test-api"
LIST = "https://issuer.test/statuses/1"
ROUTES = [
    {"path": "/low", "sensitivity": "low"},
    {"path": "/normal"},
    {"path": "/high", "sensitivity": "high"},
    {"path": "/sealed", "require_encryption": True},
]


@pytest.fixture
def issuer(hosts: Names) -> Iterator[Introspecting]:
    with Introspecting("issuer.test", hosts) as found:
        yield found


class Party:
    """A guard of a whole policy, and what it is asked."""

    def __init__(self, issuer: Introspecting, hosts: Names, ca_file: Path, **tables: Any) -> None:
        self.issuer = issuer
        asked = {"client_id": CLIENT, "key": {"env": "API_KEY"}}
        table = issuer.table(**{"introspection": asked, **tables.pop("table", {})})
        config = {
            "api": {"audience": AUDIENCE, **tables.pop("api", {})},
            "issuer": [table],
            "route": ROUTES,
            "network": {"ca_file": str(ca_file)},
            "store": {"url": "memory://"},
            "encryption": {"keys": {"env": "API_ENCRYPTION"}},
            **tables,
        }
        self.guard = assemble_config(Guard, config, clock=None, observers=(), addresses=hosts)

    def verdict(self, token: str, path: str = "/normal") -> Code | None:
        decision = self.guard.check_blocking(self.request(token, path))
        return None if decision.refusal is None else decision.refusal.code

    def request(self, token: str, path: str) -> HttpRequest:
        return self.issuer.issuer.request(token, url=path)


ENCRYPTION = DecryptionKey.generate("ECDH-ES", "api-encryption")


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", json.dumps(CLIENT_KEY.private_jwk()))
    monkeypatch.setenv("API_SECRET", SECRET)
    monkeypatch.setenv("API_ENCRYPTION", json.dumps(ENCRYPTION.private_jwk()))


def test_a_reference_is_asked_about_and_then_remembered_as_the_data_allows(
    issuer: Introspecting, hosts: Names, ca_file: Path, secrets: None
) -> None:
    party = Party(issuer, hosts, ca_file)
    token = issuer.grant(scope="journal")
    assert [party.verdict(token) for _ in range(3)] == [None] * 3
    assert issuer.asked == [token]
    # Highly sensitive data: each time anew, and so a revoked one is refused at once.
    assert [party.verdict(token, "/high") for _ in range(3)] == [None] * 3
    assert issuer.asked == [token] * 4
    issuer.revoke(token)
    assert party.verdict(token, "/high") is Code.TOKEN_INACTIVE
    assert party.verdict("never-issued") is Code.TOKEN_INACTIVE
    decision = party.guard.check_blocking(party.request(issuer.grant("another"), "/sealed"))
    assert decision.token is not None
    assert decision.token.by_reference
    party.guard.home.leave()


def test_what_an_issuer_says_of_a_reference_is_checked_like_a_token(
    issuer: Introspecting, hosts: Names, ca_file: Path, secrets: None
) -> None:
    party = Party(issuer, hosts, ca_file)
    past = time.time() - 7200
    for claims, code in (
        ({"aud": "another-api"}, Code.AUDIENCE_WRONG),
        ({"iat": past, "exp": past + 60}, Code.TOKEN_EXPIRED),
        ({"iss": "https://other.test"}, Code.ISSUER_CHANGED),
        ({"cnf": {"jkt": "x" * 43}}, Code.CONFIRMATION_UNMET),
    ):
        assert party.verdict(issuer.grant(**claims)) is code
    assert party.guard.health().introspection[0].issuer == "https://issuer.test"
    party.guard.home.leave()


def test_a_secret_will_do_and_an_issuer_that_is_down_admits_nobody(
    issuer: Introspecting, hosts: Names, ca_file: Path, secrets: None
) -> None:
    shared = {"client_id": CLIENT, "secret": {"env": "API_SECRET"}}
    party = Party(issuer, hosts, ca_file, table={"introspection": shared})
    token = issuer.grant()
    assert party.verdict(token) is None
    issuer.answer = whole(b"", status=500)
    assert party.verdict(token, "/high") is Code.INTROSPECTION_UNAVAILABLE
    assert party.verdict(token) is None  # As long as the last answer serves.
    party.guard.home.leave()


def test_an_encrypted_token_is_opened_and_then_judged_like_any_other(
    issuer: Introspecting, hosts: Names, ca_file: Path, secrets: None
) -> None:
    party = Party(issuer, hosts, ca_file)
    signed = issuer.token()

    def sealed(text: str) -> str:
        return encrypt(text, ENCRYPTION.public_jwk())

    token = sealed(signed)
    assert [party.verdict(token, "/sealed") for _ in range(2)] == [None] * 2
    assert party.verdict(token) is None
    assert party.verdict(signed, "/sealed") is Code.ENCRYPTION_REQUIRED
    assert party.verdict(token, "/high") is Code.BINDING_REQUIRED
    # What is inside has no privilege.
    none = "eyJhbGciOiJub25lIn0." + signed.split(".")[1] + "."
    for inside, code in (
        (issuer.issuer.forged("expired"), Code.TOKEN_EXPIRED),
        (issuer.issuer.forged("none"), None),
        (none, Code.TOKEN_PARTS),
        (json.dumps({"iss": "https://issuer.test"}), Code.TOKEN_PARTS),
        (token, Code.TOKEN_ENCRYPTED),
        (issuer.grant(), Code.TOKEN_PARTS),
    ):
        found = party.verdict(sealed(inside), "/sealed")
        assert found is not None
        assert code is None or found is code
    other = DecryptionKey.generate("ECDH-ES", "api-encryption")
    stranger = encrypt(signed, other.public_jwk())
    assert party.verdict(stranger) is Code.DECRYPTION_FAILED
    party.guard.home.leave()


def status_list(issuer: Introspecting, *statuses: int) -> bytes:
    now = int(time.time())
    claims = {
        "iss": "https://issuer.test",
        "sub": LIST,
        "iat": now,
        "exp": now + 600,
        "status_list": make_status_list(statuses, 1),
    }
    signer = issuer.signer
    header = {"alg": signer.alg, "kid": signer.kid, "typ": "statuslist+jwt"}
    return sign_compact(header, claims, signer).encode()


def test_a_token_that_its_issuers_list_marks_is_refused(
    issuer: Introspecting, hosts: Names, ca_file: Path, secrets: None
) -> None:
    kind = [("Content-Type", "application/statuslist+jwt")]
    body = status_list(issuer, 0, 1)
    issuer.server.answer = by_path({"/statuses/1": whole(body, headers=kind)}, issuer.server.answer)
    party = Party(issuer, hosts, ca_file, table={"status_lists": [LIST]})

    def token(index: int, uri: str = LIST) -> str:
        return issuer.token(status={"status_list": {"idx": index, "uri": uri}})

    assert party.verdict(token(0)) is None
    assert party.verdict(token(1)) is Code.TOKEN_REVOKED
    assert party.verdict(issuer.token()) is None
    # No list that the policy does not name is ever fetched.
    asked = len(issuer.server.requests)
    assert party.verdict(token(0, "https://evil.test/list")) is Code.REVOCATION_UNAVAILABLE
    assert len(issuer.server.requests) == asked
    assert party.verdict(issuer.token(status="x")) is Code.CLAIM_MALFORMED
    assert party.guard.health().status_lists[0].uri == LIST
    party.guard.home.leave()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_an_event_that_is_pushed_ends_the_tokens_of_its_subject(
    issuer: Introspecting, hosts: Names, ca_file: Path, secrets: None, anyio_backend: str
) -> None:
    party = Party(issuer, hosts, ca_file, table={"events": {"push": True}})
    guard, token = party.guard, issuer.token(sub="alice", iat=int(time.time()) - 10)
    reference = issuer.grant(sub="alice", iat=int(time.time()) - 10)
    for one in (token, reference):
        assert (await guard.check(party.request(one, "/normal"))).admitted
    revoked = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
    claims = make_event(
        issuer="https://issuer.test",
        audience=AUDIENCE,
        token_id="event-1",
        now=time.time(),
        events={revoked: {"event_timestamp": int(time.time())}},
        subject={"format": "iss_sub", "iss": "https://issuer.test", "sub": "alice"},
    )
    signer = issuer.signer
    header = {"alg": signer.alg, "kid": signer.kid, "typ": "secevent+jwt"}
    body = sign_compact(header, claims, signer).encode()
    assert (await guard.receive_event(body[:-8] + b"AAAAAAAA", PUSH_TYPE)).status == 400
    assert (await guard.check(party.request(token, "/normal"))).admitted
    assert (await guard.receive_event(body, PUSH_TYPE)).status == 202
    for one in (token, reference):
        decision = await guard.check(party.request(one, "/normal"))
        assert decision.refusal is not None
        assert decision.refusal.code is Code.TOKEN_REVOKED
    assert (await guard.check(party.request(issuer.token(sub="bob"), "/normal"))).admitted
    guard.home.leave()


def test_what_the_policy_refers_to_must_be_there(
    issuer: Introspecting, hosts: Names, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_ENCRYPTION", json.dumps(ENCRYPTION.private_jwk()))
    with pytest.raises(ConfigurationError, match=r"issuer\[0\]\.introspection\.key"):
        Party(issuer, hosts, ca_file)
