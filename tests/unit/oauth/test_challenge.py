"""What the caller is told, for every code there is."""

import json
import re

import pytest

from portvakt import Code, ConfigurationError
from portvakt.oauth.challenge import Challenges, Hints

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
    expected = {
        "invalid_request": 400,
        "invalid_token": 401,
        "insufficient_scope": 403,
        "insufficient_user_authentication": 401,  # RFC 9470
        "invalid_dpop_proof": 401,  # RFC 9449 section 7.1
        "use_dpop_nonce": 401,  # RFC 9449 section 9
    }
    for code in Code:
        if code.error is not None:
            assert code.status == expected[code.error], code


def test_a_route_that_takes_proofs_says_so_and_with_what() -> None:
    challenges = Challenges("nhn:journal", ["PS256", "ES256"])
    answer = challenges.answer(Code.CREDENTIAL_MISSING, dpop=True)
    expected = 'DPoP realm="nhn:journal", algs="ES256 PS256"'
    assert dict(answer.headers)["WWW-Authenticate"] == expected
    bearer = challenges.answer(Code.CREDENTIAL_MISSING)
    assert dict(bearer.headers)["WWW-Authenticate"] == 'Bearer realm="nhn:journal"'
    scoped = challenges.answer(Code.SCOPE_INSUFFICIENT, Hints(scope="a"), dpop=True)
    assert dict(scoped.headers)["WWW-Authenticate"].startswith("DPoP ")
    assert challenges.answer(Code.SCOPE_INSUFFICIENT, Hints(scope="a"), dpop=True) is scoped
    assert challenges.answer(Code.SCOPE_INSUFFICIENT, Hints(scope="a")) is not scoped


def test_a_nonce_that_is_demanded_is_handed_out() -> None:
    answer = Challenges("x", ["ES256"]).answer(Code.PROOF_NONCE, dpop=True, nonce="new-one")
    headers = dict(answer.headers)
    assert headers["DPoP-Nonce"] == "new-one"
    assert 'error="use_dpop_nonce"' in headers["WWW-Authenticate"]


def test_without_credentials_nothing_is_explained() -> None:
    answer = CHALLENGES.answer(Code.CREDENTIAL_MISSING)
    assert ("WWW-Authenticate", 'Bearer realm="nhn:journal"') in answer.headers


def challenge_of(code: Code, hints: Hints) -> str:
    return dict(CHALLENGES.answer(code, hints).headers)["WWW-Authenticate"]


def test_what_can_be_asked_for_is_named() -> None:
    assert challenge_of(Code.SCOPE_INSUFFICIENT, Hints(scope="a b")).endswith(', scope="a b"')
    level = challenge_of(Code.LEVEL_TOO_LOW, Hints(acr_values="Level4"))
    assert 'error="insufficient_user_authentication"' in level
    assert level.endswith(', acr_values="Level4"')
    assert challenge_of(Code.AUTHENTICATION_TOO_OLD, Hints(max_age=0)).endswith(', max_age="0"')


def test_what_is_not_told_is_not_in_it() -> None:
    for code in (Code.SCOPE_INSUFFICIENT, Code.LEVEL_TOO_LOW, Code.AUTHENTICATION_TOO_OLD):
        bare = dict(CHALLENGES.answer(code).headers)["WWW-Authenticate"]
        for name in ("scope=", "acr_values=", "max_age="):
            assert name not in bare
        assert challenge_of(code, Hints(scope="", acr_values="")) == bare


def test_an_answer_is_made_once() -> None:
    answer = CHALLENGES.answer(Code.SCOPE_INSUFFICIENT, Hints(scope="a b"))
    assert answer is CHALLENGES.answer(Code.SCOPE_INSUFFICIENT, Hints(scope="a b"))
    assert answer is not CHALLENGES.answer(Code.SCOPE_INSUFFICIENT, Hints(scope="a"))


def test_everything_that_can_be_asked_for_is_quoted_as_rfc_9470_wants() -> None:
    hints = Hints(scope="a b", acr_values="Level3 Level4", max_age=60)
    challenge = challenge_of(Code.LEVEL_TOO_LOW, hints)
    assert QUOTED.fullmatch(challenge)
    assert challenge == (
        'Bearer realm="nhn:journal", error="insufficient_user_authentication", '
        f'error_description="{Code.LEVEL_TOO_LOW.sentence}", '
        'scope="a b", acr_values="Level3 Level4", max_age="60"'
    )


def test_no_end_of_demands_fills_the_memory() -> None:
    challenges = Challenges("api")
    for number in range(1500):
        hints = Hints(scope=f"patient/{number}")
        answer = challenges.answer(Code.SCOPE_INSUFFICIENT, hints)
        assert dict(answer.headers)["WWW-Authenticate"].endswith(f'scope="patient/{number}"')
    assert len(challenges._hinted) == 1024


@pytest.mark.parametrize("realm", ["", 'a"b', "a\\b", "a\r\nSet-Cookie: x", "å", "x" * 257])
def test_a_realm_that_cannot_be_quoted_is_a_mistake(realm: str) -> None:
    with pytest.raises(ConfigurationError, match="realm"):
        Challenges(realm)
    answer = Challenges("Helse Nord's API: journal [test]").answer(Code.CREDENTIAL_MISSING)
    assert QUOTED.fullmatch(dict(answer.headers)["WWW-Authenticate"])


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


def test_metadata_is_named_in_every_challenge_and_nowhere_else() -> None:
    url = "https://api.test/.well-known/oauth-protected-resource"
    challenges = Challenges("api", ["ES256"], url)
    for code in Code:
        for dpop, times in ((False, 1), (True, 1), (None, 2)):
            for hints in (Hints(), Hints(scope="a", max_age=1)):
                headers = dict(challenges.answer(code, hints, dpop=dpop).headers)
                challenge = headers.pop("WWW-Authenticate", None)
                if challenge is not None:
                    assert challenge.count(f', resource_metadata="{url}"') == times
                assert url not in repr(headers)
                if dpop is False and challenge is not None:
                    assert QUOTED.fullmatch(challenge)


@pytest.mark.parametrize(
    "url", ["", "https://", 'https://a"b', "https://a\r\nX: y", "http://a.test"]
)
def test_a_url_that_cannot_be_quoted_is_a_mistake(url: str) -> None:
    with pytest.raises(ConfigurationError, match="resource_metadata"):
        Challenges("api", (), url)
