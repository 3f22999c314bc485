"""Security events: whom they end what for, and every way in which an event is none."""

import json
from typing import Any

import pytest

from feeding import AUDIENCE, CAEP, ISSUER, NOW, OTHER, PERSON, REVOKED, RISC, event
from portvakt.errors import Unavailable
from portvakt.oauth.security_event import (
    MalformedEvent,
    SecurityEvent,
    SubjectEvent,
    make_event,
    read_event,
)
from portvakt.policy.handles import Kind

AT = NOW + 1  # tokens of the event's own second are older, too

SESSION = {"format": "opaque", "id": "session-1"}
DEVICE = {"format": "opaque", "id": "device-1"}
MAIL = {"format": "email", "email": "alice@example.no"}


def read(claims: dict[str, Any] | bytes, **how: Any) -> SecurityEvent:
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    settings = {"issuer": ISSUER, "audience": AUDIENCE, "now": NOW, "ahead": 30, "sessions": True}
    return read_event(payload, **{**settings, **how})


def named(claims: dict[str, Any], **how: Any) -> list[tuple[str, str]]:
    return [(one.kind, one.value) for one in read(claims, **how).revoked]


def flaw(claims: dict[str, Any] | bytes, **how: Any) -> tuple[str, str]:
    with pytest.raises(MalformedEvent) as caught:
        read(claims, **how)
    return caught.value.err, str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        REVOKED,
        f"{CAEP}token-claims-change",
        f"{CAEP}credential-change",
        f"{RISC}account-disabled",
        f"{RISC}account-purged",
        f"{RISC}account-credential-change-required",
        f"{RISC}credential-compromise",
        f"{RISC}sessions-revoked",
    ],
)
def test_every_event_that_ends_something_revokes_its_subject(name: str) -> None:
    found = read(event(name))
    assert found.revoked == (SubjectEvent("subject", ISSUER, "alice", AT),)
    assert (found.issuer, found.token_id, found.unusable) == (ISSUER, "event-1", ())


@pytest.mark.parametrize(
    "name",
    [
        f"{CAEP}assurance-level-change",
        f"{CAEP}device-compliance-change",
        f"{RISC}account-enabled",
        f"{REVOKED}/",
        REVOKED.upper(),
        "https://schemas.openid.net/secevent/ssf/event-type/verification",
    ],
)
def test_an_event_of_another_kind_revokes_nothing_and_is_no_mistake(name: str) -> None:
    found = read(event(name))
    assert (found.revoked, found.unusable) == ((), ())


@pytest.mark.parametrize("change", ["revoke", "update", "delete", "unheard-of", None, 1])
def test_a_credential_that_changes_ends_what_it_opened(change: object) -> None:
    assert named(event(f"{CAEP}credential-change", {"change_type": change})) == [
        ("subject", "alice")
    ]


def test_a_credential_that_is_new_ends_nothing() -> None:
    assert named(event(f"{CAEP}credential-change", {"change_type": "create"})) == []
    # That word means nothing to another event.
    assert named(event(REVOKED, {"change_type": "create"})) == [("subject", "alice")]


# Whom it is about.


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (PERSON, [("subject", "alice")]),
        ({"format": "opaque", "id": "x"}, [("subject", "x"), ("session", "x")]),
        ({"format": "jwt_id", "iss": ISSUER, "jti": "t"}, [("token", "t")]),
        (
            {"format": "aliases", "identifiers": [MAIL, PERSON, PERSON, "x", SESSION]},
            [("subject", "alice"), ("subject", "session-1")],
        ),
        ({"format": "complex", "session": SESSION}, [("session", "session-1")]),
        ({"format": "complex", "session": SESSION, "user": PERSON}, [("session", "session-1")]),
        ({"format": "complex", "user": PERSON, "device": DEVICE}, [("subject", "alice")]),
        ({"format": "complex", "user": PERSON, "application": SESSION}, [("subject", "alice")]),
        ({"format": "complex", "user": PERSON, "session": MAIL}, [("subject", "alice")]),
        ({"format": "complex", "application": DEVICE}, [("client", "device-1")]),
        (
            {"format": "complex", "session": {"format": "jwt_id", "iss": ISSUER, "jti": "t"}},
            [("token", "t")],
        ),
    ],
)
def test_whom_an_event_names(subject: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert named(event(subject=subject)) == expected
    # Old drafts have it within the event, and that is nearer.
    within = event(payload={"subject": subject}, subject={"format": "opaque", "id": "other"})
    assert named(within) == expected


def test_what_is_revoked_has_the_words_of_what_can_be_revoked() -> None:
    assert {"token", "session", "subject", "client"} <= {kind.value for kind in Kind}


def test_an_opaque_name_is_a_session_only_where_a_session_ends() -> None:
    for name in (f"{RISC}account-disabled", f"{CAEP}credential-change"):
        assert named(event(name, subject={"format": "opaque", "id": "x"})) == [("subject", "x")]


def test_the_longest_name_is_a_name() -> None:
    subject = {"format": "iss_sub", "iss": ISSUER, "sub": "x" * 1024}
    assert named(event(subject=subject)) == [("subject", "x" * 1024)]


def test_a_session_that_tokens_need_not_name_ends_all_of_the_person() -> None:
    subject = {"format": "complex", "session": SESSION, "user": PERSON}
    both = [("session", "session-1"), ("subject", "alice")]
    assert named(event(subject=subject), sessions=False) == both
    alone = {"format": "complex", "session": SESSION}
    assert named(event(subject=alone), sessions=False) == [("session", "session-1")]


def test_the_subject_of_the_token_is_the_last_resort() -> None:
    assert named(event(subject=None, sub="alice")) == [("subject", "alice")]
    assert named(event(sub="bob")) == [("subject", "alice")]
    assert read(event(subject=None, sub=1)).unusable != ()


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        (None, "missing"),
        ("alice", "missing"),
        ({}, "missing"),
        ({"format": "made-up-alice"}, "missing"),
        ({"format": ["opaque"]}, "missing"),
        (MAIL, "email"),
        ({"format": "account", "uri": "acct:alice@example.no"}, "account"),
        ({"format": "phone_number", "phone_number": "+4712345678"}, "phone_number"),
        ({"format": "iss_sub", "iss": OTHER, "sub": "alice"}, "iss_sub"),
        ({"format": "iss_sub", "iss": "https://a.test", "sub": "alice"}, "iss_sub"),
        ({"format": "iss_sub", "iss": ISSUER, "sub": ""}, "iss_sub"),
        ({"format": "iss_sub", "iss": ISSUER}, "iss_sub"),
        ({"format": "iss_sub", "iss": ISSUER, "sub": 1}, "iss_sub"),
        ({"format": "jwt_id", "iss": OTHER, "jti": "t"}, "jwt_id"),
        ({"format": "jwt_id", "iss": "https://a.test", "jti": "t"}, "jwt_id"),
        ({"format": "jwt_id", "iss": ISSUER, "jti": 1}, "jwt_id"),
        ({"format": "opaque", "id": "x" * 1025}, "opaque"),
        ({"format": "aliases", "identifiers": "alice"}, "aliases"),
        ({"format": "aliases", "identifiers": []}, "aliases"),
        (
            {"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": [PERSON]}]},
            "aliases",
        ),
        ({"format": "complex"}, "complex"),
        ({"format": "complex", "device": DEVICE, "tenant": DEVICE}, "complex"),
        ({"format": "complex", "user": {"format": "complex", "user": PERSON}}, "complex"),
        ({"user": PERSON}, "missing"),
    ],
)
def test_a_subject_that_no_token_names_is_reported(subject: Any, said: str) -> None:
    found = read(event(subject=subject))
    assert found.revoked == ()
    assert len(found.unusable) == 1
    assert said in found.unusable[0]
    assert "alice" not in found.unusable[0]


def test_of_several_events_each_counts() -> None:
    claims = event(
        events={
            "urn:ahead": {},
            f"{CAEP}credential-change": {"change_type": "create"},
            REVOKED: {"subject": MAIL},
            f"{RISC}account-disabled": {"subject": PERSON},
            f"{RISC}account-purged": {"subject": PERSON},
            f"{RISC}sessions-revoked": {"subject": MAIL},
            "urn:unknown": {},
        }
    )
    found = read(claims)
    assert found.revoked == (SubjectEvent("subject", ISSUER, "alice", AT),)
    assert len(found.unusable) == 1


# When it happened.


@pytest.mark.parametrize(
    ("payload", "claims", "at"),
    [
        ({}, {}, AT),
        ({}, {"iat": NOW + 0.5}, AT),
        ({"event_timestamp": NOW - 100}, {}, NOW - 99),
        ({"event_timestamp": NOW - 99.5}, {}, NOW - 99),
        ({}, {"toe": int(NOW) - 50}, NOW - 49),
        ({"event_timestamp": NOW - 100}, {"toe": int(NOW) - 50}, NOW - 99),
        # What cannot be is not believed: no later than it is said, no ages before.
        ({"event_timestamp": (NOW - 100) * 1000}, {}, AT),
        ({"event_timestamp": NOW + 1}, {}, AT),
        ({"event_timestamp": 0}, {}, AT),
        ({"event_timestamp": -1}, {"toe": int(NOW) - 50}, NOW - 49),
        ({"event_timestamp": str(NOW - 100)}, {}, AT),
        ({"event_timestamp": True}, {}, AT),
        ({"event_timestamp": None}, {"toe": None}, AT),
    ],
)
def test_until_when_tokens_are_revoked(
    payload: dict[str, Any], claims: dict[str, Any], at: float
) -> None:
    assert [one.at for one in read(event(payload=payload, **claims)).revoked] == [at]


# What is no event.


@pytest.mark.parametrize(
    ("claims", "err"),
    [
        ({"iss": None}, "invalid_issuer"),
        ({"iss": OTHER}, "invalid_issuer"),
        ({"iss": [ISSUER]}, "invalid_issuer"),
        ({"aud": None}, "invalid_audience"),
        ({"aud": "other-api"}, "invalid_audience"),
        ({"aud": []}, "invalid_audience"),
        ({"aud": {AUDIENCE: 1}}, "invalid_audience"),
        ({"aud": f"{AUDIENCE} other"}, "invalid_audience"),
        ({"jti": None}, "invalid_request"),
        ({"jti": ""}, "invalid_request"),
        ({"jti": 1}, "invalid_request"),
        ({"jti": "x" * 1025}, "invalid_request"),
        ({"iat": None}, "invalid_request"),
        ({"iat": str(int(NOW))}, "invalid_request"),
        ({"iat": True}, "invalid_request"),
        ({"iat": int(NOW) + 86_401}, "invalid_request"),
        ({"events": None}, "invalid_request"),
        ({"events": {}}, "invalid_request"),
        ({"events": [REVOKED]}, "invalid_request"),
        ({"events": {REVOKED: None}}, "invalid_request"),
        ({"events": {REVOKED: {}, "urn:unknown": 1}}, "invalid_request"),
    ],
)
def test_each_thing_that_is_wrong_refuses_the_event(claims: dict[str, Any], err: str) -> None:
    found, message = flaw(event(**claims))
    assert found == err
    assert "alice" not in message


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": [AUDIENCE]},
        {"aud": ["other-api", AUDIENCE]},
        {"iat": int(NOW) + 30},
        {"iat": 1},
        {"exp": 1},  # what happened has happened
        {"txn": "t"},
    ],
)
def test_what_is_honest_is_read(claims: dict[str, Any]) -> None:
    assert named(event(**claims)) == [("subject", "alice")]


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"iss":1,"iss":2}', b"\xff"])
def test_what_is_no_strict_json_is_no_event(payload: bytes) -> None:
    err, message = flaw(payload)
    assert err == "invalid_request"
    assert "JSON" in message


def test_what_is_written_without_a_subject() -> None:
    claims = make_event(
        issuer=ISSUER, audience=AUDIENCE, token_id="1", now=NOW, events={REVOKED: {}}
    )
    assert "sub_id" not in claims
    assert len(read(claims).unusable) == 1


def test_no_repr_shows_a_name() -> None:
    found = read(event())
    shown = repr((found, found.revoked, found.__rich_repr__(), found.revoked[0].__rich_repr__()))
    assert "alice" not in shown
    assert repr(found) == "SecurityEvent(revoked=1, unusable=0)"
    assert repr(found.revoked[0]) == "SubjectEvent(kind='subject')"


@pytest.mark.parametrize("seconds", [31, 86_400])
def test_an_event_of_later_today_is_neither_taken_nor_refused(seconds: int) -> None:
    with pytest.raises(Unavailable, match="issued in the future"):
        read(event(iat=int(NOW) + seconds))
