"""What a header of an encrypted token may hold, at its exact bounds."""

from itertools import cycle, islice

import pytest

from portvakt import Code, Refused
from portvakt.jose.decryption_key import DecryptionKey
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
