"""What is written down of a decision, and what never is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portvakt import ConfigurationError, Guard, HttpRequest, Requirement
from portvakt.policy.claims import Claims
from portvakt.policy.identifiers import parse_person_number
from portvakt.policy.pseudonym import Pseudonyms
from portvakt.records.key import RecordKey
from portvakt.records.purpose import PURPOSES, purpose_of
from portvakt.records.record import _REMEMBERED, Describer, places_of
from recording import HELSE, KEY, ROUTES, folder_in, recording_guard, written

if TYPE_CHECKING:
    from pathlib import Path

PID = "17912099997"
TRUST = "nhn:tillitsrammeverk:parameters"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_in(tmp_path)


@pytest.fixture
def guard(folder: Path) -> Guard:
    return recording_guard({"sink": "file", "folder": str(folder)})


def told(guard: Guard, folder: Path) -> list[dict[str, Any]]:
    """Return the records of decisions, once all are written."""
    records = guard.parts.records
    assert records is not None
    records.close()
    return [one for one in written(folder) if one["kind"] == "decision"]


def request(url: str = "/journal/7", **overrides: Any) -> HttpRequest:
    claims = {"helseid://claims/identity/pid": PID, **overrides.pop("claims", {})}
    return HELSE.request(HELSE.token(claims=claims), url=url, **overrides)


def test_an_admission_says_who_for_whom_by_which_rule_and_why(guard: Guard, folder: Path) -> None:
    purpose = {"care_relationship": {"purpose_of_use": {"code": "TREAT", "text": PID}}}
    assert guard.check_blocking(request(claims={TRUST: purpose, "jti": "j"})).admitted
    [record] = told(guard, folder)
    assert record["outcome"] == "admitted"
    assert record["at"] == HELSE.clock()
    assert (record["method"], record["route"]) == ("GET", "/journal/{patient}")
    assert (record["rule"], record["key"]) == ("route[1]", KEY.id)
    holder = record["holder"]
    assert holder["issuer"] == "https://helseid-sts.test.nhn.no"
    assert (holder["level"], holder["purpose"]) == (4, "TREAT")
    assert holder["person"] == KEY.pseudonyms.of(parse_person_number(PID))
    assert holder["token"] == KEY.pseudonyms.named("token", holder["issuer"], "j")
    assert {"organisation", "child", "supplier", "subject", "client", "hpr"} < holder.keys()
    assert not {"code", "step", "status", "public", "again", "unconfirmed"} & record.keys()


def test_a_refusal_says_which_check_and_who_if_that_is_known(guard: Guard, folder: Path) -> None:
    level = "helseid://claims/identity/security_level"
    guard.check_blocking(HELSE.request(HELSE.forged("expired"), url="/journal/7"))
    guard.check_blocking(request(claims={level: "3"}))
    guard.check_blocking(request("/elsewhere"))
    forged, low, unknown = told(guard, folder)
    assert (forged["code"], forged["step"], forged["status"]) == ("token_expired", "expiry", 401)
    assert "holder" not in forged  # Nothing of what it says was believed.
    assert low["code"] == "level_too_low"
    assert low["holder"]["level"] == 3
    assert low["holder"]["person"] == KEY.pseudonyms.of(parse_person_number(PID))
    assert unknown["code"] == "route_unknown"
    assert not {"route", "rule", "holder"} & unknown.keys()


def test_public_routes_further_demands_and_malformed_requests_are_there(
    guard: Guard, folder: Path
) -> None:
    assert guard.check_blocking(HELSE.request(None, url="/healthz")).admitted
    asked = request()
    decision = guard.check_blocking(asked)
    guard.require(asked, decision, Requirement.of(scopes=["kanari"]))
    guard.malformed(asked, "no text")
    public, first, further, malformed = told(guard, folder)
    assert (public["public"], public["rule"]) == (True, "route[0]")
    assert "again" not in first
    assert (further["again"], further["code"]) == (True, "scope_insufficient")
    assert further["holder"] == first["holder"]
    assert malformed["code"] == "request_malformed"


def test_a_policy_without_routes_is_one_rule(folder: Path) -> None:
    guard = recording_guard(
        {"sink": "file", "folder": str(folder)},
        route=[],
        api={
            "audience": "test-api",
            "ignore": ["security_level", "pid", "hpr_number", "organisation"],
        },
    )
    assert guard.check_blocking(request()).admitted
    [record] = told(guard, folder)
    assert record["rule"] == "api"
    assert "route" not in record


def test_a_caller_s_own_word_is_no_method(guard: Guard, folder: Path) -> None:
    for method in ("GET", "get", PID, "GET "):
        guard.check_blocking(request(method=method))
    assert [one["method"] for one in told(guard, folder)] == ["GET", "other", "other", "other"]


def test_a_method_that_the_policy_names_is_one(folder: Path) -> None:
    routes = [{**ROUTES[1], "methods": ["REPORT"]}]
    guard = recording_guard({"sink": "file", "folder": str(folder)}, route=routes)
    guard.check_blocking(request(method="REPORT"))
    assert [one["method"] for one in told(guard, folder)] == ["REPORT"]


def test_a_client_that_acts_for_itself_is_no_person(guard: Guard, folder: Path) -> None:
    guard.check_blocking(request(claims={"sub": "itself", "client_id": "itself"}))
    [record] = told(guard, folder)
    assert "client" in record["holder"]
    assert "subject" not in record["holder"]


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        ({"care_relationship": {"purpose_of_use": {"code": "TREAT"}}}, "TREAT"),
        ({"care_relation": {"purpose_of_use": {"code": "BTG"}}}, "BTG"),
        ({"care_relationship": {"purpose_of_use": "ETREAT"}}, "ETREAT"),
        ({"care_relationship": {"purpose_of_use": {"code": PID}}}, None),
        ({"care_relationship": {"purpose_of_use": {"code": f"TREAT {PID}"}}}, None),
        ({"care_relationship": {"purpose_of_use": {"code": ["TREAT"]}}}, None),
        ({"care_relationship": {"purpose_of_use": ["TREAT"]}}, None),
        ({"care_relationship": "TREAT"}, None),
        ({"patients": [{"identifier": PID}]}, None),
    ],
)
def test_a_purpose_is_a_word_of_the_list_or_none(stated: dict[str, Any], code: str | None) -> None:
    assert purpose_of(Claims(stated)) == code


def test_no_purpose_can_hold_a_number() -> None:
    assert purpose_of(None) is None
    assert all(word.isalpha() for word in PURPOSES)


def test_what_is_remembered_of_tokens_is_bounded(guard: Guard) -> None:
    describer = Describer(KEY, places_of(guard.routes))
    token = guard.check_blocking(request()).token
    assert token is not None
    noted = (1.0, "GET", None, None, token, (), False)
    assert describer.describe("w", 1, noted).holder is describer.describe("w", 2, noted).holder
    full: dict[int, Any] = dict.fromkeys(range(_REMEMBERED), (token, None))
    describer._holders.update(full)
    other = guard.check_blocking(request(claims={"jti": "other"})).token
    describer.describe("w", 3, (1.0, "GET", None, None, other, (), False))
    assert len(describer._holders) == 1


def test_names_of_different_issuers_and_kinds_have_different_pseudonyms() -> None:
    named = KEY.pseudonyms.named
    every = [
        named(kind, issuer, name)
        for kind in ("subject", "client")
        for issuer in ("https://a.test", "https://b.test")
        for name in ("x", "y", "\ud800")
    ]
    assert len(set(every)) == 12
    assert all(len(one) == 22 for one in every)


def test_the_keys_of_a_secret_do_not_lead_to_each_other() -> None:
    secret = b"k" * 32
    key, other = RecordKey(secret), RecordKey(b"l" * 32)
    assert len({key.chain, other.chain, secret}) == 3
    assert key.id != other.id
    assert repr(key) == f"RecordKey({key.id})"
    number = parse_person_number(PID)
    assert key.pseudonyms.of(number) not in {
        Pseudonyms(secret).of(number),
        Pseudonyms(key.chain).of(number),
    }
    with pytest.raises(ConfigurationError, match="32 octets"):
        RecordKey(b"k" * 31)
