"""Encrypted tokens made by hand (RFC 7516, 7518), so that anything in them can be wrong.

Nothing here is of the code that is tested, nor of the library that it uses: what both make and read
would prove nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import struct
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

if TYPE_CHECKING:
    from portvakt.jose.decryption_key import DecryptionKey

KEY_LENGTH = {"A128GCM": 16, "A256GCM": 32, "A128CBC-HS256": 32, "A256CBC-HS512": 64}
WRAPPED = {"ECDH-ES+A128KW": 16, "ECDH-ES+A256KW": 32}
HEADER, KEY, IV, CIPHERTEXT, TAG = range(5)


def b64(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def point(key: ec.EllipticCurvePublicKey, **change: Any) -> dict[str, Any]:
    """Write a public key as an epk."""
    numbers, size = key.public_numbers(), (key.curve.key_size + 7) // 8
    crv = {32: "P-256", 48: "P-384", 66: "P-521"}[size]
    x, y = (b64(it.to_bytes(size, "big")) for it in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": crv, "x": x, "y": y, **change}


def concat_kdf(shared: bytes, name: str, length: int, apu: bytes = b"", apv: bytes = b"") -> bytes:
    """Derive a key (RFC 7518 section 4.6.2)."""
    parts = (name.encode(), apu, apv)
    info = b"".join(struct.pack(">I", len(it)) + it for it in parts)
    info += struct.pack(">I", length * 8)
    rounds = range(1, -(-length // 32) + 1)
    made = (hashlib.sha256(struct.pack(">I", n) + shared + info).digest() for n in rounds)
    return b"".join(made)[:length]


def encrypt_content(
    enc: str, cek: bytes, iv: bytes, aad: bytes, plaintext: bytes
) -> tuple[bytes, bytes]:
    """Encrypt content (RFC 7518 sections 5.2 and 5.3)."""
    if enc.endswith("GCM"):
        sealed = AESGCM(cek).encrypt(iv, plaintext, aad)
        return sealed[:-16], sealed[-16:]
    fill = 16 - len(plaintext) % 16
    return encrypt_cbc(cek, iv, aad, plaintext + bytes([fill]) * fill)


def encrypt_cbc(cek: bytes, iv: bytes, aad: bytes, padded: bytes) -> tuple[bytes, bytes]:
    half = len(cek) // 2
    encryptor = Cipher(AES(cek[half:]), CBC(iv)).encryptor()
    ciphertext = encryptor.update(padded) + encryptor.finalize()
    message = aad + iv + ciphertext + struct.pack(">Q", len(aad) * 8)
    digest = hashlib.sha256 if half == 16 else hashlib.sha512
    return ciphertext, hmac.new(cek[:half], message, digest).digest()[:half]


def sealed(
    key: DecryptionKey,
    plaintext: bytes | str = "e30.e30.c2ln",
    *,
    enc: str = "A256GCM",
    alg: str | None = None,
    cek: bytes | None = None,
    header: dict[str, Any] | None = None,
    without: tuple[str, ...] = (),
) -> list[str]:
    """Encrypt to a key; return the five parts.

    Parameters:
        key: whose public half is used.
        plaintext: what is encrypted.
        enc: how the content is encrypted, whatever the header says.
        alg: how the key is managed, whatever the header says.
        cek: the key of the content, where it is not agreed upon.
        header: header parameters, over the honest ones.
        without: honest header parameters to leave out.
    """
    alg = alg or key.alg
    length = KEY_LENGTH[enc]
    protected: dict[str, Any] = {"alg": alg, "enc": enc, "kid": key.kid, "cty": "JWT"}
    public = key.private_key.public_key()
    cek = os.urandom(length) if cek is None else cek
    if isinstance(public, ec.EllipticCurvePublicKey):
        ephemeral = ec.generate_private_key(public.curve)
        protected["epk"] = point(ephemeral.public_key())
        shared = ephemeral.exchange(ec.ECDH(), public)
        if alg in WRAPPED:
            wrapped = aes_key_wrap(concat_kdf(shared, alg, WRAPPED[alg]), cek)
        else:
            wrapped, cek = b"", concat_kdf(shared, enc, length)
    else:
        wrapped = public.encrypt(cek, padding.OAEP(padding.MGF1(SHA256()), SHA256(), None))
    protected |= header or {}
    written = {name: value for name, value in protected.items() if name not in without}
    encoded = b64(json.dumps(written, separators=(",", ":")).encode())
    iv = os.urandom(12 if enc.endswith("GCM") else 16)
    text = plaintext.encode() if isinstance(plaintext, str) else plaintext
    ciphertext, tag = encrypt_content(enc, cek, iv, encoded.encode(), text)
    return [encoded, *map(b64, (wrapped, iv, ciphertext, tag))]


def token(key: DecryptionKey, plaintext: bytes | str = "e30.e30.c2ln", **how: Any) -> str:
    """Encrypt to a key; return the compact serialization."""
    return ".".join(sealed(key, plaintext, **how))


def with_part(parts: list[str], index: int, octets: bytes) -> str:
    """Return the token with other octets in one part."""
    return ".".join([*parts[:index], b64(octets), *parts[index + 1 :]])
