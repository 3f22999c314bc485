"""The table: one complete row per signature algorithm, and nothing outside it names one.

There is no row for ``none`` and none for any algorithm with a shared secret, so there is nothing
that a token could ask for to get one (RFC 8725 sections 3.1 and 3.2). A row says everything: the
``kty`` and ``crv`` of its keys, the hash, how long a signature is, how one is verified and made.

A new algorithm is one more row, and a fixed set of tests runs over all rows.
"""

from collections.abc import Callable
from hashlib import sha256, sha384, sha512
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from msgspec import Struct

__all__ = ["ALGORITHMS", "CURVES", "Algorithm", "Curve", "Sign", "Verify"]

Verify = Callable[[Any, bytes, bytes], None]
Sign = Callable[[Any, bytes], bytes]


class Curve(Struct, frozen=True):
    """A named elliptic curve (RFC 7518 section 6.2.1.1).

    Attributes:
        size: octets of a coordinate, and of each half of a signature.
        parameters: what ``cryptography`` calls the curve, with the order of its group.
    """

    size: int
    parameters: ec.EllipticCurve


CURVES: Final = {
    "P-256": Curve(32, ec.SECP256R1()),
    "P-384": Curve(48, ec.SECP384R1()),
    "P-521": Curve(66, ec.SECP521R1()),
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


class _Digest(Struct, frozen=True):
    """A hash function, as hashlib and as ``cryptography`` know it."""

    compute: Callable[[bytes], Any]
    scheme: HashAlgorithm


_SHA256: Final = _Digest(sha256, SHA256())
_SHA384: Final = _Digest(sha384, SHA384())
_SHA512: Final = _Digest(sha512, SHA512())


def _rsa(padding: PKCS1v15 | PSS, digest: _Digest) -> tuple[Verify, Sign]:
    compute, scheme = digest.compute, digest.scheme
    # hashlib is half a microsecond faster than to let the primitive hash (measured: bench/).
    hashed = Prehashed(scheme)

    def verify(key: rsa.RSAPublicKey, signature: bytes, data: bytes) -> None:
        key.verify(signature, compute(data).digest(), padding, hashed)

    def sign(key: rsa.RSAPrivateKey, data: bytes) -> bytes:
        return key.sign(data, padding, scheme)

    return verify, sign


def _pkcs1(digest: _Digest) -> tuple[Verify, Sign]:
    return _rsa(PKCS1v15(), digest)


def _pss(digest: _Digest) -> tuple[Verify, Sign]:
    # Salt as long as the hash, MGF1 with the same hash, and never "whatever length fits" (SIG-09).
    return _rsa(PSS(MGF1(digest.scheme), digest.scheme.digest_size), digest)


def _ecdsa(curve: Curve, digest: _Digest) -> tuple[Verify, Sign]:
    compute, size, scheme = digest.compute, curve.size, ec.ECDSA(digest.scheme)
    hashed = ec.ECDSA(Prehashed(digest.scheme))
    zero, order = bytes(size), curve.parameters.group_order.to_bytes(size, "big")

    def verify(key: ec.EllipticCurvePublicKey, signature: bytes, data: bytes) -> None:
        r, s = signature[:size], signature[size:]
        # The primitive checks this as well; a fault there has been fatal before (CVE-2022-21449).
        # The higher of the two values of s that verify is allowed: RFC 7518 does not forbid it.
        # Numbers of one length compare as their octets do.
        if not (zero < r < order and zero < s < order):
            raise ValueError("r or s out of range")
        key.verify(_der(r, s), compute(data).digest(), hashed)

    def sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, scheme))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    return verify, sign


def _der(r: bytes, s: bytes) -> bytes:
    """Write r and s as the ASN.1 that the primitive takes, in half the time that integers need."""
    if not 0 < r[0] < 0x80:
        r = _der_integer(r)
    if not 0 < s[0] < 0x80:
        s = _der_integer(s)
    length = 4 + len(r) + len(s)
    # Longer than 127 octets only for P-521, and then by one octet of length.
    head = b"\x30%c" % length if length < 0x80 else b"\x30\x81%c" % length
    return b"%b\x02%c%b\x02%c%b" % (head, len(r), r, len(s), s)


def _der_integer(octets: bytes) -> bytes:
    octets = octets.lstrip(b"\0")
    return b"\0" + octets if octets[0] >= 0x80 else octets


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
        Algorithm("RS256", "RSA", None, None, *_pkcs1(_SHA256)),
        Algorithm("RS384", "RSA", None, None, *_pkcs1(_SHA384)),
        Algorithm("RS512", "RSA", None, None, *_pkcs1(_SHA512)),
        Algorithm("PS256", "RSA", None, None, *_pss(_SHA256)),
        Algorithm("PS384", "RSA", None, None, *_pss(_SHA384)),
        Algorithm("PS512", "RSA", None, None, *_pss(_SHA512)),
        Algorithm("ES256", "EC", "P-256", 64, *_ecdsa(CURVES["P-256"], _SHA256)),
        Algorithm("ES384", "EC", "P-384", 96, *_ecdsa(CURVES["P-384"], _SHA384)),
        Algorithm("ES512", "EC", "P-521", 132, *_ecdsa(CURVES["P-521"], _SHA512)),
        # EdDSA is polymorphic; here it means Ed25519 alone, so that a name decides the curve
        # (ALG-14).
        Algorithm("EdDSA", "OKP", "Ed25519", 64, *_plain()),
        Algorithm("Ed25519", "OKP", "Ed25519", 64, *_plain()),
        Algorithm("Ed448", "OKP", "Ed448", 114, *_plain()),
        Algorithm("ML-DSA-44", "AKP", "ML-DSA-44", 2420, *_plain()),
        Algorithm("ML-DSA-65", "AKP", "ML-DSA-65", 3309, *_plain()),
        Algorithm("ML-DSA-87", "AKP", "ML-DSA-87", 4627, *_plain()),
    )
}
"""Every algorithm there is, by the value of ``alg``."""
