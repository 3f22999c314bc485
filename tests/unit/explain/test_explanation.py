"""The story of a token: true to the decision, and safe to show."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from portvakt.clock import Clock
from portvakt.errors import ConfigurationError, Unavailable
from portvakt.explain import LANGUAGES, Explanation, StepExplanation, explain
from portvakt.explain.content import take_apart
from portvakt.explain.texts import load
from portvakt.forge.faults import FAULTS, Forgery
from portvakt.guard.guard import Guard
from portvakt.guard.parts import Parts
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.encoding import encode_base64url
from portvakt.jose.header import Header
from portvakt.jose.jwe import Decryption, encrypt
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.signer import Signer, sign_compact
from portvakt.net.keys import KeySource
from portvakt.policy.issuer import TrustedIssuer
from portvakt.refusal import Code, Step
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer()
GUARD = ISSUER.guard()
ROUTED = ISSUER.guard(
    route=[
        {"path": "/journal/{patient}", "methods": ["GET"], "scopes": ["test-api/read"]},
        {"path": "/healthz", "public": True},
    ]
)

#: DOMAIN.md section 1.3: the payload of a HelseID test token, with made-up people in it.
HELSEID: dict[str, Any] = {
    "iss": "https://helseid-sts.test.nhn.no",
    "nbf": 1716473563,
    "iat": 1716473563,
    "exp": 1716477163,
    "aud": "e-helse:sfm.api",
    "scope": ["openid", "profile", "e-helse:sfm.api/sfm.api"],
    "amr": ["pwd"],
    "client_id": "8cd7c619-92db-4d55-89e2-383b75efc758",
    "helseid://claims/client/claims/orgnr_parent": "917897468",
    "sub": "tzto6gPhyTQw2bR/Wl0kgF/mTH+jdQoUBvaYSObfmlQ=",
    "helseid://claims/identity/pid": "17056600574",
    "helseid://claims/identity/security_level": "4",
    "helseid://claims/hpr/hpr_number": "431001110",
    "sid": "9E10C7DFEDC83C399DDBCD03B0907DBF",
    "jti": "6745AAAE3691417B0139C645BA37F7F6",
}
PERSONAL = [
    HELSEID["sub"],
    HELSEID["helseid://claims/identity/pid"],
    HELSEID["helseid://claims/hpr/hpr_number"],
    HELSEID["helseid://claims/client/claims/orgnr_parent"],
    HELSEID["sid"],
    HELSEID["jti"],
]


def helseid_guard(signer: Signer, at: float = 1716473600.0) -> Guard:
    policy = {
        "issuer": HELSEID["iss"],
        "jwks": {"keys": [signer.public_jwk()]},
        "algorithms": ["ES256"],
        "typ": ["at+jwt", "JWT"],
    }
    config = {"api": {"audience": HELSEID["aud"]}, "issuer": [policy]}
    return Guard.from_config(config, clock=lambda: at)


def outcomes(explanation: Explanation) -> list[str]:
    return [one.outcome for one in explanation.steps]


def at_step(explanation: Explanation, step: Step) -> StepExplanation:
    return explanation.steps[step - 1]


def guard_with_keys(keys: Any, clock: Clock = ISSUER.clock) -> Guard:
    return Guard(issuers=[ISSUER.trusted], keys=keys, clock=clock)


def test_an_honest_token_passes_every_check_in_order() -> None:
    explanation = explain(GUARD, ISSUER.token())
    assert explanation.verdict == "admitted"
    assert [one.step for one in explanation.steps] == list(Step)
    assert set(outcomes(explanation)) == {"passed"}
    assert [one.why for one in explanation.steps] == [
        text.passed for text in load("en").step.values()
    ]
    assert not any(one.unverified for one in explanation.steps)
    assert (explanation.code, explanation.text, explanation.status) == (None, None, None)


def forgeries() -> Iterator[Any]:
    builder = ISSUER.builder()
    forgery = Forgery.against(builder, several_keys=True)
    for fault in FAULTS:
        if fault.applies(builder, forgery):
            yield pytest.param(fault.apply(builder, forgery), fault.code, id=fault.id)


@pytest.mark.parametrize(("token", "code"), list(forgeries()))
def test_every_near_miss_is_told_as_the_guard_decided_it(token: str, code: Code) -> None:
    explanation = explain(GUARD, token)
    assert explanation.verdict == "refused"
    assert explanation.code is code
    before, after = code.step - 1, len(Step) - code.step
    assert outcomes(explanation) == ["passed"] * before + ["failed"] + ["not reached"] * after
    failed = at_step(explanation, code.step)
    text = load("en").code[code]
    assert failed.why == text.what
    assert explanation.text == text
    assert (explanation.status, explanation.sentence) == (code.status, code.sentence)
    assert failed.title in explanation.steps[-1].why or code.step == len(Step)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_answer_to_the_caller_and_the_log_are_told(language: str) -> None:
    explanation = explain(GUARD, ISSUER.forged("expired"), language=language)
    assert explanation.status == 401
    assert explanation.challenge is not None
    assert explanation.challenge.startswith('Bearer realm="test-api", error="invalid_token"')
    assert explanation.detail is not None
    assert explanation.detail.startswith("expired ")
    assert explanation.headline == load(language).words.refused


def test_a_helseid_token_is_told_with_what_was_found() -> None:
    signer = Signer.generate("ES256", "B8919616")
    token = sign_compact({"alg": "ES256", "kid": "B8919616", "typ": "JWT"}, HELSEID, signer)
    explanation = explain(helseid_guard(signer), token)
    assert explanation.verdict == "admitted"
    found = {one.step: (one.found, one.expected) for one in explanation.steps}
    assert found[Step.ISSUER] == (HELSEID["iss"], HELSEID["iss"])
    assert found[Step.TYPE] == ("JWT", "at+jwt, jwt")
    assert found[Step.ALGORITHM] == ("ES256", "ES256")
    assert found[Step.KEY] == ("B8919616: P-256", None)
    assert found[Step.AUDIENCE] == ("e-helse:sfm.api", "e-helse:sfm.api")
    assert found[Step.EXPIRY][0] == "2024-05-23 15:12:43 UTC, 59 min 23 s ahead"
    assert found[Step.NOT_BEFORE][0] == "2024-05-23 14:12:43 UTC, 37 s ago"
    assert found[Step.LIFETIME] == ("1 h", "at most 1 h")
    assert found[Step.SCOPE][0] == "openid, profile, e-helse:sfm.api/sfm.api"
    identifiers = f"client_id, jti, sub; client_id {HELSEID['client_id']}"
    assert found[Step.IDENTIFIERS] == (identifiers, "client_id, jti, sub")
    assert "helseid://claims/identity/pid" in (found[Step.PAYLOAD][0] or "")


def test_the_same_token_has_expired_an_hour_later() -> None:
    signer = Signer.generate("ES256", "B8919616")
    token = sign_compact({"alg": "ES256", "kid": "B8919616", "typ": "JWT"}, HELSEID, signer)
    explanation = explain(helseid_guard(signer, 1716477168.0), token)
    assert explanation.code is Code.TOKEN_EXPIRED
    found = at_step(explanation, Step.EXPIRY)
    assert (found.outcome, found.found) == ("failed", "2024-05-23 15:12:43 UTC, 5 s ago")
    assert not found.unverified


@pytest.mark.parametrize("genuine", [True, False])
def test_no_personal_number_is_told(*, genuine: bool) -> None:
    signer = Signer.generate("ES256", "k")
    other = signer if genuine else Signer.generate("ES256", "k")
    claims = {**HELSEID, "client_id": "clinic-17056600574"}
    token = sign_compact({"alg": "ES256", "kid": "k", "typ": "JWT"}, claims, other)
    explanation = explain(helseid_guard(signer), token, url="/me/17056600574")
    told = json.dumps(explanation.plain(), ensure_ascii=False)
    for secret in [*PERSONAL, token, token.split(".")[2], token.split(".")[1]]:
        assert secret not in told
    assert "[digits hidden]" in told


def test_no_repr_shows_what_the_token_says() -> None:
    token = ISSUER.token()
    explanation = explain(GUARD, token)
    shown = [repr(explanation), repr(explanation.steps), repr(take_apart(token))]
    shown += [str(list(one.__rich_repr__())) for one in (explanation, take_apart(token))]
    shown += [str(list(explanation.steps[5].__rich_repr__()))]
    assert not any("issuer.test" in text or "test-client" in text for text in shown)


@pytest.mark.parametrize(
    ("fault", "unverified"),
    [("signature-changed", True), ("expired", False)],
)
def test_what_no_signature_vouches_for_is_labelled(fault: str, *, unverified: bool) -> None:
    token = ISSUER.token()
    if fault == "signature-changed":
        header, payload, signature = token.split(".")
        token = f"{header}.{payload}.{'B' if signature[0] != 'B' else 'C'}{signature[1:]}"
    else:
        token = ISSUER.forged(fault)
    explanation = explain(GUARD, token)
    assert at_step(explanation, Step.ISSUER).unverified is unverified
    assert at_step(explanation, Step.AUDIENCE).unverified is unverified
    assert at_step(explanation, Step.AUDIENCE).found == "test-api"
    # How long it is, anybody can count.
    assert not at_step(explanation, Step.FORM).unverified


def test_an_unknown_key_is_told_with_the_names_of_the_known_ones() -> None:
    explanation = explain(GUARD, ISSUER.token(header={"kid": "elsewhere"}))
    key = at_step(explanation, Step.KEY)
    assert (key.outcome, key.found, key.expected) == ("failed", "elsewhere", "key-1, key-2")


def test_without_a_route_the_token_is_judged_by_what_every_request_needs() -> None:
    explanation = explain(ROUTED, ISSUER.token())
    assert explanation.verdict == "admitted"
    assert at_step(explanation, Step.ROUTE).found == load("en").words.no_request


def test_with_a_route_its_scopes_are_demanded() -> None:
    refused = explain(ROUTED, ISSUER.token(), url="/journal/1")
    step = at_step(refused, Step.AUTHORIZATION)
    assert refused.code is Code.SCOPE_INSUFFICIENT
    assert (step.found, step.expected) == ("missing: test-api/read", "test-api/read")
    admitted = explain(ROUTED, ISSUER.token(scopes=["test-api/read"]), url="/journal/1")
    assert admitted.verdict == "admitted"
    assert at_step(admitted, Step.AUTHORIZATION).found == "test-api/read"
    assert at_step(admitted, Step.ROUTE).found == "GET /journal/{patient}"


def test_a_request_that_no_rule_is_for_is_refused_at_its_route() -> None:
    explanation = explain(ROUTED, ISSUER.token(), method="DELETE", url="/journal/1")
    assert explanation.code is Code.ROUTE_UNKNOWN
    assert at_step(explanation, Step.REQUEST).found == "DELETE /journal/1"
    assert outcomes(explanation)[:3] == ["passed", "failed", "not reached"]


@pytest.mark.parametrize("token", ["nonsense", "", ISSUER.forged("expired")])
def test_on_a_public_route_no_token_is_looked_at(token: str) -> None:
    explanation = explain(ROUTED, token, url="/healthz")
    words = load("en").words
    assert (explanation.verdict, explanation.headline) == ("admitted", words.admitted_public)
    assert outcomes(explanation) == ["passed"] * 2 + ["not reached"] * (len(Step) - 2)
    assert explanation.steps[-1].why == words.not_needed
    assert at_step(explanation, Step.ROUTE).found == "any method /healthz (public)"


class Unreachable(KeySource):
    """An issuer whose keys cannot be had."""

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> None:
        assert issuer is ISSUER.trusted

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        raise Unavailable(Code.KEYS_UNAVAILABLE, f"{issuer.issuer} does not answer", retry_after=10)


class Broken(KeySource):
    """A key source with a fault of its own."""

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet | None:
        raise RuntimeError(issuer.issuer)

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        raise RuntimeError(issuer.issuer)


def test_without_the_issuers_keys_nobody_can_tell() -> None:
    guard = guard_with_keys(Unreachable())
    explanation = explain(guard, ISSUER.token())
    guard.home.leave()
    text = load("en").code[Code.KEYS_UNAVAILABLE]
    assert (explanation.verdict, explanation.status) == ("cannot tell", 503)
    assert outcomes(explanation) == ["passed"] * 10 + ["not reached"] * (len(Step) - 10)
    assert at_step(explanation, Step.KEY).why == text.what
    assert "Key" in at_step(explanation, Step.SIGNATURE).why
    assert at_step(explanation, Step.AUDIENCE).unverified


def test_a_fault_of_the_guards_own_says_nothing_about_the_token() -> None:
    explanation = explain(guard_with_keys(Broken()), ISSUER.token())
    assert (explanation.verdict, explanation.code) == ("cannot tell", Code.INTERNAL_ERROR)
    assert set(outcomes(explanation)) == {"not reached"}
    assert explanation.steps[0].why == load("en").words.not_known


@pytest.mark.attack("HDR-07", "JSON-08")
def test_nothing_in_a_token_acts_on_a_terminal() -> None:
    evil = "\x1b]0;owned\x07\r\n\u202e"
    token = ISSUER.token(
        header={"kid": evil, "typ": evil, evil: 1},
        claims={"iss": evil, "aud": [evil], "client_id": evil, "scope": evil, evil: evil},
    )
    explanation = explain(GUARD, token, method=evil, url="/" + evil)
    for one in explanation.steps:
        assert (one.found or "").isprintable()
    assert r"\u001b]0;owned" in (at_step(explanation, Step.ISSUER).found or "")


@pytest.mark.twin("HDR-07", "JSON-08")
def test_an_odd_but_honest_scope_is_told_as_it_is() -> None:
    explanation = explain(GUARD, ISSUER.token(scopes=["[bold]ærlig[/bold]"]))
    assert explanation.verdict == "admitted"
    assert at_step(explanation, Step.SCOPE).found == "[bold]ærlig[/bold]"


def test_a_giant_token_is_told_by_its_length_alone() -> None:
    explanation = explain(GUARD, "." * 10_000_000)
    assert explanation.code is Code.TOKEN_TOO_LONG
    assert at_step(explanation, Step.FORM).found == "10000000 characters, parts: 10000001"
    assert at_step(explanation, Step.HEADER).found == load("en").words.too_long


def test_of_a_token_that_the_guard_does_not_read_nothing_is_read() -> None:
    explanation = explain(GUARD, ISSUER.token(claims={"padding": "a" * 20_000}))
    assert explanation.code is Code.TOKEN_TOO_LONG
    for step in (Step.HEADER, Step.ISSUER, Step.PAYLOAD, Step.AUDIENCE):
        assert at_step(explanation, step).found == load("en").words.too_long


def test_an_encrypted_token_is_told_by_its_header() -> None:
    header = encode_base64url(b'{"alg":"RSA-OAEP-256","enc":"A256GCM"}')
    explanation = explain(GUARD, f"{header}.AA.AA.AA.AA")
    assert explanation.code is Code.TOKEN_ENCRYPTED
    assert at_step(explanation, Step.HEADER).found == "alg, enc"
    assert at_step(explanation, Step.PAYLOAD).found == load("en").words.unreadable


def test_what_an_encrypted_token_holds_is_told_where_that_is_no_signed_token() -> None:
    key = DecryptionKey.generate("ECDH-ES", "enc")
    guard = Guard(
        issuers=[ISSUER.trusted],
        keys=GUARD.keys,
        parts=Parts(decryption=Decryption([key])),
        clock=ISSUER.clock,
    )
    explanation = explain(guard, encrypt("reference", key.public_jwk()))
    assert explanation.code is Code.TOKEN_PARTS
    assert (at_step(explanation, Step.FORM).found or "").endswith("inside: 9 characters, parts: 1")
    assert at_step(explanation, Step.FORM).outcome == "failed"
    assert at_step(explanation, Step.DECRYPTION).outcome == "passed"
    honest = explain(guard, encrypt(ISSUER.token(), key.public_jwk()))
    assert (honest.verdict, at_step(honest, Step.FORM).outcome) == ("admitted", "passed")


def test_a_bound_token_is_told_by_the_names_of_what_it_is_bound_to() -> None:
    explanation = explain(GUARD, ISSUER.token(claims={"cnf": {"jkt": "0ZcOCORZNYy"}}))
    assert explanation.code is Code.CONFIRMATION_UNMET
    assert at_step(explanation, Step.CONFIRMATION).found == "bound to a key by jkt"


def test_a_policy_with_partners_expects_their_names_too() -> None:
    config = ISSUER.config()
    config["issuer"][0]["other_audiences"] = ["partner"]
    guard = Guard.from_config(config, clock=ISSUER.clock)
    explanation = explain(guard, ISSUER.token(claims={"aud": ["test-api", "stranger"]}))
    step = at_step(explanation, Step.AUDIENCE)
    assert (step.outcome, step.found) == ("failed", "[test-api, stranger]")
    assert step.expected == "test-api, partner"


def test_missing_claims_are_told_by_name() -> None:
    explanation = explain(GUARD, ISSUER.token(without=["jti"]))
    step = at_step(explanation, Step.IDENTIFIERS)
    assert (step.outcome, step.found) == (
        "failed",
        "client_id, sub; missing: jti; client_id test-client",
    )


def test_a_language_without_texts_is_the_developers_mistake() -> None:
    with pytest.raises(ConfigurationError, match="language"):
        explain(GUARD, "x", language="de")


def test_the_plain_form_is_json_with_a_row_for_each_check() -> None:
    plain = json.loads(json.dumps(explain(GUARD, ISSUER.forged("expired")).plain()))
    assert (plain["verdict"], plain["code"], plain["step"]) == (
        "refused",
        "token_expired",
        "expiry",
    )
    assert [row["step"] for row in plain["steps"]] == [step.name.lower() for step in Step]


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_guard_answers_itself_is_said(language: str) -> None:
    guard = ISSUER.guard(api={"audience": "test-api", "origin": "https://api.test"})
    path = "/.well-known/oauth-protected-resource"
    explanation = explain(guard, ISSUER.token(), url=path, language=language)
    assert explanation.verdict == "admitted"
    assert explanation.headline == load(language).words.answered
    assert (explanation.status, explanation.code) == (200, None)
    outcomes = {one.step: one.outcome for one in explanation.steps}
    assert outcomes[Step.ROUTE] == "passed"
    assert outcomes[Step.CREDENTIAL] == "not reached"
    # The token itself is judged as it was.
    assert explain(guard, ISSUER.token()).headline == load("en").words.admitted
