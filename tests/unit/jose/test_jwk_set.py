"""A set of keys: what it would find, whether it is still the same, and what it leaves out."""

import itertools
import json
from typing import Any

import pytest

from portvakt import Code, JwkSet, Refused
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.jwk import thumbprint
from portvakt.jose.signer import Signer

ES = Signer.generate("ES256", "es").public_jwk()
OTHER = Signer.generate("ES256", "other").public_jwk()
RS = Signer.generate("RS256", "rs").public_jwk()
ED = Signer.generate("Ed25519", "ed").public_jwk()


def nameless(jwk: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in jwk.items() if name != "kid"}


def read(*keys: object, pinned: tuple[str, ...] = ()) -> JwkSet:
    return JwkSet.from_json(json.dumps({"keys": keys}).encode(), ALGORITHMS, pinned)


SETS = [
    read(*some)
    for count in range(4)
    for some in itertools.combinations(
        [ES, OTHER, RS, nameless(ES), nameless(RS), OTHER | {"kid": "es"}], count
    )
]


@pytest.mark.parametrize("kid", ["es", "other", "rs", "unknown", "", None])
@pytest.mark.parametrize("alg", ["ES256", "RS256", "Ed25519"])
def test_a_set_has_what_it_would_find(alg: str, kid: str | None) -> None:
    found = set()
    for keys in SETS:
        try:
            keys.select(alg, kid)
            outcome = None
        except Refused as refused:
            outcome = refused.refusal.code
        assert keys.has(alg, kid) is (outcome is not Code.KEY_UNKNOWN)
        found.add(outcome)
    assert Code.KEY_UNKNOWN in found


def test_a_set_is_the_same_as_one_with_the_same_keys_under_the_same_names() -> None:
    keys = read(ES, RS, None)
    assert keys.same_as(keys)
    assert keys.same_as(read(ES, RS, None))
    for other in (
        read(ES, RS),
        read(ES, RS, 1, 2),
        read(ES, None, RS),
        read(ES, None),
        read(OTHER, RS, None),
        read(ES | {"kid": "new"}, RS, None),
        read(nameless(ES), RS, None),
        read(ES, RS | {"alg": "PS256"}, None),
        read(),
    ):
        assert not keys.same_as(other)
        assert not other.same_as(keys)
    # Two of them are one only if they are one object: what was verified with the other is not.
    assert keys != read(ES, RS, None)


@pytest.mark.parametrize("pinned", [(ES,), (ES, RS), (RS, ED)])
def test_where_keys_are_pinned_only_those_are_used(pinned: tuple[dict[str, Any], ...]) -> None:
    keys = read(ES, RS, OTHER, pinned=tuple(thumbprint(key) for key in pinned))
    used = {key["kid"] for key in pinned} - {"ed"}
    assert {key.kid for key in keys.keys} == used
    assert {one.kid for one in keys.ignored} == {"es", "rs", "other"} - used
    assert all("pinned" in one.reason for one in keys.ignored)
    assert len(read(ES, RS, OTHER).keys) == 3


def test_what_is_left_out_is_named() -> None:
    secret = Signer.generate("ES256", "secret").private_jwk()
    keys = read(ES, 1, {"kid": 7, "kty": "EC"}, {"kid": "weak", "kty": "RSA"}, secret, RS)
    assert [key.kid for key in keys.keys] == ["es", "rs"]
    assert [(one.position, one.kid, one.secret) for one in keys.ignored] == [
        (1, None, False),
        (2, None, False),
        (3, "weak", False),
        (4, "secret", True),
    ]


def test_a_set_shows_names_and_for_what_has_none_its_thumbprint() -> None:
    keys = read(ES, nameless(RS))
    assert repr(keys) == f"JwkSet(es, {thumbprint(RS)})"
    assert keys.__rich_repr__() == [("keys", ["es", thumbprint(RS)])]
