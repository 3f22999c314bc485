"""Family ENC: one text for one token. Whatever else a careless decoder would read is refused."""

import base64
import json
from collections.abc import Iterator
from typing import Final

import pytest

from judging import decide, guard_for, honest, new_signer, parts, verdict
from portvakt.http.request import HttpRequest
from portvakt.jose.encoding import encode_base64url
from portvakt.refusal import Code

GUARD: Final = guard_for("ES256")
ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def in_each_part(token: str, change: str, at: int | None = None) -> Iterator[str]:
    """Put characters into each of the three parts, at an index or at the end."""
    segments = parts(token)
    for index, part in enumerate(segments):
        place = len(part) if at is None else at
        altered = part[:place] + change + part[place:]
        yield ".".join((*segments[:index], altered, *segments[index + 1 :]))


@pytest.mark.twin(*(f"ENC-{n:02}" for n in range(1, 15)), "JWE-01")
def test_honest_token_is_admitted() -> None:
    for _ in range(20):
        assert verdict(GUARD, honest().build()) is None


@pytest.mark.twin("ENC-03", "ENC-05", "ENC-06")
@pytest.mark.parametrize("extra", range(6))
def test_parts_of_every_length_are_admitted(extra: int) -> None:
    token = honest().header(x="x" * extra).claims(x="x" * extra).build()
    assert verdict(GUARD, token) is None


@pytest.mark.twin("ENC-04")
def test_both_letters_of_the_url_alphabet_are_admitted() -> None:
    token = honest().claims(x="\u00ff\u00bf\u00fe?>~" * 8).build()
    while not {"-", "_"} <= set(token):
        token = honest().claims(x="\u00ff\u00bf\u00fe?>~" * 8).build()
    assert verdict(GUARD, token) is None


@pytest.mark.attack("ENC-01")
@pytest.mark.parametrize("dots", [0, 1, 3, 5, 6, 100, 5_000])
def test_wrong_number_of_parts_is_refused(dots: int) -> None:
    header, payload, signature = parts(honest().build())
    whole = [header, payload, signature]
    for segments in (
        ["a"] * (dots + 1),
        (whole + ["a"] * dots)[: dots + 1],
        ["a"] * dots + [header],
    ):
        assert verdict(GUARD, ".".join(segments)) is Code.TOKEN_PARTS


@pytest.mark.attack("ENC-01")
def test_empty_token_is_refused() -> None:
    assert verdict(GUARD, "") is Code.CREDENTIAL_MALFORMED


@pytest.mark.attack("ENC-01")
def test_very_many_dots_are_refused() -> None:
    assert verdict(GUARD, "." * 16_000) is Code.TOKEN_PARTS
    assert verdict(GUARD, "." * 100_000) is Code.TOKEN_TOO_LONG


@pytest.mark.attack("ENC-01", "JWE-01")
def test_five_parts_are_an_encrypted_token_and_refused() -> None:
    header = encode_base64url(b'{"alg":"RSA-OAEP","enc":"A256GCM"}')
    for token in (
        f"{header}.a.b.c.d",
        f"{header}..b.c.d",
        f"{honest().build()}.a.b",
        "....",
        "a.b.c.d.e",
    ):
        assert verdict(GUARD, token) is Code.TOKEN_ENCRYPTED


@pytest.mark.attack("ENC-02")
def test_empty_part_is_refused() -> None:
    header, payload, signature = parts(honest().build())
    for token in (
        "..",
        f".{payload}.{signature}",
        f"{header}..{signature}",
        f"{header}.{payload}.",
        f"{header}..",
        f"..{signature}",
        f".{payload}.",
        ".",
    ):
        assert verdict(GUARD, token) is Code.TOKEN_PARTS


@pytest.mark.attack("ENC-03")
@pytest.mark.parametrize("padding", ["=", "==", "===", "====", "%3D"])
def test_padding_is_refused(padding: str) -> None:
    for extra in range(3):
        token = honest().header(x="x" * extra).claims(x="x" * extra).build()
        for altered in in_each_part(token, padding):
            assert verdict(GUARD, altered) is Code.TOKEN_ENCODING


@pytest.mark.attack("ENC-04", "ENC-13")
def test_other_alphabet_is_refused() -> None:
    header, payload, signature = parts(honest().header(x="?>~" * 3).claims(x="?>~" * 3).build())
    while not {"-", "_"} & set(signature):
        header, payload, signature = parts(honest().build())
    for altered in (
        f"{header}.{payload}.{signature.replace('-', '+').replace('_', '/')}",
        f"{header}.{'+' + payload[1:]}.{signature}",
        f"{header}.{payload[:-1] + '/'}.{signature}",
        f"{'/' + header[1:]}.{payload}.{signature}",
    ):
        assert verdict(GUARD, altered) is Code.TOKEN_ENCODING


@pytest.mark.attack("ENC-05", "CACHE-08")
def test_spare_bits_that_are_not_zero_are_refused() -> None:
    # The 64 octets of the signature leave four bits to spare; header and payload are made to.
    tokens = (honest().header(x="x" * n).claims(x="x" * n).build() for n in range(3))
    seen = 0
    for token in tokens:
        segments = parts(token)
        for index, part in enumerate(segments):
            spare = {0: 0, 2: 4, 3: 2}[len(part) % 4]
            first = ALPHABET.index(part[-1])
            for bits in range(1, 1 << spare):
                seen += 1
                altered = part[:-1] + ALPHABET[first | bits]
                changed = ".".join((*segments[:index], altered, *segments[index + 1 :]))
                # The octets are the same, so a decoder that does not look would verify them.
                assert base64.urlsafe_b64decode(altered + "==") == base64.urlsafe_b64decode(
                    part + "=="
                )
                assert verdict(GUARD, changed) is Code.TOKEN_ENCODING
    assert seen > 45


@pytest.mark.attack("ENC-06")
@pytest.mark.parametrize("character", ["A", "Q", "_"])
def test_one_character_left_over_is_refused(character: str) -> None:
    header, payload, signature = parts(honest().build())
    for part in (header, payload, signature):
        longer = part + character * ((1 - len(part)) % 4 or 4)
        token = f"{header}.{payload}.{signature}".replace(part, longer)
        assert verdict(GUARD, token) is Code.TOKEN_ENCODING


#: What a decoder may pass over, or take for another character.
IGNORED: Final = (
    "\t", "\r", "\n", "\r\n", "\0", "\x7f", "?", "!", "~", "%", "%2e", "%41", "#", "*", "@", ";",
    ":", "\\", "'", '"', "{", "(", "<", "|", "`", "^", "$", "&", "=A", "\xa0", "\xad", "\xff",
    "\x85",
)  # fmt: skip
BEYOND_LATIN: Final = ("\u200b", "\u2028", "\ufeff", "Ａ", "．", "\u212a", "ſ", "\ud800", "😀", "А")


@pytest.mark.attack("ENC-07", "ENC-13", "ENC-14")
@pytest.mark.parametrize("character", [*IGNORED, *BEYOND_LATIN], ids=ascii)
def test_character_outside_the_alphabet_is_refused(character: str) -> None:
    token = honest().build()
    for at in (None, 0, 8):
        for altered in in_each_part(token, character, at):
            assert verdict(GUARD, altered) is Code.TOKEN_ENCODING


@pytest.mark.attack("ENC-07")
@pytest.mark.parametrize("character", [" ", ",", "  "])
def test_character_that_ends_a_credential_is_refused(character: str) -> None:
    for altered in in_each_part(honest().build(), character, 8):
        assert verdict(GUARD, altered) is Code.CREDENTIAL_MALFORMED


@pytest.mark.attack("ENC-08")
@pytest.mark.parametrize(
    ("suffix", "code"),
    [
        ("\n", Code.TOKEN_ENCODING),
        ("\r\n", Code.TOKEN_ENCODING),
        ("\0", Code.TOKEN_ENCODING),
        ("~", Code.TOKEN_ENCODING),
        ("~WyJzYWx0IiwibmFtZSIsInZhbHVlIl0~", Code.TOKEN_ENCODING),
        (";", Code.TOKEN_ENCODING),
        ("/", Code.TOKEN_ENCODING),
        (".", Code.TOKEN_PARTS),
        (".a", Code.TOKEN_PARTS),
        (",a.b.c", Code.CREDENTIAL_MALFORMED),
        (" a.b.c", Code.CREDENTIAL_MALFORMED),
        (" ", Code.CREDENTIAL_MALFORMED),
        ("\t", Code.TOKEN_ENCODING),
    ],
    ids=repr,
)
def test_something_after_the_token_is_refused(suffix: str, code: Code) -> None:
    assert verdict(GUARD, honest().build() + suffix) is code


@pytest.mark.attack("ENC-08")
@pytest.mark.parametrize("prefix", ["\n", "\t", "\ufeff", "'", "Bearer", "JWT:", "~"], ids=ascii)
def test_something_before_the_token_is_refused(prefix: str) -> None:
    assert verdict(GUARD, prefix + honest().build()) is Code.TOKEN_ENCODING


def json_serializations() -> dict[str, tuple[object, Code]]:
    header, payload, signature = parts(honest().build())
    signed = {"protected": header, "signature": signature}
    forged = {"protected": header, "signature": encode_base64url(bytes(64))}
    # A comma ends the credential; without one, there are no parts, or a brace is no base64url.
    comma = Code.CREDENTIAL_MALFORMED
    return {
        "flattened": ({"payload": payload, **signed}, comma),
        "general": ({"payload": payload, "signatures": [signed]}, comma),
        "no signatures": ({"payload": payload}, Code.TOKEN_PARTS),
        "empty signatures": ({"payload": payload, "signatures": []}, comma),
        "null signatures": ({"payload": payload, "signatures": None}, comma),
        "one right, one forged": ({"payload": payload, "signatures": [signed, forged]}, comma),
        "one forged, one right": ({"payload": payload, "signatures": [forged, signed]}, comma),
        "unprotected alg": ({"payload": payload, "header": {"alg": "none"}}, comma),
        "signatures alone": ({"signatures": []}, Code.TOKEN_PARTS),
        "array": ([f"{header}.{payload}.{signature}"], Code.TOKEN_ENCODING),
        "string": (f"{header}.{payload}.{signature}", Code.TOKEN_ENCODING),
    }


JSON: Final = json_serializations()


@pytest.mark.attack("ENC-09", "ENC-11", "API-03")
@pytest.mark.parametrize(("document", "code"), JSON.values(), ids=JSON)
def test_json_serialization_is_refused(document: object, code: Code) -> None:
    text = json.dumps(document, separators=(",", ":"))
    assert verdict(GUARD, text) is code
    assert verdict(GUARD, encode_base64url(text.encode())) is Code.TOKEN_PARTS


@pytest.mark.attack("ENC-10")
def test_text_that_is_compact_and_json_at_once_is_refused() -> None:
    # CVE-2022-39227: verified as JSON, and its claims then read by splitting at the dots.
    header, payload, signature = parts(honest().build())
    forged = encode_base64url(honest().claims(sub="admin").payload_octets())
    polyglot = (
        f'{{"{header}.{forged}.":"","protected":"{header}","payload":"{payload}",'
        f'"signature":"{signature}"}}'
    )
    assert verdict(GUARD, polyglot) is Code.CREDENTIAL_MALFORMED
    without_comma = f'{{"{header}.{forged}.{signature}":"{payload}"}}'
    assert verdict(GUARD, without_comma) is Code.TOKEN_ENCODING
    in_compact = f"{header}.{forged}.{signature}"
    assert verdict(GUARD, in_compact) is Code.SIGNATURE_INVALID


@pytest.mark.attack("ENC-11")
def test_second_signature_is_not_looked_for() -> None:
    header, payload, signature = parts(honest().build())
    forged = parts(honest().signed_by(new_signer("ES256")).build())[2]
    assert verdict(GUARD, f"{header}.{payload}.{forged}.{signature}") is Code.TOKEN_PARTS
    both = base64.urlsafe_b64decode(forged + "==") + base64.urlsafe_b64decode(signature + "==")
    assert verdict(GUARD, f"{header}.{payload}.{encode_base64url(both)}") is Code.SIGNATURE_INVALID


NO_DATA: Final = (Code.TOKEN_ENCODING,) * 3
OTHER_DATA: Final = (Code.HEADER_JSON, Code.ISSUER_MISSING, Code.SIGNATURE_INVALID)


@pytest.mark.attack("ENC-12")
@pytest.mark.parametrize(
    ("part", "codes"),
    [(it, NO_DATA) for it in ("!", "A", "====", "%%%%", "-1", "\0")]
    + [(it, OTHER_DATA) for it in ("null", "None", "AAAA", "____")],
)
def test_part_that_does_not_decode_is_no_data(part: str, codes: tuple[Code, ...]) -> None:
    segments = parts(honest().build())
    for index, code in enumerate(codes):
        token = ".".join((*segments[:index], part, *segments[index + 1 :]))
        assert verdict(GUARD, token) is code


@pytest.mark.attack("ENC-13")
def test_what_pythons_own_decoder_reads_alike_is_refused() -> None:
    header, payload, signature = parts(honest().build())
    pad = "=" * (-len(payload) % 4)
    for other in (
        payload + pad + "=" * (not pad),
        payload[:8] + "\n" + payload[8:] + pad,
        payload[:8] + "!" + payload[8:] + pad,
        payload[:8] + "\0" + payload[8:] + pad,
    ):
        assert base64.urlsafe_b64decode(other) == base64.urlsafe_b64decode(payload + pad)
        assert verdict(GUARD, f"{header}.{other}.{signature}") is Code.TOKEN_ENCODING


@pytest.mark.attack("ENC-14")
@pytest.mark.parametrize(
    "octets", [b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\x80"]
)
@pytest.mark.parametrize("errors", ["latin-1", "surrogateescape"])
def test_octets_beyond_ascii_are_refused_however_the_server_reads_them(
    octets: bytes, errors: str
) -> None:
    text = octets.decode("latin-1") if errors == "latin-1" else octets.decode("ascii", errors)
    for altered in in_each_part(honest().build(), text, 4):
        decision = decide(GUARD, altered)
        assert decision.refusal is not None
        assert decision.refusal.code is Code.TOKEN_ENCODING
    for header in (f"Bearer {text}", f"{text} {honest().build()}", text):
        request = HttpRequest(method="GET", url="/", headers=(("Authorization", header),))
        assert not GUARD.check_blocking(request).admitted
