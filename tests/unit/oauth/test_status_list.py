"""Token Status List: the example of the draft, and every way in which a list is none."""

import json
import zlib
from typing import Any

import pytest

from feeding import AUDIENCE, ISSUER, LIST, NOW, list_claims
from portvakt.errors import ConfigurationError
from portvakt.jose.encoding import encode_base64url
from portvakt.oauth import status_list
from portvakt.oauth.status_list import (
    MalformedStatusList,
    StatusList,
    make_status_list,
    read_status_list,
)

#: Draft section 4.1, with one and with two bits.
ONE_BIT = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
TWO_BITS = [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]


def read(claims: dict[str, Any] | bytes, **how: Any) -> StatusList:
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    settings = {"uri": LIST, "issuer": ISSUER, "audience": AUDIENCE, "now": NOW, "ahead": 30.0}
    return read_status_list(payload, **{**settings, **how})


def flaw(claims: dict[str, Any] | bytes, **how: Any) -> str:
    with pytest.raises(MalformedStatusList) as caught:
        read(claims, **how)
    return str(caught.value)


@pytest.mark.parametrize(
    ("bits", "lst", "statuses"),
    [(1, "eNrbuRgAAhcBXQ", ONE_BIT), (2, "eNo76fITAAPfAgc", TWO_BITS)],
)
def test_the_examples_of_the_draft(bits: int, lst: str, statuses: list[int]) -> None:
    found = read(list_claims(status_list={"bits": bits, "lst": lst}))
    places = range(len(statuses))
    assert [found.status(index) for index in places] == statuses
    assert found.places == len(statuses)
    written = make_status_list(statuses, bits)
    again = read(list_claims(status_list=written))
    assert [again.status(index) for index in places] == statuses
    assert written == {"bits": bits, "lst": lst}


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_what_is_written_is_read(bits: int) -> None:
    statuses = [number % (1 << bits) for number in range(1000)]
    found = read(list_claims(*statuses, bits=bits))
    assert [found.status(index) for index in range(1000)] == statuses
    assert found.status(1000 * bits // bits + 8) is None
    assert found.status(10**30) is None


def test_a_list_of_nothing_has_no_place() -> None:
    found = read(list_claims())
    assert found.places == 0
    assert found.status(0) is None


def test_what_a_list_says_of_itself() -> None:
    found = read(list_claims(0, ttl=60.5))
    assert (found.issued_at, found.expires_at, found.ttl) == (NOW, NOW + 86400, 60.5)
    bare = read(list_claims(0, exp=None, iss=None))
    assert (bare.expires_at, bare.ttl) == (float("inf"), None)


def test_neither_repr_shows_a_status() -> None:
    found = read(list_claims(1, 0, 1))
    assert repr(found) == "StatusList(places=8)"
    assert found.__rich_repr__() == [("places", 8)]


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": f"{LIST}/"},
        {"sub": None},
        {"sub": [LIST]},
        {"iss": "https://other.test"},
        {"iss": 1},
        {"aud": "other-api"},
        {"aud": ["other-api"]},
        {"aud": []},
        {"aud": {AUDIENCE: 1}},
        {"iat": None},
        {"iat": "1800000000"},
        {"iat": True},
        {"iat": int(NOW) + 31},
        {"exp": int(NOW)},
        {"exp": str(int(NOW) + 60)},
        {"exp": True},
        {"nbf": int(NOW) + 31},
        {"nbf": "0"},
        {"ttl": 0},
        {"ttl": -1},
        {"ttl": "60"},
        {"ttl": False},
        {"status_list": None},
        {"status_list": []},
        {"status_list": {"bits": 1}},
        {"status_list": {"lst": "eNrbuRgAAhcBXQ"}},
        {"status_list": {"bits": True, "lst": "eNrbuRgAAhcBXQ"}},
        {"status_list": {"bits": 1.0, "lst": "eNrbuRgAAhcBXQ"}},
        {"status_list": {"bits": 3, "lst": "eNrbuRgAAhcBXQ"}},
        {"status_list": {"bits": 16, "lst": "eNrbuRgAAhcBXQ"}},
        {"status_list": {"bits": 1, "lst": ["eNrbuRgAAhcBXQ"]}},
    ],
)
def test_each_thing_that_is_wrong_refuses_the_list(claims: dict[str, Any]) -> None:
    assert LIST not in flaw(list_claims(0, **claims))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": None},
        {"aud": AUDIENCE},
        {"aud": ["other-api", AUDIENCE]},
        {"iat": int(NOW) + 30},
        {"iat": NOW - 0.5},
        {"exp": None},
        {"exp": int(NOW) + 1},
        {"nbf": int(NOW)},
        {"ttl": 0.5},
        {"more": "than is read"},
    ],
)
def test_what_is_honest_is_read(claims: dict[str, Any]) -> None:
    assert read(list_claims(0, **claims)).status(0) == 0


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b'{"sub":1,"sub":2}', b"\xff"])
def test_what_is_no_strict_json_is_no_list(payload: bytes) -> None:
    assert "JSON" in flaw(payload)


def packed(octets: bytes) -> dict[str, Any]:
    return {"bits": 1, "lst": encode_base64url(octets)}


@pytest.mark.parametrize(
    "lst",
    [
        b"",
        b"no stream",
        zlib.compress(b"abc")[:-1],
        zlib.compress(b"abc") + b"\0",
        zlib.compress(b"abc") * 2,
        zlib.compress(b"abc")[:-4] + b"\0\0\0\0",
        zlib.compress(b"abc")[2:-4],  # DEFLATE without ZLIB
    ],
)
def test_what_is_not_one_whole_stream_is_no_list(lst: bytes) -> None:
    assert "lst" in flaw(list_claims(status_list=packed(lst)))


@pytest.mark.parametrize("lst", ["eNrbuRgAAhcBXQ=", "eNrbuRgAAhcBXQ\n", "eNrbuRgAAhcBXR", "+/"])
def test_what_is_not_canonical_is_no_list(lst: str) -> None:
    assert flaw(list_claims(status_list={"bits": 1, "lst": lst})).startswith("lst: base64url")


def test_the_greatest_list_is_read_and_a_greater_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status_list, "MAX_INFLATED", 1000)
    assert read(list_claims(status_list=packed(zlib.compress(bytes(1000))))).places == 8000
    assert "1000" in flaw(list_claims(status_list=packed(zlib.compress(bytes(1001)))))


@pytest.mark.parametrize(
    ("statuses", "bits"), [([0], 3), ([0], 0), ([2], 1), ([-1], 8), ([256], 8)]
)
def test_what_cannot_be_written_is_the_developers_mistake(statuses: list[int], bits: int) -> None:
    with pytest.raises(ConfigurationError):
        make_status_list(statuses, bits)
