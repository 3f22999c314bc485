"""The tables of encryption: one complete row per algorithm, and nothing outside them names one.

What is not here cannot be asked for. RSA1_5 answers questions about its padding (RFC 7516 section
11.5), RSA-OAEP rests on SHA-1, PBES2 lets the sender choose how long we compute (RFC 8725 section
2.10), and ``dir``, AxxxKW and AxxxGCMKW need a secret that sender and recipient share.
"""

from typing import Final

from msgspec import Struct

__all__ = ["CONTENT", "KEY_MANAGEMENT", "Content", "KeyManagement"]


class KeyManagement(Struct, frozen=True):
    """How the key of the content reaches us (RFC 7518 section 4.1).

    Attributes:
        name: the value of ``alg``, compared exactly.
        kty: the type of the keys it takes.
        wraps: whether there is an encrypted key at all; without one, the key is agreed upon.
        overhead: octets by which an encrypted key is longer than the key in it; None where it is as
            long as the modulus.
    """

    name: str
    kty: str
    wraps: bool
    overhead: int | None


class Content(Struct, frozen=True):
    """How the content is encrypted and authenticated (RFC 7518 section 5.1).

    Attributes:
        name: the value of ``enc``, compared exactly.
        key_length: octets of its key.
        iv_length: octets of every initialization vector.
        tag_length: octets of every tag. A shorter one is a guess.
        block: the ciphertext is a multiple of so many octets.
    """

    name: str
    key_length: int
    iv_length: int
    tag_length: int
    block: int


KEY_MANAGEMENT: Final = {
    row.name: row
    for row in (
        KeyManagement("RSA-OAEP-256", "RSA", wraps=True, overhead=None),
        KeyManagement("ECDH-ES", "EC", wraps=False, overhead=0),
        KeyManagement("ECDH-ES+A128KW", "EC", wraps=True, overhead=8),
        KeyManagement("ECDH-ES+A256KW", "EC", wraps=True, overhead=8),
    )
}
"""Every way to manage a key, by the value of ``alg``."""

CONTENT: Final = {
    row.name: row
    for row in (
        Content("A128GCM", 16, 12, 16, 1),
        Content("A256GCM", 32, 12, 16, 1),
        Content("A128CBC-HS256", 32, 16, 16, 16),
        Content("A256CBC-HS512", 64, 16, 32, 16),
    )
}
"""Every way to encrypt content, by the value of ``enc``."""
