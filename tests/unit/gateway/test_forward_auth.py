"""A proxy's subrequest: who may ask, what was asked, and what the proxy is answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest

from certificates import STATED, der_of, digest_of, issue
from gateways import READ, asked
from portvakt.gateway.forward_auth import Answer, ForwardAuth, folds_to_identity
from portvakt.gateway.identity import PREFIX, IdentityHeaders
from portvakt.http.forwarded import UNIX, Proxies, network_of
from portvakt.http.presets import PRESETS
from portvakt.oauth.bearer import OVERRIDES
from portvakt.testing import FakeClient, FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ROUTES: Final = [
    {"path": "/healthz", "public": True},
    {"path": "/journal/{patient}", "scopes": [READ]},
]
FIELDS: Final = ("issuer", "subject", "scopes")
SECRET: Final = "a" * 32


def front(
    issuer: FakeIssuer,
    *,
    preset: str = "caddy",
    trusted: Iterable[str] | None = ("10.0.0.1",),
    secret: str | None = None,
    fields: Iterable[str] = FIELDS,
    **policy: Any,
) -> ForwardAuth:
    form = PRESETS[preset].client_certificate
    networks = (
        None if trusted is None else [one if one == UNIX else network_of(one) for one in trusted]
    )
    return ForwardAuth(
        issuer.guard(**{"route": ROUTES, **policy}),
        PRESETS[preset],
        None if networks is None else Proxies(networks, form),
        Proxies((UNIX,), form),
        IdentityHeaders(fields),
        secret,
    )


def answer(
    auth: ForwardAuth, headers: list[tuple[str, str]], peer: str | None = "10.0.0.1"
) -> Answer:
    return asyncio.run(auth.answer(headers, peer))


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.mark.parametrize("preset", PRESETS)
def test_an_honest_request_is_admitted_with_who_it_was(issuer: FakeIssuer, preset: str) -> None:
    form = PRESETS[preset].method.removeprefix("x-").removesuffix("-method")
    headers = asked("/journal/1?x=%2F", issuer.token(scopes=[READ]), form=form)
    found = answer(front(issuer, preset=preset), headers)
    assert (found.status, found.body) == (200, b"")
    assert found.headers == [
        ("x-portvakt-issuer", "https://issuer.test"),
        ("x-portvakt-subject", "test-subject"),
        ("x-portvakt-scopes", READ),
    ]


def test_a_public_route_tells_of_nobody(issuer: FakeIssuer) -> None:
    found = answer(front(issuer), asked("/healthz", form="forwarded"))
    assert found.status == 200
    assert found.headers == [(f"x-portvakt-{name}", "") for name in FIELDS]


def test_a_refusal_is_passed_on_whole(issuer: FakeIssuer) -> None:
    auth = front(issuer)
    found = answer(auth, asked("/journal/1", form="forwarded"))
    assert found.status == 401
    assert dict(found.headers)["www-authenticate"] == 'Bearer realm="test-api"'
    assert "content-length" not in dict(found.headers)
    assert b"An access token is required" in found.body
    assert answer(auth, asked("/journal/1", form="forwarded")) is found  # rendered once


@pytest.mark.parametrize(
    ("target", "token", "status", "true"),
    [
        ("/journal/1", None, 401, "401"),
        ("/elsewhere", "good", 403, "403"),
        ("/journal/1", "a b", 403, "400"),
    ],
)
def test_what_nginx_cannot_pass_on_it_finds_in_headers(
    issuer: FakeIssuer, target: str, token: str | None, status: int, true: str
) -> None:
    token = issuer.token(scopes=[READ]) if token == "good" else token
    found = answer(front(issuer, preset="nginx"), asked(target, token))
    told = dict(found.headers)
    assert found.status == status
    assert told["x-portvakt-status"] == true
    assert told["x-portvakt-problem"] == found.body.decode()


class TestWhoAsks:
    """Nobody is believed by default."""

    @pytest.mark.twin("HTTP-08")
    @pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1"])
    def test_the_listed_address_is_answered(self, issuer: FakeIssuer, peer: str) -> None:
        headers = asked("/journal/1", issuer.token(scopes=[READ]), form="forwarded")
        auth = front(issuer)
        assert answer(auth, headers, peer).status == 200
        assert answer(auth, headers, peer).status == 200

    @pytest.mark.attack("HTTP-08")
    @pytest.mark.parametrize("peer", ["10.0.0.2", "127.0.0.1", "", None, "unix", "nonsense"])
    def test_nobody_else_is(self, issuer: FakeIssuer, peer: str | None) -> None:
        headers = asked("/journal/1", issuer.token(scopes=[READ]), form="forwarded")
        auth = front(issuer)
        for _ in range(2):  # what is remembered of a peer, too
            found = answer(auth, [*headers, ("x-forwarded-for", "10.0.0.1")], peer)
            assert found.status == 403
            assert b"answers its proxy only" in found.body

    def test_who_is_not_answered_is_said_once(
        self, issuer: FakeIssuer, caplog: pytest.LogCaptureFixture
    ) -> None:
        auth = front(issuer)
        for _ in range(3):
            answer(auth, asked("/healthz", form="forwarded"), "10.0.0.2")
        assert [one.getMessage() for one in caplog.records] == [
            "not the proxy of [gateway] trusted, so not answered: '10.0.0.2'"
        ]

    def test_a_unix_socket_is_enough(self, issuer: FakeIssuer) -> None:
        headers = asked("/journal/1", issuer.token(scopes=[READ]), form="forwarded")
        assert answer(front(issuer, trusted=[UNIX]), headers, UNIX).status == 200

    def test_the_secret_is_enough_where_it_alone_tells(self, issuer: FakeIssuer) -> None:
        auth = front(issuer, trusted=None, secret=SECRET)
        headers = asked("/journal/1", issuer.token(scopes=[READ]), form="forwarded")
        assert answer(auth, [*headers, ("x-portvakt-secret", SECRET)], "192.0.2.1").status == 200

    @pytest.mark.parametrize(
        "shown",
        [[], [SECRET[:-1]], [SECRET, SECRET], [SECRET, "b"], [SECRET + " "], ["\xe5" * 32], [""]],
    )
    def test_no_other_secret_is(self, issuer: FakeIssuer, shown: list[str]) -> None:
        auth = front(issuer, trusted=None, secret=SECRET)
        headers = asked("/journal/1", issuer.token(scopes=[READ]), form="forwarded")
        headers += [("x-portvakt-secret", one) for one in shown]
        assert answer(auth, headers, "10.0.0.1").status == 403

    def test_address_and_secret_are_demanded_together(self, issuer: FakeIssuer) -> None:
        auth = front(issuer, secret=SECRET)
        headers = asked("/journal/1", issuer.token(scopes=[READ]), form="forwarded")
        shown = [*headers, ("x-portvakt-secret", SECRET)]
        assert answer(auth, headers).status == 403
        assert answer(auth, shown, "10.0.0.2").status == 403
        assert answer(auth, shown).status == 200

    def test_no_more_peers_are_remembered_than_the_bound(
        self, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("portvakt.gateway.forward_auth._MAX_PEERS", 1)
        auth = front(issuer)
        headers = asked("/journal/1", issuer.token(scopes=[READ]), form="forwarded")
        for peer in ("10.0.0.2", "10.0.0.3", "10.0.0.1"):
            assert answer(auth, headers, peer).status == (200 if peer == "10.0.0.1" else 403)


class TestWhatWasAsked:
    """The proxy's two headers, each once, say what the client asked."""

    @pytest.mark.attack("HTTP-18", "API-12")
    @pytest.mark.parametrize(
        "change",
        [
            lambda headers: headers[1:],
            lambda headers: [headers[0], *headers[2:]],
            lambda headers: [*headers, ("x-original-uri", "/healthz")],
            lambda headers: [("x-original-uri", "/healthz"), *headers],
            lambda headers: [*headers, ("x-original-method", "GET")],
            lambda headers: [*headers[:1], ("x-original-uri", "healthz"), *headers[2:]],
            lambda headers: [*headers[:1], ("x-original-uri", "https://a/healthz"), *headers[2:]],
            lambda headers: [*headers[:1], ("x-original-uri", "*"), *headers[2:]],
            lambda headers: [*headers[:1], ("x-original-uri", ""), *headers[2:]],
            lambda headers: [(name.replace("original", "forwarded"), it) for name, it in headers],
        ],
    )
    def test_anything_else_is_malformed(self, issuer: FakeIssuer, change: Any) -> None:
        headers = asked("/journal/1", issuer.token(scopes=[READ]))
        assert answer(front(issuer, preset="haproxy"), headers).status == 200
        assert answer(front(issuer, preset="haproxy"), change(headers)).status == 400

    @pytest.mark.attack("HTTP-18")
    @pytest.mark.parametrize(
        "target", ["/healthz/../journal/1", "//healthz", "/healthz;x", "/healthz%2f", "/Healthz"]
    )
    def test_the_target_is_judged_as_it_was_written(self, issuer: FakeIssuer, target: str) -> None:
        assert answer(front(issuer), asked(target, form="forwarded")).status in {401, 403}

    @pytest.mark.attack("HTTP-09")
    def test_the_clients_method_decides(self, issuer: FakeIssuer) -> None:
        routes = [{"path": "/journal/1", "methods": ["GET"], "public": True}]
        auth = front(issuer, route=routes)
        assert answer(auth, asked("/journal/1", form="forwarded")).status == 200
        assert answer(auth, asked("/journal/1", method="POST", form="forwarded")).status == 403
        assert answer(auth, asked("/journal/1", method="get", form="forwarded")).status == 403
        override = [*asked("/journal/1", form="forwarded"), ("x-http-method-override", "DELETE")]
        assert answer(auth, override).status == 400

    @pytest.mark.attack("HTTP-09")
    @pytest.mark.parametrize(
        "name", ["x_http_method", "x-http_method-override", "x.method.override", "x-http~method"]
    )
    def test_another_spelling_overrides_no_method(self, issuer: FakeIssuer, name: str) -> None:
        for target in ("/journal/1", "/healthz"):
            headers = asked(target, issuer.token(scopes=[READ]), form="forwarded")
            assert answer(front(issuer), [*headers, (name, "DELETE")]).status == 400

    @pytest.mark.twin("HTTP-09")
    @pytest.mark.parametrize("name", ["x-method", "x_http_methods", "method_override", "x-method_"])
    def test_no_other_header_is_taken_for_an_override(self, issuer: FakeIssuer, name: str) -> None:
        headers = asked("/journal/1", issuer.token(scopes=[READ]), form="forwarded")
        assert answer(front(issuer), [*headers, (name, "DELETE")]).status == 200


def test_all_headers_that_are_looked_for_begin_alike() -> None:
    """So that the others are passed over at their first letter."""
    named = {name for preset in PRESETS.values() for name in (preset.method, preset.target)}
    assert {name[0] for name in named | OVERRIDES | {PREFIX}} == {"x"}


class TestIdentityFromOutside:
    """No header that a server behind could take for the gateway's own gets past it."""

    @pytest.mark.attack("HTTP-08", "HTTP-17")
    @pytest.mark.parametrize(
        "name",
        ["x_portvakt_subject", "x-portvakt_subject", "x_portvakt-subject", "x.portvakt.subject"],
    )
    def test_another_spelling_is_refused(self, issuer: FakeIssuer, name: str) -> None:
        assert folds_to_identity(name)
        headers = asked("/journal/1", issuer.token(scopes=[READ]), form="forwarded")
        assert answer(front(issuer), [*headers, (name, "root")]).status == 400

    @pytest.mark.twin("HTTP-08", "HTTP-17")
    @pytest.mark.parametrize(
        "name", ["x-portvakt-subject", "x_portvak", "x-portvakt", "x-other_header", "y_portvakt_a"]
    )
    def test_its_own_spelling_is_written_over_by_the_proxy(
        self, issuer: FakeIssuer, name: str
    ) -> None:
        assert not folds_to_identity(name)
        headers = asked("/journal/1", issuer.token(scopes=[READ]), form="forwarded")
        found = answer(front(issuer), [*headers, (name, "root")])
        assert found.status == 200
        assert dict(found.headers)["x-portvakt-subject"] == "test-subject"


@pytest.mark.attack("HTTP-17")
def test_what_does_not_fit_in_a_head_is_refused(issuer: FakeIssuer) -> None:
    scopes = [READ, *(f"{number}/{'a' * 200}" for number in range(40))]
    headers = asked("/journal/1", issuer.token(scopes=scopes), form="forwarded")
    assert answer(front(issuer), headers).status == 400
    assert answer(front(issuer, fields=["issuer", "subject"]), headers).status == 200


@pytest.mark.parametrize("preset", PRESETS)
def test_the_clients_certificate_is_read_as_the_proxy_writes_it(
    issuer: FakeIssuer, preset: str
) -> None:
    holder, thief = der_of(issue("holder.test")), der_of(issue("thief.test"))
    routes = [{"path": "/journal/1", "sender_constraint": "mtls"}]
    auth = front(issuer, preset=preset, route=routes)
    token = issuer.token(claims={"cnf": {"x5t#S256": digest_of(holder)}})
    form = PRESETS[preset].method.removeprefix("x-").removesuffix("-method")
    headers = asked("/journal/1", token, form=form)

    def shown(certificate: bytes) -> list[tuple[str, str]]:
        stated = STATED[PRESETS[preset].client_certificate](certificate)
        return [(name.lower(), value) for name, value in stated]

    assert answer(auth, [*headers, *shown(holder)]).status == 200
    assert answer(auth, [*headers, *shown(thief)]).status == 401
    assert answer(auth, headers).status == 401
    doubled = answer(auth, [*headers, *shown(holder), *shown(holder)])
    assert dict(doubled.headers).get("x-portvakt-status", str(doubled.status)) == "400"


@pytest.fixture
def nonces(tmp_path: Path) -> dict[str, Any]:
    """A policy of routes that take proofs with nonces."""
    key = tmp_path / "nonce.key"
    key.write_text("n" * 40)
    key.chmod(0o600)
    return {
        "api": {"audience": "test-api", "origin": "https://api.test"},
        "route": [{"path": "/journal/1", "sender_constraint": "dpop"}],
        "store": {"url": "memory://"},
        "dpop": {"nonce_keys": [{"file": str(key)}]},
    }


def test_what_the_decision_adds_reaches_the_client(
    issuer: FakeIssuer, nonces: dict[str, Any]
) -> None:
    client = FakeClient(issuer)
    token = client.token()
    auth = front(issuer, **nonces)

    def sent(nonce: str | None = None) -> list[tuple[str, str]]:
        request = client.request(token, url="/journal/1", nonce=nonce)
        own = [(name.lower(), value) for name, value in request.headers]
        return [*asked("/journal/1", form="forwarded"), *own]

    refused = answer(auth, sent())
    nonce = dict(refused.headers)["dpop-nonce"]
    assert refused.status == 401
    # The nonce is still good, and a newer one is there.
    issuer.clock.advance(170)
    admitted = answer(auth, sent(nonce))
    assert admitted.status == 200
    assert dict(admitted.headers)["dpop-nonce"]
    assert dict(admitted.headers)["x-portvakt-subject"] == "test-subject"


def test_no_more_refusals_are_rendered_than_the_bound(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portvakt.gateway.forward_auth._MAX_RENDERED", 0)
    auth = front(issuer)
    first, second = (answer(auth, asked("/journal/1", form="forwarded")) for _ in range(2))
    assert first == second
    assert first is not second
