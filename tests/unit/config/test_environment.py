from collections.abc import Callable

import pytest

from portvakt.config.compile import Policy
from portvakt.errors import Problem

Compile = Callable[..., Policy]
Problems = Callable[..., tuple[Problem, ...]]


def test_a_variable_sets_what_the_file_says_otherwise(compiled: Compile, text: str) -> None:
    environ = {
        "PORTVAKT_API__AUDIENCE": "nhn:test",
        "PORTVAKT_ISSUER__0__LEEWAY": "10s",
        "PORTVAKT_ROUTE__0__METHODS": '["PUT", "GET"]',
        "PORTVAKT_ROUTE__1__PUBLIC": "false",
        "PORTVAKT_ROUTE__0__SCOPES__0": "nhn:journal/write",
    }
    policy = compiled(text, environ)
    assert policy.realm == "nhn:test"
    assert policy.issuers[0].audience == "nhn:test"
    assert policy.issuers[0].leeway == 10.0
    assert policy.routes.rules[0].methods == frozenset({"PUT", "GET"})
    assert policy.routes.rules[0].requirement.scopes == {"nhn:journal/access", "nhn:journal/write"}
    assert not policy.routes.rules[1].public


def test_a_variable_makes_the_table_that_the_file_lacks(compiled: Compile, text: str) -> None:
    issuers = text[text.index("[[issuer]]") :]
    assert compiled(issuers, {"PORTVAKT_API__AUDIENCE": "nhn:test"}).realm == "nhn:test"


def test_a_part_is_set_on_top_of_the_whole(compiled: Compile, text: str) -> None:
    environ = {
        "PORTVAKT_API__AUDIENCE": "part",
        "PORTVAKT_API": '{ audience = "whole", scopes = ["s"] }',
    }
    policy = compiled(text, environ)
    assert policy.realm == "part"
    assert policy.routes.rules[0].requirement.scopes == {"s", "nhn:journal/read"}


@pytest.mark.parametrize(
    "name", ["PORTVAKT_CONFIG", "PATH", "portvakt_api__audience", "XPORTVAKT_API__AUDIENCE"]
)
def test_other_variables_are_not_looked_at(compiled: Compile, text: str, name: str) -> None:
    assert compiled(text, {name: "other"}).realm == "nhn:journal"


def test_a_line_break_adds_no_second_setting(compiled: Compile, text: str) -> None:
    environ = {"PORTVAKT_ISSUER__0__REQUIRED_CLAIMS": '["sub"]\nleeway = "200s"'}
    with pytest.raises(Exception, match="must be a list"):
        compiled(text, environ)


@pytest.mark.parametrize(
    ("name", "value", "place", "message"),
    [
        ("PORTVAKT_ISSUER__0__LEEWEY", "5s", "issuer[0].leewey", "did you mean leeway?"),
        ("PORTVAKT_APIS__AUDIENCE", "x", "apis", "did you mean api?"),
        ("PORTVAKT_AUDIENCE", "x", "audience", "is not known"),
        ("PORTVAKT_", "x", '""', "is not known"),
        ("PORTVAKT_ISSUER__0__LEEWAY", "5", "issuer[0].leeway", "not a number"),
        ("PORTVAKT_ISSUER__0__LEEWAY", "1h", "issuer[0].leeway", "between 0 and 300 seconds"),
        ("PORTVAKT_API__AUDIENCE", "*", "api.audience", "no value for any API"),
        ("PORTVAKT_ROUTE__1__PUBLIC", "yes", "route[1].public", "true or false, not text"),
        ("PORTVAKT_API", "{}", "api.audience", "is missing"),
        ("PORTVAKT_ISSUER__0__ALGORITHMS", '["none"]', "issuer[0].algorithms", "no signature"),
    ],
)
def test_a_wrong_variable_is_named_beside_the_place_it_sets(
    problems: Problems, text: str, name: str, value: str, place: str, message: str
) -> None:
    (problem,) = problems(text, environ={name: value})
    assert (problem.place, problem.line) == (place, None)
    assert message in problem.message
    assert problem.message.endswith(f"(environment: {name})")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("PORTVAKT_ROUTE__2__PUBLIC", "leads nowhere: route has 2 entries, counted from 0"),
        ("PORTVAKT_ROUTE__FIRST__PUBLIC", "leads nowhere: route has 2 entries"),
        ("PORTVAKT_ROUTE__-1__PUBLIC", "names are in capitals"),
        ("PORTVAKT_API__AUDIENCE__X", "leads nowhere: api.audience is one value"),
        ("PORTVAKT_Api__Audience", "'PORTVAKT_Api__Audience' is not known: names are in capitals"),
    ],
)
def test_a_variable_that_leads_nowhere_is_named(
    problems: Problems, text: str, name: str, message: str
) -> None:
    (problem,) = problems(text, environ={name: "true"})
    assert message in problem.message
    assert name in problem.message
    assert problem.line is None


def test_problems_of_the_file_keep_their_lines_beside_those_of_variables(
    problems: Problems, text: str
) -> None:
    found = problems(
        text.replace("public", "pubic"), environ={"PORTVAKT_ISSUER__0__LEEWAY": "long"}
    )
    assert [(one.place, one.line) for one in found] == [
        ("route[1].pubic", 18),
        ("issuer[0].leeway", None),
    ]
