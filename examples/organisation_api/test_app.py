"""Honest and hostile organisations, without Maskinporten: a fake issuer that writes as it does."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
AUDIENCE = "https://api.example.no/orders"
US, FORMER, STRANGER = "100100673", "999977774", "312232324"  # test organisations
SUPPLIER, UNKNOWN_SUPPLIER = "313745392", "994598759"
READ, WRITE = ["example:orders"], ["example:orders", "example:orders.write"]


def unit(number: str) -> dict[str, str]:
    """Write an organisation as Maskinporten does (ISO 6523)."""
    return {"authority": "iso6523-actorid-upis", "ID": f"0192:{number}"}


@pytest.fixture(scope="module")
def issuer() -> FakeIssuer:
    return FakeIssuer(profile="maskinporten-test", audience=AUDIENCE, clock=time.time)


@pytest.fixture(scope="module")
def client(issuer: FakeIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    keys.write_text(json.dumps(issuer.jwks()))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(HERE)
        patch.syspath_prepend(str(HERE))
        # Its keys come from a file here, not from Maskinporten.
        patch.setenv("PORTVAKT_ISSUER__0__JWKS_FILE", str(keys))
        sys.modules.pop("app", None)
        from app import app

        with TestClient(app) as client:
            yield client
        sys.modules.pop("app", None)


def token(issuer: FakeIssuer, scopes: list[str], consumer: str, **claims: Any) -> str:
    """Return a token of a machine: no person is in it."""
    said = {"consumer": unit(consumer), **claims}
    without = ["sub", "nbf", "pid", *(["supplier"] if "supplier" not in claims else [])]
    return issuer.token(scopes=scopes, claims=said, without=without)


def call(client: TestClient, method: str, orgnr: str, bearer: str) -> int:
    answer = client.request(
        method, f"/organisations/{orgnr}/orders", headers={"Authorization": f"Bearer {bearer}"}
    )
    return answer.status_code


def test_an_organisation_reads_its_own_orders_and_no_others(
    client: TestClient, issuer: FakeIssuer
) -> None:
    bearer = token(issuer, READ, US)

    assert call(client, "GET", US, bearer) == 200
    assert call(client, "GET", STRANGER, bearer) == 403


@pytest.mark.parametrize(
    ("consumer", "supplier", "status"),
    [
        (US, None, 200),
        (US, SUPPLIER, 200),
        (US, UNKNOWN_SUPPLIER, 403),
        (STRANGER, None, 403),  # not listed
        (FORMER, None, 403),  # listed, and no partner any more by the register
    ],
)
def test_partners_write_themselves_or_through_a_known_supplier(
    client: TestClient, issuer: FakeIssuer, consumer: str, supplier: str | None, status: int
) -> None:
    claims = {} if supplier is None else {"supplier": unit(supplier)}

    assert call(client, "POST", consumer, token(issuer, WRITE, consumer, **claims)) == status


def test_a_token_that_is_for_every_api_is_refused(client: TestClient, issuer: FakeIssuer) -> None:
    everywhere = issuer.token(
        scopes=READ, claims={"consumer": unit(US)}, without=["aud", "supplier", "sub", "nbf", "pid"]
    )

    assert call(client, "GET", US, everywhere) == 401
    assert call(client, "GET", US, token(issuer, READ, US, aud="unspecified")) == 401


def test_an_organisation_that_cannot_be_read_is_refused(
    client: TestClient, issuer: FakeIssuer
) -> None:
    for consumer in ("0192:100100673", {"authority": "x", "ID": "0192:100100673"}, None):
        bearer = issuer.token(scopes=READ, claims={"consumer": consumer}, without=["supplier"])
        assert call(client, "GET", US, bearer) == 401
