import asyncio
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from portvakt.errors import ConfigurationError, Problem
from portvakt.guard.assembly import assemble_config, assemble_file
from portvakt.guard.guard import Guard
from portvakt.http.request import HttpRequest
from portvakt.net.address import CheckedAddresses
from portvakt.net.discovery import Discovery
from portvakt.net.key_files import KeyFile
from portvakt.net.keys import KeySources
from portvakt.net.remote_keys import KeyEndpoint, RemoteKeys
from portvakt.policy.decision import Decision
from portvakt.testing.clock import FrozenClock
from portvakt.testing.fake_issuer import FakeIssuer

ISSUER = FakeIssuer(audience="nhn:journal", alg="ES256", clock=FrozenClock())

POLICY = """\
[api]
audience = "nhn:journal"

[[issuer]]
issuer = "https://issuer.test"
jwks_file = "keys/keys.json"
algorithms = ["ES256"]

[[route]]
path = "/journal"
scopes = ["read"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "keys.json").write_bytes(msgspec.json.encode(ISSUER.jwks()))
    file = tmp_path / "portvakt.toml"
    file.write_text(POLICY)
    return file


class Told:
    def __init__(self) -> None:
        self.told: list[tuple[HttpRequest, Decision]] = []

    def __call__(self, request: HttpRequest, decision: Decision, /) -> None:
        self.told.append((request, decision))


def test_a_file_makes_a_guard_that_admits_the_honest_and_refuses_the_forged(file: Path) -> None:
    told = Told()
    guard = Guard.from_file(file, clock=ISSUER.clock, observers=[told])
    honest = ISSUER.request(ISSUER.token(scopes=["read"]), url="/journal")
    admitted = guard.check_blocking(honest)
    assert admitted.admitted
    forged = ISSUER.request(ISSUER.forged("none", scopes=["read"]), url="/journal")
    refused = guard.check_blocking(forged)
    assert not refused.admitted
    assert told.told == [(honest, admitted), (forged, refused)]
    assert guard.realm == "nhn:journal"
    assert guard.clock is ISSUER.clock


def test_the_environment_overrides_the_file_and_never_data(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTVAKT_ISSUER__0__LEEWAY", "7s")
    assert Guard.from_file(file).issuers["https://issuer.test"].leeway == 7.0
    assert Guard.from_config(ISSUER.config()).issuers["https://issuer.test"].leeway == 5.0


def test_a_wrong_file_is_refused_with_places_and_lines(file: Path) -> None:
    file.write_text(POLICY.replace("ES256", "HS256").replace("scopes", "scope"))
    with pytest.raises(ConfigurationError) as caught:
        Guard.from_file(file)
    assert caught.value.source == str(file)
    assert [(one.place, one.line) for one in caught.value.problems] == [
        ("issuer[0].algorithms", 7),
        ("route[0].scope", 11),
    ]


def test_wrong_data_is_refused_with_places_and_no_lines() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Guard.from_config(ISSUER.config(api={"audience": "*"}))
    assert caught.value.source is None
    assert [(one.place, one.line) for one in caught.value.problems] == [("api.audience", None)]


@pytest.mark.attack("API-13")
def test_data_that_is_changed_later_changes_nothing() -> None:
    config: dict[str, Any] = ISSUER.config(route=[{"path": "/journal", "scopes": ["read"]}])
    before = deepcopy(config)
    guard = Guard.from_config(config, clock=ISSUER.clock)
    assert config == before
    config["route"][0]["scopes"].clear()
    config["route"].append({"path": "/other", "public": True})
    config["issuer"][0]["jwks"]["keys"].clear()
    config["issuer"][0]["algorithms"].append("none")
    without_scope = ISSUER.request(ISSUER.token(), url="/journal")
    assert not guard.check_blocking(without_scope).admitted
    assert not guard.check_blocking(ISSUER.request(url="/other")).admitted
    assert guard.issuers["https://issuer.test"].algorithms == {"ES256"}


@pytest.mark.twin("API-13")
def test_the_same_data_makes_the_same_guard_twice() -> None:
    config = ISSUER.config()
    request = ISSUER.request(ISSUER.token())
    for _ in range(2):
        assert Guard.from_config(config, clock=ISSUER.clock).check_blocking(request).admitted


class Careless(Guard):
    """A subclass that fails its own test."""

    def self_test(self) -> None:
        raise ConfigurationError([Problem("issuer[0]", "a forged token got in")])


def test_a_guard_that_fails_its_own_test_is_not_handed_out(file: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Careless.from_file(file)
    (problem,) = caught.value.problems
    assert (problem.place, problem.line) == ("issuer[0]", 4)
    assert caught.value.source == str(file)


def test_a_subclass_gets_a_guard_of_its_own_class(file: Path) -> None:
    class Mine(Guard):
        pass

    assert type(Mine.from_file(file)) is Mine
    assert type(Mine.from_config(ISSUER.config())) is Mine


# Issuers whose keys are fetched. Nothing is fetched here.


def published(**network: Any) -> dict[str, Any]:
    """A policy with one issuer of each kind."""
    return {
        "api": {"audience": "api"},
        "network": network,
        "issuer": [
            {"issuer": "https://stated.test", "algorithms": ["ES256"], "jwks": ISSUER.jwks()},
            {"issuer": "https://found.test/a", "algorithms": ["ES256"], "jwks_hosts": ["b.test"]},
            {
                "issuer": "https://uri.test",
                "algorithms": ["ES256"],
                "jwks_uri": "https://uri.test/keys",
                "pin": ["NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"],
                "keys_max_age": "2h",
            },
            {
                "issuer": "https://private.test",
                "algorithms": ["ES256"],
                "metadata_uri": "https://meta.test/",
                "private": True,
            },
            {"issuer": "http://127.0.0.1:8000", "algorithms": ["ES256"], "unsafe_loopback": True},
        ],
    }


def endpoints(guard: Guard) -> dict[str, KeyEndpoint]:
    assert isinstance(guard.keys, KeySources)
    return {
        name: source._endpoint
        for name, source in guard.keys._sources.items()
        if isinstance(source, RemoteKeys)
    }


def test_each_issuer_is_asked_where_its_policy_says() -> None:
    guard = Guard.from_config(published())
    assert {one.issuer: one.source for one in guard.health().keys} == {
        "https://stated.test": "policy",
        "https://found.test/a": "https://found.test/a/.well-known/openid-configuration",
        "https://uri.test": "https://uri.test/keys",
        "https://private.test": "https://meta.test/",
        "http://127.0.0.1:8000": "http://127.0.0.1:8000/.well-known/openid-configuration",
    }
    assert [one.hard_limit for one in guard.health().keys] == [None, 86400, 7200, 86400, 86400]
    found = endpoints(guard)
    assert len(found["https://uri.test"].pinned) == 1
    assert not found["https://found.test/a"].pinned
    assert all(one.file is None for one in found.values())
    where = found["https://found.test/a"].where
    assert isinstance(where, Discovery)
    assert where._hosts["jwks_uri"] == (frozenset({"b.test"}), "jwks_hosts")


def test_how_far_one_may_dial_is_each_issuers_own() -> None:
    found = endpoints(Guard.from_config(published()))
    reaches = {}
    for name, one in found.items():
        addresses = one.fetch._addresses
        assert isinstance(addresses, CheckedAddresses)
        reaches[name] = (addresses._reach.private, addresses._reach.loopback)
        http = one.fetch._loopback_http
        assert http is addresses._reach.loopback
        assert isinstance(one.where, str) or one.where._loopback_http is http
    assert reaches == {
        "https://found.test/a": (False, False),
        "https://uri.test": (False, False),
        "https://private.test": (True, False),
        "http://127.0.0.1:8000": (False, True),
    }


def test_a_proxy_is_for_issuers_on_the_internet() -> None:
    found = endpoints(Guard.from_config(published(proxy="http://proxy.test:3128", timeout="2s")))
    assert {name: one.fetch._proxy is not None for name, one in found.items()} == {
        "https://found.test/a": True,
        "https://uri.test": True,
        "https://private.test": False,
        "http://127.0.0.1:8000": False,
    }
    assert {one.fetch._timeout for one in found.values()} == {2.0}


def test_questions_on_callers_accounts_have_one_budget() -> None:
    keys = Guard.from_config(published()).keys
    assert isinstance(keys, KeySources)
    budgets = {
        id(source._kept._budget)
        for source in keys._sources.values()
        if isinstance(source, RemoteKeys)
    }
    assert len(budgets) == 1


def test_files_of_the_network_lie_beside_the_policy(file: Path) -> None:
    text = POLICY.replace('jwks_file = "keys/keys.json"', "")
    folder = file.parent
    (folder / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    file.write_text(f'{text}\n[network]\nca_file = "ca.pem"\ncache_dir = "kept"\n')
    (one,) = endpoints(Guard.from_file(file)).values()
    assert one.file is not None
    assert one.file._path.parent == folder / "kept"
    assert not (folder / "kept").exists()  # nothing is written before anything is fetched
    certificates = one.fetch._tls.get_ca_certs()
    assert any("trustme" in str(one["subject"]) for one in certificates)


def test_the_keys_of_an_earlier_run_are_there_at_once(file: Path) -> None:
    text = POLICY.replace('jwks_file = "keys/keys.json"', "")
    file.write_text(f'{text}\n[network]\ncache_dir = "kept"\n')
    kept = KeyFile(file.parent / "kept", "https://issuer.test")
    asyncio.run(kept.write(msgspec.json.encode(ISSUER.jwks()), time.time() - 60))
    (health,) = Guard.from_file(file).health().keys
    assert health.keys == 2
    assert health.age is not None
    assert 60 <= health.age < 120


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('proxy = "ftp://proxy.test"', "proxy: "),
        ('proxy = ""', "proxy: "),
        ('ca_file = "ca.pem"', "no file of PEM certificates"),
    ],
)
def test_what_is_wrong_with_the_way_out_has_a_place_and_a_line(
    file: Path, line: str, message: str
) -> None:
    (file.parent / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nno certificate\n")
    text = POLICY.replace('jwks_file = "keys/keys.json"', "")
    file.write_text(f"{text}\n[network]\n{line}\n")
    with pytest.raises(ConfigurationError) as caught:
        Guard.from_file(file)
    (problem,) = caught.value.problems
    assert (problem.place, problem.line) == ("network", 13)
    assert message in problem.message
    assert caught.value.source == str(file)


def test_addresses_may_be_a_tests_own(file: Path) -> None:
    async def addresses(host: str, port: int) -> list[tuple[str, int]]:
        return [(host, port)]

    file.write_text(POLICY.replace('jwks_file = "keys/keys.json"', ""))
    for guard in (
        assemble_file(Guard, file, clock=None, observers=(), addresses=addresses),
        assemble_config(Guard, published(), clock=None, observers=(), addresses=addresses),
    ):
        assert {id(one.fetch._addresses) for one in endpoints(guard).values()} == {id(addresses)}
