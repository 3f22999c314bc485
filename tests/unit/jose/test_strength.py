"""Weak keys, computed here rather than copied: each flaw alone, and an honest key beside it."""

import math

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, rsa

from portvakt.jose import strength
from portvakt.jose.strength import WeakKey, check_ed448, check_ed25519, check_rsa

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493
Point = tuple[int, int]


def add(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    k = D * x1 * x2 * y1 * y2 % P
    return (
        (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P,
    )


def x_of(y: int) -> int | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    return x if x * x % P == square else None


def small_order_ys() -> set[int]:
    """Multiply points by the prime order: what is left has an order that divides eight."""
    found: set[int] = set()
    y = 2
    while len(found) < 5:
        x = x_of(y)
        if x is not None:
            point, rest, factor = (x, y), (0, 1), ORDER
            while factor:
                if factor & 1:
                    rest = add(rest, point)
                point, factor = add(point, point), factor >> 1
            found.add(rest[1])
        y += 1
    return found


def test_the_small_order_points_are_the_ones_that_arithmetic_finds() -> None:
    assert small_order_ys() == strength._SMALL_ORDER_25519


@pytest.mark.parametrize("sign", [0, 0x80])
@pytest.mark.parametrize("y", sorted(strength._SMALL_ORDER_25519))
def test_small_order_ed25519_keys_are_weak(y: int, sign: int) -> None:
    octets = bytearray(y.to_bytes(32, "little"))
    octets[31] |= sign
    with pytest.raises(WeakKey, match="small order"):
        check_ed25519(bytes(octets))


@pytest.mark.parametrize("y", [P, P + 1, 2**255 - 1])
def test_ed25519_keys_that_are_not_canonical_are_weak(y: int) -> None:
    with pytest.raises(WeakKey, match="canonical"):
        check_ed25519(y.to_bytes(32, "little"))


def test_honest_edwards_keys_pass() -> None:
    check_ed25519(ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    check_ed448(ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw())


P448 = 2**448 - 2**224 - 1


@pytest.mark.parametrize("y", [0, 1, P448 - 1])
def test_small_order_ed448_keys_are_weak(y: int) -> None:
    with pytest.raises(WeakKey, match="small order"):
        check_ed448(y.to_bytes(57, "little"))


@pytest.mark.parametrize(
    "octets",
    [
        P448.to_bytes(57, "little"),
        (P448 + 5).to_bytes(57, "little"),
        (2**448 - 1).to_bytes(57, "little"),
        (7).to_bytes(56, "little") + b"\x01",
    ],
)
def test_ed448_keys_that_are_not_canonical_are_weak(octets: bytes) -> None:
    with pytest.raises(WeakKey, match="canonical"):
        check_ed448(octets)


def next_prime(number: int) -> int:
    number |= 1
    while pow(2, number - 1, number) != 1 or pow(3, number - 1, number) != 1:
        number += 2
    return number


@pytest.fixture(scope="module")
def honest() -> rsa.RSAPrivateNumbers:
    return rsa.generate_private_key(65537, 2048).private_numbers()


def test_an_honest_rsa_key_passes_with_any_sound_exponent(honest: rsa.RSAPrivateNumbers) -> None:
    for exponent in (3, 17, 65537, 2**32 - 1):
        check_rsa(honest.p * honest.q, exponent)


@pytest.mark.parametrize("exponent", [0, 1, 2, 65536, 2**32, 2**32 + 1, -3])
def test_rsa_exponents_that_are_even_or_out_of_range_are_weak(
    honest: rsa.RSAPrivateNumbers, exponent: int
) -> None:
    with pytest.raises(WeakKey, match="exponent"):
        check_rsa(honest.p * honest.q, exponent)


def test_the_size_of_a_modulus_is_counted_in_bits(honest: rsa.RSAPrivateNumbers) -> None:
    modulus = honest.p * honest.q
    assert modulus.bit_length() == 2048
    with pytest.raises(WeakKey, match="2047 bits: at least"):
        check_rsa(modulus >> 1 | 1, 65537)
    with pytest.raises(WeakKey, match="8193 bits: at most"):
        check_rsa(1 << 8192 | 1, 65537)
    with pytest.raises(WeakKey, match="small factor"):  # 8192 bits are not too many
        check_rsa(3 << 8190, 65537)


@pytest.mark.parametrize("factor", [2, 3, 17, 1999])
def test_a_small_factor_is_found(honest: rsa.RSAPrivateNumbers, factor: int) -> None:
    with pytest.raises(WeakKey, match="small factor"):
        check_rsa(honest.p * honest.q * factor, 65537)


def test_a_modulus_just_above_a_square_is_weighed_like_any_other() -> None:
    # There the search for close primes begins at its edge.
    root = 1 << 1024
    while math.gcd(root * root + 1, strength._SMALL_PRIMES) != 1:
        root += 2
    check_rsa(root * root + 1, 65537)


def test_primes_close_together_are_found(honest: rsa.RSAPrivateNumbers) -> None:
    close = next_prime(honest.p + 10**6)
    with pytest.raises(WeakKey, match="close together"):
        check_rsa(honest.p * close, 65537)
    with pytest.raises(WeakKey, match="close together"):
        check_rsa(honest.p * honest.p, 65537)


def test_the_roca_fingerprint_is_found() -> None:
    """Make a modulus as the broken generator does: primes that are powers of 65537 modulo M."""
    primorial = 1
    for prime in (2, *strength._ROCA_PRIMES):
        primorial *= prime
    primes: list[int] = []
    for power in (12345, 99991):
        size = 1036 - 9 * len(primes)  # far apart, or Fermat's method would find them
        candidate = (1 << (size - primorial.bit_length())) * primorial
        candidate += pow(65537, power, primorial)
        while pow(2, candidate - 1, candidate) != 1:
            candidate += primorial
        primes.append(candidate)
    modulus = primes[0] * primes[1]
    assert modulus.bit_length() >= 2048
    with pytest.raises(WeakKey, match="ROCA"):
        check_rsa(modulus, 65537)


def test_primes_are_those_of_a_school_book() -> None:
    assert strength._primes_below(2) == []
    assert strength._primes_below(29) == [2, 3, 5, 7, 11, 13, 17, 19, 23]
    assert strength._ROCA_PRIMES[0] == 3
    assert strength._ROCA_PRIMES[-1] == 167
    assert len(strength._ROCA_PRIMES) == 38
