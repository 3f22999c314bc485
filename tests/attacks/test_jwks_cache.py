"""Keys that are fetched, by a whole guard, over TLS (family JWKS): what is believed, and when."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from key_server import Gate, Names, hang_up, silent, whole
from portvakt import Code
from portvakt.jose.encoding import decode_base64url
from portvakt.jose.signer import Signer, sign_compact
from portvakt.testing import FakeIssuer
from publishing import Published, code_of, guard_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portvakt import Guard


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def published(names: Names) -> Iterator[Published]:
    with Published("issuer.test", names) as issuer:
        yield issuer


@pytest.fixture
def guard(names: Names, ca_file: Path, published: Published) -> Guard:
    return guard_of(names, ca_file, published.table())


def judge(guard: Guard, published: Published, token: str | None = None) -> Code | None:
    honest = published.token() if token is None else token
    return code_of(guard.check_blocking(published.issuer.request(honest)))


@pytest.mark.twin(*(f"JWKS-{number:02}" for number in range(9, 27)))
def test_an_honest_issuer_is_found_and_its_tokens_are_admitted(
    guard: Guard, published: Published
) -> None:
    assert judge(guard, published) is None
    assert judge(guard, published) is None
    assert published.fetches() == 1
    targets = [request.target for request in published.server.requests]
    assert targets == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.attack("JWKS-09")
def test_an_issuer_that_hangs_stops_no_other(
    names: Names, ca_file: Path, published: Published
) -> None:
    with Published("slow.test", names) as slow:
        slow.publish(answer=silent)
        tables = (published.table(), slow.table())
        guard = guard_of(names, ca_file, *tables, network={"timeout": "1s"})
        codes: list[Code | None] = []
        waiting = threading.Thread(target=lambda: codes.append(judge(guard, slow)))
        waiting.start()
        slow.server.wait_for(2)
        assert judge(guard, published) is None
        assert codes == []  # it waits still, and nobody with it
        waiting.join()
        assert codes == [Code.KEYS_UNAVAILABLE]


@pytest.mark.attack("JWKS-10")
def test_fifty_thousand_keys_are_no_key_set(guard: Guard, published: Published) -> None:
    published.publish({"keys": [{}] * 50_000})
    assert judge(guard, published) is Code.KEYS_UNAVAILABLE
    assert "more than 100 keys" in str(guard.health().keys[0].last_error)


@pytest.mark.attack("JWKS-11", "JWKS-22")
def test_a_bad_key_does_not_spoil_the_others(guard: Guard, published: Published) -> None:
    good = published.issuer.jwks()["keys"]
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "HS256"}
    private = Signer.generate("ES256", "private").private_jwk()
    bad: list[Any] = [None, 1, {}, {"kty": "??"}, {**good[0], "x": "!"}, secret, private]
    published.publish({"keys": [*bad, *good]})
    assert judge(guard, published) is None
    assert guard.health().keys[0].keys == len(good)
    # What it signs with the keys that were left out is not accepted.
    forged = FakeIssuer(published.issuer.trusted.issuer, audience="test-api")
    assert judge(guard, published, forged.token(header={"kid": "private"})) is not None


DOCUMENTS = {
    "a list": b"[]",
    "keys an object": b'{"keys": {}}',
    "keys null": b'{"keys": null}',
    "no keys": b"{}",
    "a page": b"<!DOCTYPE html><html>Sign in</html>",
    "nothing": b"",
    "keys twice": b'{"keys": [], "keys": []}',
    "a mark in front": b'\xef\xbb\xbf{"keys": []}',
    "more behind": b'{"keys": []} {}',
    "not UTF-8": b'{"keys": ["\xff"]}',
    "deep": b'{"keys": ' + b"[" * 100 + b"]" * 100 + b"}",
}


@pytest.mark.attack("JWKS-12", "JWKS-18")
@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_that_is_no_key_set_changes_nothing(
    guard: Guard, published: Published, document: bytes
) -> None:
    assert judge(guard, published) is None
    published.publish(document)
    assert judge(guard, published, published.token("unheard-of")) is Code.KEYS_UNAVAILABLE
    assert published.fetches() == 2
    assert judge(guard, published) is None  # by the last good keys
    assert guard.health().keys[0].last_error is not None


@pytest.mark.attack("JWKS-12", "JWKS-18")
@pytest.mark.parametrize("answer", [whole(status=204), whole(status=500), hang_up])
def test_an_answer_that_is_none_changes_nothing(
    guard: Guard, published: Published, answer: Any
) -> None:
    assert judge(guard, published) is None
    published.publish(answer=answer)
    assert judge(guard, published, published.token("unheard-of")) is Code.KEYS_UNAVAILABLE
    assert judge(guard, published) is None


@pytest.mark.attack("JWKS-13")
def test_an_empty_set_admits_nobody_and_does_not_drive_out_the_last_good_keys(
    guard: Guard, published: Published
) -> None:
    published.publish({"keys": []})
    assert judge(guard, published) is Code.KEYS_UNAVAILABLE
    published.publish()
    # The next attempt is a second away, and tells so.
    decision = guard.check_blocking(published.issuer.request(published.token()))
    assert decision.response is not None
    assert dict(decision.response.headers)["Retry-After"] == "1"


@pytest.mark.attack("JWKS-14", "CACHE-01")
def test_a_removed_key_stops_verifying_and_takes_its_tokens_with_it(
    guard: Guard, published: Published
) -> None:
    remembered, fresh = published.token(), published.token()
    assert judge(guard, published, remembered) is None
    published.publish({"keys": published.issuer.jwks()["keys"][1:]})
    # A question for another key renews the whole set.
    assert judge(guard, published, published.token("unheard-of")) is Code.KEY_UNKNOWN
    refusals = {judge(guard, published, token) for token in (remembered, fresh)}
    assert refusals <= {Code.KEY_UNKNOWN, Code.KEYS_UNAVAILABLE}


@pytest.mark.attack("JWKS-15", "HDR-08")
def test_a_flood_of_unknown_kids_is_one_question(guard: Guard, published: Published) -> None:
    assert judge(guard, published) is None
    first = judge(guard, published, published.token("invented-0"))
    others = {judge(guard, published, published.token(f"invented-{n}")) for n in range(1, 200)}
    assert (first, others) == (Code.KEY_UNKNOWN, {Code.KEYS_UNAVAILABLE})
    assert published.fetches() == 2
    decision = guard.check_blocking(published.issuer.request(published.token("invented-0")))
    assert code_of(decision) is Code.KEYS_UNAVAILABLE  # never a remembered 401
    assert decision.response is not None
    assert 0 < int(dict(decision.response.headers)["Retry-After"]) <= 30
    assert judge(guard, published) is None  # and the honest are served all the while


@pytest.mark.attack("JWKS-16", "JWKS-17", "KEY-21")
def test_one_issuers_key_never_verifies_anothers_token(
    names: Names, ca_file: Path, published: Published
) -> None:
    with Published("other.test", names) as other:
        # The other one publishes a key under the first one's kid, and signs in its name.
        kid = published.issuer.signer.kid
        guard = guard_of(names, ca_file, published.table(), other.table())
        assert judge(guard, published) is None
        assert judge(guard, other) is None
        forged = other.token(kid, iss=published.issuer.trusted.issuer)
        assert judge(guard, published, forged) is Code.SIGNATURE_INVALID


@pytest.mark.attack("JWKS-19")
@pytest.mark.parametrize("said", ["max-age=0", "no-store", "max-age=-1", f"max-age={10**12}", "x"])
def test_cache_headers_have_a_say_within_bounds(
    guard: Guard, published: Published, said: str
) -> None:
    published.publish(headers=(("Cache-Control", said),))
    assert judge(guard, published) is None
    wait = guard.health().keys[0].next_refresh
    assert wait is not None
    assert 0.7 * 60 < wait <= 3600
    assert judge(guard, published) is None
    assert published.fetches() == 1


@pytest.mark.attack("JWKS-20")
@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://other.test"},
        {"issuer": "https://issuer.test/"},
        {"issuer": None},
        {"jwks_uri": "https://evil.test/keys"},
        {"jwks_uri": "https://issuer.test:8443/keys"},
        {"jwks_uri": "http://issuer.test/keys"},
        {"jwks_uri": "https://issuer.test@evil.test/keys"},
        {"jwks_uri": None},
    ],
)
def test_metadata_that_is_not_the_issuers_own_is_not_followed(
    names: Names, guard: Guard, published: Published, change: dict[str, Any]
) -> None:
    published.metadata |= change
    published.publish()
    assert judge(guard, published) is Code.KEYS_UNAVAILABLE
    assert published.fetches() == 0
    assert set(names.asked) == {"issuer.test"}


@pytest.mark.twin("JWKS-20")
def test_keys_on_another_host_are_fetched_where_the_policy_names_it(
    names: Names, ca_file: Path, published: Published
) -> None:
    with Published("keys.test", names) as elsewhere:
        elsewhere.publish(published.issuer.jwks())
        published.metadata["jwks_uri"] = "https://keys.test/keys"
        published.publish()
        guard = guard_of(names, ca_file, published.table(jwks_hosts=["keys.test"]))
        assert judge(guard, published) is None
        assert (published.fetches(), elsewhere.fetches()) == (0, 1)


@pytest.mark.attack("JWKS-21", "ALG-04")
def test_metadata_never_widens_the_policy(guard: Guard, published: Published) -> None:
    stranger = Signer.generate("Ed25519", "stranger")
    published.metadata |= {
        "id_token_signing_alg_values_supported": ["none", "HS256", "Ed25519"],
        "token_endpoint_auth_signing_alg_values_supported": ["none"],
    }
    published.publish({"keys": [*published.issuer.jwks()["keys"], stranger.public_jwk()]})
    assert judge(guard, published) is None
    header = {"alg": "Ed25519", "kid": "stranger", "typ": "at+jwt"}
    payload = json.loads(encoded_claims(published.token()))
    assert judge(guard, published, sign_compact(header, payload, stranger)) is (
        Code.ALGORITHM_REFUSED
    )
    forged = published.issuer.builder().header(alg="none").signature(b"x").build()
    assert judge(guard, published, forged) is Code.ALGORITHM_NONE


@pytest.mark.attack("JWKS-21")
def test_a_key_endpoint_that_is_swapped_in_the_metadata_is_not_followed(
    names: Names, guard: Guard, published: Published
) -> None:
    assert judge(guard, published) is None
    published.metadata["jwks_uri"] = "https://evil.test/keys"
    # The endpoint fails, so the metadata is asked again, and then names a stranger's.
    published.publish(answer=whole(status=500))
    assert judge(guard, published, published.token("unheard-of")) is Code.KEYS_UNAVAILABLE
    published.server.wait_for(4)  # the next attempt, a second later
    assert published.server.requests[3].target == "/.well-known/openid-configuration"
    assert judge(guard, published) is None  # by the last good keys
    assert "evil.test" not in names.asked


@pytest.mark.attack("JWKS-23")
def test_a_key_that_signs_before_any_renewal_is_admitted_at_once(
    guard: Guard, published: Published
) -> None:
    assert judge(guard, published) is None
    new = Signer.generate("ES256", "new")
    published.publish({"keys": [*published.issuer.jwks()["keys"], new.public_jwk()]})
    header = {"alg": "ES256", "kid": "new", "typ": "at+jwt"}
    claims = json.loads(encoded_claims(published.token()))
    assert judge(guard, published, sign_compact(header, claims, new)) is None
    assert judge(guard, published) is None  # and the old one as long as it is published


@pytest.mark.attack("JWKS-25")
def test_a_thousand_first_requests_are_one_fetch(guard: Guard, published: Published) -> None:
    gate = Gate(whole(json.dumps(published.issuer.jwks()).encode()))
    published.publish(answer=gate)

    async def flood() -> list[Code | None]:
        async with guard:
            requests = [published.issuer.request(published.token()) for _ in range(1000)]
            waiting = [asyncio.ensure_future(guard.check(one)) for one in requests]
            await asyncio.to_thread(published.server.wait_for, 2)
            gate.open()
            return [code_of(decision) for decision in await asyncio.gather(*waiting)]

    assert asyncio.run(flood()) == [None] * 1000
    assert published.fetches() == 1


@pytest.mark.attack("JWKS-26")
def test_a_kid_whose_key_changes_is_replaced_and_forgets_what_the_old_one_verified(
    guard: Guard, published: Published
) -> None:
    remembered = published.token()
    assert judge(guard, published, remembered) is None
    kid = published.issuer.signer.kid
    replaced = Signer.generate("ES256", kid)
    published.publish({"keys": [replaced.public_jwk()]})
    assert judge(guard, published, published.token("unheard-of")) is Code.KEY_UNKNOWN
    assert judge(guard, published, remembered) is Code.SIGNATURE_INVALID


def encoded_claims(token: str) -> bytes:
    """The payload of a token of ours."""
    return decode_base64url(token.split(".")[1])
