"""Introspection over real TLS: an issuer that answers, one that misbehaves, one that is down."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from rich.pretty import pretty_repr

from introspection_server import CLIENT, SECRET, Introspecting, with_secret
from key_server import drip, endless, hang_up, octets, silent, whole
from portvakt.errors import Refused, Unavailable
from portvakt.jose.signer import Signer
from portvakt.net.introspection import Introspection
from portvakt.net.keys import FixedKeys, KeySource
from portvakt.net.question import Limits
from portvakt.oauth.client_auth import ClientKey, ClientSecret
from portvakt.oauth.introspection import SIGNED_TYPE
from portvakt.refusal import Code
from publishing import guard_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from key_server import Behaviour, Names
    from portvakt import Guard
    from portvakt.policy.token import AccessToken


@pytest.fixture
def issuer(hosts: Names) -> Iterator[Introspecting]:
    with Introspecting("issuer.test", hosts) as one:
        yield one


def keys_of(issuer: Introspecting) -> KeySource:
    from portvakt.jose.jwk_set import JwkSet

    trusted = issuer.issuer.trusted
    return FixedKeys({trusted.issuer: JwkSet.from_object(issuer.issuer.jwks(), trusted.algorithms)})


def asking(issuer: Introspecting, hosts: Names, ca_file: Path, **how: Any) -> Introspection:
    return Introspection([issuer.endpoint(hosts, ca_file, **how)], keys_of(issuer))


async def ask(one: Introspection, issuer: Introspecting, token: str) -> AccessToken:
    return await one.fetch(issuer.issuer.trusted, token, 0.0, issuer.issuer.clock())


def judged(one: Introspection, issuer: Introspecting, *tokens: str) -> list[Code | None]:
    """Ask about tokens in turn: why each is refused, None if it is good."""

    async def each() -> list[Code | None]:
        codes: list[Code | None] = []
        for token in tokens:
            try:
                await ask(one, issuer, token)
            except (Refused, Unavailable) as error:
                codes.append(error.refusal.code)
            else:
                codes.append(None)
        one.close()
        return codes

    return asyncio.run(each())


def test_an_issuer_is_asked_with_a_key_and_with_a_secret(
    issuer: Introspecting, hosts: Names, ca_file: Path
) -> None:
    token = issuer.grant()
    for client in ({}, {"client": with_secret()}):
        one = asking(issuer, hosts, ca_file, **client)
        assert judged(one, issuer, token, "invented") == [None, Code.TOKEN_INACTIVE]
    assert issuer.refused == 0


def test_nobody_else_is_answered(issuer: Introspecting, hosts: Names, ca_file: Path) -> None:
    token = issuer.grant()
    for client in (
        ClientSecret("the api", f"1:{SECRET}"),
        ClientKey("the api:1", Signer.generate("ES256", "api-key")),
    ):
        one = asking(issuer, hosts, ca_file, client=client)
        assert judged(one, issuer, token) == [Code.INTROSPECTION_UNAVAILABLE]
    assert issuer.refused == 2
    assert issuer.asked == []


def test_signed_answers_are_taken_where_they_are_offered(
    issuer: Introspecting, hosts: Names, ca_file: Path
) -> None:
    issuer.offer_signatures()
    token = issuer.grant()
    one = asking(issuer, hosts, ca_file)
    assert judged(one, issuer, token, "invented") == [None, Code.TOKEN_INACTIVE]
    assert dict(issuer.server.requests[-1].headers)["accept"] == SIGNED_TYPE


def hostile(issuer: Introspecting, fault: str) -> None:
    match fault:
        case "key":
            issuer.signer = Signer.generate("ES256", issuer.signer.kid)
        case "audience":
            issuer.claims = {"aud": "another-api"}
        case "issuer":
            issuer.claims = {"iss": "https://evil.test"}
        case "old":
            issuer.claims = {"iat": int(issuer.issuer.clock()) - 60}
        case "future":
            issuer.claims = {"iat": int(issuer.issuer.clock()) + 60}
        case "type":
            issuer.header = {"typ": "at+jwt"}
        case "unsigned":
            body = json.dumps(next(iter(issuer.tokens.values()))).encode()
            issuer.answer = whole(body)


@pytest.mark.parametrize(
    "fault", ["key", "audience", "issuer", "old", "future", "type", "unsigned"]
)
def test_a_signed_answer_that_is_wrong_in_one_thing_is_none(
    issuer: Introspecting, hosts: Names, ca_file: Path, fault: str
) -> None:
    token = issuer.grant()
    hostile(issuer, fault)
    one = asking(issuer, hosts, ca_file, signed=True)
    assert judged(one, issuer, token) == [Code.INTROSPECTION_UNAVAILABLE]
    assert issuer.asked == [token]


GOOD = b'{"active":true'
FAULTS: dict[str, Behaviour] = {
    "silent": silent,
    "hang up": hang_up,
    "slow": drip(b"HTTP/1.1 200 OK\r\n", every=0.05),
    "endless": endless(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + GOOD, b" " * 4096
    ),
    "huge": whole(GOOD + b" " * 600_000 + b"}"),
    "large": whole(GOOD + b" " * 70_000 + b"}"),
    "cut off": octets(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n" + GOOD
    ),
    "no http": octets(b"active: true\r\n\r\n"),
    "redirect": whole(GOOD + b"}", status=302, headers=[("Location", "https://evil.test/")]),
    "again": whole(GOOD + b"}", status=307, headers=[("Location", "/introspect2")]),
    "400": whole(GOOD + b"}", status=400),
    "401": whole(GOOD + b"}", status=401),
    "403": whole(GOOD + b"}", status=403),
    "500": whole(GOOD + b"}", status=500),
    "503": whole(b"", status=503, headers=[("Retry-After", "1")]),
    "204": octets(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "web page": whole(b"<html>active: true", headers=[("Content-Type", "text/html")]),
    "other type": whole(GOOD + b"}", headers=[("Content-Type", "text/plain")]),
    "no type": whole(GOOD + b"}", headers=[]),
    "two types": whole(GOOD + b"}", headers=[("Content-Type", "application/json")] * 2),
    "gzip": whole(
        GOOD + b"}", headers=[("Content-Type", "application/json"), ("Content-Encoding", "gzip")]
    ),
    "twice": whole(b'{"active":true,"active":true}'),
    "array": whole(b'[{"active":true}]'),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_issuer_that_misbehaves_decides_nothing_and_is_asked_again(
    issuer: Introspecting, hosts: Names, ca_file: Path, fault: str
) -> None:
    token = issuer.grant()
    issuer.answer = FAULTS[fault]
    one = asking(issuer, hosts, ca_file, timeout=0.4)
    begun = perf_counter()

    async def both() -> None:
        with pytest.raises(Unavailable) as caught:
            await ask(one, issuer, token)
        assert caught.value.refusal.code is Code.INTROSPECTION_UNAVAILABLE
        assert one.current(issuer.issuer.trusted, token, 60.0, issuer.issuer.clock()) is None
        assert perf_counter() - begun < 3
        issuer.answer = None
        if fault != "503":  # It wants to be left alone.
            assert (await ask(one, issuer, token)).by_reference
        one.close()

    asyncio.run(both())
    assert len(hosts.asked) == len([name for name in hosts.asked if name == "issuer.test"])


def test_a_token_is_revoked_and_the_next_question_says_so(
    issuer: Introspecting, hosts: Names, ca_file: Path
) -> None:
    token = issuer.grant()
    issuer.revoke_after[token] = 3
    one = asking(issuer, hosts, ca_file)
    assert judged(one, issuer, *[token] * 5) == [None] * 3 + [Code.TOKEN_INACTIVE] * 2
    assert len(issuer.asked) == 4  # The last no was still remembered.


def test_a_flood_of_invented_tokens_is_bounded_at_the_issuer(
    issuer: Introspecting, hosts: Names, ca_file: Path
) -> None:
    known, fresh = issuer.grant(), issuer.grant()
    limits = Limits(side_by_side=4, queue=20)
    endpoint = issuer.endpoint(hosts, ca_file, timeout=10.0)
    one = Introspection([endpoint], keys_of(issuer), limits=limits, capacity=50)

    async def flood() -> None:
        token = await ask(one, issuer, known)
        invented = [asyncio.ensure_future(ask(one, issuer, f"x{index}")) for index in range(300)]
        await asyncio.sleep(0)
        # What is known is read from memory, and asked about beside the flood.
        trusted, now = issuer.issuer.trusted, issuer.issuer.clock()
        assert one.current(trusted, known, 30.0, now) is token
        assert (await ask(one, issuer, known)).by_reference
        ends = await asyncio.gather(*invented, return_exceptions=True)
        kinds = [type(end) for end in ends]
        assert kinds.count(Refused) == 24
        assert kinds.count(Unavailable) == 276
        assert all(end.retry_after == 1 for end in ends if isinstance(end, Unavailable))
        assert (await ask(one, issuer, fresh)).by_reference
        one.close()

    asyncio.run(flood())
    assert len(issuer.asked) == 27
    assert one.health()[0].questions == 0


# The whole way: a policy, a guard, a request.


def guarded(
    issuer: Introspecting,
    hosts: Names,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    **settings: Any,
) -> Guard:
    monkeypatch.setenv("API_SECRET", SECRET)
    asked = {"client_id": CLIENT, "secret": {"env": "API_SECRET"}, **settings}
    return guard_of(hosts, ca_file, issuer.table(introspection=asked))


def test_a_guard_admits_references_and_signed_tokens_each_by_its_own_path(
    issuer: Introspecting, hosts: Names, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer.offer_signatures()
    guard = guarded(issuer, hosts, ca_file, monkeypatch)
    reference, jwt = issuer.grant(), issuer.token()
    for _ in range(3):
        assert issuer.judged(guard, reference) is None
        assert issuer.judged(guard, jwt) is None
    assert issuer.asked == [reference]
    for hostile, code in (
        ("invented", Code.TOKEN_INACTIVE),
        ("a b", Code.CREDENTIAL_MALFORMED),
        ("a;b", Code.TOKEN_ENCODING),
        (f"{reference}.", Code.TOKEN_PARTS),
        (f"{reference}.x.y", Code.TOKEN_ENCODING),
    ):
        assert issuer.judged(guard, hostile) is code, hostile
    assert issuer.asked == [reference, "invented"]


def test_a_guard_does_not_outlast_its_staleness_and_says_when_to_come_back(
    issuer: Introspecting, hosts: Names, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = guarded(issuer, hosts, ca_file, monkeypatch, max_staleness="0s", timeout="400ms")
    token = issuer.grant()
    assert issuer.judged(guard, token) is None
    issuer.answer = silent
    decision = guard.check_blocking(issuer.issuer.request(token))
    assert decision.refusal is not None
    assert decision.refusal.code is Code.INTROSPECTION_UNAVAILABLE
    assert decision.response is not None
    assert dict(decision.response.headers)["Retry-After"] == "1"
    issuer.answer = None
    issuer.revoke(token)
    assert issuer.judged(guard, token) is Code.TOKEN_INACTIVE


@pytest.mark.attack("API-07")
@pytest.mark.parametrize("behaviour", [None, hang_up, silent])
def test_nothing_that_is_logged_of_a_question_is_secret(
    issuer: Introspecting,
    hosts: Names,
    ca_file: Path,
    caplog: pytest.LogCaptureFixture,
    behaviour: Behaviour | None,
) -> None:
    caplog.set_level(0)
    issuer.answer = behaviour
    token = issuer.grant("canary_reference_token_0123456789", sub="canary-subject")
    secrets = [token, "canary-subject", b64encode(SECRET.encode()).decode()[:20], SECRET]
    for client in ({}, {"client": with_secret()}):
        one = asking(issuer, hosts, ca_file, timeout=1.0, **client)
        judged(one, issuer, token)
        presented = issuer.server.requests[-1]
        sent = dict(presented.headers).get("authorization", "").removeprefix("Basic ")
        assertion = parse_qs(presented.body.decode()).get("client_assertion", [""])[0]
        secrets += [piece for piece in (sent, assertion) if piece]
        told = [record.getMessage() + repr(record.args) for record in caplog.records]
        told += [repr(one), repr(one.health()), pretty_repr(one.health())]
        assert not [text for text in told for piece in secrets if piece in text]
    assert issuer.server.requests
