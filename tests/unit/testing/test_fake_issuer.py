"""An issuer that exists in a test only: what it signs is believed, what it forges is not."""

import time

import pytest

from portvakt import Code, Guard, HttpRequest
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.testing import FakeIssuer, FrozenClock


def refused(guard: Guard, request: HttpRequest) -> Code | None:
    refusal = guard.check_blocking(request).refusal
    return None if refusal is None else refusal.code


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_its_honest_token_is_admitted_and_its_forged_one_is_not(alg: str) -> None:
    issuer = FakeIssuer("https://other.test", audience="urn:api", alg=alg)
    guard = issuer.guard()
    decision = guard.check_blocking(issuer.request(issuer.token(scopes=["a", "b"])))
    assert decision.token is not None
    assert decision.token.issuer == "https://other.test"
    assert decision.token.scopes == {"a", "b"}
    assert refused(guard, issuer.request(issuer.forged("expired"))) is Code.TOKEN_EXPIRED


def test_two_issuers_of_one_name_do_not_share_keys(issuer: FakeIssuer) -> None:
    forger = FakeIssuer()
    guard = issuer.guard()
    assert refused(guard, issuer.request(forger.token())) is Code.SIGNATURE_INVALID


def test_a_token_has_any_change_you_like(issuer: FakeIssuer) -> None:
    guard = issuer.guard()
    changed = issuer.token(claims={"sub": "me", "a:b": [1]}, header={"x": 1}, without=["nbf"])
    token = guard.check_blocking(issuer.request(changed)).token
    assert token is not None
    assert (token.subject, token.claims["a:b"], token.not_before) == ("me", (1,), None)
    untyped = issuer.token(without_header=["typ"])
    assert refused(guard, issuer.request(untyped)) is Code.TYPE_REFUSED


def test_a_guard_goes_by_the_clock_of_the_issuer(issuer: FakeIssuer) -> None:
    guard, token = issuer.guard(), issuer.token()
    assert refused(guard, issuer.request(token)) is None
    issuer.clock.advance(305)
    assert refused(guard, issuer.request(token)) is Code.TOKEN_EXPIRED
    assert refused(guard, issuer.request(issuer.token())) is None


def test_another_clock_may_be_given() -> None:
    clock = FrozenClock(5_000.0)
    issuer = FakeIssuer(clock=clock)
    assert issuer.clock is clock
    assert issuer.guard().check_blocking(issuer.request(issuer.token())).at == 5_000.0
    assert abs(FakeIssuer(clock=time.time).builder().now - time.time()) < 60


def test_overrides_take_the_place_of_whole_tables(issuer: FakeIssuer) -> None:
    rules = [{"path": "/open", "public": True}, {"path": "/closed", "scopes": ["read"]}]
    guard = issuer.guard(route=rules)
    assert refused(guard, issuer.request(url="/open")) is None
    assert refused(guard, issuer.request(url="/closed")) is Code.CREDENTIAL_MISSING
    reader = issuer.request(issuer.token(scopes=["read"]), url="/closed")
    assert refused(guard, reader) is None
    assert issuer.config(api={"audience": "x"})["api"] == {"audience": "x"}


def test_its_key_set_holds_two_public_keys(issuer: FakeIssuer) -> None:
    keys = issuer.jwks()["keys"]
    assert [key["kid"] for key in keys] == ["key-1", "key-2"]
    assert not any("d" in key for key in keys)


def test_a_request_is_as_a_client_would_send_it(issuer: FakeIssuer) -> None:
    request = issuer.request("abc", "POST", "/x?y", [("X-A", "b")])
    assert (request.method, request.url) == ("POST", "/x?y")
    assert request.headers == (("Authorization", "Bearer abc"), ("X-A", "b"))
    assert issuer.request().headers == ()


def test_a_misspelled_fault_is_an_error_that_names_the_right_one(issuer: FakeIssuer) -> None:
    with pytest.raises(ValueError, match=r"'expird'; did you mean 'expired'"):
        issuer.forged("expird")
    with pytest.raises(ValueError, match=r"'qqqqqq'$"):
        issuer.forged("qqqqqq")


def test_a_fault_that_is_none_here_is_an_error() -> None:
    with pytest.raises(ValueError, match="none against this issuer"):
        FakeIssuer(alg="EdDSA").forged("signature-der")


def test_a_forged_token_carries_scopes_so_that_nothing_else_is_wrong(issuer: FakeIssuer) -> None:
    guard = issuer.guard(api={"audience": "test-api", "scopes": ["read"]})
    forged = issuer.forged("cnf", scopes=["read"])
    assert refused(guard, issuer.request(forged)) is Code.CONFIRMATION_UNMET


def test_its_repr_shows_no_key(issuer: FakeIssuer) -> None:
    assert repr(issuer) == "FakeIssuer('https://issuer.test', alg=ES256)"
