"""Family DPOP: what a proof of possession must be, check by check (RFC 9449 section 4.3).

The near misses that a client can make by mistake are rows of the forge's table, and are tried in
tests/unit/forge/test_proof_faults.py as well; here is what an attacker would think of.
"""

import json
from hashlib import sha256
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from judging import new_signer, rsa_key, signer_for, uint
from portvakt.jose.encoding import encode_base64url, encode_object
from portvakt.jose.jwk import thumbprint
from portvakt.jose.signer import Signer, public_members, sign_compact
from portvakt.oauth.dpop import MAX_PROOF, MAX_TOKEN_ID, ProofReader, token_hash
from portvakt.oauth.dpop_nonce import Nonces
from portvakt.refusal import Code
from proving import (
    BEHIND,
    NONCES,
    NOW,
    PATH,
    PUBLIC,
    TOKEN,
    honest,
    jkt_of,
    read,
    rules,
    verdict,
)

ASKING: Final = ProofReader(rules(nonces=NONCES))
ABOUT_THE_PROOF: Final = [f"DPOP-{n:02}" for n in (*range(1, 10), 11, 12, 13, 15, *range(18, 23))]


@pytest.mark.twin(*ABOUT_THE_PROOF)
@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA", "Ed448"])
@pytest.mark.parametrize("origin", [PUBLIC, BEHIND])
def test_an_honest_proof_holds(alg: str, origin: str) -> None:
    bound = jkt_of(signer_for(alg))
    assert verdict(honest(alg, url=origin + PATH).build(), thumbprint=bound) is None


@pytest.mark.attack("DPOP-01")
def test_several_proofs_are_refused_whichever_of_them_is_honest() -> None:
    good, bad = honest().build(), honest().claims(htm="PUT").build()
    for sent in ([good, good], [good, bad], [bad, good], [good, ""], ["", good]):
        assert verdict(*sent) is Code.PROOF_REPEATED
    for joined in (f"{good},{bad}", f"{bad}, {good}", f"{good},", f",{good}", ","):
        assert verdict(joined) is Code.PROOF_REPEATED


@pytest.mark.attack("DPOP-02")
def test_what_is_not_one_well_formed_jwt_is_refused() -> None:
    good = honest().build()
    header, payload, signature = good.split(".")
    for sent in (
        "",
        " ",
        f" {good}",
        f"{good} ",
        f"{good}\t",
        f'"{good}"',
        f"DPoP {good}",
        f"{header}.{payload}",
        f"{header}.{payload}.",
        f".{payload}.{signature}",
        f"{header}..{signature}",
        f"{good}.{signature}",
        f"{header}.{payload}.AA.{payload}.{signature}",
        f"{header}=.{payload}.{signature}",
        f"{header}.{payload}==.{signature}",
        f"{header}.{payload}.{signature}=",
        good.replace("-", "+").replace("_", "/") if "-" in good or "_" in good else "+",
        f"{header}\u00e9.{payload}.{signature}",
        f"\u00e9.{payload}.{signature}",
        "." * 100,
        "." * MAX_PROOF,
        "a" * (MAX_PROOF + 1),
    ):
        assert verdict(sent) is Code.PROOF_MALFORMED


@pytest.mark.attack("DPOP-02")
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"{}{}",
        b"\xff{}",
        b"\xef\xbb\xbf{}",
        b'{"alg":"ES256","alg":"ES256"}',
        b'{"a":' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"a":"\\ud800"}',
    ],
)
def test_a_header_or_claims_that_are_no_strict_json_object_are_refused(raw: bytes) -> None:
    assert verdict(honest().header_bytes(raw).build()) is Code.PROOF_MALFORMED
    assert verdict(honest().payload(raw).build()) is Code.PROOF_MALFORMED


@pytest.mark.attack("DPOP-02")
def test_a_name_twice_is_refused_in_header_and_claims_and_in_the_key() -> None:
    builder = honest()
    header, claims = builder.header_octets(), builder.payload_octets()
    for changed in (
        builder.header_bytes(b'{"typ":"JWT",' + header[1:]),
        builder.header_bytes(header.replace(b'"kty"', b'"kty":"RSA","kty"')),
        builder.payload(b'{"iat":1,' + claims[1:]),
        builder.payload(rb'{"\u0069at":1,' + claims[1:]),
    ):
        assert verdict(changed.build()) is Code.PROOF_MALFORMED


@pytest.mark.attack("DPOP-02")
@pytest.mark.parametrize(
    "parameters",
    [
        {"crit": []},
        {"crit": ["b64"], "b64": True},
        {"crit": ["exp"], "exp": 1},
        {"b64": False},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
        {"jku": "https://attacker.invalid/jwks.json"},
        {"x5u": "https://attacker.invalid/chain.pem"},
        {"kid": 1},
        {"kid": "a" * 257},
        {"x": "a" * 4096},
    ],
    ids=str,
)
def test_a_header_that_asks_for_more_is_refused(parameters: dict[str, Any]) -> None:
    assert verdict(honest().header(**parameters).build()) is Code.PROOF_MALFORMED


@pytest.mark.twin("DPOP-02")
def test_a_header_with_names_that_change_nothing_holds() -> None:
    assert verdict(honest().header(kid="key-1", x5c=["AA=="], own={"a": 1}).build()) is None


@pytest.mark.attack("DPOP-03")
@pytest.mark.parametrize("name", ["jti", "htm", "htu", "iat"])
@pytest.mark.parametrize("value", [None, True, 1, "", [], {}, ["GET"], "1"], ids=str)
def test_a_claim_of_another_type_is_refused(name: str, value: Any) -> None:
    missing = verdict(honest().without(name).build())
    assert missing is Code.PROOF_MALFORMED
    found = verdict(honest().claims(**{name: value}).build())
    if type(value) is str and value:
        by_name = {"jti": None, "htm": Code.PROOF_METHOD, "htu": Code.PROOF_TARGET}
        assert found is by_name.get(name, Code.PROOF_MALFORMED)
    elif name == "iat" and value == 1 and value is not True:
        assert found is Code.PROOF_TIME
    elif value == "" and name in {"htm", "htu"}:
        assert found in {Code.PROOF_METHOD, Code.PROOF_TARGET}
    else:
        assert found is Code.PROOF_MALFORMED


@pytest.mark.attack("DPOP-04")
@pytest.mark.parametrize(
    "typ",
    [
        "JWT",
        "jwt",
        "at+jwt",
        "dpop",
        "dpop+jwt ",
        "dpop+jwt;v=1",
        "application/at+jwt",
        "text/dpop+jwt",
        "application/application/dpop+jwt",
        "d\u03c1op+jwt",
    ],
)
def test_another_type_is_refused(typ: str) -> None:
    assert verdict(honest().header(typ=typ).build()) is Code.PROOF_TYPE


@pytest.mark.attack("DPOP-04")
def test_no_type_is_refused() -> None:
    assert verdict(honest().without_header("typ").build()) is Code.PROOF_TYPE
    for typ in (None, 1, ["dpop+jwt"], "absent"):
        assert verdict(honest().header(typ=typ).build()) is Code.PROOF_MALFORMED


@pytest.mark.twin("DPOP-04")
@pytest.mark.parametrize("typ", ["DPoP+JWT", "application/dpop+jwt", "Application/DPoP+jwt"])
def test_a_media_type_is_compared_as_one(typ: str) -> None:
    assert verdict(honest().header(typ=typ).build()) is None


@pytest.mark.attack("DPOP-05")
@pytest.mark.parametrize(
    "alg", ["none", "None", "nOnE", "HS256", "HS512", "RS1", "ES256K", "es256", "ES256 ", ""]
)
@pytest.mark.parametrize("jwk", [{"kty": "oct", "k": "AAAA"}, None], ids=["oct", "honest"])
def test_an_algorithm_that_proves_nothing_is_refused(alg: str, jwk: Any) -> None:
    proof = honest().header(alg=alg)
    if jwk is not None:
        proof = proof.header(jwk=jwk)
    assert verdict(proof.build()) is Code.PROOF_ALGORITHM


@pytest.mark.attack("DPOP-05")
def test_a_shared_secret_is_no_key_for_an_algorithm_that_is_allowed() -> None:
    assert verdict(honest().header(jwk={"kty": "oct", "k": "AAAA"}).build()) is Code.PROOF_KEY


@pytest.mark.attack("DPOP-05")
@pytest.mark.parametrize("alg", [None, 1, ["ES256"], {}])
def test_an_algorithm_that_is_no_name_is_refused(alg: Any) -> None:
    assert verdict(honest().header(alg=alg).build()) is Code.PROOF_MALFORMED


@pytest.mark.attack("DPOP-05")
def test_an_algorithm_that_the_policy_does_not_list_is_refused() -> None:
    narrow = ProofReader(rules(algorithms=frozenset({"ES384"})))
    assert verdict(honest().build(), by=narrow) is Code.PROOF_ALGORITHM
    bound = jkt_of(signer_for("ES384"))
    assert verdict(honest("ES384").build(), by=narrow, thumbprint=bound) is None


@pytest.mark.attack("DPOP-06")
def test_a_signature_of_another_key_is_refused() -> None:
    mine = new_signer("ES256")
    assert verdict(honest().signed_by(mine).build()) is Code.PROOF_SIGNATURE
    for signature in (bytes(64), bytes(63), bytes(65), b"\xff" * 64, b"0"):
        assert verdict(honest().signature(signature).build()) is Code.PROOF_SIGNATURE


@pytest.mark.attack("DPOP-06")
@pytest.mark.parametrize("alg", ["RS256", "ES384", "EdDSA", "PS256"])
def test_an_algorithm_that_does_not_fit_the_key_is_refused(alg: str) -> None:
    assert verdict(honest().header(alg=alg).build()) is Code.PROOF_KEY


@pytest.mark.attack("DPOP-06")
def test_a_key_that_says_that_it_is_for_another_algorithm_is_refused() -> None:
    for alg in ("PS256", "RS384", "none", 1):
        proof = honest("RS256").jwk(alg=alg).build()
        assert verdict(proof, thumbprint=jkt_of(signer_for("RS256"))) is Code.PROOF_KEY


def signed_with(jwk: dict[str, Any], signer: Signer) -> str:
    return honest(signer=signer).header(jwk=jwk).build()


@pytest.mark.attack("DPOP-06")
@pytest.mark.parametrize("bits", [1024, 2040])
def test_a_weak_rsa_key_is_refused_even_if_the_token_is_bound_to_it(bits: int) -> None:
    weak = Signer("RS256", None, rsa.generate_private_key(65537, bits))
    proof = honest(signer=weak).build()
    assert verdict(proof, thumbprint=jkt_of(weak)) is Code.PROOF_KEY


@pytest.mark.attack("DPOP-06")
@pytest.mark.parametrize("y", [0, 1, 2**255 - 20])
def test_a_key_of_small_order_is_refused_even_if_the_token_is_bound_to_it(y: int) -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(y.to_bytes(32, "little"))}
    # For the neutral element, this verifies anything.
    signature = (1).to_bytes(32, "little") + bytes(32)
    proof = honest("EdDSA").header(jwk=jwk).signature(signature).build()
    assert verdict(proof, thumbprint=thumbprint(jwk)) is Code.PROOF_KEY


@pytest.mark.attack("DPOP-06")
def test_a_point_that_is_not_on_the_curve_is_refused() -> None:
    jwk = {**public_members(signer_for("ES256").public_key), "y": encode_base64url(bytes(32))}
    assert verdict(honest().header(jwk=jwk).build(), thumbprint=thumbprint(jwk)) is Code.PROOF_KEY


@pytest.mark.attack("DPOP-06", "DPOP-13")
def test_one_rsa_key_has_one_encoding() -> None:
    signer = signer_for("RS256")
    members = public_members(signer.public_key)
    number = rsa_key().public_key().public_numbers().n
    padded = {**members, "n": encode_base64url(b"\0" + number.to_bytes(256, "big"))}
    # It is the same key, and its thumbprint is another: two tokens, two owners in a store.
    assert members["n"] == uint(number)
    proof = signed_with(padded, signer)
    assert verdict(proof, thumbprint=thumbprint(padded)) is Code.PROOF_KEY
    assert verdict(proof, thumbprint=thumbprint(members)) is Code.PROOF_BINDING
    exponent = {**members, "e": encode_base64url(b"\0\x01\0\x01")}
    assert verdict(signed_with(exponent, signer), thumbprint=thumbprint(exponent)) is Code.PROOF_KEY


@pytest.mark.attack("DPOP-07")
@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_a_private_key_is_refused(alg: str) -> None:
    signer = signer_for(alg)
    proof = signed_with(signer.private_jwk(), signer)
    assert verdict(proof, thumbprint=jkt_of(signer)) is Code.PROOF_KEY


@pytest.mark.attack("DPOP-07")
@pytest.mark.parametrize("name", ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"])
@pytest.mark.parametrize("value", ["AA", "", None, 1], ids=str)
def test_any_member_of_a_private_key_is_refused_whatever_it_says(name: str, value: Any) -> None:
    assert verdict(honest().jwk(**{name: value}).build()) is Code.PROOF_KEY


@pytest.mark.attack("DPOP-07")
@pytest.mark.parametrize("jwk", [None, 1, "ES256", [], {}, {"kty": "EC"}, [{"kty": "EC"}]], ids=str)
def test_what_is_no_key_is_refused(jwk: Any) -> None:
    assert verdict(honest().header(jwk=jwk).build()) is Code.PROOF_KEY


@pytest.mark.attack("DPOP-07")
@pytest.mark.parametrize(
    "members",
    [{"kty": ["EC"]}, {"kty": {}}, {"crv": 1}, {"x": 10**20 - 1}, {"x": None}, {"kty": "ec"}],
    ids=str,
)
def test_a_key_with_a_member_of_another_type_is_refused(members: dict[str, Any]) -> None:
    jwk = json.dumps({**public_members(signer_for("ES256").public_key), **members})
    header = f'{{"typ":"dpop+jwt","alg":"ES256","jwk":{jwk}}}'
    assert verdict(honest().header_bytes(header.encode()).build()) is Code.PROOF_KEY


@pytest.mark.attack("DPOP-08")
@pytest.mark.parametrize("htm", ["get", "Get", "GET ", "HEAD", "POST", "GET\n", "G\u0395T", "*"])
def test_another_method_is_refused(htm: str) -> None:
    assert verdict(honest().claims(htm=htm).build()) is Code.PROOF_METHOD


@pytest.mark.attack("DPOP-08")
def test_the_method_is_the_one_that_was_received() -> None:
    proof = honest().build()
    for method in ("HEAD", "POST", "get"):
        assert verdict(proof, method=method) is Code.PROOF_METHOD


@pytest.mark.attack("DPOP-09")
@pytest.mark.parametrize(
    "htu",
    [
        "https://attacker.invalid/patients/17",
        "https://api.test.attacker.invalid/patients/17",
        "https://attackerapi.test/patients/17",
        "http://api.test/patients/17",
        "https://api.test:8443/patients/17",
        "https://gateway.test/journal/patients/17",
        "https://gateway.test:8443/patients/17",
        "https://gateway.test:8443/journalpatients/17",
        "https://gateway.test:8443/journal/../patients/17",
        "https://api.test/journal/patients/17",
        "https://api.test/patients/17/",
        "https://api.test/patients/18",
        "https://api.test/patients",
        "https://api.test/Patients/17",
        "https://api.test//patients/17",
        "https://api.test/patients%2F17",
        "https://api.test/patients/17%20",
        "https://api.test/patients/17%3F",
        "https://api.test",
        "https://user@api.test/patients/17",
        "https://api.test@attacker.invalid/patients/17",
        "https://api.test\\@attacker.invalid/patients/17",
        "https://api.test./patients/17",
        "https://\uff41pi.test/patients/17",
        "https://api.test/patients/\u0661\u0667",
        "https://api.test/a/%2e%2e/patients/17",
        "https:/api.test/patients/17",
        "https:api.test/patients/17",
        "//api.test/patients/17",
        "/patients/17",
        " https://api.test/patients/17",
        "https://api.test/patients/17 ",
        "https://api.test/patients/17\n",
        "https://api.test/patients/17\0",
        "javascript:https://api.test/patients/17",
        "",
    ],
)
def test_another_url_is_refused(htu: str) -> None:
    assert verdict(honest().claims(htu=htu).build()) is Code.PROOF_TARGET


@pytest.mark.attack("DPOP-09")
@pytest.mark.parametrize("htu", [[f"{PUBLIC}{PATH}"], {"url": f"{PUBLIC}{PATH}"}, None, 1], ids=str)
def test_what_is_no_url_is_refused(htu: Any) -> None:
    assert verdict(honest().claims(htu=htu).build()) is Code.PROOF_MALFORMED


@pytest.mark.attack("DPOP-09")
def test_what_the_request_says_of_its_host_counts_for_nothing() -> None:
    # The Host header says attacker.invalid in every request of these tests.
    for target in ("https://attacker.invalid/patients/17", "//attacker.invalid/patients/17"):
        proof = honest().claims(htu="https://attacker.invalid/patients/17").build()
        assert verdict(proof, target=target) is Code.PROOF_TARGET


@pytest.mark.twin("DPOP-09")
@pytest.mark.parametrize(
    "htu",
    [
        "https://api.test/patients/17?page=2#top",
        "HTTPS://API.test:443/patients/17",
        "https://api.test/a/../patients/./17",
        "https://api.test/%70atients/%31%37",
        "https://gateway.test:8443/journal/patients/17",
        "https://GATEWAY.test:8443/%6Aournal/patients/17?a",
    ],
)
def test_other_writings_of_the_url_hold(htu: str) -> None:
    assert verdict(honest().claims(htu=htu).build()) is None


@pytest.mark.twin("DPOP-10")
def test_a_proof_with_the_nonce_of_this_api_holds() -> None:
    assert verdict(honest(nonce=NONCES.make(NOW)).build(), by=ASKING) is None
    assert verdict(honest(nonce=NONCES.make(NOW - 150)).build(), by=ASKING) is None


@pytest.mark.attack("DPOP-10")
def test_a_proof_without_a_good_nonce_is_refused() -> None:
    good, other = NONCES.make(NOW), Nonces((b"o" * 32,))
    assert verdict(honest().build(), by=ASKING) is Code.PROOF_NONCE
    for nonce in (
        "",
        NONCES.make(NOW - 300),
        NONCES.make(NOW + 300),
        other.make(NOW),
        good[:-1],
        f"{good}A",
        f" {good}",
        good.swapcase(),
        "\u00f8" * 22,
        "A" * 4000,
    ):
        assert verdict(honest().claims(nonce=nonce).build(), by=ASKING) is Code.PROOF_NONCE


@pytest.mark.attack("DPOP-10")
@pytest.mark.parametrize("nonce", [None, 1, True, [], ["a"], {}], ids=str)
def test_a_nonce_that_is_no_text_is_refused_whether_or_not_one_is_asked_for(nonce: Any) -> None:
    proof = honest().claims(nonce=nonce).build()
    assert verdict(proof, by=ASKING) is Code.PROOF_MALFORMED
    assert verdict(proof) is Code.PROOF_MALFORMED


@pytest.mark.attack("DPOP-11")
@pytest.mark.parametrize("iat", [NOW - 31, NOW + 6, 0, -1, 1e308, 10**20 - 1, NOW * 1000])
def test_a_proof_of_another_time_is_refused(iat: float) -> None:
    text = json.dumps({**json.loads(honest().payload_octets()), "iat": iat})
    assert verdict(honest().payload(text.encode()).build()) is Code.PROOF_TIME


@pytest.mark.attack("DPOP-11")
@pytest.mark.parametrize("iat", ["1e400", "-1e400", "NaN", "Infinity", "9" * 30, '"1800000000"'])
def test_a_time_that_is_no_number_is_refused(iat: str) -> None:
    text = honest().without("iat").payload_octets()[:-1] + f',"iat":{iat}}}'.encode()
    assert verdict(honest().payload(text).build()) is Code.PROOF_MALFORMED


@pytest.mark.twin("DPOP-11")
@pytest.mark.parametrize("iat", [NOW, int(NOW), NOW - 29.5, NOW + 4.5])
def test_a_time_within_the_window_holds(iat: float) -> None:
    assert verdict(honest().claims(iat=iat).build()) is None


@pytest.mark.attack("DPOP-12")
def test_the_hash_of_anything_but_this_token_is_refused() -> None:
    right = token_hash(TOKEN)
    digest = sha256(TOKEN.encode()).digest()
    for ath in (
        "",
        token_hash(f"{TOKEN}x"),
        token_hash(TOKEN.upper()),
        token_hash(""),
        f"{right}=",
        right[:-1] + chr(ord(right[-1]) + 1),
        right.replace("-", "+").replace("_", "/") + "=",
        digest.hex(),
        encode_base64url(digest[:16]),
        encode_base64url(sha256(b"payload of the token").digest()),
        right + "\u00f8",
        "a" * 4000,
    ):
        assert verdict(honest().claims(ath=ath).build()) is Code.PROOF_TOKEN
    for other in (None, True, 1, [right], {"ath": right}):
        assert verdict(honest().claims(ath=other).build()) is Code.PROOF_TOKEN


@pytest.mark.attack("DPOP-12")
def test_a_proof_for_one_token_is_refused_with_another() -> None:
    assert verdict(honest().build(), token=f"{TOKEN}x") is Code.PROOF_TOKEN
    assert verdict(honest().without("ath").build()) is Code.PROOF_TOKEN


@pytest.mark.attack("DPOP-13")
def test_a_token_that_is_bound_to_another_key_is_refused() -> None:
    other = new_signer("ES256")
    assert verdict(honest(signer=other).build()) is Code.PROOF_BINDING
    assert verdict(honest().build(), thumbprint=jkt_of(other)) is Code.PROOF_BINDING


@pytest.mark.attack("DPOP-13")
def test_a_thumbprint_of_other_members_in_another_order_or_writing_is_refused() -> None:
    signer = signer_for("ES256")
    members, right = public_members(signer.public_key), jkt_of(signer)
    wrong = [
        encode_base64url(sha256(encode_object(signer.public_jwk())).digest()),
        encode_base64url(sha256(encode_object(dict(reversed(members.items())))).digest()),
        encode_base64url(sha256(json.dumps(members, sort_keys=True).encode()).digest()),
        sha256(encode_object(dict(sorted(members.items())))).hexdigest(),
        f"{right}=",
        right.lower(),
        "",
    ]
    for bound in wrong:
        assert verdict(honest().build(), thumbprint=bound) is Code.PROOF_BINDING


@pytest.mark.attack("DPOP-15")
@pytest.mark.parametrize("bound", ["", "null", "None"])
def test_a_token_that_is_bound_to_nothing_is_refused(bound: str) -> None:
    assert verdict(honest().build(), thumbprint=bound) is Code.PROOF_BINDING


@pytest.mark.attack("DPOP-18")
def test_a_giant_jti_is_refused_and_a_long_one_remembered_by_its_digest() -> None:
    for length in (MAX_TOKEN_ID + 1, 4000, 1_000_000):
        assert verdict(honest().claims(jti="a" * length).build()) is Code.PROOF_MALFORMED
    longest = read(honest().claims(jti="a" * MAX_TOKEN_ID).build())
    assert len(longest.token_id_digest) <= 43


@pytest.mark.attack("DPOP-19")
def test_an_access_token_is_no_proof() -> None:
    # With a key in its header, signed by it, and with every claim of a proof.
    builder = honest()
    assert verdict(builder.header(typ="at+jwt").build()) is Code.PROOF_TYPE
    token = sign_compact({"alg": "ES256", "typ": "at+jwt"}, {"iss": "a"}, signer_for("ES256"))
    assert verdict(token) is Code.PROOF_TYPE
    plain = sign_compact({"alg": "ES256", "typ": "dpop+jwt"}, {"iss": "a"}, signer_for("ES256"))
    assert verdict(plain) is Code.PROOF_KEY


@pytest.mark.attack("DPOP-20")
def test_a_proof_that_was_made_for_the_issuer_is_refused() -> None:
    for_the_issuer = honest(method="POST", url="https://issuer.test/token").without("ath")
    assert verdict(for_the_issuer.build()) is Code.PROOF_METHOD
    # Also where the issuer is at the same address.
    assert verdict(honest().without("ath").build()) is Code.PROOF_TOKEN


@pytest.mark.attack("DPOP-21")
def test_no_proof_is_refused() -> None:
    assert verdict() is Code.PROOF_MISSING


@pytest.mark.attack("DPOP-22")
@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"use": "SIG"},
        {"use": None},
        {"key_ops": ["encrypt"]},
        {"key_ops": ["sign"]},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"key_ops": ["verify", "verify"]},
        {"use": "enc", "key_ops": ["verify"]},
    ],
    ids=str,
)
def test_a_key_that_is_for_something_else_is_refused(members: dict[str, Any]) -> None:
    assert verdict(honest().jwk(**members).build()) is Code.PROOF_KEY


@pytest.mark.twin("DPOP-22")
@pytest.mark.parametrize(
    "members",
    [
        {"kid": "key-1"},
        {"use": "sig", "alg": "ES256"},
        {"key_ops": ["verify"]},
        {"x5c": ["AA=="], "x5t": "AA", "x5u": "https://attacker.invalid"},
        {"own": {"a": [1]}},
    ],
    ids=str,
)
def test_further_members_of_the_key_change_nothing(members: dict[str, Any]) -> None:
    assert read(honest().jwk(**members).build()).thumbprint == jkt_of(signer_for("ES256"))
