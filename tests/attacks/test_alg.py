"""Family ALG: what decides which algorithm verifies a token. Never the token."""

import base64
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from judging import (
    AUDIENCE,
    ISSUER,
    NOW,
    flaws,
    guard_for,
    guard_with,
    honest,
    new_signer,
    parts,
    rsa_key,
    signer_for,
    trusted,
    uint,
    verdict,
)
from portvakt.errors import ConfigurationError
from portvakt.jose.encoding import encode_base64url
from portvakt.jose.signer import Signer
from portvakt.refusal import Code
from portvakt.testing import FakeIssuer

NONES = ["none", "None", "NONE", "nOnE", "noNE", "none ", " none", "none\0"]
PROTOTYPES = ["__proto__", "constructor", "toString", "hasOwnProperty"]


@pytest.mark.twin(*(f"ALG-{n:02}" for n in range(1, 19)))
@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA", "Ed448", "ML-DSA-44"])
def test_honest_token_is_admitted(alg: str) -> None:
    assert verdict(guard_for(alg), honest(alg).build()) is None


@pytest.mark.attack("ALG-01")
@pytest.mark.parametrize("dropped", [[], ["kid"], ["typ"], ["kid", "typ"]], ids=str)
def test_unsigned_token_is_refused(dropped: list[str]) -> None:
    unsigned = honest().header(alg="none").without_header(*dropped).signature(b"").build()
    assert unsigned.endswith(".")
    assert verdict(guard_for("ES256"), unsigned) is Code.TOKEN_PARTS


@pytest.mark.attack("ALG-01", "ALG-02", "ALG-03")
@pytest.mark.parametrize("name", NONES)
def test_none_beside_a_signature_is_refused(name: str) -> None:
    builder = honest().header(alg=name)
    guard = guard_for("ES256")
    assert verdict(guard, builder.build()) is Code.ALGORITHM_NONE
    assert verdict(guard, builder.signature(bytes(64)).build()) is Code.ALGORITHM_NONE
    assert verdict(guard, builder.signature(b"").build()) is Code.TOKEN_PARTS


@pytest.mark.attack("ALG-02")
def test_none_with_an_escape_is_refused() -> None:
    header = rb'{"alg":"\u006eone","kid":"key-1","typ":"at+jwt"}'
    escaped = honest().header_bytes(header).build()
    assert verdict(guard_for("ES256"), escaped) is Code.ALGORITHM_NONE


@pytest.mark.attack("ALG-04")
@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA", "ML-DSA-44"])
def test_stripped_signature_is_refused(alg: str) -> None:
    header, payload, _ = parts(honest(alg).build())
    guard = guard_for(alg)
    assert verdict(guard, f"{header}.{payload}.") is Code.TOKEN_PARTS
    assert verdict(guard, f"{header}.{payload}") is Code.TOKEN_PARTS
    assert verdict(guard, f"{header}.{payload}.AA") is Code.SIGNATURE_INVALID


def certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer.test")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    draft = x509.CertificateBuilder(name, name, rsa_key().public_key(), 1)
    draft = draft.not_valid_before(start).not_valid_after(start + timedelta(days=365))
    return draft.sign(rsa_key(), hashes.SHA256()).public_bytes(Encoding.PEM)


def public_key_in_every_form() -> Iterator[tuple[str, bytes]]:
    key = rsa_key().public_key()
    jwk = json.dumps(signer_for("RS256").public_jwk()).encode()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    body = b"".join(pem.splitlines()[1:-1])
    yield "PEM", pem
    yield "PEM without its last line break", pem.rstrip()
    yield "PEM after spaces", b"  \n" + pem
    yield "PEM after a BOM", b"\xef\xbb\xbf" + pem
    yield "PEM with CRLF", pem.replace(b"\n", b"\r\n")
    yield "PEM in one line", b"-----BEGIN PUBLIC KEY-----\n" + body + b"\n-----END PUBLIC KEY-----"
    yield "PEM after text", b"key of the issuer\n" + pem
    yield "PKCS #1 PEM", key.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    yield "DER", der
    yield "PKCS #1 DER", key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    yield "certificate", certificate()
    yield "ssh-rsa", key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    yield "JWK", jwk
    yield "JWK set", b'{"keys":[' + jwk + b"]}"
    yield "JWK in an object", b'{"key":' + jwk + b"}"
    yield "base64 of PEM", base64.b64encode(pem)
    yield "base64 of DER", base64.b64encode(der)
    yield "base64 of JWK", base64.b64encode(jwk)
    point = signer_for("ES256").public_key
    yield "ecdsa-sha2", point.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    yield "x of Ed25519", signer_for("EdDSA").public_key.public_bytes_raw()


FORMS = dict(public_key_in_every_form())


def authenticated_with(secret: bytes, alg: str = "RS256") -> str:
    """Return an honest token of *alg*, changed to HS256 with this secret."""
    header, payload, _ = parts(honest(alg).header(alg="HS256").build())
    signed = f"{header}.{payload}"
    return f"{signed}.{encode_base64url(hmac.digest(secret, signed.encode(), sha256))}"


@pytest.mark.attack("ALG-05", "ALG-06")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
def test_public_key_as_a_secret_is_refused(alg: str, form: str) -> None:
    assert verdict(guard_for(alg), authenticated_with(FORMS[form], alg)) is Code.ALGORITHM_REFUSED


@pytest.mark.attack("ALG-07", "ALG-17")
@pytest.mark.parametrize(
    "algorithms", [[], ["none"], ["HS256"], ["RS256", "HS256"], ["*"], ["rs256"]]
)
def test_policy_without_a_proper_list_is_no_policy(algorithms: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="algorithm"):
        trusted(*algorithms)
    issuer = FakeIssuer()
    config = issuer.config()
    config["issuer"][0]["algorithms"] = algorithms
    with pytest.raises(ConfigurationError, match="algorithm"):
        issuer.guard(issuer=config["issuer"])
    del config["issuer"][0]["algorithms"]
    with pytest.raises(ConfigurationError, match="algorithms"):
        issuer.guard(issuer=config["issuer"])


@pytest.mark.attack("ALG-08", "ALG-10")
@pytest.mark.parametrize(
    ("of_key", "of_token"),
    [("PS256", "RS256"), ("RS256", "PS256"), ("PS256", "PS384"), ("RS256", "RS512")],
)
def test_key_verifies_its_own_algorithm_only(of_key: str, of_token: str) -> None:
    guard = guard_with(signer_for(of_key).public_jwk(), algorithms=(of_key, of_token))
    assert verdict(guard, honest(of_token).build()) is Code.KEY_UNKNOWN
    lying = honest(of_key).header(alg=of_token).build()
    assert verdict(guard, lying) is Code.KEY_UNKNOWN
    assert verdict(guard, honest(of_key).build()) is None


@pytest.mark.attack("ALG-09")
def test_key_without_alg_is_not_used_where_the_policy_leaves_a_choice() -> None:
    jwk = {**signer_for("RS256").public_jwk()}
    del jwk["alg"]
    both = guard_with(jwk, algorithms=("RS256", "PS256"))
    assert verdict(both, honest("RS256").build()) is Code.KEY_UNKNOWN
    assert verdict(both, honest("PS256").build()) is Code.KEY_UNKNOWN
    one = guard_with(jwk, algorithms=("RS256",))
    assert verdict(one, honest("PS256").build()) is Code.ALGORITHM_REFUSED
    assert verdict(one, honest("ES256").build()) is Code.ALGORITHM_REFUSED


@pytest.mark.twin("ALG-09")
def test_key_without_alg_is_used_where_the_policy_leaves_none() -> None:
    jwk = {**signer_for("RS256").public_jwk()}
    del jwk["alg"]
    assert verdict(guard_with(jwk, algorithms=("RS256",)), honest("RS256").build()) is None


@pytest.mark.attack("ALG-10", "ALG-13")
def test_key_with_a_misspelt_alg_is_not_used() -> None:
    jwk = {**signer_for("ES512").public_jwk(), "alg": "ES521"}
    assert (
        verdict(guard_with(jwk, algorithms=("ES512",)), honest("ES512").build()) is Code.KEY_UNKNOWN
    )


def point_jwk(curve: ec.EllipticCurve, crv: str) -> dict[str, Any]:
    numbers = ec.generate_private_key(curve).public_key().public_numbers()
    size = (curve.key_size + 7) // 8
    x, y = (encode_base64url(it.to_bytes(size, "big")) for it in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": crv, "x": x, "y": y}


def dsa_jwk() -> dict[str, Any]:
    # A DSA key has no JWK; these are its numbers under names that RFC 7518 never gave it.
    numbers = dsa.DSAParameterNumbers(p=2**1023 + 1, q=2**255 + 1, g=2)
    return {"kty": "DSA", "n": uint(numbers.p), "e": uint(numbers.q), "g": uint(numbers.g)}


@pytest.mark.attack("ALG-11")
@pytest.mark.parametrize(
    ("alg", "jwk", "flaw"),
    [
        ("ES256", signer_for("ES384").public_jwk(), "cannot be used with ES256"),
        ("ES384", signer_for("ES256").public_jwk(), "cannot be used with ES384"),
        ("ES512", signer_for("ES256").public_jwk(), "cannot be used with ES512"),
        ("RS256", signer_for("ES256").public_jwk(), "cannot be used with RS256"),
        ("RS256", dsa_jwk(), "kty is not one of"),
        ("ES256", point_jwk(ec.SECP256K1(), "secp256k1"), "crv is not one of"),
        ("ES256", point_jwk(ec.BrainpoolP256R1(), "P-256"), "not on the curve"),
        ("ES256", signer_for("RS256").public_jwk(), "cannot be used with ES256"),
        ("HS256", signer_for("RS256").public_jwk(), "alg is not a signature algorithm"),
        ("EdDSA", signer_for("ES256").public_jwk(), "cannot be used with EdDSA"),
        ("Ed25519", signer_for("Ed448").public_jwk(), "cannot be used with Ed25519"),
        ("Ed448", signer_for("EdDSA").public_jwk(), "cannot be used with Ed448"),
        ("ML-DSA-65", signer_for("ML-DSA-44").public_jwk(), "pub has 1312 octets, not 1952"),
    ],
)
def test_key_that_does_not_fit_its_alg_is_not_used(
    alg: str, jwk: dict[str, Any], flaw: str
) -> None:
    unfit = {**jwk, "alg": alg, "kid": "key-1"}
    assert flaw in flaws(unfit)[0]
    if alg != "HS256":
        guard = guard_with(unfit, algorithms=(alg,))
        assert verdict(guard, honest(alg).build()) is Code.KEY_UNKNOWN


@pytest.mark.attack("ALG-11")
def test_key_of_another_type_is_not_used_without_an_alg_of_its_own() -> None:
    jwk = {**signer_for("ES384").public_jwk()}
    del jwk["alg"]
    assert verdict(guard_with(jwk, algorithms=("ES256",)), honest().build()) is Code.KEY_UNKNOWN


@pytest.mark.attack("ALG-12")
@pytest.mark.parametrize("alg", [None, 0, 256, True, [], ["ES256"], {}, {"ES256": 1}], ids=str)
def test_alg_that_is_no_string_is_refused(alg: object) -> None:
    assert verdict(guard_for("ES256"), honest().header(alg=alg).build()) is Code.HEADER_PARAMETER


@pytest.mark.attack("ALG-12")
def test_absent_alg_is_refused() -> None:
    token = honest().without_header("alg").build()
    assert verdict(guard_for("ES256"), token) is Code.HEADER_PARAMETER


@pytest.mark.attack("ALG-12", "ALG-13")
@pytest.mark.parametrize(
    "alg",
    [
        *("", "ES256\n", " ES256", "ES256 ", "es256", "Es256", "ES256\0", "ES256,none"),
        *("ES521", "ES224", "ES256K", "RS1", "HS1", "HS256", "HS384", "HS512", "MD5", "*"),
        *("RSA1_5", "RSA-OAEP", "dir", "A256GCM", "A256KW", "ECDH-ES", "PBES2-HS256+A128KW"),
    ],
)
def test_algorithm_that_is_not_in_the_policy_is_refused(alg: str) -> None:
    assert verdict(guard_for("ES256"), honest().header(alg=alg).build()) is Code.ALGORITHM_REFUSED


@pytest.mark.attack("ALG-14")
@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
def test_ed448_key_verifies_under_its_own_name_only(alg: str) -> None:
    jwk = {**signer_for("Ed448").public_jwk()}
    del jwk["alg"]
    guard = guard_with(jwk, algorithms=("EdDSA", "Ed25519", "Ed448"))
    lying = honest("Ed448").header(alg=alg).build()
    assert verdict(guard, lying) is Code.KEY_UNKNOWN
    assert verdict(guard, honest("Ed448").build()) is None
    assert verdict(guard_for("Ed448"), lying) is Code.ALGORITHM_REFUSED


@pytest.mark.attack("ALG-14")
def test_ed25519_key_does_not_verify_as_ed448() -> None:
    jwk = {**signer_for("EdDSA").public_jwk()}
    del jwk["alg"]
    guard = guard_with(jwk, algorithms=("EdDSA", "Ed25519", "Ed448"))
    lying = honest("EdDSA").header(alg="Ed448").build()
    assert verdict(guard, lying) is Code.KEY_UNKNOWN


@pytest.mark.twin("ALG-14")
@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
def test_ed25519_key_has_two_names(alg: str) -> None:
    jwk = {**signer_for("EdDSA").public_jwk()}
    del jwk["alg"]
    guard = guard_with(jwk, algorithms=("EdDSA", "Ed25519"))
    assert verdict(guard, honest("EdDSA").header(alg=alg).build()) is None


@pytest.mark.attack("ALG-15")
def test_alg_outside_the_signed_header_is_not_read() -> None:
    header, payload, signature = parts(honest().header_bytes(b'{"kid":"key-1"}').build())
    guard = guard_for("ES256")
    assert verdict(guard, f"{header}.{payload}.{signature}") is Code.HEADER_PARAMETER
    unprotected = {"payload": payload, "header": {"alg": "ES256"}, "signature": signature}
    assert verdict(guard, json.dumps(unprotected)) is Code.CREDENTIAL_MALFORMED
    # The same without what an Authorization header cannot hold: one member, no commas.
    assert verdict(guard, '{"header":{"alg":"ES256"}}') is Code.TOKEN_PARTS


@pytest.mark.attack("ALG-16")
@pytest.mark.parametrize("name", PROTOTYPES)
def test_names_of_objects_are_names_of_nothing(name: str) -> None:
    guard = guard_for("ES256")
    assert verdict(guard, honest().header(alg=name).build()) is Code.ALGORITHM_REFUSED
    assert verdict(guard, honest().header(kid=name).build()) is Code.KEY_UNKNOWN
    assert verdict(guard, honest().claims(iss=name).build()) is Code.ISSUER_UNKNOWN


SECRET = {"kty": "oct", "kid": "key-2", "alg": "HS256", "k": encode_base64url(bytes(32))}


@pytest.mark.attack("ALG-17")
def test_secret_beside_a_public_key_is_dropped() -> None:
    guard = guard_with(SECRET, signer_for("ES256").public_jwk(), algorithms=("ES256",))
    header, payload, _ = parts(honest().header(alg="HS256", kid="key-2").build())
    tag = hmac.digest(bytes(32), f"{header}.{payload}".encode(), sha256)
    forged = f"{header}.{payload}.{encode_base64url(tag)}"
    assert verdict(guard, forged) is Code.ALGORITHM_REFUSED
    assert verdict(guard, honest().header(kid="key-2").build()) is Code.KEY_UNKNOWN


@pytest.mark.twin("ALG-17")
def test_secret_does_not_spoil_the_key_beside_it() -> None:
    guard = guard_with(SECRET, signer_for("ES256").public_jwk(), algorithms=("ES256",))
    assert verdict(guard, honest().build()) is None


@pytest.mark.attack("ALG-18")
def test_payload_does_not_choose_the_key() -> None:
    stranger = new_signer("ES256", "stranger")
    claims: dict[str, Any] = {
        "kid": "stranger",
        "alg": "ES256",
        "jwk": stranger.public_jwk(),
        "keys": [stranger.public_jwk()],
        "secret": "secret",
        "jwks_uri": f"{ISSUER}/{AUDIENCE}",
    }
    guard = guard_for("ES256")
    forged = honest().claims(**claims).signed_by(stranger)
    assert verdict(guard, forged.build()) is Code.SIGNATURE_INVALID
    assert verdict(guard, forged.header(kid="stranger").build()) is Code.KEY_UNKNOWN
    header, payload, _ = parts(forged.header(alg="HS256").build())
    tag = hmac.digest(b"secret", f"{header}.{payload}".encode(), sha256)
    by_secret = f"{header}.{payload}.{encode_base64url(tag)}"
    assert verdict(guard, by_secret) is Code.ALGORITHM_REFUSED
    assert verdict(guard, honest().claims(**claims).build()) is None


@pytest.mark.attack("ALG-18")
def test_key_of_another_issuer_is_not_found_by_what_the_token_says() -> None:
    stranger = Signer.generate("ES256", "key-1")
    token = honest().claims(iat=int(NOW)).header(iss="https://other.test").signed_by(stranger)
    assert verdict(guard_for("ES256"), token.build()) is Code.SIGNATURE_INVALID
