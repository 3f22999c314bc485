"""Family HDR: the parameters that change what a token is, or what must be done with it."""

import json
from typing import Any, Final

import pytest

from judging import (
    guard_for,
    guard_with,
    honest,
    parts,
    signer_for,
    verdict,
)
from portvakt.jose.encoding import encode_base64url
from portvakt.jose.header import MAX_HEADER
from portvakt.refusal import Code

GUARD: Final = guard_for("ES256")


def raw(header: bytes) -> str:
    """Return an honest token with these octets as its header, signed as such."""
    return honest().header_bytes(header).build()


@pytest.mark.attack("HDR-09", "HDR-10")
@pytest.mark.parametrize(
    ("crit", "others"),
    [
        (["exp2"], {"exp2": 1}),
        (["b64"], {}),
        (["exp"], {"exp": 4_000_000_000}),
        (["http://issuer.test/x"], {"http://issuer.test/x": True}),
        ([], {}),
        ("b64", {}),
        (None, {}),
        ([1], {}),
        (["exp2", "exp2"], {"exp2": 1}),
        (["absent"], {}),
        (["alg"], {}),
        (["kid", "typ"], {}),
        ([""], {"": 1}),
        ({"exp2": 1}, {"exp2": 1}),
        (True, {}),
    ],
    ids=repr,
)
def test_whatever_is_critical_is_unknown_and_refused(crit: object, others: dict[str, Any]) -> None:
    assert verdict(GUARD, honest().header(crit=crit, **others).build()) is Code.HEADER_CRITICAL


@pytest.mark.twin("HDR-09", "HDR-10")
def test_unknown_parameter_that_is_not_critical_is_ignored() -> None:
    header = {"exp2": 1, "http://issuer.test/x": [True], "Crit": ["exp2"], "nonce": "n", "iat": 1}
    assert verdict(GUARD, honest().header(**header).build()) is None


@pytest.mark.attack("HDR-11")
@pytest.mark.parametrize("b64", [False, True, None, "false", 0, []], ids=repr)
def test_b64_is_refused_whatever_it_says(b64: object) -> None:
    assert verdict(GUARD, honest().header(b64=b64).build()) is Code.HEADER_FORBIDDEN
    critical = honest().header(b64=b64, crit=["b64"]).build()
    assert verdict(GUARD, critical) is Code.HEADER_CRITICAL


@pytest.mark.attack("HDR-11")
def test_unencoded_or_detached_payload_is_refused() -> None:
    builder = honest().header(b64=False)
    header = encode_base64url(builder.header_octets())
    plain = builder.payload_octets().decode()
    # No header can hold it: a payload as it is has commas. Without any, it is still no base64url.
    assert verdict(GUARD, builder.build_encoded(header, plain)) is Code.CREDENTIAL_MALFORMED
    dotted = builder.build_encoded(header, "pay.load")
    assert verdict(GUARD, dotted) is Code.TOKEN_PARTS
    assert verdict(GUARD, builder.build_encoded(header, "$02")) is Code.TOKEN_ENCODING
    assert verdict(GUARD, builder.build_encoded(header, "")) is Code.TOKEN_PARTS


OTHER_TYPES: Final = ("JWT", "dpop+jwt", "logout+jwt", "secevent+jwt", "at", "at+jwts", "jwt+at")


@pytest.mark.attack("HDR-12")
@pytest.mark.parametrize("typ", OTHER_TYPES)
def test_wrong_typ_is_refused(typ: str) -> None:
    assert verdict(GUARD, honest().header(typ=typ).build()) is Code.TYPE_REFUSED


@pytest.mark.attack("HDR-12")
@pytest.mark.parametrize("typ", [1, None, ["at+jwt"], True, {}, {"at+jwt": 1}], ids=repr)
def test_typ_that_is_no_string_is_refused(typ: object) -> None:
    assert verdict(GUARD, honest().header(typ=typ).build()) is Code.HEADER_PARAMETER


@pytest.mark.attack("HDR-12")
def test_absent_typ_is_refused_and_cannot_be_spelt() -> None:
    assert verdict(GUARD, honest().without_header("typ").build()) is Code.TYPE_REFUSED
    legacy = guard_with(
        signer_for("ES256").public_jwk(), algorithms=("ES256",), types=frozenset({"absent"})
    )
    for typ in ("absent", "Absent", "application/absent"):
        assert verdict(legacy, honest().header(typ=typ).build()) is Code.HEADER_PARAMETER
    assert verdict(legacy, honest().without_header("typ").build()) is None
    assert verdict(legacy, honest().header(typ="JWT").build()) is Code.TYPE_REFUSED


@pytest.mark.attack("HDR-13")
@pytest.mark.parametrize(
    "typ",
    [
        "at+jwt;v=1",
        "at+jwt; charset=utf-8",
        " at+jwt",
        "at+jwt ",
        "at+jwt\n",
        "at+jwt\0",
        "x/at+jwt",
        "text/at+jwt",
        "application/application/at+jwt",
        "application/",
        "/at+jwt",
        "at%2bjwt",
        "at jwt",
        "",
        "ＡＴ+jwt",
    ],
)
def test_typ_in_another_writing_is_another_type(typ: str) -> None:
    assert verdict(GUARD, honest().header(typ=typ).build()) is Code.TYPE_REFUSED


@pytest.mark.attack("HDR-13")
def test_only_ascii_letters_have_two_cases() -> None:
    kelvin = guard_with(
        signer_for("ES256").public_jwk(), algorithms=("ES256",), types=frozenset({"kat+jwt"})
    )
    assert verdict(kelvin, honest().header(typ="\u212aat+jwt").build()) is Code.TYPE_REFUSED
    assert verdict(kelvin, honest().header(typ="KAT+jwt").build()) is None


@pytest.mark.twin("HDR-12", "HDR-13")
@pytest.mark.parametrize(
    "typ", ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "Application/AT+jwt"]
)
def test_media_type_in_any_case_is_admitted(typ: str) -> None:
    assert verdict(GUARD, honest().header(typ=typ).build()) is None


@pytest.mark.attack("HDR-14")
@pytest.mark.parametrize("cty", ["JWT", "jwt", "application/jwt", None])
def test_token_within_a_token_is_refused(cty: str | None) -> None:
    inner = honest().build()
    outer = honest().header(cty=cty) if cty else honest()
    for payload in (inner.encode(), json.dumps(inner).encode()):
        assert verdict(GUARD, outer.payload(payload).build()) is Code.ISSUER_MISSING


@pytest.mark.twin("HDR-14")
def test_cty_beside_claims_is_ignored() -> None:
    assert verdict(GUARD, honest().header(cty="JWT").build()) is None


HEADER: Final = honest().header_octets()


@pytest.mark.attack("HDR-15")
@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"[" + HEADER + b"]",
        b'"x"',
        b"null",
        b"1",
        b"true",
        b" ",
        b"{",
        b"ES256",
        HEADER.decode().encode("utf-16"),
        HEADER.decode().encode("utf-16-le"),
        HEADER.decode().encode("utf-32"),
        b"\xef\xbb\xbf" + HEADER,
        HEADER[:-1] + b',"x":"\xff"}',
        HEADER[:-1] + b',"x":"\xc0\xaf"}',
        HEADER[:-1] + b',"x":"\xed\xa0\x80"}',
        HEADER[:-1] + rb',"x":"\ud800"}',
        HEADER[:-1] + rb',"\udc00":1}',
        HEADER[:-1] + b',"x":"a\nb"}',
        HEADER[:-1] + b",}",
        HEADER + HEADER,
        HEADER + b"\0",
        HEADER[:-1] + b',"x":NaN}',
        HEADER[:-1] + b',"x":' + b"[" * 20 + b"]" * 20 + b"}",
        HEADER[:-1] + b',"x":' + b"9" * 400 + b"}",
    ],
)
def test_header_that_is_no_json_object_is_refused(header: bytes) -> None:
    assert verdict(GUARD, raw(header)) is Code.HEADER_JSON


@pytest.mark.twin("HDR-15")
@pytest.mark.parametrize("header", [b" \r\n\t" + HEADER + b"\r\n", HEADER.replace(b":", b" : ")])
def test_white_space_in_a_header_is_admitted(header: bytes) -> None:
    assert verdict(GUARD, raw(header)) is None


@pytest.mark.attack("HDR-16")
@pytest.mark.parametrize(
    "first",
    [
        b'"alg":"none"',
        b'"alg":"ES256"',
        rb'"\u0061lg":"none"',
        b'"kid":"key-1"',
        b'"typ":"at+jwt"',
        b'"x":1,"x":1',
        b'"x":{"y":1,"y":2}',
        b'"crit":[],"crit":["b64"]',
    ],
)
def test_repeated_parameter_is_refused_in_either_order(first: bytes) -> None:
    for header in (b"{" + first + b"," + HEADER[1:], HEADER[:-1] + b"," + first + b"}"):
        assert verdict(GUARD, raw(header)) is Code.HEADER_JSON


@pytest.mark.attack("HDR-17")
@pytest.mark.parametrize(
    ("name", "value"),
    [("zip", "DEF"), ("zip", None), ("enc", "A256GCM"), ("enc", ""), ("enc", 1)],
)
def test_parameter_of_encryption_is_refused(name: str, value: object) -> None:
    assert verdict(GUARD, honest().header(**{name: value}).build()) is Code.HEADER_FORBIDDEN


@pytest.mark.attack("HDR-17")
def test_other_parameters_of_encryption_start_no_work() -> None:
    forged = honest().header(alg="PBES2-HS256+A128KW", p2c=2**31 - 1, p2s="AAAA").build()
    assert verdict(GUARD, forged) is Code.ALGORITHM_REFUSED
    epk = {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}
    assert verdict(GUARD, honest().header(alg="ECDH-ES", epk=epk).build()) is Code.ALGORITHM_REFUSED


@pytest.mark.attack("HDR-18")
@pytest.mark.parametrize(
    ("claim", "code"),
    [
        ("iss", Code.ISSUER_MISSING),
        ("aud", Code.AUDIENCE_MISSING),
        ("exp", Code.EXPIRY_MISSING),
        ("iat", Code.ISSUED_AT_MISSING),
        ("sub", Code.CLAIM_MISSING),
    ],
)
def test_claim_in_the_header_does_not_stand_for_the_claim(claim: str, code: Code) -> None:
    claims = json.loads(honest().payload_octets())
    forged = honest().without(claim).header(**{claim: claims[claim]}).build()
    assert verdict(GUARD, forged) is code


@pytest.mark.attack("HDR-18")
def test_claim_in_the_header_does_not_overrule_the_claim() -> None:
    good = json.loads(honest().payload_octets())
    forged = honest().claims(aud="other-api").header(iss=good["iss"], aud=good["aud"]).build()
    assert verdict(GUARD, forged) is Code.AUDIENCE_WRONG
    forged = honest().claims(iss="https://other.test").header(iss=good["iss"]).build()
    assert verdict(GUARD, forged) is Code.ISSUER_UNKNOWN


@pytest.mark.twin("HDR-18")
def test_claims_repeated_in_the_header_are_admitted() -> None:
    claims = json.loads(honest().payload_octets())
    token = honest().header(iss=claims["iss"], sub=claims["sub"], aud=claims["aud"]).build()
    assert verdict(GUARD, token) is None


@pytest.mark.attack("HDR-19")
def test_giant_header_is_refused_before_it_is_decoded() -> None:
    assert verdict(GUARD, honest().header(x="x" * MAX_HEADER).build()) is Code.HEADER_TOO_LONG
    many = {f"x{number}": 1 for number in range(200)}
    assert verdict(GUARD, honest().header(**many).build()) is Code.HEADER_TOO_LONG
    header, payload, signature = parts(honest().build())
    not_base64 = header + "!" * MAX_HEADER
    assert verdict(GUARD, f"{not_base64}.{payload}.{signature}") is Code.HEADER_TOO_LONG
    assert verdict(GUARD, honest().header(x="x" * 1_000_000).build()) is Code.TOKEN_TOO_LONG


@pytest.mark.twin("HDR-19")
def test_header_with_a_certificate_chain_is_admitted() -> None:
    assert verdict(GUARD, honest().header(x5c=["M" * 1400, "M" * 1400]).build()) is None
