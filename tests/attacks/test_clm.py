"""Family CLM: genuine tokens whose claims are wrong, missing or of the wrong kind."""

import json
from typing import Any, Final

import pytest

from portvakt import (
    Code,
    ConfigurationError,
    Decision,
    FixedKeys,
    Guard,
    JwkSet,
    Requirement,
    TrustedIssuer,
)
from portvakt.jose.header import Header
from portvakt.net.keys import KeySource
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
GUARD: Final = ISSUER.guard()
NOW: Final = int(ISSUER.clock())
ME: Final = "test-api"
READ: Final = Requirement.of(scopes=["read"])

HONEST: Final[dict[str, Any]] = {
    "iss": "https://issuer.test",
    "aud": ME,
    "sub": "user",
    "client_id": "client",
    "jti": "id",
    "iat": NOW,
    "exp": NOW + 300,
}
ABSENT: Final = object()


def guard_with(**issuer: Any) -> Guard:
    """Make a guard whose policy for the issuer is changed."""
    config = ISSUER.config()
    config["issuer"][0].update(issuer)
    return Guard.from_config(config, clock=ISSUER.clock)


def token(**claims: Any) -> str:
    """Sign honest claims with changes; a claim that is ABSENT is left out."""
    merged = {name: value for name, value in {**HONEST, **claims}.items() if value is not ABSENT}
    return ISSUER.builder().payload(json.dumps(merged).encode()).build()


def judge(compact: str, guard: Guard = GUARD, requirement: Requirement | None = None) -> Decision:
    return guard.check_blocking(ISSUER.request(compact), requirement)


def code_of(decision: Decision) -> Code | None:
    assert decision.token is None or decision.admitted
    return None if decision.refusal is None else decision.refusal.code


#: Values that are no time, in every JSON type.
NO_TIME: Final[list[Any]] = [
    str(NOW + 300), "", "now", True, False, None, [NOW + 300], [], {}, {"exp": NOW + 300},
]  # fmt: skip

#: Values that are no text, in every JSON type.
NO_TEXT: Final[list[Any]] = [1, 0, 1.5, True, False, ["a", "b"], ["user"], [], {}, {"sub": "user"}]


def test_the_claims_these_tests_break_are_admitted_unbroken() -> None:
    assert judge(token()).admitted


# --- Times ---------------------------------------------------------------------------------------


@pytest.mark.attack("CLM-01")
@pytest.mark.parametrize(
    ("leeway", "exp"),
    [("5s", -5), ("5s", -6), ("5s", -86400), ("0s", 0), ("0s", -1), ("0s", -0.001)],
)
def test_an_expired_token_is_refused(leeway: str, exp: float) -> None:
    expired = token(iat=NOW + exp - 100, exp=NOW + exp)
    assert code_of(judge(expired, guard_with(leeway=leeway))) is Code.TOKEN_EXPIRED


@pytest.mark.twin("CLM-01")
@pytest.mark.parametrize(("leeway", "exp"), [("5s", -4), ("5s", 0), ("0s", 1), ("0s", 0.001)])
def test_a_token_within_the_leeway_is_admitted(leeway: str, exp: float) -> None:
    assert judge(token(iat=NOW - 100, exp=NOW + exp), guard_with(leeway=leeway)).admitted


@pytest.mark.attack("CLM-02")
def test_a_token_that_never_expires_is_refused() -> None:
    assert code_of(judge(token(exp=ABSENT))) is Code.EXPIRY_MISSING
    assert code_of(judge(token(exp=ABSENT, Exp=NOW + 300))) is Code.EXPIRY_MISSING
    assert code_of(judge(token(exp=ABSENT, expires_in=300))) is Code.EXPIRY_MISSING


@pytest.mark.attack("CLM-03")
@pytest.mark.parametrize("exp", NO_TIME, ids=repr)
def test_an_expiry_of_the_wrong_kind_is_never_taken_for_absent(exp: Any) -> None:
    assert code_of(judge(token(exp=exp))) is Code.EXPIRY_MALFORMED


@pytest.mark.attack("CLM-04")
@pytest.mark.parametrize("number", ["1e400", "NaN", "Infinity", "-Infinity", "-1e400", "1e999999"])
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_a_time_that_is_no_finite_number_is_refused(name: str, number: str) -> None:
    text = json.dumps({**HONEST, name: "?"}).replace('"?"', number)
    refused = judge(ISSUER.builder().payload(text.encode()).build())
    # NaN and Infinity are no JSON, so that even the issuer cannot be read.
    assert code_of(refused) in {Code.PAYLOAD_JSON, Code.ISSUER_MISSING}


@pytest.mark.attack("CLM-05")
@pytest.mark.parametrize(
    ("exp", "code"),
    [
        ((NOW + 300) * 1000, Code.EXPIRY_MALFORMED),
        (10**12, Code.EXPIRY_MALFORMED),
        (253402300800, Code.EXPIRY_MALFORMED),
        (253402300799.5, Code.EXPIRY_MALFORMED),
        (2**63 - 1, Code.EXPIRY_MALFORMED),
        (2**63, Code.EXPIRY_MALFORMED),
        (2**64, Code.EXPIRY_MALFORMED),
        (1e30, Code.EXPIRY_MALFORMED),
        (10**50, Code.PAYLOAD_JSON),
        (253402300799, Code.LIFETIME_TOO_LONG),
    ],
)
def test_an_expiry_beyond_the_calendar_is_refused(exp: float, code: Code) -> None:
    assert code_of(judge(token(exp=exp))) is code


@pytest.mark.attack("CLM-06")
@pytest.mark.parametrize("exp", [-1, 0, -0.5, -(2**63), -1e300, NOW - 5.5, NOW - 5.0])
def test_a_past_expiry_of_any_form_has_expired(exp: float) -> None:
    assert code_of(judge(token(iat=min(exp, NOW - 10), exp=exp))) is Code.TOKEN_EXPIRED


@pytest.mark.attack("CLM-06")
def test_no_rounding_lengthens_a_life() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    request = issuer.request(issuer.builder().claims(iat=NOW, exp=NOW + 10.5).build())
    issuer.clock.set(NOW + 15.4)
    assert guard.check_blocking(request).admitted
    issuer.clock.set(NOW + 15.5)
    assert code_of(guard.check_blocking(request)) is Code.TOKEN_EXPIRED


@pytest.mark.twin("CLM-02", "CLM-03", "CLM-04", "CLM-05", "CLM-06")
@pytest.mark.parametrize("exp", [NOW + 0.5, NOW + 300.25, float(NOW + 60), NOW + 3600, NOW - 4.5])
def test_whole_and_fractional_expiries_ahead_are_admitted(exp: float) -> None:
    assert judge(token(iat=NOW - (exp < NOW) * 60, exp=exp)).admitted


@pytest.mark.twin("CLM-06")
def test_a_time_in_exponent_notation_is_admitted() -> None:
    text = json.dumps(HONEST).replace(str(NOW + 300), f"{(NOW + 300) / 1e9}e9")
    assert judge(ISSUER.builder().payload(text.encode()).build()).admitted


@pytest.mark.attack("CLM-07")
@pytest.mark.parametrize("nbf", [NOW + 6, NOW + 5.001, NOW + 86400, NOW * 1000, 2**63, 1e300])
def test_a_token_that_is_not_valid_yet_is_refused(nbf: float) -> None:
    assert code_of(judge(token(nbf=nbf))) is Code.NOT_YET_VALID


@pytest.mark.attack("CLM-07")
@pytest.mark.parametrize("nbf", NO_TIME, ids=repr)
def test_a_start_of_the_wrong_kind_is_never_taken_for_absent(nbf: Any) -> None:
    assert code_of(judge(token(nbf=nbf))) is Code.NOT_BEFORE_MALFORMED


@pytest.mark.twin("CLM-07")
@pytest.mark.parametrize("nbf", [NOW, NOW + 5, NOW - 1, 0, -1, NOW - 0.5, ABSENT], ids=str)
def test_a_token_whose_start_is_reached_is_admitted(nbf: Any) -> None:
    assert judge(token(nbf=nbf)).admitted


@pytest.mark.attack("CLM-08")
@pytest.mark.parametrize(
    ("iat", "exp", "code"),
    [
        (ABSENT, NOW + 300, Code.ISSUED_AT_MISSING),
        (NOW + 31, NOW + 300, Code.ISSUED_IN_FUTURE),
        (NOW + 86400, NOW + 86700, Code.ISSUED_IN_FUTURE),
        (NOW + 301, NOW + 300, Code.ISSUED_AT_MALFORMED),
        (NOW * 1000, NOW + 300, Code.ISSUED_AT_MALFORMED),
        (2**64, NOW + 300, Code.ISSUED_AT_MALFORMED),
    ],
    ids=str,
)
def test_a_token_issued_never_or_in_the_future_is_refused(iat: Any, exp: int, code: Code) -> None:
    assert code_of(judge(token(iat=iat, exp=exp))) is code


@pytest.mark.attack("CLM-08")
@pytest.mark.parametrize("iat", NO_TIME, ids=repr)
def test_a_time_of_issue_of_the_wrong_kind_is_refused(iat: Any) -> None:
    assert code_of(judge(token(iat=iat))) is Code.ISSUED_AT_MALFORMED


@pytest.mark.twin("CLM-08")
@pytest.mark.parametrize("iat", [NOW, NOW + 30, NOW - 3000, NOW - 0.5])
def test_a_token_issued_about_now_is_admitted(iat: float) -> None:
    assert judge(token(iat=iat)).admitted


@pytest.mark.attack("CLM-09")
@pytest.mark.parametrize(("iat", "exp"), [(0, 3601), (0, 315_360_000), (-3600, 1), (-NOW, 300)])
def test_a_token_that_lives_too_long_is_refused(iat: int, exp: int) -> None:
    assert code_of(judge(token(iat=NOW + iat, exp=NOW + exp))) is Code.LIFETIME_TOO_LONG


@pytest.mark.attack("CLM-09")
def test_a_shorter_limit_of_the_policy_holds() -> None:
    guard = guard_with(max_lifetime="5m")
    assert judge(token(exp=NOW + 300), guard).admitted
    assert code_of(judge(token(exp=NOW + 301), guard)) is Code.LIFETIME_TOO_LONG


@pytest.mark.twin("CLM-09")
def test_a_token_as_long_lived_as_allowed_is_admitted() -> None:
    assert judge(token(exp=NOW + 3600)).admitted
    assert judge(token(exp=NOW + 86400), guard_with(max_lifetime="24h")).admitted


@pytest.mark.attack("CLM-10")
@pytest.mark.parametrize(
    "leeway", ["-1s", "301s", "6m", "1h", "inf", "nan", "infs", "-0.5s", "", "5 parsecs", None, []]
)
def test_a_leeway_that_is_no_difference_between_clocks_is_refused(leeway: Any) -> None:
    with pytest.raises(ConfigurationError, match="leeway"):
        guard_with(leeway=leeway)


@pytest.mark.attack("CLM-10")
@pytest.mark.parametrize("number", [float("inf"), float("nan"), -float("inf"), -0.1, 300.1, 1e308])
@pytest.mark.parametrize("name", ["leeway", "max_age_ahead", "max_lifetime"])
def test_a_policy_with_such_a_number_cannot_be_constructed(name: str, number: float) -> None:
    if name == "max_lifetime" and number == 300.1:
        number = 0.0
    with pytest.raises(ConfigurationError, match=name):
        TrustedIssuer(
            issuer="https://issuer.test",
            audience=ME,
            algorithms=frozenset({"ES256"}),
            **{name: number},  # type: ignore[arg-type]  # one float attribute, named by the test
        )


@pytest.mark.twin("CLM-10")
@pytest.mark.parametrize("leeway", ["0s", "5s", "300s", "5m"])
def test_a_sensible_leeway_is_accepted(leeway: str) -> None:
    assert judge(token(), guard_with(leeway=leeway)).admitted


# --- Issuer --------------------------------------------------------------------------------------


@pytest.mark.attack("CLM-11")
@pytest.mark.parametrize(
    ("iss", "code"),
    [
        (ABSENT, Code.ISSUER_MISSING),
        (None, Code.ISSUER_MISSING),
        (1, Code.ISSUER_MISSING),
        (True, Code.ISSUER_MISSING),
        ({}, Code.ISSUER_MISSING),
        ({"iss": "https://issuer.test"}, Code.ISSUER_MISSING),
        ("https://other.test", Code.ISSUER_UNKNOWN),
        ("", Code.ISSUER_UNKNOWN),
    ],
    ids=str,
)
def test_a_token_of_nobody_we_trust_is_refused(iss: Any, code: Code) -> None:
    assert code_of(judge(token(iss=iss))) is code


@pytest.mark.attack("CLM-12")
@pytest.mark.parametrize(
    "iss",
    [
        "https://issuer", "https://", "h", "https://issuer.test.evil", "https://issuer.test/x",
        "issuer.test", "evil https://issuer.test", "https://issuer.test https://evil.test", "test",
    ],
)  # fmt: skip
def test_a_part_or_an_extension_of_the_issuer_is_another(iss: str) -> None:
    assert code_of(judge(token(iss=iss))) is Code.ISSUER_UNKNOWN


@pytest.mark.attack("CLM-13")
@pytest.mark.parametrize(
    "iss",
    [
        ["https://issuer.test", "https://evil.test"], ["https://evil.test", "https://issuer.test"],
        ["https://issuer.test"], [["https://issuer.test"]], [],
    ],
)  # fmt: skip
def test_an_array_of_issuers_is_refused(iss: list[Any]) -> None:
    assert code_of(judge(token(iss=iss))) is Code.ISSUER_MISSING


@pytest.mark.attack("CLM-14")
@pytest.mark.parametrize(
    "iss",
    [
        "https://issuer.test/", "https://Issuer.test", "HTTPS://issuer.test", "http://issuer.test",
        "https://issuer.test:443", "https://issuer%2etest", "https://user@issuer.test",
        "https://issuer.test.", "https://xn--issuer-test", "https://issuer.test ",
        " https://issuer.test", "https://issuer.test\t", "https://issuer.test#", "//issuer.test",
        "https://issuer.test?", "https://issuer.test/.", "https:\\\\issuer.test",
    ],
)  # fmt: skip
def test_a_look_alike_of_the_issuer_is_another(iss: str) -> None:
    assert code_of(judge(token(iss=iss))) is Code.ISSUER_UNKNOWN


@pytest.mark.twin("CLM-11", "CLM-12", "CLM-13", "CLM-14", "CLM-17")
@pytest.mark.parametrize("name", ["https://issuer.test/", "https://Issuer.test:443/a?b", "x"])
def test_an_issuer_is_known_by_exactly_its_name(name: str) -> None:
    issuer = FakeIssuer(name)
    decision = issuer.guard().check_blocking(issuer.request(issuer.token()))
    assert decision.token is not None
    assert decision.token.issuer == name


def two_issuers() -> tuple[FakeIssuer, FakeIssuer, Guard]:
    """Return two issuers whose keys have the same names, and a guard that trusts both."""
    one, other = FakeIssuer("https://one.test"), FakeIssuer("https://two.test")
    config = one.config()
    config["issuer"] += other.config()["issuer"]
    return one, other, Guard.from_config(config, clock=one.clock)


@pytest.mark.attack("CLM-15", "KEY-21")
def test_one_trusted_issuer_cannot_sign_for_another() -> None:
    one, other, guard = two_issuers()
    mixed = one.builder().signed_by(other.signer)
    assert code_of(judge(mixed.build(), guard)) is Code.SIGNATURE_INVALID
    named = mixed.header(kid="only-of-two")
    assert code_of(judge(named.build(), guard)) is Code.KEY_UNKNOWN
    swapped = other.builder().claims(iss=one.trusted.issuer)
    assert code_of(judge(swapped.build(), guard)) is Code.SIGNATURE_INVALID


@pytest.mark.twin("CLM-15", "KEY-21", "CLM-24")
def test_each_of_two_issuers_is_admitted_with_its_own_key() -> None:
    one, other, guard = two_issuers()
    first, second = judge(one.token(), guard).token, judge(other.token(), guard).token
    assert first is not None
    assert second is not None
    assert (first.issuer, second.issuer) == ("https://one.test", "https://two.test")


class RecordingKeys(KeySource):
    """A source of keys that notes whose keys it is asked for."""

    def __init__(self, keys: FixedKeys) -> None:
        self._keys = keys
        self.asked: list[str] = []

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        self.asked.append(issuer.issuer)
        return self._keys.current(issuer)

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        raise AssertionError(issuer.issuer)


@pytest.mark.attack("CLM-17", "API-06")
def test_nobody_is_asked_about_an_issuer_that_is_not_trusted() -> None:
    keys = RecordingKeys(
        FixedKeys({ISSUER.trusted.issuer: JwkSet.from_object(ISSUER.jwks(), ["ES256"])})
    )
    guard = Guard(issuers=[ISSUER.trusted], keys=keys, clock=ISSUER.clock)
    for iss in (
        "https://attacker.test/",
        "file:///etc/passwd",
        "' OR 1=1 --",
        "https://Issuer.test",
    ):
        assert code_of(judge(token(iss=iss), guard)) is Code.ISSUER_UNKNOWN
    assert keys.asked == []
    assert judge(token(), guard).admitted
    assert set(keys.asked) == {ISSUER.trusted.issuer}


# --- Audience ------------------------------------------------------------------------------------


@pytest.mark.attack("CLM-18")
@pytest.mark.parametrize(
    ("aud", "code"),
    [
        (ABSENT, Code.AUDIENCE_MISSING),
        (None, Code.AUDIENCE_MISSING),
        ("", Code.AUDIENCE_MISSING),
        ([], Code.AUDIENCE_MISSING),
        ([""], Code.AUDIENCE_WRONG),
        ("unspecified", Code.AUDIENCE_WRONG),
        ("*", Code.AUDIENCE_WRONG),
    ],
    ids=str,
)
def test_a_token_for_nobody_is_refused(aud: Any, code: Code) -> None:
    assert code_of(judge(token(aud=aud))) is code


@pytest.mark.attack("CLM-19")
@pytest.mark.parametrize(
    "aud",
    [
        [ME, 1], [1, ME], [ME, None], [[ME]], [ME, []], [ME, {}], {ME: 1}, {"aud": ME}, {}, True,
        False, 0, 1, 1.5, [None], [True],
    ],
    ids=str,
)  # fmt: skip
def test_an_audience_of_the_wrong_kind_is_refused_whole(aud: Any) -> None:
    assert code_of(judge(token(aud=aud))) is Code.AUDIENCE_MALFORMED


@pytest.mark.attack("CLM-20")
@pytest.mark.parametrize(
    "aud",
    [
        "test", "test-ap", "est-api", "test-api2", "test-api.evil", "https://test-api", "Test-Api",
        "test-api ", " test-api", "test-api/", "test-api,other", "test-api other", "t",
    ],
)  # fmt: skip
def test_an_audience_that_resembles_this_api_is_another(aud: str) -> None:
    assert code_of(judge(token(aud=aud))) is Code.AUDIENCE_WRONG
    assert code_of(judge(token(aud=[aud]))) is Code.AUDIENCE_WRONG


@pytest.mark.attack("CLM-21", "TYP-05")
def test_a_token_for_another_resource_is_refused_on_every_path() -> None:
    elsewhere = token(aud="other-api", scope="read")
    guard = ISSUER.guard(route=[{"path": "/", "scopes": ["read"]}, {"path": "/{any:path}"}])
    for url in ("/", "/anything", "/a/b"):
        for _ in range(2):  # first sight, and again
            decision = guard.check_blocking(ISSUER.request(elsewhere, url=url))
            assert code_of(decision) is Code.AUDIENCE_WRONG
    assert code_of(judge(elsewhere, requirement=READ)) is Code.AUDIENCE_WRONG


@pytest.mark.attack("CLM-22")
@pytest.mark.parametrize(
    ("aud", "code"),
    [
        ([ME, "other"], Code.AUDIENCE_EXTRA),
        (["other", ME], Code.AUDIENCE_EXTRA),
        ([ME, ""], Code.AUDIENCE_EXTRA),
        ([ME, *(f"api{index}" for index in range(1000))], Code.AUDIENCE_EXTRA),
        ([ME, *(f"api{index}" for index in range(10_000))], Code.TOKEN_TOO_LONG),
        (["account"], Code.AUDIENCE_WRONG),
        ("account", Code.AUDIENCE_WRONG),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_token_shared_with_unlisted_apis_is_refused(aud: Any, code: Code) -> None:
    assert code_of(judge(token(aud=aud), guard_with(other_audiences=["account"]))) is code


@pytest.mark.twin("CLM-18", "CLM-19", "CLM-20", "CLM-21", "CLM-22", "TYP-05")
@pytest.mark.parametrize("aud", [ME, [ME], [ME, "account"], ["account", ME]], ids=str)
def test_a_token_for_this_api_and_listed_ones_is_admitted(aud: Any) -> None:
    decision = judge(token(aud=aud), guard_with(other_audiences=["account"]))
    assert decision.token is not None
    assert ME in decision.token.audience


@pytest.mark.attack("CLM-35", "CLM-21")
@pytest.mark.parametrize(
    "audience", [None, "", [], ["test-api"], "*", "unspecified", 0, False, " "]
)
def test_a_policy_without_an_audience_is_refused(audience: Any) -> None:
    for config in (ISSUER.config(api={"audience": audience}), ISSUER.config(api={})):
        with pytest.raises(ConfigurationError, match="audience"):
            Guard.from_config(config)
    with pytest.raises(ConfigurationError, match="audience"):
        guard_with(audience=audience)


@pytest.mark.attack("CLM-35")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("issuer", None), ("issuer", ""), ("issuer", []), ("algorithms", None), ("algorithms", []),
        ("algorithms", ""), ("algorithms", ["none"]), ("typ", []), ("typ", None), ("typ", [""]),
        ("jwks", None), ("jwks", {}), ("jwks", {"keys": []}), ("required_claims", None),
    ],
    ids=str,
)  # fmt: skip
def test_a_policy_without_something_to_compare_with_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError):
        guard_with(**{name: value})


@pytest.mark.twin("CLM-35")
def test_a_complete_policy_is_accepted() -> None:
    assert judge(token(aud="other"), guard_with(audience="other")).admitted


# --- Who and which -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("sub", marks=pytest.mark.attack("CLM-23")),
        pytest.param("client_id", marks=pytest.mark.attack("CLM-25")),
        pytest.param("jti", marks=pytest.mark.attack("CLM-26")),
    ],
)
def test_an_identifier_missing_or_of_the_wrong_kind_is_refused(name: str) -> None:
    assert code_of(judge(token(**{name: ABSENT}))) is Code.CLAIM_MISSING
    for value in (None, "", "x" * 1025, "x" * 10_000, *NO_TEXT):
        assert code_of(judge(token(**{name: value}))) is Code.CLAIM_MALFORMED, value
    assert code_of(judge(token(**{name: "x" * 1_000_000}))) is Code.TOKEN_TOO_LONG


@pytest.mark.parametrize("name", ["sub", "client_id", "jti"])
@pytest.mark.attack("CLM-23", "CLM-25", "CLM-26")
def test_what_is_not_required_is_still_refused_when_malformed(name: str) -> None:
    lenient = guard_with(required_claims=[])
    assert judge(token(**{name: ABSENT}), lenient).admitted
    for value in ("", None, *NO_TEXT):
        assert code_of(judge(token(**{name: value}), lenient)) is Code.CLAIM_MALFORMED, value


@pytest.mark.attack("CLM-25")
def test_another_name_for_the_client_does_not_stand_in() -> None:
    for name in ("azp", "appid", "cid", "Client_id"):
        assert code_of(judge(token(client_id=ABSENT, **{name: "client"}))) is Code.CLAIM_MISSING


@pytest.mark.twin("CLM-23", "CLM-25", "CLM-26")
@pytest.mark.parametrize(
    "value",
    [
        *("x", "x" * 1024, "0", "blåbær", " ", "true", "null", "Ola Nordmann", "a\\b/c", 'a"b'),
        # What real issuers send: HelseID and Keycloak, Auth0, Entra, Google, Cognito, Azure DevOps.
        "f5b8a1f8-9d5c-4e0c-9a4b-3f5d1a2b3c4d",
        "auth0|507f1f77bcf86cd799439011",
        "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
        "10769150350006150715113082367",
        "eu-north-1:0f6c8a3e-0000-4000-8000-000000000000",
        "CN=Ærlig Utsteder,O=Helse Nord,C=NO",
        *("Καλημέρα", "世界", "مرحبا", "שלום", "हिन्दी", "🙂"),
    ],
)
def test_any_text_of_bounded_length_identifies(value: str) -> None:
    decision = judge(token(sub=value, client_id=value, jti=value))
    assert decision.token is not None
    assert decision.token.subject == decision.token.client_id == decision.token.token_id == value


@pytest.mark.attack("CLM-28", "CLM-35")
@pytest.mark.parametrize("value", ["", [], {}, None, ABSENT], ids=str)
def test_a_required_claim_that_says_nothing_is_missing(value: Any) -> None:
    guard = guard_with(required_claims=["sub", "security_level"])
    assert code_of(judge(token(security_level=value), guard)) is Code.CLAIM_MISSING


@pytest.mark.twin("CLM-28", "CLM-35")
@pytest.mark.parametrize(
    "value", [False, 0, 0.0, True, 4, "4", "0", " ", ["4"], [""], {"a": ""}], ids=str
)
def test_a_required_claim_that_says_anything_is_there(value: Any) -> None:
    guard = guard_with(required_claims=["sub", "security_level"])
    assert judge(token(security_level=value), guard).admitted
    # What nobody requires may say nothing.
    assert judge(token(other=value, more="")).admitted


@pytest.mark.attack("CLM-24")
def test_a_client_that_takes_a_users_name_is_not_that_user() -> None:
    one, other, guard = two_issuers()
    user = judge(one.token(claims={"sub": "alice", "client_id": "web"}), guard).token
    client = judge(one.token(claims={"sub": "alice", "client_id": "alice"}), guard).token
    stranger = judge(other.token(claims={"sub": "alice", "client_id": "web"}), guard).token
    assert user is not None
    assert client is not None
    assert stranger is not None
    identities = {(each.issuer, each.subject, each.client_id) for each in (user, client, stranger)}
    assert len(identities) == 3
    assert user not in (client, stranger)


@pytest.mark.attack("CLM-29")
@pytest.mark.parametrize(
    "name", ["email", "upn", "preferred_username", "name", "oid", "unique_name"]
)
def test_an_identity_that_its_holder_can_change_does_not_stand_in_for_sub(name: str) -> None:
    assert code_of(judge(token(sub=ABSENT, **{name: "alice"}))) is Code.CLAIM_MISSING


@pytest.mark.twin("CLM-29")
def test_mutable_identities_beside_sub_change_nothing() -> None:
    decision = judge(token(email="admin@example.test", upn="admin", name="admin"))
    assert decision.token is not None
    assert (decision.token.issuer, decision.token.subject) == ("https://issuer.test", "user")


# --- What it grants ------------------------------------------------------------------------------

#: What grants nothing when "read" is demanded.
NOT_READ: Final[list[Any]] = [
    ABSENT, "", [], "Read", "READ", "readwrite", "rea", "xread", "read:*", "read/*", "*", "re*d",
    "/read", "/a/../read", "read/", "read,write", "read\twrite", "read\nwrite", "read\u00a0write",
    '"read"', "'read'", "read;write", "%72ead", "read\u0000", "read\u200b", "ｒead", ["read write"],
    ["write", "Read"], ["read\n"], [" read"],
]  # fmt: skip


@pytest.mark.attack("CLM-27")
@pytest.mark.parametrize("scope", NOT_READ, ids=lambda scope: repr(scope)[:20])
def test_a_scope_that_is_not_exactly_the_one_demanded_grants_nothing(scope: Any) -> None:
    decision = judge(token(scope=scope), requirement=READ)
    assert code_of(decision) is Code.SCOPE_INSUFFICIENT
    assert decision.response is not None
    assert decision.response.status == 403


@pytest.mark.attack("CLM-27")
@pytest.mark.parametrize(
    "scope",
    [
        "read  write", " read", "read ", "  ", " ", None, 1, True, False, {}, {"read": True},
        ["read", 1], ["read", None], [["read"]], ["read", ["write"]], ["read", ""], [""],
    ],
    ids=repr,
)  # fmt: skip
def test_a_malformed_scope_is_refused_even_where_none_is_demanded(scope: Any) -> None:
    assert code_of(judge(token(scope=scope))) is Code.SCOPE_MALFORMED
    assert code_of(judge(token(scope=scope), requirement=READ)) is Code.SCOPE_MALFORMED


@pytest.mark.attack("CLM-27")
@pytest.mark.parametrize("name", ["scp", "scopes", "Scope", "permissions", "roles"])
def test_another_claim_does_not_stand_in_for_scope(name: str) -> None:
    decision = judge(token(**{name: "read"}), requirement=READ)
    assert code_of(decision) is Code.SCOPE_INSUFFICIENT


@pytest.mark.twin("CLM-27")
@pytest.mark.parametrize(
    "scope", ["read", "write read", "read write", ["read"], ["write", "read"], "read read"], ids=str
)
def test_a_scope_among_others_is_admitted(scope: Any) -> None:
    assert judge(token(scope=scope), requirement=READ).admitted
    assert judge(token()).admitted  # absent is none, which is enough where none is demanded


#: Claims that some API might take for a permission if it only looked whether they are true.
LOOSE: Final[list[dict[str, Any]]] = [
    {"admin": "false"}, {"admin": True}, {"admin": 1}, {"roles": "admin"}, {"roles": ["admin"]},
    {"scope": "write", "read": True}, {"groups": {"admin": True}}, {"is_superuser": "0"},
]  # fmt: skip


@pytest.mark.attack("CLM-28")
@pytest.mark.parametrize("claims", LOOSE, ids=str)
def test_a_claim_that_is_true_somehow_grants_nothing(claims: dict[str, Any]) -> None:
    assert code_of(judge(token(**claims), requirement=READ)) is Code.SCOPE_INSUFFICIENT


@pytest.mark.twin("CLM-28")
@pytest.mark.parametrize("claims", LOOSE, ids=str)
def test_claims_keep_the_type_they_were_written_in(claims: dict[str, Any]) -> None:
    decision = judge(token(**claims))
    assert decision.token is not None
    for name, value in claims.items():
        handed = decision.token.claims[name]
        assert handed == (tuple(value) if isinstance(value, list) else value)
        assert isinstance(handed, bool) == isinstance(value, bool)


@pytest.mark.attack("CLM-30")
@pytest.mark.parametrize(
    "cnf",
    [
        {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, {"x5t#S256": "A" * 43}, {},
        {"kid": "k"}, {"jwk": {}}, {"unknown": 1}, {"jkt": ""}, {"jkt": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_bound_token_is_never_taken_for_a_bearer_token(cnf: dict[str, Any]) -> None:
    guard = ISSUER.guard()
    bound = token(cnf=cnf)
    for _ in range(2):  # first sight, and again
        assert code_of(judge(bound, guard)) is Code.CONFIRMATION_UNMET
        assert code_of(judge(bound, guard, READ)) is Code.CONFIRMATION_UNMET


@pytest.mark.attack("CLM-30")
@pytest.mark.parametrize("cnf", [None, "", "jkt", 0, False, [], [{"jkt": "x"}]], ids=repr)
def test_a_binding_of_the_wrong_kind_is_never_taken_for_absent(cnf: Any) -> None:
    assert code_of(judge(token(cnf=cnf))) is Code.CLAIM_MALFORMED


@pytest.mark.twin("CLM-30")
def test_a_token_that_is_bound_to_nothing_is_admitted() -> None:
    assert judge(token()).admitted
    assert judge(token(CNF={"jkt": "x"}, nested={"cnf": {"jkt": "x"}})).admitted


def actors(depth: int) -> dict[str, Any]:
    act: dict[str, Any] = {"sub": "innermost"}
    for _ in range(depth - 1):
        act = {"sub": "actor", "act": act}
    return act


@pytest.mark.attack("CLM-31")
@pytest.mark.parametrize("depth", [16, 17, 100])
def test_a_long_chain_of_actors_is_refused(depth: int) -> None:
    assert code_of(judge(token(act=actors(depth)))) is Code.PAYLOAD_JSON


@pytest.mark.attack("CLM-31")
def test_an_actor_grants_nothing() -> None:
    act = {"sub": "admin", "scope": "read", "act": {"sub": "root", "scope": "read"}}
    assert code_of(judge(token(act=act), requirement=READ)) is Code.SCOPE_INSUFFICIENT


@pytest.mark.twin("CLM-31")
@pytest.mark.parametrize("depth", [1, 3, 15])
def test_a_short_chain_of_actors_is_admitted(depth: int) -> None:
    decision = judge(token(act=actors(depth)))
    assert decision.token is not None
    assert decision.token.subject == "user"


DETAILS: Final[list[Any]] = [
    {"type": "read", "actions": ["read"]}, [{"type": "unknown", "actions": ["read"]}], [{}], "read",
    [{"actions": ["read"]}], ["read"], None, [None], [{"type": ["read"], "scope": "read"}],
]  # fmt: skip


@pytest.mark.attack("CLM-33")
@pytest.mark.parametrize("details", DETAILS, ids=str)
def test_authorization_details_that_nobody_asks_for_grant_nothing(details: Any) -> None:
    decision = judge(token(authorization_details=details, scope="write"), requirement=READ)
    assert code_of(decision) is Code.SCOPE_INSUFFICIENT


@pytest.mark.twin("CLM-33")
@pytest.mark.parametrize("details", DETAILS, ids=str)
def test_authorization_details_beside_a_scope_do_no_harm(details: Any) -> None:
    assert judge(token(authorization_details=details, scope="read"), requirement=READ).admitted


@pytest.mark.attack("CLM-34", "DOS-07")
def test_no_claim_is_matched_by_a_pattern() -> None:
    evil = "a" * 5000 + "!"
    for _ in range(3):  # nothing remembers where an earlier match ended
        assert code_of(judge(token(iss=evil))) is Code.ISSUER_UNKNOWN
        assert code_of(judge(token(aud=evil))) is Code.AUDIENCE_WRONG
        assert code_of(judge(token(sub=evil))) is Code.CLAIM_MALFORMED
        assert code_of(judge(token(scope=evil), requirement=READ)) is Code.SCOPE_INSUFFICIENT
        assert code_of(judge(token(iss="https://issuer.tes."))) is Code.ISSUER_UNKNOWN
        assert code_of(judge(token(aud=".*"))) is Code.AUDIENCE_WRONG


@pytest.mark.attack("CLM-34")
@pytest.mark.parametrize("name", ["test.api", "test-ap[i]", ".*", "^test-api$", "(a+)+"])
def test_a_configured_audience_is_text_and_no_pattern(name: str) -> None:
    guard = guard_with(audience=name)
    assert code_of(judge(token(aud="test-api"), guard)) is Code.AUDIENCE_WRONG
    assert judge(token(aud=name), guard).admitted


@pytest.mark.twin("CLM-34", "DOS-07")
def test_the_same_token_is_admitted_every_time() -> None:
    assert all(judge(token(jti=str(index % 3))).admitted for index in range(9))
