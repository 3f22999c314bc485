"""Normal forms of URLs, and the origins that a policy states."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portvakt.http.origin import Origin, normal_path, normalised
from portvakt.http.url import RefusedUrl, path_of


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.test/b", "https://a.test/b"),
        ("HTTPS://A.test:443/b", "https://a.test/b"),
        ("https://a.test", "https://a.test/"),
        ("https://a.test?b", "https://a.test/"),
        ("https://a.test#b", "https://a.test/"),
        ("https://a.test/b?c=d#e?f", "https://a.test/b"),
        ("https://a.test:8443/b", "https://a.test:8443/b"),
        ("http://localhost:80/b", "http://localhost/b"),
        ("http://127.0.0.1:8000/b", "http://127.0.0.1:8000/b"),
        ("https://[2001:DB8::1]/b", "https://[2001:db8::1]/b"),
        ("https://a.test/%7euser/%c3%b8", "https://a.test/~user/%C3%B8"),
        ("https://a.test/%2f%41%2D%5f", "https://a.test/%2FA-_"),
        ("https://a.test/%2541", "https://a.test/%2541"),
        ("https://a.test/a/../b", "https://a.test/b"),
        ("https://a.test/a/./b/.", "https://a.test/a/b/"),
        ("https://a.test/a/b/..", "https://a.test/a/"),
        ("https://a.test/../../a", "https://a.test/a"),
        ("https://a.test/..", "https://a.test/"),
        ("https://a.test/a//..", "https://a.test/a/"),
        ("https://a.test//a", "https://a.test//a"),
        ("https://a.test/a/", "https://a.test/a/"),
        ("https://a.test/.well-known/x", "https://a.test/.well-known/x"),
        ("https://a.test/...", "https://a.test/..."),
        ("https://a.test/a;b=c/..;d", "https://a.test/a;b=c/..;d"),
    ],
)
def test_a_url_has_one_normal_form(url: str, expected: str) -> None:
    assert normalised(url) == expected
    assert normalised(expected) == expected


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "not https"),
        ("/a", "not https"),
        ("ftp://a.test/", "not https"),
        ("http://10.0.0.1/", "loopback"),
        ("https://a@b.test/", "user name"),
        ("https://a.test\\@b.test/", "user name"),
        ("https://a.test/\\b", "does not belong"),
        ("https://a.test/b c", "space"),
        ("https://a.test/ø", "does not belong"),
        ("https://blåbær.test/", "punycode"),
        ("https://a.test/b%", "does not belong"),
        ("https://a.test/[b]", "does not belong"),
        ("https://a.test/b#c#d", "does not belong"),
        ("https://a.test/b#ø", "does not belong"),
        ("https://a.test/b#c d", "does not belong"),
        ("https://a.test/b?c=ø", "does not belong"),
        ("https://a.test/a/%2e%2e/b", "encoded dot"),
        ("https://a.test/a/.%2E/b", "encoded dot"),
        ("https://a.test/%2e", "encoded dot"),
        ("https://a.test/" + "b" * 2034, "longer"),
    ],
)
def test_what_can_be_read_in_two_ways_has_none(url: str, why: str) -> None:
    with pytest.raises(RefusedUrl, match=why):
        normalised(url)


@pytest.mark.parametrize("path", ["", "*", "a/b", "?", "/ø", "/a b", "/a#b", "/a\n", "/a%0"])
def test_what_is_no_path_has_no_normal_form(path: str) -> None:
    with pytest.raises(RefusedUrl, match="does not belong"):
        normal_path(path)


URLISH = st.text("/.%2eE7~aB:@?#\\[]ø \n", max_size=24)


@given(URLISH | st.text(max_size=30))
@example("/a/%2e%2e")
@example("/%25%32%65")
@example("/.//a")
def test_a_normal_path_is_its_own_normal_form_or_refused(path: str) -> None:
    try:
        normal = normal_path(path)
    except RefusedUrl:
        return
    assert normal_path(normal) == normal
    assert normal.startswith("/")
    assert not {".", ".."} & set(normal.split("/"))


@given(
    st.builds("{}{}".format, st.sampled_from(["https://a.test", "HTTP://localhost", ""]), URLISH)
    | st.text(max_size=40)
)
def test_a_normal_url_is_its_own_normal_form_or_refused(url: str) -> None:
    try:
        normal = normalised(url)
    except RefusedUrl:
        return
    assert normalised(normal) == normal
    assert path_of(normal) == normal_path(path_of(normal))


@given(
    st.builds("{}{}".format, st.sampled_from(["https://a.test", "HTTP://localhost", ""]), URLISH)
    | st.text(max_size=40)
)
def test_any_origin_is_read_or_refused(text: str) -> None:
    try:
        origin = Origin.parse(text)
    except RefusedUrl:
        return
    assert Origin.parse(origin.text) == origin
    assert normalised(f"{origin.text}/a") == f"{origin.text}/a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "https://api.example.no",
            Origin("https", "api.example.no", 443, "", "https://api.example.no"),
        ),
        (
            "HTTPS://API.example.no:443/",
            Origin("https", "api.example.no", 443, "", "https://api.example.no"),
        ),
        (
            "https://api.example.no:8443/journal/",
            Origin(
                "https", "api.example.no", 8443, "/journal", "https://api.example.no:8443/journal"
            ),
        ),
        (
            "https://api.example.no/a/%7Eb/../c",
            Origin("https", "api.example.no", 443, "/a/c", "https://api.example.no/a/c"),
        ),
        (
            "http://localhost:8000",
            Origin("http", "localhost", 8000, "", "http://localhost:8000"),
        ),
        (
            "http://api.localhost",
            Origin("http", "api.localhost", 80, "", "http://api.localhost"),
        ),
        ("http://[::1]:1", Origin("http", "[::1]", 1, "", "http://[::1]:1")),
    ],
)
def test_an_origin_is_read_once(text: str, expected: Origin) -> None:
    assert Origin.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not https"),
        ("api.example.no", "not https"),
        ("*", "not https"),
        ("http://api.example.no", "loopback"),
        ("http://notlocalhost", "loopback"),
        ("http://10.1.2.3", "loopback"),
        ("https://api.example.no?", "query"),
        ("https://api.example.no/a?b", "query"),
        ("https://api.example.no/#a", "fragment"),
        ("https://user@api.example.no/", "user name"),
        ("https://*.example.no", "neither"),
        ("https://api.example.no/%2e", "encoded dot"),
    ],
)
def test_what_is_no_origin_is_refused(text: str, why: str) -> None:
    with pytest.raises(RefusedUrl, match=why):
        Origin.parse(text)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/a?b", "/a"),
        ("//a/b", "//a/b"),
        ("https://a.test/b?c", "/b"),
        ("https://a.test", "/"),
        ("https://a.test?b", "/"),
        ("*", "*"),
        ("a.test:443", "a.test:443"),
    ],
)
def test_a_request_target_has_a_path(url: str, path: str) -> None:
    assert path_of(url) == path
