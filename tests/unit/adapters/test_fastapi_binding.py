"""FastAPI endpoints that take bound tokens: what they demand, and what the middleware admits."""

from typing import Annotated, Any, Final

import pytest
from fastapi import Depends, FastAPI, Security
from starlette.testclient import TestClient

from portvakt import AccessToken, ConfigurationError
from portvakt.adapters.fastapi import FastAPIGuard
from portvakt.testing import FakeClient, FakeIssuer

ISSUER: Final = FakeIssuer()
CLIENT: Final = FakeClient(ISSUER)
PUBLIC: Final = [{"path": "/healthz", "public": True}]


def guard_of(**tables: Any) -> FastAPIGuard:
    api = {"audience": "test-api", "origin": "https://api.test"}
    config = ISSUER.config(**{"api": api, "store": {"url": "memory://"}, **tables})
    # A minute old: a store that has just begun knows of no proof whether it was used.
    ISSUER.clock.advance(-60)
    try:
        return FastAPIGuard.from_config(config, clock=ISSUER.clock)
    finally:
        ISSUER.clock.advance(60)


def client_of(guard: FastAPIGuard) -> TestClient:
    app = FastAPI()
    guard.protect(app)
    bound = guard.requires(["a"], sender_constraint="dpop")

    @app.get("/bound")
    def read(_: Annotated[AccessToken, Depends(bound)]) -> str:
        return "served"

    @app.get("/around")
    def around(_: Annotated[AccessToken, Security(bound, scopes=["b"])]) -> str:
        return "served"

    @app.get("/high")
    def high(
        _: Annotated[
            AccessToken, Depends(guard.requires(sensitivity="high", sender_constraint="dpop"))
        ],
    ) -> str:
        return "served"

    @app.get("/open")
    def open_(_: Annotated[AccessToken, Depends(guard.requires(["a"]))]) -> str:
        return "served"

    return TestClient(app, base_url="https://api.test")


TOKEN: Final = CLIENT.token(scopes=["a", "b"])


def proven(path: str, token: str = TOKEN) -> dict[str, str]:
    return dict(CLIENT.request(token, url=path).headers)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# With rules and without: what no rule is for, the endpoint decides.
@pytest.mark.twin("DPOP-14", "DPOP-15", "DPOP-16")
@pytest.mark.parametrize("rules", [PUBLIC, []])
@pytest.mark.parametrize("path", ["/bound", "/around", "/high"])
def test_the_holder_of_the_key_is_served(rules: list[dict[str, Any]], path: str) -> None:
    with client_of(guard_of(route=rules)) as client:
        for _ in range(2):
            assert client.get(path, headers=proven(path)).status_code == 200
    with client_of(guard_of(route=rules)) as client:
        headers = bearer(ISSUER.token(scopes=["a"]))
        assert client.get("/open", headers=headers).status_code == 200


@pytest.mark.attack("DPOP-14", "DPOP-15", "DPOP-16")
@pytest.mark.parametrize("rules", [PUBLIC, []])
@pytest.mark.parametrize("path", ["/bound", "/around", "/high"])
def test_nobody_else_is(rules: list[dict[str, Any]], path: str) -> None:
    thief = FakeClient(ISSUER)
    with client_of(guard_of(route=rules)) as client:
        used = proven(path)
        assert client.get(path, headers=used).status_code == 200
        unbound = ISSUER.token(scopes=["a", "b"])
        stolen = dict(thief.request(TOKEN, url=path).headers)
        for headers in (
            used,
            stolen,
            bearer(TOKEN),
            {**bearer(TOKEN), "DPoP": proven(path)["DPoP"]},
            bearer(unbound),
            proven(path, unbound),
            {"Authorization": f"DPoP {TOKEN}"},
            proven("/open"),
            {},
        ):
            assert client.get(path, headers=headers).status_code == 401
        # Nor does a bound token open what takes bearer tokens, proven or not.
        for headers in (proven("/open"), bearer(TOKEN)):
            assert client.get("/open", headers=headers).status_code == 401


def test_a_challenge_names_the_schemes_that_the_endpoint_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEST_NONCE_KEY", "n" * 40)
    keys = {"env": "TEST_NONCE_KEY"}
    with client_of(guard_of(route=PUBLIC, dpop={"nonce_keys": [keys]})) as client:
        # Which one it takes, only the endpoint says, and nobody gets there without a token.
        missing = client.get("/bound").headers["WWW-Authenticate"]
        url = "https://api.test/.well-known/oauth-protected-resource"
        pointer = f'resource_metadata="{url}"'
        assert missing.startswith(
            f'Bearer realm="test-api", {pointer}, DPoP realm="test-api", algs="'
        )
        assert missing.endswith(f'", {pointer}')
        malformed = client.get("/bound", headers=bearer(TOKEN)).headers["WWW-Authenticate"]
        assert malformed.startswith('Bearer realm="test-api", error="invalid_token"')
        assert ', DPoP realm="test-api", algs="' in malformed
        # Who sends a proof is told about proofs (RFC 9449 section 9).
        asked = client.get("/bound", headers=proven("/bound"))
        challenge = asked.headers["WWW-Authenticate"]
        assert challenge.startswith('DPoP realm="test-api", error="use_dpop_nonce"')
        assert "Bearer" not in challenge
        nonce = asked.headers["DPoP-Nonce"]
        headers = dict(CLIENT.request(TOKEN, url="/bound", nonce=nonce).headers)
        served = client.get("/bound", headers=headers)
        assert served.status_code == 200
        assert "DPoP-Nonce" not in served.headers
        # An older one still serves, and brings a newer one, also with what the endpoint refuses.
        ISSUER.clock.advance(150)
        for path, status in (("/bound", 200), ("/high", 200), ("/open", 401)):
            headers = dict(CLIENT.request(TOKEN, url=path, nonce=nonce).headers)
            answer = client.get(path, headers=headers)
            assert answer.status_code == status
            assert answer.headers["DPoP-Nonce"] not in {"", nonce}


def problems_of(guard: FastAPIGuard, *dependencies: Any, path: str = "/x") -> str:
    app = FastAPI()
    guard.protect(app)
    app.get(path, dependencies=[Depends(one) for one in dependencies])(lambda: "served")
    try:
        guard.check_routes(app)
    except ConfigurationError as error:
        return str(error)
    return ""


def test_an_endpoint_that_no_token_could_open_is_found_at_start_up() -> None:
    guard = guard_of(
        route=[{"path": "/x", "sender_constraint": "mtls"}, {"path": "/{any}", "methods": ["PUT"]}]
    )
    silent, dpop = guard.requires(["a"]), guard.requires(sender_constraint="dpop")
    mtls, none = guard.requires(sender_constraint="mtls"), guard.requires(sender_constraint="none")
    for demands, path, found in (
        # One silent demand is met by what the rule says, or else by bearer tokens.
        ([silent], "/x", ""),
        ([silent, mtls], "/x", ""),
        ([silent], "/y", ""),
        ([silent, none], "/y", ""),
        ([dpop, dpop], "/y", ""),
        ([mtls], "/y", ""),
        ([dpop], "/x", "GET /x: sender_constraint is mtls in one demand on a route and dpop"),
        ([silent, none], "/x", "GET /x: sender_constraint is mtls"),
        ([silent, dpop], "/y", "GET /y: takes tokens of two kinds at once"),
        ([dpop, mtls], "/y", "by sender_constraint dpop and mtls: state the same"),
    ):
        problems = problems_of(guard, *demands, path=path)
        assert found in problems
        assert bool(problems) is bool(found)
    everywhere = guard_of(
        api={"audience": "test-api", "origin": "https://api.test", "sender_constraint": "dpop"}
    )
    silent = everywhere.requires(["a"])
    assert not problems_of(everywhere, silent, everywhere.requires(sender_constraint="dpop"))
    assert problems_of(everywhere, silent, everywhere.requires(sender_constraint="mtls"))
