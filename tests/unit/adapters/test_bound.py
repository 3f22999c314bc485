"""Bound tokens through ASGI and FastAPI: who demands what, and the nonce on the way back."""

import time
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from portvakt import AccessToken, HttpRequest
from portvakt.adapters.fastapi import FastAPIGuard
from portvakt.testing import FakeClient, FakeIssuer

ORIGIN = "https://api.test"


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer(clock=time.time)


@pytest.fixture
def client(issuer: FakeIssuer) -> FakeClient:
    return FakeClient(issuer, origin=ORIGIN)


@pytest.fixture
def app(issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("NONCE_KEY", "n" * 32)
    config: dict[str, Any] = issuer.config(
        api={"audience": "test-api", "origin": ORIGIN},
        store={"url": "memory://"},
        dpop={"nonce_keys": [{"env": "NONCE_KEY"}]},
        route=[{"path": "/ruled", "sender_constraint": "dpop"}],
    )
    # A guard that has just been made knows nothing of proofs before it.
    past = [time.time() - 60]
    guard = FastAPIGuard.from_config(config, clock=lambda: past.pop() if past else time.time())
    application = FastAPI()
    guard.protect(application)
    bound = guard.requires(sender_constraint="dpop")

    @application.get("/ruled")
    async def ruled(token: Annotated[AccessToken, Depends(guard.requires())]) -> str | None:
        return token.client_id

    @application.get("/bound")
    async def stated(token: Annotated[AccessToken, Depends(bound)]) -> str | None:
        return token.client_id

    @application.get("/open")
    async def opened(token: Annotated[AccessToken, Depends(guard.requires())]) -> str | None:
        return token.client_id

    with TestClient(application, base_url=ORIGIN) as found:
        yield found


def send(app: TestClient, request: HttpRequest) -> Any:
    return app.get(request.url, headers=dict(request.headers))


@pytest.mark.parametrize("path", ["/ruled", "/bound"])
def test_a_client_that_follows_the_nonce_is_admitted(
    app: TestClient, client: FakeClient, path: str
) -> None:
    token = client.token()
    first = send(app, client.request(token, url=path))
    assert first.status_code == 401
    assert 'error="use_dpop_nonce"' in first.headers["WWW-Authenticate"]
    nonce = first.headers["DPoP-Nonce"]
    answer = send(app, client.request(token, url=path, nonce=nonce))
    assert answer.status_code == 200
    again = send(app, client.request(token, url=path, nonce=nonce))
    assert again.status_code == 200


@pytest.mark.parametrize("path", ["/ruled", "/bound"])
def test_a_stolen_token_opens_nothing(
    app: TestClient, client: FakeClient, issuer: FakeIssuer, path: str
) -> None:
    token = client.token()
    assert send(app, issuer.request(token, url=path)).status_code == 401
    assert send(app, issuer.request(issuer.token(), url=path)).status_code == 401
    thief = FakeClient(issuer, origin=ORIGIN)
    assert send(app, thief.request(token, url=path)).status_code == 401


def test_an_endpoint_that_takes_bearer_tokens_takes_no_bound_one(
    app: TestClient, client: FakeClient, issuer: FakeIssuer
) -> None:
    assert send(app, issuer.request(issuer.token(), url="/open")).status_code == 200
    token = client.token()
    nonce = send(app, client.request(token, url="/open")).headers["DPoP-Nonce"]
    refused = send(app, client.request(token, url="/open", nonce=nonce))
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer ")


def test_an_endpoint_that_takes_proofs_says_so_in_its_challenge(
    app: TestClient, issuer: FakeIssuer
) -> None:
    refused = send(app, issuer.request(issuer.token(), url="/bound"))
    assert refused.headers["WWW-Authenticate"].startswith("DPoP ")
