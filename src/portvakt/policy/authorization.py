"""Whether a genuine token carries what a route demands: the numbered checks of authorization."""

from collections.abc import Callable
from typing import Final

from portvakt.errors import Refused
from portvakt.http.request import HttpRequest
from portvakt.policy.requirement import Check, Requirement
from portvakt.policy.rules import Parameters
from portvakt.policy.token import AccessToken
from portvakt.refusal import Code

__all__ = ["authorize"]


def authorize(
    token: AccessToken,
    requirement: Requirement,
    request: HttpRequest,
    parameters: Parameters,
    now: float,
) -> None:
    """Check that a token carries what a route demands.

    Does not ask registers, nor whether a bound token is in the right hands.

    Parameters:
        token: a verified token.
        requirement: the demand.
        request: the request that carries it.
        parameters: the parameters of its path.
        now: seconds since 1970.

    Raises:
        Refused: at step AUTHORIZATION.
    """
    # (1) Scopes: all of these, one of those.
    if not requirement.scopes <= token.scopes:
        missing = " ".join(sorted(requirement.scopes - token.scopes))
        raise Refused(Code.SCOPE_INSUFFICIENT, f"missing scope: {missing}")
    if requirement.any_scopes and requirement.any_scopes.isdisjoint(token.scopes):
        raise Refused(Code.SCOPE_INSUFFICIENT, "none of the scopes of which one is needed")

    # (2) Not readable by others on its way, where that is demanded. A reference says nothing.
    if requirement.require_encryption and not (token.encrypted or token.by_reference):
        raise Refused(Code.ENCRYPTION_REQUIRED, "the token is signed, and not encrypted")

    # (3) Not longer-lived than data of this kind allows, unless its issuer is known for that.
    lifetime = token.expires_at - token.issued_at
    if lifetime > requirement.max_lifetime and lifetime > token.known_lifetime:
        raise Refused(
            Code.LIFETIME_TOO_SENSITIVE,
            f"lives {lifetime:.0f} s, allowed for this data {requirement.max_lifetime:.0f} s",
        )

    # (4) How surely the person was identified, and how long ago (RFC 9470).
    identity = token.identity
    if identity.security_level < requirement.security_level:
        raise Refused(
            Code.LEVEL_TOO_LOW,
            f"level {identity.security_level}, demanded {requirement.security_level}",
        )
    if not requirement.further:
        return
    if requirement.max_authentication_age is not None:
        _check_age(identity.authenticated_at, requirement.max_authentication_age, now)

    # (5) Who, and for which organisation, through which client.
    for name in requirement.identities:
        if _IDENTITY[name](token) is None:
            raise Refused(Code.IDENTITY_MISSING, f"the token says no {name}")
    if requirement.clients is not None and token.client_id not in requirement.clients:
        raise Refused(Code.CLIENT_REFUSED, "client_id is not one that is listed")
    if requirement.organisational:
        _check_organisation(token, requirement)

    # (6) Rules about claims and the request, and rules of one's own.
    if requirement.ruled:
        for rule in requirement.rules:
            objection = rule.objection(token, request, parameters)
            if objection is not None:
                raise Refused(Code.RULE_UNMET, objection)
        for check in requirement.checks:
            # Whatever is not True refuses, a forgotten return among it.
            if check(token, request) is not True:
                raise Refused(Code.RULE_UNMET, f"{_name(check)} did not return True")


_IDENTITY: Final[dict[str, Callable[[AccessToken], object]]] = {
    "pid": lambda token: token.identity.pid,
    "hpr_number": lambda token: token.identity.hpr_number,
    "organisation": lambda token: token.organisation and token.organisation.parent,
    "organisation_child": lambda token: token.organisation and token.organisation.child,
    "supplier": lambda token: token.organisation and token.organisation.supplier,
}


def _check_age(authenticated_at: float | None, allowed: float, now: float) -> None:
    if authenticated_at is None:
        raise Refused(Code.AUTHENTICATION_TOO_OLD, "the token does not say when they signed in")
    if not now - authenticated_at <= allowed:
        raise Refused(
            Code.AUTHENTICATION_TOO_OLD,
            f"signed in {now - authenticated_at:.0f} s ago, allowed {allowed:.0f} s",
        )


def _check_organisation(token: AccessToken, requirement: Requirement) -> None:
    found = token.organisation
    parent = None if found is None or found.parent is None else found.parent.number
    if requirement.parents is not None and parent not in requirement.parents:
        raise Refused(Code.ORGANISATION_REFUSED, "the organisation is not one that is listed")
    if found is None:
        return
    supplier, child = found.supplier, found.child
    if (
        requirement.suppliers is not None
        and supplier is not None
        and supplier.number not in requirement.suppliers
    ):
        raise Refused(Code.ORGANISATION_REFUSED, "the supplier is not one that is listed")
    if requirement.children is not None and child is not None:
        units = requirement.children.get(parent) if parent is not None else None
        if units is None or child.number not in units:
            raise Refused(
                Code.ORGANISATION_REFUSED, "the sub-unit is not listed as one of the organisation's"
            )


def _name(check: Check) -> str:
    return str(getattr(check, "__name__", type(check).__name__))
