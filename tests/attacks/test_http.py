"""Family HTTP: how a token may be sent, and which requests are ambiguous."""

import json
from collections.abc import Iterable
from typing import Any, Final

import pytest

from portvakt import Code, Decision, Guard, HttpRequest, Requirement, Step
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
GUARD: Final = ISSUER.guard()
TOKEN: Final = ISSUER.token()
FORGED: Final = ISSUER.forged("expired")
GOOD: Final = ("Authorization", f"Bearer {TOKEN}")
BAD: Final = ("Authorization", f"Bearer {FORGED}")


def judge(
    headers: Iterable[tuple[str, str]] = (),
    url: str = "/",
    method: str = "GET",
    guard: Guard = GUARD,
) -> Decision:
    return guard.check_blocking(HttpRequest(method=method, url=url, headers=tuple(headers)))


def code_of(decision: Decision) -> Code | None:
    """Return why it was refused, once the answer is what that code demands."""
    if decision.refusal is None:
        assert decision.response is None
        return None
    code, answer = decision.refusal.code, decision.response
    assert decision.token is None
    assert answer is not None
    assert answer.status == code.status
    challenge = dict(answer.headers).get("WWW-Authenticate")
    assert (challenge is not None) == (code.status in {400, 401} or code.error is not None)
    return code


def body_of(decision: Decision) -> dict[str, Any]:
    assert decision.response is not None
    members: dict[str, Any] = json.loads(decision.response.body)
    return members


def header_of(decision: Decision, name: str) -> str | None:
    assert decision.response is not None
    return dict(decision.response.headers).get(name)


@pytest.mark.attack("HTTP-01")
@pytest.mark.parametrize(
    "url",
    [
        f"/?access_token={TOKEN}", f"/x?a=1&access_token={TOKEN}", f"/?access_token={TOKEN}#f",
        f"https://api.test/?access_token={TOKEN}", f"/?a=1;access_token={TOKEN}", "/?access_token=",
        f"/?access_token={TOKEN}&access_token={TOKEN}",
    ],
    ids=lambda url: str(url)[:34],
)  # fmt: skip
def test_a_token_in_the_query_is_never_accepted(url: str) -> None:
    assert code_of(judge(url=url)) is Code.TOKEN_IN_URL
    assert code_of(judge([BAD], url)) is Code.TOKEN_IN_URL


@pytest.mark.attack("HTTP-01")
@pytest.mark.parametrize(
    "url",
    [
        f"/?access%5Ftoken={TOKEN}", f"/?ACCESS_TOKEN={TOKEN}", f"/?token={TOKEN}",
        f"/#access_token={TOKEN}", f"/?bearer={TOKEN}", f"/?Authorization=Bearer%20{TOKEN}",
        f"https://{TOKEN}@api.test/", f"/{TOKEN}",
    ],
    ids=lambda url: str(url)[:24],
)  # fmt: skip
def test_a_token_elsewhere_in_the_url_is_no_credential(url: str) -> None:
    assert code_of(judge(url=url)) is Code.CREDENTIAL_MISSING


@pytest.mark.twin("HTTP-01", "HTTP-03")
@pytest.mark.parametrize(
    "url", ["/?x_access_token=1", "/?a=access_token", "/access_token=1", "/#access_token=1", "/?"]
)
def test_a_query_without_a_token_is_admitted(url: str) -> None:
    assert judge([GOOD], url).admitted


@pytest.mark.attack("HTTP-02")
def test_a_form_body_is_never_read() -> None:
    # There is no body in what the guard sees: only what announces it.
    form = ("Content-Type", "application/x-www-form-urlencoded")
    assert code_of(judge([form, ("Content-Length", "300")], method="POST")) is (
        Code.CREDENTIAL_MISSING
    )
    assert "body" not in HttpRequest.__struct_fields__


@pytest.mark.twin("HTTP-02")
def test_a_form_posted_with_the_token_in_the_header_is_admitted() -> None:
    form = ("Content-Type", "application/x-www-form-urlencoded")
    assert judge([form, GOOD], method="POST").admitted


@pytest.mark.attack("HTTP-03")
def test_a_token_in_header_and_query_is_refused() -> None:
    for url in (f"/?access_token={TOKEN}", "/?access_token=x", "/?access_token="):
        assert code_of(judge([GOOD], url)) is Code.TOKEN_IN_URL


@pytest.mark.attack("HTTP-04")
@pytest.mark.parametrize(
    "headers",
    [
        [GOOD, BAD], [BAD, GOOD], [GOOD, GOOD], [GOOD, ("authorization", "")],
        [("AUTHORIZATION", "Basic eDp5"), GOOD], [GOOD, ("X-Other", "1"), BAD], [GOOD] * 100,
        [("authorization", ""), ("Authorization", "")],
    ],
    ids=len,
)  # fmt: skip
def test_several_authorization_headers_are_refused(headers: list[tuple[str, str]]) -> None:
    assert code_of(judge(headers)) is Code.CREDENTIAL_REPEATED


@pytest.mark.twin("HTTP-04", "HTTP-05", "HTTP-07")
@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_one_authorization_header_among_others_is_admitted(name: str) -> None:
    others = [("Accept", "a"), ("Accept", "b"), ("Proxy-Authorization", "Basic eDp5")]
    assert judge([*others, (name, f"Bearer {TOKEN}"), ("X-Authorization", "Bearer x")]).admitted


@pytest.mark.attack("HTTP-05")
@pytest.mark.parametrize(
    "value",
    [
        f"Bearer {TOKEN}, Bearer {TOKEN}", f"Bearer {TOKEN},Bearer {TOKEN}", f"Bearer {TOKEN},",
        f"Bearer {TOKEN};Bearer {TOKEN}", f"Bearer {TOKEN} Bearer {TOKEN}", f"Bearer {TOKEN} x",
        f"Bearer ,{TOKEN}", f"Bearer, Bearer {TOKEN}", f"Bearer {TOKEN}, DPoP {TOKEN}",
        f"Bearer {TOKEN} ", f",Bearer {TOKEN}", f'Bearer realm="x", token="{TOKEN}"',
        f"Bearer x, Basic eDp5, Bearer {TOKEN}",
    ],
    ids=lambda value: str(value).replace(TOKEN, "T"),
)  # fmt: skip
def test_joined_credentials_are_refused(value: str) -> None:
    assert code_of(judge([("Authorization", value)])) is Code.CREDENTIAL_MALFORMED


@pytest.mark.attack("HTTP-05")
def test_a_token_with_a_tail_is_no_token() -> None:
    for tail in (";", ";x", f";{TOKEN}", "=", "~", "/"):
        code = code_of(judge([("Authorization", f"Bearer {TOKEN}{tail}")]))
        assert code in {Code.TOKEN_ENCODING, Code.TOKEN_PARTS, Code.TOKEN_ENCRYPTED}


@pytest.mark.attack("HTTP-06")
@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("Bearer", Code.CREDENTIAL_MALFORMED),
        ("Bearer ", Code.CREDENTIAL_MALFORMED),
        ("Bearer   ", Code.CREDENTIAL_MALFORMED),
        ("bearer", Code.CREDENTIAL_MALFORMED),
        (f"Bearer  {TOKEN} ", Code.CREDENTIAL_MALFORMED),
        ("Bearer\t", Code.CREDENTIAL_MALFORMED),
        (f"Bearer\t{TOKEN}", Code.CREDENTIAL_MALFORMED),
        (f"Bearer{TOKEN}", Code.CREDENTIAL_MALFORMED),
        (f"Bearer={TOKEN}", Code.CREDENTIAL_MALFORMED),
        (f"Bearer:{TOKEN}", Code.CREDENTIAL_MALFORMED),
        (f"Bearer: {TOKEN}", Code.CREDENTIAL_MALFORMED),
        (f"Bearer\u00a0{TOKEN}", Code.CREDENTIAL_MALFORMED),
        (f" Bearer {TOKEN}", Code.CREDENTIAL_MALFORMED),
        (f"BearerX {TOKEN}", Code.SCHEME_UNSUPPORTED),
        (f"Token {TOKEN}", Code.SCHEME_UNSUPPORTED),
        (f"JWT {TOKEN}", Code.SCHEME_UNSUPPORTED),
        (f"DPoP {TOKEN}", Code.SCHEME_REFUSED),
        ("Basic eDp5", Code.SCHEME_UNSUPPORTED),
        (f"Basic eDp5, Bearer {TOKEN}", Code.SCHEME_UNSUPPORTED),
        ("Negotiate", Code.CREDENTIAL_MALFORMED),
        (TOKEN, Code.CREDENTIAL_MALFORMED),
        ("", Code.CREDENTIAL_MALFORMED),
        (" ", Code.CREDENTIAL_MALFORMED),
    ],
    ids=lambda value: str(value).replace(TOKEN, "T"),
)
def test_what_is_not_bearer_and_one_token_is_refused(value: str, code: Code) -> None:
    assert code_of(judge([("Authorization", value)])) is code


@pytest.mark.twin("HTTP-06")
@pytest.mark.parametrize(
    "scheme", ["Bearer ", "bearer ", "BEARER ", "bEaReR ", "Bearer  ", "bearer   "]
)
def test_the_scheme_is_known_in_any_case_and_before_any_spaces(scheme: str) -> None:
    assert judge([("Authorization", scheme + TOKEN)]).admitted


@pytest.mark.attack("HTTP-07")
def test_two_schemes_are_refused() -> None:
    dpop = ("Authorization", f"DPoP {TOKEN}")
    assert code_of(judge([GOOD, dpop])) is Code.CREDENTIAL_REPEATED
    assert code_of(judge([dpop, GOOD])) is Code.CREDENTIAL_REPEATED


IDENTITY: Final = [
    ("X-Endpoint-API-UserInfo", "admin"), ("X-Forwarded-User", "admin"), ("X-User", "admin"),
    ("X-Remote-User", "admin"), ("REMOTE_USER", "admin"), ("X-Forwarded-Access-Token", TOKEN),
    ("X-Auth-Request-User", "admin"), ("Proxy-Authorization", f"Bearer {TOKEN}"),
    ("X-Authorization", f"Bearer {TOKEN}"), ("Authorization ", f"Bearer {TOKEN}"),
    (" Authorization", f"Bearer {TOKEN}"), ("Authorization:", f"Bearer {TOKEN}"),
    ("HTTP_AUTHORIZATION", f"Bearer {TOKEN}"), ("Authorization\0", f"Bearer {TOKEN}"),
    ("X-Original-Authorization", f"Bearer {TOKEN}"), ("Client-Cert", ":MIIB:"),
    ("X-Forwarded-Authorization", f"Bearer {TOKEN}"), ("Sec-WebSocket-Protocol", TOKEN),
]  # fmt: skip


@pytest.mark.attack("HTTP-08")
@pytest.mark.parametrize("header", IDENTITY, ids=lambda header: repr(header[0]))
def test_no_other_header_says_who_is_calling(header: tuple[str, str]) -> None:
    assert code_of(judge([header])) is Code.CREDENTIAL_MISSING
    assert code_of(judge([header, BAD])) is Code.TOKEN_EXPIRED


@pytest.mark.twin("HTTP-08")
def test_such_headers_beside_a_token_change_nothing() -> None:
    decision = judge([*IDENTITY, GOOD])
    assert decision.token == judge([GOOD]).token


ROUTES: Final = [
    {"path": "/healthz", "public": True},
    {"path": "/public", "methods": ["GET"], "public": True},
    {"path": "/journal", "methods": ["GET"]},
    {"path": "/journal", "methods": ["DELETE"], "scopes": ["delete"]},
    {"path": "/journal/{patient}", "methods": ["GET"]},
    {"path": "/files/{name:path}", "methods": ["GET"]},
]
ROUTED: Final = ISSUER.guard(route=ROUTES)


@pytest.mark.attack("HTTP-09")
@pytest.mark.parametrize(
    "name",
    ["X-HTTP-Method-Override", "x-http-method-override", "X-HTTP-Method", "X-Method-Override"],
)
@pytest.mark.parametrize("value", ["DELETE", "delete", "GET", ""])
def test_a_header_that_overrides_the_method_is_refused(name: str, value: str) -> None:
    override = (name, value)
    for headers in ([override, GOOD], [GOOD, override]):
        assert code_of(judge(headers, "/journal", guard=ROUTED)) is Code.METHOD_OVERRIDDEN
    # Also where no token is needed: the application would still see another method.
    assert code_of(judge([override], "/public", guard=ROUTED)) is Code.METHOD_OVERRIDDEN
    assert code_of(judge([override])) is Code.METHOD_OVERRIDDEN


@pytest.mark.attack("HTTP-09")
@pytest.mark.parametrize("method", ["get", "Get", "GET ", " GET", "GET\0", "", "PROPFIND", "HEAD"])
def test_a_method_is_matched_exactly(method: str) -> None:
    for url in ("/journal", "/public"):
        assert code_of(judge([GOOD], url, method, ROUTED)) is Code.ROUTE_UNKNOWN


@pytest.mark.attack("HTTP-09")
def test_the_method_that_is_judged_is_the_method_of_the_request() -> None:
    assert code_of(judge([GOOD], "/journal", "DELETE", ROUTED)) is Code.SCOPE_INSUFFICIENT
    assert code_of(judge([GOOD], "/public", "POST", ROUTED)) is Code.ROUTE_UNKNOWN


@pytest.mark.twin("HTTP-09")
def test_each_method_is_judged_by_its_own_rule() -> None:
    assert judge([GOOD], "/journal", "GET", ROUTED).admitted
    granted = ("Authorization", f"Bearer {ISSUER.token(scopes=['delete'])}")
    assert judge([granted], "/journal", "DELETE", ROUTED).admitted
    assert judge([], "/public", "GET", ROUTED).admitted
    assert judge([GOOD, ("X-Method", "DELETE")], "/journal", "GET", ROUTED).admitted


HOP_BY_HOP: Final = [
    ("Connection", "Authorization"), ("Connection", "close, authorization, X-User"),
    ("Keep-Alive", "Authorization"), ("TE", "authorization"), ("Proxy-Connection", "Authorization"),
]  # fmt: skip


@pytest.mark.attack("HTTP-10")
@pytest.mark.parametrize("header", HOP_BY_HOP, ids=repr)
def test_no_header_makes_a_credential_go_away(header: tuple[str, str]) -> None:
    assert code_of(judge([header])) is Code.CREDENTIAL_MISSING
    assert code_of(judge([header, BAD])) is Code.TOKEN_EXPIRED
    assert code_of(judge([header, GOOD, BAD])) is Code.CREDENTIAL_REPEATED


@pytest.mark.twin("HTTP-10")
@pytest.mark.parametrize("header", HOP_BY_HOP, ids=repr)
def test_a_token_is_read_whatever_such_a_header_lists(header: tuple[str, str]) -> None:
    assert judge([header, GOOD]).admitted


INJECTION: Final = 'evil"\r\nSet-Cookie: a=b\\"\u00e9'


@pytest.mark.attack("HTTP-11")
def test_nothing_a_caller_sends_comes_back() -> None:
    honest = ISSUER.builder()
    written = {"sub": INJECTION, "client_id": INJECTION, "jti": INJECTION, "scope": INJECTION}
    requests = [
        ISSUER.request(honest.claims(**written).claims(exp=1).build()),
        ISSUER.request(honest.claims(iss=INJECTION).build()),
        ISSUER.request(honest.claims(aud=[INJECTION]).build()),
        ISSUER.request(honest.header(kid=INJECTION).build()),
        ISSUER.request(honest.header(alg=INJECTION).build()),
        ISSUER.request(honest.header(typ=INJECTION).build()),
        ISSUER.request(honest.header(crit=[INJECTION]).build()),
        ISSUER.request(INJECTION),
        ISSUER.request(TOKEN, url=f"/{INJECTION}"),
        ISSUER.request(TOKEN, method=INJECTION),
        ISSUER.request(headers=[("Authorization", INJECTION)]),
        ISSUER.request(headers=[("Authorization", f"{INJECTION} x")]),
        ISSUER.request(TOKEN, headers=[("X-HTTP-Method-Override", INJECTION)]),
    ]
    for request in requests:
        decision = ROUTED.check_blocking(request)
        assert code_of(decision) is not None
        assert decision.response is not None
        sent = repr(decision.response.headers) + decision.response.body.decode()
        assert "evil" not in sent
        assert "Cookie" not in sent


@pytest.mark.attack("HTTP-11")
@pytest.mark.parametrize("code", Code)
def test_every_sentence_fits_a_quoted_string(code: Code) -> None:
    for text in (code.sentence, code.error or ""):
        assert text.isascii()
        assert text.isprintable()
        assert not set(text) & {'"', "\\"}


@pytest.mark.twin("HTTP-11", "HTTP-12")
def test_a_missing_scope_is_named_as_the_policy_writes_it() -> None:
    decision = judge([GOOD], "/journal", "DELETE", ROUTED)
    assert code_of(decision) is Code.SCOPE_INSUFFICIENT
    assert header_of(decision, "WWW-Authenticate") == (
        'Bearer realm="test-api", error="insufficient_scope", error_description="'
        f'{Code.SCOPE_INSUFFICIENT.sentence}", scope="delete"'
    )


@pytest.mark.attack("HTTP-12")
def test_a_forger_is_not_told_how_far_he_came() -> None:
    other = FakeIssuer()
    attempts = [
        "x", "a.b.c", "a.b.c.d.e", "x" * 20_000,
        ISSUER.builder().claims(iss="https://other.test").build(),
        ISSUER.builder().header(kid="other").build(),
        ISSUER.builder().header(alg="none").build(),
        ISSUER.builder().header(alg="HS256").build(),
        ISSUER.builder().header(typ="JWT").build(),
        ISSUER.builder().header(crit=["x"]).build(),
        ISSUER.builder().header(jku="https://other.test").build(),
        ISSUER.builder().header_bytes(b"[]").build(),
        ISSUER.builder().signature(b"\0" * 64).build(),
        ISSUER.builder().claims(sub="nobody", exp=1).signed_by(other.signer).build(),
    ]  # fmt: skip
    decisions = [judge([("Authorization", f"Bearer {attempt}")]) for attempt in attempts]
    codes = {code_of(decision) for decision in decisions}
    assert len(codes) > 9
    assert all(code is not None and code.step <= Step.SIGNATURE for code in codes)
    assert len({decision.response for decision in decisions}) == 1
    assert body_of(decisions[0])["title"] == "invalid_token"


@pytest.mark.attack("HTTP-12")
def test_status_and_error_are_those_of_rfc_6750() -> None:
    for code in Code:
        if code.error == "invalid_request":
            assert code.status == 400
        elif code.error == "invalid_token":
            assert code.status == 401
        elif code.error == "insufficient_scope":
            assert code.status == 403
        elif code.error == "insufficient_user_authentication" or code.error in {
            "invalid_dpop_proof",
            "use_dpop_nonce",
        }:  # RFC 9470 section 3
            assert code.status == 401
        else:
            assert code.error is None
        if Step.FORM <= code.step <= Step.CONFIRMATION:
            assert code.status in {401, 503}


@pytest.mark.attack("HTTP-13")
def test_without_credentials_the_challenge_is_bare() -> None:
    decision = judge()
    assert code_of(decision) is Code.CREDENTIAL_MISSING
    assert header_of(decision, "WWW-Authenticate") == 'Bearer realm="test-api"'
    other = judge([("Authorization", "Basic eDp5")])
    assert header_of(other, "WWW-Authenticate") == 'Bearer realm="test-api"'


@pytest.mark.twin("HTTP-13")
def test_without_credentials_a_public_route_is_admitted() -> None:
    decision = judge(url="/healthz", guard=ROUTED)
    assert decision.admitted
    assert decision.token is None


ODD: Final = [
    "\0",
    "\x7f",
    "\r\n ",
    "\n\t",
    "\x80",
    "\xff",
    "é",
    "\u20ac",
    "\ud800",
    "\x1b[2J",
    "😀",
]


@pytest.mark.attack("HTTP-14", "ENC-14")
@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_odd_characters_in_the_header_are_refused(odd: str) -> None:
    middle = len(TOKEN) // 2
    values = {
        f"Bearer {TOKEN}{odd}",
        f"Bearer {odd}{TOKEN}",
        f"Bearer {TOKEN[:middle]}{odd}{TOKEN[middle:]}",
        f"Bearer{odd}{TOKEN}",
        f"{odd}Bearer {TOKEN}",
        f"Bear{odd}er {TOKEN}",
        odd,
        f"Bearer {odd}",
    }
    for value in values:
        code = code_of(judge([("Authorization", value)]))
        assert code is not None
        assert code.status in {400, 401}
        assert code is not Code.INTERNAL_ERROR


@pytest.mark.attack("HTTP-14")
@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_odd_characters_elsewhere_change_no_verdict(odd: str) -> None:
    headers = [(f"X-{odd}", odd), (odd, ""), ("", odd)]
    assert code_of(judge([*headers, BAD], f"/{odd}?{odd}", odd)) is Code.TOKEN_EXPIRED
    assert code_of(judge([*headers, GOOD], f"/journal/{odd}", "GET", ROUTED)) in {
        Code.ROUTE_UNKNOWN,
        Code.REQUEST_MALFORMED,
    }


@pytest.mark.twin("HTTP-14")
def test_odd_characters_in_other_headers_do_not_matter() -> None:
    assert judge([("X-Name", "blåbær\x80"), GOOD, ("Cookie", "a=\xff")]).admitted


@pytest.mark.attack("HTTP-15")
@pytest.mark.parametrize("name", ["access_token", "token", "Authorization", "jwt", "session"])
def test_a_token_in_a_cookie_is_no_credential(name: str) -> None:
    cookie = ("Cookie", f"{name}={TOKEN}; other=1")
    assert code_of(judge([cookie])) is Code.CREDENTIAL_MISSING
    assert code_of(judge([cookie, BAD])) is Code.TOKEN_EXPIRED
    assert code_of(judge([("Cookie", f"Bearer {TOKEN}")])) is Code.CREDENTIAL_MISSING


@pytest.mark.twin("HTTP-15")
def test_a_cookie_beside_a_token_changes_nothing() -> None:
    assert judge([("Cookie", f"access_token={FORGED}"), GOOD]).admitted


@pytest.mark.attack("HTTP-16")
def test_a_connection_can_be_closed_when_its_token_expires() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    request = issuer.request(issuer.builder().claims(exp=issuer.clock() + 60).build())
    opened = guard.check_blocking(request)
    assert opened.token is not None
    assert opened.token.expires_at - opened.at == 60
    issuer.clock.set(opened.token.expires_at + issuer.trusted.leeway)
    assert code_of(guard.check_blocking(request)) is Code.TOKEN_EXPIRED


@pytest.mark.twin("HTTP-16")
def test_a_connection_may_live_as_long_as_its_token() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    request = issuer.request(issuer.token())
    opened = guard.check_blocking(request)
    assert opened.token is not None
    issuer.clock.set(opened.token.expires_at - 1)
    assert guard.check_blocking(request).admitted


AMBIGUOUS: Final = [
    "/healthz/../journal", "/healthz/..%2fjournal", "/public%2f..%2fjournal", "//healthz",
    "/healthz/", "/healthz//", "/healthz;x", "/healthz;/../journal", "/healthz\\", "\\healthz",
    "/healthz%00", "/healthz%20", "/healthz ", "/Healthz", "/HEALTHZ", "/%68ealthz", "/healthz.",
    "/./healthz", "/x/../healthz", "/healthz%2f", "/healthz%2F..", "/healthz/..;/journal", "healthz",
    "/healthz%3fx", "/healthz%23", "/healthz/%2e%2e/journal", "/healthz%5c", "/healthz\0", "",
    "/healthz\n", "/healthz.json", "/healthz/.", "/healthz%252f", "*", "///healthz", "/ healthz",
    "http:/healthz", "/healthz\u2028", "/ｈealthz", "/healthz%c0%af", "healthz:80", "/healthz,",
]  # fmt: skip


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize("url", AMBIGUOUS, ids=ascii)
def test_no_path_that_only_resembles_a_public_one_is_public(url: str) -> None:
    for headers in ([], [GOOD]):
        code = code_of(judge(headers, url, guard=ROUTED))
        assert code in {Code.ROUTE_UNKNOWN, Code.REQUEST_MALFORMED}


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    "segment",
    [
        "", ".", "..", "...", ".x", "a;b", "a%2fb", "a%2Fb", "a%5cb", "a%5Cb", "%2e", "%2E%2e",
        "%2e%2E", "a%3bb", "a%00", "a%25b", "a%252fb", "a\\b", "a b", "a\tb", "a\0b", "a%", "a%2",
        "a%zz", "å", "a%0d%0a", "a%7f", 'a"b', "a<b", "a{b}", "a|b", "a^b", "a`b", "a[b]", "a%1f",
    ],
    ids=ascii,
)  # fmt: skip
def test_no_parameter_holds_what_some_server_reads_as_structure(segment: str) -> None:
    for url in (
        f"/journal/{segment}",
        f"/files/{segment}",
        f"/files/a/{segment}",
        f"/files/a/{segment}/b",
        f"https://api.test/journal/{segment}?a=b",
    ):
        assert code_of(judge([GOOD], url, guard=ROUTED)) in {
            Code.ROUTE_UNKNOWN,
            Code.REQUEST_MALFORMED,
        }


@pytest.mark.attack("HTTP-18")
def test_a_parameter_of_one_segment_takes_no_more() -> None:
    for url in ("/journal/1/2", "/journal/1/", "/journal//1", "/journal/1//", "/journal/"):
        assert code_of(judge([GOOD], url, guard=ROUTED)) is Code.ROUTE_UNKNOWN


@pytest.mark.twin("HTTP-18")
@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/journal/1", "/journal/{patient}"),
        ("/journal/a-b_c~d", "/journal/{patient}"),
        ("/journal/a%20b", "/journal/{patient}"),
        ("/journal/%C3%A5", "/journal/{patient}"),
        ("/journal/a@b:c,d=e+f", "/journal/{patient}"),
        ("/journal/a.b", "/journal/{patient}"),
        ("/journal?a=/../healthz", "/journal"),
        ("https://api.test/journal/1?a=b", "/journal/{patient}"),
        ("http://[::1]:8080/journal", "/journal"),
        ("/files/a/b.txt", "/files/{name:path}"),
        ("/files/a", "/files/{name:path}"),
    ],
)
def test_a_plain_path_finds_its_rule(url: str, path: str) -> None:
    decision = judge([GOOD], url, guard=ROUTED)
    assert decision.admitted
    assert decision.route is not None
    assert decision.route.path == path


@pytest.mark.attack("HTTP-18")
def test_a_demand_of_the_application_does_not_open_what_no_rule_is_for() -> None:
    demand = Requirement.of(scopes=["read"])
    for url in AMBIGUOUS:
        decision = ROUTED.check_blocking(ISSUER.request(url=url), demand)
        assert not decision.admitted
        decision = ROUTED.check_blocking(ISSUER.request(TOKEN, url=url), demand)
        assert not decision.admitted
