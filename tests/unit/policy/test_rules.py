"""Rules about claims, and about a claim and the request: what holds, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from portvakt import AccessToken, ConfigurationError, HttpRequest
from portvakt.policy.rules import (
    AllOf,
    AnyOf,
    AtLeast,
    Equals,
    MatchesRequest,
    OneOf,
    Present,
    Rule,
)
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer(profile="helseid-test", alg="ES256")
EVERYTHING = ["security_level", "pid", "hpr_number", "organisation"]
GUARD = ISSUER.guard(api={"audience": "test-api", "ignore": EVERYTHING})
REQUEST = HttpRequest(method="GET", url="/")
PID, OTHER = "17056600574", "03851598730"


def token_with(without: Any = (), **claims: Any) -> AccessToken:
    text = ISSUER.token(claims=claims, without=without)
    token = GUARD.check_blocking(ISSUER.request(text)).token
    assert token is not None
    return token


def holds(rule: Rule, token: AccessToken) -> bool:
    objection = rule.objection(token, REQUEST, {})
    assert objection is None or isinstance(objection, str)
    return objection is None


@pytest.mark.parametrize("value", [0, False, "x", ["x"], {"a": 1}, 0.0, [None]])
def test_what_is_there_is_present(value: Any) -> None:
    assert holds(Present("claim"), token_with(claim=value))


@pytest.mark.parametrize("value", [None, "", [], {}])
def test_what_is_empty_is_not(value: Any) -> None:
    assert not holds(Present("claim"), token_with(claim=value))
    assert not holds(Present("claim"), token_with())


def test_several_names_lead_into_an_object() -> None:
    token = token_with(realm_access={"roles": ["doctor"]}, flat="x")
    assert holds(Equals(("realm_access", "roles"), "doctor"), token)
    assert not holds(Present(("realm_access", "groups")), token)
    assert not holds(Present(("flat", "roles")), token)
    assert not holds(Present(("nothing", "roles")), token)


@pytest.mark.parametrize(
    ("value", "demanded", "met"),
    [
        ("a", "a", True),
        ("a", "A", False),
        ("ab", "a", False),
        (["b", "a"], "a", True),
        (["b"], "a", False),
        ([], "a", False),
        ([["a"]], "a", False),
        ({"a": 1}, "a", False),
        (1, 1, True),
        (1.0, 1, True),
        (1, "1", False),
        ("1", 1, False),
        (True, True, True),
        (True, 1, False),
        (1, True, False),
        (0, False, False),
        (None, False, False),
        ("true", True, False),
    ],
)
def test_equality_is_of_value_and_type(value: Any, demanded: Any, met: bool) -> None:
    token = token_with(claim=value)
    assert holds(Equals("claim", demanded), token) is met
    assert holds(OneOf("claim", ("never", demanded)), token) is met
    assert not holds(Equals("claim", demanded), token_with())


@pytest.mark.parametrize(
    ("value", "met"),
    [(3, True), (2.5, True), (4, True), (2.4, False), ("3", False), (True, False), ([3], False)],
)
def test_at_least_is_about_numbers(value: Any, met: bool) -> None:
    assert holds(AtLeast("claim", 2.5), token_with(claim=value)) is met
    assert not holds(AtLeast("claim", 2.5), token_with())


def test_a_number_beyond_all_others_is_compared_and_said() -> None:
    # Of 20 digits at the most in a token; what a policy demands has no such bound.
    assert holds(AtLeast("claim", 2**53), token_with(claim=2**53 + 1))
    assert not holds(AtLeast("claim", 2**53 + 1), token_with(claim=float(2**53)))
    assert not holds(AtLeast("claim", 10**400), token_with(claim=1e308))
    assert not holds(Equals("claim", 2**53 + 1), token_with(claim=float(2**53)))


def test_all_and_any() -> None:
    yes, no = Equals("claim", 1), Equals("claim", 2)
    token = token_with(claim=1)
    assert holds(AllOf((yes, yes)), token)
    assert not holds(AllOf((yes, no)), token)
    assert holds(AnyOf((no, yes)), token)
    assert not holds(AnyOf((no, no)), token)
    assert holds(AnyOf((AllOf((no,)), AllOf((yes, AnyOf((no, yes)))))), token)


@pytest.mark.parametrize(
    "make",
    [
        lambda: AllOf(()),
        lambda: AllOf([Present("a")]),  # type: ignore[arg-type]
        lambda: AllOf(Present("a")),  # type: ignore[arg-type]
        lambda: AnyOf(rule for rule in [Present("a")]),  # type: ignore[arg-type]
        lambda: AnyOf((Present("a"), None)),  # type: ignore[arg-type]
        lambda: AnyOf((Present,)),  # type: ignore[arg-type]
        lambda: AnyOf(()),
        lambda: OneOf("claim", ()),
        lambda: OneOf("claim", "abc"),  # type: ignore[arg-type]
        lambda: OneOf("claim", (None,)),  # type: ignore[arg-type]
        lambda: Equals("claim", None),  # type: ignore[arg-type]
        lambda: Equals("claim", ["a"]),  # type: ignore[arg-type]
        lambda: Equals("claim", float("nan")),
        lambda: OneOf("claim", (1, float("inf"))),
        lambda: AtLeast("claim", float("nan")),
        lambda: AtLeast("claim", float("inf")),
        lambda: AtLeast("claim", True),
        lambda: AtLeast("claim", "1"),  # type: ignore[arg-type]
        lambda: Present(""),
        lambda: Present(()),
        lambda: Present(("a", "")),
        lambda: Present(("a", 1)),  # type: ignore[arg-type]
        lambda: Present(["a"]),  # type: ignore[arg-type]
        lambda: Present(1),  # type: ignore[arg-type]
        lambda: MatchesRequest(["pid"], "path.pid"),  # type: ignore[arg-type]
        lambda: MatchesRequest("pid", None),  # type: ignore[arg-type]
    ],
)
def test_a_rule_that_decides_nothing_cannot_be_made(make: Any) -> None:
    with pytest.raises(ConfigurationError):
        make()


def matches(
    rule: MatchesRequest, url: str = "/", headers: tuple[tuple[str, str], ...] = (), **path: str
) -> bool:
    request = HttpRequest(method="GET", url=url, headers=headers)
    return rule.objection(TOKEN, request, path) is None


TOKEN = token_with(**{"helseid://claims/identity/pid": PID, "sub": "somebody"})


@pytest.mark.parametrize(
    ("value", "met"),
    [
        (PID, True),
        (OTHER, False),
        ("", False),
        (f" {PID}", False),
        (f"{PID}%00", False),
        ("%31%37056600574", True),  # the same, decoded once, as an application does
        ("%2531%2537056600574", False),
        (f"{PID}/..", False),
        (f"{PID}%ff", False),
    ],
)
def test_the_path_names_whom_the_token_is_about(value: str, met: bool) -> None:
    assert matches(MatchesRequest("pid", "path.pid"), pid=value) is met
    assert not matches(MatchesRequest("pid", "path.other"), pid=value)


@pytest.mark.parametrize(
    ("query", "met"),
    [
        (f"pid={PID}", True),
        (f"a=1&pid={PID}&b=2", True),
        (f"%70id={PID}", True),
        (f"pid={OTHER}", False),
        (f"pid={PID}&pid={OTHER}", False),  # which one the application reads, nobody knows
        (f"pid={PID}&pid={PID}", False),
        (f"pid={PID}&%70id={OTHER}", False),
        (f"pid={PID};pid={OTHER}", False),
        (f"x={PID}", False),
        ("pid", False),
        ("", False),
        (f"PID={PID}", False),
        (f"pid=+{PID}", False),
        (f"pid={PID}%20", False),
        (f"pid={PID}&&other", True),
        (f"?pid={PID}", False),
        # Some servers hand a fragment on as a part of the query.
        (f"pid={PID}#", False),
        (f"pid={PID}#&pid={OTHER}", False),
        (f"#pid={PID}", False),
        # ASP.NET, PHP and others read the second one as pid too.
        (f"pid={PID}&PID={OTHER}", False),
        (f"pid={PID}&%50id={OTHER}", False),
        (f"pid={PID}&pid[]={OTHER}", False),
        (f"pid={PID}&pid%5B0%5D={OTHER}", False),
        (f"pid={PID}&+pid={OTHER}", False),
        (f"pid={PID}&pid%00x={OTHER}", False),
        (f"pid={PID}&pıd={OTHER}&spid={OTHER}&pids={OTHER}", True),
        (f"pid[]={PID}", False),
        # What is no UTF-8 may be read as anything.
        (f"pid={PID}&%ff={OTHER}", False),
        (f"pid={PID}%ff", False),
        (f"pid={PID}&other=%ff", True),
    ],
)
def test_the_query_names_them_exactly_once(query: str, met: bool) -> None:
    assert matches(MatchesRequest("pid", "query.pid"), url=f"/?{query}") is met


@pytest.mark.parametrize(
    ("headers", "met"),
    [
        ((("X-Pid", PID),), True),
        ((("x-pid", PID),), True),
        ((("X-Pid", OTHER),), False),
        ((("X-Pid", PID), ("X-Pid", OTHER)), False),
        ((("X-Pid", PID), ("X_Pid", OTHER)), False),  # WSGI folds the two into one
        ((("X-Pid", PID), ("X.Pid", OTHER)), False),  # as CGI does with other marks
        ((("X_Pid", PID),), False),  # who does not fold them finds no X-Pid here
        ((("X-Pid", PID), ("X-Pids", OTHER), ("XPid", OTHER), ("X-Pad", OTHER)), True),
        ((("X-Pid", f"{PID} "),), False),
        ((("X-Pid", f"{PID},{OTHER}"),), False),
        ((), False),
    ],
)
def test_a_header_names_them_exactly_once(headers: tuple[tuple[str, str], ...], met: bool) -> None:
    assert matches(MatchesRequest("pid", "header.X-Pid"), headers=headers) is met


@pytest.mark.parametrize(
    ("identity", "value"),
    [
        ("pid", PID),
        ("hpr_number", "431001110"),
        ("hpr_number", "00431001110"),  # leading zeros change nothing
        ("organisation", "100100673"),
        ("organisation_child", "999977774"),
        ("supplier", "313745392"),
        ("subject", "somebody"),
        ("client_id", "test-client"),
    ],
)
def test_each_part_of_an_identity_can_be_compared(identity: str, value: str) -> None:
    rule = MatchesRequest(identity, "path.it")
    assert matches(rule, it=value)
    assert not matches(rule, it=value + "0")


@pytest.mark.parametrize(
    ("value", "met"),
    [
        *(("9144900", True), ("009144900", True), ("9144901", False), ("9144900 ", False)),
        *(("", False), ("0", False), ("00", False), ("-9144900", False), ("+9144900", False)),
        *(("९१४४९००", False), ("٠9144900", False), ("09144900.0", False)),
    ],
)
def test_leading_zeros_of_health_personnel_change_nothing_and_all_else_does(
    value: str, met: bool
) -> None:
    for claim in ("9144900", "009144900"):
        token = token_with(**{"helseid://claims/hpr/hpr_number": claim})
        rule = MatchesRequest("hpr_number", "path.hpr")
        assert (rule.objection(token, REQUEST, {"hpr": value}) is None) is met


def test_what_the_token_does_not_say_matches_nothing() -> None:
    nobody = token_with(
        without=(
            "sub",
            "helseid://claims/identity/pid",
            "helseid://claims/hpr/hpr_number",
            "helseid://claims/client/claims/orgnr_parent",
            "helseid://claims/client/claims/orgnr_child",
            "helseid://claims/client/claims/orgnr_supplier",
        )
    )
    for identity in ("pid", "hpr_number", "organisation", "supplier", "subject"):
        for value in ("", "None", "0"):
            rule = MatchesRequest(identity, "path.it")
            assert rule.objection(nobody, REQUEST, {"it": value}) is not None


def test_no_objection_holds_a_value() -> None:
    rules: list[Rule] = [
        Equals("name", "x"),
        OneOf("name", ("x",)),
        AtLeast("name", 1),
        AnyOf((Equals("name", "x"),)),
        MatchesRequest("pid", "path.pid"),
    ]
    token = token_with(name="kanari", **{"helseid://claims/identity/pid": PID})
    for rule in rules:
        objection = rule.objection(token, REQUEST, {"pid": OTHER})
        assert objection is not None
        assert "kanari" not in objection
        assert PID not in objection
        assert OTHER not in objection
