"""Family SIG, Ed25519 and Ed448: S beyond the order, and keys for which one signature fits all."""

from collections.abc import Iterator
from typing import Final

import pytest

from judging import KID, flaws, guard_for, guard_with, honest, new_signer, parts, verdict
from portvakt.jose.encoding import decode_base64url, encode_base64url
from portvakt.refusal import Code

L25519: Final = 2**252 + 27742317777372353535851937790883648493
L448: Final = 2**446 - 0x8335DC163BB124B65129C96FDE933D8D723A70AADC873D6D54A7BB0D
P25519: Final = 2**255 - 19
P448: Final = 2**448 - 2**224 - 1

Point = tuple[int, int]


def added(one: Point, other: Point) -> Point:
    """Add two points of edwards25519 (RFC 8032 section 5.1)."""
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2 % P25519
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P25519) % P25519
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P25519) % P25519
    return x, y


D: Final = -121665 * pow(121666, -1, P25519) % P25519


def times(factor: int, point: Point) -> Point:
    result: Point = (0, 1)
    while factor:
        if factor & 1:
            result = added(result, point)
        point = added(point, point)
        factor >>= 1
    return result


def some_points() -> Iterator[Point]:
    """Return points of the curve, of any order."""
    for y in range(2, 200):
        square = (y * y - 1) * pow(D * y * y + 1, -1, P25519) % P25519
        x = pow(square, (P25519 + 3) // 8, P25519)
        if x * x % P25519 != square:
            x = x * pow(2, (P25519 - 1) // 4, P25519) % P25519
        if x * x % P25519 == square:
            yield x, y


def small_points() -> set[Point]:
    """Return the points whose order divides eight: what is left of any point times L."""
    found: set[Point] = set()
    for point in some_points():
        found.add(times(L25519, point))
        if len(found) == 8:
            return found
    raise AssertionError(found)


SMALL: Final = sorted(small_points())


def written(point: Point) -> bytes:
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def encodings_of_small_points() -> Iterator[bytes]:
    """Every text that some decoder takes for a point of small order."""
    for y in sorted({y for _, y in SMALL} | {y + P25519 for _, y in SMALL if y < 19}):
        for sign in (0, 1):
            yield (y | sign << 255).to_bytes(32, "little")


def jwk(encoded: bytes, crv: str = "Ed25519") -> dict[str, str]:
    alg = "EdDSA" if crv == "Ed25519" else crv
    return {"kty": "OKP", "crv": crv, "kid": KID, "alg": alg, "x": encode_base64url(encoded)}


def with_signature(token: str, signature: bytes) -> str:
    header, payload, _ = parts(token)
    return f"{header}.{payload}.{encode_base64url(signature)}"


@pytest.mark.attack("SIG-10")
@pytest.mark.parametrize("multiple", range(1, 9))
@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
def test_s_plus_the_order_is_refused(alg: str, multiple: int) -> None:
    token = honest(alg).build()
    signature = decode_base64url(parts(token)[2])
    s = int.from_bytes(signature[32:], "little") + multiple * L25519
    altered = with_signature(token, signature[:32] + s.to_bytes(32, "little"))
    assert verdict(guard_for(alg), altered) is Code.SIGNATURE_INVALID


def test_there_are_eight_small_points_and_no_other_point_is_one() -> None:
    assert len(SMALL) == 8
    assert all(times(8, point) == (0, 1) for point in SMALL)
    assert len(set(encodings_of_small_points())) == 14


@pytest.mark.attack("SIG-11")
@pytest.mark.parametrize("encoded", [*encodings_of_small_points()], ids=bytes.hex)
def test_key_of_small_order_is_not_used(encoded: bytes) -> None:
    assert "Ed25519 key" in flaws(jwk(encoded))[0]
    guard = guard_with(jwk(encoded), algorithms=("EdDSA",))
    # For the key of order one, R = [S]B fits every message; S = 1 makes R the base point.
    base = (4 * pow(5, -1, P25519) % P25519).to_bytes(32, "little")
    one = base + (1).to_bytes(32, "little")
    assert verdict(guard, honest("EdDSA").signature(one).build()) is Code.KEY_UNKNOWN
    nothing = (1).to_bytes(32, "little") + bytes(32)
    assert verdict(guard, honest("EdDSA").signature(nothing).build()) is Code.KEY_UNKNOWN


@pytest.mark.attack("SIG-11")
@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("excess", range(19))
def test_key_whose_y_is_not_reduced_is_not_used(excess: int, sign: int) -> None:
    encoded = (P25519 + excess | sign << 255).to_bytes(32, "little")
    assert "not canonical" in flaws(jwk(encoded))[0]


@pytest.mark.attack("SIG-11")
@pytest.mark.parametrize("encoded", [*encodings_of_small_points()], ids=bytes.hex)
def test_signature_with_r_of_small_order_is_refused(encoded: bytes) -> None:
    token = honest("EdDSA").build()
    signature = decode_base64url(parts(token)[2])
    guard = guard_for("EdDSA")
    for forged in (encoded + signature[32:], encoded + bytes(32)):
        assert verdict(guard, with_signature(token, forged)) is Code.SIGNATURE_INVALID


@pytest.mark.twin("SIG-10", "SIG-11", "SIG-12")
@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519", "Ed448"])
def test_new_key_is_used_and_its_tokens_admitted(alg: str) -> None:
    for _ in range(20):
        signer = new_signer(alg)
        guard = guard_with(signer.public_jwk(), algorithms=(alg,))
        assert verdict(guard, honest(alg, signer).build()) is None


@pytest.mark.attack("SIG-12")
@pytest.mark.parametrize("multiple", [1, 2, 3])
def test_ed448_s_plus_the_order_is_refused(multiple: int) -> None:
    token = honest("Ed448").build()
    signature = decode_base64url(parts(token)[2])
    s = int.from_bytes(signature[57:], "little") + multiple * L448
    altered = with_signature(token, signature[:57] + s.to_bytes(57, "little"))
    assert verdict(guard_for("Ed448"), altered) is Code.SIGNATURE_INVALID


@pytest.mark.attack("SIG-12")
def test_ed448_signature_of_another_form_is_refused() -> None:
    token = honest("Ed448").build()
    signature = decode_base64url(parts(token)[2])
    guard = guard_for("Ed448")
    for forged in (
        signature[:-1],
        signature + b"\0",
        signature[:-1] + b"\x01",
        signature[:-1] + b"\x80",
        signature[:56] + bytes([signature[56] ^ 0x01]) + signature[57:],
        signature[:56] + bytes([signature[56] ^ 0x80]) + signature[57:],
        signature[:57],
        bytes(114),
    ):
        assert verdict(guard, with_signature(token, forged)) is Code.SIGNATURE_INVALID


@pytest.mark.attack("SIG-11", "SIG-12")
@pytest.mark.parametrize(
    ("y", "last"),
    [
        *((0, 0), (1, 0), (1, 0x80), (P448 - 1, 0), (0, 0x80)),  # small order
        *((P448, 0), (P448 + 1, 0x80), (2**448 - 1, 0)),  # not reduced
        *((12345, 0x01), (12345, 0x40), (12345, 0xFF)),  # stray bits
    ],
)
def test_ed448_key_that_is_weak_or_not_canonical_is_not_used(y: int, last: int) -> None:
    encoded = y.to_bytes(56, "little") + bytes([last])
    assert "Ed448 key" in flaws(jwk(encoded, "Ed448"))[0]
    guard = guard_with(jwk(encoded, "Ed448"), algorithms=("Ed448",))
    assert verdict(guard, honest("Ed448").build()) is Code.KEY_UNKNOWN


@pytest.mark.attack("SIG-11")
@pytest.mark.parametrize(("crv", "size"), [("Ed25519", 32), ("Ed448", 57)])
def test_edwards_key_of_another_length_is_not_used(crv: str, size: int) -> None:
    for length in (0, size - 1, size + 1, 2 * size):
        assert flaws(jwk(bytes(length), crv))
