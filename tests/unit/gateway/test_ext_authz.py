"""Envoy's external authorization, asked and read in octets that are written independently."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest

from certificates import der_of, digest_of, escaped_pem, issue
from envoy_wire import Verdict, check_request, part, verdict
from portvakt.gateway.ext_authz import ExtAuthz, read_check_request
from portvakt.testing import FakeClient, FakeIssuer

if TYPE_CHECKING:
    from portvakt import Decision

ISSUER: Final = FakeIssuer()
ORIGIN: Final = "https://api.test"
ROUTES: Final = [
    {"path": "/healthz", "public": True},
    {"path": "/journal/{patient}", "methods": ["GET"], "scopes": ["read"]},
    {"path": "/proven", "sender_constraint": "dpop"},
    {"path": "/shown", "sender_constraint": "mtls"},
]
with pytest.MonkeyPatch.context() as patch:
    patch.setenv("NONCE_KEY", "a nonce key of thirty-two octets")
    GUARD: Final = ISSUER.guard(
        api={"audience": "test-api", "origin": ORIGIN},
        route=ROUTES,
        dpop={"nonce_keys": [{"env": "NONCE_KEY"}]},
        store={"url": "memory://"},
    )
HONEST: Final = ISSUER.token(scopes=["read"])
RAW: Final = pytest.mark.parametrize("raw", [True, False], ids=["raw", "joined"])


def identity(decision: Decision) -> tuple[tuple[str, str], ...]:
    if decision.token is None:
        return ()
    return (("X-Portvakt-Subject", str(decision.token.subject)),)


GATE: Final = ExtAuthz(GUARD, trusts=lambda _: False, identity=identity)


def ask(*arguments: Any, **more: Any) -> Verdict:
    """What Envoy does with a request of this kind."""
    return verdict(asyncio.run(GATE.answer(check_request(*arguments, **more))))


def bearer(token: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {token}")


@RAW
@pytest.mark.twin("HTTP-04", "HTTP-05", "HTTP-08")
def test_an_honest_request_goes_on_with_its_identity(raw: bool) -> None:
    sent = (bearer(HONEST), ("accept", "application/json"))

    said = ask("GET", "/journal/1?full=yes", sent, raw=raw)

    assert said.admitted
    assert said.headers == ()
    assert dict(said.passed_on(sent))["x-portvakt-subject"] == "test-subject"
    assert dict(said.passed_on(sent))["accept"] == "application/json"


@RAW
def test_a_refusal_has_status_challenge_and_body(raw: bool) -> None:
    said = ask("GET", "/journal/1", raw=raw)

    assert not said.admitted
    assert said.status == 401
    headers = {name.lower(): text for name, text in said.headers}
    assert headers["www-authenticate"].startswith('Bearer realm="test-api"')
    assert headers["content-type"] == "application/problem+json"
    assert "content-length" not in headers
    assert json.loads(said.body)["status"] == 401


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/journal/1", ISSUER.token(scopes=["other"]), 403),
        ("POST", "/journal/1", HONEST, 403),
        ("GET", "/elsewhere", HONEST, 403),
        ("GET", "/journal/1", ISSUER.forged("expired", ["read"]), 401),
        ("GET", "/journal/1", ISSUER.forged("foreign-key", ["read"]), 401),
        ("GET", "/journal/1", "", 400),
    ],
)
def test_what_is_refused_over_http_is_refused_here(
    method: str, path: str, token: str, status: int
) -> None:
    said = ask(method, path, [bearer(token)])

    assert (said.admitted, said.status) == (False, status)


@RAW
@pytest.mark.attack("HTTP-04", "HTTP-05")
@pytest.mark.parametrize("second", [HONEST, ISSUER.forged("none", ["read"])], ids=["same", "bad"])
@pytest.mark.parametrize("turned", [False, True])
def test_two_credentials_are_refused_in_either_form(raw: bool, second: str, turned: bool) -> None:
    sent = [bearer(HONEST), bearer(second)]

    said = ask("GET", "/journal/1", reversed(sent) if turned else sent, raw=raw)

    assert (said.admitted, said.status) == (False, 400)


@pytest.mark.attack("HTTP-04")
def test_a_credential_in_both_lists_at_once_is_refused() -> None:
    raw, joined = (
        check_request("GET", "/journal/1", [bearer(HONEST)], raw=raw) for raw in (True, False)
    )

    # Concatenated, messages are merged: protobuf's own rule.
    said = verdict(asyncio.run(GATE.answer(raw + joined)))

    assert (said.admitted, said.status) == (False, 400)


@RAW
@pytest.mark.attack("HTTP-08")
@pytest.mark.parametrize("path", ["/journal/1", "/healthz"])
def test_no_forged_identity_reaches_the_api(raw: bool, path: str) -> None:
    forged = [
        "x-portvakt-subject", "x_portvakt_subject", "x-portvakt_subject", "x.portvakt.subject",
        "x-portvakt-anything", "x_portvakt-organisation",
    ]  # fmt: skip
    sent = [bearer(HONEST), *((name, "admin") for name in forged), ("x-portvaktother", "kept")]

    said = ask("GET", path, sent, raw=raw)

    assert said.admitted
    passed = said.passed_on(sent)
    assert ("x-portvaktother", "kept") in passed
    assert "admin" not in dict(passed).values()
    told = [one for one in passed if one[0] == "x-portvakt-subject"]
    assert told == ([("x-portvakt-subject", "test-subject")] if path != "/healthz" else [])


@RAW
@pytest.mark.attack("HTTP-09")
@pytest.mark.parametrize("name", ["x-http-method", "X_HTTP_Method_Override", "x-http.method"])
def test_no_spelling_of_a_header_overrides_the_method(raw: bool, name: str) -> None:
    for path in ("/journal/1", "/healthz"):
        said = ask("GET", path, [bearer(HONEST), (name, "DELETE")], raw=raw)

        assert (said.admitted, said.status) == (False, 400)


@RAW
@pytest.mark.twin("DPOP-01")
def test_a_proof_is_checked_against_the_origin_and_the_next_nonce_goes_back(raw: bool) -> None:
    client = FakeClient(ISSUER, origin=ORIGIN)
    token = client.token()
    first = client.request(token, url="/proven").headers
    lowered = [(name.lower(), text) for name, text in first]
    refused = ask("GET", "/proven", lowered, raw=raw)
    nonce = dict(refused.headers)["DPoP-Nonce"]
    ISSUER.clock.advance(150)
    try:
        honest = client.request(token, url="/proven", nonce=nonce).headers
        said = ask("GET", "/proven", [(name.lower(), text) for name, text in honest], raw=raw)
    finally:
        ISSUER.clock.advance(-150)

    assert refused.status == 401
    assert said.admitted
    assert dict(said.headers)["DPoP-Nonce"] != nonce


@RAW
@pytest.mark.attack("DPOP-01")
def test_two_proofs_are_refused_in_either_form(raw: bool) -> None:
    client = FakeClient(ISSUER, origin=ORIGIN)
    token = client.token()
    plain = client.request(token, url="/proven").headers
    nonce = dict(ask("GET", "/proven", [(n.lower(), t) for n, t in plain]).headers)["DPoP-Nonce"]
    proofs = [client.proof(token, url="/proven", nonce=nonce).build() for _ in range(2)]

    sent = [("authorization", f"DPoP {token}"), *(("dpop", proof) for proof in proofs)]

    assert ask("GET", "/proven", sent[:2], raw=raw).admitted
    assert ask("GET", "/proven", sent, raw=raw).status == 401


@pytest.mark.twin("MTLS-01", "MTLS-02")
def test_the_certificate_that_envoy_states_is_the_clients() -> None:
    certificate = der_of(issue("client.test"))
    token = ISSUER.token(claims={"cnf": {"x5t#S256": digest_of(certificate)}})

    said = ask("GET", "/shown", [bearer(token)], certificate=escaped_pem(certificate))

    assert said.admitted


@pytest.mark.attack("MTLS-01", "MTLS-02", "MTLS-03")
def test_another_certificate_none_or_one_in_a_header_are_refused() -> None:
    certificate, other = der_of(issue("client.test")), der_of(issue("thief.test"))
    token = ISSUER.token(claims={"cnf": {"x5t#S256": digest_of(certificate)}})
    stated = ("x-forwarded-client-cert", f'Cert="{escaped_pem(certificate)}"')

    assert ask("GET", "/shown", [bearer(token)], certificate=escaped_pem(other)).status == 401
    assert ask("GET", "/shown", [bearer(token)]).status == 401
    assert ask("GET", "/shown", [bearer(token), stated]).status == 401


@pytest.mark.parametrize(
    "certificate", ["x", quote("-----BEGIN CERTIFICATE-----"), escaped_pem(b"0\0") * 2]
)
def test_what_is_no_certificate_is_refused_even_where_none_is_needed(certificate: str) -> None:
    assert ask("GET", "/healthz", certificate=certificate).status == 400
    assert ask("GET", "/healthz").admitted


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    "path",
    ["", "*", "healthz", "https://api.test/healthz", "/healthz#x", "/heal\nthz", "/\x85", "/ "],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    assert ask("GET", path).status == 400


@pytest.mark.twin("HTTP-18")
@pytest.mark.attack("HTTP-18")
def test_paths_are_judged_as_they_were_written() -> None:
    assert ask("GET", "/healthz").admitted
    assert ask("GET", "/healthz?x=/../").admitted
    for path in ("/journal/../healthz", "/healthz/", "/%68ealthz", "//healthz", "/healthz;x"):
        assert ask("GET", path).status == 403, path


def test_a_request_without_a_method_or_without_any_http_is_refused() -> None:
    assert ask("", "/healthz").status == 400
    connection = part(1, part(1, part(4, "CN=client")))
    for message in (b"", connection, b"\xff", part(1, b"\x0a\xff"), b"\x08\x01"):
        assert verdict(asyncio.run(GATE.answer(message))).status == 400, message


@pytest.mark.attack("HTTP-14")
@pytest.mark.twin("HTTP-14")
def test_octets_that_are_no_utf_8_stay_as_they_are() -> None:
    message = check_request(
        "GET", "/healthz?\xe9", [("x-odd", "\xff\x00"), bearer(HONEST + "\xe9")]
    )

    request, flaw = read_check_request(message)

    assert flaw is None
    assert ("x-odd", "\xff\x00") in request.headers
    assert request.url == "/healthz?\xe9"
    assert verdict(asyncio.run(GATE.answer(message))).admitted
    odd = check_request("GET", "/journal/1", [bearer(HONEST + "\xe9")])
    assert verdict(asyncio.run(GATE.answer(odd))).status == 401


def test_the_request_has_no_peer_and_none_of_the_pseudo_headers() -> None:
    request, flaw = read_check_request(check_request("PUT", "/a?b=c", [("x-a", "1")]))

    assert flaw is None
    assert (request.method, request.url, request.peer) == ("PUT", "/a?b=c", None)
    assert request.headers == (("x-a", "1"),)


def test_an_identity_that_is_too_long_for_headers_admits_nobody() -> None:
    gate = ExtAuthz(GUARD, trusts=lambda _: False, identity=lambda _: None)
    message = check_request("GET", "/journal/1", [bearer(HONEST)])

    assert verdict(asyncio.run(gate.answer(message))).status == 400
    assert verdict(asyncio.run(GATE.answer(message))).admitted


def test_what_is_told_with_an_empty_value_is_taken_away() -> None:
    """An API must not find there what the client wrote, nor what no token says."""
    told = (("X-Portvakt-Subject", "me"), ("X-Portvakt-Pid", ""))
    gate = ExtAuthz(GUARD, trusts=lambda _: False, identity=lambda _: told)

    said = verdict(asyncio.run(gate.answer(check_request("GET", "/healthz"))))

    assert said.set == (("x-portvakt-subject", "me"),)
    assert said.removed == ("x-portvakt-pid",)
