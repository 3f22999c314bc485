"""Family SIG, for every algorithm, and ECDSA's own: SIG-01 to -06, -13, -15, -17 to -19.

What is RSA's own is in test_sig_rsa.py, what is Ed25519's and Ed448's in test_sig_eddsa.py.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from judging import (
    ISSUER,
    KID,
    NOW,
    decide,
    guard_for,
    guard_with,
    honest,
    new_signer,
    parts,
    rsa_key,
    signer_for,
    trusted,
    verdict,
)
from portvakt.guard.guard import Guard
from portvakt.jose.algorithms import ALGORITHMS, CURVES
from portvakt.jose.encoding import decode_base64url, encode_base64url
from portvakt.jose.header import Header
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.signer import Signer
from portvakt.net.keys import KeySource
from portvakt.policy.issuer import TrustedIssuer
from portvakt.refusal import Code
from portvakt.testing.clock import FrozenClock

EVERY = tuple(ALGORITHMS)
ECDSA = ("ES256", "ES384", "ES512")


def signature_of(token: str) -> bytes:
    return decode_base64url(parts(token)[2])


def with_signature(token: str, signature: bytes) -> str:
    header, payload, _ = parts(token)
    return f"{header}.{payload}.{encode_base64url(signature)}"


@pytest.mark.twin(
    *(f"SIG-{n:02}" for n in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19))
)
@pytest.mark.parametrize("alg", EVERY)
def test_honest_signature_is_admitted(alg: str) -> None:
    assert verdict(guard_for(alg), honest(alg).build()) is None


@pytest.mark.attack("SIG-01")
@pytest.mark.parametrize("alg", EVERY)
def test_one_bit_changed_is_refused(alg: str) -> None:
    guard, token = guard_for(alg), honest(alg).header(note="a").claims(note="a").build()
    header, payload, encoded = parts(token)
    signature = signature_of(token)
    for position in {0, len(signature) // 2, len(signature) - 1}:
        changed = bytearray(signature)
        changed[position] ^= 1
        assert verdict(guard, with_signature(token, bytes(changed))) is Code.SIGNATURE_INVALID
    for part in (header, payload):
        octets = decode_base64url(part)
        changed_part = encode_base64url(octets.replace(b'"note":"a"', b'"note":"c"'))
        assert changed_part != part
        assert verdict(guard, f"{header}.{payload}.{encoded}".replace(part, changed_part)) is (
            Code.SIGNATURE_INVALID
        )
    assert verdict(guard, token) is None


@pytest.mark.attack("SIG-01")
def test_no_bit_of_an_ecdsa_signature_may_change() -> None:
    guard, token = guard_for("ES256"), honest().build()
    signature = signature_of(token)
    for position, bit in product(range(64), range(8)):
        changed = bytearray(signature)
        changed[position] ^= 1 << bit
        assert verdict(guard, with_signature(token, bytes(changed))) is Code.SIGNATURE_INVALID


LENGTHS: dict[str, Callable[[bytes], bytes]] = {
    "one octet less": lambda it: it[:-1],
    "first octet gone": lambda it: it[1:],
    "one octet more": lambda it: it + b"\0",
    "one octet before": lambda it: b"\0" + it,
    "16 zeros more": lambda it: it + bytes(16),
    "half": lambda it: it[: len(it) // 2],
    "twice": lambda it: it + it,
    "one octet": lambda _: b"\0",
    "both halves after a zero": lambda it: b"\0" + it[: len(it) // 2] + b"\0" + it[len(it) // 2 :],
    "giant": lambda it: it + bytes(11_000 - len(it)),
}


@pytest.mark.attack("SIG-02")
@pytest.mark.parametrize("change", LENGTHS)
@pytest.mark.parametrize("alg", EVERY)
def test_signature_of_another_length_is_refused(alg: str, change: str) -> None:
    token = honest(alg).build()
    altered = with_signature(token, LENGTHS[change](signature_of(token)))
    assert verdict(guard_for(alg), altered) is Code.SIGNATURE_INVALID


@pytest.mark.attack("SIG-02")
def test_signature_of_sixteen_kibibytes_is_refused_for_its_length() -> None:
    token = honest().build()
    altered = with_signature(token, signature_of(token) * 256)
    assert verdict(guard_for("ES256"), altered) is Code.TOKEN_TOO_LONG


@pytest.mark.attack("SIG-03")
@pytest.mark.parametrize("alg", ECDSA)
def test_r_and_s_that_anyone_can_name_are_refused(alg: str) -> None:
    curve = CURVES[ALGORITHMS[alg].crv or ""]
    size, order = curve.size, curve.parameters.group_order
    field = {"ES256": 2**256 - 2**224 + 2**192 + 2**96 - 1, "ES512": 2**521 - 1}.get(
        alg, 2**384 - 2**128 - 2**96 + 2**32 - 1
    )
    values = (0, 1, order - 1, order, order + 1, field - order, field, 256**size - 1)
    guard, token = guard_for(alg), honest(alg).build()
    for r, s in product(values, values):
        forged = r.to_bytes(size, "big") + s.to_bytes(size, "big")
        assert verdict(guard, with_signature(token, forged)) is Code.SIGNATURE_INVALID
    signature = signature_of(token)
    for half in (bytes(size), order.to_bytes(size, "big")):
        for forged in (signature[:size] + half, half + signature[size:]):
            assert verdict(guard, with_signature(token, forged)) is Code.SIGNATURE_INVALID


@dataclass
class Halves:
    """The two numbers of a signature, and how they are written."""

    r: int
    s: int
    size: int
    order: int

    @classmethod
    def of(cls, token: str, alg: str) -> "Halves":
        curve = CURVES[ALGORITHMS[alg].crv or ""]
        signature = signature_of(token)
        r, s = signature[: curve.size], signature[curve.size :]
        values = int.from_bytes(r, "big"), int.from_bytes(s, "big")
        return cls(*values, curve.size, curve.parameters.group_order)

    def written(self, r: int, s: int) -> bytes:
        return r.to_bytes(self.size, "big") + s.to_bytes(self.size, "big")


@pytest.mark.attack("SIG-04")
def test_r_and_s_above_the_order_are_refused() -> None:
    # P-521 has seven bits to spare, so the order can always be added.
    guard, token = guard_for("ES512"), honest("ES512").build()
    halves = Halves.of(token, "ES512")
    r, s, order = halves.r, halves.s, halves.order
    for forged in ((r + order, s), (r, s + order), (r + order, s + order), (r, s + 2 * order)):
        altered = with_signature(token, halves.written(*forged))
        assert verdict(guard, altered) is Code.SIGNATURE_INVALID


def key_for_which_s_is_one(signed: bytes) -> tuple[Signer, int]:
    """Return a P-256 key, and the r with which (r, 1) is its signature of *signed*."""
    curve = ec.SECP256R1()
    nonce, order = 2, curve.group_order
    r = ec.derive_private_key(nonce, curve).public_key().public_numbers().x
    digest = int.from_bytes(sha256(signed).digest(), "big")
    private = (nonce - digest) * pow(r, -1, order) % order  # from s = 1 = (digest + r * d) / nonce
    return Signer("ES256", KID, ec.derive_private_key(private, curve)), r


@pytest.mark.attack("SIG-04")
@pytest.mark.twin("SIG-04")
def test_p256_signature_with_the_order_added_is_refused_and_without_admitted() -> None:
    header, payload, _ = parts(honest().build())
    signer, r = key_for_which_s_is_one(f"{header}.{payload}".encode())
    guard = guard_with(signer.public_jwk(), algorithms=("ES256",))
    order = ec.SECP256R1().group_order
    small = r.to_bytes(32, "big") + (1).to_bytes(32, "big")
    large = r.to_bytes(32, "big") + (1 + order).to_bytes(32, "big")
    token = f"{header}.{payload}.{encode_base64url(large)}"
    assert verdict(guard, token) is Code.SIGNATURE_INVALID
    assert verdict(guard, f"{header}.{payload}.{encode_base64url(small)}") is None


@pytest.mark.attack("SIG-05")
@pytest.mark.parametrize("alg", ECDSA)
def test_asn1_is_refused(alg: str) -> None:
    guard, token = guard_for(alg), honest(alg).build()
    halves = Halves.of(token, alg)
    der = encode_dss_signature(halves.r, halves.s)
    size = 2 * halves.size
    for forged in (der, der[:size].ljust(size, b"\0"), der[-size:]):
        assert verdict(guard, with_signature(token, forged)) is Code.SIGNATURE_INVALID


@pytest.mark.twin("SIG-06", "CACHE-08")
@pytest.mark.parametrize("alg", ECDSA)
def test_the_other_s_is_admitted(alg: str) -> None:
    token = honest(alg).build()
    halves = Halves.of(token, alg)
    other = with_signature(token, halves.written(halves.r, halves.order - halves.s))
    assert other != token
    assert verdict(guard_for(alg), other) is None


@pytest.mark.attack("SIG-13")
@pytest.mark.parametrize("length", [0, 1, 16, 31, 32])
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_hmac_whole_or_in_part_is_refused(alg: str, length: int) -> None:
    header, payload, _ = parts(honest().header(alg=alg).build())
    tag = hmac.digest(b"secret", f"{header}.{payload}".encode(), sha256)[:length]
    code = verdict(guard_for("ES256"), f"{header}.{payload}.{encode_base64url(tag)}")
    assert code is (Code.ALGORITHM_REFUSED if length else Code.TOKEN_PARTS)


@pytest.mark.attack("SIG-15")
@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_refusal_tells_nothing_of_key_or_token(alg: str) -> None:
    token = honest(alg).build()
    forged = with_signature(token, bytes(len(signature_of(token))))
    decision = decide(guard_for(alg), forged)
    assert decision.refusal is not None
    assert decision.refusal.code is Code.SIGNATURE_INVALID
    told = f"{decision} {decision.refusal} {decision.response} {decision.refusal.detail}"
    jwk = signer_for(alg).public_jwk()
    secrets = [*parts(token), *(jwk[name] for name in ("n", "x", "y") if name in jwk)]
    assert not [secret for secret in secrets if secret in told]
    if alg == "EdDSA":
        # The right signature is the same each time; so could a careless error message be.
        assert signature_of(token).hex() not in told


WRONG_HASHES = {
    "RS256": (hashes.SHA1, hashes.SHA224, hashes.SHA384, hashes.SHA512),
    "RS512": (hashes.SHA1, hashes.SHA256),
    "PS256": (hashes.SHA1, hashes.SHA384, hashes.SHA512),
    "ES256": (hashes.SHA1, hashes.SHA224, hashes.SHA384, hashes.SHA512),
    "ES512": (hashes.SHA1, hashes.SHA256, hashes.SHA384),
}


@pytest.mark.attack("SIG-17")
@pytest.mark.parametrize(
    ("alg", "algorithm"), [(alg, it) for alg, listed in WRONG_HASHES.items() for it in listed]
)
def test_signature_over_another_hash_is_refused(
    alg: str, algorithm: type[hashes.HashAlgorithm]
) -> None:
    header, payload, _ = parts(honest(alg).build())
    signed, digest = f"{header}.{payload}".encode(), algorithm()
    if alg.startswith("E"):
        key = ec.generate_private_key(CURVES[ALGORITHMS[alg].crv or ""].parameters)
        signer = Signer(alg, KID, key)
        r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(digest)))
        size = CURVES[ALGORITHMS[alg].crv or ""].size
        signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    else:
        signer = signer_for(alg)
        pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
        scheme = pss if alg.startswith("P") else padding.PKCS1v15()
        signature = rsa_key().sign(signed, scheme, digest)
    guard = guard_with(signer.public_jwk(), algorithms=(alg,))
    token = f"{header}.{payload}.{encode_base64url(signature)}"
    assert verdict(guard, token) is Code.SIGNATURE_INVALID
    assert verdict(guard, honest(alg, signer).build()) is None


@pytest.mark.attack("SIG-18")
def test_json_that_means_the_same_is_not_what_was_signed() -> None:
    guard, token = guard_for("ES256"), honest().build()
    header, payload, signature = parts(token)
    for name, part in (("header", header), ("payload", payload)):
        octets = decode_base64url(part)
        for same in (octets.replace(b":", b": ", 1), octets + b" ", b"\n" + octets):
            other = encode_base64url(same)
            altered = (other, payload) if name == "header" else (header, other)
            assert verdict(guard, f"{'.'.join(altered)}.{signature}") is Code.SIGNATURE_INVALID
    twice = encode_base64url(decode_base64url(header).replace(b"{", b'{"alg":"ES256",'))
    assert verdict(guard, f"{twice}.{payload}.{signature}") is Code.HEADER_JSON
    assert (
        verdict(guard, f"{header}.{payload[:8]}!{payload[8:]}.{signature}") is Code.TOKEN_ENCODING
    )


class Answering(KeySource):
    """A source of keys that answers something else than keys."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def current(self, _: TrustedIssuer, header: Header | None = None) -> JwkSet | None:
        return None

    async def fetch(self, _: TrustedIssuer, header: Header | None = None) -> JwkSet:
        if isinstance(self.answer, Exception):
            raise self.answer
        keys: JwkSet = self.answer
        return keys


@pytest.mark.attack("SIG-19")
@pytest.mark.parametrize(
    "answer", [None, "", b"", False, True, {}, RuntimeError("down"), KeyError("key-1")], ids=repr
)
def test_source_without_keys_admits_nobody(answer: object) -> None:
    guard = Guard(issuers=[trusted("ES256")], keys=Answering(answer), clock=FrozenClock(NOW))
    assert verdict(guard, honest().build()) is Code.INTERNAL_ERROR


@pytest.mark.twin("SIG-19")
def test_source_with_keys_admits() -> None:
    keys = JwkSet.from_object({"keys": [signer_for("ES256").public_jwk()]}, ["ES256"])
    guard = Guard(issuers=[trusted("ES256")], keys=Answering(keys), clock=FrozenClock(NOW))
    assert verdict(guard, honest().build()) is None


@pytest.mark.attack("SIG-19")
def test_empty_key_set_admits_nobody() -> None:
    guard = guard_with(algorithms=("ES256",))
    assert verdict(guard, honest().build()) is Code.KEY_UNKNOWN
    assert verdict(guard, honest(signer=new_signer("ES256")).build()) is Code.KEY_UNKNOWN
    assert ISSUER in guard.issuers
