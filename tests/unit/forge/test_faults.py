"""The table of near misses: each is refused for the reason its row states, and for no other."""

import re
from typing import Any, Final

import pytest

from portvakt import Code, FixedKeys, Guard, HttpRequest, JwkSet, Step, TrustedIssuer
from portvakt.forge.fault import throwaway
from portvakt.forge.faults import FAULTS, Fault, Forgery
from portvakt.forge.identity_faults import IDENTITY_FAULTS
from portvakt.forge.tokens import TokenBuilder
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.testing import FakeIssuer

#: One of each key type, and the two whose signatures differ in form.
ISSUERS: Final = {alg: FakeIssuer(alg=alg) for alg in ("ES256", "RS256", "EdDSA", "ML-DSA-44")}
GUARDS: Final = {alg: issuer.guard() for alg, issuer in ISSUERS.items()}
BY_ID: Final = {fault.id: fault for fault in FAULTS}

#: Issuers whose tokens speak of people, and may be without a type of their own.
PROFILED: Final = {
    name: FakeIssuer(issuer, profile=name, alg="ES256")
    for name, issuer in (("helseid", None), ("maskinporten", None), ("keycloak", "https://k.test"))
}
API: Final = {
    "audience": "test-api",
    "ignore": ["security_level", "pid", "hpr_number", "organisation"],
}
PROFILED_GUARDS: Final = {name: issuer.guard(api=API) for name, issuer in PROFILED.items()}


def applies(fault: Fault, issuer: FakeIssuer) -> bool:
    token = issuer.builder()
    return fault.applies(token, Forgery.against(token, several_keys=True))


CASES: Final = [
    pytest.param(fault, alg, id=f"{fault.id}-{alg}", marks=pytest.mark.attack(fault.attack))
    for fault in FAULTS
    for alg in ISSUERS
    if fault not in IDENTITY_FAULTS and (alg == "ES256" or fault.id != "signature-der")
]
PROFILED_CASES: Final = [
    pytest.param(fault, name, id=f"{fault.id}-{name}", marks=pytest.mark.attack(fault.attack))
    for name, issuer in PROFILED.items()
    for fault in FAULTS
    if applies(fault, issuer)
]


@pytest.mark.parametrize(("fault", "name"), PROFILED_CASES)
def test_a_near_miss_of_a_profile_is_refused_for_the_reason_its_row_states(
    fault: Fault, name: str
) -> None:
    issuer = PROFILED[name]
    decision = PROFILED_GUARDS[name].check_blocking(issuer.request(issuer.forged(fault.id)))
    assert decision.refusal is not None
    assert decision.refusal.code is fault.code


@pytest.mark.twin(*sorted({fault.attack for fault in FAULTS}))
@pytest.mark.parametrize("name", PROFILED)
def test_the_honest_token_of_a_profile_is_admitted(name: str) -> None:
    issuer = PROFILED[name]
    assert PROFILED_GUARDS[name].check_blocking(issuer.request(issuer.token())).admitted


def test_every_fault_applies_somewhere() -> None:
    everywhere = [*ISSUERS.values(), *PROFILED.values()]
    assert [
        one.id for one in FAULTS if not any(applies(one, issuer) for issuer in everywhere)
    ] == []


@pytest.mark.parametrize(("fault", "alg"), CASES)
def test_a_near_miss_is_refused_for_the_reason_its_row_states(fault: Fault, alg: str) -> None:
    issuer = ISSUERS[alg]
    decision = GUARDS[alg].check_blocking(issuer.request(issuer.forged(fault.id)))
    assert decision.refusal is not None
    assert decision.refusal.code is fault.code


@pytest.mark.parametrize("alg", ISSUERS)
@pytest.mark.twin(*sorted({fault.attack for fault in FAULTS}))
def test_the_honest_token_that_every_near_miss_is_made_of_is_admitted(alg: str) -> None:
    assert GUARDS[alg].check_blocking(ISSUERS[alg].request(ISSUERS[alg].token())).admitted


def test_every_fault_has_a_name_an_attack_and_a_title_of_its_own() -> None:
    assert len({fault.id for fault in FAULTS}) == len(FAULTS)
    assert len({fault.title for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", fault.id)
        assert re.fullmatch(r"[A-Z]+-\d\d", fault.attack)
        assert fault.title[-1] != "."


def test_every_reason_that_a_token_can_give_is_given_by_a_near_miss() -> None:
    given = {fault.code for fault in FAULTS}
    # Steps before FORM are about the request; the rest is about routes, outages, and a payload that
    # names two issuers, which no JSON writer makes. What must come with a token has near misses of
    # its own (proof_faults), and what it once was is not in it.
    beside = {Step.INTROSPECTION, Step.DECRYPTION, Step.REVOCATION}
    of_the_token = {
        code
        for code in Code
        if Step.FORM <= code.step <= Step.CONFIRMATION
        and code.step not in beside
        and code.status == 401
        and not code.name.startswith(("PROOF_", "CERTIFICATE_"))
    } - {Code.BINDING_REQUIRED}
    assert of_the_token - given == {Code.ISSUER_CHANGED}


def policy(**more: Any) -> TrustedIssuer:
    given = {"issuer": "https://issuer.test", "audience": "api", "algorithms": frozenset({"ES256"})}
    return TrustedIssuer(**{**given, **more})


def gets_in(issuer: TrustedIssuer, builder: TokenBuilder, fault: Fault) -> bool:
    forgery = Forgery.against(builder)
    if not fault.applies(builder, forgery):
        return False
    keys = JwkSet.from_object({"keys": [builder.signer.public_jwk()]}, issuer.algorithms)
    guard = Guard(
        issuers=[issuer], keys=FixedKeys({issuer.issuer: keys}), clock=lambda: builder.now
    )
    headers = (("Authorization", f"Bearer {fault.apply(builder, forgery)}"),)
    return guard.check_blocking(HttpRequest(method="GET", url="/", headers=headers)).admitted


# Whatever a policy allows, a fault that applies under it is one: the self test rests on that.
POLICIES: Final[dict[str, dict[str, Any]]] = {
    "every algorithm": {"algorithms": frozenset(ALGORITHMS)},
    "every type": {"types": frozenset({"at+jwt", "jwt", "absent", "rt+jwt", "at+jwt;v=1"})},
    "no type": {"types": frozenset({"absent"})},
    "other types": {"types": frozenset({"dpop+jwt", "logout+jwt"})},
    "nothing required": {"required_claims": frozenset()},
    "no leeway": {"leeway": 0.0, "max_age_ahead": 0.0},
    "much leeway": {"leeway": 300.0, "max_age_ahead": 300.0},
    "part of a second": {"leeway": 0.1, "max_age_ahead": 0.1, "max_lifetime": 60.1},
    "short": {"max_lifetime": 0.5},
    "long": {"max_lifetime": 366 * 86400.0},
    "other audiences": {"other_audiences": frozenset({"account"})},
}


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("now", [1_800_000_000.0, 1_800_000_000.3])
def test_a_fault_that_applies_is_refused_under_any_policy(name: str, now: float) -> None:
    issuer = policy(**POLICIES[name])
    builder = TokenBuilder(issuer, throwaway("ES256", "issuer-0"), now=now)
    assert [fault.id for fault in FAULTS if gets_in(issuer, builder, fault)] == []


def test_a_fault_does_not_apply_where_the_policy_makes_it_none() -> None:
    issuer = policy(
        algorithms=frozenset(ALGORITHMS),
        types=frozenset({"jwt", "absent"}),
        required_claims=frozenset(),
    )
    builder = TokenBuilder(issuer, throwaway("EdDSA", "issuer-0"), now=0.0)
    forgery = Forgery.against(builder)
    none_here = {fault.id for fault in FAULTS if not fault.applies(builder, forgery)}
    assert none_here == {
        "alg-not-allowed",
        "client-id-missing",
        "hpr-letters",
        "id-token",
        "id-token-said",
        "jti-missing",
        "kid-missing",
        "level-number",
        "level-unknown",
        "organisation-digits",
        "pid-digits",
        "pid-test-person",
        "signature-der",
        "sub-missing",
        "typ-absent",
        "typ-jwt",
    }
    with pytest.raises(ValueError, match="every algorithm"):
        BY_ID["alg-not-allowed"].apply(builder, forgery)


def test_the_nearest_miss_with_an_rsa_key_is_the_same_key_with_another_padding() -> None:
    issuer = ISSUERS["RS256"]
    outsider = Forgery.against(issuer.builder()).outsider
    assert outsider is not None
    assert outsider.alg != "RS256"
    assert outsider.public_jwk()["n"] == issuer.signer.public_jwk()["n"]


def test_keys_that_nobody_trusts_are_made_once_and_differ_by_role() -> None:
    assert throwaway("ES256", "stranger") is throwaway("ES256", "stranger")
    assert throwaway("ES256", "stranger").public_jwk() != throwaway("ES256", "x").public_jwk()


def test_what_a_forger_has_is_shown_without_keys() -> None:
    forgery = Forgery.against(ISSUERS["ES256"].builder())
    assert repr(forgery) == "Forgery(stranger=Signer(ES256, kid='stranger'))"
    assert "'x'" not in repr(forgery.__rich_repr__())
