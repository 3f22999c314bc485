"""The small parts of the algorithm table that a signature rarely reaches by chance."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from portvakt import Refused
from portvakt.jose.algorithms import ALGORITHMS, _der
from portvakt.jose.jwk import import_jwk
from portvakt.jose.jwk_set import MAX_KEYS, MAX_SET, JwkSet, MalformedKeySet
from portvakt.jose.jws import parse, verify
from portvakt.jose.signer import Signer, sign_compact

halves = st.sampled_from([32, 48, 66]).flatmap(
    lambda size: st.tuples(*(st.integers(1, 2 ** (8 * size - 1)),) * 2, st.just(size))
)


@given(halves)
@example((1, 1, 32))
@example((0x7F, 0x80, 32))
@example((0x80 << 248, 0x7F << 248, 32))
@example((0x7F << 248, 0x80 << 248, 32))
@example((0x7F << 240, 0x80 << 240, 32))
@example((1 << 487, 1 << 479, 66))
@example((1 << 479, 1 << 479, 66))
@example((1 << 495, 1 << 487, 66))
def test_integers_are_written_as_the_reference_writes_them(case: tuple[int, int, int]) -> None:
    r, s, size = case
    assert _der(r.to_bytes(size, "big"), s.to_bytes(size, "big")) == encode_dss_signature(r, s)


def signer_of(bits: int) -> Signer:
    """Return a signer whose modulus has so many bits: OpenSSL makes none of an odd number."""
    if bits % 2 == 0:
        return Signer.generate("RS256", "k", bits=bits)
    p, q = (
        rsa.generate_private_key(65537, one).private_numbers().p for one in (bits - 1, bits + 1)
    )
    d = pow(65537, -1, (p - 1) * (q - 1))
    dp, dq, qi = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(65537, p * q))
    return Signer("RS256", "k", numbers.private_key())


@pytest.mark.parametrize("bits", [2049, 2050, 2054])
def test_an_rsa_signature_is_as_long_as_the_modulus_in_whole_octets(bits: int) -> None:
    signer = signer_of(bits)
    key = import_jwk(signer.public_jwk(), frozenset({"RS256"}))
    assert key.signature_length == 257
    assert key.strength == f"RSA {bits}"
    jws = parse(sign_compact({"alg": "RS256"}, b"x", signer), {})
    assert verify(jws, key).payload == b"x"
    with pytest.raises(Refused):
        verify(replace(jws, signature=jws.signature[:-1]), key)


def test_the_bounds_of_a_key_set_are_exact() -> None:
    assert (MAX_KEYS, MAX_SET) == (100, 524288)
    text = b'{"keys":[]}'
    assert JwkSet.from_json(text.ljust(524288), ALGORITHMS).keys == ()
    with pytest.raises(MalformedKeySet):
        JwkSet.from_json(text.ljust(524289), ALGORITHMS)
    assert len(JwkSet.from_object({"keys": [0] * 100}, ALGORITHMS).ignored) == 100
    with pytest.raises(MalformedKeySet):
        JwkSet.from_object({"keys": [0] * 101}, ALGORITHMS)
