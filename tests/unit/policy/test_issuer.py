"""A policy is complete, or it does not exist."""

from typing import Any

import pytest

from portvakt import ConfigurationError, TrustedIssuer

COMPLETE: dict[str, Any] = {
    "issuer": "https://issuer.test",
    "audience": "api",
    "algorithms": frozenset({"ES256"}),
}

#: Nothing tells an access token of this issuer from its ID tokens.
NOTHING_TOLD: dict[str, Any] = {"types": frozenset({"jwt"}), "refused_claims": frozenset()}


def test_the_complete_one_exists_with_the_defaults_of_the_design() -> None:
    issuer = TrustedIssuer(**COMPLETE)
    assert issuer.types == {"at+jwt"}
    assert (issuer.leeway, issuer.max_lifetime, issuer.max_age_ahead) == (5, 3600, 30)
    assert issuer.required_claims == {"sub", "client_id", "jti"}
    assert issuer.other_audiences == frozenset()


@pytest.mark.parametrize("missing", sorted(COMPLETE))
def test_what_decides_who_gets_in_has_no_default(missing: str) -> None:
    with pytest.raises(TypeError):
        TrustedIssuer(**{name: value for name, value in COMPLETE.items() if name != missing})


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        ({"issuer": ""}, "issuer", "exact value"),
        ({"issuer": "https://a b"}, "issuer", "exact value"),
        ({"issuer": "x" * 257}, "issuer", "exact value"),
        ({"issuer": 'a"b'}, "issuer", "exact value"),
        ({"audience": ""}, "audience", "name of this API"),
        ({"audience": "*"}, "audience", "no value for any API"),
        ({"audience": "unspecified"}, "audience", "no value for any API"),
        ({"other_audiences": frozenset({"*"})}, "other_audiences", "each listed"),
        ({"other_audiences": frozenset({""})}, "other_audiences", "each listed"),
        ({"algorithms": frozenset()}, "algorithms", "empty does not mean all"),
        ({"algorithms": frozenset({"none"})}, "algorithms", "no signature"),
        ({"algorithms": frozenset({"NoNe"})}, "algorithms", "no signature"),
        ({"algorithms": frozenset({"HS256"})}, "algorithms", "shared secret"),
        ({"algorithms": frozenset({"ES256K"})}, "algorithms", "not a known"),
        ({"algorithms": frozenset({"es256"})}, "algorithms", "not a known"),
        ({"types": frozenset()}, "typ", "empty does not mean all"),
        ({"types": frozenset({"JWT"})}, "typ", "write jwt"),
        ({"types": frozenset({"application/at+jwt"})}, "typ", "write at+jwt"),
        ({"leeway": -0.1}, "leeway", "between 0 and 300"),
        ({"leeway": 300.1}, "leeway", "between 0 and 300"),
        ({"leeway": float("nan")}, "leeway", "between 0 and 300"),
        ({"leeway": float("inf")}, "leeway", "between 0 and 300"),
        ({"max_lifetime": 0.0}, "max_lifetime", "more than nothing"),
        ({"max_lifetime": float("inf")}, "max_lifetime", "more than nothing"),
        ({"max_lifetime": 367 * 86400.0}, "max_lifetime", "more than nothing"),
        ({"client_claim": ""}, "client_claim", "must name a claim"),
        ({"scope_claims": ()}, "scope_claims", "at least one claim"),
        ({"scope_claims": ("scp", "")}, "scope_claims", "at least one claim"),
        ({"expected_values": (("ver", frozenset()),)}, "expected_values", "at least one value"),
        ({"expected_values": (("", frozenset({"2"})),)}, "expected_values", "name a claim"),
        ({"max_age_ahead": -1.0}, "max_age_ahead", "between 0 and 300"),
        ({"max_age_ahead": 301.0}, "max_age_ahead", "between 0 and 300"),
        ({"known_lifetime": -1.0}, "known_lifetime", "between nothing and max_lifetime"),
        ({"known_lifetime": 3601.0}, "known_lifetime", "between nothing and max_lifetime"),
        ({"known_lifetime": float("nan")}, "known_lifetime", "between nothing and max_lifetime"),
        ({"subject_claim": ""}, "subject_claim", "name a claim"),
        ({"client_claim": ""}, "client_claim", "name a claim"),
        ({"token_id_claim": ""}, "token_id_claim", "name a claim"),
        ({"scope_claims": ()}, "scope_claims", "at least one"),
        ({"scope_claims": ("scope", "")}, "scope_claims", "at least one"),
        ({"expected_values": (("typ", frozenset()),)}, "expected_values", "at least one"),
        ({"expected_values": (("", frozenset({"x"})),)}, "expected_values", "at least one"),
        ({"acr_values": ((4, 'a"b'),)}, "acr_values", "without quotes"),
        ({"acr_values": ((4, "a\\"),)}, "acr_values", "without quotes"),
        ({"acr_values": ((4, "a\r\nX: y"),)}, "acr_values", "without quotes"),
        ({"acr_values": ((4, ""),)}, "acr_values", "without quotes"),
        (NOTHING_TOLD, "refused_claims", "tell it from an ID token"),
        (
            {**NOTHING_TOLD, "types": frozenset({"at+jwt", "absent"})},
            "refused_claims",
            "tell it from an ID token",
        ),
    ],
)
def test_what_is_empty_unknown_or_out_of_range_is_named(
    change: dict[str, Any], place: str, message: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        TrustedIssuer(**COMPLETE | change)
    (problem,) = error.value.problems
    assert problem.place == place
    assert message in problem.message


@pytest.mark.parametrize(
    "change",
    [
        {"leeway": 0.0},
        {"leeway": 300.0},
        {"max_lifetime": 366 * 86400.0},
        {"max_age_ahead": 0.0},
        {"max_age_ahead": 300.0},
        {"issuer": "x" * 256},
        {"types": frozenset({"jwt", "absent"})},
        {"other_audiences": frozenset({"account"})},
        {"required_claims": frozenset()},
        {"known_lifetime": 3600.0},
        {"scope_claims": ("scp", "roles")},
        {"refused_claims": frozenset()},
        {**NOTHING_TOLD, "expected_values": (("typ", frozenset({"Bearer"})),)},
        {**NOTHING_TOLD, "refused_claims": frozenset({"nonce"})},
        {"acr_values": ((3, "Level3"), (4, "Level4"))},
        {"leeway": 5, "max_lifetime": 60, "max_age_ahead": 0},
    ],
)
def test_the_honest_neighbours_exist(change: dict[str, Any]) -> None:
    TrustedIssuer(**COMPLETE | change)


@pytest.mark.attack("API-04")
@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"algorithms": "ES256"}, "algorithms"),
        ({"algorithms": ["ES256"]}, "algorithms"),
        ({"algorithms": {"ES256"}}, "algorithms"),
        ({"algorithms": frozenset({b"ES256"})}, "algorithms"),
        ({"types": "at+jwt"}, "typ"),
        ({"types": ("at+jwt",)}, "typ"),
        ({"other_audiences": "https://other.example"}, "other_audiences"),
        ({"other_audiences": frozenset({None})}, "other_audiences"),
        ({"required_claims": "sub"}, "required_claims"),
        ({"required_claims": []}, "required_claims"),
        ({"required_claims": None}, "required_claims"),
        ({"issuer": None}, "issuer"),
        ({"audience": frozenset({"api"})}, "audience"),
        ({"leeway": "5s"}, "leeway"),
        ({"max_lifetime": True}, "max_lifetime"),
        ({"max_age_ahead": None}, "max_age_ahead"),
        ({"known_lifetime": "95m"}, "known_lifetime"),
        ({"subject_claim": ("sub",)}, "subject_claim"),
        ({"client_claim": None}, "client_claim"),
        ({"token_id_claim": 1}, "token_id_claim"),
        ({"scope_claims": "scope"}, "scope_claims"),
        ({"scope_claims": ["scope"]}, "scope_claims"),
        ({"scope_claims": ("scope", None)}, "scope_claims"),
        ({"refused_claims": "nonce"}, "refused_claims"),
        ({"refused_claims": ["nonce"]}, "refused_claims"),
        ({"expected_values": {"typ": {"Bearer"}}}, "expected_values"),
        ({"expected_values": (("typ", "Bearer"),)}, "expected_values"),
        ({"expected_values": (("typ", {"Bearer"}),)}, "expected_values"),
        ({"expected_values": (("typ", frozenset({True})),)}, "expected_values"),
        ({"expected_values": ((1, frozenset({"Bearer"})),)}, "expected_values"),
        ({"expected_values": (("typ",),)}, "expected_values"),
        ({"expected_values": ("typ",)}, "expected_values"),
        ({"acr_values": {4: "Level4"}}, "acr_values"),
        ({"acr_values": (("4", "Level4"),)}, "acr_values"),
        ({"acr_values": ((4, None),)}, "acr_values"),
    ],
)
def test_what_is_of_another_type_is_no_policy(change: dict[str, Any], place: str) -> None:
    # As a string, "at+jwt" would allow every part of it, and so would "Bearer".
    with pytest.raises(ConfigurationError) as error:
        TrustedIssuer(**COMPLETE | change)
    (problem,) = error.value.problems
    assert problem.place == place
    assert problem.message.startswith("must be ")


def test_all_flaws_are_reported_at_once() -> None:
    with pytest.raises(ConfigurationError) as error:
        TrustedIssuer(issuer="", audience="*", algorithms=frozenset({"none", "HS256"}))
    assert len(error.value.problems) == 4
