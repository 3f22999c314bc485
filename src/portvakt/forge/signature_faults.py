"""Faults of the algorithm and the signature: the token may be anybody's."""

import hmac
from typing import Final

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from portvakt.forge.fault import Fault, Forgery, header
from portvakt.forge.tokens import TokenBuilder
from portvakt.jose.encoding import decode_base64url, encode_base64url, encode_object
from portvakt.jose.signer import public_members
from portvakt.refusal import Code

__all__ = ["SIGNATURE_FAULTS"]


def _maced(token: TokenBuilder, secret: bytes) -> str:
    """Sign with HS256 and a secret that is none."""
    unsigned = token.header(alg="HS256").signature(b"").build().removesuffix(".")
    return f"{unsigned}.{encode_base64url(hmac.digest(secret, unsigned.encode('ascii'), 'sha256'))}"


def _maced_with_pem(token: TokenBuilder, forgery: Forgery) -> str:
    """Use the published key as a secret, as PEM."""
    key = forgery.public_key
    return _maced(token, key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _maced_with_der(token: TokenBuilder, forgery: Forgery) -> str:
    """Use the published key as a secret, as DER."""
    key = forgery.public_key
    return _maced(token, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _maced_with_jwk(token: TokenBuilder, forgery: Forgery) -> str:
    """Use the published key as a secret, as JSON."""
    return _maced(token, encode_object(public_members(forgery.public_key)))


def _none_escaped(token: TokenBuilder, _: Forgery) -> str:
    """Write none so that only a JSON decoder sees it."""
    octets = token.header(alg="none").header_octets()
    return token.header_bytes(octets.replace(b'"none"', rb'"\u006eone"')).build()


def _alg_not_allowed(token: TokenBuilder, forgery: Forgery) -> str:
    """Sign, and rightly, with an algorithm that the policy does not allow."""
    if forgery.outsider is None:
        raise ValueError("the policy allows every algorithm")
    return token.header(alg=forgery.outsider.alg).signed_by(forgery.outsider).build()


def _parts(token: TokenBuilder) -> tuple[str, str, str]:
    header, payload, signature = token.build().split(".")
    return header, payload, signature


def _header_changed(token: TokenBuilder, _: Forgery) -> str:
    """Change one bit of the header after signing: a becomes c."""
    header, _before, _signature = _parts(token.header(test="c"))
    _changed, payload, signature = _parts(token.header(test="a"))
    return f"{header}.{payload}.{signature}"


def _payload_changed(token: TokenBuilder, _: Forgery) -> str:
    """Change one bit of the payload after signing: a becomes c."""
    _before, payload, _signature = _parts(token.claims(test="c"))
    header, _changed, signature = _parts(token.claims(test="a"))
    return f"{header}.{payload}.{signature}"


def _signature(token: TokenBuilder) -> tuple[str, bytes]:
    signed, _, signature = token.build().rpartition(".")
    return signed, decode_base64url(signature)


def _signature_changed(token: TokenBuilder, _: Forgery) -> str:
    """Change one bit of the signature."""
    signed, signature = _signature(token)
    return f"{signed}.{encode_base64url(signature[:-1] + bytes([signature[-1] ^ 1]))}"


def _signature_zero(token: TokenBuilder, _: Forgery) -> str:
    """Put a signature of the right length that is all zero (CVE-2022-21449)."""
    signed, signature = _signature(token)
    return f"{signed}.{encode_base64url(bytes(len(signature)))}"


def _signature_longer(token: TokenBuilder, _: Forgery) -> str:
    """Append an octet to a good signature."""
    signed, signature = _signature(token)
    return f"{signed}.{encode_base64url(signature + bytes(1))}"


def _signature_shorter(token: TokenBuilder, _: Forgery) -> str:
    """Take the last octet from a good signature."""
    signed, signature = _signature(token)
    return f"{signed}.{encode_base64url(signature[:-1])}"


def _signature_der(token: TokenBuilder, _: Forgery) -> str:
    """Write r and s of a good signature as ASN.1, not as JWS does."""
    signed, signature = _signature(token)
    half = len(signature) // 2
    r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    return f"{signed}.{encode_base64url(encode_dss_signature(r, s))}"


def _elliptic(token: TokenBuilder, _: Forgery) -> bool:
    return token.signer.alg.startswith("ES")


SIGNATURE_FAULTS: Final[tuple[Fault, ...]] = (
    Fault(
        "none",
        "ALG-01",
        Code.TOKEN_PARTS,
        "Not signed at all: alg says none, and there is no signature",
        lambda token, _: token.header(alg="none").signature(b"").build(),
        keyless=True,
    ),
    Fault(
        "none-signed",
        "ALG-03",
        Code.ALGORITHM_NONE,
        "alg says none, so that nobody looks at the signature that is there",
        header(alg="none"),
        keyless=True,
    ),
    Fault(
        "none-uppercase",
        "ALG-02",
        Code.ALGORITHM_NONE,
        "alg says NONE, hoping that only none is forbidden",
        header(alg="NONE"),
        keyless=True,
    ),
    Fault(
        "none-mixed-case",
        "ALG-02",
        Code.ALGORITHM_NONE,
        "alg says nOnE, hoping that only none is forbidden",
        header(alg="nOnE"),
        keyless=True,
    ),
    Fault(
        "none-space",
        "ALG-02",
        Code.ALGORITHM_NONE,
        "alg says none and a space, hoping that someone trims it",
        header(alg="none "),
        keyless=True,
    ),
    Fault(
        "none-escaped",
        "ALG-02",
        Code.ALGORITHM_NONE,
        "alg says none, spelled with an escape that filters overlook",
        _none_escaped,
        keyless=True,
    ),
    Fault(
        "hs256-pem",
        "ALG-05",
        Code.ALGORITHM_REFUSED,
        "Signed with HS256, the secret being the issuer's public key as PEM",
        _maced_with_pem,
        keyless=True,
    ),
    Fault(
        "hs256-der",
        "ALG-06",
        Code.ALGORITHM_REFUSED,
        "Signed with HS256, the secret being the issuer's public key as DER",
        _maced_with_der,
        keyless=True,
    ),
    Fault(
        "hs256-jwk",
        "ALG-06",
        Code.ALGORITHM_REFUSED,
        "Signed with HS256, the secret being the issuer's public key as JSON",
        _maced_with_jwk,
        keyless=True,
    ),
    Fault(
        "hs256-empty",
        "KEY-01",
        Code.ALGORITHM_REFUSED,
        "Signed with HS256 and an empty secret",
        lambda token, _: _maced(token, b""),
        keyless=True,
    ),
    Fault(
        "alg-not-allowed",
        "ALG-07",
        Code.ALGORITHM_REFUSED,
        "Signed well, but with an algorithm that the policy does not allow",
        _alg_not_allowed,
        lambda _, forgery: forgery.outsider is not None,
    ),
    Fault(
        "alg-unknown",
        "ALG-13",
        Code.ALGORITHM_REFUSED,
        "alg names an algorithm that does not exist",
        header(alg="ES521"),
    ),
    Fault(
        "alg-missing",
        "ALG-12",
        Code.HEADER_PARAMETER,
        "The header does not say how it is signed",
        lambda token, _: token.without_header("alg").build(),
    ),
    Fault(
        "alg-list",
        "ALG-12",
        Code.HEADER_PARAMETER,
        "alg is a list, of which the right algorithm is one",
        lambda token, _: token.header(alg=[token.signer.alg]).build(),
    ),
    Fault(
        "foreign-key",
        "KEY-23",
        Code.SIGNATURE_INVALID,
        "Signed with somebody else's key, under the name of the issuer's",
        lambda token, forgery: token.signed_by(forgery.stranger).build(),
        keyless=True,
    ),
    Fault(
        "signature-missing",
        "ALG-04",
        Code.TOKEN_PARTS,
        "The signature was cut off",
        lambda token, _: token.signature(b"").build(),
        keyless=True,
    ),
    Fault(
        "signature-one-octet",
        "ALG-04",
        Code.SIGNATURE_INVALID,
        "The signature is one octet",
        lambda token, _: token.signature(b"\0").build(),
        keyless=True,
    ),
    Fault(
        "signature-zero",
        "SIG-03",
        Code.SIGNATURE_INVALID,
        "The signature is all zero, which broken libraries take for any token",
        _signature_zero,
        keyless=True,
    ),
    Fault(
        "signature-longer",
        "SIG-02",
        Code.SIGNATURE_INVALID,
        "The signature has one octet too many",
        _signature_longer,
    ),
    Fault(
        "signature-shorter",
        "SIG-02",
        Code.SIGNATURE_INVALID,
        "The signature has one octet too few",
        _signature_shorter,
    ),
    Fault(
        "signature-der",
        "SIG-05",
        Code.SIGNATURE_INVALID,
        "The signature is written as certificates write it, not as tokens do",
        _signature_der,
        _elliptic,
    ),
    Fault(
        "signature-changed",
        "SIG-01",
        Code.SIGNATURE_INVALID,
        "One bit of the signature was changed",
        _signature_changed,
    ),
    Fault(
        "header-changed",
        "SIG-01",
        Code.SIGNATURE_INVALID,
        "One bit of the header was changed after it was signed",
        _header_changed,
    ),
    Fault(
        "payload-changed",
        "SIG-01",
        Code.SIGNATURE_INVALID,
        "One bit of the claims was changed after they were signed",
        _payload_changed,
    ),
)
"""Every near miss at the algorithm or the signature."""
