"""The self test: a guard that would admit a forger, or nobody, does not come to be."""

import time
from collections.abc import Callable
from typing import Any, Final

import pytest

from portvakt import (
    ConfigurationError,
    Decision,
    FixedKeys,
    Guard,
    HttpRequest,
    JwkSet,
    Requirement,
    Route,
    Routes,
    TrustedIssuer,
)
from portvakt.guard.self_test import self_test
from portvakt.jose import jwk, jws
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.header import Header
from portvakt.jose.signer import Signer
from portvakt.net.keys import KeySource
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()


def keys_of(*issuers: FakeIssuer) -> FixedKeys:
    return FixedKeys(
        {
            issuer.trusted.issuer: JwkSet.from_object(issuer.jwks(), issuer.trusted.algorithms)
            for issuer in issuers
        }
    )


def policy(**more: Any) -> TrustedIssuer:
    given = {"issuer": "https://issuer.test", "audience": "api", "algorithms": frozenset({"ES256"})}
    return TrustedIssuer(**{**given, **more})


def make(cls: Callable[..., Guard] = Guard, **more: Any) -> Guard:
    return cls(**{"issuers": [ISSUER.trusted], "keys": keys_of(ISSUER), **more})


def problems(guard: Guard) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        self_test(guard)
    return [str(problem) for problem in error.value.problems]


@pytest.mark.twin("API-01", "API-12")
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_right_guard_passes_whatever_the_algorithm(alg: str) -> None:
    issuer = FakeIssuer(alg=alg)
    self_test(make(issuers=[issuer.trusted], keys=keys_of(issuer)))


def test_several_issuers_pass_even_if_their_names_begin_alike() -> None:
    issuers = [FakeIssuer("https://a.test"), FakeIssuer("https://a.test/"), FakeIssuer("https://a")]
    self_test(make(issuers=[one.trusted for one in issuers], keys=keys_of(*issuers)))


@pytest.mark.parametrize(
    "more",
    [
        {"types": frozenset({"absent", "jwt"})},
        {"required_claims": frozenset({"pid", "scope"})},
        {"max_lifetime": 30.0, "leeway": 0.0},
        {"algorithms": frozenset(ALGORITHMS)},
    ],
    ids=str,
)
def test_a_right_policy_passes_however_unusual(more: dict[str, Any]) -> None:
    self_test(make(issuers=[policy(**more)]))


class AdmitsAll(Guard):
    """Broken on purpose."""

    async def check(self, *_: Any, **__: Any) -> Decision:
        return Decision(None, None, None, None, 0.0)


class AdmitsAllBlocking(Guard):
    """Broken on purpose."""

    def check_blocking(self, *_: Any, **__: Any) -> Decision:
        return Decision(None, None, None, None, 0.0)


@pytest.mark.attack("API-12")
@pytest.mark.parametrize("cls", [AdmitsAll, AdmitsAllBlocking])
def test_a_guard_that_admits_everyone_is_found_by_either_door(cls: type[Guard]) -> None:
    found = problems(make(cls))
    assert (
        "issuer[0]: a forged token got in (none, ALG-01): Not signed at all: alg says none, "
        in (found[0])
    )
    assert any("(expired, CLM-01)" in one for one in found)
    assert any("(foreign-key, KEY-23)" in one for one in found)


class RefusesAll(Guard):
    """Broken on purpose."""

    def check_blocking(self, *_: Any, **__: Any) -> Decision:
        return super().check_blocking(HttpRequest(method="GET", url="/"))


def test_a_guard_that_admits_no_one_is_found() -> None:
    found = problems(make(RefusesAll))
    assert found == [
        "issuer[0]: no token could ever get in: even an honest one is refused (credential_missing)"
    ]


def test_a_policy_that_can_admit_no_one_is_found_with_its_reason() -> None:
    # A bound token is refused as long as nothing here can check possession.
    found = problems(make(issuers=[policy(required_claims=frozenset({"cnf"}))]))
    assert len(found) == 1
    assert "claim_malformed: cnf is not an object" in found[0]


def test_every_issuer_is_tried_and_every_fault_of_all_is_named_at_once() -> None:
    issuers = [
        policy(issuer="https://a.test"),
        policy(issuer="https://b.test", required_claims=frozenset({"cnf"})),
        policy(issuer="https://c.test", required_claims=frozenset({"cnf"})),
    ]
    keys = FixedKeys({one.issuer: JwkSet.from_object({"keys": []}, ()) for one in issuers})
    found = problems(make(issuers=issuers, keys=keys))
    assert [one.partition(":")[0] for one in found] == ["issuer[1]", "issuer[2]"]


@pytest.mark.attack("API-01")
def test_a_library_that_verifies_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def believe(unverified: jws.UnverifiedJws, key: jwk.Jwk) -> jws.VerifiedJws:
        return jws._Verified(unverified.header, unverified.payload, key.thumbprint)

    monkeypatch.setattr("portvakt.guard.steps.verify", believe)
    found = problems(make())
    assert any("(foreign-key, KEY-23)" in one for one in found)
    assert any("(payload-changed, SIG-01)" in one for one in found)
    assert not any("(expired, CLM-01)" in one for one in found)


def test_a_guard_that_confirms_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portvakt.guard.guard.refuse_unproven", lambda _token, bound: None)
    assert [one for one in problems(make()) if "(cnf, CLM-30)" in one]


class NotInMemory(KeySource):
    """A source of keys that have to be fetched."""

    def __init__(self) -> None:
        self.asked = 0

    def current(self, _: TrustedIssuer, header: Header | None = None) -> JwkSet | None:
        self.asked += 1
        return None

    async def fetch(self, _: TrustedIssuer, header: Header | None = None) -> JwkSet:
        raise AssertionError("the self test must not fetch")


def test_no_keys_are_fetched() -> None:
    source = NotInMemory()
    self_test(make(keys=source))
    assert source.asked == 1


def test_keys_without_a_name_are_tried_too() -> None:
    nameless = JwkSet.from_object(
        {"keys": [Signer.generate("ES256", None).public_jwk()]}, ["ES256"]
    )
    self_test(make(keys=FixedKeys({ISSUER.trusted.issuer: nameless})))


def test_routes_do_not_matter() -> None:
    public = Route(path="/x/{y}", methods=None, public=True, requirement=Requirement.of())
    self_test(make(routes=Routes([public])))
    self_test(make(routes=Routes([], Requirement.of(["never/granted"]))))


def test_nothing_of_the_test_remains_in_the_guard() -> None:
    told: list[Decision] = []
    ticks: list[float] = []

    def clock() -> float:
        ticks.append(0.0)
        return ISSUER.clock()

    guard = make(clock=clock, observers=[lambda _, decision: told.append(decision)])
    before = dict(vars(guard))
    self_test(guard)
    assert (told, ticks) == ([], [])
    assert vars(guard) == before
    assert len(guard._validated) == 0
    assert guard._known_headers == {}
    assert guard.check_blocking(ISSUER.request(ISSUER.token())).admitted


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    self_test(make())
    assert caplog.records == []


def test_a_guard_of_a_policy_is_tried_when_it_is_made() -> None:
    config = ISSUER.config()
    assert Guard.from_config(config).issuers
    with pytest.raises(ConfigurationError, match="a forged token got in"):
        AdmitsAll.from_config(config)


def test_it_is_quick() -> None:
    guard = make()
    self_test(guard)
    durations = []
    for _ in range(3):
        start = time.perf_counter()
        self_test(guard)
        durations.append(time.perf_counter() - start)
    assert min(durations) < 0.1
