"""One credential, from one place, of one form."""

import pytest

from portvakt import Code, HttpRequest, Refused
from portvakt.oauth.bearer import read_credential, refuse_method_override


def read(*headers: tuple[str, str], url: str = "/") -> str:
    token, proven = read_credential(HttpRequest(method="GET", url=url, headers=headers))
    assert proven is False
    return token


@pytest.mark.parametrize("value", ["DPoP abc", "dpop abc", "DPOP abc", "DPoP   abc"])
def test_a_route_takes_one_scheme(value: str) -> None:
    proven = HttpRequest(method="GET", url="/", headers=(("Authorization", value),))
    bearer = HttpRequest(method="GET", url="/", headers=(("Authorization", "Bearer abc"),))
    assert read_credential(proven, dpop=True) == ("abc", True)
    assert read_credential(bearer, dpop=False) == ("abc", False)
    for request, dpop in ((proven, False), (bearer, True)):
        with pytest.raises(Refused) as refused:
            read_credential(request, dpop=dpop)
        assert refused.value.refusal.code is Code.SCHEME_REFUSED
    # A request that is judged again, by what its endpoint takes.
    assert read_credential(proven, dpop=None) == ("abc", True)
    assert read_credential(bearer, dpop=None) == ("abc", False)


@pytest.mark.parametrize(
    "value",
    ["Bearer abc", "bearer abc", "BEARER abc", "bEaReR abc", "Bearer  abc", "Bearer    abc"],
)
@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_the_scheme_and_the_name_do_not_depend_on_case(name: str, value: str) -> None:
    assert read(("Host", "x"), (name, value), ("x-http-methods", "GET")) == "abc"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", Code.CREDENTIAL_MALFORMED),
        ("Bearer", Code.CREDENTIAL_MALFORMED),
        ("Bearer ", Code.CREDENTIAL_MALFORMED),
        ("Bearer   ", Code.CREDENTIAL_MALFORMED),
        (" Bearer abc", Code.CREDENTIAL_MALFORMED),
        ("Bearer abc ", Code.CREDENTIAL_MALFORMED),
        ("Bearer a b", Code.CREDENTIAL_MALFORMED),
        ("Bearer a,b", Code.CREDENTIAL_MALFORMED),
        ("Bearer a, Bearer b", Code.CREDENTIAL_MALFORMED),
        ("Bearer a;Bearer b", Code.CREDENTIAL_MALFORMED),
        ("Bearer,a", Code.CREDENTIAL_MALFORMED),
        ("Bearer\tabc", Code.CREDENTIAL_MALFORMED),
        ("BearerX abc", Code.SCHEME_UNSUPPORTED),
        ("Basic dXNlcjpwYXNz", Code.SCHEME_UNSUPPORTED),
        ("Digest a=b, c=d", Code.SCHEME_UNSUPPORTED),
        ("DPoP abc", Code.SCHEME_REFUSED),
        ("DPoP", Code.CREDENTIAL_MALFORMED),
        ("DPoP a b", Code.CREDENTIAL_MALFORMED),
        ("DPoP a,b", Code.CREDENTIAL_MALFORMED),
        ("DPoPX abc", Code.SCHEME_UNSUPPORTED),
        ("abc", Code.CREDENTIAL_MALFORMED),
        ("\u00e5 abc", Code.CREDENTIAL_MALFORMED),
        ("Bearer " + "a" * 20_000, Code.TOKEN_TOO_LONG),
    ],
)
def test_every_other_form_is_refused(value: str, code: Code) -> None:
    with pytest.raises(Refused) as refused:
        read(("Authorization", value))
    assert refused.value.refusal.code is code


def test_no_credential_and_several() -> None:
    with pytest.raises(Refused) as refused:
        read(("Cookie", "access_token=abc"))
    assert refused.value.refusal.code is Code.CREDENTIAL_MISSING
    with pytest.raises(Refused) as refused:
        read(("Authorization", "Bearer a"), ("authorization", "Bearer a"))
    assert refused.value.refusal.code is Code.CREDENTIAL_REPEATED


@pytest.mark.parametrize("url", ["/?access_token=a", "/x?b=1&access_token=", "/?b;access_token=a"])
def test_a_token_in_the_url_is_refused_even_beside_a_header(url: str) -> None:
    with pytest.raises(Refused) as refused:
        read(("Authorization", "Bearer a"), url=url)
    assert refused.value.refusal.code is Code.TOKEN_IN_URL


@pytest.mark.parametrize("url", ["/access_token=a", "/?my_access_token=a", "/?x=access_token=a"])
def test_what_only_looks_like_a_token_in_the_url_is_not(url: str) -> None:
    assert read(("Authorization", "Bearer a"), url=url) == "a"


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "x-http-method", "X-METHOD-OVERRIDE"])
def test_a_header_that_overrides_the_method_is_refused(name: str) -> None:
    request = HttpRequest(method="GET", url="/", headers=(("A", "b"), (name, "DELETE")))
    for check in (read_credential, refuse_method_override):
        with pytest.raises(Refused) as refused:
            check(request)
        assert refused.value.refusal.code is Code.METHOD_OVERRIDDEN
    refuse_method_override(HttpRequest(method="GET", url="/", headers=(("Authorization", "x"),)))
