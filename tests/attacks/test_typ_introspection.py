"""Family TYP, for reference tokens: which form takes which path, and what counts as active."""

from typing import Any, Final

import pytest

from asking import ISSUER, NOW, Asking, answered, claims_of, signed
from keeping import at_home
from portvakt.errors import Refused, Unavailable
from portvakt.net.introspection import Introspection
from portvakt.net.keys import FixedKeys
from portvakt.policy.issuer import TrustedIssuer
from portvakt.refusal import Code

GUARD: Final = ISSUER.guard()
REFERENCE: Final = "ref_1"


async def judged(made: Asking, token: str) -> tuple[str, Code | None]:
    """Judge a token by the path that its form decides: which path, and why it is refused."""
    try:
        issuer = made.introspection.issuer_for(token)
        if issuer is None:
            decision = GUARD.check_blocking(ISSUER.request(token))
            return "jwt", None if decision.refusal is None else decision.refusal.code
        await made.introspection.fetch(issuer, token, 0.0, NOW)
    except (Refused, Unavailable) as error:
        return "reference", error.refusal.code
    return "reference", None


@at_home
@pytest.mark.attack("TYP-08")
async def test_a_malformed_jwt_is_never_asked_about() -> None:
    made = Asking()
    honest = ISSUER.token()
    header, payload, signature = honest.split(".")
    for hostile in (
        f"{header}.{payload}",
        f"{header}.{payload}.",
        f"{header}.{payload}.{signature}.",
        f"{header}.{payload}.{signature[:-4]}AAAA",
        f".{payload}.{signature}",
        f"{header}..{signature}",
        f"{REFERENCE}.",
        f".{REFERENCE}",
        f"{REFERENCE}.x.y",
        f"{honest}.x.y",
        ISSUER.forged("none"),
        ISSUER.forged("expired"),
        ".",
    ):
        # The issuer would vouch for anything.
        made.out.answers[hostile] = claims_of()
        path, code = await judged(made, hostile)
        assert path == "jwt", hostile
        assert code is not None, hostile
    assert made.out.asked == []


@at_home
@pytest.mark.attack("TYP-08")
async def test_a_reference_that_is_refused_or_undecided_is_never_read_as_a_jwt() -> None:
    made = Asking()
    without_dots = ISSUER.token().replace(".", "")
    assert await judged(made, without_dots) == ("reference", Code.TOKEN_INACTIVE)
    made.out.answers[REFERENCE] = answered(b"?")
    assert await judged(made, REFERENCE) == ("reference", Code.INTROSPECTION_UNAVAILABLE)
    for hostile, code in (
        ("x" * 4097, Code.TOKEN_TOO_LONG),
        ("x\u2024y\u2024z", Code.TOKEN_ENCODING),  # dots of another kind
        ("x%2Ey%2Ez", Code.TOKEN_ENCODING),
        ("x\r\nHost: evil", Code.TOKEN_ENCODING),
        ("x&token=y", Code.TOKEN_ENCODING),
    ):
        assert await judged(made, hostile) == ("reference", code)
    assert made.out.asked == [without_dots, REFERENCE]


@at_home
@pytest.mark.attack("TYP-08")
async def test_a_jwt_that_the_issuer_answers_with_is_not_asked_for_and_not_believed() -> None:
    # An access token of the issuer in the place of an answer: signed by it, but no answer.
    made = Asking(signed=True)
    made.out.answers[REFERENCE] = answered(
        ISSUER.token().encode(), "application/token-introspection+jwt"
    )
    assert await judged(made, REFERENCE) == ("reference", Code.INTROSPECTION_UNAVAILABLE)
    # And an answer in the place of an access token.
    answer = signed(claims_of()).body.decode()
    path, code = await judged(made, answer)
    assert (path, code) == ("jwt", Code.TYPE_REFUSED)


@at_home
@pytest.mark.attack("TYP-08")
async def test_a_token_is_shown_to_no_issuer_that_it_may_not_belong_to() -> None:
    made = Asking()
    names = ("https://a.test", "https://b.test")
    issuers = [
        TrustedIssuer(issuer=name, audience="test-api", algorithms=frozenset({"ES256"}))
        for name in names
    ]
    both = Introspection(
        [
            made.endpoint(issuer=issuer, prefix=prefix)
            for issuer, prefix in zip(issuers, ("a_", "b_"), strict=True)
        ],
        keys=FixedKeys({}),
    )
    for hostile in ("c_1", "A_1", "_a_1", ISSUER.token().replace(".", "")):
        with pytest.raises(Refused) as caught:
            both.issuer_for(hostile)
        assert caught.value.refusal.code is Code.ISSUER_UNKNOWN
    # An issuer that vouches for another's token gains nothing: it speaks for itself alone.
    made.out.answers["a_1"] = claims_of(iss="https://b.test")
    with pytest.raises(Refused) as caught:
        await both.fetch(issuers[0], "a_1", 0.0, NOW)
    assert caught.value.refusal.code is Code.ISSUER_CHANGED


@at_home
@pytest.mark.twin("TYP-08")
async def test_each_form_is_admitted_by_its_own_path() -> None:
    made = Asking()
    made.out.answers[REFERENCE] = claims_of()
    assert await judged(made, REFERENCE) == ("reference", None)
    assert await judged(made, ISSUER.token()) == ("jwt", None)
    assert made.out.asked == [REFERENCE]


ACTIVE: Final[list[Any]] = ["true", "True", "yes", "", "1", 1, 1.0, 0, None, [], [True], {}]


@at_home
@pytest.mark.attack("TYP-09")
@pytest.mark.parametrize("how", ["plain", "signed"])
async def test_active_is_true_or_nobody_knows(how: str) -> None:
    made = Asking(signed=how == "signed")
    for active in ACTIVE:
        members = {**claims_of(), "active": active}
        made.out.answers[REFERENCE] = signed(members) if how == "signed" else members
        _, code = await judged(made, REFERENCE)
        assert code is Code.INTROSPECTION_UNAVAILABLE, active
    without = {name: value for name, value in claims_of().items() if name != "active"}
    for members in (without, {**without, "Active": True}, {"token": claims_of()}):
        made.out.answers[REFERENCE] = signed(members) if how == "signed" else members
        assert (await judged(made, REFERENCE))[1] is Code.INTROSPECTION_UNAVAILABLE
    made.out.answers[REFERENCE] = (
        signed({"active": False}) if how == "signed" else {"active": False}
    )
    assert (await judged(made, REFERENCE))[1] is Code.TOKEN_INACTIVE


#: What is missing or wrong in the answer, and why the token is then refused.
CLAIMS: Final = [
    ("aud", None, Code.AUDIENCE_MISSING),
    ("aud", "another-api", Code.AUDIENCE_WRONG),
    ("aud", ["test-api", "another-api"], Code.AUDIENCE_EXTRA),
    ("aud", {"test-api": True}, Code.AUDIENCE_MALFORMED),
    ("iss", None, Code.ISSUER_CHANGED),
    ("iss", "https://evil.test", Code.ISSUER_CHANGED),
    ("exp", None, Code.EXPIRY_MISSING),
    ("exp", NOW - 5, Code.TOKEN_EXPIRED),
    ("exp", str(NOW + 60), Code.EXPIRY_MALFORMED),
    ("exp", NOW + 86400, Code.LIFETIME_TOO_LONG),
    ("nbf", NOW + 60, Code.NOT_YET_VALID),
    ("iat", None, Code.ISSUED_AT_MISSING),
    ("iat", NOW + 60, Code.ISSUED_IN_FUTURE),
    ("sub", None, Code.CLAIM_MISSING),
    ("client_id", None, Code.CLAIM_MISSING),
    ("jti", None, Code.CLAIM_MISSING),
    ("scope", [1], Code.SCOPE_MALFORMED),
    ("cnf", "key", Code.CLAIM_MALFORMED),
    ("nonce", "n", Code.NOT_ACCESS_TOKEN),
    ("events", {}, Code.NOT_ACCESS_TOKEN),
    ("token_type", "N_A", Code.NOT_ACCESS_TOKEN),
    ("token_type", "Refresh", Code.NOT_ACCESS_TOKEN),
    ("token_use", "refresh_token", Code.NOT_ACCESS_TOKEN),
    ("token_type", "DPoP", Code.CLAIM_MISSING),
]


@at_home
@pytest.mark.attack("TYP-09")
@pytest.mark.parametrize(("name", "value", "code"), CLAIMS)
@pytest.mark.parametrize("how", ["plain", "signed"])
async def test_what_is_active_is_checked_as_a_token_is(
    how: str, name: str, value: Any, code: Code
) -> None:
    made = Asking(signed=how == "signed")
    members = {**claims_of(exp=NOW + 100), name: value}
    if name == "exp" and value == NOW - 5:
        members["iat"] = NOW - 100
    if value is None:
        del members[name]
    made.out.answers[REFERENCE] = signed(members) if how == "signed" else members
    assert await judged(made, REFERENCE) == ("reference", code)


@at_home
@pytest.mark.attack("TYP-09")
async def test_what_is_signed_around_the_answer_does_not_fill_what_is_missing_in_it() -> None:
    made = Asking(signed=True)
    claims = claims_of()
    inner = {name: value for name, value in claims.items() if name not in {"aud", "iss", "exp"}}
    made.out.answers[REFERENCE] = signed(inner, aud=ISSUER.trusted.audience, exp=claims["exp"])
    assert (await judged(made, REFERENCE))[1] is Code.ISSUER_CHANGED


@at_home
@pytest.mark.twin("TYP-09")
@pytest.mark.parametrize("how", ["plain", "signed"])
async def test_an_active_token_with_all_its_claims_is_admitted(how: str) -> None:
    made = Asking(signed=how == "signed")
    for more in ({}, {"token_type": "bearer"}, {"username": "x"}, {"nbf": NOW}):
        members = {**claims_of(), **more}
        made.out.answers[REFERENCE] = signed(members) if how == "signed" else members
        assert await judged(made, REFERENCE) == ("reference", None)
