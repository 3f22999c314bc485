"""A private key that decrypts, bound to one algorithm and one name (RFC 7517, 7518 section 4)."""

from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from portvakt.errors import ConfigurationError, said_of
from portvakt.jose.algorithms import CURVES
from portvakt.jose.encryption import KEY_MANAGEMENT, KeyManagement
from portvakt.jose.header import MAX_KID
from portvakt.jose.jwk import thumbprint
from portvakt.jose.signer import import_private, private_members, public_members
from portvakt.jose.strength import WeakKey, check_rsa

__all__ = ["DecryptionKey"]

#: Bits. Anybody may send something to decrypt, and each doubling makes it five times as slow.
MAX_MODULUS: Final = 4096


class DecryptionKey:
    """One private key, found strong enough, that decrypts what is sent to this API.

    Its repr and its errors hold no key material; only :meth:`private_jwk` gives the key away.

    Attributes:
        alg: the one value of ``alg`` that it decrypts.
        kid: its name. Where the JWK has none, its RFC 7638 thumbprint.
        crv: its curve; None for an RSA key.
        wrapped_length: octets of a modulus; 0 for a key on a curve.
        private_key: the key as ``cryptography`` holds it.
    """

    __slots__ = ("alg", "crv", "kid", "private_key", "row", "wrapped_length")

    def __init__(self, alg: str, kid: str | None, private_key: Any) -> None:
        self.row: Final = _row(alg)
        members = public_members(private_key.public_key())
        if members["kty"] != self.row.kty:
            raise ConfigurationError(f"the private JWK is not a key for {self.row.name}")
        _check_strength(private_key)
        self.alg: Final = self.row.name
        self.kid: Final[str] = kid or thumbprint(members)
        self.crv: Final[str | None] = members.get("crv")
        self.wrapped_length: Final = 0 if self.crv else (private_key.key_size + 7) // 8
        self.private_key: Final = private_key

    @classmethod
    def generate(
        cls, alg: str, kid: str | None = None, *, bits: int = 3072, crv: str = "P-256"
    ) -> "DecryptionKey":
        """Make a new key for an algorithm.

        Parameters:
            alg: a name of the table of key management.
            kid: the name of the key; without one, its thumbprint.
            bits: the length of an RSA modulus.
            crv: the curve of another key.

        Raises:
            ConfigurationError: if there is no such algorithm or curve, or the length will not do.
        """
        if _row(alg).kty == "RSA":
            if not 2048 <= bits <= MAX_MODULUS:
                raise ConfigurationError(f"an RSA key has 2048 to {MAX_MODULUS} bits here")
            return cls(alg, kid, rsa.generate_private_key(65537, bits))
        if crv not in CURVES:
            raise ConfigurationError(said_of(crv, f"is not a curve; known are {', '.join(CURVES)}"))
        return cls(alg, kid, ec.generate_private_key(CURVES[crv].parameters))

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any], *, alg: str | None = None) -> "DecryptionKey":
        """Import a private JWK, as :meth:`private_jwk` writes it.

        Parameters:
            jwk: the private JWK, both halves.
            alg: the algorithm, if the JWK does not say it: every key type leaves a choice.

        Raises:
            ConfigurationError: if it is malformed, weak, for something else than decryption, or
                not for its algorithm. The message holds no part of the key.
        """
        private_key = import_private(jwk)
        if jwk.get("use", "enc") != "enc":
            raise ConfigurationError("the private JWK is for something else: its use is not enc")
        stated = jwk.get("alg", alg)
        if stated is None:
            raise ConfigurationError("the private JWK does not say for which algorithm: add alg")
        if alg is not None and stated != alg:
            raise ConfigurationError("the private JWK states another alg")
        kid = jwk.get("kid")
        if "kid" in jwk and (type(kid) is not str or not 0 < len(kid) <= MAX_KID):
            raise ConfigurationError("the private JWK has a kid that is no name")
        return cls(stated, kid, private_key)

    def public_jwk(self) -> dict[str, Any]:
        """Return the public half, ready to be published: with ``kid``, ``alg`` and ``use``."""
        members = public_members(self.private_key.public_key())
        return {**members, "kid": self.kid, "alg": self.alg, "use": "enc"}

    def private_jwk(self) -> dict[str, Any]:
        """Return the whole key. It is a secret: never log, publish or commit it."""
        return {**self.public_jwk(), **private_members(self.private_key)}

    def __repr__(self) -> str:
        """Show the name and the algorithm, never the key."""
        return f"DecryptionKey({self.alg}, kid={self.kid!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("alg", self.alg), ("kid", self.kid)]


def _row(alg: object) -> KeyManagement:
    row = KEY_MANAGEMENT.get(alg) if isinstance(alg, str) else None
    if row is None:
        known = ", ".join(KEY_MANAGEMENT)
        raise ConfigurationError(said_of(alg, f"is not for keys that decrypt; known are {known}"))
    return row


def _check_strength(private_key: Any) -> None:
    if not isinstance(private_key, rsa.RSAPrivateKey):
        return
    numbers = private_key.public_key().public_numbers()
    try:
        check_rsa(numbers.n, numbers.e)
    except WeakKey as flaw:
        raise ConfigurationError(str(flaw)) from None
    if private_key.key_size > MAX_MODULUS:
        raise ConfigurationError(
            f"RSA modulus of {private_key.key_size} bits: a key that decrypts has at most "
            f"{MAX_MODULUS}, for anybody can make it work"
        )
