"""Faults of what a token says of persons and organisations, and of which kind of token it is."""

from collections.abc import Callable
from typing import Any, Final

from portvakt.forge.fault import Applies, Apply, Fault, Forgery
from portvakt.forge.tokens import TokenBuilder
from portvakt.policy.access_token import EXPLICIT_TYPE
from portvakt.policy.identifiers import MalformedIdentifier
from portvakt.policy.identity import IdentityClaims
from portvakt.policy.issuer import TrustedIssuer
from portvakt.refusal import Code

__all__ = ["IDENTITY_FAULTS"]

Names = Callable[[IdentityClaims], tuple[str, ...]]


def _with(names: Names, value: Any) -> Apply:
    """Set the claim that carries something."""

    def apply(token: TokenBuilder, _: Forgery) -> str:
        return token.claims(**{_names(token.issuer, names)[0]: value}).build()

    return apply


def _carried(names: Names) -> Applies:
    """Apply where the issuer's tokens carry it."""
    return lambda token, _: bool(_names(token.issuer, names))


def _names(issuer: TrustedIssuer, names: Names) -> tuple[str, ...]:
    return () if issuer.identity is None else names(issuer.identity)


def _level(claims: IdentityClaims) -> tuple[str, ...]:
    return claims.security_level


def _pid(claims: IdentityClaims) -> tuple[str, ...]:
    return claims.pid


def _hpr_number(claims: IdentityClaims) -> tuple[str, ...]:
    return claims.hpr_number


def _organisation(claims: IdentityClaims) -> tuple[str, ...]:
    return claims.organisation_parent


#: A test person of Skatteetaten's, and one that a hospital or NAV made up.
_TEST_PERSONS: Final = ("03851598730", "15507600333")


def _unwelcome(issuer: TrustedIssuer) -> str | None:
    """Return a well-formed number of a kind that is not accepted; None if there is none."""
    if issuer.identity is None:
        return None
    for number in _TEST_PERSONS:
        try:
            issuer.identity.persons.read(number)
        except MalformedIdentifier:
            return number
    return None


def _test_person(token: TokenBuilder, forgery: Forgery) -> str:
    """Name a person who exists in test registers only."""
    return _with(_pid, _unwelcome(token.issuer))(token, forgery)


def _refuses_test_persons(token: TokenBuilder, _: Forgery) -> bool:
    return bool(_names(token.issuer, _pid)) and _unwelcome(token.issuer) is not None


def _untyped(token: TokenBuilder, _: Forgery) -> bool:
    """Apply where a token may be without the type that only access tokens have."""
    issuer = token.issuer
    return bool(issuer.refused_claims) and issuer.types != {EXPLICIT_TYPE}


def _id_token(token: TokenBuilder, _: Forgery) -> str:
    """Give it what ID tokens have, under another type than an access token's."""
    typ = min(token.issuer.types - {EXPLICIT_TYPE})
    named = token.without_header("typ") if typ == "absent" else token.header(typ=typ)
    return named.claims(**{min(token.issuer.refused_claims): "x"}).build()


def _expects(token: TokenBuilder, _: Forgery) -> bool:
    return bool(token.issuer.expected_values)


def _unexpected(token: TokenBuilder, _: Forgery) -> str:
    """Say in the payload that it is another kind of token."""
    return token.claims(**{token.issuer.expected_values[0][0]: "ID"}).build()


IDENTITY_FAULTS: Final[tuple[Fault, ...]] = (
    Fault(
        "id-token-claims",
        "TYP-01",
        Code.NOT_ACCESS_TOKEN,
        "It is an ID token of the same issuer",
        _id_token,
        _untyped,
    ),
    Fault(
        "id-token-said",
        "TYP-01",
        Code.NOT_ACCESS_TOKEN,
        "It says in the payload that it is an ID token",
        _unexpected,
        _expects,
    ),
    Fault(
        "level-unknown",
        "CLM-28",
        Code.IDENTITY_MALFORMED,
        "Its security level is one that nobody has heard of",
        _with(_level, "1337"),
        _carried(_level),
    ),
    Fault(
        "level-number",
        "CLM-28",
        Code.IDENTITY_MALFORMED,
        "Its security level is a number, not text",
        _with(_level, 4),
        _carried(_level),
    ),
    Fault(
        "pid-digits",
        "CLM-28",
        Code.IDENTITY_MALFORMED,
        "Its personal number has a digit too few",
        _with(_pid, "1705660057"),
        _carried(_pid),
    ),
    Fault(
        "pid-test-person",
        "CLM-28",
        Code.IDENTITY_REFUSED,
        "It is about a test person, in production",
        _test_person,
        _refuses_test_persons,
    ),
    Fault(
        "hpr-letters",
        "CLM-28",
        Code.IDENTITY_MALFORMED,
        "Its health personnel number has letters",
        _with(_hpr_number, "HPR431001110"),
        _carried(_hpr_number),
    ),
    Fault(
        "organisation-digits",
        "CLM-28",
        Code.IDENTITY_MALFORMED,
        "Its organisation number has a digit too many",
        _with(_organisation, "1001006730"),
        _carried(_organisation),
    ),
)
