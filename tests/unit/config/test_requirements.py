"""What a route demands, out of its table and [api]: what adds up, and what contradicts."""

from __future__ import annotations

from typing import Any

import pytest

from portvakt import ConfigurationError, Guard, Problem, Requirement
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer(profile="helseid-test", alg="ES256")
PLAIN = FakeIssuer()
EVERYTHING = ["security_level", "pid", "hpr_number", "organisation"]
DECIDED = {"security_level": 4, "require": ["pid"], "ignore": ["hpr_number", "organisation"]}


def guard_of(issuer: FakeIssuer = ISSUER, **tables: Any) -> Guard:
    api = {"audience": "test-api", **tables.pop("api", {})}
    return Guard.from_config(issuer.config(api=api, **tables), clock=issuer.clock)


def problems(issuer: FakeIssuer = ISSUER, **tables: Any) -> list[Problem]:
    with pytest.raises(ConfigurationError) as mistake:
        guard_of(issuer, **tables)
    return list(mistake.value.problems)


def demand(route: dict[str, Any], api: dict[str, Any] | None = None) -> Requirement:
    guard = guard_of(api=api or {}, route=[{"path": "/", **route}])
    return guard.routes.rules[0].requirement


def test_what_tokens_carry_and_nobody_decided_about_is_a_mistake() -> None:
    (found,) = problems(route=[{"path": "/"}])
    assert found.place == "route[0]"
    for name in EVERYTHING:
        assert name in found.message
    (found,) = problems(route=[{"path": "/", **DECIDED, "ignore": ["hpr_number"]}])
    assert found.message.startswith("does not say what it demands of organisation,")
    assert 'require = ["organisation"]' in found.message
    (found,) = problems(api={"require": ["pid"], "ignore": EVERYTHING[2:]})
    assert (found.place, "security_level = 4" in found.message) == ("api", True)


def test_what_is_written_down_anywhere_is_decided() -> None:
    guard_of(api={"ignore": EVERYTHING})
    guard_of(api={"ignore": EVERYTHING}, route=[{"path": "/"}])
    guard_of(route=[{"path": "/", **DECIDED}, {"path": "/x", "public": True}])
    guard_of(api={"ignore": EVERYTHING[2:]}, route=[{"path": "/", **DECIDED, "ignore": []}])
    # Whose number must be the path's, must be there; whose supplier is required, whose parent.
    matching = {**DECIDED, "require": [], "matches_request": {"pid": "path.x"}}
    guard_of(route=[{"path": "/{x}", **matching}])
    supplied = {**DECIDED, "require": ["pid", "supplier"], "ignore": ["hpr_number"]}
    guard_of(route=[{"path": "/", **supplied}])


def test_an_issuer_that_says_nothing_of_people_asks_nothing() -> None:
    guard_of(PLAIN, route=[{"path": "/"}])


def test_what_the_api_demands_every_route_demands() -> None:
    api = {
        "scopes": ["a"],
        "security_level": 4,
        "require": ["pid"],
        "ignore": ["hpr_number", "organisation"],
        "sensitivity": "low",
    }
    found = demand({"scopes": ["b"], "require": ["hpr_number"]}, api)
    assert found.scopes == {"a", "b"}
    assert found.security_level == 4
    assert found.identities == ("pid", "hpr_number")
    assert found.max_lifetime == 24 * 3600
    assert demand({"sensitivity": "high", "sender_constraint": "mtls"}, api).bound is True


@pytest.mark.parametrize(
    ("api", "route", "place", "message"),
    [
        ({"security_level": 4}, {"security_level": 3}, "route[0].security_level", "of [api], 4"),
        ({}, {"security_level": 2}, "route[0].security_level", "sensitivity normal needs, 3"),
        (
            {},
            {"security_level": 3, "sensitivity": "high"},
            "route[0].security_level",
            "sensitivity high needs, 4",
        ),
        ({"sensitivity": "secret"}, {}, "api.sensitivity", "one of low, normal, high"),
        ({}, {"sensitivity": "none"}, "route[0].sensitivity", "one of low, normal, high"),
        ({"require": ["pid"]}, {"ignore": ["pid"]}, "route[0].ignore", "[api] requires pid"),
        ({}, {"ignore": ["pid"]}, "route[0].ignore[0]", "is required as well"),
        ({}, {"ignore": ["pidd"]}, "route[0].ignore[0]", "known are security_level, pid"),
        ({}, {"require": ["pid", "name"]}, "route[0].require", "known are pid, hpr_number"),
        ({}, {"any_scopes": ["a b"]}, "route[0].any_scopes[0]", "is not one scope"),
        ({}, {"clients": []}, "route[0].clients", "empty does not mean any"),
        ({}, {"organisations": ["91789746"]}, "route[0].organisations", "nine digits"),
        ({}, {"suppliers": ["x"]}, "route[0].suppliers", "nine digits"),
        ({}, {"units": {"917897468": ["1"]}}, "route[0].units", "nine digits"),
        ({}, {"units": {"917897468": []}}, "route[0].children", "empty does not mean any"),
        ({}, {"registers": ["x"]}, "route[0].registers[0]", "there are: none"),
        ({}, {"unsafe_on_unavailable": "admit"}, "route[0].unsafe_on_unavailable", "name some"),
        ({}, {"unsafe_on_unavailable": "x"}, "route[0].unsafe_on_unavailable", '"refuse" or'),
        ({}, {"matches_request": {"name": "path.x"}}, "route[0].matches_request", "known are"),
        ({}, {"matches_request": {"pid": "x"}}, "route[0].matches_request.pid", "path.NAME"),
        ({}, {"claims": [{"claim": "a"}]}, "route[0].claims[0]", "must have one of present"),
        ({}, {"claims": [{"present": True}]}, "route[0].claims[0]", "present needs a claim"),
        (
            {},
            {"claims": [{"claim": "a", "present": False}]},
            "route[0].claims[0].present",
            "must be true",
        ),
        (
            {},
            {"claims": [{"claim": "a", "equals": 1, "at_least": 1}]},
            "route[0].claims[0]",
            "must have one of",
        ),
        (
            {},
            {"claims": [{"claim": "a", "any_of": [{"claim": "a", "equals": 1}]}]},
            "route[0].claims[0]",
            "any_of takes no claim",
        ),
        ({}, {"claims": [{"any_of": []}]}, "route[0].claims[0].any_of", "at least one rule"),
        ({}, {"claims": [{"claim": "a", "one_of": []}]}, "route[0].claims[0].one_of", "at least"),
        (
            {},
            {"claims": [{"all_of": [{"any_of": [{"claim": "a"}]}]}]},
            "route[0].claims[0].all_of[0].any_of[0]",
            "must have one of",
        ),
    ],
)
def test_a_demand_that_contradicts_or_cannot_be_met_is_named(
    api: dict[str, Any], route: dict[str, Any], place: str, message: str
) -> None:
    found = problems(api=api, route=[{"path": "/", **DECIDED, **route}])
    assert any(one.place == place and message in one.message for one in found), found


@pytest.mark.parametrize(
    "route",
    [
        {"security_level": 4},
        {"require": ["pid"]},
        {"clients": ["a"]},
        {"any_scopes": ["a"]},
        {"claims": [{"claim": "a", "equals": 1}]},
        {"sensitivity": "low"},
        {"ignore": ["pid"]},
    ],
)
def test_a_public_route_demands_nothing(route: dict[str, Any]) -> None:
    found = problems(route=[{"path": "/", "public": True, **route}])
    assert [one for one in found if "a public route admits everyone" in one.message]


def test_rules_of_every_kind_are_compiled() -> None:
    claims = [
        {"claim": "a", "present": True},
        {"claim": ["a", "b"], "equals": "x"},
        {"claim": "a", "one_of": ["x", 1, True]},
        {"claim": "a", "at_least": 3},
        {"any_of": [{"claim": "a", "equals": 1}, {"all_of": [{"claim": "b", "present": True}]}]},
    ]
    found = demand({**DECIDED, "claims": claims})
    names = [type(rule).__name__ for rule in found.rules]
    assert names == ["Present", "Equals", "OneOf", "AtLeast", "AnyOf"]


def test_machines_ignore_the_level_by_name_whatever_the_sensitivity() -> None:
    high = {"sensitivity": "high", "sender_constraint": "mtls"}
    found = demand({"ignore": EVERYTHING, **high})
    assert (found.security_level, found.bound) == (0, True)
