"""Honest and hostile callers of the journal API: a fake issuer that writes as HelseID does."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fastapi.testclient import TestClient

from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
PID = "helseid://claims/identity/pid"
LEVEL = "helseid://claims/identity/security_level"
HPR = "helseid://claims/hpr/hpr_number"
SOMEBODY, SOMEBODY_ELSE = "17056600574", "03851598730"  # synthetic, both


@pytest.fixture(scope="module")
def issuer() -> FakeIssuer:
    return FakeIssuer(profile="helseid-test", audience="example:journal", clock=time.time)


@pytest.fixture(scope="module")
def client(issuer: FakeIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    keys.write_text(json.dumps(issuer.jwks()))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(HERE)
        patch.syspath_prepend(str(HERE))
        # Its keys come from a file here, not from HelseID.
        patch.setenv("PORTVAKT_ISSUER__0__JWKS_FILE", str(keys))
        sys.modules.pop("app", None)
        from app import app

        with TestClient(app) as client:
            yield client
        sys.modules.pop("app", None)


def get(client: TestClient, path: str, token: str | None) -> tuple[int, str]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer = client.get(path, headers=headers)
    return answer.status_code, answer.headers.get("WWW-Authenticate", "")


def test_a_clinician_reads_a_journal(client: TestClient, issuer: FakeIssuer) -> None:
    token = issuer.token(scopes=["example:journal/read"])

    answer = client.get("/journal/1", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 200
    assert answer.json() == {"patient": "1", "read_by": "431001110", "for": "100100673"}


def test_a_citizen_reads_their_own_journal_and_no_other(
    client: TestClient, issuer: FakeIssuer
) -> None:
    token = issuer.token(scopes=["example:journal/own"], claims={PID: SOMEBODY}, without=[HPR])

    assert get(client, f"/me/{SOMEBODY}", token)[0] == 200
    assert get(client, f"/me/{SOMEBODY_ELSE}", token)[0] == 403


def test_a_level_too_low_asks_for_a_higher_one(client: TestClient, issuer: FakeIssuer) -> None:
    token = issuer.token(scopes=["example:journal/read"], claims={LEVEL: "3"})

    status, challenge = get(client, "/journal/1", token)

    assert status == 401
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'acr_values="Level4"' in challenge


@pytest.mark.parametrize(
    ("claims", "without", "status"),
    [
        ({}, [HPR], 403),  # nobody knows that they are health personnel
        ({HPR: "none"}, [], 401),  # there, and no number
        ({PID: "1705660057"}, [], 401),
        ({LEVEL: "1337"}, [], 401),
        ({"aud": "example:other"}, [], 401),
        ({"nonce": "x", "at_hash": "y"}, [], 200),  # typ says at+jwt, so it is no ID token
    ],
)
def test_what_a_clinicians_token_must_say(
    client: TestClient,
    issuer: FakeIssuer,
    claims: dict[str, str],
    without: list[str],
    status: int,
) -> None:
    token = issuer.token(scopes=["example:journal/read"], claims=claims, without=without)

    assert get(client, "/journal/1", token)[0] == status


def test_an_id_token_of_the_same_issuer_is_refused(client: TestClient, issuer: FakeIssuer) -> None:
    token = issuer.token(
        scopes=["example:journal/read"],
        claims={"nonce": "x", "at_hash": "y"},
        header={"typ": "JWT"},
    )

    assert get(client, "/journal/1", token)[0] == 401


def test_nothing_else_is_open(client: TestClient, issuer: FakeIssuer) -> None:
    assert get(client, "/healthz", None)[0] == 200
    assert get(client, "/journal/1", None)[0] == 401
    assert get(client, "/journal/1", issuer.forged("none"))[0] == 401
    assert get(client, "/journal/1", issuer.token(scopes=["example:journal/own"]))[0] == 403
