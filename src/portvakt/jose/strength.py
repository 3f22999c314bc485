"""What a public key must be, beyond being well formed.

The primitive verifies with whatever key it is given: with an exponent of one, with a modulus whose
factors anyone can find, with a point for which one signature fits every message. So a key is judged
once, when it is imported, and a weak one is not used (ATTACKS family KEY, SIG-11).
"""

import math
from typing import Final

__all__ = ["WeakKey", "check_ed448", "check_ed25519", "check_rsa"]

MIN_MODULUS: Final = 2048
MAX_MODULUS: Final = 8192
MAX_EXPONENT: Final = 2**32 - 1


class WeakKey(ValueError):  # noqa: N818  it says what the key is
    """The key must not be used. The message says why and never holds the key."""


def check_rsa(modulus: int, exponent: int) -> None:
    """Refuse an RSA key that is too short, too slow or easy to factor.

    Does not find moduli that share a prime with another key, nor those of a bad random generator:
    that takes other keys and lists to compare with.

    Raises:
        WeakKey: if the modulus has fewer than 2048 bits (RFC 7518 section 3.3) or more than 8192,
            is even, has a small factor, two primes close together, or the ROCA fingerprint
            (CVE-2017-15361); or the exponent is even, below 3 or above 2**32.
    """
    bits = modulus.bit_length()
    if bits < MIN_MODULUS:
        raise WeakKey(f"RSA modulus of {bits} bits: at least {MIN_MODULUS} are needed")
    if bits > MAX_MODULUS:
        raise WeakKey(f"RSA modulus of {bits} bits: at most {MAX_MODULUS} are accepted")
    if not 3 <= exponent <= MAX_EXPONENT or exponent % 2 == 0:
        raise WeakKey("RSA exponent is even, below 3 or above 2**32")
    if math.gcd(modulus, _SMALL_PRIMES) != 1:
        raise WeakKey("RSA modulus has a small factor")
    if _primes_are_close(modulus):
        raise WeakKey("RSA modulus is the product of two primes close together (CVE-2022-26320)")
    if _has_roca_fingerprint(modulus):
        raise WeakKey("RSA modulus has the ROCA fingerprint (CVE-2017-15361)")


def _primes_below(limit: int) -> list[int]:
    sieve = bytearray([1]) * limit
    primes = []
    for number in range(2, limit):
        if sieve[number]:
            primes.append(number)
            sieve[number::number] = bytes(len(range(number, limit, number)))
    return primes


# One greatest common divisor with this is the same as dividing by each, and much faster.
_SMALL_PRIMES: Final = math.prod(_primes_below(2000))


def _primes_are_close(modulus: int, rounds: int = 100) -> bool:
    """Try Fermat's factorization for a few rounds: it succeeds when the primes are close."""
    middle = math.isqrt(modulus - 1) + 1
    for candidate in range(middle, middle + rounds):
        square = candidate * candidate - modulus
        if math.isqrt(square) ** 2 == square:
            return True
    return False


# Keys of the broken generator are powers of 65537 modulo each of the 38 odd primes up to 167 (Nemec
# et al., "The Return of Coppersmith's Attack", section 2): a random modulus is that for all of them
# with a probability below one in 10**8.
_ROCA_PRIMES: Final = _primes_below(168)[1:]


def _powers(prime: int) -> frozenset[int]:
    powers, power = set(), 1
    while power not in powers:
        powers.add(power)
        power = power * 65537 % prime
    return frozenset(powers)


_ROCA_RESIDUES: Final = tuple((prime, _powers(prime)) for prime in _ROCA_PRIMES)


def _has_roca_fingerprint(modulus: int) -> bool:
    return all(modulus % prime in residues for prime, residues in _ROCA_RESIDUES)


_P25519: Final = 2**255 - 19

# The y coordinates of the eight points whose order divides eight (RFC 8032 section 5.1): 0 (order
# four), 1 (order one), -1 (order two), and the two pairs of order eight.
_ORDER_EIGHT_Y: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER_25519: Final = frozenset({0, 1, _P25519 - 1, _ORDER_EIGHT_Y, _P25519 - _ORDER_EIGHT_Y})


def check_ed25519(encoded: bytes) -> None:
    """Refuse an Ed25519 point that is not canonical, or of small order.

    For a key of small order, one signature fits many messages, and the primitive says yes to it
    (measured on cryptography 50). Does not check that the point is on the curve: the import does.

    Parameters:
        encoded: 32 octets (RFC 8032 section 5.1.2).

    Raises:
        WeakKey: if it is one of those.
    """
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    if y >= _P25519:
        raise WeakKey("Ed25519 key is not canonical: y is not below p")
    if y in _SMALL_ORDER_25519:
        raise WeakKey("Ed25519 key has small order")


_P448: Final = 2**448 - 2**224 - 1
_SMALL_ORDER_448: Final = frozenset({0, 1, _P448 - 1})


def check_ed448(encoded: bytes) -> None:
    """Refuse an Ed448 point that is not canonical, or of small order.

    Parameters:
        encoded: 57 octets (RFC 8032 section 5.2.2).

    Raises:
        WeakKey: if it is one of those.
    """
    y = int.from_bytes(encoded[:56], "little")
    if y >= _P448 or encoded[56] & 0x7F:
        raise WeakKey("Ed448 key is not canonical: y is not below p")
    if y in _SMALL_ORDER_448:
        raise WeakKey("Ed448 key has small order")
