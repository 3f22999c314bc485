"""What a header of an encrypted token may hold, at its exact bounds, and keys that were read."""

import json
from itertools import cycle, islice

import pytest

from portvakt import Code, Refused
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.encryption import KEY_MANAGEMENT
from portvakt.jose.header import MAX_MEMBERS
from portvakt.jose.jwe import Decryption, encrypt

KEY = DecryptionKey.generate("ECDH-ES+A256KW", "k")
OURS = Decryption([KEY])
TOKEN = "a.b.c"

#: alg, enc, kid, cty, x and epk, and in that kty, crv, x and y: eight commas and two brackets.
USUAL = 10


def decrypted(x: str) -> str:
    return OURS.decrypt(encrypt(TOKEN, KEY.public_jwk(), header={"x": x}))


@pytest.mark.parametrize("kinds", [",", "[", "{", ",[", "[{", ",{", ",[{", ",,,[{"])
def test_a_header_has_as_many_commas_and_brackets_as_anyone_needs(kinds: str) -> None:
    most = "".join(islice(cycle(kinds), MAX_MEMBERS - USUAL))
    assert decrypted(most) == TOKEN
    with pytest.raises(Refused) as refused:
        decrypted(most + kinds[0])
    assert refused.value.refusal.code is Code.ENCRYPTION_REFUSED
    assert refused.value.refusal.detail == "the header has too many members"


@pytest.mark.parametrize("alg", KEY_MANAGEMENT)
def test_a_token_is_encrypted_to_a_key_that_was_read(alg: str) -> None:
    key = DecryptionKey.generate(alg, "k", bits=2048)
    published = json.loads(json.dumps(key.public_jwk()))
    assert Decryption([key]).decrypt(encrypt(TOKEN, published)) == TOKEN
