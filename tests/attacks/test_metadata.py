"""The API's metadata (RFC 9728): anybody may have it, nobody can change it, and it opens nothing."""

import json
from typing import Any, Final

import pytest

from portvakt import Code, Decision, Guard, HttpRequest, Requirement
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
ORIGIN: Final = "https://api.test/journal"
PATH: Final = "/.well-known/oauth-protected-resource"
URL: Final = f"https://api.test{PATH}/journal"
RULES: Final[list[dict[str, Any]]] = [
    {"path": "/journal/{patient}", "methods": ["GET"], "scopes": ["test-api/read"]},
    {"path": "/open/{rest:path}", "public": True},
]


def make(route: list[dict[str, Any]] | None = None, **api: Any) -> Guard:
    tables: dict[str, Any] = {} if route is None else {"route": route}
    stated = {"audience": "test-api", "origin": ORIGIN, **api}
    config = ISSUER.config(api=stated, store={"url": "memory://"}, **tables)
    return Guard.from_config(config, clock=ISSUER.clock)


ROUTED: Final = make(RULES)
UNROUTED: Final = make()
SILENT: Final = make(RULES, metadata=False)
GUARDS: Final = pytest.mark.parametrize("guard", [ROUTED, UNROUTED], ids=["routes", "none"])


def judge(
    guard: Guard,
    url: str = PATH,
    method: str = "GET",
    headers: tuple[tuple[str, str], ...] = (),
    requirement: Requirement | None = None,
) -> Decision:
    request = HttpRequest(method=method, url=url, headers=headers)
    return guard.check_blocking(request, requirement)


def document(decision: Decision) -> dict[str, Any]:
    """Return what is told, once it is told as it must be."""
    assert decision.admitted
    assert decision.token is None
    assert decision.headers == ()
    assert decision.route is not None
    assert decision.route.public
    assert decision.response is not None
    assert decision.response.status == 200
    members: dict[str, Any] = json.loads(decision.response.body)
    return members


@GUARDS
@pytest.mark.twin("HTTP-18", "API-04", "HTTP-12")
@pytest.mark.parametrize("path", [PATH, f"{PATH}/journal"])
def test_everyone_is_told_where_the_api_is_and_whose_tokens_it_takes(
    guard: Guard, path: str
) -> None:
    told = judge(guard, path)
    assert document(told)["resource"] == ORIGIN
    assert document(told)["authorization_servers"] == ["https://issuer.test"]
    assert document(judge(guard, f"https://api.test{path}?a=1")) == document(told)
    head = judge(guard, path, "HEAD").response
    assert told.response is not None
    assert head is not None
    assert (head.status, head.headers, head.body) == (200, told.response.headers, b"")


@GUARDS
@pytest.mark.attack("HTTP-12")
def test_nothing_of_a_request_is_in_the_document_nor_in_the_challenge(guard: Guard) -> None:
    hostile = (
        *(("Host", "attacker.invalid"), ("X-Forwarded-Host", "attacker.invalid")),
        *(("Forwarded", "host=attacker.invalid;proto=http"), ("X-Forwarded-Proto", "http")),
        *(("Origin", "https://attacker.invalid"), ("Authorization", "Bearer attacker.invalid.x")),
        ("X-Forwarded-Prefix", "/attacker.invalid"),
    )
    for url in (PATH, f"{PATH}?resource=https://attacker.invalid"):
        for where in (url, f"https://attacker.invalid{url}"):
            assert judge(guard, where, headers=hostile).response == judge(guard).response
    refused = judge(guard, "https://attacker.invalid/journal/1", headers=hostile)
    assert not refused.admitted
    assert refused.response is not None
    assert "attacker" not in repr(refused.response.headers)
    assert URL in dict(refused.response.headers)["WWW-Authenticate"]


@GUARDS
@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    "path",
    [
        *(f"{PATH}/", f"{PATH}/other", f"{PATH}//journal", f"{PATH}/journal/", f"/{PATH}"),
        *(f"{PATH};x", f"{PATH}/../..{PATH}", f"/journal/..{PATH}", f"{PATH}/journal/../../x"),
        *("/.well-known/oauth%2Dprotected-resource", f"{PATH}%2Fjournal", f"{PATH}%00"),
        *("/.WELL-KNOWN/oauth-protected-resource", f"{PATH}\\journal", "/%2ewell-known/x"),
        *(f"{PATH}/journal/1", f"/journal/1{PATH}", f"/journal/1?x={PATH}", f"{PATH}\n"),
    ],
)
def test_no_other_path_is_taken_for_it(guard: Guard, path: str) -> None:
    decision = judge(guard, path)
    assert decision.refusal is not None
    assert decision.refusal.code in {Code.ROUTE_UNKNOWN, Code.CREDENTIAL_MISSING}
    # Nor does it make room for another: the endpoint's own demand stands.
    demanded = judge(guard, path, requirement=Requirement.of())
    assert not demanded.admitted


@GUARDS
@pytest.mark.attack("HTTP-09", "HTTP-18")
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get", "TRACE", "QUERY"])
def test_it_is_for_get_and_head_alone(guard: Guard, method: str) -> None:
    assert not judge(guard, method=method).admitted
    overridden = judge(guard, headers=(("X-HTTP-Method-Override", method),))
    assert overridden.refusal is not None
    assert overridden.refusal.code is Code.METHOD_OVERRIDDEN


@pytest.mark.attack("API-09", "API-12")
def test_no_application_is_meant_to_see_it_whatever_its_endpoint_demands() -> None:
    """An adapter that demands a token everywhere gets the answer, and never a bare admission."""
    told = judge(ROUTED, requirement=Requirement.of(["never/granted"]))
    assert told.response is not None
    assert document(told)["resource"] == ORIGIN


@pytest.mark.attack("API-04", "HTTP-12")
def test_a_policy_can_keep_silent() -> None:
    for path in (PATH, f"{PATH}/journal"):
        refused = judge(SILENT, path)
        assert refused.refusal is not None
        assert refused.refusal.code is Code.ROUTE_UNKNOWN
    missing = judge(SILENT, "/journal/1").response
    assert missing is not None
    assert dict(missing.headers)["WWW-Authenticate"] == 'Bearer realm="test-api"'


@pytest.mark.attack("HTTP-12")
def test_a_policy_that_discloses_nothing_does_not_tell_its_scopes() -> None:
    assert document(judge(ROUTED))["scopes_supported"] == ["test-api/read"]
    assert "test-api/read" not in json.dumps(document(judge(make(RULES, disclose=False))))


@pytest.mark.twin("HTTP-11", "HTTP-13")
def test_the_challenge_names_it_once_for_each_scheme() -> None:
    pointer = f'resource_metadata="{URL}"'
    for headers, how in (
        ((), f'Bearer realm="test-api", {pointer}'),
        ((("Authorization", "Bearer a"),), "Bearer "),
    ):
        answer = judge(ROUTED, "/journal/1", headers=headers).response
        assert answer is not None
        challenge = dict(answer.headers)["WWW-Authenticate"]
        assert challenge.startswith(how)
        assert challenge.count(pointer) == 1
    bound = make([{"path": "/a", "sender_constraint": "dpop"}])
    answer = judge(bound, "/a").response
    assert answer is not None
    challenge = dict(answer.headers)["WWW-Authenticate"]
    assert challenge.startswith('DPoP realm="test-api", algs="')
    assert challenge.endswith(f", {pointer}")


@pytest.mark.twin("API-08")
def test_it_changes_nothing_for_honest_requests() -> None:
    honest = ISSUER.request(ISSUER.token(scopes=["test-api/read"]), url="/journal/1")
    for guard in (ROUTED, SILENT):
        before = guard.check_blocking(honest)
        judge(guard)
        after = guard.check_blocking(honest)
        assert before.admitted
        assert after.admitted
        assert before.response is after.response is None
