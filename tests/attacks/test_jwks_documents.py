"""Family JWKS: what an issuer publishes, and what a whole guard believes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from key_server import hang_up, whole
from portvakt import Code
from portvakt.jose.signer import Signer
from publishing import Published, guard_of

if TYPE_CHECKING:
    from pathlib import Path

    from key_server import Behaviour, Names
    from portvakt import Guard

METADATA: Final = "/.well-known/openid-configuration"


@pytest.fixture
def guard(hosts: Names, ca_file: Path, published: Published) -> Guard:
    return guard_of(hosts, ca_file, published.table())


def error_of(guard: Guard) -> str:
    """Why the keys could not be had the last time."""
    return str(guard.health().keys[0].last_error)


def other_keys(number: int) -> list[dict[str, Any]]:
    """Good keys that sign nothing."""
    return [Signer.generate("ES256", f"other-{n}").public_jwk() for n in range(number)]


@pytest.mark.twin("JWKS-20", "JWKS-21")
def test_an_honest_issuer_is_found_by_its_name_alone(guard: Guard, published: Published) -> None:
    assert published.judged(guard) is None
    assert published.judged(guard) is None
    assert [request.target for request in published.server.requests] == [METADATA, "/keys"]


# JWKS-10, -11, -22: too many keys, bad keys, secret keys.


@pytest.mark.attack("JWKS-10")
@pytest.mark.parametrize(
    ("key", "number", "why"),
    [
        ({}, 50_000, "more than 100 keys"),
        (Signer.generate("ES256").public_jwk(), 50_000, "longer than"),
        (Signer.generate("ES256").public_jwk(), 99, "more than 100 keys"),
    ],
    ids=["empty", "real", "one too many"],
)
def test_too_many_keys_are_no_key_set(
    guard: Guard, published: Published, key: dict[str, Any], number: int, why: str
) -> None:
    published.publish({"keys": [*published.issuer.jwks()["keys"], *[key] * number]})
    assert published.judged(guard) is Code.KEYS_UNAVAILABLE
    assert why in error_of(guard)


@pytest.mark.twin("JWKS-10")
def test_as_many_keys_as_there_may_be_are_all_used(guard: Guard, published: Published) -> None:
    published.publish({"keys": [*other_keys(98), *published.issuer.jwks()["keys"]]})
    assert published.judged(guard) is None
    assert guard.health().keys[0].keys == 100


@pytest.mark.attack("JWKS-11")
@pytest.mark.twin("JWKS-11")
def test_a_bad_key_is_not_used_and_does_not_spoil_the_others(
    guard: Guard, published: Published
) -> None:
    good = published.issuer.jwks()["keys"]
    weak = Signer.generate("ES256", "off-the-curve")
    off = {**weak.public_jwk(), "y": good[0]["y"]}
    bad: list[Any] = [None, 1, "key", [], {}, {"kty": "??"}]
    bad += [{**good[0], "x": "!"}, {**good[0], "kid": 1}, off]
    published.publish({"keys": [*bad, *good]})
    assert published.judged(guard) is None
    assert guard.health().keys[0].keys == len(good)
    assert published.judged(guard, published.token(signer=weak)) is Code.KEY_UNKNOWN


@pytest.mark.attack("JWKS-22")
def test_a_key_that_was_published_with_its_secret_verifies_nothing(
    guard: Guard, published: Published
) -> None:
    leaked = Signer.generate("ES256", "leaked")
    shared = {"kty": "oct", "k": "c2VjcmV0" * 6, "kid": "shared", "alg": "HS256"}
    published.publish({"keys": [leaked.private_jwk(), shared, *published.issuer.jwks()["keys"]]})
    # Whoever reads the set can sign with it, so that its signature says nothing.
    assert published.judged(guard, published.token(signer=leaked)) is Code.KEY_UNKNOWN
    header = {"alg": "HS256", "kid": "shared", "typ": "at+jwt"}
    forged = published.issuer.builder().header(**header).signature(bytes(32)).build()
    assert published.judged(guard, forged) is Code.ALGORITHM_REFUSED
    assert published.judged(guard) is None


@pytest.mark.twin("JWKS-22")
def test_the_same_key_without_its_secret_verifies(guard: Guard, published: Published) -> None:
    signer = Signer.generate("ES256", "leaked")
    published.publish({"keys": [signer.public_jwk()]})
    assert published.judged(guard, published.token(signer=signer)) is None


# JWKS-12, -13: documents that are none.

DOCUMENTS: Final = {
    "a list": b"[]",
    "keys an object": b'{"keys": {}}',
    "keys null": b'{"keys": null}',
    "keys a string": b'{"keys": "none"}',
    "no keys": b"{}",
    "a page": b"<!DOCTYPE html><html>Sign in</html>",
    "nothing": b"",
    "keys twice": b'{"keys": [], "keys": []}',
    "a mark in front": b'\xef\xbb\xbf{"keys": []}',
    "more behind": b'{"keys": []} {}',
    "not UTF-8": b'{"keys": ["\xff"]}',
    "deep": b'{"keys": ' + b"[" * 100 + b"]" * 100 + b"}",
    "empty": b'{"keys": []}',
}
ANSWERS: Final[dict[str, Behaviour]] = {
    **{name: whole(document) for name, document in DOCUMENTS.items()},
    "a page, 200": whole(b"<html>", headers=(("Content-Type", "text/html"),)),
    "204": whole(status=204),
    "404": whole(b'{"keys": []}', status=404),
    "500": whole(status=500),
    "no answer": hang_up,
}


@pytest.mark.attack("JWKS-12", "JWKS-13", "JWKS-18")
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_what_is_no_key_set_is_a_failure_and_the_last_good_keys_serve_on(
    guard: Guard, published: Published, answer: Behaviour
) -> None:
    assert published.judged(guard) is None
    published.publish(answer=answer)
    # Not 401: nobody knows whether there is such a key.
    unheard_of = published.token("unheard-of")
    assert published.judged(guard, unheard_of) is Code.KEYS_UNAVAILABLE
    assert published.fetches() == 2
    assert published.judged(guard) is None
    assert guard.health().keys[0].keys == 2
    assert guard.health().keys[0].last_error is not None


@pytest.mark.attack("JWKS-12", "JWKS-13")
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_what_is_no_key_set_admits_nobody_where_there_was_none_before(
    guard: Guard, published: Published, answer: Behaviour
) -> None:
    published.publish(answer=answer)
    decision = guard.check_blocking(published.issuer.request(published.token()))
    assert decision.refusal is not None
    assert decision.refusal.code is Code.KEYS_UNAVAILABLE
    assert decision.response is not None
    assert int(dict(decision.response.headers)["Retry-After"]) >= 1
    assert not guard.health().ready


@pytest.mark.twin("JWKS-12")
def test_a_key_set_may_be_written_in_any_way_that_is_json(
    guard: Guard, published: Published
) -> None:
    document = {"issued": 1, "keys": published.issuer.jwks()["keys"], "next": {"keys": []}}
    text = json.dumps(document, indent=4).replace("key-1", "\\u006bey-1").encode()
    published.publish(answer=whole(text, headers=(("Content-Type", "text/plain"),)))
    assert published.judged(guard) is None


@pytest.mark.twin("JWKS-13")
def test_a_set_with_one_key_left_takes_the_place_of_one_with_two(
    guard: Guard, published: Published
) -> None:
    assert published.judged(guard) is None
    published.publish({"keys": published.issuer.jwks()["keys"][:1]})
    assert published.judged(guard, published.token("unheard-of")) is Code.KEY_UNKNOWN
    assert guard.health().keys[0].keys == 1
    assert published.judged(guard) is None


# JWKS-19: how long a set says that it is good.

FLOOR, DEFAULT, CEILING = 60.0, 600.0, 3600.0


@pytest.mark.attack("JWKS-19")
@pytest.mark.parametrize(
    ("said", "lifetime"),
    [
        ("max-age=0", FLOOR),
        ("max-age=1", FLOOR),
        ("no-store", FLOOR),
        ("no-cache, max-age=3000", FLOOR),
        ("max-age=-1", FLOOR),
        ("max-age=1e9", FLOOR),
        ("max-age=60, max-age=1000000", FLOOR),
        (f"max-age={10**12}", CEILING),
        (f"max-age={'9' * 400}", CEILING),
        ("x", DEFAULT),
        ("", DEFAULT),
    ],
)
def test_a_lifetime_out_of_bounds_is_brought_within_them(
    guard: Guard, published: Published, said: str, lifetime: float
) -> None:
    published.publish(headers=(("Cache-Control", said),))
    assert published.judged(guard) is None
    assert published.judged(guard) is None
    assert published.fetches() == 1
    renewed_in(guard, lifetime)


@pytest.mark.twin("JWKS-19")
def test_a_lifetime_within_bounds_is_kept(guard: Guard, published: Published) -> None:
    published.publish(headers=(("Cache-Control", "public, max-age=1800"), ("Age", "600")))
    assert published.judged(guard) is None
    renewed_in(guard, 1200.0)


def renewed_in(guard: Guard, lifetime: float) -> None:
    """The next refresh is ahead of the expiry, by a tenth to a quarter."""
    wait = guard.health().keys[0].next_refresh
    assert wait is not None
    assert 0.75 * lifetime - 5 < wait <= 0.9 * lifetime


# JWKS-20, -21: metadata.


@pytest.mark.attack("JWKS-20")
@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://other.test"},
        {"issuer": "https://issuer.test/"},
        {"issuer": "https://ISSUER.test"},
        {"issuer": ["https://issuer.test"]},
        {"issuer": None},
        {"jwks_uri": "https://evil.test/keys"},
        {"jwks_uri": "https://issuer.test:8443/keys"},
        {"jwks_uri": "https://issuer.test.evil.test/keys"},
        {"jwks_uri": "http://issuer.test/keys"},
        {"jwks_uri": "https://issuer.test@evil.test/keys"},
        {"jwks_uri": "https://169.254.169.254/latest/meta-data/"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "/keys"},
        {"jwks_uri": None},
    ],
    ids=str,
)
def test_metadata_that_is_not_the_issuers_own_is_not_followed(
    hosts: Names, guard: Guard, published: Published, change: dict[str, Any]
) -> None:
    published.metadata |= change
    published.publish()
    assert published.judged(guard) is Code.KEYS_UNAVAILABLE
    assert published.fetches() == 0
    assert set(hosts.asked) == {"issuer.test"}


@pytest.mark.attack("JWKS-21")
def test_metadata_never_widens_the_policy(guard: Guard, published: Published) -> None:
    stranger = Signer.generate("Ed25519", "stranger")
    advertised = ["none", "HS256", "Ed25519", "ES256"]
    published.metadata |= {
        "id_token_signing_alg_values_supported": advertised,
        "access_token_signing_alg_values_supported": advertised,
        "token_endpoint_auth_signing_alg_values_supported": advertised,
        "jwks": {"keys": [stranger.public_jwk()]},
        "audience": ["everything"],
    }
    published.publish({"keys": [*published.issuer.jwks()["keys"], stranger.public_jwk()]})
    assert published.judged(guard) is None
    signed = published.token(signer=stranger)
    assert published.judged(guard, signed) is Code.ALGORITHM_REFUSED
    for alg, code in (("none", Code.ALGORITHM_NONE), ("HS256", Code.ALGORITHM_REFUSED)):
        forged = published.issuer.builder().header(alg=alg).signature(b"x").build()
        assert published.judged(guard, forged) is code
    assert published.judged(guard, published.token(aud="everything")) is Code.AUDIENCE_WRONG


@pytest.mark.attack("JWKS-21")
def test_a_key_endpoint_that_is_swapped_in_the_metadata_is_not_followed(
    hosts: Names, guard: Guard, published: Published
) -> None:
    assert published.judged(guard) is None
    published.metadata["jwks_uri"] = "https://evil.test/keys"
    # The endpoint fails, so the metadata is asked again, and then names a stranger's.
    published.publish(answer=whole(status=500))
    assert published.judged(guard, published.token("unheard-of")) is Code.KEYS_UNAVAILABLE
    published.server.wait_for(4)  # the next attempt, a second later
    assert published.server.requests[3].target == METADATA
    assert published.judged(guard) is None  # by the last good keys
    assert "evil.test" not in hosts.asked


@pytest.mark.twin("JWKS-20", "JWKS-21")
def test_keys_on_another_host_are_fetched_where_the_policy_names_it(
    hosts: Names, ca_file: Path, published: Published
) -> None:
    with Published("keys.test", hosts) as elsewhere:
        elsewhere.publish(published.issuer.jwks())
        published.metadata["jwks_uri"] = "https://keys.test/keys"
        published.publish()
        guard = guard_of(hosts, ca_file, published.table(jwks_hosts=["keys.test"]))
        assert published.judged(guard) is None
        assert (published.fetches(), elsewhere.fetches()) == (0, 1)
