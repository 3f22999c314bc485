"""Which URLs are taken apart, and which refused because two parsers could read them in two ways."""

import socket
from ipaddress import ip_address
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portvakt.http.url import RefusedUrl, Target, check_url, literal


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("issuer.test", None),
        ("xn--bcher-kva.example", None),
        ("localhost", None),
        ("my_service", None),
        ("a-b.c", None),
        ("1.example", None),
        ("0x7f.example", None),
        ("x0", None),
        ("a" * 63, None),
        (".".join(["a" * 63] * 3 + ["b" * 61]), None),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("[::FFFF:127.0.0.1]", "::ffff:127.0.0.1"),
    ],
)
def test_a_host_is_a_name_or_an_address(host: str, expected: str | None) -> None:
    found = literal(host)
    assert found == (None if expected is None else ip_address(expected))


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "issuer.test.",
        "127.0.0.1.",
        "issuer..test",
        ".issuer.test",
        "-a.test",
        "a-.test",
        "a" * 64,
        ".".join(["a" * 63] * 3 + ["b" * 62]),
        "bücher.example",
        "issuer。test",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7F.1",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "127.0.0.01",
        "127.0.0.0x1",
        "0",
        "0x",
        "1.2.3.4.5",
        "256.1.1.1",
        "issuer.1",
        "a b",
        "a%2eb",
        "a%00b",
        "a\x00b",
        "::1",
        "[::1",
        "[::1]]",
        "[]",
        "[127.0.0.1]",
        "[issuer.test]",
        "[fe80::1%eth0]",
        "[fe80::1%25eth0]",
        "[::1%]",
        "[v1.a]",
        "[::1]a",
    ],
)
def test_any_other_host_is_refused(host: str) -> None:
    with pytest.raises(RefusedUrl):
        literal(host)


NUMBERISH: Final = st.lists(
    st.one_of(
        st.integers(0, 2**32).map(str),
        st.integers(0, 2**32).map(hex),
        st.integers(0, 2**32).map(lambda n: f"0{n:o}"),
        st.text("0123456789abcdefxX.-", max_size=4),
    ),
    min_size=1,
    max_size=5,
).map(".".join)


@given(NUMBERISH)
@example("127.1")
@example("0177.0.0.1")
@example("0x7f.0.0.1")
def test_whatever_a_resolver_takes_for_an_address_is_refused_or_means_the_same(host: str) -> None:
    try:
        resolved = socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return
    try:
        found = literal(host)
    except RefusedUrl:
        return
    assert str(found) == resolved


@pytest.mark.parametrize(
    ("url", "target", "authority"),
    [
        ("https://a.test", Target("https", "a.test", 443, "/"), "a.test"),
        ("https://a.test:443/b", Target("https", "a.test", 443, "/b"), "a.test"),
        ("https://a.test:8443/b", Target("https", "a.test", 8443, "/b"), "a.test:8443"),
        ("HTTPS://A.test/B?c=D/?", Target("https", "a.test", 443, "/B?c=D/?"), "a.test"),
        ("https://a.test?b", Target("https", "a.test", 443, "/?b"), "a.test"),
        ("https://[::1]:65535/%7E", Target("https", "[::1]", 65535, "/%7E"), "[::1]:65535"),
        ("https://a.test/@b:c//d/..;e", Target("https", "a.test", 443, "/@b:c//d/..;e"), "a.test"),
    ],
)
def test_a_url_is_taken_apart(url: str, target: Target, authority: str) -> None:
    assert check_url(url) == target
    assert target.authority == authority


def test_http_is_taken_apart_where_it_is_allowed() -> None:
    target = check_url("http://localhost:80/a", loopback_http=True)
    assert target == Target("http", "localhost", 80, "/a")
    assert target.authority == "localhost"
    with pytest.raises(RefusedUrl, match="not https"):
        check_url("http://localhost:80/a")


BAD_URLS: Final = {
    "": "not https",
    "issuer.test/jwks": "not https",
    "//issuer.test/jwks": "not https",
    "https:": "no host",
    "https:issuer.test": "no host",
    "https:/issuer.test": "no host",
    "https:\\\\issuer.test": "no host",
    "https://": "does not belong",
    "https:///jwks": "does not belong",
    "https://?a": "does not belong",
    "https://a.test:": "does not belong",
    "https://a.test:x": "does not belong",
    "https://a.test:443:443": "does not belong",
    "https://a.test:123456": "does not belong",
    "https://a.test:٤٤٣/": "does not belong",
    "https://a.test:0": "out of range",
    "https://a.test:65536": "out of range",
    "https://a.test/#b": "fragment",
    "https://a.test#": "fragment",
    "https://good.test#@evil.test/": "fragment",
    "https://good.test@evil.test/": "user name",
    "https://a:b@a.test/": "user name",
    "https://@a.test/": "user name",
    "https://good.test\\@evil.test/": "user name",
    "https://good.test\\.evil.test/": "neither",
    "https://good.test%2f@evil.test": "user name",
    "https://good.test%2eevil": "neither",
    "https://a.test/b\\c": "does not belong",
    "https://a.test/b%": "does not belong",
    "https://a.test/b%0g": "does not belong",
    "https://a.test/ø": "does not belong",
    "https://a.test/?ø": "does not belong",
    'https://a.test/"': "does not belong",
    "https://a.test/<b>": "does not belong",
    "https://a.test/[b]": "does not belong",
    "https://a.test/\u0085": "does not belong",
    "https://a.test/b c": "space",
    " https://a.test/": "space",
    "https://a.test/\r\nHost: b": "space",
    "https://a.test/\x00": "space",
    "https://a.test\t/": "space",
    "https://a.test/\x7f": "space",
    "https://[::1/": "does not belong",
    "https://::1/": "does not belong",
    "https://[a]b/": "does not belong",
    "https://\u212aelvin.test/": "punycode",
    "https://bücher.test/": "punycode",
    "https://a.test/" + "b" * 2034: "longer",
}


@pytest.mark.parametrize(("url", "why"), BAD_URLS.items())
def test_a_url_that_could_be_read_in_two_ways_is_refused(url: str, why: str) -> None:
    with pytest.raises(RefusedUrl, match=why) as refused:
        check_url(url)
    assert "evil" not in str(refused.value)


@given(st.one_of(st.text(), st.text("htps:/[].@\\#?%0a1\r\n x").map("https://{}".format)))
def test_any_text_is_taken_apart_as_it_is_or_refused(url: str) -> None:
    try:
        target = check_url(url, loopback_http=True)
    except RefusedUrl:
        return
    scheme, _, rest = url.lower().partition("://")
    assert scheme == target.scheme
    assert rest.startswith(target.host)
    assert url.endswith((target.path, target.path[1:]))
    assert all("!" <= character <= "~" for character in target.path + target.authority)


def test_that_http_is_refused_to_an_address_outside_this_machine() -> None:
    assert check_url("http://127.0.0.1/a", loopback_http=True).host == "127.0.0.1"
    with pytest.raises(RefusedUrl, match="loopback addresses only"):
        check_url("http://192.0.2.1/a", loopback_http=True)
