"""From what a person wants revoked to what a store keeps."""

import math
from typing import Any

import pytest

from mirroring import ISSUER, NOW, token_of
from portvakt.errors import ConfigurationError
from portvakt.guard.revoked import Revoked
from portvakt.guard.revoking import KEEP_KEY, Revocation, entry_for
from portvakt.policy.handles import Kind, handle_of
from portvakt.policy.issuer import TrustedIssuer
from portvakt.stores.base import Entry
from portvakt.testing import FakeIssuer

THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
TRUSTED = TrustedIssuer(
    issuer=ISSUER,
    audience="api",
    algorithms=frozenset({"ES256"}),
    leeway=5,
    max_lifetime=600,
    max_age_ahead=30,
)
#: Seconds after a revocation at which the last token can be admitted that it revokes.
NEEDED = 31 + 600 + 5

TOO_SHORT = (
    "keep_for: must be at least 636 seconds, as tokens of this issuer may live so long, and at "
    "most 3660 days"
)

VALUES = {
    Kind.TOKEN: "t",
    Kind.SESSION: "session",
    Kind.SUBJECT: "s",
    Kind.CLIENT: "client",
    Kind.KEY: THUMBPRINT,
    Kind.ISSUER: "",
}
TIMED = [Kind.SESSION, Kind.SUBJECT, Kind.CLIENT, Kind.ISSUER]


def made(kind: Kind, *, trusted: TrustedIssuer = TRUSTED, now: float = NOW, **what: Any) -> Entry:
    wanted = Revocation(**{"issuer": ISSUER, "kind": kind, "value": VALUES[kind], **what})
    return entry_for(wanted, {ISSUER: trusted}, now)


def flaws(kind: Kind, **what: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        made(kind, **what)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("kind", Kind)
def test_it_is_kept_under_the_name_that_tokens_have(kind: Kind) -> None:
    entry = made(kind)
    assert entry.handle == handle_of(kind, ISSUER, VALUES[kind])
    if kind is not Kind.KEY:
        revoked = Revoked()
        revoked.put([entry])
        assert revoked.names(token_of(issued_at=NOW), NOW)


def test_one_token_and_a_key_are_revoked_whenever_they_were_issued() -> None:
    assert made(Kind.TOKEN) == Entry(handle_of(Kind.TOKEN, ISSUER, "t"), math.inf, NOW + NEEDED)
    key = made(Kind.KEY)
    assert (key.issued_before, key.expires_at) == (math.inf, NOW + KEEP_KEY)


@pytest.mark.parametrize("kind", TIMED)
def test_of_the_others_what_was_issued_until_now_and_a_little_longer(kind: Kind) -> None:
    """An issuer whose clock is ahead of ours issued before what it says was later."""
    entry = made(kind, now=NOW + 0.4)
    assert (entry.issued_before, entry.expires_at) == (NOW + 1 + 5, NOW + 0.4 + NEEDED)


@pytest.mark.parametrize(
    ("asked", "issued_before"),
    [(NOW - 100, NOW - 100), (NOW - 100.5, NOW - 100), (NOW + 30, NOW + 30), (0, 0)],
)
@pytest.mark.parametrize("kind", TIMED)
def test_a_time_that_is_said_is_rounded_up(kind: Kind, asked: float, issued_before: float) -> None:
    assert made(kind, issued_before=asked).issued_before == issued_before


@pytest.mark.parametrize("kind", TIMED)
@pytest.mark.parametrize(("leeway", "ahead"), [(0, 0), (5, 30), (300, 0), (0, 300)])
def test_it_is_kept_until_no_token_of_those_is_admitted_any_more(
    kind: Kind, leeway: float, ahead: float
) -> None:
    trusted = TrustedIssuer(
        issuer=ISSUER,
        audience="api",
        algorithms=frozenset({"ES256"}),
        leeway=leeway,
        max_lifetime=600,
        max_age_ahead=ahead,
    )
    for entry in (
        made(kind, trusted=trusted, now=NOW + 0.1),
        made(kind, trusted=trusted, now=NOW + 0.1, issued_before=NOW + ahead),
    ):
        longest_issued_at = entry.issued_before
        assert entry.expires_at >= longest_issued_at + 600 + leeway


def test_it_can_be_kept_for_longer_and_not_for_less() -> None:
    for kind in Kind:
        assert made(kind, keep_for=90 * 86400).expires_at == NOW + 90 * 86400
        assert made(kind, keep_for=NEEDED).expires_at == NOW + NEEDED
        for seconds in (NEEDED - 0.1, 0, -1, math.nan, math.inf, 4000 * 86400):
            assert flaws(kind, keep_for=seconds) == [TOO_SHORT]
    # Where tokens live longer than a key is usually remembered, it is remembered as long as they.
    year = TrustedIssuer(
        issuer=ISSUER,
        audience="api",
        algorithms=frozenset({"ES256"}),
        max_lifetime=366 * 86400,
    )
    assert made(Kind.KEY, trusted=year).expires_at > NOW + 366 * 86400


def test_an_issuer_that_is_not_trusted_has_nothing_to_revoke() -> None:
    assert flaws(Kind.TOKEN, issuer="https://issuer.test/") == [
        f"issuer: is not in the policy; there are {ISSUER}"
    ]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("value", ["", "x" * 1025, "a\nb", "a\x00", "e\u202e", "T" * 43 + "!"])
def test_a_name_that_no_token_has_is_a_slip(kind: Kind, value: str) -> None:
    if (kind is Kind.ISSUER and value == "") or (kind is not Kind.KEY and value.endswith("T!")):
        return
    (flaw,) = flaws(kind, value=value)
    assert flaw.startswith("value: ")
    assert not value or value not in flaw


def test_a_whole_token_is_no_name_of_one() -> None:
    # Whoever copies it in haste would be told that it is revoked, and it would be admitted.
    token = FakeIssuer().token()
    (flaw,) = flaws(Kind.TOKEN, value=token)
    assert "state its jti" in flaw
    assert token not in flaw


@pytest.mark.parametrize("kind", [Kind.TOKEN, Kind.KEY])
def test_when_it_was_issued_means_nothing_for_a_token_or_a_key(kind: Kind) -> None:
    assert flaws(kind, issued_before=NOW) == [f"issued_before: means nothing for a {kind.value}"]


@pytest.mark.parametrize("before", [NOW + 30.1, math.inf, math.nan, -1, NOW * 1000])
def test_what_is_still_to_be_issued_cannot_be_revoked(before: float) -> None:
    assert flaws(Kind.SUBJECT, issued_before=before, keep_for=0) == [
        "issued_before: must be a time that is past, in seconds since 1970",
        TOO_SHORT,
    ]


def test_nothing_of_it_shows_who_it_is() -> None:
    wanted = Revocation(issuer=ISSUER, kind=Kind.SUBJECT, value="13116900216")
    assert repr(wanted) == f"Revocation(issuer='{ISSUER}', kind=Kind.SUBJECT)"
    assert "13116900216" not in str([*wanted.__rich_repr__()])
