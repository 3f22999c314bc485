"""Octets under a passphrase: scrypt (RFC 7914) and AES-256-GCM (SP 800-38D).

Two lines of text. The first is a JSON object that says how the key is derived; the second is the
ciphertext with its tag, in base64url. The first line is authenticated with the second, so that
nothing in the file can be changed.
"""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Struct, ValidationError, convert

from portvakt.errors import ConfigurationError
from portvakt.jose.encoding import (
    NotCanonical,
    decode_base64url,
    decode_object,
    encode_base64url,
    encode_object,
)

__all__ = ["COST", "MAX_COST", "MIN_COST", "seal", "unseal"]

_FORMAT: Final = "portvakt-keystore-1"

#: The cost of a passphrase, N of RFC 7914: 128 MiB and some tenths of a second.
COST: Final = 2**17

#: What a file may ask for. Less is no protection; more is a file that keeps us busy: the largest
#: takes 256 MiB.
MIN_COST: Final = 2**14
MAX_COST: Final = 2**18

_BLOCK: Final = 8
_SALT: Final = 16
_NONCE: Final = 12


class _Header(Struct, frozen=True, forbid_unknown_fields=True):
    """The first line."""

    format: str
    cost: int
    salt: str
    nonce: str


def seal(content: bytes, passphrase: str, cost: int = COST) -> bytes:
    """Encrypt and authenticate octets, with a salt and a nonce that nothing else has.

    Does not judge the passphrase.

    Parameters:
        content: the octets.
        passphrase: what opens them again.
        cost: a power of two, from :data:`MIN_COST` to :data:`MAX_COST`.
    """
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    header = encode_object(
        {
            "format": _FORMAT,
            "cost": cost,
            "salt": encode_base64url(salt),
            "nonce": encode_base64url(nonce),
        }
    )
    sealed = AESGCM(_derive(passphrase, salt, cost)).encrypt(nonce, content, header)
    return b"%b\n%b\n" % (header, encode_base64url(sealed).encode("ascii"))


def unseal(octets: bytes, passphrase: str) -> tuple[bytes, int]:
    """Return what was sealed, and at which cost.

    A wrong passphrase and a changed file cannot be told apart, and must not be: whoever could,
    could find the one by the other.

    Parameters:
        octets: the file, possibly hostile; the caller bounds its length.
        passphrase: what it was sealed with.

    Raises:
        ConfigurationError: if it is of another form or version, asks for a cost out of bounds, or
            does not open.
    """
    line, _, rest = octets.partition(b"\n")
    try:
        header = convert(decode_object(line), _Header)
        if header.format != _FORMAT:
            raise ConfigurationError("the key store has a format that this version does not know")
        salt, nonce = decode_base64url(header.salt), decode_base64url(header.nonce)
        sealed = decode_base64url(rest.removesuffix(b"\n").decode("ascii"))
    except (NotCanonical, ValidationError, UnicodeDecodeError):
        raise ConfigurationError("the key store is damaged, or no key store") from None
    cost = header.cost
    if not MIN_COST <= cost <= MAX_COST or cost & (cost - 1):
        raise ConfigurationError("the key store asks for a cost that is out of bounds")
    if len(salt) != _SALT or len(nonce) != _NONCE:
        raise ConfigurationError("the key store is damaged, or no key store")
    try:
        return AESGCM(_derive(passphrase, salt, cost)).decrypt(nonce, sealed, line), cost
    except InvalidTag:
        raise ConfigurationError(
            "the key store does not open: the passphrase is wrong, or the file was changed"
        ) from None


def _derive(passphrase: str, salt: bytes, cost: int) -> bytes:
    # Any text that an environment can hold has octets this way.
    octets = passphrase.encode("utf-8", "surrogatepass")
    try:
        return Scrypt(salt=salt, length=32, n=cost, r=_BLOCK, p=1).derive(octets)
    except MemoryError:
        raise ConfigurationError("there is too little memory to open the key store") from None
