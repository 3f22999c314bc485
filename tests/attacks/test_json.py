"""Family JSON: two texts, two parsers, two meanings; correctly signed, and in the header."""

import json
from typing import Final

import pytest

from portvakt import Code, Decision
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
GUARD: Final = ISSUER.guard()
NOW: Final = int(ISSUER.clock())

CLAIMS: Final[dict[str, object]] = {
    "iss": "https://issuer.test",
    "aud": "test-api",
    "sub": "user",
    "client_id": "client",
    "jti": "id",
    "iat": NOW,
    "exp": NOW + 300,
}
HEADER: Final[dict[str, object]] = {"alg": "ES256", "kid": ISSUER.signer.kid, "typ": "at+jwt"}

#: A text with a fault of grammar has no readable iss, so nothing after it is looked at.
UNREADABLE: Final = Code.ISSUER_MISSING


def payload(extra: str = "", without: str = "") -> str:
    """Write honest claims as JSON, with *extra* as further text before the closing brace."""
    text = json.dumps({name: value for name, value in CLAIMS.items() if name != without})
    return f"{text[:-1]}, {extra}}}" if extra else text


def header(extra: str = "", without: str = "") -> str:
    text = json.dumps({name: value for name, value in HEADER.items() if name != without})
    return f"{text[:-1]}, {extra}}}" if extra else text


def judge_payload(text: str | bytes) -> Decision:
    raw = text if isinstance(text, bytes) else text.encode()
    decision = GUARD.check_blocking(ISSUER.request(ISSUER.builder().payload(raw).build()))
    # An issuer that writes iss first and without spaces is found another way: same verdict.
    compact = raw.replace(b'{"iss": "https://issuer.test", ', b'{"iss":"https://issuer.test",', 1)
    if compact != raw:
        request = ISSUER.request(ISSUER.builder().payload(compact).build())
        assert GUARD.check_blocking(request).admitted == decision.admitted
    return decision


def judge_header(text: str | bytes) -> Decision:
    raw = text if isinstance(text, bytes) else text.encode()
    return GUARD.check_blocking(ISSUER.request(ISSUER.builder().header_bytes(raw).build()))


def code_of(decision: Decision) -> Code | None:
    assert decision.token is None or decision.admitted
    return None if decision.refusal is None else decision.refusal.code


def test_the_texts_these_tests_break_are_admitted_unbroken() -> None:
    assert judge_payload(payload()).admitted
    assert judge_header(header()).admitted


@pytest.mark.attack("JSON-01")
@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_a_claim_written_twice_alike_is_refused(name: str) -> None:
    again = json.dumps({name: CLAIMS[name]})[1:-1]
    assert code_of(judge_payload(payload(again))) is Code.PAYLOAD_JSON


@pytest.mark.attack("JSON-01")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"iss":"https://evil.test",' + payload()[1:], Code.PAYLOAD_JSON),
        (payload('"iss":"https://evil.test"'), Code.ISSUER_UNKNOWN),
        ('{"aud":"other",' + payload()[1:], Code.PAYLOAD_JSON),
        (payload('"aud":"other"'), Code.PAYLOAD_JSON),
        ('{"exp":1,' + payload()[1:], Code.PAYLOAD_JSON),
        (payload('"exp":9999999999'), Code.PAYLOAD_JSON),
        (payload('"scope":"read","scope":"write"'), Code.PAYLOAD_JSON),
        (payload('"a":{"b":1,"b":1}'), Code.PAYLOAD_JSON),
        (payload('"a":[{"b":{"c":[],"c":[]}}]'), Code.PAYLOAD_JSON),
        (payload('"":1,"":2'), Code.PAYLOAD_JSON),
    ],
)
def test_repeated_claims_are_refused_in_any_order_and_depth(text: str, code: Code) -> None:
    assert code_of(judge_payload(text)) is code


@pytest.mark.attack("JSON-01", "HDR-16")
@pytest.mark.parametrize(
    "text",
    [
        '{"alg":"none",' + header()[1:],
        header('"alg":"none"'),
        header('"alg":"ES256"'),
        '{"kid":"other",' + header()[1:],
        header('"kid":"other"'),
        header('"typ":"JWT"'),
        header('"x":{"y":1,"y":2}'),
    ],
)
def test_a_header_parameter_written_twice_is_refused(text: str) -> None:
    assert code_of(judge_header(text)) is Code.HEADER_JSON


@pytest.mark.twin("JSON-01", "HDR-16")
def test_one_name_in_two_objects_is_no_repetition() -> None:
    assert judge_payload(
        payload('"act":{"sub":"a","act":{"sub":"b"}},"l":[{"sub":1},{"sub":1}]')
    ).admitted
    assert judge_payload(payload('"act":{"sub":"a","act":{"sub":"b"}}')).admitted
    assert judge_header(header('"x":{"alg":"none","y":{"alg":"none"}}')).admitted


@pytest.mark.attack("JSON-02")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        (payload(r'"\u0069ss":"https://issuer.test"'), Code.PAYLOAD_JSON),
        (r'{"\u0069ss":"https://evil.test",' + payload()[1:], Code.PAYLOAD_JSON),
        (payload(r'"\u0065\u0078\u0070":9999999999'), Code.PAYLOAD_JSON),
        (payload(r'"\u0061ud":"test-api"'), Code.PAYLOAD_JSON),
        (payload(r'"a\/b":1,"a/b":2'), Code.PAYLOAD_JSON),
        (payload(r'"\u00e9":1,"é":2'), Code.PAYLOAD_JSON),
        (payload(r'"\ud83d\ude00":1,"😀":2'), Code.PAYLOAD_JSON),
    ],
)
def test_a_repetition_hidden_by_escapes_is_refused(text: str, code: Code) -> None:
    assert code_of(judge_payload(text)) is code


@pytest.mark.attack("JSON-02")
@pytest.mark.parametrize("name", [r"\u0061lg", r"a\u006cg", r"\u006bid", r"\u0074yp"])
def test_a_header_repetition_hidden_by_escapes_is_refused(name: str) -> None:
    assert code_of(judge_header(header(f'"{name}":"none"'))) is Code.HEADER_JSON


@pytest.mark.twin("JSON-02")
def test_escaped_names_and_values_that_repeat_nothing_are_admitted() -> None:
    assert judge_payload(payload().replace('"iss"', r'"\u0069ss"')).admitted
    assert judge_payload(payload().replace('"test-api"', r'"\u0074est-api"')).admitted
    assert judge_header(header().replace('"alg"', r'"\u0061lg"')).admitted


@pytest.mark.attack("JSON-03")
@pytest.mark.parametrize(
    ("name", "variant", "code"),
    [
        ("iss", "Iss", Code.ISSUER_MISSING),
        ("iss", "ISS", Code.ISSUER_MISSING),
        ("iss", "iss ", Code.ISSUER_MISSING),
        ("iss", r"iss\u0000", Code.ISSUER_MISSING),
        ("aud", "Aud", Code.AUDIENCE_MISSING),
        ("exp", "EXP", Code.EXPIRY_MISSING),
        ("iat", "IAT", Code.ISSUED_AT_MISSING),
        ("sub", "ſub", Code.CLAIM_MISSING),
        ("jti", "JTI", Code.CLAIM_MISSING),
        ("client_id", "Client_Id", Code.CLAIM_MISSING),
        ("client_id", "clientId", Code.CLAIM_MISSING),
    ],
)
def test_another_spelling_of_a_claim_is_another_claim(name: str, variant: str, code: Code) -> None:
    value = json.dumps(CLAIMS[name])
    assert code_of(judge_payload(payload(f'"{variant}":{value}', without=name))) is code


@pytest.mark.attack("JSON-03")
@pytest.mark.parametrize(
    ("name", "variant", "code"),
    [("alg", "ALG", Code.HEADER_PARAMETER), ("typ", "Typ", Code.TYPE_REFUSED)],
)
def test_another_spelling_of_a_header_parameter_is_another_one(
    name: str, variant: str, code: Code
) -> None:
    assert code_of(judge_header(header(f'"{variant}":"{HEADER[name]}"', without=name))) is code


@pytest.mark.twin("JSON-03")
def test_other_spellings_beside_the_right_ones_mean_nothing() -> None:
    assert judge_payload(payload('"EXP":1,"Iss":"https://evil.test","ſub":"admin"')).admitted
    assert judge_header(header('"ALG":"none","Kid":"other","CRIT":["x"]')).admitted


NOT_JSON: Final = [
    '"a":NaN',
    '"a":Infinity',
    '"a":-Infinity',
    '"a":0x10',
    '"a":+1',
    '"a":01',
    '"a":-01',
    '"a":.5',
    '"a":5.',
    '"a":1e',
    '"a":-',
    '"a":undefined',
    '"a":True',
    "'a':1",
    "\"a\":'b'",
    "a:1",
    '"a":1 /* comment */',
    '"a":1 // comment\n',
    '"a":1,',
    '"a":[1,]',
    ',"a":1',
    '"a" 1',
    '"a":"\\x41"',
    '"a":"\\u00g0"',
    '"a":"\t"',
    '"a":"\n"',
    '"a":"b',
]


@pytest.mark.attack("JSON-04")
@pytest.mark.parametrize("extra", NOT_JSON)
def test_what_is_not_json_is_refused_in_the_payload(extra: str) -> None:
    # Some faults are seen when the issuer is looked for, the others when the claims are read.
    assert code_of(judge_payload(payload(extra))) in {UNREADABLE, Code.PAYLOAD_JSON}


@pytest.mark.attack("JSON-04")
@pytest.mark.parametrize("extra", NOT_JSON)
def test_what_is_not_json_is_refused_in_the_header(extra: str) -> None:
    assert code_of(judge_header(header(extra))) is Code.HEADER_JSON


@pytest.mark.twin("JSON-04")
@pytest.mark.parametrize(
    "extra",
    ['"a":-0', '"a":1E+2', '"a":1e-400', '"a":0.5', '"a":"/* no comment */"', '"a":"NaN"', '"":1'],
)
def test_what_only_looks_like_an_extension_is_json(extra: str) -> None:
    assert judge_payload(payload(extra)).admitted
    assert judge_header(header(extra)).admitted


TRAILING: Final = ["{}", "[]", "\0", " x", ",", "}", "]", '"', "null", " //", "\x1a", "\x00" * 8]


@pytest.mark.attack("JSON-05")
@pytest.mark.parametrize("tail", TRAILING)
def test_text_after_the_object_is_refused(tail: str) -> None:
    assert code_of(judge_payload(payload() + tail)) is UNREADABLE
    assert code_of(judge_header(header() + tail)) is Code.HEADER_JSON


@pytest.mark.attack("JSON-05")
def test_two_whole_documents_are_refused() -> None:
    assert code_of(judge_payload(payload() + payload())) is UNREADABLE
    assert code_of(judge_payload(payload() + "\n" + payload())) is UNREADABLE
    assert code_of(judge_header(header() + header())) is Code.HEADER_JSON


@pytest.mark.twin("JSON-05")
def test_white_space_after_the_object_is_admitted() -> None:
    assert judge_payload(payload() + " \r\n\t").admitted
    assert judge_header(header() + " \r\n\t").admitted


@pytest.mark.attack("JSON-06")
@pytest.mark.parametrize(
    "text",
    [
        "[]", f"[{payload()}]", f'["iss",{payload()}]', '"str"', '""', "1", "0", "null", "true", " ",
        "{}", json.dumps(payload()),
    ],
)  # fmt: skip
def test_a_payload_that_is_no_object_of_claims_is_refused(text: str) -> None:
    assert code_of(judge_payload(text)) is Code.ISSUER_MISSING


@pytest.mark.attack("JSON-06", "HDR-15")
@pytest.mark.parametrize("text", ["[]", f"[{header()}]", '"str"', "1", "null", "true", " "])
def test_a_header_that_is_no_object_is_refused(text: str) -> None:
    assert code_of(judge_header(text)) is Code.HEADER_JSON


@pytest.mark.twin("JSON-06", "HDR-15")
def test_arrays_and_nulls_inside_the_object_are_admitted() -> None:
    assert judge_payload(payload('"a":[],"b":null,"c":{}')).admitted
    assert judge_header(header('"a":[],"b":null,"c":{}')).admitted


NOT_UTF8: Final = [
    b"\xff", b"\xfe", b"\x80", b"\xc0\xae", b"\xc1\xbf", b"\xe0\x80\xaf", b"\xed\xa0\x80",
    b"\xed\xbf\xbf", b"\xf0\x80\x80\xaf", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xe2\x82",
]  # fmt: skip


@pytest.mark.attack("JSON-07")
@pytest.mark.parametrize("octets", NOT_UTF8)
def test_octets_that_are_not_utf8_are_refused(octets: bytes) -> None:
    for member in (b', "a":"' + octets + b'"}', b', "' + octets + b'":1}'):
        code = code_of(judge_payload(payload()[:-1].encode() + member))
        assert code in {UNREADABLE, Code.PAYLOAD_JSON}
        assert code_of(judge_header(header()[:-1].encode() + member)) is Code.HEADER_JSON


@pytest.mark.attack("JSON-07")
@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-8-sig"]
)
def test_other_encodings_and_byte_order_marks_are_refused(encoding: str) -> None:
    assert code_of(judge_payload(payload().encode(encoding))) is UNREADABLE
    assert code_of(judge_header(header().encode(encoding))) is Code.HEADER_JSON


@pytest.mark.attack("JSON-07")
@pytest.mark.parametrize(
    "half", [r"\ud800", r"\udfff", r"x\uDBFFx", r"\ud800\ud800", r"\ude00\ud83d", r"\ud800\u0041"]
)
def test_half_a_surrogate_pair_is_refused(half: str) -> None:
    for member in (f'"a":"{half}"', f'"{half}":1', f'"a":[{{"b":["{half}"]}}]'):
        assert code_of(judge_payload(payload(member))) in {UNREADABLE, Code.PAYLOAD_JSON}
        assert code_of(judge_header(header(member))) is Code.HEADER_JSON


@pytest.mark.twin("JSON-07")
@pytest.mark.parametrize("text", ["blåbær", "😀", r"\ud83d\ude00", r"\u00e5", "\U0010ffff"])
def test_every_character_in_utf8_is_admitted(text: str) -> None:
    decision = judge_payload(payload(f'"name":"{text}"'))
    assert decision.token is not None
    assert decision.token.claims["name"] == json.loads(f'"{text}"')
    assert judge_header(header(f'"name":"{text}"')).admitted


@pytest.mark.attack("JSON-08")
@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("iss", r"https://issuer.test\u0000", Code.ISSUER_UNKNOWN),
        ("iss", r"https://issuer.test\u0000.evil", Code.ISSUER_UNKNOWN),
        ("iss", r"https://issuer.test\r\n", Code.ISSUER_UNKNOWN),
        ("iss", r"\u202ehttps://issuer.test", Code.ISSUER_UNKNOWN),
        ("aud", r"test-api\u0000", Code.AUDIENCE_WRONG),
        ("aud", r"test-api\u0000x", Code.AUDIENCE_WRONG),
        ("aud", r"test-api\n", Code.AUDIENCE_WRONG),
        ("aud", r"test-api\u200b", Code.AUDIENCE_WRONG),
    ],
)
def test_controls_in_a_string_make_it_another_string(name: str, value: str, code: Code) -> None:
    assert code_of(judge_payload(payload(f'"{name}":"{value}"', without=name))) is code


@pytest.mark.attack("JSON-08")
@pytest.mark.parametrize("control", ["\0", "\n", "\r", "\x1b", "\x08"])
def test_a_bare_control_in_a_string_is_refused(control: str) -> None:
    assert code_of(judge_payload(payload(f'"a":"x{control}y"'))) in {UNREADABLE, Code.PAYLOAD_JSON}
    assert code_of(judge_header(header(f'"a":"x{control}y"'))) is Code.HEADER_JSON


@pytest.mark.twin("JSON-08")
def test_a_subject_is_kept_to_its_last_character() -> None:
    decision = judge_payload(payload(r'"sub":"admin\u0020x\/\\ \u00e6"', without="sub"))
    assert decision.token is not None
    assert decision.token.subject == "admin x/\\ æ"


@pytest.mark.attack("JSON-08")
@pytest.mark.parametrize("name", ["sub", "client_id", "jti"])
@pytest.mark.parametrize(
    "control",
    [
        *(r"\u0000", r"\t", r"\n", r"\r\nX: y", r"\u001b[2J", r"\u007f", "\x7f"),
        *(r"\u0085", "\x85", "\x9b", r"\u2028", "\u2029", "\u202e", r"\u2066", "\u200f", "\ufeff"),
    ],
)
def test_an_identifier_with_what_does_not_print_is_refused(name: str, control: str) -> None:
    for value in (control, f"a{control}", f"{control}b", f"å{control}b"):
        refused = judge_payload(payload(f'"{name}":"{value}"', without=name))
        assert code_of(refused) is Code.CLAIM_MALFORMED
    # Elsewhere it is text like any other: nobody is named by it.
    assert judge_payload(payload(f'"x":"{control}"')).admitted


@pytest.mark.attack("JSON-09")
@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("iss", "https://іssuer.test", Code.ISSUER_UNKNOWN),  # a Cyrillic i
        ("iss", "https://iſſuer.test", Code.ISSUER_UNKNOWN),
        ("iss", "https://issuer\u2024test", Code.ISSUER_UNKNOWN),
        ("iss", "https\uff1a//issuer.test", Code.ISSUER_UNKNOWN),
        ("aud", "test-apі", Code.AUDIENCE_WRONG),
        ("aud", "teſt-api", Code.AUDIENCE_WRONG),
        ("aud", "test\u2010api", Code.AUDIENCE_WRONG),
        ("aud", "test-api\u0301", Code.AUDIENCE_WRONG),
    ],
)
def test_what_only_looks_or_normalises_alike_is_different(
    name: str, value: str, code: Code
) -> None:
    assert code_of(judge_payload(payload(f'"{name}":"{value}"', without=name))) is code


@pytest.mark.attack("JSON-09")
def test_a_kelvin_sign_is_no_k_in_a_type() -> None:
    # "at+jwt" has no k, but an allowed type may: folding beyond ASCII would make two of them one.
    assert code_of(judge_header(header('"typ":"application/at+\u212awt"', without="typ"))) is (
        Code.TYPE_REFUSED
    )


@pytest.mark.twin("JSON-09")
def test_composed_and_decomposed_subjects_are_two_subjects() -> None:
    composed = judge_payload(payload('"sub":"\u00e5"', without="sub"))
    decomposed = judge_payload(payload('"sub":"a\u030a"', without="sub"))
    assert composed.token is not None
    assert decomposed.token is not None
    assert composed.token.subject != decomposed.token.subject


def nested(depth: int, opening: str, closing: str) -> str:
    return opening * depth + "1" + closing * depth


@pytest.mark.attack("JSON-10", "DOS-03")
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_deep_nesting_is_refused(opening: str, closing: str) -> None:
    for depth in (17, 30):
        bomb = nested(depth, opening, closing)
        assert code_of(judge_payload(payload(f'"a":{bomb}'))) is Code.PAYLOAD_JSON
        assert code_of(judge_header(header(f'"a":{bomb}'))) is Code.HEADER_JSON
    # How deep is too deep for the reader that looks for iss depends on the Python that runs it.
    for text in (nested(1000, opening, closing), opening * 1800):
        code = code_of(judge_payload(payload(f'"a":{text}')))
        assert code in {UNREADABLE, Code.PAYLOAD_JSON}
    assert code_of(judge_header(header(f'"a":{opening * 500}'))) is Code.HEADER_TOO_LONG
    assert code_of(judge_payload(payload(f'"a":{opening * 100_000}'))) is Code.TOKEN_TOO_LONG
    assert code_of(judge_header(header(f'"a":{opening * 100_000}'))) is Code.TOKEN_TOO_LONG


@pytest.mark.attack("JSON-10", "DOS-03")
def test_a_whole_payload_of_brackets_is_refused() -> None:
    for opening in ("[", '{"a":', "[{", "]", "}"):
        assert code_of(judge_payload(opening * (12_000 // len(opening)))) is UNREADABLE


@pytest.mark.twin("JSON-10", "DOS-03")
def test_sixteen_levels_and_many_brackets_are_admitted() -> None:
    # The object of claims is the first level.
    arrays, objects = nested(15, "[", "]"), nested(15, '{"a":', "}")
    assert judge_payload(payload(f'"a":{arrays}')).admitted
    assert judge_payload(payload(f'"a":{objects}')).admitted
    assert judge_payload(payload('"a":"' + "[" * 5000 + '"')).admitted
    assert judge_payload(payload('"a":[' + "[{}]," * 1000 + "1]")).admitted
    assert judge_payload(payload(r'"a":"\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["')).admitted
    assert judge_header(header(f'"a":{arrays}')).admitted


NUMBER_BOMBS: Final = [
    "9" * 21, "9" * 400, "9" * 5000, "-" + "9" * 5000, "1e400", "-1e400", "1e99999999",
    "9" * 400 + ".0", "1" + "0" * 400 + "e0",
]  # fmt: skip


@pytest.mark.attack("JSON-11", "DOS-04")
@pytest.mark.parametrize("number", NUMBER_BOMBS, ids=lambda number: number[:12])
def test_numbers_out_of_bounds_are_refused_wherever_they_stand(number: str) -> None:
    for member in (f'"a":{number}', f'"a":[{{"b":{number}}}]'):
        assert code_of(judge_payload(payload(member))) in {UNREADABLE, Code.PAYLOAD_JSON}
        if len(number) < 3000:
            assert code_of(judge_header(header(member))) is Code.HEADER_JSON
    code = code_of(judge_payload(payload(f'"exp":{number}', without="exp")))
    assert code in {UNREADABLE, Code.PAYLOAD_JSON}


@pytest.mark.attack("JSON-11", "DOS-04")
def test_a_hundred_thousand_digits_are_not_even_decoded() -> None:
    for text in ("9" * 100_000, "0." + "9" * 100_000, "1e" + "9" * 100_000):
        assert code_of(judge_payload(payload(f'"exp":{text}', "exp"))) is Code.TOKEN_TOO_LONG


@pytest.mark.attack("JSON-11")
@pytest.mark.parametrize(
    ("name", "number", "code"),
    [
        ("exp", str(2**53 + 1), Code.EXPIRY_MALFORMED),
        ("exp", str(2**63), Code.EXPIRY_MALFORMED),
        ("exp", str(2**64), Code.EXPIRY_MALFORMED),
        ("exp", "99999999999999999999", Code.EXPIRY_MALFORMED),
        ("exp", "1e300", Code.EXPIRY_MALFORMED),
        ("exp", "-0", Code.TOKEN_EXPIRED),
        ("exp", "1e-400", Code.TOKEN_EXPIRED),
        ("exp", "1E+2", Code.TOKEN_EXPIRED),
        ("iat", str(2**64), Code.ISSUED_AT_MALFORMED),
        ("nbf", str(2**64), Code.NOT_YET_VALID),
    ],
)
def test_large_and_small_numbers_are_times_out_of_bounds(
    name: str, number: str, code: Code
) -> None:
    assert code_of(judge_payload(payload(f'"{name}":{number}', without=name))) is code


@pytest.mark.twin("JSON-11", "DOS-04")
@pytest.mark.parametrize(
    "extra",
    [
        '"a":99999999999999999999', '"a":-99999999999999999999', '"a":18446744073709551616',
        '"nbf":1e-400', '"nbf":-0', '"nbf":1E+2', '"a":0.' + "3" * 100, '"a":1.7976931348623157e308',
    ],
)  # fmt: skip
def test_every_number_within_bounds_is_admitted(extra: str) -> None:
    assert judge_payload(payload(extra)).admitted


@pytest.mark.attack("JSON-12")
def test_more_members_than_anyone_needs_are_refused() -> None:
    many = ",".join(f'"a{index}":1' for index in range(100))
    assert code_of(judge_header(header(many))) is Code.HEADER_TOO_LONG
    flood = ",".join(f'"a{index}":1' for index in range(100_000))
    assert code_of(judge_payload(payload(flood))) is Code.TOKEN_TOO_LONG
    assert code_of(judge_payload(payload(",".join(['"a":1'] * 1500)))) is Code.PAYLOAD_JSON


@pytest.mark.twin("JSON-12")
def test_dozens_of_members_are_admitted() -> None:
    assert judge_header(header(",".join(f'"a{index}":1' for index in range(40)))).admitted
    assert judge_payload(payload(",".join(f'"a{index}":1' for index in range(800)))).admitted


@pytest.mark.attack("JSON-13")
@pytest.mark.parametrize("name", ["__proto__", "constructor", "prototype", "__class__", "__dict__"])
def test_members_of_a_prototype_are_not_members_of_the_object(name: str) -> None:
    inherited = f'"{name}":{{"exp":{NOW + 300}}}'
    assert code_of(judge_payload(payload(inherited, without="exp"))) is Code.EXPIRY_MISSING
    inherited = f'"{name}":{{"alg":"ES256"}}'
    assert code_of(judge_header(header(inherited, without="alg"))) is Code.HEADER_PARAMETER


@pytest.mark.twin("JSON-13")
@pytest.mark.parametrize("name", ["__proto__", "constructor", "__class__", "_members"])
def test_such_names_are_handed_through_as_plain_claims(name: str) -> None:
    decision = judge_payload(payload(f'"{name}":{{"admin":true}}'))
    assert decision.token is not None
    assert decision.token.claims[name]["admin"] is True
    assert "admin" not in decision.token.claims


@pytest.mark.attack("JSON-14")
@pytest.mark.parametrize("space", ["\f", "\v", "\u00a0", "\u2028", "\ufeff", "\0"])
def test_what_json_does_not_call_white_space_is_refused(space: str) -> None:
    text = payload().replace(",", f",{space}", 1)
    assert code_of(judge_payload(text)) is UNREADABLE
    assert code_of(judge_header(header().replace(",", f",{space}", 1))) is Code.HEADER_JSON


@pytest.mark.twin("JSON-14")
@pytest.mark.parametrize("separator", [",\r\n ", ",\n", " ,\t", ","])
def test_white_space_and_order_are_free(separator: str) -> None:
    claims = json.dumps(dict(reversed(CLAIMS.items())), separators=(separator, " : "))
    assert judge_payload("\r\n" + claims + "\n").admitted
    parameters = json.dumps(dict(reversed(HEADER.items())), separators=(separator, ":"))
    assert judge_header(" " + parameters).admitted
