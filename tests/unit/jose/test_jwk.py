"""Key import: what is fit is bound to one scheme, the rest is named, exactly one is selected."""

import json
from typing import Any

import pytest

from portvakt import Code, JwkSet, Refused
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.jwk import NotUsable, import_jwk, thumbprint
from portvakt.jose.jwk_set import MAX_KEYS, MAX_SET, MalformedKeySet
from portvakt.jose.signer import Signer

ALL = frozenset(ALGORITHMS)
EC = Signer.generate("ES256", "ec").public_jwk()
RSA = Signer.generate("RS256", "rsa").public_jwk()
ED = Signer.generate("Ed25519", "ed").public_jwk()
ED448 = Signer.generate("Ed448", "ed448").public_jwk()
ML = Signer.generate("ML-DSA-44", "ml").public_jwk()


def without(jwk: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in jwk.items() if name not in names}


def test_rfc_7638_example() -> None:
    example = {
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSo"
        "c_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0"
        "_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI"
        "4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    }
    assert thumbprint(example) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert import_jwk(example, ALL).strength == "RSA 2048"


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_every_algorithm_has_keys_that_are_bound_to_it(alg: str) -> None:
    key = import_jwk(Signer.generate(alg, "k").public_jwk(), frozenset({alg}))
    assert key.algorithms == (alg,)
    assert key.kid == "k"
    assert key.signature_length == ALGORITHMS[alg].signature_length or alg[1] == "S"


def test_a_key_without_alg_is_bound_by_the_policy() -> None:
    assert import_jwk(without(RSA, "alg"), frozenset({"PS256", "ES256"})).algorithms == ("PS256",)
    assert import_jwk(without(EC, "alg"), ALL).algorithms == ("ES256",)
    both = import_jwk(without(ED, "alg"), ALL).algorithms
    assert both == ("EdDSA", "Ed25519")
    with pytest.raises(NotUsable, match="leaves a choice: RS256, PS256"):
        import_jwk(without(RSA, "alg"), frozenset({"RS256", "PS256"}))
    with pytest.raises(NotUsable, match="allows no algorithm for this key"):
        import_jwk(without(RSA, "alg"), frozenset({"ES256"}))


@pytest.mark.parametrize(
    ("jwk", "reason"),
    [
        (None, "not a JSON object"),
        ([], "not a JSON object"),
        (EC | {"d": "AA"}, "private or symmetric"),
        ({"kty": "oct", "k": "AA"}, "private or symmetric"),
        ({"kty": "oct"}, "private or symmetric"),
        (ML | {"priv": "AA"}, "private or symmetric"),
        (EC | {"kid": 1}, "kid is not a string"),
        (EC | {"kid": ""}, "kid is not a string"),
        (EC | {"kid": None}, "kid is not a string"),
        (EC | {"use": "enc"}, "use is not sig"),
        (EC | {"use": None}, "use is not sig"),
        (EC | {"key_ops": "verify"}, "not an array of strings"),
        (EC | {"key_ops": ["verify", 1]}, "not an array of strings"),
        (EC | {"key_ops": ["verify", "verify"]}, "repeats"),
        (EC | {"key_ops": ["encrypt"]}, "does not include verify"),
        (EC | {"key_ops": []}, "does not include verify"),
        (without(EC, "kty"), "kty is missing"),
        (EC | {"kty": 5}, "kty is missing or not a string"),
        (EC | {"kty": "ec"}, "kty is not one of"),
        (EC | {"alg": "none"}, "not a signature algorithm"),
        (EC | {"alg": "HS256"}, "not a signature algorithm"),
        (EC | {"alg": 1}, "not a signature algorithm"),
        (EC | {"alg": "ES384"}, "cannot be used with ES384"),
        (EC | {"alg": "RS256"}, "cannot be used with RS256"),
        (EC | {"crv": "p-256"}, "crv is not one of"),
        (EC | {"crv": "P-384"}, "x has 32 octets, not 48"),
        (without(EC, "y"), "y is missing"),
        (EC | {"y": EC["x"]}, "not on the curve"),
        (EC | {"x": "A" * 42 + "=="}, "x: base64url"),
        (EC | {"x": "\u00e5"}, "x: base64url"),
        (RSA | {"e": "AAEAAQ"}, "leading zero octet"),
        (RSA | {"e": "AQ"}, "exponent"),
        (RSA | {"n": "AQAB"}, "17 bits"),
        (ED | {"crv": "X25519"}, "crv is not Ed25519 or Ed448"),
        (ED | {"crv": "Ed448"}, "x has 32 octets, not 57"),
        (ED | {"x": "A" * 43}, "small order"),
        (ED448 | {"x": "A" * 76}, "small order"),
        (without(ML, "alg"), "alg is missing"),
        (ML | {"alg": "ML-DSA-45"}, "alg is not one of"),
        (ML | {"alg": "ML-DSA-65"}, "pub has 1312 octets, not 1952"),
    ],
)
def test_what_is_unfit_is_named(jwk: object, reason: str) -> None:
    with pytest.raises(NotUsable, match=reason):
        import_jwk(jwk, ALL)


def test_a_key_that_the_policy_does_not_allow_is_not_used() -> None:
    with pytest.raises(NotUsable, match="does not allow ES256"):
        import_jwk(EC, frozenset({"RS256"}))


def test_secrets_are_told_apart() -> None:
    imported = JwkSet.from_object({"keys": [EC | {"d": "AA"}, {"kty": "x"}, {"kid": 7}, 5]}, ALL)
    assert [key.secret for key in imported.ignored] == [True, False, False, False]
    assert [key.kid for key in imported.ignored] == ["ec", None, None, None]
    assert [key.position for key in imported.ignored] == [0, 1, 2, 3]
    assert imported.keys == ()


@pytest.mark.parametrize(
    "extra",
    [
        {"x5c": ["not a certificate"], "x5t": "x", "x5u": "https://evil.test"},
        {"key_ops": ["verify"]},
        {"use": "sig", "key_ops": ["verify"]},
        {"ext": True, "anything": {"else": 1}},
    ],
)
def test_members_that_nobody_needs_are_ignored(extra: dict[str, Any]) -> None:
    assert import_jwk(EC | extra, ALL).kid == "ec"


def test_a_leading_zero_in_the_modulus_is_tolerated() -> None:
    from portvakt.jose.encoding import decode_base64url, encode_base64url

    padded = encode_base64url(b"\0" + decode_base64url(RSA["n"]))
    key = import_jwk(RSA | {"n": padded}, ALL)
    assert key.signature_length == 256
    assert key.strength == "RSA 2048"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[]", "strict JSON"),
        (b"{}", "no array named keys"),
        (b'{"keys":{}}', "no array named keys"),
        (b'{"keys":null}', "no array named keys"),
        (b'{"keys":[],"keys":[]}', "repeated"),
        (b"<html>", "strict JSON"),
        (json.dumps({"keys": [{}] * (MAX_KEYS + 1)}).encode(), f"more than {MAX_KEYS} keys"),
        (b" " * (MAX_SET + 1), "longer than"),
    ],
)
def test_what_is_no_key_set_is_malformed(text: bytes, reason: str) -> None:
    with pytest.raises(MalformedKeySet, match=reason):
        JwkSet.from_json(text, ALL)


def test_good_keys_stay_beside_bad_ones() -> None:
    text = json.dumps({"keys": [None, RSA, {"kty": "?"}, EC]}, indent=1).encode()
    keys = JwkSet.from_json(text, ALL)
    assert [key.kid for key in keys.keys] == ["rsa", "ec"]
    assert repr(keys) == "JwkSet(rsa, ec)"
    assert EC["x"] not in str(keys.__rich_repr__())
    assert len(JwkSet.from_object({"keys": [{}] * MAX_KEYS}, ALL).ignored) == MAX_KEYS


def select(keys: list[dict[str, Any]], alg: str, kid: str | None) -> str | None:
    return JwkSet.from_object({"keys": keys}, ALL).select(alg, kid).kid


OTHER = Signer.generate("ES256", "other").public_jwk()


def test_the_one_key_of_a_name_is_selected() -> None:
    assert select([EC, OTHER, RSA], "ES256", "other") == "other"
    assert select([EC, RSA], "ES256", None) == "ec"
    assert select([without(EC, "kid")], "ES256", "any") is None
    assert select([EC, EC], "ES256", "ec") == "ec"  # listed twice, but one key
    assert select([EC, RSA | {"kid": "ec"}], "ES256", "ec") == "ec"  # one for each algorithm


@pytest.mark.parametrize(
    ("keys", "alg", "kid", "code"),
    [
        ([EC, OTHER], "ES256", None, Code.KEY_AMBIGUOUS),
        ([EC, OTHER | {"kid": "ec"}], "ES256", "ec", Code.KEY_AMBIGUOUS),
        ([EC, OTHER | {"kid": "ec"}, OTHER | {"kid": "ec", "use": "sig"}], "ES256", "ec",
         Code.KEY_AMBIGUOUS),
        ([EC], "ES256", "EC", Code.KEY_UNKNOWN),
        ([EC], "ES256", "ec ", Code.KEY_UNKNOWN),
        ([EC], "ES256", "ec\0", Code.KEY_UNKNOWN),
        ([EC], "RS256", "ec", Code.KEY_UNKNOWN),
        ([EC], "RS256", None, Code.KEY_UNKNOWN),
        ([], "ES256", None, Code.KEY_UNKNOWN),
        ([without(EC, "kid"), RSA], "ES256", "any", Code.KEY_UNKNOWN),
        ([without(EC, "kid")], "RS256", "any", Code.KEY_UNKNOWN),
    ],
)  # fmt: skip
def test_none_and_several_are_two_refusals(
    keys: list[dict[str, Any]], alg: str, kid: str | None, code: Code
) -> None:
    with pytest.raises(Refused) as refused:
        select(keys, alg, kid)
    assert refused.value.refusal.code is code
