"""References, encrypted tokens and proofs explained."""

from __future__ import annotations

import json
from typing import Any

import pytest

from canary_cases import Asked
from portvakt import Code, Guard, Refused, Step
from portvakt.explain import Explanation, StepExplanation, explain
from portvakt.guard.parts import Parts
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.jwe import Decryption, encrypt
from portvakt.testing import FakeClient, FakeIssuer

ISSUER = FakeIssuer()
CLIENT = FakeClient(ISSUER)
KEY = DecryptionKey.generate("ECDH-ES", "key")
BOUND: dict[str, Any] = {
    "api": {"audience": "test-api", "origin": "https://api.test"},
    "store": {"url": "memory://"},
    "route": [{"path": "/bound", "sender_constraint": "dpop"}, {"path": "/open"}],
}


def at(explanation: Explanation, step: Step) -> StepExplanation:
    return explanation.steps[step - 1]


def guard_of(**parts: Any) -> Guard:
    made = ISSUER.guard()
    return Guard(
        issuers=made.issuers.values(), keys=made.keys, parts=Parts(**parts), clock=ISSUER.clock
    )


def test_a_token_with_its_proof_is_admitted_and_says_so() -> None:
    token = CLIENT.token()
    proof = CLIENT.proof(token, url="/bound").build()
    found = explain(ISSUER.guard(**BOUND), token, url="/bound", proof=proof)
    assert found.verdict == "admitted"
    assert at(found, Step.CREDENTIAL).found is not None
    assert "DPoP" in str(at(found, Step.CREDENTIAL).found)
    assert at(found, Step.CONFIRMATION).expected == "dpop"
    assert "jkt" in str(at(found, Step.CONFIRMATION).found)
    assert at(found, Step.REPLAY).outcome == "passed"


@pytest.mark.parametrize("language", ["en", "nb"])
def test_a_proof_that_is_wrong_is_explained_and_never_shown(language: str) -> None:
    token = CLIENT.token()
    proof = CLIENT.proof(token, method="PUT", url="/bound").build()
    found = explain(ISSUER.guard(**BOUND), token, url="/bound", proof=proof, language=language)
    assert found.code is Code.PROOF_METHOD
    assert found.challenge is not None
    assert found.challenge.startswith("DPoP ")
    text = json.dumps(found.plain())
    assert all(part not in text for part in (*proof.split("."), *token.split(".")[1:]))


def test_without_a_rule_a_proof_is_judged_by_the_token() -> None:
    token = CLIENT.token()
    proof = CLIENT.proof(token).build()
    assert explain(ISSUER.guard(**BOUND), token, proof=proof).verdict == "admitted"
    assert explain(ISSUER.guard(**BOUND), token).code is Code.CONFIRMATION_UNMET


def test_an_encrypted_token_is_opened_to_be_explained() -> None:
    guard = guard_of(decryption=Decryption([KEY]))
    expired = encrypt(ISSUER.forged("expired"), KEY.public_jwk())
    found = explain(guard, expired)
    assert found.code is Code.TOKEN_EXPIRED
    assert at(found, Step.DECRYPTION).found == "ECDH-ES, A256GCM"
    assert "iss" in str(at(found, Step.PAYLOAD).found)
    broken = explain(guard, expired[:-8] + "AAAAAAAA")
    assert broken.code is Code.DECRYPTION_FAILED
    assert at(broken, Step.HEADER).outcome == "not reached"
    assert at(explain(guard, "!.a.b.c.d"), Step.DECRYPTION).found == "cannot be read"
    assert at(explain(guard, "e30.a.b.c.d"), Step.DECRYPTION).found == "absent"
    assert at(explain(guard, ISSUER.token()), Step.DECRYPTION).found == "not encrypted"
    assert explain(ISSUER.guard(), expired).code is Code.TOKEN_ENCRYPTED


def test_a_reference_has_no_signature_to_explain() -> None:
    token = ISSUER.guard().check_blocking(ISSUER.request(ISSUER.token())).token

    class Knows(Asked):
        def current(self, *_: object) -> Any:
            return token

    guard = guard_of(introspection=Knows(ISSUER.trusted, Refused(Code.TOKEN_INACTIVE)))
    found = explain(guard, "a-reference")
    assert found.verdict == "admitted"
    assert "reference" in str(at(found, Step.INTROSPECTION).found)
    for step in (Step.HEADER, Step.SIGNATURE):
        assert at(found, step).outcome == "not reached"
        assert "no signature" in at(found, step).why
    assert not at(found, Step.AUDIENCE).unverified
    assert at(found, Step.AUDIENCE).found is not None
    inactive = guard_of(introspection=Asked(ISSUER.trusted, Refused(Code.TOKEN_INACTIVE)))
    refused = explain(inactive, "a-reference")
    assert refused.code is Code.TOKEN_INACTIVE
    assert at(refused, Step.AUDIENCE).found == "says nothing by itself"
    assert at(refused, Step.CONFIRMATION).found == "says nothing by itself"
    assert "speaks for itself" in str(at(explain(guard, ISSUER.token()), Step.INTROSPECTION).found)


def test_where_nothing_can_be_revoked_that_is_said() -> None:
    plain, revocable = ISSUER.guard(), ISSUER.guard(store={"url": "memory://"})
    token = ISSUER.token()
    assert "[revocation]" in str(at(explain(plain, token), Step.REVOCATION).expected)
    assert at(explain(revocable, token), Step.REVOCATION).expected is None
    revocable.home.leave()
