"""From characters to verified octets, for every algorithm of the table."""

from typing import Any

import pytest

from portvakt import Code, Refused
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.encoding import encode_base64url
from portvakt.jose.header import MAX_HEADER, MAX_KID, Header, media_type, parse_header
from portvakt.jose.jwk import Jwk, import_jwk
from portvakt.jose.jws import MAX_TOKEN, UnverifiedJws, VerifiedJws, parse, verify
from portvakt.jose.signer import Signer, sign_compact

SIGNERS = {alg: Signer.generate(alg, "k") for alg in ALGORITHMS}


def key_of(alg: str) -> Jwk:
    return import_jwk(SIGNERS[alg].public_jwk(), frozenset({alg}))


def header_of(members: dict[str, Any]) -> Header:
    import json

    return parse_header(encode_base64url(json.dumps(members).encode()))


def code_of(error: pytest.ExceptionInfo[Refused]) -> Code:
    return error.value.refusal.code


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_signed_token_is_verified(alg: str) -> None:
    token = sign_compact({"alg": alg, "kid": "k", "typ": "at+jwt"}, b"any octets", SIGNERS[alg])
    verified = verify(parse(token, {}), key_of(alg))
    assert isinstance(verified, VerifiedJws)
    assert verified.payload == b"any octets"
    assert verified.header == Header(alg, "k", "at+jwt")
    assert verified.key_thumbprint == key_of(alg).thumbprint


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("change", ["payload", "first bit", "last bit", "short", "long", "empty"])
def test_a_changed_token_is_not(alg: str, change: str) -> None:
    jws = parse(sign_compact({"alg": alg}, b"octets", SIGNERS[alg]), {})
    signature, signed = jws.signature, jws.signing_input
    match change:
        case "payload":
            signed += b"A"
        case "first bit":
            signature = bytes([signature[0] ^ 0x80]) + signature[1:]
        case "last bit":
            signature = signature[:-1] + bytes([signature[-1] ^ 1])
        case "short":
            signature = signature[:-1]
        case "long":
            signature += b"\0"
        case _:
            signature = b""
    forged = UnverifiedJws(jws.header, jws.encoded_header, jws.payload, signed, signature)
    with pytest.raises(Refused) as refused:
        verify(forged, key_of(alg))
    assert code_of(refused) is Code.SIGNATURE_INVALID


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_key_of_another_algorithm_is_not_used(alg: str) -> None:
    other = "ES256" if alg != "ES256" else "RS256"
    jws = parse(sign_compact({"alg": alg}, b"octets", SIGNERS[alg]), {})
    with pytest.raises(Refused) as refused:
        verify(jws, key_of(other))
    assert code_of(refused) is Code.KEY_UNKNOWN


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_the_range_of_r_and_s_is_checked(alg: str) -> None:
    size = (ALGORITHMS[alg].signature_length or 0) // 2
    order = key_of(alg).public_key.curve.group_order
    jws = parse(sign_compact({"alg": alg}, b"octets", SIGNERS[alg]), {})
    good_r, good_s = jws.signature[:size], jws.signature[size:]
    high_s = (order - int.from_bytes(good_s, "big")).to_bytes(size, "big")
    twin = UnverifiedJws(
        jws.header, jws.encoded_header, jws.payload, jws.signing_input, good_r + high_s
    )
    verify(twin, key_of(alg))  # RFC 7518 forbids neither of the two
    for bad in (0, order, order + 1, (1 << size * 8) - 1):
        octets = bad.to_bytes(size, "big")
        for signature in (octets + good_s, good_r + octets, octets + octets):
            forged = UnverifiedJws(
                jws.header, jws.encoded_header, jws.payload, jws.signing_input, signature
            )
            with pytest.raises(Refused):
                verify(forged, key_of(alg))


def test_ecdsa_integers_of_every_shape_verify() -> None:
    """The signature's halves may start with zeros or with a high bit; all must be written right."""
    seen: set[tuple[bool, bool, bool, bool]] = set()
    for number in range(3000):
        payload = str(number).encode()
        jws = parse(sign_compact({"alg": "ES256"}, payload, SIGNERS["ES256"]), {})
        r, s = jws.signature[0], jws.signature[32]
        shape = (r == 0, s == 0, r >= 0x80, s >= 0x80)
        if shape not in seen:
            seen.add(shape)
            verify(jws, key_of("ES256"))
        if any(one for one, *_ in seen) and any(two for _, two, *_ in seen):
            break
    assert len(seen) >= 4


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("", Code.TOKEN_PARTS),
        ("a", Code.TOKEN_PARTS),
        ("a.b", Code.TOKEN_PARTS),
        ("..", Code.TOKEN_PARTS),
        (".b.c", Code.TOKEN_PARTS),
        ("a..c", Code.TOKEN_PARTS),
        ("a.b.", Code.TOKEN_PARTS),
        ("e30.e30.e30.e30", Code.TOKEN_PARTS),
        ("e30.e30.e30.e30.e30", Code.TOKEN_ENCRYPTED),
        ("e30..e30.e30.e30", Code.TOKEN_ENCRYPTED),
        ("....", Code.TOKEN_ENCRYPTED),
        ("." * 9000, Code.TOKEN_PARTS),
        ("a" * (MAX_TOKEN + 1), Code.TOKEN_TOO_LONG),
        ("e30.e30.e30=", Code.TOKEN_ENCODING),
        ("e30.e3+.e30", Code.TOKEN_ENCODING),
        ("e30.e30.a", Code.TOKEN_ENCODING),
        ("e30.e31.e30", Code.TOKEN_ENCODING),
        ("e30\n.e30.e30", Code.TOKEN_ENCODING),
        ("e30.e30.e30\n", Code.TOKEN_ENCODING),
        ("\u00e5e30.e30.e30", Code.TOKEN_ENCODING),
        ("e30.e30.\u00e5e30", Code.TOKEN_ENCODING),
        ("e30.\ud800e30.e30", Code.TOKEN_ENCODING),
        ("e.e30.e30", Code.TOKEN_ENCODING),
        ("a" * (MAX_HEADER + 4) + ".e30.e30", Code.HEADER_TOO_LONG),
        ("W10.e30.e30", Code.HEADER_JSON),
        ("e30.e30.e30", Code.HEADER_PARAMETER),
    ],
)
def test_what_is_no_signed_token_is_refused(token: str, code: Code) -> None:
    with pytest.raises(Refused) as refused:
        parse(token, {})
    assert code_of(refused) is code


def test_a_token_of_16384_characters_is_read_and_one_more_is_too_long() -> None:
    header = encode_base64url(b'{"alg":"ES256"}')
    payload = "A" * (16384 - len(header) - 2 - 6)
    token = f"{header}.{payload}.AAAAAA"[:16384]
    assert len(token) == 16384
    assert len(parse(token, {}).payload) > 12_000
    with pytest.raises(Refused) as refused:
        parse(token + "A", {})
    assert code_of(refused) is Code.TOKEN_TOO_LONG


@pytest.mark.parametrize("half", [0, 1])
def test_a_half_without_its_leading_zero_is_not_a_second_form_of_the_signature(half: int) -> None:
    jws = None
    while jws is None or jws.signature[32 * half]:
        jws = parse(sign_compact({"alg": "ES256"}, b"octets", SIGNERS["ES256"]), {})
    verify(jws, key_of("ES256"))
    r, s = jws.signature[:32], jws.signature[32:]
    short = (r[1:] + s) if half == 0 else (r + s[1:])
    forged = UnverifiedJws(jws.header, jws.encoded_header, jws.payload, jws.signing_input, short)
    with pytest.raises(Refused) as refused:
        verify(forged, key_of("ES256"))
    assert code_of(refused) is Code.SIGNATURE_INVALID


def test_a_known_header_is_not_read_again() -> None:
    known = Header("ES256", None, "at+jwt")
    assert parse("anything.e30.e30", {"anything": known}).header is known


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"alg": "ES256", "crit": []}, Code.HEADER_CRITICAL),
        ({"alg": "ES256", "crit": ["exp"], "exp": 1}, Code.HEADER_CRITICAL),
        ({"alg": "ES256", "crit": None}, Code.HEADER_CRITICAL),
        *(({"alg": "ES256", name: value}, Code.HEADER_FORBIDDEN)
          for name in ("jwk", "jku", "x5u", "b64", "zip", "enc") for value in ("x", None, True)),
        ({}, Code.HEADER_PARAMETER),
        ({"alg": None}, Code.HEADER_PARAMETER),
        ({"alg": ["ES256"]}, Code.HEADER_PARAMETER),
        ({"alg": "ES256", "kid": None}, Code.HEADER_PARAMETER),
        ({"alg": "ES256", "kid": 0}, Code.HEADER_PARAMETER),
        ({"alg": "ES256", "kid": ""}, Code.HEADER_PARAMETER),
        ({"alg": "ES256", "kid": "k" * (MAX_KID + 1)}, Code.HEADER_PARAMETER),
        ({"alg": "ES256", "typ": None}, Code.HEADER_PARAMETER),
        ({"alg": "ES256", "typ": ["at+jwt"]}, Code.HEADER_PARAMETER),
        ({"alg": "ES256", "typ": "absent"}, Code.HEADER_PARAMETER),
        ({"alg": "ES256", "typ": "Application/ABSENT"}, Code.HEADER_PARAMETER),
        ({"alg": "ES256"} | {f"x{n}": n for n in range(65)}, Code.HEADER_TOO_LONG),
    ],
)  # fmt: skip
def test_header_parameters_that_nobody_may_follow_are_refused(
    members: dict[str, Any], code: Code
) -> None:
    with pytest.raises(Refused) as refused:
        header_of(members)
    assert code_of(refused) is code


def test_header_parameters_that_nobody_knows_are_ignored() -> None:
    members = {"alg": "ES256", "kid": "k" * MAX_KID, "x5c": ["x"], "x5t": "y", "cty": "z", "q": {}}
    assert header_of(members) == Header("ES256", "k" * MAX_KID, "absent")
    assert header_of({"alg": "ES256"} | {f"x{n}": n for n in range(63)}).alg == "ES256"


def encoded_header(length: int) -> str:
    """Return the encoded form, of this many characters, of a header that is otherwise honest."""
    octets = length * 3 // 4
    start = b'{"alg":"ES256","x":"'
    return encode_base64url(start + b"x" * (octets - len(start) - 2) + b'"}')


def test_the_bounds_of_a_header_are_exact() -> None:
    assert len(encoded_header(4096)) == 4096
    assert parse_header(encoded_header(4096)).alg == "ES256"
    for refused in (encoded_header(4098), encoded_header(4099)):
        with pytest.raises(Refused) as error:
            parse_header(refused)
        assert code_of(error) is Code.HEADER_TOO_LONG
    assert header_of({"alg": "ES256", "kid": "k" * 256}).kid == "k" * 256
    with pytest.raises(Refused) as error:
        header_of({"alg": "ES256", "kid": "k" * 257})
    assert code_of(error) is Code.HEADER_PARAMETER


def test_commas_and_brackets_of_a_header_are_counted_together() -> None:
    def of(arrays: int, objects: int, commas: int) -> dict[str, Any]:
        filler: list[Any] = [[] for _ in range(arrays)] + [{} for _ in range(objects)]
        filler += [1] * (commas - len(filler))
        return {"alg": "ES256", "x": filler}

    # One object and one array hold the rest; 60 members of the array have 59 commas, and alg one.
    for arrays, objects in ((0, 0), (1, 0), (0, 1), (1, 1)):
        counted = 3 + arrays + objects
        assert header_of(of(arrays, objects, 64 - counted + 1)).alg == "ES256"
        with pytest.raises(Refused) as refused:
            header_of(of(arrays, objects, 64 - counted + 2))
        assert code_of(refused) is Code.HEADER_TOO_LONG


@pytest.mark.parametrize(
    ("typ", "form"),
    [
        ("at+jwt", "at+jwt"),
        ("AT+JWT", "at+jwt"),
        ("application/at+jwt", "at+jwt"),
        ("APPLICATION/AT+jwt", "at+jwt"),
        ("JWT", "jwt"),
        ("x/at+jwt", "x/at+jwt"),
        ("application/x/at+jwt", "application/x/at+jwt"),
        ("at+jwt;v=1", "at+jwt;v=1"),
        (" at+jwt", " at+jwt"),
        ("\u212a", "\u212a"),
    ],
)
def test_types_are_brought_into_one_form(typ: str, form: str) -> None:
    assert media_type(typ) == form


def test_nobody_else_makes_a_verified_jws() -> None:
    with pytest.raises(TypeError, match=r"jose\.jws\.verify"):
        VerifiedJws(Header("ES256", None, "at+jwt"), b"{}", "thumbprint")
