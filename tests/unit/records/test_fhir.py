"""AuditEvent has what R4 requires, and says no more than the record."""

from __future__ import annotations

import re
from typing import Any

import pytest

from portvakt.records.fhir import audit_event
from portvakt.records.record import Holder, Kind, Record

#: hl7.org/fhir/R4/auditevent.html: what each element has, which must be there, and which is a list.
ELEMENTS: dict[str, set[str]] = {
    "AuditEvent": {
        "resourceType", "id", "type", "subtype", "action", "period", "recorded", "outcome",
        "outcomeDesc", "purposeOfEvent", "agent", "source", "entity",
    },
    "agent": {
        "type", "role", "who", "altId", "name", "requestor", "location", "policy", "media",
        "network", "purposeOfUse",
    },
    "source": {"site", "observer", "type"},
    "entity": {
        "what", "type", "role", "lifecycle", "securityLabel", "name", "description", "query",
        "detail",
    },
    "detail": {"type", "valueString", "valueBase64Binary"},
    "Coding": {"system", "version", "code", "display", "userSelected"},
    "CodeableConcept": {"coding", "text"},
    "Reference": {"reference", "type", "identifier", "display"},
    "Identifier": {"use", "type", "system", "value", "period", "assigner"},
}  # fmt: skip
REQUIRED: dict[str, set[str]] = {
    "AuditEvent": {"resourceType", "type", "recorded", "agent", "source"},
    "agent": {"requestor"},
    "source": {"observer"},
    "detail": {"type"},
}
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

HOLDER = Holder(
    issuer="https://sts.test", level=4, person="P", hpr="H", subject="S", client="C", token="T",
    organisation="999977774", purpose="TREAT",
)  # fmt: skip


def record(**members: Any) -> Record:
    made = {
        "writer": "0123456789abcdef", "n": 7, "kind": Kind.DECISION, "key": "k", "at": 1800000000.5,
        "outcome": "admitted", "method": "GET", "route": "/me/{pid}", "rule": "route[0]",
        "holder": HOLDER,
    }  # fmt: skip
    return Record(**{**made, **members})


def refused(code: str, status: int, **members: Any) -> Record:
    return record(outcome="refused", code=code, step="expiry", status=status, **members)


CASES = [
    record(),
    record(holder=None, public=True),
    record(holder=Holder(issuer="https://sts.test", level=0)),
    record(holder=Holder(issuer="https://sts.test", level=0, client="C")),
    record(holder=Holder(issuer="https://sts.test", level=0, organisation="999977774")),
    record(holder=Holder(issuer="https://sts.test", level=3, hpr="H")),
    record(holder=Holder(issuer="https://sts.test", level=3, subject="S")),
    record(unconfirmed=("people",), method="other"),
    refused("token_expired", 401, holder=None),
    refused("records_unavailable", 503, route=None, rule=None, method="POST"),
]


def check(kind: str, element: dict[str, Any]) -> None:
    assert element.keys() <= ELEMENTS[kind], kind
    assert REQUIRED.get(kind, set()) <= element.keys(), kind


def check_coding(coding: dict[str, Any]) -> None:
    check("Coding", coding)
    assert coding["system"].startswith(("http://", "urn:"))
    assert coding["code"]


def check_concept(concept: dict[str, Any]) -> None:
    check("CodeableConcept", concept)
    for coding in concept["coding"]:
        check_coding(coding)


def check_reference(reference: dict[str, Any]) -> None:
    check("Reference", reference)
    if "identifier" in reference:
        check("Identifier", reference["identifier"])
    # ref-1: a reference is of something, or says what it is of.
    assert reference.keys() & {"reference", "identifier", "display"}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("api", ["nhn:journal", None])
def test_an_event_has_the_elements_that_r4_demands_and_no_other(
    case: Record, api: str | None
) -> None:
    event = audit_event(case, api)
    check("AuditEvent", event)
    assert event["resourceType"] == "AuditEvent"
    assert re.fullmatch(r"[A-Za-z0-9.-]{1,64}", event["id"])
    check_coding(event["type"])
    assert event["action"] in {"C", "R", "U", "D", "E"}
    assert INSTANT.fullmatch(event["recorded"])
    assert event["outcome"] in {"0", "4", "8", "12"}
    assert event["agent"]
    for agent in event["agent"]:
        check("agent", agent)
        assert type(agent["requestor"]) is bool
        check_reference(agent["who"])
        if "type" in agent:
            check_concept(agent["type"])
    assert [agent["requestor"] for agent in event["agent"]].count(True) == 1
    check("source", event["source"])
    check_reference(event["source"]["observer"])
    for entity in event["entity"]:
        check("entity", entity)
        check_coding(entity["type"])
        assert "query" not in entity  # sev-1: a name or a query, not both
        for detail in entity["detail"]:
            check("detail", detail)
            assert detail["valueString"]
    for purpose in event.get("purposeOfEvent", ()):
        check_concept(purpose)


def test_an_event_says_what_the_record_says() -> None:
    event = audit_event(record(), "nhn:journal")
    assert event["type"]["code"] == "rest"
    assert event["recorded"] == "2027-01-15T08:00:00.500Z"
    person, client, organisation = event["agent"]
    assert person["who"]["identifier"] == {"system": "urn:x-portvakt:person:k", "value": "P"}
    assert client["who"]["identifier"] == {"system": "urn:x-portvakt:client:k", "value": "C"}
    assert organisation["who"]["identifier"] == {
        "system": "urn:oid:2.16.578.1.12.4.1.4.101",
        "value": "999977774",
    }
    assert event["purposeOfEvent"][0]["coding"][0]["code"] == "TREAT"
    assert event["source"]["observer"]["display"] == "nhn:journal"
    assert event["entity"][0]["name"] == "/me/{pid}"


@pytest.mark.parametrize(
    ("case", "outcome", "said"),
    [
        (record(), "0", None),
        (refused("token_expired", 401), "4", "token_expired"),
        (refused("internal_error", 503), "8", "internal_error"),
    ],
)
def test_the_outcome_says_whose_failure_it_was(
    case: Record, outcome: str, said: str | None
) -> None:
    event = audit_event(case, None)
    assert (event["outcome"], event.get("outcomeDesc")) == (outcome, said)


@pytest.mark.parametrize(
    ("method", "action"),
    [
        *(("GET", "R"), ("HEAD", "R"), ("POST", "C"), ("PUT", "U"), ("PATCH", "U")),
        *(("DELETE", "D"), ("OPTIONS", "E"), ("other", "E"), (None, "E")),
    ],
)
def test_the_action_follows_the_method(method: str | None, action: str) -> None:
    assert audit_event(record(method=method), None)["action"] == action
