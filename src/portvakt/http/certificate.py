"""A certificate in the one text that it has, or refused.

Tokens are bound to the SHA-256 digest of the octets of a certificate (RFC 8705 section 3.1). So all
that is done here is to find those octets, and no others: nothing in the certificate is read or
believed. Whether it was issued by anyone trusted, and whether the client has its key, whoever ended
the TLS connection has verified.
"""

import re
from binascii import a2b_base64, b2a_base64
from typing import Final

__all__ = ["NotCertificate", "read_base64", "read_pem"]

#: Octets. Certificates have one or two thousand; post-quantum ones up to ten.
MAX_CERTIFICATE: Final = 16_384


class NotCertificate(ValueError):  # noqa: N818  it says what the text is
    """The text is not exactly one certificate. The message holds nothing of it."""


def read_base64(text: str) -> bytes:
    """Return the certificate (DER) that a text encodes.

    Parameters:
        text: base64 with padding (RFC 4648 section 4), in its canonical form and without breaks.

    Raises:
        NotCertificate: for any other text, and for octets that are not one DER sequence from the
            first to the last.
    """
    if len(text) > MAX_CERTIFICATE // 3 * 4:
        raise NotCertificate("longer than any certificate")
    try:
        octets = a2b_base64(text, strict_mode=True)
    except ValueError:
        raise NotCertificate("not base64") from None
    # Strict as it is, it overlooks spare bits that are not zero.
    if b2a_base64(octets, newline=False).decode("ascii") != text:
        raise NotCertificate("not canonical base64")
    if not _is_one_sequence(octets):
        raise NotCertificate("not one DER sequence")
    return octets


# RFC 7468 section 5.1. Only the label that certificates have, and nothing before or after it.
_PEM: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----\r?\n"
    r"((?:[A-Za-z0-9+/=]{1,76}\r?\n)+)"
    r"-----END CERTIFICATE-----(?:\r?\n)?"
)


def read_pem(text: str) -> bytes:
    """Return the certificate (DER) that a PEM text holds.

    Parameters:
        text: exactly one certificate, and nothing around it.

    Raises:
        NotCertificate: for any other text.
    """
    found = _PEM.fullmatch(text)
    if found is None:
        raise NotCertificate("not exactly one certificate in PEM")
    return read_base64(found[1].replace("\r", "").replace("\n", ""))


def _is_one_sequence(octets: bytes) -> bool:
    """Whether a SEQUENCE in DER (X.690 section 10.1) begins and ends where the octets do."""
    if len(octets) < 2 or octets[0] != 0x30:
        return False
    length, stated = octets[1], 0
    if length >= 0x80:
        # More than two octets of length would be more than MAX_CERTIFICATE.
        stated = length & 0x7F
        if stated not in {1, 2}:
            return False
        length = int.from_bytes(octets[2 : 2 + stated])
        if length < (0x80 if stated == 1 else 0x100):
            return False
    return len(octets) == 2 + stated + length
