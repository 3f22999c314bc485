"""One exchange about a reference token: what is sent, and what is made of what comes back."""

import asyncio
from typing import Any

import pytest

from asking import (
    CLIENT,
    ENDPOINT,
    INACTIVE,
    ISSUER,
    NOW,
    Asking,
    answered,
    claims_of,
    signed,
)
from fake_fetch import OPENID, FakeFetch, answer
from keeping import at_home, others, settle
from portvakt.errors import Refused, Unavailable
from portvakt.jose.header import Header
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.signer import Signer
from portvakt.net.address import FetchError
from portvakt.net.discovery import Discovery
from portvakt.net.introspection import Introspection
from portvakt.net.keys import KeySource
from portvakt.oauth.client_auth import ClientKey, check_assertion
from portvakt.oauth.introspection import JSON_TYPE, MAX_ANSWER, SIGNED_TYPE
from portvakt.policy.issuer import TrustedIssuer
from portvakt.refusal import Code
from portvakt.testing.clock import FrozenClock

TOKEN = "tok_en"
HOSTILE = "a+b/c~=="


async def detail(made: Asking, token: str = TOKEN) -> str:
    with pytest.raises(Unavailable) as caught:
        await made.fetch(token)
    assert caught.value.refusal.code is Code.INTROSPECTION_UNAVAILABLE
    return str(caught.value.refusal.detail)


@at_home
async def test_what_is_sent_with_a_secret() -> None:
    made = Asking()
    made.out.answers[HOSTILE] = claims_of()
    await made.fetch(HOSTILE)
    assert made.out.sent == [{"token": [HOSTILE], "token_type_hint": ["access_token"]}]
    assert made.out.accepts == ["application/json"]
    assert made.out.headers == [
        (
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Authorization", "Basic dGhlLWFwaTpzZWNyZXQ="),
        )
    ]


@at_home
async def test_what_is_sent_with_a_key_is_new_each_time_and_for_the_issuer_alone() -> None:
    signer = Signer.generate("ES384", "api-key")
    made = Asking(client=ClientKey(CLIENT, signer))
    keys = JwkSet.from_object({"keys": [signer.public_jwk()]}, ["ES384"])
    made.out.answers[TOKEN] = claims_of()
    await made.fetch(TOKEN)
    made.advance(20)
    await made.fetch(TOKEN)
    seen = set()
    for form, now in zip(made.out.sent, (NOW, NOW + 20), strict=True):
        assert form["client_id"] == [CLIENT]
        proof = check_assertion(
            form["client_assertion"][0],
            keys,
            client_id=CLIENT,
            audience=ISSUER.trusted.issuer,
            now=now,
        )
        assert proof.expires_at == now + 20
        seen.add(proof.token_id)
    assert len(seen) == 2
    assert made.out.headers[0] == (("Content-Type", "application/x-www-form-urlencoded"),)


@at_home
@pytest.mark.parametrize(
    ("body", "why"),
    [
        (answered(b""), "not strict JSON"),
        (answered(b"[]"), "not an object"),
        (answered(b'{"active":true,"active":false}'), "repeated"),
        (answered({}), "neither true nor false"),
        (answered({"active": "true"}), "neither true nor false"),
        (answered(claims_of(), "text/html"), "not application/json"),
        (answered(claims_of(), "application/json2"), "not application/json"),
        (answered(claims_of(), SIGNED_TYPE), "not application/json"),
        (signed(claims_of()), "not application/json"),
        (answered({**INACTIVE, "x": "x" * MAX_ANSWER}), "longer than"),
        (answered(claims_of(), status=400), "400"),
    ],
)
async def test_what_is_no_answer_decides_nothing(body: Any, why: str) -> None:
    made = Asking()
    made.out.answers[TOKEN] = body
    assert why in await detail(made)
    assert made.current(TOKEN) is None
    made.out.answers[TOKEN] = answered(claims_of(), "Application/JSON;charset=UTF-8")
    assert (await made.fetch(TOKEN)).by_reference


@at_home
async def test_a_signed_answer_is_asked_for_and_verified() -> None:
    made = Asking(signed=True)
    made.out.answers[TOKEN] = signed(claims_of())
    token = await made.fetch(TOKEN)
    assert made.out.accepts == [SIGNED_TYPE]
    keys = JwkSet.from_object(ISSUER.jwks(), ["ES256"])
    assert token.key_thumbprint == keys.select("ES256", ISSUER.signer.kid).thumbprint
    assert "token_introspection" not in token.claims
    made.out.answers["no"] = signed(INACTIVE)
    with pytest.raises(Refused) as caught:
        await made.fetch("no")
    assert caught.value.refusal.code is Code.TOKEN_INACTIVE


@at_home
@pytest.mark.parametrize(
    "honest",
    [
        signed(claims_of(), aud=[CLIENT]),
        signed(claims_of(), aud=ISSUER.trusted.audience),
        signed(claims_of(), aud=[CLIENT, ISSUER.trusted.audience]),
        signed(claims_of(), iat=NOW - 6),
        signed(claims_of(), iat=NOW + 30),
        signed(claims_of(), header={"typ": "application/Token-Introspection+JWT"}),
    ],
)
async def test_a_signed_answer_has_some_room(honest: Any) -> None:
    made = Asking(signed=True)
    made.out.answers[TOKEN] = honest
    assert (await made.fetch(TOKEN)).by_reference


@at_home
@pytest.mark.parametrize(
    ("body", "why"),
    [
        (answered(claims_of()), f"not {SIGNED_TYPE}"),
        (answered(claims_of(), SIGNED_TYPE), "token_"),
        (answered("€".encode(), SIGNED_TYPE), "token_parts"),
        (signed(claims_of(), kind=JSON_TYPE), f"not {SIGNED_TYPE}"),
        (signed(claims_of(), kind="application/jwt"), f"not {SIGNED_TYPE}"),
        (signed(claims_of(), header={"typ": "at+jwt"}), "typ"),
        (signed(claims_of(), header={"typ": "JWT"}), "typ"),
        (signed(claims_of(), header={"alg": "none"}), "alg"),
        (signed(claims_of(), header={"alg": "ES512"}), "alg"),
        (signed(claims_of(), header={"kid": "other"}), "key_unknown"),
        (signed(claims_of(), signer=Signer.generate("ES256", "key-1")), "signature_invalid"),
        (signed(claims_of(), iss="https://evil.test"), "iss"),
        (signed(claims_of(), iss=None), "iss"),
        (signed(claims_of(), aud="another"), "aud"),
        (signed(claims_of(), aud=[CLIENT, "another"]), "aud"),
        (signed(claims_of(), aud=[]), "aud"),
        (signed(claims_of(), aud=[[CLIENT]]), "aud"),
        (signed(claims_of(), aud={CLIENT: 1}), "aud"),
        (signed(claims_of(), aud=None), "aud"),
        (signed(claims_of(), iat=NOW - 6.5), "iat"),
        (signed(claims_of(), iat=NOW + 30.5), "iat"),
        (signed(claims_of(), iat=None), "iat"),
        (signed(claims_of(), iat=str(NOW)), "iat"),
        (signed(claims_of(), iat=True), "iat"),
        (signed(None), "token_introspection"),
        (signed([claims_of()]), "token_introspection"),
        (signed({"active": 1}), "neither true nor false"),
        (signed(None, **claims_of()), "token_introspection"),
    ],
)
async def test_what_is_no_signed_answer_decides_nothing(body: Any, why: str) -> None:
    made = Asking(signed=True)
    made.out.answers[TOKEN] = body
    assert why in await detail(made)
    assert made.current(TOKEN) is None


@at_home
async def test_a_signed_payload_that_is_no_object_decides_nothing() -> None:
    from portvakt.jose.signer import sign_compact

    made = Asking(signed=True)
    head = {"alg": "ES256", "kid": ISSUER.signer.kid, "typ": "token-introspection+jwt"}
    made.out.answers[TOKEN] = answered(
        sign_compact(head, b"[]", ISSUER.signer).encode(), SIGNED_TYPE
    )
    assert "not strict JSON" in await detail(made)


class Later(KeySource):
    """Keys that somebody has to go and get, or cannot."""

    def __init__(self, keys: JwkSet | None) -> None:
        self.keys = keys
        self.fetched = 0

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet | None:
        return None

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        assert issuer is ISSUER.trusted
        assert header is not None
        self.fetched += 1
        if self.keys is None:
            raise Unavailable(Code.KEYS_UNAVAILABLE, "the server answered 500", retry_after=9)
        return self.keys


@at_home
async def test_keys_are_fetched_where_they_are_not_there() -> None:
    keys = Later(JwkSet.from_object(ISSUER.jwks(), ["ES256"]))
    made = Asking(signed=True, keys=keys)
    made.out.answers[TOKEN] = signed(claims_of())
    assert (await made.fetch(TOKEN)).by_reference
    assert keys.fetched == 1


@at_home
async def test_and_where_they_cannot_be_had_nothing_is_decided() -> None:
    made = Asking(signed=True, keys=Later(None))
    made.out.answers[TOKEN] = signed(claims_of())
    for _ in range(5):
        with pytest.raises(Unavailable) as caught:
            await made.fetch(TOKEN)
        assert caught.value.refusal.code is Code.KEYS_UNAVAILABLE
        assert caught.value.retry_after == 9


# Where.


def metadata(**more: Any) -> dict[str, Any]:
    return {"issuer": ISSUER.trusted.issuer, "jwks_uri": "https://issuer.test/keys", **more}


class Found:
    """An introspection whose endpoint is what the metadata says."""

    def __init__(
        self, document: dict[str, Any], *, hosts: tuple[str, ...] = (), **how: Any
    ) -> None:
        self.fetch = FakeFetch({OPENID: answer(document)})
        where = Discovery(
            ISSUER.trusted.issuer,
            self.fetch.port,
            introspection_hosts=hosts,
            clock=FrozenClock(0),
        )
        self.made = Asking(where=where, **how)
        self.made.out.answers[TOKEN] = claims_of()


@at_home
async def test_the_metadata_says_where() -> None:
    found = Found(metadata(introspection_endpoint=ENDPOINT))
    assert found.made.introspection.health()[0].source == OPENID
    assert (await found.made.fetch(TOKEN)).by_reference
    assert (await found.made.fetch(TOKEN, 0.0)).by_reference
    assert found.fetch.asked == [OPENID]


@at_home
@pytest.mark.parametrize(
    ("algorithms", "policy", "accept"),
    [
        (["ES256"], None, SIGNED_TYPE),
        (["RS256", "ES256"], None, SIGNED_TYPE),
        (["RS256"], None, JSON_TYPE),
        (["none", 1, None], None, JSON_TYPE),
        ("ES256", None, JSON_TYPE),
        ([], None, JSON_TYPE),
        (["ES256"], False, JSON_TYPE),
        (["RS256"], True, SIGNED_TYPE),
        ([], True, SIGNED_TYPE),
    ],
)
async def test_signatures_are_asked_for_where_the_issuer_offers_them_or_the_policy_says_so(
    algorithms: Any, policy: bool | None, accept: str
) -> None:
    document = metadata(
        introspection_endpoint=ENDPOINT, introspection_signing_alg_values_supported=algorithms
    )
    made = Found(document, signed=policy).made
    if accept == SIGNED_TYPE:
        made.out.answers[TOKEN] = signed(claims_of())
    await made.fetch(TOKEN)
    assert made.out.accepts == [accept]
    # What was asked for is what is taken.
    made.out.answers[TOKEN] = signed(claims_of()) if accept == JSON_TYPE else claims_of()
    with pytest.raises(Unavailable):
        await made.fetch(TOKEN, 0.0)


@at_home
@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        (None, "no introspection_endpoint"),
        ("", "no introspection_endpoint"),
        ([ENDPOINT], "no introspection_endpoint"),
        ("https://evil.test/introspect", "list it in introspection.hosts"),
        ("https://issuer.test:8443/introspect", "list it in introspection.hosts"),
        ("http://issuer.test/introspect", "not https"),
        ("https://u:p@issuer.test/introspect", "user name"),
    ],
)
async def test_a_token_goes_nowhere_that_the_metadata_may_not_name(endpoint: Any, why: str) -> None:
    made = Found(metadata(introspection_endpoint=endpoint)).made
    assert why in await detail(made)
    assert made.out.asked == []


@at_home
async def test_another_host_is_listed() -> None:
    document = metadata(introspection_endpoint="https://Tokens.test/introspect")
    found = Found(document, hosts=("tokens.TEST",))
    where = found.made.introspection._asked[ISSUER.trusted.issuer]._endpoint
    assert (await where.find()).url == "https://Tokens.test/introspect"


@at_home
async def test_after_a_failure_it_is_looked_for_again() -> None:
    found = Found(metadata(introspection_endpoint=ENDPOINT))
    found.made.out.answers[TOKEN] = FetchError("the server answered 404")
    await detail(found.made)
    found.made.out.answers[TOKEN] = claims_of()
    assert (await found.made.fetch(TOKEN)).by_reference
    assert found.fetch.asked == [OPENID, OPENID]


@at_home
async def test_first_questions_look_into_the_metadata_once() -> None:
    found = Found(metadata(introspection_endpoint=ENDPOINT))
    found.fetch.open.clear()
    waiting = [found.made.start(f"t{index}") for index in range(10)]
    await settle()
    found.fetch.open.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert len(found.made.out.asked) == 10
    assert found.fetch.asked == [OPENID]


@at_home
async def test_opened_it_finds_out_ahead_of_the_first_request() -> None:
    found = Found(metadata(introspection_endpoint=ENDPOINT))
    found.made.introspection.open()
    found.made.introspection.open()
    await settle()
    assert found.fetch.asked == [OPENID]
    assert not others()
    await found.made.fetch(TOKEN)
    assert found.fetch.asked == [OPENID]
    found.made.introspection.close()


@at_home
async def test_opened_in_vain_it_says_so_and_tries_again() -> None:
    found = Found(metadata())
    found.made.introspection.open()
    await settle()
    (health,) = found.made.introspection.health()
    assert health.last_error is not None
    assert "no introspection_endpoint" in health.last_error
    found.fetch.answers[OPENID] = answer(metadata(introspection_endpoint=ENDPOINT))
    found.made.introspection._asked[ISSUER.trusted.issuer]._endpoint.forget()
    assert (await found.made.fetch(TOKEN)).by_reference


@at_home
async def test_opened_and_closed_it_leaves_nothing_behind() -> None:
    found = Found(metadata(introspection_endpoint=ENDPOINT))
    found.fetch.open.clear()
    found.made.introspection.open()
    await settle()
    assert others()
    found.made.introspection.close()
    await settle()
    assert not others()


@at_home
async def test_opening_takes_no_longer_than_a_question() -> None:
    found = Found(metadata(introspection_endpoint=ENDPOINT), timeout=0.02)
    found.fetch.open.clear()
    found.made.introspection.open()
    await asyncio.sleep(0.1)
    assert not others()
    assert found.made.introspection.health()[0].last_error == "no answer in time"


def test_all_issuers_are_shown_and_none_of_their_secrets() -> None:
    made = Asking()
    one = Introspection([made.endpoint()], keys=Later(None))
    assert repr(one) == f"Introspection({ISSUER.trusted.issuer})"
