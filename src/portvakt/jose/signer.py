"""The private half of a key: generate, import, sign (RFC 7515 section 5.1, 7518, 8037, 9964).

For whoever makes tokens: tests, the self test, an issuer. Verifying needs none of it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa

from portvakt.errors import ConfigurationError, said_of
from portvakt.jose.algorithms import ALGORITHMS, CURVES, Algorithm
from portvakt.jose.encoding import (
    NotCanonical,
    decode_base64url,
    encode_base64url,
    encode_object,
)

__all__ = [
    "Signer",
    "import_private",
    "private_jwk_of",
    "private_members",
    "public_members",
    "sign_compact",
]


class Signer:
    """One private key, bound to one algorithm and one name.

    Its repr and its errors hold no key material; only :meth:`private_jwk` gives the key away.

    Attributes:
        alg: the value of ``alg``, a name of the algorithm table.
        kid: the name of the key, or None.
        public_key: the public half as ``cryptography`` holds it.
    """

    __slots__ = ("_private_key", "_row", "alg", "kid", "public_key")

    def __init__(self, alg: str, kid: str | None, private_key: Any) -> None:
        self._row = _row(alg)
        self._private_key = private_key
        self.alg: Final = self._row.name
        self.kid: Final = kid
        self.public_key: Final[Any] = private_key.public_key()

    @classmethod
    def generate(cls, alg: str, kid: str | None = "key-1", *, bits: int = 2048) -> "Signer":
        """Make a new key for an algorithm.

        Parameters:
            alg: a name of the algorithm table.
            kid: the name of the key, or None for a key without one.
            bits: the length of an RSA modulus; other keys have one size each. What is too short is
                refused by whoever imports it, not here.

        Raises:
            ConfigurationError: if there is no such algorithm.
        """
        row = _row(alg)
        if row.kty == "RSA":
            return cls(alg, kid, rsa.generate_private_key(65537, bits))
        if row.kty == "EC":
            return cls(alg, kid, ec.generate_private_key(CURVES[row.crv or ""].parameters))
        return cls(alg, kid, _RAW[row.crv or ""].generate())

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any], *, alg: str | None = None) -> "Signer":
        """Import a private JWK, as :meth:`private_jwk` writes it.

        Does not judge the strength of the key. The public half must be there and must belong to
        the private one: a key whose halves differ signs as one and is published as another.

        Parameters:
            jwk: the private JWK.
            alg: the algorithm, if the JWK does not say it and its key type leaves a choice.

        Raises:
            ConfigurationError: if it is malformed, its halves do not fit each other, or it does not
                fit its algorithm. The message holds no part of the key.
        """
        private_key = import_private(jwk)
        members = public_members(private_key.public_key())
        row = _row(alg or jwk.get("alg") or _only_algorithm(members))
        if (row.kty, row.crv) != (members["kty"], members.get("crv", members.get("alg"))):
            raise ConfigurationError(f"the private JWK is not a key for {row.name}")
        return cls(row.name, jwk.get("kid"), private_key)

    def sign(self, data: bytes) -> bytes:
        """Sign *data*; returns the signature as JWS carries it (for ECDSA: r and s, no ASN.1)."""
        return self._row.sign(self._private_key, data)

    def public_jwk(self) -> dict[str, Any]:
        """Return the public half, ready to be published: with ``kid``, ``alg`` and ``use``."""
        named = {} if self.kid is None else {"kid": self.kid}
        return {**public_members(self.public_key), **named, "alg": self.alg, "use": "sig"}

    def private_jwk(self) -> dict[str, Any]:
        """Return the whole key. It is a secret: never log, publish or commit it."""
        return {**self.public_jwk(), **private_members(self._private_key)}

    def __repr__(self) -> str:
        """Show the name and the algorithm, never the key."""
        return f"Signer({self.alg}, kid={self.kid!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("alg", self.alg), ("kid", self.kid)]


def sign_compact(
    header: Mapping[str, Any], payload: bytes | Mapping[str, Any], signer: Signer
) -> str:
    """Write the compact serialization (RFC 7515 section 7.1) of a signed payload.

    The header is written as given. Whether its ``alg`` and ``kid`` are the signer's is not checked:
    the forge writes headers that lie.

    Parameters:
        header: every header parameter, ``alg`` included.
        payload: the octets to sign, or an object to be written as JSON.
        signer: the key.
    """
    octets = payload if isinstance(payload, bytes) else encode_object(payload)
    signed = f"{encode_base64url(encode_object(header))}.{encode_base64url(octets)}"
    return f"{signed}.{encode_base64url(signer.sign(signed.encode('ascii')))}"


def import_private(jwk: Mapping[str, Any]) -> Any:
    """Import the key of a private JWK, both halves. Its strength and purpose are not judged.

    Raises:
        ConfigurationError: if it is malformed or its halves do not fit each other. The message
            holds no part of the key.
    """
    try:
        private_key = _PRIVATE[jwk["kty"]](jwk)
        members = public_members(private_key.public_key())
        published = {name: jwk[name] for name in members}
    except KeyError as missing:
        raise ConfigurationError(f"the private JWK lacks, or does not know, {missing}") from None
    except (TypeError, ValueError, NotCanonical):
        raise ConfigurationError("the private JWK is malformed, or its halves differ") from None
    if published != members:
        raise ConfigurationError("the private JWK is malformed, or its halves differ")
    return private_key


def private_jwk_of(private_key: Any) -> dict[str, Any]:
    """Return a private key of ``cryptography`` as a JWK that says neither ``alg`` nor ``kid``."""
    return {**public_members(private_key.public_key()), **private_members(private_key)}


def _row(alg: object) -> Algorithm:
    row = ALGORITHMS.get(alg) if isinstance(alg, str) else None
    if row is None:
        known = ", ".join(ALGORITHMS)
        raise ConfigurationError(said_of(alg, f"is not a signature algorithm; known are {known}"))
    return row


def _only_algorithm(members: Mapping[str, Any]) -> str:
    """Name the algorithm of a key that does not say it; a key type with a choice must say it."""
    if members["kty"] == "RSA":
        raise ConfigurationError("an RSA key fits several algorithms: say which one, as alg")
    crv = members.get("crv", members.get("alg"))
    return next(row.name for row in ALGORITHMS.values() if row.crv == crv)


# The keys that are one string of octets (RFC 8037 section 2; RFC 9964, where it is the seed).
_RAW: Final[dict[str, Any]] = {
    "Ed25519": ed25519.Ed25519PrivateKey,
    "Ed448": ed448.Ed448PrivateKey,
    "ML-DSA-44": mldsa.MLDSA44PrivateKey,
    "ML-DSA-65": mldsa.MLDSA65PrivateKey,
    "ML-DSA-87": mldsa.MLDSA87PrivateKey,
}
_RAW_PUBLIC: Final[dict[str, Any]] = {
    "Ed25519": ed25519.Ed25519PublicKey,
    "Ed448": ed448.Ed448PublicKey,
    "ML-DSA-44": mldsa.MLDSA44PublicKey,
    "ML-DSA-65": mldsa.MLDSA65PublicKey,
    "ML-DSA-87": mldsa.MLDSA87PublicKey,
}


def public_members(public_key: Any) -> dict[str, Any]:
    """Return the members of a public JWK that are the key itself (RFC 7518 section 6, 8037, 9964).

    Parameters:
        public_key: a public key of ``cryptography``, of a type that the algorithm table knows.
    """
    if isinstance(public_key, rsa.RSAPublicKey):
        numbers = public_key.public_numbers()
        return {"kty": "RSA", "n": _integer(numbers.n), "e": _integer(numbers.e)}
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        point = public_key.public_numbers()
        crv = next(name for name, it in CURVES.items() if it.parameters.name == point.curve.name)
        x, y = (encode_base64url(it.to_bytes(CURVES[crv].size, "big")) for it in (point.x, point.y))
        return {"kty": "EC", "crv": crv, "x": x, "y": y}
    name = next(name for name, kind in _RAW_PUBLIC.items() if isinstance(public_key, kind))
    encoded = encode_base64url(public_key.public_bytes_raw())
    if name.startswith("Ed"):
        return {"kty": "OKP", "crv": name, "x": encoded}
    return {"kty": "AKP", "alg": name, "pub": encoded}


def private_members(private_key: Any) -> dict[str, Any]:
    """Return the members of a private JWK that are the secret half of the key."""
    if isinstance(private_key, rsa.RSAPrivateKey):
        numbers = private_key.private_numbers()
        values = (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
        return dict(zip(_RSA_PRIVATE, map(_integer, values), strict=True))
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        size = (private_key.key_size + 7) // 8
        value = private_key.private_numbers().private_value
        return {"d": encode_base64url(value.to_bytes(size, "big"))}
    name = "priv" if "pub" in public_members(private_key.public_key()) else "d"
    return {name: encode_base64url(private_key.private_bytes_raw())}


#: RFC 7518 section 6.3.2, in the order of its text.
_RSA_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi")


def _integer(value: int) -> str:
    """Write a Base64urlUInt (RFC 7518 section 2): no leading zero octet."""
    return encode_base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _number(jwk: Mapping[str, Any], name: str) -> int:
    return int.from_bytes(decode_base64url(jwk[name]), "big")


def _rsa_private(jwk: Mapping[str, Any]) -> rsa.RSAPrivateKey:
    d, p, q, dp, dq, qi = (_number(jwk, name) for name in _RSA_PRIVATE)
    public = rsa.RSAPublicNumbers(_number(jwk, "e"), _number(jwk, "n"))
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public).private_key()


def _ec_private(jwk: Mapping[str, Any]) -> ec.EllipticCurvePrivateKey:
    curve = CURVES[jwk["crv"]].parameters
    return ec.derive_private_key(_number(jwk, "d"), curve)


def _okp_private(jwk: Mapping[str, Any]) -> Any:
    return _RAW[jwk["crv"]].from_private_bytes(decode_base64url(jwk["d"]))


def _akp_private(jwk: Mapping[str, Any]) -> Any:
    return _RAW[jwk["alg"]].from_seed_bytes(decode_base64url(jwk["priv"]))


_PRIVATE: Final[dict[str, Callable[[Mapping[str, Any]], Any]]] = {
    "RSA": _rsa_private,
    "EC": _ec_private,
    "OKP": _okp_private,
    "AKP": _akp_private,
}
