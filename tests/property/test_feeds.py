"""An issuer's feeds: whatever comes, each reader returns, or says that it is none."""

import asyncio
import json
import zlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feeding import (
    AUDIENCE,
    CAEP,
    ISSUER,
    LIST,
    NOW,
    REVOKED,
    RISC,
    Events,
    event,
    list_claims,
    signed,
)
from portvakt.errors import Refused
from portvakt.jose.encoding import encode_base64url
from portvakt.net.signed import take_apart
from portvakt.oauth.event_delivery import MalformedPoll, read_poll
from portvakt.oauth.security_event import MalformedEvent, SecurityEvent, read_event
from portvakt.oauth.status_list import (
    MAX_INFLATED,
    MalformedStatusList,
    StatusList,
    make_status_list,
    read_status_list,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(-1e300, 1e300) | text
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            text
            | st.sampled_from(["format", "id", "iss", "sub", "user", "session", "identifiers"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
formats = st.sampled_from(["opaque", "iss_sub", "jwt_id", "complex", "aliases", "email"])
subjects = st.fixed_dictionaries(
    {"format": formats | values},
    optional={
        "id": text | values,
        "iss": st.just(ISSUER) | values,
        "sub": text | values,
        "jti": text | values,
        "identifiers": st.lists(values, max_size=3) | values,
        "user": values,
        "session": values,
        "application": values,
    },
)


def lists(payload: bytes) -> StatusList | None:
    try:
        return read_status_list(
            payload, uri=LIST, issuer=ISSUER, audience=AUDIENCE, now=NOW, ahead=30.0
        )
    except MalformedStatusList:
        return None


def events(payload: bytes) -> SecurityEvent | None:
    try:
        return read_event(
            payload, issuer=ISSUER, audience=AUDIENCE, now=NOW, ahead=30.0, sessions=False
        )
    except MalformedEvent:
        return None


@given(st.binary(max_size=200))
@example(b'{"sub": 1e999}')
@example(b"[" * 1000)
def test_any_octets(octets: bytes) -> None:
    assert lists(octets) is None
    assert events(octets) is None
    with pytest.raises(MalformedPoll):
        read_poll(octets)
    with pytest.raises(Refused):
        take_apart(octets, "secevent+jwt")


@given(st.sampled_from(sorted(list_claims())), values)
def test_any_claim_of_a_list(name: str, value: Any) -> None:
    found = lists(json.dumps({**list_claims(0, 1), name: value}).encode())
    if found is not None:
        assert found.status(0) in {0, None}
        assert found.expires_at > NOW


@given(st.binary(max_size=100), st.sampled_from([1, 2, 4, 8]))
def test_any_stream_of_a_list(octets: bytes, bits: int) -> None:
    claims = list_claims(status_list={"bits": bits, "lst": encode_base64url(octets)})
    found = lists(json.dumps(claims).encode())
    if found is not None:
        assert zlib.decompress(octets) == found.octets
        assert len(found.octets) <= MAX_INFLATED


@given(st.data(), st.sampled_from([1, 2, 4, 8]))
def test_what_is_written_is_read_in_every_place(data: st.DataObject, bits: int) -> None:
    statuses = data.draw(st.lists(st.integers(0, (1 << bits) - 1), max_size=50))
    claims = list_claims(status_list=make_status_list(statuses, bits))
    found = lists(json.dumps(claims).encode())
    assert found is not None
    assert [found.status(index) for index in range(len(statuses))] == statuses
    # What fills up the last octet is valid, and then there is nothing.
    assert all(found.status(index) == 0 for index in range(len(statuses), found.places))
    assert found.status(found.places) is None


@given(st.sampled_from(sorted(event())), values)
def test_any_claim_of_an_event(name: str, value: Any) -> None:
    found = events(json.dumps({**event(), name: value}).encode())
    assert found is None or found.issuer == ISSUER


@given(
    st.sampled_from([REVOKED, f"{CAEP}credential-change", f"{RISC}account-disabled"]),
    subjects | values,
    values,
    values,
)
def test_any_subject_at_any_time(name: str, subject: Any, time: Any, change: Any) -> None:
    payload = {"event_timestamp": time, "change_type": change}
    found = events(json.dumps(event(name, payload, sub_id=subject)).encode())
    assert found is not None
    # Somebody is revoked, or that is said; and nothing that is issued later is.
    assert found.revoked or found.unusable or change == "create"
    for one in found.revoked:
        assert one.kind in {"token", "session", "subject", "client"}
        assert one.issuer == ISSUER
        assert 0 < len(one.value) <= 1024
        assert 0 < one.at <= NOW + 31


@given(st.binary(max_size=100), text | st.none())
def test_any_push_is_answered(octets: bytes, content_type: str | None) -> None:
    pushed = Events()
    for body in (octets, signed(octets, "secevent+jwt").encode()):
        for named in (content_type, "application/secevent+jwt"):
            answer = asyncio.run(pushed.events.receive(body, named))
            assert answer.status == 400
    assert pushed.recorded == []
