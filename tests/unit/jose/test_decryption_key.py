"""Private keys that decrypt: imported if they are sound, and never shown."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from rich.pretty import pretty_repr

from encrypting import token
from portvakt.errors import ConfigurationError
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.encryption import KEY_MANAGEMENT
from portvakt.jose.jwe import Decryption
from portvakt.jose.jwk import thumbprint
from portvakt.jose.signer import Signer, private_jwk_of

SECRET_MEMBERS = ("d", "p", "q", "dp", "dq", "qi")


@pytest.mark.parametrize("alg", KEY_MANAGEMENT)
def test_generated_key_is_imported_as_it_was_written(alg: str) -> None:
    key = DecryptionKey.generate(alg, "one", bits=2048)
    again = DecryptionKey.from_jwk(key.private_jwk())
    assert again.private_jwk() == key.private_jwk()
    assert (again.alg, again.kid) == (alg, "one")
    assert key.public_jwk() == {**key.public_jwk(), "kid": "one", "alg": alg, "use": "enc"}
    assert not set(SECRET_MEMBERS) & key.public_jwk().keys()
    assert Decryption([again]).decrypt(token(key, "a.b.c")) == "a.b.c"


@pytest.mark.parametrize("crv", ["P-256", "P-384", "P-521"])
def test_each_curve_will_do(crv: str) -> None:
    key = DecryptionKey.generate("ECDH-ES", crv=crv)
    assert key.crv == crv
    assert Decryption([key]).decrypt(token(key, "a.b.c")) == "a.b.c"


def test_key_without_a_name_is_called_by_its_thumbprint() -> None:
    key = DecryptionKey.generate("ECDH-ES")
    assert key.kid == thumbprint(key.public_jwk())
    jwk = {name: value for name, value in key.private_jwk().items() if name != "kid"}
    assert DecryptionKey.from_jwk(jwk).kid == key.kid


def test_algorithm_may_be_said_beside_the_key() -> None:
    jwk = private_jwk_of(DecryptionKey.generate("ECDH-ES").private_key)
    assert DecryptionKey.from_jwk(jwk, alg="ECDH-ES+A128KW").alg == "ECDH-ES+A128KW"
    with pytest.raises(ConfigurationError, match="does not say for which algorithm"):
        DecryptionKey.from_jwk(jwk)
    with pytest.raises(ConfigurationError, match="states another alg"):
        DecryptionKey.from_jwk({**jwk, "alg": "ECDH-ES"}, alg="ECDH-ES+A128KW")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use": "sig"}, "its use is not enc"),
        ({"use": None}, "its use is not enc"),
        ({"alg": "RSA-OAEP-256"}, "not a key for RSA-OAEP-256"),
        ({"alg": "ES256"}, "not for keys that decrypt"),
        ({"alg": ["ECDH-ES"]}, "not for keys that decrypt"),
        ({"alg": "dir"}, "not for keys that decrypt"),
        ({"kid": ""}, "kid that is no name"),
        ({"kid": "x" * 257}, "kid that is no name"),
        ({"kid": 1}, "kid that is no name"),
        ({"kid": None}, "kid that is no name"),
        ({"d": "AQ"}, "its halves differ"),
        ({"kty": "OKP", "crv": "X25519"}, "lacks, or does not know"),
        ({"kty": "oct"}, "lacks, or does not know"),
        ({"kty": ["EC"]}, "malformed"),
        ({"crv": "secp256k1"}, "lacks, or does not know"),
    ],
)
def test_unsound_key_is_refused(change: dict[str, Any], message: str) -> None:
    jwk = {**DecryptionKey.generate("ECDH-ES", "one").private_jwk(), **change}
    with pytest.raises(ConfigurationError, match=message) as caught:
        DecryptionKey.from_jwk(jwk)
    assert jwk["x"] not in str(caught.value)


@pytest.mark.parametrize(
    ("bits", "exponent", "message"),
    [(1024, 65537, "1024 bits"), (4608, 65537, "at most 4096")],
)
def test_rsa_key_too_short_or_too_slow_is_refused(bits: int, exponent: int, message: str) -> None:
    private_key = rsa.generate_private_key(exponent, bits)
    with pytest.raises(ConfigurationError, match=message):
        DecryptionKey("RSA-OAEP-256", "one", private_key)
    with pytest.raises(ConfigurationError, match="2048 to 4096 bits"):
        DecryptionKey.generate("RSA-OAEP-256", bits=bits)


def test_unknown_algorithm_and_curve_are_named() -> None:
    with pytest.raises(ConfigurationError, match="RSA1_5 is not for keys that decrypt; known are"):
        DecryptionKey.generate("RSA1_5")
    with pytest.raises(ConfigurationError, match="secp256k1 is not a curve; known are P-256"):
        DecryptionKey.generate("ECDH-ES", crv="secp256k1")


def test_key_for_signatures_is_no_key_for_decryption() -> None:
    for alg in ("ES256", "RS256", "Ed25519"):
        with pytest.raises(ConfigurationError):
            DecryptionKey.from_jwk(Signer.generate(alg).private_jwk())
    signer = Signer.generate("Ed25519")
    with pytest.raises(ConfigurationError, match="not a key for ECDH-ES"):
        DecryptionKey("ECDH-ES", "x", signer._private_key)


def test_nothing_shows_a_key() -> None:
    keys = [DecryptionKey.generate(alg, alg, bits=2048) for alg in KEY_MANAGEMENT]
    decryption = Decryption(keys)
    held = [*keys, decryption, decryption._openers]
    seen = "".join(form(it) for it in held for form in (repr, str, pretty_repr))
    for key in keys:
        private = key.private_jwk()
        assert not [name for name in SECRET_MEMBERS if name in private and private[name] in seen]
    assert "DecryptionKey(ECDH-ES, kid='ECDH-ES')" in seen
    assert "Decryption(4 keys)" in seen


def test_decryption_needs_a_key() -> None:
    with pytest.raises(ConfigurationError, match="there is no key that decrypts"):
        Decryption([])


def test_private_key_in_json_is_read() -> None:
    key = DecryptionKey.generate("ECDH-ES", "one")
    assert DecryptionKey.from_jwk(json.loads(json.dumps(key.private_jwk()))).kid == "one"
