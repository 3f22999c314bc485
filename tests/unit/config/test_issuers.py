"""A table over its profile: what is filled in, what overrides, and what is named as wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portvakt import ConfigurationError, Guard, TrustedIssuer
from portvakt.config.compile import compile_policy
from portvakt.config.load import read_data
from portvakt.policy.identifiers import PersonKind
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from pathlib import Path

    from portvakt.config.issuer_schema import IssuerTable

EVERYTHING = ["security_level", "pid", "hpr_number", "organisation"]
KEYS = FakeIssuer(alg="RS256").jwks()


def trusted(*, sensitivity: str = "normal", **table: Any) -> TrustedIssuer:
    api = {"audience": "api", "ignore": EVERYTHING, "sensitivity": sensitivity}
    guard = Guard.from_config({"api": api, "issuer": [{"jwks": KEYS, **table}]})
    return next(iter(guard.issuers.values()))


def mistakes(**table: Any) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as mistake:
        trusted(**table)
    return {problem.place: problem.message for problem in mistake.value.problems}


def test_a_profile_is_enough() -> None:
    issuer = trusted(profile="helseid")
    assert issuer.issuer == "https://helseid-sts.nhn.no"
    assert issuer.types == {"at+jwt", "jwt"}
    assert "nbf" in issuer.required_claims
    assert issuer.identity is not None
    assert issuer.identity.persons.kinds == {PersonKind.FODSELSNUMMER, PersonKind.D_NUMBER}
    assert issuer.acr_values == ((3, "Level3"), (4, "Level4"))


def test_every_setting_overrides_the_profile() -> None:
    issuer = trusted(
        profile="helseid",
        issuer="https://sts.example.no",
        algorithms=["RS256", "PS256"],
        typ=["at+jwt"],
        required_claims=["sub"],
        leeway="1s",
        max_lifetime="5m",
        other_audiences=["x"],
        audience="y",
        person_kinds=["tenor-synthetic"],
        strict_check_digits=False,
    )
    assert (issuer.issuer, issuer.audience) == ("https://sts.example.no", "y")
    assert issuer.algorithms == {"RS256", "PS256"}
    assert issuer.types == {"at+jwt"}
    assert issuer.required_claims == {"sub"}
    assert issuer.leeway == 1.0
    assert (issuer.max_lifetime, issuer.known_lifetime) == (300.0, 300.0)
    assert issuer.other_audiences == {"x"}
    assert issuer.identity is not None
    assert issuer.identity.persons.kinds == {PersonKind.TENOR_SYNTHETIC}
    assert issuer.identity.strict_check_digits is False
    assert issuer.identity.persons.strict_check_digits is False


def test_without_a_profile_it_is_the_standard() -> None:
    issuer = trusted(issuer="https://sts.example.no", algorithms=["RS256"])
    assert issuer.types == {"at+jwt"}
    assert issuer.leeway == 5.0
    assert issuer.required_claims == {"sub", "client_id", "jti"}
    assert issuer.identity is None


@pytest.mark.parametrize(("sensitivity", "seconds"), [("low", 86400), ("normal", 3600)])
def test_without_a_lifetime_the_sensitivity_decides(sensitivity: str, seconds: int) -> None:
    issuer = trusted(profile="helseid", sensitivity=sensitivity)
    assert (issuer.max_lifetime, issuer.known_lifetime) == (seconds, 0.0)


def test_what_an_issuer_is_known_to_issue_is_allowed() -> None:
    issuer = trusted(profile="entra", issuer="https://login.example/v2.0")
    assert (issuer.max_lifetime, issuer.known_lifetime) == (5700.0, 5700.0)


def published(**table: Any) -> IssuerTable:
    api = {"audience": "api", "ignore": EVERYTHING}
    policy = compile_policy(read_data({"api": api, "issuer": [table]}))
    return next(iter(policy.published.values()))


def test_hosts_that_all_issuers_of_a_kind_use_are_known() -> None:
    table = {"profile": "entra-v1", "issuer": "https://sts.windows.net/t/"}
    hosts = ("login.microsoftonline.com", "login.windows.net")
    assert published(**table).jwks_hosts == hosts
    assert published(**table, jwks_uri="https://login.windows.net/keys").jwks_hosts == ()


def test_an_audience_may_be_named_after_the_issuer() -> None:
    issuer = trusted(profile="auth0", issuer="https://t.auth0.com/")
    assert issuer.other_audiences == {"https://t.auth0.com/userinfo"}


PROFILE = """
title = "Ours"
about = "Our own issuer."
production = true
issuer = "https://ours.example.no"
algorithms = ["RS256"]

[claims]
client_id = "azp"
pid = ["person"]
"""


def test_a_profile_of_ones_own_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ours.toml"
    file.write_text(PROFILE)
    issuer = trusted(profile=str(file), required_claims=["azp"])
    assert (issuer.issuer, issuer.client_claim) == ("https://ours.example.no", "azp")
    assert issuer.identity is not None
    assert issuer.identity.carried == {"pid"}


def test_a_profile_file_that_is_wrong_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ours.toml"
    for text, message in [
        (PROFILE.replace("pid =", "pidd ="), "unknown key; did you mean pid?"),
        (PROFILE.replace("title =", "titel ="), "unknown key; did you mean title?"),
        (PROFILE.replace('"Ours"', "1"), "malformed"),
        (PROFILE.replace('"Ours"', '"Ours'), "not TOML"),
        (PROFILE.replace('["RS256"]', "[]"), "at least one algorithm"),
        (PROFILE.replace('issuer = "https://ours.example.no"', ""), "issuer_hint"),
        (PROFILE + "[levels]\nhigh = 4\n", "levels and a claim"),
        (PROFILE + 'security_level = ["acr"]\n[levels]\nhigh = 5\n', "from 1 to 4"),
        (PROFILE + '[acr_values]\nhigh = "x"\n', "by level"),
        ("#" * 70_000, "longer than"),
    ]:
        file.write_text(text)
        found = mistakes(profile=str(file))
        assert list(found) == ["issuer[0].profile"], text
        assert message in found["issuer[0].profile"]
    file.unlink()
    assert "No such file" in mistakes(profile=str(file))["issuer[0].profile"]
    assert "null" in mistakes(profile="a\0.toml")["issuer[0].profile"]


@pytest.mark.parametrize(
    ("table", "place", "message"),
    [
        ({"profile": "helsid"}, "issuer[0].profile", "did you mean helseid?"),
        ({"profile": "zzzzzz"}, "issuer[0].profile", "known are auth0, "),
        ({"profile": "keycloak"}, "issuer[0].issuer", "as https://HOST/realms/REALM"),
        ({"issuer": "https://x.no"}, "issuer[0].algorithms", "is missing"),
        ({"algorithms": ["RS256"]}, "issuer[0].issuer", "is missing"),
        (
            {"profile": "helseid", "person_kinds": ["tenor-sintetic"]},
            "issuer[0].person_kinds[0]",
            "did you mean tenor-synthetic?",
        ),
        (
            {"profile": "helseid", "person_kinds": ["?"]},
            "issuer[0].person_kinds[0]",
            "known are fodselsnummer",
        ),
        (
            {"issuer": "https://x.no", "algorithms": ["RS256"], "person_kinds": ["d-number"]},
            "issuer[0].person_kinds",
            "needs a profile",
        ),
        (
            {"issuer": "https://x.no", "algorithms": ["RS256"], "strict_check_digits": True},
            "issuer[0].strict_check_digits",
            "needs a profile",
        ),
    ],
)
def test_what_is_wrong_is_named(table: dict[str, Any], place: str, message: str) -> None:
    found = mistakes(**table)
    assert message in found[place]
    assert len(found) == 1


def test_where_keys_are_is_one_statement() -> None:
    # What a profile says of it holds for the issuer it is about, and not beside what a table says.
    api = {"audience": "api", "ignore": EVERYTHING}
    guard = Guard.from_config({"api": api, "issuer": [{"profile": "maskinporten"}]})
    (health,) = guard.health().keys
    assert health.source == "https://maskinporten.no/.well-known/oauth-authorization-server"
    other = {"profile": "maskinporten", "issuer": "https://other.example.no"}
    (health,) = Guard.from_config({"api": api, "issuer": [other]}).health().keys
    assert health.source.startswith("https://other.example.no/")
