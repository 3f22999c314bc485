"""What a client can write, through nginx, Caddy and HAProxy as shipped: families HTTP and MTLS.

Headers that would say who is calling, headers that would take others away, paths that two servers
read in two ways.
"""

from __future__ import annotations

import json
import time
from itertools import product
from typing import TYPE_CHECKING, Final

import pytest

from behind import HOST, ISSUER, NAMES, Proxy, bearer, honest, request
from certificates import STATED, der_of, digest_of, issue
from portvakt import HttpRequest
from raw_http import Answer, exchange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from behind import Header, House

#: Of an hour: a whole run of tests takes longer than a token usually lives.
TOKEN: Final = ISSUER.token(scopes=["read"], claims={"exp": int(time.time()) + 3500})
GOOD: Final = bearer(TOKEN)
FORGED: Final = bearer(ISSUER.forged("expired", ["read"]))

FIELDS: Final = (
    *("issuer", "subject", "client-id", "scopes", "security-level", "pid", "hpr-number"),
    *("organisation", "organisation-child", "supplier", "token-id", "expires-at", "token"),
)

#: How a client may write one name, where some server takes it for the same.
SPELLINGS: Final = (
    str.lower,
    str.upper,
    str.title,
    lambda name: name.replace("-", "_"),
    lambda name: name.replace("-", "."),
    lambda name: name.replace("-", "_", 1),
    lambda name: "_".join(name.rsplit("-", 1)).upper(),
    lambda name: name.replace("-", "~"),
)

HOLDER: Final = issue("holder.test")
THIEF: Final = issue("thief.test")
BOUND: Final = honest(cnf={"x5t#S256": digest_of(der_of(HOLDER))})


def stopped(answer: Answer, *statuses: int) -> None:
    """Check that it stopped at the proxy, and the client was told so."""
    assert not answer.admitted
    assert answer.status in (statuses or (400,))
    assert not [name for name, _ in answer.headers if name.startswith("x-portvakt")]


@pytest.mark.attack("HTTP-08")
def test_no_spelling_of_an_identity_header_arrives(proxy: Proxy) -> None:
    with proxy.connect() as connection:
        plain = exchange(connection, request("GET", "/journal", [GOOD])).seen.identity
        for field in FIELDS:
            for spell in SPELLINGS:
                for value in ("evil", ""):
                    forged = (spell(f"x-portvakt-{field}"), value)
                    for headers in ([forged, GOOD], [GOOD, forged], [forged, forged, GOOD]):
                        answer = exchange(connection, request("GET", "/journal", headers))
                        if answer.admitted:
                            assert answer.seen.identity == plain
                            assert "evil" not in json.dumps(answer.seen.headers)
                        else:
                            stopped(answer)
                    if field == "subject":
                        answer = exchange(connection, request("GET", "/healthz", [forged]))
                        assert not answer.admitted or answer.seen.identity == {}


@pytest.mark.attack("HTTP-08")
def test_what_only_a_proxy_says_is_written_over(proxy: Proxy) -> None:
    target = (
        *(("X-Original-URI", "/healthz"), ("X-Forwarded-Uri", "/healthz")),
        # What some frameworks take for the path.
        *(("X-Original-URL", "/healthz"), ("X-Rewrite-URL", "/healthz")),
    )
    method = ("X-Original-Method", "GET"), ("X-Forwarded-Method", "GET")
    for headers in (target, target * 2, (*target, *method)):
        stopped(proxy.ask(*headers, target="/journal"), 401)
        stopped(proxy.ask(GOOD, *headers, target="/admin"), 403)
        answer = proxy.ask(GOOD, *headers)
        assert answer.seen.url == "/journal"
        for name, value in headers:
            assert value not in answer.seen.all(name)
    # Where an underscore is taken for a hyphen, so are these.
    folded = [("X_Original_URL", "/healthz"), ("X_SSL_Client_Verify", "SUCCESS")]
    folded += [("X-Original_URL", "/healthz"), ("X-Rewrite_Url", "/healthz"), ("Client_Cert", "a")]
    answer = proxy.ask(GOOD, *folded)
    assert [name for name, _ in answer.seen.headers if "_" in name] == []
    # What passes between gateway and proxy is no way around, nor is it for the API.
    own = [(f"X-Portvakt-{name}", "200") for name in ("Secret", "Status", "Problem")]
    stopped(proxy.ask(*own), 401)
    stopped(proxy.ask(FORGED, *own), 401)
    assert proxy.ask(GOOD, *own).seen.identity == proxy.ask(GOOD).seen.identity


@pytest.mark.attack("HTTP-08", "MTLS-03")
def test_nothing_that_a_client_says_of_its_connection_arrives(proxy: Proxy) -> None:
    said = [
        *(("Forwarded", "for=6.6.6.6"), ("Client-Cert-Chain", "a"), ("X-Real-IP", "6.6.6.6")),
        *((f"X-Forwarded-{one}", "6.6.6.6") for one in ("For", "Host", "Proto")),
    ]
    for stated in STATED.values():
        said += stated(der_of(HOLDER))
    seen = proxy.ask(GOOD, *said).seen
    assert seen.identity["x-portvakt-subject"] == ["test-subject"]
    assert "6.6.6.6" not in json.dumps(seen.headers)
    assert seen.all("x-forwarded-proto") == ["https"]
    assert (seen.all("forwarded"), seen.all("client-cert-chain")) == ([], [])
    # The certificate of the holder, in whatever form.
    names = {name.lower() for stated in STATED.values() for name, _ in stated(der_of(HOLDER))}
    assert [name for name, value in seen.headers if name in names and value] == []


@pytest.mark.twin("HTTP-08", "HTTP-09", "HTTP-10", "HTTP-14")
def test_other_headers_arrive_as_they_are(proxy: Proxy) -> None:
    own = [("X-Portvakta", "1"), ("X-Request-Id", "a b"), ("Accept", "*/*"), ("X-Method", "PUT")]
    answer = proxy.ask(GOOD, *own)
    for name, value in own:
        assert answer.seen.all(name) == [value]
    assert answer.seen.identity["x-portvakt-subject"] == ["test-subject"]


@pytest.mark.attack("HTTP-08", "API-07")
def test_no_client_is_told_what_is_for_the_api(proxy: Proxy) -> None:
    # A client that has the signed JWT could show it to an API that it reaches past the proxy.
    for target in ("/.well-known/oauth-protected-resource/ours", "/journal", "/healthz"):
        for headers in ([GOOD], [FORGED], []):
            answer = proxy.ask(*headers, target=target)
            assert not [name for name, _ in answer.headers if name.startswith("x-portvakt")]


@pytest.mark.attack("HTTP-10")
@pytest.mark.parametrize(
    "listed",
    [
        "Authorization", "close, Authorization", "X-Portvakt-Subject", "close, x-portvakt-subject",
        "keep-alive, X-Portvakt-Token-Id", "upgrade, X-Portvakt-Subject", "X-Original-URI",
        "X-Forwarded-Uri, X-Forwarded-Method", "X-Original-Method", "Content-Length", "Host",
    ],
)  # fmt: skip
def test_nobody_takes_away_what_connection_lists(proxy: Proxy, listed: str) -> None:
    plain = proxy.ask(GOOD).seen.identity
    for headers in ([("Connection", listed), GOOD], [GOOD, ("Connection", listed)]):
        with proxy.connect() as connection:
            answer = exchange(connection, request("POST", "/journal", headers, b"octets"))
        # What is admitted has its identity and its body; the rest was refused, not let through.
        if answer.admitted:
            assert answer.seen.identity == plain
            assert answer.seen.body == "b2N0ZXRz"
            assert listed not in answer.seen.all("connection")
        else:
            assert answer.status in {400, 401}
        with proxy.connect() as connection:
            without = [("Connection", listed)]
            stopped(exchange(connection, request("GET", "/journal", without)), 400, 401)


@pytest.mark.attack("HTTP-09")
@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_no_header_overrides_the_method(proxy: Proxy, name: str) -> None:
    for headers in ([(name, "DELETE"), GOOD], [GOOD, (name.lower(), "DELETE")]):
        stopped(proxy.ask(*headers))


@pytest.mark.attack("HTTP-09")
@pytest.mark.parametrize(
    "name", ["X_HTTP_Method_Override", "X-HTTP_Method-Override", "X.Http.Method", "X-Http~Method"]
)
def test_no_other_spelling_overrides_the_method(proxy: Proxy, name: str) -> None:
    # WSGI, CGI and their like take it for the same header.
    answer = proxy.ask(GOOD, (name, "DELETE"))
    assert not answer.admitted or "DELETE" not in json.dumps(answer.seen.headers)


@pytest.mark.attack("HTTP-08", "HTTP-09", "HTTP-14")
@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-Portvakt_Subject"])
def test_what_a_header_does_it_does_with_odd_octets_too(proxy: Proxy, name: str) -> None:
    # Servers strip a space that does not break, and read the rest.
    for value in ("DELETE\xa0", "\xa0DELETE", "DEL\xc3\xa6TE"):
        for headers in ([GOOD, (name, value)], [(name, value), GOOD, (name, value)]):
            answer = proxy.ask(*headers)
            assert not answer.admitted or "DEL" not in json.dumps(answer.seen.headers)


@pytest.mark.twin("HTTP-14")
def test_a_header_of_no_meaning_may_have_odd_octets(proxy: Proxy) -> None:
    answer = proxy.ask(GOOD, ("X-Name", "K\xc3\xa5re"))
    assert answer.seen.identity["x-portvakt-subject"] == ["test-subject"]
    assert len(answer.seen.all("x-name")) == 1


@pytest.mark.attack("HTTP-09")
@pytest.mark.parametrize("method", ["DELETE", "PUT", "get", "PROPFIND", "TRACE", "CONNECT"])
def test_a_method_without_a_rule_stops(proxy: Proxy, method: str) -> None:
    stopped(proxy.ask(GOOD, method=method), 400, 403, 405)
    stopped(proxy.ask(GOOD, method=method, target="/healthz"), 400, 403, 405)


@pytest.mark.attack("HTTP-01", "HTTP-03")
@pytest.mark.parametrize("query", [f"access_token={TOKEN}", f"a=b&access_token={TOKEN}"])
def test_a_token_in_the_query_stops(proxy: Proxy, query: str) -> None:
    stopped(proxy.ask(target=f"/journal?{query}"), 400, 401)
    stopped(proxy.ask(GOOD, target=f"/journal?{query}"))


CREDENTIALS: Final[Sequence[Sequence[Header]]] = (
    [GOOD, FORGED], [FORGED, GOOD], [GOOD, GOOD], [GOOD, ("authorization", "")],
    [("Authorization", f"Bearer {TOKEN}, Bearer {TOKEN}")],
    [("Authorization", f"Bearer {TOKEN};Bearer {TOKEN}")],
    [("Authorization", f"Bearer {TOKEN},")],
    [("Authorization", f"Bearer\t{TOKEN}")], [("Authorization", f"Bearer{TOKEN}")],
    [("Authorization", "Bearer")], [("Authorization", f"Token {TOKEN}")],
    [("Authorization", f"Basic {TOKEN}")], [("Authorization", TOKEN)], [("Authorization", "")],
    [GOOD, ("Authorization", f"DPoP {TOKEN}")], [("Authorization", f"DPoP {TOKEN}")],
    [("Proxy-Authorization", f"Bearer {TOKEN}")], [("X-Authorization", f"Bearer {TOKEN}")],
    [("Authorization_", f"Bearer {TOKEN}")], [("Cookie", f"access_token={TOKEN}")],
)  # fmt: skip


@pytest.mark.attack("HTTP-04", "HTTP-05", "HTTP-06", "HTTP-07", "HTTP-15", "API-09")
def test_what_is_not_one_bearer_token_stops(proxy: Proxy) -> None:
    for headers in CREDENTIALS:
        stopped(proxy.ask(*headers), 400, 401)


@pytest.mark.twin("HTTP-03", "HTTP-07", "HTTP-15")
def test_one_token_among_other_things_arrives(proxy: Proxy) -> None:
    answer = proxy.ask(GOOD, ("Cookie", "a=b"), target="/journal?token=1")
    assert answer.seen.all("cookie") == ["a=b"]


ODD: Final = (
    b"X-A: \0", b"X-A: a\0b", b"X-A: \x7f", b"X-A: \x01", b"X-A: a\r\n b", b"X-A : b", b"X-A",
    b"X-A: a\rX-Portvakt-Subject: evil", b"X-A: a\nX-Portvakt-Subject: evil", b": a",
    b"X-A: \xff\xfe", b"X-A: \xc3\xa6", b" X-Portvakt-Subject: evil", b"X\x00A: b",
    b"X-Portvakt-Subject : evil", b"X-Portvakt-Subject\t: evil", b"X-Portvakt-Subject:evil",
    b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    b"Content-Length: 0\r\nContent-Length: 5", b"Content-Length: +0", b"Expect: nothing",
)  # fmt: skip


@pytest.mark.attack("HTTP-14")
def test_odd_octets_admit_nobody_else(proxy: Proxy) -> None:
    head = request("GET", "/journal", [("Connection", "close")])
    for line, last in product(ODD, (f"{GOOD[0]}: {GOOD[1]}\r\n".encode(), b"")):
        # Five octets behind: a body for whoever reads one.
        sent = head[:-2] + line + b"\r\n" + last + b"\r\n0\r\n\r\n"
        with proxy.connect() as connection:
            try:
                answer = exchange(connection, sent)
            except (AssertionError, OSError):
                continue  # Closed without an answer.
        if not answer.admitted:
            assert 400 <= answer.status < 504
            continue
        # Then it was harmless: the caller is who the token says.
        assert last
        assert answer.seen.identity["x-portvakt-subject"] == ["test-subject"]
        assert "evil" not in "".join(answer.seen.identity["x-portvakt-subject"])


@pytest.mark.attack("HTTP-17")
@pytest.mark.parametrize(
    "subject", ["a\r\nX-Admin: 1", "a\0b", "æøå €", "a%0d%0aX:1", " a ", "\u2028"]
)
def test_a_claim_is_one_value_of_one_header(proxy: Proxy, subject: str) -> None:
    answer = proxy.ask(honest(sub=subject))
    if not answer.admitted:
        stopped(answer, 400, 401)
        return
    (value,) = answer.seen.identity["x-portvakt-subject"]
    assert value.isascii()
    assert value.isprintable()
    assert answer.seen.all("x-admin") == []


@pytest.mark.attack("HTTP-17")
def test_claims_too_long_for_a_head_stop(proxy: Proxy) -> None:
    stopped(proxy.ask(honest(sub="s" * 10_000)), 400, 401)


@pytest.mark.twin("HTTP-17")
def test_plain_and_encoded_claims_arrive(proxy: Proxy) -> None:
    answer = proxy.ask(honest(sub="user:1@example.no", client_id="æ"))
    assert answer.seen.identity["x-portvakt-subject"] == ["user:1@example.no"]
    assert answer.seen.identity["x-portvakt-client-id"] == ["%C3%A6"]


#: Where the caller may go: what is admitted is judged again, as the API saw it.
GUARD: Final = ISSUER.guard(
    route=[
        {"path": "/healthz", "public": True},
        {"path": "/journal", "scopes": ["read"]},
        {"path": "/journal/{name}", "scopes": ["read"]},
        {"path": "/files/{rest:path}", "scopes": ["read"]},
    ]
)

PATHS: Final = (
    *("/healthz/../journal", "/healthz/..%2fjournal", "/healthz%2f..%2fjournal", "//journal"),
    *("/journal;x", "/journal%3bx", "/journal\\", "/journal%5c..", "/healthz%00/../journal"),
    *("/JOURNAL", "/%6aournal", "/journal%2e", "/./journal", "/journal/.", "/journal/..;/admin"),
    *("/healthz/", "/healthz//", "/healthz/%2e%2e/admin", "/healthz/%252e%252e/admin", "/admin"),
    *("/files/../admin", "/files/%2e%2e/admin", "/files/..%2fadmin", "/files//admin"),
    *("/files/a//b", "/files/%2e%2e%2fadmin", "/files/a%5c..%5cadmin", "/ADMIN", "/"),
    *("/admin/../files/a", "/admin%2f..%2ffiles/a", "/admin#/../files/a", "/admin?/../files/a"),
    *(f"https://{HOST}/admin", "http://evil.test/admin", "http:/healthz", "*", "healthz", "?"),
    *("/healthz\t/admin", "/healthz%09", "/files/a\x01", "/files/a\xe6", "/_portvakt"),
    "/%5fportvakt",
)  # fmt: skip

HARMLESS: Final = (
    *("/journal", "/journal/a%20b", "/files/a/b", "/files/%41", "/files/a+b:c@d", "/files/~%7E"),
    *("/journal?x=../..&y=//a%2fb", "/journal?", "/journal?a?b", "/files/%C3%A6", "/files/%e6%F8"),
    f"https://{HOST}/journal",
)


@pytest.mark.attack("HTTP-18")
def test_no_path_leads_where_it_should_not(proxy: Proxy) -> None:
    for target, headers in product(PATHS, ([GOOD], [])):
        try:
            answer = proxy.ask(*headers, target=target)
        except (AssertionError, OSError):
            continue  # Closed without an answer.
        if not answer.admitted:
            # Caddy answers for another host's name without a word of its own, and without the API.
            assert answer.status >= 400 or (proxy.name, answer.body) == ("caddy", b"")
            continue
        # What the API saw is what was judged, and would be admitted like that again.
        seen = HttpRequest(method=answer.seen.method, url=answer.seen.url, headers=tuple(headers))
        assert GUARD.check_blocking(seen).admitted
        assert "admin" not in answer.seen.url.partition("?")[0]


@pytest.mark.twin("HTTP-18")
def test_a_harmless_target_arrives_as_it_was_sent(proxy: Proxy) -> None:
    for target in HARMLESS:
        assert proxy.ask(GOOD, target=target).seen.url == target.removeprefix(f"https://{HOST}")


@pytest.mark.attack("MTLS-02", "MTLS-03")
@pytest.mark.parametrize("name", NAMES)
def test_no_header_states_a_certificate(house: House, name: str) -> None:
    plain, asking = house.proxies[name], house.certified[name]
    for stated in STATED.values():
        for spell in (str, str.upper, lambda header: header.replace("-", "_")):
            spoofed = [(spell(header), value) for header, value in stated(der_of(HOLDER))]
            stopped(plain.ask(BOUND, *spoofed, target="/certified"), 401)
            stopped(asking.ask(BOUND, *spoofed, target="/certified"), 401)
            stopped(asking.ask(BOUND, *spoofed, target="/certified", shown=THIEF), 401)


@pytest.mark.attack("MTLS-01", "MTLS-02")
def test_a_bound_token_is_of_no_use_to_others(certified: Proxy) -> None:
    stopped(certified.ask(BOUND, target="/certified"), 401)
    stopped(certified.ask(BOUND, target="/certified", shown=THIEF), 401)
    stopped(certified.ask(GOOD, target="/certified", shown=HOLDER), 401)


@pytest.mark.twin("MTLS-01", "MTLS-02", "MTLS-03")
def test_the_holder_of_a_certificate_arrives(certified: Proxy) -> None:
    answer = certified.ask(
        BOUND, *STATED["rfc9440"](der_of(THIEF)), target="/certified", shown=HOLDER
    )
    assert answer.seen.identity["x-portvakt-subject"] == ["test-subject"]
    # The API is not told of certificates: it was judged already.
    names = {name for name, value in answer.seen.headers if value and "cert" in name}
    assert names == set()
    assert answer.seen.all("x-ssl-client-der") == []
