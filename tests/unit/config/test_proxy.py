"""The [proxy] table: who may speak for the client, or what is wrong with it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from certificates import STATED, der_of, issue
from portvakt import ConfigurationError, HttpRequest
from portvakt.config.problems import Problems
from portvakt.config.proxy import compile_proxies
from portvakt.config.proxy_schema import ProxyTable
from portvakt.http.forwarded import FORMS, Proxies

CLIENT: Final = der_of(issue("client.test"))


def compiled(**settings: Any) -> Proxies:
    given = {"trusted": ["10.0.0.0/8"], "client_certificate": "nginx", **settings}
    problems = Problems()
    proxies = compile_proxies(msgspec.convert(given, ProxyTable), problems)
    problems.check()
    assert proxies is not None
    return proxies


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_compiled(form: str) -> None:
    request = HttpRequest(method="GET", url="/", headers=STATED[form](CLIENT), peer="10.0.0.1")
    made = compiled(client_certificate=form)
    assert made.original(request).client_certificate == CLIENT


def test_several_proxies_can_be_trusted() -> None:
    made = compiled(trusted=["192.0.2.1", "unix", "fd00::/8"])
    assert made.trusts("192.0.2.1")
    assert made.trusts("unix")
    assert made.trusts("fd00::1")
    assert not made.trusts("192.0.2.2")
    assert not compiled().trusts("unix")
    assert not compiled().trusts(None)


def test_a_header_of_ones_own_is_compiled() -> None:
    pair = (("ssl-client-verify", "SUCCESS"), ("ssl-client-cert", STATED["nginx"](CLIENT)[0][1]))
    request = HttpRequest(method="GET", url="/", headers=pair, peer="10.0.0.1")
    made = compiled(client_certificate_header="ssl-client-cert")
    assert made.original(request).client_certificate == CLIENT


@pytest.mark.parametrize(
    ("settings", "place", "message"),
    [
        ({"trusted": ["0.0.0.0/0"]}, "proxy.trusted[0]", "so wide that anyone is in it"),
        ({"trusted": ["10.0.0.1", "::/0"]}, "proxy.trusted[1]", "so wide that anyone is in it"),
        ({"trusted": ["10.0.0.1/8"]}, "proxy.trusted[0]", "write 10.0.0.0/8"),
        ({"trusted": ["*"]}, "proxy.trusted[0]", "must be an address"),
        ({"trusted": ["nginx.internal"]}, "proxy.trusted[0]", "must be an address"),
        ({"trusted": ["Unix"]}, "proxy.trusted[0]", 'did you mean "unix"?'),
        ({"trusted": ["unix", "unix"]}, "proxy.trusted[1]", "is there already"),
        ({"client_certificate": "ngnix"}, "proxy.client_certificate", "did you mean nginx?"),
        ({"client_certificate": "Envoy"}, "proxy.client_certificate", "did you mean envoy?"),
        ({"client_certificate": "apache"}, "proxy.client_certificate", "one of rfc9440, nginx"),
        ({"client_certificate": ""}, "proxy.client_certificate", "one of rfc9440, nginx"),
        ({"client_certificate_header": "X_Cert"}, "proxy.client_certificate_header", "hyphens"),
        ({"client_certificate_header": "X:"}, "proxy.client_certificate_header", "hyphens"),
        ({"client_certificate_header": ""}, "proxy.client_certificate_header", "hyphens"),
        ({"client_certificate_header": "X-Tls"}, "proxy.client_certificate_header", "-Verify"),
        ({"client_certificate_header": "-Cert"}, "proxy.client_certificate_header", "-Verify"),
        (
            {"client_certificate": "caddy", "client_certificate_header": "Authorization"},
            "proxy.client_certificate_header",
            "clients write themselves",
        ),
        ({"trusted": []}, "proxy.trusted", "at least one"),
    ],
)
def test_what_is_wrong_is_named(settings: dict[str, Any], place: str, message: str) -> None:
    given = {"trusted": ("10.0.0.0/8",), "client_certificate": "nginx", **settings}
    given["trusted"] = tuple(given["trusted"])
    problems = Problems()
    assert compile_proxies(ProxyTable(**given), problems) is None
    with pytest.raises(ConfigurationError) as caught:
        problems.check()
    (problem,) = caught.value.problems
    assert problem.place == place
    assert message in problem.message


def test_all_that_is_wrong_comes_at_once() -> None:
    problems = Problems()
    table = ProxyTable(trusted=("x", "0.0.0.0/0", "10.0.0.1"), client_certificate="y")
    assert compile_proxies(table, problems) is None
    with pytest.raises(ConfigurationError) as caught:
        problems.check()
    assert len(caught.value.problems) == 3
