"""Family KEY, RSA: keys that verify whatever is signed with them, and must not be used."""

from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from judging import KID, flaws, guard_with, honest, parts, rsa_key, signer_for, uint, verdict
from portvakt.jose.encoding import encode_base64url
from portvakt.jose.signer import Signer
from portvakt.refusal import Code


def jwk_of(n: int, e: int = 65537) -> dict[str, Any]:
    return {"kty": "RSA", "kid": KID, "alg": "RS256", "n": uint(n), "e": uint(e)}


def signer_of(p: int, q: int, e: int = 65537) -> Signer:
    """Return the signer of two given primes."""
    d = pow(e, -1, (p - 1) * (q - 1))
    dp, dq, qi = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    private = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(e, p * q))
    return Signer("RS256", KID, private.private_key())


def is_unusable(signer: Signer, flaw: str) -> None:
    """Assert that a key is left out for this reason, though its tokens verify with it."""
    jwk = signer.public_jwk()
    assert flaw in flaws(jwk)[0]
    guard = guard_with(jwk, algorithms=("RS256",))
    assert verdict(guard, honest("RS256", signer).build()) is Code.KEY_UNKNOWN


MODULUS: Final = rsa_key().public_key().public_numbers().n


@pytest.mark.twin("KEY-04", "KEY-05", "KEY-06", "KEY-07")
@pytest.mark.parametrize("bits", [2048, 2049, 3072])
def test_usual_key_is_used(bits: int) -> None:
    signer = Signer.generate("RS256", bits=bits) if bits > 2048 else signer_for("RS256")
    guard = guard_with(signer.public_jwk(), algorithms=("RS256",))
    assert verdict(guard, honest("RS256", signer).build()) is None


@pytest.mark.attack("KEY-04")
@pytest.mark.parametrize("bits", [1024, 2046, 2047])
def test_short_modulus_is_refused(bits: int) -> None:
    is_unusable(Signer.generate("RS256", bits=bits), f"RSA modulus of {bits} bits")


@pytest.mark.attack("KEY-04")
@pytest.mark.parametrize("bits", [0, 1, 2, 512, 768, 2040, 2047])
def test_shorter_modulus_is_refused_however_many_octets_it_is_written_in(bits: int) -> None:
    n = MODULUS >> (2048 - bits) | 1 if bits else 0
    assert f"RSA modulus of {bits} bits" in flaws(jwk_of(n))[0]
    stretched = {**jwk_of(n), "n": encode_base64url(n.to_bytes(512, "big"))}
    assert f"RSA modulus of {bits} bits" in flaws(stretched)[0]


@pytest.mark.attack("KEY-05")
@pytest.mark.parametrize(
    "exponent", [1, 2, 4, 65536, 65538, 2**32, 2**32 + 1, 2**64 + 1, MODULUS, MODULUS + 2]
)
def test_bad_exponent_is_refused(exponent: int) -> None:
    jwk = jwk_of(MODULUS, exponent)
    assert "RSA exponent" in flaws(jwk)[0]
    guard = guard_with(jwk, algorithms=("RS256",))
    assert verdict(guard, honest("RS256").build()) is Code.KEY_UNKNOWN


@pytest.mark.attack("KEY-05")
def test_with_exponent_one_every_padding_is_its_own_signature() -> None:
    header, payload, _ = parts(honest("RS256").build())
    guard = guard_with(jwk_of(MODULUS, 1), algorithms=("RS256",))
    padding = b"\x00\x01" + b"\xff" * 202 + b"\x00" + bytes(51)
    assert verdict(guard, f"{header}.{payload}.{encode_base64url(padding)}") is Code.KEY_UNKNOWN


@pytest.mark.twin("KEY-05")
def test_exponent_three_is_used() -> None:
    signer = Signer("RS256", KID, rsa.generate_private_key(3, 2048))
    guard = guard_with(signer.public_jwk(), algorithms=("RS256",))
    assert verdict(guard, honest("RS256", signer).build()) is None


def product(*factors: int) -> int:
    result = 1
    for factor in factors:
        result *= factor
    return result


#: What the generator of CVE-2017-15361 multiplies: here the primes of its fingerprint, and 2.
PRIMORIAL: Final = product(
    *(n for n in range(2, 168) if all(n % divisor for divisor in range(2, n)))
)


def roca_prime(start: int, offset: int, power: int) -> int:
    """Return a prime of the form of that generator; the offsets were searched for."""
    return (start // PRIMORIAL + offset) * PRIMORIAL + pow(65537, power, PRIMORIAL)


@pytest.mark.attack("KEY-06")
def test_roca_modulus_is_refused() -> None:
    p, q = roca_prime(3 << 1022, 94, 1001), roca_prime(7 << 1021, 8, 2002)
    is_unusable(signer_of(p, q), "CVE-2017-15361")


@pytest.mark.attack("KEY-06")
def test_primes_close_together_are_refused() -> None:
    p, q = (3 << 1022) + 1037, (3 << 1022) + (1 << 400) + 519
    is_unusable(signer_of(p, q), "CVE-2022-26320")


@pytest.mark.attack("KEY-06")
def test_square_is_refused() -> None:
    p = (3 << 1022) + 1037
    assert "CVE-2022-26320" in flaws(jwk_of(p * p))[0]


@pytest.mark.attack("KEY-06")
@pytest.mark.parametrize("factor", [2, 3, 5, 7, 97, 257, 1997, 1999])
def test_small_factor_is_refused(factor: int) -> None:
    modulus = (MODULUS // factor) * factor
    assert modulus.bit_length() == 2048
    assert "small factor" in flaws(jwk_of(modulus))[0]


@pytest.mark.attack("KEY-07")
@pytest.mark.parametrize("bits", [8193, 16_384, 65_536])
def test_giant_modulus_is_refused(bits: int) -> None:
    jwk = jwk_of(1 << (bits - 1) | MODULUS)
    assert f"RSA modulus of {bits} bits" in flaws(jwk)[0]
    guard = guard_with(jwk, algorithms=("RS256",))
    assert verdict(guard, honest("RS256").build()) is Code.KEY_UNKNOWN


@pytest.mark.twin("KEY-07")
def test_modulus_of_the_largest_size_is_used() -> None:
    # No factor is known, which is all the better; nobody signs with it here.
    modulus = (1 << 8191 | MODULUS << 4000) + 1
    while flaws(jwk_of(modulus)):
        modulus += 2
    assert modulus.bit_length() == 8192


@pytest.mark.attack("KEY-05", "KEY-15")
@pytest.mark.parametrize(
    ("member", "text", "flaw"),
    [
        ("n", uint(MODULUS) + "=", "base64url"),
        ("n", uint(MODULUS) + "==", "base64url"),
        ("n", uint(MODULUS) + "\n", "base64url"),
        ("n", " " + uint(MODULUS), "base64url"),
        ("n", uint(MODULUS)[:-1] + "+", "base64url"),
        ("n", uint(MODULUS)[:10] + "/" + uint(MODULUS)[11:], "base64url"),
        ("n", uint(MODULUS) + "AAA", "base64url"),
        ("n", uint(MODULUS)[:-1] + chr(ord(uint(MODULUS)[-1]) + 1), "base64url"),
        ("n", "", "n is missing"),
        ("n", 65537, "n is missing"),
        ("n", None, "n is missing"),
        ("n", [uint(MODULUS)], "n is missing"),
        ("e", "AQAB=", "base64url"),
        ("e", "AA", "leading zero"),
        ("e", "AAEAAQ", "leading zero"),
        ("e", "AAAAAAEAAQ", "leading zero"),
        ("e", 65537, "e is missing"),
        ("e", "65537", "base64url"),
    ],
)
def test_second_way_to_write_a_number_is_refused(member: str, text: object, flaw: str) -> None:
    jwk = {**jwk_of(MODULUS), member: text}
    assert flaw in flaws(jwk)[0]
    guard = guard_with(jwk, algorithms=("RS256",))
    assert verdict(guard, honest("RS256").build()) is Code.KEY_UNKNOWN


@pytest.mark.twin("KEY-15")
@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_modulus_with_leading_zeros_is_used(zeros: int) -> None:
    # RFC 7518 section 6.3.1.1 forbids the zeros; some issuers write them, and n is the same.
    written = encode_base64url(bytes(zeros) + MODULUS.to_bytes(256, "big"))
    guard = guard_with({**jwk_of(MODULUS), "n": written}, algorithms=("RS256",))
    assert verdict(guard, honest("RS256").build()) is None
