"""What an honest token says of persons and organisations: all that its issuer's tokens may say.

Everybody in it is synthetic: the numbers are those of published examples and test registers.
"""

from collections.abc import Iterator
from typing import Any, Final

from portvakt.policy.accepted_persons import AcceptedPersons
from portvakt.policy.identifiers import MalformedIdentifier
from portvakt.policy.identity import IdentityClaims
from portvakt.policy.issuer import TrustedIssuer

__all__ = ["HPR_NUMBER", "ORGANISATION", "SUPPLIER", "UNIT", "honest_identity", "person_number"]

#: Published by Norsk Helsenett and Skatteetaten as examples, a kind each.
_PERSONS: Final = (
    "17056600574",  # fødselsnummer
    "55507608360",  # D-number, NAV's synthetic
    "03851598730",  # Tenor's
    "41819077302",  # Tenor's, D-number
    "15507600333",  # month + 40
    "88888888831",  # FH-number
)

HPR_NUMBER: Final = "431001110"
ORGANISATION: Final = "100100673"
UNIT: Final = "999977774"
SUPPLIER: Final = "313745392"


def person_number(persons: AcceptedPersons) -> str:
    """Return the number of a synthetic person that a policy accepts.

    Raises:
        LookupError: if it accepts none of those that are known here.
    """
    for number in _PERSONS:
        try:
            persons.read(number)
        except MalformedIdentifier:
            continue
        return number
    raise LookupError("no synthetic person is of a kind that is accepted")


def honest_identity(issuer: TrustedIssuer, now: float) -> dict[str, Any]:
    """Return the claims of an issuer's token that speak of persons and organisations.

    Parameters:
        issuer: the policy.
        now: seconds since 1970; the person signed in then.
    """
    claims = issuer.identity
    return {} if claims is None else dict(_said(claims, now))


def _said(claims: IdentityClaims, now: float) -> Iterator[tuple[str, Any]]:
    for name in claims.security_level[:1]:
        yield name, max(claims.levels, key=lambda value: claims.levels[value])
    for name in claims.pid[:1]:
        yield name, person_number(claims.persons)
    for name in claims.hpr_number[:1]:
        yield name, HPR_NUMBER
    for names, number in (
        (claims.organisation_parent, ORGANISATION),
        (claims.organisation_child, UNIT),
        (claims.organisation_supplier, SUPPLIER),
    ):
        for name in names[:1]:
            yield name, _organisation(number, claims)
    for name in claims.client_name[:1]:
        yield name, "Test client"
    for name in claims.tenancy[:1]:
        yield name, "multi-tenant"
    for name in claims.authenticated_at[:1]:
        yield name, now


def _organisation(number: str, claims: IdentityClaims) -> str | dict[str, str]:
    if claims.iso6523:
        return {"authority": "iso6523-actorid-upis", "ID": f"0192:{number}"}
    return number
