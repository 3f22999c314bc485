from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portvakt.errors import ConfigurationError, Problem
from portvakt.guard.guard import Guard
from portvakt.http.request import HttpRequest
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
