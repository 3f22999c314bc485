"""What the caller is told, for every code there is."""

import json
import re

import pytest

from portvakt import Code
from portvakt.oauth.challenge import Challenges

CHALLENGES = Challenges("nhn:journal")
QUOTED = re.compile(r'Bearer (?:[a-z_]+="[ !#-\[\]-~]*"(?:, |$))+')


@pytest.mark.parametrize("code", Code)
def test_every_code_has_a_complete_answer(code: Code) -> None:
    answer = CHALLENGES.answer(code)
    headers = dict(answer.headers)
    body = json.loads(answer.body)
    assert answer.status == code.status == body["status"]
    assert body["detail"] == code.sentence
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Content-Length"] == str(len(answer.body))
    assert headers["Cache-Control"] == "no-store"
    challenge = headers.get("WWW-Authenticate")
    if code.error is None and code.status != 401:
        assert challenge is None
        return
    assert challenge is not None
    assert QUOTED.fullmatch(challenge)
    assert ("error=" in challenge) == (code.error is not None)


def test_the_statuses_are_those_of_rfc_6750() -> None:
    expected = {"invalid_request": 400, "invalid_token": 401, "insufficient_scope": 403}
    for code in Code:
        if code.error is not None:
            assert code.status == expected[code.error], code


def test_without_credentials_nothing_is_explained() -> None:
    answer = CHALLENGES.answer(Code.CREDENTIAL_MISSING)
    assert ("WWW-Authenticate", 'Bearer realm="nhn:journal"') in answer.headers


def test_a_missing_scope_is_named() -> None:
    answer = CHALLENGES.answer(Code.SCOPE_INSUFFICIENT, "a b")
    assert answer is CHALLENGES.answer(Code.SCOPE_INSUFFICIENT, "a b")
    assert dict(answer.headers)["WWW-Authenticate"].endswith('scope="a b"')
    assert (
        "scope="
        not in dict(CHALLENGES.answer(Code.TOKEN_EXPIRED, "a b").headers)["WWW-Authenticate"]
    )


def test_an_outage_says_when_to_come_back() -> None:
    answer = CHALLENGES.answer(Code.KEYS_UNAVAILABLE, retry_after=7)
    assert (answer.status, dict(answer.headers)["Retry-After"]) == (503, "7")


def test_what_precedes_the_signature_is_answered_alike() -> None:
    """A forger is not told how far he came (HTTP-12)."""
    answers = {
        CHALLENGES.answer(code)
        for code in Code
        if code.error == "invalid_token"
        and code.step.name in {"FORM", "HEADER", "ISSUER", "TYPE", "ALGORITHM", "KEY", "SIGNATURE"}
    }
    assert len(answers) == 1
