"""nginx, Caddy and HAProxy as shipped, in front of an API that is not Python: who gets through?

Everything here is sent over TLS to the real proxy, and what the API saw is what the API itself
tells. Hostile requests stop at the proxy; the honest twin arrives, with identity.
"""

from __future__ import annotations

import base64
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pytest

from behind import DOWN, HOST, ISSUER, NONCE_KEY, Header, Proxy, bearer, honest, request
from portvakt.forge.faults import FAULTS, Forgery
from portvakt.forge.tokens import TokenBuilder
from portvakt.oauth.dpop_nonce import Nonces
from portvakt.testing import FakeClient
from raw_http import Answer, exchange

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Of an hour: a whole run of tests takes longer than a token usually lives.
TOKEN: Final = ISSUER.token(scopes=["read"], claims={"exp": int(time.time()) + 3500})
GOOD: Final = bearer(TOKEN)
FORGED: Final = bearer(ISSUER.forged("expired", ["read"]))

WEBSOCKET: Final = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
)

#: What the API is told of TOKEN, empty headers left out.
IDENTITY: Final = {
    "x-portvakt-issuer": ["https://sts.example.no"],
    "x-portvakt-subject": ["test-subject"],
    "x-portvakt-client-id": ["test-client"],
    "x-portvakt-scopes": ["read"],
}


def refused(answer: Answer, status: int, title: str) -> None:
    """Check that the client got what the gateway said, whole, and once."""
    assert not answer.admitted
    assert answer.status == status
    assert answer.all("content-type") == ["application/problem+json"]
    assert answer.all("cache-control") == ["no-store"]
    problem = json.loads(answer.body)
    assert problem["status"] == status
    assert problem["title"] == title
    # One answer, not the API's, and nothing that is between proxy and gateway only.
    assert not [name for name, _ in answer.headers if name.startswith("x-portvakt")]
    assert len(answer.all("www-authenticate")) == (status != 503 and title != "forbidden")


def told(answer: Answer) -> dict[str, list[str]]:
    """What the API was told of the caller, without what differs from token to token."""
    assert answer.status == 200
    found = answer.seen.identity
    found.pop("x-portvakt-token-id", None)
    found.pop("x-portvakt-expires-at", None)
    return found


@pytest.mark.twin("HTTP-01", "HTTP-04", "HTTP-05", "HTTP-06", "HTTP-08", "HTTP-13", "API-12")
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_an_honest_request_arrives_with_identity(proxy: Proxy, scheme: str) -> None:
    answer = proxy.ask(("Authorization", f"{scheme} {TOKEN}"), target="/journal?a=b&c=%2F")
    assert told(answer) == IDENTITY
    seen = answer.seen
    assert (seen.method, seen.url) == ("GET", "/journal?a=b&c=%2F")
    assert seen.all("host") == [HOST]
    # The API has no use for the token; whoever logs headers there logs no token.
    assert TOKEN not in json.dumps(seen.headers)
    assert answer.all("www-authenticate") == ["of-the-api"]


@pytest.mark.attack("HTTP-13", "API-09", "API-12")
def test_nobody_arrives_without_a_token(proxy: Proxy) -> None:
    for headers in ((), (("Cookie", f"access_token={TOKEN}"),)):
        answer = proxy.ask(*headers)
        refused(answer, 401, "unauthorized")
        # RFC 6750 section 3.1: without credentials there is nothing to explain.
        assert answer.one("www-authenticate").startswith('Bearer realm="nhn:journal"')
        assert "error" not in answer.one("www-authenticate")


@pytest.mark.twin("API-09")
def test_a_public_route_tells_of_nobody(proxy: Proxy) -> None:
    assert told(proxy.ask(target="/healthz")) == {}
    # Whoever shows a token where none is needed is nobody, too.
    assert told(proxy.ask(FORGED, target="/healthz")) == {}


@pytest.mark.attack("API-12", "API-09")
def test_no_forged_token_arrives(proxy: Proxy) -> None:
    sent = 0
    with proxy.connect() as connection:
        for row in FAULTS:
            # Some are too early by a second, which may pass before they arrive: ten more for these.
            now = time.time() + (10 if row.id.endswith("-future") else 0)
            builder = TokenBuilder(ISSUER.trusted, ISSUER.signer, now=now, scopes=["read"])
            forgery = Forgery.against(builder, several_keys=True)
            if row.applies(builder, forgery):
                token = bearer(row.apply(builder, forgery))
                answer = exchange(connection, request("GET", "/journal", [token]))
                assert not answer.admitted, row.id
                assert answer.status in {400, 401}, row.id
                sent += 1
        # The same connection, and so the same state of the proxy.
        assert exchange(connection, request("GET", "/journal", [GOOD])).admitted
    assert sent > 90


@pytest.mark.attack("API-12", "HTTP-11", "HTTP-12")
def test_each_refusal_reaches_the_client_whole(proxy: Proxy) -> None:
    refused(proxy.ask(bearer("a, Bearer b")), 400, "invalid_request")
    answer = proxy.ask(FORGED)
    refused(answer, 401, "invalid_token")
    assert 'error="invalid_token"' in answer.one("www-authenticate")
    answer = proxy.ask(GOOD, target="/admin")
    refused(answer, 403, "insufficient_scope")
    assert 'scope="admin"' in answer.one("www-authenticate")
    refused(proxy.ask(GOOD, target="/nowhere"), 403, "forbidden")
    answer = proxy.ask(bearer(DOWN.token(scopes=["read"])))
    refused(answer, 503, "unavailable")
    assert int(answer.one("retry-after")) >= 1


@pytest.mark.twin("HTTP-11", "HTTP-12")
def test_what_the_api_answers_is_not_touched(proxy: Proxy) -> None:
    for status in (400, 401, 403, 404, 500, 503):
        answer = proxy.ask(GOOD, target=f"/journal?status={status}")
        assert answer.admitted
        assert answer.status == status
        assert answer.all("www-authenticate") == ["of-the-api"]


@pytest.mark.parametrize("headers", [(), (FORGED,), (bearer("ø"),)])
def test_a_head_request_is_judged_as_any_other(proxy: Proxy, headers: Sequence[Header]) -> None:
    assert proxy.ask(GOOD, method="HEAD").admitted
    answer = proxy.ask(*headers, method="HEAD")
    assert not answer.admitted
    assert answer.status in {400, 401}
    assert answer.body == b""


@pytest.mark.parametrize("length", [1, 100_000, 900_000])
def test_a_body_arrives_once_and_whole(proxy: Proxy, length: int) -> None:
    body = (b"octets\0\r\n" * (length // 9 + 1))[:length]
    answer = proxy.ask(GOOD, method="POST", body=body)
    assert told(answer) == IDENTITY
    assert answer.seen.method == "POST"
    assert base64.b64decode(answer.seen.body) == body


def test_a_body_in_chunks_arrives_once_and_whole(proxy: Proxy) -> None:
    chunks = b"5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n"
    head = request(
        "POST", "/journal", [GOOD, ("Transfer-Encoding", "chunked"), ("Connection", "close")]
    )
    with proxy.connect() as connection:
        answer = exchange(connection, head + chunks)
    assert base64.b64decode(answer.seen.body) == b"helloyou"


@pytest.mark.attack("HTTP-02")
def test_a_token_in_a_form_is_not_read(proxy: Proxy) -> None:
    form = ("Content-Type", "application/x-www-form-urlencoded")
    body = f"access_token={TOKEN}".encode()
    refused(proxy.ask(form, method="POST", body=body), 401, "unauthorized")


@pytest.mark.twin("HTTP-02")
def test_a_form_with_the_token_in_its_header_arrives(proxy: Proxy) -> None:
    form = ("Content-Type", "application/x-www-form-urlencoded")
    answer = proxy.ask(GOOD, form, method="POST", body=b"a=b")
    assert base64.b64decode(answer.seen.body) == b"a=b"


@pytest.mark.attack("HTTP-16")
def test_a_websocket_is_refused_without_a_token(proxy: Proxy) -> None:
    refused(proxy.ask(*WEBSOCKET), 401, "unauthorized")
    refused(proxy.ask(FORGED, *WEBSOCKET), 401, "invalid_token")


@pytest.mark.twin("HTTP-16")
def test_a_websocket_with_a_token_is_opened_with_identity(proxy: Proxy) -> None:
    answer = proxy.ask(GOOD, *WEBSOCKET)
    assert answer.status == 101
    assert answer.seen.identity["x-portvakt-subject"] == ["test-subject"]
    # With which the API closes it in time.
    assert int(answer.seen.identity["x-portvakt-expires-at"][0]) > time.time()


@pytest.mark.attack("HTTP-10")
def test_no_other_upgrade_arrives(proxy: Proxy) -> None:
    settings = ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA")
    for listed in ("Upgrade, HTTP2-Settings", "close, Upgrade, HTTP2-Settings"):
        answer = proxy.ask(GOOD, ("Connection", listed), ("Upgrade", "h2c"), settings)
        # As an upgrade it would have been a tunnel in which nobody judges anything.
        assert answer.status == 200
        assert answer.seen.all("upgrade") == []


@pytest.mark.attack("HTTP-10")
def test_an_upgrade_is_to_a_websocket_alone_or_none(proxy: Proxy) -> None:
    listed, key, version = WEBSOCKET[0], WEBSOCKET[2], WEBSOCKET[3]
    for mixed in ("h2c, websocket", "websocket, h2c", "h2c"):
        answer = proxy.ask(GOOD, listed, ("Upgrade", mixed), key, version)
        assert not answer.admitted or answer.seen.all("upgrade") in ([], ["websocket"])
        answer = proxy.ask(GOOD, listed, WEBSOCKET[1], ("Upgrade", mixed), key, version)
        assert not answer.admitted or answer.seen.all("upgrade") in ([], ["websocket"])


def test_long_tokens_and_targets_pass(proxy: Proxy) -> None:
    long = honest(extra="x" * 11_800)
    assert len(long[1]) > 15_900
    assert told(proxy.ask(long)) == IDENTITY
    target = f"/files/{'y' * 12_000}?{'z' * 2_000}"
    answer = proxy.ask(long, target=target)
    assert told(answer) == IDENTITY
    assert answer.seen.url == target
    # Above the guard's own bound, and far above everybody's.
    refused(proxy.ask(honest(extra="x" * 13_000)), 401, "invalid_token")
    # HAProxy may close the connection before all of it is sent.
    with suppress(OSError):
        answer = proxy.ask(honest(extra="x" * 90_000))
        assert not answer.admitted
        assert answer.status in {400, 431}


def test_a_proof_of_possession_passes_and_so_does_the_next_nonce(proxy: Proxy) -> None:
    client = FakeClient(ISSUER, origin=f"https://{HOST}")
    token = client.token(scopes=["read"])

    def ask(nonce: str | None) -> Answer:
        proof = client.proof(token, "GET", "/proved", nonce=nonce).build()
        return proxy.ask(("Authorization", f"DPoP {token}"), ("DPoP", proof), target="/proved")

    answer = ask(None)
    refused(answer, 401, "use_dpop_nonce")
    nonce = answer.one("dpop-nonce")
    # A gateway that has just started cannot know which proofs were used before.
    end = time.monotonic() + 20
    while (answer := ask(nonce)).status == 503 and time.monotonic() < end:
        time.sleep(0.2)
    assert told(answer) == IDENTITY
    assert answer.seen.all("dpop") == []
    # An older one is still good, and the answer says which to use from now on.
    nonces = Nonces((NONCE_KEY.encode(),))
    answer = ask(nonces.make(time.time() - 150))
    assert answer.admitted
    assert answer.one("dpop-nonce") == nonces.make(time.time())
    refused(ask("made-up"), 401, "use_dpop_nonce")


@pytest.mark.attack("HTTP-13")
def test_what_this_api_demands_can_be_read_without_a_token(proxy: Proxy) -> None:
    target = "/.well-known/oauth-protected-resource"
    answer = proxy.ask(target=target)
    assert answer.status == 200
    assert answer.all("content-type") == ["application/json"]
    assert json.loads(answer.body)["resource"] == f"https://{HOST}"
    challenge = proxy.ask().one("www-authenticate")
    assert f'resource_metadata="https://{HOST}{target}"' in challenge
    # Nothing but that comes from the gateway, whatever the path looks like.
    for other in (f"{target}/../../journal", f"/x/..{target}", f"{target}/x", f"{target}%2f"):
        refused(proxy.ask(GOOD, target=other), 403, "forbidden")
