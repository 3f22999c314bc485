"""Each profile × an honest token, each missing claim, each malformed one, each neighbouring value.

What must happen is written down here, claim by claim, and not asked of the code under test: a claim
is of one sort (a time, an identifier, a level, …), and for each sort there are values that are
well formed, values that are not, and the code of the refusal.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import pytest

from portvakt import Code, Guard
from portvakt.profiles.profile import Profile, load_profile, profile_names
from portvakt.testing import FakeIssuer

AUDIENCE = "test-api"
EVERYTHING = ["security_level", "pid", "hpr_number", "organisation"]
NAMES = {
    "auth0-rfc9068": "https://tenant.eu.auth0.com/",
    "auth0": "https://tenant.eu.auth0.com/",
    "entra": "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0",
    "entra-v1": "https://sts.windows.net/00000000-0000-0000-0000-000000000000/",
    "keycloak": "https://keycloak.example.no/realms/test",
    "okta": "https://example.okta.com/oauth2/default",
    "rfc9068": "https://sts.example.no",
}
MISSING: Any = object()
EMPTY: list[Any] = [None, "", [], {}]


class Case(NamedTuple):
    """One change to an honest token, and what must come of it; None: it is admitted."""

    profile: str
    what: str
    claims: dict[str, Any]
    code: Code | None

    def __str__(self) -> str:
        return f"{self.profile}: {self.what}"


@cache
def issuer_of(profile: str) -> FakeIssuer:
    return FakeIssuer(NAMES.get(profile), profile=profile, audience=AUDIENCE, alg="RS256")


@cache
def guard_of(profile: str) -> Guard:
    # Low sensitivity: what a profile says of lifetimes is all there is.
    api = {"audience": AUDIENCE, "ignore": EVERYTHING, "sensitivity": "low"}
    return issuer_of(profile).guard(api=api)


NOW = 1_800_000_000
A_DAY = 86_400

#: Of each sort: what is malformed, and the code of that.
SORTS: dict[str, tuple[list[Any], Code]] = {
    "identifier": ([1, True, [], ["a"], {}, None, "", "x" * 1025], Code.CLAIM_MALFORMED),
    "scope": ([1, True, {}, None, ["a", 1], ["a", None], "a  b", " a"], Code.SCOPE_MALFORMED),
    "level": ([4, True, None, [], ["4"], "1337", "", "04", " 4"], Code.IDENTITY_MALFORMED),
    "pid": (
        [17056600574, None, [], {}, "1705660057", "170566005740", "170566 0574", "abcdefghijk"],
        Code.IDENTITY_MALFORMED,
    ),
    "hpr_number": ([431001110, None, "", "0", "43100111x", "1234567890"], Code.IDENTITY_MALFORMED),
    "object": (["{}", 1, True, None, [], {}, [{"patients": []}]], Code.IDENTITY_MALFORMED),
    "orgnr": (
        [917897468, None, "", "91789746", "9178974680", "91789746x"],
        Code.IDENTITY_MALFORMED,
    ),
    "iso6523": (
        [
            "0192:917897468",
            None,
            {},
            {"ID": "0192:917897468"},
            {"authority": "iso6523-actorid-upis", "ID": "917897468"},
            {"authority": "iso6523-actorid-upis", "ID": "0193:917897468"},
            {"authority": "iso6523-actorid-upis", "ID": 917897468},
        ],
        Code.IDENTITY_MALFORMED,
    ),
    "text": ([1, None, [], "a\nb", "x" * 257], Code.IDENTITY_MALFORMED),
    "time": (["0", True, None, [], -1, 10**15], Code.IDENTITY_MALFORMED),
}

#: What every token has, whoever wrote it: the change, its name, and what comes of it.
ALWAYS: list[tuple[str, dict[str, Any], Code | None]] = [
    ("as it is", {}, None),
    ("aud missing", {"aud": MISSING}, Code.AUDIENCE_MISSING),
    ("aud empty", {"aud": ""}, Code.AUDIENCE_MISSING),
    ("aud of nobody", {"aud": []}, Code.AUDIENCE_MISSING),
    ("aud unspecified", {"aud": "unspecified"}, Code.AUDIENCE_WRONG),
    ("aud another", {"aud": "other-api"}, Code.AUDIENCE_WRONG),
    ("aud in capitals", {"aud": AUDIENCE.upper()}, Code.AUDIENCE_WRONG),
    ("aud longer", {"aud": AUDIENCE + "2"}, Code.AUDIENCE_WRONG),
    ("aud a list of it", {"aud": [AUDIENCE]}, None),
    ("aud another too", {"aud": [AUDIENCE, "other-api"]}, Code.AUDIENCE_EXTRA),
    ("aud mixed", {"aud": [AUDIENCE, 1]}, Code.AUDIENCE_MALFORMED),
    ("exp missing", {"exp": MISSING}, Code.EXPIRY_MISSING),
    ("exp text", {"exp": str(NOW + 60)}, Code.EXPIRY_MALFORMED),
    ("exp true", {"exp": True}, Code.EXPIRY_MALFORMED),
    ("exp null", {"exp": None}, Code.EXPIRY_MALFORMED),
    ("exp in milliseconds", {"exp": (NOW + 60) * 1000}, Code.EXPIRY_MALFORMED),
    ("exp at the end of the leeway", {"exp": NOW - 5, "iat": NOW - 60}, Code.TOKEN_EXPIRED),
    ("exp within the leeway", {"exp": NOW - 4, "iat": NOW - 60}, None),
    ("nbf text", {"nbf": "0"}, Code.NOT_BEFORE_MALFORMED),
    ("nbf null", {"nbf": None}, Code.NOT_BEFORE_MALFORMED),
    ("nbf within the leeway", {"nbf": NOW + 5}, None),
    ("nbf beyond the leeway", {"nbf": NOW + 6}, Code.NOT_YET_VALID),
    ("iat missing", {"iat": MISSING}, Code.ISSUED_AT_MISSING),
    ("iat text", {"iat": str(NOW)}, Code.ISSUED_AT_MALFORMED),
    ("iat after exp", {"iat": NOW + 301}, Code.ISSUED_AT_MALFORMED),
    ("iat a little ahead", {"iat": NOW + 30}, None),
    ("iat further ahead", {"iat": NOW + 31}, Code.ISSUED_IN_FUTURE),
    ("iss with a slash more", {"iss": "{iss}/"}, Code.ISSUER_UNKNOWN),
    ("iss missing", {"iss": MISSING}, Code.ISSUER_MISSING),
    ("iss a list", {"iss": ["{iss}"]}, Code.ISSUER_MISSING),
    ("cnf: it is bound to a key", {"cnf": {"jkt": "x"}}, Code.CONFIRMATION_UNMET),
    ("cnf text", {"cnf": "x"}, Code.CLAIM_MALFORMED),
]

#: What these issuers' tokens live at most, in seconds; a day where nothing is known of them.
LIFETIMES = {"entra": 5700, "entra-v1": 5700}


def sorts_of(profile: Profile) -> dict[str, str]:
    """Of which sort each claim is, by name."""
    claims = profile.claims
    unit = "iso6523" if profile.iso6523 else "orgnr"
    listed = [
        (claims.scope, "scope"),
        (claims.security_level, "level"),
        (claims.pid, "pid"),
        (claims.hpr_number, "hpr_number"),
        (claims.organisation_parent, unit),
        (claims.organisation_child, unit),
        (claims.organisation_supplier, unit),
        (claims.client_name, "text"),
        (claims.tenancy, "text"),
        (claims.authenticated_at, "time"),
        (claims.trust_framework, "object"),
    ]
    named = {name: sort for names, sort in listed for name in names}
    identifiers = (claims.subject, claims.client_id, claims.token_id)
    return {**named, **dict.fromkeys(identifiers, "identifier")}


def cases() -> list[Case]:
    found = []
    for name in profile_names():
        profile = load_profile(name)
        found += [Case(name, what, claims, code) for what, claims, code in ALWAYS]
        for claim, sort in sorts_of(profile).items():
            malformed, code = SORTS[sort]
            for value in malformed:
                # What is empty is as good as nothing where the claim must be there.
                absent = value in EMPTY and sort != "identifier"
                absent = absent and claim in profile.required_claims
                refused = Code.CLAIM_MISSING if absent else code
                found.append(Case(name, f"{claim} = {value!r:.30}", {claim: value}, refused))
        # nbf is there to be required; what identifies is missing where the profile says so.
        found += [
            Case(name, f"{claim} missing", {claim: MISSING}, Code.CLAIM_MISSING)
            for claim in profile.required_claims
            if claim not in {*profile.expected_values}
        ]
        found += [
            Case(name, f"{claim} of another kind of token", {claim: "x"}, Code.NOT_ACCESS_TOKEN)
            for claim in profile.expected_values
        ]
        longest = LIFETIMES.get(name, A_DAY)
        found += [
            Case(name, "as long-lived as it may be", {"exp": NOW + longest}, None),
            Case(
                name, "a second too long-lived", {"exp": NOW + longest + 1}, Code.LIFETIME_TOO_LONG
            ),
        ]
    return found


CASES = cases()


def filled(value: Any, iss: str) -> Any:
    """Put the issuer's name where a case leaves it open."""
    if isinstance(value, str):
        return value.replace("{iss}", iss)
    return [filled(one, iss) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("case", CASES, ids=map(str, CASES))
def test_a_token_of_a_profile(case: Case) -> None:
    issuer, guard = issuer_of(case.profile), guard_of(case.profile)
    iss = issuer.trusted.issuer
    absent = [name for name, value in case.claims.items() if value is MISSING]
    there = {name: filled(value, iss) for name, value in case.claims.items() if name not in absent}

    decision = guard.check_blocking(issuer.request(issuer.token(claims=there, without=absent)))

    assert (decision.refusal and decision.refusal.code) is case.code


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 500
    assert {case.profile for case in CASES} == set(profile_names())
