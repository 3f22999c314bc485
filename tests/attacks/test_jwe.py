"""Family JWE: encrypted tokens. What is opened is still a stranger's text; what is odd is not opened."""

import json
import time
import zlib
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from encrypting import (
    CIPHERTEXT,
    HEADER,
    IV,
    KEY,
    TAG,
    b64,
    encrypt_cbc,
    point,
    sealed,
    token,
    with_part,
)
from portvakt.errors import ConfigurationError, Refused
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.encryption import CONTENT, KEY_MANAGEMENT
from portvakt.jose.jwe import Decryption, encrypt
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.jws import parse, verify
from portvakt.jose.signer import Signer, sign_compact
from portvakt.refusal import Code

RSA: Final = DecryptionKey.generate("RSA-OAEP-256", "rsa", bits=2048)
DIRECT: Final = DecryptionKey.generate("ECDH-ES", "direct")
WRAPPED: Final = DecryptionKey.generate("ECDH-ES+A128KW", "wrapped", crv="P-384")
WRAPPED_256: Final = DecryptionKey.generate("ECDH-ES+A256KW", "wrapped-256", crv="P-521")
KEYS: Final = {key.alg: key for key in (RSA, DIRECT, WRAPPED, WRAPPED_256)}
DECRYPTION: Final = Decryption(KEYS.values())

INNER: Final = "e30.e30.c2ln"
SIGNER: Final = Signer.generate("ES256", "key-1")
ISSUER_KEYS: Final = JwkSet.from_object({"keys": [SIGNER.public_jwk()]}, ["ES256"])

NONE: Final = b64(b'{"alg":"none"}')
HS256: Final = b64(b'{"alg":"HS256","kid":"key-1"}')

EVERY: Final = [f"JWE-{n:02}" for n in range(2, 17)]


def refusal(text: str, decryption: Decryption = DECRYPTION) -> Code | None:
    try:
        decryption.decrypt(text)
    except Refused as refused:
        return refused.refusal.code
    return None


def verdict(text: str) -> Code | None:
    """Decrypt, and go on as with a token in the open."""
    try:
        jws = parse(DECRYPTION.decrypt(text), {})
        verify(jws, ISSUER_KEYS.select(jws.header.alg, jws.header.kid))
    except Refused as refused:
        return refused.refusal.code
    return None


def octets(part: str) -> bytes:
    return urlsafe_b64decode(part + "===")


@pytest.mark.twin("JWE-01", *EVERY)
@pytest.mark.parametrize("enc", CONTENT)
@pytest.mark.parametrize("alg", KEY_MANAGEMENT)
def test_honest_token_is_decrypted(alg: str, enc: str) -> None:
    for length in range(1, 34):
        inner = "x" * length
        assert DECRYPTION.decrypt(token(KEYS[alg], inner, enc=enc)) == inner
    assert DECRYPTION.decrypt(encrypt(INNER, KEYS[alg].public_jwk(), enc=enc)) == INNER


@pytest.mark.twin("JWE-02", "JWE-03", "JWE-04")
def test_signed_token_in_an_encrypted_one_is_verified() -> None:
    signed = sign_compact({"alg": "ES256", "kid": "key-1"}, {"sub": "x"}, SIGNER)
    assert verdict(token(RSA, signed)) is None


@pytest.mark.twin("JWE-15")
def test_without_kid_the_only_key_that_fits_is_used() -> None:
    for key in KEYS.values():
        assert DECRYPTION.decrypt(token(key, without=("kid",))) == INNER


@pytest.mark.twin("JWE-16")
@pytest.mark.parametrize(
    "header",
    [
        {"cty": "JWT"}, {"cty": "jwt"}, {"cty": "application/jwt"}, {"typ": "JWT"}, {"typ": "at+jwt"},
        {"typ": "dpop+jwt"}, {"x5t": "abc"}, {"x5c": ["MIIB"]}, {"p2c": 1}, {"iss": "https://x", "aud": "y"},
        {"exp": 1}, {"tag": 5, "iv": []},
    ],
)  # fmt: skip
def test_header_parameters_that_mean_nothing_here_are_ignored(header: dict[str, Any]) -> None:
    assert DECRYPTION.decrypt(token(RSA, header=header)) == INNER
    assert DECRYPTION.decrypt(token(RSA, header=header, without=("cty",))) == INNER


@pytest.mark.twin("JWE-09")
def test_parties_of_an_agreement_are_part_of_it() -> None:
    # RFC 7518 section 4.6.2; the agreement is computed again by hand.
    said = {"apu": b64(b"Alice"), "apv": b64(b"Bob")}
    made = encrypt(INNER, DIRECT.public_jwk(), header=said)
    assert DECRYPTION.decrypt(made) == INNER
    assert refusal(token(DIRECT, header=said)) is Code.DECRYPTION_FAILED  # derived without them


@pytest.mark.attack("JWE-01")
@pytest.mark.parametrize("dots", [0, 1, 2, 3, 5, 6, 100])
def test_wrong_number_of_parts_is_refused(dots: int) -> None:
    parts = sealed(RSA)
    assert refusal(".".join((parts * 30)[: dots + 1])) is Code.TOKEN_PARTS


@pytest.mark.attack("JWE-02")
def test_what_anybody_can_encrypt_is_verified_by_nobody() -> None:
    # Our public key is public: the token opens, and that says nothing about who made it.
    forger = Signer.generate("ES256", "key-1")
    forged = sign_compact({"alg": "ES256", "kid": "key-1"}, {"sub": "x"}, forger)
    opened = DECRYPTION.decrypt(token(RSA, forged))
    assert type(opened) is str
    assert verdict(token(RSA, forged)) is Code.SIGNATURE_INVALID


@pytest.mark.attack("JWE-02")
def test_key_of_the_issuer_opens_nothing() -> None:
    # Encrypted to the issuer's public key, which is for signatures.
    issuer = Signer.generate("RS256", "issuer")
    private = {**issuer.private_jwk(), "alg": "RSA-OAEP-256"}
    to_issuer = DecryptionKey("RSA-OAEP-256", "rsa", issuer._private_key)
    assert refusal(token(to_issuer)) is Code.DECRYPTION_FAILED
    with pytest.raises(ConfigurationError, match="its use is not enc"):
        DecryptionKey.from_jwk(private)


@pytest.mark.attack("JWE-03")
@pytest.mark.parametrize(
    ("inner", "code"),
    [
        ('{"iss":"https://issuer.test","sub":"x"}', Code.TOKEN_PARTS),
        (f"{NONE}.e30.", Code.TOKEN_PARTS),
        (f"{NONE}.e30.AA", Code.KEY_UNKNOWN),
        (f"{HS256}.e30.AA", Code.KEY_UNKNOWN),
        ("", Code.ENCRYPTION_REFUSED),
    ],
)  # fmt: skip
def test_unsigned_token_in_an_encrypted_one_is_refused(inner: str, code: Code) -> None:
    assert verdict(token(RSA, inner)) is code


@pytest.mark.attack("JWE-04")
def test_encrypted_token_in_an_encrypted_one_is_not_opened() -> None:
    nested = token(DIRECT, sign_compact({"alg": "ES256", "kid": "key-1"}, {}, SIGNER))
    for _ in range(5):
        nested = token(DIRECT, nested)
        # It is handed over as it is, once; and whoever takes it apart refuses it.
        assert DECRYPTION.decrypt(nested).count(".") == 4
        assert verdict(nested) is Code.TOKEN_ENCRYPTED
    while len(nested) <= 16 * 1024:
        nested = token(DIRECT, nested)
    assert refusal(nested) is Code.TOKEN_TOO_LONG


@pytest.mark.attack("JWE-05")
@pytest.mark.parametrize("value", ["DEF", "def", "GZIP", "", None, 0, False])
def test_compression_is_refused_before_anything_is_inflated(value: object) -> None:
    # Nine million characters in nine thousand.
    compressor = zlib.compressobj(9, wbits=-15)
    bomb = compressor.compress(b"A" * 9_000_000) + compressor.flush()
    for key in KEYS.values():
        assert refusal(token(key, bomb, header={"zip": value})) is Code.ENCRYPTION_REFUSED


@pytest.mark.attack("JWE-06", "JWE-07")
@pytest.mark.parametrize("alg", ["PBES2-HS256+A128KW", "PBES2-HS384+A192KW", "PBES2-HS512+A256KW"])
@pytest.mark.parametrize("count", [2147483647, 10**9, 300_000, 1000, 1, 0, -1, "1000", 1e9, None])
def test_password_based_key_is_never_derived(alg: str, count: object) -> None:
    parts = sealed(RSA, header={"alg": alg, "p2s": b64(b"salt" * 4), "p2c": count})
    begun = time.process_time()
    assert refusal(".".join(parts)) is Code.ENCRYPTION_REFUSED
    assert time.process_time() - begun < 1  # a single one of the large ones takes minutes


@pytest.mark.attack("JWE-08", "JWE-15")
def test_rsa1_5_is_refused_whatever_the_padding_is() -> None:
    public = RSA.private_key.public_key()
    good = public.encrypt(b"k" * 32, padding.PKCS1v15())
    parts = sealed(RSA, header={"alg": "RSA1_5"})
    seen = set()
    for wrapped in (good, good[:-1] + bytes([good[-1] ^ 1]), bytes(256), b"\xff" * 256, b""):
        with pytest.raises(Refused) as caught:
            DECRYPTION.decrypt(with_part(parts, KEY, wrapped))
        seen.add((caught.value.refusal.code, caught.value.refusal.detail))
    assert seen == {(Code.ENCRYPTION_REFUSED, "alg is not one that is accepted")}


@pytest.mark.attack("JWE-08")
def test_rsa_oaep_of_sha_1_is_refused_by_name_and_by_key() -> None:
    public = RSA.private_key.public_key()
    old = public.encrypt(b"k" * 32, padding.OAEP(padding.MGF1(SHA1()), SHA1(), None))
    assert (
        refusal(with_part(sealed(RSA, header={"alg": "RSA-OAEP"}), KEY, old))
        is Code.ENCRYPTION_REFUSED
    )
    assert refusal(with_part(sealed(RSA), KEY, old)) is Code.DECRYPTION_FAILED


def points() -> Iterator[tuple[str, object]]:
    honest = point(ec.generate_private_key(ec.SECP256R1()).public_key())
    other = point(ec.generate_private_key(ec.SECP384R1()).public_key())
    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    x = int.from_bytes(octets(honest["x"]), "big")
    yield "none", None
    yield "no object", "epk"
    yield "empty", {}
    yield "a list", [honest]
    yield "of another curve", other
    yield "of another curve, by name", {**other, "crv": "P-256"}
    yield "on no curve", {**honest, "y": honest["x"]}
    yield "the origin", {**honest, "x": b64(bytes(32)), "y": b64(bytes(32))}
    yield "a number above p", {**honest, "x": b64((x + p).to_bytes(33, "big"))}
    yield "the number p for zero", {**honest, "x": b64(p.to_bytes(32, "big"))}
    yield "a coordinate too short", {**honest, "x": b64(b"\1" * 31)}
    yield "a coordinate missing", {name: honest[name] for name in ("kty", "crv", "x")}
    yield "a coordinate of another kind", {**honest, "x": 1}
    yield "padded", {**honest, "x": f"{honest['x']}="}
    yield "with the private half", {**honest, "d": b64(b"\1" * 32)}
    yield "with a purpose", {**honest, "use": "sig"}
    yield "with a name", {**honest, "kid": "direct"}
    yield "of another type", {**honest, "kty": "OKP"}
    yield "of an unknown curve", {**honest, "crv": "secp256k1"}
    yield "X25519, all zero", {"kty": "OKP", "crv": "X25519", "x": b64(bytes(32))}
    yield "an octet key", {"kty": "oct", "k": b64(bytes(32))}
    yield "an RSA key", {"kty": "RSA", "n": b64(b"\1" * 256), "e": "AQAB"}


@pytest.mark.attack("JWE-09")
@pytest.mark.parametrize(("what", "epk"), list(points()))
def test_point_of_the_sender_is_on_our_curve_or_refused(what: str, epk: object) -> None:
    assert refusal(token(DIRECT, header={"epk": epk})) is Code.ENCRYPTION_REFUSED


@pytest.mark.attack("JWE-09")
@pytest.mark.parametrize("key", [DIRECT, WRAPPED, WRAPPED_256], ids=repr)
def test_token_without_a_point_is_refused(key: DecryptionKey) -> None:
    assert refusal(token(key, without=("epk",))) is Code.ENCRYPTION_REFUSED
    # Another point on the curve is well-formed, and leads to another key.
    other = point(ec.generate_private_key(key.private_key.curve).public_key())
    assert refusal(token(key, header={"epk": other})) is Code.DECRYPTION_FAILED


@pytest.mark.attack("JWE-09")
@pytest.mark.parametrize("value", [1, None, [], "a=", "a b", "A", "AB+/"])
@pytest.mark.parametrize("name", ["apu", "apv"])
def test_party_of_an_agreement_is_canonical_or_refused(name: str, value: object) -> None:
    assert refusal(token(DIRECT, header={name: value})) is Code.ENCRYPTION_REFUSED


@pytest.mark.attack("JWE-10", "JWE-11")
@pytest.mark.parametrize("enc", CONTENT)
@pytest.mark.parametrize("alg", KEY_MANAGEMENT)
def test_tag_or_vector_of_another_length_is_refused(alg: str, enc: str) -> None:
    parts = sealed(KEYS[alg], enc=enc)
    for index, longest in ((IV, 20), (TAG, 70)):
        whole = octets(parts[index])
        for length in range(longest):
            other = whole[:length].ljust(length, b"\0")
            if length != len(whole):
                assert refusal(with_part(parts, index, other)) is Code.ENCRYPTION_REFUSED


@pytest.mark.attack("JWE-11")
def test_header_is_too_short_for_its_length_to_overflow() -> None:
    # CVE-2016-9123 took half a gigabyte of authenticated data.
    parts = sealed(DIRECT, enc="A128CBC-HS256", header={"x": "a" * 4096})
    assert refusal(".".join(parts)) is Code.ENCRYPTION_REFUSED
    parts = sealed(RSA, header={"x": ["a"] * 100})
    assert refusal(".".join(parts)) is Code.ENCRYPTION_REFUSED


@pytest.mark.attack("JWE-12")
@pytest.mark.parametrize("enc", CONTENT)
@pytest.mark.parametrize("alg", KEY_MANAGEMENT)
def test_every_change_is_the_same_failure(alg: str, enc: str) -> None:
    parts = sealed(KEYS[alg], "x" * 40, enc=enc)
    seen = set()
    for index in (KEY, IV, CIPHERTEXT, TAG):
        whole = octets(parts[index])
        for at in {0, len(whole) // 2, len(whole) - 1} if whole else ():
            changed = bytearray(whole)
            changed[at] ^= 1
            with pytest.raises(Refused) as caught:
                DECRYPTION.decrypt(with_part(parts, index, bytes(changed)))
            assert caught.value.__context__ is None  # no library's reason behind it
            seen.add((caught.value.refusal.code, caught.value.refusal.detail))
    assert seen == {(Code.DECRYPTION_FAILED, "the token does not decrypt")}


@pytest.mark.attack("JWE-12")
def test_padding_is_looked_at_after_the_tag_and_is_the_same_failure() -> None:
    # Whoever has the key of the content can make a good tag over bad padding: it tells them nothing.
    for padded in (b"\0" * 16, b"\x11" * 16, b"x" * 15 + b"\x02", b"x" * 32):
        parts = sealed(RSA, enc="A128CBC-HS256", cek=b"k" * 32)
        iv = octets(parts[IV])
        ciphertext, tag = encrypt_cbc(b"k" * 32, iv, parts[HEADER].encode(), padded)
        good_tag = ".".join([*parts[:CIPHERTEXT], b64(ciphertext), b64(tag)])
        bad_tag = ".".join([*parts[:CIPHERTEXT], b64(ciphertext), b64(bytes(16))])
        details = set()
        for text in (good_tag, bad_tag):
            with pytest.raises(Refused) as caught:
                DECRYPTION.decrypt(text)
            details.add((caught.value.refusal.code, caught.value.refusal.detail))
        assert details == {(Code.DECRYPTION_FAILED, "the token does not decrypt")}


@pytest.mark.attack("JWE-12")
def test_changed_header_is_noticed() -> None:
    for key in KEYS.values():
        parts = sealed(key, header={"x": "a"})
        changed = octets(parts[HEADER]).replace(b'"x":"a"', b'"x":"b"')
        assert refusal(with_part(parts, HEADER, changed)) is Code.DECRYPTION_FAILED


@pytest.mark.attack("JWE-13")
def test_direct_agreement_with_an_encrypted_key_is_refused() -> None:
    parts = sealed(DIRECT)
    for wrapped in (b"\0", b"k" * 40, b"k" * 256):
        assert refusal(with_part(parts, KEY, wrapped)) is Code.ENCRYPTION_REFUSED


@pytest.mark.attack("JWE-13", "JWE-15")
@pytest.mark.parametrize(
    "alg",
    ["dir", "A128KW", "A192KW", "A256KW", "A128GCMKW", "A192GCMKW", "A256GCMKW", "ECDH-ES+A192KW",
     "RSA-OAEP", "RSA-OAEP-384", "RSA-OAEP-512", "ECDH-1PU", "HS256", "RS256", "none", "NONE", "",
     "rsa-oaep-256", "RSA-OAEP-256 ", "ecdh-es", None, 1, True, ["ECDH-ES"], {"alg": "ECDH-ES"}],
)  # fmt: skip
def test_other_algorithms_are_refused_for_every_key(alg: object) -> None:
    for key in KEYS.values():
        for without in ((), ("kid",)):
            made = token(key, header={"alg": alg}, without=without)
            assert refusal(made) is Code.ENCRYPTION_REFUSED
            assert refusal(token(key, without=("alg", *without))) is Code.ENCRYPTION_REFUSED


@pytest.mark.attack("JWE-13", "JWE-15")
@pytest.mark.parametrize(
    "enc",
    ["A192GCM", "A192CBC-HS384", "A128CBC-HS512", "C20P", "XC20P", "none", "", "a256gcm", "A256GCM\0",
     None, 1, ["A256GCM"], {}],
)  # fmt: skip
def test_other_content_encryption_is_refused(enc: object) -> None:
    for key in KEYS.values():
        assert refusal(token(key, header={"enc": enc})) is Code.ENCRYPTION_REFUSED
        assert refusal(token(key, without=("enc",))) is Code.ENCRYPTION_REFUSED


@pytest.mark.attack("JWE-13")
@pytest.mark.parametrize("enc", CONTENT)
@pytest.mark.parametrize("length", [0, 1, 15, 16, 24, 32, 48, 63, 64, 65, 128])
def test_key_of_the_content_has_its_length_or_is_refused(enc: str, length: int) -> None:
    if length == CONTENT[enc].key_length:
        return
    # RSA hides the length until it is decrypted; key wrap shows it.
    whole = sealed(RSA, enc=enc)
    public = RSA.private_key.public_key()
    oaep = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
    wrapped = public.encrypt(b"k" * length, oaep)
    assert refusal(with_part(whole, KEY, wrapped)) is Code.DECRYPTION_FAILED
    for key in (WRAPPED, WRAPPED_256):
        parts = sealed(key, enc=enc)
        assert refusal(with_part(parts, KEY, b"k" * (length + 8))) is Code.ENCRYPTION_REFUSED


@pytest.mark.attack("JWE-14")
@pytest.mark.parametrize("enc", CONTENT)
@pytest.mark.parametrize("alg", KEY_MANAGEMENT)
def test_truncated_and_empty_parts_are_refused(alg: str, enc: str) -> None:
    parts = sealed(KEYS[alg], "x" * 40, enc=enc)
    for index in range(5):
        # An empty part; an impossible length, or spare bits; and every shorter whole.
        for part in ("", "A", "AB", parts[index] + "="):
            if part != parts[index]:
                assert refusal(".".join([*parts[:index], part, *parts[index + 1 :]])) is not None
        whole = octets(parts[index])
        for length in range(len(whole)):
            assert refusal(with_part(parts, index, whole[:length])) is not None
    for text in ("....", "a....", f"{parts[0]}....", "....a"):
        assert refusal(text) is not None


@pytest.mark.attack("JWE-14")
@pytest.mark.parametrize("enc", ["A128CBC-HS256", "A256CBC-HS512"])
def test_ciphertext_that_is_no_multiple_of_a_block_is_refused_before_it_is_decrypted(
    enc: str,
) -> None:
    parts = sealed(DIRECT, "x" * 40, enc=enc)
    for length in range(1, 48):
        code = Code.DECRYPTION_FAILED if length % 16 == 0 else Code.ENCRYPTION_REFUSED
        assert refusal(with_part(parts, CIPHERTEXT, octets(parts[CIPHERTEXT])[:length])) is code


@pytest.mark.attack("JWE-14")
@pytest.mark.parametrize("extra", [" ", "\n", "\t", "\0", "=", "+", "/", "é", "\ud800", "\u200b"])
def test_characters_outside_the_alphabet_are_refused(extra: str) -> None:
    parts = sealed(DIRECT)
    for index in range(5):
        for part in (parts[index] + extra, extra + parts[index]):
            found = refusal(".".join([*parts[:index], part, *parts[index + 1 :]]))
            assert found is Code.TOKEN_ENCODING


@pytest.mark.attack("JWE-14")
@pytest.mark.parametrize(
    "header",
    [b"", b"{", b"[]", b"null", b'"alg"', b"\xff", b'{"alg":"ECDH-ES","alg":"ECDH-ES"}', b"{}",
     b'{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"rsa","kid":"rsa"}', b"[" * 3000,
     b'{"a":' * 20 + b"1" + b"}" * 20, b'{"x":' + b"1" * 4000 + b"}"],
)  # fmt: skip
def test_header_that_is_not_one_strict_object_is_refused(header: bytes) -> None:
    assert refusal(with_part(sealed(RSA), HEADER, header)) is Code.ENCRYPTION_REFUSED


@pytest.mark.attack("JWE-14")
@pytest.mark.parametrize("plaintext", [b"\xff", "e30.e30.ø".encode(), b"a\x80b", bytes(range(256))])
def test_plaintext_that_is_no_text_of_a_token_is_refused(plaintext: bytes) -> None:
    assert refusal(token(RSA, plaintext)) is Code.ENCRYPTION_REFUSED


@pytest.mark.attack("JWE-15")
def test_key_is_bound_to_one_algorithm() -> None:
    # The right key material, the right wrapping: and a name that says another algorithm.
    for key, others in (
        (DIRECT, ("ECDH-ES+A128KW", "ECDH-ES+A256KW")),
        (WRAPPED, ("ECDH-ES", "ECDH-ES+A256KW")),
        (WRAPPED_256, ("ECDH-ES", "ECDH-ES+A128KW")),
        (RSA, ("ECDH-ES",)),
    ):
        for alg in others:
            how = alg if key is not RSA else None
            assert refusal(token(key, alg=how, header={"alg": alg})) is Code.ENCRYPTION_REFUSED


@pytest.mark.attack("JWE-15")
@pytest.mark.parametrize("kid", ["other", "RSA", "rsa ", "", "x" * 257, None, 1, ["rsa"], {}])
def test_unknown_name_selects_no_key(kid: object) -> None:
    # Though exactly one key would fit.
    assert refusal(token(RSA, header={"kid": kid})) is Code.ENCRYPTION_REFUSED


@pytest.mark.attack("JWE-15")
def test_without_kid_two_keys_that_fit_are_none() -> None:
    second = DecryptionKey.generate("ECDH-ES", "second")
    two = Decryption([DIRECT, second])
    assert refusal(token(DIRECT, without=("kid",)), two) is Code.ENCRYPTION_REFUSED
    assert two.decrypt(token(second)) == INNER
    assert refusal(token(RSA, without=("kid",)), two) is Code.ENCRYPTION_REFUSED
    with pytest.raises(ConfigurationError, match="two keys that decrypt have one kid"):
        Decryption([DIRECT, DIRECT])


@pytest.mark.attack("JWE-15")
@pytest.mark.parametrize("name", ["crit", "jwk", "jku", "x5u", "b64"])
@pytest.mark.parametrize("value", [None, [], ["exp"], "https://evil.test/keys", True, {}])
def test_header_that_leads_elsewhere_is_refused(name: str, value: object) -> None:
    assert refusal(token(RSA, header={name: value})) is Code.ENCRYPTION_REFUSED


@pytest.mark.attack("JWE-03", "JWE-15")
@pytest.mark.parametrize(
    "cty", ["", "json", "application/json", "at+jwt", "JWE", "jwt;x=1", None, 1, ["JWT"]]
)
def test_content_that_says_it_is_something_else_is_refused(cty: object) -> None:
    assert refusal(token(RSA, header={"cty": cty})) is Code.ENCRYPTION_REFUSED


def flattened(**change: Any) -> dict[str, Any]:
    header, wrapped, iv, ciphertext, tag = sealed(RSA)
    members = {
        "protected": header,
        "encrypted_key": wrapped,
        "iv": iv,
        "ciphertext": ciphertext,
        "tag": tag,
    }
    return {**members, **change}


@pytest.mark.attack("JWE-16")
@pytest.mark.parametrize(
    "form",
    [
        flattened,
        lambda: flattened(unprotected={"alg": "RSA-OAEP-256"}, aad="AAAA"),
        lambda: flattened(protected="", unprotected={"alg": "RSA-OAEP-256", "enc": "A256GCM", "a": "...."}),
        lambda: flattened(recipients=[{"header": {"alg": "RSA-OAEP-256"}, "encrypted_key": "...."}] * 2),
    ],
)  # fmt: skip
def test_json_serialization_is_refused(form: Callable[[], dict[str, Any]]) -> None:
    text = json.dumps(form())
    assert refusal(text) in {Code.TOKEN_PARTS, Code.TOKEN_ENCODING}
    assert refusal(b64(text.encode()) + "....") is Code.ENCRYPTION_REFUSED


@pytest.mark.attack("JWE-16")
def test_algorithm_is_taken_from_the_protected_header_alone() -> None:
    parts = sealed(RSA, without=("alg",))
    assert refusal(".".join(parts)) is Code.ENCRYPTION_REFUSED
