"""Family KEY, import: what is not a public key for signatures is left out, and the rest is used."""

import hmac
import json
from base64 import b64encode
from hashlib import sha256
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from judging import (
    KID,
    flaws,
    guard_for,
    guard_with,
    honest,
    new_signer,
    parts,
    rsa_key,
    signer_for,
    verdict,
)
from portvakt.errors import ConfigurationError
from portvakt.jose.algorithms import ALGORITHMS, CURVES
from portvakt.jose.encoding import decode_base64url, encode_base64url
from portvakt.jose.jwk_set import JwkSet, MalformedKeySet
from portvakt.jose.signer import Signer
from portvakt.refusal import Code
from portvakt.testing import FakeIssuer

POINT: Final = signer_for("ES256").public_jwk()


def is_unusable(jwk: dict[str, Any], flaw: str, alg: str = "ES256") -> None:
    """Assert that a key is left out for this reason, so that nothing verifies with it."""
    assert flaw in flaws(jwk)[0]
    assert verdict(guard_with(jwk, algorithms=(alg,)), honest(alg).build()) is Code.KEY_UNKNOWN


@pytest.mark.twin(*(f"KEY-{n:02}" for n in (1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 16, 19, 20, 22)))
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_key_of_each_algorithm_is_used(alg: str) -> None:
    assert verdict(guard_for(alg), honest(alg).build()) is None


def sent_with_secret(secret: bytes) -> str:
    header, payload, _ = parts(honest().header(alg="HS256").build())
    signed = f"{header}.{payload}"
    return f"{signed}.{encode_base64url(hmac.digest(secret, signed.encode(), sha256))}"


@pytest.mark.attack("KEY-01", "KEY-02", "KEY-03")
@pytest.mark.parametrize(
    "secret",
    [b"", b"\0", b"k" * 31, b"secret", b"your-256-bit-secret", b"changeme", b"k" * 64],
)
def test_secret_is_never_a_key(secret: bytes) -> None:
    for alg in ("HS256", "HS384", "HS512", "ES256"):
        shared = {"kty": "oct", "kid": KID, "alg": alg, "k": encode_base64url(secret)}
        is_unusable(shared, "private or symmetric")
    token = sent_with_secret(secret)
    assert verdict(guard_for("ES256"), token) is Code.ALGORITHM_REFUSED
    # No policy can allow it either, so there is no way to configure a weak secret, or a strong one.
    with pytest.raises(ConfigurationError, match="HS256 takes a shared secret"):
        guard_with(algorithms=("HS256",))


P256: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
P521: Final = 2**521 - 1


def coordinates(jwk: dict[str, Any]) -> tuple[int, int]:
    x, y = (int.from_bytes(decode_base64url(jwk[name]), "big") for name in ("x", "y"))
    return x, y


def point(alg: str, x: int, y: int) -> dict[str, Any]:
    crv = ALGORITHMS[alg].crv or ""
    size = CURVES[crv].size
    written = {"x": encode_base64url(x.to_bytes(size, "big"))} | {
        "y": encode_base64url(y.to_bytes(size, "big"))
    }
    return {"kty": "EC", "crv": crv, "kid": KID, "alg": alg, **written}


def on_p256_with_small_x() -> tuple[int, int]:
    """Return a point whose x is so small that x + p fits into 32 octets too."""
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    for x in range(1, 100):
        square = (x**3 - 3 * x + b) % P256
        y = pow(square, (P256 + 1) // 4, P256)
        if y * y % P256 == square:
            return x, y
    raise AssertionError


@pytest.mark.attack("KEY-08")
@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_point_off_the_curve_is_refused(alg: str) -> None:
    x, y = coordinates(signer_for(alg).public_jwk())
    for wrong in ((x, y ^ 1), (x ^ 1, y), (y, x), (0, 0), (0, 1), (x, 0), (1, 1)):
        is_unusable(point(alg, *wrong), "not on the curve", alg)


@pytest.mark.attack("KEY-08")
def test_coordinate_above_the_field_is_refused() -> None:
    x, y = coordinates(signer_for("ES512").public_jwk())
    for wrong in ((x + P521, y), (x, y + P521), (x + P521, y + P521)):
        is_unusable(point("ES512", *wrong), "not below p", "ES512")
    x, y = on_p256_with_small_x()
    assert not flaws(point("ES256", x, y))
    is_unusable(point("ES256", x + P256, y), "not below p")


@pytest.mark.attack("KEY-08")
@pytest.mark.twin("KEY-08")
def test_leading_zero_of_a_coordinate_belongs_to_it() -> None:
    while True:  # One key in 256 has one; making one takes microseconds.
        signer = new_signer("ES256")
        jwk = signer.public_jwk()
        whole = decode_base64url(jwk["x"])
        if whole[0] == 0:
            break
    guard = guard_with(jwk, algorithms=("ES256",))
    assert verdict(guard, honest(signer=signer).build()) is None
    for altered in (whole[1:], b"\0" + whole):
        assert (
            f"x has {len(altered)} octets, not 32"
            in flaws({**jwk, "x": encode_base64url(altered)})[0]
        )


def without(jwk: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in jwk.items() if key != name}


@pytest.mark.attack("KEY-08", "KEY-09", "KEY-10")
@pytest.mark.parametrize(
    ("jwk", "flaw"),
    [
        (without(POINT, "y"), "y is missing"),
        (without(POINT, "x"), "x is missing"),
        (without(POINT, "crv"), "crv is missing"),
        (without(POINT, "kty"), "kty is missing"),
        ({**POINT, "y": True}, "y is missing"),
        ({**POINT, "y": POINT["y"] + "="}, "y: base64url"),
        ({**POINT, "y": ""}, "y is missing"),
        ({**POINT, "crv": "p-256"}, "crv is not one of"),
        ({**POINT, "crv": "P256"}, "crv is not one of"),
        ({**POINT, "crv": "P-256 "}, "crv is not one of"),
        ({**POINT, "crv": "secp256r1"}, "crv is not one of"),
        ({**POINT, "crv": "secp256k1"}, "crv is not one of"),
        ({**POINT, "crv": "1.2.840.10045.3.1.7"}, "crv is not one of"),
        ({**POINT, "crv": "Ed25519"}, "crv is not one of"),
        ({**POINT, "crv": "__proto__"}, "crv is not one of"),
        ({**POINT, "crv": "P-384"}, "x has 32 octets, not 48"),
        ({**POINT, "kty": "ec"}, "kty is not one of"),
        ({**POINT, "kty": "OKP"}, "crv is not Ed25519 or Ed448"),
        ({**POINT, "kty": "RSA"}, "n is missing"),
        ({**POINT, "kty": "__proto__"}, "kty is not one of"),
        ({**POINT, "kty": 1}, "kty is missing"),
        ({**POINT, "crv": {"p": "AQ", "a": "AQ", "b": "AQ", "g": "AQ"}}, "crv is missing"),
        ({**POINT, "crv": ["P-256"]}, "crv is missing"),
        ({**without(POINT, "crv"), "x5c": ["MIIB"]}, "crv is missing"),
    ],
)
def test_malformed_point_is_refused(jwk: dict[str, Any], flaw: str) -> None:
    is_unusable(jwk, flaw)


@pytest.mark.attack("KEY-10")
def test_generator_of_ones_own_is_not_read() -> None:
    # With a generator of his own choice, anyone has a private key to a public one (CVE-2020-0601).
    chosen = ec.generate_private_key(ec.SECP256R1())
    jwk = {**POINT, "g": POINT["x"], "gx": POINT["x"], "gy": POINT["y"], "order": "AQ"}
    guard = guard_with(jwk, algorithms=("ES256",))
    forged = honest(signer=Signer("ES256", KID, chosen)).build()
    assert verdict(guard, forged) is Code.SIGNATURE_INVALID
    assert verdict(guard, honest().build()) is None


@pytest.mark.attack("KEY-09")
@pytest.mark.parametrize("crv", ["P-256", "X25519", "ed25519", "Ed25519 ", "secp256k1", ""])
def test_edwards_key_of_another_curve_is_refused(crv: str) -> None:
    flaw = "crv is not Ed25519" if crv else "crv is missing"
    is_unusable({**signer_for("EdDSA").public_jwk(), "crv": crv}, flaw, "EdDSA")


@pytest.mark.attack("KEY-11")
@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA", "Ed448", "ML-DSA-44"])
def test_private_key_whose_halves_differ_is_refused_by_verifier_and_signer(alg: str) -> None:
    other = rsa_key() if alg == "RS256" else None
    mine = Signer.generate(alg).private_jwk()
    published = Signer(alg, KID, other) if other else new_signer(alg)
    mixed = {**mine, **published.public_jwk()}
    is_unusable(mixed, "private or symmetric", alg)
    with pytest.raises(ConfigurationError, match="halves"):
        Signer.from_jwk(mixed)
    assert Signer.from_jwk(mine).public_jwk() == {
        name: mine[name] for name in Signer.from_jwk(mine).public_jwk()
    }


@pytest.mark.attack("KEY-12")
@pytest.mark.parametrize("use", ["enc", "SIG", "sig ", "", "sign", None, ["sig"], True], ids=repr)
def test_key_that_is_not_for_signatures_is_refused(use: object) -> None:
    is_unusable({**POINT, "use": use}, "use is not sig")


@pytest.mark.attack("KEY-12", "KEY-13")
@pytest.mark.parametrize(
    ("operations", "flaw"),
    [
        (["encrypt"], "does not include verify"),
        (["sign"], "does not include verify"),
        (["Verify"], "does not include verify"),
        (["sign, verify"], "does not include verify"),
        ([], "does not include verify"),
        (["verify", "verify"], "repeats"),
        ("verify", "not an array"),
        ({"verify": True}, "not an array"),
        ([["verify"]], "not an array"),
        (["verify", 1], "not an array"),
        (None, "not an array"),
    ],
)
def test_key_that_may_not_verify_is_refused(operations: object, flaw: str) -> None:
    is_unusable({**POINT, "key_ops": operations}, flaw)


@pytest.mark.attack("KEY-13")
def test_use_and_key_ops_must_both_allow_it() -> None:
    is_unusable({**POINT, "use": "enc", "key_ops": ["verify"]}, "use is not sig")
    is_unusable({**POINT, "use": "sig", "key_ops": ["encrypt"]}, "does not include verify")


@pytest.mark.twin("KEY-12", "KEY-13", "KEY-16")
@pytest.mark.parametrize(
    "members",
    [
        {"use": "sig"},
        {"key_ops": ["verify"]},
        {"key_ops": ["sign", "verify"]},
        {"use": "sig", "key_ops": ["verify"]},
        {"ext": True, "iat": 1, "x-unknown": {"nested": []}},
        {"x5t": "AAAA", "x5t#S256": "AAAA", "x5u": "https://issuer.test/cert"},
    ],
)
def test_key_with_more_members_is_used(members: dict[str, Any]) -> None:
    bare = without(POINT, "use")
    guard = guard_with({**bare, **members}, algorithms=("ES256",))
    assert verdict(guard, honest().build()) is None


@pytest.mark.attack("KEY-14")
@pytest.mark.parametrize("alg", ["RS256", "ES256", "ES512", "EdDSA", "Ed448", "ML-DSA-44"])
def test_published_private_key_is_not_used_and_is_reported(alg: str) -> None:
    signer = signer_for(alg)
    is_unusable(signer.private_jwk(), "private or symmetric", alg)
    keys = JwkSet.from_object({"keys": [signer.private_jwk()]}, [alg])
    assert keys.ignored[0].secret
    assert keys.ignored[0].kid == KID
    secret = signer.private_jwk()["priv" if alg.startswith("ML") else "d"]
    assert secret not in repr(keys)
    assert secret not in keys.ignored[0].reason


@pytest.mark.attack("KEY-14")
@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"])
def test_one_private_member_is_enough(member: str) -> None:
    for alg in ("RS256", "ES256", "EdDSA"):
        is_unusable({**signer_for(alg).public_jwk(), member: "AQ"}, "private or symmetric", alg)
        is_unusable({**signer_for(alg).public_jwk(), member: None}, "private or symmetric", alg)


@pytest.mark.attack("KEY-16")
def test_certificate_in_a_key_is_not_a_key() -> None:
    stranger = new_signer("ES256")
    certificate = stranger.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    chain = [b64encode(certificate).decode(), "not base64!"]
    jwk = {**POINT, "x5c": chain, "x5t": "AAAA", "x5u": "https://evil.test"}
    guard = guard_with(jwk, algorithms=("ES256",))
    assert verdict(guard, honest().signed_by(stranger).build()) is Code.SIGNATURE_INVALID
    assert verdict(guard, honest().build()) is None
    only_certificate = {"kty": "EC", "kid": KID, "alg": "ES256", "x5c": jwk["x5c"]}
    is_unusable(only_certificate, "crv is missing")


@pytest.mark.attack("KEY-22")
@pytest.mark.parametrize(
    "text", ["/etc/passwd", "file:///etc/passwd", "keys.json", "https://evil.test/jwks", ""]
)
def test_path_or_url_in_the_place_of_a_key_is_not_followed(text: str) -> None:
    assert flaws(text) == ["not a JSON object"]
    for document in (text.encode(), json.dumps(text).encode(), b'{"keys":"%b"}' % text.encode()):
        with pytest.raises(MalformedKeySet):
            JwkSet.from_json(document, ["ES256"])
    issuer = FakeIssuer()
    config = issuer.config()
    config["issuer"][0]["jwks"] = text
    with pytest.raises(ConfigurationError, match="jwks"):
        issuer.guard(issuer=config["issuer"])


@pytest.mark.attack("KEY-22")
@pytest.mark.parametrize("member", [None, 1, True, [], "key", ["kty"]], ids=repr)
@pytest.mark.twin("KEY-22")
def test_what_is_no_key_does_not_spoil_the_key_beside_it(member: Any) -> None:
    assert flaws(member) == ["not a JSON object"]
    guard = guard_with(member, POINT, member, algorithms=("ES256",))
    assert verdict(guard, honest().build()) is None
