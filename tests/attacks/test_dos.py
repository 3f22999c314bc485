"""Family DOS: what a caller without a valid token can make the guard do."""

import json
from collections.abc import Iterable
from time import perf_counter
from typing import Any, Final

import pytest

from portvakt import Code, Decision, Guard, HttpRequest, JwkSet, Requirement, TrustedIssuer
from portvakt.errors import ConfigurationError
from portvakt.forge.faults import FAULTS, Forgery
from portvakt.jose.encoding import encode_base64url
from portvakt.jose.header import Header
from portvakt.jose.jws import MAX_TOKEN
from portvakt.net.keys import KeySource
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
GUARD: Final = ISSUER.guard()
NOW: Final = int(ISSUER.clock())
MEGABYTES: Final = 10_000_000

#: What other work on the machine may add to a measurement.
NOISE: Final = 1.5


def bearer(token: str) -> HttpRequest:
    return HttpRequest(method="GET", url="/", headers=(("Authorization", f"Bearer {token}"),))


def code_of(decision: Decision) -> Code | None:
    assert decision.token is None or decision.admitted
    return None if decision.refusal is None else decision.refusal.code


def seconds(guard: Guard, requests: Iterable[HttpRequest]) -> float:
    """Return the least time that judging one of these requests takes."""
    least = float("inf")
    for request in requests:
        begun = perf_counter()
        guard.check_blocking(request)
        least = min(least, perf_counter() - begun)
    return least


def takes_at_most(bound: float, guard: Guard, request: HttpRequest) -> bool:
    """Whether a request can be judged in so many seconds; measured until it was, or often enough."""
    return any(seconds(guard, [request]) <= bound for _ in range(300))


SIZES: Final[dict[str, tuple[str, Code]]] = {
    "one letter": ("a" * MEGABYTES, Code.TOKEN_TOO_LONG),
    "dots": ("." * MEGABYTES, Code.TOKEN_TOO_LONG),
    "parts": (f"{'a' * 10}.{'b' * MEGABYTES}.{'c' * 86}", Code.TOKEN_TOO_LONG),
    "header": (f"{'e30' * (MEGABYTES // 3)}.e30.AAAA", Code.TOKEN_TOO_LONG),
    "spaces": (" " * MEGABYTES, Code.TOKEN_TOO_LONG),
    "commas": ("," * MEGABYTES, Code.TOKEN_TOO_LONG),
    "letters beyond ASCII": ("å" * MEGABYTES, Code.TOKEN_TOO_LONG),
    "brackets": ("[" * MEGABYTES, Code.TOKEN_TOO_LONG),
    "a little too long": ("a" * (MAX_TOKEN + 1), Code.TOKEN_TOO_LONG),
}


@pytest.mark.attack("DOS-01", "DOS-02", "HDR-19")
@pytest.mark.parametrize(("token", "code"), SIZES.values(), ids=SIZES)
def test_a_token_of_ten_megabytes_costs_less_than_a_millisecond(token: str, code: Code) -> None:
    request = bearer(token)
    assert code_of(GUARD.check_blocking(request)) is code
    assert takes_at_most(0.001, GUARD, request)


@pytest.mark.attack("DOS-01")
@pytest.mark.parametrize("scheme", ["", "Basic ", "bearer ", "Bearer  ", "a" * MEGABYTES, " "])
def test_a_credential_of_ten_megabytes_costs_as_little_under_any_scheme(scheme: str) -> None:
    value = scheme + "x" * (MEGABYTES - len(scheme))
    request = HttpRequest(method="GET", url="/", headers=(("Authorization", value),))
    assert code_of(GUARD.check_blocking(request)) is Code.TOKEN_TOO_LONG
    assert takes_at_most(0.001, GUARD, request)


@pytest.mark.attack("DOS-01", "HDR-08")
def test_a_name_of_a_key_of_a_megabyte_is_not_even_decoded() -> None:
    request = bearer(ISSUER.builder().header(kid="k" * 1_000_000).build())
    assert code_of(GUARD.check_blocking(request)) is Code.TOKEN_TOO_LONG
    assert takes_at_most(0.001, GUARD, request)


@pytest.mark.attack("DOS-01")
def test_giant_headers_beside_the_credential_are_not_looked_at() -> None:
    honest = ISSUER.request(ISSUER.token()).headers
    giants = (("Cookie", "x" * MEGABYTES), ("x" * MEGABYTES, ""), ("X", "Bearer " * 1_000_000))
    request = HttpRequest(method="GET", url="/", headers=(*giants, *honest))
    assert GUARD.check_blocking(request).admitted
    assert takes_at_most(0.001, GUARD, request)


@pytest.mark.twin("DOS-01", "HDR-08", "HDR-19")
def test_a_token_as_long_as_allowed_is_admitted() -> None:
    draft = ISSUER.builder().header(kid=ISSUER.signer.kid, x5t="k" * 200)
    room = (MAX_TOKEN - len(draft.claims(pad="").build())) // 4 * 3 - 2
    token = draft.claims(pad="x" * room).build()
    assert MAX_TOKEN - 8 < len(token) <= MAX_TOKEN
    assert GUARD.check_blocking(bearer(token)).admitted
    assert code_of(GUARD.check_blocking(bearer(draft.claims(pad="x" * (room + 9)).build()))) is (
        Code.TOKEN_TOO_LONG
    )


@pytest.mark.attack("DOS-02", "ENC-01")
@pytest.mark.parametrize("dots", [3, 5, 6, 100, MAX_TOKEN, 1_000_000])
def test_dots_are_counted_and_not_split(dots: int) -> None:
    code = code_of(GUARD.check_blocking(bearer("." * dots)))
    assert code is (Code.TOKEN_PARTS if dots <= MAX_TOKEN else Code.TOKEN_TOO_LONG)
    token = ISSUER.token() + "." * min(dots, 1000)
    assert code_of(GUARD.check_blocking(bearer(token))) is Code.TOKEN_PARTS


@pytest.mark.twin("DOS-02", "ENC-01")
def test_dots_inside_the_claims_are_no_parts() -> None:
    assert GUARD.check_blocking(bearer(ISSUER.token(claims={"sub": "a.b.c" + "." * 900}))).admitted


@pytest.mark.attack("DOS-05")
def test_nothing_in_the_payload_is_judged_before_the_signature() -> None:
    honest = ISSUER.builder()
    unsigned = honest.signature(b"\1" * 64)
    changes: tuple[dict[str, Any], ...] = (
        {"exp": 1},
        {"aud": []},
        {"sub": ["x"] * 1000},
        {"scope": "a " * 5000},
    )
    for claims in changes:
        assert code_of(GUARD.check_blocking(bearer(honest.claims(**claims).build()))) not in {
            None,
            Code.SIGNATURE_INVALID,
        }
        decision = GUARD.check_blocking(bearer(unsigned.claims(**claims).build()))
        assert code_of(decision) is Code.SIGNATURE_INVALID
    repeated = b'{"iss":"https://issuer.test","a":1,"a":2}'
    assert code_of(GUARD.check_blocking(bearer(unsigned.payload(repeated).build()))) is (
        Code.SIGNATURE_INVALID
    )


@pytest.mark.attack("DOS-05", "HDR-11")
@pytest.mark.parametrize("b64", [False, True, None, "false", 0])
def test_an_unencoded_payload_is_refused_before_any_work_on_it(b64: Any) -> None:
    for header in ({"b64": b64}, {"b64": b64, "crit": ["b64"]}):
        token = ISSUER.builder().header(**header).claims(big="x" * 11_000).build()
        code = code_of(GUARD.check_blocking(bearer(token)))
        assert code in {Code.HEADER_FORBIDDEN, Code.HEADER_CRITICAL}


@pytest.mark.twin("DOS-05", "HDR-11")
def test_a_large_payload_with_a_good_signature_is_judged_by_its_claims() -> None:
    token = ISSUER.builder().header(B64=False).claims(big="x" * 11_000).build()
    assert GUARD.check_blocking(bearer(token)).admitted


def rsa_of(bits: int, exponent: int = 65537) -> dict[str, Any]:
    """Return an RSA key of that size as an issuer would publish it; nobody knows its factors."""
    modulus = ((1 << bits) - 1) // 3 * 2 + 1 | 1 << (bits - 1)
    return {
        "kty": "RSA",
        "kid": "giant",
        "alg": "RS256",
        "n": encode_base64url(modulus.to_bytes((bits + 7) // 8, "big")),
        "e": encode_base64url(exponent.to_bytes((exponent.bit_length() + 7) // 8, "big")),
    }


@pytest.mark.attack("DOS-06", "KEY-07")
@pytest.mark.parametrize(
    "jwk",
    [rsa_of(16384), rsa_of(8193), rsa_of(100_000), rsa_of(2048, 2**64 + 1), rsa_of(2048, 2**2047 + 1)],
    ids=["16384", "8193", "100000", "e of 65 bits", "e of 2048 bits"],
)  # fmt: skip
def test_a_key_that_would_be_slow_is_never_used(jwk: dict[str, Any]) -> None:
    assert JwkSet.from_object({"keys": [jwk]}, ["RS256"]).keys == ()
    config = ISSUER.config()
    config["issuer"][0].update(algorithms=["RS256"], jwks={"keys": [jwk]})
    with pytest.raises(ConfigurationError):
        Guard.from_config(config)


@pytest.mark.twin("DOS-06", "KEY-07")
def test_an_rsa_key_of_ordinary_size_is_used() -> None:
    issuer = FakeIssuer(alg="RS256")
    assert issuer.guard().check_blocking(issuer.request(issuer.token())).admitted


@pytest.mark.attack("DOS-07")
@pytest.mark.parametrize(
    "tail", ["a" * 60_000 + ";", "/a" * 30_000 + "/", "%41" * 20_000 + "%", "a/" * 30_000 + "..", "." * 60_000]
)  # fmt: skip
def test_a_path_that_matches_no_template_costs_time_in_proportion_to_it(tail: str) -> None:
    routes = [
        {"path": "/a/{one}/{two}/{three}"},
        {"path": "/b/{one}/x/{rest:path}"},
        {"path": "/c/{rest:path}"},
    ]
    guard = ISSUER.guard(route=routes)
    token = ISSUER.token()
    for path in ("/a/", "/a/1/", "/a/1/2/", "/b/1/x/", "/c/"):
        request = ISSUER.request(token, url=path + tail)
        assert code_of(guard.check_blocking(request)) is Code.ROUTE_UNKNOWN
        # A pattern that tries again from every place would take seconds.
        assert takes_at_most(0.03, guard, request)


@pytest.mark.twin("DOS-07")
def test_a_long_path_that_matches_its_template_is_admitted() -> None:
    guard = ISSUER.guard(route=[{"path": "/c/{rest:path}"}])
    request = ISSUER.request(ISSUER.token(), url="/c" + "/a" * 30_000)
    assert guard.check_blocking(request).admitted


MANY: Final[dict[str, tuple[dict[str, Any], Code]]] = {
    "scopes": ({"scope": " ".join(f"s{index}" for index in range(1700))}, Code.SCOPE_INSUFFICIENT),
    "scope array": ({"scope": [f"s{index}" for index in range(1400)]}, Code.SCOPE_INSUFFICIENT),
    "spaces": ({"scope": " " * 11_000}, Code.SCOPE_MALFORMED),
    "audiences": ({"aud": [f"a{index}" for index in range(1400)]}, Code.AUDIENCE_WRONG),
    "same audience": ({"aud": ["test-api"] * 1000 + ["x"]}, Code.AUDIENCE_EXTRA),
    "a million scopes": ({"scope": "s " * 1_000_000}, Code.TOKEN_TOO_LONG),
    "a million audiences": ({"aud": ["a"] * 1_000_000}, Code.TOKEN_TOO_LONG),
}


@pytest.mark.attack("DOS-08", "CLM-22")
@pytest.mark.parametrize(("claims", "code"), MANY.values(), ids=MANY)
def test_giant_arrays_are_refused_in_time(claims: dict[str, Any], code: Code) -> None:
    request = bearer(ISSUER.builder().claims(**claims).build())
    demand = Requirement.of(scopes=["read"])
    assert code_of(GUARD.check_blocking(request, demand)) is code
    assert takes_at_most(0.002, GUARD, request)


@pytest.mark.twin("DOS-08", "CLM-22")
def test_hundreds_of_scopes_and_roles_are_admitted() -> None:
    scopes = [f"s{index}" for index in range(500)]
    token = ISSUER.builder(scopes).claims(roles=[f"r{index}" for index in range(500)]).build()
    assert GUARD.check_blocking(bearer(token), Requirement.of(scopes=scopes[:50])).admitted


# --- Nothing but a decision comes out (DOS-09) ----------------------------------------------------

ODD_TEXTS: Final = [
    "", " ", "\0", "\ud800", "\udfff", "\U0010ffff", "é", "\x80", "\r\n", "%s%n", "{}", "{0}", "[",
    "'", '"', "\\", "../../etc/passwd", "null", "undefined", "NaN", "-1", "1e400", "9" * 5000, "." * 99,
    "a" * 20_000, "[" * 10_000, "\x7f", "\u2028", "\ufeff", "=", "====", "a=b", "eyJ", "e30", "e30.e30.",
    "e30.e30.e30", "e30.W10.e30", "W10.e30.e30", "bnVsbA.bnVsbA.bnVsbA", "MQ.MQ.MQ", "IiI.IiI.IiI",
]  # fmt: skip


@pytest.mark.attack("DOS-09")
@pytest.mark.parametrize("odd", ODD_TEXTS, ids=lambda odd: ascii(odd)[:24])
def test_odd_text_anywhere_in_a_request_comes_out_as_a_decision(odd: str) -> None:
    token = ISSUER.token()
    guard = ISSUER.guard(route=[{"path": "/"}, {"path": "/a/{b}"}, {"path": "/p", "public": True}])
    requests = [
        HttpRequest(method=odd, url="/", headers=()),
        HttpRequest(method="GET", url=odd, headers=()),
        HttpRequest(method="GET", url=f"/a/{odd}", headers=((odd, odd),)),
        HttpRequest(method="GET", url=f"/?access_token={odd}", headers=()),
        HttpRequest(method="GET", url=f"http://{odd}/p?{odd}", headers=((odd, ""),)),
        HttpRequest(method="GET", url="/", headers=(("Authorization", odd),)),
        HttpRequest(method="GET", url="/", headers=(("Authorization", f"Bearer {odd}"),)),
        HttpRequest(method="GET", url="/", headers=(("Authorization", f"{odd} {token}"),)),
        HttpRequest(method="GET", url="/", headers=(("Authorization", f"Bearer {token}{odd}."),)),
        HttpRequest(method="GET", url="/", headers=(("Authorization", f"Bearer {odd}.{token}"),)),
        HttpRequest(
            method="GET", url="/", headers=(("Authorization", "x"), ("authorization", odd))
        ),
    ]
    for request in requests:
        assert code_of(guard.check_blocking(request)) is not Code.INTERNAL_ERROR


ODD_VALUES: Final[list[Any]] = [
    None, True, False, 0, -1, 1.5, 1e308, -1e308, 2**63, -(2**63), "", "\0", "x" * 9000, [], [[]], {},
    [None], {"a": {}}, [1, "a", None], ["a"] * 1000, {"__proto__": 1}, {"": ""}, [True], "\U0001f600",
]  # fmt: skip


@pytest.mark.attack("DOS-09")
@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: ascii(value)[:24])
def test_an_odd_value_in_any_claim_or_parameter_comes_out_as_a_decision(value: Any) -> None:
    honest = ISSUER.builder()
    for name in (
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "client_id",
        "scope",
        "cnf",
        "act",
    ):
        decision = GUARD.check_blocking(bearer(honest.claims(**{name: value}).build()))
        assert code_of(decision) is not Code.INTERNAL_ERROR, name
    for name in (
        "alg",
        "kid",
        "typ",
        "crit",
        "b64",
        "zip",
        "enc",
        "jwk",
        "jku",
        "x5u",
        "x5c",
        "cty",
    ):
        draft = honest.header(**{name: value})
        assert code_of(GUARD.check_blocking(bearer(draft.build()))) is not Code.INTERNAL_ERROR, name


@pytest.mark.twin("DOS-09")
def test_odd_values_in_claims_that_nobody_asks_for_are_admitted() -> None:
    for value in ODD_VALUES:
        token = ISSUER.builder().claims(extra=value).header(extra=str(value)[:99]).build()
        assert GUARD.check_blocking(bearer(token)).admitted


@pytest.mark.attack("DOS-11")
def test_what_is_logged_about_a_refusal_is_short_whatever_was_sent() -> None:
    long = "x" * 11_000
    honest = ISSUER.builder()
    drafts = [
        honest.claims(**{name: value}) for name in honest_names() for value in (*ODD_VALUES, long)
    ]
    drafts += [
        honest.header(kid="k" * 2000),
        honest.header(typ="t" * 2000),
        honest.header(alg="a" * 2000),
    ]
    for draft in drafts:
        refusal = GUARD.check_blocking(bearer(draft.build())).refusal
        if refusal is not None and refusal.detail is not None:
            assert len(refusal.detail) < 500
            assert "xxx" not in refusal.detail
            assert "\n" not in refusal.detail
    for request in (
        ISSUER.request(method="M" * 9000),
        ISSUER.request(url="/" + long),
        ISSUER.request(headers=[("X-HTTP-Method-Override", long)]),
        ISSUER.request(headers=[("Authorization", long)]),
    ):
        refusal = GUARD.check_blocking(request).refusal
        assert refusal is not None
        assert len(refusal.detail or "") < 500


def honest_names() -> list[str]:
    members: dict[str, Any] = json.loads(ISSUER.builder().payload_octets())
    return [*members, "nbf", "scope", "cnf"]


@pytest.mark.attack("DOS-11")
def test_the_reasons_that_metrics_may_count_are_a_closed_list() -> None:
    forged = [ISSUER.builder().header(kid=f"k{index}").build() for index in range(50)]
    reasons = {
        (refusal.code, refusal.detail)
        for token in forged
        if (refusal := GUARD.check_blocking(bearer(token)).refusal) is not None
    }
    assert len(reasons) == 1


@pytest.mark.twin("DOS-11")
def test_a_refusal_says_enough_to_find_the_fault() -> None:
    decision = GUARD.check_blocking(bearer(ISSUER.token(claims={"exp": NOW - 60, "iat": NOW - 90})))
    assert decision.refusal is not None
    assert decision.refusal.detail == "expired 60 s ago, leeway 5 s"


# --- No refusal costs more than an admission (DOS-12) ---------------------------------------------


class Bench:
    """One issuer, a guard that never saw its tokens, and what honest tokens cost at first sight."""

    def __init__(self, alg: str) -> None:
        self.issuer = FakeIssuer(alg=alg)
        keys = JwkSet.from_object(self.issuer.jwks(), [alg])

        class Source(KeySource):
            def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
                return keys

            async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
                return keys

        self.guard = Guard(issuers=[self.issuer.trusted], keys=Source(), clock=self.issuer.clock)
        self.claims: dict[str, Any] = json.loads(self.issuer.builder().payload_octets())
        # Octets of a payload that makes a token as long as may be.
        self.room = (MAX_TOKEN - len(self.issuer.token())) // 4 * 3 - 64
        self.guard.check_blocking(self.request(self.issuer.token()))
        self.plain = self.first_sight({}, spaced=False)
        #: As honest, but with a space, so that every member has to be looked at; and nested.
        deep: Any = 1
        for _ in range(15):
            deep = [deep]
        self.spaced = self.first_sight({"deep": deep, "pad": "x" * 5000}, spaced=True)
        words = ["abcdefgh"] * (self.room // 14)
        self.full = self.first_sight({"words": words}, spaced=False)
        objects = [{"b": 1}] * (self.room // 8 - 4)
        self.full_spaced = self.first_sight({"objects": objects}, spaced=True)

    def first_sight(self, extra: dict[str, Any], *, spaced: bool) -> float:
        """Return what a token of these claims costs that the guard has not seen before."""
        payload = json.dumps({**self.claims, **extra, "n": "?"}, separators=(",", ":"))
        if spaced:
            payload = " " + payload
        tokens = [self.signed(payload.replace('"?"', str(index))) for index in range(25)]
        assert self.guard.check_blocking(bearer(tokens.pop())).admitted
        return seconds(self.guard, map(bearer, tokens))

    def signed(self, payload: str) -> str:
        return self.issuer.builder().payload(payload.encode()).build()

    def forged(self, payload: str) -> str:
        # Kept signature: right length, wrong text.
        signature = self.issuer.token().rpartition(".")[2]
        header, body, _ = self.signed(payload).split(".")
        return f"{header}.{body}.{signature}"

    def headed(self, header: str) -> str:
        return self.issuer.builder().header_bytes(header.encode()).build()

    def request(self, token: str) -> HttpRequest:
        return self.issuer.request(token)


@pytest.fixture(scope="module", params=["ES256", "RS256", "Ed25519"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


def fillings(room: int) -> dict[str, str]:
    """Return members that are as hard to read as they can be in so much room, and wrong."""
    return {
        "quotes": '"a":' + "[" * 20 + '"' + '\\"' * (room // 2 - 20),
        "backslashes": '"a":' + "[" * 20 + '"' + "\\\\" * (room // 2 - 20) + "\\",
        "brackets": '"a":' + "[]" * (room // 2 - 4),
        "opening brackets": '"a":' + "[" * (room - 8),
        "closing brackets": '"a":' + "[" * 30 + "]" * (room - 40),
        "legal brackets": '"a":[' + "[]," * (room // 3 - 20) + '[]],"b":1,"b":1',
        "legal nests": '"a":[' + ("[" * 14 + "]" * 14 + ",") * (room // 29 - 2) + '1],"b":1,"b":1',
        "objects": '"a":[' + '{"b":1},' * (room // 8 - 8) + '{"b":1,"b":2}]',
        "repetitions": ",".join(['"a":1'] * (room // 6 - 2)),
        "members": ",".join(f'"a{index}":1' for index in range(room // 10)) + ',"a1":1',
        "escapes": '"a":"' + "\\u0041" * (room // 6 - 4) + '","a":1',
        "escaped strings": '"a":[' + '"\\u0041",' * (room // 9 - 4) + '"\\ud800"]',
        "digits": '"a":' + "9" * (room - 8),
        "4000 digits": '"a":[' + ("9" * 4000 + ",") * (room // 4001) + "1e400]",
        "2000 digits": '"a":[' + ("9" * 2000 + ",") * (room // 2001) + "1e400]",
        "fraction": '"a":0.' + "9" * (room - 20) + ',"a":1',
        "exponents": '"a":[' + "1e-300," * (room // 7 - 6) + '1],"b":1,"b":1',
        "integers": '"a":[' + "18446744073709551615," * (room // 21 - 2) + "1e400]",
        "spaces": '"a":' + " " * (room - 40) + '1,"a":1',
        "letters beyond ASCII": '"a":"' + "å" * (room // 2 - 10) + '","a":1',
    }


@pytest.mark.attack("DOS-12")
def test_no_near_miss_costs_more_than_an_honest_token(bench: Bench) -> None:
    token = bench.issuer.builder()
    forgery = Forgery.against(token, several_keys=True)
    for fault in FAULTS:
        if fault.applies(token, forgery):
            # Whoever has the issuer's key may write spaces, like the issuer; the others may not.
            bound = bench.plain if fault.keyless else bench.spaced
            request = bench.request(fault.apply(token, forgery))
            assert takes_at_most(bound * NOISE, bench.guard, request), fault.id


@pytest.mark.attack("DOS-12", "DOS-03", "DOS-04")
@pytest.mark.parametrize("filling", fillings(1000))
def test_what_anyone_can_send_costs_no_more_than_an_honest_token_as_long(
    filling: str, bench: Bench
) -> None:
    bound = bench.full * NOISE
    claims = json.dumps(bench.claims)[:-1]
    tokens = [bench.forged(f"{claims},{fillings(bench.room)[filling]}}}")]
    header = bench.issuer.builder().header_octets().decode()[:-1]
    tokens += [bench.headed(f"{header},{fillings(room)[filling]}}}") for room in (400, 2900)]
    for token in tokens:
        assert len(token) <= MAX_TOKEN
        assert not bench.guard.check_blocking(bearer(token)).admitted
        assert takes_at_most(bound, bench.guard, bearer(token))


@pytest.mark.attack("DOS-12", "DOS-03", "DOS-04")
@pytest.mark.parametrize("filling", fillings(1000))
def test_what_an_issuer_can_sign_costs_no_more_than_its_honest_token_as_long(
    filling: str, bench: Bench
) -> None:
    claims = json.dumps(bench.claims)[:-1]
    token = bench.signed(f"{claims},{fillings(bench.room)[filling]}}}")
    assert len(token) <= MAX_TOKEN
    assert not bench.guard.check_blocking(bearer(token)).admitted
    assert takes_at_most(bench.full_spaced * NOISE, bench.guard, bearer(token))


@pytest.mark.attack("DOS-12")
def test_what_is_no_token_costs_no_more_than_an_honest_one_as_long(bench: Bench) -> None:
    header, payload, signature = bench.issuer.token().split(".")
    size = MAX_TOKEN - len(header) - 200
    shapes = {
        "dots": "." * MAX_TOKEN,
        "letters": "a" * MAX_TOKEN,
        "five parts": "A.A.A.A." + "A" * size,
        "long header": "e" * size + ".e30.AAAA",
        "long signature": f"{header}.{payload}.{'A' * (size - len(payload))}",
        "zeros": f"{header}.{'A' * size}.{signature[:100]}",
        "other alphabet": f"{header}.{'+' * size}.AAAA",
        "last character": f"{header}.{'A' * (size - 1)}=.AAAA",
        "beyond ASCII": f"{header}.{'å' * size}.AAAA",
        "surrogates": "\ud800" * size,
        "spaces": " " * size + "x",
        "commas": "a," * (size // 2),
    }
    for name, token in shapes.items():
        assert not bench.guard.check_blocking(bearer(token)).admitted
        assert takes_at_most(bench.full * NOISE, bench.guard, bearer(token)), name


@pytest.mark.twin("DOS-12", "DOS-03", "DOS-04")
def test_a_remembered_token_costs_a_fraction_of_its_first_sight(bench: Bench) -> None:
    request = bench.request(bench.issuer.token())
    assert bench.guard.check_blocking(request).admitted
    assert takes_at_most(bench.plain / 2, bench.guard, request)
