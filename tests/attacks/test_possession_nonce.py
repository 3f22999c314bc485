"""DPOP-10 through the guard: proofs that must carry a nonce of this API (RFC 9449 section 9)."""

from __future__ import annotations

from typing import Final

import pytest

from portvakt import Code, Decision, Guard
from portvakt.oauth.dpop_nonce import Nonces
from portvakt.testing import FakeClient, FakeIssuer

KEY: Final = "a key of at least thirty-two octets"


class Nonced:
    """A guard whose proofs need nonces that last for a hundred seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NONCE_KEY_OF_TEST", KEY)
        self.issuer = FakeIssuer()
        self.issuer.clock.set(1_800_000_000.0)
        self.client = FakeClient(self.issuer)
        self.token = self.client.token()
        self.guard: Guard = self.issuer.guard(
            api={"audience": "test-api", "origin": "https://api.test", "sender_constraint": "dpop"},
            store={"url": "memory://"},
            dpop={"nonce_keys": [{"env": "NONCE_KEY_OF_TEST"}], "nonce_lifetime": "100s"},
        )

    def send(self, nonce: str | None) -> Decision:
        return self.guard.check_blocking(self.client.request(self.token, nonce=nonce))

    def given(self) -> str:
        refused = self.send(None)
        assert refused.refusal is not None
        assert refused.refusal.code is Code.PROOF_NONCE
        assert refused.response is not None
        headers = dict(refused.response.headers)
        assert refused.response.status == 401
        assert headers["WWW-Authenticate"].startswith(
            'DPoP realm="test-api", error="use_dpop_nonce"'
        )
        assert headers["Cache-Control"] == "no-store"
        return headers["DPoP-Nonce"]


@pytest.mark.attack("DPOP-10")
def test_a_proof_without_a_nonce_of_this_api_is_answered_with_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nonced = Nonced(monkeypatch)
    nonce = nonced.given()
    others = Nonces((b"another key of thirty-two octets..",), 100.0).make(nonced.issuer.clock())
    for wrong in (others, "", nonce[:-1], f"{nonce}=", nonce.lower(), "x" * 4000):
        refused = nonced.send(wrong)
        assert refused.refusal is not None
        assert refused.refusal.code is Code.PROOF_NONCE
        assert refused.response is not None
        assert dict(refused.response.headers)["DPoP-Nonce"] == nonce
    # None is taken for ever, and none of the future.
    nonced.issuer.clock.advance(100)
    newer = nonced.given()
    assert newer != nonce
    assert not nonced.send(nonce).admitted
    nonced.issuer.clock.advance(-100)
    assert not nonced.send(newer).admitted


@pytest.mark.twin("DPOP-10")
def test_a_nonce_serves_until_it_is_old_and_a_newer_one_comes_with_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nonced = Nonced(monkeypatch)
    nonce = nonced.given()
    for _ in range(2):
        decision = nonced.send(nonce)
        assert decision.admitted
        assert decision.headers == ()
    nonced.issuer.clock.advance(50)
    decision = nonced.send(nonce)
    assert decision.admitted
    headers = dict(decision.headers)
    assert headers.pop("DPoP-Nonce") == nonced.given()
    # No cache may answer a later request with it (RFC 9449 section 8.2).
    assert headers == {"Cache-Control": "no-store"}
