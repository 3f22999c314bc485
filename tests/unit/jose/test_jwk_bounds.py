"""Keys as they come: read from JSON, so that no name in them is the very object it is here."""

import json
from typing import Any

import pytest

from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.encoding import decode_base64url, encode_base64url
from portvakt.jose.jwk import Jwk, NotUsable, claimed_thumbprint, import_jwk, thumbprint
from portvakt.jose.signer import Signer

SIGNERS = {alg: Signer.generate(alg, "k") for alg in ALGORITHMS}
KEYS = {alg: signer.public_jwk() for alg, signer in SIGNERS.items()}
ALL = frozenset(ALGORITHMS)
P521 = 2**521 - 1


def read(jwk: dict[str, Any], **changes: Any) -> dict[str, Any]:
    members = {**jwk, **changes}
    found: dict[str, Any] = json.loads(
        json.dumps({name: value for name, value in members.items() if value is not ...})
    )
    return found


def taken(jwk: object, allowed: frozenset[str] = ALL) -> Jwk:
    return import_jwk(jwk, allowed)


def objection(jwk: object, allowed: frozenset[str] = ALL) -> NotUsable:
    with pytest.raises(NotUsable) as flaw:
        import_jwk(jwk, allowed)
    return flaw.value


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_key_that_was_read_is_taken(alg: str) -> None:
    assert taken(read(KEYS[alg])).algorithms == (alg,)
    assert taken(read(KEYS[alg], use="sig", key_ops=["verify"])).kid == "k"


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_key_is_for_no_algorithm_of_another_type_or_curve(alg: str) -> None:
    mine = ALGORITHMS[alg]
    for other, row in ALGORITHMS.items():
        if (row.kty, row.crv) != (mine.kty, mine.crv):
            objection(read(KEYS[alg], alg=other))


@pytest.mark.parametrize("alg", [alg for alg, row in ALGORITHMS.items() if row.kty != "RSA"])
@pytest.mark.parametrize("change", ["\0 before", "\0 after", "one less"])
def test_each_member_is_exactly_as_long_as_its_curve_says(alg: str, change: str) -> None:
    for name in {"x", "y", "pub"} & KEYS[alg].keys():
        octets = decode_base64url(KEYS[alg][name])
        match change:
            case "\0 before":
                octets = b"\0" + octets
            case "\0 after":
                octets += b"\0"
            case _:
                octets = octets[:-1]
        assert "octets, not" in str(objection(read(KEYS[alg], **{name: encode_base64url(octets)})))


@pytest.mark.parametrize("name", ["x", "y"])
def test_a_point_has_one_encoding(name: str) -> None:
    number = int.from_bytes(decode_base64url(KEYS["ES512"][name]), "big")
    twice = encode_base64url((number + P521).to_bytes(66, "big"))
    assert str(objection(read(KEYS["ES512"], **{name: twice}))) == "x or y is not below p"


def test_two_names_of_one_scheme_are_no_choice() -> None:
    both = frozenset({"EdDSA", "Ed25519", "ES256"})
    assert taken(read(KEYS["EdDSA"], alg=...), both).algorithms == ("EdDSA", "Ed25519")
    assert "a choice" in str(objection(read(KEYS["RS256"], alg=...), frozenset({"RS256", "PS256"})))


@pytest.mark.parametrize("kty", ["RSA", "EC", "OKP", "oct", "none"])
def test_what_is_secret_is_known_for_it(kty: str) -> None:
    assert objection(read({"kty": kty, "k": "AA"})).secret
    assert objection(read({"kty": kty})).secret is (kty == "oct")


@pytest.mark.parametrize("e", ["AAEAAQ", "AAM", "AA"])
def test_an_exponent_has_one_encoding(e: str) -> None:
    assert str(objection(read(KEYS["RS256"], e=e))) == "e has a leading zero octet"


@pytest.mark.parametrize("use", ["enc", "SIG", "sig ", "", "sif", "sih", 1, None, ["sig"]])
def test_a_key_for_something_else_is_not_used(use: object) -> None:
    assert str(objection(read(KEYS["ES256"], use=use))) == "use is not sig"


@pytest.mark.parametrize("alg", ["ES256 ", "es256", "", "none", "HS256", 1, None, ["ES256"], {}])
def test_an_algorithm_that_nobody_knows_is_none(alg: object) -> None:
    assert str(objection(read(KEYS["ES256"], alg=alg))).startswith("alg is not")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_thumbprint_that_a_key_claims_is_the_one_it_has(alg: str) -> None:
    assert claimed_thumbprint(read(KEYS[alg])) == thumbprint(KEYS[alg])
    assert claimed_thumbprint(read(KEYS[alg])) == taken(read(KEYS[alg])).thumbprint


@pytest.mark.parametrize("alg", ["RS256", "ES256", "Ed25519", "ML-DSA-44"])
def test_a_key_that_lacks_what_is_hashed_claims_none(alg: str) -> None:
    for name in KEYS[alg].keys() - {"kid", "use", "alg" if alg != "ML-DSA-44" else "kid"}:
        wrongs: list[Any] = [..., None, 1, ["x"], {}]
        for wrong in wrongs:
            assert claimed_thumbprint(read(KEYS[alg], **{name: wrong})) is None
    for unknown in ("oct", "rsa", "", "XYZ"):
        assert claimed_thumbprint(read(KEYS[alg], kty=unknown)) is None


@pytest.mark.parametrize("jwk", [None, 1, "EC", [], [("kty", "EC")], True])
def test_what_is_no_object_is_no_key(jwk: object) -> None:
    assert claimed_thumbprint(jwk) is None
    assert str(objection(jwk)) == "not a JSON object"
