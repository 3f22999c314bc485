"""A payload that HelseID's test environment wrote, as Norsk Helsenett publishes it.

utviklerportal.nhn.no, "Switching from using single-tenant to multi-tenant" (SFM). Only the
signature is ours.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from portvakt import Code, Guard
from portvakt.jose.signer import sign_compact
from portvakt.testing import FakeIssuer, FrozenClock

PAYLOAD: Final[dict[str, Any]] = {
    "iss": "https://helseid-sts.test.nhn.no",
    "nbf": 1716473563,
    "iat": 1716473563,
    "exp": 1716477163,
    "aud": "e-helse:sfm.api",
    "scope": [
        "openid",
        "profile",
        "helseid://scopes/identity/pid",
        "helseid://scopes/identity/security_level",
        "helseid://scopes/hpr/hpr_number",
        "helseid://scopes/identity/assurance_level",
        "e-helse:sfm.api/sfm.api",
    ],
    "amr": ["pwd"],
    "client_id": "8cd7c619-92db-4d55-89e2-383b75efc758",
    "client_amr": "private_key_jwt",
    "helseid://claims/client/claims/orgnr_parent": "917897468",
    "nhn:sfm:journal-id": "a99abfb4-2bea-4e0a-bb03-38e37febbd2c",
    "sub": "tzto6gPhyTQw2bR/Wl0kgF/mTH+jdQoUBvaYSObfmlQ=",
    "auth_time": 1716473563,
    "idp": "testidp-oidc",
    "helseid://claims/identity/pid": "17056600574",
    "helseid://claims/identity/security_level": "4",
    "helseid://claims/identity/assurance_level": "high",
    "helseid://claims/hpr/hpr_number": "431001110",
    "oldsub": "n57qJQXiVg8sRZRurRDMKiIm6LnWrSzENEcmOgYL/MI=",
    "helseid://claims/client/amr": "rsa_private_key",
    "helseid://claims/client/claims/orgnr_supplier": "994598759",
    "e-helse:sfm.api/client/claims/sfm-id": "ce75db36-c57b-4592-9d47-5dfae8a34340",
    "helseid://claims/client/client_tenancy": "multi-tenant",
    "sid": "9E10C7DFEDC83C399DDBCD03B0907DBF",
    "jti": "6745AAAE3691417B0139C645BA37F7F6",
}
ISSUER: Final = FakeIssuer(
    PAYLOAD["iss"],
    audience=PAYLOAD["aud"],
    alg="RS256",
    clock=FrozenClock(PAYLOAD["iat"] + 60),
)
TOKEN: Final = sign_compact(
    {"alg": "RS256", "kid": ISSUER.signer.kid, "typ": "at+jwt"}, PAYLOAD, ISSUER.signer
)


def guard(profile: str, **issuer: Any) -> Guard:
    policy = {
        "api": {
            "audience": PAYLOAD["aud"],
            "security_level": 4,
            "require": ["pid", "hpr_number", "organisation"],
        },
        "issuer": [{"profile": profile, "jwks": ISSUER.jwks(), **issuer}],
    }
    return Guard.from_config(policy, clock=ISSUER.clock)


def test_that_the_test_profile_takes_it_with_nothing_else_configured() -> None:
    token = guard("helseid-test").check_blocking(ISSUER.request(TOKEN)).token
    assert token is not None
    assert token.security_level == 4
    assert token.pid is not None
    assert token.pid.number == PAYLOAD["helseid://claims/identity/pid"]
    assert token.pid.number not in repr(token.pid) + str(token.pid)
    assert token.hpr_number is not None
    assert token.hpr_number.number == PAYLOAD["helseid://claims/hpr/hpr_number"]
    assert token.organisation is not None
    parent, supplier = token.organisation.parent, token.organisation.supplier
    assert parent is not None
    assert supplier is not None
    assert parent.number == PAYLOAD["helseid://claims/client/claims/orgnr_parent"]
    assert supplier.number == PAYLOAD["helseid://claims/client/claims/orgnr_supplier"]


def test_that_production_knows_another_issuer() -> None:
    decision = guard("helseid").check_blocking(ISSUER.request(TOKEN))
    assert decision.refusal is not None
    assert decision.refusal.code is Code.ISSUER_UNKNOWN


@pytest.mark.parametrize(
    ("pid", "code"),
    [
        (PAYLOAD["helseid://claims/identity/pid"], None),  # in form, an ordinary number
        ("03851598730", Code.IDENTITY_REFUSED),  # synthetic: +80 months
    ],
)
def test_that_production_takes_no_test_person(pid: str, code: Code | None) -> None:
    moved = {
        **PAYLOAD,
        "iss": "https://helseid-sts.nhn.no",
        "helseid://claims/identity/pid": pid,
    }
    header = {"alg": "RS256", "kid": ISSUER.signer.kid, "typ": "at+jwt"}
    text = sign_compact(header, moved, ISSUER.signer)
    decision = guard("helseid").check_blocking(ISSUER.request(text))
    assert (decision.refusal and decision.refusal.code) is code


@pytest.mark.parametrize("value", [["2.0"], {"2.0": 1}, 2.0, None, "1.0", ""])
def test_that_what_stands_where_a_profile_expects_a_value_refuses(value: Any) -> None:
    issuer = FakeIssuer("https://login.microsoftonline.com/T/v2.0", profile="entra", audience="api")
    decision = issuer.guard().check_blocking(issuer.request(issuer.token(claims={"ver": value})))
    assert decision.refusal is not None
    assert decision.refusal.code in {Code.NOT_ACCESS_TOKEN, Code.CLAIM_MISSING}
    honest = issuer.token(claims={"ver": "2.0"})
    assert issuer.guard().check_blocking(issuer.request(honest)).refusal is None
