"""A certificate out of its text: the octets that tokens are bound to, and no others."""

from __future__ import annotations

import base64
import ssl
from typing import Final

import pytest

from certificates import base64_of, der_of, issue, pem_of
from portvakt.http.certificate import MAX_CERTIFICATE, NotCertificate, read_base64, read_pem

ISSUED: Final = issue("client.test")
DER: Final = der_of(ISSUED)
TEXT: Final = base64_of(DER)
PEM: Final = pem_of(ISSUED)


def sequence(content: bytes) -> bytes:
    """A SEQUENCE in DER."""
    length = len(content)
    if length < 0x80:
        return bytes([0x30, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([0x30, 0x80 | len(octets)]) + octets + content


@pytest.mark.parametrize("length", [0, 1, 0x7F, 0x80, 0xFF, 0x100, MAX_CERTIFICATE - 8])
def test_a_sequence_of_any_length_is_read(length: int) -> None:
    octets = sequence(b"x" * length)
    assert read_base64(base64_of(octets)) == octets


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_pem_and_base64_give_the_same_octets(line_break: str) -> None:
    assert read_base64(TEXT) == DER
    pem = PEM.replace("\r\n", "\n").replace("\n", line_break)
    assert read_pem(pem) == DER
    assert read_pem(pem.removesuffix(line_break)) == DER


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x30",
        b"\x31\x00",
        DER + b"\x00",
        DER[:-1],
        b"\x00" + DER,
        DER + DER,
        b"\x30\x80\x00\x00",  # an indefinite length is BER
        b"\x30\x81\x7f" + b"x" * 0x7F,  # a length with an octet too many
        b"\x30\x82\x00\x80" + b"x" * 0x80,
        b"\x30\x83\x00\x01\x00" + b"x" * 0x100,
        b"\x30\x82\x01",
        b"\x30\x81",
        b"\xb0\x00",
    ],
    ids=lambda octets: octets[:5].hex() + f"-{len(octets)}",
)
def test_octets_that_are_not_one_sequence_are_refused(octets: bytes) -> None:
    with pytest.raises(NotCertificate, match="DER"):
        read_base64(base64_of(octets))


@pytest.mark.parametrize(
    "text",
    [
        TEXT + "\n",
        " " + TEXT,
        TEXT[:40] + "\n" + TEXT[40:],
        TEXT[:40] + "!" + TEXT[40:],
        TEXT + "====",
        TEXT + "A",
        "MA=",
        "MAA",
        "MAB=",  # spare bits
        "MA\ud800=",
        "ＭＡＡ＝",
        base64.urlsafe_b64encode(sequence(b"\xff" * 60)).decode(),
        DER.hex(),
    ],
)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(NotCertificate):
        read_base64(text)
    assert read_base64("MAA=") == b"\x30\x00"


def test_what_is_longer_than_any_certificate_is_not_decoded() -> None:
    with pytest.raises(NotCertificate, match="longer"):
        read_base64(base64_of(sequence(b"x" * MAX_CERTIFICATE)))


BODY: Final = PEM.split("-----")[2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n" + PEM,
        "subject=x\n" + PEM,
        PEM + "\n",
        PEM + PEM,
        PEM + ssl.DER_cert_to_PEM_cert(DER),
        PEM.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
        PEM.replace("CERTIFICATE", "X509 CERTIFICATE"),
        PEM.replace("CERTIFICATE", "certificate"),
        PEM.replace("CERTIFICATE", "PRIVATE KEY"),
        PEM.replace("\n", ""),
        PEM.replace("\n", "\n\n"),
        PEM.replace("\n", " \n"),
        PEM.replace(BODY, "\n"),
        PEM.replace(BODY, "\n" + "A" * 4 + "\n"),
        PEM.replace("END", "BEGIN"),
        TEXT,
    ],
)
def test_pem_of_anything_else_is_refused(text: str) -> None:
    with pytest.raises(NotCertificate):
        read_pem(text)
