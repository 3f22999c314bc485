"""The cookbook of RFC 7520, and the examples of RFC 7797, 8037 and 9449, through production code.

What is signed with a key pair and sent as one compact token is verified. What needs a shared
secret, decryption, a detached or unencoded payload or the JSON serialization is refused.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from portvakt.errors import ConfigurationError, Refused
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.jwe import Decryption
from portvakt.jose.jwk import SECRET_MEMBERS
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.jws import parse, verify
from portvakt.refusal import Code

FILES = Path(__file__).parents[3] / "shared" / "vectors"
COOKBOOK = FILES / "ietf-jose-cookbook"

pytestmark = pytest.mark.skipif(not COOKBOOK.is_dir(), reason="no cookbook in ../shared/vectors")

SIGNED = {
    "jws/4_1.rsa_v15_signature.json": "RS256",
    "jws/4_2.rsa-pss_signature.json": "PS384",
    "jws/4_3.ecdsa_signature.json": "ES512",
    "curve25519/jws.json": "EdDSA",
}
HMAC = ("jws/4_4.hmac-sha2_integrity_protection.json",)
DETACHED = "jws/4_5.signature_with_detached_content.json"
UNENCODED = ("rfc7797/hmac-sha2_b64_false.json",)
JSON_ONLY = (
    *SIGNED,
    *HMAC,
    DETACHED,
    "jws/4_6.protecting_specific_header_fields.json",
    "jws/4_7.protecting_content_only.json",
    "jws/4_8.multiple_signatures.json",
    "rfc7797/4.2.hmac-sha2_b64_false.json",
)
ENCRYPTED = sorted(path.name for path in (COOKBOOK / "jwe").glob("*.json"))


def load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((COOKBOOK / name).read_text("utf-8"))
    return document


def public(jwk: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in jwk.items() if name not in SECRET_MEMBERS}


def verdict(token: str, key: dict[str, Any], alg: str) -> bytes | Code:
    """Return the verified payload, or why there is none."""
    keys = JwkSet.from_object({"keys": [key]}, [alg] if alg != "HS256" else ["RS256"])
    try:
        jws = parse(token, {})
        return verify(jws, keys.select(jws.header.alg, jws.header.kid)).payload
    except Refused as refused:
        return refused.refusal.code


@pytest.mark.parametrize(("name", "alg"), SIGNED.items())
def test_signed_example_is_verified(name: str, alg: str) -> None:
    example = load(name)
    token, key = example["output"]["compact"], example["input"]["key"]
    assert verdict(token, public(key), alg) == example["input"]["payload"].encode()


@pytest.mark.parametrize(("name", "alg"), SIGNED.items())
def test_private_key_of_the_example_verifies_nothing(name: str, alg: str) -> None:
    example = load(name)
    assert verdict(example["output"]["compact"], example["input"]["key"], alg) is Code.KEY_UNKNOWN


@pytest.mark.parametrize("name", HMAC)
def test_hmac_example_is_refused(name: str) -> None:
    example = load(name)
    token, key = example["output"]["compact"], example["input"]["key"]
    assert verdict(token, key, "HS256") is Code.KEY_UNKNOWN


def test_detached_payload_is_refused() -> None:
    example = load(DETACHED)["output"]["json_flat"]
    token = f"{example['protected']}..{example['signature']}"
    assert verdict(token, load(DETACHED)["input"]["key"], "HS256") is Code.TOKEN_PARTS


@pytest.mark.parametrize("name", UNENCODED)
def test_unencoded_payload_is_refused(name: str) -> None:
    example = load(name)
    code = verdict(example["output"]["compact"], example["input"]["key"], "HS256")
    assert code in {Code.HEADER_CRITICAL, Code.TOKEN_ENCODING, Code.TOKEN_PARTS}


@pytest.mark.parametrize("name", JSON_ONLY)
def test_json_serialization_is_refused(name: str) -> None:
    example = load(name)
    keys = example["input"]["key"]
    key = keys[0] if isinstance(keys, list) else keys
    for form in {"json", "json_flat"} & example["output"].keys():
        code = verdict(json.dumps(example["output"][form]), public(key), "RS256")
        # The one with three signatures happens to hold four dots, in its kids.
        assert code in {Code.TOKEN_PARTS, Code.TOKEN_ENCODING, Code.TOKEN_ENCRYPTED}


@pytest.mark.parametrize("name", ENCRYPTED)
def test_encrypted_example_is_refused(name: str) -> None:
    output = load(f"jwe/{name}")["output"]
    for form, written in output.items():
        with pytest.raises(Refused) as caught:
            parse(written if form == "compact" else json.dumps(written), {})
        code = caught.value.refusal.code
        # As JSON, it is counted by whatever dots its names hold.
        assert code is Code.TOKEN_ENCRYPTED or (form != "compact" and code is Code.TOKEN_PARTS)


#: The encrypted examples that are decrypted, and the algorithm that their keys do not state.
DECRYPTED = {
    "5_4.key_agreement_with_key_wrapping_using_ecdh-es_and_aes-keywrap_with_aes-gcm.json",
    "5_5.key_agreement_using_ecdh-es_with_aes-cbc-hmac-sha2.json",
}


@pytest.mark.parametrize("name", ENCRYPTED)
def test_encrypted_example_is_decrypted_or_refused_by_policy(name: str) -> None:
    example = load(f"jwe/{name}")
    output, given = example["output"], example["input"]
    if name in DECRYPTED:
        decryption = Decryption([DecryptionKey.from_jwk(given["key"], alg=given["alg"])])
        assert decryption._octets(output["compact"]).decode() == given["plaintext"]
        # A dash in it is not ASCII, so it is no token.
        with pytest.raises(Refused) as caught:
            decryption.decrypt(output["compact"])
        assert caught.value.refusal.detail == "what was encrypted is not a compact token"
    decryption = Decryption([DecryptionKey.generate("ECDH-ES", "any")])
    for form, written in output.items():
        text = written if form == "compact" else json.dumps(written)
        with pytest.raises(Refused) as caught:
            decryption.decrypt(text)
        # RSA1_5, RSA-OAEP, PBES2, dir, AxxxKW, AxxxGCMKW and zip are refused whatever the key is.
        assert caught.value.refusal.code in {
            Code.ENCRYPTION_REFUSED,
            Code.TOKEN_PARTS,
            Code.TOKEN_ENCODING,
        }


def test_agreement_over_curve25519_is_refused() -> None:
    example = load("curve25519/ecdh-es.json")
    with pytest.raises(ConfigurationError):
        DecryptionKey.from_jwk(example["input"]["key"], alg="ECDH-ES")
    with pytest.raises(Refused) as caught:
        Decryption([DecryptionKey.generate("ECDH-ES", "Bob")]).decrypt(example["output"]["compact"])
    assert caught.value.refusal.code is Code.ENCRYPTION_REFUSED


def test_nested_example_is_encrypted_with_an_algorithm_that_is_refused() -> None:
    sent = load("6.nesting_signatures_and_encryption.json")["encrypt"]
    with pytest.raises(ConfigurationError, match="RSA-OAEP is not for keys that decrypt"):
        DecryptionKey.from_jwk(sent["input"]["key"])
    with pytest.raises(Refused) as caught:
        Decryption([DecryptionKey.generate("ECDH-ES", "any")]).decrypt(sent["output"]["compact"])
    assert caught.value.refusal.code is Code.ENCRYPTION_REFUSED


def test_nested_example_is_refused_outside_and_verified_inside() -> None:
    example = load("6.nesting_signatures_and_encryption.json")
    with pytest.raises(Refused) as caught:
        parse(example["encrypt"]["output"]["compact"], {})
    assert caught.value.refusal.code is Code.TOKEN_ENCRYPTED
    signed, key = example["sign"]["output"]["compact"], example["sign"]["input"]["key"]
    payload = verdict(signed, public(key), "PS256")
    assert payload == example["sign"]["input"]["payload"].encode()


@pytest.mark.parametrize("name", ["jwk/3_1.ec_public_key.json", "jwk/3_3.rsa_public_key.json"])
def test_public_key_of_the_cookbook_is_imported(name: str) -> None:
    assert len(JwkSet.from_object({"keys": [load(name)]}, ["RS256", "ES512"]).keys) == 1


@pytest.mark.parametrize(
    "name",
    [
        "jwk/3_2.ec_private_key.json",
        "jwk/3_4.rsa_private_key.json",
        "jwk/3_5.symmetric_key_mac_computation.json",
        "jwk/3_6.symmetric_key_encryption.json",
    ],
)
def test_secret_key_of_the_cookbook_is_not(name: str) -> None:
    keys = JwkSet.from_object({"keys": [load(name)]}, ["RS256", "ES512"])
    assert not keys.keys
    assert keys.ignored[0].secret


def test_dpop_proofs_bring_their_own_key_and_are_refused_as_tokens() -> None:
    examples = FILES / "rfc9449-dpop" / "examples.json"
    if not examples.is_file():
        pytest.skip("no DPoP examples in ../shared/vectors")
    proofs = json.loads(examples.read_text("utf-8"))["proofs"]
    assert proofs
    for proof in proofs:
        with pytest.raises(Refused) as caught:
            parse(proof["jwt"], {})
        assert caught.value.refusal.code is Code.HEADER_FORBIDDEN
