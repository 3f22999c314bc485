"""DPOP, RPL and MTLS through the guard: bound tokens in the right hands, and each proof once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, Final

import pytest

from certificates import digest_of
from portvakt import Code, ConfigurationError, Decision, Guard, HttpRequest, Requirement
from portvakt.forge.proof_faults import PROOF_FAULTS
from portvakt.guard.parts import Parts
from portvakt.guard.possession import Possession
from portvakt.http.origin import Origin
from portvakt.oauth.dpop import DpopRules
from portvakt.stores.base import Replay, StoreError, Use
from portvakt.stores.memory import MemoryStore
from portvakt.testing import FakeClient, FakeIssuer

ORIGIN: Final = "https://api.test"
ISSUER: Final = FakeIssuer()
CLIENT: Final = FakeClient(ISSUER, origin=ORIGIN)
CERTIFICATE: Final = b"0\x03\x02\x01\x01"
POLICY: Final[dict[str, Any]] = {
    "api": {"audience": "test-api", "origin": ORIGIN},
    "store": {"url": "memory://"},
    "route": [
        {"path": "/bound", "sender_constraint": "dpop"},
        {"path": "/written", "sender_constraint": "dpop", "scopes": ["write"]},
        {"path": "/high", "sender_constraint": "dpop", "sensitivity": "high"},
        {"path": "/open"},
        {"path": "/certified", "sender_constraint": "mtls"},
    ],
}


def guard_of(**tables: Any) -> Guard:
    return ISSUER.guard(**{**POLICY, **tables})


GUARD: Final = guard_of()
TOKEN: Final = CLIENT.token()


def verdict(request: HttpRequest, guard: Guard = GUARD) -> Code | None:
    decision = guard.check_blocking(request)
    return None if decision.refusal is None else decision.refusal.code


def challenge(decision: Decision) -> str:
    assert decision.response is not None
    return dict(decision.response.headers)["WWW-Authenticate"]


@pytest.mark.parametrize(
    "fault",
    [pytest.param(one, marks=pytest.mark.attack(one.attack), id=one.id) for one in PROOF_FAULTS],
)
def test_a_proof_that_is_wrong_in_one_thing_is_refused(fault: Any) -> None:
    proof = CLIENT.proof(TOKEN, url="/bound")
    if not fault.applies(proof):
        pytest.skip("no fault where no nonce is asked for")
    assert verdict(CLIENT.forged(fault.id, TOKEN, url="/bound")) is fault.code


@pytest.mark.twin(*(f"DPOP-{number:02}" for number in range(1, 23)), "RPL-01", "RPL-04")
@pytest.mark.parametrize("path", ["/bound", "/high"])
def test_an_honest_proof_opens_its_route(path: str) -> None:
    for _ in range(3):  # At first sight, and as a token that is remembered.
        assert verdict(CLIENT.request(TOKEN, url=path)) is None


@pytest.mark.attack("DPOP-14")
@pytest.mark.parametrize("path", ["/open", "/bound", "/high"])
def test_a_bound_token_is_no_bearer_token(path: str) -> None:
    stolen = ISSUER.request(TOKEN, url=path)
    expected = Code.CONFIRMATION_UNMET if path == "/open" else Code.SCHEME_REFUSED
    assert verdict(stolen) is expected
    with_proof = CLIENT.proof(TOKEN, url=path).build()
    assert verdict(ISSUER.request(TOKEN, url=path, headers=[("DPoP", with_proof)])) is expected


@pytest.mark.attack("DPOP-15")
def test_an_unbound_token_is_not_bound_by_a_proof() -> None:
    assert verdict(CLIENT.request(ISSUER.token(), url="/bound")) is Code.BINDING_REQUIRED


def test_a_route_takes_one_scheme_and_says_which() -> None:
    wrong = GUARD.check_blocking(CLIENT.request(TOKEN, url="/open"))
    assert challenge(wrong).startswith('Bearer realm="test-api", error="invalid_token"')
    missing = GUARD.check_blocking(HttpRequest(method="GET", url="/bound"))
    assert challenge(missing).startswith('DPoP realm="test-api", algs="')
    assert "ES256" in challenge(missing)


def test_what_else_a_proof_says_is_kept_and_can_be_read() -> None:
    proof = CLIENT.proof(TOKEN, url="/bound").claims(purpose="treatment", more={"a": [1]})
    request = CLIENT.request(TOKEN, url="/bound", proof=proof.build())
    said = GUARD.check_blocking(request).proof
    assert said is not None
    assert (said["purpose"], said["more"]["a"]) == ("treatment", (1,))
    assert "treatment" not in repr(said)
    assert GUARD.check_blocking(ISSUER.request(ISSUER.token(), url="/open")).proof is None


@pytest.mark.attack("CACHE-05")
def test_a_token_that_is_remembered_still_needs_its_proof() -> None:
    guard = guard_of()
    assert verdict(CLIENT.request(TOKEN, url="/bound"), guard) is None
    thief = FakeClient(ISSUER, origin=ORIGIN)
    assert verdict(thief.request(TOKEN, url="/bound"), guard) is Code.PROOF_BINDING
    assert verdict(CLIENT.forged("missing", TOKEN, url="/bound"), guard) is Code.PROOF_MISSING
    assert verdict(ISSUER.request(TOKEN, url="/open"), guard) is Code.CONFIRMATION_UNMET


@pytest.mark.twin("CACHE-05")
def test_a_token_that_is_remembered_needs_no_more_than_that() -> None:
    guard = guard_of()
    for _ in range(2):
        assert verdict(CLIENT.request(TOKEN, url="/bound"), guard) is None


@pytest.mark.attack("DPOP-16", "RPL-01")
def test_a_proof_serves_once() -> None:
    request = CLIENT.request(TOKEN, url="/bound")
    assert verdict(request) is None
    assert verdict(request) is Code.PROOF_REPLAYED
    # Signed anew, the same jti is the same use.
    proof = CLIENT.proof(TOKEN, url="/bound").claims(jti="again")
    assert verdict(CLIENT.request(TOKEN, url="/bound", proof=proof.build())) is None
    other = proof.claims(iat=ISSUER.clock() - 1).build()
    assert verdict(CLIENT.request(TOKEN, url="/bound", proof=other)) is Code.PROOF_REPLAYED


@pytest.mark.attack("DPOP-16", "RPL-04")
def test_of_many_at_the_same_time_one_is_admitted() -> None:
    guard, threads = guard_of(), 16
    for _ in range(20):
        request, start = CLIENT.request(TOKEN, url="/bound"), Barrier(threads)

        def send(request: HttpRequest = request, start: Barrier = start) -> Code | None:
            start.wait()
            return verdict(request, guard)

        with ThreadPoolExecutor(threads) as pool:
            found = [one.result() for one in [pool.submit(send) for _ in range(threads)]]
        assert found.count(None) == 1
        assert found.count(Code.PROOF_REPLAYED) == threads - 1


@pytest.mark.attack("DPOP-17")
def test_no_refusal_uses_a_proof_up() -> None:
    # The victim's own request, refused for what it lacks.
    proof = CLIENT.proof(TOKEN, url="/written").claims(jti="mine")
    sent = CLIENT.request(TOKEN, url="/written", proof=proof.build())
    assert verdict(sent) is Code.SCOPE_INSUFFICIENT
    writer = CLIENT.token(scopes=["write"])
    again = CLIENT.proof(writer, url="/written").claims(jti="mine").build()
    assert verdict(CLIENT.request(writer, url="/written", proof=again)) is None
    # A thief who knows the jti, and cannot sign.
    jti = CLIENT.proof(TOKEN, url="/bound").claims(jti="known")
    thief = FakeClient(ISSUER, origin=ORIGIN)
    burnt = thief.proof(TOKEN, url="/bound").claims(jti="known").build()
    assert verdict(CLIENT.request(TOKEN, url="/bound", proof=burnt)) is Code.PROOF_BINDING
    for change in ({"ath": "x"}, {"htm": "PUT"}, {"iat": 1}):
        wrong = CLIENT.request(TOKEN, url="/bound", proof=jti.claims(**change).build())
        assert verdict(wrong) is not None
    assert verdict(CLIENT.request(TOKEN, url="/bound", proof=jti.build())) is None


@pytest.mark.attack("RPL-03")
@pytest.mark.parametrize("ahead", [-30, 0, 5])
def test_a_proof_is_remembered_until_no_guard_would_take_it(ahead: float) -> None:
    issuer = FakeIssuer()
    client, guard = FakeClient(issuer), issuer.guard(**POLICY)
    token = client.token()
    made = client.proof(token, url="/bound").claims(iat=issuer.clock() + ahead).build()
    request = client.request(token, url="/bound", proof=made)
    assert verdict(request, guard) is None
    for _ in range(40):
        assert verdict(request, guard) in {Code.PROOF_REPLAYED, Code.PROOF_TIME}
        issuer.clock.advance(1)
    assert verdict(request, guard) is Code.PROOF_TIME


@pytest.mark.twin("RPL-03")
def test_a_new_proof_is_no_replay_of_an_old_one() -> None:
    issuer = FakeIssuer()
    client, guard = FakeClient(issuer), issuer.guard(**POLICY)
    token = client.token()
    for _ in range(5):
        made = client.proof(token, url="/bound").claims(jti="always the same").build()
        assert verdict(client.request(token, url="/bound", proof=made), guard) is None
        issuer.clock.advance(60)


@pytest.mark.attack("RPL-05")
def test_what_one_client_uses_another_may_use_too() -> None:
    other = FakeClient(ISSUER, origin=ORIGIN)
    theirs = other.token()
    for client, token in ((CLIENT, TOKEN), (other, theirs)):
        made = client.proof(token, url="/bound").claims(jti="shared").build()
        assert verdict(client.request(token, url="/bound", proof=made)) is None
        assert verdict(client.request(token, url="/bound", proof=made)) is Code.PROOF_REPLAYED


@pytest.mark.twin("RPL-05", "RPL-02", "RPL-06", "DOS-10")
def test_who_is_not_meant_is_served() -> None:
    assert verdict(CLIENT.request(TOKEN, url="/bound")) is None


def guard_with(replay: Replay, issuer: FakeIssuer = ISSUER) -> Guard:
    rules = DpopRules(origins=(Origin.parse(ORIGIN),))
    guard = issuer.guard()
    return Guard(
        issuers=guard.issuers.values(),
        keys=guard.keys,
        parts=Parts(possession=Possession(rules, replay)),
        clock=issuer.clock,
    )


BOUND: Final = Requirement.of(sender_constraint="dpop")


@pytest.mark.attack("RPL-02", "DOS-10")
def test_a_full_store_refuses_and_forgets_nothing() -> None:
    issuer = FakeIssuer()
    store = MemoryStore(capacity=40, per_owner=20, clock=issuer.clock)
    issuer.clock.advance(60)
    guard = guard_with(store, issuer)
    flooding, honest = FakeClient(issuer), FakeClient(issuer)
    token, theirs = flooding.token(), honest.token()

    def sent(client: FakeClient, request: HttpRequest | None = None) -> Code | None:
        made = request or client.request(token if client is flooding else theirs)
        decision = guard.check_blocking(made, BOUND)
        return None if decision.refusal is None else decision.refusal.code

    first = flooding.request(token)
    assert sent(flooding, first) is None
    found = [sent(flooding) for _ in range(60)]
    assert found.count(None) == 19
    assert found.count(Code.REPLAY_UNAVAILABLE) == 41
    # Its bound is its own: others are served, and what was used stays used.
    assert [sent(honest) for _ in range(20)] == [None] * 20
    assert sent(flooding, first) in {Code.PROOF_REPLAYED, Code.REPLAY_UNAVAILABLE}
    # When the first have expired there is room again.
    issuer.clock.advance(60)
    assert sent(flooding) is None


class Broken(Replay):
    """A store that fails as a test says."""

    def __init__(self, error: Exception, *, at_once: bool) -> None:
        self._error, self._at_once = error, at_once

    def use_at_once(self, use: Use, /) -> bool | None:
        if self._at_once:
            raise self._error
        return None

    async def use(self, use: Use, /) -> bool:
        raise self._error


@pytest.mark.attack("RPL-06")
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreError("down", retry_after=7), Code.REPLAY_UNAVAILABLE),
        (RuntimeError("kanari"), Code.INTERNAL_ERROR),
    ],
)
def test_without_the_store_nobody_is_admitted(error: Exception, code: Code, at_once: bool) -> None:
    guard = guard_with(Broken(error, at_once=at_once))
    decision = guard.check_blocking(CLIENT.request(TOKEN), BOUND)
    guard.home.leave()
    assert decision.refusal is not None
    assert decision.refusal.code is code
    assert decision.response is not None
    assert decision.response.status == 503
    if code is Code.REPLAY_UNAVAILABLE:
        assert dict(decision.response.headers)["Retry-After"] == "7"


class Vague(Replay):
    """A store that answers with something else than True and False."""

    def use_at_once(self, use: Use, /) -> bool | None:
        return 1  # type: ignore[return-value]

    async def use(self, use: Use, /) -> bool:
        raise AssertionError


def test_an_answer_that_is_not_exactly_true_admits_nobody() -> None:
    guard = guard_with(Vague())
    decision = guard.check_blocking(CLIENT.request(TOKEN), BOUND)
    assert decision.refusal is not None
    assert decision.refusal.code is Code.PROOF_REPLAYED


def certified(certificate: bytes | None = CERTIFICATE, **cnf: Any) -> HttpRequest:
    bound = {"x5t#S256": digest_of(CERTIFICATE), **cnf}
    confirmation = {name: value for name, value in bound.items() if value is not None}
    token = ISSUER.token(claims={"cnf": confirmation})
    return HttpRequest(
        method="GET",
        url="/certified",
        headers=(("Authorization", f"Bearer {token}"),),
        client_certificate=certificate,
    )


@pytest.mark.twin("MTLS-01", "MTLS-02", "MTLS-04", "TYP-10")
def test_the_holder_of_the_certificate_is_admitted() -> None:
    assert verdict(certified()) is None
    assert verdict(certified(unheard="of")) is None  # RFC 7800 section 3.1


@pytest.mark.attack("MTLS-01", "MTLS-02")
def test_another_certificate_or_none_is_refused() -> None:
    assert verdict(certified(CERTIFICATE[:-1] + b"\2")) is Code.CERTIFICATE_WRONG
    assert verdict(certified(None)) is Code.CERTIFICATE_MISSING
    assert verdict(certified(b"")) is Code.CERTIFICATE_MISSING


@pytest.mark.attack("MTLS-04", "TYP-10")
@pytest.mark.parametrize(
    ("cnf", "code"),
    [
        ({}, Code.CONFIRMATION_UNMET),
        ({"kid": "a"}, Code.CONFIRMATION_UNMET),
        ({"jwk": {}}, Code.CONFIRMATION_UNMET),
        ({"jkt": CLIENT.thumbprint}, Code.CONFIRMATION_UNMET),
        ({"x5t#S256": 1}, Code.CLAIM_MALFORMED),
        ({"x5t#S256": ""}, Code.CLAIM_MALFORMED),
        ({"x5t": digest_of(CERTIFICATE)}, Code.CONFIRMATION_UNMET),
        ({"jkt": CLIENT.thumbprint, "x5t#S256": digest_of(CERTIFICATE)}, Code.CONFIRMATION_UNMET),
    ],
)
def test_a_binding_that_is_not_just_a_certificate_is_refused(cnf: Any, code: Code) -> None:
    token = ISSUER.token(claims={"cnf": cnf})
    request = HttpRequest(
        method="GET",
        url="/certified",
        headers=(("Authorization", f"Bearer {token}"),),
        client_certificate=CERTIFICATE,
    )
    assert verdict(request) is code
    # Nor is it taken for an unbound token anywhere.
    open_ = HttpRequest(method="GET", url="/open", headers=request.headers)
    assert verdict(open_) is Code.CONFIRMATION_UNMET


@pytest.mark.attack("MTLS-04")
def test_a_token_that_is_bound_twice_needs_both_proofs() -> None:
    cnf = {"jkt": CLIENT.thumbprint, "x5t#S256": digest_of(CERTIFICATE)}
    token = CLIENT.token(claims={"cnf": cnf})

    def sent(certificate: bytes | None) -> Code | None:
        proven = CLIENT.request(token, url="/bound")
        request = HttpRequest(
            method="GET", url="/bound", headers=proven.headers, client_certificate=certificate
        )
        return verdict(request)

    assert sent(None) is Code.CERTIFICATE_MISSING
    assert sent(b"0\0") is Code.CERTIFICATE_WRONG
    assert sent(CERTIFICATE) is None


def test_an_unbound_token_opens_no_route_that_takes_bound_ones() -> None:
    assert verdict(ISSUER.request(ISSUER.token(), url="/certified")) is Code.BINDING_REQUIRED


def test_demands_that_contradict_each_other_are_the_developers_mistake() -> None:
    mtls = Requirement.of(sender_constraint="mtls")
    with pytest.raises(ConfigurationError, match="dpop in one demand"):
        GUARD.check_blocking(CLIENT.request(TOKEN, url="/bound"), mtls)
    with pytest.raises(ConfigurationError, match="nothing to check them"):
        ISSUER.guard().check_blocking(CLIENT.request(TOKEN), BOUND)
