"""Family SIG, RSA: paddings made by hand, with the private key where a forger would need luck."""

import hmac
import itertools
from collections.abc import Callable
from functools import cache
from hashlib import sha1, sha256, sha384
from math import gcd
from typing import Final

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from judging import KID, decide, guard_for, guard_with, honest, parts, rsa_key, signer_for, verdict
from portvakt.jose.encoding import decode_base64url, encode_base64url
from portvakt.jose.signer import Signer
from portvakt.refusal import Code

SIZE: Final = 256

#: DigestInfo of RFC 8017 section 9.2, note 1, without the hash.
SHA256_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")
SHA384_INFO: Final = bytes.fromhex("3041300d060960864801650304020205000430")
SHA1_INFO: Final = bytes.fromhex("3021300906052b0e03021a05000414")


def signed_part(token: str) -> tuple[str, bytes]:
    header, payload, _ = parts(token)
    return f"{header}.{payload}", f"{header}.{payload}".encode()


def numbers() -> tuple[int, int, int]:
    """Return n, e and d."""
    private = rsa_key().private_numbers()
    return private.public_numbers.n, private.public_numbers.e, private.d


def by_hand(alg: str, encode: Callable[[bytes], bytes]) -> str:
    """Return a token whose signature is the private key's, of a text that *encode* makes."""
    text, signed = signed_part(honest(alg).build())
    n, _, d = numbers()
    encoded = encode(signed)
    assert len(encoded) == SIZE
    signature = pow(int.from_bytes(encoded, "big"), d, n).to_bytes(SIZE, "big")
    return f"{text}.{encode_base64url(signature)}"


def padded(block: bytes, *, kind: bytes = b"\x00\x01", ps: int | None = None) -> bytes:
    """Pad as PKCS #1 v1.5 does: kind, FF octets, zero, block; zeros follow if PS is short."""
    length = SIZE - 3 - len(block) if ps is None else ps
    return (kind + b"\xff" * length + b"\x00" + block).ljust(SIZE, b"\x00")


def digest(signed: bytes) -> bytes:
    return sha256(signed).digest()


FORGERIES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "zeros after the hash": lambda it: padded(SHA256_INFO + digest(it), ps=8),
    "garbage after the hash": lambda it: padded(SHA256_INFO + digest(it) + b"\xab" * 194, ps=8),
    "one octet after the hash": lambda it: padded(SHA256_INFO + digest(it) + b"\x00"),
    "no padding at all": lambda it: padded(SHA256_INFO + digest(it) + b"\xab" * 202, ps=0),
    "short padding, number smaller": lambda it: padded(SHA256_INFO + digest(it))[8:].rjust(
        SIZE, b"\0"
    ),
    "another octet in the padding": lambda it: padded(SHA256_INFO + digest(it)).replace(
        b"\xff\xff\x00", b"\xff\xfe\x00"
    ),
    "padding of zeros": lambda it: (SHA256_INFO + digest(it)).rjust(SIZE, b"\0"),
    "block type 0": lambda it: padded(SHA256_INFO + digest(it), kind=b"\x00\x00"),
    "block type 2": lambda it: padded(SHA256_INFO + digest(it), kind=b"\x00\x02"),
    "no zero before the block": lambda it: padded(SHA256_INFO + digest(it)).replace(
        b"\xff\x00" + SHA256_INFO, b"\xff\xff" + SHA256_INFO
    ),
    "OID of SHA-384": lambda it: padded(SHA384_INFO[:-1] + b"\x20" + digest(it)),
    "OID of SHA-1": lambda it: padded(SHA1_INFO + sha1(it).digest()),
    "hash of SHA-384": lambda it: padded(SHA384_INFO + sha384(it).digest()),
    "hash alone": lambda it: padded(digest(it)),
    "long form of the outer length": lambda it: padded(
        b"\x30\x81\x31" + SHA256_INFO[2:] + digest(it)
    ),
    "long form of the hash's length": lambda it: padded(
        b"\x30\x32" + SHA256_INFO[2:-1] + b"\x81\x20" + digest(it)
    ),
    "indefinite length": lambda it: padded(
        b"\x30\x80" + SHA256_INFO[2:] + digest(it) + b"\x00\x00"
    ),
    "NULL missing": lambda it: padded(
        bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20" + digest(it)
    ),
    "NULL with content": lambda it: padded(
        bytes.fromhex("3032300e06096086480165030402010501") + b"\xab\x04\x20" + digest(it)
    ),
    "garbage after NULL": lambda it: padded(
        b"\x30\x3d\x30\x19"
        + SHA256_INFO[4:17]
        + b"\x04\x0a"
        + b"\xab" * 10
        + b"\x04\x20"
        + digest(it)
    ),
    "garbage after the hash, counted": lambda it: padded(
        b"\x30\x35" + SHA256_INFO[2:] + digest(it) + b"\x04\x02\xab\xab"
    ),
    "hash cut short": lambda it: padded(SHA256_INFO[:-1] + b"\x10" + digest(it)[:16]),
}


@pytest.mark.twin("SIG-07")
def test_padding_made_by_hand_is_admitted_when_right() -> None:
    token = by_hand("RS256", lambda signed: padded(SHA256_INFO + digest(signed)))
    assert verdict(guard_for("RS256"), token) is None


@pytest.mark.attack("SIG-07")
@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_padding_is_refused(forgery: str) -> None:
    token = by_hand("RS256", FORGERIES[forgery])
    assert verdict(guard_for("RS256"), token) is Code.SIGNATURE_INVALID


@cache
def cubic() -> Signer:
    """Return a key whose exponent is 3: allowed, if nobody reads less than the whole padding."""
    return Signer("RS256", KID, rsa.generate_private_key(3, 2048))


@cache
def cube_root(value: int) -> int:
    """Return the least integer whose cube is at least *value*."""
    low, high = 0, 1 << (value.bit_length() // 3 + 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**3 < value else (low, middle)
    return low


@pytest.mark.attack("SIG-07")
@pytest.mark.parametrize("ps", [0, 8, 64])
def test_cube_root_of_a_padding_with_garbage_is_refused(ps: int) -> None:
    guard = guard_with(cubic().public_jwk(), algorithms=("RS256",))
    text, signed = signed_part(honest("RS256", cubic()).build())
    start = int.from_bytes(padded(SHA256_INFO + digest(signed), ps=ps), "big")
    root = cube_root(start)
    if ps < 64:
        # It is a forgery: its cube starts with a padding and the right hash, without the key.
        head = 3 + ps + len(SHA256_INFO) + 32
        assert (root**3).to_bytes(SIZE, "big")[:head] == start.to_bytes(SIZE, "big")[:head]
    token = f"{text}.{encode_base64url(root.to_bytes(SIZE, 'big'))}"
    assert verdict(guard, token) is Code.SIGNATURE_INVALID


@pytest.mark.twin("SIG-07", "SIG-16")
def test_key_with_exponent_three_verifies_honest_tokens() -> None:
    guard = guard_with(cubic().public_jwk(), algorithms=("RS256",))
    assert verdict(guard, honest("RS256", cubic()).build()) is None


@pytest.mark.attack("SIG-08")
@pytest.mark.parametrize("alg", ["RS256", "PS256"])
def test_signature_anyone_can_name_is_refused(alg: str) -> None:
    n, _, _ = numbers()
    text, _ = signed_part(honest(alg).build())
    for value in (0, 1, 2, n - 2, n - 1, n, n + 1, 256**SIZE - 1):
        token = f"{text}.{encode_base64url(value.to_bytes(SIZE, 'big'))}"
        assert verdict(guard_for(alg), token) is Code.SIGNATURE_INVALID


@pytest.mark.attack("SIG-08")
@pytest.mark.twin("SIG-08")
@pytest.mark.parametrize("alg", ["RS256", "PS256"])
def test_signature_plus_the_modulus_is_refused(alg: str) -> None:
    n, _, _ = numbers()
    while True:  # Every third signature leaves room for it: see judging.rsa_key.
        token = honest(alg).build()
        value = int.from_bytes(decode_base64url(parts(token)[2]), "big") + n
        if value < 256**SIZE:
            break
    altered = f"{signed_part(token)[0]}.{encode_base64url(value.to_bytes(SIZE, 'big'))}"
    assert verdict(guard_for(alg), altered) is Code.SIGNATURE_INVALID
    assert verdict(guard_for(alg), token) is None


@pytest.mark.attack("SIG-08")
@pytest.mark.twin("SIG-08")
def test_leading_zero_of_a_signature_belongs_to_it() -> None:
    whole = b"\1"
    for count in itertools.count():  # One signature in 256 begins with a zero.
        text, signed = signed_part(honest("RS256").claims(count=count).build())
        whole = signer_for("RS256").sign(signed)
        if whole[0] == 0:
            break
    guard = guard_for("RS256")
    assert verdict(guard, f"{text}.{encode_base64url(whole)}") is None
    for altered in (whole[1:], b"\0" + whole):
        token = f"{text}.{encode_base64url(altered)}"
        assert verdict(guard, token) is Code.SIGNATURE_INVALID


def pss(salt: int, mask: hashes.HashAlgorithm, alg: hashes.HashAlgorithm) -> Callable[[str], str]:
    def sign(text: str) -> str:
        scheme = padding.PSS(padding.MGF1(mask), salt)
        return encode_base64url(rsa_key().sign(text.encode(), scheme, alg))

    return sign


PSS: Final = {
    "no salt": pss(0, hashes.SHA256(), hashes.SHA256()),
    "salt of 20": pss(20, hashes.SHA256(), hashes.SHA256()),
    "salt one less": pss(31, hashes.SHA256(), hashes.SHA256()),
    "salt one more": pss(33, hashes.SHA256(), hashes.SHA256()),
    "longest salt": pss(222, hashes.SHA256(), hashes.SHA256()),
    "MGF1 with SHA-1": pss(32, hashes.SHA1(), hashes.SHA256()),
    "MGF1 with SHA-512": pss(32, hashes.SHA512(), hashes.SHA256()),
    "hash SHA-1": pss(32, hashes.SHA256(), hashes.SHA1()),
}


@pytest.mark.twin("SIG-09")
def test_pss_made_by_hand_is_admitted_when_right() -> None:
    text, _ = signed_part(honest("PS256").build())
    right = pss(32, hashes.SHA256(), hashes.SHA256())(text)
    assert verdict(guard_for("PS256"), f"{text}.{right}") is None


@pytest.mark.attack("SIG-09")
@pytest.mark.parametrize("parameters", PSS)
def test_other_pss_parameters_are_refused(parameters: str) -> None:
    text, _ = signed_part(honest("PS256").build())
    token = f"{text}.{PSS[parameters](text)}"
    assert verdict(guard_for("PS256"), token) is Code.SIGNATURE_INVALID


@pytest.mark.attack("SIG-09")
@pytest.mark.parametrize("trailer", [0x00, 0xBB, 0xCC])
def test_other_pss_trailer_is_refused(trailer: int) -> None:
    n, e, d = numbers()
    token = honest("PS256").build()
    encoded = pow(int.from_bytes(decode_base64url(parts(token)[2]), "big"), e, n)
    assert encoded & 0xFF == 0xBC
    signature = pow(encoded & ~0xFF | trailer, d, n).to_bytes(SIZE, "big")
    altered = f"{signed_part(token)[0]}.{encode_base64url(signature)}"
    assert verdict(guard_for("PS256"), altered) is Code.SIGNATURE_INVALID


@pytest.mark.attack("SIG-09")
@pytest.mark.parametrize(("signed_as", "sent_as"), [("RS256", "PS256"), ("PS256", "RS256")])
def test_one_rsa_padding_is_not_the_other(signed_as: str, sent_as: str) -> None:
    lying = honest(signed_as).header(alg=sent_as).build()
    assert verdict(guard_for(sent_as), lying) is Code.SIGNATURE_INVALID


@pytest.mark.attack("SIG-16")
def test_public_key_computed_from_two_tokens_is_no_secret_to_forge_with() -> None:
    multiples = []
    for count in (1, 2):
        token = honest("RS256", cubic()).claims(count=count).build()
        signature = int.from_bytes(decode_base64url(parts(token)[2]), "big")
        encoded = padded(SHA256_INFO + digest(signed_part(token)[1]))
        multiples.append(signature**3 - int.from_bytes(encoded, "big"))
    common = gcd(*multiples)
    while common.bit_length() > 2048:  # A small factor may be common to both by chance.
        common //= next(factor for factor in range(2, 10_000) if common % factor == 0)
    known = rsa.RSAPublicNumbers(3, common).public_key()
    assert known == cubic().public_key

    text, signed = signed_part(honest("RS256", cubic()).header(alg="HS256").build())
    secret = known.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    token = f"{text}.{encode_base64url(hmac.digest(secret, signed, sha256))}"
    guard = guard_with(cubic().public_jwk(), algorithms=("RS256",))
    assert verdict(guard, token) is Code.ALGORITHM_REFUSED
    assert decide(guard, honest("RS256", cubic()).build()).admitted
    assert signer_for("RS256").public_key != known
