"""The [gateway] table: how portvakt serve serves, or what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from portvakt import ConfigurationError
from portvakt.config.gateway import GatewaySettings, Listen, check_gateway
from portvakt.config.gateway_schema import GatewayTable
from portvakt.config.problems import Problems
from portvakt.config.store_schema import StoreTable
from portvakt.testing import FakeIssuer

SQLITE = StoreTable(url="sqlite:///file.db")
MEMORY = StoreTable(url="memory://")
SECRET = {"env": "GATEWAY_SECRET"}


def compiled(store: StoreTable | None = None, **settings: Any) -> GatewaySettings:
    given = {"proxy": "nginx", "trusted": ["127.0.0.1"], **settings}
    problems = Problems()
    made = check_gateway(msgspec.convert(given, GatewayTable), store, problems)
    problems.check()
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("text", "listen", "loopback"),
    [
        ("127.0.0.1:8600", Listen("127.0.0.1", 8600), True),
        ("[::1]:1", Listen("::1", 1), True),
        ("unix:/run/portvakt.sock", Listen("", 0, Path("/run/portvakt.sock")), True),
        ("unix:portvakt.sock", Listen("", 0, Path("portvakt.sock")), True),
    ],
)
def test_where_to_listen(text: str, listen: Listen, *, loopback: bool) -> None:
    assert compiled(listen=text).listen == listen
    assert listen.loopback is loopback


def test_who_is_believed() -> None:
    by_address = compiled(trusted=["10.0.0.0/8"]).proxies
    assert by_address is not None
    assert by_address.trusts("10.1.2.3")
    assert not by_address.trusts("127.0.0.1")
    by_socket = compiled(trusted=[], listen="unix:/run/a.sock").proxies
    assert by_socket is not None
    assert by_socket.trusts("unix")
    assert not by_socket.trusts("127.0.0.1")
    assert compiled(trusted=[], secret=SECRET).proxies is None
    assert compiled(secret=SECRET).proxies is not None


def test_the_other_addresses() -> None:
    made = compiled(ext_authz="127.0.0.1:8602")
    assert made.admin == Listen("127.0.0.1", 8601)
    assert made.ext_authz == Listen("127.0.0.1", 8602)
    assert made.ext_authz.text == "127.0.0.1:8602"
    assert Listen("::1", 8602).text == "[::1]:8602"
    assert compiled(admin="off").admin is None
    assert compiled().ext_authz is None


@pytest.mark.parametrize(
    ("settings", "place", "message"),
    [
        ({"proxy": "Nginx"}, "proxy", "did you mean nginx?"),
        ({"proxy": "apache"}, "proxy", "must be one of nginx, caddy, traefik, envoy, haproxy"),
        ({"listen": "8600"}, "listen", "must be an address and a port"),
        ({"listen": "localhost:8600"}, "listen", "must state an IP address"),
        ({"listen": "127.0.0.1:0"}, "listen", "must be an address and a port"),
        ({"listen": "127.0.0.1:99999"}, "listen", "must be an address and a port"),
        ({"listen": "unix:"}, "listen", "must name a Unix socket"),
        ({"listen": "unix:/" + "a" * 107}, "listen", "must name a Unix socket"),
        ({"listen": "127.0.0.1:8601"}, "admin", "is stated above"),
        ({"ext_authz": "127.0.0.1:8601"}, "ext_authz", "is stated above"),
        ({"trusted": []}, "listen", "nobody is believed by default"),
        ({"trusted": [], "ext_authz": "127.0.0.1:1"}, "ext_authz", "nobody is believed"),
        ({"trusted": ["0.0.0.0/0"]}, "trusted[0]", "so wide that anyone is in it"),
        ({"listen": "0.0.0.0:8600"}, "listen", "in the clear"),
        ({"ext_authz": "0.0.0.0:8602"}, "ext_authz", "in the clear"),
        (
            {"admin": "0.0.0.0:8601", "admin_token": SECRET, "store": SQLITE},
            "admin",
            "lets admin_token cross a network in the clear",
        ),
        ({"workers": 0}, "workers", "between 1 and 64"),
        ({"workers": 65}, "workers", "between 1 and 64"),
        ({"workers": 2, "store": MEMORY}, "workers", "memory:// is the memory of one"),
        ({"ext_authz": "unix:/a", "workers": 2}, "ext_authz", "only one worker can have it"),
        ({"admin_token": SECRET}, "admin_token", "there is no [store]"),
        ({"admin_token": SECRET, "store": MEMORY}, "admin_token", "memory:// is the memory of one"),
        ({"admin_token": {}, "store": SQLITE}, "admin_token", "names no secret"),
        ({"secret": {}}, "secret", "names no secret"),
        ({"header_timeout": 0.5}, "header_timeout", "between 1s and 60s"),
        ({"grace": 301.0}, "grace", "between 1s and 300s"),
        (
            {"listen": "unix:/a", "tls": {"certificate": "a", "key": "b"}},
            "tls",
            "means nothing on a Unix socket",
        ),
        ({"identity": {"form": "JWT"}}, "identity.form", "did you mean jwt?"),
        ({"identity": {"form": "cookie"}}, "identity.form", "must be one of headers, jwt"),
        ({"identity": {"form": "jwt"}}, "identity.key", "is missing"),
        ({"identity": {"key": SECRET}}, "identity.key", "signs nothing"),
        ({"identity": {"form": "jwt", "key": {}}}, "identity.key", "names no secret"),
        ({"identity": {"fields": ["sub"]}}, "identity.fields[0]", "did you mean subject?"),
        ({"identity": {"fields": ["zzz"]}}, "identity.fields[0]", "must be one of issuer"),
        ({"identity": {"fields": ["pid", "pid"]}}, "identity.fields[1]", "is there already"),
        ({"identity": {"lifetime": 1.0}}, "identity.lifetime", "between 5s and 300s"),
    ],
)
def test_what_is_wrong_is_named(settings: dict[str, Any], place: str, message: str) -> None:
    store = settings.pop("store", None)
    try:
        with pytest.raises(ConfigurationError) as raised:
            compiled(store, **settings)
    finally:
        settings["store"] = store
    problems = {one.place: one.message for one in raised.value.problems}
    assert message in problems[f"gateway.{place}"]


def test_what_crosses_a_network_on_purpose_is_written_down() -> None:
    tls = {"certificate": "a", "key": "b"}
    assert compiled(listen="0.0.0.0:8600", tls=tls).listen.host == "0.0.0.0"  # noqa: S104  nothing listens
    made = compiled(
        SQLITE,
        listen="0.0.0.0:8600",
        admin="0.0.0.0:8601",
        admin_token=SECRET,
        unsafe_plaintext=True,
    )
    assert made.admin is not None
    assert not made.admin.loopback


def test_it_is_part_of_the_policy() -> None:
    issuer = FakeIssuer()
    with pytest.raises(ConfigurationError) as raised:
        issuer.guard(gateway={"proxy": "nginx", "secret": {"keystore": "a"}})
    (problem,) = raised.value.problems
    assert problem.place == "gateway.secret.keystore"
    issuer.guard(gateway={"proxy": "caddy", "trusted": ["127.0.0.1"]})
