"""Paths match exactly or not at all."""

from typing import Any

import pytest

from portvakt import (
    Code,
    ConfigurationError,
    HttpRequest,
    Refused,
    Requirement,
    Response,
    Route,
    Routes,
)
from portvakt.policy.routes import parameters_of

NOTHING = Requirement.of()


def rule(
    path: str | None,
    methods: frozenset[str] | None = None,
    *,
    public: bool = False,
    scopes: tuple[str, ...] = (),
) -> Route:
    return Route(path=path, methods=methods, public=public, requirement=Requirement.of(scopes))


def get(url: str, method: str = "GET") -> HttpRequest:
    return HttpRequest(method=method, url=url)


ROUTES = Routes(
    [
        rule("/healthz", public=True),
        rule("/"),
        rule("/journal/{patient}", frozenset({"GET"})),
        rule("/journal/{patient}", frozenset({"POST", "PUT"})),
        rule("/journal/new", frozenset({"GET"})),
        rule("/journal/{patient}/notes/{note}"),
        rule("/static/{file:path}", public=True),
    ]
)


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (get("/healthz"), "/healthz"),
        (get("/healthz?verbose=/../x"), "/healthz"),
        (get("https://api.example.no/healthz?x"), "/healthz"),
        (get("https://api.example.no"), "/"),
        (get("https://api.example.no?x"), "/"),
        (get("/journal/new"), "/journal/new"),
        (get("/journal/new", "POST"), "/journal/{patient}"),
        (get("/journal/17-3.a~b!$&'()*+,=:@"), "/journal/{patient}"),
        (get("/journal/K%C3%A5re%20"), "/journal/{patient}"),
        (get("/journal/1/notes/2"), "/journal/{patient}/notes/{note}"),
        (get("/static/css/site.css"), "/static/{file:path}"),
    ],
)
def test_honest_paths_find_their_rule(request_: HttpRequest, path: str) -> None:
    assert ROUTES.match(request_).path == path


@pytest.mark.parametrize(
    "url",
    [
        "/healthz/", "//healthz", "/Healthz", "/healthz;x", "/healthz%00", "/healthz#x", "healthz",
        "/healthz/../journal/1", "/./healthz", "/healthz/.", "/%68ealthz", "\\healthz", "*",
        "/journal/", "/journal/.", "/journal/..", "/journal/.hidden", "/journal/a/b",
        "/journal/a;b",
        "/journal/a\\b", "/journal/a%2fb", "/journal/a%2Fb", "/journal/a%5cb", "/journal/a%5Cb",
        "/journal/%2e%2e", "/journal/%2E", "/journal/a%3bb", "/journal/a%00", "/journal/a%25b",
        "/journal/a%0a", "/journal/a%1f", "/journal/a%7f", "/journal/a%7F", "/journal/a%2",
        "/journal/a%",
        "/journal/a%zz", "/journal/a b", "/journal/a\n", "/journal/a\0", "/journal/\u00e5",
        "/journal/1#x",
        "/static/", "/static/../journal/1", "/static/a/../b", "/static/a//b", "/static/a/",
        "/static",
        "/static/a/%2e%2e/b",
    ],
)  # fmt: skip
def test_paths_that_some_server_may_read_otherwise_match_nothing(url: str) -> None:
    with pytest.raises(Refused) as refused:
        ROUTES.match(get(url))
    assert refused.value.refusal.code is Code.ROUTE_UNKNOWN


def test_a_method_that_no_rule_is_for_matches_nothing() -> None:
    for method in ("DELETE", "get", "HEAD", ""):
        with pytest.raises(Refused):
            ROUTES.match(get("/journal/1", method))


def test_without_rules_every_request_is_judged_alike() -> None:
    demand = Requirement.of(["all"])
    route = Routes(demand=demand).match(get("/any/../thing", "ODD"))
    assert (route.path, route.methods, route.public, route.requirement) == (
        None,
        None,
        False,
        demand,
    )


def test_what_the_api_demands_stands_in_where_no_rule_is_for_the_request() -> None:
    route = ROUTES.match(get("/unlisted"), NOTHING)
    assert not route.public
    assert ROUTES.match(get("/healthz"), NOTHING).public


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    "url",
    [
        *("/healthz%0A", "/healthz%0a", "/healthz\n", "/journal/1/notes/2%0A", "/journal/new%0A"),
        *("/static/a%0Ab", "/static/a%0Ab%0A", "/static/%0A"),
    ],
)
def test_nothing_stands_in_for_a_rule_whose_path_ends_before_a_line_break(url: str) -> None:
    # Frameworks' patterns end in $, and a rest of the path may hold line breaks anywhere.
    with pytest.raises(Refused) as refused:
        ROUTES.match(get(url), NOTHING)
    assert refused.value.refusal.code is Code.ROUTE_UNKNOWN


@pytest.mark.twin("HTTP-18")
@pytest.mark.parametrize("url", ["/else%0A", "/healthz%0A%0A", "/healthz%0D"])
def test_a_line_break_alone_makes_no_path_a_rules(url: str) -> None:
    assert ROUTES.match(get(url), NOTHING).path is None


def test_covers_compares_shapes_and_methods() -> None:
    assert ROUTES.covers("/journal/{id}", "GET")
    assert ROUTES.covers("/static/{rest:path}", "GET")
    assert not ROUTES.covers("/journal/{id}", "DELETE")
    assert not ROUTES.covers("/journal/{id:path}", "GET")
    assert not ROUTES.covers("/unlisted", "GET")


@pytest.mark.parametrize(
    ("routes", "place", "message"),
    [
        ([rule(None)], "route[0].path", "missing"),
        ([rule("journal")], "route[0].path", "starting with a slash"),
        ([rule("/a/../b")], "route[0].path", "plain form"),
        ([rule("/a/./b")], "route[0].path", "plain form"),
        ([rule("/..")], "route[0].path", "plain form"),
        ([rule("/./")], "route[0].path", "plain form"),
        ([rule("/...")], "route[0].path", "plain form"),
        ([rule("/a/..\n")], "route[0].path", "plain form"),
        ([rule("/%2e%2e/a")], "route[0].path", "plain form"),
        ([rule("/..;/a")], "route[0].path", "plain form"),
        ([rule("/.{a}")], "route[0].path", "whole segment"),
        ([rule("/{a}/../b")], "route[0].path", "plain form"),
        ([rule("/a//b")], "route[0].path", "plain form"),
        ([rule("/a b")], "route[0].path", "plain form"),
        ([rule("/{")], "route[0].path", "plain form"),
        ([rule("/{a:path}/b")], "route[0].path", "must come last"),
        ([rule("/x{a}")], "route[0].path", "whole segment"),
        ([rule("/{a}x")], "route[0].path", "whole segment"),
        ([rule("/a", frozenset({"get"}))], "route[0].methods", "write GET"),
        ([rule("/a", frozenset())], "route[0].methods", "empty"),
        ([rule("/a", public=True, scopes=("x",))], "route[0].public", "admits everyone"),
        ([rule("/a"), rule("/a")], "route[1].path", "claims requests that /a claims"),
        ([rule("/{a}/x"), rule("/y/{b}")], "route[1].path", "claims"),
        ([rule("/{a}"), rule("/{b}")], "route[1].path", "claims"),
        ([rule("/{a:path}"), rule("/y/{b}")], "route[1].path", "claims"),
    ],
)
def test_malformed_and_contradictory_rules_are_named(
    routes: list[Route], place: str, message: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        Routes(routes)
    (problem,) = error.value.problems
    assert problem.place == place
    assert message in problem.message


def test_rules_that_cannot_meet_stand_side_by_side() -> None:
    routes = Routes(
        [
            rule("/a", frozenset({"GET"})),
            rule("/a", frozenset({"POST"})),
            rule("/{a}"),
            rule("/{a}/b"),
            rule("/{a}/c"),
            rule("/d/{x}/e/"),
        ]
    )
    assert len(routes.rules) == 6


@pytest.mark.attack("API-04")
@pytest.mark.parametrize("methods", ["GET", ["GET"], {"GET"}, ("GET",), frozenset({1}), ""])
def test_methods_are_a_set_that_nobody_can_change(methods: Any) -> None:
    # In the string "GET" there is a method "E".
    with pytest.raises(ConfigurationError) as error:
        Routes([rule("/a", methods)])
    (problem,) = error.value.problems
    assert problem.place == "route[0].methods"
    assert "frozenset of strings" in problem.message


@pytest.mark.attack("API-04")
@pytest.mark.parametrize("public", ["no", "false", 1, None])
def test_only_true_makes_a_rule_public(public: Any) -> None:
    with pytest.raises(ConfigurationError) as error:
        Routes([rule("/a", public=public)])
    (problem,) = error.value.problems
    assert (problem.place, problem.message) == ("route[0].public", "must be True or False")


WELL_KNOWN = Routes(
    [
        rule("/.well-known/oauth-protected-resource", public=True),
        rule("/.well-known/jwks/{name}", public=True),
        rule("/files/{rest:path}"),
        rule("/..a/.b./"),
    ]
)


@pytest.mark.twin("HTTP-18")
@pytest.mark.parametrize(
    "url",
    ["/.well-known/oauth-protected-resource", "/.well-known/jwks/a", "/files/a", "/..a/.b./"],
)
def test_what_a_rule_writes_out_may_start_with_a_dot(url: str) -> None:
    assert WELL_KNOWN.match(get(url)).path is not None


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    "url",
    [
        *("/.well-known/", "/.well-known/jwks/.a", "/.well-known/jwks/..", "/files/.git/config"),
        *("/%2ewell-known/jwks/a", "/files/../.well-known/jwks/a", "/.well-known/../files/a"),
        "/.well-known/oauth-protected-resource/../../files/a",
    ],
)
def test_what_a_parameter_takes_may_not(url: str) -> None:
    with pytest.raises(Refused):
        WELL_KNOWN.match(get(url))


def test_every_flaw_is_reported_at_once() -> None:
    with pytest.raises(ConfigurationError) as error:
        Routes([rule("a", frozenset({"get"})), rule("/b", frozenset()), rule("/c"), rule("/c")])
    assert [problem.place for problem in error.value.problems] == [
        "route[0].path",
        "route[0].methods",
        "route[1].methods",
        "route[3].path",
    ]


def test_a_path_cannot_say_two_things_of_one_name() -> None:
    with pytest.raises(ConfigurationError) as error:
        Routes([rule("/journal/{id}/notes/{id}")])
    (problem,) = error.value.problems
    assert problem.message == "has two parameters of the name id"


def routed(url: str, **parameters: str) -> HttpRequest:
    return HttpRequest(method="GET", url=url, path_parameters=tuple(parameters.items()))


def test_the_parameters_of_a_path_are_its_rules_and_the_frameworks() -> None:
    named = rule("/me/{pid}")
    assert parameters_of(named, get("/me/1")) == {"pid": "1"}
    assert parameters_of(named, routed("/me/1", other="3")) == {"pid": "1", "other": "3"}
    assert parameters_of(named, routed("https://api.test/me/1?pid=2", pid="1")) == {"pid": "1"}
    # A rule that is not for the request adds nothing.
    assert parameters_of(named, get("/you/1")) == {}
    assert parameters_of(rule("/me"), routed("/me", other="3")) == {"other": "3"}
    assert parameters_of(rule("/{a}/{rest:path}"), get("/1/2/3")) == {"a": "1", "rest": "2/3"}
    assert parameters_of(Routes().match(get("/me")), routed("/me", pid="2")) == {"pid": "2"}
    assert parameters_of(None, routed("/me/1", pid="2")) == {"pid": "2"}


@pytest.mark.parametrize(
    ("url", "found", "left"),
    [
        ("/me/1", [("pid", "2")], {}),
        ("/me/1", [("pid", "2"), ("other", "3")], {"other": "3"}),
        ("/me/1", [("pid", "1"), ("pid", "2")], {}),
        ("/me/1", [("pid", "2"), ("pid", "1")], {}),
        ("/me/01", [("pid", "1")], {}),  # a framework that reads a number
        ("/me/%31", [("pid", "%2531")], {}),
        ("/me/%31", [("pid", "1")], {"pid": "1"}),
        ("/me/a+b", [("pid", "a%2Bb")], {"pid": "a%2Bb"}),
        ("/me/a+b", [("pid", "a%20b")], {}),
    ],
)
def test_what_the_rule_and_the_framework_read_differently_is_not_there(
    url: str, found: list[tuple[str, str]], left: dict[str, str]
) -> None:
    # A rule for /{pid}/{doctor} in front of an endpoint for /{doctor}/{pid}.
    request = HttpRequest(method="GET", url=url, path_parameters=tuple(found))
    assert parameters_of(rule("/me/{pid}"), request) == left


def test_which_registers_are_to_be_asked_is_known_beforehand() -> None:
    asked = Route(
        path="/a", methods=None, public=False, requirement=Requirement.of(registers=["x", "y"])
    )
    assert Routes([rule("/b"), asked]).registers == {"x", "y"}
    assert Routes(demand=Requirement.of(registers=["z"])).registers == {"z"}
    assert ROUTES.registers == frozenset()


def test_what_is_compared_with_the_path_is_a_parameter_of_it() -> None:
    own = Requirement.of(matches_request={"pid": "path.pid", "client_id": "query.client"})

    def demanding(path: str) -> Route:
        return Route(path=path, methods=None, public=False, requirement=own)

    with pytest.raises(ConfigurationError) as error:
        Routes([demanding("/me/{person}")])
    (problem,) = error.value.problems
    assert problem.place == "route[0].matches_request"
    assert problem.message.startswith("pid is no parameter of the path")
    Routes([demanding("/me/{pid}")])
    # A framework may find parameters of its own under what takes slashes.
    Routes([demanding("/me/{rest:path}")])


ANSWER = Response(200, (), b"{}")


def answered(path: str | None, method: str = "GET", **other: Any) -> Route:
    stated = {"public": True, "requirement": NOTHING, "answer": ANSWER, **other}
    return Route(path=path, methods=frozenset({method}), **stated)


@pytest.mark.parametrize("rules", [(), (rule("/a"), rule("/.well-known/{x}"))])
def test_what_is_answered_is_found_by_its_path_alone(rules: tuple[Route, ...]) -> None:
    before = Routes(rules)
    routes = before.answering([answered("/.well-known/x")])
    assert routes.rules == rules
    assert routes.every == before.every
    for url in ("/.well-known/x", "https://api.test/.well-known/x?y"):
        assert routes.match(get(url)).answer is ANSWER
        assert routes.match(get(url), NOTHING).answer is ANSWER
    # The ones that it was made of are as they were.
    other = before.find(get("/.well-known/x"))
    assert other is None or other.answer is None
    for request in (
        get("/.well-known/x", "PUT"),
        get("/.well-known/x%20"),
        get("/?/.well-known/x"),
    ):
        found = routes.find(request)
        assert found is None or found.answer is None
    assert not routes.covers("/.well-known/x", "GET")


def test_a_rule_for_the_same_request_comes_before_an_answer() -> None:
    own = rule("/.well-known/x", frozenset({"HEAD"}))
    routes = Routes([own]).answering([answered("/.well-known/x", one) for one in ("GET", "HEAD")])
    assert routes.match(get("/.well-known/x")).answer is ANSWER
    assert routes.match(get("/.well-known/x", "HEAD")) is own


@pytest.mark.parametrize(
    "flawed",
    [
        answered("/x"),
        answered("/.well-known"),
        answered(None),
        answered("/.well-known/x", answer=None),
        answered("/.well-known/x", public=False),
    ],
)
def test_an_answer_is_public_and_below_well_known(flawed: Route) -> None:
    with pytest.raises(ConfigurationError, match="well-known"):
        Routes().answering([flawed])
