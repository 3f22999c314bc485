"""A decision record as FHIR R4 AuditEvent (hl7.org/fhir/R4/auditevent.html).

What is required there is here: ``type``, ``recorded``, one ``agent`` at least with ``requestor``,
and ``source.observer``. Persons, subjects and clients are pseudonyms under the key that the
identifier's system names; only whoever has the key can say who is meant. What was read or written
is named by the rule's path, which holds no patient.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from portvakt.records.record import Holder, Record

__all__ = ["audit_event"]

#: Norwegian organisation numbers (Direktoratet for e-helse: OID 2.16.578.1.12.4.1.4.101).
ORGANISATION_NUMBER: Final = "urn:oid:2.16.578.1.12.4.1.4.101"

_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem"

#: RESTful interactions by method: create, read, update, delete; all else executes something.
_ACTIONS: Final = {
    "GET": "R",
    "HEAD": "R",
    "POST": "C",
    "PUT": "U",
    "PATCH": "U",
    "DELETE": "D",
}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def audit_event(record: Record, api: str | None) -> dict[str, Any]:
    """Return the resource, as JSON would have it.

    Parameters:
        record: one of a decision.
        api: which API it is of, as the first record of its file says; None if that is not known.
    """
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": f"{record.writer}-{record.n}",
        "type": _coding("audit-event-type", "rest", "RESTful Operation"),
        "action": _ACTIONS.get(record.method or "", "E"),
        "recorded": _instant(record.at),
        "outcome": _outcome(record),
        "agent": list(_agents(record)),
        "source": {"observer": _observer(record, api)},
        "entity": [_entity(record)],
    }
    if record.code is not None:
        event["outcomeDesc"] = record.code
    purpose = None if record.holder is None else record.holder.purpose
    if purpose is not None:
        event["purposeOfEvent"] = [{"coding": [_coding("v3-ActReason", purpose)]}]
    return event


def _coding(system: str, code: str, display: str | None = None) -> dict[str, str]:
    coding = {"system": f"{_TERMINOLOGY}/{system}", "code": code}
    return coding if display is None else {**coding, "display": display}


def _instant(at: float) -> str:
    moment = _EPOCH + timedelta(seconds=at)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _outcome(record: Record) -> str:
    """Say success, minor failure (the caller's) or serious failure (ours)."""
    if record.status is None:
        return "0"
    return "8" if record.status >= 500 else "4"


def _agents(record: Record) -> list[dict[str, Any]]:
    """Say who asked: a person with a client and for an organisation, as far as a token says it."""
    holder = record.holder
    if holder is None:
        # Somebody did, and nobody knows who: the element is required.
        return [{"who": {"display": "unknown"}, "requestor": True}]
    agents = []
    person = _person(record.key, holder)
    if person is not None:
        agents.append({"type": _role("humanuser"), "who": person, "requestor": True})
    if holder.client is not None:
        who = _reference("Device", f"client:{record.key}", holder.client)
        agents.append({"type": _role("dataprocessor"), "who": who, "requestor": person is None})
    for number in (holder.organisation, holder.child, holder.supplier):
        if number is not None:
            identifier = {"system": ORGANISATION_NUMBER, "value": number}
            who = {"type": "Organization", "identifier": identifier}
            agents.append({"who": who, "requestor": not agents})
    if not agents:
        return [{"who": {"display": f"a client of {holder.issuer}"}, "requestor": True}]
    return agents


def _person(key: str, holder: Holder) -> dict[str, Any] | None:
    """Refer to the person by the most that is known: the identity number, or else the subject."""
    if holder.person is not None:
        return _reference("Person", f"person:{key}", holder.person)
    if holder.hpr is not None:
        return _reference("Practitioner", f"hpr:{key}", holder.hpr)
    if holder.subject is not None:
        return _reference("Person", f"subject:{key}", holder.subject)
    return None


def _role(code: str) -> dict[str, Any]:
    return {"coding": [_coding("extra-security-role-type", code)]}


def _reference(kind: str, system: str, value: str) -> dict[str, Any]:
    identifier = {"system": f"urn:x-portvakt:{system}", "value": value}
    return {"type": kind, "identifier": identifier}


def _observer(record: Record, api: str | None) -> dict[str, Any]:
    observer = _reference("Device", "writer", record.writer)
    return observer if api is None else {**observer, "display": api}


def _entity(record: Record) -> dict[str, Any]:
    detail = [
        {"type": name, "valueString": str(value)}
        for name, value in (
            ("method", record.method),
            ("rule", record.rule),
            ("step", record.step),
            ("status", record.status),
            ("security_level", None if record.holder is None else record.holder.level),
            ("issuer", None if record.holder is None else record.holder.issuer),
            ("unconfirmed", " ".join(record.unconfirmed) or None),
        )
        if value is not None
    ]
    return {
        "type": _coding("audit-entity-type", "2", "System Object"),
        "name": record.route or "unknown",
        "detail": detail,
    }
