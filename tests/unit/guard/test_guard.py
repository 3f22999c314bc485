"""The path of one request: what the guard does, whatever happens around it."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from portvakt import (
    Code,
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
    Unavailable,
)
from portvakt.jose.header import Header
from portvakt.net.keys import KeySource
from portvakt.testing import FakeIssuer, FrozenClock

ISSUER = FakeIssuer()
KEYS = JwkSet.from_object(ISSUER.jwks(), ["ES256"])
NAME = ISSUER.trusted.issuer


class Source(KeySource):
    """Keys that are fetched, in whatever way a test wants."""

    def __init__(self, fetch: Callable[[], Any]) -> None:
        self.sets: dict[str, JwkSet] = {}
        self.fetched = 0
        self._fetch = fetch

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet | None:
        return self.sets.get(issuer.issuer)

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        self.fetched += 1
        await asyncio.sleep(0)  # Real suspension: only a running loop can do this.
        keys: JwkSet = self._fetch()
        self.sets[issuer.issuer] = keys
        return keys


def guard_with(keys: Any, **more: Any) -> Guard:
    return Guard(issuers=[ISSUER.trusted], keys=keys, clock=ISSUER.clock, **more)


def honest() -> HttpRequest:
    return ISSUER.request(ISSUER.token(scopes=["read"]))


def code_of(decision: Decision) -> Code | None:
    return decision.refusal.code if decision.refusal else None


def test_an_honest_request_is_admitted_with_its_token() -> None:
    decision = ISSUER.guard().check_blocking(honest())
    assert decision.admitted
    assert decision.response is None
    assert decision.at == ISSUER.clock()
    assert decision.route is not None
    token = decision.token
    assert token is not None
    assert token.scopes == {"read"}
    assert token.audience == ("test-api",)
    assert token.claims["iss"] == token.issuer == NAME
    assert token.confirmation is None


def test_a_decision_is_not_taken_for_a_verdict() -> None:
    for request in (honest(), ISSUER.request()):
        with pytest.raises(TypeError, match="admitted"):
            bool(ISSUER.guard().check_blocking(request))


def test_async_and_blocking_are_the_same() -> None:
    guard = ISSUER.guard()
    request, bare = honest(), ISSUER.request()
    assert asyncio.run(guard.check(request)).token == guard.check_blocking(request).token
    assert code_of(asyncio.run(guard.check(bare))) is Code.CREDENTIAL_MISSING


@pytest.mark.parametrize("how", ["blocking", "asyncio", "adopted", "trio"])
def test_keys_are_fetched_at_home_however_the_guard_is_asked(how: str) -> None:
    source = Source(lambda: KEYS)
    guard = guard_with(source)

    async def adopted() -> Decision:
        async with guard:
            return await guard.check(honest())

    match how:
        case "blocking":
            decision = guard.check_blocking(honest())
        case "asyncio":
            decision = asyncio.run(guard.check(honest()))
        case "adopted":
            decision = asyncio.run(adopted())
        case _:
            import trio

            decision = trio.run(guard.check, honest())
    assert decision.admitted
    assert guard.check_blocking(honest()).admitted
    assert source.fetched == 1
    guard.home.leave()


def test_keys_that_cannot_be_had_are_an_outage_and_not_a_refusal_of_the_token() -> None:
    def fail() -> JwkSet:
        raise Unavailable(Code.KEYS_UNAVAILABLE, "connection refused", retry_after=3)

    decision = guard_with(Source(fail)).check_blocking(honest())
    assert code_of(decision) is Code.KEYS_UNAVAILABLE
    assert decision.response is not None
    assert decision.response.status == 503
    assert ("Retry-After", "3") in decision.response.headers


def test_a_fault_of_ours_admits_nobody_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> JwkSet:
        raise RuntimeError("secret")

    with caplog.at_level(logging.DEBUG):
        decision = guard_with(Source(fail)).check_blocking(honest())
    assert code_of(decision) is Code.INTERNAL_ERROR
    assert decision.response is not None
    assert decision.response.status == 503
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_a_clock_that_fails_admits_nobody() -> None:
    def broken() -> float:
        raise OSError

    guard = Guard(issuers=[ISSUER.trusted], keys=FixedKeys({NAME: KEYS}), clock=broken)
    assert code_of(guard.check_blocking(honest())) is Code.INTERNAL_ERROR


def test_a_clock_that_is_no_number_admits_nobody() -> None:
    guard = Guard(
        issuers=[ISSUER.trusted], keys=FixedKeys({NAME: KEYS}), clock=lambda: float("nan")
    )
    assert code_of(guard.check_blocking(honest())) is Code.TOKEN_EXPIRED


def test_waiting_for_itself_is_a_mistake_that_is_named() -> None:
    guard = guard_with(Source(lambda: KEYS))

    async def misuse() -> None:
        async with guard:
            guard.check_blocking(honest())

    with pytest.raises(ConfigurationError, match="await check"):
        asyncio.run(misuse())


def test_what_the_rule_and_the_api_demand_both_holds() -> None:
    guard = ISSUER.guard(
        route=[
            {"path": "/rule", "scopes": ["read"]},
            {"path": "/open", "public": True},
        ]
    )
    write = Requirement.of(["write"])

    def ask(url: str, scopes: list[str], demand: Requirement | None = None) -> Decision:
        return guard.check_blocking(ISSUER.request(ISSUER.token(scopes=scopes), url=url), demand)

    assert ask("/rule", ["read"]).admitted
    assert ask("/rule", ["read", "write"], write).admitted
    assert code_of(ask("/rule", ["read"], write)) is Code.SCOPE_INSUFFICIENT
    refused = ask("/rule", ["write"], write)
    assert code_of(refused) is Code.SCOPE_INSUFFICIENT
    assert refused.response is not None
    assert 'scope="read write"' in dict(refused.response.headers)["WWW-Authenticate"]
    # A public rule does not loosen what the API demands, nor the other way round.
    assert guard.check_blocking(ISSUER.request(url="/open")).admitted
    assert code_of(guard.check_blocking(ISSUER.request(url="/open"), write)) is (
        Code.CREDENTIAL_MISSING
    )
    assert code_of(ask("/unlisted", ["write"])) is Code.ROUTE_UNKNOWN
    assert ask("/unlisted", ["write"], write).admitted


def test_a_further_demand_on_an_admitted_token() -> None:
    guard = ISSUER.guard()
    request = honest()
    decision = guard.check_blocking(request)
    assert guard.require(request, decision, Requirement.of(["read"])) is decision
    refused = guard.require(request, decision, Requirement.of(["write"]))
    assert code_of(refused) is Code.SCOPE_INSUFFICIENT
    with pytest.raises(ConfigurationError, match="without a token"):
        guard.require(request, guard.check_blocking(ISSUER.request()), Requirement.of())


def test_a_rule_that_fails_in_a_further_demand_refuses() -> None:
    def broken(_token: object, _request: object) -> bool:
        raise ZeroDivisionError

    guard = ISSUER.guard()
    request = honest()
    decision = guard.check_blocking(request)
    refused = guard.require(request, decision, Requirement.of(checks=[broken]))
    assert code_of(refused) is Code.INTERNAL_ERROR
    assert refused.response is not None
    assert refused.response.status == 503
    honest_rule = Requirement.of(checks=[lambda _token, _request: True])
    assert guard.require(request, decision, honest_rule) is decision


def test_a_method_override_is_refused_on_public_routes_too() -> None:
    guard = ISSUER.guard(route=[{"path": "/open", "methods": ["GET"], "public": True}])
    request = ISSUER.request(url="/open", headers=[("X-HTTP-Method-Override", "DELETE")])
    assert code_of(guard.check_blocking(request)) is Code.METHOD_OVERRIDDEN


def test_observers_are_told_and_have_no_say(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[HttpRequest, Decision]] = []

    def broken(request: HttpRequest, decision: Decision) -> None:
        raise ValueError(request, decision)

    guard = guard_with(FixedKeys({NAME: KEYS}), observers=[broken, lambda *told: seen.append(told)])
    request, bare = honest(), ISSUER.request()
    admitted, refused = guard.check_blocking(request), guard.check_blocking(bare)
    assert seen == [(request, admitted), (bare, refused)]
    assert admitted.admitted
    assert caplog.text.count("an observer failed: ValueError") == 2


def test_a_request_that_an_adapter_cannot_read_is_refused() -> None:
    guard = ISSUER.guard()
    decision = guard.malformed(ISSUER.request(), "two paths")
    assert code_of(decision) is Code.REQUEST_MALFORMED
    assert decision.response is not None
    assert decision.response.status == 400


def test_a_clock_that_fails_admits_nobody_and_answers() -> None:
    def failing() -> float:
        raise OSError("kanari")

    guard = Guard(issuers=[ISSUER.trusted], keys=FixedKeys({NAME: KEYS}), clock=failing)
    for decision in (guard.check_blocking(honest()), guard.malformed(honest(), "two paths")):
        assert code_of(decision) is Code.INTERNAL_ERROR
        assert decision.response is not None
        assert decision.response.status == 503


def test_a_guard_without_issuers_or_with_one_twice_does_not_exist() -> None:
    with pytest.raises(ConfigurationError, match="no issuer"):
        Guard(issuers=[], keys=FixedKeys({}))
    with pytest.raises(ConfigurationError, match="twice"):
        Guard(issuers=[ISSUER.trusted, ISSUER.trusted], keys=FixedKeys({NAME: KEYS}))


def test_the_parts_are_as_given() -> None:
    rules = Routes([Route(path="/", methods=None, public=True, requirement=Requirement.of())])
    guard = guard_with(FixedKeys({NAME: KEYS}), routes=rules, realm="journal")
    assert guard.routes is rules
    assert guard.realm == "journal"
    assert guard_with(FixedKeys({NAME: KEYS})).realm == "test-api"
    assert repr(guard) == f"Guard(issuers=['{NAME}'])"
    with pytest.raises(TypeError):
        guard.issuers[NAME] = ISSUER.trusted  # type: ignore[index]
    assert Guard(issuers=[ISSUER.trusted], keys=FixedKeys({NAME: KEYS})).clock() > 1.7e9


def test_two_issuers_are_judged_by_their_own_keys_and_policies() -> None:
    other = FakeIssuer("https://other.test", alg="Ed25519", clock=ISSUER.clock)
    sets = {
        NAME: KEYS,
        other.trusted.issuer: JwkSet.from_object(other.jwks(), ["Ed25519"]),
    }
    guard = Guard(issuers=[ISSUER.trusted, other.trusted], keys=FixedKeys(sets), clock=ISSUER.clock)
    for issuer in (ISSUER, other):
        assert guard.check_blocking(issuer.request(issuer.token())).admitted
    mixed = other.builder().claims(iss=NAME).build()
    assert code_of(guard.check_blocking(ISSUER.request(mixed))) is Code.ALGORITHM_REFUSED


def test_an_issuer_that_does_not_come_first_is_found_too() -> None:
    claims = {"iat": 1, **dict(ISSUER.builder()._draft.claims)}
    payload = __import__("json").dumps({"zoneinfo": "x", **claims, "iat": ISSUER.clock()}).encode()
    token = ISSUER.builder().payload(payload).build()
    assert ISSUER.guard().check_blocking(ISSUER.request(token)).admitted


def test_headers_of_refused_tokens_are_not_remembered_and_the_memory_is_bounded() -> None:
    guard = ISSUER.guard()
    before = len(guard._known_headers)
    guard.check_blocking(ISSUER.request(ISSUER.token(header={"x": 1}, claims={"aud": "other"})))
    assert len(guard._known_headers) == before
    for number in range(300):
        assert guard.check_blocking(ISSUER.request(ISSUER.token(header={"x": number}))).admitted
    assert len(guard._known_headers) == 256


def test_the_clock_is_read_once() -> None:
    readings: list[float] = []

    def counting() -> float:
        readings.append(ISSUER.clock())
        return readings[-1]

    guard = Guard(issuers=[ISSUER.trusted], keys=FixedKeys({NAME: KEYS}), clock=counting)
    guard.check_blocking(honest())
    guard.check_blocking(ISSUER.request())
    assert len(readings) == 2


def test_the_frozen_clock_moves_only_when_told() -> None:
    clock = FrozenClock(5.0)
    clock.advance(2)
    assert clock() == 7
