"""When the API's metadata is served, what it says, and why it is not."""

import json
from typing import Any

import pytest

from portvakt import ConfigurationError
from portvakt.config.compile import Policy, compile_policy
from portvakt.config.load import read_data
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer()
ORIGIN = "https://api.test/journal"
WELL_KNOWN = "/.well-known/oauth-protected-resource"
PROOFS = {"store": {"url": "memory://"}}


def policy(api: dict[str, Any] | None = None, **tables: Any) -> Policy:
    stated = {"audience": "test-api", "origin": ORIGIN, **(api or {})}
    present = {name: value for name, value in stated.items() if value is not None}
    return compile_policy(read_data(ISSUER.config(api=present, **tables)))


def said(api: dict[str, Any] | None = None, **tables: Any) -> dict[str, Any]:
    """Return the document, once it is one for every path and method."""
    answers = {
        (str(rule.path), *(rule.methods or ())): rule.answer
        for rule in policy(api, **tables).routes.answered
    }
    bodies = {answer.body for key, answer in answers.items() if answer and key[1] == "GET"}
    assert len(bodies) == 1
    document: dict[str, Any] = json.loads(bodies.pop())
    return document


def problems(api: dict[str, Any], **tables: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConfigurationError) as error:
        policy(api, **tables)
    return [(one.place, one.message) for one in error.value.problems]


def test_one_origin_with_https_is_enough() -> None:
    compiled = policy()
    assert compiled.resource_metadata == f"https://api.test{WELL_KNOWN}/journal"
    assert [(one.path, *(one.methods or ())) for one in compiled.routes.answered] == [
        (f"{WELL_KNOWN}/journal", "GET"),
        (f"{WELL_KNOWN}/journal", "HEAD"),
        (WELL_KNOWN, "GET"),
        (WELL_KNOWN, "HEAD"),
    ]
    assert compiled.routes.rules == ()
    assert said() == {
        "resource": ORIGIN,
        "authorization_servers": ["https://issuer.test"],
        "bearer_methods_supported": ["header"],
    }
    assert said({"metadata": True}) == said()


@pytest.mark.parametrize(
    ("api", "reason"),
    [
        ({"metadata": False}, "metadata = false keeps back"),
        ({"origin": None}, "needs [api] origin"),
        ({"origin": [ORIGIN, "https://other.test"]}, "needs one [api] origin"),
        ({"origin": "http://localhost:8000"}, "with https"),
    ],
)
def test_where_it_cannot_be_served_only_who_asks_for_it_is_told(
    api: dict[str, Any], reason: str
) -> None:
    compiled = policy(api)
    assert compiled.resource_metadata is None
    assert compiled.routes.answered == ()
    ((place, message),) = problems({**api, "resource_name": "Journal"})
    assert place == "api.resource_name"
    assert reason in message
    if "metadata" not in api:
        ((place, message),) = problems({**api, "metadata": True})
        assert place == "api.metadata"
        assert reason in message


@pytest.mark.parametrize("path", [WELL_KNOWN, f"{WELL_KNOWN}/journal"])
@pytest.mark.parametrize("how", [{}, {"methods": ["HEAD", "PUT"]}, {"public": True}])
def test_a_route_of_the_policy_with_its_path_comes_first(path: str, how: dict[str, Any]) -> None:
    own = [{"path": path, **how}]
    compiled = policy(route=own)
    assert compiled.resource_metadata is None
    assert compiled.routes.answered == ()
    ((place, message),) = problems({"metadata": True}, route=own)
    assert (place, path in message) == ("api.metadata", True)


@pytest.mark.parametrize(
    "own",
    [
        {"path": WELL_KNOWN, "methods": ["PUT"]},
        {"path": "/.well-known/{name}", "public": True},
        {"path": f"{WELL_KNOWN}/other"},
    ],
)
def test_one_for_other_requests_does_not(own: dict[str, Any]) -> None:
    assert policy(route=[own]).resource_metadata is not None


def test_its_scopes_are_those_of_all_routes_unless_nothing_is_disclosed() -> None:
    api = {"scopes": ["every"]}
    routes = [
        {"path": "/a", "scopes": ["b"]},
        {"path": "/b", "any_scopes": ["c", "a"]},
        {"path": "/c", "public": True},
    ]
    assert said(api, route=routes)["scopes_supported"] == ["a", "b", "c", "every"]
    assert said(api)["scopes_supported"] == ["every"]
    assert "scopes_supported" not in said({**api, "disclose": False}, route=routes)
    # Everybody is admitted, so nobody needs one.
    assert "scopes_supported" not in said(api, route=routes[2:])


def test_it_says_how_tokens_are_bound() -> None:
    plain, proven = {"path": "/a"}, {"path": "/b", "sender_constraint": "dpop"}
    shown, public = {"path": "/c", "sender_constraint": "mtls"}, {"path": "/d", "public": True}
    algs, must = "dpop_signing_alg_values_supported", "dpop_bound_access_tokens_required"
    may = "tls_client_certificate_bound_access_tokens"

    def bound(*routes: dict[str, Any], **tables: Any) -> dict[str, Any]:
        document = said(route=list(routes), **PROOFS, **tables)
        return {name: document[name] for name in (algs, must, may) if name in document}

    assert bound(plain, public) == {}
    assert bound(public) == {}
    narrow = {"dpop": {"algorithms": ["PS256", "ES256"]}}
    assert bound(proven, public, **narrow) == {algs: ["ES256", "PS256"], must: True}
    assert bound(plain, proven, **narrow) == {algs: ["ES256", "PS256"]}
    assert bound(shown, proven, **narrow) == {algs: ["ES256", "PS256"], may: True}
    assert bound(shown, plain) == {may: True}
    assert "EdDSA" in bound(proven)[algs]
    assert said({"sender_constraint": "dpop"}, **PROOFS)[must] is True


def test_what_is_only_for_people_is_told_as_it_is_stated() -> None:
    stated = {
        "resource_name": "Journal – kjernen",
        "resource_documentation": "https://api.test/docs?v=1",
        "resource_policy_uri": "https://api.test/policy",
    }
    document = said(stated)
    assert {name: document[name] for name in stated} == stated


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("resource_name", "a" * 257, "at most 256 characters"),
        ("resource_name", "a\nb", "can be printed"),
        ("resource_documentation", "http://api.test/docs", "https"),
        ("resource_policy_uri", "api.test/policy", "https"),
        ("resource_policy_uri", "javascript:alert(1)", "https"),
    ],
)
def test_what_makes_no_sense_there_is_a_mistake(setting: str, value: str, message: str) -> None:
    ((place, what),) = problems({setting: value})
    assert place == f"api.{setting}"
    assert message in what
