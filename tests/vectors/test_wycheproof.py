"""Wycheproof's JOSE files, case by case, through the code of production.

Our verdict is theirs, except where a stricter reading is the right one for access tokens: those are
listed below, each with its reason (ATTACKS.md section 2.2).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from portvakt.errors import Refused
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.jws import parse, verify
from portvakt.refusal import Code

FILES = Path(__file__).parents[3] / "shared" / "vectors" / "wycheproof"

_EMPTY = "an empty payload: RFC 7515 allows it, no access token has one (ENC-02)"
_PS384 = "the key says PS256 and the token PS384: a key has one algorithm (ALG-10)"
_ES521 = "the key's alg is ES521, which is registered nowhere (ALG-13)"
_CLEANED = "characters outside the alphabet, dropped before the MAC was computed (ENC-07)"
_HMAC = "an HMAC, and there is none here: a secret in a key set is never a key (ALG-17)"
_ENCRYPTED = "an encrypted token: refused until there is decryption"

#: The cases that are labelled valid and refused here: why.
SIGNATURE_OVERRIDES = (
    dict.fromkeys((259, 264, 268, 272, 320, 325), _EMPTY)
    | dict.fromkeys((346, 350), _PS384)
    | dict.fromkeys((347, 351), _ES521)
    # 367 and 370 are labelled invalid though octet by octet equal to the valid 357
    # (C2SP/wycheproof issue 236): all three are HMACs, so here all three are refused.
    | dict.fromkeys((1, 348, 352, 357, 358, 359, 376, 377), _HMAC)
    | dict.fromkeys((372, 373), _CLEANED)
)
KEY_OVERRIDES = dict.fromkeys((2, 13, 14, 15), _HMAC)
CRYPTO_OVERRIDES = dict.fromkeys((1, 48), _HMAC) | dict.fromkeys((50, 67), _ENCRYPTED)

#: Why a key of json_web_key is not imported: the case must fail for this and for nothing else.
BAD_KEYS = {
    1: "private or symmetric",
    6: "use is not sig",
    7: "ROCA",
    8: "1024 bits",
    9: "exponent",
    10: "private or symmetric",
    16: "private or symmetric",
    19: "alg is not a signature algorithm",
    20: "alg is not a signature algorithm",
    21: "use is not sig",
    22: "not on the curve",
    23: "x has 32 octets, not 48",
    24: "n is missing",
    25: "private or symmetric",
    26: "private or symmetric",
}


class Case(NamedTuple):
    number: int
    keys: dict[str, Any]
    token: str
    valid: bool


def read(name: str) -> Iterator[Case]:
    path = FILES / name
    if not path.is_file():
        return
    for group in json.loads(path.read_text("utf-8"))["testGroups"]:
        keys = group.get("public") or group["private"]
        keys = keys if "keys" in keys else {"keys": [keys]}
        for test in group["tests"]:
            token = test.get("jws") or test.get("jwe") or ""
            token = token if isinstance(token, str) else json.dumps(token)
            yield Case(test["tcId"], keys, token, test["result"] == "valid")


def cases(name: str) -> list[Any]:
    found = [pytest.param(case, id=str(case.number)) for case in read(name)]
    return found or [
        pytest.param(None, marks=pytest.mark.skip(f"no {name} in ../shared/vectors/wycheproof"))
    ]


def judge(case: Case) -> Code | None:
    """Return why the token is refused, or None."""
    keys = JwkSet.from_object(case.keys, ALGORITHMS)
    try:
        jws = parse(case.token, {})
        verified = verify(jws, keys.select(jws.header.alg, jws.header.kid))
    except Refused as refused:
        return refused.refusal.code
    assert verified.payload == jws.payload
    return None


def agree(case: Case, overrides: dict[int, str]) -> None:
    verdict = judge(case)
    if case.valid and case.number not in overrides:
        assert verdict is None
    else:
        assert verdict is not None, overrides.get(case.number, "labelled invalid")


@pytest.mark.parametrize("case", cases("json_web_signature_test.json"))
def test_json_web_signature(case: Case) -> None:
    agree(case, SIGNATURE_OVERRIDES)


@pytest.mark.parametrize("case", cases("json_web_key_test.json"))
def test_json_web_key(case: Case) -> None:
    agree(case, KEY_OVERRIDES)
    if case.number in BAD_KEYS:
        ignored = JwkSet.from_object(case.keys, ALGORITHMS).ignored
        assert BAD_KEYS[case.number] in ignored[0].reason


@pytest.mark.parametrize("case", cases("json_web_crypto_test.json"))
def test_json_web_crypto(case: Case) -> None:
    agree(case, CRYPTO_OVERRIDES)


@pytest.mark.parametrize("case", cases("json_web_encryption_test.json"))
def test_json_web_encryption_is_always_refused(case: Case) -> None:
    assert judge(case) in {Code.TOKEN_ENCRYPTED, Code.TOKEN_PARTS}


@pytest.mark.parametrize(
    ("name", "overrides", "accepted"),
    [
        ("json_web_signature_test.json", SIGNATURE_OVERRIDES, 26),
        ("json_web_key_test.json", KEY_OVERRIDES, 1),
        ("json_web_crypto_test.json", CRYPTO_OVERRIDES, 2),
    ],
)
def test_every_override_is_needed_and_enough_is_accepted(
    name: str, overrides: dict[int, str], accepted: int
) -> None:
    valid = {case.number for case in read(name) if case.valid}
    if not valid:
        pytest.skip(f"no {name} in ../shared/vectors/wycheproof")
    assert set(overrides) <= valid
    assert len(valid) - len(overrides) == accepted
