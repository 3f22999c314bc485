"""A public key (RFC 7517, 7518): imported if it is strong and bound to one algorithm, else not.

A key is bound to its algorithm when it is imported, by its own ``alg`` or by the policy of its
issuer, never by a token (RFC 8725 section 3.1).
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from msgspec import Struct

from portvakt.jose.algorithms import ALGORITHMS, CURVES, Algorithm, Verify
from portvakt.jose.encoding import (
    NotCanonical,
    decode_base64url,
    encode_base64url,
    encode_object,
)
from portvakt.jose.strength import WeakKey, check_ed448, check_ed25519, check_rsa

__all__ = [
    "Jwk",
    "NotUsable",
    "claimed_thumbprint",
    "import_ec",
    "import_jwk",
    "thumbprint",
]

#: The members that are secret in some key type (RFC 7518 sections 6.2.2, 6.3.2, 6.4; 8037; 9964).
SECRET_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})

#: What RFC 7638 section 3.2 hashes of each key type, in the order in which it hashes it.
_REQUIRED_MEMBERS: Final = {
    "RSA": ("e", "kty", "n"),
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "AKP": ("alg", "kty", "pub"),
}


class NotUsable(ValueError):  # noqa: N818  it says what the key is
    """The JWK is not a public key that may verify signatures here.

    Attributes:
        secret: whether the reason is that the JWK holds a private or symmetric key, which has no
            business in a key set.
    """

    def __init__(self, reason: str, *, secret: bool = False) -> None:
        super().__init__(reason)
        self.secret = secret


class Jwk(Struct, frozen=True):
    """A public key that was found fit to verify signatures.

    Attributes:
        kid: its name within its set, or None.
        kty: its key type.
        strength: its size or curve, for people: ``RSA 3072``, ``P-256``.
        thumbprint: the RFC 7638 SHA-256 thumbprint, base64url.
        algorithms: the values of ``alg`` it is bound to: names of one and the same scheme.
        signature_length: octets of every signature it verifies.
        public_key: the key as ``cryptography`` holds it.
        verify: the scheme: ``(public key, signature, signed octets)`` returns or raises.
    """

    kid: str | None
    kty: str
    strength: str
    thumbprint: str
    algorithms: tuple[str, ...]
    signature_length: int
    public_key: Any
    verify: Verify


def import_jwk(jwk: object, allowed: frozenset[str]) -> Jwk:
    """Import one public key (RFC 7517 section 4), strictly.

    Certificates in it (``x5c``, ``x5t``, ``x5u``) are neither read nor fetched; members that nobody
    knows are ignored (RFC 7517 section 4).

    Parameters:
        jwk: a member of a decoded key set, possibly hostile.
        allowed: the names of the algorithms that the issuer may use.

    Raises:
        NotUsable: if it is malformed, secret, weak, meant for something else, or not bound to one
            algorithm.
    """
    if not isinstance(jwk, Mapping):
        raise NotUsable("not a JSON object")
    if not SECRET_MEMBERS.isdisjoint(jwk) or jwk.get("kty") == "oct":
        raise NotUsable("a private or symmetric key: it must not be published", secret=True)
    kid = jwk.get("kid")
    if "kid" in jwk and (type(kid) is not str or not kid):
        raise NotUsable("kid is not a string")
    _check_purpose(jwk)
    kty = _text(jwk, "kty")
    importer = _IMPORTERS.get(kty)
    if importer is None:
        raise NotUsable("kty is not one of " + ", ".join(_IMPORTERS))
    try:
        crv, strength, public_key = importer(jwk)
    except UnsupportedAlgorithm:
        raise NotUsable("this build of OpenSSL does not have this kind of key") from None
    rows = _bind(jwk, kty, crv, allowed)
    return Jwk(
        kid=kid,
        kty=kty,
        strength=strength,
        thumbprint=thumbprint(jwk),
        algorithms=tuple(row.name for row in rows),
        signature_length=rows[0].signature_length or (public_key.key_size + 7) // 8,
        public_key=public_key,
        verify=rows[0].verify,
    )


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Compute the SHA-256 thumbprint (RFC 7638) of a well-formed public JWK, base64url."""
    required = {name: jwk[name] for name in _REQUIRED_MEMBERS[jwk["kty"]]}
    return encode_base64url(sha256(encode_object(required)).digest())


def claimed_thumbprint(jwk: object) -> str | None:
    """Compute the thumbprint that a JWK has if it is sound, which nobody knows yet.

    That costs a hundredth of importing a long key, for whoever looks for one key only.

    Parameters:
        jwk: a decoded JWK, possibly hostile.

    Returns:
        The thumbprint; None if a member that is hashed is missing or not a string.
    """
    if not isinstance(jwk, Mapping):
        return None
    kty = jwk.get("kty")
    names = _REQUIRED_MEMBERS.get(kty) if type(kty) is str else None
    if names is None or any(type(jwk.get(name)) is not str for name in names):
        return None
    return thumbprint(jwk)


def _check_purpose(jwk: Mapping[str, Any]) -> None:
    if "use" in jwk and jwk["use"] != "sig":
        raise NotUsable("use is not sig")
    if "key_ops" in jwk:
        operations = jwk["key_ops"]
        if not isinstance(operations, list | tuple) or not all(
            type(operation) is str for operation in operations
        ):
            raise NotUsable("key_ops is not an array of strings")
        if len(set(operations)) != len(operations):
            raise NotUsable("key_ops repeats an operation")
        if "verify" not in operations:
            raise NotUsable("key_ops does not include verify")


def _bind(
    jwk: Mapping[str, Any], kty: str, crv: str | None, allowed: frozenset[str]
) -> tuple[Algorithm, ...]:
    """Find the one signature scheme that this key may be used with."""
    if "alg" in jwk:
        row = ALGORITHMS.get(alg) if type(alg := jwk["alg"]) is str else None
        if row is None:
            raise NotUsable("alg is not a signature algorithm known here")
        if (row.kty, row.crv) != (kty, crv):
            raise NotUsable(f"a key of this type cannot be used with {row.name}")
        if row.name not in allowed:
            raise NotUsable(f"the policy does not allow {row.name}")
        return (row,)
    rows = tuple(
        row
        for row in ALGORITHMS.values()
        if row.name in allowed and (row.kty, row.crv) == (kty, crv)
    )
    if not rows:
        raise NotUsable("the policy allows no algorithm for this key")
    # Two names for one scheme (EdDSA, Ed25519) are no choice; RS256 or PS256 would be one.
    if len(rows) > 1 and kty != "OKP":
        names = ", ".join(row.name for row in rows)
        raise NotUsable(f"it has no alg, and the policy leaves a choice: {names}")
    return rows


def _text(jwk: Mapping[str, Any], name: str) -> str:
    value = jwk.get(name)
    if type(value) is not str or not value:
        raise NotUsable(f"{name} is missing or not a string")
    return value


def _octets(jwk: Mapping[str, Any], name: str, size: int | None = None) -> bytes:
    try:
        octets = decode_base64url(_text(jwk, name))
    except NotCanonical as flaw:
        raise NotUsable(f"{name}: {flaw}") from None
    if size is not None and len(octets) != size:
        raise NotUsable(f"{name} has {len(octets)} octets, not {size}")
    return octets


Imported = tuple[str | None, str, Any]


def _import_rsa(jwk: Mapping[str, Any]) -> Imported:
    # Some issuers write a leading zero octet in n (RFC 7518 section 6.3.1.1 forbids it). It changes
    # no number, so it is tolerated here; in e it is not, and nobody needs it.
    modulus = int.from_bytes(_octets(jwk, "n"), "big")
    e = _octets(jwk, "e")
    if e[:1] == b"\0":
        raise NotUsable("e has a leading zero octet")
    exponent = int.from_bytes(e, "big")
    try:
        check_rsa(modulus, exponent)
        key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except (WeakKey, ValueError) as flaw:
        raise NotUsable(str(flaw) if isinstance(flaw, WeakKey) else "not an RSA key") from None
    return None, f"RSA {modulus.bit_length()}", key


def import_ec(jwk: Mapping[str, Any]) -> Imported:
    """Import a point of one of the curves (RFC 7518 section 6.2.1): twice its name, and the key.

    Raises:
        NotUsable: if it is malformed, on another curve or on none.
    """
    crv = _text(jwk, "crv")
    curve = CURVES.get(crv)
    if curve is None:
        raise NotUsable("crv is not one of " + ", ".join(CURVES))
    x = int.from_bytes(_octets(jwk, "x", curve.size), "big")
    y = int.from_bytes(_octets(jwk, "y", curve.size), "big")
    point = ec.EllipticCurvePublicNumbers(x, y, curve.parameters)
    try:
        key = point.public_key()
    except ValueError:
        raise NotUsable("the point is not on the curve") from None
    # The primitive reduces what is not below p, so that one point would have several encodings.
    if key.public_numbers() != point:
        raise NotUsable("x or y is not below p")
    return crv, crv, key


def _import_okp(jwk: Mapping[str, Any]) -> Imported:
    crv = _text(jwk, "crv")
    try:
        if crv == "Ed25519":
            check_ed25519(encoded := _octets(jwk, "x", 32))
            return crv, crv, ed25519.Ed25519PublicKey.from_public_bytes(encoded)
        if crv == "Ed448":
            check_ed448(encoded := _octets(jwk, "x", 57))
            return crv, crv, ed448.Ed448PublicKey.from_public_bytes(encoded)
    except WeakKey as flaw:
        raise NotUsable(str(flaw)) from None
    raise NotUsable("crv is not Ed25519 or Ed448")


_ML_DSA: Final[dict[str, tuple[Any, int]]] = {
    "ML-DSA-44": (mldsa.MLDSA44PublicKey, 1312),
    "ML-DSA-65": (mldsa.MLDSA65PublicKey, 1952),
    "ML-DSA-87": (mldsa.MLDSA87PublicKey, 2592),
}


def _import_akp(jwk: Mapping[str, Any]) -> Imported:
    # RFC 9964: the parameter set is the algorithm, so alg is mandatory here.
    alg = _text(jwk, "alg")
    if alg not in _ML_DSA:
        raise NotUsable("alg is not one of " + ", ".join(_ML_DSA))
    kind, size = _ML_DSA[alg]
    return alg, alg, kind.from_public_bytes(_octets(jwk, "pub", size))


_IMPORTERS: Final = {"RSA": _import_rsa, "EC": import_ec, "OKP": _import_okp, "AKP": _import_akp}
