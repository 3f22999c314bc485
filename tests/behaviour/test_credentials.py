"""One credential, in one header: whatever else is sent is refused, and no endpoint is reached."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from behaviour.behaviours import behaviour

if TYPE_CHECKING:
    from behaviour.serving import Answer, Served


def authorization(value: str) -> str:
    """The line of an Authorization header."""
    return f"Authorization: {value}"


@behaviour("One token is admitted, in whatever case its scheme is written.")
@pytest.mark.twin("HTTP-01", "HTTP-02", "HTTP-03", "HTTP-04", "HTTP-05", "HTTP-06", "HTTP-15")
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_one_token(served: Served, scheme: str) -> None:
    with served.reached("/me"):
        answer = served.send("/me", authorization(f"{scheme} {served.token()}"), "Cookie: a=b")
    assert answer.status == 200


@behaviour("Several Authorization headers are refused, in any order and also if they are equal.")
@pytest.mark.attack("HTTP-04", "HTTP-07")
def test_several_headers(served: Served) -> None:
    honest, forged = served.token(), served.sample.issuer.forged("foreign-key")
    pairs = [
        *((f"Bearer {honest}", f"Bearer {forged}"), (f"Bearer {forged}", f"Bearer {honest}")),
        *((f"Bearer {honest}", f"Bearer {honest}"), (f"Bearer {honest}", f"DPoP {honest}")),
        *((f"Bearer {honest}", ""), ("", f"Bearer {honest}"), (f"Bearer {honest}", "Basic YTpi")),
    ]
    with served.unreached():
        for first, second in pairs:
            answer = served.send("/me", authorization(first), authorization(second))
            assert answer.status == 400, (first[:6], second[:6])


@behaviour("Credentials joined by commas or semicolons are refused.")
@pytest.mark.attack("HTTP-05")
def test_joined(served: Served) -> None:
    honest, forged = served.token(), served.sample.issuer.forged("foreign-key")
    with served.unreached():
        for value in (
            *(f"Bearer {honest}, Bearer {forged}", f"Bearer {honest},Bearer {honest}"),
            *(f"Bearer {honest},", f",Bearer {honest}", f"Bearer {honest};Bearer {honest}"),
            f"Bearer {honest} {honest}",
        ):
            assert served.send("/me", authorization(value)).status in {400, 401}


@behaviour("Another scheme or form of the header is refused.")
@pytest.mark.attack("HTTP-06", "API-09")
def test_other_forms(served: Served) -> None:
    honest = served.token()
    basic = b64encode(f"user:{honest}".encode()).decode()
    with served.unreached():
        for value in (
            *("Bearer", f"Bearer\t{honest}", f"BearerX {honest}", f"Token {honest}", honest),
            *(f"Basic {basic}", f'Bearer "{honest}"', f"Bearer={honest}", f"Bearer:{honest}"),
        ):
            assert served.send("/me", authorization(value)).status in {400, 401}, value[:8]


@behaviour("A token in the query is refused, also beside one in the header.")
@pytest.mark.attack("HTTP-01", "HTTP-03")
def test_in_query(served: Served) -> None:
    honest = served.token()
    with served.unreached():
        assert served.get(f"/me?access_token={honest}").status in {400, 401}
        assert served.get(f"/me?access_token={honest}", honest).status == 400
        assert served.get(f"/me?a=b;access_token={honest}", honest).status == 400


@behaviour("A token in a form or a cookie is nothing.")
@pytest.mark.attack("HTTP-02", "HTTP-15")
def test_in_form_or_cookie(served: Served) -> None:
    honest = served.token("write")
    form = f"access_token={honest}".encode()
    kind = "Content-Type: application/x-www-form-urlencoded"
    with served.unreached():
        assert served.send("/echo", kind, method="POST", body=form).status == 401
        for name in ("access_token", "Authorization", "sessionid"):
            assert served.send("/me", f"Cookie: {name}={honest}").status == 401


@behaviour(
    "A header that overrides the method is refused, in every spelling, also on public routes."
)
@pytest.mark.attack("HTTP-09")
def test_method_override(served: Served) -> None:
    with served.unreached():
        for name in ("X-HTTP-Method-Override", "x-http-method", "X-Method-Override"):
            for target, token in (("/me", served.token()), ("/healthz", None)):
                assert served.get(target, token, f"{name}: DELETE").status == 400
    # A server may drop what it cannot tell apart; what it passes on is refused.
    answer = served.get("/me", served.token(), "X_HTTP_Method_Override: DELETE")
    assert answer.status in {200, 400}


@behaviour("Odd octets in the header are refused, and the server lives.")
@pytest.mark.attack("HTTP-14")
def test_odd_octets(served: Served) -> None:
    honest = served.token()
    with served.unreached():
        for octets in ("\x00", "\xff", "\x7f", "\r\n folded", "\u00e6\u00f8", "\x0b"):
            assert refused(served.send("/me", authorization(f"Bearer {honest}{octets}"))), octets
            assert refused(served.send("/me", authorization(f"Bearer {octets}{honest}"))), octets
        # More than a token may have, and less than a server takes for a header.
        assert served.get("/me", "a" * 20_000).status in {400, 401, 431}
    assert served.get("/me", honest).status == 200


def refused(answer: Answer) -> bool:
    """Whether the guard or the server refused."""
    return answer.status in {400, 401}


@behaviour("Connection and Host change nothing about who is admitted.")
@pytest.mark.attack("HTTP-10")
def test_hop_by_hop(served: Served) -> None:
    forged = served.sample.issuer.forged("foreign-key")
    with served.unreached():
        assert served.get("/me", None, "Connection: Authorization").status == 401
        assert served.get("/me", forged, "Connection: Authorization").status == 401
        assert served.get("/me", forged, "X-Forwarded-For: 127.0.0.1").status == 401
        assert served.get("/me", None, "X-Forwarded-User: root").status == 401
