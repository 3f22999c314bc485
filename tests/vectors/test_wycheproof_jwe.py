"""Wycheproof's encrypted tokens, case by case, with the key of each group.

All that is labelled invalid is refused. What is labelled valid is decrypted, but for what no access
token needs: those are listed below, each with its reason.
"""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from portvakt.errors import ConfigurationError, Refused
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.jwe import Decryption

FILE: Final = (
    Path(__file__).parents[3]
    / "shared"
    / "vectors"
    / "wycheproof"
    / "json_web_encryption_test.json"
)
SHA_256: Final = "RSA-OAEP-256"

_SHARED: Final = "a secret that sender and recipient share: AxxxKW, AxxxGCMKW, dir"
_PKCS1: Final = "RSA1_5: its padding answers questions (JWE-08)"
_SHA1: Final = "RSA-OAEP: it rests on SHA-1"
_A192: Final = "A192GCM, A192CBC-HS384, A192KW: two sizes are a choice enough"

#: The cases that are labelled valid and refused here: why.
OVERRIDES: Final = (
    dict.fromkeys((1, 23, 28, 29, 30, 31, 32, *range(69, 76), *range(132, 136)), _SHARED)
    | dict.fromkeys((*range(100, 106), 112, 128), _PKCS1)
    | dict.fromkeys((*range(82, 88), 129), _SHA1)
    | dict.fromkeys((53, 56, 60, 61, 77, 80, 89, 92), _A192)
)

#: Why the key of a group is no key here.
_NO_KEY: Final = {
    "oct": "the private JWK lacks, or does not know",
    "RSA1_5": "is not for keys that decrypt",
    "RSA-OAEP": "is not for keys that decrypt",
    "ECDH-ES+A192KW": "is not for keys that decrypt",
}


class Case(NamedTuple):
    number: int
    key: dict[str, Any]
    token: str
    plaintext: str | None
    valid: bool


def read() -> list[Case]:
    if not FILE.is_file():
        return []
    return [
        Case(
            test["tcId"],
            group["private"],
            test["jwe"] if isinstance(test["jwe"], str) else json.dumps(test["jwe"]),
            test.get("pt"),
            test["result"] == "valid",
        )
        for group in json.loads(FILE.read_text("utf-8"))["testGroups"]
        for test in group["tests"]
    ]


CASES: Final = read()

pytestmark = pytest.mark.skipif(not CASES, reason="no vectors in ../shared/vectors/wycheproof")


def opened(case: Case) -> bytes | None:
    """Return what was encrypted, or None where the token or the key is refused.

    The texts of RFC 7520 hold a dash that is not ASCII, as no token does: so they are looked at
    before that is checked.
    """
    reason = _NO_KEY.get(case.key["kty"], _NO_KEY.get(case.key["alg"]))
    if reason is not None:
        with pytest.raises(ConfigurationError, match=reason):
            DecryptionKey.from_jwk(case.key)
        return None
    decryption = Decryption([DecryptionKey.from_jwk(case.key)])
    try:
        return decryption._octets(case.token)
    except Refused:
        return None


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.number))
def test_json_web_encryption(case: Case) -> None:
    found = opened(case)
    if case.valid and case.number not in OVERRIDES:
        assert found is not None
        assert found.hex() == case.plaintext
    else:
        assert found is None, OVERRIDES.get(case.number, "labelled invalid")


def test_every_override_is_needed_and_enough_is_decrypted() -> None:
    valid = {case.number for case in CASES if case.valid}
    assert set(OVERRIDES) <= valid
    assert len(valid) - len(OVERRIDES) == 24
    assert len(CASES) == 139


def test_with_other_keys_nothing_is_opened() -> None:
    keys = [DecryptionKey.generate(alg, f"{alg}-key", bits=2048) for alg in (SHA_256, "ECDH-ES")]
    decryption = Decryption(keys)
    for case in CASES:
        with pytest.raises(Refused):
            decryption.decrypt(case.token)
