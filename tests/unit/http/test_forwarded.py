"""Who may speak for the client, and what is made of what they say."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import pytest

from certificates import (
    NONE_SHOWN,
    STATED,
    Headers,
    base64_of,
    der_of,
    envoy_element,
    escaped_pem,
    issue,
)
from portvakt.errors import Refused
from portvakt.http.forwarded import (
    FORMS,
    MAX_HEADER,
    UNIX,
    Proxies,
    RefusedNetwork,
    network_of,
)
from portvakt.http.request import HttpRequest
from portvakt.refusal import Code

CLIENT: Final = der_of(issue("client.test"))
OTHER: Final = der_of(issue("other.test"))
PROXY: Final = "10.1.2.3"


def proxies(form: str, header: str | None = None, *trusted: str) -> Proxies:
    named = trusted or ("10.0.0.0/8",)
    return Proxies([one if one == UNIX else network_of(one) for one in named], form, header)


def request(
    headers: Headers = (), *, peer: str | None = PROXY, certificate: bytes | None = None
) -> HttpRequest:
    return HttpRequest(
        method="GET",
        url="/a?b",
        headers=(("Host", "api.test"), *headers, ("Accept", "*/*")),
        peer=peer,
        client_certificate=certificate,
        path_parameters=(("a", "b"),),
    )


def refusal(form: str, headers: Headers) -> str:
    with pytest.raises(Refused) as caught:
        proxies(form).original(request(headers))
    assert caught.value.refusal.code is Code.REQUEST_MALFORMED
    detail = caught.value.refusal.detail
    assert detail is not None
    assert not any(value[:12] in detail for _, value in headers if len(value) > 12)
    return detail


def test_every_form_is_tried() -> None:
    assert set(STATED) == set(NONE_SHOWN) == set(FORMS)


@pytest.mark.parametrize("form", FORMS)
def test_a_trusted_proxy_states_the_certificate(form: str) -> None:
    asked = request(STATED[form](CLIENT))
    found = proxies(form).original(asked)
    assert found.client_certificate == CLIENT
    assert found.headers == asked.headers
    assert (found.method, found.url, found.peer) == ("GET", "/a?b", PROXY)
    assert found.path_parameters == asked.path_parameters
    assert proxies(form).original(found) is found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_header_names_are_compared_without_case(form: str, change: type[str]) -> None:
    headers = tuple((change(name), value) for name, value in STATED[form](CLIENT))
    assert proxies(form).original(request(headers)).client_certificate == CLIENT


@pytest.mark.parametrize("form", FORMS)
def test_where_the_proxy_saw_none_there_is_none(form: str) -> None:
    for headers in (NONE_SHOWN[form], ()):
        asked = request(headers)
        assert proxies(form).original(asked) is asked
        # The one of the connection is the proxy's own, and never the client's.
        own = request(headers, certificate=OTHER)
        assert proxies(form).original(own).client_certificate is None
        stated = request(STATED[form](CLIENT), certificate=OTHER)
        assert proxies(form).original(stated).client_certificate == CLIENT


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("peer", ["192.0.2.1", "11.0.0.1", "::1", "unix", "testclient", "", None])
def test_from_anyone_else_the_request_stays_as_it_is(form: str, peer: str | None) -> None:
    for headers in (STATED[form](CLIENT), STATED[form](CLIENT) * 2, NONE_SHOWN[form], ()):
        for certificate in (None, OTHER):
            asked = request(headers, peer=peer, certificate=certificate)
            assert proxies(form).original(asked) is asked


@pytest.mark.parametrize("form", FORMS)
def test_other_names_mean_nothing(form: str) -> None:
    for name, value in STATED[form](CLIENT):
        for other in (name.replace("-", "_"), f"{name} ", f"X-{name}", name[:-1], f"{name}\0"):
            found = proxies(form).original(request(((other, value),)))
            assert found.client_certificate is None


@pytest.mark.parametrize("form", FORMS)
def test_what_a_trusted_proxy_repeats_is_refused(form: str) -> None:
    for name, value in STATED[form](CLIENT):
        assert "repeated" in refusal(form, (*STATED[form](CLIENT), (name.lower(), value)))
        assert "repeated" in refusal(form, (*STATED[form](CLIENT), (name.upper(), "")))


@pytest.mark.parametrize("form", FORMS)
def test_what_is_no_certificate_is_refused(form: str) -> None:
    (name, value), *rest = STATED[form](CLIENT)
    if form == "envoy":
        value = f'Cert="{escaped_pem(CLIENT)}"'  # What else Envoy states does not matter here.
    for wrong in (
        value[:-8], value[8:], f'{value}"', f"x{value}", value.swapcase(), "null", "(null)", ":",
        "::", "%", "é", "\0", base64_of(b"x" * 90), f":{base64_of(CLIENT[:-1])}:",
        f"{value};a=1,{value}", "-----BEGIN CERTIFICATE-----",
    ):  # fmt: skip
        refusal(form, ((name, wrong), *rest))
    assert "too long" in refusal(form, ((name, "a" * (MAX_HEADER + 1)), *rest))


def test_only_caddys_own_placeholder_stands_for_none() -> None:
    for wrong in ("{http.request.tls.client.certificate_pem}", "{}", "{http.request.host}"):
        refusal("caddy", (("X-Client-Certificate", wrong),))
    refusal("haproxy", (("X-SSL-Client-DER", NONE_SHOWN["caddy"][0][1]),))


def test_white_space_around_a_value_is_none_of_it() -> None:
    asked = request((("Client-Cert", f" \t:{base64_of(CLIENT)}:\t "),))
    assert proxies("rfc9440").original(asked).client_certificate == CLIENT
    blank = request((("X-Client-Certificate", " "),))
    assert proxies("caddy").original(blank) is blank


def test_the_chain_is_not_looked_at() -> None:
    asked = request((*STATED["rfc9440"](CLIENT), ("Client-Cert-Chain", f":{base64_of(OTHER)}:")))
    assert proxies("rfc9440").original(asked).client_certificate == CLIENT


@pytest.mark.parametrize(
    "value",
    [
        f":{base64_of(CLIENT)}:;a=1",
        f":{base64_of(CLIENT)}:, :{base64_of(OTHER)}:",
        base64_of(CLIENT),
    ],
)
def test_a_byte_sequence_stands_alone(value: str) -> None:
    refusal("rfc9440", (("Client-Cert", value),))


CERT: Final = "X-SSL-Client-Cert"
VERIFY: Final = "X-SSL-Client-Verify"


def test_nginx_says_whether_it_verified_the_certificate() -> None:
    stated = (CERT, escaped_pem(CLIENT))
    for headers in (
        (stated,),
        (stated, (VERIFY, "")),
        (stated, (VERIFY, "NONE")),
        ((VERIFY, "SUCCESS"),),
        (("X-SSL-Client-Cert", ""), (VERIFY, "SUCCESS")),
    ):
        assert "disagree" in refusal("nginx", headers)
    for value in ("success", "SUCCESS ok", "1", "FAILED", "true"):
        assert "like this" in refusal("nginx", (stated, (VERIFY, value)))


def test_what_nginx_could_not_verify_was_not_shown() -> None:
    failed = (VERIFY, "FAILED:self-signed certificate")
    for certificate in (None, OTHER):
        asked = request(((CERT, escaped_pem(CLIENT)), failed), certificate=certificate)
        assert proxies("nginx").original(asked).client_certificate is None


def test_another_header_can_be_configured() -> None:
    pair = (("ssl-client-cert", escaped_pem(CLIENT)), ("ssl-client-verify", "SUCCESS"))
    ingress = proxies("nginx", "SSL-Client-Cert")
    assert ingress.original(request(pair)).client_certificate == CLIENT
    unheard = request(STATED["nginx"](CLIENT))
    assert ingress.original(unheard) is unheard
    other = proxies("haproxy", "X-Cert").original(request((("x-cert", base64_of(CLIENT)),)))
    assert other.client_certificate == CLIENT


def test_a_line_break_cannot_be_smuggled_in_by_escaping_it_otherwise() -> None:
    for value in (
        escaped_pem(CLIENT).replace("%0A", "\n"),
        escaped_pem(CLIENT).replace("%20", "+"),
        escaped_pem(CLIENT).replace("%0A", "%250A"),
        escaped_pem(CLIENT) + escaped_pem(OTHER),
        escaped_pem(CLIENT) + "%00",
        escaped_pem(CLIENT) + "%E5",
        escaped_pem(CLIENT).replace("%0A", "%0Z"),
    ):
        refusal("nginx", ((CERT, value), (VERIFY, "SUCCESS")))
    lower = escaped_pem(CLIENT).replace("%2B", "+").replace("%0A", "%0a").replace("%3D", "=")
    found = proxies("nginx").original(request(((CERT, lower), (VERIFY, "SUCCESS"))))
    assert found.client_certificate == CLIENT


def xfcc(value: str) -> Headers:
    return (("X-Forwarded-Client-Cert", value),)


@pytest.mark.parametrize(
    "value",
    [
        f'Cert="{escaped_pem(CLIENT)}"',
        f"Cert={escaped_pem(CLIENT)}",
        f'CERT="{escaped_pem(CLIENT)}"',
        f'hash={sha256(CLIENT).hexdigest().upper()};cert="{escaped_pem(CLIENT)}"',
        f'Cert="{escaped_pem(CLIENT)}";Chain="{escaped_pem(CLIENT)}{escaped_pem(OTHER)}"',
        f'Subject="a;Cert=b,c\\"\\\\";Cert="{escaped_pem(CLIENT)}";URI=a;URI=b;DNS="";DNS=',
    ],
)
def test_envoy_writes_pairs(value: str) -> None:
    assert proxies("envoy").original(request(xfcc(value))).client_certificate == CLIENT


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        (f"{envoy_element(CLIENT)},{envoy_element(OTHER)}", "several"),
        (f"{envoy_element(OTHER)};URI=x,{envoy_element(CLIENT)}", "several"),
        (f'{envoy_element(CLIENT)};Cert="{escaped_pem(OTHER)}"', "cert is repeated"),
        (f"{envoy_element(CLIENT)};URI=x;cert={escaped_pem(OTHER)}", "cert is repeated"),
        (f"{envoy_element(CLIENT)};Hash=0", "hash is repeated"),
        (f"Hash={sha256(CLIENT).hexdigest()}", "no Cert"),
        ("By=x;URI=y", "no Cert"),
        (f'Hash=0;Cert="{escaped_pem(CLIENT)}"', "another certificate"),
        (f'Hash={sha256(OTHER).hexdigest()};Cert="{escaped_pem(CLIENT)}"', "another certificate"),
        (f'Cert="{escaped_pem(CLIENT)}', "pairs"),
        (f'Cert="{escaped_pem(CLIENT)}"x', "pairs"),
        (f'Cert="{escaped_pem(CLIENT)}\\"', "pairs"),
        (f'Cert="{escaped_pem(CLIENT)}";', "pairs"),
        (f';Cert="{escaped_pem(CLIENT)}"', "pairs"),
        (f'Cert = "{escaped_pem(CLIENT)}"', "pairs"),
        (f'Cert="{escaped_pem(CLIENT)}"; URI=x', "pairs"),
        (f'X="{envoy_element(CLIENT)}', "pairs"),
        ("Cert", "pairs"),
        ("=", "pairs"),
        ('Cert=""', "PEM"),
    ],
)
def test_what_envoy_does_not_write_is_refused(value: str, flaw: str) -> None:
    assert flaw in refusal("envoy", xfcc(value))


@pytest.mark.parametrize("join", [",", "%2C"])
def test_traefik_writes_the_clients_own_certificate_first(join: str) -> None:
    for text in (base64_of, lambda der: base64_of(der).replace("+", "%2B").replace("/", "%2F")):
        value = text(CLIENT) + join + text(OTHER)
        asked = request((("X-Forwarded-Tls-Client-Cert", value),))
        assert proxies("traefik").original(asked).client_certificate == CLIENT
    refusal("traefik", (("X-Forwarded-Tls-Client-Cert", f",{base64_of(CLIENT)}"),))


@pytest.mark.parametrize(
    ("trusted", "peer"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("10.0.0.0/8", "10.255.0.1"),
        ("10.0.0.0/8", "::ffff:10.0.0.1"),
        ("2001:db8::/32", "2001:db8::1"),
        ("2001:DB8::/32", "2001:db8::1"),
        ("fc00::/7", "fd00::1"),
        ("fe80::/10", "fe80::1%eth0"),
        ("::1", "::1"),
        ("unix", "unix"),
    ],
)
def test_a_peer_is_known_by_its_address(trusted: str, peer: str) -> None:
    assert proxies("caddy", None, "192.0.2.200", trusted).trusts(peer)
    for stranger in (
        "192.0.2.8",
        "11.0.0.1",
        "2001:db9::1",
        "unix:",
        "10.0.0",
        "10.0.0.1:80",
        None,
    ):
        assert not proxies("caddy", None, trusted).trusts(stranger)
    assert not proxies("caddy", None, trusted).trusts("unix" if trusted != "unix" else "::1")


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("0.0.0.0/0", "anyone is in it"),
        ("::/0", "anyone is in it"),
        ("0.0.0.0/1", "anyone is in it"),
        ("10.0.0.0/7", "anyone is in it"),
        ("2000::/3", "anyone is in it"),
        ("::ffff:0:0/96", "IPv4 written as IPv6"),
        ("::ffff:10.0.0.1", "IPv4 written as IPv6"),
        ("10.0.0.1/8", "write 10.0.0.0/8"),
        ("2001:0db8::/32", "write 2001:db8::/32"),
        ("10.0.0.0/255.0.0.0", "must be an address"),
        ("10.0.0.0/33", "neither an address nor a network"),
        ("10.0.0", "neither"),
        ("010.0.0.1", "neither"),
        ("localhost", "must be an address"),
        ("fe80::1%eth0", "must be an address"),
        ("*", "must be an address"),
        ("", "must be an address"),
        ("10.0.0.1\n", "must be an address"),
    ],
)
def test_what_is_no_network_of_a_proxy_is_refused(text: str, flaw: str) -> None:
    with pytest.raises(RefusedNetwork, match=flaw):
        network_of(text)
