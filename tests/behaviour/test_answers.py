"""What a refused caller is told: the very same on every adapter, and nothing of what it sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from behaviour.behaviours import behaviour
from behaviour.sample import DEMANDS, OTHER, PATIENT
from portvakt import Decision, HttpRequest, Requirement
from portvakt.guard import SenderConstraint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from behaviour.serving import Answer, Served

LEVEL = "helseid://claims/identity/security_level"


def hostile(served: Served) -> Iterator[tuple[HttpRequest, int]]:
    """Requests of every kind of refusal, with the status that each has to have."""
    issuer, client = served.sample.issuer, served.sample.client
    request = issuer.request
    override = (("X-HTTP-Method-Override", "DELETE"),)
    read = served.token("read")
    yield request(None, url="/ruled"), 401
    yield request("nonsense", url="/ruled"), 401
    for fault in ("expired", "foreign-key", "none", "aud-other"):
        yield request(issuer.forged(fault, scopes=["read"]), url="/ruled"), 401
    yield HttpRequest(method="GET", url="/ruled", headers=(("Authorization", "Basic abc"),)), 401
    yield HttpRequest(method="GET", url="/ruled", headers=(("Authorization", "Bearer"),)), 400
    yield request(read, url="/ruled?access_token=x"), 400
    yield request(read, url="/ruled", headers=override), 400
    yield request(served.token("write"), url="/ruled"), 403
    yield request(served.token("read", **{LEVEL: "3"}), url="/ruled"), 401
    yield request(read, url=f"/journal/{OTHER}"), 403
    yield request(served.sample.unreachable.token(scopes=["read"]), url="/ruled"), 503
    yield request(client.token(), url="/bound"), 401
    yield client.request(client.token(), url="/bound", proof="nonsense"), 401
    yield client.request(client.token(), url="/bound"), 401


@behaviour("400, 401, 403 and 503 have the guard's own status, challenge and problem+json.")
@pytest.mark.attack("API-12", "HTTP-12", "HTTP-13", "HTTP-09", "HTTP-01")
def test_same_answer(served: Served) -> None:
    for request, status in hostile(served):
        with served.unreached():
            answer = served.send_request(request)
        assert answer.status == status, request.url
        same(answer, served.sample.reference.check_blocking(request))


@behaviour("A demand in Python is refused with the guard's own answer too.", "demands")
@pytest.mark.attack("API-12")
def test_same_answer_in_python(served: Served) -> None:
    # No rule is for the path: the endpoint alone knows more than that a token is needed.
    any_token = Requirement.of(sender_constraint=SenderConstraint.EITHER)
    demanded = Requirement.of(**DEMANDS)
    judge = served.sample.reference.check_blocking
    for token in (None, served.token(), served.token("read", **{LEVEL: "3"})):
        request = served.sample.issuer.request(token, url="/stated")
        with served.unreached():
            answer = served.send_request(request)
        first = judge(request, any_token)
        same(answer, judge(request, demanded) if first.admitted else first)


def same(answer: Answer, decision: Decision) -> None:
    """See that an answer is that of a decision."""
    expected = decision.response
    assert expected is not None
    assert (answer.status, answer.body) == (expected.status, expected.body)
    for name, value in expected.headers:
        # These two depend on the time.
        if name not in {"DPoP-Nonce", "Retry-After"}:
            assert answer.header(name) == [value]
        assert len(answer.header(name)) == 1
    for name in ("WWW-Authenticate", "DPoP-Nonce", "Retry-After"):
        assert bool(answer.header(name)) == (name in dict(expected.headers))
    said = json.loads(answer.body)
    assert answer.header("content-type") == ["application/problem+json"]
    assert answer.header("cache-control") == ["no-store"]
    assert (said["status"], said["type"]) == (answer.status, "about:blank")


@behaviour("Nothing of a token, a path or a query is in a refusal.")
@pytest.mark.attack("HTTP-11", "API-07")
def test_nothing_echoed(served: Served) -> None:
    token = served.token("write", sub='canary"sub\\', jti="canary-jti")
    for target in (f"/journal/{PATIENT}", f"/ruled?canary={PATIENT}", "/canary/path"):
        for credential in (token, token[:-4] + "AAAA", "canary.token.here"):
            answer = served.get(target, credential, 'X-Canary: canary"header')
            assert answer.status in {401, 403, 404}
            shown = answer.raw.replace(b"no-store", b"")
            assert b"canary" not in shown
            assert PATIENT.encode() not in shown
            for part in credential.split("."):
                assert len(part) < 10 or part.encode() not in shown


@behaviour("HEAD is judged as it is, and a refusal of it has no body.")
@pytest.mark.attack("HTTP-09")
def test_head(served: Served) -> None:
    path = f"/journal/{PATIENT}"
    with served.unreached():
        for target in (path, "/me", "/bound"):
            refused = served.send(target, method="HEAD")
            assert refused.status == 401
            assert refused.header("www-authenticate") != []
            assert refused.raw.endswith(b"\r\n\r\n")
        assert served.send(path, *bearer(served.token("write")), method="HEAD").status == 403


@behaviour("A method in small letters is no other method: what it asks for is not served.")
@pytest.mark.attack("HTTP-09")
@pytest.mark.parametrize("method", ["get", "Get", "head", "post"])
def test_small_letters(served: Served, method: str) -> None:
    with served.unreached():
        for target in (f"/journal/{PATIENT}", "/ruled", "/echo"):
            # Good for the other person, or for less: where the rule is for GET, it must hold.
            for token in (None, served.other("nothing")):
                sent = () if token is None else bearer(token)
                assert 400 <= served.send(target, *sent, method=method).status < 502


@behaviour("HEAD is served to whom GET is.")
@pytest.mark.twin("HTTP-09")
def test_head_served(served: Served) -> None:
    path = f"/journal/{PATIENT}"
    with served.reached(path):
        answer = served.send(path, *bearer(served.token("read")), method="HEAD")
    assert answer.status == 200
    assert answer.raw.endswith(b"\r\n\r\n")


def bearer(token: str) -> tuple[str]:
    """The header line of a bearer token."""
    return (f"Authorization: Bearer {token}",)


METADATA = "/.well-known/oauth-protected-resource"


@behaviour("The API's metadata (RFC 9728) is served at its well-known path, to everyone.")
@pytest.mark.twin("HTTP-13")
def test_metadata(served: Served) -> None:
    decision = served.sample.reference.check_blocking(HttpRequest(method="GET", url=METADATA))
    with served.unreached():
        answer = served.get(METADATA)
        assert decision.response is not None
        assert (answer.status, answer.body) == (200, decision.response.body)
        for name, value in decision.response.headers:
            assert answer.header(name) == [value]
        assert served.send(METADATA, method="HEAD").raw.endswith(b"\r\n\r\n")
        challenge = served.get("/ruled").header("www-authenticate")[0]
        assert f'resource_metadata="https://api.test{METADATA}"' in challenge
