"""Family API: ways in which the users of a validator have let someone in by mistake."""

import asyncio
import copy
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec
import pytest

import portvakt
from portvakt import (
    Code,
    ConfigurationError,
    Decision,
    Guard,
    HttpRequest,
    JwkSet,
    Refused,
    Requirement,
    TrustedIssuer,
    Unavailable,
)
from portvakt.forge.faults import FAULTS, Fault, Forgery
from portvakt.jose.header import Header
from portvakt.jose.jws import VerifiedJws
from portvakt.net.keys import KeySource
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
GUARD: Final = ISSUER.guard()
OTHER: Final = FakeIssuer()


def judge(token: str | None, guard: Guard = GUARD, url: str = "/") -> Decision:
    return guard.check_blocking(ISSUER.request(token, url=url))


def code_of(decision: Decision) -> Code | None:
    """Return why it was refused, once nothing about it could be taken for an admission."""
    if decision.refusal is None:
        assert decision.admitted
        assert decision.response is None
        return None
    assert not decision.admitted
    assert decision.token is None
    assert decision.response is not None
    assert decision.response.status == decision.refusal.code.status
    assert decision.response.status >= 400
    return decision.refusal.code


def applicable() -> list[Fault]:
    token = ISSUER.builder()
    forgery = Forgery.against(token, several_keys=True)
    return [fault for fault in FAULTS if fault.applies(token, forgery)]


@pytest.mark.attack("API-01")
def test_no_public_name_reads_claims_without_verifying() -> None:
    telling = ("decode", "parse", "unverified", "peek", "claims_of", "insecure")
    assert not [name for name in portvakt.__all__ if any(word in name.lower() for word in telling)]
    assert not [name for name in dir(Guard) if any(word in name.lower() for word in telling)]


@pytest.mark.attack("API-01", "API-03")
def test_a_verified_token_cannot_be_made_by_hand() -> None:
    members = {
        "header": {"alg": "ES256", "kid": None, "typ": "at+jwt"},
        "payload": "e30",
        "key_thumbprint": "x",
    }
    with pytest.raises(TypeError, match=r"jose\.jws\.verify"):
        VerifiedJws(Header("ES256", None, "at+jwt"), b"{}", "x")
    with pytest.raises((TypeError, msgspec.ValidationError)):
        msgspec.convert(members, VerifiedJws)
    with pytest.raises((TypeError, msgspec.ValidationError)):
        msgspec.json.decode(msgspec.json.encode(members), type=VerifiedJws)


@pytest.mark.attack("API-01")
def test_a_forged_token_yields_no_claims_anywhere() -> None:
    forged = ISSUER.builder().claims(sub="admin").signed_by(OTHER.signer).build()
    decision = judge(forged)
    assert code_of(decision) is Code.SIGNATURE_INVALID
    assert decision.refusal is not None
    assert "admin" not in repr(decision)


@pytest.mark.attack("API-02")
@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1}, {"exp": None}, {"aud": "other"}, {"nbf": 9999999999}, {"iat": None},
        {"sub": 1}, {"scope": 1}, {"cnf": {}}, {"exp": 1, "aud": None, "jti": []},
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_signature_is_the_only_thing_that_is_said(claims: dict[str, Any]) -> None:
    wrong = ISSUER.builder().claims(**claims)
    assert code_of(judge(wrong.build())) not in {None, Code.SIGNATURE_INVALID}
    for forged in (wrong.signed_by(OTHER.signer), wrong.signature(b"\1" * 64)):
        assert code_of(judge(forged.build())) is Code.SIGNATURE_INVALID


@pytest.mark.attack("API-03", "KEY-01")
def test_without_a_key_nothing_is_admitted() -> None:
    class NoKeys(KeySource):
        def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
            return JwkSet.from_object({"keys": []}, issuer.algorithms)

        async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
            raise AssertionError

    guard = Guard(issuers=[ISSUER.trusted], keys=NoKeys(), clock=ISSUER.clock)
    honest = ISSUER.builder()
    for draft in (honest, honest.without_header("kid"), honest.signature(b"\0" * 64)):
        assert code_of(judge(draft.build(), guard)) is Code.KEY_UNKNOWN
    header, payload, signature = honest.build().split(".")
    for text in (
        f'{{"payload":"{payload}","protected":"{header}","signature":"{signature}"}}',
        f'{{"payload":"{payload}","signatures":[]}}',
        f"{header}.{payload}",
        f"{header}.{payload}.",
    ):
        assert not judge(text, guard).admitted
        assert not judge(text).admitted


@pytest.mark.twin("API-01", "API-02", "API-03", "KEY-01")
def test_a_verified_token_hands_out_its_claims() -> None:
    decision = judge(ISSUER.token(claims={"sub": "alice", "role": "nurse"}))
    assert decision.token is not None
    assert decision.token.subject == "alice"
    assert decision.token.claims["role"] == "nurse"


@pytest.mark.attack("API-04")
def test_a_policy_that_says_nothing_more_is_strict() -> None:
    minimal = {
        "api": {"audience": "test-api"},
        "issuer": [
            {"issuer": ISSUER.trusted.issuer, "jwks": ISSUER.jwks(), "algorithms": ["ES256"]}
        ],
    }
    guard = Guard.from_config(minimal, clock=ISSUER.clock)
    assert judge(ISSUER.token(), guard).admitted
    token = ISSUER.builder()
    forgery = Forgery.against(token, several_keys=True)
    for fault in applicable():
        assert code_of(judge(fault.apply(token, forgery), guard)) is fault.code, fault.id
    assert code_of(judge(None, guard)) is Code.CREDENTIAL_MISSING
    assert code_of(judge(None, guard, "/healthz")) is Code.CREDENTIAL_MISSING


@pytest.mark.attack("API-04", "API-05")
@pytest.mark.parametrize(
    "name",
    [
        "verify", "verify_exp", "verify_signature", "require_exp", "skip", "insecure", "strict",
        "options", "validate", "allow_none", "unsafe_skip_signature",
    ],
)  # fmt: skip
def test_there_is_no_setting_that_switches_a_check_off(name: str) -> None:
    values: tuple[object, ...] = (False, True, 0, "false", None, [])
    for value in values:
        config = ISSUER.config()
        config["issuer"][0][name] = value
        with pytest.raises(ConfigurationError, match=name):
            Guard.from_config(config)
        with pytest.raises(ConfigurationError, match=name):
            Guard.from_config(ISSUER.config(api={"audience": "test-api", name: value}))


@pytest.mark.twin("API-04")
def test_loosening_is_done_by_naming_what_is_allowed() -> None:
    config = ISSUER.config()
    config["issuer"][0].update(typ=["at+jwt", "JWT"], required_claims=[], other_audiences=["b"])
    guard = Guard.from_config(config, clock=ISSUER.clock)
    loose = ISSUER.builder().header(typ="JWT").without("jti").claims(aud=["test-api", "b"]).build()
    assert judge(loose, guard).admitted
    assert not judge(loose).admitted


@pytest.mark.attack("API-05")
@pytest.mark.parametrize(
    ("table", "wrong", "right"),
    [
        ("", "apis", "api"),
        ("", "issuers", "issuer"),
        ("", "routes", "route"),
        ("", "Api", "api"),
        ("api", "audiance", "audience"),
        ("api", "scope", "scopes"),
        ("issuer", "algorithm", "algorithms"),
        ("issuer", "leway", "leeway"),
        ("issuer", "max_life_time", "max_lifetime"),
        ("issuer", "types", "typ"),
        ("issuer", "require_claims", "required_claims"),
        ("issuer", "Leeway", "leeway"),
        ("issuer", "jwk", "jwks"),
        ("route", "pubic", "public"),
        ("route", "method", "methods"),
        ("route", "scope", "scopes"),
    ],
)
def test_a_misspelt_setting_is_an_error_that_names_the_right_one(
    table: str, wrong: str, right: str
) -> None:
    config = ISSUER.config(route=[{"path": "/"}])
    place = config if not table else config[table]
    (place[0] if isinstance(place, list) else place)[wrong] = []
    with pytest.raises(ConfigurationError) as caught:
        Guard.from_config(config)
    assert wrong in str(caught.value)
    assert f"did you mean {right}" in str(caught.value)


@pytest.mark.attack("API-05")
def test_every_misspelling_is_reported_at_once() -> None:
    config = ISSUER.config(route=[{"path": "/", "pubic": True}], rute=[])
    config["api"]["audiance"] = "x"
    config["issuer"][0]["leway"] = "5s"
    with pytest.raises(ConfigurationError) as caught:
        Guard.from_config(config)
    told = {problem.place for problem in caught.value.problems}
    assert told >= {"rute", "api.audiance", "issuer[0].leway", "route[0].pubic"}


@pytest.mark.twin("API-05")
def test_every_setting_rightly_spelt_is_accepted() -> None:
    config = ISSUER.config(
        api={"audience": "test-api", "scopes": ["read"]},
        route=[
            {"path": "/", "methods": ["GET"], "scopes": ["list"]},
            {"path": "/h", "public": True},
        ],
    )
    config["issuer"][0].update(leeway="1s", max_lifetime="10m", max_age_ahead="0s")
    guard = Guard.from_config(config, clock=ISSUER.clock)
    assert judge(ISSUER.token(scopes=["read", "list"]), guard).admitted
    assert code_of(judge(ISSUER.token(scopes=["read"]), guard)) is Code.SCOPE_INSUFFICIENT
    assert code_of(judge(ISSUER.token(scopes=["list"]), guard)) is Code.SCOPE_INSUFFICIENT


@pytest.mark.attack("API-06")
def test_observers_see_no_claim_of_a_token_that_is_refused() -> None:
    seen: list[Decision] = []
    guard = Guard.from_config(
        ISSUER.config(), clock=ISSUER.clock, observers=[lambda _, decision: seen.append(decision)]
    )
    assert seen == []  # the guard's test of itself is not their business
    token = ISSUER.builder()
    forgery = Forgery.against(token, several_keys=True)
    for fault in applicable():
        decision = judge(fault.apply(token, forgery), guard)
        assert seen[-1] is decision
        assert seen[-1].token is None
    assert len(seen) == len(applicable())


@pytest.mark.attack("API-06")
def test_a_source_of_keys_learns_nothing_from_a_token() -> None:
    asked: list[object] = []

    class Source(KeySource):
        def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
            asked.append(issuer)
            return JwkSet.from_object(ISSUER.jwks(), issuer.algorithms)

        async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
            raise AssertionError

    guard = Guard(issuers=[ISSUER.trusted], keys=Source(), clock=ISSUER.clock)
    honest = ISSUER.builder()
    for draft in (
        honest.claims(iss="https://evil.test"),
        honest.header(alg="none"),
        honest.header(typ="JWT"),
        honest.header(jku="https://evil.test/keys"),
        honest.header(crit=["x"]),
        honest.header(kid="../../etc/passwd" * 100),
    ):
        assert not judge(draft.build(), guard).admitted
    assert asked == []
    assert not judge(honest.header(kid="' OR 1=1 --").build(), guard).admitted
    assert judge(honest.build(), guard).admitted
    assert all(it is ISSUER.trusted for it in asked)


def admit(_: HttpRequest, decision: Decision) -> None:
    """Try, as an observer, to change a verdict."""
    decision.refusal = None  # type: ignore[misc]  # frozen, so this raises


@pytest.mark.attack("API-06")
def test_an_observer_that_fails_changes_no_verdict() -> None:
    guard = Guard.from_config(ISSUER.config(), clock=ISSUER.clock, observers=[admit])
    assert code_of(judge(ISSUER.forged("expired"), guard)) is Code.TOKEN_EXPIRED
    assert judge(ISSUER.token(), guard).admitted


@pytest.mark.twin("API-06")
def test_observers_are_told_of_every_decision_once() -> None:
    seen: list[tuple[HttpRequest, Decision]] = []
    guard = Guard.from_config(
        ISSUER.config(), clock=ISSUER.clock, observers=[lambda *told: seen.append(told)]
    )
    request = ISSUER.request(ISSUER.token())
    decisions = [guard.check_blocking(request), guard.check_blocking(request)]
    assert seen == [(request, decision) for decision in decisions]


@pytest.mark.attack("API-08")
def test_no_refusal_leaves_anything_behind() -> None:
    guard = ISSUER.guard()
    token = ISSUER.builder()
    forgery = Forgery.against(token, several_keys=True)
    remembered = ISSUER.token()
    for fault in applicable():
        hostile = fault.apply(token, forgery)
        for _ in range(2):
            assert judge(remembered, guard).admitted
            assert judge(ISSUER.token(), guard).admitted
            assert code_of(judge(hostile, guard)) is fault.code, fault.id


@pytest.mark.twin("API-08")
def test_a_valid_token_is_admitted_after_thousands_of_invalid_ones() -> None:
    guard = ISSUER.guard()
    for index in range(2000):
        assert not judge(f"{index}.a.b", guard).admitted
    assert judge(ISSUER.token(), guard).admitted


@pytest.mark.attack("API-09")
@pytest.mark.parametrize(
    "header",
    [
        ("Cookie", "session=valid"), ("X-API-Key", "valid"), ("X-User", "admin"),
        ("Proxy-Authorization", "Basic eDp5"), ("X-Forwarded-For", "127.0.0.1"),
    ],
)  # fmt: skip
def test_nothing_stands_in_for_a_token_that_is_refused(header: tuple[str, str]) -> None:
    guard = ISSUER.guard(route=[{"path": "/"}, {"path": "/public", "public": True}])
    for token, code in (
        (None, Code.CREDENTIAL_MISSING),
        ("", Code.CREDENTIAL_MALFORMED),
        ("anonymous", Code.TOKEN_PARTS),
        (ISSUER.forged("expired"), Code.TOKEN_EXPIRED),
    ):
        request = ISSUER.request(token, headers=[header])
        assert code_of(guard.check_blocking(request)) is code
        # A demand of the application turns a public route into one that needs a token.
        request = ISSUER.request(token, url="/public", headers=[header])
        assert code_of(guard.check_blocking(request, Requirement.of())) is code


@pytest.mark.twin("API-09")
def test_a_public_route_is_public_and_hands_out_no_token() -> None:
    guard = ISSUER.guard(route=[{"path": "/public", "public": True}])
    for token in (None, ISSUER.token(), ISSUER.forged("expired")):
        decision = judge(token, guard, "/public")
        assert decision.admitted
        assert decision.token is None


def interleaved() -> tuple[Guard, list[tuple[HttpRequest, str | Code]]]:
    """Return a guard of two issuers with requests of both, honest and hostile, and what must come."""
    one, two = FakeIssuer("https://one.test"), FakeIssuer("https://two.test", alg="Ed25519")
    config = one.config()
    config["issuer"] += two.config()["issuer"]
    config["issuer"][1]["audience"] = "second-api"
    cases: list[tuple[HttpRequest, str | Code]] = []
    for index in range(15):
        name = str(index)
        aud = {"aud": "second-api", "sub": f"two-{name}"}
        cases += [
            (one.request(one.token(claims={"sub": f"one-{name}"})), f"one-{name}"),
            (two.request(two.token(claims=aud)), f"two-{name}"),
            (one.request(one.token(claims={"aud": "second-api"})), Code.AUDIENCE_WRONG),
            (one.request(one.builder().claims(iss="https://two.test").build()), Code.ALGORITHM_REFUSED),
            (two.request(two.builder().claims(**aud).signature(b"\1" * 64).build()), Code.SIGNATURE_INVALID),
            (one.request(one.token(claims={"exp": 1, "jti": name})), Code.TOKEN_EXPIRED),
            (one.request("x" * index), Code.TOKEN_PARTS if index else Code.CREDENTIAL_MALFORMED),
        ]  # fmt: skip
    return Guard.from_config(config, clock=one.clock), cases


def wrong_verdicts(
    decisions: list[Decision], cases: list[tuple[HttpRequest, str | Code]]
) -> list[object]:
    outcomes = [
        decision.token.subject if decision.token is not None else code_of(decision)
        for decision in decisions
    ]
    wanted = [verdict for _, verdict in cases]
    return [pair for pair in zip(outcomes, wanted, strict=True) if pair[0] != pair[1]]


@pytest.mark.attack("API-10")
@pytest.mark.twin("API-10")
def test_threads_that_share_a_guard_get_each_its_own_verdict() -> None:
    guard, cases = interleaved()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            for _ in range(6):
                decisions = list(pool.map(lambda case: guard.check_blocking(case[0]), cases))
                assert wrong_verdicts(decisions, cases) == []
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.attack("API-10")
@pytest.mark.twin("API-10")
def test_tasks_that_share_a_guard_get_each_its_own_verdict() -> None:
    guard, cases = interleaved()

    async def run() -> list[Decision]:
        return await asyncio.gather(*(guard.check(request) for request, _ in cases))

    for _ in range(3):
        assert wrong_verdicts(asyncio.run(run()), cases) == []


class Fetching(KeySource):
    """A source that must be waited for, and gives each issuer its own keys."""

    def __init__(self, *issuers: FakeIssuer) -> None:
        self._sets = {
            one.trusted.issuer: JwkSet.from_object(one.jwks(), one.trusted.algorithms)
            for one in issuers
        }

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet | None:
        return None

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        await asyncio.sleep(0)
        return self._sets[issuer.issuer]


@pytest.mark.attack("API-10")
def test_waiting_for_keys_mixes_no_requests_up() -> None:
    one, two = FakeIssuer("https://one.test"), FakeIssuer("https://two.test")
    guard = Guard(issuers=[one.trusted, two.trusted], keys=Fetching(one, two), clock=one.clock)
    stolen = one.builder().claims(iss="https://two.test").build()
    cases: list[tuple[HttpRequest, str | Code]] = []
    for index in range(10):
        cases += [
            (one.request(one.token(claims={"sub": f"one-{index}"})), f"one-{index}"),
            (one.request(two.token(claims={"sub": f"two-{index}"})), f"two-{index}"),
            (one.request(stolen), Code.SIGNATURE_INVALID),
        ]

    async def run() -> list[Decision]:
        async with guard:
            return await asyncio.gather(*(guard.check(request) for request, _ in cases))

    assert wrong_verdicts(asyncio.run(run()), cases) == []
    with ThreadPoolExecutor(4) as pool:
        decisions = list(pool.map(lambda case: guard.check_blocking(case[0]), cases))
    assert wrong_verdicts(decisions, cases) == []


@pytest.mark.attack("API-11")
def test_without_the_cryptography_library_nothing_is_imported() -> None:
    script = (
        "import sys; sys.modules['cryptography'] = None\n"
        "try:\n from portvakt import Guard\n"
        "except ImportError as error: print('refused', 'cryptography' in str(error))\n"
        "else: print('imported')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.stdout.split() == ["refused", "True"], done.stderr


@pytest.mark.attack("API-11")
def test_a_policy_whose_keys_this_build_cannot_use_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm

    from portvakt.jose import jwk

    config = FakeIssuer(alg="Ed25519").config()

    def unsupported(_: object) -> Any:
        raise UnsupportedAlgorithm("no such curve here")

    monkeypatch.setitem(jwk._IMPORTERS, "OKP", unsupported)
    with pytest.raises(ConfigurationError):
        Guard.from_config(config)


@pytest.mark.twin("API-11")
@pytest.mark.parametrize("alg", ["ES256", "Ed25519", "Ed448", "ML-DSA-44"])
def test_every_algorithm_of_the_policy_works_in_this_build(alg: str) -> None:
    issuer = FakeIssuer(alg=alg)
    assert issuer.guard().check_blocking(issuer.request(issuer.token())).admitted


@pytest.mark.attack("API-12")
@pytest.mark.parametrize("fault", applicable(), ids=lambda fault: fault.id)
def test_every_refusal_is_a_complete_answer(fault: Fault) -> None:
    hostile = ISSUER.request(ISSUER.forged(fault.id))
    for decision in (GUARD.check_blocking(hostile), asyncio.run(GUARD.check(hostile))):
        assert code_of(decision) is fault.code
        assert decision.response is not None
        assert "WWW-Authenticate" in dict(decision.response.headers)


@pytest.mark.attack("API-12")
def test_no_decision_comes_out_refused_and_admitted_at_once() -> None:
    with pytest.raises(AttributeError):
        judge("x").admitted = True  # type: ignore[misc]  # read-only
    with pytest.raises(AttributeError):
        judge("x").refusal = None  # type: ignore[misc]  # frozen


@pytest.mark.twin("API-12")
def test_an_admission_has_no_answer_of_its_own() -> None:
    decision = judge(ISSUER.token())
    assert (decision.admitted, decision.refusal, decision.response) == (True, None, None)


@pytest.mark.attack("API-13")
def test_a_configuration_changed_afterwards_changes_nothing() -> None:
    config = ISSUER.config(route=[{"path": "/", "scopes": ["read"]}])
    guard = Guard.from_config(config, clock=ISSUER.clock)
    evil = FakeIssuer()
    table = config["issuer"][0]
    table["jwks"]["keys"].append(evil.signer.public_jwk())
    table["jwks"]["keys"][0].update(evil.signer.public_jwk())
    table["algorithms"] += ["none", "HS256", "Ed25519"]
    table.update(
        audience="*", leeway="300s", typ=["JWT"], required_claims=[], issuer="https://evil"
    )
    config["api"]["audience"] = "other"
    config["route"][0].update(scopes=[], public=True)
    config["route"].append({"path": "/admin", "public": True})
    config["issuer"].append(evil.config()["issuer"][0])
    for token, url, code in (
        (evil.token(scopes=["read"]), "/", Code.SIGNATURE_INVALID),
        (ISSUER.token(), "/", Code.SCOPE_INSUFFICIENT),
        (None, "/", Code.CREDENTIAL_MISSING),
        (None, "/admin", Code.ROUTE_UNKNOWN),
        (ISSUER.token(claims={"aud": "other"}), "/", Code.AUDIENCE_WRONG),
        (ISSUER.token(header={"typ": "JWT"}), "/", Code.TYPE_REFUSED),
    ):
        assert code_of(judge(token, guard, url)) is code
    assert judge(ISSUER.token(scopes=["read"]), guard).admitted


@pytest.mark.attack("API-13")
def test_making_a_guard_changes_nothing_in_the_configuration() -> None:
    config = ISSUER.config(route=[{"path": "/", "scopes": ["read"]}])
    before = copy.deepcopy(config)
    lenient = {**config, "issuer": [{**config["issuer"][0], "leeway": "300s"}]}
    Guard.from_config(lenient, clock=ISSUER.clock)
    Guard.from_config(config, clock=ISSUER.clock)
    assert config == before


@pytest.mark.attack("API-13")
def test_a_lenient_guard_loosens_no_strict_one_made_of_the_same_data() -> None:
    config = ISSUER.config()
    table = config["issuer"][0]
    table["typ"] = ["at+jwt", "JWT"]
    lenient = Guard.from_config(config, clock=ISSUER.clock)
    del table["typ"]
    strict = Guard.from_config(config, clock=ISSUER.clock)
    untyped = ISSUER.token(header={"typ": "JWT"})
    assert judge(untyped, lenient).admitted
    assert code_of(judge(untyped, strict)) is Code.TYPE_REFUSED
    assert judge(untyped, lenient).admitted


@pytest.mark.attack("API-13")
@pytest.mark.parametrize(
    "change",
    [
        lambda guard: guard.issuers.update({"https://evil.test": OTHER.trusted}),
        lambda guard: guard.issuers.__setitem__("https://evil.test", OTHER.trusted),
        lambda guard: setattr(ISSUER.trusted, "leeway", 1e9),
        lambda guard: setattr(guard.routes.rules[0], "public", True),
        lambda guard: guard.routes.rules[0].requirement.scopes.clear(),
        lambda guard: guard.routes.rules.append(None),
    ],
    ids=["update", "setitem", "leeway", "public", "scopes", "rules"],
)
def test_a_guard_cannot_be_changed_through_what_it_shows(change: Callable[[Any], None]) -> None:
    guard = ISSUER.guard(route=[{"path": "/", "scopes": ["read"]}])
    with pytest.raises((AttributeError, TypeError)):
        change(guard)
    assert code_of(judge(ISSUER.token(), guard)) is Code.SCOPE_INSUFFICIENT


@pytest.mark.twin("API-13")
def test_one_configuration_may_make_many_guards() -> None:
    config = ISSUER.config()
    for _ in range(3):
        guard = Guard.from_config(config, clock=ISSUER.clock)
        assert judge(ISSUER.token(), guard).admitted


class Broken(KeySource):
    """A source of keys that fails in one way or another."""

    def __init__(self, current: object, fetched: object = None) -> None:
        self._current, self._fetched = current, fetched

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> Any:
        return self._give(self._current)

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> Any:
        return self._give(self._fetched)

    def _give(self, what: object) -> object:
        if isinstance(what, BaseException):
            raise what
        return what


SECRET: Final = "canary-of-a-key-source"


@pytest.mark.attack("API-12", "API-07", "DOS-09")
@pytest.mark.parametrize(
    "source",
    [
        Broken(RuntimeError(SECRET)), Broken(None, RuntimeError(SECRET)), Broken(KeyError(SECRET)),
        Broken(None, None), Broken(SECRET), Broken({}), Broken(None, TimeoutError(SECRET)),
        Broken(RecursionError(SECRET)), Broken(MemoryError(SECRET)), Broken(StopIteration(SECRET)),
        Broken(None, OSError(SECRET)), Broken(object()), Broken(False), Broken(True),
        Broken(StopAsyncIteration(SECRET)), Broken(AssertionError(SECRET)),
    ],
    ids=lambda source: f"{source._current!r:.20}-{source._fetched!r:.20}",
)  # fmt: skip
def test_a_source_of_keys_that_fails_admits_no_one_and_leaks_nothing(
    source: Broken, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    guard = Guard(issuers=[ISSUER.trusted], keys=source, clock=ISSUER.clock)
    request = ISSUER.request(ISSUER.token())
    for decision in (guard.check_blocking(request), asyncio.run(guard.check(request))):
        assert code_of(decision) is Code.INTERNAL_ERROR
        assert SECRET not in repr(decision)
    written = capfd.readouterr()
    assert SECRET not in caplog.text + written.out + written.err
    assert "internal error" in caplog.text


@pytest.mark.attack("API-12")
def test_keys_that_cannot_be_had_are_no_admission_and_no_fault_of_the_caller() -> None:
    source = Broken(None, Unavailable(Code.KEYS_UNAVAILABLE, SECRET, retry_after=7))
    guard = Guard(issuers=[ISSUER.trusted], keys=source, clock=ISSUER.clock)
    decision = judge(ISSUER.token(), guard)
    assert code_of(decision) is Code.KEYS_UNAVAILABLE
    assert decision.response is not None
    assert ("Retry-After", "7") in decision.response.headers
    assert SECRET not in repr(decision.response)


@pytest.mark.attack("API-12")
def test_a_refusal_from_a_source_of_keys_is_a_refusal() -> None:
    guard = Guard(
        issuers=[ISSUER.trusted], keys=Broken(Refused(Code.KEY_UNKNOWN)), clock=ISSUER.clock
    )
    assert code_of(judge(ISSUER.token(), guard)) is Code.KEY_UNKNOWN
