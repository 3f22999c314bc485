"""What a route demands of how a token came and how long it lives, at the exact bounds."""

import pytest
from msgspec.structs import replace

from portvakt import AccessToken, Code, HttpRequest, Refused, Requirement
from portvakt.policy.authorization import authorize
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer()
REQUEST = HttpRequest(method="GET", url="/journal/1")
NOW = ISSUER.clock()
NORMAL = Requirement.of(sensitivity="normal")  # an hour


def _token() -> AccessToken:
    token = ISSUER.guard().check_blocking(ISSUER.request(ISSUER.token())).token
    assert token is not None
    return token


TOKEN = _token()


def code_of(token: AccessToken, requirement: Requirement) -> Code | None:
    try:
        authorize(token, requirement, REQUEST, {}, NOW)
    except Refused as refused:
        return refused.refusal.code
    return None


@pytest.mark.parametrize(
    ("encrypted", "by_reference", "met"),
    [(False, False, False), (True, False, True), (False, True, True), (True, True, True)],
)
def test_what_others_can_read_on_its_way_is_refused_where_that_is_demanded(
    encrypted: bool, by_reference: bool, met: bool
) -> None:
    token = replace(TOKEN, encrypted=encrypted, by_reference=by_reference)
    demanded = Requirement.of(require_encryption=True)
    assert code_of(token, demanded) is (None if met else Code.ENCRYPTION_REQUIRED)
    assert code_of(token, Requirement.of()) is None


@pytest.mark.parametrize("issued_at", [0, 1, 3600, 5000, 10_000, NOW])
def test_a_lifetime_is_a_difference_whenever_it_began(issued_at: float) -> None:
    for lifetime, met in ((3600, True), (3601, False), (7200, False), (10_000, False)):
        token = replace(TOKEN, issued_at=issued_at, expires_at=issued_at + lifetime)
        assert code_of(token, NORMAL) is (None if met else Code.LIFETIME_TOO_SENSITIVE)


@pytest.mark.parametrize(
    ("lifetime", "known", "met"),
    [
        (5000, 6000, True),
        (6000, 6000, True),
        (6001, 6000, False),
        (3601, 60, False),
        (3600, 60, True),
    ],
)
def test_a_lifetime_that_is_known_of_an_issuer_is_the_longest(
    lifetime: float, known: float, met: bool
) -> None:
    token = replace(TOKEN, issued_at=NOW, expires_at=NOW + lifetime, known_lifetime=known)
    assert code_of(token, NORMAL) is (None if met else Code.LIFETIME_TOO_SENSITIVE)


@pytest.mark.parametrize("signed_in", [0, 0.0, 1, NOW - 61, NOW - 60, NOW])
def test_who_signed_in_at_the_beginning_of_time_did_so_long_ago(signed_in: float) -> None:
    token = replace(TOKEN, identity=replace(TOKEN.identity, authenticated_at=signed_in))
    met = NOW - signed_in <= 60
    demanded = Requirement.of(max_authentication_age=60)
    assert code_of(token, demanded) is (None if met else Code.AUTHENTICATION_TOO_OLD)
