"""The private half: every algorithm signs what its own row verifies, and nothing shows the key."""

import json
from typing import Any, Final

import pytest

from portvakt import ConfigurationError, JwkSet
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.encoding import decode_base64url, decode_object, encode_base64url
from portvakt.jose.jwk import SECRET_MEMBERS, import_jwk
from portvakt.jose.jws import parse, verify
from portvakt.jose.signer import Signer, public_members, sign_compact

SIGNERS: Final = {alg: Signer.generate(alg) for alg in ALGORITHMS}

#: RFC 8037 appendix A.1, the private key of RFC 8032 section 7.1.
RFC_8037: Final = {
    "kty": "OKP",
    "crv": "Ed25519",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}

#: RFC 7515 appendix A.3.1.
RFC_7515_A3: Final = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
}


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_what_a_signer_signs_its_published_key_verifies(alg: str) -> None:
    signer = SIGNERS[alg]
    token = sign_compact({"alg": alg, "kid": "key-1"}, {"iss": "x"}, signer)
    keys = JwkSet.from_object({"keys": [signer.public_jwk()]}, [alg])
    assert not keys.ignored
    verified = verify(parse(token, {}), keys.select(alg, "key-1"))
    assert verified.payload == b'{"iss":"x"}'


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_published_key_is_named_bound_to_its_algorithm_and_holds_no_secret(alg: str) -> None:
    published = SIGNERS[alg].public_jwk()
    assert (published["kid"], published["alg"], published["use"]) == ("key-1", alg, "sig")
    assert SECRET_MEMBERS.isdisjoint(published)
    assert import_jwk(published, frozenset({alg})).kid == "key-1"


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_private_jwk_comes_back_as_the_same_key(alg: str) -> None:
    signer = SIGNERS[alg]
    restored = Signer.from_jwk(json.loads(json.dumps(signer.private_jwk())))
    assert restored.private_jwk() == signer.private_jwk()
    assert (restored.alg, restored.kid) == (alg, "key-1")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_neither_repr_shows_key_material(alg: str) -> None:
    signer = SIGNERS[alg]
    shown = repr(signer) + repr(signer.__rich_repr__())
    assert "key-1" in shown
    assert alg in shown
    material = {*signer.private_jwk().values()} - {alg, "key-1", "sig", "AQAB", "EC", "OKP", "RSA"}
    assert not any(str(value) in shown for value in material if len(str(value)) > 10)


def test_every_algorithm_has_keys_of_its_own_each_time() -> None:
    first, second = Signer.generate("ES256"), Signer.generate("ES256")
    assert first.public_jwk()["x"] != second.public_jwk()["x"]


def test_a_key_without_a_name_is_published_without_one() -> None:
    assert "kid" not in Signer.generate("EdDSA", None).public_jwk()


def test_an_rsa_key_has_the_length_asked_for() -> None:
    modulus = decode_base64url(Signer.generate("RS256", bits=1024).public_jwk()["n"])
    assert len(modulus) == 128


def test_members_have_the_length_that_the_rfc_demands_leading_zeros_included() -> None:
    # RFC 7518 sections 6.2.1.2 and 6.2.2.1: as long as the curve's order, for every key.
    signers = [Signer.generate("ES512") for _ in range(20)]
    for signer in signers:
        key = signer.private_jwk()
        assert {len(decode_base64url(key[name])) for name in ("x", "y", "d")} == {66}


def test_an_ml_dsa_key_is_written_as_rfc_9964_does() -> None:
    key = SIGNERS["ML-DSA-65"].private_jwk()
    assert (key["kty"], key["alg"]) == ("AKP", "ML-DSA-65")
    assert len(decode_base64url(key["priv"])) == 32
    assert len(decode_base64url(key["pub"])) == 1952


def test_the_example_of_rfc_8037_signs_as_it_does_there() -> None:
    # RFC 8037 appendix A.4: Ed25519 signatures are deterministic, so the token is always this one.
    signer = Signer.from_jwk(RFC_8037)
    token = sign_compact({"alg": "EdDSA"}, b"Example of Ed25519 signing", signer)
    assert token == (
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )


def test_the_algorithm_of_a_key_that_does_not_say_it_follows_from_its_curve() -> None:
    assert Signer.from_jwk(RFC_7515_A3).alg == "ES256"
    assert Signer.from_jwk(RFC_8037).alg == "EdDSA"
    assert Signer.from_jwk(RFC_8037, alg="Ed25519").alg == "Ed25519"
    assert Signer.from_jwk(RFC_8037).kid is None


def test_an_rsa_key_must_say_its_algorithm() -> None:
    key = {name: value for name, value in SIGNERS["RS256"].private_jwk().items() if name != "alg"}
    with pytest.raises(ConfigurationError, match="say which one"):
        Signer.from_jwk(key)
    assert Signer.from_jwk(key, alg="PS384").alg == "PS384"


def test_the_header_is_written_as_given_even_if_it_lies() -> None:
    token = sign_compact({"alg": "none", "kid": "x"}, b"", SIGNERS["ES256"])
    assert decode_object(decode_base64url(token.split(".")[0])) == {"alg": "none", "kid": "x"}


def _without(jwk: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in jwk.items() if key != name}


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA", "ML-DSA-44"])
@pytest.mark.attack("KEY-11")
def test_a_key_whose_halves_differ_is_refused(alg: str) -> None:
    own, other = SIGNERS[alg].private_jwk(), Signer.generate(alg)
    with pytest.raises(ConfigurationError, match="halves differ"):
        Signer.from_jwk({**own, **public_members(other.public_key)})


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA", "ML-DSA-44"])
@pytest.mark.twin("KEY-11")
def test_a_key_whose_halves_belong_together_is_taken(alg: str) -> None:
    own = SIGNERS[alg]
    assert Signer.from_jwk({**own.private_jwk(), **public_members(own.public_key)}).alg == alg


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"kty": "oct", "k": "AAAA"},
        {"kty": ["EC"]},
        _without(SIGNERS["RS256"].private_jwk(), "qi"),
        _without(SIGNERS["ES256"].private_jwk(), "d"),
        _without(SIGNERS["ES256"].private_jwk(), "x"),
        {**SIGNERS["ES256"].private_jwk(), "crv": "P-192"},
        {**SIGNERS["ES256"].private_jwk(), "d": encode_base64url(bytes(32))},
        {**SIGNERS["ES256"].private_jwk(), "d": "?"},
        {**SIGNERS["ES256"].private_jwk(), "d": 1},
        {**SIGNERS["EdDSA"].private_jwk(), "d": "AAAA"},
        {**SIGNERS["ML-DSA-44"].private_jwk(), "priv": "AAAA"},
        {**SIGNERS["RS256"].private_jwk(), "p": "AAAA"},
        {**SIGNERS["ES256"].private_jwk(), "alg": "ES384"},
        {**SIGNERS["ES256"].private_jwk(), "alg": "HS256"},
        {**SIGNERS["EdDSA"].private_jwk(), "alg": "Ed448"},
    ],
)
def test_a_malformed_private_key_is_a_configuration_error_that_holds_no_part_of_it(
    broken: dict[str, Any],
) -> None:
    with pytest.raises(ConfigurationError) as error:
        Signer.from_jwk(broken)
    shown = f"{error.value!s}{error.value!r}"
    secrets = [broken[name] for name in SECRET_MEMBERS & broken.keys()]
    assert not any(str(secret) in shown for secret in secrets if len(str(secret)) > 8)


def test_an_unknown_algorithm_is_a_configuration_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="ES256"):
        Signer.generate("HS256")
