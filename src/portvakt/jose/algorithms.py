"""The table: one complete row per signature algorithm, and nothing outside it names one.

There is no row for ``none`` and none for any algorithm with a shared secret, so there is nothing
that a token could ask for to get one (RFC 8725 sections 3.1 and 3.2). A row says everything: the
``kty`` and ``crv`` of its keys, the hash, how long a signature is, how one is verified and made.

A new algorithm is one more row, and a fixed set of tests runs over all rows.
"""

from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from msgspec import Struct

__all__ = ["ALGORITHMS", "CURVES", "Algorithm", "Curve"]

Verify = Callable[[Any, bytes, bytes], None]
Sign = Callable[[Any, bytes], bytes]


class Curve(Struct, frozen=True):
    """A named elliptic curve (RFC 7518 section 6.2.1.1).

    Attributes:
        size: octets of a coordinate, and of each half of a signature.
        order: the order n of the generator.
        parameters: what ``cryptography`` calls the curve.
    """

    size: int
    order: int
    parameters: ec.EllipticCurve


CURVES: Final = {
    "P-256": Curve(
        32,
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        ec.SECP256R1(),
    ),
    "P-384": Curve(
        48,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
        ec.SECP384R1(),
    ),
    "P-521": Curve(
        66,
        0x1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
        ec.SECP521R1(),
    ),
}


class Algorithm(Struct, frozen=True):
    """One digital signature algorithm (RFC 7518 section 3.1, 8037, 9864, 9964).

    Attributes:
        name: the value of ``alg``, compared exactly.
        kty: the key type it takes.
        crv: the curve it takes; None where the key type has none.
        signature_length: octets of a signature; None where it is the length of the modulus.
        verify: ``(public key, signature, signed octets)``: returns, or raises InvalidSignature or
            ValueError. The signature has the right length already.
        sign: ``(private key, octets)``: the signature as JWS carries it.
    """

    name: str
    kty: str
    crv: str | None
    signature_length: int | None
    verify: Verify
    sign: Sign


def _pkcs1(digest: HashAlgorithm) -> tuple[Verify, Sign]:
    padding = PKCS1v15()

    def verify(key: rsa.RSAPublicKey, signature: bytes, data: bytes) -> None:
        key.verify(signature, data, padding, digest)

    def sign(key: rsa.RSAPrivateKey, data: bytes) -> bytes:
        return key.sign(data, padding, digest)

    return verify, sign


def _pss(digest: HashAlgorithm) -> tuple[Verify, Sign]:
    # Salt as long as the hash, MGF1 with the same hash, and never "whatever length fits" (SIG-09).
    padding = PSS(MGF1(digest), digest.digest_size)

    def verify(key: rsa.RSAPublicKey, signature: bytes, data: bytes) -> None:
        key.verify(signature, data, padding, digest)

    def sign(key: rsa.RSAPrivateKey, data: bytes) -> bytes:
        return key.sign(data, padding, digest)

    return verify, sign


def _ecdsa(curve: Curve, digest: HashAlgorithm) -> tuple[Verify, Sign]:
    size, order, scheme = curve.size, curve.order, ec.ECDSA(digest)
    read = int.from_bytes

    def verify(key: ec.EllipticCurvePublicKey, signature: bytes, data: bytes) -> None:
        r = read(signature[:size], "big")
        s = read(signature[size:], "big")
        # The primitive checks this as well; a fault there has been fatal before (CVE-2022-21449).
        # The higher of the two values of s that verify is allowed: RFC 7518 does not forbid it.
        if not (0 < r < order and 0 < s < order):
            raise ValueError("r or s out of range")
        key.verify(encode_dss_signature(r, s), data, scheme)

    def sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, scheme))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    return verify, sign


def _plain() -> tuple[Verify, Sign]:
    """Return the two halves of a scheme whose every parameter is fixed by the key's type."""

    def verify(
        key: ed25519.Ed25519PublicKey | ed448.Ed448PublicKey | mldsa.MLDSA44PublicKey,
        signature: bytes,
        data: bytes,
    ) -> None:
        key.verify(signature, data)

    def sign(
        key: ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey | mldsa.MLDSA44PrivateKey,
        data: bytes,
    ) -> bytes:
        return key.sign(data)

    return verify, sign


ALGORITHMS: Final = {
    row.name: row
    for row in (
        Algorithm("RS256", "RSA", None, None, *_pkcs1(SHA256())),
        Algorithm("RS384", "RSA", None, None, *_pkcs1(SHA384())),
        Algorithm("RS512", "RSA", None, None, *_pkcs1(SHA512())),
        Algorithm("PS256", "RSA", None, None, *_pss(SHA256())),
        Algorithm("PS384", "RSA", None, None, *_pss(SHA384())),
        Algorithm("PS512", "RSA", None, None, *_pss(SHA512())),
        Algorithm("ES256", "EC", "P-256", 64, *_ecdsa(CURVES["P-256"], SHA256())),
        Algorithm("ES384", "EC", "P-384", 96, *_ecdsa(CURVES["P-384"], SHA384())),
        Algorithm("ES512", "EC", "P-521", 132, *_ecdsa(CURVES["P-521"], SHA512())),
        # EdDSA is polymorphic; here it means Ed25519 alone, so that a name decides the curve (ALG-14).
        Algorithm("EdDSA", "OKP", "Ed25519", 64, *_plain()),
        Algorithm("Ed25519", "OKP", "Ed25519", 64, *_plain()),
        Algorithm("Ed448", "OKP", "Ed448", 114, *_plain()),
        Algorithm("ML-DSA-44", "AKP", "ML-DSA-44", 2420, *_plain()),
        Algorithm("ML-DSA-65", "AKP", "ML-DSA-65", 3309, *_plain()),
        Algorithm("ML-DSA-87", "AKP", "ML-DSA-87", 4627, *_plain()),
    )
}
"""Every algorithm there is, by the value of ``alg``."""
